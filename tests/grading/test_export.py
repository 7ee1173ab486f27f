"""CSV files: every mark in the right place, or reported."""

import argparse
import csv
import io
import itertools
import json
import os
import shutil
from pathlib import Path

import nbgrader.api
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbgrader.api import Gradebook

from grading import export
from grading.export import Marks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def gradebook_file(tmp_path_factory):
    """A gradebook with one assignment of two test cells and an essay, made with nbgrader."""
    path = tmp_path_factory.mktemp("gradebook") / "gradebook.db"
    with pytest.MonkeyPatch.context() as patch:
        # nbgrader starts alembic's command to learn this number, which takes seconds.
        patch.setattr(nbgrader.api, "get_alembic_version", lambda: "e43177bfe90b")
        with Gradebook(f"sqlite:///{path}", course_id="cnn") as book:
            fill(book)
    return path


def fill(book):
    book.add_assignment("small", duedate="2026-11-01 12:00:00 UTC", course_id="cnn")
    book.add_notebook("small", "small")
    for name, points, kind in (("t1", 3, "code"), ("t2", 2, "code"), ("essay", 5, "markdown")):
        book.add_grade_cell(name, "small", "small", max_score=points, cell_type=kind)
    book.add_solution_cell("s1", "small", "small")
    people = {
        "ada": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@uni.example"},
        "=cmd()": {"first_name": "@SUM(A1)", "last_name": "Eve"},
        "Bo Li_1234": {"first_name": "Bo", "last_name": "Li"},
    }
    for student, names in people.items():
        book.add_student(student, **names)
        book.add_submission("small", student, timestamp="2026-11-01 13:30:00 UTC")
        for number, cell in enumerate(("t1", "t2", "essay")):
            grade = book.find_grade(cell, "small", "small", student)
            grade.auto_score = [3.0, 1.0, None][number]
            grade.needs_manual_grade = cell == "essay"
    # What a person does in formgrader.
    grade = book.find_grade("t2", "small", "small", "ada")
    grade.manual_score = 1.5
    essay = book.find_grade("essay", "small", "small", "ada")
    essay.manual_score, essay.extra_credit, essay.needs_manual_grade = 4.0, 0.5, False
    book.find_comment("s1", "small", "small", "ada").manual_comment = "well argued"
    book.find_submission_notebook("small", "small", "ada").late_submission_penalty = 2.0
    book.db.commit()


@pytest.fixture
def course(tmp_path, monkeypatch, gradebook_file):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    shutil.copy(gradebook_file, tmp_path / "gradebook.db")
    monkeypatch.setenv("COURSE_DB", f"sqlite:///{tmp_path}/gradebook.db")
    (tmp_path / "results" / "small").mkdir(parents=True)
    for student, status in (("ada", "graded"), ("Bo Li_1234", "graded"), ("zip", "rejected")):
        tests = [{"grade_id": name, "points": 0.0, "max_points": 1.0, "status": "passed",
                  "message": "", "seconds": 0.0} for name in ("t1", "t2", "essay")]  # fmt: skip
        result = {"student": student, "assignment": "small", "status": status, "score": 0.0,
                  "max_score": 10.0, "tests": tests, "manifest": {}, "reason": "empty"}  # fmt: skip
        (tmp_path / "results" / "small" / f"{student}.json").write_text(json.dumps(result))
    return tmp_path


def run(*arguments):
    parser = argparse.ArgumentParser()
    export.add_command(parser.add_subparsers())
    options = parser.parse_args(["export", "small", *arguments])
    return options.run(options)


def table(path, delimiter=","):
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""),
                           delimiter=delimiter))  # fmt: skip


def marks(**scores):
    return {name: Marks(name, score, 10.0) for name, score in scores.items()}


def test_marks_by_hand_and_penalties_count(course):
    found = export.course_marks(Path(), None, "small")
    ada = found["ada"]
    assert ada.cells == {"t1": 3.0, "t2": 1.5, "essay": 4.5}
    assert (ada.score, ada.penalty, ada.max_score) == (7.0, 2.0, 10.0)
    assert ada.late_hours == 1.5
    assert ada.comments == {"s1": "well argued"}
    assert not ada.needs_manual_grade
    assert found["Bo Li_1234"].needs_manual_grade
    assert found["Bo Li_1234"].score == 4.0


def test_a_gradebook_that_is_not_there_is_not_made(course, tmp_path):
    with pytest.raises(export.ExportError, match="no gradebook"):
        export.read_marks(f"sqlite:///{tmp_path}/other.db", "small")
    assert not (tmp_path / "other.db").exists()
    with pytest.raises(export.ExportError, match="does not know the assignment 'a9'"):
        export.course_marks(Path(), None, "a9")
    assert export.marks_if_any(Path(), f"sqlite:///{tmp_path}/other.db", "small") is None


def test_the_plain_table(course, capsys):
    assert run() == 0
    rows = table(course / "results" / "small" / "marks-plain.csv")
    assert rows == [
        ["student", "last_name", "first_name", "score", "max_score", "late", "status",
         "t1", "t2", "essay"],
        ["'=cmd()", "Eve", "'@SUM(A1)", "4", "10", "1.5", "needs manual grade", "3", "1", "0"],
        ["Bo Li_1234", "Li", "Bo", "4", "10", "1.5", "needs manual grade", "3", "1", "0"],
        ["ada", "Lovelace", "Ada", "7", "10", "1.5", "graded", "3", "1.5", "4.5"],
        ["zip", "", "", "", "10", "", "rejected", "", "", ""],
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "zip: rejected, empty" in said
    assert "2 cells looked like formulas" in said


CANVAS = (
    "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Lab (7),small (4711),Final Score\r\n"
    ",,,,,,Manual Posting,(read only)\r\n"
    "    Points Possible,,,,,5,10,(read only)\r\n"
    '"Lovelace, Ada",101,u1,ada@uni.example,S 1,4,,71.5\r\n'
    '"Li, Bo",102,u2,"bo, li",S 1,-1.5,3,50\r\n'
    '"Ada, Lovelace",103,u3,ada2,S 2,5,8,\r\n'
    '"Student, Test",104,,0f9a,S 1,,,\r\n'
)


def test_canvas_keeps_what_it_does_not_know(course, capsys):
    roster = course / "canvas.csv"
    roster.write_bytes(CANVAS.encode())
    assert run("--format", "canvas", "--roster", "canvas.csv", "--to", "out.csv") == 1
    before, after = table(roster), table(course / "out.csv")
    assert after[3][6] == "7"
    after[3][6] = ""
    assert after == before, "nothing but the one mark has changed"
    assert (course / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf"), "as the roster"
    said = capsys.readouterr().out
    assert "matched by id: 1" in said
    assert "Ada, Lovelace · 103" in said, "the same name does not make the same student"
    assert "Li, Bo · 102" in said
    assert "Points Possible" not in said
    assert "Test" not in said
    assert "=cmd()" in said.split("not in the roster")[1]
    assert roster.read_bytes() == CANVAS.encode()


def test_canvas_without_a_roster_or_without_the_column(course):
    assert run("--format", "canvas") == 0
    rows = table(course / "results" / "small" / "marks-canvas.csv")
    assert rows[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "small"]
    assert rows[1] == ["Points Possible", "", "", "", "", "10"]
    assert ["Lovelace, Ada", "", "", "ada", "", "7"] in rows
    rows = [["Points Possible", "", "5"], ["A", "x", "1"], ["B", "y", "2"]]
    roster = export.Roster(["Student", "ID", "Lab"], rows)
    made = export.canvas_table(marks(y=9.5), "small", roster)
    assert made.rows == [
        ["Student", "ID", "Lab", "small"],
        ["Points Possible", "", "5", "10"],
        ["A", "x", "1", ""],
        ["B", "y", "2", "9.5"],
    ]
    twice = export.Roster(["Student", "ID", "small (1)", "small (2)"], [])
    with pytest.raises(export.ExportError, match="several columns"):
        export.canvas_table(marks(y=1), "small", twice)
    chosen = export.canvas_table(marks(y=1), "small", twice, grade_column="small (2)")
    assert chosen.rows == [twice.header]


MOODLE = (
    "Identifier;Full name;ID number;Email address;Status;Grade;Maximum grade;"
    "Last modified (grade);Feedback comments\n"
    "Participant 1234;Bo Li;77;bo@uni.example;Submitted;;10.00;-;\n"
    'Participant 9;Ada Lovelace;1234;ADA@uni.example;Submitted;2.00;10.00;"Monday; noon";fine\n'
)


def test_moodles_worksheet(course, capsys):
    (course / "sheet.csv").write_text(MOODLE, encoding="utf-8")
    assert run("--format", "moodle", "--roster", "sheet.csv", "--to", "out.csv") == 1
    rows = table(course / "out.csv", ";")
    # "Bo Li_1234" is Participant 1234, not the student whose ID number happens to be 1234.
    assert [row[5] for row in rows[1:]] == ["4", "7"]
    assert rows[2][7:] == ["Monday; noon", "fine"]
    assert rows[1][7] == "-"
    assert "matched by id: 2" in capsys.readouterr().out


def test_moodle_without_a_worksheet():
    people = {
        "Bo Li_1234": Marks("Bo Li_1234", 4.0, 10.0),
        "ada@uni.example": Marks("ada@uni.example", 7.25, 10.0),
        "s77": Marks("s77", 0.0, 10.0, email="c@uni.example"),
    }
    assert export.moodle_table(people).rows == [
        ["Identifier", "ID number", "Email address", "Grade"],
        ["Participant 1234", "", "", "4"],
        ["", "ada@uni.example", "ada@uni.example", "7.25"],
        ["", "s77", "c@uni.example", "0"],
    ]


def test_two_maxima_are_never_mixed():
    roster = export.Roster(
        ["Identifier", "Grade", "Maximum grade"], [["ada", "", "100,00"], ["bo", "", "100,00"]]
    )
    with pytest.raises(export.ExportError, match="100, but the assignment has 10 points"):
        export.moodle_table(marks(ada=7.5), roster)
    assert export.moodle_table(marks(ada=7.5), roster, scale=True).rows[1][1] == "75"


def test_who_is_missing_gets_nothing_or_zero_and_is_named():
    def roster():
        return export.Roster(["Identifier", "Grade"], [["ada", "1"], ["bo", "2"]])

    made = export.moodle_table(marks(ada=5), roster())
    assert [row[1] for row in made.rows[1:]] == ["5", "2"]
    assert any("without a submission (1)" in line for line in made.report)
    assert "  bo" in made.report
    assert made.complete
    zero = export.moodle_table(marks(ada=5), roster(), missing_as_zero=True)
    assert [row[1] for row in zero.rows[1:]] == ["5", "0"]


def test_nothing_ambiguous_is_filled_in():
    rows = [["ada", "x", ""], ["bo", "ada", ""], ["cy", "dora", ""], ["eva", "", ""]]
    roster = export.Roster(["ID", "SIS Login ID", "Grade"], rows)
    people = marks(ada=1, cy=2, dora=3, eva=4)
    matching = export.match(roster, people)
    assert matching.students == {3: "eva"}
    assert len(matching.ambiguous) == 2
    assert any("ada: fits lines 2, 3" in line for line in matching.ambiguous)
    assert any("cy, dora: fit line 4" in line for line in matching.ambiguous)
    assert matching.without_submission == []
    made = export.moodle_table(people, roster)
    assert [row[2] for row in made.rows[1:]] == ["", "", "", "4"]
    assert not made.complete


def test_a_roster_needs_ids(tmp_path):
    roster = export.Roster(["Name", "Grade"], [["Ada", ""]])
    with pytest.raises(export.ExportError, match="--id-column"):
        export.match(roster, marks(ada=1))
    assert export.match(roster, marks(ada=1), id_columns=["Name"]).students == {0: "ada"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Student,ID\nM\xfcller,1\n", "not UTF-8"),
        (b"", "no header"),
        (b"just one column\nx\n", "no header"),
        (b"Student,ID\nA,1,2,3\n", "line 2 has more cells"),
        (b"Student,ID\nA," + b"x" * 200_000 + b"\n", "not a CSV file"),
    ],
)
def test_damaged_rosters_are_explained(tmp_path, content, reason):
    path = tmp_path / "roster.csv"
    path.write_bytes(content)
    with pytest.raises(export.ExportError, match=reason):
        export.read_roster(path)


@pytest.mark.parametrize("kind", ["same", "symlink", "hardlink"])
def test_the_roster_is_never_written_over(tmp_path, kind):
    roster = tmp_path / "roster.csv"
    roster.write_text("Student,ID\n")
    target = tmp_path / "out.csv"
    if kind == "same":
        target = tmp_path / "." / "roster.csv"
    elif kind == "symlink":
        target.symlink_to(roster)
    else:
        os.link(roster, target)
    with pytest.raises(export.ExportError, match="the roster itself"):
        export.write_csv(target, [["a"]], never=roster)
    assert roster.read_text() == "Student,ID\n"


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "marks.csv"
    export.write_csv(path, [["old"]])

    def no_space(*_):
        raise OSError("no space left")

    monkeypatch.setattr(export.os, "replace", no_space)
    with pytest.raises(OSError, match="no space"):
        export.write_csv(path, [["new"]])
    assert path.read_text().strip() == '"old"'
    assert [p.name for p in tmp_path.iterdir()] == ["marks.csv"]


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1+1",
     "=HYPERLINK(\"http://x\")", "-2+3", "+-1", "\ufeff=1"],
)  # fmt: skip
def test_formulas_become_text(cell):
    assert export.neutralised(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-2.5", "-3", "+4", "1e3", "-1,5", "12.50 %"[:5], "-", "", "a=1"])
def test_numbers_and_plain_text_stay(cell):
    assert export.neutralised(cell) == cell


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), min_size=1, max_size=4))
def test_any_text_comes_back_and_none_is_a_formula(tmp_path_factory, rows):
    rows = [[cell.encode("utf-8", "replace").decode() for cell in row] for row in rows]
    path = tmp_path_factory.getbasetemp() / "any.csv"
    changed = export.write_csv(path, rows)
    with path.open(encoding="utf-8", newline="") as file:
        back = list(csv.reader(file))
    assert len(back) == len(rows)
    different = 0
    for old, new in zip(itertools.chain(*rows), itertools.chain(*back), strict=True):
        assert new in (old, f"'{old}")
        different += new != old
        if new.strip()[:1] in ("=", "+", "-", "@") and new.strip("-–"):
            float(new.replace(",", ".").replace("%", ""))
    assert changed == different
    raw = path.read_text(encoding="utf-8")
    assert raw.startswith('"'), "every cell is quoted"


@pytest.mark.parametrize(
    ("value", "text"), [(7.0, "7"), (2.5, "2.5"), (1 / 3, "0.33"), (100.0, "100"), (-0.0, "0")]
)
def test_points_are_written_without_needless_zeros(value, text):
    assert export.number(value) == text


def test_the_byte_order_mark_is_optional(course):
    assert run("--bom", "--to", "with.csv") == 0
    assert run("--to", "without.csv") == 0
    assert (course / "with.csv").read_bytes() == b"\xef\xbb\xbf" + (
        course / "without.csv"
    ).read_bytes()
    assert (course / "with.csv").stat().st_mode & 0o077 == 0, "marks are for their owner's eyes"
