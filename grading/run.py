"""Grades one submission: brings a checker and a student's process together and keeps the results.

This is the only part that knows both sides, and it executes nothing of either. It forks a checker
(`grading.checker`) and, whenever the checker asks, a student's process (`grading.student`) from
the warm parent, passes the socket between them on, and watches the clock: a cell that computes
or waits for too long ends the student's process, and if the checker itself hangs on what it was
given (``for _ in range(answer)``), the checker. Results arrive test by test and are kept here, so
that nothing that happens later can take them back.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import secrets
import select
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grading import cells, rebuild, rules, wire
from grading.sandbox import Limits, Session, WarmParent

MAX_RESTARTS_OF_CHECKER = 4
GRACE_SECONDS = 20.0
LOOK_SECONDS = 0.5
# A cell that waits (less CPU time than this share of the time by the clock) has its wall-clock
# limit; one that computes on a busy machine has this many times as long.
IDLE_SHARE, PATIENCE = 0.03, 5
SCHEMA = 1


class Grader:
    """A warm parent, ready to grade any number of submissions one after the other.

    Args:
        isolation: "bubblewrap" or "none".
        limits: What one submission may use.
        preload: Modules that submissions are likely to need, see `sandbox.mentioned`.
        warm: A warm parent that is there already, to be closed with this grader.
    """

    def __init__(
        self,
        *,
        isolation: str = "bubblewrap",
        limits: Limits | None = None,
        preload: tuple[str, ...] = (),
        warm: WarmParent | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.isolation = isolation
        self.warm = warm or WarmParent(isolation=isolation, preload=preload)

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self) -> None:
        """Wait until submissions can be graded.

        Raises:
            IsolationError: This machine cannot isolate submissions.
        """
        self.warm.wait_until_ready(self.limits)

    def close(self) -> None:
        """End the warm parent and everything it forked."""
        self.warm.close()

    def grade(
        self, source: bytes, submission: bytes, *, seed: str, one_kernel: bool = False
    ) -> dict[str, Any]:
        """Grade one submission.

        Args:
            source: Bytes of the source notebook.
            submission: Bytes of the file that was handed in.
            seed: Where hidden inputs start from, see `student_seed`.
            one_kernel: Run the tests inside the student's process, as a notebook does. No marks
                come from that; it shows that an assignment works both ways.

        Returns:
            The result as plain data, ready for JSON: ``status`` ("graded" or "rejected"),
            ``score``, ``max_score``, ``tests``, ``cells``, ``notes``, ``manifest``.

        Raises:
            rebuild.RebuildError: The source notebook is unusable; a submission never raises.
            IsolationError: This machine cannot isolate submissions.
        """
        self.wait_until_ready()
        self.warm.fork_ahead(self.limits)  # while this process reads the submission
        start = time.monotonic()
        source_cells, task_rules = _read_source(source)
        manifest = {
            "schema": SCHEMA,
            "source_sha256": hashlib.sha256(source).hexdigest(),
            "submission_sha256": hashlib.sha256(submission).hexdigest(),
            "isolation": self.isolation,
            "limits": asdict(self.limits),
        }
        try:
            plan = rebuild.rebuild(source_cells, rebuild.read_cells(submission))
        except rebuild.RebuildError as error:
            return _rejected(source_cells, str(error), manifest)
        run = _Run(self, plan, task_rules, seed, one_kernel)
        run.run()
        manifest |= {
            "seconds": round(time.monotonic() - start, 3),
            "students_processes": run.started,
            "ended": run.ended,
        }
        return run.result(manifest)


@functools.lru_cache(maxsize=4)
def _read_source(source: bytes) -> tuple[list[rebuild.Cell], dict[str, rules.TaskRules]]:
    """The source notebook's cells and rules: the same for a whole class."""
    found = rebuild.read_source(source)
    return found, rules.read(found)


def student_seed(secret: bytes, assignment: str, student: str) -> str:
    """The seed of one student's hidden inputs: the same every time, unguessable for students."""
    return hmac.new(secret, f"{assignment}\0{student}".encode(), hashlib.sha256).hexdigest()


def default_secret_file() -> Path:
    """Where the secret is kept: outside the repository, in the user's data folder."""
    folder = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(folder) / "cnnlib-grading" / "seed"


def read_secret(path: Path) -> bytes:
    """Read the secret; created on first use, readable by its owner alone.

    Raises:
        ValueError: The file is there but too short to be one of ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written completely under another name first, so that nobody ever reads half a secret.
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was faster; its secret is the one
        finally:
            draft.unlink()
    secret = path.read_bytes().strip()
    if len(secret) < 32:
        raise ValueError(f"{path} is too short for a secret; move it away to get a new one")
    return secret


@dataclass
class _Clock:
    """Since when something runs, and how much CPU time had been used then."""

    index: int = -1
    since: float = field(default_factory=time.monotonic)
    cpu: dict[str, float] = field(default_factory=dict)


class _Run:
    """One submission on its way through both processes."""

    def __init__(
        self,
        grader: Grader,
        plan: rebuild.Plan,
        task_rules: dict[str, rules.TaskRules],
        seed: str,
        one_kernel: bool = False,
    ) -> None:
        self.warm = grader.warm
        self.plan = plan
        self.rules = task_rules
        self.items = self.all_items()
        self.forbidden, not_searched = rules.broken(plan.items, task_rules)  # by the text alone
        self.seed = seed
        self.one_kernel = one_kernel
        self.limits = grader.limits
        self.results: dict[int, dict] = {}
        self.cells: dict[int, dict] = {}
        self.notes: list[str] = [*plan.notes, *not_searched]
        self.skip: set[int] = set()
        self.student: Session | None = None
        self.channel: socket.socket | None = None
        self.reason: str | None = None  # why we ended the student's process
        self.started = 0
        self.ended: list[dict] = []
        self.clock = _Clock()
        self.finished = False
        self.deadline = time.monotonic() + self.limits.wall_seconds

    def run(self) -> None:
        for _ in range(MAX_RESTARTS_OF_CHECKER + 1):
            session, control = self.warm.start("checker", self.limits)
            try:
                with control:
                    self.follow(session, control)
            except (EOFError, OSError, wire.WireError):
                self.blame_current("the test took too long or used too much memory")
            finally:
                self.end_student()
                self.warm.end(session)
            if self.finished or time.monotonic() > self.deadline:
                return

    def follow(self, session: Session, control: socket.socket) -> None:
        """Serve one checker until it is done, dies or must be ended."""
        job = {
            "items": self.items,
            "student_names": sorted(self.plan.student_names),
            "student_classes": {n: sorted(s) for n, s in self.plan.student_classes.items()},
            "seed": self.seed,
            "one_kernel": self.one_kernel,
            "done": sorted(self.results),
            "skip": sorted(self.skip),
        }
        wire.send_frame(control, json.dumps(job).encode())
        self.clock = _Clock()
        while not self.finished:
            ready, _, _ = select.select([control], [], [], LOOK_SECONDS)
            if ready:
                self.obey(control, json.loads(wire.receive_frame(control)))
            elif not self.look(session):
                self.blame_current("the test took too long on what your code returned")
                return

    def all_items(self) -> list[dict]:
        """The plan's items, for the checker."""
        student_names = frozenset(self.plan.student_names)
        items = []
        for item in self.plan.items:
            entry = {"kind": item.kind, "name": item.name, "source": item.source}
            if item.kind == "test":
                entry |= self.test_item(item)
            else:  # the texts have been parsed already, for names and rules
                entry["python"] = rebuild.parse(item.source) is not None
            if item.kind == "instructor":
                entry |= _local_item(item, student_names)
                student_names |= frozenset(entry["bound"])
            items.append(entry)
        return items

    def test_item(self, item: rebuild.Item) -> dict:
        """What the checker needs to run a test cell."""
        found = self.rules.get(item.name)
        return {
            "points": item.points,
            "hidden": rebuild.hidden_lines(item.source),
            "rules": [rule.data for rule in found.rules] if found else [],
            **asdict(cells.compile_test(item.name, item.source)),
        }

    def obey(self, control: socket.socket, message: dict) -> None:
        event = message.pop("event")
        if event == "student":
            self.give_student(control)
        elif event == "begin":
            self.clock = _Clock(message["index"])
        elif event == "end":
            index = message.pop("index")
            self.results.setdefault(index, message)
            if message["status"] in ("timeout", "killed"):
                self.skip.add(index)
        elif event == "cell":
            index = message.pop("index")
            self.cells.setdefault(index, message)
            if message["ended"]:
                self.skip.add(index)
        elif event == "instructor error":
            note = f"problem in the source notebook: {message['message']}"
            if note not in self.notes:  # a second checker meets the same problem
                self.notes.append(note)
        elif event == "done":
            self.finished = True

    def give_student(self, control: socket.socket) -> None:
        """Fork a student's process and hand the checker its socket."""
        previous = self.end_student()
        if self.started > 2 * len(self.plan.items) + 4 or time.monotonic() > self.deadline:
            self.notes.append("the submission ended its process too often; the rest was not run")
            self.finished = True
            return
        self.started += 1
        self.student, channel = self.warm.start("student", self.limits)
        self.reason = None
        with channel:
            socket.send_fds(control, [b"F"], [channel.fileno()])
        wire.send_frame(control, json.dumps(previous).encode())
        self.warm.fork_ahead(self.limits)  # for the next submission, while this one runs
        self.clock = _Clock(self.clock.index)

    def end_student(self) -> dict:
        """End the current student's process, if any; returns how it ended."""
        if self.student is None:
            return {}
        report = dict(self.warm.wait_for_end(self.student, 1.0) or self.warm.end(self.student))
        self.student = None
        report["reason"] = self.reason or report.get("reason")
        kept = ("reason", "exit", "output_bytes", "peak_memory", "cpu_seconds")
        short = {name: report.get(name) for name in kept}
        self.ended.append(short)
        return short

    def look(self, checker: Session) -> bool:
        """See whether the current cell has had its time; False if the checker must go."""
        now = time.monotonic()
        elapsed = now - self.clock.since
        if now > self.deadline:
            self.notes.append("the time for the whole submission was used up")
            return False
        if self.reason is not None:  # the student's process was ended; does the checker go on?
            return elapsed < PATIENCE * self.limits.cell_wall_seconds + GRACE_SECONDS
        used = self.cpu_used(checker)
        # On a busy machine an honest cell gets little of the processor, but it gets some.
        idle = used is not None and sum(used.values()) < IDLE_SHARE * elapsed
        patience = self.limits.cell_wall_seconds * (1 if idle else PATIENCE)
        too_long = elapsed > patience
        busy = [w for w, cpu in (used or {}).items() if cpu > self.limits.cell_cpu_seconds]
        if too_long or busy:
            if self.student is not None and busy != ["checker"]:
                self.reason = "timeout"
                self.warm.end(self.student)
            else:
                return False
        return True

    def cpu_used(self, checker: Session) -> dict[str, float] | None:
        """CPU seconds that each side has used since the current cell began; None if unknown."""
        found = {"checker": self.warm.usage(checker)}
        if self.student is not None:
            found["student"] = self.warm.usage(self.student)
        now = {who: usage[0] for who, usage in found.items() if usage is not None}
        if len(now) < len(found):
            return None  # nobody is called idle for a question that was not answered
        for who, cpu in now.items():
            self.clock.cpu.setdefault(who, cpu)
        return {who: cpu - self.clock.cpu[who] for who, cpu in now.items()}

    def blame_current(self, message: str) -> None:
        """The checker ended during this item; the next one goes on after it."""
        index = self.clock.index
        self.skip.add(index)
        if 0 <= index < len(self.plan.items) and self.plan.items[index].kind == "test":
            self.results.setdefault(
                index,
                {
                    "status": "timeout",
                    "points": 0.0,
                    "message": message,
                    "seconds": time.monotonic() - self.clock.since,
                },
            )

    def result(self, manifest: dict) -> dict[str, Any]:
        """The contract's JSON."""
        tests = []
        for index, item in enumerate(self.plan.items):
            if item.kind not in ("test", "manual"):
                continue
            result = self.results.get(index, {})
            if item.kind == "test" and item.name in self.forbidden:
                message = self.forbidden[item.name]
                result = {**result, "points": 0.0, "status": "forbidden", "message": message}
                result["hidden"] = False
            default = "manual" if item.kind == "manual" else "not reached"
            tests.append(
                {
                    "grade_id": item.name,
                    "points": result.get("points", 0.0),
                    "max_points": item.points,
                    "status": result.get("status", default),
                    "message": result.get("message", ""),
                    "hidden": result.get("hidden", False),
                    "seconds": round(result.get("seconds", 0.0), 4),
                }
            )
        shown = [
            {"name": self.plan.items[index].name, **cell}
            for index, cell in sorted(self.cells.items())
            if self.plan.items[index].kind == "student"
        ]
        return {
            "status": "graded",
            "score": sum(test["points"] for test in tests),
            "max_score": self.plan.max_score,
            "tests": tests,
            "cells": shown,
            "notes": self.notes,
            "manifest": manifest,
        }


def _local_item(item: rebuild.Item, student_names: frozenset[str]) -> dict:
    """What the checker repeats of a cell of the instructor's."""
    try:
        found = cells.compile_local(item.name, item.source, student_names)
    except SyntaxError as error:
        problem = f"line {error.lineno}: {error}"
        return {"problem": problem, "statements": [], "loaded": [], "bound": []}
    return {"problem": None, **asdict(found)}


def _rejected(source: list[rebuild.Cell], reason: str, manifest: dict) -> dict[str, Any]:
    tests = [
        {
            "grade_id": cell.grade_id,
            "points": 0.0,
            "max_points": cell.points,
            "status": "not reached",
            "message": "",
            "hidden": False,
            "seconds": 0.0,
        }
        for cell in source
        if cell.grade
    ]
    return {
        "status": "rejected",
        "reason": reason,
        "score": 0.0,
        "max_score": sum(test["max_points"] for test in tests),
        "tests": tests,
        "cells": [],
        "notes": [reason],
        "manifest": manifest,
    }
