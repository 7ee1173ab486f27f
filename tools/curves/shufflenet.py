"""Training curves for the chapter on ShuffleNet: with and without channel shuffle.

    python -m tools.curves.shufflenet [--output FILE] [--epochs N] [--seeds S ...]

The question is that of the paper's table 3 (arXiv:1707.01083): what does the shuffle contribute, in
3 groups and in 8? The units are those of `cnnlib.models`, six of them behind one 3×3 convolution.
What is small is the rest: scikit-learn's digits at 8×8 pixels, maps of 4×4 and 2×2, and ten epochs.

All 12 trainings take about two minutes on one core. Another processor rounds differently, so the
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

from torch import nn

from cnnlib.blocks import ConvNormActivation
from cnnlib.data import load
from cnnlib.models.shufflenet_v1 import ShuffleUnit
from cnnlib.training import History, fit, seed_everything
from tools.curves import common

OUTPUT = common.output_of("shufflenet")
FIELDS = common.EPOCHS
EPOCHS = 10
SEEDS = (0, 1, 2)


class Run(NamedTuple):
    """A network.

    Attributes:
        name: Its name in the file.
        groups: Groups of its 1×1 convolutions.
        channels: Channels of its first stage; the second has twice as many.
        shuffle: Whether channels are shuffled.
    """

    name: str
    groups: int
    channels: int
    shuffle: bool


RUNS = (
    Run("g = 3, shuffle", 3, 48, True),
    Run("g = 3, no shuffle", 3, 48, False),
    Run("g = 8, shuffle", 8, 64, True),
    Run("g = 8, no shuffle", 8, 64, False),
)


def small_shufflenet(groups: int, channels: int, shuffle: bool) -> nn.Sequential:
    """A 3×3 convolution and two stages of three units: (N, 1, 8, 8) to logits (N, 10)."""
    layers: list[nn.Module] = [ConvNormActivation(1, channels // 2, 3)]
    wide = channels // 2
    for stage, out_channels in enumerate((channels, 2 * channels)):  # on 4×4 and on 2×2
        first_groups = 1 if stage == 0 else groups
        layers.append(
            ShuffleUnit(wide, out_channels, 2, groups, first_groups=first_groups, shuffle=shuffle)
        )
        layers += [
            ShuffleUnit(out_channels, out_channels, 1, groups, shuffle=shuffle) for _ in range(2)
        ]
        wide = out_channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 10))


def trained(run: Run, seed: int, epochs: int = EPOCHS) -> History:
    """Train one network on the digits; the learning rate falls to 0 within EPOCHS."""
    train, test = (load("digits", part, image_size=8) for part in ("train", "test"))
    seed_everything(seed)
    network = small_shufflenet(run.groups, run.channels, run.shuffle)
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
