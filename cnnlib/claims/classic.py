"""Recomputations of the notes' chapter on LeNet, AlexNet and ZFNet."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torchvision.transforms.functional import ten_crop

from cnnlib import arithmetic
from cnnlib.claims.helpers import count, layers, network, random_numbers, row, shape, summary
from cnnlib.claims.registry import CLAIMS, Values, printed_numbers, recomputes
from cnnlib.models import lenet5
from cnnlib.models.googlenet import NaiveInception

ALEXNET_SIDE = 227
VARIANTS = ("original", "ungrouped", "torchvision")


def alexnet_maps() -> dict[str, tuple[int, ...]]:
    """Height, width and channels after each layer of AlexNet; pools are numbered as they come."""
    maps, pools = {"input": (ALEXNET_SIDE, ALEXNET_SIDE, 3)}, 0
    for line in summary("alexnet", ALEXNET_SIDE).rows:
        pools += line.kind == "MaxPool2d"
        name = f"pool{pools}" if line.kind == "MaxPool2d" else line.name
        if line.kind in ("Conv2d", "MaxPool2d"):
            _, channels, height, width = line.output_shape
            maps[name] = (height, width, channels)
    return maps


def convolutions() -> dict[str, nn.Conv2d]:
    """AlexNet's convolutions by name."""
    named = network("alexnet").named_modules()
    return {name: layer for name, layer in named if isinstance(layer, nn.Conv2d)}


@recomputes("classic.c03")
def kernels_of_alexnet() -> Values:
    """Read kernels and strides off the network."""
    convs = convolutions().values()
    (pool,) = layers(network("alexnet"), nn.MaxPool2d)
    return {
        "convolutions": [conv.kernel_size[0] for conv in convs],
        "their strides": [conv.stride[0] for conv in convs],
        "pooling window": pool.kernel_size,
        "pooling stride": pool.stride,
    }


@recomputes("classic.c04")
def layer_order() -> Values:
    """List the layers of both networks in the order of execution."""
    convs, pool_after = 0, []
    for line in summary("alexnet", ALEXNET_SIDE).rows:
        convs += line.kind == "Conv2d"
        if line.kind == "MaxPool2d":
            pool_after.append(convs)
    lenet = lenet5(variant="1998")
    order = [name.upper() for name, module in lenet.named_children() if count(module)]
    return {
        "AlexNet convolutions": convs,
        "pooling after": pool_after,
        "AlexNet fully connected": len(layers(network("alexnet"), nn.Linear)),
        "LeNet-5": "-".join(order),
        "kernel of C5": tuple(lenet.c5.kernel_size),
    }


@recomputes("classic.c05")
def lenet5_of_1998() -> Values:
    """Run LeNet-5 on a blank picture, watch the sizes, and count its parameters."""
    lenet = lenet5(variant="1998")
    sides, counts = [32], {}

    def note_side(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        if output.dim() == 4 and output.shape[-1] != sides[-1]:
            sides.append(output.shape[-1])

    for name, module in lenet.named_children():
        module.register_forward_hook(note_side)
        if count(module):
            counts[name.upper()] = count(module)
    lenet(torch.zeros(1, 1, 32, 32))
    return {
        "kernels of C1 and C5": [lenet.c1.kernel_size[0], lenet.c5.kernel_size[0]],
        "S2 and S4 divide the side by": [sides[1] // sides[2], sides[3] // sides[4]],
        "sides": sides,
        **{f"parameters of {name}": number for name, number in counts.items()},
        "together": count(lenet),
    }


@recomputes("classic.c08")
def alexnet_against_lenet5() -> Values:
    """Count both as published: sparse C3 there, two groups here."""
    alexnet = network("alexnet")
    lenet = count(lenet5(variant="1998"))
    return {
        "layers with weights in AlexNet": len(layers(alexnet, nn.Conv2d, nn.Linear)),
        "AlexNet": count(alexnet),
        "LeNet-5": lenet,
        "ratio": count(alexnet) / lenet,
    }


@recomputes("classic.c09")
def parameters_of_alexnet() -> Values:
    """Build the three networks that go by the name AlexNet, and count."""
    one_tower = layers(network("alexnet", variant="torchvision"), nn.Conv2d)
    return {
        **{variant: count(network("alexnet", variant=variant)) for variant in VARIANTS},
        "filters of the one tower": [conv.out_channels for conv in one_tower],
        "original, in tens of millions": round(count(network("alexnet")), -7),
    }


@recomputes("classic.c10")
def memory_of_alexnet() -> Values:
    """Multiply by the size of a float32, in both units, and turn the notes' value round."""
    size = torch.zeros(1).element_size()
    result: Values = {"bytes per parameter": size}
    for variant in VARIANTS:
        parameters = count(network("alexnet", variant=variant))
        megabytes = arithmetic.megabytes(size * parameters)
        result[variant] = parameters
        result[f"{variant}: MB, MiB"] = [megabytes, arithmetic.mebibytes(size * parameters)]
    (printed,) = printed_numbers(CLAIMS["classic.c10"]["notes_value"])
    result[f"{printed} MiB would hold"] = int(printed) * 2**20 // size
    whole = int(result["ungrouped: MB, MiB"][0])
    result["no groups, whole MB"] = whole
    result["printed"] = int(printed)
    result["same digits in another order"] = sorted(str(whole)) == sorted(printed)
    assert result["same digits in another order"]
    return result


@recomputes("classic.c11")
def bytes_of_a_parameter() -> Values:
    """Ask PyTorch for the size of one element."""
    types = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    return {
        str(kind).removeprefix("torch."): torch.zeros(1, dtype=kind).element_size()
        for kind in types
    }


@recomputes("classic.c12")
def alexnet_conv1() -> Values:
    """Read the layer and count its parameters."""
    conv = convolutions()["conv1"]
    return {
        "filters": conv.out_channels,
        "kernel": tuple(conv.kernel_size),
        "stride": conv.stride[0],
        "weights": conv.weight.numel(),
        "biases": conv.bias.numel(),
        "together": count(conv),
    }


@recomputes("classic.c13")
def volumes_with_both_sides() -> Values:
    """Run both examples of the slides and print the shapes: AlexNet and one Inception module."""
    maps = alexnet_maps()
    names = ("input", "conv1", "pool1", "conv2", "pool2", "conv3")
    channels, height, width = shape(lambda: NaiveInception(256, 128, 192, 96), 256, 28, 28)
    return {
        **{name: maps[name] for name in names},
        "after conv5": maps["conv5"],
        "module, input": (28, 28, 256),
        "module, output": (height, width, channels),
    }


@recomputes("classic.c14", quoted=(1,))
def input_side() -> Values:
    """Put the sides into (W − 11 + 2P)/4 + 1 and run both variants."""
    paper, torchvision = (network("alexnet", variant=v).conv1 for v in ("original", "torchvision"))
    (kernel, _), (stride, _) = paper.kernel_size, paper.stride
    padding = torchvision.padding[0]
    return {
        "stride": stride,
        "sides": [227, 224],
        "(W − 11)/4 + 1": [(side - kernel) / stride + 1 for side in (227, 224)],
        "padding in torchvision": padding,
        "W = 224 with that padding": (224 + 2 * padding - kernel) / stride + 1,
        "side that PyTorch makes of it": row(
            summary("alexnet", 224, variant="torchvision"), "conv1"
        ).output_shape[-1],
    }


@recomputes("classic.c15", quoted=(1,))
def pool1() -> Values:
    """Run the network; the formula gives the same."""
    (pool,) = layers(network("alexnet"), nn.MaxPool2d)
    maps = alexnet_maps()
    side = maps["conv1"][0]
    assert (side - pool.kernel_size) / pool.stride + 1 == maps["pool1"][0]
    return {
        "side before": side,
        "window": pool.kernel_size,
        "stride": pool.stride,
        "after": maps["pool1"],
    }


@recomputes("classic.c16")
def order_of_norm_and_pool() -> Values:
    """List what our AlexNet, built from the paper's section 3.5, runs first."""
    lines = [line for line in summary("alexnet", ALEXNET_SIDE).rows if line.kind != "AlexNet"]
    order = [line.kind for line in lines[1:5]]
    assert order == ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"]
    before, after = (torch.Size(alexnet_maps()[name]).numel() for name in ("conv1", "pool1"))
    x = random_numbers(1, 8, 9, 9, dtype=torch.float32).abs()
    norm, pool = layers(network("alexnet"), nn.LocalResponseNorm)[0], nn.MaxPool2d(3, 2)
    commute = torch.allclose(norm(pool(10 * x)), pool(norm(10 * x)))
    assert not commute
    return {
        "order": "-".join(order),
        "values normalised before pooling": before,
        "values normalised after pooling": after,
        "both orders give the same maps": commute,
    }


def layer_volume(name: str) -> Values:
    """Run AlexNet and read the layer: its window and what comes out."""
    (pool,) = layers(network("alexnet"), nn.MaxPool2d)
    layer = convolutions().get(name, pool)
    size = layer.kernel_size if isinstance(layer.kernel_size, int) else layer.kernel_size[0]
    stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]
    result: Values = {"window": size, "stride": stride, "output": alexnet_maps()[name]}
    if isinstance(layer, nn.Conv2d):
        result["padding"] = layer.padding[0]
    return result


@recomputes("classic.c17")
def conv2() -> Values:
    """Run the network."""
    return layer_volume("conv2")


@recomputes("classic.c18")
def pool2() -> Values:
    """Run the network."""
    return layer_volume("pool2")


@recomputes("classic.c19")
def conv3() -> Values:
    """Run the network."""
    return layer_volume("conv3")


@recomputes("classic.c20")
def conv4() -> Values:
    """Run the network."""
    return layer_volume("conv4")


@recomputes("classic.c21")
def conv5() -> Values:
    """Run the network."""
    return layer_volume("conv5")


@recomputes("classic.c22")
def pool3() -> Values:
    """Run the network, and compare with what the first fully connected layer takes."""
    volume = alexnet_maps()["pool3"]
    assert torch.Size(volume).numel() == network("alexnet").fc6.in_features
    return {"output": volume, "inputs of FC6": network("alexnet").fc6.in_features}


@recomputes("classic.c23")
def fully_connected_layers() -> Values:
    """Read their sizes and count."""
    alexnet = network("alexnet")
    linear = layers(alexnet, nn.Linear)
    together = sum(count(layer) for layer in linear)
    return {
        "outputs": [layer.out_features for layer in linear],
        "together": together,
        "share of the network, %": 100 * together / count(alexnet),
    }


@recomputes("classic.c24")
def local_response_normalisation() -> Values:
    """Read the constants off the layer and find where it runs."""
    convs, after = 0, []
    for line in summary("alexnet", ALEXNET_SIDE).rows:
        convs += line.kind == "Conv2d"
        if line.kind == "LocalResponseNorm":
            after.append(f"conv{convs}")
    assert after == ["conv1", "conv2"]
    (norm,) = layers(network("alexnet"), nn.LocalResponseNorm)
    return {
        "after": ", ".join(after),
        "n": norm.size,
        "k": norm.k,
        "alpha (PyTorch's divided by n)": norm.alpha / norm.size,
        "beta": norm.beta,
    }


@recomputes("classic.c26")
def augmentation_of_alexnet() -> Values:
    """Count the crops: as the paper does, and all of them."""
    picture, crop = 256, 224
    return {
        "side of picture and crop": [picture, crop],
        "as the paper counts: positions² × 2": (picture - crop) ** 2 * 2,
        "all of them: (positions + 1)² × 2": (picture - crop + 1) ** 2 * 2,
        "crops when testing": len(ten_crop(torch.zeros(3, picture, picture), crop)),
    }


@recomputes("classic.c27")
def dropout_of_alexnet() -> Values:
    """Read the rate, and find which fully connected layer each dropout feeds."""
    lines = [
        r.name for r in summary("alexnet", ALEXNET_SIDE).rows if r.kind in ("Dropout", "Linear")
    ]
    feeds = [after for before, after in itertools.pairwise(lines) if before == "dropout"]
    assert feeds == ["fc6", "fc7"]
    (dropout,) = layers(network("alexnet"), nn.Dropout)
    return {"rate": dropout.p, "before": ", ".join(feeds)}
