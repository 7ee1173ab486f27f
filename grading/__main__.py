"""The instructor's command line: ``python -m grading COMMAND``."""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from pathlib import Path

from grading import cli, results, sandbox

# Module of each command that is not in this file or in `grading.cli`, in the order of an
# instructor's day. One is imported only for its own command and for the help: nbgrader takes
# seconds, and `grade` starts its sandboxes before that.
MODULES = {
    "collect": "intake",
    "grade": "batch",
    "feedback": "feedback",
    "export": "export",
    "report": "report",
}


def run_release(options: argparse.Namespace) -> int:
    """Regenerate the named assignments, or all."""
    from grading import release
    from tools import course

    for assignment in options.assignments or course.assignments():
        folder = release.release(assignment)
        print(f"{folder.relative_to(course.ROOT)} released")
    return 0


def run_public(options: argparse.Namespace) -> int:
    """Write the tree that students may see."""
    from grading import public

    if not options.destination:
        raise public.PublicError("say where: make public DEST=folder")
    count = public.write_public(Path(options.destination))
    print(f"{count} files written to {options.destination}: no solutions, no hidden tests")
    return 0


def parser(command_name: str | None = None) -> argparse.ArgumentParser:
    """The command line's grammar.

    Args:
        command_name: Leave out the others of `MODULES`, if it is one of them.
    """
    top = argparse.ArgumentParser(prog="python -m grading", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("release", help="regenerate exercises/ from solutions/")
    command.add_argument("assignments", nargs="*")
    command.set_defaults(run=run_release)
    command = commands.add_parser("public", help="write the tree that students may see")
    command.add_argument("destination")
    command.set_defaults(run=run_public)
    cli.add_commands(commands)
    wanted = [command_name] if command_name in MODULES else list(MODULES)
    for name in wanted:
        importlib.import_module(f"grading.{MODULES[name]}").add_command(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        return options.run(options)
    except (sandbox.IsolationError, results.GradebookError, ValueError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    status = main()
    gc.freeze()  # or Python would look at all of nbgrader's objects once more before it ends
    sys.exit(status)
