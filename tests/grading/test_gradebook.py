"""The gradebook after our writer: what nbgrader's own tools expect, and a human's work kept."""

import contextlib
import copy
import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import courses
import nbformat
import nbgrader as nbgrader_package
import pytest
from bs4 import BeautifulSoup
from nbgrader.api import Gradebook
from nbgrader.preprocessors import OverwriteCells, SaveCells
from nbgrader.utils import compute_checksum
from sqlalchemy import create_engine, inspect, make_url

from grading import export, gradebook, release, results
from grading.gradebook import Course, GradebookError, Writer

# Every test makes a database, which nbgrader takes seconds for.
pytestmark = pytest.mark.slow
RECEIVED = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=timezone.utc)


class Book:
    """A course with an open writer."""

    def __init__(self, root, db_url):
        self.root, self.db_url = root, db_url
        self.source = courses.make(root)
        self.notebook = courses.tiny()
        self.course = Course(root)

    def submission(self, **answers):
        return courses.submission(self.notebook, **answers)

    def result(self, student="ada", content=None, points=(3, 2), received=RECEIVED, **changed):
        made = results.not_graded(self.source, "graded", "", content)
        for test, score in zip(made["tests"][:2], points, strict=True):
            full = test["max_points"]
            test |= {"points": float(score), "status": "passed" if score == full else "failed"}
            test["message"] = "" if score == full else "expected 4, but got 3\nLikely cause: …"
        for test in made["tests"][2:]:
            test["status"] = "manual"
        return results.complete(
            made | {"reason": "", "score": sum(points)} | changed,
            student=student,
            assignment=courses.NAME,
            received=received,
            origin="somewhere",
            fingerprint="f",
        )

    def record(self, *entries):
        with Writer(self.course, courses.NAME, self.source) as writer:
            for result, content in entries:
                writer.record(result, content)

    def human(self, student="ada", grades=None, comments=None):
        """What a person does in formgrader."""
        with Gradebook(self.db_url) as gb:
            for name, score in (grades or {}).items():
                grade = gb.find_grade(name, courses.NAME, courses.NAME, student)
                grade.manual_score, grade.needs_manual_grade = score, False
            for name, text in (comments or {}).items():
                comment = gb.find_comment(name, courses.NAME, courses.NAME, student)
                comment.manual_comment = text
            gb.db.commit()

    @property
    def content(self):
        return courses.gradebook_content(self.db_url)

    def shown(self, student="ada"):
        return nbformat.read(self.course.autograded(courses.NAME, student), as_version=4)


@pytest.fixture(params=["sqlite", "postgresql"])
def book(request, tmp_path, monkeypatch):
    if request.param == "sqlite":
        path = tmp_path / "gradebook.db"
        shutil.copy(request.getfixturevalue("empty_gradebook"), path)
        db_url = f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgresql")
        db_url = server.url(server.create(server.blank))
    monkeypatch.setenv("COURSE_DB", db_url)
    return Book(tmp_path / "course", db_url)


on_sqlite_only = pytest.mark.parametrize("book", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def empty_gradebook(tmp_path_factory):
    """Made once: nbgrader starts another program for each new one, which takes seconds."""
    folder = tmp_path_factory.mktemp("empty")
    path = folder / "gradebook.db"
    (folder / "gradebook.db.77.new").write_bytes(b"half")  # left by a run that was killed
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DB", f"sqlite:///{path}")
        patch.setenv("PATH", "/usr/bin:/bin")
        courses.make(folder / "course")
        gradebook._create_database(Course(folder / "course"))
    assert sorted(one.name for one in folder.iterdir()) == ["course", "gradebook.db"]
    return path


def test_an_unknown_assignment_is_registered_and_a_submission_recorded(book):
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content, points=(3, 0)), content))
    entry = book.content["ada"]
    assert entry["grades"] == {
        "test_double": (3.0, None, False),
        "test_half": (0.0, None, False),
        "why": (None, None, True),
        "plot": (None, None, True),
        "draw": (None, None, True),
    }
    assert entry["comments"] == dict.fromkeys(
        ["double", "half", "why", "plot", "draw"], (None,) * 2
    )
    assert entry["score"] == (3.0, 20.0)
    assert entry["time"] == "2026-03-01T12:00:00.250000"


def test_answers_left_as_they_were_are_worth_nothing_as_in_nbgrader(book):
    content = book.submission(half="half = 1")
    book.record((book.result(content=content, points=(0, 0)), content))
    entry = book.content["ada"]
    assert entry["grades"]["why"] == entry["grades"]["plot"] == (0.0, None, False)
    assert entry["grades"]["draw"] == (None, None, True)
    unchanged = ("No response.", None)
    assert entry["comments"] == dict.fromkeys(["double", "why", "plot"], unchanged) | dict.fromkeys(
        ["half", "draw"], (None, None)
    )


def test_recording_again_changes_nothing(book):
    content = book.submission(**courses.ANSWERS)
    entry = (book.result(content=content), content)
    book.record(entry)
    path = book.course.autograded(courses.NAME, "ada")
    before = book.content, path.read_bytes(), sorted(path.parent.iterdir())
    book.record(entry, entry)
    assert (book.content, path.read_bytes(), sorted(path.parent.iterdir())) == before
    assert [one.name for one in before[2]] == ["timestamp.txt", "tiny.ipynb"]


def test_what_a_human_entered_survives_regrading(book):
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content, points=(3, 0)), content))
    book.human(grades={"why": 3.5, "test_half": 1.0}, comments={"why": "Good.", "half": "Nearly."})
    book.record((book.result(content=content, points=(3, 0)), content))
    entry = book.content["ada"]
    assert entry["grades"]["why"] == (None, 3.5, False)
    assert entry["grades"]["test_half"] == (0.0, 1.0, False)
    assert entry["grades"]["plot"] == (None, None, True)
    assert entry["comments"]["why"] == (None, "Good.")
    assert entry["comments"]["half"] == (None, "Nearly.")
    assert entry["score"] == (3 + 1 + 3.5, 20.0)


def test_a_mark_is_looked_at_again_when_what_it_was_given_for_changed(book):
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content, points=(3, 0)), content))
    book.human(grades={"why": 3.5, "test_half": 1.0})
    # The tests were corrected: the same submission now gets points there.
    book.record((book.result(content=content, points=(3, 2)), content))
    grades = book.content["ada"]["grades"]
    assert grades["test_half"] == (2.0, 1.0, True)
    assert grades["why"] == (None, 3.5, False)
    # A newer submission: every mark given by hand needs a second look, and none is lost.
    newer = book.submission(**courses.ANSWERS | {"why": "On second thought."})
    book.record((book.result(content=newer, points=(3, 2)), newer))
    grades = book.content["ada"]["grades"]
    assert grades["why"] == (None, 3.5, True)
    assert grades["test_half"] == (2.0, 1.0, True)


@pytest.mark.parametrize("content", [None, b"not a notebook"])
def test_a_broken_submission_gets_nothing_and_the_reason(book, content):
    rejected = results.not_graded(book.source, "rejected", "the file is\0 empty \ud800", content)
    book.record((book.result() | rejected, content))
    entry = book.content["ada"]
    assert set(entry["grades"].values()) == {(0.0, None, False)}
    assert entry["comments"]["double"] == ("the file is\ufffd empty ?", None)
    assert {entry["comments"][n] for n in ("half", "why", "plot", "draw")} == {(None, None)}
    assert "the file is" in book.shown().cells[0].source
    # A good file replaces it, the reason goes.
    good = book.submission(**courses.ANSWERS)
    book.record((book.result(content=good), good))
    assert book.content["ada"]["comments"]["double"] == (None, None)
    assert "not graded" not in book.shown().cells[0].source


def test_a_submission_that_could_not_be_graded_waits_for_a_human(book):
    content = book.submission(**courses.ANSWERS)
    failed = results.not_graded(book.source, "error", "the worker ended twice", content)
    book.record((book.result() | failed, content))
    entry = book.content["ada"]
    assert set(entry["grades"].values()) == {(None, None, True)}
    assert entry["comments"]["double"] == ("the worker ended twice", None)
    assert book.shown().cells[2].source == courses.ANSWERS["double"]


def test_the_autograded_notebook_shows_answers_outputs_and_messages(book):
    handed_in = json.loads(book.submission(**courses.ANSWERS))
    helper = {"cell_type": "code", "metadata": {}, "source": "helping = 1", "id": "h"}
    handed_in["cells"].insert(2, helper | {"outputs": [], "execution_count": None})
    handed_in["cells"][4]["source"] = "assert True  # my own test"
    content = json.dumps(handed_in).encode()
    ended = {"reason": "memory"}
    ran = [
        {"name": "cell 3 of the submission", "error": None, "output": "hi <b>\0", "ended": None},
        {"name": "half", "error": "ValueError: no\nline 1", "output": "", "ended": None},
        {"name": "plot", "error": None, "output": "", "ended": ended},
    ]
    book.record((book.result(content=content, points=(3, 0), cells=ran), content))
    shown = book.shown()
    nbformat.validate(shown)
    cells = {one.id: one for one in shown.cells}
    assert [one.id for one in shown.cells][1:4] == ["imports", "student-3", "double"]
    assert cells["student-3"].outputs[0].text == "hi <b>\ufffd"
    assert {name: cells[name].source for name in courses.ANSWERS} == courses.ANSWERS
    assert cells["half"].outputs[0].ename == "error"
    assert cells["half"].outputs[0].evalue == "ValueError: no"
    assert cells["plot"].outputs[0].evalue == "memory"
    # Test cells are the source's, hidden part included, whatever the submission made of them.
    assert "assert double(21) == 42" in cells["test_double"].source
    assert "my own test" not in json.dumps(shown)
    assert cells["test_double"].outputs == []
    assert cells["test_half"].outputs[0].ename == "failed"
    assert "Likely cause" in "\n".join(cells["test_half"].outputs[0].traceback)
    kinds = {output.output_type for one in shown.cells for output in one.get("outputs", [])}
    assert kinds == {"stream", "error"}  # nothing that a browser would execute


def test_the_autograded_notebook_is_as_overwritecells_would_leave_it(book):
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content), content))
    shown = book.shown()
    resources = {"nbgrader": {"assignment": "tiny", "notebook": "tiny", "db_url": book.db_url}}
    again, _ = OverwriteCells()(copy.deepcopy(shown), resources)
    assert again == shown
    for one in shown.cells:
        info = one.metadata.get("nbgrader")
        if info and not info.solution and not info.task:
            assert info.checksum == compute_checksum(one)


def test_the_merged_and_split_answers_of_one_task_become_one_cell(book):
    handed_in = json.loads(book.submission(**courses.ANSWERS))
    twin = copy.deepcopy(handed_in["cells"][4 - 2])
    assert twin["metadata"]["nbgrader"]["grade_id"] == "double"
    twin["source"], twin["id"] = "def double(x):\n    return 2 * x", "twin"
    handed_in["cells"].insert(3, twin)
    content = json.dumps(handed_in).encode()
    assert gradebook.answers(book.source, content)["double"] == (
        courses.ANSWERS["double"] + "\n\n" + twin["source"]
    )
    book.record((book.result(content=content), content))
    ids = [one.metadata.get("nbgrader", {}).get("grade_id") for one in book.shown().cells]
    assert ids.count("double") == 1


def test_a_late_submission_gets_the_penalty_of_the_courses_plugin(book, monkeypatch):
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content), content))
    assert book.content["ada"]["penalty"] is None
    with Gradebook(book.db_url) as gb:
        due = (RECEIVED - timedelta(hours=3)).replace(tzinfo=None)
        gb.update_or_create_assignment(courses.NAME, duedate=due)
    book.record((book.result(content=content), content))
    assert book.content["ada"]["penalty"] is None  # nbgrader's default: none
    (book.root / "late.py").write_text(
        "from nbgrader.plugins import BasePlugin\n"
        "class PerHour(BasePlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        "        return 1.5 * total_seconds_late / 3600\n"
    )
    monkeypatch.syspath_prepend(str(book.root))
    with (book.root / "nbgrader_config.py").open("a") as config:
        config.write('c.AssignLatePenalties.plugin_class = "late.PerHour"\n')
    book.course = Course(book.root)
    book.record((book.result(content=content), content))
    entry = book.content["ada"]
    assert entry["penalty"] == 1.5 * 3
    early = book.result(content=content, received=RECEIVED - timedelta(days=1))
    book.record((book.result("bob", content, points=(3, 0)), content), (early, content))
    assert book.content["bob"]["penalty"] == 3.0  # never more than the score
    assert book.content["ada"]["penalty"] is None
    with Gradebook(book.db_url) as gb:  # registering again leaves the due date alone
        assert gb.find_assignment(courses.NAME).duedate == due


def test_an_assignment_that_nbgrader_released_is_not_registered_again(book, monkeypatch):
    monkeypatch.setattr(release, "_finish", lambda *_: None)  # wants the course's setup cell
    release.release(courses.NAME, root=book.root, db_url=book.db_url)

    def refuse(*_):
        raise AssertionError("registered again")

    monkeypatch.setattr(SaveCells, "__call__", refuse)
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content), content))
    assert book.content["ada"]["score"] == (5.0, 20.0)


def test_a_changed_source_is_registered_anew_if_nbgrader_allows_it(book):
    content = book.submission(**courses.ANSWERS)
    book.record((book.result(content=content), content))
    path = book.course.source(courses.NAME)
    notebook = courses.tiny()
    notebook.cells[3].metadata.nbgrader.points = 10
    path.write_text(nbformat.writes(notebook))
    book.source = path.read_bytes()
    book.record((book.result(content=content, points=(10, 2)), content))
    assert book.content["ada"]["score"] == (12.0, 27.0)
    del notebook.cells[5]  # a whole test, under a submission
    path.write_text(nbformat.writes(notebook))
    book.source = path.read_bytes()
    with pytest.raises(GradebookError, match="nbgrader db assignment remove tiny"):
        book.record()
    assert book.content["ada"]["score"] == (12.0, 27.0)


@on_sqlite_only
def test_a_gradebook_that_cannot_be_used_is_an_explanation(book, monkeypatch, tmp_path):
    content = book.submission(**courses.ANSWERS)
    entry = (book.result(content=content), content)
    book.record(entry)
    url = f"{book.db_url}?timeout=0"  # nbgrader's default is to wait for seconds
    monkeypatch.setenv("COURSE_DB", url)
    course = Course(book.root)
    with Writer(course, courses.NAME, book.source) as writer:
        other = sqlite3.connect(tmp_path / "gradebook.db", isolation_level=None)
        with contextlib.closing(other):
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(GradebookError, match="another program holds it"):
                writer.record(*entry)
        writer.record(*entry)
    (tmp_path / "gradebook.db").write_bytes(b"not a database, but long enough to be read " * 20)
    with pytest.raises(GradebookError, match="not a database"):
        book.record(entry)
    with pytest.raises(GradebookError, match=r"no nbgrader_config\.py"):
        Course(tmp_path)


def test_a_database_that_we_made_is_one_that_nbgrader_made(empty_gradebook):
    with contextlib.closing(sqlite3.connect(empty_gradebook)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        (version,) = database.execute("SELECT version_num FROM alembic_version").fetchall()
    assert {"assignment", "grade", "comment", "student", "submitted_notebook"} <= tables
    steps = Path(nbgrader_package.__file__).parent / "alembic" / "versions"
    assert list(steps.glob(f"{version[0]}_*.py"))


def test_the_server_of_the_tests_leaves_the_environment_alone(request, monkeypatch):
    monkeypatch.delenv("COURSE_DB", raising=False)
    before = dict(os.environ)
    request.getfixturevalue("postgresql")
    now = dict(os.environ)
    for one in (before, now):
        one.pop("PYTEST_CURRENT_TEST", None)
    assert now == before


def test_on_a_server_all_of_the_gradebook_is_made_or_nothing(postgresql, tmp_path, monkeypatch):
    url = make_url(postgresql.url(postgresql.create()))
    monkeypatch.setenv("COURSE_DB", url.render_as_string(hide_password=False))
    courses.make(tmp_path)
    course = Course(tmp_path)
    engine = create_engine(url)

    with monkeypatch.context() as patch:
        patch.setattr(gradebook.Base.metadata, "create_all", half(gradebook.Base.metadata))
        with pytest.raises(KeyboardInterrupt):
            gradebook._create_database(course)
    assert inspect(engine).get_table_names() == []
    assert not gradebook.is_there(url)

    gradebook._create_database(course)
    assert gradebook.is_there(url)
    ours = inspect(engine).get_table_names()
    with engine.connect() as connection:
        made = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    engine.dispose()
    theirs = postgresql.url(postgresql.create())
    Gradebook(theirs).close()
    engine = create_engine(theirs)
    with engine.connect() as connection:
        assert made == connection.exec_driver_sql("SELECT * FROM alembic_version").fetchall()
    assert sorted(ours) == sorted(inspect(engine).get_table_names())
    engine.dispose()


def half(metadata):
    """`create_all` that is interrupted when the first tables are there."""

    def create_all(connection):
        for table in metadata.sorted_tables[:3]:
            table.create(connection)
        raise KeyboardInterrupt

    return create_all


def test_a_server_that_cannot_be_used_is_an_explanation(postgresql, tmp_path, monkeypatch):
    source = courses.make(tmp_path)
    good = postgresql.url(postgresql.blank)
    for url, words in {
        postgresql.url(postgresql.blank, password="wrong word"): "password authentication failed",
        postgresql.url("nowhere"): 'database "nowhere" does not exist',
        good.replace("?host=", "?host=/nowhere"): "/nowhere",
        good.replace("postgresql:", "postgresql+pg8000:"): "driver that cannot be imported.*pg8000",
        good.replace("postgresql:", "postgres:"): "postgres",
    }.items():
        monkeypatch.setenv("COURSE_DB", url)
        for use in (
            lambda: Writer(Course(tmp_path), courses.NAME, source),
            lambda: export.course_marks(tmp_path, None, courses.NAME),
        ):
            with pytest.raises(GradebookError, match=words) as caught:
                use()
            assert "word@" not in str(caught.value)
            assert "p%40ss" not in str(caught.value)


def nbgrader(book, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(courses.ROOT), "COURSE_DB": book.db_url}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=book.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def forget(book, request):
    """Remove the whole gradebook, so that the writer has to make it."""
    url = make_url(book.db_url)
    if url.get_backend_name() == "sqlite":
        os.unlink(url.database)
    else:
        request.getfixturevalue("postgresql").renew(url.database)


def test_the_gradebook_is_what_stock_nbgrader_writes_and_its_tools_go_on(book, request):
    """The same two submissions, graded by nbgrader itself and by our writer."""
    files = {
        "ada": (book.submission(**courses.ANSWERS), (3, 2)),
        "bob": (book.submission(double="def double(x):\n    return 4", half="half = 0.5"), (0, 2)),
    }
    for student, (content, _) in files.items():
        courses.submit(book.root, student, content, "2026-03-01 12:00:00.250000 UTC")
    nbgrader(book, "generate_assignment", courses.NAME)
    nbgrader(book, "autograde", courses.NAME)
    stock = book.content
    stock_cells = {student: described(book.shown(student)) for student in files}
    assert stock["bob"]["score"] == (2.0, 20.0)

    forget(book, request)
    for student in files:
        path = book.course.autograded(courses.NAME, student)
        path.parent.chmod(0o755)
        path.unlink()
    book.record(*((book.result(student, *what), what[0]) for student, what in files.items()))
    assert book.content == stock
    assert {student: described(book.shown(student)) for student in files} == stock_cells

    from nbgrader.apps import NbGraderAPI

    api = NbGraderAPI(config=book.course.config)
    assert api.get_autograded_students(courses.NAME) == {"ada", "bob"}
    assert {one["student"]: one["score"] for one in api.get_submissions(courses.NAME)} == {
        "ada": 5.0,
        "bob": 2.0,
    }
    nbgrader(book, "export", "--to", "grades.csv")
    with (book.root / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {name: float(row["score"]) for name, row in rows.items()} == {"ada": 5.0, "bob": 2.0}
    # Formgrader's page and nbgrader's feedback are made from the autograded notebook.
    nbgrader(book, "generate_feedback", courses.NAME)
    page = (book.root / "feedback" / "ada" / courses.NAME / f"{courses.NAME}.html").read_text()
    assert "x + x" in BeautifulSoup(page, "html.parser").get_text()  # every word has its own colour
    # A second run of stock nbgrader finds nothing newer to do.
    assert "Skipping existing assignment" in nbgrader(book, "autograde", courses.NAME)


def described(notebook):
    """Cells without what a run leaves in them."""
    return [(one.cell_type, one.source, one.metadata.get("nbgrader")) for one in notebook.cells]
