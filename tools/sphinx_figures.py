"""Sphinx extension of the course: the interactive figures, and their pictures.

The scripts of the figures (`tools/figure_scripts.py`) are written beside the pages, and a page gets
tags for those that its figures need. A page without figures gets none, and neither does the book on
one page, which is for paper.

A chapter carries the still picture of a figure inside itself, because Colab shows no other
(`tools/figure_stills.py`). The book shows the drawing that it was made from: sharp at every size.
"""

from __future__ import annotations

import functools

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

from tools import figure_scripts
from tools.figure_stills import EMBEDDED

FOLDER = "_static/figures"
# What scripts are written from is not copied to the site (paths below html_static_path).
SOURCES = ["figures/*.mjs", "figures/**.json"]


def is_for_screens(app: Sphinx) -> bool:
    """Whether the pages that are built are to be read in a browser, not printed."""
    return app.builder.format == "html" and app.builder.name != "singlehtml"


modules = functools.cache(figure_scripts.read)  # they do not change while a book is built


def leave_out_sources(app: Sphinx, config: Config) -> None:
    """Copy no modules and no data to the site: its pages load the scripts."""
    config.exclude_patterns = [*config.exclude_patterns, *SOURCES]


def write_scripts(app: Sphinx) -> None:
    """Write the scripts, before pages name them."""
    try:
        modules()
        if is_for_screens(app):
            figure_scripts.write(app.outdir / FOLDER)
    except ValueError as error:
        raise ExtensionError(str(error)) from error


def show_drawings(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the drawings in the place of the pictures that a notebook carries."""
    up = "../" * page.count("/")
    source[0] = EMBEDDED.sub(rf"[\1]: {up}{FOLDER}/\1.svg", source[0])


def note_modules(app: Sphinx, doctree: nodes.document) -> None:
    """Let a page be written again when a module of its figures has changed."""
    tags = "".join(node.astext() for node in doctree.findall(nodes.raw))
    for module in figure_scripts.needed_by(tags, modules()):
        app.env.note_dependency(str(figure_scripts.FIGURES / module))


def load_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object
) -> None:
    """Name the scripts that the figures of this page need."""
    if not is_for_screens(app):
        return
    for module in figure_scripts.needed_by(str(context.get("body", "")), modules()):
        # Deferred scripts run in the order of their tags, once the page is there.
        file = f"figures/{figure_scripts.script_name(module)}"
        app.add_js_file(file, loading_method="defer")


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension."""
    app.connect("config-inited", leave_out_sources)
    app.connect("builder-inited", write_scripts)
    app.connect("source-read", show_drawings)
    app.connect("doctree-read", note_modules)
    app.connect("html-page-context", load_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
