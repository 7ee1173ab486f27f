"""Sphinx extension of the course: pages that need no other host.

Jupyter Book always loads sphinx-thebe, which writes the address of a CDN into every page, even
where live code is off as it is here. Its two listeners are taken out again.
"""

from __future__ import annotations

from sphinx.application import Sphinx

THEBE_LISTENERS = {"init_thebe_core", "update_thebe_context"}


def drop_thebe(app: Sphinx) -> None:
    """Disconnect what sphinx-thebe connected in order to write into pages."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            handler = listener.handler
            if handler.__module__ == "sphinx_thebe" and handler.__name__ in THEBE_LISTENERS:
                app.disconnect(listener.id)


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension; the builder exists once all extensions are loaded."""
    app.connect("builder-inited", drop_thebe)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
