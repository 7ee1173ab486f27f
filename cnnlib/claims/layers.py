"""Recomputations of the notes' chapter on layers."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib import arithmetic
from cnnlib.claims.helpers import count, layers, network, random_numbers, seen_pixels, summary
from cnnlib.claims.registry import CLAIMS, Values, printed_numbers, recomputes
from cnnlib.models import lenet5


@functools.cache
def alexnet_conv1() -> tuple[nn.Conv2d, torch.Tensor]:
    """AlexNet's first layer with random weights, and a random picture to run it on."""
    layer = nn.Conv2d(3, 96, 11, stride=4)
    with torch.no_grad():
        for seed, parameter in enumerate(layer.parameters()):
            size = parameter.shape
            parameter.copy_(random_numbers(*size, seed=seed, dtype=torch.float32) / 363**0.5)
    return layer, random_numbers(1, 3, 227, 227, seed=2, dtype=torch.float32)


@recomputes("layers.c01")
def parameters_by_layer_type() -> Values:
    """Count the parameters of each kind of layer."""
    lenet = lenet5(variant="1998")
    return {
        "Conv2d(3, 8, 3)": count(nn.Conv2d(3, 8, 3)),
        "Linear(8, 10)": count(nn.Linear(8, 10)),
        "ReLU": count(nn.ReLU()),
        "MaxPool2d": count(nn.MaxPool2d(2)),
        "PReLU": count(nn.PReLU()),
        "BatchNorm2d(8)": count(nn.BatchNorm2d(8)),
        "LeNet-5 subsampling S2": count(lenet.s2),
        "LeNet-5 subsampling S4": count(lenet.s4),
    }


@recomputes("layers.c02")
def hyper_parameters_of_activations() -> Values:
    """Read the constructor's arguments of each activation."""

    def arguments(layer: type[nn.Module]) -> str:
        return ", ".join(n for n in inspect.signature(layer).parameters if n != "inplace")

    return {
        "ReLU": arguments(nn.ReLU) or "no argument",
        "LeakyReLU": arguments(nn.LeakyReLU),
        "ELU": arguments(nn.ELU),
        "cap of ReLU6": nn.ReLU6().max_val,
    }


@recomputes("layers.c03", quoted=(1,))
def kernel_is_not_receptive_field() -> Values:
    """Measure the support of an input gradient, and compare with the recursion."""
    measured = [seen_pixels(*[3] * depth) for depth in (1, 2, 3)]
    assert measured == [field.size for field in arithmetic.receptive_field([(3, 1)] * 3)]
    return {"input pixels seen by one, two, three 3×3 layers": measured}


@recomputes("layers.c04")
def arguments_that_fix_the_output_volume() -> Values:
    """Change one argument at a time and see whether the output's shape changes."""
    base: dict[str, Any] = {"out_channels": 4, "stride": 1, "padding": 0, "kernel_size": 3}
    changed = {"out_channels": 5, "stride": 2, "padding": 1, "kernel_size": 5}
    x = torch.zeros(1, 3, 12, 12)
    shape = nn.Conv2d(3, **base)(x).shape
    matter = [n for n in base if nn.Conv2d(3, **{**base, n: changed[n]})(x).shape != shape]
    return {
        "arguments that change the output shape": len(matter),
        "without the filter size": len([name for name in matter if name != "kernel_size"]),
    }


@recomputes("layers.c05")
def depth_is_number_of_filters() -> Values:
    """Run layers with different numbers of filters."""
    x, filters = torch.zeros(1, 3, 8, 8), [1, 7, 96]
    channels = [nn.Conv2d(3, k, 3)(x).shape[1] for k in filters]
    assert channels == filters
    return {"K": filters, "output channels": channels}


@recomputes("layers.c06", quoted=(1, 2))
def output_size_formula() -> Values:
    """Compare the formula with PyTorch over a grid of sizes, kernels, strides and paddings."""
    compared = disagreements = 0
    for width in range(7, 20):
        for kernel, stride, padding, dilation in [
            (f, s, p, d) for f in (1, 2, 3, 4) for s in (1, 2, 3) for p in (0, 1) for d in (1, 2)
        ]:
            x = torch.empty(1, 1, width, width, device="meta")
            weight = torch.empty(1, 1, kernel, kernel, device="meta")
            got = F.conv2d(x, weight, None, stride, padding, dilation).shape[-1]
            extent = kernel + (kernel - 1) * (dilation - 1)
            compared += 1
            disagreements += got != (width - extent + 2 * padding) // stride + 1
    assert disagreements == 0
    return {"layers compared with PyTorch": compared, "disagreements": disagreements}


@recomputes("layers.c07")
def fractional_size() -> Values:
    """Run a convolution and a pooling whose window does not fit."""
    x = torch.zeros(1, 1, 10, 10)
    return {
        "formula (10 − 3)/2 + 1": (10 - 3) / 2 + 1,
        "Conv2d": nn.Conv2d(1, 1, 3, stride=2)(x).shape[-1],
        "MaxPool2d(ceil_mode=True)": nn.MaxPool2d(3, 2, ceil_mode=True)(x).shape[-1],
    }


@recomputes("layers.c08", quoted=(1, 2))
def same_padding() -> Values:
    """Pad by (F − 1)/2 and look at the output's size."""
    x = torch.zeros(1, 1, 32, 32)
    kernels = [1, 3, 5, 7, 11]
    sizes = [nn.Conv2d(1, 1, f, padding=(f - 1) // 2)(x).shape[-1] for f in kernels]
    assert set(sizes) == {32}
    return {"F": kernels, "P": [(f - 1) // 2 for f in kernels], "output size for 32": sizes}


@recomputes("layers.c09")
def filter_5x5x3() -> Values:
    """Count the numbers in one filter."""
    layer = nn.Conv2d(3, 1, 5)
    return {"weights": layer.weight.numel(), "bias": layer.bias.numel()}


@recomputes("layers.c10")
def filter_11x11x3() -> Values:
    """Count the numbers in one filter."""
    return {"weights": nn.Conv2d(3, 1, 11).weight.numel()}


@recomputes("layers.c11")
def alexnet_conv1_side() -> Values:
    """Once by the formula, once by running the layer."""
    layer, picture = alexnet_conv1()
    return {
        "formula": arithmetic.conv_output_size(227, 11, 4, exact=True),
        "Conv2d": layer(picture).shape[-1],
    }


@recomputes("layers.c12")
def alexnet_conv1_volume() -> Values:
    """Run the layer."""
    layer, picture = alexnet_conv1()
    channels, height, width = layer(picture).shape[1:]
    return {"volume": (height, width, channels), "values": height * width * channels}


@recomputes("layers.c13")
def filter_bank_as_matrix() -> Values:
    """Reshape the weights to one row per filter."""
    layer, _ = alexnet_conv1()
    matrix = layer.weight.view(96, -1)
    return {
        "matrix": tuple(matrix.shape),
        "weights": matrix.numel(),
        "with biases": count(layer),
    }


@recomputes("layers.c14")
def im2col_matrix() -> Values:
    """Unfold the picture into its patches."""
    _, picture = alexnet_conv1()
    columns = F.unfold(picture, 11, stride=4)[0]
    return {
        "matrix": tuple(columns.shape),
        "side of the output": int(columns.shape[1] ** 0.5),
        "numbers": columns.numel(),
        "numbers in the image": picture.numel(),
        "ratio": columns.numel() / picture.numel(),
    }


@recomputes("layers.c15")
def convolution_as_one_product() -> Values:
    """Multiply the two matrices, reshape, and compare with the convolution."""
    layer, picture = alexnet_conv1()
    with torch.no_grad():
        product = layer.weight.view(96, -1) @ F.unfold(picture, 11, stride=4)[0]
        volume = (product + layer.bias[:, None]).view(1, 96, 55, 55)
        agrees = torch.allclose(volume, layer(picture), atol=1e-4)
    assert agrees
    return {
        "product": tuple(product.shape),
        "volume": (*volume.shape[2:], volume.shape[1]),
        "equal to conv2d": agrees,
    }


@recomputes("layers.c16", quoted=(180,))
def which_gradient_is_flipped() -> Values:
    """Ask autograd, with and without the flip."""
    x = random_numbers(1, 1, 7, 7, seed=0).requires_grad_()
    w = random_numbers(1, 1, 3, 3, seed=1).requires_grad_()
    y = F.conv2d(x, w)
    g = random_numbers(*y.shape, seed=2)
    grad_x, grad_w = torch.autograd.grad(y, (x, w), g)
    full = F.pad(g, (2, 2, 2, 2))
    same = torch.allclose
    result = {
        "∂x correlates padded ∂y with w flipped": same(grad_x, F.conv2d(full, w.flip(2, 3))),
        "the same without the flip": same(grad_x, F.conv2d(full, w)),
        "∂w correlates x with ∂y": same(grad_w, F.conv2d(x, g)),
        "the same with ∂y flipped": same(grad_w, F.conv2d(x, g.flip(2, 3))),
    }
    assert list(result.values()) == [True, False, True, False]
    return result


@recomputes("layers.c17", quoted=(1, 2))
def pooling_keeps_depth() -> Values:
    """Pool a map and compare shapes."""
    x = torch.zeros(1, 64, 112, 112)
    y = nn.MaxPool2d(2, 2)(x)
    assert y.shape[1] == x.shape[1]
    return {
        "channels, height, width": tuple(y.shape[1:]),
        "values dropped, %": 100 * (1 - y.numel() / x.numel()),
    }


@recomputes("layers.c18", quoted=(2,))
def three_kinds_of_pooling() -> Values:
    """Pool the same four numbers in three ways."""
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    kinds = {"max": nn.MaxPool2d(2), "average": nn.AvgPool2d(2), "L2": nn.LPPool2d(2, 2)}
    return {f"{kind} of 1, 2, 3, 4": round(pool(x).item(), 3) for kind, pool in kinds.items()}


@recomputes("layers.c19")
def normalisation_in_resnet50() -> Values:
    """Count the normalisation layers of a network that came after the remark."""
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.LocalResponseNorm)
    counts = [len(layers(network("resnet50"), kind)) for kind in kinds]
    assert counts[0] == counts[1] > counts[2] == 0
    return {f"{k.__name__} in ResNet-50": n for k, n in zip(kinds, counts, strict=True)}


@recomputes("layers.c20", quoted=(0, 3))
def pattern_of_vgg16() -> Values:
    """Read the repeat counts off VGG-16."""
    runs, length = [], 0
    for line in summary("vgg16").rows:
        length += line.kind == "Conv2d"
        if line.kind == "MaxPool2d":
            runs.append(length)
            length = 0
    hidden = len(layers(network("vgg16"), nn.Linear)) - 1
    return {"N": runs, "M": len(runs), "K": hidden}


@recomputes("layers.c21", quoted=(2,))
def usual_input_sizes() -> Values:
    """Divide each size by 2 as often as it goes."""
    sizes = [int(number) for number in printed_numbers(CLAIMS["layers.c21"]["notes_value"])]
    halvings = [(n & -n).bit_length() - 1 for n in sizes]
    assert all(n % 32 == 0 for n in sizes)
    return {"sizes": sizes, "times divisible by 2": halvings}


@recomputes("layers.c22")
def small_filters_against_one_large() -> Values:
    """Build both stacks and count."""
    c = 64
    three = [nn.Conv2d(c, c, 3, padding=1, bias=False) for _ in range(3)]
    one = [nn.Conv2d(c, c, 7, padding=3, bias=False)]
    result: Values = {}
    for name, stack in (("three 3×3", three), ("one 7×7", one)):
        sides = [layer.kernel_size[0] for layer in stack]
        result[f"{name}: field"] = seen_pixels(*sides)
        result[f"{name}: weights / C²"] = sum(count(layer) for layer in stack) // c**2
        result[f"{name}: stored maps, each with a ReLU"] = len(stack)
    return result


@recomputes("layers.c24", quoted=(3,))
def shrinking_without_padding() -> Values:
    """Run ten layers without padding."""
    x, sizes = torch.zeros(1, 1, 32, 32), [32]
    for _ in range(10):
        x = F.conv2d(x, torch.zeros(1, 1, 3, 3))
        sizes.append(x.shape[-1])
    return {"sizes": sizes}


@recomputes("layers.c25")
def parameters_of_pooling() -> Values:
    """Count."""
    return {"MaxPool2d(3, 2)": count(nn.MaxPool2d(3, 2))}
