"""GoogLeNet: several filter sizes side by side, with a ninth of AlexNet's weights (2015).

Idea: which filter size is right differs from object to object, so an Inception module applies 1×1,
3×3, 5×5 convolutions and a max pooling side by side and concatenates the maps. Naively that is
expensive, and the depth can only grow, because pooling keeps all channels. 1×1 convolutions reduce
the channels before the large filters and after the pooling. No large fully connected layers: global
average pooling and one linear layer. Two auxiliary classifiers in the middle push gradient into the
lower layers during training; their losses count 0.3 each.

Table 1 of the paper is `MODULES` below. Around it, for 224×224 images: 7×7/2 convolution with 64
filters (112×112), max pool 3×3/2 (56×56), LRN, 1×1 with 64, 3×3 with 192, LRN, max pool 3×3/2
(28×28), modules 3a 3b, max pool (14×14), 4a to 4e, max pool (7×7), 5a 5b, average pool, dropout
0.4, linear.

Variants: "original" (6,998,552 parameters, 13,378,280 with the two heads; the paper's table 1 adds
up to 6.8 million) and "torchvision" (6,624,904), which has batch normalisation instead of biases
and LRN, and 3×3 filters where the paper has 5×5; so do the published weights.

Deviations: the paper names neither an initialisation nor the constants of LRN. We use Glorot and
Bengio's initialisation and the constants of BVLC's published reproduction.

Reference: Szegedy et al., "Going deeper with convolutions", CVPR 2015, arXiv:1409.4842.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from cnnlib.blocks import (
    Branches,
    ConvNormActivation,
    ImageNetToInceptionInput,
    xavier_initialization,
)
from cnnlib.models._checks import check_choice, check_network, check_probability
from cnnlib.models._weights import check_weights, load_weights

VARIANTS = ("original", "torchvision")


class Filters(NamedTuple):
    """A row of table 1: the filters of one module."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    pool_proj: int

    @property
    def out_channels(self) -> int:
        """Channels after the concatenation."""
        return self.conv1x1 + self.conv3x3 + self.conv5x5 + self.pool_proj


MODULES = {
    "3a": Filters(64, 96, 128, 16, 32, 32),
    "3b": Filters(128, 128, 192, 32, 96, 64),
    "4a": Filters(192, 96, 208, 16, 48, 64),
    "4b": Filters(160, 112, 224, 24, 64, 64),
    "4c": Filters(128, 128, 256, 24, 64, 64),
    "4d": Filters(112, 144, 288, 32, 64, 64),
    "4e": Filters(256, 160, 320, 32, 128, 128),
    "5a": Filters(256, 160, 320, 32, 128, 128),
    "5b": Filters(384, 192, 384, 48, 128, 128),
}


def _conv_layer(variant: str) -> partial[ConvNormActivation]:
    """Return the variant's convolution: with batch normalisation or, in the paper, without."""
    if variant == "torchvision":
        return partial(ConvNormActivation, norm=partial(nn.BatchNorm2d, eps=1e-3))
    return partial(ConvNormActivation, norm=None)


class NaiveInception(Branches):
    """The Inception module before the reductions (figure 2a of the paper).

    Shape: (N, in_channels, H, W) to (N, conv1x1 + conv3x3 + conv5x5 + in_channels, H, W).
    """

    def __init__(self, in_channels: int, conv1x1: int, conv3x3: int, conv5x5: int) -> None:
        super().__init__(
            ConvNormActivation(in_channels, conv1x1, 1, norm=None),
            ConvNormActivation(in_channels, conv3x3, 3, norm=None),
            ConvNormActivation(in_channels, conv5x5, 5, norm=None),
            nn.MaxPool2d(3, stride=1, padding=1),
        )


class Inception(Branches):
    """The Inception module with dimension reductions (figure 2b of the paper).

    Shape: (N, in_channels, H, W) to (N, filters.out_channels, H, W).

    Args:
        in_channels: Channels of the input.
        filters: A row of table 1.
        variant: "original" or "torchvision".
    """

    def __init__(self, in_channels: int, filters: Filters, variant: str = "original") -> None:
        check_choice("variant", variant, VARIANTS)
        conv = _conv_layer(variant)
        f = filters
        side = 5 if variant == "original" else 3
        super().__init__(
            conv(in_channels, f.conv1x1, 1),
            nn.Sequential(conv(in_channels, f.reduce3x3, 1), conv(f.reduce3x3, f.conv3x3, 3)),
            nn.Sequential(conv(in_channels, f.reduce5x5, 1), conv(f.reduce5x5, f.conv5x5, side)),
            nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, f.pool_proj, 1)),
        )


class AuxiliaryHead(nn.Module):
    """A small classifier on the maps of module 4a or 4d, used in training only.

    Shape: (N, in_channels, 14, 14) to (N, num_classes).
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float, variant: str) -> None:
        super().__init__()
        # 14×14 -> 4×4. torchvision averages over adaptive windows instead of 5×5 ones. Maps of
        # other sizes are brought to the 4×4 that fc1 needs.
        average = nn.AvgPool2d(5, stride=3) if variant == "original" else nn.Identity()
        self.pool = nn.Sequential(average, nn.AdaptiveAvgPool2d(4))
        self.conv = _conv_layer(variant)(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify; returns one logit per class."""
        x = self.conv(self.pool(x))  # 512×14×14 -> 512×4×4 -> 128×4×4
        x = self.dropout(self.relu(self.fc1(x.flatten(1))))  # 2048 -> 1024
        return self.fc2(x)  # 1000


class GoogLeNetOutputs(NamedTuple):
    """What GoogLeNet returns in training when it has auxiliary heads."""

    logits: Tensor
    aux2: Tensor  # from 4d
    aux1: Tensor  # from 4a


class GoogLeNet(nn.Module):
    """GoogLeNet.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper. With auxiliary heads
    and in training mode the result is a `GoogLeNetOutputs` of three such tensors, and the original
    variant then needs at least 79×79, so that 4a and 4d make maps of 5×5.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        variant: "original" or "torchvision".
        aux_heads: Whether to have the two auxiliary classifiers.
        dropout: Share of the inputs of the last layer set to 0 in training.
        aux_dropout: The same in the auxiliary heads.
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
        variant: str = "original",
        aux_heads: bool = False,
        dropout: float = 0.4,
        aux_dropout: float = 0.7,
        transform_input: bool = False,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("variant", variant, VARIANTS)
        check_choice("aux_heads", aux_heads, (False, True))
        check_probability("aux_dropout", aux_dropout)
        if transform_input and in_channels != 3:
            raise ValueError(f"transform_input=True needs in_channels=3; got {in_channels}")
        super().__init__()
        conv = _conv_layer(variant)

        def lrn() -> nn.Module:
            return nn.LocalResponseNorm(5) if variant == "original" else nn.Identity()

        self.transform_input = ImageNetToInceptionInput() if transform_input else nn.Identity()
        self.stem = nn.Sequential(
            conv(in_channels, 64, 7, 2),  # 64×112×112
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 64×56×56
            lrn(),
            conv(64, 64, 1),  # 64×56×56
            conv(64, 192, 3),  # 192×56×56
            lrn(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 192×28×28
        )
        self.inception = nn.ModuleDict()
        channels = 192
        for name, filters in MODULES.items():
            self.inception[name] = Inception(channels, filters, variant)
            channels = filters.out_channels
        self.pool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        # torchvision's (and the published weights') last pooling is 2×2.
        self.pool4 = nn.MaxPool2d(3 if variant == "original" else 2, stride=2, ceil_mode=True)
        self.aux1 = self.aux2 = None
        if aux_heads:
            self.aux1 = AuxiliaryHead(512, num_classes, aux_dropout, variant)
            self.aux2 = AuxiliaryHead(528, num_classes, aux_dropout, variant)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        xavier_initialization(self)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        """Classify images; returns one logit per class, in training perhaps of three heads."""
        inception = self.inception
        x = self.stem(self.transform_input(x))  # 3×224×224 -> 192×28×28
        x = inception["3b"](inception["3a"](x))  # 256×28×28 -> 480×28×28
        x = at_4a = inception["4a"](self.pool3(x))  # 480×14×14 -> 512×14×14
        x = inception["4c"](inception["4b"](x))  # 512×14×14
        x = at_4d = inception["4d"](x)  # 528×14×14
        x = self.pool4(inception["4e"](x))  # 832×14×14 -> 832×7×7
        x = inception["5b"](inception["5a"](x))  # 832×7×7 -> 1024×7×7
        x = self.global_pool(x).flatten(1)  # 1024
        logits = self.fc(self.dropout(x))  # 1000
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(logits, self.aux2(at_4d), self.aux1(at_4a))
        return logits


def googlenet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    variant: str = "original",
    aux_heads: bool = False,
    dropout: float = 0.4,
    aux_dropout: float = 0.7,
    weights: str | None = None,
) -> GoogLeNet:
    """Build GoogLeNet; see `GoogLeNet` for the arguments.

    `weights="imagenet"` needs `variant="torchvision"` and turns `transform_input` on. The auxiliary
    heads in the published file were never trained.
    """
    check_weights(
        weights, num_classes, in_channels, variant=variant, published_variant="torchvision"
    )
    model = GoogLeNet(
        num_classes,
        in_channels,
        variant=variant,
        aux_heads=aux_heads,
        dropout=dropout,
        aux_dropout=aux_dropout,
        transform_input=weights is not None,
    )
    options = {"aux_logits": aux_heads, "init_weights": False}
    return load_weights(model, weights, "googlenet", torchvision_options=options)
