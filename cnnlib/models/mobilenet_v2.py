"""MobileNetV2: inverted residuals and linear bottlenecks (2018).

Idea: a ReLU on few channels destroys information, on many channels hardly. So the block widens t
times, filters depthwise where it is wide, and projects back to few channels *without* an
activation. The shortcut joins the narrow ends, which hold what matters: the reverse of ResNet's
bottleneck, hence "inverted residual". The wide map in the middle never has to be kept whole.

Table 2 (expansion t, channels c, n blocks of which the first has stride s; 3×224×224 image):

| operator        | t | c    | n | s | output       |
|-----------------|---|------|---|---|--------------|
| conv 3×3        |   | 32   | 1 | 2 | 32×112×112   |
| bottleneck      | 1 | 16   | 1 | 1 | 16×112×112   |
| bottleneck      | 6 | 24   | 2 | 2 | 24×56×56     |
| bottleneck      | 6 | 32   | 3 | 2 | 32×28×28     |
| bottleneck      | 6 | 64   | 4 | 2 | 64×14×14     |
| bottleneck      | 6 | 96   | 3 | 1 | 96×14×14     |
| bottleneck      | 6 | 160  | 3 | 2 | 160×7×7      |
| bottleneck      | 6 | 320  | 1 | 1 | 320×7×7      |
| conv 1×1        |   | 1280 | 1 | 1 | 1280×7×7     |
| global avg pool |   |      |   |   | 1280×1×1     |
| conv 1×1        |   | k    |   |   | k×1×1        |

Parameters: 3,504,872 (the paper: 3.4 M), 301 M multiply-accumulates (the paper: 300 M).

Deviations: the last 1×1 convolution is written as a linear layer, which is the same on a 1×1 map.
The paper gives no initialisation: as in torchvision, He's for convolutions and N(0, 0.01²) for the
last layer.

Reference: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018,
arXiv:1801.04381.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import (
    ConvNormActivation,
    gaussian_initialization,
    he_initialization,
    scaled_channels,
)
from cnnlib.models._checks import check_network
from cnnlib.models._weights import check_weights, load_weights

# t, c, n, s: table 2.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Table 1: 1×1 expansion with ReLU6, 3×3 depthwise with ReLU6, linear 1×1 projection.

    Shape: (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: k in the paper.
        out_channels: k' in the paper.
        stride: s, of the depthwise convolution.
        expansion: t; with t = 1 there is nothing to expand and the first convolution is left out.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvNormActivation(in_channels, hidden, 1, activation=nn.ReLU6))
        layers += [
            ConvNormActivation(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            ConvNormActivation(hidden, out_channels, 1, activation=None),  # linear bottleneck
        ]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Figure 4 (d): with the shortcut where input and output have the same shape."""
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        width_multiplier: Scales all channels; the paper has 0.35 to 1.4. Below 1 the last 1×1
            convolution keeps its 1280 filters (section 6.1).
        dropout: Share of the inputs of the last layer set to 0 in training.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width_multiplier: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        super().__init__()
        channels = scaled_channels(32, width_multiplier)
        last_channels = scaled_channels(1280, max(1.0, width_multiplier))
        layers: list[nn.Module] = [
            ConvNormActivation(in_channels, channels, 3, stride=2, activation=nn.ReLU6)
        ]
        for t, c, n, s in BOTTLENECKS:
            out_channels = scaled_channels(c, width_multiplier)
            for i in range(n):
                stride = s if i == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, stride, expansion=t))
                channels = out_channels
        layers.append(ConvNormActivation(channels, last_channels, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(last_channels, num_classes)
        he_initialization(self)
        gaussian_initialization(self.fc, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.features(x)  # 3×224×224 -> 1280×7×7
        x = self.global_pool(x).flatten(1)  # 1280
        return self.fc(self.dropout(x))  # 1000


def check_published_width(weights: str | None, width_multiplier: float) -> None:
    """Raise a ValueError if weights are asked for a width for which none are published."""
    if weights is not None and width_multiplier != 1.0:
        raise ValueError(
            f"weights={weights!r} exists for width_multiplier=1.0 only; got {width_multiplier!r}"
        )


def mobilenet_v2(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_multiplier: float = 1.0,
    dropout: float = 0.2,
    weights: str | None = None,
) -> MobileNetV2:
    """Build MobileNetV2; see `MobileNetV2` for the arguments.

    `weights="imagenet"` needs `width_multiplier=1.0`, the only published width.
    """
    check_weights(weights, num_classes, in_channels)
    check_published_width(weights, width_multiplier)
    model = MobileNetV2(
        num_classes, in_channels, width_multiplier=width_multiplier, dropout=dropout
    )
    return load_weights(model, weights, "mobilenet_v2")
