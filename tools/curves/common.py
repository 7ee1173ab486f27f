"""What the scripts in this folder share: their options, the loop over trainings, their file.

A script trains what one page of the course shows and stores the curves next to the page. It keeps
to this pattern, and everything else is done here:

    OUTPUT = common.output_of("resnet")                    # book/_static/curves/resnet.csv
    FIELDS = ("network", "seed", "epoch", "train_error")   # a name, the seed, then what you like
    SEEDS = (0, 1, 2)
    RUNS = (Run("plain-20", ...), ...)                     # anything with a `name`

    def lines(run: Run, seed: int, epochs: int) -> list[common.Line]:
        ...                                                # train; one line for each epoch

    def main(arguments: list[str] | None = None) -> int:
        limit = common.Limit("--epochs", EPOCHS, "passes over the digits")
        return common.main(arguments, __doc__, OUTPUT, FIELDS, RUNS, SEEDS, lines, limit)

    if __name__ == "__main__":
        sys.exit(main())

`lines` formats its numbers itself (f"{loss:.4f}"): a file with sixteen digits would pretend to a
precision that another processor does not reproduce.

Where a page writes its experiments as functions of a setting and a seed, the script need not repeat
them. It runs the cells in which the page defines them, calls the functions and stores what they
return:

    CHAPTER = "foundations/augmentation.ipynb"
    CELLS = ("imports", "training-loop", "axis-data")      # ids; no cell that reads the file
    FIELDS = common.MEASURES
    RUNS = common.experiments(with_images=(20, 100))       # function of the page: its settings
    SEEDS = (0, 1, 2)

    def lines(run: common.Experiment, seed: int, _: int | None) -> list[common.Line]:
        return common.measured(CHAPTER, CELLS, run, seed)
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import nbformat
import torch

from cnnlib.training import History
from tools import course

Line = dict[str, str]  # one line of the file: field to text
MEASURES = ("training", "seed", "measure", "value")  # the header for experiments of a page
# The header for a line an epoch, see `epochs_of`.
EPOCHS = ("network", "seed", "epoch", "train_loss", "train_error", "test_error")


class Named(Protocol):
    """What a script trains: one entry of its RUNS."""

    @property
    def name(self) -> str:
        """Its name in the file, different for every entry."""


class Experiment(NamedTuple):
    """A function of a page, and the setting with which it is called.

    Attributes:
        function: Its name on the page. It takes the setting and a seed, trains, and returns the
            name and value of everything that it measured.
        setting: Its first argument.
    """

    function: str
    setting: float | str

    @property
    def name(self) -> str:
        """The name in the file, as the page puts it together as well."""
        return f"{self.function} {self.setting}"


RunT = TypeVar("RunT", bound=Named)


class Limit(NamedTuple):
    """The option that shortens every training, for a quick try and for the tests.

    Attributes:
        option: As it is written on the command line: "--epochs", "--stop".
        default: What `lines` gets without the option. None: the whole training.
        help: One line for `--help`.
    """

    option: str
    default: int | None
    help: str


def output_of(page: str) -> Path:
    """Where the curves of the page `page` are stored."""
    return course.ROOT / "book" / "_static" / "curves" / f"{page}.csv"


def as_csv(fields: Sequence[str], lines: Iterable[Line]) -> str:
    """The text of a file of curves: a header, then one line for each of `lines`.

    Raises:
        ValueError: A line has a field too many or too few.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        if line.keys() != set(fields):
            raise ValueError(f"a line of curves needs the fields {list(fields)}; got {list(line)}")
        writer.writerow(line)
    return text.getvalue()


def read(path: Path, fields: Sequence[str]) -> dict[tuple[str, int], list[Line]]:
    """Read a file of curves back.

    Args:
        path: The file.
        fields: Its header. The first field is the name of a training, the second its seed.

    Returns:
        Name and seed of each training, in the order of the file, to its lines.

    Raises:
        ValueError: The header is another one.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is None or tuple(reader.fieldnames) != tuple(fields):
            raise ValueError(f"{path.name}: the header should be {','.join(fields)}")
        trainings: dict[tuple[str, int], list[Line]] = {}
        for line in reader:
            trainings.setdefault((line[fields[0]], int(line[fields[1]])), []).append(line)
    return trainings


def epochs_of(name: str, seed: int, history: History, fields: Sequence[str] = EPOCHS) -> list[Line]:
    """One line of the file for each epoch of a training with `cnnlib.training.fit`.

    Args:
        name: Of the network.
        seed: Of the training.
        history: What `fit` returned, with validation.
        fields: `EPOCHS`, or the same with another name for the last.
    """
    columns = zip(history.train_loss, history.train_accuracy, history.val_accuracy, strict=True)
    return [
        dict(
            zip(
                fields,
                (
                    name,
                    str(seed),
                    str(epoch),
                    f"{loss:.4f}",
                    f"{100 * (1 - train):.2f}",
                    f"{100 * (1 - test):.2f}",
                ),
                strict=True,
            )
        )
        for epoch, (loss, train, test) in enumerate(columns, start=1)
    ]


def experiments(**settings: Sequence[float | str]) -> tuple[Experiment, ...]:
    """The RUNS of a script, from the functions of its page and the settings of each."""
    return tuple(
        Experiment(function, setting) for function, values in settings.items() for setting in values
    )


@cache
def definitions(chapter: str, cells: tuple[str, ...]) -> dict[str, Any]:
    """Run some cells of a chapter, without their prints, and return the names that they define.

    Args:
        chapter: The notebook, below book/.
        cells: Ids of code cells, in the order of the page.

    Raises:
        ValueError: The chapter has no such code cell, or has it earlier than the one before.
    """
    notebook = nbformat.read(course.ROOT / "book" / chapter, as_version=4)
    found = [c for c in notebook.cells if c.cell_type == "code" and c.id in cells]
    if [cell.id for cell in found] != list(cells):
        raise ValueError(
            f"{chapter} has the code cells {[cell.id for cell in found]}, not {list(cells)}"
        )
    names: dict[str, Any] = {"__name__": chapter}
    with redirect_stdout(io.StringIO()):  # what the cells print is for readers of the page
        for cell in found:
            exec(compile(cell.source, f"{chapter}, {cell.id}", "exec"), names)
    return names


def measured(chapter: str, cells: tuple[str, ...], run: Experiment, seed: int) -> list[Line]:
    """Call a function of a page; one line of the file for each number that it returns.

    Args:
        chapter: The notebook, below book/.
        cells: Ids of the cells that define the function and what it needs.
        run: The function and its setting.
        seed: Its second argument.
    """
    values = definitions(chapter, cells)[run.function](run.setting, seed)
    return [
        {"training": run.name, "seed": str(seed), "measure": measure, "value": f"{value:.2f}"}
        for measure, value in values.items()
    ]


def check(output: Path, seeds: Sequence[int], limit: Limit | None, number: int | None) -> None:
    """Refuse arguments that make no sense, before minutes are spent on training.

    Args:
        output: The file that will be written.
        seeds: One training of each run for each seed.
        limit: The option that shortens trainings, if the script has one.
        number: Its value.

    Raises:
        ValueError: The message names the option and what it must be.
    """
    if limit is not None and number is not None and number < 1:
        raise ValueError(f"{limit.option} must be at least 1; got {number}")
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError(
            f"--seeds must be different whole numbers of at least 0; got {list(seeds)}"
        )
    if not output.parent.is_dir():
        raise ValueError(f"--output: there is no folder {output.parent}; create it first")


def write(
    output: Path,
    fields: Sequence[str],
    runs: Iterable[RunT],
    seeds: Sequence[int],
    lines: Callable[[RunT, int], list[Line]],
) -> None:
    """Train every run with every seed, and write the file once all are done.

    An interrupted call leaves the old file as it was.

    Args:
        output: The file to write.
        fields: Its header.
        runs: What to train.
        seeds: One training of each run for each seed.
        lines: Trains one run with one seed and returns its lines of the file.
    """
    collected: list[Line] = []
    for run in runs:
        for seed in seeds:
            collected += lines(run, seed)
            last = ", ".join(f"{field} {collected[-1][field]}" for field in fields[2:])
            print(f"{run.name}, seed {seed}: {last}", flush=True)
    course.write_atomically(output, as_csv(fields, collected))


def main(
    arguments: list[str] | None,
    description: str | None,
    output: Path,
    fields: Sequence[str],
    runs: Iterable[RunT],
    seeds: Sequence[int],
    lines: Callable[[RunT, int, int | None], list[Line]],
    limit: Limit | None = None,
) -> int:
    """The command line of a script: read its options, train on one thread, write the file.

    Args:
        arguments: Of the command line; None takes those of the process.
        description: The docstring of the script; its first line is shown by `--help`.
        output: Where to write without `--output`.
        fields: The header of the file.
        runs: What to train.
        seeds: What to train with, without `--seeds`.
        lines: Trains one run with one seed, as long as the limit says.
        limit: The option that shortens every training. None: the script has no such option.

    Returns:
        The exit status: 0, or 2 for arguments that make no sense.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=output, help="the file to write")
    parser.set_defaults(n=None)
    if limit is not None:
        parser.add_argument(
            limit.option, type=int, default=limit.default, help=limit.help, dest="n"
        )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds), help="one run each")
    options = parser.parse_args(arguments)
    try:
        check(options.output, options.seeds, limit, options.n)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # enough for small pictures, and the same result on any machine
    write(
        options.output, fields, runs, options.seeds, lambda run, seed: lines(run, seed, options.n)
    )
    return 0
