"""Recomputations of the notes' chapter on Xception."""

from __future__ import annotations

from torch import nn

from cnnlib.blocks import SeparableConv2d
from cnnlib.claims.helpers import count, layers, network
from cnnlib.claims.registry import Values, recomputes


@recomputes("xception.c01", quoted=(23_626_728,))
def size_of_xception() -> Values:
    """Build both and count. The paper's Inception V3 is not quite the published one."""
    xception, inception = network("xception"), network("inception_v3")
    return {
        "Xception": count(xception),
        "separable convolutions in it": len(layers(xception, SeparableConv2d)),
        "Inception v3, without training head": count(inception),
        "ratio": count(xception) / count(inception),
    }


@recomputes("xception.c02", quoted=(1,))
def cost_of_a_separable_convolution() -> Values:
    """Count the weights of both."""
    n, k = 512, 3
    ratio = count(SeparableConv2d(n, n, k)) / count(nn.Conv2d(n, n, k, bias=False))
    assert abs(ratio - (1 / n + 1 / k**2)) < 1e-12
    return {"k, N": [k, n], "ratio of the weights, %": 100 * ratio}
