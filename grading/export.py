"""Marks as CSV for Canvas, Moodle or a spreadsheet.

    python -m grading export a1_layers --format canvas --roster grades-from-canvas.csv

Marks are read from nbgrader's gradebook, so that what somebody changed in formgrader and what
nbgrader deducts for lateness count; the results say what became of submissions that never got
there. Students are matched with the rows of a roster by their ids, never by their names: two
students may have the same name. Whoever could not be matched is reported, and gets no mark by
guessing.

Threat model. Names come from the learning platform, where students may have written them
themselves, and a spreadsheet runs a cell that begins with ``=``. See `neutralised`. The roster is
somebody's only copy of the marks of a whole term, so it is never written over.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy.engine import make_url

from grading import gradebook, results

RESULTS = Path("results")
FORMATS = ("plain", "canvas", "moodle")

# Columns that name a student, as Canvas and Moodle call them in English exports, and ours.
ID_COLUMNS = (
    "ID", "SIS User ID", "SIS Login ID", "Integration ID",
    "Identifier", "ID number", "Username", "Email address", "Email", "student_id",
)  # fmt: skip
NAME_COLUMNS = ("Student", "Full name", "name")
CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE_COLUMNS = ("Identifier", "ID number", "Email address", "Grade")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?%?")
_PARTICIPANT = re.compile(r".+_(\d+)|[Pp]articipant[ _](\d+)")
_LAST_NUMBER = re.compile(r"\D+(\d+)")


class ExportError(ValueError):
    """No file was written; the message says why and what to do."""


@dataclass(frozen=True)
class Marks:
    """What the gradebook holds about one student's submission.

    Attributes:
        student: The student's id.
        score: Points after the deduction for lateness, at least 0.
        max_score: The most there is.
        penalty: Points deducted.
        cells: Points by grade_id, marks by hand included.
        comments: What a person wrote, by grade_id of the cell.
        needs_manual_grade: Somebody has still to read an answer.
        late_hours: Hours after the due date (with the student's extension), 0 if there is none.
    """

    student: str
    score: float
    max_score: float
    penalty: float = 0.0
    cells: Mapping[str, float] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    needs_manual_grade: bool = False
    late_hours: float = 0.0
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


# --- the gradebook ------------------------------------------------------------------------------


def read_marks(url: str, assignment: str, *, course_id: str = "default_course") -> dict[str, Marks]:
    """The marks of an assignment by student, from nbgrader's gradebook.

    Args:
        url: Address of the database.
        assignment: Name of the assignment.
        course_id: The course's id there; nbgrader enters one that it does not know.

    Raises:
        ExportError: There is no gradebook, or it does not know the assignment.
        GradebookError: The gradebook cannot be used.
    """
    with gradebook.explained(url):
        database = make_url(url)
        if not gradebook.is_there(database):
            # nbgrader would make an empty one, and the export would be silently empty.
            shown = database.render_as_string(hide_password=True)
            raise ExportError(f"there is no gradebook at {shown}: grade first")
        return _read_marks(url, assignment, course_id)


def _read_marks(url: str, assignment: str, course_id: str) -> dict[str, Marks]:
    with Gradebook(url, course_id=course_id) as book:
        try:
            book.find_assignment(assignment)
        except MissingEntry as error:
            raise ExportError(
                f"the gradebook does not know the assignment {assignment!r}: grade it first"
            ) from error
        return {
            submission.student.id: _marks(submission)
            for submission in book.assignment_submissions(assignment)
        }


def course_marks(course: Path, url: str | None, assignment: str) -> dict[str, Marks]:
    """`read_marks` with the course's own configuration, or with another gradebook's address."""
    directory = gradebook.Course(course.absolute()).directory
    return read_marks(url or directory.db_url, assignment, course_id=directory.course_id)


def marks_if_any(course: Path, url: str | None, assignment: str) -> dict[str, Marks] | None:
    """Like `course_marks`, but None where there is nothing to read yet."""
    try:
        return course_marks(course, url, assignment)
    except ExportError:
        return None


def _marks(submission: Any) -> Marks:
    student = submission.student
    cells: dict[str, float] = {}
    comments: dict[str, str] = {}
    for notebook in submission.notebooks:
        cells |= {grade.name: grade.score for grade in notebook.grades}
        comments |= {c.name: c.manual_comment for c in notebook.comments if c.manual_comment}
    penalty = submission.late_submission_penalty or 0.0
    return Marks(
        student=student.id,
        score=max(0.0, submission.score - penalty),
        max_score=submission.max_score,
        penalty=penalty,
        cells=cells,
        comments=comments,
        needs_manual_grade=submission.needs_manual_grade,
        late_hours=submission.total_seconds_late / 3600,
        first_name=student.first_name or "",
        last_name=student.last_name or "",
        email=student.email or "",
        lms_user_id=student.lms_user_id or "",
    )


# --- CSV ----------------------------------------------------------------------------------------


def neutralised(cell: Any) -> str:
    """A cell that no spreadsheet takes for a formula.

    Excel, LibreOffice and Google Sheets compute a cell that begins with ``=``, ``+``, ``-`` or
    ``@``, in full width too, and some skip a tab or line end before it. Such text gets an
    apostrophe in front, which spreadsheets read as "this is text". A number is not a formula:
    ``-2.5`` stays as it is, since ``'-2.5`` would be a text and no longer count. All cells are
    quoted besides, so that a program which takes another character for the separator does not
    find a formula in the middle of a name.
    """
    text = "" if cell is None else str(cell)
    start = text.lstrip(" \t\r\n\v\f\0\ufeff\u00a0")
    if _NUMBER.fullmatch(text) or not text.strip("-–"):  # Moodle writes "-" for "never"
        return text
    if text.startswith(("\t", "\r", "\n")) or start.startswith(tuple("=+-@＝＋－＠")):
        return f"'{text}"
    return text


def number(value: float) -> str:
    """Points with a decimal point, at most two decimals, without needless zeros."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def write_csv(
    path: Path,
    rows: Iterable[Sequence[Any]],
    *,
    delimiter: str = ",",
    bom: bool = False,
    never: Path | None = None,
) -> int:
    """Write a table so that there is never half a file.

    Args:
        path: Where to; an older file is replaced.
        rows: Cells, as text or numbers.
        delimiter: Between two cells.
        bom: Begin with a byte order mark, by which Excel recognises UTF-8.
        never: A file that must not be replaced: the roster.

    Returns:
        How many cells had to be neutralised.

    Raises:
        ExportError: `path` is the file that must not be replaced, or not an ordinary file.
    """
    if never is not None and path.exists() and path.samefile(never):
        raise ExportError(f"{path} is the roster itself: choose another name with --to")
    if path.exists() and not path.is_file():
        raise ExportError(f"{path} is not a file")
    safe = [([str(c) for c in row], [neutralised(c) for c in row]) for row in rows]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(new for _, new in safe)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
            file.write(text.getvalue())
        os.replace(draft, path)  # readable by its owner alone: these are marks
    except BaseException:
        os.unlink(draft)
        raise
    return sum(a != b for old, new in safe for a, b in zip(old, new, strict=True))


@dataclass
class Roster:
    """A table of students from a learning platform.

    Attributes:
        header: Names of the columns.
        rows: Cells of all other lines, students or not, as wide as the header.
        delimiter: What stands between two cells.
        bom: The file began with a byte order mark.
    """

    header: list[str]
    rows: list[list[str]]
    delimiter: str = ","
    bom: bool = False

    def column(self, *names: str) -> int | None:
        """Index of the first of these columns that the table has."""
        known = [name.strip().casefold() for name in self.header]
        return next((known.index(n.casefold()) for n in names if n.casefold() in known), None)


def read_roster(path: Path) -> Roster:
    """Read a CSV file as Canvas or Moodle exports it.

    Raises:
        ExportError: It is not UTF-8, or not a table with a header.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportError(
            f"{path} is not UTF-8; export it again, or save it as 'CSV UTF-8' in the spreadsheet"
        ) from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ExportError(f"{path} is not a CSV file: {error}") from error
    if not lines or len(lines[0]) < 2:
        raise ExportError(f"{path} has no header line with several columns: is it a CSV file?")
    header, width = lines[0], len(lines[0])
    rows = [line + [""] * (width - len(line)) for line in lines[1:] if any(line)]
    too_long = next((i for i, row in enumerate(rows, start=2) if len(row) > width), None)
    if too_long:
        raise ExportError(f"{path}: line {too_long} has more cells than the header")
    return Roster(header, rows, delimiter, data.startswith(b"\xef\xbb\xbf"))


# --- matching -----------------------------------------------------------------------------------


@dataclass
class Matching:
    """Which row of a roster belongs to which student.

    Attributes:
        students: Student by index of the row.
        empty_rows: Rows that nobody's submission belongs to.
        without_submission: Their names.
        not_in_roster: Students without a row.
        ambiguous: What fits more than one, in words.
    """

    students: dict[int, str] = field(default_factory=dict)
    empty_rows: list[int] = field(default_factory=list)
    without_submission: list[str] = field(default_factory=list)
    not_in_roster: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)

    def report(self) -> list[str]:
        """Lines for the terminal: who is missing, and why."""
        lines = [f"matched by id: {len(self.students)}"]
        parts = (
            ("in the roster, but without a submission", self.without_submission),
            ("with marks, but not in the roster: they are NOT in the file", self.not_in_roster),
            ("ambiguous: NOT in the file, enter them by hand", self.ambiguous),
        )
        for title, names in parts:
            if names:
                lines += [f"{title} ({len(names)}):", *(f"  {name}" for name in sorted(names))]
        return lines


def match(
    roster: Roster, marks: Mapping[str, Marks], *, id_columns: Sequence[str] = ID_COLUMNS
) -> Matching:
    """Match students with the rows of a roster, by ids alone.

    A student's own id, e-mail address and id on the platform are looked for in every column that
    holds ids. Only if none of them is found, the number counts that Moodle appends to a name
    ("Ada Lovelace_1234" is "Participant 1234").

    Raises:
        ExportError: The roster has none of these columns.
    """
    indices = [i for i, name in enumerate(roster.header) if _among(name, id_columns)]
    if not indices:
        raise ExportError(
            f"the roster has no column with ids (looked for {', '.join(id_columns)}; it has "
            f"{', '.join(roster.header)}): name one with --id-column"
        )
    by_id: defaultdict[str, set[int]] = defaultdict(set)
    for number_, row in enumerate(roster.rows):
        for index in indices:
            if row[index].strip():
                by_id[_key(row[index])].add(number_)
                participant = _LAST_NUMBER.fullmatch(row[index].strip())
                if participant and _among(roster.header[index], ("Identifier",)):
                    # "Participant 1234"; the word depends on the language of the site.
                    by_id[_participant_key(participant[1])].add(number_)
    candidates = {student: _rows_of(one, by_id) for student, one in marks.items()}
    claimed: defaultdict[int, list[str]] = defaultdict(list)
    matching = Matching()
    for student, rows in candidates.items():
        if not rows:
            matching.not_in_roster.append(student)
        elif len(rows) > 1:
            lines = ", ".join(str(row + 2) for row in sorted(rows))
            matching.ambiguous.append(f"{student}: fits lines {lines} of the roster")
        else:
            claimed[next(iter(rows))].append(student)
    for row, students in claimed.items():
        if len(students) == 1:
            matching.students[row] = students[0]
        else:
            matching.ambiguous.append(f"{', '.join(students)}: fit line {row + 2} of the roster")
    unsure = set(claimed).union(*candidates.values())
    for row in range(len(roster.rows)):
        if row not in unsure and is_student(roster, row):
            matching.empty_rows.append(row)
            matching.without_submission.append(_row_name(roster, row))
    return matching


def _among(name: str, names: Iterable[str]) -> bool:
    return name.strip().casefold() in {other.casefold() for other in names}


def _key(text: str) -> str:
    return text.strip().casefold()


def _participant_key(number_: str) -> str:
    return f"participant\0{number_}"  # no cell holds this character


def _rows_of(marks: Marks, by_id: Mapping[str, set[int]]) -> set[int]:
    own = {_key(text) for text in (marks.student, marks.email, marks.lms_user_id) if text.strip()}
    rows = set().union(*(by_id.get(key, set()) for key in own))
    if not rows and (participant := participant_number(marks.student)):
        rows = by_id.get(_participant_key(participant), set())
    return rows


def participant_number(student: str) -> str:
    """The number that Moodle gave a student, if the id ends in it; else ""."""
    found = _PARTICIPANT.fullmatch(student)
    return (found[1] or found[2]) if found else ""


def is_student(roster: Roster, row: int) -> bool:
    """Whether a line is a student's: not Canvas's points possible, posting policy or test student.

    Canvas leaves the id empty in its own lines.
    """
    cells = roster.rows[row]
    name = cells[0].strip().casefold()
    if name in ("points possible", "student, test"):
        return False
    ids = [cells[i] for i, column in enumerate(roster.header) if _among(column, ID_COLUMNS)]
    return any(cell.strip() for cell in (ids or cells))


def _row_name(roster: Roster, row: int) -> str:
    cells = roster.rows[row]
    column = roster.column(*NAME_COLUMNS)
    ids = [cells[i] for i, name in enumerate(roster.header) if _among(name, ID_COLUMNS)]
    parts = [cells[column] if column is not None else "", next((i for i in ids if i), "")]
    return " · ".join(part for part in parts if part) or f"line {row + 2}"


# --- the three formats --------------------------------------------------------------------------


@dataclass
class Table:
    """A table to write, with lines for the terminal.

    Attributes:
        rows: Header first.
        report: Who is missing.
        complete: Every mark found its place.
    """

    rows: list[list[Any]]
    report: list[str] = field(default_factory=list)
    complete: bool = True


def plain_table(
    marks: Mapping[str, Marks],
    graded: Sequence[Mapping[str, Any]],
    roster: Roster | None = None,
    *,
    id_columns: Sequence[str] = ID_COLUMNS,
) -> Table:
    """One line for each student: score, lateness in hours, status, and points of each task.

    Students with a result but no marks (a file that could not be graded) have no score: whether
    that is a zero is for a human to say.
    """
    by_student = {str(result["student"]): result for result in graded}
    tasks = list(
        dict.fromkeys(
            [test["grade_id"] for result in graded for test in result["tests"]]
            + [name for one in marks.values() for name in one.cells]
        )
    )
    fixed = ["student", "last_name", "first_name", "score", "max_score", "late", "status"]
    rows: list[list[Any]] = [[*fixed, *tasks]]
    for student in sorted(marks.keys() | by_student.keys()):
        one, result = marks.get(student), by_student.get(student)
        if one is None:
            assert result is not None
            empty = [""] * len(tasks)
            rows.append([student, "", "", "", number(result["max_score"]), "",
                         result["status"], *empty])  # fmt: skip
            continue
        cells = [number(one.cells[task]) if task in one.cells else "" for task in tasks]
        rows.append([student, one.last_name, one.first_name, number(one.score),
                     number(one.max_score), number(one.late_hours),
                     _status(one, result), *cells])  # fmt: skip
    table = Table(rows, _without_marks(marks, by_student))
    if roster is not None:
        matching = match(roster, marks, id_columns=id_columns)
        rows += [[name, "", "", "", "", "", "missing", *[""] * len(tasks)]
                 for name in matching.without_submission]  # fmt: skip
        table.report += matching.report()
    return table


def _status(marks: Marks, result: Mapping[str, Any] | None) -> str:
    if result is not None and result["status"] != "graded":
        return str(result["status"])
    return "needs manual grade" if marks.needs_manual_grade else "graded"


def _without_marks(
    marks: Mapping[str, Marks], by_student: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    names = sorted(by_student.keys() - marks.keys())
    if not names:
        return []
    lines = [
        f"  {name}: {by_student[name]['status']}, {by_student[name].get('reason', 'no marks')}"
        for name in names
    ]
    return [f"handed in, but without marks in the gradebook ({len(names)}):", *lines]


def canvas_table(
    marks: Mapping[str, Marks],
    assignment: str,
    roster: Roster | None = None,
    *,
    grade_column: str | None = None,
    id_columns: Sequence[str] = ID_COLUMNS,
    scale: bool = False,
    missing_as_zero: bool = False,
) -> Table:
    """Canvas's gradebook, as its *Import* reads it.

    With a roster, which is what Canvas's *Export* gives, the assignment's column is filled in and
    everything else kept. Canvas adds its number to the name of a column, "a1_layers (4711)"; both
    forms are found.
    """
    max_score = _max_score(marks)
    if roster is None:
        header = [*CANVAS_COLUMNS, grade_column or assignment]
        rows = [[f"{one.last_name}, {one.first_name}".strip(", ") or one.student,
                 one.lms_user_id, "", one.student, "", number(one.score)]
                for one in marks.values()]  # fmt: skip
        rows.sort(key=lambda row: row[3])
        points = ["Points Possible", "", "", "", "", number(max_score)]
        return Table([header, points, *rows])
    if roster.column("Student") is None:
        raise ExportError("the roster has no column Student: is it Canvas's gradebook export?")
    column = _canvas_column(roster, grade_column or assignment)
    possible = next((r for r in roster.rows if r[0].strip() == "Points Possible"), None)
    if column is None:
        column = len(roster.header)
        roster.header.append(grade_column or assignment)
        for row in roster.rows:
            row.append(number(max_score) if row is possible else "")
    theirs = possible[column] if possible else ""
    factor = _factor(theirs, max_score, scale, "Points Possible")
    return _filled(roster, marks, column, factor, id_columns, missing_as_zero)


def _canvas_column(roster: Roster, name: str) -> int | None:
    pattern = re.compile(rf"{re.escape(name.strip())}(?:\s*\(\d+\))?", re.I)
    found = [i for i, column in enumerate(roster.header) if pattern.fullmatch(column.strip())]
    if len(found) > 1:
        names = ", ".join(roster.header[i] for i in found)
        raise ExportError(f"several columns are called {name!r} ({names}): use --grade-column")
    return found[0] if found else None


def moodle_table(
    marks: Mapping[str, Marks],
    roster: Roster | None = None,
    *,
    grade_column: str | None = None,
    id_columns: Sequence[str] = ID_COLUMNS,
    scale: bool = False,
    missing_as_zero: bool = False,
) -> Table:
    """Moodle's grading worksheet, as *Upload grading worksheet* reads it.

    With the worksheet as roster its column *Grade* is filled in and everything else kept, the
    times of the last change above all: Moodle uses them to see whether a mark has been changed in
    the meantime.
    """
    if roster is None:
        rows = []
        for one in sorted(marks.values(), key=lambda one: one.student):
            participant = participant_number(one.student)
            rows.append([
                f"Participant {participant}" if participant else "",
                one.lms_user_id or ("" if participant else one.student),
                one.email or (one.student if "@" in one.student else ""),
                number(one.score),
            ])  # fmt: skip
        header = list(MOODLE_COLUMNS)
        header[-1] = grade_column or header[-1]
        return Table([header, *rows])
    column = roster.column(grade_column or "Grade")
    if column is None:
        raise ExportError(
            f"the roster has no column {grade_column or 'Grade'}: name it with --grade-column"
        )
    maximum = roster.column("Maximum grade")
    theirs = {row[maximum].strip() for row in roster.rows} - {""} if maximum is not None else set()
    if len(theirs) > 1:
        raise ExportError(f"the column Maximum grade has several values: {', '.join(theirs)}")
    factor = _factor(next(iter(theirs), ""), _max_score(marks), scale, "Maximum grade")
    return _filled(roster, marks, column, factor, id_columns, missing_as_zero)


def _max_score(marks: Mapping[str, Marks]) -> float:
    if not marks:
        raise ExportError("the gradebook has no marks for this assignment: grade it first")
    return max(one.max_score for one in marks.values())


def _factor(theirs: str, ours: float, scale: bool, where: str) -> float:
    """By what to multiply a score; refuses to guess where the two maxima differ."""
    if not theirs.strip():
        return 1.0
    try:
        maximum = float(theirs.replace(",", "."))
    except ValueError as error:
        raise ExportError(f"{where} in the roster is no number: {theirs!r}") from error
    if abs(maximum - ours) < 0.005 or ours == 0:
        return 1.0
    if not scale:
        raise ExportError(
            f"{where} in the roster is {maximum:g}, but the assignment has {ours:g} points: change "
            "it there, or convert the scores with --scale"
        )
    return maximum / ours


def _filled(
    roster: Roster,
    marks: Mapping[str, Marks],
    column: int,
    factor: float,
    id_columns: Sequence[str],
    missing_as_zero: bool,
) -> Table:
    matching = match(roster, marks, id_columns=id_columns)
    for index, row in enumerate(roster.rows):
        student = matching.students.get(index)
        if student is not None:
            row[column] = number(marks[student].score * factor)
        elif missing_as_zero and index in matching.empty_rows:
            row[column] = "0"
    complete = not (matching.not_in_roster or matching.ambiguous)
    return Table([roster.header, *roster.rows], matching.report(), complete)


# --- command ------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``export`` to an ``argparse`` subparsers object."""
    command = commands.add_parser(
        "export",
        help="write marks as CSV",
        description="Write the marks in the gradebook as CSV for Canvas, Moodle or a spreadsheet.",
    )
    command.add_argument("assignment")
    command.add_argument("--format", choices=FORMATS, default="plain")
    command.add_argument(
        "--roster", type=Path, metavar="CSV", help="Canvas's gradebook or Moodle's worksheet"
    )
    command.add_argument(
        "--to", type=Path, metavar="CSV", help="default: results/ASSIGNMENT/marks-FORMAT.csv"
    )
    command.add_argument("--grade-column", metavar="NAME", help="the roster's column to fill in")
    command.add_argument(
        "--id-column", metavar="NAME", action="append", help="a roster's column with ids"
    )
    command.add_argument("--scale", action="store_true", help="convert to the roster's maximum")
    command.add_argument(
        "--missing-as-zero", action="store_true", help="0 for who handed in nothing"
    )
    command.add_argument("--bom", action="store_true", help="byte order mark, for Excel")
    command.add_argument("--db", metavar="URL", help="the gradebook (default: nbgrader_config.py)")
    command.set_defaults(run=run_export)


def run_export(options: argparse.Namespace) -> int:
    """Write the file; exit status 1 if some marks found no place in it."""
    assignment = options.assignment
    marks = course_marks(Path(), options.db, assignment)
    roster = read_roster(options.roster) if options.roster else None
    delimiter = roster.delimiter if roster and options.format != "plain" else ","
    graded = results.load_all(RESULTS, assignment)
    table = _table(options, marks, graded, roster)
    target = options.to or RESULTS / assignment / f"marks-{options.format}.csv"
    changed = write_csv(
        target,
        table.rows,
        delimiter=delimiter,
        bom=options.bom or bool(roster and roster.bom),
        never=options.roster,
    )
    lines = [*table.report, f"written to {target}"]
    if changed:
        lines.append(f"{changed} cells looked like formulas and begin with an apostrophe now")
    for line in lines:
        print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))
    return 0 if table.complete else 1


def _table(
    options: argparse.Namespace,
    marks: dict[str, Marks],
    graded: list[dict[str, Any]],
    roster: Roster | None,
) -> Table:
    if options.format == "plain":
        return plain_table(marks, graded, roster, id_columns=options.id_column or ID_COLUMNS)
    common = {
        "grade_column": options.grade_column,
        "id_columns": options.id_column or ID_COLUMNS,
        "scale": options.scale,
        "missing_as_zero": options.missing_as_zero,
    }
    if options.format == "canvas":
        table = canvas_table(marks, options.assignment, roster, **common)
    else:
        table = moodle_table(marks, roster, **common)
    table.report += _without_marks(marks, {str(r["student"]): r for r in graded})
    return table


def main(arguments: list[str] | None = None) -> int:
    """Run the command alone."""
    parser = argparse.ArgumentParser(prog="python -m grading.export", description=__doc__)
    add_command(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
