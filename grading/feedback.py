"""What a student gets back: one page with marks, messages, their own code and what to do next.

    python -m grading feedback a1_layers --zip feedback.zip

Threat model. Two things must not happen. Text of the student's must not become part of the page's
markup: see `grading.html`. And nothing that students are not to know may get onto the page:

* Nothing of the source notebook is shown except titles, points and the *likely cause* lines below.
* The message of a visible check is shown in full. That of a hidden check names its inputs, so
  only the fact is shown, and a *likely cause*, but only if those very words stand in the test cell
  of the source notebook: the message may quote an exception of the student's, and that could
  carry the inputs under the same heading. A result that does not say whether its check was hidden
  counts as hidden.
* Messages about a process that ended are shown if they are one of the grader's own sentences.
* Only this student's files are read.

Code that a hidden check has called knows its inputs and can print them in a later cell. So of a
cell that ran after a hidden check neither the output nor the text of an error is shown, unless the
result says that it did not. What remains: an answer to a later, visible check may be made of such
inputs, and the message of that check quotes it. Random inputs differ for every student, so nothing
is gained by passing them on.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from markupsafe import Markup

from grading import export, html, rebuild, results

SOLUTIONS, SUBMITTED, RESULTS, FEEDBACK = "solutions", "submitted", "results", "feedback"
CAUSE = "Likely cause: "
WITHHELD = "(not shown: hidden checks ran before this cell; run it in your own notebook)"

# Sentences of the grader's own about a process that ended; they hold no input and no value.
_OWN_SENTENCE = re.compile(
    r"your code (?:took too long and was stopped|used up the computing time of the submission"
    r"|used too much memory and was stopped|printed too much and was stopped"
    r"|crashed Python \(signal \d+\)|ended Python \(exit status \w+\))"
    r"|the test took too long (?:or used too much memory|on what your code returned)"
    r"|partly right"
)
_MOODLE_FOLDER = re.compile(r"[^/\\]+_\d+_assignsubmission_file_?")
_MOODLE_STUDENT = re.compile(r"[^/\\]+_\d+")


class FeedbackError(ValueError):
    """No page can be written for a student; the message says why and what to do."""


@dataclass(frozen=True)
class Status:
    """How a status is explained to a student.

    Attributes:
        words: Instead of the status.
        tone: Class for the colour: "good", "bad", "warn" or "".
        sign: A sign for those who do not see the colour.
        meaning: What happened.
        advice: What to do next.
    """

    words: str
    tone: str
    sign: str
    meaning: str
    advice: str


STATUSES = {
    "passed": Status(
        "passed", "good", "✓", "All checks of the task passed, visible and hidden ones.", ""
    ),
    "partly": Status(
        "partly right",
        "warn",
        "◐",
        "Some of the checks passed, and give part of the points.",
        "Read the message below the task, and compare your answer with its description.",
    ),
    "failed": Status(
        "a check failed",
        "bad",
        "✗",
        "Your code ran, but what came out was not what the task asks for.",
        "If the message is shown, run the check in your own notebook: it will say the same. If a "
        "hidden check failed, try inputs that the visible checks do not: the smallest sizes, "
        "sizes that do not divide evenly, several pictures and channels, every argument, and "
        "values for which the description promises an error.",
    ),
    "error": Status(
        "stopped with an error",
        "bad",
        "✗",
        "Your code raised an exception, or gave something that a check could not use.",
        "Restart the notebook and run all cells from the top. A name that is not defined often "
        "comes from a cell that has been deleted, or that stands further down.",
    ),
    "timeout": Status(
        "took too long",
        "bad",
        "✗",
        "Your code ran longer than a cell or a check may, and was stopped.",
        "Look for a loop that never ends, or for work that is done again in every step.",
    ),
    "killed": Status(
        "ended the program",
        "bad",
        "✗",
        "Python itself ended while your code ran: out of memory, a crash, or a call that exits.",
        "Look for very large tensors, endless recursion, and calls such as exit().",
    ),
    "not reached": Status(
        "not run",
        "warn",
        "–",
        "The checks of this task were not run.",
        "Look at the notes at the top of this page, and ask if they do not explain it.",
    ),
    "manual": Status(
        "read by a person",
        "",
        "…",
        "No program marks this answer; somebody reads it.",
        "",
    ),
    "forbidden": Status(
        "not allowed here",
        "bad",
        "✗",
        "Your answer uses something that this task does not allow, so it gives no points.",
        "Write that part yourself; the description of the task says what may be used.",
    ),
}


@dataclass(frozen=True)
class Task:
    """What belongs together in a source notebook: a heading, solution cells and their tests.

    Attributes:
        title: The heading above the first cell.
        solutions: Names of the cells that the student writes, as in `rebuild.Item`.
        tests: grade_ids of the cells that give points.
    """

    title: str
    solutions: tuple[str, ...]
    tests: tuple[str, ...]


def tasks_of(cells: Sequence[rebuild.Cell]) -> list[Task]:
    """The tasks of an assignment, in order. A solution cell after a test begins a new one."""
    tasks: list[tuple[str, list[str], list[str]]] = []
    heading = ""
    for cell in cells:
        if cell.kind == "markdown" and not (cell.grade or cell.solution):
            heading = _heading(cell.source) or heading
            continue
        if not (cell.solution or cell.grade):
            continue
        name = cell.grade_id or f"cell {cell.index + 1}"
        if not tasks or (cell.solution and tasks[-1][2]):
            tasks.append((heading or name, [], []))
            heading = ""
        if cell.solution:
            tasks[-1][1].append(name)
        if cell.grade:
            tasks[-1][2].append(name)
    return [Task(title, tuple(s), tuple(t)) for title, s, t in tasks if t]


def assignment_title(cells: Sequence[rebuild.Cell], default: str) -> str:
    """The first heading of the notebook."""
    return next((h for c in cells if c.kind == "markdown" and (h := _heading(c.source))), default)


def _heading(text: str) -> str:
    found = re.findall(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", text, re.M)
    return re.sub(r"[`*_$]{1,2}(\S(?:.*?\S)?)[`*_$]{1,2}", r"\1", found[-1]) if found else ""


def what_may_be_shown(test: dict[str, Any], known_causes: frozenset[str]) -> str:
    """The part of a test's message that the student may read.

    Args:
        test: A test's result.
        known_causes: Texts that stand in the test cell of the source notebook.

    Returns:
        The whole message of a visible check; of a hidden one a general sentence, with the likely
        cause if the message names one that the instructor wrote.
    """
    status, message = test["status"], test.get("message") or ""
    if status == "passed":
        return ""
    if test.get("hidden") is False or status == "forbidden" or _OWN_SENTENCE.fullmatch(message):
        return message
    if status in ("not reached", "manual") and not message:
        return ""
    if status == "killed":
        return "your code ended the program in which it ran"
    sentence = {
        "error": "A hidden check ended with an error.",
        "timeout": "A hidden check took too long.",
    }.get(status, "A hidden check failed.")
    causes = [
        line
        for line in message.split("\n")
        if line.startswith(CAUSE) and line.removeprefix(CAUSE).rstrip(".") in known_causes
    ]
    return "\n".join([f"{sentence} It tries other inputs than the visible checks.", *causes[:1]])


@lru_cache(maxsize=8)
def _known_causes(source: bytes) -> dict[str, frozenset[str]]:
    """For each test cell, the texts that stand in it."""
    return {
        cell.grade_id: frozenset(
            node.value.rstrip(".")
            for node in ast.walk(ast.parse(cell.source))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        for cell in rebuild.read_source(source)
        if cell.is_test
    }


@dataclass
class _TaskView:
    """One task as the template needs it."""

    number: int
    title: str
    points: float
    max_points: float
    status: Status
    checks: list[dict[str, Any]]
    answers: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    by_hand: bool = False


def feedback_page(
    result: dict[str, Any],
    source: bytes,
    submission: bytes | None = None,
    *,
    marks: export.Marks | None = None,
    with_output: bool = True,
) -> str:
    """The page for one student.

    Args:
        result: The student's result, as in ``results/``.
        source: Bytes of the source notebook that it was graded with.
        submission: Bytes of what was handed in; without them the page shows no code.
        marks: The student's marks in the gradebook, which count more than those of the result:
            somebody may have changed them.
        with_output: Show what the student's cells printed.

    Raises:
        FeedbackError: The submission was not graded, or with another source notebook.
    """
    if result["status"] not in ("graded", "rejected"):
        raise FeedbackError(f"not graded yet ({result.get('reason', result['status'])})")
    sha256 = result.get("manifest", {}).get("source_sha256")
    if sha256 and sha256 != hashlib.sha256(source).hexdigest():
        raise FeedbackError("the assignment has changed since this was graded: grade again")
    cells = rebuild.read_source(source)
    title = assignment_title(cells, str(result.get("assignment", "")))
    code, problem = _own_code(result, cells, submission)
    rejected = result["status"] == "rejected"
    views = [] if rejected else _task_views(result, source, cells, code, marks, with_output)
    used = [view.status for view in views]
    fields = {
        "title": title,
        "student": str(result.get("student", "")),
        "received": moment(result.get("received")),
        "total": _total(result, marks),
        "rejected": str(result.get("reason", "")) if rejected else None,
        "notes": _notes(result, problem) if not rejected else [],
        "tasks": views,
        "others": [] if rejected else _other_cells(result, cells, code, with_output),
        "statuses": [status for status in STATUSES.values() if status in used],
    }
    body = html.sanitise(_TEMPLATE.render(**fields))
    return html.page(f"Feedback: {title}", [body])


def _own_code(
    result: dict[str, Any], cells: list[rebuild.Cell], submission: bytes | None
) -> tuple[dict[str, list[str]], str | None]:
    """The student's code by cell name, and why there is none."""
    if result["status"] == "rejected":
        return {}, None
    if submission is None:
        return {}, "your file is not at hand, so your code is not shown here"
    sha256 = result.get("manifest", {}).get("submission_sha256")
    if sha256 and sha256 != hashlib.sha256(submission).hexdigest():
        return {}, "your file has been replaced since it was graded, so your code is not shown here"
    plan = rebuild.rebuild(cells, rebuild.read_cells(submission))
    code: defaultdict[str, list[str]] = defaultdict(list)
    for item in plan.items:
        if item.kind == "student":
            code[item.name].append(item.source)
    return code, None


def _notes(result: dict[str, Any], problem: str | None) -> list[str]:
    notes = []
    for note in result.get("notes", []):
        # Its text is about the instructor's own cells, which is nothing for students.
        if note.startswith("problem in the source notebook"):
            note = "there was a problem in the assignment itself; tell your instructor"
        if note not in notes:
            notes.append(html.capped(note))
    return [*notes, *([problem] if problem else [])]


def _total(result: dict[str, Any], marks: export.Marks | None) -> dict[str, Any]:
    provisional = any(test["status"] == "manual" for test in result["tests"])
    if marks is None:
        return {
            "score": result["score"], "max": result["max_score"],
            "penalty": 0.0, "provisional": provisional,
        }  # fmt: skip
    return {
        "score": marks.score, "max": marks.max_score,
        "penalty": marks.penalty, "provisional": marks.needs_manual_grade,
    }  # fmt: skip


def _task_views(
    result: dict[str, Any],
    source: bytes,
    cells: list[rebuild.Cell],
    code: dict[str, list[str]],
    marks: export.Marks | None,
    with_output: bool,
) -> list[_TaskView]:
    tests = {test["grade_id"]: test for test in result["tests"]}
    ran = _by_name(result.get("cells", []))
    causes = _known_causes(source)
    views = []
    for number, task in enumerate(tasks_of(cells), start=1):
        own = [tests[name] for name in task.tests if name in tests]
        in_gradebook = marks.cells if marks else {}
        points = [in_gradebook.get(t["grade_id"], t["points"]) for t in own]
        by_hand = any(
            name in in_gradebook and in_gradebook[name] != tests[name]["points"]
            for name in (test["grade_id"] for test in own)
        )
        views.append(
            _TaskView(
                number=number,
                title=task.title,
                points=sum(points),
                max_points=sum(test["max_points"] for test in own),
                status=_status(own),
                checks=[
                    {
                        "name": test["grade_id"] if len(own) > 1 else "",
                        "status": STATUSES[_status_name(test)],
                        "message": html.capped(
                            what_may_be_shown(test, causes.get(test["grade_id"], frozenset()))
                        ),
                    }
                    for test in own
                ],
                answers=[
                    answer
                    for name in task.solutions
                    for answer in _answers(code.get(name, []), ran.get(name, []), with_output)
                ],
                comments=[marks.comments[n] for n in task.solutions if n in marks.comments]
                if marks
                else [],
                by_hand=by_hand,
            )
        )
    return views


def _status_name(test: dict[str, Any]) -> str:
    if test["status"] == "failed" and test["points"] > 0:
        return "partly"
    return test["status"] if test["status"] in STATUSES else "not reached"


def _status(tests: list[dict[str, Any]]) -> Status:
    """The status of a task: the worst of its tests, in the words for students."""
    order = ["forbidden", "killed", "timeout", "error", "failed", "partly", "not reached", "manual"]
    names = {_status_name(test) for test in tests}
    worst = next((name for name in order if name in names), "passed")
    return STATUSES["partly" if worst == "failed" and "passed" in names else worst]


def _by_name(cells: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        found[cell["name"]].append(cell)
    return found


def _answers(
    sources: list[str], ran: list[dict[str, Any]], with_output: bool
) -> list[dict[str, Any]]:
    """Cells of the student's with what happened when they were run."""
    answers = []
    for index in range(max(len(sources), len(ran))):
        cell = ran[index] if index < len(ran) else {}
        output, error = cell.get("output") or "", cell.get("error") or ""
        if cell.get("after_hidden_test", True):
            # The code may know the inputs of a hidden check by now, and say them.
            output = WITHHELD if output.strip() else ""
            error = _kind_of(error)
        output = html.capped(html.as_printed(output)) if with_output else ""
        source = sources[index] if index < len(sources) else ""
        answers.append(
            {
                "code": html.highlight(source) if source.strip() else Markup(""),
                "output": output.strip("\n"),
                "error": html.capped(error),
                "ended": bool(cell.get("ended")),
            }
        )
    return answers


def _kind_of(error: str) -> str:
    """The builtin name of an exception; the student's own classes may be called anything."""
    name = error.partition(":")[0].strip()
    if not error:
        return ""
    known = isinstance(kind := getattr(builtins, name, None), type)
    shown = name if known and issubclass(kind, BaseException) else "an error"
    return f"{shown} (run the cell in your own notebook to see the rest)"


def _other_cells(
    result: dict[str, Any],
    cells: list[rebuild.Cell],
    code: dict[str, list[str]],
    with_output: bool,
) -> list[dict[str, Any]]:
    """The student's helper cells that printed something or went wrong."""
    of_tasks = {name for task in tasks_of(cells) for name in task.solutions}
    others = []
    for name, ran in _by_name(result.get("cells", [])).items():
        if name not in of_tasks:
            shown = _answers(code.get(name, []), ran, with_output)
            shown = [cell for cell in shown if cell["output"] or cell["error"] or cell["ended"]]
            others += [{"name": name, **cell} for cell in shown]
    return others


def moment(text: Any) -> str:
    """A time of the result's for people, in UTC; "" if there is none."""
    if not text:
        return ""
    try:
        time = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return str(text)
    if time.tzinfo is not None:
        time = time.astimezone(timezone.utc)
    return f"{time:%Y-%m-%d %H:%M} UTC"


# --- files --------------------------------------------------------------------------------------


def load_results(folder: Path, assignment: str) -> list[dict[str, Any]]:
    """Every student's result of an assignment.

    Raises:
        FeedbackError: There are none.
    """
    found = results.load_all(folder, assignment)
    if not found:
        raise FeedbackError(
            f"there are no results in {folder / assignment}: run `python -m grading grade "
            f"{assignment}` first"
        )
    return found


def read_assignment(course: Path, assignment: str) -> bytes:
    """The source notebook of an assignment.

    Raises:
        FeedbackError: There is no such assignment.
    """
    path = course / SOLUTIONS / assignment / f"{assignment}.ipynb"
    if not is_plain_name(assignment) or not path.is_file():
        raise FeedbackError(f"there is no assignment called {assignment!r} in {SOLUTIONS}/")
    return rebuild.read_file(path)


def is_plain_name(name: str) -> bool:
    """Whether a name can be that of a folder, without leading out of the one it is in."""
    return bool(name) and name not in (".", "..") and not re.search(r"[/\\\x00-\x1f]", name)


def read_submission(course: Path, student: str, assignment: str) -> bytes | None:
    """What a student handed in, or None."""
    if not is_plain_name(student):
        return None
    path = course / SUBMITTED / student / assignment / f"{assignment}.ipynb"
    try:
        return rebuild.read_file(path)
    except (rebuild.RebuildError, OSError):
        return None  # gone, or no ordinary file: the page says that there is no code to show


def write_feedback(
    result: dict[str, Any],
    source: bytes,
    course: Path,
    *,
    marks: export.Marks | None = None,
    with_output: bool = True,
) -> Path:
    """Write one student's page to where nbgrader keeps feedback.

    Beside it go the two small files that ``nbgrader release_feedback`` asks for, where the
    submission has them.

    Raises:
        FeedbackError: See `feedback_page`; or the student's id cannot be the name of a folder.
    """
    student, assignment = str(result["student"]), str(result["assignment"])
    if not (is_plain_name(student) and is_plain_name(assignment)):
        raise FeedbackError(f"{student!r} cannot be the name of a folder")
    submission = read_submission(course, student, assignment)
    text = feedback_page(result, source, submission, marks=marks, with_output=with_output)
    folder = course / FEEDBACK / student / assignment
    # As readable as nbgrader makes feedback, which others may have to copy to the students.
    written = html.write(folder / f"{assignment}.html", text, mode=0o644)
    for name in ("timestamp.txt", "submission_secret.txt"):
        original = course / SUBMITTED / student / assignment / name
        if original.is_file() and not original.is_symlink():
            shutil.copyfile(original, folder / name)
    return written


def write_zip(path: Path, pages: Sequence[tuple[dict[str, Any], Path]]) -> Path:
    """Pack pages for handing back, one folder for each student.

    Moodle's *upload multiple feedback files* finds the student by the folder's name, which must be
    the one that Moodle gave it in the archive of submissions. That name is part of the result's
    origin, or follows from the id that `collect` made of it ("Ada Lovelace_1234"); for what came
    from elsewhere the student's id is used.

    Args:
        path: The archive to write; an older one is replaced once the new one is complete.
        pages: Results with the pages written for them.
    """
    handle, draft = tempfile.mkstemp(dir=path.absolute().parent, prefix=".", suffix=".part")
    os.close(handle)
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for result, page in pages:
                archive.write(page, f"{_zip_folder(result)}/{page.stem}_feedback.html")
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path


def _zip_folder(result: dict[str, Any]) -> str:
    for part in PurePosixPath(str(result.get("origin") or "")).parts:
        if _MOODLE_FOLDER.fullmatch(part) and is_plain_name(part):
            return part
    student = str(result["student"])
    return f"{student}_assignsubmission_file_" if _MOODLE_STUDENT.fullmatch(student) else student


# --- command ------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``feedback`` to an ``argparse`` subparsers object."""
    command = commands.add_parser(
        "feedback",
        help="write a page for each student",
        description="Write feedback/STUDENT/ASSIGNMENT/ASSIGNMENT.html from the results.",
    )
    command.add_argument("assignment")
    command.add_argument("--student", action="append", help="only this student; may be repeated")
    command.add_argument("--zip", type=Path, metavar="FILE", help="pack the pages for the LMS")
    command.add_argument(
        "--without-output", action="store_true", help="leave out what students' cells printed"
    )
    command.add_argument("--db", metavar="URL", help="the gradebook (default: nbgrader_config.py)")
    command.set_defaults(run=run_feedback)


def run_feedback(options: argparse.Namespace) -> int:
    """Write the pages; exit status 1 if one could not be written."""
    course, assignment = Path(), options.assignment
    source = read_assignment(course, assignment)
    found = load_results(course / RESULTS, assignment)
    if options.student:
        missing = set(options.student) - {result["student"] for result in found}
        if missing:
            raise FeedbackError(f"no result of {', '.join(sorted(missing))} in {assignment}")
        found = [result for result in found if result["student"] in options.student]
    marks = export.marks_if_any(course, options.db, assignment)
    if marks is None:
        print("there is no gradebook yet: points are those of the results", file=sys.stderr)
    pages, problems = [], 0
    for result in found:
        student = result["student"]
        try:
            page = write_feedback(
                result,
                source,
                course,
                marks=(marks or {}).get(student),
                with_output=not options.without_output,
            )
        except FeedbackError as error:
            print(f"{html.visible(str(student))}: {error}", file=sys.stderr)
            problems += 1
        else:
            pages.append((result, page))
    if options.zip:
        write_zip(options.zip, pages)
    print(
        f"{len(pages)} pages written to {FEEDBACK}/{f' and {options.zip}' if options.zip else ''}"
    )
    return 1 if problems else 0


_TEMPLATE = html.template("""\
<main>
<header>
<h1>{{ title }}</h1>
<p class="soft">Feedback for {{ student }}{% if received %}, handed in {{ received }}{% endif %}</p>
<p class="total">{{ total.score|number }} of {{ total.max|number }} points</p>
{% if total.penalty %}
<p>After a deduction of {{ total.penalty|number }} points for handing in late.</p>
{% endif %}
{% if total.provisional %}
<p>Provisional: an answer that a person reads has no marks yet.</p>
{% endif %}
</header>
{% if rejected is not none %}
<section class="box">
<h2>Your file could not be graded</h2>
<p>The reason: {{ rejected }}</p>
<p>Open your notebook in Colab or Jupyter, look whether your answers are in it, and download it
again with <em>File → Download → Download .ipynb</em>. Start from a fresh copy of the assignment if
it does not open, and paste your answers into their cells. Then hand in the new file, or ask your
instructor if the time for it is over.</p>
</section>
{% else %}
{% if notes %}
<section class="box">
<h2>How your file was read</h2>
<p>Something in it was not as it was given out. This is how it was understood; tell your instructor
if that is wrong.</p>
<ul>
{% for note in notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
</section>
{% endif %}
<section>
<h2>Your points</h2>
<div class="scroll" role="region" aria-label="Points of each task" tabindex="0">
<table>
<caption>Points of each task; a title leads to what can be said about it.</caption>
<thead><tr><th scope="col">Task</th><th scope="col" class="number">Points</th>
<th scope="col">Result</th></tr></thead>
<tbody>
{% for task in tasks %}
<tr><th scope="row"><a href="#task-{{ task.number }}">{{ task.title }}</a></th>
<td class="number">{{ task.points|number }} of {{ task.max_points|number }}</td>
<td><span class="{{ task.status.tone }}">{{ task.status.sign }} {{ task.status.words }}</span></td>
</tr>
{% endfor %}
</tbody>
</table>
</div>
</section>
{% macro cell(answer, summary, open) %}
{% if answer.error %}
<h3>Running your cell stopped with an error</h3>
<pre class="wrap">{{ answer.error }}</pre>
{% endif %}
{% if answer.ended %}
<p>Running this cell ended the program, so the rest was run without it.</p>
{% endif %}
{% if answer.code %}
<details{% if open %} open{% endif %}><summary>{{ summary }}</summary>
<pre><code>{{ answer.code }}</code></pre></details>
{% endif %}
{% if answer.output %}
<details{% if open %} open{% endif %}><summary>What it printed</summary>
<pre class="wrap">{{ answer.output }}</pre></details>
{% endif %}
{% endmacro %}
{% for task in tasks %}
<section class="task" id="task-{{ task.number }}">
<h2>{{ task.title }}</h2>
<p><span class="{{ task.status.tone }}">{{ task.status.sign }} {{ task.status.words }}</span>:
{{ task.points|number }} of {{ task.max_points|number }} points
{% if task.by_hand %}(set by a person){% endif %}</p>
{% for check in task.checks if check.message or check.name %}
{% if check.name %}
<h3>{{ check.name }}: {{ check.status.words }}</h3>
{% endif %}
{% if check.message %}
<pre class="wrap">{{ check.message }}</pre>
{% endif %}
{% endfor %}
{% if task.comments %}
<h3>Comment</h3>
{% for comment in task.comments %}
<p>{{ comment }}</p>
{% endfor %}
{% endif %}
{% for answer in task.answers %}
{{ cell(answer, "Your code", task.status.tone != "good") }}
{% endfor %}
</section>
{% endfor %}
{% if others %}
<section class="task">
<h2>Your other cells</h2>
{% for other in others %}
<h3>{{ other.name }}</h3>
{{ cell(other, "Your code", true) }}
{% endfor %}
</section>
{% endif %}
<section class="task">
<h2>How to read the results, and what to do next</h2>
<dl>
{% for status in statuses %}
<dt>{{ status.sign }} {{ status.words }}</dt>
<dd>{{ status.meaning }} {{ status.advice }}</dd>
{% endfor %}
</dl>
<p>A <em>hidden</em> check is one that your notebook does not contain. It calls your function with
other inputs, so that an answer made for the visible ones alone does not pass. Its inputs are not
told; a likely cause is, where it was recognised.</p>
</section>
{% endif %}
</main>
""")
