"""ResNeXt and wide residual networks: other 3×3 layers in the bottleneck (2016, 2017).

ResNeXt's idea: besides depth and width there is a third dimension, cardinality. Replace a block's
one transformation by many small ones of the same shape, computed side by side and added up. Added
up, 32 paths of 1×1 to 4 channels, 3×3 on 4 channels, 1×1 back equal one bottleneck whose 3×3
convolution has 32 groups (figure 3 of the paper), so that is how it is written. At the same cost
more paths do better than wider ones. "32×4d" says 32 groups of 4 channels in the first stage.

| bottleneck, stage 1 | 1×1        | 3×3                   | 1×1        | weights |
|---------------------|------------|-----------------------|------------|---------|
| ResNet-50           | 256 -> 64  | 64 -> 64              | 64 -> 256  | 69,632  |
| ResNeXt-50 32×4d    | 256 -> 128 | 128 -> 128, 32 groups | 128 -> 256 | 70,144  |
| wide ResNet-50-2    | 256 -> 128 | 128 -> 128            | 128 -> 256 | 212,992 |

Wide residual networks answer the opposite question: instead of a thousand layers, few and wide
ones, which a GPU computes faster. The "bottleneck" variant here doubles the 3×3 layer only.

References: Xie et al., "Aggregated residual transformations for deep neural networks",
CVPR 2017, arXiv:1611.05431. Zagoruyko, Komodakis, "Wide residual networks", BMVC 2016,
arXiv:1605.07146.
"""

from __future__ import annotations

from typing import Any

from cnnlib.models._checks import check_choice
from cnnlib.models.resnet import ResNet, build

# name: depth, groups, width per group
NETWORKS = {
    "resnext50_32x4d": (50, 32, 4),
    "resnext101_32x4d": (101, 32, 4),
    "resnext101_32x8d": (101, 32, 8),
    "resnext101_64x4d": (101, 64, 4),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}


def _resnext(
    name: str, num_classes: int, in_channels: int, weights: str | None, options: dict[str, Any]
) -> ResNet:
    depth, groups, width_per_group = NETWORKS[name]
    return build(
        name,
        depth,
        num_classes,
        in_channels,
        weights,
        groups=groups,
        width_per_group=width_per_group,
        **options,
    )


def resnext50_32x4d(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNeXt-50 32×4d, 25,028,904 parameters; `ResNet` says what the options are."""
    return _resnext("resnext50_32x4d", num_classes, in_channels, weights, options)


def resnext101_32x4d(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNeXt-101 32×4d, the paper's, 44,177,704 parameters; `ResNet` says what the options are.

    Raises:
        ValueError: `weights` is given; torchvision publishes none for this network.
    """
    check_choice("weights", weights, (None,))
    return _resnext("resnext101_32x4d", num_classes, in_channels, weights, options)


def resnext101_32x8d(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNeXt-101 32×8d, 88,791,336 parameters; `ResNet` says what the options are."""
    return _resnext("resnext101_32x8d", num_classes, in_channels, weights, options)


def resnext101_64x4d(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """ResNeXt-101 64×4d, 83,455,272 parameters; `ResNet` says what the options are."""
    return _resnext("resnext101_64x4d", num_classes, in_channels, weights, options)


def wide_resnet50_2(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """Wide ResNet-50-2, 68,883,240 parameters; `ResNet` says what the options are."""
    return _resnext("wide_resnet50_2", num_classes, in_channels, weights, options)


def wide_resnet101_2(
    num_classes: int = 1000, in_channels: int = 3, *, weights: str | None = None, **options: Any
) -> ResNet:
    """Wide ResNet-101-2, 126,886,696 parameters; `ResNet` says what the options are."""
    return _resnext("wide_resnet101_2", num_classes, in_channels, weights, options)
