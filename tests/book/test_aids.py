"""What helps a reader beside the chapters: timeline, sheet of formulas, the book on paper."""

import importlib
import re

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from tools import book, course

BOOK = course.ROOT / "book"


def chapters():
    """Every page that teaches, without its ending."""
    parts = yaml.safe_load((course.ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    files = [entry["file"] for part in parts for entry in part["chapters"]]
    return [file for file in files if (BOOK / f"{file}.ipynb").exists() and "appendix" not in file]


@pytest.mark.parametrize("chapter", chapters())
def test_a_chapter_says_at_once_what_one_needs_to_know_first(chapter):
    cells = nbformat.read(BOOK / f"{chapter}.ipynb", 4).cells
    opening = "\n".join(c.source for c in cells if c.cell_type == "markdown").split("\n## ")[0]
    assert re.search(r"\b[Yy]ou need\b", opening), "nothing about what comes first"


def test_the_timeline_links_every_chapter_of_architectures_and_its_years_ascend():
    text = (BOOK / "architectures" / "timeline.md").read_text(encoding="utf-8")
    years = [int(year) for year in re.findall(r"^\*\*(\d{4})\*\*$", text, flags=re.MULTILINE)]
    assert years == sorted(set(years))
    assert years[0] == 1980
    for chapter in chapters():
        if chapter.startswith(("architectures/", "beyond/", "detection/")):
            assert f"../{chapter}.ipynb)" in text, f"{chapter} is not on the timeline"


def test_the_sheet_of_formulas_names_functions_that_exist():
    text = (BOOK / "appendix" / "cheat_sheet.md").read_text(encoding="utf-8")
    names = re.findall(r"\| `([\w.]+)` \|$", text, flags=re.MULTILINE)
    found = [name for name in names if name != "cnnlib"]
    assert len(found) > 20
    for name in found:
        module, _, attribute = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"cnnlib.{module}"), attribute)), name


@pytest.mark.browser
@pytest.mark.slow
def test_the_sheet_of_formulas_prints_on_one_page(visit):
    page = visit("appendix/cheat_sheet.html").page
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "10mm")
    printed = page.pdf(format="A4", margin=margin)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


@pytest.mark.slow
def test_the_whole_book_is_one_page_to_print(site):
    printed = BeautifulSoup((site / book.PRINTABLE).read_text("utf-8"), "html.parser")
    scripts = [script.get("src", "") for script in printed.find_all("script")]
    assert any("scroll_boxes.js" in address for address in scripts)
    assert not any("rest_of_page.js" in address for address in scripts)
    headings = {h.get_text().strip(" #") for h in printed.find_all(["h1", "h2", "h3"])}
    for path in course.pages():
        page = site / path.relative_to(BOOK).with_suffix(".html")
        text = page.read_text("utf-8").partition("<article")[2]
        title = BeautifulSoup(text[: text.index("</h1>")], "html.parser").h1
        # The first page's title is that of the book.
        assert title.get_text().strip(" #") in headings, f"{path.name} is missing"
    answers = printed.select("article details")
    assert len(answers) > 50
    assert all(answer.has_attr("open") for answer in answers), "an answer cannot be opened on paper"
    assert not printed.find_all("script", src=re.compile("figures"))
    assert printed.select("article img[src^=_images]")


def test_a_picture_that_the_site_lacks_stops_the_printable_book(tmp_path):
    built = tmp_path / "_build" / "singlehtml"
    built.mkdir(parents=True)
    (built / "index.html").write_text('<img src="_images/lost.png">', encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"lost\.png"):
        book.finish_printable(tmp_path)
    assert not (tmp_path / "_build" / "html" / book.PRINTABLE).exists()
