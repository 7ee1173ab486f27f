"""Writes results into nbgrader's gradebook, so that its own tools go on working.

`Writer` is the one writer of a run: it registers the assignment the way ``nbgrader
generate_assignment`` does if the gradebook does not know it, and records results. For each it
writes what ``nbgrader autograde`` would have written: the submission with its time, a score for
every test cell, which cells a human has to mark, the late penalty that the course's plugin gives,
and the autograded notebook that formgrader shows. Marks and comments that a human has entered are
never touched.

A submission is recorded in one transaction, the notebook after it, and recording a result twice
leaves the same as recording it once. So a run that was killed at any moment is completed by
recording all results again.

Threat model. Everything a student influences arrives here as text: source of cells, outputs,
messages. It becomes text in the database and plain-text outputs in the notebook, never HTML or
JavaScript outputs and never metadata; metadata, ids, points and test cells come from the source
notebook alone. Nothing of a submission is executed or formatted as code.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbformat.v4.rwbase import strip_transient
from nbgrader.api import (
    Base,
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    MissingEntry,
    SubmittedNotebook,
    get_alembic_version,
)
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, SaveCells
from nbgrader.utils import (
    compute_checksum,
    determine_grade,
    is_grade,
    is_locked,
    is_solution,
    is_task,
    parse_utc,
)
from sqlalchemy import URL, create_engine, inspect, make_url
from sqlalchemy.exc import OperationalError, SAWarning, SQLAlchemyError
from sqlalchemy.orm import scoped_session, sessionmaker, with_polymorphic

from grading import rebuild, release
from grading.results import GradebookError

NO_RESPONSE = "No response."  # nbgrader's words for an answer that was left as it was
STAMP = "cnnlib_grading"
_HELPER = " of the submission"


class Course:
    """A course folder as nbgrader's configuration describes it.

    Attributes:
        config: nbgrader's configuration.
        directory: nbgrader's idea of where things are.
    """

    def __init__(self, root: Path) -> None:
        """Read the configuration.

        Args:
            root: The folder with ``nbgrader_config.py``.

        Raises:
            GradebookError: There is none.
        """
        if not (root / "nbgrader_config.py").is_file():
            raise GradebookError(
                f"there is no nbgrader_config.py in {root}: run this in the course's folder"
            )
        self.root = root
        self.config = release.nbgrader_config(root)
        self.directory = CourseDirectory(config=self.config)

    @property
    def db_url(self) -> str:
        """Address of the gradebook."""
        return self.directory.db_url

    @property
    def submitted(self) -> Path:
        """Folder of what was handed in."""
        return self.root / self.directory.submitted_directory

    def source(self, assignment: str) -> Path:
        """The source notebook of an assignment."""
        folder = self.directory.format_path(self.directory.source_directory, ".", assignment)
        return Path(os.path.normpath(folder)) / f"{assignment}.ipynb"

    def autograded(self, assignment: str, student: str) -> Path:
        """The notebook that formgrader shows."""
        folder = self.directory.format_path(
            self.directory.autograded_directory, student, assignment
        )
        return Path(folder) / f"{assignment}.ipynb"

    def timestamp(self, assignment: str, student: str) -> datetime | None:
        """When a submission came in, as written beside it; None if that cannot be read."""
        folder = self.directory.format_path(self.directory.submitted_directory, student, assignment)
        path = Path(folder) / "timestamp.txt"
        if path.is_symlink() or not path.is_file():
            return None
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(100).strip()
        return _parse_timestamp(text)


def _parse_timestamp(text: str) -> datetime | None:
    try:
        return parse_utc(text).replace(tzinfo=timezone.utc) if text else None
    except (ValueError, OverflowError):
        return None


class Writer:
    """The one writer of the gradebook for one assignment. Use as a context manager."""

    def __init__(self, course: Course, assignment: str, source: bytes) -> None:
        """Open the gradebook, creating it and registering the assignment if necessary.

        Args:
            course: The course.
            assignment: Name of the assignment.
            source: Bytes of its source notebook.

        Raises:
            GradebookError: The database cannot be used, or it holds submissions of another
                version of the assignment, with other cells.
        """
        self.course = course
        self.assignment = assignment
        self.source = rebuild.read_source(source)
        self.prepared = prepare(course, assignment, source)
        if len(self.prepared.cells) != len(self.source):
            raise GradebookError(
                "the course adds header or footer cells to its notebooks (IncludeHeaderFooter), "
                "which the grader does not support: move them into the source notebook"
            )
        self.blank = _blank(course, self.prepared)
        self.penalties = AssignLatePenalties(config=course.config)
        self.penalties.init_plugin()
        with explained(course.db_url):
            _create_database(course)
            self.gradebook = Gradebook(course.db_url, course.directory.course_id)
            try:
                if not self._is_registered():
                    self._register()
            except BaseException:
                self.gradebook.close()
                raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the database."""
        self.gradebook.close()

    # --- the assignment -----------------------------------------------------------------------

    def _is_registered(self) -> bool:
        """Whether the gradebook knows exactly the cells of this source notebook."""
        try:
            known = self.gradebook.find_notebook(self.assignment, self.assignment)
        except MissingEntry:
            return False
        cells = [cell for cell in self.prepared.cells if "nbgrader" in cell.metadata]
        wanted = {
            "source": {
                (cell.metadata.nbgrader.grade_id, cell.metadata.nbgrader.get("checksum"))
                for cell in cells
                if is_grade(cell) or is_solution(cell) or is_locked(cell) or is_task(cell)
            },
            "grade": {cell.metadata.nbgrader.grade_id for cell in cells if is_grade(cell)},
            "solution": {cell.metadata.nbgrader.grade_id for cell in cells if is_solution(cell)},
            "task": {cell.metadata.nbgrader.grade_id for cell in cells if is_task(cell)},
        }
        found = {
            "source": {(cell.name, cell.checksum) for cell in known.source_cells},
            "grade": {cell.name for cell in known.grade_cells},
            "solution": {cell.name for cell in known.solution_cells},
            "task": {cell.name for cell in known.task_cells},
        }
        return wanted == found

    def _register(self) -> None:
        """Tell the gradebook the assignment's cells, as ``generate_assignment`` does."""
        self.gradebook.update_or_create_assignment(self.assignment)
        self.gradebook.db.remove()  # nbgrader's preprocessor opens the database itself
        resources = _resources(self.course, self.assignment)
        try:
            SaveCells(config=self.course.config)(copy.deepcopy(self.prepared), resources)
        except RuntimeError as error:  # what it raises if cells changed under submissions
            raise GradebookError(
                f"{error}. The gradebook holds marks for another version of the source notebook. "
                "Undo the change of its cells; or, if no marks entered by hand would be missed, "
                f"remove them: nbgrader db assignment remove {self.assignment} --force"
            ) from error

    # --- one submission -----------------------------------------------------------------------

    def record(self, result: dict[str, Any], submission: bytes | None) -> None:
        """Write one result into the gradebook and the autograded notebook beside it.

        Args:
            result: From `grading.results`.
            submission: Bytes of the submission, None if it could not be read.

        Raises:
            GradebookError: The database refused.
        """
        path = self.course.autograded(self.assignment, result["student"])
        notebook = self.autograded_notebook(result, submission)
        known = _stamp_of(path)
        same = known is not None and known == notebook.metadata[STAMP]["submission_sha256"]
        with explained(self.course.db_url), self._transaction():
            self._record(result, notebook, same_submission=same)
        write_notebook(notebook, path)
        received = _received(result)
        if received is not None:
            text = received.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
            _write_text(path.with_name("timestamp.txt"), text)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Let everything that the gradebook's methods commit take effect at once, at the end."""
        gradebook = self.gradebook
        gradebook.db.remove()
        ordinary = gradebook.db
        with gradebook.engine.begin() as connection:
            gradebook.db = scoped_session(
                # What was read stays known when nbgrader's methods "commit" in between.
                sessionmaker(
                    bind=connection,
                    join_transaction_mode="rollback_only",
                    expire_on_commit=False,
                )
            )
            try:
                with warnings.catch_warnings():
                    # nbgrader's own way of adding a submission; harmless.
                    warnings.simplefilter("ignore", SAWarning)
                    yield
                gradebook.db.flush()
            finally:
                gradebook.db.remove()
                gradebook.db = ordinary

    def _record(self, result: dict, notebook: NotebookNode, *, same_submission: bool) -> None:
        gradebook, student = self.gradebook, result["student"]
        # Held until the end: the database is then not asked for each cell by itself.
        cells_of_assignment = self._cells_of_assignment()
        gradebook.update_or_create_student(student)
        received = _received(result)
        submitted = gradebook.update_or_create_submission(
            self.assignment, student, timestamp=received
        )
        gradebook.db.refresh(submitted)  # the database says how late it is
        entry = gradebook.find_submission_notebook(self.assignment, self.assignment, student)
        cells = {
            cell.metadata.nbgrader.grade_id: cell
            for cell in notebook.cells
            if "nbgrader" in cell.metadata
        }
        tests = {test["grade_id"]: test for test in result["tests"]}
        for grade in entry.grades:
            score = _automatic_score(result["status"], tests[grade.name], cells[grade.name])
            _enter_score(grade, score, same_submission=same_submission)
        _enter_comments(result, entry.comments, cells)
        gradebook.db.flush()
        self._enter_late_penalty(student, submitted.total_seconds_late, entry)
        del cells_of_assignment

    def _cells_of_assignment(self) -> list[BaseCell]:
        """All that the gradebook knows of the assignment's cells, in one question."""
        known = self.gradebook.find_notebook(self.assignment, self.assignment)
        every_kind = with_polymorphic(BaseCell, "*")
        question = self.gradebook.db.query(every_kind).filter(every_kind.notebook_id == known.id)
        return question.all()

    def _enter_late_penalty(self, student: str, late: float, entry: SubmittedNotebook) -> None:
        """What the course's plugin says, between nothing and all points, as nbgrader has it."""
        entry.late_submission_penalty = None
        if late > 0:
            self.gradebook.db.flush()
            self.gradebook.db.refresh(entry)  # its score is computed by the database
            penalty = self.penalties.plugin_inst.late_submission_penalty(student, entry.score, late)
            if penalty is not None:
                entry.late_submission_penalty = min(max(penalty, 0.0), entry.score)

    # --- the autograded notebook --------------------------------------------------------------

    def autograded_notebook(self, result: dict[str, Any], submission: bytes | None) -> NotebookNode:
        """The notebook that formgrader shows: the source's cells with the student's answers.

        Args:
            result: From `grading.results`.
            submission: Bytes of the submission, None if it could not be read.
        """
        notebook = copy.deepcopy(self.blank)
        notebook.metadata[STAMP] = {
            "submission_sha256": result["manifest"].get("submission_sha256"),
            "status": result["status"],
        }
        plan, cells = self._plan(result, submission)
        if plan is None:
            reason = _clean(result.get("reason", ""))
            note = f"**This submission was not graded.**\n\n```\n{reason}\n```"
            notebook.cells.insert(0, new_markdown_cell(note, id="not-graded"))
            return notebook
        notebook.cells = list(_Fill(self.source, notebook.cells, plan, cells, result).cells())
        return notebook

    def _plan(
        self, result: dict, submission: bytes | None
    ) -> tuple[rebuild.Plan | None, list[rebuild.Cell]]:
        if submission is None or result["status"] == "rejected":
            return None, []
        try:
            cells = rebuild.read_cells(submission)
            return rebuild.rebuild(self.source, cells), cells
        except rebuild.RebuildError:  # an "error" result of a file that is damaged as well
            return None, []


class _Fill:
    """Puts a student's text and outputs into the cells of the source notebook."""

    def __init__(
        self,
        source: list[rebuild.Cell],
        prepared: list[NotebookNode],
        plan: rebuild.Plan,
        submission: list[rebuild.Cell],
        result: dict,
    ) -> None:
        self.pairs = list(zip(source, prepared, strict=True))
        self.items = list(plan.items)
        self.submission = submission
        self.tests = {test["grade_id"]: test for test in result["tests"]}
        self.runs: dict[str, list[dict]] = {}
        for cell in result["cells"]:
            self.runs.setdefault(cell["name"], []).append(cell)

    def cells(self) -> Iterator[NotebookNode]:
        """The filled cells, and the student's own cells where they stood."""
        yield from self.helpers()
        for original, cell in self.pairs:
            name = original.grade_id or f"cell {original.index + 1}"
            mine = []
            while self.items and self.items[0].name == name:
                mine.append(self.items.pop(0))
            answers = [item.source for item in mine if item.kind == "student"]
            if answers:
                cell.source = "\n\n".join(answers)
                cell.outputs = [out for run in self.runs.get(name, []) for out in _outputs(run)]
            elif original.solution and original.kind != "code":
                cell.source = self.written_answer(original) or cell.source
            if original.is_test:
                cell.outputs = _test_outputs(self.tests[name])
            yield cell
            yield from self.helpers()

    def helpers(self) -> Iterator[NotebookNode]:
        """The student's own cells at this place."""
        while self.items and self.items[0].name.endswith(_HELPER):
            item = self.items.pop(0)
            cell = new_code_cell(item.source, id="student-" + item.name.split()[1])
            runs = self.runs.get(item.name, [])
            cell.outputs = [out for run in runs for out in _outputs(run)]
            yield cell

    def written_answer(self, original: rebuild.Cell) -> str:
        """The text of a cell that is read by a human, found by nbgrader's or Jupyter's id."""
        for cell in reversed(self.submission):
            if cell.grade_id == original.grade_id or (
                cell.cell_id and not cell.grade_id and cell.cell_id == original.cell_id
            ):
                return cell.source
        return ""


def prepare(course: Course, assignment: str, source: bytes) -> NotebookNode:
    """The source notebook as nbgrader registers it: solutions cleared, hidden tests still there.

    Args:
        course: The course, whose configuration decides which preprocessors run.
        assignment: Name of the assignment.
        source: Bytes of its source notebook.
    """
    notebook = nbformat.reads(source.decode("utf-8"), as_version=4)
    resources = _resources(course, assignment)
    converter = GenerateAssignment(coursedir=course.directory, config=course.config)
    for preprocessor in converter.preprocessors:
        if preprocessor is SaveCells:
            return notebook
        notebook, resources = preprocessor(config=course.config)(notebook, resources)
    raise GradebookError("GenerateAssignment.preprocessors lacks SaveCells: nothing is registered")


def _blank(course: Course, prepared: NotebookNode) -> NotebookNode:
    """What an autograded notebook starts from, its metadata checked as nbgrader does.

    Once for all: submissions change texts and outputs, never metadata.
    """
    notebook = copy.deepcopy(prepared)
    for cell in notebook.cells:  # which nbgrader notes for its own use while registering
        cell.metadata.get("nbgrader", {}).pop("cell_type", None)
    CheckCellMetadata(config=course.config)(notebook, {})
    return notebook


def answers(source: bytes, submission: bytes) -> dict[str, str]:
    """A student's text by the grade_id of the solution cell.

    Args:
        source: Bytes of the source notebook.
        submission: Bytes of the submission.

    Raises:
        rebuild.RebuildError: The submission is unusable.
    """
    cells = rebuild.read_source(source)
    plan = rebuild.rebuild(cells, rebuild.read_cells(submission))
    solutions = {cell.grade_id for cell in cells if cell.solution and cell.grade_id}
    texts: dict[str, list[str]] = {}
    for item in plan.items:
        if item.kind == "student" and item.name in solutions:
            texts.setdefault(item.name, []).append(item.source)
    return {name: "\n\n".join(parts) for name, parts in texts.items()}


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook so that there is never half a file."""
    nbformat.validate(notebook)
    # What `nbformat.writes` writes, but for the line breaks, which would cost as much time as all
    # the rest of the gradebook's work.
    _write_text(path, json.dumps(strip_transient(notebook), ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):  # by a run that was killed
        left.unlink()
    # nbgrader is configured to ignore *.part.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _automatic_score(status: str, test: dict, cell: NotebookNode) -> float | None:
    """Points of a cell, or None if a human must decide."""
    if status == "rejected":
        return 0.0
    if status != "graded":
        return None
    if test["status"] != "manual":
        return float(test["points"])
    # An answer left as it was is worth nothing, by nbgrader's rule.
    return determine_grade(cell)[0] if is_grade(cell) else None


def _enter_score(grade: Grade, score: float | None, *, same_submission: bool) -> None:
    """Set the automatic score; a human's mark stays, and is looked at again if it must be."""
    marked = grade.manual_score is not None
    if not (marked and same_submission and grade.auto_score == score):
        grade.needs_manual_grade = score is None or marked
    grade.auto_score = score


def _enter_comments(result: dict, comments: list[Comment], cells: dict[str, NotebookNode]) -> None:
    """Set the automatic comments: why nothing was graded, or which answers are missing."""
    order = list(cells)
    for place, comment in enumerate(sorted(comments, key=lambda c: order.index(c.name))):
        cell = cells[comment.name]
        unchanged = cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
        if result["status"] != "graded":
            comment.auto_comment = _clean(result.get("reason", "")) if place == 0 else None
        else:
            comment.auto_comment = NO_RESPONSE if unchanged and not is_task(cell) else None


def _outputs(run: dict) -> list[NotebookNode]:
    """What a student's cell printed, and how it ended, as plain text."""
    outputs = []
    if run.get("output"):
        outputs.append(new_output("stream", name="stdout", text=_clean(run["output"])))
    if run.get("error"):
        outputs.append(_error("error", run["error"]))
    if run.get("ended"):
        outputs.append(_error("process ended", str(run["ended"].get("reason") or "by itself")))
    return outputs


def _test_outputs(test: dict) -> list[NotebookNode]:
    if test["status"] == "passed":
        return []
    return [_error(test["status"], test["message"])]


def _error(name: str, message: str) -> NotebookNode:
    text = _clean(message)
    first = text.split("\n")[0]
    return new_output("error", ename=name, evalue=first, traceback=text.split("\n") or [first])


def _clean(text: str) -> str:
    """Text that every database and every file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _received(result: dict) -> datetime | None:
    """When the submission arrived; UTC, without saying so, as nbgrader keeps times."""
    if result["received"] is None:
        return None
    received = datetime.fromisoformat(result["received"])
    if received.tzinfo is not None:
        received = received.astimezone(timezone.utc).replace(tzinfo=None)
    return received


def _stamp_of(path: Path) -> str | None:
    """Which submission an autograded notebook shows, if the grader wrote it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metadata"][STAMP]["submission_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _resources(course: Course, assignment: str) -> dict:
    names = {"student": ".", "assignment": assignment, "notebook": assignment}
    return {"nbgrader": {**names, "db_url": course.db_url}, "metadata": {}}


def _create_database(course: Course) -> None:
    """Create what is missing of a gradebook in one step: a half-made one would confuse nbgrader."""
    # To make its tables, nbgrader asks the `alembic` command of this environment for a number.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    url = make_url(course.db_url)
    if url.get_backend_name() != "sqlite":
        _create_tables(url)
        return
    if not url.database or url.database == ":memory:":
        return
    path = Path(url.database)
    for left in path.parent.glob(f"{path.name}.*.new"):  # by a run that was killed
        left.unlink()
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.new")
        Gradebook(f"sqlite:///{draft}", course.directory.course_id).close()
        os.replace(draft, path)


def _create_tables(url: URL) -> None:
    """Make nbgrader's tables on a server, in one transaction (nbgrader itself takes several)."""
    if is_there(url):
        return
    version = get_alembic_version()
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.exec_driver_sql(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"
        )
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{version}')")
    engine.dispose()


def is_there(url: URL) -> bool:
    """Whether there is a gradebook; asked for one that is not there, nbgrader makes it."""
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").is_file()  # a mere connection would make the file
    engine = create_engine(url)
    try:
        return inspect(engine).has_table("assignment")
    finally:
        engine.dispose()


@contextmanager
def explained(db_url: str) -> Iterator[None]:
    """Say what a database error means for the person at the terminal."""
    try:
        yield
    except OperationalError as error:
        shown = make_url(db_url).render_as_string(hide_password=True)
        raise GradebookError(
            f"the gradebook {shown} cannot be used: {error.orig}. If another program holds it, "
            "close that; if nbgrader was updated, make a copy and run: nbgrader db upgrade"
        ) from error
    except SQLAlchemyError as error:
        raise GradebookError(f"the gradebook refused: {error}") from error
    except ImportError as error:  # SQLAlchemy imports the driver that the address asks for
        shown = make_url(db_url).render_as_string(hide_password=True)
        raise GradebookError(
            f"the gradebook {shown} needs a driver that cannot be imported: {error}. "
            'For PostgreSQL: pip install "psycopg[binary]"'
        ) from error
