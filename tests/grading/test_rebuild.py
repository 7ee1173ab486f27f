"""Rebuilding: the student's cells are found whatever happened to the notebook, and only theirs."""

import ast
import copy
import json
from pathlib import Path

import pytest
from conftest import FULL, MINI
from hypothesis import given, settings
from hypothesis import strategies as st
from traitlets.config import PyFileConfigLoader

from grading import rebuild, rules

ROOT = Path(__file__).resolve().parents[2]
MINI_BYTES = MINI.read_bytes()


def plan_of(source, submission):
    return rebuild.rebuild(rebuild.read_source(source.bytes), rebuild.read_cells(submission.bytes))


def texts(plan, kind="student"):
    return [item.source for item in plan.items if item.kind == kind]


def order(plan):
    """Names of student and test items in the order in which they run."""
    return [item.name for item in plan.items if item.kind in ("student", "test")]


USUAL = [
    "output_size", "test_output_size", "convolve", "test_convolve", "tiny_net", "test_tiny_net",
    "new_head", "test_new_head", "box", "test_box", "summarize", "test_summarize",
]  # fmt: skip


def test_an_ordinary_submission(source, right):
    plan = plan_of(source, right)
    assert order(plan) == USUAL
    assert plan.notes == []
    assert plan.max_score == sum(FULL.values())
    assert {"output_size", "TinyNet", "Box", "summarize"} <= plan.student_names
    assert "torch" not in plan.student_names
    assert plan.student_classes["Box"] >= {"__eq__", "__hash__"}
    assert all("HIDDEN" not in text for text in texts(plan))
    assert all("HIDDEN" in text for text in texts(plan, "test"))


def test_test_cells_come_from_the_source_whatever_the_submission_says(source, right):
    original = texts(plan_of(source, right), "test")
    right.put(test_convolve="pass")
    right.cell("test_box")["metadata"]["nbgrader"]["points"] = 1000
    del right.cells[right.index("test_summarize")]
    right.cells.append(dict(right.cell("test_convolve")))
    plan = plan_of(source, right)
    assert texts(plan, "test") == original
    assert plan.max_score == sum(FULL.values())
    assert "'test_convolve' was changed" in " ".join(plan.notes)


def test_helper_cells_keep_their_place(source, right):
    right.insert("import math")
    right.insert("def helper(): return 1", before="convolve")
    right.insert("late = 2", after="test_convolve")
    plan = plan_of(source, right)
    items = [item.source for item in plan.items if item.kind in ("student", "test")]
    assert items[0] == "import math"
    helper = items.index("def helper(): return 1")
    assert "def convolve" in items[helper + 1]
    assert "HIDDEN" in items[items.index("late = 2") - 1]
    assert "def convolve" in items[items.index("late = 2") - 2]


def test_an_edited_cell_of_the_instructors_runs_after_the_original(source, right):
    index = next(i for i, cell in enumerate(right.cells) if "import torch" in cell["source"])
    right.cells[index]["source"] += "\nimport math"
    plan = plan_of(source, right)
    assert plan.items[0].kind == "instructor"
    assert plan.items[1].kind == "student"
    assert "import math" in plan.items[1].source


def without_ids(notebook):
    for cell in notebook.cells:
        cell["metadata"] = {}
        cell.pop("id", None)
    return notebook


def test_lost_metadata(source, right):
    plan = plan_of(source, without_ids(right))
    assert order(plan) == USUAL
    assert len(plan.notes) == 6


def test_lost_metadata_and_moved_cells(source, right):
    without_ids(right)
    right.insert("x = 1")
    right.cells.append(right.cells.pop(4))
    plan = plan_of(source, right)
    assert [name for name in order(plan) if name in USUAL] == USUAL


def test_swapped_ids(source, right):
    one, two = (right.cell(name)["metadata"]["nbgrader"] for name in ("convolve", "box"))
    one["grade_id"], two["grade_id"] = "box", "convolve"
    plan = plan_of(source, right)
    assert order(plan) == USUAL
    assert "def convolve" in plan.items[order_index(plan, "convolve")].source
    assert "class Box" in plan.items[order_index(plan, "box")].source


def of_every_cell(key, value):
    """Put something into the metadata of all cells."""

    def change(notebook):
        for cell in notebook.cells:
            cell["metadata"][key] = copy.deepcopy(value)

    return change


def of_another_nbgrader(notebook):
    for cell in notebook.cells:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["schema_version"] = 99
            cell["metadata"]["nbgrader"]["new"] = {"unknown": [1]}


def of_another_program(notebook):
    widgets = {"application/vnd.jupyter.widget-state+json": {"x": {"model_name": "Progress"}}}
    notebook.content["metadata"] = {
        "kernelspec": {"name": "julia-1.10", "display_name": "Julia", "language": "julia"},
        "language_info": {"name": "julia"},
        "accelerator": "GPU",
        "widgets": widgets,
    }


def of_an_older_format(notebook):
    notebook.content["nbformat_minor"] = 2
    for cell in notebook.cells:
        cell.pop("id", None)
        cell["attachments"] = {"a.png": {"image/png": "not base64"}}


@pytest.mark.parametrize(
    "change",
    [
        of_every_cell("tags", ["skip-execution", "raises-exception", "remove-cell"]),
        of_every_cell("jupyter", {"source_hidden": True}),
        of_every_cell("colab", {"base_uri": "https://localhost:8080/"}),
        of_every_cell("tags", 7),
        of_another_nbgrader,
        of_another_program,
        of_an_older_format,
    ],
)
def test_what_other_programs_leave_in_a_notebook_changes_nothing(source, right, change):
    usual = plan_of(source, right)
    change(right)
    assert plan_of(source, right) == usual
    assert usual.notes == []


def order_index(plan, name):
    return next(i for i, item in enumerate(plan.items) if item.name == name)


def test_a_copied_cell_and_a_forgotten_stub(source, right, stub):
    copy = dict(right.cell("convolve"))
    copy["source"] += "\n# second try"
    right.cells.insert(right.index("convolve") + 1, copy)
    right.cells.insert(right.index("test_convolve"), dict(stub.cell("convolve")))
    plan = plan_of(source, right)
    answers = [item.source for item in plan.items if item.name == "convolve"]
    assert len(answers) == 2
    assert "second try" in answers[1]
    assert not any("raise NotImplementedError" in text for text in texts(plan))


def test_the_answer_is_above_the_stub(source, right, stub):
    answer = right.cell("convolve")["source"]
    right.put(convolve=stub.cell("convolve")["source"])
    right.insert(answer, before="convolve")
    plan = plan_of(source, right)
    assert answer in texts(plan)
    assert not any("raise NotImplementedError" in text for text in texts(plan))


def test_merged_cells(source, right):
    right.cell("output_size")["source"] += "\n\n" + right.cell("convolve")["source"]
    del right.cells[right.index("convolve")]
    plan = plan_of(source, right)
    assert order(plan) == [name for name in USUAL if name != "convolve"]
    assert "merged" in " ".join(plan.notes)


def test_merged_into_the_later_cell(source, right):
    text = right.cell("output_size")["source"]
    right.cell("convolve")["source"] = text + "\n\n" + right.cell("convolve")["source"]
    del right.cells[right.index("output_size")]
    plan = plan_of(source, right)
    assert order(plan)[:2] == ["output_size", "test_output_size"]
    assert "def convolve" in plan.items[order_index(plan, "output_size")].source


def test_a_cell_split_in_two(source, right):
    text = right.cell("summarize")["source"]
    right.put(summarize="def total(values): return sum(values)")
    right.insert(text, after="summarize")
    plan = plan_of(source, right)
    last = [item.source for item in plan.items if item.kind == "student"][-2:]
    assert any("def total" in part for part in last)
    assert any("def summarize" in part for part in last)
    assert order(plan)[-1] == "test_summarize"


def test_a_solution_cell_turned_into_text_still_counts(source, right):
    right.cell("box")["cell_type"] = "raw"
    plan = plan_of(source, right)
    assert any("class Box" in text for text in texts(plan))
    assert "raw cell" in " ".join(plan.notes)


def test_a_deleted_solution_costs_only_itself(source, right):
    del right.cells[right.index("box")]
    plan = plan_of(source, right)
    assert order(plan) == [name for name in USUAL if name != "box"]
    assert "'box': no cell" in " ".join(plan.notes)


def test_magics_and_syntax_errors_do_not_hide_a_function(source, right):
    for broken in ("%matplotlib inline\n{}", "{}\nthis is not python", "!ls\n{}"):
        text = right.cell("convolve")["source"]
        notebook = without_ids(type(right)(right.content))
        for cell in notebook.cells:
            if cell["source"] == text:
                cell["source"] = broken.format(text)
        assert broken.format(text) in texts(plan_of(source, notebook))


@pytest.mark.parametrize("encode", [
    lambda text: b"\xef\xbb\xbf" + text.encode(),
    lambda text: text.encode("utf-16"),
    lambda text: text.replace("\\n", "\\r\\n").encode(),
    lambda text: b"\n\n" + text.encode() + b"\n",
], ids=["BOM", "UTF-16", "Windows line ends", "blank lines"])  # fmt: skip
def test_encodings(source, right, encode):
    text = json.dumps(right.content, ensure_ascii=False)
    cells = rebuild.read_cells(encode(text))
    plan = rebuild.rebuild(rebuild.read_source(source.bytes), cells)
    assert order(plan) == USUAL
    assert plan.notes == []
    assert not any("\r" in item.source for item in plan.items)


def test_notebook_format_3(source, right):
    cells = [
        {**cell, "input": cell["source"]} if cell["cell_type"] == "code" else cell
        for cell in right.cells
    ]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell.pop("source")
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    plan = rebuild.rebuild(
        rebuild.read_source(source.bytes), rebuild.read_cells(json.dumps(old).encode())
    )
    assert order(plan) == USUAL


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"not json", "not JSON"),
        (b'{"cells": [', "not JSON"),
        (b"[]", "not a notebook"),
        (b"{}", "not a notebook"),
        (b'{"cells": 5}', "damaged"),
        (b'{"cells": []}', "no text"),
        (b'{"worksheets": 7}', "format 3"),
        (b"<!DOCTYPE html>", "web page"),
        (b"PK\x03\x04\xff\xff", "archive"),
        (b"\xff\xfe\x00", "not text"),
        (b"[" * 100_000, "nested"),
        (b'{"cells": [' + b"{}," * 5000 + b"{}]}", "cells"),
        (b'{"cells": [' + b"[]," * 2_100_000 + b"0]}", "clear the outputs"),
        (b'{"cells": 5, "x": "\xed\xa0\x80"}', "not text"),
        (b" " * (rebuild.MAX_FILE_BYTES + 1), "larger"),
    ],
    ids=str,
)
def test_what_is_not_a_notebook_is_refused_with_a_reason(data, reason):
    with pytest.raises(rebuild.RebuildError, match=reason):
        rebuild.read_cells(data)


def test_another_assignment_is_refused(source, right):
    other = type(right)({"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}})
    other.insert("def something_else(): return 1")
    with pytest.raises(rebuild.RebuildError, match="no solution was found"):
        plan_of(source, other)
    other.cells[0]["metadata"] = {"nbgrader": {"grade_id": "unet", "solution": True}}
    with pytest.raises(rebuild.RebuildError, match=r"another assignment.*unet"):
        plan_of(source, other)


def test_files_that_are_not_files(tmp_path, right):
    real = tmp_path / "real.ipynb"
    real.write_bytes(right.bytes)
    assert rebuild.read_file(real) == right.bytes
    link = tmp_path / "link.ipynb"
    link.symlink_to(real)
    for path in (link, tmp_path, tmp_path / "missing"):
        with pytest.raises(rebuild.RebuildError, match="not an ordinary file"):
            rebuild.read_file(path)


def test_a_source_that_cannot_work_is_refused(source):
    notebook = type(source)(source.content)
    notebook.cells.append(dict(notebook.cell("box")))
    with pytest.raises(rebuild.RebuildError, match="two cells"):
        rebuild.read_source(notebook.bytes)
    source.put(test_box="def (")
    with pytest.raises(rebuild.RebuildError, match="test_box"):
        rebuild.read_source(source.bytes)


def test_metadata_that_lies_about_its_types(source, right):
    for value in (None, 5, [], {"grade_id": 7, "points": "many", "solution": "yes"}):
        right.cell("box")["metadata"]["nbgrader"] = value
        assert order(plan_of(source, right)) == USUAL
        right.cells[right_index(right)]["metadata"]["nbgrader"] = {"grade_id": "box"}


def right_index(notebook):
    return next(i for i, cell in enumerate(notebook.cells) if "class Box" in cell["source"])


def test_a_cell_that_is_far_too_long_is_left_out(source, right):
    right.insert("x = '" + "y" * rebuild.MAX_CELL_CHARACTERS + "'")
    plan = plan_of(source, right)
    assert order(plan) == USUAL
    assert "left out" in " ".join(plan.notes)


def test_the_stub_is_the_one_that_students_are_given():
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    assert config.ClearSolutions.code_stub["python"] == rebuild.STUB
    released = {path: json.loads(path.read_text()) for path in ROOT.glob("exercises/*/*.ipynb")}
    assert released
    for path, notebook in released.items():
        solutions = [
            "".join(cell["source"])
            for cell in notebook["cells"]
            if cell["metadata"].get("nbgrader", {}).get("solution") and cell["cell_type"] == "code"
        ]
        assert solutions, path
        assert all(rebuild.STUB in text for text in solutions), path


def test_a_stub_below_the_answer_does_not_replace_it(source, right, stub):
    text = stub.cell("output_size")["source"]
    assert rebuild.STUB in text
    right.insert(text, before="test_box")
    assert order(plan_of(source, right)) == USUAL


MILLION = 1_000_000
NASTY = {
    "brackets": "(" * 5 * MILLION,
    "signs": "-" * MILLION + "1",
    "brackets in a cell": "(" * 19_000,
    "signs in a cell": "-" * 19_000 + "1",
    "sum": "1+" * 9_000 + "1",
    "powers": "1**" * 6_000 + "1",
    "attributes": "a" + ".a" * 9_000,
    "calls": "a" + "()" * 9_000,
    "items": "a" + "[0]" * 6_000,
    "comparisons": "1<" * 9_000 + "1",
    "conditions": "1 if 1 else " * 1_600 + "1",
    "branches": "if a:\n b\n" + "elif a:\n b\n" * 1_700,
    "functions": "lambda:" * 2_800 + "1",
    "texts in texts": "f'{" * 300 + "1" + "}'" * 300,
    "texts in texts, quoted": "x = " + "f\"{f'{" * 50 + "1" + "}'}\"" * 50,
    "text of many parts": "f'" + "{a}" * 6_000 + "'",
    "blocks": "".join(" " * depth + "if 1:\n" for depth in range(200)),
    "digits": "1" * 19_000,
    "blanks": " " * 19_000 + "\n(",
    "blanks and a sign": "(\n" + " " * 19_000 + "=",
    "statements": "a;" * 9_000,
    "null bytes": "a\0" * 1_000,
    "byte order marks": "\ufeff\ufeffx = 1\ufeff",
    "half a character": "x = '\ud800'\n\udfff = 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NASTY)
def test_text_that_hurts_a_parser_is_left_to_the_sandbox(name, source, right, monkeypatch):
    parsed = []
    parse = ast.parse
    monkeypatch.setattr(rebuild, "_parsed", {})
    monkeypatch.setattr(ast, "parse", lambda text, *more: parsed.append(text) or parse(text, *more))
    task = rules.TaskRules(frozenset({"convolve", "a"}), (rules.Rule("sum", "builtins.sum"),))
    right.insert(NASTY[name], before="convolve")
    right.put(summarize=NASTY[name])
    plan = plan_of(source, right)
    rules.broken(plan.items, {"test_convolve": task})
    assert max(map(len, parsed)) <= rebuild.MAX_PARSED_CHARACTERS
    # What can be run is run, in the sandbox, where its author learns what is wrong with it.
    cells = [text for text in texts(plan) if text[:8] == rebuild._text(NASTY[name])[:8]]
    too_long = len(NASTY[name]) > rebuild.MAX_CELL_CHARACTERS
    assert len(cells) == (0 if too_long else 2)
    assert ("left out" in " ".join(plan.notes)) == too_long
    assert {"output_size", "convolve", "test_summarize"} <= set(order(plan))


def test_much_code_is_refused_before_it_is_parsed(source, right, monkeypatch):
    rebuild.read_source(source.bytes)
    monkeypatch.setattr(rebuild, "_parse", None)
    for _ in range(16):
        right.insert("a;" * (rebuild.MAX_PARSED_CHARACTERS // 2))
    with pytest.raises(rebuild.RebuildError, match="characters of code, more than is read"):
        rebuild.read_cells(right.bytes)


def test_few_syntax_trees_are_remembered(monkeypatch):
    monkeypatch.setattr(rebuild, "_parsed", {})
    for number in range(30):
        assert rebuild.parse(f"x = {number}\n" + "#" * 19_000) is not None
        assert sum(map(len, rebuild._parsed)) <= rebuild.MAX_REMEMBERED_CHARACTERS
    tree = rebuild.parse("x = 1")
    assert rebuild.parse("x = 1") is tree


nasty = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["cells", "source", "metadata", "nbgrader", "grade_id", "cell_type", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(content=nasty, data=st.data())
def test_no_content_crashes_the_reader(content, data):
    source = rebuild.read_source(MINI_BYTES)
    notebook = json.loads(MINI_BYTES)
    cell = data.draw(st.integers(0, len(notebook["cells"]) - 1))
    key = data.draw(st.sampled_from(["source", "metadata", "cell_type", "id"]))
    notebook["cells"][cell][key] = content
    for candidate in (content, {"cells": content}, notebook):
        try:
            rebuild.rebuild(source, rebuild.read_cells(json.dumps(candidate).encode()))
        except rebuild.RebuildError:
            continue


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data):
    with pytest.raises(rebuild.RebuildError):
        rebuild.read_cells(data)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb", []),
        ("a\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS\nc", [(2, 4)]),
        ("if x:\n    # BEGIN HIDDEN TESTS\n    b\n    # END HIDDEN TESTS", [(2, 4)]),
        ("### BEGIN HIDDEN TESTS\nb\n", [(1, 3)]),
        ("# END HIDDEN TESTS\n# BEGIN HIDDEN TESTS\n# END HIDDEN TESTS\nx", [(2, 3)]),
    ],
)
def test_which_lines_students_never_see(text, lines):
    assert rebuild.hidden_lines(text) == lines
