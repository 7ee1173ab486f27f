"""The form of committed notebooks, and the tool that brings them into it."""

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from tools import course, notebooks

SETUP = notebooks.setup_source(course.read_site().base_url)


def chapter(*cells):
    setup = nbformat.v4.new_code_cell("# setup", id="setup", execution_count=1)
    return nbformat.v4.new_notebook(cells=[setup, *cells])


@pytest.mark.parametrize("path", notebooks.all_notebooks(), ids=lambda path: path.stem)
def test_committed_notebooks_are_in_form(path):
    is_chapter = notebooks.is_chapter(path)
    assert notebooks.problems(notebooks.read(path), SETUP, chapter=is_chapter) == []


# Cells that print times, or what follows from times: nothing that a second run would repeat.
PRINT_TIMES = {
    ("comparison", "the-time-measured-code-2"),
    ("comparison", "the-time-measured-code-3"),
    ("comparison", "three-prices-code-2"),
}


def test_every_output_but_measured_times_is_compared():
    exempt = {
        (path.stem, cell.id)
        for path in notebooks.all_notebooks()
        for cell in notebooks.read(path).cells
        if {"nbval-ignore-output", "nbval-skip"} & set(cell.metadata.get("tags", []))
    }
    assert exempt == PRINT_TIMES


def test_normalise_removes_what_varies_from_run_to_run():
    cell = nbformat.v4.new_code_cell("1 + 1", id="sum", execution_count=17)
    cell.metadata = nbformat.from_dict({"execution": {}, "collapsed": True, "tags": ["hide-input"]})
    result = nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=17)
    cell.outputs = [result]
    notebook = chapter(cell)
    notebook.metadata = nbformat.from_dict({"widgets": {}, "kernelspec": {"name": "conda-x"}})
    notebooks.normalise(notebook, SETUP)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert notebook.cells[0].source == SETUP
    assert cell.metadata == {"tags": ["hide-input"]}
    assert (cell.execution_count, cell.outputs[0].execution_count) == (2, 2)
    assert notebooks.problems(notebook, SETUP, chapter=True) == []


def png(pixels):
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return base64.b64encode(stored.getvalue()).decode()


def pixels_of(picture):
    stored = Image.open(io.BytesIO(base64.b64decode(picture)))
    return np.asarray(stored.convert("RGBA"), np.int16)


def test_a_diagram_is_stored_with_a_palette_and_looks_the_same():
    rng = np.random.default_rng(0)  # a few hundred colours, as the edges of drawn lines have
    palette = rng.integers(0, 256, (300, 3), dtype=np.uint8)
    picture = np.full((90, 700, 4), 255, np.uint8)
    picture[30:60, :, :3] = palette[rng.integers(0, 300, (30, 700)).clip(0, 40)]
    picture[60, :300, :3] = palette
    stored = notebooks.with_palette(png(picture))
    assert len(stored) < len(png(picture))
    assert np.abs(pixels_of(stored) - picture).mean() < 0.5
    assert notebooks.with_palette(stored) == stored


@pytest.mark.parametrize("kind", ["photograph", "transparent"])
def test_a_picture_that_would_suffer_is_kept(kind):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)
    picture[..., 3] = 255 if kind == "photograph" else 128
    if kind == "transparent":
        picture[..., :3] = 7
    assert notebooks.with_palette(png(picture)) == png(picture)


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (nbformat.v4.new_output("stream", name="stderr", text="UserWarning"), "stores stderr"),
        (nbformat.v4.new_output("error", ename="ValueError", evalue="x"), "stores an error"),
        (nbformat.v4.new_output("stream", text="saved to /home/ada/model.pt"), "path of a machine"),
        (nbformat.v4.new_output("stream", text="x" * 1_100_000), "more than 1 MB"),
        (
            nbformat.v4.new_output(
                "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
            ),
            "stores a widget",
        ),
    ],
)
def test_each_departure_is_named(output, problem):
    cell = nbformat.v4.new_code_cell("f()", id="call", execution_count=2, outputs=[output])
    notebook = notebooks.normalise(chapter(cell), SETUP)
    found = notebooks.problems(notebook, SETUP, chapter=True)
    assert len(found) == 1
    assert problem in found[0]


def test_unexecuted_cells_and_a_foreign_install_cell_are_named():
    notebook = notebooks.normalise(chapter(nbformat.v4.new_code_cell("f()", id="call")), SETUP)
    assert notebooks.problems(notebook, SETUP, chapter=True) == ["cell call was not executed"]
    other = notebooks.setup_source("https://elsewhere.example/")
    assert any("install cell" in text for text in notebooks.problems(notebook, other, chapter=True))


def test_execute_stores_outputs_and_keeps_the_file_on_an_error(tmp_path):
    good = nbformat.v4.new_code_cell("print(6 * 7)", id="answer")
    path = tmp_path / "chapter.ipynb"
    notebooks.write(chapter(good), path)
    notebooks.execute(path, SETUP)
    stored = notebooks.read(path)
    assert stored.cells[1].outputs[0].text == "42\n"
    stored.cells[1].source = "1 / 0"
    notebooks.write(stored, path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        notebooks.execute(path, SETUP)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["chapter.ipynb"]


def test_a_file_that_is_no_notebook_is_named(tmp_path, capsys):
    path = tmp_path / "broken.ipynb"
    path.write_text("{not json")
    assert notebooks.main(["check", str(path)]) == 1
    assert "broken.ipynb is not a Jupyter notebook" in capsys.readouterr().out


def test_install_cell_touches_only_cnnlib():
    pip = next(line for line in SETUP.splitlines() if "%pip" in line)
    assert "--no-deps" in pip
    assert "--no-index" in pip
    assert pip.split()[-1] == "cnnlib"
    assert "drive" not in SETUP.lower()
