"""The theme's icons, cut down to those that the pages show."""

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

from tools import icons

STYLES = (
    "@font-face{font-family:Icons;src:url(../vendor/fontawesome/webfonts/fa-solid-900.woff2) "
    'format("woff2"),url(../vendor/fontawesome/webfonts/fa-solid-900.ttf) format("truetype")}'
    '.fa-sun:before{content:"\\f185"}.fa-home:before,.fa-house:before{content:"\\f015"}'
    '.fa-ghost:before{content:"\\f6e2"}.admonition{--icon:"\\f05a"}.fa-lg{font-size:2em}'
)
PLACES = (0xF185, 0xF015, 0xF6E2, 0xF05A)


def font_file(path):
    """A font with a square at each of PLACES."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 500), (500, 500), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"icon{place:x}" for place in PLACES)]
    builder = FontBuilder(unitsPerEm=1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(PLACES, names[1:], strict=True)))
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader()
    builder.setupNameTable({"familyName": "Font Awesome", "copyright": "Copyright of theirs"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def site(tmp_path):
    for name in (icons.STYLES.parent, icons.FONTS, icons.STYLES.parent.parent / "scripts"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / icons.STYLES).write_text(STYLES, encoding="utf-8")
    font_file(tmp_path / icons.FONTS / "fa-solid-900.ttf")
    scripts = tmp_path / "_static" / "scripts"
    (scripts / "pydata-sphinx-theme.js").write_text("", encoding="utf-8")
    (scripts / "sphinx-book-theme.js").write_text("e.classList.add('fa-sun')", encoding="utf-8")
    (tmp_path / "index.html").write_text('<i class="fas fa-house"></i>', encoding="utf-8")
    return tmp_path


def test_icons_of_pages_and_scripts_stay_and_the_others_go(site):
    icons.shrink(site)
    styles = (site / icons.STYLES).read_text("utf-8")
    assert '.fa-home:before,.fa-house:before{content:"\\f015"}' in styles
    assert '.fa-sun:before{content:"\\f185"}' in styles
    assert "fa-ghost" not in styles
    assert '.admonition{--icon:"\\f05a"}.fa-lg{font-size:2em}' in styles
    assert 'src:url(../vendor/fontawesome/webfonts/fa-solid-900.woff) format("woff")}' in styles
    with TTFont(site / icons.FONTS / "fa-solid-900.woff") as font:
        assert set(font.getBestCmap()) == {0xF185, 0xF015, 0xF05A}


def test_the_changed_font_has_another_name_and_the_same_owner(site):
    icons.shrink(site)
    with TTFont(site / icons.FONTS / "fa-solid-900.woff") as font:
        names = {record.nameID: str(record) for record in font["name"].names}
    assert names[icons.FAMILY] == icons.NAME
    assert names[0] == "Copyright of theirs"


def test_a_second_time_changes_nothing(site):
    icons.shrink(site)
    before = (site / icons.STYLES).read_bytes()
    icons.shrink(site)
    assert (site / icons.STYLES).read_bytes() == before


def test_a_style_sheet_of_another_form_is_refused(site):
    (site / icons.STYLES).write_text(STYLES.replace("truetype", "opentype"), encoding="utf-8")
    with pytest.raises(ValueError, match="has changed its form"):
        icons.shrink(site)
