"""Sphinx extension of the course: a page loads what it uses, and little else.

The theme gives every page all that it can do. The largest parts of that do nothing here: a script
that draws two thousand icons where the icon font draws them already, the index of a search as you
type that is switched off. Leaving them out halves what a first visit costs.
`book/_templates/layout.html` calls `without` for what the theme writes into its template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TextIO

from docutils import nodes
from pygments.formatters import HtmlFormatter
from pygments.token import Name, Punctuation, Text, Whitespace, _TokenType
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.highlighting import PygmentsBridge

# Files of extensions, the course's own too, and what a page has that needs them; None: nothing in
# this book does.
NEEDED_BY = {
    "sphinx-design.min.css": re.compile(r'class="[^"]*\bsd-'),
    "design-tabs.js": re.compile(r'class="[^"]*\bsd-tab'),
    "sphinx-thebe.css": None,
    "formulas.css": re.compile("<mjx-container"),
}
# The search page loads the index by itself.
NOWHERE_NEEDED = ("fontawesome.js", "searchtools.js", "language_data.js", "searchindex.js")

# In the theme's script: when the page has loaded, measure and mark every box that might scroll, one
# after the other. `book/_static/scroll_boxes.js` does it without holding the page up.
THEME_SCRIPT = "scripts/pydata-sphinx-theme.js"
MEASURES_BOXES = '"complete"===document.readyState?I():window.addEventListener("load",I)'
MEASURED_ELSEWHERE = "void 0/* boxes that scroll: see scroll_boxes.js */"

# Their colour is that of all code, in the light and in the dark style.
COLOURLESS = frozenset([Name, Name.Namespace, Punctuation, Whitespace])


class LeanFormatter(HtmlFormatter):
    """Puts no element around words and brackets that look like the code around them.

    That is three of five elements, and a third of a chapter's bytes.
    """

    def format(self, tokens: Iterable[tuple[_TokenType, str]], outfile: TextIO) -> None:
        """Write the tokens of one block of code as HTML."""
        plain: Iterator[tuple[_TokenType, str]] = (
            (Text if kind in COLOURLESS else kind, text) for kind, text in tokens
        )
        super().format(plain, outfile)


def index_for_search_once(app: Sphinx) -> None:
    """The book as one page needs no index: its search is that of the other pages."""
    if app.builder.name == "singlehtml":
        app.builder.search = False


def leave_out_unused(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, object],
    doctree: nodes.document | None,
) -> None:
    """Drop style sheets and scripts of extensions that this page does not use."""
    body = str(context.get("body", ""))
    for kind in ("css_files", "script_files"):
        context[kind] = [file for file in context[kind] if _is_needed(file.filename, body)]
    context["without_unused"] = lambda html: without(html, NOWHERE_NEEDED)


def leave_boxes_alone(app: Sphinx, error: Exception | None) -> None:
    """Take the measuring of boxes out of the theme's script, after the builder has copied it.

    Raises:
        ExtensionError: The theme's script is not the one that this was written for.
    """
    if error is not None or app.builder.format != "html":
        return
    file = Path(app.outdir) / "_static" / THEME_SCRIPT
    script = file.read_text(encoding="utf-8")
    if MEASURED_ELSEWHERE in script:
        return  # a build that copied nothing again
    if script.count(MEASURES_BOXES) != 1:
        raise ExtensionError(
            f"{THEME_SCRIPT} no longer has {MEASURES_BOXES!r}: look how this version of the theme "
            "makes boxes that scroll reachable by keyboard, and change tools/lean_pages.py"
        )
    file.write_text(script.replace(MEASURES_BOXES, MEASURED_ELSEWHERE), encoding="utf-8")


def _is_needed(file: object, body: str) -> bool:
    name = PurePath(str(file)).name
    if name not in NEEDED_BY:
        return True
    sign = NEEDED_BY[name]
    return sign is not None and sign.search(body) is not None


def without(html: str, names: Iterable[str]) -> str:
    """Take the script elements that load one of these files out of a piece of a page."""
    files = "|".join(re.escape(name) for name in names)
    return re.sub(
        rf'<script\b[^>]*\bsrc="(?:[^"]*/)?(?:{files})(?:\?[^"]*)?"[^>]*></script>', "", html
    )


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension."""
    PygmentsBridge.html_formatter = LeanFormatter
    app.connect("builder-inited", index_for_search_once)
    # After all extensions have said what they want on the page.
    app.connect("html-page-context", leave_out_unused, priority=900)
    app.connect("build-finished", leave_boxes_alone)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
