"""The commands ``run`` and ``check`` of ``python -m grading``.

``run`` grades one file and needs neither a course folder nor a database. ``check`` tries an
assignment out before students see it: the reference solution must get all points and the empty
stub none, both in one kernel, as in the student's notebook, and split, as the grader does it.

Wired into the main command line by ``add_commands``; ``python -m grading.cli`` works alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from grading import rebuild
from grading.run import Grader, default_secret_file, read_secret, student_seed
from grading.sandbox import IsolationError, Limits, mentioned

SOLUTIONS = Path("solutions")
CHECK_SEEDS = ("check-1", "check-2")


def add_commands(commands: Any) -> None:
    """Add ``run`` and ``check`` to an ``argparse`` subparsers object."""
    add_run_command(commands)
    add_check_command(commands)


def add_run_command(commands: Any) -> None:
    """Add ``run``; its options carry a function ``run(options) -> exit status``."""
    command = commands.add_parser(
        "run", help="grade one file", description="Grade one submission, without any database."
    )
    command.add_argument("source", type=Path, metavar="SOURCE.ipynb")
    command.add_argument("submission", type=Path, metavar="SUBMISSION.ipynb")
    command.add_argument("--json", type=Path, metavar="OUT", help="write the result as JSON")
    command.add_argument(
        "--student", help="the student's id, which decides the hidden inputs (default: file name)"
    )
    command.add_argument(
        "--seed-file",
        type=Path,
        default=default_secret_file(),
        help="where the secret behind the hidden inputs is kept (default: %(default)s)",
    )
    add_execution_options(command)
    command.set_defaults(run=run_one)


def add_check_command(commands: Any) -> None:
    """Add ``check``; its options carry a function ``run(options) -> exit status``."""
    command = commands.add_parser(
        "check",
        help="prove that the reference gets all points and the stub none",
        description="Try an assignment out, in one kernel and split.",
    )
    command.add_argument("assignment", help="name in solutions/, or a notebook file")
    add_execution_options(command)
    command.set_defaults(run=run_check)


def add_execution_options(command: argparse.ArgumentParser) -> None:
    """Add the options of every command that runs submissions; `limits` reads them."""
    command.add_argument(
        "--isolation",
        choices=["bubblewrap", "none"],
        default="bubblewrap",
        help="'none' runs student code with your rights: it can read your files, reach the "
        "network and disturb other runs. Only for submissions you trust.",
    )
    defaults = Limits()
    command.add_argument(
        "--cell-seconds",
        type=float,
        default=defaults.cell_cpu_seconds,
        help="CPU seconds for one cell or test (default: %(default)g)",
    )
    command.add_argument(
        "--memory",
        type=int,
        default=defaults.memory_bytes // 2**20,
        help="memory of one submission in MiB (default: %(default)s)",
    )


def limits(options: argparse.Namespace) -> Limits:
    """What one submission may use, from the command line.

    Raises:
        ValueError: A limit is not positive.
    """
    if options.cell_seconds <= 0 or options.memory <= 0:
        raise ValueError("--cell-seconds and --memory must be positive")
    return Limits(
        memory_bytes=options.memory * 2**20,
        cell_cpu_seconds=options.cell_seconds,
        cell_wall_seconds=4 * options.cell_seconds,
    )


def run_one(options: argparse.Namespace) -> int:
    """Grade one file; exit status 0 if there is a result, whatever the marks."""
    source = rebuild.read_file(options.source)
    student = options.student or options.submission.stem
    secret = read_secret(options.seed_file)
    seed = student_seed(secret, options.source.stem, student)
    try:
        submission = rebuild.read_file(options.submission)
    except rebuild.RebuildError as error:
        raise ValueError(str(error)) from error
    preload = mentioned(source, submission)
    with Grader(isolation=options.isolation, limits=limits(options), preload=preload) as grader:
        result = grader.grade(source, submission, seed=seed)
    result["student"] = student
    if options.json:
        write_json(options.json, result)
    print(table(result))
    return 0


def write_json(path: Path, result: dict) -> None:
    """Write a result so that there is never half a file."""
    text = json.dumps(result, indent=1, ensure_ascii=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def table(result: dict) -> str:
    """A result for the terminal. Control characters of the student's are shown, not sent."""
    lines = []
    for test in result["tests"]:
        message = test["message"].split("\n")[0]
        lines.append(
            f"{test['grade_id']:<30} {test['points']:>5g} of {test['max_points']:<5g}"
            f" {test['status']:<12} {message}"
        )
    lines += [f"note: {note}" for note in result["notes"]]
    lines.append(f"{result['status']}: {result['score']:g} of {result['max_score']:g} points")
    return "\n".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in x) for x in lines)


def run_check(options: argparse.Namespace) -> int:
    """Check one assignment; exit status 1 if anything is not as it must be."""
    path = Path(options.assignment)
    if path.suffix != ".ipynb":
        path = SOLUTIONS / path / f"{path.name}.ipynb"
    source = rebuild.read_file(path)
    preload = mentioned(source)
    with Grader(isolation=options.isolation, limits=limits(options), preload=preload) as grader:
        problems = check(grader, source)
    for problem in problems:
        print(problem)
    print(f"{path.stem}: {len(problems)} problems" if problems else f"{path.stem}: as it must be")
    return 1 if problems else 0


def check(grader: Grader, source: bytes) -> list[str]:
    """What is wrong with an assignment: empty if reference and stub get what they must.

    Args:
        grader: A grader.
        source: Bytes of the source notebook.

    Returns:
        One line per problem.
    """
    problems = []
    stub = released(source)
    for seed in CHECK_SEEDS:
        for one_kernel in (True, False):
            where = f"{'in one kernel' if one_kernel else 'split'}, seed {seed}"
            result = grader.grade(source, source, seed=seed, one_kernel=one_kernel)
            problems += [
                f"{where}: the reference gets {test['points']:g} of {test['max_points']:g} in "
                f"{test['grade_id']} ({test['status']}): {test['message']}"
                for test in result["tests"]
                if test["status"] not in ("passed", "manual")
            ]
            problems += [f"{where}: {note}" for note in result["notes"]]
            result = grader.grade(source, stub, seed=seed, one_kernel=one_kernel)
            problems += [
                f"{where}: the empty stub gets {test['points']:g} in {test['grade_id']}"
                for test in result["tests"]
                if test["points"] > 0
            ]
    return problems


def released(source: bytes) -> bytes:
    """The notebook as nbgrader releases it: no solutions, no hidden tests."""
    import nbformat
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    notebook = nbformat.reads(source.decode("utf-8"), as_version=4)
    for preprocessor in (ClearSolutions(), ClearHiddenTests()):
        notebook, _ = preprocessor.preprocess(notebook, {})
    return nbformat.writes(notebook).encode()


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m grading.cli", description=__doc__)
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (IsolationError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
