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
RULE = re.compile(r"^ *### FORBIDDEN.*\n?", re.M)
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

    def batches(self, answers: list[Answer]) -> list[dict[str, Answer]]:
        """The answers in few submissions: answers to several tasks go together.

        Two answers share a submission only if neither task can come across the other's: an answer
        that calls an earlier task's function, or is tested with it, must find the reference.

        Returns:
            For each submission, the answers by task; tasks without one have the reference.
        """
        batches: list[dict[str, Answer]] = []
        for answer in answers:
            others = self._meets(answer)
            for batch in batches:
                if answer.task not in batch and not any(
                    task in others or answer.task in self._meets(other)
                    for task, other in batch.items()
                ):
                    batch[answer.task] = answer
                    break
            else:
                batches.append({answer.task: answer})
        return batches

    def _meets(self, answer: Answer) -> set[str]:
        """Other tasks whose functions an answer or its tests use."""
        texts = [answer.cell, *(cell.source for cell in self.tests[answer.task])]
        nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        used -= set(defined_names(answer.cell))
        return {
            task
            for task, cell in self.solutions.items()
            if task != answer.task and used & set(defined_names(cell.source))
        }

    def filled_in(self, batch: dict[str, Answer], *, rules: bool = True) -> tuple[bytes, bytes]:
        """The source notebook, and a submission with these answers and the reference's for others.

        Args:
            batch: Answers by task.
            rules: Whether the source keeps its rules about what answers must not use.
        """
        source, submission = copy.deepcopy(self.notebook), copy.deepcopy(self.notebook)
        for cell in source.cells:
            if cell.cell_type == "code" and not rules:
                cell.source = RULE.sub("", cell.source)
        for cell in submission.cells:
            answer = batch.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
            if answer is not None:
                cell.source = answer.cell
        return nbformat.writes(source).encode(), nbformat.writes(submission).encode()

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
