"""The arithmetic of the grading bench; the bench itself is run by hand."""

import pytest

from bench import grading


def test_a_further_submission_is_what_two_classes_differ_by(tmp_path):
    small, large = grading.Course(tmp_path / "small"), grading.Course(tmp_path / "large")
    small.count, small.seconds = 4, 10.0
    large.count, large.seconds = 24, 70.0
    assert grading.further(small, large) == pytest.approx(3.0)


def test_a_course_is_timed_by_the_program_that_grades_it(tmp_path, capsys):
    course = grading.Course(tmp_path)
    course.count = 2
    course.timed("sleeper", "-c", "import time; time.sleep(0.2)")
    assert course.seconds >= 0.2
    assert "sleeper: 2 in" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="it broke"):
        course.timed("broken", "-c", "raise SystemExit('it broke')")


def test_two_graders_that_disagree_stop_the_bench():
    same = {("ada", "test_conv2d"): 3.0}
    grading.compare_scores(same, dict(same))
    for ours, stock in ((same, {("ada", "test_conv2d"): 2.0}), ({}, {}), (same, {})):
        with pytest.raises(RuntimeError, match="disagree"):
            grading.compare_scores(ours, stock)
