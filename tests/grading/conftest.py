"""A small assignment, submissions made from it, and one grader for all tests that need one."""

import copy
import json
import os
from pathlib import Path

import courses
import postgres
import pytest

from grading import gradebook, rebuild
from grading.sandbox import IsolationError

MINI = Path(__file__).parent / "mini" / "mini.ipynb"


class Notebook:
    """A notebook as a dict, with the edits that students make."""

    def __init__(self, content):
        self.content = copy.deepcopy(content)

    @property
    def cells(self):
        return self.content["cells"]

    @property
    def bytes(self):
        return json.dumps(self.content).encode()

    def index(self, name):
        for index, cell in enumerate(self.cells):
            if cell["metadata"].get("nbgrader", {}).get("grade_id") == name:
                return index
        raise KeyError(name)

    def cell(self, name):
        return self.cells[self.index(name)]

    def put(self, **answers):
        """Replace the text of cells, by grade_id."""
        for name, text in answers.items():
            self.cell(name)["source"] = text
        return self

    def insert(self, text, *, before=None, after=None, kind="code"):
        """Add a cell of the student's own."""
        cell = {"cell_type": kind, "metadata": {}, "source": text}
        if kind == "code":
            cell |= {"outputs": [], "execution_count": None}
        place = self.index(before) if before else self.index(after) + 1 if after else 0
        self.cells.insert(place, cell)
        return self


def read(path=MINI):
    return Notebook(json.loads(path.read_text()))


def released(notebook):
    """What students get: solutions and hidden tests removed."""
    for cell in notebook.cells:
        cell["source"] = rebuild.released_text("".join(cell["source"]))
    return notebook


@pytest.fixture
def source():
    return read()


@pytest.fixture
def stub():
    return released(read())


@pytest.fixture
def right():
    """A submission whose answers are the reference's."""
    reference, notebook = read(), released(read())
    for cell in reference.cells:
        info = cell["metadata"].get("nbgrader", {})
        if info.get("solution"):
            lines = "".join(cell["source"]).split("\n")
            text = "\n".join(line for line in lines if "### " not in line)
            notebook.put(**{info["grade_id"]: text})
    return notebook


@pytest.fixture(scope="session")
def grader():
    from grading.run import Grader
    from grading.sandbox import Limits

    mebibyte = 2**20
    limits = Limits(
        memory_bytes=512 * mebibyte,
        disk_bytes=64 * mebibyte,
        output_bytes=8 * mebibyte,
        cpu_seconds=60,
        wall_seconds=1200,  # a busy machine must not end a submission that is replayed often
        cell_cpu_seconds=3,
        cell_wall_seconds=12,
    )
    try:
        grader = Grader(limits=limits)
    except IsolationError as error:
        # A newcomer's machine may lack bubblewrap or forbid namespaces; CI must have them.
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no isolation on this machine: {error}")
    with grader:
        yield grader


def outcome(result):
    """Points by test."""
    return {test["grade_id"]: test["points"] for test in result["tests"]}


FULL = {
    "test_output_size": 2.0,
    "test_convolve": 3.0,
    "test_tiny_net": 4.0,
    "test_new_head": 3.0,
    "test_box": 4.0,
    "test_summarize": 2.0,
}


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A PostgreSQL server with an empty gradebook, as our writer makes it."""
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    folder = tmp_path_factory.mktemp("postgresql")
    courses.make(folder)
    with postgres.running() as server:
        server.blank = server.create()
        with (
            pytest.MonkeyPatch.context() as patch
        ):  # for this alone: the server stays for all tests
            patch.setenv("COURSE_DB", server.url(server.blank))
            patch.setenv("PATH", "/usr/bin:/bin")
            gradebook._create_database(gradebook.Course(folder))
        yield server
