"""Joint training and the four alternating steps, for the chapter on Faster R-CNN.

    python -m tools.curves.faster_rcnn [--output FILE] [--seeds S ...]

The script calls the function that the chapter itself defines. The six trainings take about three
minutes on one idle core. Another processor rounds differently, so the numbers of a run differ from
machine to machine like those of another seed.

The file has one line for each number that a training returns:

    training   the function of the page and its setting: "joint" or "four-step"
    seed       of the weights, the scenes and their order
    measure    seconds of the training, recall of ten proposals or mAP50
    value      how much it was, recall and mAP50 in percent
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "detection/faster_rcnn.ipynb"
CELLS = ("imports", "experiment")
OUTPUT = common.output_of("faster_rcnn")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(trained_by=("joint", "four-step"))


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
