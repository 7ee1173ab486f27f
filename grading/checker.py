"""The checker's process: runs the test cells, and decides.

It never runs a line of the submission. The student's cells go, as text, to the student's process;
test cells run here, with stand-ins (`grading.proxy`) under the names that the reference solution
defines. So whatever a submission patches, catches, prints, raises or returns happens in another
process, and the only thing it can influence here is the plain data that a test asks for.

What tests may use:

* the imports, functions, classes and independent values of the instructor's own cells, executed
  here a second time from the source notebook (a submission's version of them is never seen);
* the student's names, looked up freshly before each test cell;
* what earlier test cells defined.

A test whose task has rules (`grading.rules`) has the student's process notice what they forbid
while it runs, and gives no points if anything was noticed.

If the student's process ends, the host forks a new one, the student's cells are replayed without
the one that ended it, and the test that was running is tried once more: a thread or a leak that an
earlier task left behind then costs nobody else points.
"""

from __future__ import annotations

import base64
import contextlib
import json
import marshal
import math
import os
import socket
import time
import traceback
import types
from typing import Any

import numpy as np
import torch

from grading import proxy, watch, wire

MESSAGE_CHARACTERS = 4_000


def prepare() -> None:
    """Before any fork: load what the first test would load."""
    proxy.known_modules()


def serve(connection: socket.socket) -> None:
    """Grade one submission for the host, then end.

    Messages are JSON in frames of `grading.wire`; the host is trusted. File descriptors of
    students' processes come along with a single byte.
    """
    job = json.loads(wire.receive_frame(connection))
    os.environ["CNNLIB_GRADING_SEED"] = job["seed"]
    proxy.notice_seeding()
    with contextlib.suppress(BrokenPipeError):
        _Checker(connection, job).run()


class _Stop(Exception):
    """The host has had enough of this submission."""


class _Test:
    """A test cell, compiled by `grading.cells`.

    Attributes:
        file: What tracebacks call it.
        hidden: First and last lines of the parts that students never see.
        rules: What answers to it must not use.
        loaded: Names that it reads anywhere.
        stored: Names that it binds at the top level.
    """

    def __init__(self, item: dict) -> None:
        self.file = f"<test {item['name']}>"
        self.hidden: list[list[int]] = item["hidden"]
        self.rules: list[dict] = item["rules"]
        self.loaded, self.stored = set(item["loaded"]), set(item["stored"])
        self.body = _code(item["body"])
        self.last = None if item["last"] is None else _code(item["last"])

    def run(self, namespace: dict) -> Any:
        exec(self.body, namespace)  # the instructor's code
        return eval(self.last, namespace) if self.last is not None else None


def _code(text: str) -> types.CodeType:
    """Compiled code, from the host."""
    return marshal.loads(base64.b64decode(text))


class _Checker:
    def __init__(self, connection: socket.socket, job: dict) -> None:
        self.connection = connection
        self.items: list[dict] = job["items"]
        self.student_names = set(job["student_names"])
        self.student_classes = {
            name: frozenset(specials) for name, specials in job["student_classes"].items()
        }
        self.one_kernel = job["one_kernel"]
        self.done = set(job["done"])  # results the host has; repeated only for their names
        self.skipped = set(job["skip"])  # cells and tests that ended a process
        self.namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        self.of_tests: set[str] = set()  # names that test cells have bound
        self.read_by_instructor: set[str] = set()  # names in the instructor's own functions
        self.remote: proxy.Remote | None = None
        self.tests = {
            index: _Test(item) for index, item in enumerate(self.items) if item["kind"] == "test"
        }

    # --- the host ---------------------------------------------------------------------------

    def tell(self, event: str, **fields: Any) -> None:
        wire.send_frame(self.connection, json.dumps({"event": event, **fields}).encode())

    def ask_for_student(self) -> dict:
        """Get a fresh student's process; returns how the one before it ended."""
        if self.remote is not None:
            self.remote.connection.close()
        self.tell("student")
        data, fds, _, _ = socket.recv_fds(self.connection, 1, 1)
        if not data or not fds:
            raise _Stop
        previous = json.loads(wire.receive_frame(self.connection))
        channel = socket.socket(fileno=fds[0])
        self.remote = proxy.Remote(channel, self.namespace, self.student_classes)
        return previous

    # --- the run ----------------------------------------------------------------------------

    def run(self) -> None:
        self.try_rules()
        try:
            for index, item in enumerate(self.items):
                if item["kind"] == "test":
                    self.test(index, item)
                elif item["kind"] != "manual":
                    self.cell(index, item)
        except _Stop:
            return
        self.tell("done")

    def try_rules(self) -> None:
        """See that every rule names something: one that does not would never be broken."""
        rules = [rule for test in self.tests.values() for rule in test.rules]
        for path, label in {rule["path"]: rule["label"] for rule in rules}.items():
            if "." not in path:  # the operator, or a package, which need not be installed
                continue
            try:
                watch.resolve(path)
            except LookupError as error:
                message = f"the rule {label!r} names nothing that exists: {error}"
                self.tell("instructor error", message=message)

    def cell(self, index: int, item: dict) -> None:
        """Run a cell of the student's or the instructor's in the student's process."""
        if item["kind"] == "instructor":
            self.run_locally(item)
        if index in self.skipped:
            return
        self.ready(index)
        self.tell("begin", index=index)
        # What it prints may be what an earlier test called the student's functions with.
        hidden_before = any(t.hidden for number, t in self.tests.items() if number < index)
        after = {"after_hidden_test": hidden_before}
        try:
            answer = self.run_cell(item)
        except proxy.StudentGone:
            self.skipped.add(index)
            previous = self.replace_student(index)
            self.tell("cell", index=index, error=None, output="", ended=previous, **after)
            return
        self.tell("cell", index=index, ended=None, **answer, **after)

    def run_cell(self, item: dict) -> dict:
        try:
            cell = item["source"], item["name"], item["python"]
            answer = self.current.request("cell", cell)
        except (Exception, proxy.CannotCross) as error:  # the submission broke IPython itself
            return {"error": _describe(type(error).__name__, error), "output": ""}
        if type(answer) is not dict or type(answer.get("output")) is not str:
            raise self.current.broken("an answer that no cell gives")
        error = answer.get("error")
        text = None
        if error is not None:
            raised = self.current.exception(error)
            text = _describe(str(error[1])[:200], raised)
        return {"error": text, "output": answer["output"][:100_000]}

    @property
    def current(self) -> proxy.Remote:
        if self.remote is None:
            self.ask_for_student()
        assert self.remote is not None
        return self.remote

    def ready(self, index: int) -> None:
        """See that a student's process is there and silent before something is run in it."""
        remote = self.current
        if remote.dead is None and _silent(remote.connection):
            return
        remote.dead = remote.dead or "the student's process ended between two cells"
        self.replace_student(index)

    def replace_student(self, index: int) -> dict:
        """A fresh process, brought to where the old one was; returns how that ended."""
        ended = self.ask_for_student()
        for _ in range(len(self.items)):
            crashed = self.replay(index)
            if crashed is None:
                return ended
            self.skipped.add(crashed)
            self.ask_for_student()
        return ended

    def replay(self, index: int) -> int | None:
        """Run the cells before `index` again; returns the one that ended the process, if any."""
        self.tell("begin", index=index)
        for earlier in range(index):
            item = self.items[earlier]
            if earlier in self.skipped or item["kind"] == "manual":
                continue
            try:
                if item["kind"] == "test":
                    if self.is_needed_later(earlier, index):
                        self.run_test(earlier)
                else:
                    self.run_cell(item)
            except proxy.StudentGone:
                return earlier
            self.tell("begin", index=index)
        return None

    def is_needed_later(self, test: int, index: int) -> bool:
        """Whether a later test uses a name that this one binds."""
        names = self.tests[test].stored
        return any(names & other.loaded for number, other in self.tests.items() if number >= index)

    def run_locally(self, item: dict) -> None:
        """The instructor's cell, as far as it does not depend on the student's objects."""
        if item["problem"]:
            self.tell("instructor error", message=f"{item['name']}: {item['problem']}")
            return
        self.student_names |= set(item["bound"])
        self.read_by_instructor |= set(item["loaded"])
        for statement in item["statements"]:
            try:
                exec(_code(statement), self.namespace)
            except Exception as error:
                self.tell(
                    "instructor error",
                    message=f"{item['name']}: {type(error).__name__}: {error}"[:MESSAGE_CHARACTERS],
                )

    def test(self, index: int, item: dict) -> None:
        if index in self.skipped:
            return
        self.ready(index)
        self.tell("begin", index=index)
        if index in self.done:  # this process is a new one: only the names are needed
            if any(self.is_needed_later(index, later) for later in self.tests if later > index):
                with contextlib.suppress(proxy.StudentGone):
                    self.run_test(index)
            return
        start = time.monotonic()
        result: dict[str, Any] = {}
        for attempt in (1, 2):
            try:
                result = self.run_test(index)
                if self.current.dead is None:
                    break
            except proxy.StudentGone as gone:
                if self.current.dead is None:
                    result = {
                        "status": "error",
                        "points": 0.0,
                        "message": "the test uses an object of a process that has ended",
                        "hidden": self.is_hidden(gone),
                    }
                    break
                result = {"message": str(gone), "hidden": self.is_hidden(gone)}
            ended = self.replace_student(index)
            hidden = result.get("hidden", False)
            result = {**_of_ended(ended, result.get("message", "")), "hidden": hidden}
            self.tell("begin", index=index)
            if result["status"] == "timeout" or attempt == 2:
                self.skipped.add(index)
                break
        self.tell("end", index=index, seconds=time.monotonic() - start, **result)

    def run_test(self, index: int) -> dict:
        """Run one test cell; returns status, points and message."""
        test, maximum = self.tests[index], self.items[index]["points"]
        self.current.begin_test()
        if self.one_kernel:
            return self.run_test_in_one_kernel(self.items[index])
        if not test.rules:
            return self.run_watched(test, maximum)
        try:
            self.current.request("watch", (test.rules,))
            result = self.run_watched(test, maximum)
            broken = self.current.request("watched", ())
        except (Exception, proxy.CannotCross) as error:
            message = f"your code keeps this task's rules from being checked: {error}"
            return _result("error", 0.0, message)
        labels = [rule["label"] for rule in test.rules]
        if type(broken) is not list or not all(label in labels for label in broken):
            raise self.current.broken("rules that do not exist")
        if not broken:
            return result
        message = f"not allowed in this task: {', '.join(broken)} (used while your code ran)"
        return _result("forbidden", 0.0, f"{message}; so the task gives no points")

    def run_watched(self, test: _Test, maximum: float) -> dict:
        """Run a test cell with what is to be noticed set up."""
        names = self.names_for(test)
        found = self.look_up(names)
        for name in names:
            self.namespace.pop(name, None)
        self.namespace.update(found)
        self.of_tests |= test.stored
        try:
            value = test.run(self.namespace)
        except proxy.StudentGone:
            raise
        except AssertionError as error:
            status = "error" if hasattr(error, "student_lines") else "failed"
            return {**_result(status, 0.0, _explain(error)), "hidden": self.is_hidden(error)}
        except BaseException as error:
            return {**_result("error", 0.0, _explain(error)), "hidden": self.is_hidden(error)}
        return _graded(value, maximum)

    def is_hidden(self, error: BaseException) -> bool:
        """Whether an exception passed through a line of a test that students never see."""
        hidden = {test.file: test.hidden for test in self.tests.values()}
        return any(
            first <= line <= last
            for frame, line in traceback.walk_tb(error.__traceback__)
            for first, last in hidden.get(frame.f_code.co_filename, [])
        )

    def names_for(self, test: _Test) -> list[str]:
        """The student's names that this test can come across."""
        read = set(test.loaded) | self.read_by_instructor
        for other in self.tests.values():
            if other.stored & test.loaded:  # a function of another test may use them
                read |= other.loaded
        return sorted((self.student_names & read) - self.of_tests)

    def look_up(self, names: list[str]) -> dict[str, Any]:
        """The student's objects under these names; what cannot be sent counts as undefined."""
        try:
            found = self.current.request("lookup", (names,), share=True)
        except (Exception, proxy.CannotCross):
            if len(names) == 1:
                return {}
            parts = [self.look_up([name]) for name in names]
            return {name: value for part in parts for name, value in part.items()}
        if type(found) is not dict or not found.keys() <= set(names):
            raise self.current.broken("names that were not asked for")
        return found

    def run_test_in_one_kernel(self, item: dict) -> dict:
        """Run a test cell as the student's notebook does. Only for trying an assignment out."""
        seed = os.environ["CNNLIB_GRADING_SEED"]
        setting = f"import os; os.environ['CNNLIB_GRADING_SEED'] = {seed!r}"
        self.current.request("cell", (setting, "seed"))
        answer = self.current.request("cell", (item["source"], item["name"]))
        if answer["error"] is not None:
            names, kind, message, *_ = answer["error"]
            failed = "builtins.AssertionError" in names
            return _result("failed" if failed else "error", 0.0, f"{kind}: {message}")
        number = answer["number"]
        return _graded(None if number is None else _Shown(number), item["points"])


class _Shown:
    """A value of which only the text is known."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _silent(connection: socket.socket) -> bool:
    """Whether the other end is there and has sent nothing unasked."""
    try:
        connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _result(status: str, points: float, message: str) -> dict:
    return {"status": status, "points": points, "message": message[:MESSAGE_CHARACTERS]}


def _graded(value: Any, maximum: float) -> dict:
    """A test cell ending in a number gives that many points, as in nbgrader.

    nbgrader reads the number off the cell's output and gives full marks where it cannot, so also
    for ``np.float64(0.0)`` and ``tensor(0.)``. Those count as the numbers they are here.
    """
    points = _number(value)
    if points is None:
        return _result("passed", maximum, "")
    if not math.isfinite(points) or not 0 <= points <= maximum:
        message = f"the test cell ends in {points}, which is not between 0 and {maximum:g} points"
        return _result("error", 0.0, message)
    status = "passed" if points == maximum else "failed"
    return _result(status, points, "" if status == "passed" else "partly right")


def _number(value: Any) -> float | None:
    if value is None or proxy.is_stand_in(value):
        return None
    if isinstance(value, (np.integer, np.floating)) or (
        isinstance(value, torch.Tensor) and value.numel() == 1
    ):
        return float(value)
    try:
        return float(repr(value))
    except ValueError:
        return None


def _of_ended(ended: dict, message: str) -> dict:
    """Status and message of a test during which the student's process ended."""
    reason, code = ended.get("reason"), ended.get("exit")
    if reason == "timeout":
        return _result("timeout", 0.0, "your code took too long and was stopped")
    if reason == "cpu":
        return _result("timeout", 0.0, "your code used up the computing time of the submission")
    if reason == "memory":
        return _result("killed", 0.0, "your code used too much memory and was stopped")
    if reason == "output":
        return _result("killed", 0.0, "your code printed too much and was stopped")
    if "malformed" in message:
        return _result("killed", 0.0, message)
    if isinstance(code, int) and code < 0:
        return _result("killed", 0.0, f"your code crashed Python (signal {-code})")
    return _result("killed", 0.0, f"your code ended Python (exit status {code})")


def _explain(error: BaseException) -> str:
    """What to tell the student: the check's message or the exception, and their own lines."""
    if isinstance(error, AssertionError):
        text = str(error) or "a check failed"
    elif isinstance(error, NameError) and getattr(error, "name", None):
        text = f"`{error.name}` is not defined; the cell that defines it is missing or failed"
    elif isinstance(error, proxy.CannotCross):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    cause: BaseException | None = error
    while cause is not None and not hasattr(cause, "student_lines"):
        cause = cause.__cause__
    lines = getattr(cause, "student_lines", [])
    return "\n".join([text, *(["In your code:"] if lines else []), *lines])


def _describe(kind: str, error: Exception) -> str:
    text = "\n".join([f"{kind}: {error}", *getattr(error, "student_lines", [])])
    return text[:MESSAGE_CHARACTERS]
