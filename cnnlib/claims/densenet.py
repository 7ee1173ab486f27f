"""Recomputations of the notes' chapter on DenseNet."""

from __future__ import annotations

import torch
from torch import nn

from cnnlib.claims.helpers import count, layers, network, row, summary
from cnnlib.claims.registry import Values, recomputes
from cnnlib.models.densenet import DenseBlock, Transition

POOLING = (nn.MaxPool2d, nn.AvgPool2d)


@recomputes("densenet.c01", quoted=(1, 2))
def connections() -> Values:
    """Build a dense block and count, layer by layer, whose maps it reads."""
    depth, growth, start = 12, 32, 64
    with torch.device("meta"):
        block = DenseBlock(depth, start, growth, dropout=0.0)
        made = block(torch.empty(1, start, 14, 14)).shape[1]
    read = [layers(layer, nn.Conv2d)[0].in_channels for layer in block.layers]
    sources = [1 + (channels - start) // growth for channels in read]  # x_0 and all layers before
    assert made == start + depth * growth
    assert sum(sources) == depth * (depth + 1) // 2
    return {"layers": depth, "read by each": sources, "connections": sum(sources)}


@recomputes("densenet.c02")
def where_pooling_is() -> Values:
    """Count the poolings in the parts of DenseNet-121."""
    densenet = network("densenet121")
    inside = [len(layers(block, *POOLING)) for block in layers(densenet, DenseBlock)]
    between = [len(layers(transition, *POOLING)) for transition in layers(densenet, Transition)]
    assert not any(inside)
    assert all(between)
    return {"in the dense blocks": inside, "in the transitions": between}


@recomputes("densenet.c03")
def compression() -> Values:
    """Read the channels before and after each transition of DenseNet-121."""
    shapes: Values = {}
    for name, layer in network("densenet121").named_modules():
        if isinstance(layer, Transition):
            line = row(summary("densenet121"), name)
            shapes[name] = [line.input_shape[1], line.output_shape[1]]
    (kept,) = {after / before for before, after in shapes.values()}
    (conv,) = {
        conv.kernel_size
        for t in layers(network("densenet121"), Transition)
        for conv in layers(t, nn.Conv2d)
    }
    return {**shapes, "share kept": kept, "kernel": tuple(conv)}


@recomputes("densenet.c04", quoted=(3,))
def compactness() -> Values:
    """Count the parameters of both networks; the other two benefits are the paper's argument."""
    return {"DenseNet-121": count(network("densenet121")), "ResNet-50": count(network("resnet50"))}
