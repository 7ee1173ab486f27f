"""Feedback pages: complete for the student, and nothing in them that is not for the student."""

import argparse
import contextlib
import hashlib
import html as html_escapes
import json
import re
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from grading import export, feedback, html, rebuild, release

ROOT = Path(__file__).resolve().parents[2]
A1 = ROOT / "solutions" / "a1_layers" / "a1_layers.ipynb"
PAYLOADS = [
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "<a href='javascript:alert(1)'>marks</a>",
    "<style>body{display:none}</style></details><iframe src=//evil.example>",
    "&lt;b&gt; stays as typed",
]
ALLOWED = html._TAGS | {"html", "head", "meta", "title", "style", "body"}
ALLOWED |= {"figure", "figcaption", "svg", "desc", "text", "rect"}


class Page(HTMLParser):
    """What a browser would make of a page, as far as the tests need it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.parts, self.within = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.within.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if tag in self.within:
            while self.within.pop() != tag:
                pass

    def handle_data(self, data):
        if "style" not in self.within:
            self.parts.append(data)

    @property
    def text(self):
        return "".join(self.parts)

    def check_harmless(self):
        assert set(self.tags) <= ALLOWED
        assert self.tags.count("style") == 1
        for _, name, value in self.attributes:
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action", "formaction", "style", "data")
            assert name != "href" or re.fullmatch(r"#task-\d+", value)


def read(page_text):
    page = Page(page_text)
    page.check_harmless()
    return page


def notebook_bytes(*cells):
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    for kind, source, nbgrader in cells:
        cell = {"cell_type": kind, "id": f"c{len(content['cells'])}", "source": source}
        cell["metadata"] = {"nbgrader": {"schema_version": 3, **nbgrader}} if nbgrader else {}
        if kind == "code":
            cell |= {"outputs": [], "execution_count": None}
        content["cells"].append(cell)
    return json.dumps(content).encode()


def solution(name):
    return {"grade_id": name, "grade": False, "solution": True, "locked": False}


def graded(name, points):
    return {"grade_id": name, "grade": True, "solution": False, "locked": True, "points": points}


ESSAY = {"grade_id": "essay", "grade": True, "solution": True, "locked": False, "points": 4}
TEST_DOUBLE = """\
check_equal(double(3), 6, "double(3)", misconceptions={9: "squared, not doubled"})
### BEGIN HIDDEN TESTS
check_equal(double(1234567), 2469134, "double(1234567)", misconceptions={0: "halved."})
### END HIDDEN TESTS
"""
SOURCE = notebook_bytes(
    ("markdown", "# Small numbers", None),
    ("markdown", "text\n\n## Task 1: doubling", None),
    ("code", "def double(x):\n    ### BEGIN SOLUTION\n    return x + x\n    ### END SOLUTION\n",
     solution("double")),
    ("code", TEST_DOUBLE, graded("test_double", 3)),
    ("markdown", "## Task 2: `half` of it", None),
    ("code", "def half(x):\n    ### BEGIN SOLUTION\n    return x / 2\n    ### END SOLUTION\n",
     solution("half")),
    ("code", "assert half(2) == 1", graded("test_half", 2)),
    ("code", "assert half(3) == 1.5", graded("test_half_odd", 1)),
    ("markdown", "## Task 3: in words", None),
    ("markdown", "why?", ESSAY),
)  # fmt: skip


def submission(double="def double(x):\n    return x * x\n", helper=None):
    cells = [
        ("code", double, solution("double")),
        ("code", "def half(x):\n    return x / 2\n", solution("half")),
    ]
    return notebook_bytes(*([("code", helper, None)] if helper else []), *cells)


def outcome(name, points, maximum, status, message="", **more):
    return {"grade_id": name, "points": points, "max_points": maximum, "status": status,
            "message": message, "seconds": 0.1, **more}  # fmt: skip


def result(tests=None, **fields):
    content = submission()
    tests = tests or [
        outcome("test_double", 0.0, 3.0, "failed",
                "double(3): expected 6, but got 9.\nLikely cause: squared, not doubled.",
                hidden=False),
        outcome("test_half", 2.0, 2.0, "passed"),
        outcome("test_half_odd", 1.0, 1.0, "passed"),
        outcome("essay", 0.0, 4.0, "manual"),
    ]  # fmt: skip
    return {
        "student": "ada", "assignment": "small", "status": "graded", "origin": "small.ipynb",
        "received": "2026-11-02T09:30:00+00:00", "score": sum(t["points"] for t in tests),
        "max_score": 10.0, "tests": tests, "cells": [], "notes": [],
        "manifest": {
            "source_sha256": hashlib.sha256(SOURCE).hexdigest(),
            "submission_sha256": hashlib.sha256(content).hexdigest(),
        },
        **fields,
    }  # fmt: skip


def for_submission(content, **fields):
    one = result(**fields)
    one["manifest"]["submission_sha256"] = hashlib.sha256(content).hexdigest()
    return one


def test_a_page_says_what_came_and_what_to_do():
    page = read(feedback.feedback_page(result(), SOURCE, submission()))
    assert "Small numbers" in page.text
    assert "Feedback for ada, handed in 2026-11-02 09:30 UTC" in page.text
    assert "3 of 10 points" in page.text
    assert "Provisional" in page.text
    for title in ("Task 1: doubling", "Task 2: half of it", "Task 3: in words"):
        assert page.text.count(title) == 2, "once in the table, once as a heading"
    assert "double(3): expected 6, but got 9.\nLikely cause: squared, not doubled." in page.text
    assert "return x * x" in page.text
    assert "✗ a check failed" in page.text
    assert "✓ passed" in page.text
    assert "… read by a person" in page.text
    assert feedback.STATUSES["failed"].advice in page.text
    assert feedback.STATUSES["killed"].meaning not in page.text, "only what occurs is explained"


def test_a_page_is_accessible_and_needs_nothing_else():
    text = feedback.feedback_page(result(), SOURCE, submission())
    page = read(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.tags.count("h1") == 1
    assert page.tags.count("main") == 1
    headers = page.tags.count("th")
    assert headers > 3
    assert sum(tag == "th" and name == "scope" for tag, name, _ in page.attributes) == headers
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text
    ids = {value for _, name, value in page.attributes if name == "id"}
    links = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert links
    assert links <= ids


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_in_both_themes():
    themes = re.findall(r":root \{(.*?)\}", html.STYLE, re.S)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        texts = colours.keys() - {"page", "panel", "mark", "line", "bar", "rail"}
        assert len(texts) >= 10
        for text in texts:
            for ground in ("page", "panel"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert contrast(colours["text"], colours["mark"]) >= 4.5
        assert contrast(colours["bar"], colours["page"]) >= 3


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_a_student_wrote_becomes_part_of_the_page(payload):
    content = submission(f"# {payload}\ndef double(x):\n    return '''{payload}'''\n", payload)
    tests = result()["tests"]
    tests[0]["message"] = f"double(3): expected 6, but got {payload!r}\n{payload}"
    one = for_submission(
        content,
        tests=tests,
        student=payload,
        origin=f"{payload}/small.ipynb",
        received=payload,
        notes=[f"cells called {payload}"],
        cells=[
            {"name": "double", "error": payload, "output": payload, "ended": None,
             "after_hidden_test": False},
            {"name": "cell 1 of the submission", "error": payload, "output": payload,
             "ended": {"reason": payload}, "after_hidden_test": False},
        ],
    )  # fmt: skip
    marks = export.Marks("x", 1.0, 10.0, comments={"double": payload})
    page = read(feedback.feedback_page(one, SOURCE, content, marks=marks))
    # It is shown as typed: name, time, note, message, error, output, code (3 times), comment.
    assert page.text.count(payload) >= 10
    refused = result(status="rejected", reason=payload, student=payload)
    assert payload in read(feedback.feedback_page(refused, SOURCE)).text


def test_sanitising_changes_nothing_of_the_templates():
    """What nh3 removes is only what should not be there; else a page would lose its structure."""
    text = feedback.feedback_page(result(), SOURCE, submission())
    body = text[text.index("<main>") : text.index("</main>")]
    for needed in ('scope="col"', 'id="task-1"', 'href="#task-1"', "<details open", "<pre>",
                   'role="region"', 'aria-label="Points of each task"', 'class="k"'):  # fmt: skip
        assert needed in body
    assert html.sanitise("<p onclick=x>a</p><script>b</script><a href='http://c'>d</a>") == (
        "<p>a</p><a>d</a>"
    )


def test_a_huge_output_is_capped_and_says_so():
    output = "first line\n" + "x" * 300_000 + "\n" + "row\n" * 100_000 + "last line"
    cells = [
        {
            "name": "double",
            "error": None,
            "output": output,
            "ended": None,
            "after_hidden_test": False,
        }
    ]
    text = feedback.feedback_page(result(cells=cells), SOURCE, submission())
    assert len(text) < 60_000
    page = read(text)
    assert "first line" in page.text
    assert "last line" in page.text
    assert "lines are left out here" in page.text
    assert "more characters" in page.text
    without = feedback.feedback_page(result(cells=cells), SOURCE, submission(), with_output=False)
    assert "first line" not in without


@pytest.mark.parametrize("flag", [{"after_hidden_test": True}, {}])
def test_what_a_cell_said_after_a_hidden_check_is_not_shown(flag):
    cells = [
        {"name": "double", "error": "ValueError: 1234567", "output": "7654321", "ended": None},
        {"name": "half", "error": "Input1234567: x", "output": " ", "ended": None},
    ]
    cells = [{**cell, **flag} for cell in cells]
    page = read(feedback.feedback_page(result(cells=cells), SOURCE, submission()))
    assert "1234567" not in page.text
    assert "7654321" not in page.text
    assert "ValueError (run the cell in your own notebook" in page.text
    assert "an error (run the cell in your own notebook" in page.text
    assert page.text.count("not shown: hidden checks ran before") == 1


def test_control_characters_are_shown_not_sent():
    output = "\x1b[31mred\x1b[0m \x1b]0;title\x07 a\u202eb \x00\n10%\r 50%\r100%\r\ndone"
    cells = [
        {
            "name": "double",
            "error": None,
            "output": output,
            "ended": None,
            "after_hidden_test": False,
        }
    ]
    page = read(feedback.feedback_page(result(cells=cells), SOURCE, submission()))
    assert "red ␛]0;title␇ a⟨U+202E⟩b ␀\n100%\ndone" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e]", page.text)


def test_a_rejected_file_gets_its_reason_and_a_way_on():
    one = result(status="rejected", reason="the file is an archive or a PDF, not a notebook")
    page = read(feedback.feedback_page(one, SOURCE, b"PK\x03\x04"))
    assert "could not be graded" in page.text
    assert "the file is an archive or a PDF, not a notebook" in page.text
    assert "hand in the new file" in page.text
    assert "table" not in page.tags


def test_notes_of_the_rebuild_reach_the_student_but_not_those_about_the_assignment():
    notes = [
        "'double': found in cell 2, which lost its id",
        "problem in the source notebook: test_double: NameError: secret_helper",
    ]
    page = read(feedback.feedback_page(result(notes=notes), SOURCE, submission()))
    assert "'double': found in cell 2, which lost its id" in page.text
    assert "secret_helper" not in page.text
    assert "there was a problem in the assignment itself" in page.text


def test_the_gradebook_has_the_last_word():
    marks = export.Marks(
        "ada", 6.5, 10.0, penalty=0.5,
        cells={"test_double": 1.0, "test_half": 2.0, "test_half_odd": 1.0, "essay": 3.0},
        comments={"double": "Nearly: look at the operator."},
    )  # fmt: skip
    page = read(feedback.feedback_page(result(), SOURCE, submission(), marks=marks))
    assert "6.5 of 10 points" in page.text
    assert "deduction of 0.5 points" in page.text
    assert "Provisional" not in page.text
    assert "1 of 3 points\n(set by a person)" in page.text
    assert "Nearly: look at the operator." in page.text


def test_stale_pieces_are_never_combined():
    with pytest.raises(feedback.FeedbackError, match="grade again"):
        feedback.feedback_page(result(), SOURCE + b"\n", submission())
    with pytest.raises(feedback.FeedbackError, match="not graded yet"):
        feedback.feedback_page(result(status="error", reason="a worker died"), SOURCE)
    page = read(feedback.feedback_page(result(), SOURCE, submission("def double(x): return 77")))
    assert "77" not in page.text
    assert "your file has been replaced since it was graded" in page.text


CAUSES = frozenset(["squared, not doubled", "halved"])


@pytest.mark.parametrize(
    ("test", "shown"),
    [
        (outcome("t", 0, 1, "failed", "double(7): expected 14", hidden=False),
         "double(7): expected 14"),
        (outcome("t", 0, 1, "failed", "double(1234567): expected 2469134", hidden=True),
         "A hidden check failed. It tries other inputs than the visible checks."),
        (outcome("t", 0, 1, "failed", "double(1234567): expected 2469134"),
         "A hidden check failed. It tries other inputs than the visible checks."),
        (outcome("t", 0, 1, "failed", "double(1234567): 0\nLikely cause: halved.", hidden=True),
         ("A hidden check failed. It tries other inputs than the visible checks.\n"
          "Likely cause: halved.")),
        # The text of the student's own exception, made to look like a cause.
        (outcome("t", 0, 1, "error", "ValueError: x\nLikely cause: it was 1234567.", hidden=True),
         "A hidden check ended with an error. It tries other inputs than the visible checks."),
        (outcome("t", 0, 1, "timeout", "your code took too long and was stopped"),
         "your code took too long and was stopped"),
        (outcome("t", 0, 1, "killed", "your code crashed Python (signal 11)", hidden=True),
         "your code crashed Python (signal 11)"),
        (outcome("t", 0, 1, "killed", "sent something malformed: 1234567"),
         "your code ended the program in which it ran"),
        (outcome("t", 0, 1, "failed", "your code ended Python (exit status 1) 1234567"),
         "A hidden check failed. It tries other inputs than the visible checks."),
        (outcome("t", 0, 1, "forbidden", "`F.conv2d` is not allowed in this task"),
         "`F.conv2d` is not allowed in this task"),
        (outcome("t", 0.5, 1, "failed", "partly right"), "partly right"),
        (outcome("t", 1, 1, "passed", "1234567"), ""),
        (outcome("t", 0, 1, "manual"), ""),
    ],
)  # fmt: skip
def test_what_may_be_shown_of_a_message(test, shown):
    assert feedback.what_may_be_shown(test, CAUSES) == shown


class Counted:
    """The reference's function, until it has been called so many times; then it returns None."""

    def __init__(self, function, right_calls):
        self.function, self.right_calls, self.calls = function, right_calls, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs) if self.calls <= self.right_calls else None


def hidden_messages(notebook):
    """Messages of the hidden checks of a notebook: for each test cell, of some of its calls."""
    namespace = {"__name__": "__main__"}
    task, found = None, []
    for cell in notebook.cells:
        if cell.cell_type != "code" or cell.id == "setup":
            continue
        meta = cell.metadata.get("nbgrader", {})
        if not meta.get("grade"):
            exec(cell.source, namespace)
            task = meta.grade_id if meta.get("solution") else task
            continue
        reference = namespace[task]
        namespace[task] = counted = Counted(reference, 10**9)
        with contextlib.redirect_stdout(None):
            exec(rebuild.released_text(cell.source), namespace)
            for later in (0, 3):
                namespace[task] = Counted(reference, counted.calls + later)
                try:
                    exec(cell.source, namespace)
                except AssertionError as error:
                    found.append((meta.grade_id, meta.points, str(error), error.what))
        namespace[task] = reference
    return found


@pytest.mark.slow
def test_no_hidden_line_and_no_hidden_input_of_a1_is_on_any_page(monkeypatch):
    monkeypatch.setenv("CNNLIB_GRADING_SEED", "a seed of one student")
    source = A1.read_bytes()
    notebook = nbformat.reads(source.decode(), as_version=4)
    messages = hidden_messages(notebook)
    assert len({name for name, *_ in messages}) == 14, "every task has hidden checks"
    hidden_lines = release.secrets(notebook)
    assert len(hidden_lines) > 100
    shown = release.secrets(notebook, solutions=False)
    assert shown < hidden_lines
    visible = "\n".join(rebuild.released_text(cell.source) for cell in notebook.cells)
    stub = nbformat.from_dict(notebook)
    for cell in stub.cells:
        cell.source = rebuild.released_text(cell.source, solution=cell.source.startswith("def "))
    content = nbformat.writes(stub).encode()
    inputs = set()
    for kind in range(3):
        tests = {}
        for name, points, message, what in messages:
            status = ("failed", "error", "failed")[kind]
            if kind == 2:  # a cause that the student forged from the inputs
                message += f"\nLikely cause: {what}."
            tests[name] = outcome(name, 0.0, points, status, message, hidden=True)
            inputs |= {what} if what not in visible else set()
        one = result(list(tests.values()), assignment="a1_layers", max_score=60.0)
        one["manifest"] = {
            "source_sha256": hashlib.sha256(source).hexdigest(),
            "submission_sha256": hashlib.sha256(content).hexdigest(),
        }
        text = feedback.feedback_page(one, source, content)
        plain = html_escapes.unescape(re.sub(r"<[^>]*>", "", text))
        assert "A hidden check" in plain
        assert "raise NotImplementedError" in plain, "the student's own code is there"
        assert [line for line in hidden_lines if line in plain] == []
        assert [what for what in inputs if what in plain] == []
        assert release.leaks(plain, hidden_lines) == []
    assert len(inputs) > 20
    # The test can fail: without the rule, the inputs are on the page.
    for test in tests.values():
        test["hidden"] = False
    one = result(list(tests.values()), assignment="a1_layers", max_score=60.0, manifest={})
    plain = html_escapes.unescape(feedback.feedback_page(one, source, content))
    assert any(what in plain for what in inputs)


def test_tasks_follow_the_headings():
    cells = rebuild.read_source(A1.read_bytes())
    tasks = feedback.tasks_of(cells)
    assert [task.title.split(":")[0] for task in tasks] == [f"Task {n}" for n in range(1, 15)]
    assert all(len(task.solutions) == len(task.tests) == 1 for task in tasks)
    assert all(task.tests == (f"test_{task.solutions[0]}",) for task in tasks)
    small = feedback.tasks_of(rebuild.read_source(SOURCE))
    assert [task.tests for task in small] == [
        ("test_double",), ("test_half", "test_half_odd"), ("essay",),
    ]  # fmt: skip


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with results of three students, one from Moodle, one rejected."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_DB", raising=False)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    (tmp_path / "solutions" / "small").mkdir(parents=True)
    (tmp_path / "solutions" / "small" / "small.ipynb").write_bytes(SOURCE)
    (tmp_path / "results" / "small").mkdir(parents=True)
    people = {
        "ada": result(),
        "Zoë Ω_1234": result(
            student="Zoë Ω_1234",
            origin="class.zip/Zoë Ω_1234_assignsubmission_file_/Copy of small.ipynb",
        ),
        "bo": result(student="bo", status="rejected", reason="the file is empty"),
    }
    for name, one in people.items():
        (tmp_path / "results" / "small" / f"{name}.json").write_text(json.dumps(one))
        folder = tmp_path / "submitted" / name / "small"
        folder.mkdir(parents=True)
        (folder / "small.ipynb").write_bytes(submission() if name != "bo" else b"")
        (folder / "timestamp.txt").write_text("2026-11-02 09:30:00 UTC")
    return tmp_path


def run(*arguments):
    parser = argparse.ArgumentParser()
    feedback.add_command(parser.add_subparsers())
    options = parser.parse_args(["feedback", *arguments])
    return options.run(options)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_command_writes_where_nbgrader_looks(course, capsys):
    assert run("small") == 0
    assert "3 pages" in capsys.readouterr().out
    assert files(course / "feedback") == sorted(
        f"{name}/small/{file}"
        for name in ("ada", "Zoë Ω_1234", "bo")
        for file in ("small.html", "timestamp.txt")
    )
    text = (course / "feedback" / "ada" / "small" / "small.html").read_text(encoding="utf-8")
    assert "Feedback for ada" in text
    assert "Zoë" not in text
    assert (course / "feedback" / "ada" / "small" / "small.html").stat().st_mode & 0o777 == 0o644
    assert run("small") == 0, "writing again is no problem"


def test_only_the_students_that_were_asked_for(course):
    assert run("small", "--student", "bo") == 0
    assert files(course / "feedback") == ["bo/small/small.html", "bo/small/timestamp.txt"]
    with pytest.raises(feedback.FeedbackError, match="no result of nobody"):
        run("small", "--student", "nobody")
    with pytest.raises(feedback.FeedbackError, match=r"no assignment called '\.\./small'"):
        run("../small")


def test_the_archive_has_moodles_folder_names(course):
    assert run("small", "--zip", "out.zip") == 0
    with zipfile.ZipFile("out.zip") as archive:
        assert sorted(archive.namelist()) == [
            "Zoë Ω_1234_assignsubmission_file_/small_feedback.html",
            "ada/small_feedback.html",
            "bo/small_feedback.html",
        ]
        text = archive.read("Zoë Ω_1234_assignsubmission_file_/small_feedback.html").decode()
    assert "Feedback for Zoë Ω_1234" in text
    assert [p.name for p in course.iterdir() if p.name.endswith(".part")] == []


def test_one_students_problem_is_nobody_elses(course, capsys):
    path = course / "results" / "small" / "ada.json"
    one = json.loads(path.read_text())
    one["manifest"]["source_sha256"] = "0" * 64
    path.write_text(json.dumps(one))
    assert run("small") == 1
    assert "ada: the assignment has changed" in capsys.readouterr().err
    assert not (course / "feedback" / "ada").exists()
    assert (course / "feedback" / "bo" / "small" / "small.html").is_file()


@pytest.mark.parametrize("name", ["../ada", "a/b", "..", "", "a\\b", "a\nb"])
def test_no_name_leads_out_of_the_folder(course, name):
    with pytest.raises(feedback.FeedbackError):
        feedback.write_feedback(result(student=name), SOURCE, course)
    assert not (course / "feedback").exists()


def test_a_link_instead_of_a_submission_is_not_followed(course):
    secret = course / "secret.ipynb"
    secret.write_bytes(submission("def double(x): return 'geheim'"))
    path = course / "submitted" / "ada" / "small" / "small.ipynb"
    path.unlink()
    path.symlink_to(secret)
    text = feedback.write_feedback(result(), SOURCE, course).read_text(encoding="utf-8")
    assert "geheim" not in text
    assert "your file is not at hand" in text


def test_a_failure_while_writing_leaves_the_old_page(course, monkeypatch):
    path = feedback.write_feedback(result(), SOURCE, course)
    before = path.read_bytes()

    def no_space(*_):
        raise OSError("no space left")

    monkeypatch.setattr(html.os, "replace", no_space)
    with pytest.raises(OSError, match="no space"):
        feedback.write_feedback(result(notes=["new"]), SOURCE, course)
    assert path.read_bytes() == before
    assert files(path.parent) == ["small.html", "timestamp.txt"]
