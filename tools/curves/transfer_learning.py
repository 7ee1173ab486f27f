"""Results of the experiments in the chapter on transfer learning.

    python -m tools.curves.transfer_learning [--output FILE] [--seeds S ...]

The script calls the functions that the chapter itself defines, with every setting that it shows.
The 48 trainings and 126 linear probes take about a minute on one idle core. Another processor
rounds differently, so the numbers of a run differ from machine to machine like those of another
seed.

The file has one line for each number that an experiment returns, in percent of right answers:

    training   function of the page and its setting
    seed       of the choice of the labels, of new weights and of the order of the images
    measure    method, or network and layer
    value      how much it was
"""

from __future__ import annotations

import sys

from tools.curves import common

CHAPTER = "foundations/transfer_learning.ipynb"
CELLS = ("imports", "from-scratch", "letters", "four-methods", "passing", "probes", "square")
OUTPUT = common.output_of("transfer_learning")
FIELDS = common.MEASURES
SEEDS = (0, 1, 2)
COUNTS = (1, 3, 10, 30)
RUNS = common.experiments(
    from_scratch=COUNTS,
    from_letters=COUNTS,
    at_each_layer=("Latin letters (old task)", "handwritten digits", "textures"),
    in_field=(
        "few labels, similar",
        "few labels, different",
        "many labels, similar",
        "many labels, different",
    ),
)


def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
    """Do the experiment `run` of the page; one line of the file for each number."""
    return common.measured(CHAPTER, CELLS, run, seed)


def main(arguments: list[str] | None = None) -> int:
    """Train, write the file and return the exit status."""
    return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines)


if __name__ == "__main__":
    sys.exit(main())
