"""Where rows are explained, and their HTML: a row that nobody computed must stop the page."""

import html
import re

import pytest

from cnnlib.claims import CLAIMS, REGISTRY, table
from cnnlib.claims.table import Page, computed_rows, link, page_table, read_pages, shown


def line(key, page, section=""):
    return {"id": key, "page": page, "section": section}


def test_a_page_exists_once_it_has_a_title():
    pages = read_pages(
        [
            line("page", "a/one", "One"),
            line("layers.c02", "a/one", "Second"),
            line("layers.c01", "a/one"),
            line("layers.c03", "a/two", "Planned"),
        ]
    )
    assert pages == {
        "a/one": Page("One", {"layers.c02": "Second", "layers.c01": ""}),
        "a/two": Page(None, {"layers.c03": "Planned"}),
    }


def test_only_pages_that_exist_are_shown_and_counted(monkeypatch):
    pages = {"a/one": Page("One", {"layers.c01": ""}), "a/two": Page(None, {"layers.c05": ""})}
    monkeypatch.setattr(table, "PAGES", pages)
    text = table.tables()
    assert "layers.c01" in text
    assert "layers.c05" not in text
    every, here = table.verdicts()
    assert every.total() == len(CLAIMS)
    assert dict(here) == {CLAIMS["layers.c01"]["verdict"]: 1}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line("layers.c01", "a"), line("layers.c01", "b")], "layers.c01 twice"),
        ([line("page", "a", "A"), line("page", "a", "B")], "page a twice"),
        ([line("layers.c99", "a")], "layers.c99, which is no row"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(lines, message):
    with pytest.raises(ValueError, match=message):
        read_pages(lines)


def test_a_row_without_a_function_stops_the_page(monkeypatch):
    monkeypatch.delitem(REGISTRY, "layers.c09")
    with pytest.raises(AssertionError, match=r"nothing that recomputes them: \['layers.c09'\]"):
        computed_rows(Page("One", {"layers.c09": "", "classic.c01": ""}))


def test_a_number_that_nobody_computed_stops_the_page(monkeypatch):
    row = {**CLAIMS["layers.c09"], "correct_value": "76 (+1 bias)"}
    monkeypatch.setitem(CLAIMS, "layers.c09", row)
    with pytest.raises(AssertionError, match=r"layers\.c09: 76 \(right statement\) was not"):
        page_table("a/one", Page("One", {"layers.c10": "", "layers.c09": ""}))


def test_history_shows_its_source_and_no_code():
    text = page_table("a/one", Page("One", {"classic.c01": ""}))
    assert f"not a computation. Source: {html.escape(CLAIMS['classic.c01']['source'])}" in text
    assert "<details>" not in text
    assert "1 statement, 0 of them recomputed" in text


def test_code_is_shown_as_it_is_written_and_quoted_numbers_are_named():
    text = page_table("a/one", Page("One", {"vgg.c45": "", "vgg.c22": ""}))
    blocks = re.findall(r"<pre>(.*?)</pre>", text, flags=re.DOTALL)
    plain = [html.unescape(re.sub(r"</?span[^>]*>", "", block)) for block in blocks]
    assert plain == [REGISTRY[i].source.strip() for i in ("vgg.c45", "vgg.c22")]
    assert "quoted, not computed: 2, 20" in text
    assert text.count("quoted, not computed") == 1


def test_text_of_a_row_cannot_become_markup(monkeypatch):
    row = {**CLAIMS["classic.c01"], "claim": "<b>1998</b>", "notes_value": "a & b <i>"}
    monkeypatch.setitem(CLAIMS, "classic.c01", row)
    text = page_table("a/one", Page("<One>", {"classic.c01": ""}))
    assert "&lt;b&gt;1998&lt;/b&gt;" in text
    assert "a &amp; b &lt;i&gt;" in text
    assert "<One>" not in text


def test_links_are_the_books_anchors():
    assert link("foundations/layers", "") == "../foundations/layers.html"
    section = "Three numbers fix the output, and a fourth the window"
    anchor = "three-numbers-fix-the-output-and-a-fourth-the-window"
    assert link("foundations/layers", section) == f"../foundations/layers.html#{anchor}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        ((55, 55, 96), "55 × 55 × 96"),
        ([3, 5.25], "3, 5.25"),
        ({"channels": [96, 16]}, "channels 96, 16"),
        (60965224, "60,965,224"),
        (7.10329, "7.103"),
        (-0.27846, "-0.2785"),
        (24367000.0, "24,367,000"),
        ("a < b", "a &lt; b"),
    ],
)
def test_values_are_shown_as_people_write_them(value, text):
    assert shown(value) == text
