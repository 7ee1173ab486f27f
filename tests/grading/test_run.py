"""One submission from file to result, and the command line."""

import fnmatch
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import FULL, MINI, outcome

from grading import cli, rebuild, run, sandbox

ROOT = Path(__file__).resolve().parents[2]


def test_the_secret_is_made_once_and_is_nobody_elses(tmp_path):
    path = tmp_path / "deep" / "seed"
    secret = run.read_secret(path)
    assert run.read_secret(path) == secret
    assert len(secret) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert run.read_secret(tmp_path / "other") != secret
    short = tmp_path / "short"
    short.write_text("x")
    with pytest.raises(ValueError, match="too short"):
        run.read_secret(short)


def test_seeds_differ_by_student_and_assignment():
    seeds = {
        run.student_seed(secret, assignment, student)
        for secret in (b"1" * 64, b"2" * 64)
        for assignment in ("a1", "a2")
        for student in ("x", "y")
    }
    assert len(seeds) == 8
    assert run.student_seed(b"1" * 64, "a1", "x") in seeds


def test_the_secret_is_kept_outside_the_repository(monkeypatch, tmp_path):
    assert not run.default_secret_file().is_relative_to(ROOT)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert run.default_secret_file().is_relative_to(tmp_path)


def test_without_bubblewrap_grading_is_refused_with_an_explanation(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(sandbox.IsolationError, match="apt-get install bubblewrap"):
        sandbox.command_line(3, as_root=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(sandbox.IsolationError, match="needs Linux"):
        sandbox.command_line(3, as_root=False)


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        (b"import torchvision", {"torchvision", "torchvision.models"}),
        (b"from torchvision.transforms import v2", {"torchvision", "torchvision.models"}),
        (b'"import matplotlib.pyplot as plt\\n",', {"matplotlib.pyplot"}),
        (b"from cnnlib import models", {"cnnlib.models"}),
        (b"from cnnlib.data import load", {"cnnlib.data", "sklearn.datasets", "PIL.Image"}),
        (b"import cnnlib, numpy", set()),
        (b"from cnnlib.summary import summarize", {"cnnlib.summary"}),
        (b"it comes from\nimport cnnlib.plots as plots", {"cnnlib.plots"}),
        (b'"metadata": {}', set()),
        (b"import antigravity; from os import system; torchvision", set()),
        (b"\xff\x00 import \xe9", set()),
    ],
)
def test_what_is_imported_before_the_first_fork(text, modules):
    assert set(sandbox.mentioned(text)) == modules
    assert set(sandbox.mentioned(b"", text, text)) == modules


@pytest.mark.parametrize(
    "line", [b"import " * 100_000, b"import a" + b" " * 10**6, b"from " * 10**5]
)
def test_a_hostile_line_is_read_in_time(line):
    """An expression that goes back and forth would take time with the square of the length."""
    assert sandbox.mentioned(line) == ()


def test_everything_that_may_be_imported_early_exists():
    for modules in sandbox._ON_DEMAND.values():
        for name in modules:
            assert importlib.util.find_spec(name), name


@pytest.mark.slow
@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_whatever_submissions_mention_the_sandbox_starts():
    """An import that starts a thread or fails would let one submission stop a class."""
    names = {name for modules in sandbox._ON_DEMAND.values() for name in modules}
    with sandbox.WarmParent(preload=tuple(sorted(names))) as warm:
        warm.wait_until_ready()


@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_a_twin_grades_and_ends_with_the_first(source, right):
    with sandbox.WarmParent() as warm:
        adopted = sandbox.WarmParent.adopt(warm.twin().detach())
        other = sandbox.WarmParent.adopt(warm.twin().detach())
        warm.wait_until_ready()
        with run.Grader(warm=other) as grader:
            assert outcome(grader.grade(source.bytes, right.bytes, seed="s")) == FULL
        with run.Grader(warm=adopted) as grader:
            assert outcome(grader.grade(source.bytes, right.bytes, seed="s")) == FULL
            warm.close()
            with pytest.raises(sandbox.IsolationError, match="has ended"):
                grader.grade(source.bytes, right.bytes, seed="s")


def test_each_submission_has_processes_of_its_own_that_were_forked_ahead(grader, source, right):
    grader.wait_until_ready()
    grader.warm.end_ahead()
    assert grader.warm.sessions == {}
    seen = []
    for _ in range(2):
        ready = grader.warm.count
        result = grader.grade(source.bytes, right.bytes, seed="s")
        assert outcome(result) == FULL
        seen.append({ahead.session.number for ahead in grader.warm.ahead.values()})
        assert set(grader.warm.sessions) == seen[-1]  # those that waited this time are gone
        assert grader.warm.count == ready + (4 if len(seen) == 1 else 2)
    assert len(seen[0] | seen[1]) == 4


def test_a_process_that_ended_while_it_waited_is_replaced(grader, source, right):
    grader.wait_until_ready()
    grader.warm.fork_ahead(grader.limits)
    for ahead in dict(grader.warm.ahead).values():
        grader.warm._send({"op": "end", "id": ahead.session.number})
        assert grader.warm.wait_for_end(ahead.session, 60)["reason"] == "ended by the grader"
    assert outcome(grader.grade(source.bytes, right.bytes, seed="s")) == FULL


def test_a_process_forked_ahead_serves_only_under_its_own_limits(grader):
    grader.wait_until_ready()
    grader.warm.end_ahead()
    grader.warm.fork_ahead(grader.limits)
    waiting = grader.warm.ahead["student"].session
    other = replace(grader.limits, memory_bytes=grader.limits.memory_bytes // 2)
    session, channel = grader.warm.start("student", other)
    with channel:
        assert session is not waiting
        assert waiting.report["reason"] == "ended by the grader"
    grader.warm.end(session)
    checker = grader.warm.ahead["checker"].session
    session, channel = grader.warm.start("checker", grader.limits)
    with channel:
        assert session is checker
    grader.warm.end(session)


@pytest.mark.parametrize("as_root", [True, False])
def test_the_policy_mounts_nothing_of_the_course(as_root):
    if not Path("/usr/bin/bwrap").exists() and not os.environ.get("CI"):
        pytest.skip("needs bubblewrap")
    command = sandbox.command_line(3, as_root=as_root)
    binds = {command[i + 1] for i, word in enumerate(command) if word.endswith("bind")}
    allowed = {str(ROOT / "cnnlib"), sys.prefix}
    allowed |= {str(ROOT / "grading" / f"{name}.py") for name in sandbox._MODULES}
    assert {path for path in binds if Path(path).is_relative_to(ROOT)} <= allowed
    assert not any(ROOT.is_relative_to(path) for path in binds - {"/"})
    assert str(ROOT / "grading" / "run.py") not in binds
    # Nor does anything depend on where the course lies: /tmp is empty in the sandbox.
    places = {command[i + 2] for i, word in enumerate(command) if word.endswith("bind")}
    assert not any(Path(place).is_relative_to("/tmp") for place in places)
    # "/" is bound only by the inner of root's two sandboxes: it is the outer one's root.
    assert ("/" in binds) is as_root
    assert "--unshare-all" in command
    assert "--share-net" not in command
    assert "--clearenv" in command


@pytest.mark.slow
def test_a_machine_where_forks_fail_gives_nobody_zero_points(source, right):
    impossible = sandbox.Limits(open_files=-7)  # as good as a kernel that refuses a namespace
    grader = run.Grader(isolation="none", limits=impossible)
    with grader, pytest.raises(sandbox.IsolationError, match=r"(?s)cannot be forked.*ValueError"):
        grader.grade(source.bytes, right.bytes, seed="a")


@pytest.fixture
def start_differently(monkeypatch):
    """Have the sandbox's program run a line of Python before it becomes the warm parent."""
    command_line = sandbox.command_line

    def change(line):
        def with_line(*arguments, **options):
            *words, program = command_line(*arguments, **options)
            return [*words, program.replace("from grading.warm", f"{line}; from grading.warm", 1)]

        monkeypatch.setattr(sandbox, "command_line", with_line)

    return change


@pytest.mark.slow
@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_a_machine_whose_kernel_refuses_namespaces_gives_nobody_zero_points(
    source, right, start_differently
):
    """CLONE_FS and a mount namespace of its own exclude each other."""
    start_differently("from grading import linux; linux.NEW_NAMESPACES |= 0x200")
    reason = r"(?s)cannot be forked.*Invalid argument"
    with run.Grader() as grader, pytest.raises(sandbox.IsolationError, match=reason):
        grader.grade(source.bytes, right.bytes, seed="a")


@pytest.mark.slow
@pytest.mark.usefixtures("grader")
def test_without_the_number_of_the_system_call_a_process_more_does_the_same(
    source, right, start_differently
):
    """As on a machine that is neither x86_64 nor aarch64."""
    start_differently(
        "from grading import linux; linux.can_fork_into = lambda: False; linux.fork_into = None"
    )
    right.put(output_size="import os\ndef output_size(*sizes):\n    os._exit(3)\n")
    with run.Grader() as grader:
        found = outcome(grader.grade(source.bytes, right.bytes, seed="a"))
    lost = {name for name, points in FULL.items() if found[name] != points}
    assert lost == {"test_output_size"}


@pytest.mark.slow
def test_reference_stub_and_partly_right(grader, source, stub, right):
    result = grader.grade(source.bytes, right.bytes, seed="a")
    assert result["status"] == "graded"
    assert outcome(result) == FULL
    assert result["score"] == result["max_score"] == sum(FULL.values())
    assert {test["status"] for test in result["tests"]} == {"passed"}
    assert result["notes"] == []
    assert json.loads(json.dumps(result)) == result
    stubbed = grader.grade(source.bytes, stub.bytes, seed="a")
    assert stubbed["score"] == 0
    assert all("NotImplementedError" in test["message"] for test in stubbed["tests"][:2])
    right.put(box=right.cell("box")["source"].replace("self.corners == other.corners", "True"))
    partly = grader.grade(source.bytes, right.bytes, seed="a")
    assert outcome(partly) == {**FULL, "test_box": 3.0}


@pytest.mark.slow
def test_hidden_inputs_follow_the_seed_and_repeat(grader, source, right):
    wrong = "    return (size + 2 * padding - kernel) // stride + (2 if size == 47 else 1)\n"
    text = right.cell("output_size")["source"].split("\n")
    right.put(output_size="\n".join([*text[:-1], wrong]) if not text[-1].strip() else
              "\n".join([line for line in text if "return" not in line] + [wrong]))  # fmt: skip
    found = {}
    for seed in range(12):
        found[seed] = outcome(grader.grade(source.bytes, right.bytes, seed=str(seed)))
    assert {points["test_output_size"] for points in found.values()} == {0.0, 2.0}
    again = grader.grade(source.bytes, right.bytes, seed="0")
    assert outcome(again) == found[0]


@pytest.mark.slow
def test_a_message_names_the_students_own_line(grader, source, right):
    right.put(summarize="def summarize(values):\n    x = 1\n    return {}['mean']\n")
    result = grader.grade(source.bytes, right.bytes, seed="a")
    message = result["tests"][-1]["message"]
    assert "KeyError" in message
    assert "line 3, in summarize: return {}['mean']" in message


@pytest.mark.slow
def test_what_an_earlier_test_cell_defined_survives_a_crash(grader, source, right):
    source.put(test_output_size="kept = Box(0, 0, 1, 1) if 0 else 5\nimport math\n")
    source.put(
        test_convolve="first = summarize2([1.0])\n",
        test_summarize="assert kept == 5\nassert math.pi > 3\nassert first == 2\n",
    )
    source.insert("def summarize2(values): return 2", before="test_convolve")
    source.cells[source.index("test_convolve") - 1]["metadata"] = {
        "nbgrader": {"grade_id": "extra", "solution": True, "schema_version": 3}
    }
    right.insert("def summarize2(values): return 2", before="test_convolve")
    right.put(box="import os\nclass Box:\n    def area(self): os._exit(5)\n"
                  "    def __init__(self, *c): pass\n")  # fmt: skip
    result = grader.grade(source.bytes, right.bytes, seed="a")
    assert outcome(result) == {**FULL, "test_box": 0.0}
    box = next(test for test in result["tests"] if test["grade_id"] == "test_box")
    assert box["status"] == "killed"
    assert "exit status 5" in box["message"]


@pytest.mark.slow
def test_seeding_again_with_the_same_number_starts_the_students_numbers_again(
    grader, source, right
):
    source.put(
        test_summarize="""
import random
import numpy as np
import torch
for seed in (torch.manual_seed, np.random.seed, random.seed):
    for start in (0, 7):
        seed(start)
        first = summarize([1.0])
        seed(start)
        second, third = summarize([1.0]), summarize([1.0])
        assert first[seed.__module__] == second[seed.__module__], seed
        assert second[seed.__module__] != third[seed.__module__], seed
"""
    )
    right.put(
        summarize="""
import random
import numpy as np
import torch
def summarize(values):
    return {
        torch.manual_seed.__module__: torch.rand(1).item(),
        np.random.seed.__module__: np.random.rand(),
        random.seed.__module__: random.random(),
    }
"""
    )
    assert outcome(grader.grade(source.bytes, right.bytes, seed="a")) == FULL


@pytest.mark.slow
def test_a_test_that_hangs_on_the_answer_costs_only_itself(grader, source, right):
    source.put(test_box="for _ in range(Box(0, 0, 10**9, 10**9).area()):\n    pass\n")
    result = grader.grade(source.bytes, right.bytes, seed="a")
    assert outcome(result) == {**FULL, "test_box": 0.0}
    assert [t["status"] for t in result["tests"] if t["grade_id"] == "test_box"] == ["timeout"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "points", "status"),
    [
        ("1.5", 1.5, "failed"),
        ("4", 4.0, "passed"),
        ("0", 0.0, "failed"),
        ("5", 0.0, "error"),
        ("-1", 0.0, "error"),
        ("float('nan')", 0.0, "error"),
        ("3;", 4.0, "passed"),
        ("'text'", 4.0, "passed"),
        ("assert False", 0.0, "failed"),
        ("1 / 0", 0.0, "error"),
    ],
)
def test_points_of_a_test_cell_follow_nbgraders_rule(grader, source, right, ending, points, status):
    source.put(test_box=f"x = 1\n{ending}")
    result = grader.grade(source.bytes, right.bytes, seed="a")
    box = next(test for test in result["tests"] if test["grade_id"] == "test_box")
    assert (box["points"], box["status"]) == (points, status)


@pytest.mark.slow
def test_a_rejected_file_is_a_result(grader, source):
    result = grader.grade(source.bytes, b"not a notebook", seed="a")
    assert result["status"] == "rejected"
    assert "not JSON" in result["reason"]
    assert result["score"] == 0
    assert result["max_score"] == sum(FULL.values())
    assert {test["status"] for test in result["tests"]} == {"not reached"}


@pytest.mark.slow
def test_a_broken_source_is_an_error(grader, right):
    with pytest.raises(rebuild.RebuildError):
        grader.grade(b"{}", right.bytes, seed="a")


@pytest.mark.slow
def test_check_passes_the_assignment_and_names_what_is_wrong_with_a_bad_one(grader, source):
    assert cli.check(grader, source.bytes) == []
    source.put(test_box="assert type(Box(0, 0, 1, 1)) is Box")  # works in one kernel only
    source.put(test_summarize="pass")  # gives the stub its points
    problems = cli.check(grader, source.bytes)
    assert any("split" in p and "the reference gets 0 of 4 in test_box" in p for p in problems)
    assert not any("one kernel" in p and "test_box" in p for p in problems)
    assert any("the empty stub gets 2 in test_summarize" in p for p in problems)


@pytest.mark.slow
@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_the_command_line(tmp_path, right):
    submission = tmp_path / "student 7.ipynb"
    submission.write_bytes(right.bytes)
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "grading.cli", "run", str(MINI), str(submission)]
    options = ["--json", str(out), "--seed-file", str(tmp_path / "seed")]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "graded: 18 of 18 points" in done.stdout
    result = json.loads(out.read_text())
    assert outcome(result) == FULL
    assert result["student"] == "student 7"
    assert sorted(os.listdir(tmp_path)) == ["result.json", "seed", "student 7.ipynb"]
    command[5] = str(tmp_path / "missing.ipynb")
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 2
    assert "not an ordinary file" in done.stderr


@pytest.mark.slow
def test_grading_without_isolation(source, right):
    with run.Grader(isolation="none") as plain:
        result = plain.grade(source.bytes, right.bytes, seed="a")
    assert outcome(result) == FULL
    assert result["manifest"]["isolation"] == "none"


def dockerfile():
    """(instruction, arguments) of the Dockerfile, lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def enters_the_image(path):
    """Whether .dockerignore lets a path through: the last line that matches it decides."""
    included = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        names = {"/".join(parts[: n + 1]) for n in range(len(parts))}
        names |= set(parts) if line.startswith("**/") else set()
        if line and not line.startswith("#") and any(fnmatch.fnmatch(n, pattern) for n in names):
            included = line.startswith("!")
    return included


def test_the_dockerfile_builds_on_what_isolation_needs():
    steps = dockerfile()
    assert steps[0] == ("FROM", "python:3.11-slim-bookworm")
    install = next(text for kind, text in steps if kind == "RUN" and "apt-get install" in text)
    assert "bubblewrap" in shlex.split(install)
    assert any(kind == "RUN" and "tools/environment.py" in text for kind, text in steps)
    users = [text for kind, text in steps if kind == "USER"]
    assert users == ["grader"]
    assert steps.index(("USER", "grader")) > max(i for i, s in enumerate(steps) if s[0] == "RUN")
    assert ("ENTRYPOINT", '["python", "-m", "grading"]') in steps


def test_only_the_tool_is_copied_into_the_image():
    copied = [
        name for kind, text in dockerfile() if kind in ("COPY", "ADD") for name in text.split()[:-1]
    ]
    assert "grading" in copied
    assert all((ROOT / name).exists() and enters_the_image(name) for name in copied)
    assert "." not in copied
    for secret in (
        "gradebook.db", "submitted/a/a1/a1.ipynb", ".git/config", "solutions/a1_layers/a1.ipynb",
        "results/a1/a.json", "feedback/a/a1.html", ".env", "autograded/x", "seed", ".venv/bin/pip",
        "cnnlib/__pycache__/x.pyc",
    ):  # fmt: skip
        assert not enters_the_image(secret), secret
    assert enters_the_image("cnnlib/models/vgg.py")


def hidden_of(result):
    return {test["grade_id"]: test["hidden"] for test in result["tests"]}


@pytest.mark.slow
def test_a_result_says_whether_a_hidden_check_failed(grader, source, stub, right):
    result = grader.grade(source.bytes, stub.bytes, seed="a")
    visible = hidden_of(result)
    assert visible["test_output_size"] is visible["test_summarize"] is False
    right.put(
        output_size=right.cell("output_size")["source"].replace("raise ValueError", "return 0 #"),
        summarize="import os\ndef summarize(v):\n    if len(v) > 3:\n        os._exit(1)\n"
        "    return {'mean': sum(v) / len(v), 'max': max(v)}\n",
        convolve="def convolve(image, kernel):\n    assert image.shape == (3, 4)\n"
        "    return nn.functional.conv2d(image[None, None], kernel[None, None])[0, 0]\n",
    )
    right.insert("print('after')", after="summarize")
    right.insert("print('before')")
    result = grader.grade(source.bytes, right.bytes, seed="a")
    by_id = {test["grade_id"]: test for test in result["tests"]}
    assert by_id["test_output_size"]["status"] == "failed"
    assert by_id["test_convolve"]["status"] in ("failed", "error")
    assert by_id["test_summarize"]["status"] == "killed"
    hidden = hidden_of(result)
    assert hidden["test_output_size"] is hidden["test_convolve"] is hidden["test_summarize"] is True
    assert hidden["test_box"] is False
    after = {c["output"].strip(): c["after_hidden_test"] for c in result["cells"] if c["output"]}
    assert after == {"before": False, "after": True}
