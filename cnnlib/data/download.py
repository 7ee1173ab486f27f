"""Fetching one file from the first mirror that has it, whole and with the right checksum."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16


class DownloadError(RuntimeError):
    """A file of a data set could not be had; the message says why and what to do instead."""


def data_folder() -> Path:
    """Where data sets are kept: `CNNLIB_DATA` if it is set, else `.cache/cnnlib` in the home."""
    chosen = os.environ.get("CNNLIB_DATA")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "cnnlib"


def mirrors(name: str, known: Sequence[str]) -> list[str]:
    """Base addresses to try in turn for the data set `name`.

    Args:
        name: Name of the data set.
        known: The public mirrors, used unless `CNNLIB_MIRROR` is set. That variable holds one base
            address, or several separated by spaces; the files of the set lie below it in a folder
            of the set's name, for example `https://mirror.example/mnist/`.
    """
    own = os.environ.get("CNNLIB_MIRROR", "").split()
    return [f"{base.rstrip('/')}/{name}/" for base in own] or list(known)


def md5_of(path: Path) -> str:
    """MD5 checksum of a file as 32 hexadecimal digits.

    The publishers of these sets give MD5 sums. They show that a file is whole; read with care (see
    `cnnlib.data.formats`), the file cannot run code whoever made it.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(path: Path, md5: str, name: str, base_addresses: Sequence[str]) -> Path:
    """Make sure that `path` holds the file with checksum `md5`, downloading it if need be.

    A file that is there and right is used as it is, without any network. Otherwise each mirror is
    tried in turn. A download goes to a temporary name beside `path` and is renamed only when its
    checksum is right, so that `path` never holds half a file.

    Args:
        path: Where the file belongs; its last part is also its name on the mirrors.
        md5: Its checksum, 32 hexadecimal digits.
        name: Name of the data set, for messages.
        base_addresses: Addresses of the folders that hold the file, in the order of trying.

    Returns:
        `path`.

    Raises:
        DownloadError: No mirror gave the file, or the folder cannot be written.
    """
    damaged = False
    if path.exists():
        if md5_of(path) == md5:
            return path
        damaged = True
        print(f"{name}: {path.name} is damaged (wrong checksum), fetching it again", flush=True)
    failures = []
    for base in base_addresses:
        address = urllib.parse.urljoin(base, path.name)
        try:
            _download(address, path, md5, name)
        except _MirrorFailed as failure:
            print(f"{name}: {failure}", flush=True)
            failures.append(str(failure))
        else:
            return path
    raise DownloadError(_advice(name, path, failures, damaged))


class _MirrorFailed(Exception):
    """This mirror did not give the right file; the next one may."""


def _download(address: str, path: Path, md5: str, name: str) -> None:
    """Download `address`, check it and move it to `path`; leave nothing behind on failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary_name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
    except OSError as error:
        raise DownloadError(
            f"{name}: cannot write to {path.parent} ({error.strerror}). Set the environment "
            f"variable CNNLIB_DATA to a folder that can be written, or work offline with "
            f'load("digits").'
        ) from error
    temporary = Path(temporary_name)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(address, file, name)
        got = md5_of(temporary)
        if got != md5:
            raise _MirrorFailed(f"{address}: wrong checksum ({got}, expected {md5})")
        temporary.chmod(0o644)  # mkstemp lets only the owner read, a shared folder wants more
        os.replace(temporary, path)
    finally:
        # Also when the user interrupts: only a file that passed its check has been renamed away.
        temporary.unlink(missing_ok=True)


def _copy(address: str, file: BinaryIO, name: str) -> None:
    """Copy what `address` serves into an open file, telling how far it is on one line."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            with _Progress(name, address, total) as progress:
                while chunk := response.read(CHUNK_BYTES):
                    _write(file, chunk)
                    progress.add(len(chunk))
    # Everything that urllib raises for a dead, refusing, slow or broken server is one of these:
    # URLError, timeouts and resets are OSErrors, a malformed address is a ValueError.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorFailed(f"{address}: {_reason(error)}") from error
    if total is not None and progress.done != total:
        raise _MirrorFailed(f"{address}: broke off after {progress.done:,} of {total:,} bytes")


def _write(file: BinaryIO, chunk: bytes) -> None:
    """Write to the disk; a full disk is not the mirror's fault, so it is reported as itself."""
    try:
        file.write(chunk)
    except OSError as error:
        raise DownloadError(
            f"cannot write the download: {error.strerror}. Free some space, or set the environment "
            f"variable CNNLIB_DATA to a folder on another disk."
        ) from error


def _reason(error: Exception) -> str:
    """A short reason for people: 'HTTP 404 Not Found', 'Connection refused'."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        inner = error.reason
        return str(getattr(inner, "strerror", None) or inner)
    return str(error) or type(error).__name__


def _advice(name: str, path: Path, failures: Sequence[str], damaged: bool) -> str:
    """The message of a download that failed everywhere: what happened and the ways out."""
    lines = [f"{name}: {path.name} could not be downloaded. What was tried:"]
    lines += [f"  {failure}" for failure in failures] or ["  no mirror is known"]
    if damaged:
        lines.append(f"The copy at {path} has a wrong checksum and was not used.")
    lines += [
        "Ways out:",
        '  without a network: load("digits") has the same interface and is always there;',
        f"  with another source: set CNNLIB_MIRROR to an address that has {name}/{path.name};",
        f"  with the file in hand: put it at {path}, or set CNNLIB_DATA to your data folder.",
    ]
    return "\n".join(lines)


class _Progress:
    """One line on stdout: the address, the size, and a mark for every tenth that has arrived."""

    def __init__(self, name: str, address: str, total: int | None) -> None:
        host = urllib.parse.urlsplit(address).netloc
        file_name = address.rsplit("/", 1)[-1]
        size = f"{total / 1e6:.1f} MB" if total else "size unknown"
        print(f"{name}: {file_name} ({size}) from {host} ", end="", flush=True)
        self.total = total
        self.done = 0
        self.tenths = 0

    def add(self, count: int) -> None:
        self.done += count
        while self.total and self.tenths < 10 * self.done // self.total:
            self.tenths += 1
            print(".", end="", flush=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        whole = kind is None and self.total in (None, self.done)
        print(" done" if whole else " broke off", flush=True)
