"""Results on disk: one JSON file for each submission, and when it still counts.

``results/<assignment>/<student>.json`` holds what the grader returned, with the student, the
assignment, where the submission came from and a manifest that says what exactly was graded, with
what. These files are the record of a run: the gradebook, the feedback and the exports are made
from them. A file appears whole or not at all, so that a run that is killed loses at most the
submission it was working on.

A result is used again only if its manifest shows that grading anew would give the same: the same
source notebook, the same submission, the same secret behind the hidden inputs and the same
version of the grader. Otherwise the submission is graded again.

Threat model. Results contain text that students wrote (messages, outputs), which readers of these
files must treat as such. They hold neither the secret nor a student's seed: a fingerprint tells
that the secret is the same, and gives nothing of it away. The names of the files come from student
ids, so an id that would lead out of the folder is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import platform
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from grading import cgroups, cli, linux, rebuild, run

# Modules that have no influence on marks once a submission has been collected. A change in any
# other, one that is not known here included, makes old results invalid.
_WITHOUT_INFLUENCE = frozenset(
    [
        "__init__", "__main__", "batch", "cli", "export", "feedback", "gradebook", "html",
        "intake", "owners", "pool", "public", "release", "report", "results", "similarity",
        "uploads",
    ]
)  # fmt: skip
_FINGERPRINT_OF = b"fingerprint of the secret behind the hidden inputs"
_PACKAGES = ("torch", "numpy", "nbgrader")
_LIMIT_REASONS = frozenset(["timeout", "memory", "cpu", "output"])


class GradebookError(RuntimeError):
    """The gradebook cannot be used; the message says why. Results on disk are not affected."""


class ResultError(ValueError):
    """A result file cannot be used; the message says which and what to do."""


@cache
def grader_version() -> str:
    """Number of the result format, and a digest of all code that marks depend on."""
    digest = hashlib.sha256()
    for path in _deciding_files():
        digest.update(f"{path.parent.name}/{path.name}\0".encode())
        digest.update(path.read_bytes())
    return f"{run.SCHEMA}-{digest.hexdigest()[:16]}"


def _deciding_files() -> list[Path]:
    here = Path(__file__).resolve().parent
    files = [path for path in here.glob("*.py") if path.stem not in _WITHOUT_INFLUENCE]
    spec = importlib.util.find_spec("cnnlib")
    if spec is not None and spec.origin is not None:  # the sandbox refuses to start without it
        files += Path(spec.origin).resolve().parent.rglob("*.py")
    return sorted(files)


@cache
def versions() -> dict[str, str | None]:
    """Versions of what grading runs on; None for a package that this machine lacks."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a worker needs no nbgrader
            found[package] = None
    import cnnlib  # costs nothing: its parts are imported when they are used

    return found | {"cnnlib": cnnlib.__version__, "grader": grader_version()}


def seed_fingerprint(secret: bytes) -> str:
    """Tells two secrets apart without giving anything of either away."""
    return hmac.new(secret, _FINGERPRINT_OF, hashlib.sha256).hexdigest()[:16]


def execution_facts(result: dict[str, Any], worker: str) -> dict[str, Any]:
    """What a worker adds to the manifest of a result it made.

    Args:
        result: What the grader returned.
        worker: Name of the process that graded.
    """
    filtered = result["manifest"].get("isolation") == "bubblewrap" and linux.seccomp_available()
    facts: dict[str, Any] = {
        "versions": versions(),
        "worker": worker,
        "limits_hit": limits_hit(result),
        "seccomp": filtered,
        **cgroups.facts(),
    }
    if not filtered:
        facts["seccomp_missing"] = (
            f"no filter of system calls on {platform.machine()}: namespaces and limits alone"
            if result["manifest"].get("isolation") == "bubblewrap"
            else "the submission was not isolated"
        )
    return facts


def limits_hit(result: dict[str, Any]) -> list[str]:
    """The limits that ended a process of the student's or a test."""
    reasons = {ended.get("reason") for ended in result["manifest"].get("ended", [])}
    reasons |= {test["status"] for test in result["tests"]}
    return sorted(reasons & _LIMIT_REASONS)


def not_graded(source: bytes, status: str, reason: str, submission: bytes | None) -> dict[str, Any]:
    """A result in the contract's form for a submission that the grader gave none for.

    Args:
        source: Bytes of the source notebook.
        status: "rejected" (the file is unusable) or "error" (grading failed, through no fault of
            the student's as far as we know: a human has to look).
        reason: Why, in words for the student.
        submission: Bytes of the submission, if it could be read.
    """
    cells = [cell for cell in rebuild.read_source(source) if cell.grade]
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
        for cell in cells
    ]
    return {
        "status": status,
        "reason": reason,
        "score": 0.0,
        "max_score": sum(cell.points for cell in cells),
        "tests": tests,
        "cells": [],
        "notes": [reason],
        "manifest": {
            "schema": run.SCHEMA,
            "source_sha256": sha256(source),
            "submission_sha256": None if submission is None else sha256(submission),
            "versions": versions(),
        },
    }


def sha256(data: bytes) -> str:
    """Hexadecimal digest, as manifests have it."""
    return hashlib.sha256(data).hexdigest()


def complete(
    result: dict[str, Any],
    *,
    student: str,
    assignment: str,
    received: datetime | None,
    origin: str,
    fingerprint: str,
) -> dict[str, Any]:
    """Add whose result it is.

    Args:
        result: What the grader returned, or `not_graded`.
        student: The student's id.
        assignment: Name of the assignment.
        received: When the submission arrived, if known.
        origin: Where the submission lies.
        fingerprint: From `seed_fingerprint`.
    """
    return {
        "student": student,
        "assignment": assignment,
        "received": None if received is None else received.isoformat(),
        "origin": origin,
        "graded_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **result,
        "manifest": {**result["manifest"], "seed_fingerprint": fingerprint},
    }


def is_current(
    result: dict[str, Any], *, source_sha256: str, submission_sha256: str, fingerprint: str
) -> bool:
    """Whether grading the submission again would give this result.

    A result with the status "error" never counts: the next run tries again.
    """
    manifest = result["manifest"]
    versions_then = manifest.get("versions") or {}
    return (
        result["status"] != "error"
        and manifest.get("source_sha256") == source_sha256
        and manifest.get("submission_sha256") == submission_sha256
        and manifest.get("seed_fingerprint") == fingerprint
        and versions_then.get("grader") == grader_version()
    )


def path_of(folder: Path, assignment: str, student: str) -> Path:
    """Where the result of a student is kept.

    Raises:
        ResultError: The id cannot be the name of a file.
    """
    for name in (assignment, student):
        if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            raise ResultError(f"{name!r} cannot be used as the name of a file")
    return folder / assignment / f"{student}.json"


def save(folder: Path, result: dict[str, Any]) -> Path:
    """Write a result; whatever happens, the file is the old one or the new one."""
    path = path_of(folder, result["assignment"], result["student"])
    path.parent.mkdir(parents=True, exist_ok=True)
    cli.write_json(path, result)
    return path


def load(path: Path) -> dict[str, Any]:
    """Read one result.

    Raises:
        ResultError: The file is damaged.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        usable = (
            isinstance(result, dict)
            and isinstance(result["manifest"], dict)
            and isinstance(result["tests"], list)
            and {"student", "assignment", "status", "score", "max_score"} <= result.keys()
        )
    except (ValueError, KeyError, RecursionError):
        usable = False
    if not usable:
        raise ResultError(f"{path} is damaged: delete it and run grade again")
    return result


def load_all(folder: Path, assignment: str) -> list[dict[str, Any]]:
    """All results of an assignment, by student.

    Raises:
        ResultError: A file is damaged.
    """
    return [load(path) for path in sorted((folder / assignment).glob("*.json"))]


def remove_drafts(folder: Path, assignment: str) -> None:
    """Delete what a killed run was about to write."""
    for draft in (folder / assignment).glob(".*.json.*"):
        draft.unlink()
