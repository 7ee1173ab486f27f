"""Answers to a1_layers, task 8."""

from itertools import pairwise

import torch
from torch import nn


def right_list_of_shapes(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Collects the shapes first and counts them at the end."""
    shapes = [tuple(input_shape)]
    for layer in layers:
        c, h, w = shapes[-1]
        if layer[0] == "relu":
            shapes.append((c, h, w))
        elif layer[0] == "linear":
            shapes.append((layer[1], 1, 1))
        elif layer[0] == "conv":
            _, filters, k, s, p = layer
            if k > h + 2 * p or k > w + 2 * p:
                raise ValueError("kernel does not fit")
            shapes.append((filters, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1))
        elif layer[0] == "pool":
            _, k, s = layer
            if k > h or k > w:
                raise ValueError("window does not fit")
            shapes.append((c, (h - k) // s + 1, (w - k) // s + 1))
        else:
            raise ValueError(layer[0])
    values = 0
    for c, h, w in shapes:
        values += c * h * w
    return batch_size * values * bytes_per_value


def right_on_the_meta_device(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Lets PyTorch work out the shapes."""
    x = torch.empty(batch_size, *input_shape, device="meta")
    total = x.numel()
    for kind, *numbers in layers:
        try:
            if kind == "conv":
                x = nn.Conv2d(x.shape[1], *numbers, device="meta")(x)
            elif kind == "pool":
                x = nn.functional.max_pool2d(x, *numbers)
            elif kind == "linear":
                x = nn.Linear(x.flatten(1).shape[1], *numbers, device="meta")(x.flatten(1))
            elif kind != "relu":
                raise ValueError(f"unknown layer {kind}")
        except RuntimeError as error:
            raise ValueError(f"{kind} does not fit") from error
        total += x.numel()
    return total * bytes_per_value


def _volumes(input_shape, layers):
    """(kind, number of values) of the input and of every output."""
    c, h, w = input_shape
    volumes = [("input", c * h * w)]
    for kind, *numbers in layers:
        padding = 0
        if kind == "conv":
            c, kernel, stride, padding = numbers
        elif kind == "pool":
            kernel, stride = numbers
        elif kind == "linear":
            c, h, w = numbers[0], 1, 1
        elif kind != "relu":
            raise ValueError
        if kind in ("conv", "pool"):
            if min(h, w) + 2 * padding < kernel:
                raise ValueError
            h, w = ((side + 2 * padding - kernel) // stride + 1 for side in (h, w))
        volumes.append((kind, c * h * w))
    return volumes


def wrong_values(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Counts values instead of bytes.

    Named: these are values; each takes 4 bytes
    """
    return batch_size * sum(values for _, values in _volumes(input_shape, layers))


def wrong_no_input(input_shape, layers, batch_size=1, bytes_per_value=4):
    """The input is forgotten.

    Named: the input is kept too
    """
    volumes = _volumes(input_shape, layers)[1:]
    return bytes_per_value * batch_size * sum(values for _, values in volumes)


def wrong_no_relu(input_shape, layers, batch_size=1, bytes_per_value=4):
    """ReLU is taken to work in place.

    Named: the output of the ReLU is kept too
    """
    volumes = _volumes(input_shape, layers)
    total = sum(values for kind, values in volumes if kind != "relu")
    return bytes_per_value * batch_size * total


def wrong_one_picture(input_shape, layers, batch_size=1, bytes_per_value=4):
    """The batch is forgotten.

    Named: there are 16 pictures
    """
    return bytes_per_value * sum(values for _, values in _volumes(input_shape, layers))


def wrong_always_float32(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Four bytes per value, whatever was asked for.

    Named: float16 takes 2 bytes per value
    """
    return 4 * batch_size * sum(values for _, values in _volumes(input_shape, layers))


def wrong_square(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Treats every picture as square."""
    c, h, _ = input_shape
    volumes = _volumes((c, h, h), layers)
    return bytes_per_value * batch_size * sum(values for _, values in volumes)


def wrong_flatten_counted(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Counts the flattened volume before a fully connected layer.

    Named: flattening copies nothing
    """
    volumes = _volumes(input_shape, layers)
    total = sum(values for _, values in volumes)
    for before, after in pairwise(volumes):
        if after[0] == "linear" and before[0] in ("conv", "pool"):
            total += before[1]
    return bytes_per_value * batch_size * total


def wrong_no_error(input_shape, layers, batch_size=1, bytes_per_value=4):
    """Ignores layers that are unknown or do not fit."""
    possible = []
    for layer in layers:
        try:
            _volumes(input_shape, [*possible, layer])
        except ValueError:
            continue
        possible.append(layer)
    total = sum(values for _, values in _volumes(input_shape, possible))
    return bytes_per_value * batch_size * total
