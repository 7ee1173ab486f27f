"""LeNet-5 (1998): convolutions and subsampling in turn, then fully connected layers.

Idea: a digit is made of strokes, a stroke looks the same wherever it is, and its exact place does
not matter. So features are found by small filters with shared weights (C layers), their maps are
made coarser (S layers), and only then are they combined over the whole picture.

    layer   output       how                                              parameters
    input   1@32×32
    C1      6@28×28      5×5 convolution                                         156
    S2      6@14×14      2×2 subsampling, trainable coefficient and bias          12
    C3      16@10×10     5×5 convolution on the inputs of table I              1,516
    S4      16@5×5       2×2 subsampling, trainable coefficient and bias          32
    C5      120@1×1      5×5 convolution                                      48,120
    F6      84           fully connected                                      10,164
    output  10           distance of F6 to the fixed code of each class            0
    total                                                                     60,000

`variant="modern"` is the network that is called LeNet-5 today: ReLU, max pooling, C3 connected to
all six maps, a linear output layer; 61,706 parameters.

Where `variant="1998"` deviates from the paper: the codes of the classes have the paper's form (a
stylised 7×12 bitmap of each digit, values ±1, never trained) but are drawn anew; the subsampling
coefficients start at 1/4, plain averaging, instead of at random; the input is 0 for paper and 1 for
ink instead of -0.1 and 1.175; and training is by any optimiser instead of the stochastic diagonal
Levenberg-Marquardt method. The loss of the paper is `equation_9`; cross-entropy works as well.

Reference: LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document
Recognition, Proceedings of the IEEE 86(11), 1998, section II-B and appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.models._checks import check_choice, check_positive

INPUT_SIZE = 32

# Table I of the paper: the maps of S2 that each of the 16 maps of C3 is connected to. Six maps see
# three neighbours, six see four neighbours, three see four with gaps, and the last sees all.
C3_TABLE = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)

# Stylised digits, 12 rows of 7 pixels: the target codes of F6, as in figure 3 of the paper.
DIGIT_BITMAPS = """
..###.. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..##... ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## ####... .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ..##... .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ..##... ....##. ..####. ##..##. ######. ######. ....##. .#####. .######
##...## ..##... ...##.. ..####. ##..##. .....## ##...## ...##.. .#####. .....##
##...## ..##... ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ..##... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ..##... ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. ####### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


class ScaledTanh(nn.Module):
    """f(a) = 1.7159 tanh(2a/3), the squashing function of the paper (appendix A).

    The constants make f(±1) = ±1 and put the strongest curvature there, so that targets of ±1 lie
    where the unit still learns and not on the flat ends.
    """

    amplitude = 1.7159
    slope = 2 / 3

    def forward(self, a: Tensor) -> Tensor:
        """Apply f to every value; the shape stays."""
        return self.amplitude * torch.tanh(self.slope * a)


class Subsampling(nn.Module):
    """S layers: add the four values of each 2×2 block, times a coefficient, plus a bias.

    Each map has one trainable coefficient and one bias: 2 · channels parameters. With the
    coefficient at 1/4 and the bias at 0, where both start, this is average pooling.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        block_sums = 4 * F.avg_pool2d(x, kernel_size=2)
        return self.coefficient * block_sums + self.bias


class TableConv2d(nn.Module):
    """A convolution in which each output map sees only the input maps that a table lists.

    It holds one `kernel_size` × `kernel_size` kernel per connection and one bias per output map,
    nothing for absent connections.

    Args:
        in_channels: Number of input maps.
        table: For each output map the indices of its input maps.
        kernel_size: Side of the kernels.
    """

    def __init__(
        self, in_channels: int, table: Sequence[Sequence[int]], kernel_size: int = 5
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = len(table)
        self.kernel_size = kernel_size
        pairs = [(output, source) for output, sources in enumerate(table) for source in sources]
        outputs, sources = torch.tensor(pairs).unbind(1)
        # Fixed by the architecture, so no part of the saved state.
        self.register_buffer("outputs", outputs, persistent=False)
        self.register_buffer("sources", sources, persistent=False)
        # Inputs of one unit, for each connection: kernel pixels times connected maps.
        self.fan_in = [kernel_size**2 * len(table[output]) for output, _ in pairs]
        self.weight = nn.Parameter(torch.empty(len(pairs), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(table)))

    def dense_weight(self) -> Tensor:
        """The kernels in the layout of nn.Conv2d, zeros where the table has no connection."""
        size = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        return self.weight.new_zeros(size).index_put((self.outputs, self.sources), self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, len(table), H - kernel_size + 1, W - kernel_size + 1)."""
        return F.conv2d(x, self.dense_weight(), self.bias)


class RadialBasisOutput(nn.Module):
    """Output layer: minus the squared distance of F6 to the code of each class.

    The paper's output unit i is y_i = Σ_j (x_j - w_ij)², a penalty that is small when F6 draws the
    bitmap of class i. This module returns the scores -y_i, so that the largest wins and the usual
    losses for scores apply. The codes are fixed, so the layer has no parameters.

    Args:
        codes: Tensor of shape (num_classes, features) with values ±1.
    """

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) -> (N, num_classes)."""
        return -(x.unsqueeze(1) - self.codes).square().sum(2)


def equation_9(scores: Tensor, labels: Tensor, j: float = 10.0) -> Tensor:
    """The loss of the paper: mean of y_correct + log(exp(-j) + Σ_i exp(-y_i)), with y = -scores.

    Without exp(-j) this is cross-entropy, which looks at differences between classes only: it is
    content when all ten drawings are equally bad but the right one is the least bad. The constant
    acts as an eleventh answer, "none of these", at the fixed distance j. To beat it, F6 must come
    nearer than j to the right code; and codes farther away than j are not pushed any farther.

    Args:
        scores: Output of `lenet5()`, shape (N, classes).
        labels: Right classes, int64 of shape (N,).
        j: The squared distance at which "none of these" lies; the paper only says that it is
            positive. Two codes that differ in k pixels are 4k apart.

    Returns:
        The mean over the batch, a scalar.
    """
    none_of_these = scores.new_full((len(scores), 1), -j)
    return F.cross_entropy(torch.cat([scores, none_of_these], dim=1), labels)


def digit_codes() -> Tensor:
    """The codes of the ten digits, +1 for ink and -1 for paper: shape (10, 12 * 7)."""
    rows = [line.split() for line in DIGIT_BITMAPS.strip().splitlines()]
    digits = ["".join(pieces) for pieces in zip(*rows, strict=True)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits])


def class_codes(num_classes: int) -> Tensor:
    """Codes for any number of classes: the digits for 10, otherwise fixed random signs.

    The paper names random codes as the alternative where a class has no obvious picture.
    """
    if num_classes == 10:
        return digit_codes()
    generator = torch.Generator().manual_seed(1998)
    return torch.randint(0, 2, (num_classes, 84), generator=generator) * 2.0 - 1.0


class LeNet5(nn.Module):
    """The network of 1998. Parameters: 60,000 for one input channel."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.s2 = Subsampling(6)
        self.c3 = TableConv2d(6, C3_TABLE, kernel_size=5)
        self.s4 = Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = RadialBasisOutput(class_codes(num_classes))
        self.squash = ScaledTanh()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each weight uniformly from ±2.4 / F_i, F_i being the fan-in of its unit."""
        for layer in (self.c1, self.c5, self.f6):
            fan_in = layer.weight[0].numel()
            nn.init.uniform_(layer.weight, -2.4 / fan_in, 2.4 / fan_in)
            nn.init.zeros_(layer.bias)
        bound = 2.4 / torch.tensor(self.c3.fan_in).view(-1, 1, 1)
        with torch.no_grad():
            self.c3.weight.copy_(bound * (2 * torch.rand_like(self.c3.weight) - 1))

    def features(self, x: Tensor) -> Tensor:
        """The 84 values of F6, a 7×12 picture of the class: (N, C, 32, 32) -> (N, 84)."""
        _check_input(x)
        x = self.squash(self.c1(x))  # (N, 6, 28, 28)
        x = self.squash(self.s2(x))  # (N, 6, 14, 14)
        x = self.squash(self.c3(x))  # (N, 16, 10, 10)
        x = self.squash(self.s4(x))  # (N, 16, 5, 5)
        x = self.squash(self.c5(x))  # (N, 120, 1, 1)
        x = x.flatten(1)  # (N, 120)
        return self.squash(self.f6(x))  # (N, 84)

    def forward(self, x: Tensor) -> Tensor:
        """Images in 0..1 -> scores, the largest for the likeliest class: (N, num_classes)."""
        return self.output(self.features(x))


class ModernLeNet5(nn.Module):
    """LeNet-5 as it is built today. Parameters: 61,706 for one input channel, ten classes."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.s2 = nn.MaxPool2d(2)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.s4 = nn.MaxPool2d(2)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)
        self.relu = nn.ReLU()

    def features(self, x: Tensor) -> Tensor:
        """The 84 values of F6: (N, C, 32, 32) -> (N, 84)."""
        _check_input(x)
        x = self.s2(self.relu(self.c1(x)))  # (N, 6, 14, 14)
        x = self.s4(self.relu(self.c3(x)))  # (N, 16, 5, 5)
        x = self.relu(self.c5(x))  # (N, 120, 1, 1)
        x = x.flatten(1)  # (N, 120)
        return self.relu(self.f6(x))  # (N, 84)

    def forward(self, x: Tensor) -> Tensor:
        """Images in 0..1 -> logits: (N, C, 32, 32) -> (N, num_classes)."""
        return self.output(self.features(x))


def _check_input(x: Tensor) -> None:
    """C5 is a 5×5 convolution on a 5×5 map, which only a 32×32 image gives."""
    if x.shape[-2:] != (INPUT_SIZE, INPUT_SIZE):
        raise ValueError(
            f"LeNet-5 takes images of {INPUT_SIZE}×{INPUT_SIZE} pixels; got {tuple(x.shape)}. "
            f"Pad 28×28 images by 2 pixels on each side, or load them with image_size={INPUT_SIZE}."
        )


def lenet5(
    num_classes: int = 10, in_channels: int = 1, *, variant: str = "1998"
) -> LeNet5 | ModernLeNet5:
    """LeNet-5 for 32×32 images.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the images: 1 grey, 3 colour.
        variant: "1998" for the network of the paper (60,000 parameters), "modern" for the version
            with ReLU, max pooling and full connections (61,706).

    Returns:
        A network that maps (N, in_channels, 32, 32) to scores of shape (N, num_classes).

    Raises:
        ValueError: An argument is not one of the choices above.
    """
    check_positive("num_classes", num_classes)
    check_positive("in_channels", in_channels)
    check_choice("variant", variant, ("1998", "modern"))
    network = LeNet5 if variant == "1998" else ModernLeNet5
    return network(num_classes, in_channels)
