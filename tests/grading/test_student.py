"""Cells of a submission are read as Jupyter reads them."""

import json
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell

from grading import student

ROOT = Path(__file__).resolve().parents[2]
ODD = [
    "", "# nothing\n", "x = 1", "x = 1\n\n\n", "\n\nx = 1", "   x = 1\n   y = 2", "x = 1 # é",
    "%time x", "%%time\nx = 1", "!ls", "files = !ls", "x?", "?x", "a = (5\n%b)", "'''\n%%time\n'''",
    "In [1]: x", "In [1]: x = 1\n   ...: y", ">>> x = 1\n>>> y", "x = 1\r\ny = 2", "x =", "(" * 500,
    "await work()", "'\\d'", "x\0y",
]  # fmt: skip


class Shell:
    """The part of IPython's shell that is asked."""

    def __init__(self):
        self.input_transformers_post = []
        self.transform_cell = TransformerManager().transform_cell


def course_cells():
    for path in sorted((ROOT / "solutions").glob("*/*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])


def transformed(transform, text):
    try:
        return transform(text)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("text", ODD)
def test_a_cell_is_transformed_as_ipython_would(text):
    shell = Shell()
    quick = student._only_where_needed(shell)
    assert transformed(quick, text) == transformed(shell.transform_cell, text)


def test_cells_of_the_course_are_transformed_as_ipython_would():
    shell = Shell()
    quick = student._only_where_needed(shell)
    texts = list(course_cells())
    assert len(texts) > 100
    assert [quick(text) for text in texts] == [shell.transform_cell(text) for text in texts]


def test_plain_python_is_not_searched_for_magics():
    shell = Shell()

    def searched(text):
        raise AssertionError("searched")

    shell.transform_cell = searched
    quick = student._only_where_needed(shell)
    assert quick("x = 1") == "x = 1\n"
    with pytest.raises(AssertionError):
        quick("%time x")
    shell.input_transformers_post.append(lambda lines: lines)  # somebody wants to see all lines
    with pytest.raises(AssertionError):
        quick("x = 1")


def test_a_cell_that_the_host_knows_to_be_python_is_not_parsed_again(monkeypatch):
    def parsed(text):
        raise AssertionError(text)

    quick = student._only_where_needed(Shell())
    monkeypatch.setattr(student, "_python", {"known = 1\n"})
    monkeypatch.setattr(student, "_is_python", parsed)
    assert quick("known = 1\n") == "known = 1\n"
    with pytest.raises(AssertionError, match="other"):
        quick("other = 1\n")


@pytest.mark.parametrize(
    "text",
    [
        "await work()", "async with a as b:\n    pass", "x = [y async for y in z]", "x = 1", "x =",
        "# await", "async def f():\n    await g()", "print('async')", "%time await work()",
    ],
)  # fmt: skip
def test_await_is_found_where_ipython_finds_it(text):
    class Waiting:
        autoawait = True
        should_run_async = InteractiveShell.should_run_async

    shell = Waiting()
    quick = student._only_if_it_says_so(shell)
    assert quick(text, transformed_cell=text) == shell.should_run_async(text, transformed_cell=text)
    problem = {"transformed_cell": text, "preprocessing_exc_tuple": ("something",)}
    assert quick(text, **problem) is False
