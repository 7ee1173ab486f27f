"""Training curves for the chapter on GoogLeNet: auxiliary heads, and three nets at one budget.

    python -m tools.curves.googlenet [--output FILE] [--stop N] [--seeds S ...]

Two comparisons, both on scikit-learn's digits:

* heads: GoogLeNet's 22 layers at a sixteenth of its width, on digits of 8×8 pixels, with and
  without the two auxiliary heads, each without and with batch normalisation.
* budget: ten layers of plain 3×3 convolutions, four naive Inception modules and four with
  reductions, at the same number of multiply-adds within 0.2 %. Every digit lies somewhere on a
  canvas of 24×24 pixels, in a size of its own.

All 21 trainings take about four minutes on one idle core. Another processor rounds differently, so
the numbers of a run differ from machine to machine like those of another seed.

The file has one line for each epoch of each training:

    training     a name in RUNS
    seed         of the initial weights and of the order of the images
    epoch        counted from 1
    train_loss   mean cross-entropy of the main classifier over the epoch, while the weights moved
    train_error  share of wrong answers in percent after the epoch, on the training digits
    test_error   the same on digits of writers that were not in the training
"""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import Branches, ConvNormActivation, he_initialization, xavier_initialization
from cnnlib.data import load
from cnnlib.data.image_set import ImageSet
from cnnlib.models.googlenet import MODULES, Filters
from cnnlib.training import evaluate, seed_everything
from tools.curves import common

OUTPUT = common.output_of("googlenet")
FIELDS = ("training", "seed", "epoch", "train_loss", "train_error", "test_error")
SEEDS = (0, 1, 2)
SIZES = (7, 24)  # smallest and largest side of a digit on the canvas, in pixels


class Run(NamedTuple):
    """What is trained, and on what.

    Attributes:
        name: Its name in the file.
        network: A key of NETWORKS.
        digits: "8×8" or "canvas".
        epochs: Passes over the training digits.
    """

    name: str
    network: str
    digits: str
    epochs: int


RUNS = (
    Run("no norm, no heads", "small", "8×8", 20),
    Run("no norm, heads", "small, heads", "8×8", 20),
    Run("norm, no heads", "small, norm", "8×8", 10),
    Run("norm, heads", "small, norm, heads", "8×8", 10),
    *(Run(network, network, "canvas", 10) for network in ("plain", "naive", "inception")),
)


def inception(in_channels: int, f: Filters, norm: bool) -> Branches:
    """An Inception module with reductions, with or without batch normalisation."""
    conv = partial(ConvNormActivation, norm=nn.BatchNorm2d if norm else None)
    return Branches(
        conv(in_channels, f.conv1x1, 1),
        nn.Sequential(conv(in_channels, f.reduce3x3, 1), conv(f.reduce3x3, f.conv3x3, 3)),
        nn.Sequential(conv(in_channels, f.reduce5x5, 1), conv(f.reduce5x5, f.conv5x5, 5)),
        nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, f.pool_proj, 1)),
    )


class SmallGoogLeNet(nn.Module):
    """GoogLeNet's 22 layers at a sixteenth of its width.

    Shape: (N, 1, 8, 8) to a list of logits (N, 10): of the main classifier and, in training with
    heads, of the heads after 4d and 4a.
    """

    def __init__(self, heads: bool, norm: bool) -> None:
        super().__init__()
        conv = partial(ConvNormActivation, norm=nn.BatchNorm2d if norm else None)
        self.stem = nn.Sequential(conv(1, 4, 3), conv(4, 4, 1), conv(4, 12, 3))  # 12×8×8
        self.inception = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        channels = 12
        for name, filters in MODULES.items():
            f = Filters(*(round(number / 16) for number in filters))
            self.inception[name] = inception(channels, f, norm)
            channels = f.out_channels
            if heads and name in ("4a", "4d"):  # on maps of 4×4
                self.heads[name] = nn.Sequential(
                    *(conv(channels, 8, 1), nn.Flatten(), nn.Linear(8 * 4 * 4, 64), nn.ReLU()),
                    *(nn.Dropout(0.7), nn.Linear(64, 10)),
                )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(channels, 10)
        xavier_initialization(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Classify digits."""
        x = self.stem(x)
        extra = []
        for name, module in self.inception.items():
            if name in ("4a", "5a"):
                x = self.pool(x)  # 8×8 -> 4×4 -> 2×2
            x = module(x)
            if self.training and name in self.heads:
                extra.insert(0, self.heads[name](x))
        return [self.fc(self.dropout(x.mean(dim=(2, 3)))), *extra]


def budget_network(kind: str) -> nn.Sequential:
    """A net for 24×24 pixels: stem, two modules on 12×12, two on 6×6, averages, one linear layer.

    A module is an Inception module, a naive one, or two 3×3 convolutions. The widths are chosen so
    that all three kinds cost the same.
    """
    conv = ConvNormActivation
    layers: list[nn.Module] = [conv(1, 16, 3, 2)]  # 16×12×12
    channels = 16
    for stage in (0, 1):
        if stage == 1:
            layers.append(nn.MaxPool2d(3, 2, 1))  # 6×6
        for place in (0, 1):
            if kind == "plain":
                width = (12, 21)[stage]
                layers += [conv(channels, width, 3), conv(width, width, 3)]
                channels = width
            elif kind == "naive":
                filters = ((3, 5, 2), (6, 12, 4))[stage]
                branches = [conv(channels, n, s) for n, s in zip(filters, (1, 3, 5), strict=True)]
                layers.append(Branches(*branches, nn.MaxPool2d(3, 1, 1)))
                channels += sum(filters)
            else:
                later = Filters(16, 12, 28, 4, 12, 8)
                first = (Filters(8, 8, 16, 4, 8, 8), Filters(12, 8, 20, 4, 8, 8))
                f = later if stage else first[place]
                layers.append(inception(channels, f, norm=True))
                channels = f.out_channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    network = nn.Sequential(*layers)
    he_initialization(network)
    return network


NETWORKS = {
    "small": partial(SmallGoogLeNet, heads=False, norm=False),
    "small, heads": partial(SmallGoogLeNet, heads=True, norm=False),
    "small, norm": partial(SmallGoogLeNet, heads=False, norm=True),
    "small, norm, heads": partial(SmallGoogLeNet, heads=True, norm=True),
    **{kind: partial(budget_network, kind) for kind in ("plain", "naive", "inception")},
}


@cache
def digits(part: str, kind: str) -> ImageSet:
    """Digits of 8×8 pixels, or on a canvas of 24×24 at random places and in random sizes.

    Args:
        part: "train", "val" or "test".
        kind: "8×8" or "canvas".
    """
    small = load("digits", part, image_size=8)
    if kind == "8×8":
        return small
    smallest, largest = SIZES
    generator = torch.Generator().manual_seed(("train", "val", "test").index(part))
    canvas = torch.zeros(len(small), 1, 24, 24)
    for picture, digit in zip(canvas, small.images, strict=True):
        side = int(torch.randint(smallest, largest + 1, (), generator=generator))
        top, left = torch.randint(0, 24 - side + 1, (2,), generator=generator).tolist()
        picture[:, top : top + side, left : left + side] = F.interpolate(
            digit[None], size=(side, side), mode="bilinear"
        )[0]
    return ImageSet(canvas, small.labels, small.classes, f"digits on a canvas, {part}")


class MainOutput(nn.Module):
    """A network with its auxiliary heads left away, to be evaluated."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the main classifier."""
        outputs = self.network(x)
        return outputs[0] if isinstance(outputs, list) else outputs


def trained(
    run: Run, seed: int, stop: int | None = None, part: str = "test"
) -> tuple[nn.Module, list[tuple[float, float, float]]]:
    """Train one network.

    Args:
        run: Which network on which digits.
        seed: Seed of the weights, of the dropout and of the order of the digits.
        stop: Stop after this many epochs, with the learning rates of the whole training.
        part: The digits that are not trained on: "val" to choose settings, "test" to report.

    Returns:
        The network, and for each epoch the mean loss of the main classifier and the errors in
        percent on the training digits and on the others.
    """
    known, new = digits("train", run.digits), digits(part, run.digits)
    seed_everything(seed)
    # The same numbers in another order in memory, which halves the time of these modules on a CPU.
    network = NETWORKS[run.network]().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, fused=True)
    steps = run.epochs * (len(known) // 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    curve = []
    for _ in range(run.epochs)[:stop]:
        network.train()
        losses = []
        for indices in torch.randperm(len(known)).split(64):
            if len(indices) < 64:
                continue  # the 5 digits left over have their turn in another epoch
            images, labels = known[indices]
            outputs = network(images)
            main, *extra = outputs if isinstance(outputs, list) else [outputs]
            loss = F.cross_entropy(main, labels)
            losses.append(loss.item())
            for logits in extra:
                loss = loss + 0.3 * F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        answers = (evaluate(MainOutput(network), data).accuracy for data in (known, new))
        errors = [100 - 100 * accuracy for accuracy in answers]
        curve.append((sum(losses) / len(losses), *errors))
    return network, curve


def lines(run: Run, seed: int, stop: int | None) -> list[common.Line]:
    """Train `run`; one line of the file for each epoch."""
    _, curve = trained(run, seed, stop)
    return [
        {
            "training": run.name,
            "seed": str(seed),
            "epoch": str(epoch),
            "train_loss": f"{loss:.4f}",
            "train_error": f"{train_error:.2f}",
            "test_error": f"{test_error:.2f}",
        }
        for epoch, (loss, train_error, test_error) in enumerate(curve, start=1)
    ]


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    limit = common.Limit("--stop", None, "end each training after this many epochs")
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)


if __name__ == "__main__":
    sys.exit(main())
