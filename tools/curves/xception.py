"""Training curves for the chapter on Xception: five kinds of convolution at one number of weights.

    python -m tools.curves.xception [--output FILE] [--epochs N] [--seeds S ...]

Every network is a 3×3 convolution, three residual blocks of two convolutions, global average
pooling and a linear layer; only the kind of convolution in the blocks and, to keep their number of
weights within 2 %, the number of channels differ. The kinds are the steps of section 1.1 of the
paper (arXiv:1610.02357) and the variant of its section 4.7. The images are scikit-learn's digits at
8×8 pixels.

All 15 trainings take about two minutes on one core. Another processor rounds differently, so the
numbers of a run differ from machine to machine like those of another seed.

The file has one line for each epoch of each training:

    network      a name in RUNS
    seed         of the initial weights and of the order of the images
    epoch        counted from 1
    train_loss   mean over the epoch, measured while the weights moved
    train_error  share of wrong answers in percent, measured in the same passes
    test_error   the same after the epoch, on digits of writers that were not in the training
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, SeparableConv2d, he_initialization
from cnnlib.data import load
from cnnlib.training import History, fit, seed_everything
from tools.curves import common

OUTPUT = common.output_of("xception")
FIELDS = common.EPOCHS
EPOCHS = 10
SEEDS = (0, 1, 2)


class Run(NamedTuple):
    """A kind of convolution and the channels it can afford.

    Attributes:
        name: Its name in the file, a kind that `convolution` knows.
        channels: Of every layer in the blocks.
    """

    name: str
    channels: int


RUNS = (
    Run("ordinary", 16),
    Run("inception, 3 segments", 24),
    Run("extreme inception", 44),
    Run("separable", 44),
    Run("separable, ReLU between", 44),
)


def convolution(kind: str, channels: int) -> nn.Sequential:
    """One convolution of the given kind with its normalisation: (N, C, H, W) to the same."""
    if kind == "ordinary":
        return ConvNormActivation(channels, channels, 3, activation=None)
    if kind.startswith("separable"):
        layers = SeparableConv2d(channels, channels, 3)
        if kind == "separable, ReLU between":
            layers = nn.Sequential(layers.depthwise, nn.ReLU(), layers.pointwise)
        return nn.Sequential(layers, nn.BatchNorm2d(channels))
    groups = 3 if kind == "inception, 3 segments" else channels
    return nn.Sequential(
        ConvNormActivation(channels, channels, 1),
        ConvNormActivation(channels, channels, 3, groups=groups, activation=None),
    )


class Block(nn.Module):
    """Two convolutions, each after a ReLU, and the input added: Xception's module."""

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *(nn.ReLU(), convolution(kind, channels), nn.ReLU(), convolution(kind, channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the input."""
        return x + self.residual(x)


def small_network(kind: str, channels: int) -> nn.Sequential:
    """(N, 1, 8, 8) to logits (N, 10)."""
    network = nn.Sequential(
        ConvNormActivation(1, channels, 3, activation=None),
        Block(kind, channels),
        nn.MaxPool2d(2),  # 4×4
        Block(kind, channels),
        Block(kind, channels),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)),
    )
    he_initialization(network)
    return network


def trained(run: Run, seed: int, epochs: int = EPOCHS) -> History:
    """Train one network on the digits; the learning rate falls to 0 within EPOCHS."""
    train, test = (load("digits", part, image_size=8) for part in ("train", "test"))
    seed_everything(seed)
    network = small_network(run.name, run.channels)
    options = {"optimizer": "adamw", "lr": 3e-3, "device": "cpu", "seed": seed, "progress": False}
    # A straight line down to 0 after EPOCHS, also for a training that is stopped earlier.
    return fit(
        network,
        train,
        test,
        epochs=epochs,
        schedule=lambda progress: 1 - progress * epochs / EPOCHS,
        **options,
    )


def lines(run: Run, seed: int, epochs: int | None) -> list[common.Line]:
    """Train, and give one line of the file for each epoch."""
    history = trained(run, seed, min(epochs or EPOCHS, EPOCHS))
    return common.epochs_of(run.name, seed, history)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--epochs", EPOCHS, f"passes over the digits, at most {EPOCHS}")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
