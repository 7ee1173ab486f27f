"""The book in a real browser that can reach no other host than the server of the book."""

import itertools
import re
import struct

import nbformat
import pytest

from tools import course

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_tab_reaches_the_skip_link_then_the_navigation(desktop):
    # The first test of a page: nothing has had the focus yet.
    page = desktop.page
    page.keyboard.press("Tab")
    assert page.locator("a:focus").get_attribute("href") == "#main-content"
    box = page.locator("a:focus").bounding_box()
    assert box is not None
    assert box["width"] > 1
    assert box["height"] > 1
    in_navigation = "() => !!document.activeElement.closest('nav.bd-links')"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(in_navigation):
            break
    assert page.evaluate(in_navigation)


def test_formulas_are_typeset_without_a_network(desktop):
    page = desktop.page
    page.wait_for_load_state("networkidle")  # whatever it still wants to load, it asks for now
    formulas = page.locator("article .math")
    typeset = page.locator("article .math:has(mjx-container)")
    assert typeset.count() == formulas.count()
    broken = "mjx-merror, [data-mjx-error], merror"
    assert page.locator(broken).count() == 0
    # Text outside code that still reads as TeX was never recognised as a formula.
    text = page.evaluate(
        """() => {
            const copy = document.querySelector('article').cloneNode(true);
            const hidden = 'pre, code, script, style, mjx-container';
            copy.querySelectorAll(hidden).forEach(element => element.remove());
            return copy.textContent;
        }"""
    )
    assert (
        re.findall(r"\\[(\[].*|\$\$.*|(?<!\w)\$[^\s$][^$\n]*\$|\\(?:frac|times|sum)\b", text) == []
    )


FIGURES = r"<([a-z]+-[a-z]+)[^>]*>\n(.*?)\n</\1>"


def figures_of(path):
    """Name and fallback of each interactive figure of a chapter."""
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    return re.findall(FIGURES, "\n".join(cells), re.DOTALL)


def test_interactive_figures_come_to_life_and_have_a_fallback(desktop, page_name):
    path = course.ROOT / "book" / f"{page_name}.ipynb"
    for name, fallback in figures_of(path) if path.exists() else []:
        assert len(re.sub(r"<[^>]*>", "", fallback)) > 40, f"{name}: nothing to read without it"
        element = desktop.page.locator(f"article {name}")
        element.scroll_into_view_if_needed()
        desktop.page.wait_for_function("name => customElements.get(name) !== undefined", arg=name)
        assert element.locator("input, button, select").count() > 0
        assert element.get_by_text("On the website of the course").is_hidden()


def test_there_are_interactive_figures():
    """The test above would pass on a book that has lost them."""
    names = {name for path in course.chapters() for name, _ in figures_of(path)}
    assert {"conv-stepper", "stack-calculator", "inception-cost"} <= names


def test_the_site_has_formulas(visit):
    """The test above would pass on a book whose formulas all got lost."""
    sources = {
        path: nbformat.read(path, 4).cells if path.suffix == ".ipynb" else path.read_text("utf-8")
        for path in course.pages()
    }
    with_math = [path for path, source in sources.items() if "$" in str(source)]
    assert with_math
    for path in with_math:
        name = path.relative_to(course.ROOT / "book").with_suffix(".html").as_posix()
        if "```" in str(sources[path]):
            continue  # a dollar in a code block of a page without formulas
        assert visit(name).page.locator("article mjx-container").count() > 0, name


def test_search_finds_every_chapter_by_its_title(visit, desktop, page_name):
    title = desktop.page.locator("article h1").first.evaluate(
        "h1 => [...h1.childNodes].filter(n => n.nodeName != 'A').map(n => n.textContent).join('')"
    )
    words = re.findall(r"[A-Za-z]{4,}", title)
    assert words, f"no word to search for in the title {title!r}"
    # The way a reader does it: the shortcut, the words, Enter.
    one = visit("index.html")
    one.page.keyboard.press("Control+k")
    field = one.page.locator("input[type=search]:visible")
    field.fill(" ".join(words))
    field.press("Enter")
    one.page.wait_for_url("**/search.html?q=*")
    results = one.page.locator("#search-results li a")
    # They come one after the other; the summary says when they are all there.
    one.page.locator("#search-results .search-summary", has_text="found").wait_for()
    found = results.evaluate_all("links => links.map(a => new URL(a.href).pathname)")
    assert any(path.endswith(f"/{page_name}.html") for path in found), found


def test_search_finds_a_word_in_the_text_of_a_chapter(visit, chapter_name):
    word = longest_word(chapter_name)
    page = visit(f"search.html?q={word}").page
    results = page.locator("#search-results li a")
    # They come one after the other; the summary says when they are all there.
    page.locator("#search-results .search-summary", has_text="found").wait_for()
    found = results.evaluate_all("links => links.map(a => new URL(a.href).pathname)")
    assert any(path.endswith(f"/{chapter_name}.html") for path in found), (word, found)


def longest_word(chapter_name):
    """The longest word of a chapter's running text: nothing the search would leave out."""
    path = course.ROOT / "book" / f"{chapter_name}.ipynb"
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    text = re.sub(r"`[^`]*`|\$[^$]*\$|\([^)]*\)|\{[^}]*\}|<[^>]*>", " ", "\n".join(cells))
    # Whole words between spaces only: not the halves of "two-dimensional".
    words = re.findall(r"(?<=\s)[a-z]+(?=[\s.,;])", text.lower())
    return max(sorted(words), key=len)


CONTRASTS = """() => {
    const rgba = text => {
        const parts = text.match(/[\\d.]+/g).map(Number);
        const unit = text.startsWith('color(') ? parts.slice(0, 3).map(v => 255 * v) : parts;
        return [...unit.slice(0, 3), parts.length > 3 ? parts[3] : 1];
    };
    const over = (top, below) => top.slice(0, 3).map(
        (value, i) => value * top[3] + below[i] * (1 - top[3]));
    const luminance = colour => {
        const [r, g, b] = colour.map(value => {
            const c = value / 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = element => {
        const layers = [];
        for (let e = element; e; e = e.parentElement) {
            layers.push(rgba(getComputedStyle(e).backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const ratio = element => {
        const below = background(element);
        const text = over(rgba(getComputedStyle(element).color), below);
        const [low, high] = [luminance(below), luminance(text)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const kinds = 'p, li, td, th, dt, dd, caption, figcaption, summary, h1, h2, h3, h4, a, pre';
    const elements = [...document.querySelectorAll('article')].flatMap(
        article => [...article.querySelectorAll(kinds)]
    ).filter(e => e.checkVisibility() && !e.classList.contains('headerlink')
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
    return {
        page: luminance(background(document.querySelector('article'))),
        count: elements.length,
        poor: elements.map(e => [ratio(e), e.nodeName, e.textContent.trim().slice(0, 40)])
            .filter(([value]) => value < 4.5),
    };
}"""


def test_light_and_dark_are_both_readable(desktop):
    page = desktop.page
    toggle = page.locator(".theme-switch-button:visible").first
    measured = {}
    # The button goes round: automatic, light, dark.
    for _ in range(3):
        toggle.click()
        page.wait_for_timeout(400)  # colours fade
        theme = page.locator("html").get_attribute("data-theme")
        measured[theme] = page.evaluate(CONTRASTS)
    assert set(measured) == {"light", "dark"}
    assert measured["light"]["page"] > 0.8
    assert measured["dark"]["page"] < 0.2
    for theme, result in measured.items():
        assert result["count"] > 0
        assert result["poor"] == [], f"contrast below 4.5 in {theme}"


def test_the_system_setting_chooses_dark(visit):
    page = visit("index.html", scheme="dark").page
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate(CONTRASTS)["page"] < 0.2


def test_a_phone_never_scrolls_sideways(visit, page_name):
    page = visit(f"{page_name}.html", width=390).page
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    widths = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    too_wide = page.evaluate(
        """() => [...document.querySelectorAll('article *')].filter(element => {
            if (element.getBoundingClientRect().right <= innerWidth + 1) return false;
            const article = document.querySelector('article');
            for (let e = element.parentElement; e !== article; e = e.parentElement)
                if (getComputedStyle(e).overflowX !== 'visible' && e.clientWidth <= innerWidth)
                    return false;  // it scrolls inside this box
            return element.checkVisibility();
        }).map(e => `${e.nodeName}.${e.className}: ${e.textContent.trim().slice(0, 40)}`)"""
    )
    assert too_wide == []
    assert widths[0] <= widths[1]


def test_the_skip_link_leads_to_the_text(visit):
    page = visit("index.html").page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("() => location.hash") == "#main-content"
    # The next Tab goes on from there, past the navigation.
    page.keyboard.press("Tab")
    assert page.evaluate("() => !!document.activeElement.closest('main')")


def test_every_page_has_one_visible_main_heading(desktop):
    page = desktop.page
    assert page.locator("h1:visible").count() == 1
    levels = page.locator("article :is(h1, h2, h3, h4, h5, h6):visible").evaluate_all(
        "headings => headings.map(h => Number(h.nodeName[1]))"
    )
    assert levels[0] == 1
    skipped = [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1]
    assert skipped == [], "a heading level is left out"


def test_pictures_are_really_there(desktop):
    broken = desktop.page.evaluate(
        """async () => {
            const broken = [];
            for (const image of document.querySelectorAll('article img')) {
                image.loading = 'eager';  // also those that the reader has not scrolled to
                const fine = await image.decode().then(() => image.naturalWidth > 0, () => false);
                if (!fine) broken.push(image.src.slice(0, 80));
            }
            return broken;
        }"""
    )
    assert broken == []


def test_a_screenshot_is_not_blank(visit):
    """The browser really draws: a broken one would pass every test that finds nothing."""
    png = visit("index.html").page.screenshot()
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (1280, 800)
    assert len(png) > 20_000
