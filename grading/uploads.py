"""Files as they come from outside: on disk or in a zip archive, read under caps.

Threat model: see `grading.intake`. Here is what touches the bytes. Nothing is unpacked to disk, no
name is used as a path, no size that a header declares is believed without a limit, and nothing
but an ordinary file is opened, without following a link or waiting for a pipe.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from typing import BinaryIO

from grading import rebuild

MEBIBYTE = 2**20
MAX_NAME = 1000  # characters in an archive; disks allow 255 bytes for each part
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError, IndexError, OSError,
)  # fmt: skip
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800
_JUNK = frozenset(("__macosx", "__pycache__", "thumbs.db", "desktop.ini"))


class IntakeError(ValueError):
    """Nothing could be read; the message says why and what to do. Nothing was written."""


class Unreadable(Exception):
    """One file cannot be read; the message is the reason for its student."""


@dataclass(frozen=True)
class Caps:
    """The most that is read. All sizes in bytes, after unpacking unless said otherwise.

    Attributes:
        file: One submission.
        student: All files of one student together.
        total: Everything together; all of it is in memory at the same time.
        table: The table of contents of an archive, as it lies in the file.
        files: Files in an archive or folder.
        folder: Files in one folder of a folder.
        student_files: Files of one student that are read.
        nested_files: Files in an archive that a student handed in.
        ratio: How many times a file may be larger than its packed form, if it is larger than
            ``ratio_from``. A notebook full of one repeated line reaches a few hundred.
        depth: Folders inside folders.
    """

    file: int = rebuild.MAX_FILE_BYTES
    student: int = 2 * rebuild.MAX_FILE_BYTES
    total: int = 2048 * MEBIBYTE
    table: int = 16 * MEBIBYTE
    files: int = 100_000
    folder: int = 5_000
    student_files: int = 30
    nested_files: int = 1_000
    ratio: int = 200
    ratio_from: int = 8 * MEBIBYTE
    depth: int = 12


@dataclass(frozen=True)
class File:
    """A file that was found and not yet read.

    Attributes:
        parts: Its name, decoded and split; never used as a path.
        size: Bytes, as declared.
        received: Its time, UTC.
        problem: Why it must not be read, "" if it may.
        load: Reads at most so many bytes, or raises `Unreadable`.
        false_name: The problem is its name, which then proves nothing.
    """

    parts: tuple[str, ...]
    size: int
    received: datetime | None
    problem: str
    load: Callable[[int], bytes]
    false_name: bool = False

    @property
    def origin(self) -> str:
        """The name, for messages."""
        return "/".join(self.parts)

    @property
    def kind(self) -> str:
        """One of "notebook", "zip", "maybe" (a browser changed the ending) and "other"."""
        name = self.parts[-1].lower()
        if name.endswith(".ipynb"):
            return "notebook"
        if name.endswith(".zip"):
            return "zip"
        return "maybe" if name.endswith((".ipynb.txt", ".json")) else "other"

    @property
    def junk(self) -> bool:
        """Whether it is what systems leave behind; nobody wants to hear of it."""
        return any(part.startswith(".") or part.lower() in _JUNK for part in self.parts)


def walk(folder: Path, caps: Caps, above: tuple[str, ...] = ()) -> Iterator[File]:
    """The files below a folder. Links are listed, not followed.

    Raises:
        Unreadable: The folder itself; one below it becomes an entry with a problem.
    """
    problem, children = "", []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                children.append(entry)
                if len(children) > caps.folder:
                    problem = f"the folder holds more than {caps.folder} files"
                    break
    except OSError as error:
        problem = f"the folder cannot be read: {error.strerror}"
    if len(above) > caps.depth:
        problem = "folders are nested too deeply"
    if problem:
        if not above:
            raise Unreadable(problem)
        yield File((*above, "(folder)"), 0, None, problem, never)
        return
    for entry in sorted(children, key=lambda entry: os.fsencode(entry.name)):
        parts = (*above, clean_disk_name(entry.name))
        if parts[-1].startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path), caps, parts)
        else:
            yield file_on_disk(Path(entry.path), parts)


def file_on_disk(path: Path, parts: tuple[str, ...]) -> File:
    """One file of a folder, called ``parts``."""
    try:
        info = path.lstat()
    except OSError as error:
        return File(parts, 0, None, f"cannot be read: {error.strerror}", never)
    kinds = {
        stat.S_IFLNK: "is a symbolic link, not a file", stat.S_IFIFO: "is a pipe, not a file",
        stat.S_IFCHR: "is a device, not a file", stat.S_IFBLK: "is a device, not a file",
        stat.S_IFSOCK: "is a socket, not a file", stat.S_IFDIR: "is a folder, not a file",
    }  # fmt: skip
    problem = kinds.get(stat.S_IFMT(info.st_mode), "")
    received = from_seconds(info.st_mtime)

    def load(limit: int) -> bytes:
        return read_regular(str(path), limit, None)

    return File(parts, info.st_size, received, problem, load)


def read_regular(name: str, limit: int, folder: int | None) -> bytes:
    """Read an ordinary file, never following a link and never waiting for a pipe."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(name, flags | getattr(os, "O_CLOEXEC", 0), dir_fd=folder)
    except OSError as error:
        link = error.errno == errno.ELOOP
        reason = "it is a symbolic link" if link else error.strerror
        raise Unreadable(f"cannot be read: {reason}") from error
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable("is not an ordinary file")
        if info.st_size > limit:
            raise Unreadable(too_large(info.st_size, limit))
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise Unreadable(too_large(len(content), limit))
    return content


def never(_: int) -> bytes:
    """Stand for the content of a file that cannot be read."""
    raise Unreadable("cannot be read")


def too_large(size: int, limit: int) -> str:
    """The reason for a file of this size."""
    return (
        f"is too large ({size_text(size)}; at most {size_text(limit)} are read): clear the "
        "outputs, remove attached pictures and hand it in again"
    )


@dataclass(frozen=True)
class Names:
    """How names and times in archives are decoded."""

    encoding: str | None
    zone: tzinfo

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise IntakeError(f"there is no encoding called {self.encoding!r}") from error

    def decode(self, raw: bytes) -> str:
        """Bytes of a name without the flag for UTF-8, which macOS forgets to set."""
        candidates = ["utf-8", self.encoding] if self.encoding else ["utf-8"]
        for encoding in candidates:
            with contextlib.suppress(UnicodeDecodeError):
                return raw.decode(encoding)
        # Letters are at 0x80-0xA5 in DOS's code page and at 0xC0-0xFF in Latin-1.
        latin = all(byte < 0x80 or byte >= 0xC0 for byte in raw)
        return raw.decode("latin-1" if latin else "cp437")

    def time(self, info: zipfile.ZipInfo) -> datetime | None:
        """The time of an entry, UTC: from the field ``UT`` if there is one, else DOS's."""
        extra = info.extra
        while len(extra) >= 4:
            tag, size = struct.unpack_from("<HH", extra)
            if tag == 0x5455 and size >= 5 and len(extra) >= 9 and extra[4] & 1:
                return from_seconds(struct.unpack_from("<i", extra, 5)[0])
            extra = extra[4 + size :]
        if info.date_time[:3] == (1980, 1, 1):  # "no time" in archives that keep none
            return None
        try:
            return datetime(*info.date_time, tzinfo=self.zone).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            return None


class _Careful:
    """The file below `zipfile`, which trusts what archives say about themselves.

    A read larger than the cap fails before anything is allocated. One entry of the table of
    contents with a name that is not the UTF-8 it claims to be, a version of the future or damaged
    extra fields would make the whole archive unreadable: that is mended on the way, so that only
    that entry fails.
    """

    def __init__(self, file: BinaryIO, cap: int) -> None:
        self._file, self._cap = file, cap

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._cap + 1) if size >= 0 else self._cap + 1)
        if len(data) > self._cap:
            raise zipfile.BadZipFile("its table of contents is too large")
        return _forgive(data) if data.startswith(b"PK\x01\x02") else data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _forgive(table: bytes) -> bytes:
    """Change what one entry of a table of contents could do to all others, length by length."""
    patched, place = bytearray(table), 0
    while patched[place : place + 4] == b"PK\x01\x02" and len(patched) >= place + 46:
        header = struct.unpack_from("<6xHH10xIIHHH8xI", patched, place)
        version, flags, packed, size, name, extra, comment, offset = header
        if version & 0xFF > 63:
            struct.pack_into("<H", patched, place + 6, 20)
        start = place + 46 + name
        try:
            patched[place + 46 : start].decode("utf-8")
        except UnicodeDecodeError:
            struct.pack_into("<H", patched, place + 8, flags & ~_UTF8_NAME)
        wide = (packed, size, offset).count(0xFFFFFFFF)
        if (
            not _sound(bytes(patched[start : start + extra]), 8 * wide)
            and len(patched) >= start + 4
        ):
            struct.pack_into("<HH", patched, start, 0xFFFF, extra - 4)  # one field, unknown to all
        place = start + extra + comment
    return bytes(patched)


def _sound(extra: bytes, wide: int) -> bool:
    """Whether the extra fields of an entry fill their room and hold the large sizes they must."""
    while len(extra) >= 4:
        tag, size = struct.unpack_from("<HH", extra)
        if size + 4 > len(extra) or tag == 0x7075 or (tag == 1 and size < wide):
            return False
        extra = extra[4 + size :]
    return True


class Archive:
    """A zip file, read under caps. Stored and deflated entries only.

    `zipfile` reads at most the declared size of an entry, so a false small size gives a damaged
    entry and a false large one is refused; bzip2 and LZMA are left out because their decoders
    give whole blocks of a thousand times the input at once.
    """

    def __init__(self, file: BinaryIO, caps: Caps, names: Names) -> None:
        self.caps, self.names = caps, names
        try:
            self.zip = zipfile.ZipFile(_Careful(file, caps.table))  # type: ignore[arg-type]
        except _DAMAGE as error:
            raise Unreadable(f"is a damaged archive or no zip file ({error})") from error
        if len(self.zip.infolist()) > caps.files:
            raise Unreadable(f"is an archive with more than {caps.files} entries")

    def files(self) -> list[File]:
        """The entries, without folders."""
        infos = self.zip.infolist()
        overlapping = _overlapping(infos)
        return [
            self.file(info, overlapping=index in overlapping)
            for index, info in enumerate(infos)
            if not info.orig_filename.endswith(("/", "\\"))
        ]

    def file(self, info: zipfile.ZipInfo, *, overlapping: bool) -> File:
        """One entry."""
        name = info.orig_filename
        if not info.flag_bits & _UTF8_NAME:
            # zipfile has decoded it with this code page, which knows all 256 bytes.
            name = self.names.decode(name.encode("cp437"))
        parts, false_name = _split(name)
        shared = "shares its bytes with another entry of the archive (a zip bomb)"
        problem = false_name or self.problem(info) or (shared if overlapping else "")

        def load(limit: int) -> bytes:
            return self.load(info, limit)

        time = self.names.time(info)
        return File(parts, info.file_size, time, problem, load, bool(false_name))

    def problem(self, info: zipfile.ZipInfo) -> str:
        """Why an entry must not be read, as far as its header tells."""
        mode = info.external_attr >> 16
        if stat.S_ISLNK(mode):
            return "is a symbolic link, not a file"
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return "is a device, a pipe or a folder, not a file"
        if info.flag_bits & _ENCRYPTED:
            return "is encrypted with a password"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"is packed with method {info.compress_type}; only ordinary zip files are read"
        if info.file_size > self.caps.ratio_from:
            ratio = info.file_size // max(info.compress_size, 1)
            if ratio > self.caps.ratio:
                return (
                    f"unpacks to {ratio} times its size, {size_text(info.file_size)} (a zip bomb, "
                    "or one line of output repeated without end: clear the outputs)"
                )
        return ""

    def load(self, info: zipfile.ZipInfo, limit: int) -> bytes:
        """Unpack one entry into memory, never more than ``limit`` bytes."""
        if info.file_size > limit:
            raise Unreadable(too_large(info.file_size, limit))
        content = bytearray()
        try:
            with self.zip.open(info) as entry:
                while chunk := entry.read(65_536):
                    content += chunk
                    if len(content) > limit:
                        raise Unreadable(too_large(len(content), limit))
        except _DAMAGE as error:
            raise Unreadable(f"is damaged in the archive ({error})") from error
        return bytes(content)


def _overlapping(infos: Sequence[zipfile.ZipInfo]) -> set[int]:
    """Indices of entries whose bytes lie inside one another, as no honest program writes them."""
    found: set[int] = set()
    end, last = -1, -1
    for index in sorted(range(len(infos)), key=lambda index: infos[index].header_offset):
        info = infos[index]
        if info.header_offset < end:
            found |= {index, last}
        stop = info.header_offset + 30 + max(info.compress_size, 0)
        if stop > end:
            end, last = stop, index
    return found


def _split(name: str) -> tuple[tuple[str, ...], str]:
    """The parts of an entry's name, and why it is not acceptable ("" if it is)."""
    problem = ""
    if "\0" in name or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        problem = "has a control character in its name"
    elif len(name) > MAX_NAME:
        problem = f"has a name of more than {MAX_NAME} characters"
    pieces = name[:MAX_NAME].replace("\\", "/").split("/")
    if pieces[0] == "" or re.match(r"^[A-Za-z]:", pieces[0]):
        problem = problem or "has an absolute path as its name"
    elif ".." in pieces:
        problem = problem or "has a name that leads out of its folder"
    parts = tuple(piece for piece in pieces if piece not in ("", ".", ".."))
    return parts or ("(no name)",), problem


def clean_disk_name(name: str) -> str:
    """A name on disk, of which Python has kept undecodable bytes as surrogates."""
    try:
        name.encode("utf-8")
        return name
    except UnicodeEncodeError:
        return Names(None, timezone.utc).decode(os.fsencode(name))


def from_seconds(seconds: float) -> datetime | None:
    """UTC from seconds since 1970, None if there is no such date."""
    try:
        return datetime.fromtimestamp(int(seconds), tz=timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def size_text(count: int) -> str:
    """A number of bytes for people."""
    if count >= MEBIBYTE:
        return f"{count / MEBIBYTE:.1f} MiB"
    return f"{count / 1024:.1f} KiB" if count >= 1024 else f"{count} bytes"
