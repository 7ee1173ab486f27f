"""Trainings for the chapter on MobileNet: the two multipliers, and the linear bottleneck.

    python -m tools.curves.mobilenet [--output FILE] [--epochs N] [--seeds S ...]

The task is small: capital letters A to Z of 32×32 pixels, rendered in several typefaces, 40 of each
for training and 20 others for the test, with 12 epochs of 17 steps. Two families of networks learn
it. The blocks are the papers' and come from `cnnlib.models`:

    v1   a stem and five separable convolutions as in MobileNet (arXiv:1704.04861), at four widths
         and three resolutions; and the same five layers as full convolutions
    v2   a stem and six inverted residuals as in MobileNetV2 (arXiv:1801.04381), with and without
         the shortcut, with and without a ReLU6 after the projection

All networks are trained with the same settings, which were set once and not searched. Nothing is
chosen by the test letters. The 60 trainings take about seven minutes on one core. Another processor
rounds differently, so the numbers of a run differ from machine to machine like those of another
seed.

The file has one line for each training, about its last epoch:

    network      v1-separable-1-32, v2-linear-shortcut, ...: a name in RUNS
    seed         of the initial weights and of the order of the images
    train_error  share of wrong answers in percent, measured while the weights moved
    test_error   the same on the test letters, measured after the training
"""

from __future__ import annotations

import string
import sys
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from cnnlib.blocks import ConvNormActivation, he_initialization
from cnnlib.data import load
from cnnlib.data.image_set import ImageSet
from cnnlib.data.resize import resize
from cnnlib.models.mobilenet_v1 import separable
from cnnlib.models.mobilenet_v2 import InvertedResidual
from cnnlib.training import History, fit, seed_everything
from tools.curves import common

OUTPUT = common.output_of("mobilenet")
FIELDS = ("network", "seed", "train_error", "test_error")
EPOCHS = 12
SEEDS = (0, 1, 2)
CLASSES = 26
V1_LAYERS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))  # filters, stride
V2_BLOCKS = ((8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1))  # channels, stride


@dataclass(frozen=True)
class Run:
    """A network and its input.

    Attributes:
        family: "v1" or "v2".
        alpha: v1 only: width multiplier.
        side: Of the pictures, in pixels.
        full: v1 only: full convolutions instead of separable ones.
        linear: v2 only: no activation after the projection, as in the paper; else ReLU6.
        shortcut: v2 only: whether blocks with equal shapes at both ends add their input.
    """

    family: str
    alpha: float = 1.0
    side: int = 32
    full: bool = False
    linear: bool = True
    shortcut: bool = True

    @property
    def name(self) -> str:
        """Its name in the file."""
        if self.family == "v1":
            return f"v1-{'full' if self.full else 'separable'}-{self.alpha:g}-{self.side}"
        end = "linear" if self.linear else "relu6"
        return f"v2-{end}-{'shortcut' if self.shortcut else 'none'}"


RUNS = (
    *(Run("v1", alpha, side) for alpha in (1, 0.75, 0.5, 0.25) for side in (32, 24, 16)),
    *(Run("v1", alpha, full=True) for alpha in (1, 0.5, 0.25, 0.125)),
    *(
        Run("v2", linear=linear, shortcut=shortcut)
        for linear in (True, False)
        for shortcut in (True, False)
    ),
)


def small_v1(alpha: float, full: bool = False) -> nn.Sequential:
    """A stem with stride 2, five layers of MobileNet, global average pooling and a linear layer."""
    channels = int(16 * alpha)
    layers: list[nn.Module] = [ConvNormActivation(1, channels, 3, stride=2)]
    for filters, stride in V1_LAYERS:
        layer = ConvNormActivation if full else separable
        layers.append(layer(channels, int(filters * alpha), stride=stride))
        channels = int(filters * alpha)
    return with_head(layers, channels)


def small_v2(linear: bool = True, shortcut: bool = True) -> nn.Sequential:
    """A stem with stride 2, six inverted residuals (t = 6), 1×1 to 128 channels, and the head."""
    channels = 8
    layers: list[nn.Module] = [ConvNormActivation(1, channels, 3, stride=2, activation=nn.ReLU6)]
    for out_channels, stride in V2_BLOCKS:
        block = InvertedResidual(channels, out_channels, stride, expansion=6)
        block.has_shortcut = block.has_shortcut and shortcut
        if not linear:
            block.conv.append(nn.ReLU6())
        layers.append(block)
        channels = out_channels
    layers.append(ConvNormActivation(channels, 128, 1, activation=nn.ReLU6))
    return with_head(layers, 128)


def with_head(layers: list[nn.Module], channels: int) -> nn.Sequential:
    """The layers, global average pooling and a linear layer, with their first weights."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))
    network = nn.Sequential(*layers, *head)
    he_initialization(network)
    return network


@cache
def letters(part: str, side: int) -> ImageSet:
    """Capital letters; the smaller ones are the same pictures, made smaller."""
    large = load(
        "glyphs",
        part,
        scripts=("latin",),
        classes=tuple(string.ascii_uppercase),
        per_class=40 if part == "train" else 20,
        split_by="random",
    )
    return ImageSet(resize(large.images, side), large.labels, large.classes, f"letters, {part}")


def trained(run: Run, seed: int, epochs: int = EPOCHS) -> tuple[nn.Sequential, History]:
    """Train one network on the letters.

    Args:
        run: Which network on pictures of which size.
        seed: Seed of the weights and of the order of the images.
        epochs: Passes over the 1,040 training letters.

    Returns:
        The network and what happened in each epoch.
    """
    seed_everything(seed)
    if run.family == "v1":
        network = small_v1(run.alpha, run.full)
    else:
        network = small_v2(run.linear, run.shortcut)
    network = network.to(memory_format=torch.channels_last)  # faster for these layers on a CPU
    history = fit(
        network,
        letters("train", run.side),
        letters("test", run.side),
        epochs=epochs,
        optimizer=torch.optim.AdamW(network.parameters(), lr=4e-3, fused=True),
        schedule="cosine",
        device="cpu",
        seed=seed,
        progress=False,
    )
    return network, history


def lines(run: Run, seed: int, epochs: int) -> list[common.Line]:
    """Train `run`; the one line of the file about it."""
    _, history = trained(run, seed, epochs)
    return [
        {
            "network": run.name,
            "seed": str(seed),
            "train_error": f"{100 * (1 - history.train_accuracy[-1]):.2f}",
            "test_error": f"{100 * (1 - history.val_accuracy[-1]):.2f}",
        }
    ]


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--epochs", EPOCHS, "passes over the letters")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
