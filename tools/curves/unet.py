"""Results of three experiments in the chapter on U-Net.

    python -m tools.curves.unet [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows:
what the copied maps are worth, what the loss does for a small object, and the IoU of each class. It
takes about five minutes on one idle core. Another processor rounds differently, so the numbers of a
run differ from machine to machine like those of another seed.

The file has one line for each number:

    training   function of the page and its setting
    seed       of the weights and of the order of the images
    measure    mean IoU, or IoU of a class or after so many pictures
    value      in percent
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "beyond/unet.ipynb"
CELLS = (
    "imports",
    "data",
    "by-hand",
    "training-code",
    "rare-data",
    "rare-training",
    "classes-code",
)
OUTPUT = common.output_of("unet")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(
    with_or_without=("skips", "no skips"),
    with_loss=("cross-entropy", "weighted", "Dice"),
    by_class=("0 1 7",),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
