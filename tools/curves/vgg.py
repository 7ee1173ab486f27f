"""Results of the experiments in the chapter on VGG.

    python -m tools.curves.vgg [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows.
The 42 trainings take about a minute on one idle core. Another processor rounds differently, so the
numbers of a run differ from machine to machine like those of another seed.

The file has one line for each number that an experiment returns:

    training   function of the page and its setting
    seed       of the weights and of the order of the images
    measure    accuracy in percent, of what; or the training loss
    value      how much it was
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "architectures/vgg.ipynb"
CELLS = ("imports", "by-hand", "small-vgg", "grown", "batch-norm", "gap", "jitter", "probe")
OUTPUT = common.output_of("vgg")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(
    plain=(1, 2, 4),
    started_shallow=(2, 4),
    normalised=(1, 2, 4),
    two_heads=("FC", "GAP"),
    at_each_scale=("always 16 pixels", "10 to 24 pixels"),
    new_digits=(10,),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
