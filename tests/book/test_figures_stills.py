"""The still pictures of the figures: stored as SVG, and what the figures draw when they start."""

import base64
import io
import xml.etree.ElementTree as ElementTree

import figure_pages
import nbformat
import numpy as np
import pytest
from PIL import Image

from tools import course, figure_scripts, figure_stills

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stills")
    figure_scripts.write(folder)
    return folder


def content(text):
    """Tags, words and places of a picture; colours may differ in their last digit."""
    places = ("x", "y", "cx", "cy", "r", "width", "height", "d", "transform", "aria-label")
    return [
        (one.tag, one.text, [one.get(place) for place in places])
        for one in ElementTree.fromstring(text).iter()
    ]


@pytest.mark.parametrize("name", figure_stills.STILLS)
def test_a_still_picture_is_what_its_figure_draws(browser, scripts, name):
    assert name in figure_pages.ELEMENTS
    stored = (figure_stills.FIGURES / f"{name}.svg").read_text("utf-8")
    assert content(stored) == content(figure_stills.take(browser, scripts, name))


def test_a_figure_that_draws_nothing_is_named(browser, scripts, monkeypatch):
    monkeypatch.setitem(figure_stills.STILLS, "roi-align", ("", ".no-such-drawing"))
    monkeypatch.setattr(figure_stills, "PATIENCE", 1)
    with pytest.raises(RuntimeError, match=r"<roi-align> has drawn no '\.no-such-drawing'"):
        figure_stills.take(browser, scripts, "roi-align")


@pytest.mark.parametrize("name", figure_stills.STILLS)
def test_a_still_picture_stands_alone(name):
    """No style sheet, script or other file; a size; a name for who cannot see it."""
    path = figure_stills.FIGURES / f"{name}.svg"
    assert path.stat().st_size < 60_000
    root = ElementTree.fromstring(path.read_text("utf-8"))
    assert root.tag == f"{SVG}svg"
    assert root.get("aria-label")
    assert float(root.get("width")) <= 600
    assert float(root.get("height")) > 100
    shapes = [one for one in root.iter() if one.tag not in (f"{SVG}svg", f"{SVG}g")]
    assert len(shapes) > 5
    for one in shapes:
        assert one.tag.removeprefix(SVG) in ("rect", "path", "circle", "text", "title")
        assert one.get("fill", "missing") == "none" or one.get("fill").startswith("#")
        assert not {"class", "style", "href"} & set(one.keys())
        assert not any(key.startswith("on") for key in one.keys())  # noqa: SIM118


def embedded():
    """The pictures that chapters carry: (chapter, name, PNG in base64)."""
    return [
        (path.stem, *match)
        for path in course.chapters()
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "markdown"
        for match in figure_stills.EMBEDDED.findall(cell.source)
    ]


def test_each_still_picture_stands_in_one_chapter():
    assert sorted(name for _, name, _ in embedded()) == sorted(figure_stills.STILLS)


@pytest.mark.parametrize(("chapter", "name", "png"), embedded(), ids=lambda text: text[:20])
def test_a_chapter_carries_a_small_picture_of_the_stored_drawing(chapter, name, png):
    drawing = (figure_stills.FIGURES / f"{name}.svg").read_text("utf-8")
    assert len(png) < 15_000, "as text in a notebook"
    picture = Image.open(io.BytesIO(base64.b64decode(png, validate=True)))
    assert picture.format == "PNG"
    message = f"run `python -m tools.figure_stills {name}`"
    assert picture.text[figure_stills.SOURCE] == figure_stills.digest(drawing), message
    root = ElementTree.fromstring(drawing)
    assert picture.size == (round(float(root.get("width"))), round(float(root.get("height"))))
    colours = picture.convert("RGB").getcolors(10_000)
    assert len(colours) > 10, "something is drawn on it"
    assert max(colours)[1] == (255, 255, 255), "on white, so that it is seen in the dark too"


def test_the_picture_shows_what_the_drawing_shows(browser):
    """Rendered anew, for the figure with the most in it; letters differ between machines."""
    [png] = [png for _, name, png in embedded() if name == "roi-align"]
    drawing = (figure_stills.FIGURES / "roi-align.svg").read_text("utf-8")
    stored, anew = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("L"), np.int16)
        for one in (png, figure_stills.as_png(browser, drawing))
    )
    assert np.abs(stored - anew).mean() < 3
    assert np.abs(stored - 255).mean() > 10, "a white picture would not pass"


def test_pictures_are_put_into_chapters_by_name(tmp_path, monkeypatch):
    cells = ["Text.\n\n![A.][roi-align]\n\n[roi-align]: data:image/png;base64,", "`[roi-align]`"]
    path = tmp_path / "chapter.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(c) for c in cells])
    nbformat.write(notebook, path)
    monkeypatch.setattr(course, "chapters", lambda: [path])
    assert figure_stills.embed({"anchor-labels": "AAAA"}) == []
    assert figure_stills.embed({"roi-align": "iVBO+/=="}) == [path]
    assert figure_stills.embed({"roi-align": "iVBO+/=="}) == []
    assert [cell.source for cell in nbformat.read(path, 4).cells] == [
        cells[0] + "iVBO+/==",
        cells[1],
    ]


def test_an_unknown_figure_is_refused(tmp_path, capsys):
    assert figure_stills.main(["--output", str(tmp_path), "conv-steper"]) == 2
    assert "no such figure: conv-steper; there are detection-playground" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
