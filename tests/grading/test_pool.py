"""Worker processes: they do the work, they may die, and they never outlive the pool."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import FULL, outcome

from grading import pool, results, run
from grading.pool import LocalPool, PoolError, Unit, UnitLost
from grading.sandbox import IsolationError, Limits, WarmParent

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def unit(words, seed="s"):
    return Unit(b"source", words.encode(), seed, pool.unit_options())


@pytest.fixture
def workers():
    with LocalPool(2, function="fake_units:echo") as found:
        yield found


def wait_for(condition, what, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.mark.slow
def test_units_go_through_and_workers_are_used_again(workers):
    futures = {workers.submit(unit(f"word {i}", seed=str(i))): i for i in range(8)}
    answers = {futures[f]: workers.result(f) for f in workers.as_completed(futures)}
    assert {i: (a["said"], a["seed"], a["source"]) for i, a in answers.items()} == {
        i: (f"word {i}", str(i), "source") for i in range(8)
    }
    assert all(a["options"] == pool.unit_options() for a in answers.values())
    processes = {a["pid"] for a in answers.values()}
    assert len(processes) <= 2
    assert os.getpid() not in processes


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_unit_tried_again(workers, tmp_path):
    words = [f"once {tmp_path / 'mark'}", "exit 7", "kill", "raise", "fine"]
    futures = {workers.submit(unit(word)): word for word in words}
    found = {}
    for future in workers.as_completed(futures):
        word = futures[future].split()[0]
        try:
            found[word] = workers.result(future)["said"]
        except UnitLost as lost:
            found[word] = str(lost)
    assert found["once"] == words[0]  # the second worker brought it to its end
    assert found["fine"] == "fine"
    assert found["exit"].count("exit status 7") == 2
    assert found["kill"].count("killed by signal 9 (SIGKILL)") == 2
    assert found["raise"].count("ZeroDivisionError: a defect of the grader") == 2


@pytest.mark.slow
def test_a_machine_without_isolation_stops_everything(workers):
    with pytest.raises(IsolationError, match="no walls here"):
        workers.result(next(workers.as_completed([workers.submit(unit("isolation"))])))


@pytest.mark.slow
def test_a_worker_that_is_silent_for_too_long_counts_as_dead():
    with LocalPool(1, function="fake_units:echo", patience=0.2) as workers:
        future = workers.submit(unit("sleep 60"))
        with pytest.raises(UnitLost, match="did not answer"):
            workers.result(next(workers.as_completed([future])))
        assert workers.result(workers.submit(unit("fine")))["said"] == "fine"


@pytest.mark.slow
def test_workers_that_cannot_start_are_an_explanation_not_a_class_of_errors():
    with LocalPool(2, function="no_such_module:echo") as workers:
        futures = [workers.submit(unit("fine")) for _ in range(3)]
        for future in workers.as_completed(futures):
            with pytest.raises(PoolError, match="No module named 'no_such_module'"):
                workers.result(future)


@pytest.mark.slow
def test_closing_ends_running_and_waiting_units(tmp_path):
    mark = tmp_path / "mark"
    before = set(psutil.Process().children())  # other tests of this process have some, too
    with LocalPool(1, function="fake_units:echo") as workers:
        futures = [workers.submit(unit(f"wait {mark}")), workers.submit(unit("fine"))]
        wait_for(mark.exists, "the worker")
        children = set(psutil.Process().children()) - before
        assert children
    with pytest.raises(PoolError, match="closed"):
        workers.result(futures[0])
    assert futures[1].cancelled()
    assert not any(child.is_running() for child in children)


PARENT = """
import sys
sys.path.insert(0, {here!r})
from grading import pool
workers = pool.LocalPool(1, function="fake_units:echo")
options = pool.unit_options()
future = workers.submit(pool.Unit(b"", b"wait {mark}", "", options))
future.result()
"""


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent_even_in_the_middle_of_a_unit(tmp_path):
    mark = tmp_path / "mark"
    program = PARENT.format(here=str(HERE), mark=mark)
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_for(mark.exists, "the worker")
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    _, alive = psutil.wait_procs(children, timeout=300)
    assert not alive


def test_a_pool_needs_a_worker():
    with pytest.raises(ValueError, match="at least one worker, not 0"):
        LocalPool(0)


def test_another_version_of_the_grader_is_refused():
    options = pool.unit_options() | {"grader": "1-somethingelse"}
    with pytest.raises(PoolError, match="another version of grading or cnnlib"):
        pool.grade_unit(b"", b"", "", options)


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # makes the import fail
    with pytest.raises(PoolError, match="pip install distributed"):
        pool.DaskPool("tcp://127.0.0.1:9")


class _Grader:
    """Stands in for `grading.run.Grader`; `fate` is what happens, one word a call."""

    made, fate = 0, []

    def __init__(self, *, isolation, limits, preload, warm):
        type(self).made += 1
        self.isolation = isolation
        assert preload == ()
        assert warm is None
        self.closed = False

    def wait_until_ready(self):
        if self.fate[:1] == ["no start"]:
            raise IsolationError("the sandbox did not start")

    def grade(self, source, submission, *, seed):
        assert not self.closed
        if self.fate and self.fate.pop(0) == "ends":
            raise IsolationError("the sandbox has ended")
        return {"tests": [], "manifest": {"isolation": self.isolation, "seed": seed}}

    def close(self):
        self.closed = True


@pytest.fixture
def fake_grader(monkeypatch):
    monkeypatch.setattr(pool, "Grader", _Grader)
    monkeypatch.setattr(_Grader, "made", 0)
    monkeypatch.setattr(_Grader, "fate", [])
    yield _Grader
    pool.close_grader()


def grade(options):
    return json.loads(pool.grade_unit(b"", b"", "seed", options))


def test_a_worker_keeps_one_grader_until_the_options_change(fake_grader):
    options = pool.unit_options(isolation="none")
    assert grade(options)["manifest"]["seed"] == "seed"
    grade(options)
    assert fake_grader.made == 1
    grade(pool.unit_options(isolation="none", limits=Limits(cpu_seconds=5)))
    assert fake_grader.made == 2


def test_a_sandbox_that_ends_is_started_again_once(fake_grader):
    options = pool.unit_options()
    fake_grader.fate = ["fine", "ends", "fine"]
    grade(options)
    grade(options)
    assert fake_grader.made == 2
    fake_grader.fate = ["ends", "ends"]
    with pytest.raises(UnitLost, match="has ended; then the sandbox has ended"):
        grade(options)
    fake_grader.fate = []
    grade(options)
    assert fake_grader.made == 4


def test_a_sandbox_that_does_not_start_is_the_machines_problem(fake_grader):
    fake_grader.fate = ["no start"]
    with pytest.raises(IsolationError, match=f"{pool.worker_name()}: the sandbox did not start"):
        grade(pool.unit_options())


def test_the_worker_says_what_it_is_in_the_manifest(fake_grader, monkeypatch):
    manifest = grade(pool.unit_options())["manifest"]
    assert manifest["worker"] == pool.worker_name()
    assert manifest["versions"]["grader"] == results.grader_version()
    assert manifest["seccomp"] is True
    assert "seccomp_missing" not in manifest
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    manifest = grade(pool.unit_options())["manifest"]
    assert manifest["seccomp"] is False
    assert "riscv64" in manifest["seccomp_missing"]
    monkeypatch.undo()
    assert "not isolated" in results.execution_facts(
        {"tests": [], "manifest": {"isolation": "none"}}, "w"
    )["seccomp_missing"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_two_real_workers_give_what_one_grader_gives(grader, source, stub, right):
    secret = b"k" * 64
    files = {"ada": right.bytes, "bob": stub.bytes, "cid": b"not a notebook", "dan": right.bytes}
    options = pool.unit_options(limits=grader.limits)
    units = {
        name: Unit(source.bytes, data, run.student_seed(secret, "mini", name), options)
        for name, data in files.items()
    }
    with LocalPool(2) as workers:
        futures = {workers.submit(one): name for name, one in units.items()}
        found = {futures[f]: workers.result(f) for f in workers.as_completed(futures)}
    assert outcome(found["ada"]) == outcome(found["dan"]) == FULL
    assert len({found[name]["manifest"]["worker"] for name in ("ada", "dan", "bob")}) == 2
    for name, one in units.items():
        alone = grader.grade(one.source, one.submission, seed=one.seed)
        assert outcome(found[name]) == outcome(alone)
        assert found[name]["status"] == alone["status"]
        assert found[name]["notes"] == alone["notes"]
    assert secret.decode() not in json.dumps(found)
    assert not any(one.seed in json.dumps(found) for one in units.values())


@pytest.mark.slow
@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_workers_share_one_warm_parent_and_outlive_it(grader, source, right):
    options = pool.unit_options(limits=grader.limits)
    unit = Unit(source.bytes, right.bytes, "seed", options)
    with WarmParent() as warm, LocalPool(2, warm=warm) as workers:
        first = [workers.submit(unit) for _ in range(4)]
        found = [workers.result(future) for future in first]
        assert len({one["manifest"]["worker"] for one in found}) == 2
        assert all(outcome(one) == FULL for one in found)
        warm.process.kill()
        warm.process.wait()
        again = [workers.submit(unit) for _ in range(2)]
        assert all(outcome(workers.result(future)) == FULL for future in again)


def test_a_warm_parent_that_does_not_start_stops_the_run():
    class Broken:
        def twin(self):
            raise IsolationError("the sandbox has ended")

        def wait_until_ready(self, limits):
            raise IsolationError("the sandbox did not start: no namespaces")

        def close(self):
            self.closed = True

    warm = Broken()
    with LocalPool(1, function="fake_units:echo", warm=warm) as workers:
        future = workers.submit(unit("x"))
        with pytest.raises(IsolationError, match="no namespaces"):
            workers.result(future)
    assert warm.closed
