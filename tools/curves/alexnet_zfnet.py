"""Results of two experiments in the chapter on AlexNet and ZFNet.

    python -m tools.curves.alexnet_zfnet [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows:
how many updates ReLU and tanh need, and what some ingredients of AlexNet bring. The 30 trainings
take about half a minute on one idle core. Another processor rounds differently, so the numbers of a
run differ from machine to machine like those of another seed.

The file has one line for each training:

    training   function of the page and its setting
    seed       of the weights and of the order of the images
    measure    updates, or accuracy in percent
    value      how many
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "architectures/alexnet_zfnet.ipynb"
CELLS = ("imports", "relu-code", "lrn-size", "ablation")
OUTPUT = common.output_of("alexnet_zfnet")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RATES = (0.01, 0.03, 0.1)
RUNS = common.experiments(
    updates_needed=[f"{name}, {rate}" for name in ("ReLU", "tanh") for rate in RATES],
    with_ingredient=("plain", "overlapping pooling", "LRN", "dropout 0.5"),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
