"""ShuffleNet: grouped 1×1 convolutions and channel shuffle (2018).

Idea: in small networks the 1×1 convolutions cost most, so they are grouped too, which divides
their cost by g. But then group i of the output would only ever see group i of the input. A channel
shuffle between the two grouped convolutions gives every group a share of every other. For the same
budget, more groups allow more channels.

Table 1 (3×224×224 image; s = stride, n = repetitions, one column of output channels per g):

| layer         | output  | s | n | g = 1 | 2    | 3    | 4    | 8    |
|---------------|---------|---|---|-------|------|------|------|------|
| conv 3×3      | 112×112 | 2 | 1 | 24    | 24   | 24   | 24   | 24   |
| max pool 3×3  | 56×56   | 2 |   |       |      |      |      |      |
| stage 2       | 28×28   | 2 | 1 | 144   | 200  | 240  | 272  | 384  |
|               | 28×28   | 1 | 3 | 144   | 200  | 240  | 272  | 384  |
| stage 3       | 14×14   | 2 | 1 | 288   | 400  | 480  | 544  | 768  |
|               | 14×14   | 1 | 7 | 288   | 400  | 480  | 544  | 768  |
| stage 4       | 7×7     | 2 | 1 | 576   | 800  | 960  | 1088 | 1536 |
|               | 7×7     | 1 | 3 | 576   | 800  | 960  | 1088 | 1536 |
| global pool   | 1×1     |   |   |       |      |      |      |      |
| linear        |         |   |   | 1000  | 1000 | 1000 | 1000 | 1000 |
| MACs (paper)  |         |   |   | 143 M | 140 M | 137 M | 133 M | 137 M |

The paper's multiply-accumulates leave out the linear layer. "ShuffleNet s×" scales all channels by
s. The released code keeps 24 filters in the first convolution at 1.5×; here they are 36, so 1.5×
costs 298 M instead of 292 M.

The paper gives no initialisation: He's for convolutions, N(0, 0.01²) for the last layer.

Reference: Zhang, Zhou, Lin, Sun, "ShuffleNet: an extremely efficient convolutional neural network
for mobile devices", CVPR 2018, arXiv:1707.01083.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cnnlib.blocks import (
    ConvNormActivation,
    channel_shuffle,
    gaussian_initialization,
    he_initialization,
    scaled_channels,
)
from cnnlib.models._checks import check_choice, check_network

# Output channels of stage 2 for each number of groups; stages 3 and 4 double them.
STAGE2_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
REPEATS = (4, 8, 4)  # units of stages 2, 3 and 4; the first of each has stride 2


class ShuffleUnit(nn.Module):
    """Figure 2: (b) with stride 1, (c) with stride 2.

    Grouped 1×1, shuffle, 3×3 depthwise, grouped 1×1. With stride 1 the input is added; with stride
    2 the average-pooled input is concatenated, which widens the map at no cost.

    Shape: (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: Channels of the input; with stride 1 equal to `out_channels`.
        out_channels: Channels of the output. The bottleneck has a quarter of them.
        stride: 1 or 2.
        groups: g.
        first_groups: Groups of the first 1×1 convolution. The network's very first unit has 1: its
            input has too few channels to be split (section 3.2).
        shuffle: False leaves out the channel shuffle, to see what it is good for (table 3).

    Raises:
        ValueError: The stride is neither 1 nor 2, or would need another number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        groups: int,
        *,
        first_groups: int | None = None,
        shuffle: bool = True,
    ) -> None:
        check_choice("stride", stride, (1, 2))
        if stride == 1 and in_channels != out_channels:
            raise ValueError(
                f"with stride 1 the input is added, so in_channels must equal out_channels; "
                f"got {in_channels} and {out_channels}"
            )
        super().__init__()
        bottleneck = out_channels // 4
        residual_channels = out_channels if stride == 1 else out_channels - in_channels
        self.groups = groups if shuffle else 1  # one group: the shuffle changes nothing
        self.gconv1 = ConvNormActivation(in_channels, bottleneck, 1, groups=first_groups or groups)
        self.dwconv = ConvNormActivation(
            bottleneck, bottleneck, 3, stride, groups=bottleneck, activation=None
        )
        self.gconv2 = ConvNormActivation(
            bottleneck, residual_channels, 1, groups=groups, activation=None
        )
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the unit, from top to bottom of the figure."""
        residual = self.gconv1(x)  # (N, out/4, H, W)
        residual = channel_shuffle(residual, self.groups)
        residual = self.dwconv(residual)  # (N, out/4, H', W')
        residual = self.gconv2(residual)  # (N, out, H', W'), with stride 2 out - in channels
        if self.pool is None:
            return self.relu(x + residual)
        return self.relu(torch.cat([self.pool(x), residual], dim=1))


class ShuffleNetV1(nn.Module):
    """ShuffleNet (v1).

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        groups: g, one of 1, 2, 3, 4, 8.
        width_multiplier: s of "ShuffleNet s×"; the paper has 0.25 to 2. Channels are rounded so
            that the groups of the bottleneck come out even.
        shuffle: False leaves out the channel shuffle.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        groups: int = 3,
        width_multiplier: float = 1.0,
        shuffle: bool = True,
    ) -> None:
        check_network(num_classes, in_channels)
        check_choice("groups", groups, STAGE2_CHANNELS)
        super().__init__()
        channels = scaled_channels(24, width_multiplier, divisor=groups)
        self.conv1 = ConvNormActivation(in_channels, channels, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages: list[nn.Module] = []
        stage2 = scaled_channels(STAGE2_CHANNELS[groups], width_multiplier, divisor=4 * groups)
        for i, repeats in enumerate(REPEATS):
            out_channels = stage2 * 2**i
            first = ShuffleUnit(
                channels,
                out_channels,
                2,
                groups,
                first_groups=1 if i == 0 else groups,
                shuffle=shuffle,
            )
            others = [
                ShuffleUnit(out_channels, out_channels, 1, groups, shuffle=shuffle)
                for _ in range(repeats - 1)
            ]
            stages.append(nn.Sequential(first, *others))
            channels = out_channels
        self.stage2, self.stage3, self.stage4 = stages
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        he_initialization(self)
        gaussian_initialization(self.fc, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.conv1(x)  # 3×224×224 -> 24×112×112
        x = self.pool(x)  # 24×56×56
        x = self.stage2(x)  # 240×28×28, with g = 3
        x = self.stage3(x)  # 480×14×14
        x = self.stage4(x)  # 960×7×7
        x = self.global_pool(x).flatten(1)  # 960
        return self.fc(x)  # 1000


def shufflenet_v1(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    groups: int = 3,
    width_multiplier: float = 1.0,
    shuffle: bool = True,
) -> ShuffleNetV1:
    """Build ShuffleNet v1; see `ShuffleNetV1` for the arguments."""
    return ShuffleNetV1(
        num_classes,
        in_channels,
        groups=groups,
        width_multiplier=width_multiplier,
        shuffle=shuffle,
    )
