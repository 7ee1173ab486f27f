"""The book's own search, with its real index, in a real browser."""

import html
import re

import nbformat
import pytest

from tools import course
from tools.browser import PREFIX
from tools.glossary_links import read_glossary

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# What the search page does with a query, short of showing the results; pages, the best first.
FIND = """queries => queries.map(query =>
    Search._performSearch(...Search._parseQuery(query)).reverse().map(([page]) => page))"""


@pytest.fixture(scope="module")
def find(open_once):
    """Looks for many queries on one search page; gives the pages found for each."""
    page = open_once("search.html").page
    page.wait_for_function("() => Search.hasIndex()")
    return lambda queries: dict(zip(queries, page.evaluate(FIND, list(queries)), strict=True))


@pytest.fixture(scope="module")
def glossary():
    """Term -> definition."""
    terms = read_glossary((course.ROOT / "book" / "glossary.md").read_text("utf-8"))
    assert len(terms) > 200
    return terms


def chinese_names(definition):
    """The names in the parentheses that a definition begins with."""
    return re.split("，", re.match(r"\(([^)]*)\)", definition)[1])


def longest_word(chapter_name):
    """The longest word of a chapter's running text: nothing the search would leave out."""
    path = course.ROOT / "book" / f"{chapter_name}.ipynb"
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    text = re.sub(r"`[^`]*`|\$[^$]*\$|\([^)]*\)|\{[^}]*\}|<[^>]*>", " ", "\n".join(cells))
    # Whole words between spaces only: not the halves of "two-dimensional".
    words = re.findall(r"(?<=\s)[a-z]+(?=[\s.,;])", text.lower())
    return max(sorted(words), key=len)


def title_words(site, page_name):
    """The words that a reader would remember of a page's title."""
    heading = re.search(
        r"<h1>(.*?)<a class=\"headerlink\"", (site / f"{page_name}.html").read_text("utf-8")
    )
    words = re.findall(r"[A-Za-z]{4,}", html.unescape(re.sub(r"<[^>]*>", "", heading[1])))
    assert words, f"no word to search for in the title of {page_name}"
    return " ".join(words)


def test_a_reader_finds_a_chapter_from_another_page(visit, site, find):
    """The way a reader does it: the shortcut, the words, Enter."""
    query = title_words(site, "beyond/unet")
    page = visit("index.html").page
    page.keyboard.press("Control+k")
    field = page.locator("input[type=search]:visible")
    field.fill(query)
    field.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    # Results come one after the other; the summary says when they are all there.
    page.locator("#search-results .search-summary", has_text="found").wait_for()
    links = page.locator("#search-results li a")
    shown = links.evaluate_all("links => links.map(a => new URL(a.href).pathname)")
    shown = [path.removeprefix(PREFIX).removesuffix(".html") for path in shown]
    assert "beyond/unet" in shown
    # The other tests ask the search without showing anything: it must be the same search.
    assert shown == find([query])[query]


def test_search_finds_nothing_where_there_is_nothing(find):
    """The tests below would pass if the search found every page for everything."""
    assert find(["xylophone", "木琴"]) == {"xylophone": [], "木琴": []}


def test_search_finds_every_chapter_by_its_title(find, site):
    queries = {page: title_words(site, page) for page in map(course.page_name, course.pages())}
    found = find(set(queries.values()))
    assert [page for page, query in queries.items() if page not in found[query]] == []


def test_search_finds_a_word_in_the_text_of_every_chapter(find):
    queries = {page: longest_word(page) for page in map(course.page_name, course.chapters())}
    found = find(set(queries.values()))
    assert [(page, q) for page, q in queries.items() if page not in found[q]] == []


def test_search_finds_every_term_of_the_glossary(find, glossary):
    found = find(glossary)
    assert [term for term, pages in found.items() if "glossary" not in pages] == []


def test_search_finds_every_term_of_the_glossary_by_its_chinese_name(find, glossary):
    names = {name for definition in glossary.values() for name in chinese_names(definition)}
    assert len(names) > 200
    found = find(names)
    assert [name for name, pages in found.items() if "glossary" not in pages] == []
