"""ShuffleNet V2: design for measured speed, not for counted operations (2018).

Idea: two networks with the same number of multiply-accumulates can differ much in speed, because
memory traffic and parallelism are not in that number. The paper measures four guidelines: (G1)
equal numbers of input and output channels, (G2) few groups, (G3) few parallel pieces, (G4) few
element-wise operations. ShuffleNet v1 breaks G1 (bottleneck), G2 (grouped 1×1) and G4 (addition).
So the v2 unit *splits* the channels: one half passes through untouched, the other through three
convolutions of equal width, and instead of adding they are concatenated. The channel shuffle
stays: it mixes the two halves.

Table 5 (3×224×224 image; s = stride, n = repetitions, output channels per width):

| layer        | output  | s | n | 0.5× | 1×   | 1.5× | 2×   |
|--------------|---------|---|---|------|------|------|------|
| conv1 3×3    | 112×112 | 2 | 1 | 24   | 24   | 24   | 24   |
| max pool 3×3 | 56×56   | 2 |   |      |      |      |      |
| stage 2      | 28×28   | 2 | 1 | 48   | 116  | 176  | 244  |
|              | 28×28   | 1 | 3 | 48   | 116  | 176  | 244  |
| stage 3      | 14×14   | 2 | 1 | 96   | 232  | 352  | 488  |
|              | 14×14   | 1 | 7 | 96   | 232  | 352  | 488  |
| stage 4      | 7×7     | 2 | 1 | 192  | 464  | 704  | 976  |
|              | 7×7     | 1 | 3 | 192  | 464  | 704  | 976  |
| conv5 1×1    | 7×7     | 1 | 1 | 1024 | 1024 | 1024 | 2048 |
| global pool  | 1×1     |   |   |      |      |      |      |
| linear       |         |   |   | 1000 | 1000 | 1000 | 1000 |
| parameters   |         |   |   | 1,366,792 | 2,278,604 | 3,503,624 | 7,393,996 |
| MACs (paper) |         |   |   | 41 M | 146 M | 299 M | 591 M |

The paper gives no initialisation; PyTorch's default is used, as in torchvision.

Reference: Ma, Zhang, Zheng, Sun, "ShuffleNet V2: practical guidelines for efficient CNN
architecture design", ECCV 2018, arXiv:1807.11164.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, channel_shuffle
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._weights import check_weights, load_weights

# Output channels of stage 2, stage 3, stage 4 and conv5 for each width.
CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
REPEATS = (4, 8, 4)  # units of stages 2, 3 and 4; the first of each has stride 2


class ShuffleUnitV2(nn.Module):
    """Figure 3: (c) with stride 1, (d) with stride 2.

    Shape: (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: Channels of the input; with stride 1 equal to `out_channels`.
        out_channels: Channels of the output, even.
        stride: 1 or 2. With stride 2 nothing is split: both branches read the whole input, so that
            the number of channels doubles.

    Raises:
        ValueError: The stride is neither 1 nor 2, or would need another number of channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        check_choice("stride", stride, (1, 2))
        if stride == 1 and in_channels != out_channels:
            raise ValueError(
                f"with stride 1 half of the input passes through, so in_channels must equal "
                f"out_channels; got {in_channels} and {out_channels}"
            )
        super().__init__()
        self.stride = stride
        half = out_channels // 2
        branch_channels = half if stride == 1 else in_channels
        self.left = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(
                depthwise(in_channels, stride),
                ConvNormActivation(in_channels, half, 1),
            )
        )
        self.right = nn.Sequential(
            ConvNormActivation(branch_channels, half, 1),
            depthwise(half, stride),
            ConvNormActivation(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Split, transform the right half, concatenate, shuffle."""
        left, right = x.chunk(2, dim=1) if self.stride == 1 else (x, x)
        x = torch.cat([self.left(left), self.right(right)], dim=1)
        return channel_shuffle(x, 2)


def depthwise(channels: int, stride: int) -> ConvNormActivation:
    """3×3 depthwise convolution and normalisation, without a ReLU."""
    return ConvNormActivation(channels, channels, 3, stride, groups=channels, activation=None)


class ShuffleNetV2(nn.Module):
    """ShuffleNet V2.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        width_multiplier: 0.5, 1.0, 1.5 or 2.0.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, *, width_multiplier: float = 1.0
    ) -> None:
        check_network(num_classes, in_channels)
        check_choice("width_multiplier", width_multiplier, CHANNELS)
        super().__init__()
        *stage_channels, last_channels = CHANNELS[width_multiplier]
        channels = 24
        self.conv1 = ConvNormActivation(in_channels, channels, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages: list[nn.Module] = []
        for out_channels, repeats in zip(stage_channels, REPEATS, strict=True):
            first = ShuffleUnitV2(channels, out_channels, 2)
            others = [ShuffleUnitV2(out_channels, out_channels, 1) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(first, *others))
            channels = out_channels
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = ConvNormActivation(channels, last_channels, 1)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.conv1(x)  # 3×224×224 -> 24×112×112
        x = self.pool(x)  # 24×56×56
        x = self.stage2(x)  # 116×28×28, with width 1
        x = self.stage3(x)  # 232×14×14
        x = self.stage4(x)  # 464×7×7
        x = self.conv5(x)  # 1024×7×7
        x = self.global_pool(x).flatten(1)  # 1024
        return self.fc(x)  # 1000


def _shufflenet_v2(
    width_multiplier: float, name: str, num_classes: int, in_channels: int, weights: str | None
) -> ShuffleNetV2:
    check_weights(weights, num_classes, in_channels)
    model = ShuffleNetV2(num_classes, in_channels, width_multiplier=width_multiplier)
    return load_weights(model, weights, name)


def shufflenet_v2_x0_5(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None
) -> ShuffleNetV2:
    """Build ShuffleNet V2 of width 0.5; see `ShuffleNetV2`."""
    return _shufflenet_v2(0.5, "shufflenet_v2_x0_5", num_classes, in_channels, weights)


def shufflenet_v2_x1_0(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None
) -> ShuffleNetV2:
    """Build ShuffleNet V2 of width 1; see `ShuffleNetV2`."""
    return _shufflenet_v2(1.0, "shufflenet_v2_x1_0", num_classes, in_channels, weights)


def shufflenet_v2_x1_5(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None
) -> ShuffleNetV2:
    """Build ShuffleNet V2 of width 1.5; see `ShuffleNetV2`."""
    return _shufflenet_v2(1.5, "shufflenet_v2_x1_5", num_classes, in_channels, weights)


def shufflenet_v2_x2_0(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None
) -> ShuffleNetV2:
    """Build ShuffleNet V2 of width 2; see `ShuffleNetV2`."""
    return _shufflenet_v2(2.0, "shufflenet_v2_x2_0", num_classes, in_channels, weights)
