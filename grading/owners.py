"""Whose file it is, told from its name, and which ids a student can have.

A name decides by its *outermost* part that fits, which the learning platform wrote; what lies
deeper was named by the student and could be made to look like a classmate's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grading.uploads import File, IntakeError

LAYOUTS = ("auto", "moodle", "canvas", "plain", "nbgrader")
_COPY = re.compile(
    r"^(?:copy|kopie|copie|copia|cópia|kopia|kopi)[ _-]+(?:of|von|van|de|di|do|af|av)[ _-]+", re.I
)
_NUMBERED = re.compile(
    r"(?:[ _]*\([0-9]+\)|[ _]-[ _](?:copy|kopie)|[ _]copy(?:[ _][0-9]+)?)$", re.I
)
_MOODLE = re.compile(
    r"(?P<student>.+?_[0-9]+|[^_]+)_assignsubmission_(?P<kind>file|[a-z]+)(?:_|$)", re.S
)
_CANVAS = re.compile(
    r"(?P<name>.+?)_(?:LATE_)?(?P<user>[0-9]+)_(?:(?P<file>[0-9]+)_.|(?:text|link)\.html$)", re.S
)
_CANVAS_ANONYMOUS = re.compile(r"(?:LATE_)?(?P<name>anon_[A-Za-z0-9]+)_(?P<file>[0-9]+)_.", re.S)
_COLLECTION = re.compile(r"submi|abgabe|homework|download|students?\b|\bclass\b", re.I)
# U+202A… turn the reading direction, so that a name on the screen is not the name on the disk.
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WINDOWS_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)", re.I)


@dataclass(frozen=True)
class Owner:
    """Whose file it is; ``number`` grows with the time of upload where the platform counts."""

    student: str
    number: int = 0


Attribution = Callable[[tuple[str, ...]], "Owner | None"]


def student_id(text: str) -> str:
    """A student id that is safe as a folder's name and that nbgrader accepts.

    Raises:
        ValueError: The message, after "it", says what is wrong.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name or name in (".", ".."):
        raise ValueError("is empty")
    bad = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    bad = bad or next((c for c in name if c in _DIRECTION), None)
    if bad:
        raise ValueError(f"contains the invisible character U+{ord(bad):04X}")
    # + separates fields in nbgrader's exchange, * ? [ ] are patterns in its searches, the others
    # cannot stand in names on every system.
    bad = next((c for c in name if c in '/\\+*?[]:"<>|'), None)
    if bad:
        raise ValueError(f"contains {bad!r}, which nbgrader or a file system does not allow")
    if name.startswith(".") or name.endswith("."):
        raise ValueError("starts or ends with a dot")
    if _WINDOWS_DEVICES.match(name):
        raise ValueError("is the name of a device on Windows")
    if len(name) > 128 or len(name.encode()) > 200:
        raise ValueError("is longer than the 128 characters that nbgrader's gradebook holds")
    return name


def attribution(
    files: list[File], assignment: str, layout: str, pattern: str | None, archive: str
) -> tuple[str, Attribution]:
    """How to tell whose a file is, and the name of that way.

    Raises:
        IntakeError: The layout does not exist or the pattern is none.
    """
    if pattern is not None:
        return "pattern", _by_pattern(pattern)
    if layout not in LAYOUTS:
        raise IntakeError(f"there is no layout {layout!r}; choose one of {', '.join(LAYOUTS)}")
    known: dict[str, Attribution] = {
        "canvas": _canvas,
        "moodle": _moodle,
        "nbgrader": lambda parts: _nbgrader(parts, assignment),
    }
    if layout == "auto":
        layout = _recognise(files, known)
    if layout in known:
        return layout, known[layout]
    wrapper = _wrapper(files, assignment, archive)
    layout = f"plain, inside the folder {wrapper!r}" if wrapper else "plain"
    return layout, lambda parts: _plain(parts, assignment, wrapper)


def _recognise(files: list[File], known: dict[str, Attribution]) -> str:
    """The layout of most files, so that no single strange name changes how all others are read."""
    for layout in ("canvas", "moodle"):
        if 2 * sum(known[layout](file.parts) is not None for file in files) > len(files):
            return layout
    parts = [file.parts for file in files if file.kind == "notebook"]
    # In nbgrader's tree there is no notebook above the third level.
    tree = all(len(p) > 2 for p in parts) and any(known["nbgrader"](p) for p in parts)
    return "nbgrader" if tree else "plain"


def _moodle(parts: tuple[str, ...]) -> Owner | None:
    """``Ada Lovelace_1234_assignsubmission_file_/x.ipynb`` or all of it in one name."""
    for part in parts:
        match = _MOODLE.match(part)
        if match:
            return Owner(match["student"])
    return None


def _canvas(parts: tuple[str, ...]) -> Owner | None:
    """``lovelaceada_LATE_1234_67890_x-1.ipynb``: name, user, file; or ``anon_…`` and file."""
    for part in parts:
        anonymous = _CANVAS_ANONYMOUS.match(part)
        if anonymous:
            return Owner(anonymous["name"], _number(anonymous["file"]))
        match = _CANVAS.match(part)
        if match:
            return Owner(f"{match['name']}_{match['user']}", _number(match["file"] or "0"))
    return None


def _number(digits: str) -> int:
    return int(digits[:18])


def _nbgrader(parts: tuple[str, ...], assignment: str) -> Owner | None:
    """``[…/submitted/]<student>/<assignment>/…``."""
    for index in range(1, len(parts) - 1):
        if parts[index] == assignment:
            rooted = index == 1 or parts[index - 2] == "submitted"
            return Owner(parts[index - 1]) if rooted else None
    return None


def _plain(parts: tuple[str, ...], assignment: str, wrapper: str) -> Owner | None:
    """``<student>.ipynb`` or ``<student>/…``, perhaps all inside one more folder."""
    if wrapper and parts[0] == wrapper:
        parts = parts[1:]
    if not parts:
        return None
    if len(parts) > 1:
        return Owner(parts[0])
    stem, dot, ending = parts[0].rpartition(".")
    if not dot or ending.lower() not in ("ipynb", "zip"):
        return None
    student = plain_name(stem)
    return None if folded(student) == folded(assignment) else Owner(student)


def _wrapper(files: list[File], assignment: str, archive: str) -> str:
    """The one folder that somebody packed around everything, "" if there is none.

    ``class/ada/x.ipynb, class/bo/x.ipynb`` has one. ``x/ada.ipynb, x/bo.ipynb`` has one only if x
    is no student's name: it is called like the archive or the assignment, or "submissions".
    """
    tops = {file.parts[0] for file in files}
    if len(tops) != 1 or any(len(file.parts) == 1 for file in files):
        return ""
    (top,) = tops
    below = [file.parts[1:] for file in files if file.kind in ("notebook", "zip")]
    folders = {parts[0] for parts in below if len(parts) > 1}
    flat = any(len(parts) == 1 for parts in below)
    called = folded(plain_name(top)) in (folded(plain_name(archive)), folded(assignment))
    return top if called or _COLLECTION.search(top) or (len(folders) > 1 and not flat) else ""


def _by_pattern(pattern: str) -> Attribution:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise IntakeError(f"the pattern {pattern!r} is no regular expression: {error}") from error
    if "student_id" not in compiled.groupindex:
        raise IntakeError(
            f"the pattern {pattern!r} must name the student, for example "
            r"'(?P<student_id>[a-z]+[0-9]+)_.*\.ipynb'"
        )

    def owner(parts: tuple[str, ...]) -> Owner | None:
        match = compiled.search("/".join(parts))
        student = match["student_id"] if match else None
        return Owner(student) if student else None

    return owner


def plain_name(stem: str) -> str:
    """A name without what browsers, Drive and Windows add: "Copy of", "(1)", "- Copy"."""
    while True:
        shorter = _NUMBERED.sub("", _COPY.sub("", stem.strip()))
        if shorter == stem or not shorter:
            return stem
        stem = shorter


def folded(name: str) -> str:
    """What a file system that ignores case makes of a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def clash(names: Iterable[str]) -> str:
    """The reason for ids that would be one folder where case is ignored."""
    listed = " and ".join(repr(name) for name in sorted(names))
    return f"{listed} differ only in capital letters: say which is meant by renaming one"
