"""LeNet-5: convolutions and subsampling in turn, then fully connected layers (1998).

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
all six maps, a linear output layer, PyTorch's initialisation; 61,706 parameters.

Where `variant="1998"` deviates from the paper: the codes of the classes have the paper's form (a
stylised 7×12 bitmap of each digit, values ±1, never trained) but are drawn anew; the subsampling
coefficients start at 1/4, plain averaging, instead of at random; the input is 0 for paper and 1 for
ink instead of -0.1 and 1.175; and training is by any optimiser instead of the stochastic diagonal
Levenberg-Marquardt method. The loss of the paper is `cnnlib.losses.equation_9`; cross-entropy works
as well.

Reference: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 1998, section II-B and appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.losses import equation_9 as equation_9  # the loss of the paper
from cnnlib.models._checks import check_choice, check_network
from cnnlib.models._digit_codes import class_codes
from cnnlib.models._digit_codes import digit_codes as digit_codes  # the chapter draws them

INPUT_SIZE = 32

# Table I of the paper: a row for each of the six maps of S2, a column for each of the 16 maps of
# C3, X where they are connected. Six maps see three neighbours, six see four neighbours, three see
# four with gaps, and the last sees all.
TABLE_1 = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""
# The same as data: for each map of C3 the maps of S2 that it sees, (0, 1, 2) for the first.
C3_TABLE = tuple(
    tuple(source for source, mark in enumerate(column) if mark == "X")
    for column in zip(*TABLE_1.split(), strict=True)
)


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


class LeNet5(nn.Module):
    """The network of 1998. Parameters: 60,000 for one input channel.

    Shape: (N, in_channels, 32, 32), values in 0..1, to scores (N, num_classes).

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.

    Raises:
        ValueError: An argument is not a whole number of at least 1.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        check_network(num_classes, in_channels)
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.s2 = Subsampling(6)
        self.c3 = TableConv2d(6, C3_TABLE, kernel_size=5)
        self.s4 = Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = RadialBasisOutput(class_codes(num_classes))
        self.squash = ScaledTanh()
        self._initialize()

    def _initialize(self) -> None:
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
        x = self.squash(self.c1(x))  # 1×32×32 -> 6×28×28
        x = self.squash(self.s2(x))  # 6×14×14
        x = self.squash(self.c3(x))  # 16×10×10
        x = self.squash(self.s4(x))  # 16×5×5
        x = self.squash(self.c5(x)).flatten(1)  # 120×1×1 -> 120
        return self.squash(self.f6(x))  # 84

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one score per class, the largest for the likeliest."""
        return self.output(self.features(x))  # 10


class ModernLeNet5(nn.Module):
    """LeNet-5 as it is built today; shape and arguments are those of `LeNet5`."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        check_network(num_classes, in_channels)
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
        x = self.s2(self.relu(self.c1(x)))  # 1×32×32 -> 6×28×28 -> 6×14×14
        x = self.s4(self.relu(self.c3(x)))  # 16×10×10 -> 16×5×5
        x = self.relu(self.c5(x)).flatten(1)  # 120×1×1 -> 120
        return self.relu(self.f6(x))  # 84

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        return self.output(self.features(x))  # 10


def _check_input(x: Tensor) -> None:
    """C5 is a 5×5 convolution on a 5×5 map, which only a 32×32 image gives."""
    if x.shape[-2:] != (INPUT_SIZE, INPUT_SIZE):
        raise ValueError(
            f"LeNet-5 takes images of {INPUT_SIZE}×{INPUT_SIZE} pixels; got {tuple(x.shape)}. "
            f"Pad 28×28 images by 2 pixels on each side, or load them with image_size={INPUT_SIZE}."
        )


VARIANTS = {"1998": LeNet5, "modern": ModernLeNet5}


def lenet5(
    num_classes: int = 10, in_channels: int = 1, *, variant: str = "1998"
) -> LeNet5 | ModernLeNet5:
    """Build LeNet-5 for 32×32 images.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image: 1 grey, 3 colour.
        variant: "1998" for the network of the paper (60,000 parameters), "modern" for the version
            with ReLU, max pooling and full connections (61,706).

    Raises:
        ValueError: An argument is not one of the allowed values.
    """
    check_choice("variant", variant, VARIANTS)
    return VARIANTS[variant](num_classes, in_channels)
