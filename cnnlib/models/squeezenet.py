"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters (2016).

Idea: three strategies. Replace 3×3 filters by 1×1, which have a ninth of the weights. Reduce, by
1×1 "squeeze" layers, the number of channels that the remaining 3×3 filters see. Pool late, so that
most layers work on large maps, which helps accuracy. A Fire module is a squeeze layer and an expand
layer that mixes 1×1 and 3×3 filters. There is no fully connected layer: the last convolution makes
one map per class and their averages are the logits.

Table 1 of the paper is `VERSIONS["1.0"]` below; for 224×224 images (with the sizes of the released
network, see below):

| layer      | output     | layer           | output    | layer           | output    |
|------------|------------|-----------------|-----------|-----------------|-----------|
| conv1 7×7/2 | 96×109×109 | pool 3×3/2      | 256×27×27 | pool 3×3/2      | 512×13×13 |
| pool 3×3/2 | 96×54×54   | fire5           | 256×27×27 | fire9           | 512×13×13 |
| fire2, 3   | 128×54×54  | fire6, 7        | 384×27×27 | conv10 1×1      | 1000×13×13 |
| fire4      | 256×54×54  | fire8           | 512×27×27 | average pool    | 1000      |

Version 1.1 (authors' repository) has 64 3×3 filters in conv1 and pools earlier: 2.4 times cheaper
with slightly fewer parameters (1,235,496 against 1,248,424) and no loss of accuracy.

Bypasses (figure 2): "simple" adds a module's input to its output where the channels agree (fire 3,
5, 7, 9); "complex" also puts a 1×1 convolution around the others (fire 2, 4, 6, 8).

Deviations: table 1 prints 111×111 after conv1, which no padding of 7×7/2 gives on 224 (the released
network has no padding: 109). Complex bypass adds 341,248 parameters to figure 2's layers, 6.1 MiB
in all with 4-byte numbers; the paper's table 3 prints 7.7 MB and does not say for which layers.

Reference: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size", arXiv:1602.07360.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, xavier_initialization
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._weights import check_weights, load_weights

VARIANTS = ("plain", "simple", "complex")

Filters = tuple[int, int, int]  # of a Fire module: squeeze 1×1, expand 1×1, expand 3×3


class Version(NamedTuple):
    """A column of the architecture: conv1, then stages of Fire modules, each begun by pooling."""

    filters: int  # of conv1
    side: int  # of those filters
    stages: tuple[tuple[Filters, ...], ...]


S16, S32, S48, S64 = (16, 64, 64), (32, 128, 128), (48, 192, 192), (64, 256, 256)
VERSIONS = {  # fire2 to fire9
    "1.0": Version(96, 7, ((S16, S16, S32), (S32, S48, S48, S64), (S64,))),
    "1.1": Version(64, 3, ((S16, S16), (S32, S32), (S48, S48, S64, S64))),
}


class Fire(nn.Module):
    """Squeeze to few channels by 1×1, expand by 1×1 and 3×3, concatenate; perhaps add a bypass.

    Shape: (N, in_channels, H, W) to (N, expand1x1 + expand3x3, H, W).

    Args:
        in_channels: Channels of the input.
        squeeze: Filters of the squeeze layer, s_1x1 in the paper.
        expand1x1: 1×1 filters of the expand layer, e_1x1.
        expand3x3: 3×3 filters of the expand layer, e_3x3.
        variant: "plain", "simple" (bypass if the channels agree) or "complex" (bypass always).
    """

    def __init__(
        self,
        in_channels: int,
        squeeze: int,
        expand1x1: int,
        expand3x3: int,
        variant: str = "plain",
    ) -> None:
        check_choice("variant", variant, VARIANTS)
        super().__init__()
        self.squeeze = ConvNormActivation(in_channels, squeeze, 1, norm=None)
        self.expand1x1 = ConvNormActivation(squeeze, expand1x1, 1, norm=None)
        self.expand3x3 = ConvNormActivation(squeeze, expand3x3, 3, norm=None)
        out_channels = expand1x1 + expand3x3
        self.bypass: nn.Module | None = None
        if variant != "plain" and in_channels == out_channels:
            self.bypass = nn.Identity()
        elif variant == "complex":
            self.bypass = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze, expand, concatenate."""
        squeezed = self.squeeze(x)
        y = torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)
        return y if self.bypass is None else y + self.bypass(x)


class SqueezeNet(nn.Module):
    """SqueezeNet.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, at least 21×21 (17×17
    for version 1.1).

    Args:
        version: "1.0" or "1.1".
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        variant: "plain", "simple" or "complex": the bypasses.
        dropout: Share of the values after fire9 set to 0 in training.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        version: str = "1.0",
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        variant: str = "plain",
        dropout: float = 0.5,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("version", version, VERSIONS)
        check_choice("variant", variant, VARIANTS)
        super().__init__()
        filters, side, stages = VERSIONS[version]
        self.conv1 = ConvNormActivation(in_channels, filters, side, 2, padding=0, norm=None)
        self.features = nn.Sequential()
        channels = filters
        for stage in stages:
            self.features.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
            for squeeze, expand1x1, expand3x3 in stage:
                self.features.append(Fire(channels, squeeze, expand1x1, expand3x3, variant))
                channels = expand1x1 + expand3x3
        self.dropout = nn.Dropout(dropout)
        self.conv10 = ConvNormActivation(channels, num_classes, 1, norm=None)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        # The authors' release: Glorot's rule, but a small Gaussian for the last convolution
        xavier_initialization(self)
        nn.init.normal_(self.conv10.conv.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.conv1(x)  # 3×224×224 -> 96×109×109
        x = self.features(x)  # 512×13×13
        x = self.conv10(self.dropout(x))  # 1000×13×13
        return self.global_pool(x).flatten(1)  # 1000


def _squeezenet(
    version: str,
    num_classes: int,
    in_channels: int,
    variant: str,
    dropout: float,
    weights: str | None,
) -> SqueezeNet:
    check_weights(weights, num_classes, in_channels, variant=variant, published_variant="plain")
    model = SqueezeNet(version, num_classes, in_channels, variant=variant, dropout=dropout)
    return load_weights(model, weights, f"squeezenet{version.replace('.', '_')}")


def squeezenet1_0(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "plain",
    dropout: float = 0.5,
    weights: str | None = None,
) -> SqueezeNet:
    """SqueezeNet 1.0, the paper's; see `SqueezeNet` for the arguments."""
    return _squeezenet("1.0", num_classes, in_channels, variant, dropout, weights)


def squeezenet1_1(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "plain",
    dropout: float = 0.5,
    weights: str | None = None,
) -> SqueezeNet:
    """SqueezeNet 1.1, 2.4 times cheaper; see `SqueezeNet` for the arguments."""
    return _squeezenet("1.1", num_classes, in_channels, variant, dropout, weights)
