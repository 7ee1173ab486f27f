"""Write the tree that students may see, for courses whose repository is private.

No solutions, no hidden tests, no answer banks, no grader, no history: only files that are named
here and that git tracks, checked line by line before they are put in place.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from grading import release
from tools import course, notebooks

# Everything else stays private, so a new folder is private until somebody names it here.
PUBLIC = (
    ".gitignore",
    "CITATION.cff",
    "LICENSE",
    "LICENSE-TEXT",
    "Makefile",
    "README.md",
    "_config.yml",
    "_toc.yml",
    "bench",
    "book",
    "cnnlib",
    "exercises",
    "pyproject.toml",
    "requirements.in",
    "requirements.txt",
    "tests/book",
    "tests/cnnlib",
    "tests/models",
    "tools",
)
MARK = ".public-tree"


class PublicError(ValueError):
    """The public tree was not written; the message says why. Nothing was changed."""


def public_files(root: Path) -> list[Path]:
    """Tracked files that students may see, relative to ``root``."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--", *PUBLIC],
        check=True,
        capture_output=True,
        text=True,
    )
    files = [Path(name) for name in listed.stdout.split("\0") if name]
    missing = [name for name in files if not (root / name).is_file()]
    if missing:
        raise PublicError(f"git tracks {missing[0]}, but the file is not there")
    return files


def hidden_lines(root: Path) -> set[str]:
    """Lines of all hidden tests; the solutions, some of which the book teaches, are not secret."""
    lines: set[str] = set()
    for path in (root / "solutions").glob("*/*.ipynb"):
        lines |= release.secrets(notebooks.read(path), solutions=False)
    return lines


def check_tree(folder: Path, secret: set[str]) -> None:
    """Raise PublicError when any file below ``folder`` holds something hidden."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".ipynb":
            text = "\n".join(cell.source for cell in notebooks.read(path).cells)
            found = release.leaks(text, secret)
        else:
            # Markers only count in notebooks: the README explains them to contributors.
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found = sorted(secret & {line.strip() for line in lines})
        if found:
            raise PublicError(f"{path.relative_to(folder)} would give away: {found[0]}")


def write_public(destination: Path, *, root: Path = course.ROOT) -> int:
    """Write the public tree to ``destination`` and return the number of files.

    An existing public tree is replaced; its ``.git`` folder stays, so that a public repository
    can be updated in place.

    Raises:
        PublicError: ``destination`` holds something else, or a file would give something away.
    """
    destination = destination.resolve()
    if destination == root or root in destination.parents:
        raise PublicError(f"{destination} is inside the private repository: choose another folder")
    existing = list(destination.iterdir()) if destination.exists() else []
    if existing and MARK not in {path.name for path in existing}:
        raise PublicError(
            f"{destination} is not empty and was not made by this command: name an empty folder"
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".public-", dir=destination.parent) as scratch:
        made = Path(scratch) / "tree"
        files = public_files(root)
        for name in files:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, made / name)
        check_tree(made, hidden_lines(root))
        (made / MARK).write_text("Written by `make public`; the next one replaces it.\n")
        # All checks passed. Replaced entry by entry, so that .git is never moved; the mark goes
        # last, so that an interrupted run can be repeated.
        destination.mkdir(exist_ok=True)
        for path in existing:
            if path.name not in (".git", MARK):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in sorted(made.iterdir()):
            path.replace(destination / path.name)
    return len(files)
