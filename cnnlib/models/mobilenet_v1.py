"""MobileNet: depthwise separable convolutions and two dials (2017).

Idea: almost the whole network is 3×3 depthwise and 1×1 pointwise convolutions, each with batch
normalisation and ReLU. A pair costs 1/N + 1/D_K² of the full convolution: 8 to 9 times less for 3×3
filters. Two multipliers trade accuracy for cost: the *width multiplier* α makes every layer
thinner (cost × α²), the *resolution multiplier* ρ makes the image smaller (cost × ρ²). ρ is no
property of the layers: `resolution` gives the side of the image to feed.

Table 1 (N filters, stride s; the output is for a 3×224×224 image):

| layer                        | s    | output       |
|------------------------------|------|--------------|
| conv 32 of 3×3               | 2    | 32×112×112   |
| separable 64                 | 1    | 64×112×112   |
| separable 128, 128           | 2, 1 | 128×56×56    |
| separable 256, 256           | 2, 1 | 256×28×28    |
| separable 512, 5 × 512       | 2, 1 | 512×14×14    |
| separable 1024, 1024         | 2, 1 | 1024×7×7     |
| global average pool, linear  |      | 1000         |

The table prints stride 2 for the very last depthwise layer; its sizes say 1. Parameters and
multiply-accumulates (tables 4 to 7):

| variant                    | parameters | MACs    | top-1 (paper) |
|----------------------------|------------|---------|---------------|
| "separable", α = 1         | 4,231,976  | 569 M   | 70.6 %        |
| "separable", α = 0.75      | 2,585,560  | 325 M   | 68.4 %        |
| "separable", α = 0.5       | 1,331,592  | 149 M   | 63.7 %        |
| "separable", α = 0.25      | 470,072    | 41 M    | 50.6 %        |
| "shallow" (no 5 × 512)     | 2.9 M      | 307 M   | 65.3 %        |
| "full" (full convolutions) | 29.3 M     | 4866 M  | 71.7 %        |

Deviations: padding is symmetric (the released TensorFlow code pads an even image one pixel more at
the right and the bottom). The paper gives no initialisation: He's for convolutions, N(0, 0.01²)
for the last layer.

Reference: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
applications", arXiv:1704.04861.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import (
    ConvNormActivation,
    gaussian_initialization,
    he_initialization,
    scaled_channels,
)
from cnnlib.models._checks import check_choice, check_network

# (filters, stride) of each separable convolution, table 1 from top to bottom.
SEPARABLE = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
SHALLOW = SEPARABLE[:6] + SEPARABLE[11:]  # section 4.1: without the five layers of 14×14×512
VARIANTS = {"separable": SEPARABLE, "shallow": SHALLOW, "full": SEPARABLE}


def resolution(resolution_multiplier: float, base: int = 224) -> int:
    """Side of the image for the resolution multiplier ρ: round(ρ · base).

    The paper's images of 224, 192, 160 and 128 pixels are ρ = 1, 6/7, 5/7 and 4/7.

    Raises:
        ValueError: ρ is not in (0, 1].
    """
    if not 0 < resolution_multiplier <= 1:
        raise ValueError(
            f"resolution_multiplier must be greater than 0 and at most 1; "
            f"got {resolution_multiplier!r}"
        )
    return round(resolution_multiplier * base)


def separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Figure 3, right: 3×3 depthwise, BN, ReLU, 1×1 pointwise, BN, ReLU."""
    return nn.Sequential(
        ConvNormActivation(in_channels, in_channels, 3, stride, groups=in_channels),  # depthwise
        ConvNormActivation(in_channels, out_channels, 1),  # pointwise
    )


class MobileNetV1(nn.Module):
    """MobileNet (v1).

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        variant: "separable", "shallow" or "full" (full 3×3 convolutions for comparison).
        width_multiplier: α; the paper has 1, 0.75, 0.5 and 0.25.
        dropout: Share of the inputs of the last layer set to 0 in training. The paper gives
            none; the released code has 0.001.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        variant: str = "separable",
        width_multiplier: float = 1.0,
        dropout: float = 0.001,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("variant", variant, VARIANTS)
        super().__init__()
        channels = scaled_channels(32, width_multiplier, divisor=1)
        layers: list[nn.Module] = [ConvNormActivation(in_channels, channels, 3, stride=2)]
        for filters, stride in VARIANTS[variant]:
            out_channels = scaled_channels(filters, width_multiplier, divisor=1)
            if variant == "full":
                layers.append(ConvNormActivation(channels, out_channels, 3, stride))
            else:
                layers.append(separable(channels, out_channels, stride))
            channels = out_channels
        self.features = nn.Sequential(*layers)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        he_initialization(self)
        gaussian_initialization(self.fc, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.features(x)  # 3×224×224 -> 1024×7×7
        x = self.global_pool(x).flatten(1)  # 1024
        return self.fc(self.dropout(x))  # 1000


def mobilenet_v1(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "separable",
    width_multiplier: float = 1.0,
    dropout: float = 0.001,
) -> MobileNetV1:
    """Build MobileNet v1; see `MobileNetV1` for the arguments."""
    return MobileNetV1(
        num_classes,
        in_channels,
        variant=variant,
        width_multiplier=width_multiplier,
        dropout=dropout,
    )
