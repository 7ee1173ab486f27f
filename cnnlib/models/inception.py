"""Inception-v3: GoogLeNet's modules with smaller and one-dimensional filters (2016).

Idea: four design principles (no early bottleneck; higher-dimensional representations are easier to
separate locally; channels may be reduced before spatial filters; balance depth and width) and what
follows from them:

* a 5×5 convolution becomes two of 3×3, 28 % cheaper with the same field (`FactorizedModule`);
* an n×n convolution becomes 1×n and n×1, 33 % cheaper for n = 3 and 71 % for n = 7, on maps of 12
  to 20 pixels (`AsymmetricModule`);
* on the coarsest maps 1×3 and 3×1 stand side by side and widen the output (`ExpandedModule`);
* a map is halved by a strided convolution and a pooling in parallel, so that there is neither a
  bottleneck nor a costly layer on the large map (`GridReductionA`, `GridReductionB`);
* targets are smoothed: nobody is sure to 100 % (`cnnlib.losses.LabelSmoothingLoss`);
* one auxiliary head with batch normalisation, which regularises.

| for 299×299 images | output     |              | output                            |
|--------------------|------------|--------------|-----------------------------------|
| 3×3/2, 32          | 32×149×149 | 3 factorized | 256×35×35, 288×35×35, 288×35×35   |
| 3×3, 32            | 32×147×147 | reduction A  | 768×17×17                         |
| 3×3 padded, 64     | 64×147×147 | 4 asymmetric | 768×17×17                         |
| pool 3×3/2         | 64×73×73   | reduction B  | 1280×8×8                          |
| 1×1, 80            | 80×73×73   | 2 expanded   | 2048×8×8                          |
| 3×3, 192           | 192×71×71  | average pool | 2048                              |
| pool 3×3/2         | 192×35×35  | linear       | 1000                              |

Deviation: table 1 of the paper and the network that its authors released differ in small things (a
1×1 instead of a 3×3 in the stem; the first kind of module keeps a 5×5 branch; sizes of the last
modules). This is the released one, as in torchvision, with its initialisation: 27,161,264
parameters with the auxiliary head, 23,834,568 without.

Reference: Szegedy et al., "Rethinking the Inception architecture for computer vision",
CVPR 2016, arXiv:1512.00567.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from cnnlib.blocks import Branches, ConvNormActivation, ImageNetToInceptionInput
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._weights import check_weights, load_weights

Conv = partial(ConvNormActivation, norm=partial(nn.BatchNorm2d, eps=1e-3))


def _pool_branch(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), Conv(in_channels, out_channels, 1))


class FactorizedModule(Branches):
    """Figure 5 of the paper: two 3×3 convolutions do a 5×5's work. Keeps H×W.

    As in the released network a second branch still has the 5×5.
    """

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__(
            Conv(in_channels, 64, 1),
            nn.Sequential(Conv(in_channels, 48, 1), Conv(48, 64, 5)),
            nn.Sequential(Conv(in_channels, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3)),
            _pool_branch(in_channels, pool_channels),
        )


class AsymmetricModule(Branches):
    """Figure 6 of the paper with n = 7: n×n as 1×n then n×1. Keeps H×W; 768 channels come out.

    Args:
        in_channels: Channels of the input.
        width: Channels inside the two factorised branches.
        n: Length of the one-dimensional filters (odd).
    """

    def __init__(self, in_channels: int, width: int, n: int = 7) -> None:
        super().__init__(
            Conv(in_channels, 192, 1),
            nn.Sequential(
                Conv(in_channels, width, 1),
                Conv(width, width, (1, n)),
                Conv(width, 192, (n, 1)),
            ),
            nn.Sequential(
                Conv(in_channels, width, 1),
                Conv(width, width, (n, 1)),
                Conv(width, width, (1, n)),
                Conv(width, width, (n, 1)),
                Conv(width, 192, (1, n)),
            ),
            _pool_branch(in_channels, 192),
        )


class ExpandedModule(Branches):
    """Figure 7 of the paper: 1×3 and 3×1 side by side. Keeps H×W; 2048 channels come out."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            Conv(in_channels, 320, 1),
            nn.Sequential(Conv(in_channels, 384, 1), self._fork()),
            nn.Sequential(Conv(in_channels, 448, 1), Conv(448, 384, 3), self._fork()),
            _pool_branch(in_channels, 192),
        )

    @staticmethod
    def _fork() -> Branches:
        return Branches(Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1)))


class GridReductionA(Branches):
    """Figure 10 of the paper, 35×35 to 17×17; adds 480 channels to those of the input."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            Conv(in_channels, 384, 3, 2, padding=0),
            nn.Sequential(Conv(in_channels, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3, 2, padding=0)),
            nn.MaxPool2d(3, stride=2),
        )


class GridReductionB(Branches):
    """The same from 17×17 to 8×8, with a factorised 7×7; adds 512 channels to the input's."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            nn.Sequential(Conv(in_channels, 192, 1), Conv(192, 320, 3, 2, padding=0)),
            nn.Sequential(
                Conv(in_channels, 192, 1),
                Conv(192, 192, (1, 7)),
                Conv(192, 192, (7, 1)),
                Conv(192, 192, 3, 2, padding=0),
            ),
            nn.MaxPool2d(3, stride=2),
        )


class AuxiliaryHead(nn.Sequential):
    """A classifier on the last 17×17 maps, used in training only. (N, C, H, W) to (N, classes)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(
            nn.AvgPool2d(5, stride=3),  # 768×17×17 -> 768×5×5
            Conv(in_channels, 128, 1),  # 128×5×5
            Conv(128, 768, 5, padding=0),  # 768×1×1
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(768, num_classes),
        )


class InceptionOutputs(NamedTuple):
    """What Inception-v3 returns in training when it has the auxiliary head."""

    logits: Tensor
    aux: Tensor


class InceptionV3(nn.Module):
    """Inception-v3.

    Shape: (N, in_channels, H, W) to (N, num_classes); 299×299 in the paper, at least 75×75. With
    the auxiliary head and in training mode the result is an `InceptionOutputs` of two such tensors.
    Images must then have at least 299×299 pixels; with a batch of one 347×347, because the head's
    last map is 1×1 at 299 and batch normalisation needs more than one value.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        aux_heads: Whether to have the auxiliary classifier.
        dropout: Share of the inputs of the last layer set to 0 in training.
        transform_input: Take images normalised for ImageNet and turn them into the [-1, 1] that
            the published weights expect. Needs 3 channels.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        aux_heads: bool = True,
        dropout: float = 0.5,
        transform_input: bool = False,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("aux_heads", aux_heads, (False, True))
        if transform_input and in_channels != 3:
            raise ValueError(f"transform_input=True needs in_channels=3; got {in_channels}")
        super().__init__()
        self.transform_input = ImageNetToInceptionInput() if transform_input else nn.Identity()
        self.stem = nn.Sequential(
            Conv(in_channels, 32, 3, 2, padding=0),
            Conv(32, 32, 3, padding=0),
            Conv(32, 64, 3),
            nn.MaxPool2d(3, stride=2),
            Conv(64, 80, 1),
            Conv(80, 192, 3, padding=0),
            nn.MaxPool2d(3, stride=2),
        )
        self.factorized = nn.Sequential(
            FactorizedModule(192, 32), FactorizedModule(256, 64), FactorizedModule(288, 64)
        )
        self.reduction_a = GridReductionA(288)
        self.asymmetric = nn.Sequential(*(AsymmetricModule(768, w) for w in (128, 160, 160, 192)))
        self.aux = AuxiliaryHead(768, num_classes) if aux_heads else None
        self.reduction_b = GridReductionB(768)
        self.expanded = nn.Sequential(ExpandedModule(1280), ExpandedModule(2048))
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        """Truncated normal as in the authors' release; smaller at the end of the head."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.aux is not None:
            nn.init.trunc_normal_(self.aux[2].conv.weight, std=0.01)
            nn.init.trunc_normal_(self.aux[5].weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor | InceptionOutputs:
        """Classify images; returns one logit per class, in training perhaps of two heads."""
        x = self.stem(self.transform_input(x))  # 3×299×299 -> 192×35×35
        x = self.factorized(x)  # 288×35×35
        x = self.reduction_a(x)  # 768×17×17
        x = at_17x17 = self.asymmetric(x)  # 768×17×17
        x = self.reduction_b(x)  # 1280×8×8
        x = self.expanded(x)  # 2048×8×8
        x = self.global_pool(x).flatten(1)  # 2048
        logits = self.fc(self.dropout(x))  # 1000
        if self.training and self.aux is not None:
            return InceptionOutputs(logits, self.aux(at_17x17))
        return logits


def inception_v3(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    aux_heads: bool = True,
    dropout: float = 0.5,
    weights: str | None = None,
) -> InceptionV3:
    """Build Inception-v3; see `InceptionV3`. `weights="imagenet"` turns `transform_input` on."""
    check_weights(weights, num_classes, in_channels)
    model = InceptionV3(
        num_classes,
        in_channels,
        aux_heads=aux_heads,
        dropout=dropout,
        transform_input=weights is not None,
    )
    options = {"aux_logits": aux_heads, "init_weights": False}
    return load_weights(model, weights, "inception_v3", torchvision_options=options)
