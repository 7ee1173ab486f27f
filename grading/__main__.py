"""The instructor's command line: ``python -m grading COMMAND``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grading import (
    batch,
    cli,
    export,
    feedback,
    gradebook,
    intake,
    public,
    release,
    report,
    sandbox,
)
from tools import course


def run_release(options: argparse.Namespace) -> int:
    """Regenerate the named assignments, or all."""
    for assignment in options.assignments or course.assignments():
        folder = release.release(assignment)
        print(f"{folder.relative_to(course.ROOT)} released")
    return 0


def run_public(options: argparse.Namespace) -> int:
    """Write the tree that students may see."""
    if not options.destination:
        raise public.PublicError("say where: make public DEST=folder")
    count = public.write_public(Path(options.destination))
    print(f"{count} files written to {options.destination}: no solutions, no hidden tests")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m grading", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("release", help="regenerate exercises/ from solutions/")
    command.add_argument("assignments", nargs="*")
    command.set_defaults(run=run_release)
    command = commands.add_parser("public", help="write the tree that students may see")
    command.add_argument("destination")
    command.set_defaults(run=run_public)
    cli.add_commands(commands)
    for module in (intake, batch, feedback, export, report):  # in the order of an instructor's day
        module.add_command(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (
        release.ReleaseError,
        public.PublicError,
        sandbox.IsolationError,
        gradebook.GradebookError,
        ValueError,
        OSError,
    ) as error:
        print(f"{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
