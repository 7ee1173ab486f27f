"""Cut the theme's icon fonts and their style rules down to the icons that the built pages show.

Font Awesome Free has two thousand icons, and the pages show two dozen. Its fonts are under the SIL
Open Font License: a changed one may be passed on, with its notices and under another name.
"""

from __future__ import annotations

import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from tools import course

STYLES = Path("_static", "styles", "pydata-sphinx-theme.css")
FONTS = Path("_static", "vendor", "fontawesome", "webfonts")
# One icon: the names it has had, and its place in the font.
RULE = re.compile(r'((?:\.fa-[a-z0-9-]+:before,?)+)\{content:"\\[0-9a-f]+"\}')
SOURCES = re.compile(
    r"src:url\((?P<folder>[^)]*/)(?P<name>fa-[a-z]+-\d+)\.woff2\) format\(\"woff2\"\)"
    r",url\([^)]*\.ttf\) format\(\"truetype\"\)"
)
DONE = re.compile(r'src:url\([^)]*/fa-[a-z]+-\d+\.woff\) format\("woff"\)')
# Places in the font, wherever a style sheet names one: icons of the theme's notes are among them.
PLACES = re.compile(r'"\\([ef][0-9a-f]{3})"')
FAMILY, FULL_NAME, POSTSCRIPT_NAME = 1, 4, 6
NAME = "CourseIcons"


def shrink(site: Path) -> None:
    """Rewrite the theme's style sheet and write small fonts beside its own.

    A build that changes nothing leaves the style sheet as this wrote it; it then stays so.

    Raises:
        ValueError: The style sheet has another form than this code knows.
    """
    text = (site / STYLES).read_text(encoding="utf-8")
    fonts = [font["name"] for font in SOURCES.finditer(text)]
    if not fonts and DONE.search(text):
        return
    short = drop_unused_rules(text, used_names(site))
    if not fonts or short == text:
        raise ValueError(f"{STYLES} has changed its form: tools/icons.py finds no icons in it")
    others = (path.read_text(encoding="utf-8") for path in (site / "_static").glob("*.css"))
    places = {int(place, 16) for sheet in (short, *others) for place in PLACES.findall(sheet)}
    for name in fonts:
        write_subset(site / FONTS / name, places)
    course.write_atomically(
        site / STYLES, SOURCES.sub(r'src:url(\g<folder>\g<name>.woff) format("woff")', short)
    )


def used_names(site: Path) -> set[str]:
    """Every word of the pages and of the theme's scripts that may be the name of an icon."""
    scripts = (
        site / "_static" / "scripts" / f"{name}-theme.js"
        for name in ("pydata-sphinx", "sphinx-book")
    )
    names: set[str] = set()
    for path in (*site.rglob("*.html"), *scripts):
        names.update(re.findall(r"\bfa-[a-z0-9-]+", path.read_text(encoding="utf-8")))
    return names


def drop_unused_rules(style_sheet: str, names: set[str]) -> str:
    """Take the rules of icons out of a style sheet that go by none of these names."""

    def keep_if_used(rule: re.Match[str]) -> str:
        own = re.findall(r"\.(fa-[a-z0-9-]+):before", rule[1])
        return rule[0] if names.intersection(own) else ""

    return RULE.sub(keep_if_used, style_sheet)


def write_subset(font: Path, places: set[int]) -> None:
    """Write ``font``.woff, which has these places of ``font``.ttf and no others."""
    options = subset.Options(
        flavor="woff", name_IDs=["*"], drop_tables=["FFTM"], notdef_outline=True
    )
    with TTFont(font.with_suffix(".ttf")) as cut:
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=places)
        subsetter.subset(cut)
        for record in cut["name"].names:
            if record.nameID in (FAMILY, FULL_NAME, POSTSCRIPT_NAME):
                record.string = NAME
        cut.flavor = "woff"
        cut.save(font.with_suffix(".woff"))
