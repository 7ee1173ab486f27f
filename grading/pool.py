"""Runs work units, in several processes of this machine or on others.

A unit is bytes in (source notebook, submission, seed, options) and JSON out. It needs no shared
disk, no database and no course folder, so the same function, `grade_unit`, runs in a process next
door and on a machine that has only the packages ``grading`` and ``cnnlib``. Each worker keeps one
warm grader and uses it for one submission after the other.

`LocalPool` starts the workers itself. A worker that dies is replaced and its unit tried once more;
if that worker dies too, the unit is lost (`UnitLost`) and the others go on. `DaskPool` sends the
units to the workers of a ``dask.distributed`` scheduler, which does the same for lost machines.
A machine that cannot isolate submissions stops the run: `IsolationError`, never a guess.

Threat model. Student code runs only in the sandbox that a worker's grader builds; the worker
itself, its parent and the scheduler trust each other, and Dask pickles between them. Whoever can
connect to a Dask scheduler can run code on it and on its workers, and reads the hidden tests as
they pass: on any network that is not yours alone use ``tls://`` with certificates. Neither the
secret behind the hidden inputs nor the gradebook leaves the machine that runs ``grade``; a unit
carries the seed of one student for one assignment.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import json
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from grading import results
from grading.run import Grader
from grading.sandbox import START_SECONDS, IsolationError, Limits, WarmParent

GRADE_UNIT = "grading.pool:grade_unit"
ATTEMPTS = 2
SPARE_SECONDS = 600.0  # beyond the limit that the grader itself keeps
CONNECT_SECONDS = 30.0
_CLOSE_SECONDS = 10.0
_ERROR_CHARACTERS = 500
_DONE, _NO_ISOLATION, _LOST, _READY = b"D", b"I", b"L", b"R"


class PoolError(RuntimeError):
    """The workers cannot be used; the message says why and what to do."""


class UnitLost(RuntimeError):
    """One submission could not be graded, through no fault of the others."""


@dataclass(frozen=True)
class Unit:
    """What a worker needs for one submission.

    Attributes:
        source: Bytes of the source notebook.
        submission: Bytes of the file that was handed in.
        seed: Where the student's hidden inputs start from.
        options: From `unit_options`.
    """

    source: bytes = field(repr=False)
    submission: bytes = field(repr=False)
    seed: str = field(repr=False)
    options: dict[str, Any]


def unit_options(
    *,
    isolation: str = "bubblewrap",
    limits: Limits | None = None,
    preload: tuple[str, ...] = (),
) -> dict[str, Any]:
    """How to grade, as plain data: isolation, limits, and the version that must do it.

    Args:
        isolation: "bubblewrap" or "none".
        limits: What one submission may use.
        preload: Modules that the class needs, see `sandbox.mentioned`; only for speed.
    """
    return {
        "isolation": isolation,
        "limits": asdict(limits or Limits()),
        "preload": list(preload),
        "grader": results.grader_version(),
    }


# --- what a worker does ---------------------------------------------------------------------------

# One grader a thread: Dask's workers may run several, and a grader serves one caller at a time.
_warm = threading.local()


def grade_unit(source: bytes, submission: bytes, seed: str, options: dict[str, Any]) -> bytes:
    """Grade one submission in this process.

    Args:
        source: Bytes of the source notebook.
        submission: Bytes of the file that was handed in.
        seed: Where the student's hidden inputs start from.
        options: From `unit_options`.

    Returns:
        The contract's JSON, with this worker's part of the manifest.

    Raises:
        IsolationError: This machine cannot isolate submissions.
        PoolError: This machine has another version of the grader.
        UnitLost: The sandbox ended twice under this submission.
    """
    if options["grader"] != results.grader_version():
        raise PoolError(
            f"{worker_name()} has another version of grading or cnnlib ({results.grader_version()},"
            f" wanted {options['grader']}): bring it up to date and restart its workers"
        )
    reasons = []
    for _ in range(ATTEMPTS):
        grader = _warm_grader(options)
        try:
            result = grader.grade(source, submission, seed=seed)
        except IsolationError as error:  # it had started well, and ended under this submission
            close_grader()
            reasons.append(str(error))
            continue
        result["manifest"] |= results.execution_facts(result, worker_name())
        return json.dumps(result).encode()
    raise UnitLost("; then ".join(reasons))


def _warm_grader(options: dict[str, Any]) -> Grader:
    """This thread's grader, started if there is none for these options."""
    if getattr(_warm, "options", None) != options:
        close_grader()
        inherited, _warm.inherited = getattr(_warm, "inherited", None), None
        try:
            grader = Grader(
                isolation=options["isolation"],
                limits=Limits(**options["limits"]),
                preload=tuple(options["preload"]),
                warm=inherited,
            )
            try:
                grader.wait_until_ready()
            except BaseException:
                grader.close()
                raise
        except IsolationError as error:
            raise IsolationError(f"{worker_name()}: {error}") from error
        _warm.grader, _warm.options = grader, options
    return _warm.grader


def close_grader() -> None:
    """End this thread's warm grader, if it has one."""
    grader = getattr(_warm, "grader", None)
    _warm.grader = _warm.options = None
    if grader is not None:
        grader.close()


def worker_name() -> str:
    """Machine and process, for manifests and messages."""
    return f"{socket.gethostname()}:{os.getpid()}"


def work(descriptor: int, function: str, warm: int | None = None) -> None:
    """Main function of a worker process of `LocalPool`.

    Whatever goes wrong beyond what is answered here ends the process, with its traceback where
    the pool finds it; the pool starts a new one.

    Args:
        descriptor: Inherited socket to the pool.
        function: What grades a unit, as "module:name".
        warm: Inherited control socket of a warm parent's twin, for the first grader.
    """
    connection = Connection(descriptor)
    if warm is not None:
        _warm.inherited = WarmParent.adopt(warm)
    module, _, name = function.partition(":")
    grade = getattr(importlib.import_module(module), name)
    orders: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, orders), daemon=True).start()
    connection.send_bytes(_READY)
    while (order := orders.get()) is not None:
        connection.send_bytes(_answer(grade, order))
    close_grader()


def _listen(connection: Connection, orders: queue.SimpleQueue) -> None:
    """Take orders from the pool while the main thread works.

    When the pool's process is gone, this one must not outlive it, whatever it is doing; its
    sandboxes end with it.
    """
    while True:
        try:
            order = connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)
        # Pickle is safe here: the bytes come from the process that started this one.
        orders.put(pickle.loads(order) if order else None)


def _answer(grade: Any, order: tuple) -> bytes:
    try:
        return _DONE + grade(*order)
    except IsolationError as error:
        return _NO_ISOLATION + str(error).encode()
    except UnitLost as error:
        return _LOST + str(error).encode()


# --- who hands the units out ----------------------------------------------------------------------


class Pool(Protocol):
    """The interface that both pools have. Use as a context manager; leaving it ends all work."""

    description: str

    def submit(self, unit: Unit) -> Any:
        """Hand in a unit; returns a future."""

    def as_completed(self, futures: Iterable[Any]) -> Iterator[Any]:
        """The futures, each as soon as it is done."""

    def result(self, future: Any) -> dict[str, Any]:
        """What came of a unit that is done.

        Raises:
            UnitLost: This unit has no result; others may have.
            IsolationError: A worker cannot isolate submissions.
            PoolError: The workers cannot be used.
        """

    def close(self) -> None:
        """End all work."""

    def __enter__(self) -> Pool: ...

    def __exit__(self, *_: object) -> None: ...


class _Death(Exception):
    """A worker process ended or fell silent."""


class _WorkerProcess:
    """One worker process, seen from the pool."""

    def __init__(self, function: str, patience: float, twin: socket.socket | None = None) -> None:
        """Start it.

        Args:
            function: What grades a unit.
            patience: Seconds without an answer after which it counts as dead.
            twin: Control socket of a warm parent that it shall use; closed here.
        """
        self.patience = patience
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from grading.pool import work; work({theirs.fileno()}, {function!r}, "
            f"{None if twin is None else twin.fileno()})"
        )
        with theirs, twin or contextlib.nullcontext():
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=self.errors,
                stderr=self.errors,
                pass_fds=[end.fileno() for end in (theirs, twin) if end is not None],
                # Ctrl-C at the terminal is for the pool's process alone.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())

    def wait_until_ready(self) -> None:
        try:
            self._receive(START_SECONDS)
        except _Death as death:
            raise PoolError(f"a worker process does not start: {death}") from death

    def grade(self, unit: Unit) -> bytes:
        """Send a unit and wait for the answer."""
        order = (unit.source, unit.submission, unit.seed, unit.options)
        try:
            self.connection.send_bytes(pickle.dumps(order))
        except OSError as error:
            raise _Death(self._how_it_ended()) from error
        return self._receive(self.patience)

    def _receive(self, timeout: float) -> bytes:
        try:
            if self.connection.poll(timeout):
                return self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise _Death(self._how_it_ended()) from error
        self.kill()
        raise _Death(f"it did not answer for {timeout:.0f} s")

    def _how_it_ended(self) -> str:
        try:
            status = self.process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        how = f"exit status {status}"
        if status < 0:
            names = {one.value: one.name for one in signal.Signals}  # real-time ones have none
            how = f"killed by signal {-status} ({names.get(-status, 'no name')})"
        self.errors.seek(0)
        said = self.errors.read().decode("utf-8", "replace").strip().split("\n")
        # The last line of a traceback says what it was; the rest is nothing for a student.
        return f"{how}: {said[-1][-_ERROR_CHARACTERS:]}" if said[-1] else how

    def kill(self) -> None:
        """End the process at once; its sandboxes end with it."""
        self.process.kill()

    def close(self) -> None:
        """Let the process end in its own way, if it does so soon."""
        try:
            self.connection.send_bytes(b"")
            self.process.wait(_CLOSE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.connection.close()
        self.errors.close()


class LocalPool:
    """Worker processes on this machine, started as units come in.

    What takes longest at the start, importing torch, is done once: in a warm parent whose twins
    the workers use. A worker whose twin has ended starts a warm parent of its own.
    """

    def __init__(
        self,
        workers: int,
        *,
        function: str = GRADE_UNIT,
        patience: float | None = None,
        warm: WarmParent | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            workers: How many processes at most.
            function: What grades a unit, as "module:name".
            patience: Seconds after which a worker that does not answer counts as dead; by default
                more than the grader's own limit for a submission, and the time to warm up.
            warm: A warm parent, made for the options of the units to come; closed with the pool.
        """
        if workers < 1:
            raise ValueError(f"there must be at least one worker, not {workers}")
        self.workers = workers
        self.description = f"{workers} process{'es' * (workers > 1)} on this machine"
        self.function = function
        self.patience = patience
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._processes: set[_WorkerProcess] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._warm = warm
        self._warm_lock = threading.Lock()

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, unit: Unit) -> concurrent.futures.Future:
        """Hand in a unit; returns a future."""
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._jobs.put((future, unit))
        if len(self._threads) < self.workers:
            thread = threading.Thread(target=self._serve, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def as_completed(self, futures: Iterable[concurrent.futures.Future]) -> Iterator[Any]:
        """The futures, each as soon as it is done."""
        return concurrent.futures.as_completed(list(futures))

    def result(self, future: concurrent.futures.Future) -> dict[str, Any]:
        """What came of a unit that is done, see `Pool`."""
        return json.loads(future.result())

    def close(self) -> None:
        """End all work; what has not been done is cancelled."""
        with self._lock:
            self._closing = True
            for process in self._processes:
                process.kill()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        if self._warm is not None:
            self._warm.close()

    def _serve(self) -> None:
        """Look after one worker process. Runs in a thread of its own."""
        process: _WorkerProcess | None = None
        while (job := self._jobs.get()) is not None:
            future, unit = job
            if self._closing:
                future.cancel()
            elif future.set_running_or_notify_cancel():
                process = self._grade(process, future, unit)
        if process is not None:
            self._end(process)

    def _grade(
        self, process: _WorkerProcess | None, future: concurrent.futures.Future, unit: Unit
    ) -> _WorkerProcess | None:
        """Get one unit graded; returns the process that is alive then."""
        deaths: list[str] = []
        while len(deaths) < ATTEMPTS and not self._closing:
            try:
                process = process or self._start(unit)
                answer = process.grade(unit)
            except _Death as death:
                self._end(process)
                process = None
                deaths.append(str(death))
            except IsolationError as error:
                future.set_exception(error)
                return None
            except (PoolError, OSError) as error:
                future.set_exception(PoolError(str(error)))
                return None
            else:
                _settle(future, answer)
                return process
        ways = "; then ".join(deaths)
        future.set_exception(
            PoolError("the pool was closed")
            if self._closing
            else UnitLost(f"the worker process ended while grading it: {ways}")
        )
        return None

    def _start(self, unit: Unit) -> _WorkerProcess:
        patience = self.patience
        if patience is None:
            limit = unit.options["limits"]["wall_seconds"]
            patience = ATTEMPTS * (limit + START_SECONDS) + SPARE_SECONDS
        with self._lock:
            if self._closing:
                raise PoolError("the pool was closed")
            process = _WorkerProcess(self.function, patience, self._twin())
            self._processes.add(process)
        try:
            process.wait_until_ready()
            if self._warm is not None:
                with self._warm_lock:  # the trial that every machine has to pass
                    self._warm.wait_until_ready(Limits(**unit.options["limits"]))
        except (PoolError, IsolationError):
            self._end(process)
            raise
        return process

    def _twin(self) -> socket.socket | None:
        """A twin of the warm parent, if that is alive; one that is still importing will fork it."""
        if self._warm is None:
            return None
        try:
            return self._warm.twin()
        except IsolationError:
            return None  # the worker starts one of its own, and says what is wrong with it

    def _end(self, process: _WorkerProcess | None) -> None:
        if process is not None:
            with self._lock:
                self._processes.discard(process)
            process.close()


def _settle(future: concurrent.futures.Future, answer: bytes) -> None:
    kind, content = answer[:1], answer[1:]
    if kind == _DONE:
        future.set_result(content)
    else:
        error = IsolationError if kind == _NO_ISOLATION else UnitLost
        future.set_exception(error(content.decode()))


class DaskPool:
    """The workers of a ``dask.distributed`` scheduler.

    Start the workers in the folder of a checkout (``solutions/`` is not needed) or with it on
    ``PYTHONPATH``, one thread and one process a core:
    ``dask worker tls://head:8786 --nthreads 1 --nworkers 8``.
    """

    def __init__(
        self,
        scheduler: str,
        *,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        function: str = GRADE_UNIT,
    ) -> None:
        """Connect, and see that there is a worker.

        Args:
            scheduler: Address, as ``tcp://host:8786`` or ``tls://host:8786``.
            tls_ca: File with the certificate of the authority that all sides trust.
            tls_cert: File with this side's certificate.
            tls_key: File with its key.
            function: What grades a unit, as "module:name"; the workers must have it.

        Raises:
            PoolError: Dask is missing, nobody answers, or there is no worker.
        """
        tls = [tls_ca, tls_cert, tls_key]
        security = _security(scheduler, tls)
        distributed = _import_distributed()
        self._distributed = distributed
        module, _, name = function.partition(":")
        self._function = getattr(importlib.import_module(module), name)
        try:
            self._client = distributed.Client(
                scheduler, security=security, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, TimeoutError) as error:
            raise PoolError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            self._client.close()
            raise PoolError(
                f"the scheduler at {scheduler} has no workers; start some on each machine: "
                f"dask worker {scheduler} --nthreads 1 --nworkers 8"
            ) from error
        count = len(self._client.scheduler_info(n_workers=-1)["workers"])
        self.description = f"{count} worker{'s' * (count > 1)} of {scheduler}"

    def __enter__(self) -> DaskPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, unit: Unit) -> Any:
        """Hand in a unit; returns a future."""
        # pure=False: equal submissions are graded each on its own, as everywhere else.
        return self._client.submit(
            self._function, unit.source, unit.submission, unit.seed, unit.options, pure=False
        )

    def as_completed(self, futures: Iterable[Any]) -> Iterator[Any]:
        """The futures, each as soon as it is done."""
        return iter(self._distributed.as_completed(list(futures), loop=self._client.loop))

    def result(self, future: Any) -> dict[str, Any]:
        """What came of a unit that is done, see `Pool`."""
        if future.cancelled():
            raise PoolError("the connection to the scheduler was lost")
        error = future.exception()
        if error is None:
            return json.loads(future.result())
        if isinstance(error, (IsolationError, PoolError, UnitLost)):
            raise error
        if isinstance(error, ImportError):
            raise PoolError(
                f"a worker lacks a package ({error}): start the workers in a checkout's folder, "
                "in the environment that requirements.txt describes"
            ) from error
        if isinstance(error, self._distributed.scheduler.KilledWorker):
            raise UnitLost(f"several workers in turn were lost while grading it: {error}")
        raise UnitLost(f"the grader failed on a worker: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Take back what has not been done, and disconnect."""
        self._client.close()


def _import_distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise PoolError(
            "--scheduler needs Dask, which is not installed here: pip install distributed"
        ) from error


def _security(scheduler: str, tls: list[str | None]) -> Any:
    """Dask's description of the certificates; None for an unencrypted connection."""
    encrypted = scheduler.startswith("tls://")
    if not encrypted and not scheduler.startswith("tcp://"):
        raise PoolError(f"the scheduler's address must be tcp://… or tls://…, not {scheduler!r}")
    if encrypted != all(tls) or (any(tls) and not all(tls)):
        raise PoolError(
            "a tls:// address needs --tls-ca, --tls-cert and --tls-key, and they a tls:// address"
        )
    if not encrypted:
        return None
    missing = [path for path in tls if path is not None and not os.path.isfile(path)]
    if missing:
        raise PoolError(f"there is no file {missing[0]}")
    ca, certificate, key = tls
    return _import_distributed().Security(
        tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
    )
