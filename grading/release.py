"""Turn the reference notebooks of ``solutions/`` into the ones students get in ``exercises/``.

nbgrader does the conversion; this module calls it, checks that nothing hidden came through, and
only then puts the result in place.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config, PyFileConfigLoader

from tools import course, notebooks

SOLUTION = re.compile(r"### BEGIN SOLUTION(.*?)### END SOLUTION", re.DOTALL)
HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS(.*?)### END HIDDEN TESTS", re.DOTALL)
MARKERS = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS)")
# Shorter lines ("return total", "import torch") are nobody's secret and occur by chance.
SECRET_LENGTH = 25
# Neither does an import give anything away, however long: any file of the library may have it.
IMPORT = re.compile(r"import [\w., ]+|from [\w.]+ import [\w*, ]+")


class ReleaseError(ValueError):
    """The release was refused; the message says why. What was released before is untouched."""


def _lines(regions: list[str]) -> set[str]:
    """The stripped lines of some regions of code that could give something away."""
    lines = {line.strip() for region in regions for line in region.splitlines()}
    return {line for line in lines if len(line) >= SECRET_LENGTH and not IMPORT.fullmatch(line)}


def secrets(source: nbformat.NotebookNode, *, solutions: bool = True) -> set[str]:
    """Lines of a reference notebook that no student may see.

    Args:
        source: the notebook with its solutions and hidden tests.
        solutions: include the lines of the solutions, besides those of the hidden tests.

    Returns:
        Stripped lines; a line that the student sees anyway, outside these regions, is left out.
    """
    text = "\n".join(cell.source for cell in source.cells)
    regions = HIDDEN.findall(text) + (SOLUTION.findall(text) if solutions else [])
    visible = _lines([SOLUTION.sub("", HIDDEN.sub("", text))])
    return _lines(regions) - visible


def leaks(text: str, hidden_lines: set[str]) -> list[str]:
    """What in ``text`` should not be there: markers of nbgrader, and hidden lines."""
    found = sorted({match.group(0) for match in MARKERS.finditer(text)})
    present = {line.strip() for line in text.splitlines()}
    return found + sorted(hidden_lines & present)


def nbgrader_config(root: Path, **course_directory: str) -> Config:
    """The course's nbgrader configuration, with some traits of CourseDirectory replaced."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(root)
    for name, value in course_directory.items():
        setattr(config.CourseDirectory, name, value)
    return config


def release(assignment: str, *, root: Path = course.ROOT, db_url: str | None = None) -> Path:
    """Generate ``exercises/<assignment>`` from ``solutions/<assignment>``.

    Args:
        assignment: name of the folder and of the notebook in it.
        root: the course's folder.
        db_url: gradebook that learns the assignment's cells and points; by default the course's.

    Returns:
        The folder that was written.

    Raises:
        ReleaseError: no such assignment, nbgrader refused it, or something hidden came through.
    """
    source_path = root / "solutions" / assignment / f"{assignment}.ipynb"
    if not source_path.is_file():
        known = ", ".join(sorted(p.stem for p in (root / "solutions").glob("*/*.ipynb"))) or "none"
        raise ReleaseError(f"there is no {source_path.relative_to(root)} (assignments: {known})")
    # nbgrader makes its database with the `alembic` command of this environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix=".release-", dir=root) as scratch:
        options = {"release_directory": scratch, **({"db_url": db_url} if db_url else {})}
        api = NbGraderAPI(config=nbgrader_config(root, **options))
        result = api.generate_assignment(assignment, force=True, create=True)
        if not result["success"]:
            raise ReleaseError(
                f"nbgrader refused {assignment}:\n{result['error'] or result['log']}"
            )
        made = Path(scratch) / assignment
        _finish(made / source_path.name, source_path)
        for path in made.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        target = root / "exercises" / assignment
        target.parent.mkdir(exist_ok=True)
        old = Path(scratch) / "old"
        if target.exists():
            target.rename(old)
        made.rename(target)
    return target


def _finish(released_path: Path, source_path: Path) -> None:
    """Normalise a released notebook and refuse it when it gives something away."""
    source = notebooks.read(source_path)
    setup = next((cell.source for cell in source.cells if cell.id == notebooks.SETUP_ID), "")
    released = notebooks.normalise(notebooks.read(released_path), setup)
    text = "\n".join(cell.source for cell in released.cells)
    found = leaks(text, secrets(source))
    if found:
        raise ReleaseError(f"{source_path.name} would give away:\n  " + "\n  ".join(found[:10]))
    notebooks.write(released, released_path)
