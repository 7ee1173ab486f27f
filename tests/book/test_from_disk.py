"""The book opened from the disk, as by a reader who took the folder along: nobody serves it."""

import re

import figure_pages
import nbformat
import pytest
from figure_pages import ELEMENTS

from tools import course, figure_scripts, figure_stills

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def pages_by_figure():
    """The page that each figure stands on."""
    found = {}
    for path in course.chapters():
        cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
        for name in re.findall(r"^<([a-z]+(?:-[a-z]+)+)\b[^>]*>$", "\n".join(cells), re.MULTILINE):
            found[name] = course.page_name(path)
    return found


PAGES = pages_by_figure()


def test_every_figure_stands_on_a_page():
    assert sorted(PAGES) == sorted(ELEMENTS)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_figure_comes_alive_and_the_formulas_around_it_are_typeset(from_disk, name):
    page = from_disk(f"{PAGES[name]}.html").page
    assert page.evaluate("() => location.protocol") == "file:"
    page.wait_for_function(figure_pages.BUILT, arg=[name])
    assert page.locator(name).get_by_text("On the website of the course").is_hidden()
    # It answers: the first control is moved by keyboard, and the figure says what came of it.
    page.locator(f"{name} :is(input, select)").first.focus()
    page.keyboard.press("ArrowUp" if name == "stack-calculator" else "ArrowDown")
    page.wait_for_function(
        "name => document.querySelector(name).shadowRoot"
        ".querySelector('[aria-live=polite]').textContent.length > 20",
        arg=name,
    )
    formulas = page.locator("article .math").count()
    assert formulas > 0
    assert page.locator("article .math:has(mjx-container)").count() == formulas
    fonts = page.evaluate(
        "() => [...document.fonts].filter(font => font.family.startsWith('MJX'))"
        ".map(font => font.status)"
    )
    assert "loaded" in fonts
    assert "error" not in fonts


def test_the_search_finds_pages_and_leads_to_them(from_disk):
    page = from_disk("index.html").page
    page.keyboard.press("Control+k")
    field = page.locator("input[type=search]:visible")
    field.fill("depthwise")
    field.press("Enter")
    page.wait_for_url("**/search.html?q=depthwise")
    page.locator("#search-results .search-summary", has_text="found").wait_for()
    results = page.locator("#search-results li a")
    found = results.evaluate_all("links => links.map(a => new URL(a.href).pathname)")
    for name in ("glossary", "architectures/mobilenet"):
        assert any(path.endswith(f"/{name}.html") for path in found), found
    results.first.click()
    page.wait_for_url(lambda url: "search.html" not in url)
    assert page.locator("article h1").count() == 1


# --- What is in the folder ----------------------------------------------------------------------


def scripts_of(site, name):
    """Addresses of the scripts of a page, and the elements themselves."""
    text = (site / f"{name}.html").read_text("utf-8")
    return re.findall(r'<script\b[^>]*?\bsrc="([^"]+)"', text), re.findall(r"<script\b[^>]*>", text)


def test_the_book_has_the_scripts_that_the_tests_of_figures_run(site, tmp_path):
    figure_scripts.write(tmp_path)
    written = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*.js")}
    built = site / "_static" / "figures"
    assert {path.relative_to(built) for path in built.rglob("*.js")} == set(written)
    assert len(written) > 40
    for name, path in written.items():
        assert (built / name).read_bytes() == path.read_bytes(), name


def test_a_page_loads_the_scripts_of_its_figures_and_no_others(site, page_name):
    addresses, elements = scripts_of(site, page_name)
    up = "../" * page_name.count("/")
    loaded = [address.split("?")[0] for address in addresses if "/figures/" in address]
    tags = "".join(f"<{name}>" for name, page in PAGES.items() if page == page_name)
    needed = figure_scripts.needed_by(tags, figure_scripts.read())
    assert loaded == [f"{up}_static/figures/{figure_scripts.script_name(one)}" for one in needed]
    # The browser runs no module, and keeps the order, only if all of them wait for the page.
    assert [one for one in elements if "module" in one] == []
    assert all("defer" in one for one in elements if "/figures/" in one)


def test_the_book_on_paper_has_the_pictures_and_no_scripts_of_figures(site):
    addresses, _ = scripts_of(site, "print")
    assert [address for address in addresses if "figures/" in address] == []
    text = (site / "print.html").read_text("utf-8")
    for name in figure_stills.STILLS:
        assert re.search(rf'<img [^>]*src="_images/{name}\.svg"', text), name


@pytest.mark.parametrize("name", figure_stills.STILLS)
def test_the_book_shows_the_drawing_where_the_notebook_carries_a_picture(site, name):
    text = (site / f"{PAGES[name]}.html").read_text("utf-8")
    figure = re.search(rf"<{name}\b.*?</{name}>", text, re.DOTALL).group()
    [address] = re.findall(r'<img [^>]*src="([^"]+)"', figure)
    assert address == f"../_images/{name}.svg"
    drawing = (figure_stills.FIGURES / f"{name}.svg").read_bytes()
    assert (site / "_images" / f"{name}.svg").read_bytes() == drawing
