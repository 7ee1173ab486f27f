"""The instructor's day as README and the book give it: the same ten commands, and they exist."""

import re
import shlex
from pathlib import Path

import pytest

from grading.__main__ import parser

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"xdg-open", "jupyter"}  # of the system, of the environment


def commands(page):
    """The first block that has ten commands."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = [line.removeprefix("$ ") for line in block.splitlines()]
        if len(lines) == 10:
            return [shlex.split(line, comments=True) for line in lines]
    raise AssertionError(f"{page} has no block of ten lines")


def test_both_pages_give_the_same_day():
    assert commands("README.md") == commands("book/instructors.md")


@pytest.mark.parametrize("words", commands("README.md"), ids=" ".join)
def test_every_command_exists(words):
    if words[:3] == ["python", "-m", "grading"]:
        options = parser(words[3]).parse_args(words[3:])  # ends the program if they are wrong
        assert callable(options.run)
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)
        for setting in words[2:]:
            assert f"$({setting.partition('=')[0]})" in makefile
    else:
        assert words[0] in PROGRAMS
