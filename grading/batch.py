"""The command ``grade``: from ``submitted/`` through the workers to results and gradebook.

One process, this one, hands out the work and writes everything: a result as soon as it comes back,
then the gradebook's entry. Results that are there already and still valid are not made again, and
recording a result twice is the same as once, so a run that was interrupted or killed, at whatever
moment, is completed by the same command.

Nothing that concerns one submission stops the others: a file that cannot be read or used gets 0
points and a reason; a submission under which the worker dies twice gets the status "error", which
asks for a human and is tried again by the next run. What concerns all of them stops the run with
an explanation: no isolation, no worker, no gradebook.

Threat model. Submissions are bytes here; they are parsed by `grading.rebuild` and run by the
workers. Text of students' that reaches the terminal has its control characters shown, not sent.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import glob
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from grading import cli, intake, rebuild, results, rules
from grading.pool import DaskPool, LocalPool, Pool, PoolError, Unit, UnitLost, unit_options
from grading.run import default_secret_file, read_secret, student_seed
from grading.sandbox import IsolationError, WarmParent, mentioned

if TYPE_CHECKING:  # it imports nbgrader, which takes seconds: the sandbox starts before that
    from grading import gradebook

RESULTS = "results"
INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended
REASON_CHARACTERS = 300


class BatchError(RuntimeError):
    """The run cannot begin; the message says why."""


class Progress(Protocol):
    """Shows how far a run is."""

    def start(self, total: int) -> None:
        """The run begins; `total` submissions have to be graded."""

    def advance(self, result: dict[str, Any]) -> None:
        """One more result has been written."""

    def stop(self) -> None:
        """The run has ended."""


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        graded: Results that this run made.
        kept: Valid results that were there before.
        refused: Results of files that could not be used, all with 0 points.
        nameless: Files that cannot be used and belong to nobody, as "origin: reason".
        interrupted: Whether Ctrl-C ended the run.
        waiting: How many submissions it left ungraded.
    """

    graded: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)
    interrupted: bool = False
    waiting: int = 0

    @property
    def results(self) -> list[dict[str, Any]]:
        """Everybody's result, by student."""
        everything = self.graded + self.kept + self.refused
        return sorted(everything, key=lambda result: result["student"])


class Run:
    """One run of ``grade`` for one assignment."""

    def __init__(
        self,
        course: gradebook.Course,
        assignment: str,
        source: bytes,
        secret: bytes,
        *,
        options: dict[str, Any],
        students: list[str] | None = None,
        force: bool = False,
    ) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            course: The course.
            assignment: Name of the assignment.
            source: Bytes of its source notebook.
            secret: The secret behind the hidden inputs.
            options: How to grade, from `grading.pool.unit_options`.
            students: Only these, if given.
            force: Grade again what has a valid result.
        """
        self.course = course
        self.assignment = assignment
        self.source = source
        self.secret = secret
        self.options = options
        self.students = students
        self.force = force
        self.folder = course.root / RESULTS
        self.fingerprint = results.seed_fingerprint(secret)
        self.outcome = Outcome()
        self.answers: dict[str, dict[str, str]] | None = None  # see `read_answers`

    def grade(
        self,
        received: intake.Intake,
        make_pool: Callable[[int], Pool],
        progress: Progress,
    ) -> Outcome:
        """Grade what was handed in.

        Args:
            received: What lies in ``submitted/``.
            make_pool: Makes the workers, given the number of submissions; called only if there
                is something to grade.
            progress: Is told of every result.

        Returns:
            What was done. After Ctrl-C, that is what had come back by then.

        Raises:
            BatchError: A student that was asked for has no submission.
            IsolationError: A worker cannot isolate submissions.
            PoolError: The workers cannot be used.
            gradebook.GradebookError: The gradebook cannot be used.
        """
        from grading import gradebook

        accepted, refused = self.choose(received)
        results.remove_drafts(self.folder, self.assignment)
        with (
            gradebook.Writer(self.course, self.assignment, self.source) as writer,
            _Patience() as patience,
        ):
            to_do, kept = self.sort(accepted)
            progress.start(len(to_do))
            try:
                with contextlib.ExitStack() as stack:
                    futures = {}
                    if to_do:
                        with patience.interruptible():
                            pool = stack.enter_context(make_pool(len(to_do)))
                            futures = {pool.submit(self.unit(one)): one for one in to_do}
                    # The workers are starting, or busy, meanwhile.
                    self.read_answers(received)
                    self.record_kept(writer, kept, patience)
                    self.record_refused(writer, refused, patience)
                    if futures:
                        self.collect(pool, futures, writer, progress, patience)
            except KeyboardInterrupt:
                self.outcome.interrupted = True
                self.outcome.waiting = len(to_do) - len(self.outcome.graded)
            finally:
                progress.stop()
        return self.outcome

    def choose(
        self, received: intake.Intake
    ) -> tuple[list[intake.Submission], list[intake.Refusal]]:
        """The submissions and the refused files that this run is about."""
        accepted = sorted(received.accepted, key=lambda submission: submission.student)
        refused = [one for one in received.refused if one.student is not None]
        nameless = [one for one in received.refused if one.student is None]
        self.outcome.nameless = [f"{one.origin}: {one.reason}" for one in nameless]
        # A student who handed in a good file as well has that one graded.
        with_file = {submission.student for submission in accepted}
        last = {one.student: one for one in refused if one.student not in with_file}
        if self.students is not None:
            unknown = sorted(set(self.students) - with_file - last.keys())
            if unknown:
                raise BatchError(
                    f"no submission of {self.assignment} by {', '.join(unknown)} in "
                    f"{self.course.submitted}"
                )
            accepted = [one for one in accepted if one.student in self.students]
            last = {name: one for name, one in last.items() if name in self.students}
        if not accepted and not last and not nameless:
            raise BatchError(
                f"{self.course.submitted} holds no submission of {self.assignment}: collect them "
                "first"
            )
        return accepted, [last[name] for name in sorted(last)]

    def sort(
        self, accepted: list[intake.Submission]
    ) -> tuple[list[intake.Submission], list[tuple[intake.Submission, dict]]]:
        """What has to be graded, and what has a result that still counts."""
        to_do, kept = [], []
        for submission in accepted:
            result = None if self.force else self.valid_result(submission)
            if result is None:
                to_do.append(submission)
            else:
                kept.append((submission, result))
        return to_do, kept

    def valid_result(self, submission: intake.Submission) -> dict[str, Any] | None:
        """The result that is there, if grading anew would give the same."""
        result = self.result_there(submission.student)
        if result is None or not results.is_current(
            result,
            source_sha256=results.sha256(self.source),
            submission_sha256=results.sha256(submission.content),
            fingerprint=self.fingerprint,
        ):
            return None
        # The same file may have been collected anew, with a better time.
        when = None if submission.received is None else submission.received.isoformat()
        return {**result, "received": when, "origin": submission.origin}

    def result_there(self, student: str) -> dict[str, Any] | None:
        """The student's result on disk, if there is one that can be read."""
        path = results.path_of(self.folder, self.assignment, student)
        try:
            return results.load(path) if path.is_file() else None
        except results.ResultError:
            return None  # damaged: it is made again

    def unit(self, submission: intake.Submission) -> Unit:
        """What a worker needs to grade a submission."""
        seed = student_seed(self.secret, self.assignment, submission.student)
        return Unit(self.source, submission.content, seed, self.options)

    def collect(
        self,
        pool: Pool,
        futures: dict[Any, intake.Submission],
        writer: gradebook.Writer,
        progress: Progress,
        patience: _Patience,
    ) -> None:
        """Write each result as it comes back; after Ctrl-C, those that have come back."""
        open_futures = dict(futures)

        def finish(future: Any) -> None:
            submission = open_futures[future]
            result = self.result_of(pool, future, submission)
            results.save(self.folder, result)
            writer.record(result, submission.content)
            del open_futures[future]
            self.outcome.graded.append(result)
            progress.advance(result)

        completed = pool.as_completed(futures)
        try:
            for _ in futures:
                with patience.interruptible():
                    future = next(completed)
                finish(future)
        except KeyboardInterrupt:
            for future in [one for one in open_futures if one.done()]:
                finish(future)
            raise

    def result_of(self, pool: Pool, future: Any, submission: intake.Submission) -> dict[str, Any]:
        """The result of a unit that is done, or one that says why there is none."""
        try:
            result = pool.result(future)
        except UnitLost as lost:
            reason = f"This submission could not be graded, and a human will look at it: {lost}"
            result = results.not_graded(self.source, "error", reason, submission.content)
        return results.complete(
            result,
            student=submission.student,
            assignment=self.assignment,
            received=submission.received,
            origin=submission.origin,
            fingerprint=self.fingerprint,
        )

    def record_kept(
        self,
        writer: gradebook.Writer,
        kept: list[tuple[intake.Submission, dict]],
        patience: _Patience,
    ) -> None:
        """See that the gradebook has what earlier runs graded."""
        for submission, result in kept:
            if result != self.result_there(submission.student):
                results.save(self.folder, result)
            writer.record(result, submission.content)
            self.outcome.kept.append(result)
            with patience.interruptible():
                pass

    def record_refused(
        self, writer: gradebook.Writer, refused: list[intake.Refusal], patience: _Patience
    ) -> None:
        """Give files that cannot be used their 0 points and the reason."""
        for refusal in refused:
            assert refusal.student is not None
            result = results.complete(
                results.not_graded(self.source, "rejected", refusal.reason, None),
                student=refusal.student,
                assignment=self.assignment,
                received=self.course.timestamp(self.assignment, refusal.student),
                origin=refusal.origin,
                fingerprint=self.fingerprint,
            )
            before = self.result_there(refusal.student)
            if before is None or {**before, "graded_at": result["graded_at"]} != result:
                results.save(self.folder, result)
            else:
                result = before
            writer.record(result, None)
            self.outcome.refused.append(result)
            with patience.interruptible():
                pass

    def summarize(
        self, received: intake.Intake, write_summary: Callable[..., Path]
    ) -> tuple[Path, list[dict[str, Any]]]:
        """Write the page about the whole class.

        Args:
            received: What lies in ``submitted/``.
            write_summary: `grading.report.write_summary`.

        Returns:
            The page, and the results that are on it.
        """
        digest = results.sha256(self.source)
        shown = [
            result
            for result in results.load_all(self.folder, self.assignment)
            if result["manifest"].get("source_sha256") == digest
        ]
        destination = self.folder / self.assignment / "summary.html"
        return write_summary(shown, self.source, destination, self.read_answers(received)), shown

    def read_answers(self, received: intake.Intake) -> dict[str, dict[str, str]]:
        """What each student wrote, by grade_id, for the summary; read once a run."""
        from grading import gradebook

        if self.answers is None:
            self.answers = {}
            for submission in received.accepted:
                with contextlib.suppress(rebuild.RebuildError):  # its result says why
                    answers = gradebook.answers(self.source, submission.content)
                    self.answers[submission.student] = answers
        return self.answers


class _Patience:
    """Ctrl-C takes effect where this run waits, never in the middle of a write."""

    def __init__(self) -> None:
        self.waiting = False
        self.asked = False

    def __enter__(self) -> _Patience:
        self.previous = signal.signal(signal.SIGINT, self.handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.previous)

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.waiting:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Here a run may be interrupted."""
        try:
            self.waiting = True
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self.waiting = False


# --- what the person at the terminal sees ---------------------------------------------------------


class BarProgress:
    """A bar that is drawn over and over, for terminals."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.counts: Counter = Counter()
        self.bar: Any = None

    def start(self, total: int) -> None:
        """Draw the empty bar."""
        from tqdm import tqdm

        if total:
            self.bar = tqdm(total=total, file=self.stream, unit="submission", dynamic_ncols=True)

    def advance(self, result: dict[str, Any]) -> None:
        """One more."""
        self.counts[result["status"]] += 1
        self.bar.set_postfix(self.counts, refresh=False)
        self.bar.update()

    def stop(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()


class LineProgress:
    """A line for each submission, for files and logs."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.counts: Counter = Counter()
        self.total = 0

    def start(self, total: int) -> None:
        """Say how much there is to do."""
        self.total = total
        print(f"{total} submissions to grade", file=self.stream, flush=True)

    def advance(self, result: dict[str, Any]) -> None:
        """One more."""
        self.counts[result["status"]] += 1
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.counts.items()))
        line = (
            f"[{self.counts.total()}/{self.total}] {result['student']}: {result['score']:g} of "
            f"{result['max_score']:g} ({counts})"
        )
        print(printable(line), file=self.stream, flush=True)

    def stop(self) -> None:
        """Nothing is left to say."""


def table(found: list[dict[str, Any]]) -> str:
    """Everybody's result for the terminal.

    Args:
        found: Results.
    """
    width = max([len(printable(result["student"])) for result in found] + [len("student")])
    lines = [f"{'student':<{width}}  {'points':>13}  {'status':<9} remarks"]
    for result in found:
        remarks = []
        statuses = Counter(test["status"] for test in result["tests"])
        for status in ("timeout", "killed", "error", "forbidden"):
            if result["status"] == "graded" and statuses[status]:
                remarks.append(f"{statuses[status]} {status}")
        if statuses["manual"]:
            remarks.append(f"{statuses['manual']} to mark by hand")
        if result["status"] == "graded" and result["notes"]:
            remarks.append(f"{len(result['notes'])} notes")
        points = f"{result['score']:g} of {result['max_score']:g}"
        lines.append(
            f"{printable(result['student']):<{width}}  {points:>13}  {result['status']:<9} "
            f"{', '.join(remarks)}".rstrip()
        )
    return "\n".join(lines)


def closing_words(outcome: Outcome, shown: list[dict[str, Any]]) -> str:
    """The summary below the table: counts, the mean, and who needs a human."""
    counts = Counter(result["status"] for result in shown)
    lines = [
        f"{len(outcome.graded)} graded now, {len(outcome.kept)} kept from earlier runs; "
        + ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    ]
    scores = [result["score"] for result in shown if result["status"] == "graded"]
    if scores:
        top = max(result["max_score"] for result in shown)
        lines.append(f"mean of the graded: {sum(scores) / len(scores):.1f} of {top:g}")
    lines += [
        f"not graded, 0 points: {result['student']}: {result['reason'][:REASON_CHARACTERS]}"
        for result in shown
        if result["status"] == "rejected"
    ]
    lines += [
        f"FAILED, look at it (the next run tries again): {result['student']}: "
        f"{result['reason'][:REASON_CHARACTERS]}"
        for result in shown
        if result["status"] == "error"
    ]
    lines += [f"belongs to nobody: {one[:REASON_CHARACTERS]}" for one in outcome.nameless]
    return "\n".join(printable(line) for line in lines)


def printable(text: str) -> str:
    """Text of others for the terminal: control characters are shown, not sent."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


# --- the command ----------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``grade`` to an ``argparse`` subparsers object."""
    command = commands.add_parser(
        "grade",
        help="grade what is in submitted/",
        description="Grade the submissions of an assignment; run it again to go on after a stop.",
    )
    command.add_argument("assignment", help="its name, as in submitted/*/NAME")
    command.add_argument(
        "--workers",
        type=int,
        default=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        help="processes on this machine (default: its cores, %(default)s)",
    )
    command.add_argument(
        "--scheduler",
        metavar="tls://HOST:PORT",
        help="send the work to the workers of this Dask scheduler instead",
    )
    for name, what in (
        ("ca", "the authority's certificate"),
        ("cert", "this side's certificate"),
        ("key", "its key"),
    ):
        command.add_argument(f"--tls-{name}", metavar="FILE", help=f"for tls://: {what}")
    command.add_argument("--student", nargs="+", metavar="ID", help="only these students")
    command.add_argument("--force", action="store_true", help="grade again what has a valid result")
    command.add_argument(
        "--source", type=Path, metavar="FILE", help="another source notebook than the course's"
    )
    command.add_argument(
        "--seed-file",
        type=Path,
        default=default_secret_file(),
        help="where the secret behind the hidden inputs is kept (default: %(default)s)",
    )
    cli.add_execution_options(command)
    command.set_defaults(run=run_grade)


def run_grade(options: argparse.Namespace) -> int:
    """Run ``grade``; see `grade_in`."""
    root = Path.cwd()
    warm = _start_early(root, options)
    gc.disable()
    from grading import gradebook, report

    gc.freeze()  # what nbgrader is made of stays; no collection needs to look at it again
    gc.enable()
    try:
        return grade_in(root, options, write_summary=report.write_summary, warm=warm)
    except (BatchError, PoolError, IsolationError, gradebook.GradebookError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if warm is not None:
            warm.close()


def _start_early(root: Path, options: argparse.Namespace) -> WarmParent | None:
    """Start the warm parent of local workers, while this process imports nbgrader.

    Where the notebooks are is nbgrader's configuration to say, and not known yet. So this looks in
    the usual places; what it does not find there costs time, not marks.
    """
    if options.scheduler or options.workers < 1:
        return None
    name = options.assignment
    source = options.source or root / "solutions" / name / f"{name}.ipynb"
    submitted = (root / "submitted").glob(f"*/{glob.escape(name)}/*.ipynb")
    preload: dict[str, None] = {}  # in the order in which they were met
    for path in (source, *submitted):  # one after the other: a class is too much for the memory
        try:
            preload |= dict.fromkeys(mentioned(rebuild.read_file(path)))
        except (OSError, ValueError):
            continue  # said by who reads it in earnest
    try:
        return WarmParent(isolation=options.isolation, preload=tuple(preload))
    except IsolationError:
        return None  # said when there is something to grade


def grade_in(
    root: Path,
    options: argparse.Namespace,
    *,
    write_summary: Callable[..., Path],
    make_pool: Callable[[int], Pool] | None = None,
    warm: WarmParent | None = None,
) -> int:
    """Grade in a course's folder.

    Args:
        root: The folder.
        options: Parsed command line.
        write_summary: Writes the page about the class.
        make_pool: Replaces the workers that the command line asks for.
        warm: A warm parent for local workers, started before; closed with them.

    Returns:
        Exit status: 0 if every submission has its marks, 1 if some failed and need a human,
        130 after Ctrl-C.

    Raises:
        BatchError: There is no such assignment, or another run is going on.
    """
    from grading import gradebook

    course = gradebook.Course(root)
    source = _read_source(course, options)
    limits = cli.limits(options)
    received = intake.submitted(course.submitted, options.assignment)
    preload = mentioned(source, *(submission.content for submission in received.accepted))
    run = Run(
        course,
        options.assignment,
        source,
        read_secret(options.seed_file),
        options=unit_options(isolation=options.isolation, limits=limits, preload=preload),
        students=options.student,
        force=options.force,
    )
    progress = BarProgress(sys.stderr) if sys.stderr.isatty() else LineProgress(sys.stderr)
    with _only_run(run.folder):
        make_pool = make_pool or (lambda count: pool(options, count, preload, warm))
        outcome = run.grade(received, make_pool, progress)
        if outcome.interrupted:
            print(
                f"interrupted: {outcome.waiting} submissions are not graded yet. "
                f"{len(outcome.graded) + len(outcome.kept)} results are kept; run the same "
                "command again to go on (without --force).",
                file=sys.stderr,
            )
            return INTERRUPTED
        page, shown = run.summarize(received, write_summary)
    print(table(shown))
    print(closing_words(outcome, shown))
    print(f"summary: {page}")
    return 1 if any(result["status"] == "error" for result in outcome.results) else 0


def pool(
    options: argparse.Namespace,
    count: int,
    preload: tuple[str, ...] = (),
    warm: WarmParent | None = None,
) -> Pool:
    """The workers that the command line asks for.

    Args:
        options: Parsed command line.
        count: How many submissions there are.
        preload: Modules that the class needs.
        warm: A warm parent for local workers, if there is one.

    Raises:
        IsolationError: This machine cannot isolate submissions.
    """
    certificates = {
        "tls_ca": options.tls_ca,
        "tls_cert": options.tls_cert,
        "tls_key": options.tls_key,
    }
    if options.scheduler:
        if options.scheduler.startswith("tcp://"):
            print(
                "note: tcp:// is neither encrypted nor protected: everybody who reaches the "
                "scheduler can read the hidden tests and run code. Use tls:// on a shared network.",
                file=sys.stderr,
            )
        return DaskPool(options.scheduler, **certificates)
    if any(certificates.values()):
        raise BatchError("--tls-ca, --tls-cert and --tls-key go with --scheduler tls://…")
    if options.workers < 1:
        raise BatchError("--workers must be at least 1")
    warm = warm or WarmParent(isolation=options.isolation, preload=preload)
    return LocalPool(min(options.workers, count), warm=warm)


def _read_source(course: gradebook.Course, options: argparse.Namespace) -> bytes:
    path = options.source or course.source(options.assignment)
    if not path.is_file():
        known = sorted(p.stem for p in course.source("*").parent.parent.glob("*/*.ipynb"))
        raise BatchError(
            f"there is no source notebook {path} (assignments: {', '.join(known) or 'none'})"
        )
    source = rebuild.read_file(path)
    rules.read(rebuild.read_source(source))  # say at once what is wrong with it
    return source


@contextlib.contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """Keep a second run away from the same gradebook. A killed run leaves no lock behind."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BatchError("another run of grade is going on in this course") from error
        yield
