"""The class's summary, and the pairs of answers that it lists."""

import argparse
import json
import random
import re

import pytest
from test_feedback import PAYLOADS, SOURCE, outcome, read, result, submission

from grading import html, rebuild, report, similarity

DOUBLE = "def double(x):\n    {}\n"


def class_of(scores, **fields):
    """Results of students s0, s1, … who got so many of the 3 points of the first task."""
    results = []
    for number, points in enumerate(scores):
        status = "passed" if points == 3 else "failed"
        message = "" if points == 3 else f"double({number}): expected {2 * number}, but got 0."
        tests = [
            outcome("test_double", float(points), 3.0, status, message, hidden=number % 2 == 0),
            outcome("test_half", 2.0, 2.0, "passed"),
            outcome("test_half_odd", 1.0, 1.0, "passed"),
            outcome("essay", 0.0, 4.0, "manual"),
        ]
        results.append(result(tests, student=f"s{number}", **fields))
    return results


def bars(page_text):
    """Labels and values of all bars, in their order."""
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", page_text)
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_numbers_of_the_summary_are_those_of_the_results():
    results = class_of([3, 3, 3, 0, 1.5])
    results[4]["tests"][0]["seconds"] = 9.25
    text = report.summary_page(results, SOURCE, {})
    page = read(text)
    assert "5 submissions, median\n6 of 10 points" in page.text
    assert "5 graded; mean 5.1 points" in page.text
    found = bars(text)
    assert found[:10] == [
        ("0 to under 1 points", "0 students"), ("1 to under 2 points", "0 students"),
        ("2 to under 3 points", "0 students"), ("3 to under 4 points", "1 student"),
        ("4 to under 5 points", "1 student"), ("5 to under 6 points", "0 students"),
        ("6 to under 7 points", "3 students"), ("7 to under 8 points", "0 students"),
        ("8 to under 9 points", "0 students"), ("9 to 10 points", "0 students"),
    ]  # fmt: skip
    assert found[10:] == [("Task 1: doubling", "60 %"), ("Task 2: half of it", "100 %")]
    rows = report._task_rows(*[report.tasks_of(rebuild.read_source(SOURCE)), results])
    assert [(r["full"], r["partly"], r["none"], r["mean"]) for r in rows] == [
        (3, 1, 1, 2.1), (5, 0, 0, 3.0),
    ]  # fmt: skip
    assert "Task 3: in words: 5 answers wait to be read" in page.text
    assert page.text.index("test_double") < page.text.index("test_half_odd"), "slowest first"
    assert "9.25" in page.text
    assert "For instructors only." in page.text


def test_the_same_mistake_on_other_inputs_is_counted_together():
    results = class_of([0, 0, 0, 3])
    results[0]["tests"][1] = outcome("test_half", 0.0, 2.0, "error", "TypeError: no", hidden=False)
    page = read(report.summary_page(results, SOURCE, {}))
    assert "double(#): expected #, but got #." in page.text
    rows = report._messages(report.tasks_of(rebuild.read_source(SOURCE)), results)
    assert [(row["count"], row["students"]) for row in rows] == [(3, "s0, s1, s2"), (1, "s0")]


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("f(32, 5, padding=2): expected 32, but got -28.5.",
         "f(#, …, padding=#): expected #, but got #."),
        ("shape (1, 2, 3) not (4, 5)", "shape (#, …) not (#, …)"),
        ("conv2d of float64 and x1", "conv2d of float64 and x1"),
        ("a 1e-05\nIn your code:\nline 3\nLikely cause: 2 ends.", "a #\nLikely cause: # ends."),
    ],
)  # fmt: skip
def test_numbers_are_masked_and_names_are_not(message, masked):
    assert report.masked(message) == masked


def test_what_needs_a_human_stands_on_top():
    results = class_of([3, 3, 3, 3])
    results[0] |= {"status": "rejected", "reason": "the file is empty", "notes": []}
    results[1]["tests"][0] = outcome("test_double", 0, 3.0, "killed", "crashed (signal 11)")
    results[2]["notes"] = ["'double': found in cell 7, which lost its id"]
    results[3]["notes"] = ["problem in the source notebook: cell 2: NameError: helper"]
    page = read(report.summary_page(results, SOURCE, {}))
    places = [
        page.text.index(text)
        for text in ("NameError: helper (1 submissions)", "the file is empty",
                     "crashed (signal 11)", "found in cell 7", "Scores")
    ]  # fmt: skip
    assert places == sorted(places)
    calm = read(report.summary_page([], SOURCE, {}))
    assert "Nothing: every file" in calm.text
    assert "0 submissions" in calm.text


def test_many_notes_hide_nobody():
    results = class_of([3] * 150, notes=["note"])
    results[149] |= {"status": "rejected", "reason": "the file is empty"}
    page = read(report.summary_page(results, SOURCE, {}))
    assert "the file is empty" in page.text, "unusable files come first"
    assert "And 50 more" in page.text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_a_student_wrote_becomes_part_of_the_summary(payload):
    results = class_of([0, 0], notes=[payload])
    for one in results:
        one["student"] = payload
        one["tests"][0]["message"] = payload
    results.append(result(status="rejected", student=payload, reason=payload))
    code = f"def double(unusual_a, unusual_b, unusual_c):\n    return '''\n{payload}\n'''\n"
    other = f"{payload} 2"
    answers = {payload: {"double": code}, other: {"double": code}}
    text = report.summary_page(results, SOURCE, answers)
    page = read(text)
    assert page.text.count(payload) >= 8
    assert html.visible(other) in page.text, "the pair is listed"


def test_charts_escape_their_labels_and_have_a_text_for_those_who_do_not_see():
    chart = html.bar_chart("<b>t", '"d" <x>', [html.Bar("<script>a</script>", 5, "<i>")], largest=4)
    assert "<script>" not in chart
    assert "&lt;script&gt;" in chart
    assert 'role="img"' in chart
    assert "<title>&lt;b&gt;t</title>" in chart
    assert 'width="360.0" height="9"' in chart, "a bar is never longer than the chart"


def test_the_file_is_for_its_owner_alone(tmp_path):
    path = report.write_summary(class_of([3]), SOURCE, tmp_path / "deep" / "summary.html", {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["summary.html"]


# --- similarity ---------------------------------------------------------------------------------

TASK = """\
def longest_run(values):
    \"\"\"Length of the longest run of equal values.\"\"\"
    ### BEGIN SOLUTION
    best = count = 0
    for i, value in enumerate(values):
        count = count + 1 if i and value == values[i - 1] else 1
        best = max(best, count)
    return best
    ### END SOLUTION
"""
BODIES = [
    ["{a} = {b} = 0", "for {c}, {d} in enumerate(values):",
     "    {b} = {b} + 1 if {c} and {d} == values[{c} - 1] else 1",
     "    {a} = max({a}, {b})", "return {a}"],
    ["{a}, {b}, {c} = 0, 0, None", "for {d} in values:", "    if {d} == {c}:", "        {b} += 1",
     "    else:", "        {b} = 1", "    {c} = {d}", "    if {b} > {a}:", "        {a} = {b}",
     "return {a}"],
    ["from itertools import groupby", "{a} = 0", "for {c}, {d} in groupby(values):",
     "    {a} = max({a}, sum(1 for {b} in {d}))", "return {a}"],
    ["if not values:", "    return 0", "{a} = [1]", "for {b} in range(1, len(values)):",
     "    {c} = values[{b}] == values[{b} - 1]", "    {a}.append({a}[-1] + 1 if {c} else 1)",
     "return max({a})"],
]  # fmt: skip
NAMES = ["best", "count", "i", "value", "run", "longest", "current", "last", "k", "v", "n", "seen"]


def similarity_source():
    cells = json.loads(SOURCE)["cells"]
    cells[2]["source"] = TASK
    cells[2]["metadata"]["nbgrader"]["grade_id"] = "longest_run"
    return rebuild.read_source(json.dumps({"cells": cells, "nbformat": 4}).encode())


def answer(rng):
    names = dict(zip("abcd", rng.sample(NAMES, 4), strict=True))
    lines = [line.format(**names) for line in rng.choice(BODIES)]
    if rng.random() < 0.5:
        lines.insert(rng.randrange(2), f"# {' '.join(rng.sample(NAMES, 4))}")
    return "def longest_run(values):\n" + "".join(f"    {line}\n" for line in lines)


COPIED = """\
def longest_run(values):
    # walk backwards because it is nicer to compare with the right neighbour
    rekord = 0
    strecke = 1
    position = len(values) - 2
    while position >= 0 and values:
        if values[position] != values[position + 1]:
            strecke = 0
        strecke, position = strecke + 1, position - 1
        rekord = rekord if rekord > strecke else strecke
    return rekord or len(values[:1])
"""
RENAMED = (
    COPIED.replace("rekord", "top").replace("strecke", "length").replace("position", "index")
    .replace("    # walk backwards because it is nicer to compare with the right neighbour\n", "")
)  # fmt: skip


def test_natural_solutions_are_not_suspicious_and_a_copy_is():
    rng = random.Random(3)
    answers = {f"s{n:02d}": {"longest_run": answer(rng)} for n in range(40)}
    source = similarity_source()
    innocent = similarity.similar_pairs(source, answers)
    assert len(innocent) <= 2, "a class with four natural solutions"
    answers["eve"] = {"longest_run": COPIED}
    answers["mallory"] = {"longest_run": COPIED}
    pairs = similarity.similar_pairs(source, answers)
    assert pairs[0].students == ("eve", "mallory")
    finding = pairs[0].findings[0]
    assert finding.similarity == 1.0
    assert 0.3 < finding.others < finding.similarity - similarity.MARGIN
    assert {"rekord", "strecke"} <= set(finding.words)
    assert any("walk backwards" in word for word in finding.words)
    assert {4, 5, 6} <= finding.same_lines[0] == finding.same_lines[1]
    assert 0 not in finding.same_lines[0], "everybody's line is no evidence"


def test_new_names_do_not_hide_a_copy():
    rng = random.Random(3)
    answers = {f"s{n:02d}": {"longest_run": answer(rng)} for n in range(40)}
    answers |= {"eve": {"longest_run": COPIED}, "mallory": {"longest_run": RENAMED}}
    pair = similarity.similar_pairs(similarity_source(), answers)[0]
    assert pair.students == ("eve", "mallory")
    assert pair.findings[0].similarity == 1.0
    assert pair.findings[0].words == ()
    assert any("100 % alike in structure" in text for text in report.reasons(pair.findings[0]))


def test_the_stub_and_the_reference_are_nobodys_copy():
    source = similarity_source()
    stub = rebuild.released_text(TASK, solution=True)
    for text in (stub, TASK, "", "   "):
        answers = {f"s{n}": {"longest_run": text} for n in range(8)}
        assert similarity.similar_pairs(source, answers) == []


def test_what_many_have_is_no_evidence():
    answers = {f"s{n:02d}": {"longest_run": COPIED} for n in range(12)}
    assert similarity.similar_pairs(similarity_source(), answers) == []


@pytest.mark.parametrize(
    "text",
    ["def f(:\n  '''unfinished", '"""\\' * 20_000, "x = '\n" * 5_000, "\x00\udcff".encode(
        "utf-8", "replace").decode() * 1000, "(" * 50_000, "# \n" * 30_000],
)  # fmt: skip
def test_any_text_can_be_compared(text):
    answers = {name: {"longest_run": text} for name in ("a", "b")}
    for pair in similarity.similar_pairs(similarity_source(), answers):
        assert pair.students == ("a", "b")


def test_pairs_are_shown_side_by_side_with_a_warning():
    answers = {"eve": {"longest_run": COPIED}, "mallory": {"longest_run": RENAMED}}
    results = class_of([3, 3])
    source = json.loads(SOURCE)
    source["cells"][2]["source"] = TASK
    source["cells"][2]["metadata"]["nbgrader"]["grade_id"] = "longest_run"
    page = read(report.summary_page(results, json.dumps(source).encode(), answers))
    assert "Similarity is no proof." in page.text
    assert "eve and mallory: Task 1: doubling" in page.text
    assert "\n=     strecke = 1\n=     position = len(values) - 2\n" in page.text
    assert "\n=     length = 1\n" in page.text
    assert "  def longest_run(values):\n" in page.text
    assert "mark" in page.tags


def test_the_command_compares_what_was_handed_in(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solutions" / "small").mkdir(parents=True)
    (tmp_path / "solutions" / "small" / "small.ipynb").write_bytes(SOURCE)
    (tmp_path / "results" / "small").mkdir(parents=True)
    for name in ("ada", "bo"):
        one = result(student=name)
        (tmp_path / "results" / "small" / f"{name}.json").write_text(json.dumps(one))
    folder = tmp_path / "submitted" / "ada" / "small"
    folder.mkdir(parents=True)
    (folder / "small.ipynb").write_bytes(submission())
    parser = argparse.ArgumentParser()
    report.add_command(parser.add_subparsers())
    options = parser.parse_args(["report", "small"])
    assert options.run(options) == 0
    assert (tmp_path / "results" / "small" / "summary.html").is_file()
    assert "not compared, since their file cannot be read: bo" in capsys.readouterr().out
