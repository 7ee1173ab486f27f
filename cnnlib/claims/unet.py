"""Recomputations of the notes' chapter on U-Net."""

from __future__ import annotations

from torch import nn

from cnnlib.claims.helpers import layers, network
from cnnlib.claims.registry import Values, recomputes
from cnnlib.models import unet_output_size
from cnnlib.summary import summarize


@recomputes("unet.c01", quoted=(2015,))
def sizes_of_the_paper() -> Values:
    """Run the network on the paper's picture, and apply the size rule."""
    side = 572
    made = summarize(network("unet"), (1, side, side)).rows[1].output_shape
    assert made[-1] == unet_output_size(side)
    return {
        "in": (side, side),
        "out": tuple(made[2:]),
        "convolutions": len(layers(network("unet"), nn.Conv2d, nn.ConvTranspose2d)),
    }


@recomputes("unet.c02")
def what_the_decoder_gets() -> Values:
    """Read the channels before and after each concatenation."""
    net = network("unet")
    merged = [layers(merge, nn.Conv2d)[0].in_channels for merge in net.merge]
    from_below = [layers(up, nn.ConvTranspose2d)[0].out_channels for up in net.up]
    copies = [layers(down, nn.Conv2d)[-1].out_channels for down in reversed(net.down)]
    assert merged == [a + b for a, b in zip(copies, from_below, strict=True)]
    return {
        "channels copied": copies,
        "channels from below": from_below,
        "channels after concatenation": merged,
    }
