"""The bench of the book's pages: what it leaves out of a page, and how it tells kinds apart."""

import re

import pytest

from bench import pages

PAGE = """<html><head>
<link rel="stylesheet" type="text/css" href="../_static/course.css" />
<link rel="stylesheet" type="text/css" href="../_static/formulas.css?v=30474" />
<script src="../_static/doctools.js"></script>
<script defer src="../_static/figures/all.js"></script>
</head><body><nav>theme</nav><article class="bd-article">
<p>text <mjx-container class="MathJax">x</mjx-container> and
<mjx-container display="true">y
</mjx-container></p></article></body></html>"""


def test_a_page_without_formulas_has_all_else():
    text = pages.without_formulas(PAGE)
    for gone in ("mjx", "formulas.css"):
        assert gone not in text
    for kept in ("course.css", "doctools.js", "figures/all.js", "<p>text formula and\nformula</p>"):
        assert kept in text


def test_an_empty_page_is_the_theme_alone():
    text = pages.empty(PAGE)
    for gone in ("mjx", "formulas.css", "figures", "text"):
        assert gone not in text.replace("text/css", "")
    for kept in ("doctools.js", "<nav>theme</nav>", '<article class="bd-article"></article>'):
        assert kept in text


def test_a_page_laid_out_at_once_differs_by_one_rule():
    text = pages.at_once(PAGE)
    assert text.count("content-visibility: visible") == 1
    assert re.sub("<style>.*</style>", "", text) == PAGE


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/cnn-course/index.html", "page"),
        ("/cnn-course/_static/course.css", "styles"),
        ("/cnn-course/_static/scripts/bootstrap.js", "scripts"),
        ("/cnn-course/_static/formulas/MathJax_Main-Regular.woff", "fonts"),
        ("/cnn-course/_images/a.png", "pictures"),
        ("/cnn-course/_static/figures/data.json", "data"),
    ],
)
def test_kinds(path, kind):
    assert pages.kind_of(path) == kind


def test_the_table_names_the_heaviest_page_first(monkeypatch):
    sizes = dict.fromkeys(pages.KINDS, 10)
    weights = [
        pages.Weight("light", sizes, 7, 0.1),
        pages.Weight("heavy", {**sizes, "scripts": 950}, 8, 0.2),
        pages.Weight("middle", {**sizes, "fonts": 50}, 9, 0.3),
    ]
    monkeypatch.setattr(pages, "measured", weights)
    lines = pages.details().splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["heavy", "middle", "light"]
    assert "largest: heavy, 1,000 of 2,000,000 bytes (scripts 95%" in lines[-3]
    assert "median: 100 bytes" in lines[-2]
    assert list(pages.chosen(weights)) == [pages.WITH_A_FIGURE, "middle", "heavy"]


def test_without_a_built_book_the_bench_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pages.course, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "SITE", tmp_path / "_build" / "html")
    assert list(pages.comparisons()) == []
    assert "run `make book` first" in capsys.readouterr().err
    assert pages.details() == ""


def test_without_a_browser_the_bench_says_what_to_do(monkeypatch, tmp_path, capsys):
    (tmp_path / pages.book.FINISHED).touch()
    monkeypatch.setattr(pages, "SITE", tmp_path)
    monkeypatch.setattr(pages.browser, "find_chromium", lambda: None)
    assert list(pages.comparisons()) == []
    assert "apt install chromium" in capsys.readouterr().err
