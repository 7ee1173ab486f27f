"""Every assignment gives full marks to right answers, and takes points from wrong ones.

The quick tests run the test cells themselves, one answer at a time. The slow one lets nbgrader
release the assignment and grade whole submissions, as a course would.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bank
import nbformat
import pytest

from cnnlib.checks import SEED_VARIABLE, CheckError

ASSIGNMENTS = bank.names()
TASKS = [(name, task) for name in ASSIGNMENTS for task in bank.load(name).solutions]
ANSWERS = [(name, answer) for name in ASSIGNMENTS for answer in bank.load(name).answers]


def parametrize(answers):
    ids = [f"{name}-{answer.task}-{answer.name}" for name, answer in answers]
    return pytest.mark.parametrize(("name", "answer"), answers, ids=ids)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_the_bank_is_large_enough(name, task):
    assignment = bank.load(name)
    answers = [answer for answer in assignment.answers if answer.task == task]
    wrong = [answer for answer in answers if not answer.right]
    assert len(wrong) >= 4
    assert len(answers) - len(wrong) >= 2
    assert all(answer.misconception for answer in wrong)
    assert any(answer.named for answer in wrong), "no misconception is named by a visible check"
    assert assignment.tests[task], "no test cell"
    assert sum(cell.metadata.nbgrader.points for cell in assignment.tests[task]) > 0
    assert all(bank.HIDDEN.search(cell.source) for cell in assignment.tests[task])


@pytest.mark.parametrize("seed", ["1", "2"])
@pytest.mark.parametrize(("name", "task"), TASKS)
def test_the_reference_passes(name, task, seed, monkeypatch):
    monkeypatch.setenv(SEED_VARIABLE, seed)
    outcome = bank.load(name).grade(task)
    assert outcome.passed, outcome.error


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_the_empty_stub_gets_nothing_and_is_told_so(name, task):
    assignment = bank.load(name)
    outcome = assignment.grade(task, assignment.stub(task))
    assert outcome.visible
    assert isinstance(outcome.error, CheckError)
    assert "is not written yet" in str(outcome.error)


@parametrize([(name, answer) for name, answer in ANSWERS if answer.right])
def test_right_answers_pass(name, answer):
    outcome = bank.load(name).grade(answer.task, answer.cell)
    assert outcome.passed, outcome.error


@parametrize([(name, answer) for name, answer in ANSWERS if not answer.right])
def test_wrong_answers_are_caught_and_explained(name, answer):
    outcome = bank.load(name).grade(answer.task, answer.cell)
    assert not outcome.passed
    assert isinstance(outcome.error, CheckError), repr(outcome.error)
    if answer.named:
        assert outcome.visible
        assert answer.named in str(outcome.error)
    elif outcome.visible:
        # The call, then what is wrong with it.
        assert len(str(outcome.error)) > 20


class Course:
    """A course folder with this repository's settings, graded by nbgrader as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(bank.ROOT / "nbgrader_config.py", folder)

    def nbgrader(self, *arguments: str) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {
            **os.environ,
            "PATH": path,  # nbgrader calls alembic
            "PYTHONPATH": str(bank.ROOT),
            "COURSE_DB": f"sqlite:///{self.folder / 'gradebook.db'}",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def release(self, name: str, notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        """Add an assignment and return what students get."""
        source = self.folder / "solutions" / name / f"{name}.ipynb"
        source.parent.mkdir(parents=True)
        nbformat.write(notebook, source)
        self.nbgrader("generate_assignment", name)
        return nbformat.read(self.folder / "exercises" / name / source.name, as_version=4)

    def submit(self, name: str, student: str, released: nbformat.NotebookNode, cells: dict) -> None:
        """Hand in the released notebook with some solution cells filled in, by grade_id."""
        submission = copy.deepcopy(released)
        for cell in submission.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = cells.get(grade_id, cell.source)
        target = self.folder / "submitted" / student / name / f"{name}.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(submission, target)

    def scores(self, name: str) -> dict[str, dict[str, tuple[float, float]]]:
        """Grade the submissions: (points, points to be had) by student and test cell."""
        from nbgrader.api import Gradebook  # takes seconds that the quick tests need not spend

        self.nbgrader("autograde", name)
        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}") as gradebook:
            return {
                submission.student.id: {
                    grade.name: (grade.score, grade.max_score)
                    for grade in submission.notebooks[0].grades
                }
                for submission in gradebook.assignment_submissions(name)
            }


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_nbgrader_grades_whole_submissions(name, tmp_path):
    assignment, course = bank.load(name), Course(tmp_path)
    released = course.release(name, assignment.notebook)
    text = json.dumps(released)
    assert "HIDDEN TESTS" not in text
    assert "BEGIN SOLUTION" not in text

    reference = {task: cell.source for task, cell in assignment.solutions.items()}
    first = {True: {}, False: {}}
    for answer in assignment.answers:
        first[answer.right].setdefault(answer.task, answer.cell)
    course.submit(name, "reference", released, reference)
    course.submit(name, "stub", released, {})
    course.submit(name, "right", released, first[True])
    course.submit(name, "wrong", released, first[False])
    scores = course.scores(name)

    assert scores.keys() == {"reference", "stub", "right", "wrong"}
    tests = [cell for cells in assignment.tests.values() for cell in cells]
    assert all(len(grades) == len(tests) for grades in scores.values())
    for student in ("reference", "right"):
        assert all(points == full for points, full in scores[student].values()), student
    assert not any(points for points, _ in scores["stub"].values())
    for task, cells in assignment.tests.items():
        grades = [scores["wrong"][cell.metadata.nbgrader.grade_id] for cell in cells]
        assert any(points < full for points, full in grades), task


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_nbgrader_grades_every_answer(name, tmp_path):
    assignment, course = bank.load(name), Course(tmp_path)
    notebook, places = assignment.with_every_answer()
    assert len(places) == len(assignment.answers)
    released = course.release(name, notebook)
    cells = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in notebook.cells
        if bank.is_solution(cell)
    }
    cells.update({grade_id: answer.cell for grade_id, answer in places.items()})
    course.submit(name, "everybody", released, cells)
    scores = course.scores(name)["everybody"]
    for answer in places.values():
        grades = [
            scores[f"{cell.metadata.nbgrader.grade_id}__{answer.name}"]
            for cell in assignment.tests[answer.task]
        ]
        full_marks = all(points == full for points, full in grades)
        assert full_marks == answer.right, f"{answer.task}: {answer.name}"
