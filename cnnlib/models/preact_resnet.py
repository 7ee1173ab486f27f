"""Pre-activation ResNet: normalise and activate first, keep the shortcut clean (2016).

Idea: in the first ResNet a ReLU follows the addition, so the signal on the shortcut path is changed
after every block. Move normalisation and ReLU in front of the convolutions (BN-ReLU-conv) and
nothing is left on the shortcut: from any block l to any later block L, x_L = x_l + sum of F(x_i),
and the gradient flows back the same way. Networks of 1001 layers then train well.

The depths and widths are those of ResNet. Two ends need care (appendix of the paper): the first
unit takes the activation right after the stem, so it has none of its own, and a last one follows
the last addition.

Reference: He, Zhang, Ren, Sun, "Identity mappings in deep residual networks", ECCV 2016,
arXiv:1603.05027.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, NormActivationConv, he_initialization
from cnnlib.models._checks import check_choice, check_network


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class PreActUnit(nn.Module):
    """y = shortcut + F(x), where F begins with normalisation and activation.

    Where the shape changes, the shortcut is a 1×1 convolution of the activated input; elsewhere it
    is x itself.

    Shape: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the unit.
        activated: The input comes activated (first unit of the network): add no activation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, activated: bool = False
    ) -> None:
        super().__init__()
        self.preactivation = nn.Identity() if activated else _norm_relu(in_channels)
        self.residual = self._residual(in_channels, out_channels, stride)
        self.projection = None
        if in_channels != out_channels or stride != 1:
            self.projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    @staticmethod
    def _residual(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the residual; no activation follows."""
        activated = self.preactivation(x)
        shortcut = x if self.projection is None else self.projection(activated)
        return shortcut + self.residual(activated)


class PreActBasicUnit(PreActUnit):
    """Two 3×3 convolutions."""

    expansion = 1

    @staticmethod
    def _residual(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            NormActivationConv(out_channels, out_channels, 3),
        )


class PreActBottleneckUnit(PreActUnit):
    """1×1 to a quarter of the output's channels, 3×3 with the stride, 1×1 to all of them."""

    expansion = 4

    @staticmethod
    def _residual(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        inner = out_channels // 4
        return nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            NormActivationConv(inner, inner, 3, stride),
            NormActivationConv(inner, out_channels, 1),
        )


DEPTHS: dict[int, tuple[type[PreActUnit], tuple[int, int, int, int]]] = {
    18: (PreActBasicUnit, (2, 2, 2, 2)),
    34: (PreActBasicUnit, (3, 4, 6, 3)),
    50: (PreActBottleneckUnit, (3, 4, 6, 3)),
    101: (PreActBottleneckUnit, (3, 4, 23, 3)),
    152: (PreActBottleneckUnit, (3, 8, 36, 3)),
    200: (PreActBottleneckUnit, (3, 24, 36, 3)),
}


class PreActResNet(nn.Module):
    """Pre-activation ResNet for ImageNet-sized images.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        depth: 18, 34, 50, 101, 152 or 200.
        num_classes: Number of outputs.
        in_channels: Channels of the image.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(self, depth: int, num_classes: int = 1000, in_channels: int = 3) -> None:
        check_network(num_classes, in_channels)
        check_choice("depth", depth, DEPTHS)
        super().__init__()
        unit, units = DEPTHS[depth]
        self.stem = ConvNormActivation(in_channels, 64, 7, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = []
        channels = 64
        for i, (n, width) in enumerate(zip(units, (64, 128, 256, 512), strict=True)):
            out_channels = unit.expansion * width
            first = unit(channels, out_channels, stride=1 if i == 0 else 2, activated=i == 0)
            rest = [unit(out_channels, out_channels) for _ in range(n - 1)]
            stages.append(nn.Sequential(first, *rest))
            channels = out_channels
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.activation = _norm_relu(channels)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        he_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.pool(self.stem(x))  # 3×224×224 -> 64×112×112 -> 64×56×56
        x = self.stage1(x)  # 64e×56×56, where e is the unit's expansion, 1 or 4
        x = self.stage2(x)  # 128e×28×28
        x = self.stage3(x)  # 256e×14×14
        x = self.stage4(x)  # 512e×7×7
        x = self.activation(x)  # after the last addition
        x = self.global_pool(x).flatten(1)  # 512e
        return self.fc(x)  # 1000


def preact_resnet18(num_classes: int = 1000, in_channels: int = 3) -> PreActResNet:
    """Pre-activation ResNet-18; see `PreActResNet` for the arguments."""
    return PreActResNet(18, num_classes, in_channels)


def preact_resnet34(num_classes: int = 1000, in_channels: int = 3) -> PreActResNet:
    """Pre-activation ResNet-34; see `PreActResNet` for the arguments."""
    return PreActResNet(34, num_classes, in_channels)


def preact_resnet50(num_classes: int = 1000, in_channels: int = 3) -> PreActResNet:
    """Pre-activation ResNet-50; see `PreActResNet` for the arguments."""
    return PreActResNet(50, num_classes, in_channels)


def preact_resnet101(num_classes: int = 1000, in_channels: int = 3) -> PreActResNet:
    """Pre-activation ResNet-101; see `PreActResNet` for the arguments."""
    return PreActResNet(101, num_classes, in_channels)


def preact_resnet152(num_classes: int = 1000, in_channels: int = 3) -> PreActResNet:
    """Pre-activation ResNet-152; see `PreActResNet` for the arguments."""
    return PreActResNet(152, num_classes, in_channels)


def preact_resnet200(num_classes: int = 1000, in_channels: int = 3) -> PreActResNet:
    """Pre-activation ResNet-200; see `PreActResNet` for the arguments."""
    return PreActResNet(200, num_classes, in_channels)
