"""Sphinx extension of the course: pages that need no other host, and references as a plain list.

Jupyter Book always loads sphinx-thebe, which writes the address of a CDN into every page, even
where live code is off as it is here. Its two listeners are taken out again.

docutils gives an entry of the references the role ``doc-biblioentry``, which the digital publishing
module of ARIA has withdrawn: inside ``role="list"`` only ``listitem`` may stand. A screen reader
then counts the entries as it does in any list.

Opened from the disk, a page may not read another one. The search then finds what it finds from a
server, but lists it without the lines around the words.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

THEBE_LISTENERS = {"init_thebe_core", "update_thebe_context"}


def drop_thebe(app: Sphinx) -> None:
    """Disconnect what sphinx-thebe connected in order to write into pages."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            handler = listener.handler
            if handler.__module__ == "sphinx_thebe" and handler.__name__ in THEBE_LISTENERS:
                app.disconnect(listener.id)


def visit_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    """Open an entry of the references, and before the first one the list."""
    if not isinstance(node.previous_sibling(), nodes.citation):
        translator.body.append('<div role="list" class="citation-list">\n')
    translator.body.append(
        translator.starttag(node, "div", classes=[node.tagname], role="listitem")
    )


def search_from_disk(app: Sphinx, page: str, *_: object) -> None:
    """Keep the search of a book on the disk from asking for pages that it will not get."""
    if page == "search":
        body = (
            "if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;"
        )
        app.add_js_file(None, body=body)


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension; the builder exists once all extensions are loaded."""
    app.connect("builder-inited", drop_thebe)
    app.connect("html-page-context", search_from_disk)
    # What closes the entry and the list is docutils' own.
    app.add_node(
        nodes.citation, override=True, html=(visit_citation, HTML5Translator.depart_citation)
    )
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
