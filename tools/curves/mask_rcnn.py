"""What the ways of cutting out features and of dividing masks among classes are worth.

    python -m tools.curves.mask_rcnn [--output FILE] [--seeds S ...]

The script calls the function that the chapter on Mask R-CNN itself defines, with every setting that
it shows: one small mask head for each, on the features of one and the same trained detector. It
takes about two minutes on one idle core. The page computes in double precision: with
and without vector instructions the numbers are the same.

The file has one line for each number:

    training   function of the page and its setting
    seed       of the weights and of the order of the regions
    measure    the scenes: ordinary ones or crowded ones
    value      mean IoU of the masks with the true ones, in percent
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "detection/mask_rcnn.ipynb"
CELLS = ("imports", "data", "competing", "regions", "training-code", "experiment")
OUTPUT = common.output_of("mask_rcnn")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(
    mask_quality=("RoIAlign", "features off", "both off", "RoI pooling", "softmax", "one mask"),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
