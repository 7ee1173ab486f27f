"""Recomputations of the notes' remarks on computation."""

from __future__ import annotations

from torch import nn

from cnnlib.claims.googlenet import weight_layers_in_a_row
from cnnlib.claims.helpers import layers, network
from cnnlib.claims.registry import Values, recomputes
from cnnlib.claims.resnet import main_path


@recomputes("compute.c03", quoted=(2012, 2014, 2015))
def depth_over_the_years() -> Values:
    """Count the layers with weights on the longest way through each network."""
    weighted = (nn.Conv2d, nn.Linear)
    return {
        "AlexNet": len(layers(network("alexnet"), *weighted)),
        "VGG-19": len(layers(network("vgg19"), *weighted)),
        "GoogLeNet": weight_layers_in_a_row(),
        "ResNet-152": len(main_path(network("resnet152"))),
    }
