"""Results of the experiments in the chapter on Siamese networks.

    python -m tools.curves.siamese [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows.
The 27 trainings take about five minutes on one idle core. The page computes in double precision:
with and without vector instructions the numbers are the same.

The file has one line for each number that an experiment returns, in percent:

    training   function of the page and its setting
    seed       of the weights, of what is drawn for training, and of the choice of letters
    measure    what was asked of the network
    value      how much it was
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "beyond/siamese.ipynb"
CELLS = ("imports", "small-siamese", "letters", "training-loop", "experiments", "unseen-digits")
OUTPUT = common.output_of("siamese")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(
    with_loss=("contrastive", "triplet", "batch-hard", "classifier"),
    with_letters=(7, 20),
    unseen_digits=("0 1 2", "3 4 5", "6 7 8"),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
