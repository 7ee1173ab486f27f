"""Reading what was handed in: one file per student, whatever else came with it.

Threat model. File names, archives and notebooks were made by anybody. They may try to write
outside the course (``..``, absolute names, links), to fill memory (archives that unpack to
gigabytes, headers that lie about sizes, a million entries), to block (pipes, devices), or to pass
for somebody else's work (a folder inside one's own upload that looks like a classmate's). So
nothing is ever unpacked to disk: archives are read entry by entry under caps that count the bytes
that really come out; a name decides only *whose* file it is, by its outermost part, which the
learning platform wrote; and the only path that is made from it is a student id that was checked.
Writing goes through open folders, never through a link.

Accidents are more frequent: "Copy of", "(1)", a zip in the zip, a file in a strange encoding, two
files by one student. One bad file never stops the others; whoever it belongs to is listed with a
reason.

What is refused and what is accepted. Refused is only what cannot be attributed to a student or
not be read as bytes under the caps: nobody could grade that. Every other file is accepted, also
one that is no notebook at all, because the grader rejects it with the same message, the
instructor finds the file in ``submitted/``, and the student appears in the results like everyone
else. Intake tells the instructor early, in `Intake.notes`.

Sources of the formats: names in Moodle's archives from ``mod/assign/classes/downloader.php``, in
Canvas's from ``lib/content_zipper.rb``, zip from PKWARE's APPNOTE 6.3, time stamps in zip files
from Info-ZIP's extra field ``UT``, folders and ``timestamp.txt`` from nbgrader 0.9.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from grading import rebuild
from grading.owners import LAYOUTS, Attribution, Owner, attribution, clash, folded, student_id
from grading.uploads import (
    MEBIBYTE,
    Archive,
    Caps,
    File,
    IntakeError,
    Names,
    Unreadable,
    clean_disk_name,
    file_on_disk,
    never,
    read_regular,
    size_text,
    too_large,
    walk,
)

SOLUTIONS, SUBMITTED = Path("solutions"), Path("submitted")
# Hidden folders inside submitted/: nbgrader looks for "*" and does not see them.
SUPERSEDED, REFUSED, LOCK = ".superseded", ".refused", ".collect.lock"
TIMESTAMP = "timestamp.txt"
# A file full of endless expressions keeps Python's parser busy for minutes, and parsed JSON can
# take twenty times the room of its text. What is larger is left to the grader.
MAX_JUDGED_BYTES, MAX_JUDGED_CODE = 8 * MEBIBYTE, 100_000

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?"
    r" ?(?:(Z|[+-]\d\d):?(\d\d)?|([A-Za-z][\w/+-]*))?"
)


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Attributes:
        student: Checked id, usable as the name of a folder.
        content: Bytes of the file, not looked into.
        origin: Where it was found, for messages.
        received: When the server got it, UTC, whole seconds; None if nothing says so.
    """

    student: str
    content: bytes
    origin: str
    received: datetime | None = None


@dataclass(frozen=True)
class Refusal:
    """A file that was not taken. ``student`` is None if nobody can be named for sure."""

    student: str | None
    origin: str
    reason: str


@dataclass
class Intake:
    """Everything that was found.

    Attributes:
        accepted: One submission per student, ordered by student.
        superseded: The same students' other submissions.
        refused: Files that nobody could grade, with reasons.
        ignored: Files beside a submission that are no notebooks.
        notes: What the instructor should know about accepted ones.
        layout: How names were understood.
    """

    accepted: list[Submission] = field(default_factory=list)
    superseded: list[Submission] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    layout: str = ""


# --- public functions ---------------------------------------------------------------------------


def read(
    path: Path,
    assignment: str,
    *,
    layout: str = "auto",
    source: bytes | None = None,
    pattern: str | None = None,
    time_zone: str = "UTC",
    name_encoding: str | None = None,
    caps: Caps | None = None,
) -> Intake:
    """Read what was handed in for one assignment. Nothing is written.

    Of several files by one student the latest that can be graded is taken (or the latest, if none
    can); at the same time the one with the higher number of the platform, then the one that is
    named like the assignment, then the last in the alphabet.

    Args:
        path: A folder, an archive from a learning platform, one file, or nbgrader's ``submitted``.
        assignment: Name of the assignment.
        layout: How names say who is who: one of `LAYOUTS`.
        source: Bytes of the source notebook. With it, notebooks of other assignments are noticed.
        pattern: A regular expression with a group ``student_id``, searched in the path of each
            file inside the folder or archive, instead of a layout.
        time_zone: Of times in archives that carry none (most do not).
        name_encoding: Of names in archives that are not UTF-8, for example "gbk".
        caps: The most that is read.

    Raises:
        IntakeError: The path, the pattern or the whole archive is unusable.
        rebuild.RebuildError: The source notebook is.
    """
    caps = caps or Caps()
    check_assignment(assignment)
    cells = rebuild.read_source(source) if source is not None else None
    names = Names(name_encoding, _zone(time_zone))
    with contextlib.ExitStack() as stack:
        files = _find(path, caps, names, stack)
        junk = [file for file in files if file.junk]
        files = [file for file in files if not file.junk]
        layout, owner_of = attribution(files, assignment, layout, pattern, path.stem)
        if layout == "nbgrader":
            files = _with_time_stamps(files, assignment)
        files = [file for file in files if file.parts[-1] != TIMESTAMP]
        reading = _Reading(assignment, caps, names, cells)
        reading.run(files, layout, owner_of)
        if layout in ("moodle", "canvas"):
            reading.refuse_who_has_only_junk(junk, owner_of)
        return reading.intake


def collect(intake: Intake, assignment: str, submitted: Path) -> list[Path]:
    """Write submissions to ``submitted/<student>/<assignment>/``, as nbgrader wants them.

    Collecting the same again changes nothing. A submission replaces an older one, never a newer
    one; where no times are known, the one collected last is taken to be newer. What is replaced
    or too old goes to ``submitted/<student>/.superseded/<assignment>/``. Interrupted at any
    moment, it leaves whole files, and collecting again completes them.

    Args:
        intake: What was read. Where a student's folder cannot be used, the submission becomes a
            refusal; where a newer one is there already, a note is added.
        assignment: Name of the assignment.
        submitted: The folder, made if missing.

    Returns:
        The notebooks that were written.

    Raises:
        IntakeError: Another ``collect`` is running, or the folder is unusable.
    """
    check_assignment(assignment)
    written = []
    with _writing_to(submitted) as root:
        there = {folded(name): name for name in os.listdir(root)}
        for submission in list(intake.accepted):
            name = there.setdefault(folded(submission.student), submission.student)
            earlier = [one for one in intake.superseded if one.student == submission.student]
            try:
                if unicodedata.normalize("NFC", name) != submission.student:
                    raise Unreadable(clash([name, submission.student]))
                note = _Shelf(root, name, assignment).put(submission, earlier)
            except Unreadable as error:
                intake.accepted.remove(submission)
                intake.refused.append(
                    Refusal(submission.student, submission.origin, f"was not written: {error}")
                )
                continue
            if note is None:
                written.append(submitted / name / assignment / f"{assignment}.ipynb")
            elif note:
                intake.notes.append(f"{submission.student}: {note}")
        _remember_refusals(root, intake, assignment)
    return written


def submitted(folder: Path, assignment: str, *, caps: Caps | None = None) -> Intake:
    """Read back what was collected: ``submitted/*/<assignment>/``.

    Students whose file was refused by the last ``collect`` and who have no other are in
    ``refused`` again, so that they appear in results and reports.

    Raises:
        IntakeError: The folder does not exist, or the list of refusals in it is damaged.
    """
    caps = caps or Caps()
    check_assignment(assignment)
    if not folder.is_dir():
        raise IntakeError(
            f"there is no folder {folder}: collect the submissions first "
            f"(python -m grading collect {assignment} PATH)"
        )
    reading = _Reading(assignment, caps, Names(None, timezone.utc), None, clashes=False)
    files = _collected_files(folder, assignment, caps)
    intake = reading.run(files, "nbgrader", lambda parts: Owner(parts[0]))
    for submission in list(intake.accepted):
        shelf = folder / submission.student / SUPERSEDED / assignment
        try:
            intake.superseded += _kept(shelf, submission.student, caps)
        except Unreadable as error:
            intake.notes.append(f"{submission.student}: a file in {SUPERSEDED} {error}")
    known = {one.student for one in [*intake.accepted, *intake.refused]}
    with _open_folder(folder) as root:
        intake.refused += [r for r in _remembered(root, assignment) if r.student not in known]
    return intake


def check_assignment(assignment: str) -> None:
    """Raise `IntakeError` unless the name can be a folder's and nbgrader takes it."""
    try:
        checked = student_id(assignment)
    except ValueError as error:
        raise IntakeError(f"{assignment!r} cannot be an assignment's name: it {error}") from error
    if checked != assignment:
        raise IntakeError(
            f"{assignment!r} cannot be an assignment's name: did you mean {checked!r}?"
        )


# --- finding files ------------------------------------------------------------------------------


def _find(path: Path, caps: Caps, names: Names, stack: contextlib.ExitStack) -> list[File]:
    """All files behind a path that the instructor gave (which may itself be a link)."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            inner = path / "submitted"
            files = walk(inner if inner.is_dir() else path, caps)
            found = list(itertools.islice(files, caps.files + 1))
            if len(found) > caps.files:
                raise Unreadable(f"holds more than {caps.files} files: is it the right folder?")
            return found
        if not stat.S_ISREG(kind):
            raise Unreadable("is neither a folder nor an ordinary file")
        file = stack.enter_context(path.open("rb"))
        start = file.read(6)
        if path.suffix.lower() != ".ipynb":
            if start.startswith(b"PK") or path.suffix.lower() == ".zip":
                return _class_archive(file, caps, names)
            if start.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
                raise Unreadable("is an archive, but not a zip: unpack it and give the folder")
        return [file_on_disk(path.resolve(), (path.name,))]
    except OSError as error:
        raise IntakeError(f"{path} cannot be read: {error.strerror}") from error
    except Unreadable as error:
        raise IntakeError(f"{path} {error}") from error


def _class_archive(file: BinaryIO, caps: Caps, names: Names) -> list[File]:
    try:
        return Archive(file, caps, names).files()
    except Unreadable as error:
        raise Unreadable(f"{error}; download it again, or unpack it and give the folder") from error


def _with_time_stamps(files: list[File], assignment: str) -> list[File]:
    """Files of nbgrader's tree with the time from the ``timestamp.txt`` of their folder."""
    times: dict[tuple[str, ...], datetime | None] = {}
    for file in files:
        if file.parts[-1] == TIMESTAMP and file.parts[-2:-1] == (assignment,) and not file.problem:
            try:
                times[file.parts[:-1]] = parse_time(file.load(1000).decode("utf-8", "replace"))
            except Unreadable:
                continue  # as if there were none; nbgrader's own file is a line of text
    return [
        replace(
            file,
            received=next(
                (times[f] for n in range(len(file.parts)) if (f := file.parts[:n]) in times), None
            ),
        )
        for file in files
    ]


def _collected_files(folder: Path, assignment: str, caps: Caps) -> list[File]:
    """The files of ``submitted/*/<assignment>``; only the notebook itself where it has its name."""
    found: list[File] = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        place = Path(entry.path, assignment)
        name = clean_disk_name(entry.name)
        if name.startswith(".") or not os.path.lexists(place):
            continue
        parts = (name, assignment)
        if entry.is_symlink() or place.is_symlink() or not place.is_dir():
            problem = "its folder in submitted/ is a symbolic link or a file; nothing is read there"
            found.append(File((*parts, f"{assignment}.ipynb"), 0, None, problem, never))
            continue
        received = _timestamp(place)
        there = [replace(file, received=received) for file in walk(place, caps, parts)]
        there = [file for file in there if file.parts[-1] != TIMESTAMP]
        usual = [file for file in there if file.parts == (*parts, f"{assignment}.ipynb")]
        found += (
            usual
            or there
            or [File((*parts, f"{assignment}.ipynb"), 0, None, "there is no file", never)]
        )
    return found


def _kept(shelf: Path, student: str, caps: Caps) -> Iterator[Submission]:
    """Superseded submissions, newest last."""
    if not shelf.is_dir() or shelf.is_symlink() or shelf.parent.is_symlink():
        return
    for path in sorted(shelf.glob("*.ipynb")):
        content = file_on_disk(path, (student, path.name)).load(caps.file)
        received = parse_time(path.name.partition("_")[0].replace(".", ":"))
        yield Submission(student, content, f"{student}/{SUPERSEDED}/{path.name}", received)


# --- choosing one per student -------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    submission: Submission
    number: int
    problem: str
    named: bool

    @property
    def rank(self) -> tuple:
        time = self.submission.received or datetime.min.replace(tzinfo=timezone.utc)
        return (not self.problem, time, self.number, self.named, self.submission.origin)


class _Reading:
    """From found files to one submission per student."""

    def __init__(
        self,
        assignment: str,
        caps: Caps,
        names: Names,
        source: list[rebuild.Cell] | None,
        *,
        clashes: bool = True,
    ) -> None:
        self.assignment, self.caps, self.names, self.source = assignment, caps, names, source
        self.refuse_clashes = clashes
        self.intake = Intake()
        self.left = caps.total

    def run(self, files: list[File], layout: str, owner_of: Attribution) -> Intake:
        self.intake.layout = layout
        groups: defaultdict[str, list[tuple[File, Owner]]] = defaultdict(list)
        for file in files:
            owner = owner_of(file.parts)
            student = self.student(file, owner, layout)
            if owner and student:
                groups[student].append((file, owner))
        if self.refuse_clashes:
            self.drop_clashes(groups)
        # Small ones first: should the total run out, it hits those who brought the most.
        for student in sorted(groups, key=lambda name: (_bytes(groups[name]), name)):
            self.read_student(student, groups[student])
        self.intake.accepted.sort(key=lambda one: one.student)
        self.intake.superseded.sort(key=lambda one: one.student)
        self.intake.refused.sort(key=lambda one: (one.student or "", one.origin))
        return self.intake

    def refuse_who_has_only_junk(self, junk: list[File], owner_of: Attribution) -> None:
        """Name the students of whom there is nothing but hidden files, so that nobody is lost."""
        known = {one.student for one in [*self.intake.accepted, *self.intake.refused]}
        for file in junk:
            owner = owner_of(file.parts)
            student = owner and self.student(file, owner, self.intake.layout)
            if student and student not in known:
                known.add(student)
                self.refuse(
                    student, file, "is a hidden file, and there is no other by this student"
                )

    def refuse(self, student: str | None, file: File, reason: str) -> None:
        self.intake.refused.append(Refusal(student, file.origin, reason))

    def student(self, file: File, owner: Owner | None, layout: str) -> str | None:
        """The checked id; None (and a refusal) if there is none to be had."""
        if owner is None:
            if layout != "nbgrader" or len(file.parts) < 3:  # else another assignment's
                self.refuse(None, file, file.problem or _no_owner(file, layout, self.assignment))
            return None
        if file.false_name and layout.startswith("plain"):
            # A name like ../ada.ipynb is no evidence for who wrote it.
            self.refuse(None, file, file.problem)
            return None
        try:
            return student_id(owner.student)
        except ValueError as error:
            self.refuse(None, file, f"{owner.student[:200]!r} cannot be a student's id: it {error}")
            return None

    def drop_clashes(self, groups: dict[str, list[tuple[File, Owner]]]) -> None:
        """Refuse ids that would be one folder where case is ignored; nobody knows whose it is."""
        same: defaultdict[str, list[str]] = defaultdict(list)
        for student in groups:
            same[folded(student)].append(student)
        for clashing in same.values():
            for student in clashing if len(clashing) > 1 else []:
                for file, _ in groups.pop(student):
                    self.refuse(student, file, clash(clashing))

    def read_student(self, student: str, files: list[tuple[File, Owner]]) -> None:
        usable = self.usable(student, files)
        left = self.caps.student
        candidates: list[_Candidate] = []
        for file, owner in usable:
            parts, used = self.unpacked(student, file, left)
            left -= used
            for part in parts:
                content = self.load(student, part, left)
                if content is not None:
                    left -= len(content)
                    candidates.append(self.candidate(student, part, owner, content))
        candidates.sort(key=lambda one: one.rank)
        if candidates:
            self.accept(candidates)

    def usable(self, student: str, files: list[tuple[File, Owner]]) -> list[tuple[File, Owner]]:
        """The files to read: notebooks, else archives, else what may be one by another name."""
        by_kind: defaultdict[str, list[tuple[File, Owner]]] = defaultdict(list)
        for file, owner in files:
            if file.problem:
                self.refuse(student, file, file.problem)
            else:
                by_kind[file.kind].append((file, owner))
        chosen = next((kind for kind in ("notebook", "zip", "maybe") if by_kind[kind]), None)
        has_reason = any(file.problem for file, _ in files)
        for kind in ("zip", "maybe", "other"):
            for file, _ in by_kind[kind] if kind != chosen else []:
                if chosen or has_reason:
                    self.intake.ignored.append(file.origin)
                else:
                    self.refuse(student, file, _not_a_notebook(file))
        found = sorted(
            by_kind[chosen] if chosen else [],
            key=lambda one: (_seconds(one[0].received), one[1].number, one[0].origin),
            reverse=True,
        )
        for file, _ in found[self.caps.student_files :]:
            self.refuse(
                student, file, f"is one of more than {self.caps.student_files} files by one student"
            )
        return found[: self.caps.student_files]

    def unpacked(self, student: str, file: File, left: int) -> tuple[list[File], int]:
        """The file itself, or the notebooks in it if it is an archive; and the bytes read."""
        if file.kind != "zip":
            return [file], 0
        content = self.load(student, file, left)
        if content is None:
            return [], 0
        return self.notebooks_in(student, file, content), len(content)

    def notebooks_in(self, student: str, file: File, content: bytes) -> list[File]:
        """The notebooks in an archive that a student handed in."""
        caps = replace(self.caps, table=MEBIBYTE, files=self.caps.nested_files)
        try:
            inside = Archive(io.BytesIO(content), caps, self.names).files()
        except Unreadable as error:
            self.refuse(student, file, str(error))
            return []
        inside = [inner for inner in inside if not inner.junk]
        # Times inside come from the student's own computer.
        inside = [
            replace(inner, parts=(*file.parts, *inner.parts), received=file.received)
            for inner in inside
        ]
        found = [inner for inner in inside if inner.kind == "notebook" and not inner.problem]
        bad = [inner for inner in inside if inner.kind == "notebook" and inner.problem]
        for inner in bad:
            self.refuse(student, inner, inner.problem)
        if not found and not bad:
            again = any(inner.kind == "zip" for inner in inside)
            reason = "only another archive" if again else "no notebook (.ipynb)"
            self.refuse(student, file, f"is an archive with {reason} in it")
        if len(found) > self.caps.student_files:
            reason = f"is an archive with {len(found)} notebooks; one was asked for"
            hint = "if it is the work of many students, collect that archive by itself"
            self.refuse(student, file, f"{reason}; {hint}")
            return []
        return found

    def load(self, student: str, file: File, left: int) -> bytes | None:
        try:
            if file.size > self.caps.file:
                raise Unreadable(too_large(file.size, self.caps.file))
            if file.size > left:
                raise Unreadable(
                    f"exceeds {size_text(self.caps.student)} for all files of a student"
                )
            if file.size > self.left:
                raise Unreadable(
                    f"exceeds {size_text(self.caps.total)} for everything; collect in parts"
                )
            content = file.load(min(self.caps.file, left, self.left))
        except Unreadable as error:
            self.refuse(student, file, str(error))
            return None
        self.left -= len(content)
        return content

    def candidate(self, student: str, file: File, owner: Owner, content: bytes) -> _Candidate:
        return _Candidate(
            Submission(student, content, file.origin, file.received),
            owner.number,
            self.judge(content),
            self.assignment in file.parts[-1],
        )

    def judge(self, content: bytes) -> str:
        """Why the grader will reject a file, "" if it will not or looking would take long."""
        try:
            if len(content) > MAX_JUDGED_BYTES:
                return ""
            cells = rebuild.read_cells(content)
            code = sum(len(cell.source) for cell in cells if cell.kind != "markdown")
            if self.source is not None and code <= MAX_JUDGED_CODE:
                rebuild.rebuild(self.source, cells)
        except rebuild.RebuildError as error:
            return str(error)
        return ""

    def accept(self, ranked: list[_Candidate]) -> None:
        best = ranked[-1]
        self.intake.accepted.append(best.submission)
        self.intake.superseded += [one.submission for one in ranked[:-1]]
        if best.problem:
            self.intake.notes.append(
                f"{best.submission.student}: will be rejected by the grader: {best.problem}"
            )
        later = [one for one in ranked[:-1] if one.rank[1:] > best.rank[1:]]
        for one in later:
            self.intake.notes.append(
                f"{best.submission.student}: {one.submission.origin} is later, but cannot be "
                f"graded ({one.problem}); {best.submission.origin} was taken"
            )


def _bytes(files: list[tuple[File, Owner]]) -> int:
    return sum(file.size for file, _ in files)


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time else float("-inf")


def _no_owner(file: File, layout: str, assignment: str) -> str:
    if layout.startswith("plain") and file.kind in ("notebook", "zip"):
        return f"is named like the assignment {assignment}, so its name does not say whose it is"
    return f"its name does not say whose it is (names are read as {layout})"


def _not_a_notebook(file: File) -> str:
    if "_assignsubmission_onlinetext" in file.origin or file.origin.endswith("_text.html"):
        return "is text typed into the platform; a notebook file (.ipynb) was asked for"
    return "is not a notebook: a file ending in .ipynb was asked for"


# --- times --------------------------------------------------------------------------------------


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "GMT", "Z"):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise IntakeError(f"there is no time zone {name!r}; an example is Europe/Berlin") from error


def parse_time(text: str) -> datetime | None:
    """A time as nbgrader and this module write it; None if it is none. No zone means UTC."""
    match = _TIME.fullmatch(text.strip()[:100])
    if not match:
        return None
    day, clock, hours, minutes, name = match.groups()
    zone: tzinfo = timezone.utc
    try:
        if name:
            zone = _zone(name)
        elif hours and hours != "Z":
            offset = timedelta(hours=int(hours[1:]), minutes=int(minutes or 0))
            zone = timezone(-offset if hours[0] == "-" else offset)
        return (
            datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=zone).astimezone(timezone.utc)
        )
    except (ValueError, OverflowError):
        return None


def format_time(time: datetime) -> str:
    """A time as nbgrader's ``timestamp.txt`` holds it."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _timestamp(folder: Path) -> datetime | None:
    try:
        return parse_time(
            read_regular(str(folder / TIMESTAMP), 1000, None).decode("utf-8", "replace")
        )
    except Unreadable:
        return None


# --- writing ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_folder(name: str | Path, above: int | None = None) -> Iterator[int]:
    """An open folder; inside another one, a link is not followed."""
    flags = (
        os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (os.O_NOFOLLOW if above is not None else 0)
    )
    try:
        handle = os.open(name, flags, dir_fd=above)
    except OSError as error:
        what = (
            "is a link or no folder"
            if error.errno in (errno.ELOOP, errno.ENOTDIR)
            else error.strerror
        )
        raise Unreadable(f"{str(name)!r} in submitted/ {what}") from error
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _make_folder(name: str, above: int) -> Iterator[int]:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)
    with _open_folder(name, above) as handle:
        yield handle


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[int]:
    """The open folder ``submitted``, locked against a second ``collect``."""
    import fcntl  # not on Windows, where releasing an assignment must still work

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _open_folder(folder) as root:
            lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield root
            finally:
                os.close(lock)
    except BlockingIOError as error:
        raise IntakeError(f"another collect is writing to {folder}; wait for it") from error
    except Unreadable as error:
        raise IntakeError(str(error)) from error


def _write(folder: int, name: str, content: bytes) -> None:
    """Write a file so that there is never half of it. nbgrader ignores ``*.part``."""
    draft = f"{name}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=folder)  # left by a run that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o666, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


class _Shelf:
    """One student's place in ``submitted/``."""

    def __init__(self, root: int, student: str, assignment: str) -> None:
        self.root, self.student, self.assignment = root, student, assignment
        self.notebook = f"{assignment}.ipynb"

    def put(self, new: Submission, earlier: list[Submission]) -> str | None:
        """Put a submission there. None: written; "": was there; else why it was not written."""
        try:
            with (
                _make_folder(self.student, self.root) as home,
                _make_folder(self.assignment, home) as folder,
            ):
                for one in earlier:
                    self.keep(home, one.content, one.received)
                return self.replace(home, folder, new)
        except OSError as error:
            raise Unreadable(f"{error.strerror} ({error.filename})") from error

    def replace(self, home: int, folder: int, new: Submission) -> str | None:
        old, received = self.existing(folder)
        if old == new.content:
            if received is None and new.received is not None:
                _write(folder, TIMESTAMP, format_time(new.received).encode())
            return ""
        newer = received is None or (new.received is not None and new.received > received)
        if old is not None and received is not None and not newer:
            self.keep(home, new.content, new.received)
            return (
                f"the submission of {format_time(received)} stays; {new.origin} is not newer and "
                f"was put into {SUPERSEDED}"
            )
        if old is not None:
            self.keep(home, old, received)
        # Without a time stamp a run that is killed here is completed by the next one; with the
        # old one, or with the new one before the notebook, the next run would be misled.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(TIMESTAMP, dir_fd=folder)
        _write(folder, self.notebook, new.content)
        if new.received is not None:
            _write(folder, TIMESTAMP, format_time(new.received).encode())
        return None

    def existing(self, folder: int) -> tuple[bytes | None, datetime | None]:
        """The submission that is there, with its time."""
        if self.notebook not in os.listdir(folder):
            return None, None
        content = read_regular(self.notebook, 2 * rebuild.MAX_FILE_BYTES, folder)
        try:
            time = read_regular(TIMESTAMP, 1000, folder).decode("utf-8", "replace")
        except Unreadable:
            return content, None
        return content, parse_time(time)

    def keep(self, home: int, content: bytes, received: datetime | None) -> None:
        """Keep a superseded submission, once, under its time and the start of its hash."""
        # No colon: some file systems do not take it.
        time = received.strftime("%Y-%m-%dT%H.%M.%SZ") if received else "unknown"
        ending = f"_{hashlib.sha256(content).hexdigest()[:16]}.ipynb"
        with _make_folder(SUPERSEDED, home) as above, _make_folder(self.assignment, above) as shelf:
            if not any(name.endswith(ending) for name in os.listdir(shelf)):
                _write(shelf, time + ending, content)


def _remember_refusals(root: int, intake: Intake, assignment: str) -> None:
    """Keep the reasons for those who have nothing in ``submitted/``, so that they are not lost."""
    handed_in = {one.student for one in intake.accepted}
    now = [one for one in intake.refused if one.student not in handed_in]
    named = {one.student for one in now}
    before = [
        one
        for one in _remembered(root, assignment)
        if one.student and one.student not in handed_in | named
    ]
    kept = [{"student": r.student, "origin": r.origin, "reason": r.reason} for r in before + now]
    if kept or before or REFUSED in os.listdir(root):
        with _make_folder(REFUSED, root) as folder:
            _write(folder, f"{assignment}.json", json.dumps(kept, indent=1).encode())


def _remembered(root: int, assignment: str) -> list[Refusal]:
    if REFUSED not in os.listdir(root):
        return []
    try:
        with _open_folder(REFUSED, root) as folder:
            if f"{assignment}.json" not in os.listdir(folder):
                return []
            data = json.loads(read_regular(f"{assignment}.json", 64 * MEBIBYTE, folder))
        return [Refusal(one["student"], one["origin"], one["reason"]) for one in data]
    except (Unreadable, ValueError, TypeError, KeyError) as error:
        raise IntakeError(
            f"submitted/{REFUSED}/{assignment}.json is damaged ({error}); "
            "delete it and collect again"
        ) from error


# --- telling ------------------------------------------------------------------------------------

ADVICE = """\
  If a name does not say whose file it is, rename the file to <student>.ipynb, say how names are
  built (--layout moodle, canvas, plain or nbgrader), or give a regular expression, for example
  --pattern '(?P<student_id>[a-z]+[0-9]+)_.*'"""


def report(intake: Intake) -> str:
    """What happened, as a table for the terminal. Control characters are shown, not sent."""
    counts = (
        f"{len(intake.accepted)} submissions (names read as {intake.layout})",
        f"{len(intake.superseded)} superseded",
        f"{len(intake.refused)} files refused",
    )
    lines = [", ".join(counts)]
    lines += _table("Collected", map(_submission_row, intake.accepted))
    lines += _table("Superseded (kept, not graded)", map(_submission_row, intake.superseded))
    lines += _table("Look at these", ((note,) for note in intake.notes))
    lines += _table("Beside a submission, not used", ((name,) for name in intake.ignored))
    refused = [one for one in intake.refused if one.student is not None]
    lines += _table("Refused", ((one.student, one.origin, one.reason) for one in refused))
    nobody = [one for one in intake.refused if one.student is None]
    lines += _table(
        "Nobody's",
        ((one.origin, one.reason) for one in nobody),
    )
    return "\n".join(lines + ([ADVICE] if nobody else []))


def _submission_row(one: Submission) -> tuple[str, ...]:
    time = format_time(one.received) if one.received else "time unknown"
    return one.student, time, size_text(len(one.content)), one.origin


def _table(title: str, rows: Iterable[Sequence[str | None]]) -> list[str]:
    shown = [
        [_show(cell or "", last=i == len(row) - 1) for i, cell in enumerate(row)] for row in rows
    ]
    if not shown:
        return []
    widths = [max(map(_width, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  "
        + "  ".join(c + " " * (w - _width(c)) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]
    return ["", f"{title}:", *lines]


def _show(text: str, *, last: bool) -> str:
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    most = 400 if last else 60
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"


def _width(text: str) -> int:
    """Columns in a terminal: Chinese characters take two, combining accents none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


# --- command line -------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``collect``; its options carry a function ``run(options) -> exit status``."""
    command = commands.add_parser(
        "collect",
        help="sort what students handed in into submitted/",
        description="Read a folder, an archive from Moodle or Canvas, or one file, and write "
        "submitted/<student>/<assignment>/. Collecting again adds what is new.",
    )
    command.add_argument("assignment")
    command.add_argument("path", type=Path, help="folder, zip archive or notebook")
    command.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="auto",
        help="how names say who is who (default: found out)",
    )
    command.add_argument(
        "--pattern",
        metavar="REGEX",
        help="regular expression with a group student_id, searched in each path, if no layout fits",
    )
    command.add_argument(
        "--time-zone",
        default="UTC",
        metavar="ZONE",
        help="of times in the archive, for example Europe/Berlin (default: %(default)s)",
    )
    command.add_argument(
        "--name-encoding", metavar="ENCODING", help="of names in the archive, for example gbk"
    )
    command.add_argument(
        "--submitted", type=Path, default=SUBMITTED, help="where to (default: %(default)s)"
    )
    command.add_argument("--dry-run", action="store_true", help="only tell, write nothing")
    command.set_defaults(run=run_collect)


def run_collect(options: argparse.Namespace) -> int:
    """Collect; exit status 1 if there was nothing to collect, whatever was refused."""
    check_assignment(options.assignment)
    notebook = SOLUTIONS / options.assignment / f"{options.assignment}.ipynb"
    if not notebook.is_file():
        raise IntakeError(
            f"there is no assignment {options.assignment!r}: {notebook} does not exist "
            "(run this in the course's folder)"
        )
    intake = read(
        options.path,
        options.assignment,
        layout=options.layout,
        source=rebuild.read_file(notebook),
        pattern=options.pattern,
        time_zone=options.time_zone,
        name_encoding=options.name_encoding,
    )
    if options.dry_run:
        print(report(intake))
        return 0 if intake.accepted else 1
    written = collect(intake, options.assignment, options.submitted)
    print(report(intake))
    rest = len(intake.accepted) - len(written)
    print(f"\n{len(written)} written to {options.submitted}, {rest} not newer than what was there")
    return 0 if intake.accepted else 1
