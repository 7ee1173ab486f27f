"""VGG: depth from nothing but 3×3 convolutions (2015).

Idea: two stacked 3×3 convolutions see 5×5 pixels, three see 7×7, with fewer weights than one large
filter and a non-linearity between them. So use 3×3 everywhere, halve the map by 2×2 max pooling,
double the channels when the map is halved, and see how far depth helps.

Table 1 of the paper is `CONFIGURATIONS` below: A has 11 layers with weights, B 13, C and D 16 (C
with three 1×1 convolutions), E 19. After the columns come FC-4096, FC-4096, FC-1000. torchvision's
vgg11, vgg13, vgg16, vgg19 are A, B, D, E.

Deviation: the paper trained A from N(0, 0.01)-distributed weights (variance 10^-2) and started the
deeper nets from it. It then found that Glorot and Bengio's initialisation makes this detour
needless (section 3.1); that is what we use. The variants with batch normalisation are younger than
the paper; their convolutions keep the bias, which the normalisation makes useless, because the
published ones have it.

Reference: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image
recognition", ICLR 2015, arXiv:1409.1556.
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, LocalResponseNorm, xavier_initialization
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._weights import check_weights, load_weights

Layer = int | str | tuple[int, int]

# Five stages, each followed by max pooling. A number is a 3×3 convolution with that many filters,
# (filters, 1) one with 1×1 filters, "LRN" a local response normalisation.
CONFIGURATIONS: dict[str, tuple[tuple[Layer, ...], ...]] = {
    "A": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "A-LRN": ((64, "LRN"), (128,), (256, 256), (512, 512), (512, 512)),
    "B": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "C": ((64, 64), (128, 128), (256, 256, (256, 1)), (512, 512, (512, 1)), (512, 512, (512, 1))),
    "D": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "E": ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512)),
}


def make_features(configuration: str, in_channels: int = 3, *, batch_norm: bool) -> nn.Sequential:
    """Build the convolutional part from a column of the table.

    Shape: (N, in_channels, H, W) to (N, 512, H // 32, W // 32).
    """
    norm = nn.BatchNorm2d if batch_norm else None
    layers: list[nn.Module] = []
    channels = in_channels
    for stage in CONFIGURATIONS[configuration]:
        for layer in stage:
            if layer == "LRN":
                layers.append(LocalResponseNorm())
                continue
            filters, kernel = layer if isinstance(layer, tuple) else (layer, 3)
            layers.append(ConvNormActivation(channels, filters, kernel, norm=norm, bias=True))
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """VGG in one of the configurations of the paper's table 1.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, at least 32×32. An
    adaptive pooling brings the last map to 7×7 for images of other sizes; at 224×224 it changes
    nothing.

    Args:
        configuration: A column of table 1: "A", "A-LRN", "B", "C", "D" or "E".
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        batch_norm: Whether batch normalisation follows each convolution.
        dropout: Share of the outputs of the first two fully connected layers set to 0 in training.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        configuration: str,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("configuration", configuration, CONFIGURATIONS)
        check_choice("batch_norm", batch_norm, (False, True))
        super().__init__()
        self.features = make_features(configuration, in_channels, batch_norm=batch_norm)
        self.resize = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        xavier_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.features(x)  # 3×224×224 -> 512×7×7
        x = self.resize(x)  # 512×7×7
        return self.classifier(x.flatten(1))  # 25088 -> 4096 -> 4096 -> 1000


def _vgg(
    name: str,
    num_classes: int,
    in_channels: int,
    dropout: float,
    weights: str | None,
) -> VGG:
    check_weights(weights, num_classes, in_channels)
    column = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}[name.removesuffix("_bn")]
    batch_norm = name.endswith("_bn")
    model = VGG(column, num_classes, in_channels, batch_norm=batch_norm, dropout=dropout)
    return load_weights(model, weights, name)


def vgg11(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-11: configuration A, 132,863,336 parameters; see `VGG`."""
    return _vgg("vgg11", num_classes, in_channels, dropout, weights)


def vgg13(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-13: configuration B, 133,047,848 parameters; see `VGG`."""
    return _vgg("vgg13", num_classes, in_channels, dropout, weights)


def vgg16(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-16: configuration D, 138,357,544 parameters; see `VGG`."""
    return _vgg("vgg16", num_classes, in_channels, dropout, weights)


def vgg19(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-19: configuration E, 143,667,240 parameters; see `VGG`."""
    return _vgg("vgg19", num_classes, in_channels, dropout, weights)


def vgg11_bn(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-11: configuration A with batch normalisation, 132,868,840 parameters; see `VGG`."""
    return _vgg("vgg11_bn", num_classes, in_channels, dropout, weights)


def vgg13_bn(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-13: configuration B with batch normalisation, 133,053,736 parameters; see `VGG`."""
    return _vgg("vgg13_bn", num_classes, in_channels, dropout, weights)


def vgg16_bn(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-16: configuration D with batch normalisation, 138,365,992 parameters; see `VGG`."""
    return _vgg("vgg16_bn", num_classes, in_channels, dropout, weights)


def vgg19_bn(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    weights: str | None = None,
) -> VGG:
    """VGG-19: configuration E with batch normalisation, 143,678,248 parameters; see `VGG`."""
    return _vgg("vgg19_bn", num_classes, in_channels, dropout, weights)
