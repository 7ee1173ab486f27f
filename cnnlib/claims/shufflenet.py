"""Recomputations of the notes' chapter on ShuffleNet v1 and v2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib import blocks
from cnnlib.claims.helpers import count, layers, network, random_numbers, summary
from cnnlib.claims.registry import Values, recomputes
from cnnlib.models import shufflenet_v2
from cnnlib.models.shufflenet_v2 import ShuffleUnitV2


@recomputes("shufflenet.c01")
def grouped_weights() -> Values:
    """Read the shape of grouped weights, and run one group by itself."""
    c_in, c_out, groups = 12, 24, 3
    conv = nn.Conv2d(c_in, c_out, 3, groups=groups, bias=False, dtype=torch.float64)
    assert tuple(conv.weight.shape) == (c_out, c_in // groups, 3, 3)
    x = random_numbers(1, c_in, 8, 8)
    second = F.conv2d(x[:, 4:8], conv.weight[8:16])
    assert torch.allclose(conv(x)[:, 8:16], second)
    return {
        "C_i, C_o, g": [c_in, c_out, groups],
        "channels that a filter reads, filters per group": [c_in // groups, c_out // groups],
        "weight tensor": tuple(conv.weight.shape),
        "output channels": conv(x).shape[1],
    }


@recomputes("shufflenet.c02")
def cost_of_groups() -> Values:
    """Count the weights for several numbers of groups."""
    weights = {g: count(nn.Conv2d(240, 240, 3, groups=g, bias=False)) for g in (1, 2, 3, 4, 8)}
    assert all(number * g == weights[1] for g, number in weights.items())
    return {f"g = {g}: weights": number for g, number in weights.items()}


@recomputes("shufflenet.c03")
def share_of_pointwise() -> Values:
    """Count multiply-adds of ResNeXt-50 and Xception by the side of the filter."""
    result: Values = {"kernel": (1, 1)}
    for name, size in (("resnext50_32x4d", 224), ("xception", 299)):
        table, net = summary(name, size), network(name)
        convs = [(net.get_submodule(r.name), r.macs) for r in table.rows if r.kind == "Conv2d"]
        pointwise = sum(macs for conv, macs in convs if conv.kernel_size == (1, 1))
        assert all(conv.groups == 1 for conv, _ in convs if conv.kernel_size == (1, 1))
        result[f"{name}: share of dense 1×1 layers, %"] = 100 * pointwise / table.macs
    return result


@recomputes("shufflenet.c04")
def shuffled_order() -> Values:
    """Shuffle six numbered channels; PyTorch's own shuffle gives the same."""
    numbered = torch.arange(6.0).view(1, 6, 1, 1)
    shuffled = blocks.channel_shuffle(numbered, 2)
    assert torch.equal(shuffled, nn.ChannelShuffle(2)(numbered))
    return {
        "channels": numbered.shape[1],
        "g": 2,
        "order": [int(number) for number in shuffled.flatten()],
    }


@recomputes("shufflenet.c06")
def what_v2_keeps() -> Values:
    """Watch a forward pass of v2 for shuffles, and look for grouped 1×1 convolutions in both."""
    calls = 0
    original = shufflenet_v2.channel_shuffle

    def counting(x: torch.Tensor, groups: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return original(x, groups)

    shufflenet_v2.channel_shuffle = counting
    try:
        network("shufflenet_v2_x1_0").eval()(torch.empty(1, 3, 224, 224, device="meta"))
    finally:
        shufflenet_v2.channel_shuffle = original

    def grouped(name: str) -> list[nn.Conv2d]:
        convs = layers(network(name), nn.Conv2d)
        return [conv for conv in convs if conv.groups > 1 and conv.kernel_size == (1, 1)]

    assert calls == len(layers(network("shufflenet_v2_x1_0"), ShuffleUnitV2))
    assert not grouped("shufflenet_v2_x1_0")
    return {
        "shuffles in one pass of v2": calls,
        "kernel": grouped("shufflenet_v1")[0].kernel_size,
        "grouped convolutions of that size in v1": len(grouped("shufflenet_v1")),
        "in v2": len(grouped("shufflenet_v2_x1_0")),
    }
