"""Results on disk: whole or not there, and used again only if they still count."""

from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading import results, run, sandbox
from grading.results import ResultError

SECRET = b"a" * 64


@pytest.fixture
def result(source):
    made = results.not_graded(source.bytes, "rejected", "the file is empty", b"sub")
    return results.complete(
        made,
        student="ada",
        assignment="mini",
        received=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        origin="submitted/ada/mini/mini.ipynb",
        fingerprint=results.seed_fingerprint(SECRET),
    )


def test_a_result_that_was_never_graded_has_the_contracts_form(result, source):
    assert result["status"] == "rejected"
    assert result["reason"] == "the file is empty"
    assert (result["score"], result["max_score"]) == (0, 18)
    assert {test["status"] for test in result["tests"]} == {"not reached"}
    assert sum(test["max_points"] for test in result["tests"]) == 18
    assert result["received"] == "2026-01-02T03:04:05+00:00"
    assert result["student"] == "ada"
    assert result["manifest"]["submission_sha256"] == results.sha256(b"sub")
    assert {"python", "torch", "cnnlib", "nbgrader", "grader"} <= result["manifest"][
        "versions"
    ].keys()


def test_saved_and_loaded_and_nothing_else_left(tmp_path, result):
    path = results.save(tmp_path, result)
    assert path == tmp_path / "mini" / "ada.json"
    assert results.load(path) == result
    other = results.save(tmp_path, {**result, "student": "zoë Ω"})
    results.save(tmp_path, {**result, "score": 1.0})
    assert results.load_all(tmp_path, "mini") == [
        {**result, "score": 1.0},
        {**result, "student": "zoë Ω"},
    ]
    assert sorted((tmp_path / "mini").iterdir()) == sorted([path, other])
    assert results.load_all(tmp_path, "another") == []


def test_a_draft_of_a_killed_run_is_no_result_and_goes_away(tmp_path, result):
    path = results.save(tmp_path, result)
    (path.parent / ".bob.json.x1y2").write_text('{"student": "b')
    assert results.load_all(tmp_path, "mini") == [result]
    results.remove_drafts(tmp_path, "mini")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"manifest": 1}', '{"student": "a"}', "\0"])
def test_a_damaged_result_is_named(tmp_path, text):
    path = tmp_path / "mini" / "ada.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ResultError, match=r"ada\.json is damaged: delete it"):
        results.load_all(tmp_path, "mini")


@pytest.mark.parametrize("student", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\0b"])
def test_no_student_id_leads_out_of_the_folder(tmp_path, student):
    with pytest.raises(ResultError):
        results.path_of(tmp_path, "mini", student)


@given(student=st.text(min_size=1, max_size=20))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_a_result_is_always_directly_in_its_folder(student):
    folder = Path("/course/results")
    try:
        path = results.path_of(folder, "mini", student)
    except ResultError:
        return
    assert path.parent == folder / "mini"
    assert path.name == f"{student}.json"


def current(result, **changed):
    facts = {
        "source_sha256": result["manifest"]["source_sha256"],
        "submission_sha256": results.sha256(b"sub"),
        "fingerprint": results.seed_fingerprint(SECRET),
    }
    return results.is_current(result, **{**facts, **changed})


def test_a_result_counts_only_for_what_it_was_made_from(result, monkeypatch):
    assert current(result)
    assert not current(result, source_sha256="0" * 64)
    assert not current(result, submission_sha256=results.sha256(b"newer"))
    assert not current(result, fingerprint=results.seed_fingerprint(b"b" * 64))
    assert not current({**result, "status": "error"})
    old = {**result["manifest"], "versions": None}
    assert not current({**result, "manifest": old})
    monkeypatch.setattr(results, "grader_version", lambda: "2-other")
    assert not current(result)


def test_the_fingerprint_gives_nothing_of_the_secret_away():
    secret = run.student_seed(SECRET, "mini", "ada").encode()  # any 64 hexadecimal digits
    mark = results.seed_fingerprint(secret)
    assert mark != results.seed_fingerprint(secret[::-1])
    assert mark.encode() not in secret
    seeds = {run.student_seed(secret, a, s) for a in ("", "mini") for s in ("", "ada")}
    assert not any(seed.startswith(mark) for seed in seeds)


def test_all_code_that_marks_depend_on_is_in_the_version():
    files = results._deciding_files()
    names = {path.stem for path in files if path.parent.name == "grading"}
    in_sandboxes = set(sandbox._MODULES)
    assert (in_sandboxes - {"__init__"}) | {"run", "rebuild", "cells", "sandbox"} <= names
    assert any(path.parts[-2:] == ("cnnlib", "checks.py") for path in files)
    assert results.grader_version().startswith(f"{run.SCHEMA}-")


def test_limits_hit_come_from_processes_and_tests():
    ended = [{"reason": "memory"}, {"reason": None}, {"reason": "ended by the grader"}]
    tests = [{"status": "timeout"}, {"status": "passed"}]
    found = results.limits_hit({"tests": tests, "manifest": {"ended": ended}})
    assert found == ["memory", "timeout"]
    assert results.limits_hit({"tests": [], "manifest": {}}) == []
