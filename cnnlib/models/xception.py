"""Xception: Inception taken to its extreme (2017).

Idea: an Inception module maps correlations across channels (1×1) and correlations in space (3×3)
apart, in a few towers. With one tower per channel it becomes a depthwise separable convolution:
filter every channel by itself, then mix channels with 1×1 filters. Two things are often confused:
"extreme Inception" has the 1×1 first and a ReLU after each half; the separable convolution used
here filters first and has nothing in between, which the paper found better (section 4.7). The
modules have linear residual connections.

Figure 5, for a 3×299×299 image; every convolution is followed by batch normalisation:

| flow   | module                                                        | output      |
|--------|---------------------------------------------------------------|-------------|
| entry  | conv 32 of 3×3 stride 2, conv 64 of 3×3                       | 64×147×147  |
|        | 2 separable 128, max pool stride 2, shortcut 1×1 stride 2     | 128×74×74   |
|        | 2 separable 256, max pool stride 2, shortcut 1×1 stride 2     | 256×37×37   |
|        | 2 separable 728, max pool stride 2, shortcut 1×1 stride 2     | 728×19×19   |
| middle | 8 times: 3 separable 728, shortcut                            | 728×19×19   |
| exit   | separable 728 and 1024, max pool stride 2, shortcut 1×1       | 1024×10×10  |
|        | separable 1536 and 2048, global average pooling               | 2048        |
|        | dropout 0.5, linear                                           | 1000        |

Parameters: 22,855,952 (table 3). Keras reports 22,910,480 because it adds the 54,528 running means
and variances of batch normalisation.

The figure does not say which convolutions are padded; as in the author's Keras code the first two
are not. The paper gives no initialisation: Glorot's, the default of Keras.

Reference: Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017,
arXiv:1610.02357.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, SeparableConv2d, xavier_initialization
from cnnlib.models._checks import check_network, check_positive

# Figure 5: the filters of the separable convolutions of each residual module.
ENTRY_FLOW = ((128, 128), (256, 256), (728, 728))
MIDDLE_FLOW = (728, 728, 728)
EXIT_FLOW = (728, 1024)


def separable(in_channels: int, out_channels: int) -> list[nn.Module]:
    """A 3×3 separable convolution with its batch normalisation."""
    return [SeparableConv2d(in_channels, out_channels, 3), nn.BatchNorm2d(out_channels)]


class XceptionModule(nn.Module):
    """Separable convolutions, each after a ReLU, around which a shortcut runs.

    Shape: (N, in_channels, H, W) to (N, filters[-1], H', W'); H' = ceil(H / 2) with `downsample`.

    Args:
        in_channels: Channels of the input.
        filters: Filters of each separable convolution.
        downsample: End in a max pooling of stride 2; the shortcut becomes a 1×1 convolution.
        first_relu: Whether a ReLU comes first. It does not in the first module of the network,
            whose input has just been through one.
    """

    def __init__(
        self,
        in_channels: int,
        filters: tuple[int, ...],
        *,
        downsample: bool = False,
        first_relu: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for i, out_channels in enumerate(filters):
            if i > 0:
                layers.append(nn.ReLU(inplace=True))
            elif first_relu:
                layers.append(nn.ReLU())  # not in place: the shortcut needs the input as it is
            layers += separable(channels, out_channels)
            channels = out_channels
        if downsample:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.residual = nn.Sequential(*layers)
        self.shortcut = (
            ConvNormActivation(in_channels, channels, 1, stride=2, activation=None)
            if downsample
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the shortcut; there is no ReLU after the sum."""
        return self.residual(x) + self.shortcut(x)


class Xception(nn.Module):
    """Xception.

    Shape: (N, in_channels, H, W) to (N, num_classes); 299×299 in the paper, at least 7×7.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        dropout: Share of the inputs of the last layer set to 0 in training.
        middle_modules: Repetitions of the middle flow; the paper has 8.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        dropout: float = 0.5,
        middle_modules: int = 8,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_positive("middle_modules", middle_modules)
        super().__init__()
        self.conv1 = ConvNormActivation(in_channels, 32, 3, stride=2, padding=0)
        self.conv2 = ConvNormActivation(32, 64, 3, padding=0)
        entry: list[nn.Module] = []
        channels = 64
        for i, filters in enumerate(ENTRY_FLOW):
            entry.append(XceptionModule(channels, filters, downsample=True, first_relu=i > 0))
            channels = filters[-1]
        self.entry = nn.Sequential(*entry)
        self.middle = nn.Sequential(
            *[XceptionModule(channels, MIDDLE_FLOW) for _ in range(middle_modules)]
        )
        self.exit = XceptionModule(channels, EXIT_FLOW, downsample=True)
        self.conv3 = nn.Sequential(*separable(1024, 1536), nn.ReLU(inplace=True))
        self.conv4 = nn.Sequential(*separable(1536, 2048), nn.ReLU(inplace=True))
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        xavier_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.conv1(x)  # 3×299×299 -> 32×149×149
        x = self.conv2(x)  # 64×147×147
        x = self.entry(x)  # 128×74×74, 256×37×37, 728×19×19
        x = self.middle(x)  # 728×19×19
        x = self.exit(x)  # 1024×10×10
        x = self.conv4(self.conv3(x))  # 2048×10×10
        x = self.global_pool(x).flatten(1)  # 2048
        return self.fc(self.dropout(x))  # 1000


def xception(num_classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5) -> Xception:
    """Build Xception; see `Xception` for the arguments."""
    return Xception(num_classes, in_channels, dropout=dropout)
