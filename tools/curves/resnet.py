"""Training curves for the chapter on ResNet: plain and residual networks of 20 and 56 layers.

    python -m tools.curves.resnet [--output FILE] [--epochs N] [--seeds S ...]

The networks are those of section 4.2 of the paper (arXiv:1512.03385), taken as they are from
`cnnlib.models`. What is small is the rest: scikit-learn's digits at 8×8 pixels instead of CIFAR-10
at 32×32, and 8 epochs of 17 steps instead of 64,000 steps. Momentum 0.9 and weight decay 1e-4 are
the paper's; batches have 64 images instead of 128, the learning rate falls along a cosine, and
there is no augmentation.

All 21 trainings take about six minutes on one core. Another processor rounds differently, so the
numbers of a run differ from machine to machine like those of another seed.

The file has one line for each epoch of each training:

    network      plain-20, residual-56, ...: a name in RUNS
    seed         of the initial weights and of the order of the images
    epoch        counted from 1
    train_loss   mean over the epoch, measured while the weights moved
    train_error  share of wrong answers in percent, measured in the same passes
    val_error    the same on the validation digits after the epoch
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from torch import nn

from cnnlib.data import load
from cnnlib.models import CifarResNet
from cnnlib.models.resnet import BasicBlock
from cnnlib.training import History, fit, seed_everything
from tools.curves import common

OUTPUT = common.output_of("resnet")
FIELDS = ("network", "seed", "epoch", "train_loss", "train_error", "val_error")
EPOCHS = 8
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Run:
    """A network and how it is started.

    Attributes:
        name: Its name in the file.
        depth: Layers with weights, 6n + 2.
        shortcut: "none" for the plain network, "A" for the paper's residual one.
        lr: Learning rate at the beginning.
        zero_gamma: Whether the last batch normalisation of every block starts with scale 0.
    """

    name: str
    depth: int
    shortcut: str
    lr: float = 0.1
    zero_gamma: bool = False


RUNS = (
    Run("plain-20", 20, "none"),
    Run("plain-56", 56, "none"),
    Run("plain-56, rate 0.02", 56, "none", lr=0.02),
    Run("residual-20", 20, "A"),
    Run("residual-56", 56, "A"),
    Run("residual-56, rate 0.02", 56, "A", lr=0.02),
    Run("residual-56, zero", 56, "A", zero_gamma=True),
)


def trained(run: Run, seed: int, epochs: int = EPOCHS) -> tuple[CifarResNet, History]:
    """Train one network on the digits.

    Args:
        run: Which network.
        seed: Seed of the weights and of the order of the images.
        epochs: Passes over the 1,029 training digits.

    Returns:
        The network and what happened in each epoch.
    """
    train, val = (load("digits", part, image_size=8) for part in ("train", "val"))
    seed_everything(seed)
    network = CifarResNet(run.depth, in_channels=1, shortcut=run.shortcut)
    if run.zero_gamma:
        for block in network.modules():
            if isinstance(block, BasicBlock):
                nn.init.zeros_(block.conv2.norm.weight)
    history = fit(
        network,
        train,
        val,
        epochs=epochs,
        lr=run.lr,
        weight_decay=1e-4,
        schedule="cosine",
        device="cpu",
        seed=seed,
        progress=False,
    )
    return network, history


def lines(run: Run, seed: int, epochs: int) -> list[common.Line]:
    """Train `run`; one line of the file for each epoch."""
    _, history = trained(run, seed, epochs)
    return common.epochs_of(run.name, seed, history, FIELDS)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--epochs", EPOCHS, "passes over the digits")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
