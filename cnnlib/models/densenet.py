"""DenseNet: every layer sees the outputs of all layers before it (2017).

Idea: instead of adding a layer's output to its input, concatenate it,
x_l = H_l([x_0, x_1, ..., x_(l-1)]). A block of L layers then has L(L+1)/2 connections. Nothing has
to be learned twice, so each layer may be narrow: it adds only k maps, the growth rate. H_l is
BN-ReLU-conv 1×1 to 4k maps, then BN-ReLU-conv 3×3 to k maps (the B of DenseNet-BC). Concatenation
needs maps of one size; so pooling sits between dense blocks, in transitions that also compress the
number of maps by a factor theta = 0.5 (the C).

Table 1 of the paper, layers per dense block (`BLOCKS` below; for 224×224 images the blocks work on
56×56, 28×28, 14×14 and 7×7 maps):

| network      | growth rate k | blocks         | parameters |
|--------------|---------------|----------------|------------|
| DenseNet-121 | 32            | 6, 12, 24, 16  | 7,978,856  |
| DenseNet-169 | 32            | 6, 12, 32, 32  | 14,149,480 |
| DenseNet-201 | 32            | 6, 12, 48, 32  | 20,013,928 |
| DenseNet-161 | 48            | 6, 12, 36, 24  | 28,681,000 |

Before them 7×7/2 convolution with 2k filters and max pool 3×3/2, after them global average pooling
and a linear layer. Initialisation is He's.

Reference: Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks",
CVPR 2017, arXiv:1608.06993.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, NormActivationConv, he_initialization
from cnnlib.models._checks import check_choice, check_network, check_positive
from cnnlib.models._weights import check_weights, load_weights

# depth: growth rate, layers per dense block
BLOCKS = {
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
}


class DenseLayer(nn.Module):
    """H_l: makes `growth_rate` new maps from all maps so far.

    Shape: (N, in_channels, H, W) to (N, growth_rate, H, W).
    """

    def __init__(self, in_channels: int, growth_rate: int, dropout: float) -> None:
        super().__init__()
        self.bottleneck = NormActivationConv(in_channels, 4 * growth_rate, 1)
        self.conv = NormActivationConv(4 * growth_rate, growth_rate, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the new maps only."""
        return self.dropout(self.conv(self.bottleneck(x)))


class DenseBlock(nn.Module):
    """`layers` dense layers, each of which sees the block's input and all layers before it.

    Shape: (N, in_channels, H, W) to (N, in_channels + layers * growth_rate, H, W).
    """

    def __init__(self, layers: int, in_channels: int, growth_rate: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DenseLayer(in_channels + i * growth_rate, growth_rate, dropout) for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[x_0, x_1, ..., x_L], concatenated along the channels."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps, dim=1)


class Transition(nn.Sequential):
    """Between dense blocks: 1×1 convolution to fewer maps, then 2×2 average pooling.

    Shape: (N, in_channels, H, W) to (N, out_channels, H // 2, W // 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(NormActivationConv(in_channels, out_channels, 1), nn.AvgPool2d(2))


class DenseNet(nn.Module):
    """DenseNet-BC for ImageNet-sized images.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, at least 29×29.

    Args:
        blocks: Layers in each dense block.
        growth_rate: Maps that each layer adds, k in the paper.
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        compression: Share of the maps that a transition keeps, theta in the paper; 1 keeps all.
        dropout: Share of the values of each layer's new maps set to 0 in training. The paper uses
            none with data augmentation and 0.2 without.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        growth_rate: int = 32,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        compression: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_positive("growth_rate", growth_rate)
        if not blocks:
            raise ValueError("blocks must name the layers of at least one dense block")
        for layers in blocks:
            check_positive("every number in blocks", layers)
        if not 0 < compression <= 1:
            raise ValueError(f"compression must be in 0 < compression <= 1; got {compression!r}")
        super().__init__()
        channels = 2 * growth_rate
        self.stem = nn.Sequential(
            ConvNormActivation(in_channels, channels, 7, stride=2),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.features = nn.Sequential()
        for i, layers in enumerate(blocks):
            if i > 0:
                kept = int(compression * channels)
                self.features.append(Transition(channels, kept))
                channels = kept
            self.features.append(DenseBlock(layers, channels, growth_rate, dropout))
            channels += layers * growth_rate
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        he_initialization(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class. Sizes are those of DenseNet-121."""
        x = self.stem(x)  # 3×224×224 -> 64×112×112 -> 64×56×56
        # Dense blocks and transitions: 256×56×56 -> 128×28×28 -> 512×28×28 -> 256×14×14
        # -> 1024×14×14 -> 512×7×7 -> 1024×7×7
        x = self.features(x)
        x = self.relu(self.norm(x))  # 1024×7×7
        x = self.global_pool(x).flatten(1)  # 1024
        return self.fc(x)  # 1000


def _densenet(
    depth: int,
    num_classes: int,
    in_channels: int,
    compression: float,
    dropout: float,
    weights: str | None,
) -> DenseNet:
    check_choice("depth", depth, BLOCKS)
    check_weights(weights, num_classes, in_channels)
    growth_rate, blocks = BLOCKS[depth]
    model = DenseNet(
        blocks, growth_rate, num_classes, in_channels, compression=compression, dropout=dropout
    )
    return load_weights(model, weights, f"densenet{depth}")


def densenet121(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    compression: float = 0.5,
    dropout: float = 0.0,
    weights: str | None = None,
) -> DenseNet:
    """DenseNet-121; see `DenseNet` for the arguments."""
    return _densenet(121, num_classes, in_channels, compression, dropout, weights)


def densenet161(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    compression: float = 0.5,
    dropout: float = 0.0,
    weights: str | None = None,
) -> DenseNet:
    """DenseNet-161; see `DenseNet` for the arguments."""
    return _densenet(161, num_classes, in_channels, compression, dropout, weights)


def densenet169(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    compression: float = 0.5,
    dropout: float = 0.0,
    weights: str | None = None,
) -> DenseNet:
    """DenseNet-169; see `DenseNet` for the arguments."""
    return _densenet(169, num_classes, in_channels, compression, dropout, weights)


def densenet201(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    compression: float = 0.5,
    dropout: float = 0.0,
    weights: str | None = None,
) -> DenseNet:
    """DenseNet-201; see `DenseNet` for the arguments."""
    return _densenet(201, num_classes, in_channels, compression, dropout, weights)
