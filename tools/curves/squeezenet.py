"""Training curves for the chapter on SqueezeNet: squeeze ratio, place of pooling, bypasses.

    python -m tools.curves.squeezenet [--output FILE] [--epochs N] [--seeds S ...]

A small network in SqueezeNet's form for scikit-learn's digits at 8×8 pixels: a 3×3 convolution with
16 filters, four Fire modules with 32, 32, 64 and 64 filters in their expand layers (half of them
3×3), two poolings, a 1×1 convolution with one filter per class, and averages. One thing is changed
at a time. As in the paper there is no batch normalisation; without it a small network starts
reliably only with He's rule for the inputs of a neuron, which is used here in place of the Glorot
rule of the authors' release.

All 24 trainings take one to two minutes on one idle core. Another processor rounds differently, so
the numbers of a run differ from machine to machine like those of another seed.

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
from dataclasses import dataclass

from torch import nn

from cnnlib.blocks import ConvNormActivation, he_initialization
from cnnlib.data import load
from cnnlib.models.squeezenet import Fire
from cnnlib.training import History, fit, seed_everything
from tools.curves import common

OUTPUT = common.output_of("squeezenet")
FIELDS = common.EPOCHS
EPOCHS = 8
SEEDS = (0, 1, 2)
EXPAND = (32, 32, 64, 64)  # filters of the expand layers of the four Fire modules


@dataclass(frozen=True)
class Run:
    """A small SqueezeNet.

    Attributes:
        name: Its name in the file.
        ratio: Squeeze ratio: filters of a squeeze layer / filters of its expand layer.
        pools: A 2×2 pooling stands behind these parts; 0 is the first convolution, 1 to 4 are the
            Fire modules.
        variant: "plain", "simple" or "complex": the bypasses.
    """

    name: str
    ratio: float = 0.25
    pools: tuple[int, int] = (1, 3)
    variant: str = "plain"


RUNS = (
    Run("ratio 0.125", ratio=0.125),
    Run("ratio 0.25"),
    Run("ratio 0.5", ratio=0.5),
    Run("ratio 1", ratio=1.0),
    Run("early", pools=(0, 1)),
    Run("late", pools=(3, 4)),
    Run("simple", variant="simple"),
    Run("complex", variant="complex"),
)


def network(run: Run) -> nn.Sequential:
    """The network for 8×8 pixels: (N, 1, 8, 8) to (N, 10)."""
    parts: list[nn.Module] = [ConvNormActivation(1, 16, 3, norm=None)]
    channels = 16
    for place, filters in enumerate(EXPAND, start=1):
        if place - 1 in run.pools:
            parts.append(nn.MaxPool2d(2))
        half = filters // 2
        parts.append(Fire(channels, round(run.ratio * filters), half, half, run.variant))
        channels = filters
    if len(EXPAND) in run.pools:
        parts.append(nn.MaxPool2d(2))
    model = nn.Sequential(*parts, nn.Conv2d(channels, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    he_initialization(model, mode="fan_in")
    return model


def trained(
    run: Run, seed: int, epochs: int = EPOCHS, *, lr: float = 4e-3, part: str = "test"
) -> tuple[nn.Sequential, History]:
    """Train one network on the digits.

    Args:
        run: Which network.
        seed: Seed of the weights and of the order of the images.
        epochs: Passes over the 1,029 training digits.
        lr: Learning rate at the beginning.
        part: The digits that are not trained on: "val" to choose settings, "test" to report.

    Returns:
        The network and what happened in each epoch.
    """
    known, new = (load("digits", name, image_size=8) for name in ("train", part))
    seed_everything(seed)
    model = network(run)
    history = fit(
        model,
        known,
        new,
        epochs=epochs,
        batch_size=32,
        optimizer="adamw",
        lr=lr,
        schedule="cosine",
        device="cpu",
        seed=seed,
        progress=False,
    )
    return model, history


def lines(run: Run, seed: int, epochs: int) -> list[common.Line]:
    """Train `run`; one line of the file for each epoch."""
    _, history = trained(run, seed, epochs)
    return common.epochs_of(run.name, seed, history)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--epochs", EPOCHS, "passes over the digits")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
