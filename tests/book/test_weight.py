"""What pages leave out, they do not need: colours of code and icons in the built book.

How much a page loads is measured in test_browser.py, where every page is open anyway.
"""

import re

import pytest
from fontTools.ttLib import TTFont
from pygments.token import STANDARD_TYPES

from tools import icons, lean_pages

pytestmark = pytest.mark.slow  # the book may have to be built


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_that_lost_their_element_had_the_colour_of_all_code(site, theme):
    styles = (site / "_static" / "pygments.css").read_text("utf-8")
    start = rf'html\[data-theme="{theme}"\] \.highlight '
    common = re.search(start + r"\{[^}]*; color: (#\w+)", styles)[1]
    for kind in lean_pages.COLOURLESS:
        own = re.search(start + rf"\.{STANDARD_TYPES[kind]} \{{([^}}]*)\}}", styles)[1]
        assert own.split() == ["color:", common], kind


def test_every_icon_of_a_page_is_drawn_by_a_small_font(site):
    styles = (site / icons.STYLES).read_text("utf-8")
    fonts = [site / icons.FONTS / f"{name}.woff" for name in ("fa-solid-900", "fa-brands-400")]
    places = set()
    for path in fonts:
        assert path.stat().st_size < 10_000
        with TTFont(path) as font:
            places |= set(font.getBestCmap())
    shown = set()
    for page in site.rglob("*.html"):
        for classes in re.findall(
            r'class="((?:fa|fas|fab|fa-\w+) fa-[^"]*)"', page.read_text("utf-8")
        ):
            shown |= set(classes.split()) - {"fa", "fas", "fab", "fa-solid", "fa-brands", "fa-lg"}
    assert {"fa-github", "fa-magnifying-glass", "fa-bars"} <= shown
    for name in shown:
        rule = re.search(rf'\.{name}:before(?:,\.[\w:-]+)*\{{content:"\\([0-9a-f]+)"\}}', styles)
        assert rule, f"no rule draws {name}"
        assert int(rule[1], 16) in places, f"{name} is in no font"
