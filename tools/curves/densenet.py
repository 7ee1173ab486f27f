"""Training curves for the chapter on DenseNet: dense and residual networks of several sizes.

    python -m tools.curves.densenet [--output FILE] [--epochs N] [--seeds S ...]

All networks have 17 layers with weights on their main path, of which 16 lie in two stages on maps
of 8×8 and 4×4, and end in global average pooling and one linear layer. The dense ones differ in
their growth rate, the residual ones in their width. Data: scikit-learn's digits at 8×8 pixels,
AdamW with the learning rate 0.01 that falls along a cosine. (With 0.005 and 0.02 the validation
errors of one network of each kind stayed between 2 and 4 percent, as with 0.01.)

All 24 trainings take about three minutes on one idle core. Another processor rounds differently, so
the numbers of a run differ from machine to machine like those of another seed.

The file has one line for each epoch of each training:

    network      dense-4, residual-8, ...: a name in RUNS
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
from cnnlib.models.densenet import DenseBlock, Transition
from cnnlib.models.resnet import BasicBlock
from cnnlib.training import History, fit, seed_everything
from tools.curves import common

OUTPUT = common.output_of("densenet")
FIELDS = common.EPOCHS
EPOCHS = 8
SEEDS = (0, 1, 2)
LAYERS = 4  # dense layers, or residual blocks, in each of the two stages


@dataclass(frozen=True)
class Run:
    """A network.

    Attributes:
        kind: "dense" or "residual".
        size: Growth rate of a dense network, channels of the first stage of a residual one.
    """

    kind: str
    size: int

    @property
    def name(self) -> str:
        """Its name in the file."""
        return f"{self.kind}-{self.size}"


RUNS = (
    *(Run("dense", growth_rate) for growth_rate in (2, 4, 6, 10)),
    *(Run("residual", width) for width in (3, 5, 8, 12)),
)


def network(kind: str, size: int) -> nn.Sequential:
    """A dense or residual network for 8×8 pixels: (N, 1, 8, 8) to (N, 10).

    Args:
        kind: "dense" or "residual".
        size: Growth rate, or channels of the first stage.
    """
    if kind == "dense":
        channels = 2 * size + LAYERS * size  # 2k from the stem, k from each layer
        kept = channels // 2
        last = kept + LAYERS * size
        parts = [
            nn.Conv2d(1, 2 * size, 3, padding=1, bias=False),
            DenseBlock(LAYERS, 2 * size, size, dropout=0.0),
            Transition(channels, kept),
            DenseBlock(LAYERS, kept, size, dropout=0.0),
            nn.BatchNorm2d(last),
            nn.ReLU(),
        ]
    else:
        last = 2 * size
        parts = [
            ConvNormActivation(1, size, 3),
            *(BasicBlock(size, size) for _ in range(LAYERS)),
            BasicBlock(size, last, stride=2),
            *(BasicBlock(last, last) for _ in range(LAYERS - 1)),
        ]
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 10))
    he_initialization(model)
    return model


def trained(
    run: Run, seed: int, epochs: int = EPOCHS, *, lr: float = 0.01, part: str = "test"
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
    model = network(run.kind, run.size)
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
    """Train one network; returns a line of the file for each epoch."""
    _, history = trained(run, seed, epochs)
    return common.epochs_of(run.name, seed, history)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--epochs", EPOCHS, "passes over the digits")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
