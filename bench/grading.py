"""A class of submissions graded by `python -m grading grade` and by stock `nbgrader autograde`.

``python -m bench.grading --quick`` compares the two on four submissions only.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import nbformat

from bench.harness import Comparison, Seconds, environment, measure, table

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENT = "a1_layers"
SUBMISSIONS, QUICK_SUBMISSIONS = 24, 4
WORKERS = 2
MOST_REPETITIONS = 1  # after the warm-up; stock takes minutes for each
NOTE = (
    "Both from an empty start: imports, submissions of {assignment} (answers of the bank, right "
    "and wrong, and stubs), gradebook written; scores compared afterwards. Ours: split, isolated, "
    "{workers} workers, summary page included. nbgrader grades one after the other."
)
NOTE_FURTHER = (
    "A further submission: the difference between the two classes, so without what either program "
    "takes to start."
)


def comparisons(count: int = SUBMISSIONS) -> Iterator[Comparison]:
    """A small class, one of `count`, and from both what each further submission takes."""
    if not (ROOT / "solutions" / ASSIGNMENT).is_dir():
        print("grading: left out, needs the instructor's tree", file=sys.stderr)
        return
    peer = f"nbgrader {version('nbgrader')} autograde"
    with tempfile.TemporaryDirectory(prefix="bench-grading-") as scratch:
        classes = []
        for size in sorted({QUICK_SUBMISSIONS, count}):
            ours, stock = (Course(Path(scratch) / f"{who}{size}") for who in ("ours", "stock"))
            for course in (ours, stock):
                course.set_up(size)
            yield Comparison(
                name="grade",
                workload=f"{size} × {ASSIGNMENT}",
                ours=ours.grade,
                peers={peer: stock.autograde},
                note=NOTE.format(assignment=ASSIGNMENT, workers=WORKERS),
            )
            compare_scores(ours.scores(), stock.scores())
            classes.append((ours, stock))
        if len(classes) == 2:
            small, large = classes
            yield Comparison(
                name="grade",
                workload="a further submission",
                ours=lambda: further(small[0], large[0]),
                peers={peer: lambda: further(small[1], large[1])},
                note=NOTE_FURTHER,
            )


def further(small: Course, large: Course) -> Seconds:
    """What one more submission takes, by the latest runs of two classes."""
    return Seconds((large.seconds - small.seconds) / (large.count - small.count))


class Course:
    """A temporary course folder with submissions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.seconds = 0.0  # of the latest run
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COURSE_DB": self.db_url,
        }

    @property
    def db_url(self) -> str:
        return f"sqlite:///{self.folder / 'gradebook.db'}"

    def set_up(self, count: int) -> None:
        """Release the assignment and hand in `count` submissions; the same ones every time."""
        source = self.folder / "solutions" / ASSIGNMENT
        source.mkdir(parents=True)
        shutil.copy(ROOT / "nbgrader_config.py", self.folder)
        shutil.copy(ROOT / "solutions" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", source)
        self.run("-m", "nbgrader", "generate_assignment", ASSIGNMENT)
        path = self.folder / "exercises" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        answers = load_bank().load(ASSIGNMENT).answers
        rng = random.Random(0)
        for number in range(count):
            notebook = nbformat.read(path, as_version=4)
            fill_in(notebook, answers, rng, skill=0.4 + 0.6 * number / max(1, count - 1))
            target = self.folder / "submitted" / f"student{number:02}" / ASSIGNMENT
            target.mkdir(parents=True)
            nbformat.write(notebook, target / f"{ASSIGNMENT}.ipynb")
        self.count = count

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)[:80]}\n{done.stdout}{done.stderr}")

    def timed(self, name: str, *arguments: str) -> None:
        start = time.perf_counter()
        self.run(*arguments)
        self.seconds = time.perf_counter() - start
        rate = 60 * self.count / self.seconds
        print(f"{name}: {self.count} in {self.seconds:.1f} s, {rate:.1f} a minute", file=sys.stderr)

    def grade(self) -> None:
        """Our way."""
        seed = ["--seed-file", str(self.folder / "seed")]
        options = ["--workers", str(WORKERS), "--force", *seed]
        self.timed("grading", "-m", "grading", "grade", ASSIGNMENT, *options)

    def autograde(self) -> None:
        """nbgrader's way."""
        self.timed("nbgrader", "-m", "nbgrader", "autograde", ASSIGNMENT, "--force")

    def scores(self) -> dict[tuple[str, str], float]:
        """Points by student and test cell."""
        from nbgrader.api import Gradebook

        with Gradebook(self.db_url) as gradebook:
            return {
                (submission.student.id, grade.name): grade.score
                for submission in gradebook.assignment_submissions(ASSIGNMENT)
                for grade in submission.notebooks[0].grades
            }


def fill_in(
    notebook: nbformat.NotebookNode, answers: list, rng: random.Random, skill: float
) -> None:
    """Answer each task rightly, wrongly or not at all, as a student of this skill might."""
    for cell in notebook.cells:
        info = cell.metadata.get("nbgrader", {})
        if not info.get("solution"):
            continue
        right = rng.random() < skill
        if not right and rng.random() < 0.3:
            continue  # left as it was
        task = info["grade_id"]
        options = [one for one in answers if one.task == task and one.right == right]
        cell.source = rng.choice(options).cell


def compare_scores(ours: dict, stock: dict) -> None:
    """Stop rather than compare the speed of two answers to different questions."""
    if not ours or ours != stock:
        different = sorted(key for key in ours.keys() | stock if ours.get(key) != stock.get(key))
        raise RuntimeError(f"the two graders disagree on {different[:10] or 'everything'}")


def load_bank() -> ModuleType:
    """The module with the answer banks, which lies among the tests."""
    path = ROOT / "tests" / "assignments" / "bank.py"
    spec = importlib.util.spec_from_file_location("bank", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bank"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.grading", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SUBMISSIONS} submissions")
    parser.add_argument(
        "--submissions",
        type=int,
        default=SUBMISSIONS,
        metavar="N",
        help="how many (default: %(default)s); the start weighs less in a larger class",
    )
    parser.add_argument("--repetitions", type=int, default=MOST_REPETITIONS, metavar="N")
    arguments = parser.parse_args()
    print(", ".join(f"{key} {value}" for key, value in environment().items()), flush=True)
    count = QUICK_SUBMISSIONS if arguments.quick else arguments.submissions
    if count < 1:
        parser.error(f"--submissions must be at least 1, not {count}")
    results = [measure(one, arguments.repetitions) for one in comparisons(count)]
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
