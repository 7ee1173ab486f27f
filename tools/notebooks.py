"""Notebooks in the repository's form: normalise, execute, check, stamp the install cell.

    python -m tools.notebooks execute [FILE …]     run chapters and store their outputs
    python -m tools.notebooks normalise [FILE …]   only bring them into the form below
    python -m tools.notebooks check [FILE …]       say what is not in that form

The form, so that a change shows only what was changed: kernel python3, stable cell ids, execution
counts 1, 2, 3 …, no times, no widget state, figures stored with a palette where that does not show
(half the bytes), and in chapters no stderr, no error, no path of a machine, at most 1 MB.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from tools import course

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"name": "python"}
CELL_METADATA = ("tags", "mystnb", "nbgrader")
MAX_BYTES = 1_000_000
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|content|opt|var)/[\w.]+")
SETUP_ID = "setup"
# Grey levels out of 255, averaged over a figure: what 256 colours may change. A diagram or a curve
# changes by 0.2 at most; a colour photograph by more, and is kept as it is.
PALETTE_ERROR = 0.5


def setup_source(base_url: str) -> str:
    """The install cell every notebook begins with, for a site at ``base_url``.

    It installs only what is missing and nothing that Colab ships: ``--no-deps`` keeps torch and
    numpy, ``--find-links`` reads the wheel page inside the published book.
    """
    return f"""\
# On Colab: install the course's library, if it is missing. Running this cell again does no harm.
import importlib.util

if importlib.util.find_spec("cnnlib") is None:
    %pip install --quiet --no-deps --no-index --find-links {base_url}wheels/ cnnlib
    importlib.invalidate_caches()
    if importlib.util.find_spec("cnnlib") is None:
        raise RuntimeError("cnnlib was not installed: check the network and run this cell again")"""


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of format 4.

    Raises:
        ValueError: the file is not a notebook; the message names the file.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a Jupyter notebook: {str(error)[:200]}") from error


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write ``notebook`` in one step, in nbformat's own layout."""
    nbformat.validate(notebook)
    course.write_atomically(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def with_palette(png: str) -> str:
    """Store a figure with at most 256 colours, if nobody will see it and it saves bytes.

    Args:
        png: A PNG picture in base64, as notebooks store it.

    Returns:
        The smaller picture, or `png` itself. Applied twice, nothing more changes.
    """
    raw = base64.b64decode(png)
    picture = Image.open(io.BytesIO(raw))
    if picture.mode == "P" or picture.convert("RGBA").getextrema()[3][0] < 255:
        return png
    colours = picture.convert("RGB")
    reduced = colours.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    change = np.asarray(reduced.convert("RGB"), np.int16) - np.asarray(colours, np.int16)
    stored = io.BytesIO()
    reduced.save(stored, "PNG", optimize=True)
    if np.abs(change).mean() > PALETTE_ERROR or len(stored.getvalue()) >= len(raw):
        return png
    return base64.b64encode(stored.getvalue()).decode()


def normalise(notebook: nbformat.NotebookNode, setup: str) -> nbformat.NotebookNode:
    """Bring ``notebook`` into the repository's form, in place, and return it."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": dict(KERNELSPEC), "language_info": dict(LANGUAGE_INFO)}
    )
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{index:03d}")
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        )
        if not cell.get("attachments", True):
            del cell["attachments"]
        if cell.cell_type != "code":
            continue
        if cell.id == SETUP_ID:
            cell.source = setup
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = with_palette(output.data["image/png"])
    return notebook


def problems(notebook: nbformat.NotebookNode, setup: str, *, chapter: bool) -> list[str]:
    """List, in plain words, how ``notebook`` departs from the repository's form."""
    found = []
    text = nbformat.writes(notebook)
    if nbformat.writes(normalise(nbformat.from_dict(notebook), setup)) != text:
        found.append("not normalised (python -m tools.notebooks normalise)")
    setups = [cell for cell in notebook.cells if cell.id == SETUP_ID]
    if len(setups) != 1 or setups[0].source != setup:
        found.append("the install cell is missing or does not match _config.yml (make links)")
    if len(text.encode()) > MAX_BYTES:
        found.append(f"{len(text.encode()) / 1e6:.2f} MB, more than {MAX_BYTES / 1e6:.0f} MB")
    for match in sorted(set(MACHINE_PATH.findall(text))):
        found.append(f"path of a machine: {match}")
    if not chapter:
        return found
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        if cell.source and cell.execution_count is None:
            found.append(f"cell {cell.id} was not executed")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {cell.id} stores an error")
            elif output.get("name") == "stderr":
                found.append(f"cell {cell.id} stores stderr: {output.text[:60]!r}")
            elif "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                found.append(f"cell {cell.id} stores a widget")
    return found


def execute(path: Path, setup: str, timeout: int = 300) -> None:
    """Run the chapter ``path`` in its own folder and store the outputs; on an error keep the file.

    Raises:
        RuntimeError: a cell failed; the message names the cell and shows the error.
    """
    notebook = normalise(read(path), setup)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise RuntimeError(f"{path}: {error}\nThe stored notebook was left as it was.") from error
    write(normalise(notebook, setup), path)


def all_notebooks() -> list[Path]:
    """Every notebook that people edit: chapters, and sources of assignments."""
    sources = [course.ROOT / "solutions" / name / f"{name}.ipynb" for name in course.assignments()]
    return course.chapters() + sources


def is_chapter(path: Path) -> bool:
    """Whether ``path`` is a chapter, whose outputs are stored, and not an assignment."""
    return (course.ROOT / "book") in path.resolve().parents


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=["execute", "normalise", "check"])
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    files = [path.resolve() for path in options.files]
    if not files:
        files = course.chapters() if options.command == "execute" else all_notebooks()
    setup = setup_source(course.read_site().base_url)
    status = 0
    for path in files:
        inside = path.is_relative_to(course.ROOT)
        print(path.relative_to(course.ROOT) if inside else path, flush=True)
        try:
            if options.command == "execute":
                execute(path, setup)
            elif options.command == "normalise":
                write(normalise(read(path), setup), path)
            found = problems(read(path), setup, chapter=is_chapter(path))
        except (OSError, ValueError, RuntimeError) as error:
            found = [str(error)]
        for problem in found:
            print(f"  {problem}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
