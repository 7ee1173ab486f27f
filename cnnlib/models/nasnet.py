"""NASNet-A: a cell found by search on CIFAR-10, stacked for ImageNet (2018).

Idea: search for a small cell instead of a whole network. A controller trained by reinforcement
learning proposes a *normal cell* (keeps the size) and a *reduction cell* (halves it); how they are
stacked is decided by hand, so that the cells found on CIFAR-10 also build a network for ImageNet.
A cell has B = 5 blocks. A block takes two hidden states, applies one operation to each and adds the
results. The hidden states are the outputs of the two cells before, h_i and h_{i-1}, and the blocks
so far. Blocks that no other block has used are concatenated, in the normal cell with h_{i-1}.

The cells are data here: `NORMAL_CELL` and `REDUCTION_CELL` are figure 4, read from left to right.
The stack is figure 2, right. NASNet-A (4 @ 1056), called mobile, for a 3×224×224 image (F = 44):

| stage                        | cells               | output       |
|------------------------------|---------------------|--------------|
| conv 32 of 3×3, stride 2     |                     | 32×111×111   |
| stem, F/4 and F/2 filters    | 2 reduction         | 88×28×28     |
| stage 1, F filters           | 4 normal            | 264×28×28    |
| stage 2, 2F filters          | reduction, 4 normal | 528×14×14    |
| stage 3, 4F filters          | reduction, 4 normal | 1056×7×7     |
| ReLU, global pooling, linear |                     | 1000         |

Parameters: 5,289,978 (table 3: 5.3 M), 564 M multiply-accumulates. Keras reports 5,326,716 because
it adds the 36,738 running means and variances of batch normalisation.

The paper does not say how two states of different size are matched or how wide the stem is; both
follow the authors' released code. Deviations from it: padding is symmetric (TensorFlow pads an even
map one pixel more at the right and the bottom), no auxiliary head, no path dropout (mobile was
trained without), and PyTorch's default momentum of batch normalisation, because the released 0.9997
needs 10,000 steps to forget the initial statistics. The paper gives no initialisation: He's with
fan-in, as in the released code.

Reference: Zoph, Vasudevan, Shlens, Le, "Learning transferable architectures for scalable image
recognition", CVPR 2018, arXiv:1707.07012.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import SeparableConv2d, he_initialization
from cnnlib.models._checks import check_network, check_positive


class Block(NamedTuple):
    """Sum of two operations: ``left(inputs[0]) + right(inputs[1])``.

    A hidden state is "h" (the previous cell, h_i), "p" (the one before, h_{i-1}) or the number of
    an earlier block of the same cell.
    """

    left: str
    left_input: str | int
    right: str
    right_input: str | int


class Genotype(NamedTuple):
    """A cell: its blocks, the states it concatenates, and the stride of operations on h and p."""

    blocks: tuple[Block, ...]
    concat: tuple[str | int, ...]
    stride: int


NORMAL_CELL = Genotype(
    blocks=(
        Block("sep_5x5", "h", "sep_3x3", "p"),
        Block("sep_5x5", "p", "sep_3x3", "p"),
        Block("avg_3x3", "h", "identity", "p"),
        Block("avg_3x3", "p", "avg_3x3", "p"),
        Block("sep_3x3", "h", "identity", "h"),
    ),
    concat=("p", 0, 1, 2, 3, 4),
    stride=1,
)

REDUCTION_CELL = Genotype(
    blocks=(
        Block("sep_5x5", "h", "sep_7x7", "p"),
        Block("max_3x3", "h", "sep_7x7", "p"),
        Block("avg_3x3", "h", "sep_5x5", "p"),
        Block("avg_3x3", 0, "identity", 1),
        Block("sep_3x3", 0, "max_3x3", "h"),
    ),
    concat=(1, 2, 3, 4),
    stride=2,
)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with the released code's epsilon."""
    return nn.BatchNorm2d(channels, eps=0.001)


class ReluConvBn(nn.Sequential):
    """ReLU, 1×1 convolution, batch normalisation: fits a state to the filters of the cell."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        super().__init__(nn.ReLU(), conv, batch_norm(out_channels))


class FactorizedReduction(nn.Module):
    """Halve a state's size without ignoring three quarters of its pixels.

    A 1×1 convolution of stride 2 sees every fourth pixel only. Two of them, the second on the map
    shifted by one pixel, give half of the output channels each.

    Shape: (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.path1 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.path2 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.norm = batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the two samplings."""
        x = self.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.path1(x), self.path2(shifted)], dim=1))


def separable_twice(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    """The paper applies every separable convolution twice; only the first has the stride."""
    return nn.Sequential(
        nn.ReLU(),
        SeparableConv2d(in_channels, out_channels, kernel, stride),
        batch_norm(out_channels),
        nn.ReLU(inplace=True),
        SeparableConv2d(out_channels, out_channels, kernel),
        batch_norm(out_channels),
    )


def operation(name: str, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Build the operation that a genotype names."""
    if name == "identity":
        return nn.Identity()
    if name == "avg_3x3":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    if name == "max_3x3":
        return nn.MaxPool2d(3, stride, padding=1)
    kernel = int(name.removeprefix("sep_")[0])  # "sep_5x5"
    return separable_twice(in_channels, out_channels, kernel, stride)


class Cell(nn.Module):
    """One cell, wired as its genotype says.

    Shape: h (N, h_channels, H, W) and p (N, p_channels, H', W'), where H' is H, or with `p_larger`
    up to twice as large; to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Args:
        genotype: `NORMAL_CELL` or `REDUCTION_CELL`.
        h_channels: Channels of the previous cell's output.
        p_channels: Channels of the output before that; None for the first cell, which has no cell
            before it and gets `h` twice, the second time as it is.
        filters: Channels of every block.
        p_larger: Whether p is from before a reduction.
    """

    def __init__(
        self,
        genotype: Genotype,
        h_channels: int,
        p_channels: int | None,
        filters: int,
        *,
        p_larger: bool = False,
    ) -> None:
        super().__init__()
        self.genotype = genotype
        self.fit_h = ReluConvBn(h_channels, filters)
        if p_channels is None:
            self.fit_p = nn.Identity()
        elif p_larger:
            self.fit_p = FactorizedReduction(p_channels, filters)
        else:
            self.fit_p = ReluConvBn(p_channels, filters)

        def build(name: str, state: str | int) -> nn.Module:
            in_channels = h_channels if state == "p" and p_channels is None else filters
            stride = genotype.stride if state in ("h", "p") else 1
            return operation(name, in_channels, filters, stride)

        self.left = nn.ModuleList(build(b.left, b.left_input) for b in genotype.blocks)
        self.right = nn.ModuleList(build(b.right, b.right_input) for b in genotype.blocks)
        self.out_channels = filters * len(genotype.concat)

    def forward(self, h: Tensor, p: Tensor) -> Tensor:
        """Compute the blocks in order, then concatenate."""
        states = {"h": self.fit_h(h), "p": self.fit_p(p)}
        for i, block in enumerate(self.genotype.blocks):
            left = self.left[i](states[block.left_input])
            right = self.right[i](states[block.right_input])
            states[i] = left + right
        return torch.cat([states[name] for name in self.genotype.concat], dim=1)


class NASNet(nn.Module):
    """NASNet-A.

    Shape: (N, in_channels, H, W) to (N, num_classes); 224×224 in the paper, at least 3×3.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.
        repeats: N, normal cells per stage.
        penultimate_channels: Channels of the last map, 24 F; a multiple of 96.
        stem_channels: Filters of the first convolution.
        dropout: Share of the inputs of the last layer set to 0 in training.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        repeats: int = 4,
        penultimate_channels: int = 1056,
        stem_channels: int = 32,
        dropout: float = 0.5,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_positive("repeats", repeats)
        check_positive("penultimate_channels", penultimate_channels)
        check_positive("stem_channels", stem_channels)
        if penultimate_channels % 96:
            raise ValueError(
                f"penultimate_channels must be a multiple of 96; got {penultimate_channels}"
            )
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, stem_channels, 3, stride=2, bias=False)
        self.norm1 = batch_norm(stem_channels)

        f = penultimate_channels // 24
        plan = [(REDUCTION_CELL, f // 4), (REDUCTION_CELL, f // 2)] + [(NORMAL_CELL, f)] * repeats
        for filters in (2 * f, 4 * f):
            plan += [(REDUCTION_CELL, filters)] + [(NORMAL_CELL, filters)] * repeats
        cells: list[Cell] = []
        h_channels, p_channels = stem_channels, None
        p_larger = False
        for genotype, filters in plan:
            cells.append(Cell(genotype, h_channels, p_channels, filters, p_larger=p_larger))
            h_channels, p_channels = cells[-1].out_channels, h_channels
            p_larger = genotype is REDUCTION_CELL
        self.cells = nn.ModuleList(cells)
        self.relu = nn.ReLU()
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(h_channels, num_classes)
        he_initialization(self, mode="fan_in")

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        h = p = self.norm1(self.conv1(x))  # 3×224×224 -> 32×111×111
        for cell in self.cells:
            # 88×28×28 after the stem, then 264×28×28, 528×14×14 and 1056×7×7
            h, p = cell(h, p), h
        h = self.global_pool(self.relu(h)).flatten(1)  # 1056
        return self.fc(self.dropout(h))  # 1000


def nasnet_mobile(num_classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5) -> NASNet:
    """Build NASNet-A (4 @ 1056); see `NASNet` for the arguments."""
    return NASNet(num_classes, in_channels, dropout=dropout)
