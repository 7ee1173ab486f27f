"""ZFNet: AlexNet, improved by looking at what its layers had learned (2014).

Idea: a deconvolutional network projects activations back to the image. What it showed of AlexNet's
first layer (extreme frequencies, few in the middle; aliasing from stride 4) led to smaller filters
and a smaller step there. The rest is AlexNet without the split into two towers.

| layer | filters        | stride | output, 224×224 image (figure 3 of the paper)        |
|-------|----------------|--------|------------------------------------------------------|
| conv1 | 96 of 7×7      | 2      | 96×110×110, max pool 3×3 stride 2, norm: 96×55×55    |
| conv2 | 256 of 5×5     | 2      | 256×26×26, max pool 3×3 stride 2, norm: 256×13×13    |
| conv3 | 384 of 3×3     | 1      | 384×13×13                                            |
| conv4 | 384 of 3×3     | 1      | 384×13×13                                            |
| conv5 | 256 of 3×3     | 1      | 256×13×13, max pool 3×3 stride 2: 256×6×6            |
| fc    | 4096, 4096, C  |        | dropout 0.5 before the first two                     |

Variants: "original" (62,357,608 parameters) and "enlarged", with 512, 1024, 512 filters in layers
3 to 5 (table 2 of the paper: "larger maps").

Deviations: the paper names neither padding nor the constants of its normalisation across maps. The
padding below is what gives the sizes of figure 3; the normalisation is AlexNet's.

Reference: Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
arXiv:1311.2901.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import LocalResponseNorm, gaussian_initialization
from cnnlib.models._checks import check_choice, check_network

VARIANTS = {  # filters of conv1 to conv5
    "original": (96, 256, 384, 384, 256),
    "enlarged": (96, 256, 512, 1024, 512),
}


class ZFNet(nn.Module):
    """ZFNet.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, at least 47×47. An
    adaptive pooling brings the last map to 6×6 for images of other sizes.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        variant: "original" or "enlarged".
        dropout: Share of the inputs of the first two fully connected layers set to 0 in training.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        variant: str = "original",
        dropout: float = 0.5,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("variant", variant, VARIANTS)
        super().__init__()
        c1, c2, c3, c4, c5 = VARIANTS[variant]

        self.conv1 = nn.Conv2d(in_channels, c1, 7, stride=2, padding=1)
        self.conv2 = nn.Conv2d(c1, c2, 5, stride=2)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)
        self.conv4 = nn.Conv2d(c3, c4, 3, padding=1)
        self.conv5 = nn.Conv2d(c4, c5, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)  # 110 -> 55 needs rounding up
        self.norm = LocalResponseNorm()
        self.resize = nn.AdaptiveAvgPool2d(6)

        self.dropout = nn.Dropout(dropout)
        self.fc6 = nn.Linear(c5 * 6 * 6, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        gaussian_initialization(self, std=0.01)  # the paper: weights 10^-2, biases 0

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.relu(self.conv1(x))  # 3×224×224 -> 96×110×110
        x = self.norm(self.pool(x))  # 96×55×55
        x = self.relu(self.conv2(x))  # 256×26×26
        x = self.norm(self.pool(x))  # 256×13×13
        x = self.relu(self.conv3(x))  # 384×13×13
        x = self.relu(self.conv4(x))  # 384×13×13
        x = self.relu(self.conv5(x))  # 256×13×13
        x = self.resize(self.pool(x))  # 256×6×6

        x = self.dropout(x.flatten(1))  # 9216
        x = self.dropout(self.relu(self.fc6(x)))  # 4096
        x = self.relu(self.fc7(x))  # 4096
        return self.fc8(x)  # 1000


def zfnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "original",
    dropout: float = 0.5,
) -> ZFNet:
    """Build ZFNet; see `ZFNet` for the arguments. No weights are published for it."""
    return ZFNet(num_classes, in_channels, variant=variant, dropout=dropout)
