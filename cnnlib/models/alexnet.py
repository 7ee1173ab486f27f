"""AlexNet: won ILSVRC 2012 and made the field turn to deep learning (2012).

Idea: what LeNet does for digits, at ImageNet's size. Five convolutions and three fully connected
layers, made trainable by ReLU (whose slope does not vanish for large inputs), dropout and heavy
augmentation (60 million parameters on 1.2 million images) and two GPUs. The GPUs leave a trace in
the architecture: the filters are split into two towers that see each other only in conv3 and in the
fully connected layers, which today is written `groups=2`.

| layer | filters          | stride | groups | output, 227×227 image                            |
|-------|------------------|--------|--------|--------------------------------------------------|
| conv1 | 96 of 11×11×3    | 4      | 1      | 96×55×55, LRN, max pool 3×3 stride 2: 96×27×27   |
| conv2 | 256 of 5×5×48    | 1      | 2      | 256×27×27, LRN, max pool 3×3 stride 2: 256×13×13 |
| conv3 | 384 of 3×3×256   | 1      | 1      | 384×13×13                                        |
| conv4 | 384 of 3×3×192   | 1      | 2      | 384×13×13                                        |
| conv5 | 256 of 3×3×192   | 1      | 2      | 256×13×13, max pool 3×3 stride 2: 256×6×6        |
| fc    | 4096, 4096, 1000 |        |        | dropout 0.5 before the first two                 |

Variants: "original" (60,965,224 parameters), "ungrouped" (every filter sees all channels;
62,378,344) and "torchvision" (one tower of 64-192-384-256-256 filters without LRN; 61,100,840),
which is from Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
arXiv:1404.5997.

Reference: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from cnnlib.blocks import LocalResponseNorm, gaussian_initialization
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._weights import check_weights, load_weights


class Tower(NamedTuple):
    """What differs between the variants."""

    filters: tuple[int, int, int, int, int]  # of conv1 to conv5
    groups: int  # of conv2, conv4 and conv5
    lrn: bool
    padding: int  # of conv1


VARIANTS = {
    # The paper says 224, but (224 - 11) / 4 + 1 is not whole: 227 gives its 55 without padding,
    # 224 needs 2 zeros on each side.
    "original": Tower((96, 256, 384, 384, 256), groups=2, lrn=True, padding=0),
    "ungrouped": Tower((96, 256, 384, 384, 256), groups=1, lrn=True, padding=0),
    "torchvision": Tower((64, 192, 384, 256, 256), groups=1, lrn=False, padding=2),
}


class AlexNet(nn.Module):
    """AlexNet.

    Shape: (N, in_channels, H, W) to (N, num_classes); 227×227 in the paper and at least 67×67
    (224×224 and 63×63 for the torchvision variant). Deviation: an adaptive pooling brings the last
    map to 6×6 for images of other sizes; at the paper's size it changes nothing.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        variant: "original", "ungrouped" or "torchvision".
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
        (c1, c2, c3, c4, c5), groups, lrn, padding = VARIANTS[variant]

        self.conv1 = nn.Conv2d(in_channels, c1, 11, stride=4, padding=padding)
        self.conv2 = nn.Conv2d(c1, c2, 5, padding=2, groups=groups)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)  # the two towers see each other here
        self.conv4 = nn.Conv2d(c3, c4, 3, padding=1, groups=groups)
        self.conv5 = nn.Conv2d(c4, c5, 3, padding=1, groups=groups)
        self.norm = LocalResponseNorm(n=5, k=2, alpha=1e-4, beta=0.75) if lrn else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2)  # overlapping: the step is smaller than the window
        self.resize = nn.AdaptiveAvgPool2d(6)

        self.dropout = nn.Dropout(dropout)
        self.fc6 = nn.Linear(c5 * 6 * 6, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        """Weights from N(0, 0.01²); bias 1 where the paper wants ReLUs to start active."""
        gaussian_initialization(self, std=0.01)
        for layer in (self.conv2, self.conv4, self.conv5, self.fc6, self.fc7):
            nn.init.ones_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.relu(self.conv1(x))  # 3×227×227 -> 96×55×55
        x = self.pool(self.norm(x))  # 96×27×27
        x = self.relu(self.conv2(x))  # 256×27×27
        x = self.pool(self.norm(x))  # 256×13×13
        x = self.relu(self.conv3(x))  # 384×13×13
        x = self.relu(self.conv4(x))  # 384×13×13
        x = self.relu(self.conv5(x))  # 256×13×13
        x = self.resize(self.pool(x))  # 256×6×6

        x = self.dropout(x.flatten(1))  # 9216
        x = self.dropout(self.relu(self.fc6(x)))  # 4096
        x = self.relu(self.fc7(x))  # 4096
        return self.fc8(x)  # 1000


def alexnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "original",
    dropout: float = 0.5,
    weights: str | None = None,
) -> AlexNet:
    """Build AlexNet; see `AlexNet` for the arguments.

    `weights="imagenet"` needs `variant="torchvision"`: the original's weights are not published in
    a format that PyTorch reads.
    """
    check_weights(
        weights, num_classes, in_channels, variant=variant, published_variant="torchvision"
    )
    model = AlexNet(num_classes, in_channels, variant=variant, dropout=dropout)
    return load_weights(model, weights, "alexnet")
