"""Fetching one file from the first mirror that has it, whole and with the right checksum.

Data sets and published weights come through here. They are kept in the folder `CNNLIB_DATA`, or
`~/.cache/cnnlib` without it; `CNNLIB_MIRROR` replaces the publishers' servers by others.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from cnnlib.files import atomic_write

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16
DIGITS_OFFLINE = 'load("digits") has the same interface and is always there'


class DownloadError(RuntimeError):
    """A file could not be had; the message says why and what to do instead."""


def data_folder() -> Path:
    """Where files are kept: `CNNLIB_DATA` if it is set, else `.cache/cnnlib` in the home."""
    chosen = os.environ.get("CNNLIB_DATA")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "cnnlib"


def mirrors(name: str, known: Sequence[str]) -> list[str]:
    """Base addresses to try in turn for the files of `name`.

    Args:
        name: Name of the data set, or "weights".
        known: The public mirrors, used unless `CNNLIB_MIRROR` is set. That variable holds one base
            address, or several separated by spaces; the files lie below it in a folder called
            `name`, for example `https://mirror.example/mnist/`.
    """
    own = os.environ.get("CNNLIB_MIRROR", "").split()
    return [f"{base.rstrip('/')}/{name}/" for base in own] or list(known)


def data_file(
    name: str,
    file: str,
    checksum: str,
    known_mirrors: Sequence[str],
    *,
    algorithm: str = "md5",
    offline: str = DIGITS_OFFLINE,
) -> Path:
    """A file of a data set, or of weights, in the data folder; downloaded if it is not there yet.

    Args:
        name: Name of the data set, or "weights".
        file: Path of the file below the data folder; its last part is its name on the mirrors.
        checksum: As in `fetch`.
        known_mirrors: The public mirrors, as in `mirrors`.
        algorithm: As in `fetch`.
        offline: As in `fetch`.

    Returns:
        The path of the file, which has this checksum.

    Raises:
        DownloadError: No mirror gave the file, or the folder cannot be written.
    """
    path = data_folder() / file
    bases = mirrors(name, known_mirrors)
    return fetch(path, checksum, name, bases, algorithm=algorithm, offline=offline)


def digest_of(path: Path, algorithm: str = "md5") -> str:
    """Checksum of a file in hexadecimal digits.

    Args:
        path: The file.
        algorithm: A name that `hashlib` knows: "md5" or "sha256".
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(
    path: Path,
    checksum: str,
    name: str,
    base_addresses: Sequence[str],
    *,
    algorithm: str = "md5",
    offline: str = DIGITS_OFFLINE,
) -> Path:
    """Make sure that `path` holds the file with this checksum, downloading it if need be.

    A file that is there and right is used as it is, without any network. Otherwise each mirror is
    tried in turn. A download takes the place of `path` only when its checksum is right
    (`cnnlib.files.atomic_write`), so that `path` never holds half a file.

    A checksum shows that a file is whole, not who made it: MD5, which the publishers of data sets
    give, and the eight digits in the names of weights can both be forged. So the files are also
    read in ways that cannot run code (`cnnlib.data.formats`, `torch.load(weights_only=True)`).

    Args:
        path: Where the file belongs; its last part is also its name on the mirrors.
        checksum: Its checksum in hexadecimal digits, whole or as many first digits as are known.
        name: Name of the data set, or "weights": for messages.
        base_addresses: Addresses of the folders that hold the file, in the order of trying.
        algorithm: "md5" or "sha256".
        offline: What a user can do without a network, for messages.

    Returns:
        `path`.

    Raises:
        DownloadError: No mirror gave the file, or the folder cannot be written.
    """
    damage = None
    if path.exists():
        if digest_of(path, algorithm).startswith(checksum):
            return path
        damage = (
            f"The copy at {path} ({path.stat().st_size} bytes) is damaged or cut short: "
            "it has a wrong checksum and was not used."
        )
        print(f"{name}: {path.name} is damaged (wrong checksum), fetching it again", flush=True)
    failures = []
    for base in base_addresses:
        address = urllib.parse.urljoin(base, path.name)
        try:
            with atomic_write(path) as file:
                _copy(address, file, name)
                got = digest_of(Path(file.name), algorithm)
                if not got.startswith(checksum):
                    got = got[: len(checksum)]
                    raise _MirrorFailed(f"{address}: wrong checksum ({got}, expected {checksum})")
        except _MirrorFailed as failure:
            print(f"{name}: {failure}", flush=True)
            failures.append(str(failure))
        except OSError as error:
            raise DownloadError(
                f"{name}: cannot write to {path.parent} ({error.strerror}). Set the environment "
                f"variable CNNLIB_DATA to a folder that can be written. Without any file: "
                f"{offline}."
            ) from error
        else:
            return path
    raise DownloadError(_advice(name, path, failures, damage, offline))


class _MirrorFailed(Exception):
    """This mirror did not give the right file; the next one may."""


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
        file.flush()
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


def _advice(
    name: str, path: Path, failures: Sequence[str], damage: str | None, offline: str
) -> str:
    """The message of a download that failed everywhere: what happened and the ways out."""
    lines = [f"{name}: {path.name} could not be downloaded. What was tried:"]
    lines += [f"  {failure}" for failure in failures] or ["  no mirror is known"]
    if damage is not None:
        lines.append(damage)
    lines += [
        "Ways out:",
        f"  without a network: {offline};",
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
