"""Small residual networks for CIFAR-10 and the plain ones they are compared with (2016).

Section 4.2 of the ResNet paper: the point is depth, so everything else is simple. A 3×3
convolution, then three stages of n blocks with two 3×3 convolutions each, global average pooling, a
linear layer; 6n + 2 layers with weights. Shortcuts have no parameters (kind A), so a plain network
and its residual twin differ in nothing but the addition.

| output size, 32×32 image | 32×32  | 16×16 | 8×8 |
|--------------------------|--------|-------|-----|
| layers                   | 1 + 2n | 2n    | 2n  |
| filters                  | 16     | 32    | 64  |

Parameters (table 6): 0.27 M with 20 layers, 0.46 M with 32, 0.66 M with 44, 0.85 M with 56, 1.7 M
with 110, 19.4 M with 1202.

Reference: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016,
arXiv:1512.03385.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, he_initialization
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models.resnet import SHORTCUTS, BasicBlock, make_stage


class CifarResNet(nn.Module):
    """Residual or plain network for small images.

    Shape: (N, in_channels, H, W) to (N, num_classes); 32×32 in the paper.

    Args:
        depth: 6n + 2 for a whole n: 8, 14, 20, 26, 32, ...
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        shortcut: "A" (the paper's choice here), "B", "C", or "none" for the plain network.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self, depth: int, num_classes: int = 10, in_channels: int = 3, *, shortcut: str = "A"
    ) -> None:
        check_network(num_classes, in_channels)
        check_choice("shortcut", shortcut, SHORTCUTS)
        if not isinstance(depth, int) or depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 (8, 14, 20, 26, 32, ...); got {depth!r}")
        super().__init__()
        n = (depth - 2) // 6
        options = {"shortcut": shortcut}
        self.stem = ConvNormActivation(in_channels, 16, 3)
        self.stage1 = make_stage(BasicBlock, n, 16, 16, 1, options)
        self.stage2 = make_stage(BasicBlock, n, 16, 32, 2, options)
        self.stage3 = make_stage(BasicBlock, n, 32, 64, 2, options)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        he_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.stem(x)  # 3×32×32 -> 16×32×32
        x = self.stage1(x)  # 16×32×32
        x = self.stage2(x)  # 32×16×16
        x = self.stage3(x)  # 64×8×8
        x = self.global_pool(x).flatten(1)  # 64
        return self.fc(x)  # 10


def cifar_resnet20(
    num_classes: int = 10, in_channels: int = 3, *, shortcut: str = "A"
) -> CifarResNet:
    """The residual network with 20 layers for CIFAR-10; see `CifarResNet`."""
    return CifarResNet(20, num_classes, in_channels, shortcut=shortcut)


def cifar_resnet32(
    num_classes: int = 10, in_channels: int = 3, *, shortcut: str = "A"
) -> CifarResNet:
    """The residual network with 32 layers for CIFAR-10; see `CifarResNet`."""
    return CifarResNet(32, num_classes, in_channels, shortcut=shortcut)


def cifar_resnet44(
    num_classes: int = 10, in_channels: int = 3, *, shortcut: str = "A"
) -> CifarResNet:
    """The residual network with 44 layers for CIFAR-10; see `CifarResNet`."""
    return CifarResNet(44, num_classes, in_channels, shortcut=shortcut)


def cifar_resnet56(
    num_classes: int = 10, in_channels: int = 3, *, shortcut: str = "A"
) -> CifarResNet:
    """The residual network with 56 layers for CIFAR-10; see `CifarResNet`."""
    return CifarResNet(56, num_classes, in_channels, shortcut=shortcut)


def cifar_resnet110(
    num_classes: int = 10, in_channels: int = 3, *, shortcut: str = "A"
) -> CifarResNet:
    """The residual network with 110 layers for CIFAR-10; see `CifarResNet`."""
    return CifarResNet(110, num_classes, in_channels, shortcut=shortcut)


def cifar_plain20(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The plain network with 20 layers for CIFAR-10: no shortcuts; see `CifarResNet`."""
    return CifarResNet(20, num_classes, in_channels, shortcut="none")


def cifar_plain32(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The plain network with 32 layers for CIFAR-10: no shortcuts; see `CifarResNet`."""
    return CifarResNet(32, num_classes, in_channels, shortcut="none")


def cifar_plain44(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The plain network with 44 layers for CIFAR-10: no shortcuts; see `CifarResNet`."""
    return CifarResNet(44, num_classes, in_channels, shortcut="none")


def cifar_plain56(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The plain network with 56 layers for CIFAR-10: no shortcuts; see `CifarResNet`."""
    return CifarResNet(56, num_classes, in_channels, shortcut="none")


def cifar_plain110(num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """The plain network with 110 layers for CIFAR-10: no shortcuts; see `CifarResNet`."""
    return CifarResNet(110, num_classes, in_channels, shortcut="none")
