"""The book in a real browser that can reach no other host than the server of the book."""

import itertools
import re
import struct
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from tools import course
from tools.browser import LIMIT, PREFIX, build_figures, received, wait_until_whole

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Milliseconds. (Playwright's own "networkidle" sometimes waits for ever on a busy machine.)
SETTLING = 500


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
    page.wait_for_timeout(SETTLING)  # whatever it still wants to load, it asks for now
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


FIGURES = r"<([a-z]+(?:-[a-z]+)+)[^>]*>\n(.*?)\n</\1>"


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
        # Some read their data first.
        element.locator("input, button, select").first.wait_for(state="attached")
        assert element.get_by_text("On the website of the course").is_hidden()


def test_there_are_interactive_figures():
    """The test above would pass on a book that has lost them."""
    names = {name for path in course.chapters() for name, _ in figures_of(path)}
    assert len(names) == 11, sorted(names)


def has_formulas(path):
    """Whether there is TeX between dollars in the text of a page, outside code."""
    notebook = path.suffix == ".ipynb"
    cells = (
        [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
        if notebook
        else [path.read_text("utf-8")]
    )
    code = r"^```(?!\{).*?^```$|`[^`\n]+`"  # ```{glossary} is text
    text = re.sub(code, "", "\n".join(cells), flags=re.DOTALL | re.MULTILINE)
    return re.search(r"\$[^$]+\$", text) is not None


def test_pages_show_formulas_where_their_source_has_some(desktop, page_name):
    """The test of formulas would pass on a book that has lost them."""
    path = next(path for path in course.pages() if course.page_name(path) == page_name)
    shown = desktop.page.locator("article mjx-container").count()
    assert (shown > 0) == has_formulas(path)


def test_a_first_visit_loads_at_most_two_megabytes(desktop, site):
    """Unpacked, read to the end, with figures and the fonts of formulas; the cache was empty."""
    build_figures(desktop.page)
    desktop.page.wait_for_timeout(SETTLING)
    sizes = received(desktop.page)
    # What the browser says that it received are the files of the site, byte by byte.
    files = {url: site / unquote(urlsplit(url).path).removeprefix(PREFIX) for url in sizes}
    assert sizes == {url: file.stat().st_size for url, file in files.items()}
    assert len(sizes) > 15
    heavy = sorted((size, url) for url, size in sizes.items())[:-6:-1]
    assert sum(sizes.values()) <= LIMIT, f"the heaviest: {heavy}"


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


@pytest.fixture
def phone(desktop, visit, page_name):
    """The page `page_name` 360 pixels wide, with all answers open: as narrow as phones are today.

    Interactive figures are drawn when the page opens, so such a page is opened anew.
    """
    path = course.ROOT / "book" / f"{page_name}.ipynb"
    if path.exists() and figures_of(path):
        page = visit(f"{page_name}.html", width=360).page
        page.evaluate(OPEN_ANSWERS)
        yield page
        return
    page = desktop.page
    page.set_viewport_size({"width": 360, "height": 800})
    page.evaluate(OPEN_ANSWERS)
    yield page
    page.evaluate(OPEN_ANSWERS.replace("true", "false"))
    page.set_viewport_size({"width": 1280, "height": 800})


DRAWN = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
# What becomes visible may need another font, and is measured again when that has come.
OPEN_ANSWERS = f"""async () => {{
    document.querySelectorAll('article details').forEach(answer => {{ answer.open = true; }});
    await {DRAWN};
    await document.fonts.ready;
    await {DRAWN};
}}"""


def test_a_phone_never_scrolls_sideways(phone):
    page = phone
    assert page.evaluate("() => innerWidth") == 360
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


SCROLL_BOXES = (
    'mjx-container[display="true"], pre, .cell_output > .output, .pst-scrollable-table-container'
)


def scrolling_and_reached(page):
    """Of every box that may scroll: whether it does, and whether the Tab key stops there."""
    boxes = page.evaluate(
        """boxes => [...document.querySelectorAll(boxes)]
            .filter(box => box.checkVisibility())
            .map(box => [box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight,
                         box.tabIndex === 0])""",
        SCROLL_BOXES,
    )
    return [scrolls for scrolls, _ in boxes], [reached for _, reached in boxes]


def test_boxes_that_scroll_are_stops_of_the_tab_key_and_no_others(phone):
    """On the page as a phone shows it; in a wide window the same script looks after them."""
    scrolls, reached = scrolling_and_reached(phone)
    assert scrolls == reached


def test_boxes_are_measured_again_when_the_fonts_have_come(browser, site_url):
    """In another font some formulas stick out of their boxes, which stay as large as they were."""
    context = browser.new_context(viewport={"width": 360, "height": 800})
    try:
        page, held, released = context.new_page(), [], []

        def answer(route):
            if released:
                route.continue_()
            else:
                held.append(route)

        page.route("**/*.woff*", answer)
        page.goto(f"{site_url}foundations/first_network.html", wait_until="domcontentloaded")
        page.evaluate(
            f"""async () => {{
                for (const block of document.querySelectorAll('.bd-article section > *'))
                    block.style.contentVisibility = 'visible';
                await {DRAWN};
            }}"""
        )
        before, reached = scrolling_and_reached(page)
        assert before == reached
        assert held
        released.append(True)
        for route in held:
            route.continue_()
        wait_until_whole(page)
        page.evaluate(f"async () => {{ await document.fonts.ready; await {DRAWN}; }}")
        after, reached = scrolling_and_reached(page)
        assert after == reached
        assert after.count(True) < before.count(True)
    finally:
        context.close()


def test_there_are_boxes_that_scroll_and_the_tab_key_reaches_them(visit):
    """The test above would pass if nothing ever scrolled."""
    page = visit("foundations/layers.html", width=360).page
    for kind in ("mjx-container", "pre"):
        box = page.locator(f"article {kind}[tabindex]").first
        before = box.evaluate_handle("box => box")
        box.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("box => box.scrollLeft > 0", arg=before)


def test_formulas_need_no_script(browser, site_url):
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{site_url}foundations/layers.html")
        shown = page.locator("article mjx-math").first.bounding_box()
        assert shown["width"] > 5
        assert shown["height"] > 5
        # For a screen reader: MathML, which the eye does not see.
        spoken = page.locator("article mjx-assistive-mml math").first
        clip = spoken.evaluate("math => getComputedStyle(math.parentElement).clip")
        assert clip == "rect(1px, 1px, 1px, 1px)"
    finally:
        context.close()


def test_the_end_of_a_page_waits_until_the_beginning_is_there(visit):
    """At first guessed sizes, then every block has its own: nothing is left out for good."""
    page = visit("foundations/layers.html").page
    blocks = "document.querySelectorAll('.bd-article section > *')"
    waiting = f"""() => [...{blocks}].filter(
        block => getComputedStyle(block).contentVisibility === 'auto').length"""
    assert page.evaluate(waiting) == 0
    height = "() => document.documentElement.scrollHeight"
    whole = page.evaluate(height)
    # The rule that makes them wait is there: without the script all of them would.
    page.evaluate(f"() => {blocks}.forEach(block => block.style.contentVisibility = '')")
    assert page.evaluate(waiting) > 100
    # Nothing had been left with a guess for its size.
    page.add_style_tag(content=".bd-article * { content-visibility: visible !important }")
    assert abs(page.evaluate(height) - whole) <= 2


@pytest.mark.parametrize("by", ["address", "click"])
def test_a_link_into_a_page_leads_to_its_place(visit, by):
    """Also when what stands above gets its size after the jump."""
    page = visit(
        "foundations/layers.html" + ("#dilated-convolution" if by == "address" else "")
    ).page
    heading = page.locator("#dilated-convolution > :is(h1, h2, h3)")
    if by == "click":
        page.locator(".bd-sidebar-secondary a[href='#dilated-convolution']").first.click()
    page.wait_for_timeout(SETTLING)
    top = heading.bounding_box()["y"]
    assert 0 <= top < 200


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
