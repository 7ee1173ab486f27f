"""ResNet: layers that learn a change of their input make very deep networks trainable (2016).

Idea: plain networks of 3×3 convolutions get worse when they get deeper, on the training set too, so
over-fitting is not the reason. Yet a deeper net could copy the shallower one and let the added
layers do nothing. Doing nothing is hard to learn as a mapping H(x) = x and easy as a residual: let
the layers learn F(x) = H(x) - x and add x back, y = F(x) + x. Zero weights then give the identity.

Table 1 of the paper, for 224×224 images (`DEPTHS` below; every stage but the first starts with
stride 2; batch normalisation follows every convolution, before ReLU):

| stage | output  | 18       | 34       | 50            | 101            | 152            |
|-------|---------|----------|----------|---------------|----------------|----------------|
| stem  | 112→56  | 7×7, 64, stride 2, then max pool 3×3, stride 2                        |||||
| 1     | 56×56   | 2×(3,3)  | 3×(3,3)  | 3×(1,3,1)     | 3×(1,3,1)      | 3×(1,3,1)      |
| 2     | 28×28   | 2×(3,3)  | 4×(3,3)  | 4×(1,3,1)     | 4×(1,3,1)      | 8×(1,3,1)      |
| 3     | 14×14   | 2×(3,3)  | 6×(3,3)  | 6×(1,3,1)     | 23×(1,3,1)     | 36×(1,3,1)     |
| 4     | 7×7     | 2×(3,3)  | 3×(3,3)  | 3×(1,3,1)     | 3×(1,3,1)      | 3×(1,3,1)      |
| head  | 1×1     | global average pool, fully connected 1000                             |||||

The widths are 64, 128, 256, 512; the bottleneck (1,3,1) ends with four times as many channels.

`shortcut="none"` makes the plain networks that these are compared with. The CIFAR networks of
section 4.2 are in `cifar_resnet.py`; ResNeXt and the wide networks, which change only the
bottleneck's 3×3 layer, in `resnext.py`.

Deviation: the text leaves open which convolution of a bottleneck has the stride. The authors'
release puts it in the first 1×1, which skips three quarters of the input; it is
`variant="original"`. The default, `variant="torchvision"`, puts it in the 3×3 as all published
PyTorch weights do. The number of parameters is the same.

Reference: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016,
arXiv:1512.03385.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, he_initialization
from cnnlib.models._checks import check_choice, check_network, check_positive
from cnnlib.models._weights import check_weights, load_weights

SHORTCUTS = ("A", "B", "C", "none")
VARIANTS = ("torchvision", "original")


class PadShortcut(nn.Module):
    """Shortcut A: takes every `stride`-th pixel and appends maps of zeros. Has no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + extra, ceil(H / stride), ceil(W / stride))."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra_channels))  # pads W, H, then C at its end


def make_shortcut(kind: str, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """Build the path around a block.

    Args:
        kind: "A" pads with zeros where the shape changes, "B" projects by a 1×1 convolution where
            it changes, "C" projects always, "none" makes a plain network: there is no path.
        in_channels: Channels of the block's input.
        out_channels: Channels of its output.
        stride: Stride of the block.
    """
    check_choice("shortcut", kind, SHORTCUTS)
    if kind == "none":
        return None
    if kind != "C" and in_channels == out_channels and stride == 1:
        return nn.Identity()
    if kind == "A":
        return PadShortcut(in_channels, out_channels, stride)
    return ConvNormActivation(in_channels, out_channels, 1, stride, activation=None)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: the block of ResNet-18 and ResNet-34.

    Shape: (N, in_channels, H, W) to (N, width, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        width: Channels of both convolutions.
        stride: Stride of the first convolution.
        shortcut: "A", "B", "C" or "none"; see `make_shortcut`.
    """

    expansion = 1  # channels of the output / width

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, *, shortcut: str = "B"
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormActivation(in_channels, width, 3, stride)
        self.conv2 = ConvNormActivation(width, width, 3, activation=None)
        self.shortcut = make_shortcut(shortcut, in_channels, width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return y = ReLU(F(x) + shortcut(x))."""
        y = self.conv2(self.conv1(x))  # F(x)
        if self.shortcut is not None:
            y += self.shortcut(x)
        return self.relu(y)


class Bottleneck(nn.Module):
    """1×1 to fewer channels, 3×3, 1×1 to more, and a shortcut: the block of ResNet-50 and deeper.

    Shape: (N, in_channels, H, W) to (N, 4 * width, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        width: A quarter of the output's channels.
        stride: Stride of the block.
        shortcut: "A", "B", "C" or "none"; see `make_shortcut`.
        groups: Groups of the 3×3 convolution; ResNeXt calls them cardinality.
        width_per_group: Channels per group when `width` is 64, and in proportion otherwise. 1 group
            of 64 is ResNet, 32 groups of 4 is ResNeXt 32×4d, 1 group of 128 is a wide ResNet.
        variant: "torchvision" has the stride in the 3×3 convolution, "original" in the first 1×1.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        shortcut: str = "B",
        groups: int = 1,
        width_per_group: int = 64,
        variant: str = "torchvision",
    ) -> None:
        check_choice("variant", variant, VARIANTS)
        super().__init__()
        inner = width * width_per_group // 64 * groups
        out_channels = self.expansion * width
        stride1, stride2 = (1, stride) if variant == "torchvision" else (stride, 1)
        self.conv1 = ConvNormActivation(in_channels, inner, 1, stride1)
        self.conv2 = ConvNormActivation(inner, inner, 3, stride2, groups=groups)
        self.conv3 = ConvNormActivation(inner, out_channels, 1, activation=None)
        self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return y = ReLU(F(x) + shortcut(x))."""
        y = self.conv3(self.conv2(self.conv1(x)))  # F(x)
        if self.shortcut is not None:
            y += self.shortcut(x)
        return self.relu(y)


DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """ResNet for ImageNet-sized images.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, any size works.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        shortcut: "A", "B" (the paper's choice for the deep ones), "C" or "none".
        groups: Groups of the bottleneck's 3×3 convolution.
        width_per_group: Their width in the first stage; see `Bottleneck`.
        variant: "torchvision" or "original"; where a bottleneck has its stride.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        shortcut: str = "B",
        groups: int = 1,
        width_per_group: int = 64,
        variant: str = "torchvision",
    ) -> None:
        check_network(num_classes, in_channels)
        check_choice("depth", depth, DEPTHS)
        check_choice("shortcut", shortcut, SHORTCUTS)
        check_choice("variant", variant, VARIANTS)
        check_positive("groups", groups)
        check_positive("width_per_group", width_per_group)
        super().__init__()
        block, (n1, n2, n3, n4) = DEPTHS[depth]
        options: dict[str, Any] = {"shortcut": shortcut}
        if block is Bottleneck:
            options |= {"groups": groups, "width_per_group": width_per_group, "variant": variant}
        elif (groups, width_per_group) != (1, 64):
            raise ValueError("groups and width_per_group need a bottleneck: depth 50, 101 or 152")

        self.stem = ConvNormActivation(in_channels, 64, 7, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        e = block.expansion
        self.stage1 = make_stage(block, n1, 64, 64, 1, options)
        self.stage2 = make_stage(block, n2, 64 * e, 128, 2, options)
        self.stage3 = make_stage(block, n3, 128 * e, 256, 2, options)
        self.stage4 = make_stage(block, n4, 256 * e, 512, 2, options)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * e, num_classes)
        he_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.pool(self.stem(x))  # 3×224×224 -> 64×112×112 -> 64×56×56
        x = self.stage1(x)  # 64e×56×56, where e is the block's expansion, 1 or 4
        x = self.stage2(x)  # 128e×28×28
        x = self.stage3(x)  # 256e×14×14
        x = self.stage4(x)  # 512e×7×7
        x = self.global_pool(x).flatten(1)  # 512e
        return self.fc(x)  # 1000


def make_stage(
    block: type[nn.Module],
    blocks: int,
    in_channels: int,
    width: int,
    stride: int,
    options: dict[str, Any],
) -> nn.Sequential:
    """Stack `blocks` blocks of one width; the first has the stride and changes the channels."""
    out_channels = block.expansion * width
    stage = [block(in_channels, width, stride, **options)]
    stage += [block(out_channels, width, **options) for _ in range(blocks - 1)]
    return nn.Sequential(*stage)


def build(
    name: str, depth: int, num_classes: int, in_channels: int, weights: str | None, **options: Any
) -> ResNet:
    """Build a ResNet and load the weights published for torchvision's constructor `name`."""
    variant = options.get("variant", "torchvision")
    check_weights(
        weights, num_classes, in_channels, variant=variant, published_variant="torchvision"
    )
    return load_weights(ResNet(depth, num_classes, in_channels, **options), weights, name)


def resnet18(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNet-18, 11,689,512 parameters; `ResNet` says what the options are."""
    return build("resnet18", 18, num_classes, in_channels, weights, **options)


def resnet34(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNet-34, 21,797,672 parameters; `ResNet` says what the options are."""
    return build("resnet34", 34, num_classes, in_channels, weights, **options)


def resnet50(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNet-50, 25,557,032 parameters; `ResNet` says what the options are."""
    return build("resnet50", 50, num_classes, in_channels, weights, **options)


def resnet101(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNet-101, 44,549,160 parameters; `ResNet` says what the options are."""
    return build("resnet101", 101, num_classes, in_channels, weights, **options)


def resnet152(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNet-152, 60,192,808 parameters; `ResNet` says what the options are."""
    return build("resnet152", 152, num_classes, in_channels, weights, **options)
