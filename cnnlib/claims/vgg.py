"""Recomputations of the notes' chapter on VGG."""

from __future__ import annotations

import re
from functools import partial

import torch
from torch import nn
from torchvision.models import VGG16_Weights, VGG19_Weights

from cnnlib import arithmetic
from cnnlib.claims.helpers import count, kinds, layers, network, seen_pixels, summary, two_digits
from cnnlib.claims.registry import CLAIMS, Values, printed_numbers, read_number, recomputes
from cnnlib.models.vgg import CONFIGURATIONS, VGG
from cnnlib.summary import Row

FLOAT32 = torch.zeros(1).element_size()  # bytes


def stack_weights(kernel: int, depth: int, channels: int) -> int:
    """Weights, without biases, of `depth` convolutions with `channels` channels in and out."""
    return sum(count(nn.Conv2d(channels, channels, kernel, bias=False)) for _ in range(depth))


def weight_layers(configuration: str) -> int:
    """Number of convolutions and fully connected layers."""
    with torch.device("meta"):
        return len(layers(VGG(configuration), nn.Conv2d, nn.Linear))


def vgg16_table() -> dict[str, Row]:
    """The rows of VGG-16's table under the names of the notes: input, conv1-1, …, pool5, …, fc8."""
    table, stage, position, linear = {}, 1, 0, 5
    for line in summary("vgg16").rows:
        if line.kind == "Input":
            table["input"] = line
        elif line.kind == "Conv2d":
            position += 1
            table[f"conv{stage}-{position}"] = line
        elif line.kind == "MaxPool2d":
            table[f"pool{stage}"] = line
            stage, position = stage + 1, 0
        elif line.kind == "Linear":
            linear += 1
            table[f"fc{linear}"] = line
    return table


def activations(line: Row) -> int:
    """Number of values that a layer writes."""
    return line.activation_bytes // FLOAT32


def notes_total() -> float:
    """The total number of activations that the notes print, 24M."""
    (printed,) = printed_numbers(CLAIMS["vgg.c44"]["notes_value"])
    return read_number(printed)[0]


def total_with_thousands() -> float:
    """The notes' rounded table added up with the fully connected rows read as thousands."""
    table = vgg16_table()
    return sum(
        1000 * activations(line) if name.startswith("fc") else two_digits(activations(line))
        for name, line in table.items()
    )


@recomputes("vgg.c01", quoted=(2011,))
def kernels_before_vgg() -> Values:
    """Read AlexNet's kernels, two years older, and VGG's."""
    alexnet = layers(network("alexnet"), nn.Conv2d)
    return {
        "AlexNet, all": [conv.kernel_size[0] for conv in alexnet],
        "kernels in VGG-16": sorted(
            {c.kernel_size[0] for c in layers(network("vgg16"), nn.Conv2d)}
        ),
    }


@recomputes("vgg.c02")
def three_layers_see() -> Values:
    """Measure the support of the input gradient, and compare with the recursion."""
    assert arithmetic.receptive_field([(3, 1)] * 3)[-1].size == seen_pixels(3, 3, 3)
    return {"three 3×3": seen_pixels(3, 3, 3), "one 7×7": seen_pixels(7)}


@recomputes("vgg.c03")
def two_layers_see() -> Values:
    """Measure the support of the input gradient, and compare with the recursion."""
    assert arithmetic.receptive_field([(3, 1)] * 2)[-1].size == seen_pixels(3, 3)
    return {"two 3×3": seen_pixels(3, 3), "one 5×5": seen_pixels(5)}


@recomputes("vgg.c04")
def weights_for_three_channels() -> Values:
    """Count one filter per layer as the notes do, and layers that can be stacked."""
    channels = 3
    large, small = stack_weights(7, 1, channels), stack_weights(3, 3, channels)
    return {
        "channels": channels,
        "one filter of 7×7": nn.Conv2d(channels, 1, 7).weight.numel(),
        "three filters of 3×3": 3 * nn.Conv2d(channels, 1, 3).weight.numel(),
        "layers of 7×7 and of 3×3": [large, small],
        "the same / C²": [large / channels**2, small / channels**2],
        "ratio": large / small,
    }


@recomputes("vgg.c05")
def coefficients() -> Values:
    """Count for 64 channels and divide."""
    large, small = stack_weights(7, 1, 64), stack_weights(3, 3, 64)
    return {"weights for C = 64": [small, large], "the same / C²": [small / 64**2, large / 64**2]}


@recomputes("vgg.c06")
def weights_for_any_channels() -> Values:
    """Count for several numbers of channels; the quotient by C² must not depend on C."""
    quotients = {
        (stack_weights(3, 3, c) / c**2, stack_weights(7, 1, c) / c**2) for c in (1, 3, 64, 100)
    }
    ((small, large),) = quotients
    biases = [sum(nn.Conv2d(8, 8, k).bias.numel() for k in stack) for stack in ((3, 3, 3), (7,))]
    return {
        "weights / C²": [small, large],
        "fewer, %": 100 * (1 - small / large),
        "biases / C": [number / 8 for number in biases],
    }


@recomputes("vgg.c07")
def depths() -> Values:
    """Count convolutions and fully connected layers of each configuration and of AlexNet."""
    return {
        "AlexNet": len(layers(network("alexnet"), nn.Conv2d, nn.Linear)),
        **{name: weight_layers(name) for name in CONFIGURATIONS},
    }


@recomputes("vgg.c08")
def one_kind_of_layer() -> Values:
    """Collect kernel, stride and padding of every layer."""
    result: Values = {}
    for name in CONFIGURATIONS:
        with torch.device("meta"):
            convs = layers(VGG(name), nn.Conv2d)
        result[f"convolutions in {name}: kernel, stride, padding"] = sorted(
            {(c.kernel_size[0], c.stride[0], c.padding[0]) for c in convs}
        )
    pools = {(pool.kernel_size, pool.stride) for pool in layers(network("vgg16"), nn.MaxPool2d)}
    assert all(len(found) == (2 if " in C:" in name else 1) for name, found in result.items())
    return {**result, "pools in D: window, stride": sorted(pools)}


@recomputes("vgg.c11")
def local_response_norms() -> Values:
    """Search the networks, the tried A-LRN too."""
    result: Values = {}
    for name in CONFIGURATIONS:
        with torch.device("meta"):
            result[name] = len(layers(VGG(name), nn.LocalResponseNorm))
    assert [name for name, number in result.items() if number] == ["A-LRN"]
    return {f"LRN layers in {name}": number for name, number in result.items()}


@recomputes("vgg.c12")
def any_normalisation() -> Values:
    """List every kind of layer in VGG-16."""
    found = sorted(set(kinds(network("vgg16"))))
    assert not any("Norm" in name for name in found)
    return {"kinds of layers": ", ".join(found)}


@recomputes("vgg.c14")
def vgg19_against_vgg16() -> Values:
    """Count both, and read the published accuracies."""
    published = [
        w.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"] for w in (VGG19_Weights, VGG16_Weights)
    ]
    return {
        "parameters": [summary(name).parameters for name in ("vgg19", "vgg16")],
        "activations": [summary(name).activation_bytes // FLOAT32 for name in ("vgg19", "vgg16")],
        "top-1 of torchvision's weights": [metrics["acc@1"] for metrics in published],
    }


@recomputes("vgg.c16")
def layers_of_the_best_net() -> Values:
    """Count."""
    vgg16 = network("vgg16")
    return {
        "convolutions": len(layers(vgg16, nn.Conv2d)),
        "fully connected": len(layers(vgg16, nn.Linear)),
        "together": weight_layers("D"),
        "in VGG-19": weight_layers("E"),
    }


@recomputes("vgg.c17")
def parameters_rounded() -> Values:
    """Count, and round to tens of millions."""
    parameters = count(network("vgg16"))
    return {"parameters": parameters, "to tens of millions": round(parameters, -7)}


@recomputes("vgg.c18")
def share_of_the_first_fc() -> Values:
    """Count the weights of the fully connected layers."""
    linear = layers(network("vgg16"), nn.Linear)
    parameters = count(network("vgg16"))
    return {
        "weights of the first": linear[0].weight.numel(),
        "all parameters": parameters,
        "share of the first, %": 100 * linear[0].weight.numel() / parameters,
        "share of all three, %": 100 * sum(count(layer) for layer in linear) / parameters,
    }


@recomputes("vgg.c19", quoted=(0.6,))
def without_the_fc_layers() -> Values:
    """Count what is left, and compare the inputs of the two heads: the old one cannot be kept."""
    vgg16 = network("vgg16")
    head = nn.Linear(512, 1000)
    kept = count(vgg16.features)
    fits = head.in_features == layers(vgg16, nn.Linear)[0].in_features
    assert not fits
    return {
        "convolutions": kept,
        "new head after average pooling": count(head),
        "together": kept + count(head),
        "of the original, %": 100 * (kept + count(head)) / count(vgg16),
        "released head fits the pooled maps": fits,
    }


@recomputes("vgg.c20")
def cost_against_others() -> Values:
    """Count multiply-adds and parameters on one 224×224 picture."""
    networks = {
        "VGG-16": summary("vgg16"),
        "AlexNet": summary("alexnet", variant="torchvision"),
        "GoogLeNet, paper": summary("googlenet"),
        "GoogLeNet, torchvision": summary("googlenet", variant="torchvision"),
    }
    return {
        **{f"{name}: multiply-adds": table.macs for name, table in networks.items()},
        "the same in G": [table.macs / 1e9 for table in networks.values()],
        "VGG-16: parameters": networks["VGG-16"].parameters,
    }


def table_row(claim_id: str) -> Values:
    """One row of VGG-16's table: run the network, find the layer the row names, and count."""
    claim = CLAIMS[claim_id]["claim"]
    layer, *printed = re.search(r"table, (\S+) (\d+)x(\d+)x(\d+)", claim).groups()
    line = vgg16_table()[layer]
    channels, height, width = (*line.output_shape[1:], 1, 1)[:3]
    assert [height, width, channels] == [int(side) for side in printed], claim
    weights = line.parameters - channels if line.parameters else 0  # one bias per channel
    return {
        "activations": activations(line),
        "to two digits": two_digits(activations(line)),
        "weights": weights,
    }


for _row in CLAIMS.values():
    if _row["claim"].startswith("VGG-16 layer table"):
        recomputes(_row["id"])(partial(table_row, _row["id"]))


@recomputes("vgg.c44")
def total_activations() -> Values:
    """Add up the table, and look for the sum that gives the notes' number."""
    table = vgg16_table()

    def part(name: str) -> int:
        return sum(activations(line) for key, line in table.items() if key.startswith(name))

    parts = {name: part(name) for name in ("input", "conv", "pool", "fc")}
    total = summary("vgg16").activation_bytes // FLOAT32
    assert sum(parts.values()) == total
    hidden = [activations(table[name]) for name in ("fc6", "fc7")]
    return {
        **parts,
        "together": total,
        "with each ReLU's output": total + parts["conv"] + sum(hidden),
        "FC rows": [activations(table[name]) for name in ("fc6", "fc7", "fc8")],
        "notes' table, FC rows taken for thousands": total_with_thousands(),
    }


@recomputes("vgg.c45", quoted=(2, 20))
def activation_memory() -> Values:
    """Multiply by four bytes, in both units: the true count, the notes', and the slip."""
    total = summary("vgg16").activation_bytes // FLOAT32
    result: Values = {"bytes per value": FLOAT32}
    for name, number in {
        "true": total,
        "notes": notes_total(),
        "FC rows as thousands": total_with_thousands(),
    }.items():
        memory = FLOAT32 * number
        result[f"{name}: values"] = number
        result[f"{name}: MB, MiB"] = [arithmetic.megabytes(memory), arithmetic.mebibytes(memory)]
    return result


@recomputes("vgg.c46")
def activation_memory_in_megabytes() -> Values:
    """The notes' arithmetic, and the same with the right count."""
    memory = summary("vgg16").activation_bytes
    return {
        "bytes per value": FLOAT32,
        "notes: values": notes_total(),
        "notes: MB": arithmetic.megabytes(FLOAT32 * notes_total()),
        "true: MB, MiB": [arithmetic.megabytes(memory), arithmetic.mebibytes(memory)],
    }


@recomputes("vgg.c47")
def what_autograd_keeps() -> Values:
    """Watch the tensors that autograd saves for the backward pass of one picture."""
    with torch.device("meta"):
        vgg16, picture = VGG("D").eval(), torch.zeros(1, 3, 224, 224)
    own = {p.untyped_storage()._cdata for p in vgg16.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            saved[storage] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        vgg16(picture.requires_grad_())
    memory = {key: tensor.untyped_storage().nbytes() for key, tensor in saved.items()}
    indices = sum(memory[key] for key, tensor in saved.items() if tensor.dtype == torch.int64)
    forward = summary("vgg16").activation_bytes
    return {
        "activations, MB": arithmetic.megabytes(forward),
        "twice that, MB": arithmetic.megabytes(2 * forward),
        "saved by autograd, MB": arithmetic.megabytes(sum(memory.values())),
        "of that pooling indices, MB": arithmetic.megabytes(indices),
        "the rest beyond the activations, MB": arithmetic.megabytes(
            sum(memory.values()) - indices - forward
        ),
    }


@recomputes("vgg.c48")
def parameters_split() -> Values:
    """Count weights and biases apart."""
    named = list(network("vgg16").named_parameters())
    split = {
        kind: sum(p.numel() for name, p in named if name.endswith(kind))
        for kind in ("weight", "bias")
    }
    return {**split, "together": sum(split.values())}


@recomputes("vgg.c49")
def parameter_memory() -> Values:
    """Multiply by four bytes, rounded as in the notes and exactly, in both units."""
    parameters = count(network("vgg16"))
    rounded = round(parameters, -6)
    memory = FLOAT32 * parameters
    assert memory == summary("vgg16").parameter_bytes
    return {
        "bytes per parameter": FLOAT32,
        "rounded": rounded,
        "rounded, MB": arithmetic.megabytes(FLOAT32 * rounded),
        "exactly, MB, MiB": [arithmetic.megabytes(memory), arithmetic.mebibytes(memory)],
    }
