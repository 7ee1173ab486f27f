"""Results of the experiments in the chapter on augmentation and regularisation.

    python -m tools.curves.augmentation [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows.
All 72 trainings take about a minute and a half on one idle core. Another processor rounds
differently, so the numbers of a run differ from machine to machine like those of another seed.

The file has one line for each number that an experiment returns, in percent:

    training   function of the page and its setting
    seed       of the weights, of the choice of the images and of their order
    measure    what was measured
    value      how much it was
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "foundations/augmentation.ipynb"
CELLS = (
    "imports",
    "training-loop",
    "axis-data",
    "axis-capacity",
    "rotation",
    "mirror",
    "times-six-runs",
    "noise-sweep",
)
OUTPUT = common.output_of("augmentation")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
RUNS = common.experiments(
    with_images=(20, 50, 100, 300, 1029),
    with_width=(2, 4, 8, 16),
    with_rotation=(0.0, 20.0, 180.0),
    with_mirroring=("no", "yes"),
    with_variants=("none", "fixed ×6", "on the fly"),
    with_noise=(0.0, 0.1, 0.3, 1.0),
    with_dropout=(0.25, 0.5, 0.9),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
