"""Results of the experiments in the chapter on autoencoders.

    python -m tools.curves.autoencoders [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows.
The 24 autoencoders, 36 classifiers and 66 linear probes take about five minutes on one core.
Another processor rounds differently, so the numbers of a run differ from machine to machine like
those of another seed.

The file has one line for each number that an experiment returns, all in percent:

    training   function of the page and its setting
    seed       of new weights, of the order of the images and of the choice of the labels
    measure    what was trained or probed; "classes" and everything in few_labels are right answers,
               the rest is the squared error on new digits as a share of the mean digit's
    value      how much it was
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "beyond/autoencoders.ipynb"
CELLS = ("imports", "data", "autoencoder", "experiments", "few-labels")
OUTPUT = common.output_of("autoencoders")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(
    code_size=(2, 4, 8, 16, 32),
    code_map=(8, 16, 32),
    few_labels=(1, 3, 10, 30),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
