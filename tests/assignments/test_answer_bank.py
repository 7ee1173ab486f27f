"""Every assignment gives full marks to right answers, and takes points from wrong ones.

The quick tests run the test cells themselves, one answer at a time. The slow ones put the whole
bank through the grader, isolated and split as in a course, and see that nbgrader's own tools grade
the same files.
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


@pytest.fixture(scope="module")
def grader():
    from grading.run import Grader
    from grading.sandbox import IsolationError

    try:
        grader = Grader()
        grader.wait_until_ready()
    except IsolationError as error:
        # A newcomer's machine may lack bubblewrap or forbid namespaces; CI must have them.
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no isolation on this machine: {error}")
    with grader:
        yield grader


def points_by_task(assignment, result):
    """Points and points to be had of each task, with what there is to say about it."""
    by_id = {test["grade_id"]: test for test in result["tests"]}
    assert result["status"] == "graded", result
    for task, cells in assignment.tests.items():
        tests = [by_id[cell.metadata.nbgrader.grade_id] for cell in cells]
        points, full = (sum(test[key] for test in tests) for key in ("points", "max_points"))
        yield task, points, full, [(test["status"], test["message"]) for test in tests]


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_grader_gives_right_answers_full_marks(name, grader):
    assignment = bank.load(name)
    right = [answer for answer in assignment.answers if answer.right]
    batches = assignment.batches(right)
    assert sum(map(len, batches)) == len(right)
    for number, batch in enumerate(batches):
        source, submission = assignment.filled_in(batch)
        result = grader.grade(source, submission, seed=f"right {number}")
        for task, points, full, explained in points_by_task(assignment, result):
            assert points == full, (task, batch.get(task), explained)


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_grader_takes_points_from_wrong_answers(name, grader):
    """Without the rules on forbidden calls, so that it is the checks that catch each answer."""
    assignment = bank.load(name)
    wrong = [answer for answer in assignment.answers if not answer.right]
    batches = assignment.batches(wrong)
    assert sum(map(len, batches)) == len(wrong)
    for number, batch in enumerate(batches):
        source, submission = assignment.filled_in(batch, rules=False)
        result = grader.grade(source, submission, seed=f"wrong {number}")
        for task, points, full, explained in points_by_task(assignment, result):
            if task in batch:
                assert points < full, (task, batch[task].name)
                assert all(status != "not reached" for status, _ in explained), explained
            else:  # the reference, beside wrong answers to other tasks
                assert points == full, (task, explained)


def test_answers_that_meet_are_kept_apart():
    assignment = copy.copy(bank.load(ASSIGNMENTS[0]))
    first, second, third = list(assignment.solutions)[:3]
    name = bank.defined_names(assignment.solutions[first].source)[0]
    plain = [bank.Answer(task, "wrong_x", "x = 1", "") for task in (first, second, third)]
    calls = bank.Answer(second, "wrong_calls", f"def f(): return {name}()", "")
    assert assignment.batches(plain) == [{a.task: a for a in plain}]
    assert assignment.batches([plain[0], calls, plain[2]]) == [
        {first: plain[0], third: plain[2]},
        {second: calls},
    ]


@pytest.mark.slow
def test_nbgraders_own_tools_grade_the_same_files(tmp_path):
    """The one run through stock nbgrader: an assignment stays usable without this grader."""
    name = ASSIGNMENTS[0]
    assignment, course = bank.load(name), Course(tmp_path)
    released = course.release(name, assignment.notebook)
    text = json.dumps(released)
    assert "HIDDEN TESTS" not in text
    assert "BEGIN SOLUTION" not in text

    first = {True: {}, False: {}}
    for answer in assignment.answers:
        first[answer.right].setdefault(answer.task, answer.cell)
    course.submit(name, "stub", released, {})
    course.submit(name, "right", released, first[True])
    course.submit(name, "wrong", released, first[False])
    scores = course.scores(name)

    assert scores.keys() == {"stub", "right", "wrong"}
    tests = [cell for cells in assignment.tests.values() for cell in cells]
    assert all(len(grades) == len(tests) for grades in scores.values())
    assert all(points == full for points, full in scores["right"].values())
    assert not any(points for points, _ in scores["stub"].values())
    for task, cells in assignment.tests.items():
        grades = [scores["wrong"][cell.metadata.nbgrader.grade_id] for cell in cells]
        assert any(points < full for points, full in grades), task
