"""axe-core looks at every page, in the light and in the dark theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools.browser import build_figures

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Not to load the style sheets a second time: axe looks for them in the wrong folder.
OPTIONS = {"resultTypes": ["violations"], "preload": False}

# axe compares elements with each other, and nine out of ten are pieces of formulas and coloured
# words of code, which say nothing of their own: 25 seconds for a chapter with them, one without.
# (test_browser.py measures the contrast of these colours, and sees that a formula which scrolls can
# have the focus.)
FLATTENED = """() => {
    for (const formula of document.querySelectorAll('mjx-container'))
        formula.replaceChildren(formula.hasAttribute('display') ? '' : 'x');
    for (const code of document.querySelectorAll('.highlight pre'))
        code.textContent = code.textContent;
}"""

# A colour that is still fading from one theme to the other is nobody's contrast.
SETTLED = """() => Promise.all(document.getAnimations()
    .filter(one => one.effect.getComputedTiming().endTime !== Infinity)
    .map(one => one.finished.catch(() => null))).then(() => true)"""


def violations(page):
    """What axe finds, as dictionaries; the page is of no use to anybody else afterwards."""
    page.evaluate(SETTLED)
    page.evaluate(FLATTENED)
    return Axe().run(page, options=OPTIONS).response["violations"]


def grave(found):
    """What axe calls serious or critical, each with an example."""
    return [
        f"{v['id']}, {v['impact']}, {len(v['nodes'])} times: {v['nodes'][0]['html']}"
        f" {v['nodes'][0].get('failureSummary', '')}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_on_any_page(visit, page_name, scheme):
    page = visit(f"{page_name}.html", scheme=scheme).page
    build_figures(page)
    assert grave(violations(page)) == []


def test_axe_would_find_something(visit):
    """The test above would pass if axe looked at nothing."""
    page = visit("index.html").page
    page.evaluate("() => document.querySelector('article h1').innerHTML = '<img src=\"data:,\">'")
    page.add_style_tag(content="article p { color: #eee !important; background: #fff !important }")
    assert {"image-alt", "color-contrast"} <= {v["id"] for v in violations(page)}
