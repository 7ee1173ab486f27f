"""Recall of proposals by size, for the chapter on feature pyramids.

    python -m tools.curves.fpn [--output FILE] [--seeds S ...]

The script calls the function that the chapter itself defines. The twelve trainings take about two
and a half minutes on one idle core. Another processor rounds differently, so the numbers of a run
differ from machine to machine like those of another seed.

The file has one line for each number that a training returns:

    training   the function of the page and the maps it proposes from
    seed       of the weights, the scenes and their order
    measure    size of the objects
    value      share of them that 30 proposals cover, in percent
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "detection/fpn.ipynb"
CELLS = ("imports", "data", "network", "experiment")
OUTPUT = common.output_of("fpn")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(proposes_with=("fine map", "coarse map", "three maps", "FPN"))


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
