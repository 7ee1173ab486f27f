"""``grade`` from submitted/ to the gradebook: interrupted, killed, resumed, with broken files."""

import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import courses
import fake_units
import psutil
import pytest
from conftest import FULL, MINI
from sqlalchemy import event
from sqlalchemy.engine import Engine

from grading import batch, gradebook, intake, results, run
from grading.pool import PoolError, UnitLost
from grading.sandbox import IsolationError

# Every test makes a gradebook, which nbgrader takes seconds for.
pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
STUDENTS = ["ada", "bob", "cid", "dan"]
WHEN = "2026-03-01 12:00:00 UTC"


class InlinePool:
    """Grades in this process, when a result is asked for. `orders` decides what happens."""

    description = "this process"

    def __init__(self, orders=None, options=None):
        self.orders = orders or {}
        self.extra = options or {}
        self.units = []
        self.done = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.units = []

    def submit(self, unit):
        future = concurrent.futures.Future()
        self.units.append((future, unit))
        return future

    def as_completed(self, futures):
        for future, unit in list(self.units):
            order = self.orders.get(len(self.done))
            if isinstance(order, Exception):
                future.set_exception(order)
            elif order is not None:
                order()
            if not future.done():
                future.set_result(self.grade(unit))
            self.done.append(unit)
            yield future

    def grade(self, unit):
        options = unit.options | self.extra
        return fake_units.graded(unit.source, unit.submission, unit.seed, options)

    def result(self, future):
        return json.loads(future.result())


class Room:
    """A course with submissions, and the command line run on it."""

    def __init__(self, root, db_url=None):
        self.root = root
        self.db_url = db_url or f"sqlite:///{root / 'gradebook.db'}"
        self.notebook = courses.tiny()
        self.pages = []

    @property
    def source(self):
        return (self.root / "solutions" / courses.NAME / f"{courses.NAME}.ipynb").read_bytes()

    def submit(self, student, content=None, when=WHEN, **answers):
        if content is None:
            content = courses.submission(self.notebook, **courses.ANSWERS | answers)
        return courses.submit(self.root, student, content, when)

    def options(self, *words):
        parser = argparse.ArgumentParser()
        batch.add_command(parser.add_subparsers())
        seed = str(self.root / "seed")
        return parser.parse_args(["grade", courses.NAME, "--seed-file", seed, *words])

    def write_summary(self, found, source, destination, answers):
        destination.write_text("<!doctype html>")
        self.pages.append((found, source, answers))
        return destination

    def grade(self, *words, workers=None):
        """Exit status, and the units that were graded."""
        workers = workers or InlinePool(options={"manual": ["why", "plot", "draw"]})
        os.environ["COURSE_DB"] = self.db_url  # the fixture puts it back
        status = batch.grade_in(
            self.root,
            self.options(*words),
            write_summary=self.write_summary,
            make_pool=lambda count: workers,
        )
        return status, len(workers.done)

    def result(self, student):
        return results.load(self.root / "results" / courses.NAME / f"{student}.json")

    @property
    def content(self):
        return courses.gradebook_content(self.db_url)

    @property
    def everything(self):
        """Results, gradebook and autograded notebooks, without what tells one process from another.

        Times, process names, and the groups of the program that graded: the tests grade in this
        process too, which may have started a sandbox before.
        """
        found = results.load_all(self.root / "results", courses.NAME)
        for one in found:
            del one["graded_at"]
            for name in ("worker", "seconds", "cgroup", "cgroup_missing"):
                one["manifest"].pop(name, None)
            one["origin"] = Path(one["origin"]).name
        shown = {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted((self.root / "autograded").rglob("*"))
            if path.is_file()
        }
        left = [path.name for path in (self.root / "results").rglob("*") if path.is_file()]
        return found, self.content, shown, sorted(left)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A course with four submissions, a secret and an empty gradebook."""
    root = tmp_path_factory.mktemp("course") / "course"
    courses.make(root)
    (root / "seed").write_bytes(courses.SECRET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DB", f"sqlite:///{root / 'gradebook.db'}")
        gradebook._create_database(gradebook.Course(root))
    room = Room(root)
    for number, student in enumerate(STUDENTS):
        room.submit(student, half=f"half = {number} / 2")
    return root


@pytest.fixture
def room(template, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DB", "set by Room.grade")
    return copy_of(template, tmp_path / "course")


def copy_of(template, root, server=None):
    """A copy of the course; with a server, its gradebook is a new one there."""
    shutil.copytree(template, root)
    return Room(root, server and server.url(server.create(server.blank)))


def test_a_class_is_graded_and_the_next_run_has_nothing_to_do(room, capsys):
    assert room.grade() == (0, 4)
    said = capsys.readouterr()
    assert "[4/4] dan:" in said.err
    assert "(4 graded)" in said.err
    assert "4 graded now, 0 kept from earlier runs; 4 graded" in said.out
    assert said.out.count("3 to mark by hand") == 4
    result = room.result("ada")
    assert result["received"] == "2026-03-01T12:00:00+00:00"
    assert result["origin"].endswith(f"ada/{courses.NAME}/{courses.NAME}.ipynb")
    assert result["manifest"]["seed_fingerprint"] == results.seed_fingerprint(courses.SECRET)
    content = room.content
    assert {name: entry["score"][0] for name, entry in content.items()} == {
        name: room.result(name)["score"] for name in STUDENTS
    }
    assert len({entry["score"][0] for entry in content.values()}) > 1  # the fake tells them apart
    before = room.everything, room.result("ada")
    assert room.grade() == (0, 0)
    assert (room.everything, room.result("ada")) == before
    assert "0 graded now, 4 kept" in capsys.readouterr().out


def test_hidden_inputs_follow_student_and_secret(room):
    workers = InlinePool()
    room.grade(workers=workers)
    assert {unit.seed for unit in workers.done} == {
        run.student_seed(courses.SECRET, courses.NAME, student) for student in STUDENTS
    }


def test_only_what_changed_is_graded_again(room):
    room.grade()
    room.submit("bob", half="half = 0.25")
    assert room.grade() == (0, 1)
    assert room.grade("--student", "ada", "bob") == (0, 0)
    assert room.grade("--student", "ada", "bob", "--force") == (0, 2)
    (room.root / "seed").write_bytes(b"t" * 64)
    assert room.grade() == (0, 4)
    path = room.root / "results" / courses.NAME / "cid.json"
    path.write_text('{"student": "cid", "score": 100')
    assert room.grade() == (0, 1)
    assert room.result("cid")["student"] == "cid"
    source = room.root / "solutions" / courses.NAME / f"{courses.NAME}.ipynb"
    source.write_text(source.read_text().replace("The end.", "The very end."))
    assert room.grade() == (0, 4)


def test_a_better_time_is_taken_over_without_grading(room):
    room.grade()
    room.submit("ada", half="half = 0 / 2", when="2026-03-02 09:00:00 UTC")
    assert room.grade() == (0, 0)
    assert room.content["ada"]["time"] == "2026-03-02T09:00:00"
    assert room.result("ada")["received"] == "2026-03-02T09:00:00+00:00"


def test_the_page_gets_results_source_and_answers(room):
    room.submit("eve", b"no notebook")
    room.grade()
    ((found, source, answers),) = room.pages
    assert [one["student"] for one in found] == [*STUDENTS, "eve"]
    assert source == room.source
    assert answers.keys() == set(STUDENTS)
    assert answers["bob"] == {
        name: text for name, text in courses.ANSWERS.items() if name != "why"
    } | {"half": "half = 1 / 2"}


def test_answers_are_read_once_and_while_the_workers_start(room, monkeypatch):
    read = gradebook.answers
    happened = []

    def noted(source, submission):
        happened.append(submission)
        return read(source, submission)

    monkeypatch.setattr(gradebook, "answers", noted)
    first_result = {0: lambda: happened.append("a result is awaited")}
    room.grade(workers=InlinePool(first_result))
    assert happened[-1] == "a result is awaited"
    files = sorted((room.root / "submitted").glob("*/*/*.ipynb"))
    assert happened[:-1] == [path.read_bytes() for path in files]
    ((_, _, answers),) = room.pages
    assert answers.keys() == set(STUDENTS)


def test_broken_files_cost_their_owner_alone_and_are_listed(room, capsys):
    room.submit("eve", b"no notebook")
    (room.root / "submitted" / "fay" / courses.NAME).mkdir(parents=True)
    os.symlink("/etc/passwd", room.root / "submitted" / "fay" / courses.NAME / "tiny.ipynb")
    received = intake.submitted(room.root / "submitted", courses.NAME)
    assert [one.student for one in received.refused] == ["fay"]
    workers = InlinePool()
    # The real grader rejects a file that is no notebook; the stand-in must be told.
    reject = results.not_graded(room.source, "rejected", "not a notebook\x1b[2J", b"")
    workers.grade = lambda unit, grade=workers.grade: (
        json.dumps(reject).encode() if unit.submission == b"no notebook" else grade(unit)
    )
    assert room.grade(workers=workers) == (0, 5)
    said = capsys.readouterr().out
    assert r"not graded, 0 points: eve: not a notebook\x1b[2J" in said
    assert "\x1b" not in said
    assert f"not graded, 0 points: fay: {received.refused[0].reason}"[:80] in said
    content = room.content
    for student in ("eve", "fay"):
        assert content[student]["score"] == (0.0, 20.0)
        assert content[student]["comments"]["double"][0] == room.result(student)["reason"]
    assert room.result("fay")["manifest"]["submission_sha256"] is None
    assert len(content) == 6
    before = room.result("fay")
    room.grade()
    assert room.result("fay") == before  # not even its time changes


def test_a_lost_unit_is_an_error_for_a_human_and_tried_again(room, capsys):
    assert room.grade(workers=InlinePool({1: UnitLost("killed by signal 9")})) == (1, 4)
    lost = room.result("bob")
    assert lost["status"] == "error"
    assert "killed by signal 9" in lost["reason"]
    assert "FAILED, look at it (the next run tries again): bob" in capsys.readouterr().out
    assert set(room.content["bob"]["grades"].values()) == {(None, None, True)}
    assert room.grade() == (0, 1)
    assert room.result("bob")["status"] == "graded"


@pytest.mark.parametrize("error", [IsolationError("no walls"), PoolError("nobody there")])
def test_what_concerns_everybody_stops_the_run_and_keeps_what_came_back(room, error):
    with pytest.raises(type(error), match=str(error)):
        room.grade(workers=InlinePool({2: error}))
    assert [one["student"] for one in results.load_all(room.root / "results", "tiny")] == [
        "ada",
        "bob",
    ]
    assert room.content.keys() == {"ada", "bob"}
    assert room.grade() == (0, 2)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_while_waiting_writes_what_came_back(room, capsys):
    workers = InlinePool({2: interrupt})
    before = signal.getsignal(signal.SIGINT)
    assert room.grade(workers=workers)[0] == 130
    assert signal.getsignal(signal.SIGINT) == before
    said = capsys.readouterr().err
    assert "interrupted: 2 submissions are not graded yet. 2 results are kept; run the same" in said
    assert room.content.keys() == {"ada", "bob"}
    assert room.pages == []
    assert room.grade() == (0, 2)
    assert room.content.keys() == set(STUDENTS)


def test_ctrl_c_in_the_middle_of_a_write_waits_for_its_end(room, monkeypatch):
    write = gradebook.write_notebook

    def interrupted(notebook, path):
        interrupt()
        write(notebook, path)

    monkeypatch.setattr(gradebook, "write_notebook", interrupted)
    workers = InlinePool()
    assert room.grade(workers=workers)[0] == 130
    assert len(workers.done) == 1
    assert room.content.keys() == {"ada"}
    assert gradebook.Course(room.root).autograded("tiny", "ada").is_file()


def test_done_futures_are_written_on_ctrl_c_even_if_not_handed_out(room):
    class Hasty(InlinePool):
        """All are done before the first is handed out."""

        def as_completed(self, futures):
            for future, unit in self.units[:3]:
                future.set_result(self.grade(unit))
            yield self.units[0][0]
            interrupt()
            yield self.units[1][0]

    assert room.grade(workers=Hasty())[0] == 130
    assert room.content.keys() == {"ada", "bob", "cid"}


def test_a_second_run_at_the_same_time_is_refused(room):
    running = batch._only_run(room.root / "results")
    with running, pytest.raises(batch.BatchError, match="another run"):
        room.grade()
    assert room.grade() == (0, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--student", "ada", "zed"], "no submission of tiny by zed"),
        (["--source", "/nowhere/x.ipynb"], r"no source notebook /nowhere/x.ipynb \(ass.*: tiny"),
        (["--cell-seconds", "0"], "must be positive"),
        (["--isolation", "none", "--memory", "-1"], "must be positive"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_begin_says_why(room, words, message):
    with pytest.raises((batch.BatchError, ValueError), match=message):
        room.grade(*words)
    assert room.content == {}


def test_an_empty_class_and_a_missing_folder_are_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DB", "unused")
    courses.make(tmp_path)
    room = Room(tmp_path)
    with pytest.raises(intake.IntakeError, match="collect"):
        room.grade()
    (tmp_path / "submitted").mkdir()
    with pytest.raises(batch.BatchError, match="holds no submission of tiny"):
        room.grade()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "at least 1"),
        (["--tls-ca", "x"], "go with --scheduler"),
        (["--scheduler", "head:8786"], "must be tcp://"),
        (["--scheduler", "tls://head:8786"], "needs --tls-ca, --tls-cert and --tls-key"),
        (["--scheduler", "tcp://head:8786", "--tls-ca", "x"], "needs --tls-ca"),
        (["--scheduler", "tls://h:1", "--tls-ca", "/no", "--tls-cert", "b", "--tls-key", "c"],
         "no file /no"),
    ],
)  # fmt: skip
def test_workers_that_cannot_be_are_explained(room, words, message):
    with pytest.raises((batch.BatchError, PoolError), match=message):
        batch.pool(room.options(*words), 3)


def test_no_more_workers_than_submissions(room):
    with batch.pool(room.options("--workers", "8"), 3) as workers:
        assert workers.workers == 3


def test_the_command_reports_errors_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert batch.run_grade(Room(tmp_path).options()) == 1
    assert "no nbgrader_config.py" in capsys.readouterr().err


# --- killed ---------------------------------------------------------------------------------------


class Bomb:
    """Kills this process at the n-th step that reaches something outside it.

    A statement for several rows counts as that many steps: how many rows share a statement depends
    on the order of their keys, which nbgrader draws at random, and the sum of the rows does not.
    """

    def __init__(self, fuse=None):
        self.fuse, self.count = fuse, 0

    def tick(self, steps=1):
        before, self.count = self.count, self.count + steps
        if self.fuse is not None and before < self.fuse <= self.count:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, connection, cursor, statement, parameters, context, executemany):
        self.tick(len(parameters) if executemany else 1)

    def commit(self, connection):
        self.tick()

    def arm(self, patch):
        replace = os.replace

        def ticking(*arguments):
            self.tick()
            replace(*arguments)
            self.tick()

        patch.setattr(os, "replace", ticking)
        event.listen(Engine, "before_cursor_execute", self.statement)
        event.listen(Engine, "commit", self.commit)

    def disarm(self):
        event.remove(Engine, "before_cursor_execute", self.statement)
        event.remove(Engine, "commit", self.commit)


def in_child(action):
    """Run in a fork; returns how it ended."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def steps_of(room):
    """How many steps a whole run takes."""
    counter = Bomb()
    with pytest.MonkeyPatch.context() as patch:
        counter.arm(patch)
        room.grade()
    counter.disarm()
    return counter.count


@pytest.mark.parametrize(
    ("database", "parts"),
    [("sqlite", [0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1]), ("postgresql", [0, 0.15, 0.5, 0.9])],
)
def test_a_run_killed_at_any_step_resumes_to_the_same_gradebook(
    template, tmp_path, monkeypatch, request, database, parts
):
    monkeypatch.setenv("COURSE_DB", "set by Room.grade")
    server = None if database == "sqlite" else request.getfixturevalue(database)
    whole = copy_of(template, tmp_path / "whole", server)
    whole.submit("eve", b"", when=WHEN)  # a broken one among them
    steps = steps_of(whole)
    expected = whole.everything
    assert len(expected[1]) == 5
    assert steps > 100
    # The second run has at least the steps of one with nothing to do, whatever the first left.
    least = steps_of(whole)
    assert 20 < least < steps
    # From the first statement of the registration to the last file, and twice in a row.
    for number, part in enumerate(parts):
        fuse, second_fuse = (max(2, round(part * (count - 1))) for count in (steps, least))
        killed = copy_of(template, tmp_path / f"killed{number}", server)
        killed.submit("eve", b"", when=WHEN)
        for next_fuse in (fuse, second_fuse):

            def run_with_bomb(killed=killed, fuse=next_fuse):
                with pytest.MonkeyPatch.context() as patch:
                    Bomb(fuse).arm(patch)
                    killed.grade()

            status = in_child(run_with_bomb)
            assert os.WIFSIGNALED(status), (number, next_fuse, status)
            assert os.WTERMSIG(status) == signal.SIGKILL
        assert killed.grade()[0] == 0
        assert killed.everything == expected, f"killed at step {fuse} of {steps}"


DRIVER = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
import test_batch
from grading.pool import LocalPool, unit_options
class Slow(LocalPool):
    def submit(self, unit):
        extra = dict(delay=1.0, log={log!r}, manual=["why", "plot", "draw"])
        unit.options.update(extra)
        return super().submit(unit)
room = test_batch.Room(Path({root!r}))
from grading import batch
import os
os.environ["COURSE_DB"] = room.db_url
sys.exit(batch.grade_in(room.root, room.options(), write_summary=room.write_summary,
    make_pool=lambda count: Slow(2, function="fake_units:graded")))
"""


def test_a_real_run_is_killed_then_interrupted_then_finished(template, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DB", "set by Room.grade")
    room = copy_of(template, tmp_path / "killed")
    whole = copy_of(template, tmp_path / "whole")
    names = [f"student{number}" for number in range(8)]
    for one in (room, whole):
        for number, name in enumerate(names):
            one.submit(name, half=f"half = {number}")
    log = tmp_path / "log"
    program = DRIVER.format(here=str(HERE), root=str(room.root), log=str(log))
    folder = room.root / "results" / courses.NAME

    def start_and_wait(count):
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=courses.ROOT, stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 300
        while len(list(folder.glob("*.json"))) < count:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.01)
        return process

    process = start_and_wait(2)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert psutil.wait_procs(workers, timeout=300)[1] == []

    there = len(list(folder.glob("*.json")))
    process = start_and_wait(there + 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "run the same command again to go on" in said

    left = 12 - len(list(folder.glob("*.json")))
    assert left <= 7  # on a busy machine the workers may have been done with all
    assert room.grade() == (0, left)
    whole.grade()
    assert room.everything == whole.everything
    # Nothing was graded twice but what two workers had in hand when they were killed, twice.
    assert len(log.read_text().split()) <= 12 - left + 4


@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_a_real_class_with_real_workers(tmp_path, monkeypatch, capsys, stub, right):
    """The whole way with the real grader: a right, a wrong, an empty and a broken submission."""
    monkeypatch.setenv("COURSE_DB", f"sqlite:///{tmp_path / 'gradebook.db'}")
    shutil.copy(courses.ROOT / "nbgrader_config.py", tmp_path)
    (tmp_path / "solutions" / "mini").mkdir(parents=True)
    shutil.copy(MINI, tmp_path / "solutions" / "mini")
    files = {"ada": right.bytes, "bob": stub.bytes, "cid": b"not a notebook"}
    right.put(summarize="def summarize(values):\n    print('<b>hi</b>')\n    return {}\n")
    files["dan"] = right.bytes
    for student, content in files.items():
        courses.submit(tmp_path, student, content, WHEN, name="mini")
    parser = argparse.ArgumentParser()
    batch.add_command(parser.add_subparsers())
    seed = str(tmp_path / "secret" / "seed")
    words = ["grade", "mini", "--workers", "2", "--seed-file", seed, "--memory", "512"]
    options = parser.parse_args(words)
    room = Room(tmp_path)
    assert batch.grade_in(tmp_path, options, write_summary=room.write_summary) == 0
    content = courses.gradebook_content(f"sqlite:///{tmp_path / 'gradebook.db'}", "mini")
    assert {name: entry["score"][0] for name, entry in content.items()} == {
        "ada": 18.0,
        "bob": 0.0,
        "cid": 0.0,
        "dan": 16.0,
    }
    found = results.load_all(tmp_path / "results", "mini")
    assert {t["grade_id"]: t["points"] for t in found[0]["tests"]} == FULL
    assert all(one["manifest"]["versions"]["torch"] for one in found)
    assert "not JSON" in content["cid"]["comments"]["output_size"][0]
    shown = gradebook.Course(tmp_path).autograded("mini", "dan").read_text()
    assert "<b>hi</b>" not in shown.split('"nbformat"')[1]
    assert "not graded, 0 points: cid: the file is not a notebook" in capsys.readouterr().out
    secret = Path(seed).read_text()
    seeds = [run.student_seed(secret.encode(), "mini", student) for student in files]
    kept = [path.read_text() for path in (tmp_path / "results").rglob("*.json")]
    assert not any(word in text for text in kept for word in [secret, *seeds])


def test_one_strange_file_does_not_change_what_is_imported_early(tmp_path, monkeypatch):
    for student, text in {"ada": b"import matplotlib", "eve": b"from PIL import Image"}.items():
        folder = tmp_path / "submitted" / student / "mini"
        folder.mkdir(parents=True)
        (folder / "mini.ipynb").write_bytes(text)
    for student in ("bob", "cid"):
        (tmp_path / "submitted" / student / "mini").mkdir(parents=True)
    os.mkfifo(tmp_path / "submitted" / "bob" / "mini" / "mini.ipynb")  # reading it would never end
    (tmp_path / "submitted" / "cid" / "mini" / "mini.ipynb").symlink_to("/dev/zero")
    started = []
    monkeypatch.setattr(batch, "WarmParent", lambda **options: started.append(options))
    options = argparse.Namespace(
        assignment="mini", source=None, scheduler=None, workers=2, isolation="none"
    )
    batch._start_early(tmp_path, options)
    (one,) = started
    assert one["isolation"] == "none"
    assert sorted(one["preload"]) == ["PIL.Image", "matplotlib.pyplot"]
