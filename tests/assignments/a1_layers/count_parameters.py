"""Answers to a1_layers, task 5."""

import torch
from torch import nn


def right_with_shapes(layer):
    """Writes down the shape of every parameter and multiplies."""
    options = {"groups": 1, "bias": True, **layer}
    if options["kind"] == "conv":
        inputs, filters, groups = (options[k] for k in ("in_channels", "out_channels", "groups"))
        if inputs % groups != 0 or filters % groups != 0:
            raise ValueError("groups")
        kernel = options["kernel"]
        kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        shapes = [(filters, inputs // groups, *kernel)]
        shapes += [(filters,)] * options["bias"]
    elif options["kind"] == "linear":
        shapes = [(options["out_features"], options["in_features"])]
        shapes += [(options["out_features"],)] * options["bias"]
    elif options["kind"] == "batch_norm":
        shapes = [(options["channels"],), (options["channels"],)]
    else:
        raise ValueError("kind")
    return sum(torch.Size(shape).numel() for shape in shapes)


def right_by_building(layer):
    """Builds the layer on the meta device and counts."""
    options = {name: value for name, value in layer.items() if name != "kind"}
    match layer["kind"]:
        case "conv":
            kernel = options.pop("kernel")
            built = nn.Conv2d(**options, kernel_size=kernel, device="meta")
        case "linear":
            built = nn.Linear(**options, device="meta")
        case "batch_norm":
            built = nn.BatchNorm2d(options["channels"], device="meta")
        case kind:
            raise ValueError(f"unknown kind {kind}")
    return sum(parameter.numel() for parameter in built.parameters())


def _sides(kernel):
    return kernel if isinstance(kernel, tuple) else (kernel, kernel)


def _answer(layer, *, bias=True, depth=True, groups=True, norm=2, divide_filters=False):
    """The right answer, with parts of it switched off."""
    if layer["kind"] == "batch_norm":
        return norm * layer["channels"]
    has_bias = layer.get("bias", True) and bias
    if layer["kind"] == "linear":
        return layer["out_features"] * (layer["in_features"] + has_bias)
    if layer["kind"] != "conv":
        raise ValueError
    parts = layer.get("groups", 1)
    if layer["in_channels"] % parts or layer["out_channels"] % parts:
        raise ValueError
    height, width = _sides(layer["kernel"])
    filters = layer["out_channels"]
    seen = layer["in_channels"] if depth else 1
    seen = seen // parts if groups else seen
    weights = filters * height * width * seen
    return (weights // parts if divide_filters else weights) + filters * has_bias


def wrong_no_bias(layer):
    """Biases are forgotten.

    Named: the biases are missing
    """
    return _answer(layer, bias=False)


def wrong_one_channel(layer):
    """A filter is taken to be flat: it sees one channel.

    Named: a filter sees all input channels, not one
    """
    return _answer(layer, depth=False, groups=False)


def wrong_groups_ignored(layer):
    """Groups are ignored.

    Named: this is the number without groups
    """
    return _answer(layer, groups=False)


def wrong_groups_twice(layer):
    """Divides input channels and filters by the groups.

    Named: all filters remain
    """
    return _answer(layer, divide_filters=True)


def wrong_running_statistics(layer):
    """Counts the running mean and variance as parameters.

    Named: running mean and variance are measured, not learned
    """
    return _answer(layer, norm=4)


def wrong_bias_always(layer):
    """Ignores that a layer may have no bias.

    Named: this layer has no bias
    """
    return _answer({**layer, "bias": True})


def wrong_groups_unchecked(layer):
    """Rounds where the groups do not divide the channels."""
    if layer["kind"] != "conv":
        return _answer(layer)
    height, width = _sides(layer["kernel"])
    seen = layer["in_channels"] // layer.get("groups", 1)
    return layer["out_channels"] * (height * width * seen + layer.get("bias", True))


def wrong_unknown_kind(layer):
    """Returns 0 for a kind it does not know."""
    known = layer["kind"] in ("conv", "linear", "batch_norm")
    return _answer(layer) if known else 0


def wrong_square_kernel(layer):
    """Squares the height of a kernel that is not square."""
    if isinstance(layer.get("kernel"), tuple):
        layer = {**layer, "kernel": layer["kernel"][0]}
    return _answer(layer)


def wrong_changes_its_argument(layer):
    """Puts the defaults into the dict it was given.

    Named: the call changed argument 1
    """
    layer.setdefault("bias", True)
    layer.setdefault("groups", 1)
    return _answer(layer)
