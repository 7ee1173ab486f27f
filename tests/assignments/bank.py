"""The banks of right and wrong answers, and a quick way to grade one of them.

An assignment ``solutions/<a>/<a>.ipynb`` has its bank in ``tests/assignments/<a>/``: one file per
task, named after the grade_id of the solution cell. In the file, ``right_…`` and ``wrong_…`` are
answers; the docstring of a wrong one tells the misconception. A line ``Named: text`` in it says
that the visible checks must catch the answer, and which words their message must contain. All
else in the file (imports, helpers) comes with every answer.

A test cell belongs to the solution cell whose grade_id, after ``test_``, its own begins with.
"""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
BANKS = Path(__file__).resolve().parent
HIDDEN = re.compile(r"^ *### BEGIN HIDDEN TESTS\n(.*?)^ *### END HIDDEN TESTS", re.M | re.S)
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION", re.M | re.S)
NAMED = re.compile(r"^\s*Named: (.+)$", re.M)


@dataclass(frozen=True)
class Answer:
    task: str
    name: str
    cell: str  # source of the cell that a student would hand in
    misconception: str

    @property
    def right(self) -> bool:
        return self.name.startswith("right_")

    @property
    def named(self) -> str | None:
        match = NAMED.search(self.misconception)
        return match[1].strip() if match else None


@dataclass(frozen=True)
class Outcome:
    error: BaseException | None  # of the first check that failed
    visible: bool  # whether that was one the student can see

    @property
    def passed(self) -> bool:
        return self.error is None


class Assignment:
    """A source notebook and the answers to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = ROOT / "solutions" / name / f"{name}.ipynb"
        self.notebook = nbformat.read(self.path, as_version=4)
        cells = {
            cell.metadata.nbgrader.grade_id: cell
            for cell in self.notebook.cells
            if "nbgrader" in cell.metadata
        }
        self.solutions = {name: cell for name, cell in cells.items() if is_solution(cell)}
        self.tests = {task: [] for task in self.solutions}
        for grade_id, cell in cells.items():
            if cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution:
                self.tests[self._task_of(grade_id)].append(cell)
        self.answers = [
            answer
            for path in sorted((BANKS / name).glob("*.py"))
            for answer in read_answers(path, self.solutions)
        ]

    def _task_of(self, grade_id: str) -> str:
        tested = grade_id.removeprefix("test_")
        candidates = [t for t in self.solutions if tested == t or tested.startswith(f"{t}_")]
        assert candidates, f"{self.name}: no solution cell belongs to test cell {grade_id}"
        return max(candidates, key=len)

    def grade(self, task: str, answer: str | None = None) -> Outcome:
        """Run the notebook's cells in order with one answer replaced, and that task's checks."""
        namespace = {"__name__": "__main__"}
        for cell in self.notebook.cells:
            if cell.cell_type != "code" or cell.id == "setup":
                continue
            nbgrader = cell.metadata.get("nbgrader")
            if nbgrader and nbgrader.grade and not nbgrader.solution:
                if cell not in self.tests[task]:
                    continue
                outcome = run_checks(cell, namespace)
                if not outcome.passed:
                    return outcome
            elif nbgrader and nbgrader.grade_id == task and answer is not None:
                run(answer, task, namespace)
            else:
                run(cell.source, cell.id, namespace)
        return Outcome(None, visible=False)

    def with_every_answer(self) -> tuple[nbformat.NotebookNode, dict[str, Answer]]:
        """The source notebook with its tasks repeated, once for each answer in the bank.

        After the last test cell of a task come, for each answer, a copy of the solution cell and
        copies of the test cells; then the solution cell once more, so that the tasks that follow
        find the reference. One submission can so hold the whole bank.

        Returns:
            The notebook, and by grade_id the answer that belongs into each copied solution cell.
            The grade_id of a copy ends in ``__`` and the name of the answer.
        """
        notebook = copy.deepcopy(self.notebook)
        last_tests = {cells[-1].id: task for task, cells in self.tests.items()}
        cells, places = [], {}

        def add_copy(cell: nbformat.NotebookNode, suffix: str) -> str:
            twin = copy.deepcopy(cell)
            twin.id = f"copy-{len(cells)}"
            twin.metadata.nbgrader.grade_id += f"__{suffix}"
            cells.append(twin)
            return twin.metadata.nbgrader.grade_id

        for cell in notebook.cells:
            cells.append(cell)
            task = last_tests.get(cell.id)
            if task is None:
                continue
            for answer in self.answers:
                if answer.task == task:
                    places[add_copy(self.solutions[task], answer.name)] = answer
                    for test in self.tests[task]:
                        add_copy(test, answer.name)
            add_copy(self.solutions[task], "again")
        notebook.cells = cells
        return notebook, places

    def stub(self, task: str) -> str:
        """What students find in a solution cell, as nbgrader would leave it."""
        empty = r"\1raise NotImplementedError()\n"
        source, regions = SOLUTION.subn(empty, self.solutions[task].source)
        assert regions, f"{self.name}: no solution region in {task}"
        return source


def is_solution(cell) -> bool:
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution", False)


def run(source: str, name: str, namespace: dict) -> None:
    exec(compile(source, f"<{name}>", "exec"), namespace)


def run_checks(cell, namespace: dict) -> Outcome:
    """The visible part of a test cell, then the hidden one."""
    parts = [(HIDDEN.sub("", cell.source), True), ("\n".join(HIDDEN.findall(cell.source)), False)]
    for source, visible in parts:
        try:
            run(source, cell.id, namespace)
        except Exception as error:
            return Outcome(error, visible)
    return Outcome(None, visible=False)


def read_answers(path: Path, solutions: dict) -> list[Answer]:
    """The answers in a file, each under the name that the solution cell defines."""
    task = path.stem
    assert task in solutions, f"{path}: no solution cell has the grade_id {task}"
    wanted = defined_names(solutions[task].source)[0]
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    shared, answers = [], []
    for node in ast.parse(source).body:
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        name = getattr(node, "name", "")
        if name.startswith(("right_", "wrong_")):
            text = re.sub(rf"\b{name}\b", wanted, text)
            answers.append((name, text, ast.get_docstring(node) or ""))
        elif not isinstance(node, ast.Expr):  # the file's own docstring
            shared.append(text)
    return [
        Answer(task, name, "\n\n\n".join([*shared, text]) + "\n", docstring)
        for name, text, docstring in answers
    ]


def defined_names(source: str) -> list[str]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in ast.parse(source).body if isinstance(node, kinds)]


@cache
def load(name: str) -> Assignment:
    return Assignment(name)


def names() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "solutions").glob("*/*.ipynb"))
