"""Recomputations of the notes' chapter on MobileNet v1, v2 and v3."""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import SqueezeExcitation
from cnnlib.claims.helpers import count, kinds, layers, network, random_numbers, summary
from cnnlib.claims.registry import CLAIMS, Values, recomputes
from cnnlib.models.mobilenet_v2 import InvertedResidual
from cnnlib.models.mobilenet_v3 import LARGE, InvertedResidualSE
from cnnlib.summary import summarize

K, M, N, SIDE = 3, 512, 512, 14  # the example: D_K, M, N, D_F
ALPHAS = (1.0, 0.75, 0.5, 0.25)
SIDES = (224, 192, 160, 128)


def full(m: int = M, n: int = N) -> nn.Conv2d:
    """A full convolution with D_K×D_K filters."""
    return nn.Conv2d(m, n, K, padding=K // 2, bias=False)


def depthwise(m: int = M) -> nn.Conv2d:
    """One spatial filter per channel."""
    return nn.Conv2d(m, m, K, padding=K // 2, groups=m, bias=False)


def pointwise(m: int = M, n: int = N) -> nn.Conv2d:
    """1×1 filters."""
    return nn.Conv2d(m, n, 1, bias=False)


def macs(layer: nn.Module, channels: int = M, side: int = SIDE) -> int:
    """Multiply-adds of a layer on a square map."""
    return summarize(layer, (channels, side, side)).macs


def bottleneck() -> InvertedResidual:
    """MobileNetV2's third block, the first with a shortcut: 24 channels in and out."""
    return network("mobilenet_v2").features[3]


@recomputes("mobilenet.c02", quoted=(1,))
def convolution_by_its_equation() -> Values:
    """Sum over i, j and m as printed, with F padded, and compare with PyTorch."""
    m_total, n_total, side = 3, 4, 6
    kernel = random_numbers(n_total, m_total, K, K)
    padded = F.pad(random_numbers(1, m_total, side, side, seed=1), (1, 1, 1, 1))
    g = torch.zeros(1, n_total, side, side, dtype=kernel.dtype)
    for i in range(K):
        for j in range(K):
            for m in range(m_total):
                for n in range(n_total):
                    window = padded[0, m, i : i + side, j : j + side]
                    g[0, n] += kernel[n, m, i, j] * window
    equal = torch.allclose(g, F.conv2d(padded, kernel))
    flipped = torch.allclose(g, F.conv2d(padded, kernel.flip(2, 3)))
    assert equal
    assert not flipped
    return {"equal to conv2d": equal, "equal with flipped filters": flipped}


@recomputes("mobilenet.c03")
def weight_shapes() -> Values:
    """Read the shapes of the weights."""
    first, second = depthwise(8).weight, pointwise(8, 16).weight
    return {"depthwise, C = 8": tuple(first.shape), "pointwise, N = 16": tuple(second.shape)}


@recomputes("mobilenet.c04")
def full_kernel_size() -> Values:
    """Count."""
    assert full().weight.numel() == K * K * M * N
    return {"D_K, M, N": [K, M, N], "weights": full().weight.numel()}


@recomputes("mobilenet.c05")
def full_cost() -> Values:
    """Run the layer and count."""
    assert macs(full()) == K * K * M * N * SIDE * SIDE
    return {"D_K, M, N, D_F": [K, M, N, SIDE], "multiply-adds": macs(full())}


@recomputes("mobilenet.c06")
def depthwise_kernel_size() -> Values:
    """Count."""
    assert depthwise().weight.numel() == K * K * M
    return {"D_K, M": [K, M], "weights": depthwise().weight.numel()}


@recomputes("mobilenet.c07")
def depthwise_cost() -> Values:
    """Run the layer and count."""
    assert macs(depthwise()) == K * K * M * SIDE * SIDE
    return {"D_K, M, D_F": [K, M, SIDE], "multiply-adds": macs(depthwise())}


@recomputes("mobilenet.c08", quoted=(1,))
def pointwise_cost() -> Values:
    """Run both layers, count, and compare the ratio with its formula."""
    together = macs(depthwise()) + macs(pointwise())
    assert macs(pointwise()) == M * N * SIDE * SIDE
    assert abs(together / macs(full()) - (1 / N + 1 / K**2)) < 1e-12
    return {
        "pointwise": macs(pointwise()),
        "with the depthwise": together,
        "ratio to the full convolution": together / macs(full()),
    }


@recomputes("mobilenet.c09", quoted=(0, 1))
def width_multiplier() -> Values:
    """Build the network at each width and count."""
    widths = [count(network("mobilenet_v1", width_multiplier=alpha)) for alpha in ALPHAS]
    return {"alpha": list(ALPHAS), "parameters": widths}


@recomputes("mobilenet.c10", quoted=(0, 1))
def resolution_multiplier() -> Values:
    """Run the network at each size and count."""
    costs = [summary("mobilenet_v1", side).macs for side in SIDES]
    return {
        "side of the picture": list(SIDES),
        "rho": [side / SIDES[0] for side in SIDES],
        "multiply-adds": costs,
        "in millions": [cost / 1e6 for cost in costs],
    }


@recomputes("mobilenet.c11")
def both_multipliers() -> Values:
    """Build the scaled pair, run it on the scaled map, and compare with the formula."""
    alpha, rho = 0.5, 160 / 224
    m, n, side = int(alpha * M), int(alpha * N), round(rho * SIDE)
    cost = macs(depthwise(m), m, side) + macs(pointwise(m, n), m, side)
    assert cost == K**2 * m * side**2 + m * n * side**2
    return {"alpha": alpha, "rho": rho, "channels": [m, n], "side": side, "multiply-adds": cost}


@recomputes("mobilenet.c13", quoted=(71.7, 70.6))
def separable_against_full() -> Values:
    """Build both versions and count; the accuracies are the paper's."""
    result: Values = {}
    for variant in ("full", "separable"):
        table = summary("mobilenet_v1", variant=variant)
        result[f"{variant}: parameters"] = table.parameters
        result[f"{variant}: multiply-adds"] = table.macs
    return result


@recomputes("mobilenet.c15")
def norm_in_vgg() -> Values:
    """Count normalisation layers in both networks."""
    counts = {name: len(layers(network(name), nn.BatchNorm2d)) for name in ("vgg16", "vgg16_bn")}
    assert counts["vgg16"] == 0 < counts["vgg16_bn"]
    return {f"BatchNorm2d in {name}": number for name, number in counts.items()}


@recomputes("mobilenet.c16")
def relu6() -> Values:
    """Evaluate it, and look for it in v2."""
    x = torch.linspace(-10, 10, 401)
    y = nn.ReLU6()(x)
    assert torch.equal(y, x.clamp(0, 6))
    found = kinds(network("mobilenet_v2"))
    return {
        "smallest and largest output": [y.min().item(), y.max().item()],
        "ReLU6 in v2": found.count("ReLU6"),
        "ReLU in v2": found.count("ReLU"),
    }


@recomputes("mobilenet.c17")
def classifier_as_convolution() -> Values:
    """Copy the weights of the linear layer into a 1×1 convolution and compare outputs."""
    fc = network("mobilenet_v2").fc
    weight = random_numbers(fc.out_features, fc.in_features)
    x = random_numbers(2, fc.in_features, seed=1)
    convolved = F.conv2d(x[:, :, None, None], weight[:, :, None, None])
    equal = torch.allclose(convolved.flatten(1), F.linear(x, weight))
    assert equal
    return {
        "inputs, outputs": [fc.in_features, fc.out_features],
        "map and kernel": (*convolved.shape[2:],),
        "equal": equal,
    }


@recomputes("mobilenet.c18")
def inverted_residuals() -> Values:
    """Look at stride, channels and last layer of every block of v2."""
    blocks = layers(network("mobilenet_v2"), InvertedResidual)
    strides = set()
    for block in blocks:
        convs = layers(block, nn.Conv2d)
        stride = max(conv.stride[0] for conv in convs)
        same = convs[0].in_channels == convs[-1].out_channels
        assert block.has_shortcut == (stride == 1 and same)
        assert kinds(block)[-1] == "BatchNorm2d"  # no activation: linear
        assert convs[-1].kernel_size == (1, 1)
        if block.has_shortcut:
            strides.add(stride)
    return {
        "blocks": len(blocks),
        "with a shortcut": sum(block.has_shortcut for block in blocks),
        "strides of those": sorted(strides),
        "last kernel": (1, 1),
    }


@recomputes("mobilenet.c19")
def order_in_the_block() -> Values:
    """Read kernels and channels of one block, and the factors of all."""
    convs = layers(bottleneck(), nn.Conv2d)
    assert [conv.groups == conv.in_channels for conv in convs] == [False, True, False]
    assert bottleneck().has_shortcut
    factors = []
    for block in layers(network("mobilenet_v2"), InvertedResidual):
        first, last = layers(block, nn.Conv2d)[0], layers(block, nn.Conv2d)[-1]
        factors.append(last.in_channels // first.in_channels)
    return {
        "kernels": [conv.kernel_size[0] for conv in convs],
        "channels": [convs[0].in_channels, *(conv.out_channels for conv in convs)],
        "expansion factors": factors,
    }


@recomputes("mobilenet.c20")
def linear_projection() -> Values:
    """List the layers of a block of v2."""
    order = kinds(bottleneck().conv)
    assert order.count("ReLU6") == 2
    assert order[-2:] == ["Conv2d", "BatchNorm2d"]
    return {"layers": ", ".join(order)}


@recomputes("mobilenet.c21")
def narrow_output() -> Values:
    """Read the channels of every projection of v2."""
    projections = [
        layers(b, nn.Conv2d)[-1] for b in layers(network("mobilenet_v2"), InvertedResidual)
    ]
    same_width = [p for p in projections if p.in_channels == 6 * p.out_channels]
    last = layers(bottleneck(), nn.Conv2d)[-1]
    return {
        "one block": [last.in_channels, last.out_channels],
        "its ratio": last.in_channels / last.out_channels,
        "projections with this ratio": len(same_width),
        "kernel": tuple(last.kernel_size),
        "smallest and largest ratio": [
            min(p.in_channels / p.out_channels for p in projections),
            max(p.in_channels / p.out_channels for p in projections),
        ],
    }


@recomputes("mobilenet.c22")
def problems_of_v1() -> Values:
    """Count the items of the notes' list, which the row repeats in brackets."""
    (items,) = re.findall(r"\((.*)\)", CLAIMS["mobilenet.c22"]["correct_value"])
    return {"items": len(items.split(", "))}


@recomputes("mobilenet.c23")
def shapes_of_the_operators() -> Values:
    """Run the three parts of a block with stride 2 one after the other."""
    with torch.device("meta"):
        block = InvertedResidual(24, 32, stride=2, expansion=6)
        x = torch.empty(1, 24, 56, 56)
    shapes = [tuple(x.shape[1:])]
    for part in block.conv:
        x = part(x)
        shapes.append(tuple(x.shape[1:]))
    (k, s, _), (n, s1, _), (n2, s2, _), (k2, s3, _) = shapes
    assert (s, n, s2) == (s1, n2, s3)
    return {"s, s'": [s, s2], "k, n, k'": [k, n, k2], "channels, height, width": shapes}


@recomputes("mobilenet.c24")
def who_acts_first() -> Values:
    """Feed the block's input to each part: only one takes it."""
    takes = []
    x = torch.empty(1, 24, 56, 56, device="meta")
    for name, part in zip("ANB", bottleneck().conv.eval(), strict=True):
        if layers(part, nn.Conv2d)[0].in_channels == x.shape[1]:
            takes.append(name)
    assert takes == ["A"]
    return {"takes the block's input": ", ".join(takes), "order of execution": "A, N, B"}


@recomputes("mobilenet.c25")
def parts_of_n() -> Values:
    """List what stands between the two 1×1 convolutions."""
    conv = bottleneck().conv
    after_expansion, inner = kinds(conv[0])[-1], kinds(conv[1])
    depthwise_layer = layers(conv[1], nn.Conv2d)[0]
    assert depthwise_layer.groups == depthwise_layer.in_channels
    assert (after_expansion, inner[-1]) == ("ReLU6", "ReLU6")
    return {
        "before": after_expansion,
        "groups of the convolution": depthwise_layer.groups,
        "its channels": depthwise_layer.in_channels,
        "after": inner[-1],
    }


@recomputes("mobilenet.c26")
def split_of_the_inner_map() -> Values:
    """Compute a block in t parts, one after the other, and compare."""
    k, n, side = 4, 24, 10
    expand, project = random_numbers(n, k, 1, 1), random_numbers(k, n, 1, 1, seed=1)
    spatial = random_numbers(n, 1, 3, 3, seed=2)
    x = random_numbers(1, k, side, side, seed=3)

    def part(channels: slice) -> Tensor:
        y = F.relu6(F.conv2d(x, expand[channels]))
        y = F.relu6(F.conv2d(y, spatial[channels], padding=1, groups=y.shape[1]))
        return F.conv2d(y, project[:, channels])

    whole = part(slice(None))
    inner = {}
    for t in (2, 3, 4, 6):
        size = n // t
        summed = torch.stack([part(slice(i, i + size)) for i in range(0, n, size)]).sum(0)
        assert torch.allclose(summed, whole)
        inner[t] = size * side**2
    return {
        "inner map in one piece, values": n * side**2,
        **{f"t = {t}: same output, values held": values for t, values in inner.items()},
    }


@recomputes("mobilenet.c29", quoted=(2,))
def spiral_through_relu() -> Values:
    """Lift a spiral to n dimensions at random, apply ReLU, and decode as well as a matrix can."""
    t = torch.linspace(0, 1, 200, dtype=torch.float64)
    angle = 3 * 2 * torch.pi * t
    spiral = torch.stack([t * angle.cos(), t * angle.sin()], dim=1)  # (200, 2), three turns
    lifts = 2000
    errors: dict[int, float] = {}
    for n in (2, 3, 5, 15, 30):
        lifted = (spiral @ random_numbers(lifts, 2, n, seed=n)).relu()  # (lifts, 200, n)
        # The best decoder is the least-squares one; a tiny ridge keeps dead units solvable.
        gram = lifted.mT @ lifted + 1e-10 * torch.eye(n, dtype=torch.float64)
        decoder = torch.linalg.solve(gram, lifted.mT @ spiral)
        wrong = (lifted @ decoder - spiral).square().sum((1, 2)) / spiral.square().sum()
        errors[n] = round(wrong.sqrt().median().item(), 3)
    return {"random lifts": lifts, "n": list(errors), "relative error": list(errors.values())}


@recomputes("mobilenet.c31")
def small_and_large() -> Values:
    """Build both and count."""
    tables = [summary(name) for name in ("mobilenet_v3_small", "mobilenet_v3_large")]
    return {
        "parameters": [table.parameters for table in tables],
        "multiply-adds": [table.macs for table in tables],
        "in millions": [table.macs / 1e6 for table in tables],
    }


def blocks_with_se() -> list[InvertedResidualSE]:
    """The blocks of MobileNetV3-Large that have squeeze-and-excitation."""
    blocks = layers(network("mobilenet_v3_large"), InvertedResidualSE)
    return [block for block in blocks if layers(block, SqueezeExcitation)]


@recomputes("mobilenet.c32")
def place_of_se() -> Values:
    """Look at what stands before squeeze-and-excitation in every block."""
    table = summary("mobilenet_v3_large")
    share = 0
    for block in blocks_with_se():
        parts = list(block.conv)
        (position,) = [i for i, part in enumerate(parts) if isinstance(part, SqueezeExcitation)]
        (before,) = layers(parts[position - 1], nn.Conv2d)
        assert before.groups == before.in_channels > 1
    inside = [
        name
        for name, m in network("mobilenet_v3_large").named_modules()
        if isinstance(m, SqueezeExcitation)
    ]
    share = sum(line.macs for line in table.rows if line.name.rpartition(".")[0] in inside)
    return {
        "blocks with it, all behind the depthwise layer": len(blocks_with_se()),
        "share of the multiply-adds, %": 100 * share / table.macs,
    }


@recomputes("mobilenet.c33")
def width_of_the_squeeze() -> Values:
    """Read the channels in every block; the expansion layer's are those of the paper's table."""
    blocks = blocks_with_se()
    wide = [layers(block, SqueezeExcitation)[0].fc1.in_channels for block in blocks]
    inner = [layers(block, SqueezeExcitation)[0].fc1.out_channels for block in blocks]
    assert wide == [row.expansion for row in LARGE if row.se]
    multiples = {channels & -channels for channels in inner}
    return {
        "expansion layer": wide,
        "squeeze layer": inner,
        "share": [b / a for a, b in zip(wide, inner, strict=True)],
        "share of the widest": inner[-1] / wide[-1],
        "wanted, as 1 in": [1, round(wide[-1] / inner[-1])],
        "largest power of two in every width": min(multiples),
    }


@recomputes("mobilenet.c34", quoted=(16,))
def excitation_layers() -> Values:
    """Read the layers of the last block of v3, and run it up to the gate."""
    se = layers(blocks_with_se()[-1], SqueezeExcitation)[0]
    names = [name for name, _ in se.named_children()]
    assert names.index("fc1") < names.index("relu") < names.index("fc2")
    pooled = se.squeeze(torch.empty(1, se.fc1.in_channels, 7, 7, device="meta"))
    gate = se.gate(se.fc2(se.relu(se.fc1(pooled))))
    return {
        "C, C/r, C": [se.fc1.in_channels, se.fc1.out_channels, se.fc2.out_channels],
        "r": se.fc1.in_channels / se.fc1.out_channels,
        "gate": (*gate.shape[2:], gate.shape[1]),
    }


@recomputes("mobilenet.c35", quoted=(3, 6))
def kind_of_gate() -> Values:
    """Read the gate's type in every block, and its range on a grid."""
    gates = {type(layers(b, SqueezeExcitation)[0].gate) for b in blocks_with_se()}
    assert gates == {nn.Hardsigmoid}
    x = torch.linspace(-20, 20, 801, dtype=torch.float64)
    y = F.hardsigmoid(x)
    assert torch.allclose(y, F.relu6(x + 3) / 6)
    return {
        "gate": ", ".join(gate.__name__ for gate in gates),
        "its smallest and largest value": [y.min().item(), y.max().item()],
        "h-swish at 20": F.hardswish(x)[-1].item(),
    }


@recomputes("mobilenet.c36")
def swish() -> Values:
    """Minimise on a fine grid."""
    x = torch.linspace(-20, 20, 4_000_001, dtype=torch.float64)
    y = x * x.sigmoid()
    lowest = y.argmin()
    falling = bool((y[:lowest].diff() < 0).all())
    rising = bool((y[lowest:].diff() > 0).all())
    assert falling
    assert rising
    return {
        "minimum": y[lowest].item(),
        "at": x[lowest].item(),
        "at 20, no bound": y[-1].item(),
        "falls before and rises after": falling and rising,
    }


@recomputes("mobilenet.c37", quoted=(3, 6))
def hard_swish() -> Values:
    """Compare PyTorch's h-swish with both formulas, and with swish."""
    x = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    swish = x * x.sigmoid()
    right = torch.allclose(F.hardswish(x), x * F.relu6(x + 3) / 6)
    bare = torch.allclose(F.hardswish(x), x * F.relu6(x))
    assert right
    assert not bare
    at = torch.tensor(3.0, dtype=torch.float64)
    return {
        "h-swish is x·ReLU6(x + 3)/6": right,
        "h-swish is x·ReLU6(x)": bare,
        "x·ReLU6(x) at 3": (at * F.relu6(at)).item(),
        "swish at 3": (at * at.sigmoid()).item(),
        "max |h-swish − swish|": (F.hardswish(x) - swish).abs().max().item(),
    }


@recomputes("mobilenet.c39")
def tail_of_v3() -> Values:
    """Follow the shapes through the end of MobileNetV3-Large."""
    rows = summary("mobilenet_v3_large").rows
    kinds_run = [line.kind for line in rows]
    pool = max(i for i, kind in enumerate(kinds_run) if kind == "AdaptiveAvgPool2d")
    linear = kinds_run.index("Linear")
    assert pool < linear
    channels, *side = rows[pool].output_shape[1:]
    return {
        "pooled": channels,
        "to": tuple(side),
        "then a layer to": rows[linear].output_shape[1],
        "which on one pixel is a convolution of": tuple(side),
    }
