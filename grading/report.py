"""The class at a glance: one page for the instructor, with what needs a decision on top.

    python -m grading report a1_layers

The page needs no network and no script; every table is already in the order in which one wants to
read it. It shows names, marks, hidden inputs and students' code, so it is written for its owner
alone, and says on top that it must not be passed on.

Threat model. All that it shows of students is untrusted text; see `grading.html`. Tables are cut
at `MOST_ROWS`, so that a submission with a thousand notes hides nobody else's.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from markupsafe import Markup

from grading import gradebook, html, rebuild, results, similarity
from grading.feedback import (
    CAUSE,
    RESULTS,
    SOLUTIONS,
    STATUSES,
    Task,
    assignment_title,
    read_assignment,
    read_submission,
    tasks_of,
)

MOST_ROWS = 100
MOST_MESSAGES, MOST_PAIRS, MOST_FINDINGS = 30, 30, 3
BINS = 10

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
_NUMBERS = re.compile(r"#(?:(?:, | x |×)#)+")


def write_summary(
    results: Sequence[Mapping[str, Any]],
    source: bytes,
    destination: Path,
    answers: Mapping[str, Mapping[str, str]],
) -> Path:
    """Write the summary of an assignment.

    Args:
        results: All students' results.
        source: Bytes of the source notebook.
        destination: The file to write.
        answers: For each student, the text of each solution cell by grade_id.

    Returns:
        `destination`.
    """
    return html.write(destination, summary_page(results, source, answers))


def summary_page(
    results: Sequence[Mapping[str, Any]],
    source: bytes,
    answers: Mapping[str, Mapping[str, str]],
) -> str:
    """The page as HTML; see `write_summary`."""
    cells = rebuild.read_source(source)
    tasks = tasks_of(cells)
    title = assignment_title(cells, "Assignment")
    graded = [result for result in results if result["status"] == "graded"]
    people, answers_waiting = _for_a_human(results, tasks)
    pairs = similarity.similar_pairs(cells, answers)
    parts = [
        _render(_TOP, title=title, now=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
                problems=_problems_of_the_source(results), **_overview(results, graded)),
        _render(_HUMAN, people=_first(people), more=len(people) - MOST_ROWS,
                waiting=answers_waiting),
    ]  # fmt: skip
    if graded:
        parts += [
            _heading("Scores"),
            _score_chart(graded),
            _heading("Tasks"),
            _task_chart(tasks, graded),
            _render(_TASKS, tasks=_task_rows(tasks, graded)),
            _render(_MESSAGES, messages=_messages(tasks, graded)),
            _render(_SLOW, tests=_slowest(graded)),
        ]
    parts += [
        _render(_PAIRS, pairs=_pair_views(pairs, tasks, answers), more=len(pairs) - MOST_PAIRS,
                least=round(100 * similarity.LEAST_SIMILARITY),
                margin=round(100 * similarity.MARGIN)),
        _render(_STUDENTS, students=_student_rows(results)),
    ]  # fmt: skip
    return html.page(f"Summary: {title}", parts)


def _render(template: Any, **fields: Any) -> Markup:
    return html.sanitise(template.render(**fields))


def _heading(text: str) -> Markup:
    return html.sanitise(html.template("<h2>{{ text }}</h2>").render(text=text))


def _first(rows: list[Any]) -> list[Any]:
    return rows[:MOST_ROWS]


def _overview(
    results: Sequence[Mapping[str, Any]], graded: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    scores = [result["score"] for result in graded]
    seconds = [s for result in graded if (s := result.get("manifest", {}).get("seconds"))]
    return {
        "count": len(results),
        "statuses": Counter(str(result["status"]) for result in results).most_common(),
        "mean": statistics.fmean(scores) if scores else None,
        "median": statistics.median(scores) if scores else None,
        "maximum": max((result["max_score"] for result in results), default=0.0),
        "seconds": statistics.median(seconds) if seconds else None,
    }


def _problems_of_the_source(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Problems in the assignment itself, with the number of students who met them."""
    prefix = "problem in the source notebook: "
    counts = Counter(
        html.capped(note.removeprefix(prefix))
        for result in results
        for note in set(result.get("notes", []))
        if note.startswith(prefix)
    )
    return counts.most_common(MOST_ROWS)


@dataclass(frozen=True)
class _Case:
    student: str
    what: str
    why: str


def _for_a_human(
    results: Sequence[Mapping[str, Any]], tasks: Sequence[Task]
) -> tuple[list[_Case], list[tuple[str, int]]]:
    """What a program should not decide alone, and answers that wait to be read."""
    titles = {test: task.title for task in tasks for test in task.tests}
    order = ["error", "rejected", "killed", "timeout", "not reached", "note"]
    cases: defaultdict[str, list[_Case]] = defaultdict(list)
    waiting: Counter[str] = Counter()
    for result in results:
        student, status = str(result["student"]), result["status"]
        if status != "graded":
            kind = status if status in order else "error"
            words = {"rejected": "file not usable"}.get(status, f"not graded ({status})")
            cases[kind].append(_Case(student, words, str(result.get("reason", ""))))
            continue
        for test in result["tests"]:
            title = titles.get(test["grade_id"], test["grade_id"])
            if test["status"] == "manual":
                waiting[title] += 1
            elif test["status"] in ("killed", "timeout", "not reached"):
                words = STATUSES[test["status"]].words
                why = html.capped(test["message"], characters=300)
                cases[test["status"]].append(_Case(student, f"{title}: {words}", why))
        notes = [n for n in result.get("notes", []) if not n.startswith("problem in the source")]
        if notes:
            text = html.capped("\n".join(notes), characters=600, lines=6)
            cases["note"].append(_Case(student, "how the file was understood", text))
    return [case for kind in order for case in cases[kind]], waiting.most_common()


def _score_chart(graded: Sequence[Mapping[str, Any]]) -> Markup:
    largest = max(result["max_score"] for result in graded) or 1.0
    counts = [0] * BINS
    for result in graded:
        share = min(max(result["score"] / largest, 0.0), 1.0)
        counts[min(int(share * BINS), BINS - 1)] += 1
    edges = [html.number(largest * i / BINS) for i in range(BINS + 1)]
    labels = [f"{edges[i]} to {'' if i == BINS - 1 else 'under '}{edges[i + 1]} points"
              for i in range(BINS)]  # fmt: skip
    bars = [
        html.Bar(label, count, _people(count)) for label, count in zip(labels, counts, strict=True)
    ]
    words = ", ".join(f"{bar.label}: {bar.text}" for bar in bars if bar.value) + "."
    title = f"How many students reached how many of {html.number(largest)} points"
    return html.bar_chart(title, words, bars, largest=max(counts))


def _people(count: int) -> str:
    return "1 student" if count == 1 else f"{count} students"


def _points(task: Task, result: Mapping[str, Any]) -> tuple[float, float]:
    own = [test for test in result["tests"] if test["grade_id"] in task.tests]
    return sum(test["points"] for test in own), sum(test["max_points"] for test in own)


def _pass_rates(tasks: Sequence[Task], graded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each task: how many got all of its points, some, none; manual tasks are left out."""
    rows = []
    for task in tasks:
        tests = [t for r in graded for t in r["tests"] if t["grade_id"] in task.tests]
        if not tests or all(test["status"] == "manual" for test in tests):
            continue
        pairs = [_points(task, result) for result in graded]
        full = sum(points >= maximum > 0 for points, maximum in pairs)
        partly = sum(0 < points < maximum for points, maximum in pairs)
        rows.append({
            "title": task.title, "full": full, "partly": partly,
            "none": len(pairs) - full - partly, "count": len(pairs),
            "mean": statistics.fmean(points for points, _ in pairs),
            "maximum": max(maximum for _, maximum in pairs),
        })  # fmt: skip
    return rows


def _task_chart(tasks: Sequence[Task], graded: Sequence[Mapping[str, Any]]) -> Markup:
    rows = _pass_rates(tasks, graded)
    bars = []
    for row in rows:
        percent = 100 * row["full"] / row["count"]
        bars.append(html.Bar(row["title"], percent, f"{percent:.0f} %"))
    words = ", ".join(f"{bar.label}: {bar.text}" for bar in bars) + "."
    title = "Share of students with all points of a task, in percent, in the notebook's order"
    return html.bar_chart(title, words, bars, largest=100.0)


def _task_rows(tasks: Sequence[Task], graded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Pass rates, the hardest task first."""
    return sorted(_pass_rates(tasks, graded), key=lambda row: row["full"])


def masked(message: str) -> str:
    """A message with its numbers replaced, so that the same mistake on other inputs is the same.

    Only the first line and the likely cause count: what follows quotes the student's code.
    """
    lines = message.split("\n")
    kept = lines[:1] + [line for line in lines[1:] if line.startswith(CAUSE)][:1]
    return "\n".join(_NUMBERS.sub("#, …", _NUMBER.sub("#", line)) for line in kept)


def _messages(tasks: Sequence[Task], graded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    titles = {test: task.title for task in tasks for test in task.tests}
    examples: defaultdict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for result in graded:
        for test in result["tests"]:
            if test["status"] in ("failed", "error", "forbidden") and test["message"]:
                key = (test["grade_id"], masked(test["message"]))
                examples[key].append((str(result["student"]), test))
    found = sorted(examples.items(), key=lambda item: -len(item[1]))[:MOST_MESSAGES]
    where = {True: "hidden check", False: "visible check"}
    return [
        {
            "task": titles.get(grade_id, grade_id),
            "count": len(cases),
            "message": html.capped(pattern, characters=600, lines=4),
            "where": where.get(cases[0][1].get("hidden"), "check"),
            "students": ", ".join(student for student, _ in cases[:5])
            + (f" and {len(cases) - 5} more" if len(cases) > 5 else ""),
        }
        for (grade_id, pattern), cases in found
    ]


def _slowest(graded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tests by the time that they take, the slowest first."""
    times: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for result in graded:
        for test in result["tests"]:
            if test["status"] not in ("manual", "not reached"):
                times[test["grade_id"]].append((test["seconds"], str(result["student"])))
    rows = [
        {
            "test": name,
            "median": statistics.median(seconds for seconds, _ in pairs),
            "longest": max(pairs)[0],
            "student": max(pairs)[1],
        }
        for name, pairs in times.items()
    ]
    return sorted(rows, key=lambda row: (-row["median"], -row["longest"]))


def _pair_views(
    pairs: Sequence[similarity.Pair],
    tasks: Sequence[Task],
    answers: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    titles = {name: task.title for task in tasks for name in task.solutions}
    return [
        {
            "students": pair.students,
            "tasks": [titles.get(f.task, f.task) for f in pair.findings],
            "findings": [
                {
                    "title": titles.get(finding.task, finding.task),
                    "reasons": reasons(finding),
                    "sides": [
                        {"student": student,
                         "code": _marked(answers[student][finding.task], same)}
                        for student, same in zip(pair.students, finding.same_lines, strict=True)
                    ],
                }
                for finding in pair.findings[:MOST_FINDINGS]
            ],
        }
        for pair in pairs[:MOST_PAIRS]
    ]  # fmt: skip


def reasons(finding: similarity.Finding) -> list[str]:
    """Why a pair is listed, in sentences."""
    lines = []
    if finding.words:
        shown = ", ".join(f"‘{html.capped(word, characters=80)}’" for word in finding.words[:8])
        more = f" and {len(finding.words) - 8} more" if len(finding.words) > 8 else ""
        lines.append(f"Words that hardly anybody else in the class uses: {shown}{more}.")
    if finding.similarity is not None:
        text = (
            f"{100 * finding.similarity:.0f} % alike in structure, without names and without what "
            "everybody has"
        )
        if finding.others is not None:
            text += (
                f"; with anybody outside a small group neither shares more than "
                f"{100 * finding.others:.0f} %"
            )
        lines.append(f"{text}.")
    return lines


def _marked(code: str, same: frozenset[int]) -> list[tuple[bool, str]]:
    """Lines of code, each with whether the other student has it too."""
    lines = html.capped(code[: similarity.MAX_CHARACTERS], characters=6000, lines=120).split("\n")
    if len(lines) != len(code.split("\n")):
        same = frozenset()  # lines were left out: the numbers no longer fit
    return [(index in same, line) for index, line in enumerate(lines)]


def _student_rows(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for result in sorted(results, key=lambda result: str(result["student"])):
        passed = sum(test["status"] == "passed" for test in result["tests"])
        rows.append({
            "student": str(result["student"]), "score": result["score"],
            "maximum": result["max_score"], "status": str(result["status"]),
            "passed": passed, "tests": len(result["tests"]),
        })  # fmt: skip
    return rows


# --- command ------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``report`` to an ``argparse`` subparsers object."""
    command = commands.add_parser(
        "report",
        help="write the summary of an assignment",
        description="Write results/ASSIGNMENT/summary.html from the results.",
    )
    command.add_argument("assignment")
    command.add_argument("--to", type=Path, metavar="FILE")
    command.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> int:
    """Write the page."""
    course, assignment = Path(), options.assignment
    source = read_assignment(course, assignment)
    found = results.load_all(course / RESULTS, assignment)
    if not found:
        raise ValueError(
            f"there are no results in {RESULTS}/{assignment}: run `python -m grading grade "
            f"{assignment}` first (assignments are in {SOLUTIONS}/)"
        )
    answers, unread = _answers(course, assignment, source, found)
    target = options.to or course / RESULTS / assignment / "summary.html"
    write_summary(found, source, target, answers)
    print(f"written to {target}")
    if unread:
        print(f"not compared, since their file cannot be read: {html.visible(', '.join(unread))}")
    return 0


def _answers(
    course: Path, assignment: str, source: bytes, found: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Everybody's answers, and those students whose file cannot be read."""
    answers, unread = {}, []
    for result in found:
        student = str(result["student"])
        submission = read_submission(course, student, assignment)
        try:
            if submission is None:
                raise rebuild.RebuildError("there is no file")
            answers[student] = gradebook.answers(source, submission)
        except rebuild.RebuildError:
            unread.append(student)
    return answers, unread


_TOP = html.template("""\
<header>
<h1>{{ title }}: summary</h1>
<p class="soft">Written {{ now }}</p>
<p class="box"><strong>For instructors only.</strong> This page holds names, marks, hidden inputs
and students' code: do not pass it on. Marks changed by hand later are in the gradebook, not here.
</p>
<p class="total">{{ count }} submissions{% if median is not none %}, median
{{ median|number }} of {{ maximum|number }} points{% endif %}</p>
<p>{% for status, number_of in statuses %}
{{ number_of }} {{ status }}{{ ", " if not loop.last -}}
{% endfor %}
{% if mean is not none %}; mean {{ mean|number }} points{% endif %}
{% if seconds is not none %}; {{ seconds|number }} s per submission (median){% endif %}</p>
{% if problems %}
<section class="box">
<h2>Problems in the assignment itself</h2>
<ul>
{% for text, number_of in problems %}
<li>{{ text }} ({{ number_of }} submissions)</li>
{% endfor %}
</ul>
</section>
{% endif %}
</header>
""")

_HUMAN = html.template("""\
<section>
<h2>Needs a human</h2>
{% if not people and not waiting %}
<p>Nothing: every file was read as it was given out, and every test ran to its end.</p>
{% endif %}
{% for title, number_of in waiting %}
<p><span class="warn">…</span> {{ title }}: {{ number_of }} answers wait to be read, in
formgrader.</p>
{% endfor %}
{% if people %}
<div class="scroll" role="region" aria-label="Cases for a human" tabindex="0">
<table>
<caption>Unusable files first, then programs that were stopped, then files that had to be
interpreted.</caption>
<thead><tr><th scope="col">Student</th><th scope="col">What</th><th scope="col">Why</th></tr>
</thead>
<tbody>
{% for case in people %}
<tr><th scope="row">{{ case.student }}</th><td>{{ case.what }}</td>
<td class="lines">{{ case.why }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
{% if more > 0 %}
<p>And {{ more }} more; the results hold them all.</p>
{% endif %}
</section>
""")

_TASKS = html.template("""\
<div class="scroll" role="region" aria-label="Tasks, the hardest first" tabindex="0">
<table>
<caption>The same in numbers of students, the hardest task first.</caption>
<thead><tr><th scope="col">Task</th><th scope="col" class="number">All points</th>
<th scope="col" class="number">Some</th><th scope="col" class="number">None</th>
<th scope="col" class="number">Mean points</th></tr></thead>
<tbody>
{% for task in tasks %}
<tr><th scope="row">{{ task.title }}</th><td class="number">{{ task.full }}</td>
<td class="number">{{ task.partly }}</td><td class="number">{{ task.none }}</td>
<td class="number">{{ task.mean|number }} of {{ task.maximum|number }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
""")

_MESSAGES = html.template("""\
<section>
<h2>What went wrong most often</h2>
{% if messages %}
<div class="scroll" role="region" aria-label="Failed checks, the most frequent first" tabindex="0">
<table>
<caption>Messages of failed checks, the most frequent first; # stands for a number.</caption>
<thead><tr><th scope="col" class="number">Students</th><th scope="col">Message</th></tr></thead>
<tbody>
{% for row in messages %}
<tr><td class="number">{{ row.count }}</td>
<td><span class="soft">{{ row.task }}, {{ row.where }}</span>
<div class="lines code">{{ row.message }}</div>
<span class="soft">{{ row.students }}</span></td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>No check failed.</p>
{% endif %}
</section>
""")

_SLOW = html.template("""\
<section>
<h2>How long the tests take</h2>
<div class="scroll" role="region" aria-label="Tests, the slowest first" tabindex="0">
<table>
<caption>Seconds by the clock, the slowest test first.</caption>
<thead><tr><th scope="col">Test</th><th scope="col" class="number">Median (s)</th>
<th scope="col" class="number">Longest (s)</th><th scope="col">by</th></tr></thead>
<tbody>
{% for row in tests %}
<tr><th scope="row"><code>{{ row.test }}</code></th>
<td class="number">{{ "%.2f"|format(row.median) }}</td>
<td class="number">{{ "%.2f"|format(row.longest) }}</td><td>{{ row.student }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</section>
""")

_PAIRS = html.template("""\
<section>
<h2>Answers that are unusually alike</h2>
<p class="box"><strong>Similarity is no proof.</strong> A task with one natural solution makes
everybody similar, and students who learn together write alike. The list says where to look; what
it means is found out by talking to them.</p>
<p class="soft">Compared within a task, pair by pair, after taking away names, comments, the given
text, the reference solution's lines and lines that half of the class wrote. Listed is a pair that
shares at least {{ least }} % of the rest, and {{ margin }} % more than either shares with anybody
outside a small group; or that shares several words which hardly anybody else uses.</p>
{% if not pairs %}
<p>No pair stands out.</p>
{% endif %}
{% for pair in pairs %}
<details><summary>{{ pair.students[0] }} and {{ pair.students[1] }}: {{ pair.tasks|join("; ") }}
</summary>
{% for finding in pair.findings %}
<h3>{{ finding.title }}</h3>
<ul>
{% for reason in finding.reasons %}
<li>{{ reason }}</li>
{% endfor %}
</ul>
<p class="soft">Lines that begin with = have the same structure on both sides and are not
everybody's.</p>
<div class="pair">
{% for side in finding.sides %}
<div><strong>{{ side.student }}</strong>
<pre>
{%- for same, line in side.code -%}
{%- if same -%}<mark>{{ "= " }}{{ line }}</mark>{%- else -%}{{ "  " }}{{ line }}{%- endif -%}
{{ "\\n" }}
{%- endfor -%}
</pre></div>
{% endfor %}
</div>
{% endfor %}
</details>
{% endfor %}
{% if more > 0 %}
<p>And {{ more }} weaker pairs.</p>
{% endif %}
</section>
""")

_STUDENTS = html.template("""\
<section>
<h2>Everybody</h2>
<details><summary>{{ students|length }} students by name</summary>
<div class="scroll" role="region" aria-label="Everybody's score" tabindex="0">
<table>
<thead><tr><th scope="col">Student</th><th scope="col" class="number">Points</th>
<th scope="col" class="number">Tests passed</th><th scope="col">Status</th></tr></thead>
<tbody>
{% for row in students %}
<tr><th scope="row">{{ row.student }}</th>
<td class="number">{{ row.score|number }} of {{ row.maximum|number }}</td>
<td class="number">{{ row.passed }} of {{ row.tests }}</td><td>{{ row.status }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
</section>
""")
