"""Units on the workers of a real Dask cluster of several processes on this machine."""

import os
import signal
import time

import pytest
from conftest import FULL, outcome

from grading import pool, results, run
from grading.pool import DaskPool, PoolError, Unit, UnitLost
from grading.sandbox import IsolationError

distributed = pytest.importorskip("distributed", reason="Dask is optional")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes with one thread each, reachable from this machine alone."""
    settings = {
        # A killed worker is replaced at once, and a unit may cost a worker twice, as here.
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.memory.terminate": False,
        "distributed.comm.timeouts.connect": "300s",
        "distributed.nanny.environ": {"OMP_NUM_THREADS": "1"},
    }
    import dask

    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            silence_logs=50,
        ) as started,
    ):
        yield started


def unit(words, seed="s"):
    return Unit(b"source", words.encode(), seed, pool.unit_options())


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_no_submission(cluster, tmp_path):
    mark = tmp_path / "mark"
    with DaskPool(cluster.scheduler_address, function="fake_units:echo") as workers:
        assert workers.description.startswith("2 workers of tcp://127.0.0.1:")
        words = [f"wait {mark}", *(f"word {i}" for i in range(6)), "word 0"]
        futures = {workers.submit(unit(word, seed=str(i))): i for i, word in enumerate(words)}
        assert len(futures) == len(words)  # equal submissions are graded each
        wait_for(lambda: mark.exists() and mark.read_text())
        killed = int(mark.read_text())
        os.kill(killed, signal.SIGKILL)
        mark.with_suffix(".go").touch()
        found = {futures[f]: workers.result(f) for f in workers.as_completed(futures)}
    assert [found[i]["said"] for i in range(len(words))] == words
    assert [found[i]["seed"] for i in range(len(words))] == [str(i) for i in range(len(words))]
    assert found[0]["pid"] != killed
    assert os.getpid() not in {one["pid"] for one in found.values()}


@pytest.mark.slow
def test_troubles_of_workers_are_told_apart(cluster):
    with DaskPool(cluster.scheduler_address, function="fake_units:echo") as workers:
        futures = {w: workers.submit(unit(w)) for w in ("raise", "isolation", "fine")}
        list(workers.as_completed(futures.values()))
        # Alone: what waits at a worker that dies counts as a suspect, too.
        futures["kill"] = workers.submit(unit("kill"))
        list(workers.as_completed([futures["kill"]]))
        with pytest.raises(UnitLost, match="several workers in turn were lost"):
            workers.result(futures["kill"])
        with pytest.raises(UnitLost, match="ZeroDivisionError: a defect of the grader"):
            workers.result(futures["raise"])
        with pytest.raises(IsolationError, match="no walls here"):
            workers.result(futures["isolation"])
        assert workers.result(futures["fine"])["said"] == "fine"
    with DaskPool(cluster.scheduler_address) as workers:
        other = Unit(b"", b"", "", pool.unit_options() | {"grader": "0-older"})
        (future,) = workers.as_completed([workers.submit(other)])
        with pytest.raises(PoolError, match="bring it up to date"):
            workers.result(future)


@pytest.mark.slow
@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_the_real_grader_runs_on_a_dask_worker(cluster, grader, source, stub, right):
    options = pool.unit_options(limits=grader.limits)
    seed = run.student_seed(b"k" * 64, "mini", "ada")
    with DaskPool(cluster.scheduler_address) as workers:
        files = [right.bytes, stub.bytes]
        futures = [workers.submit(Unit(source.bytes, f, seed, options)) for f in files]
        list(workers.as_completed(futures))
        full, empty = (workers.result(future) for future in futures)
    assert outcome(full) == FULL
    assert empty["score"] == 0
    assert full["manifest"]["versions"]["grader"] == results.grader_version()
    assert full["manifest"]["worker"] != pool.worker_name()
    assert full["manifest"]["isolation"] == "bubblewrap"


@pytest.mark.slow
def test_nobody_at_the_address_is_explained(monkeypatch):
    monkeypatch.setattr(pool, "CONNECT_SECONDS", 0.5)
    with pytest.raises(PoolError, match="no Dask scheduler answers at"):
        DaskPool("tcp://127.0.0.1:9")


@pytest.mark.slow
def test_a_scheduler_without_workers_is_explained(monkeypatch):
    monkeypatch.setattr(pool, "CONNECT_SECONDS", 3.0)
    settings = {"n_workers": 0, "processes": True, "host": "127.0.0.1", "silence_logs": 50}
    with (
        distributed.LocalCluster(dashboard_address=None, **settings) as empty,
        pytest.raises(PoolError, match="has no workers; start some"),
    ):
        DaskPool(empty.scheduler_address)
