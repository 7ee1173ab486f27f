"""MobileNetV3: found by search, finished by hand (2019).

Idea: platform-aware search chooses the blocks, NetAdapt trims the channels, and three things are
done by hand. (1) Squeeze-and-excitation after the depthwise convolution; its inner layer has a
quarter of the expansion channels and its gate is the hard sigmoid ReLU6(x + 3) / 6. (2) h-swish,
x · ReLU6(x + 3) / 6, in the deeper half, where maps are small: an approximation of swish,
x · sigmoid(x), that survives quantisation. (3) A cheaper tail: the 1×1 convolution to 1280 moves
behind the pooling, where it works on one pixel instead of 49, and the depthwise and the projection
before it go. `variant="original_tail"` builds the tail of figure 5, top.

Tables 1 (large) and 2 (small) are `LARGE` and `SMALL` below, row by row. Outputs for a 3×224×224
image: after the first convolution 16×112×112, at the end 160×7×7 (large) and 96×7×7 (small).

| network                | parameters | MACs  | paper          | top-1 (paper) |
|------------------------|------------|-------|----------------|---------------|
| large                  | 5,483,032  | 217 M | 5.4 M, 219 M   | 75.2 %        |
| small                  | 2,542,856  | 57 M  | 2.5 M, 56 M    | 67.4 %        |

Deviations, all as in torchvision: table 2 ticks squeeze-and-excitation for the last 1×1 convolution
of the small network, which is left out; 1×1 convolutions on a 1×1 map are written as linear layers.
The paper gives no initialisation: He's for convolutions, N(0, 0.01²) for linear layers.

Reference: Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from cnnlib.blocks import (
    ConvNormActivation,
    SqueezeExcitation,
    gaussian_initialization,
    he_initialization,
    scaled_channels,
)
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._weights import check_weights, load_weights
from cnnlib.models.mobilenet_v2 import check_published_width


class Row(NamedTuple):
    """A row of table 1 or 2."""

    kernel: int
    expansion: int  # channels of the wide map
    channels: int  # of the output, #out in the paper
    se: bool  # squeeze-and-excitation
    nl: str  # non-linearity: "RE" for ReLU, "HS" for h-swish
    stride: int


LARGE = (
    Row(3, 16, 16, False, "RE", 1),
    Row(3, 64, 24, False, "RE", 2),
    Row(3, 72, 24, False, "RE", 1),
    Row(5, 72, 40, True, "RE", 2),
    Row(5, 120, 40, True, "RE", 1),
    Row(5, 120, 40, True, "RE", 1),
    Row(3, 240, 80, False, "HS", 2),
    Row(3, 200, 80, False, "HS", 1),
    Row(3, 184, 80, False, "HS", 1),
    Row(3, 184, 80, False, "HS", 1),
    Row(3, 480, 112, True, "HS", 1),
    Row(3, 672, 112, True, "HS", 1),
    Row(5, 672, 160, True, "HS", 2),
    Row(5, 960, 160, True, "HS", 1),
    Row(5, 960, 160, True, "HS", 1),
)
SMALL = (
    Row(3, 16, 16, True, "RE", 2),
    Row(3, 72, 24, False, "RE", 2),
    Row(3, 88, 24, False, "RE", 1),
    Row(5, 96, 40, True, "HS", 2),
    Row(5, 240, 40, True, "HS", 1),
    Row(5, 240, 40, True, "HS", 1),
    Row(5, 120, 48, True, "HS", 1),
    Row(5, 144, 48, True, "HS", 1),
    Row(5, 288, 96, True, "HS", 2),
    Row(5, 576, 96, True, "HS", 1),
    Row(5, 576, 96, True, "HS", 1),
)
# Rows of the table, features after the pooling, variants.
SIZES = {
    "large": (LARGE, 1280, ("redesigned_tail", "original_tail")),
    "small": (SMALL, 1024, ("redesigned_tail",)),
}
NON_LINEARITIES = {"RE": nn.ReLU, "HS": nn.Hardswish}
# Batch normalisation of the released code: decay 0.99, epsilon 0.001.
conv_bn = partial(ConvNormActivation, norm=partial(nn.BatchNorm2d, eps=0.001, momentum=0.01))


class InvertedResidualSE(nn.Module):
    """Figure 4: MobileNetV2's block with squeeze-and-excitation on the wide map.

    Shape: (N, in_channels, H, W) to (N, row.channels, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: Channels of the input.
        row: The row of table 1 or 2.
    """

    def __init__(self, in_channels: int, row: Row) -> None:
        super().__init__()
        kernel, wide, out_channels, se, nl, stride = row
        activation = NON_LINEARITIES[nl]
        layers: list[nn.Module] = []
        if wide != in_channels:
            layers.append(conv_bn(in_channels, wide, 1, activation=activation))
        layers.append(conv_bn(wide, wide, kernel, stride, groups=wide, activation=activation))
        if se:
            layers.append(SqueezeExcitation(wide, scaled_channels(wide, 1 / 4), nn.Hardsigmoid))
        layers.append(conv_bn(wide, out_channels, 1, activation=None))
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """With the shortcut where input and output have the same shape."""
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV3(nn.Module):
    """MobileNetV3.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        size: "large" or "small".
        variant: "redesigned_tail" (the published network) or "original_tail" (only large: the tail
            it had before section 5.1).
        width_multiplier: Scales all channels.
        dropout: Share of the inputs of the last layer set to 0 in training.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        size: str = "large",
        variant: str = "redesigned_tail",
        width_multiplier: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("size", size, SIZES)
        rows, features, variants = SIZES[size]
        check_choice(f"variant of the {size} network", variant, variants)
        super().__init__()
        scaled = partial(scaled_channels, width_multiplier=width_multiplier)
        channels, features = scaled(16), scaled(features)
        self.conv1 = conv_bn(in_channels, channels, 3, stride=2, activation=nn.Hardswish)
        blocks: list[nn.Module] = []
        for row in rows:
            row = row._replace(expansion=scaled(row.expansion), channels=scaled(row.channels))
            blocks.append(InvertedResidualSE(channels, row))
            channels = row.channels
        self.blocks = nn.Sequential(*blocks)

        wide = 6 * channels  # 960, 576
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        if variant == "redesigned_tail":
            # Figure 5, bottom: pool the 960 channels first; no normalisation behind the pooling.
            self.last_conv = conv_bn(channels, wide, 1, activation=nn.Hardswish)
            self.fc1 = nn.Sequential(nn.Linear(wide, features), nn.Hardswish(inplace=True))
        else:
            # Figure 5, top: MobileNetV2's tail, a last block to 320 and 1×1 filters to 1280 at 7×7.
            last_row = Row(3, wide, scaled(320), se=False, nl="HS", stride=1)
            self.last_conv = nn.Sequential(
                InvertedResidualSE(channels, last_row),
                conv_bn(last_row.channels, features, 1, activation=nn.Hardswish),
            )
            self.fc1 = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(features, num_classes)
        he_initialization(self)
        for layer in (self.fc1, self.fc2):
            gaussian_initialization(layer, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.conv1(x)  # 3×224×224 -> 16×112×112
        x = self.blocks(x)  # 160×7×7 (small: 96×7×7)
        x = self.last_conv(x)  # 960×7×7 (small: 576×7×7; original_tail: 1280×7×7)
        x = self.global_pool(x).flatten(1)
        x = self.fc1(x)  # 1280 (small: 1024)
        return self.fc2(self.dropout(x))  # 1000


def mobilenet_v3_large(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "redesigned_tail",
    width_multiplier: float = 1.0,
    dropout: float = 0.2,
    weights: str | None = None,
) -> MobileNetV3:
    """Build the large MobileNetV3; see `MobileNetV3` for the arguments.

    `weights="imagenet"` needs `variant="redesigned_tail"` and `width_multiplier=1.0`.
    """
    check_weights(
        weights, num_classes, in_channels, variant=variant, published_variant="redesigned_tail"
    )
    check_published_width(weights, width_multiplier)
    model = MobileNetV3(
        num_classes,
        in_channels,
        size="large",
        variant=variant,
        width_multiplier=width_multiplier,
        dropout=dropout,
    )
    return load_weights(model, weights, "mobilenet_v3_large")


def mobilenet_v3_small(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_multiplier: float = 1.0,
    dropout: float = 0.2,
    weights: str | None = None,
) -> MobileNetV3:
    """Build the small MobileNetV3; see `MobileNetV3` for the arguments.

    `weights="imagenet"` needs `width_multiplier=1.0`.
    """
    check_weights(weights, num_classes, in_channels)
    check_published_width(weights, width_multiplier)
    model = MobileNetV3(
        num_classes, in_channels, size="small", width_multiplier=width_multiplier, dropout=dropout
    )
    return load_weights(model, weights, "mobilenet_v3_small")
