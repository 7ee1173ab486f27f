"""A table for the chapter on NASNet: every cell of a tiny search space, trained on digits.

    python -m tools.curves.nasnet [--output FILE] [--steps N] [--seeds S ...]

Searching for a cell means training many. Here all of them are trained beforehand, once, so that a
page can run a search of hundreds of samples, and many such searches, in a second: the idea of
NAS-Bench-101 (Ying et al., arXiv:1902.09635), a thousand times smaller.

A cell has two steps. Step 0 applies one operation to the state h and one to the state p, and adds.
Step 1 does the same with any two of h, p and step 0; if it does not take step 0, both steps are
concatenated. There are three operations, so 3·3 cells in step 0 and 9·9 in step 1, of which 45
differ in more than the order of the two summands: 405 cells.

The network around the cell is as small as possible. A 3×3 convolution and 2×2 average pooling make
p out of a digit of 8×8 pixels, 4×4 with 8 channels; another convolution makes h of p. Then comes
the cell, 2×2 average pooling, and a linear layer. Training takes 50 steps of Adam with 64 digits;
the learning rate falls along a line from 0.03 to 0.

Three copies of a network, with different weights, are trained at once: as one network of
convolutions with three groups, which never exchange anything. It takes about two minutes of one
core in all. Another processor rounds differently, so the numbers of a run differ from machine to
machine like those of another copy.

The file has one line for each training of each cell:

    cell      "conv_3x3(h) + identity(p), max_3x3(0) + conv_3x3(h)"
    seed      s is copy s mod 3 of the three that are trained at once, from random seed s div 3
    accuracy  right answers among the validation digits in percent
"""

from __future__ import annotations

import itertools
import sys
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.data import load
from cnnlib.training import seed_everything
from tools.curves import common

OUTPUT = common.output_of("nasnet")
FIELDS = ("cell", "seed", "accuracy")
STEPS = 50
SEEDS = (0, 1, 2)
COPIES = 3
CHANNELS = 8
OPERATIONS = ("identity", "max_3x3", "conv_3x3")
STATES = ("h", "p", "0")

Term = tuple[str, str]  # operation, state


class TinyCell(NamedTuple):
    """A cell of the space: two sums of two terms."""

    step0: tuple[Term, Term]
    step1: tuple[Term, Term]

    @property
    def name(self) -> str:
        """Both sums as text, the same for cells that differ in the order of summands alone."""
        return ", ".join(
            " + ".join(f"{operation}({state})" for operation, state in step) for step in self
        )


def all_cells() -> list[TinyCell]:
    """The 405 different cells."""
    terms = list(itertools.product(OPERATIONS, STATES))
    return [
        TinyCell(((left, "h"), (right, "p")), step1)
        for left, right in itertools.product(OPERATIONS, OPERATIONS)
        for step1 in itertools.combinations_with_replacement(terms, 2)
    ]


RUNS = tuple(all_cells())


def convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """ReLU, 3×3 convolution, batch normalisation, for `COPIES` networks side by side."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(
            COPIES * in_channels,
            COPIES * out_channels,
            3,
            padding=1,
            groups=COPIES,
            bias=False,
        ),
        nn.BatchNorm2d(COPIES * out_channels),
    )


def operation(name: str) -> nn.Module:
    """Build an operation of `OPERATIONS`."""
    if name == "identity":
        return nn.Identity()
    if name == "max_3x3":
        return nn.MaxPool2d(3, 1, padding=1)
    return convolution(CHANNELS, CHANNELS)


class TinyNetwork(nn.Module):
    """`COPIES` networks around one cell. Shape: (N, 1, 8, 8) to (N, COPIES, 10)."""

    def __init__(self, cell: TinyCell) -> None:
        super().__init__()
        self.cell = cell
        self.first = convolution(1, CHANNELS)
        self.second = convolution(CHANNELS, CHANNELS)
        self.operations = nn.ModuleList(operation(name) for step in cell for name, _ in step)
        self.takes_step0 = any(state == "0" for _, state in cell.step1)
        width = CHANNELS if self.takes_step0 else 2 * CHANNELS
        # On 2×2 pixels a 2×2 convolution is a linear layer, and it has groups.
        self.classify = nn.Conv2d(COPIES * width, COPIES * 10, 2, groups=COPIES)

    def forward(self, x: Tensor) -> Tensor:
        """Give ten logits of every copy."""
        states = {"p": F.avg_pool2d(self.first(x.repeat(1, COPIES, 1, 1)), 2)}
        states["h"] = self.second(states["p"])
        results = [
            operation(states[state])
            for operation, (_, state) in zip(self.operations[:2], self.cell.step0, strict=True)
        ]
        states["0"] = results[0] + results[1]
        left, right = (
            operation(states[state])
            for operation, (_, state) in zip(self.operations[2:], self.cell.step1, strict=True)
        )
        out = left + right
        if not self.takes_step0:  # what no step has used goes to the output
            copies = [part.unflatten(1, (COPIES, CHANNELS)) for part in (states["0"], out)]
            out = torch.cat(copies, dim=2).flatten(1, 2)
        return self.classify(F.avg_pool2d(out.relu(), 2)).reshape(len(x), COPIES, 10)


@cache  # the copies are asked for one by one
def accuracies(cell: TinyCell, seed: int, steps: int = STEPS) -> list[float]:
    """Train the copies of one cell.

    Args:
        cell: Which cell.
        seed: Seed of the weights of all copies and of the order of the digits.
        steps: Steps of Adam.

    Returns:
        Right answers of each copy among the validation digits, in percent.
    """
    train, val = (load("digits", part, image_size=8) for part in ("train", "val"))
    seed_everything(seed)
    network = TinyNetwork(cell)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.03 * (1 - step / steps)
        batch = torch.randint(len(train), (64,))
        logits = network(train.images[batch]).flatten(0, 1)
        labels = train.labels[batch].repeat_interleave(COPIES)
        # The mean over all copies makes each gradient a third, which Adam's steps do not notice.
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        right = network(val.images).argmax(2) == val.labels[:, None]
    return (100 * right.double().mean(0)).tolist()


def lines(cell: TinyCell, seed: int, steps: int | None) -> list[common.Line]:
    """The line of one training."""
    copies = accuracies(cell, seed // COPIES, STEPS if steps is None else steps)
    return [{"cell": cell.name, "seed": str(seed), "accuracy": f"{copies[seed % COPIES]:.1f}"}]


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--steps", STEPS, "steps of each training")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
