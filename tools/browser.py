"""The built book on a local server, and a Chromium that can reach nothing else.

The tests of the book and `python -m bench pages` look at the same pages in the same browser.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# GitHub Pages serves a project below its name: a link that starts at the root must break here too.
PREFIX = "/cnn-course/"
# Bytes of a first visit to a page, unpacked: a test holds every page of the contents to it.
LIMIT = 2_000_000
MISSING = "no chromium, chromium-browser or google-chrome (Debian: apt install chromium)"
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder below PREFIX, quietly."""

    def translate_path(self, path: str) -> str:
        """The file that an address means; none outside PREFIX."""
        if not path.startswith(PREFIX):
            return os.devnull + "/outside-the-site"
        return super().translate_path("/" + path.removeprefix(PREFIX))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(folder: Path, handler: type[Handler] = Handler) -> Iterator[str]:
    """Serve ``folder`` on a free port of this machine; gives its address, ending in a slash."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def find_chromium() -> str | None:
    """Path of a Chromium that the system has, if any."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser in which no name but this machine's resolves, with a new profile.

    Raises:
        FileNotFoundError: The system has no Chromium; the message says how to get one.
    """
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    if executable is None:
        raise FileNotFoundError(MISSING)
    # Chromium's sandbox refuses to run as root.
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def wait_until_whole(page: Page) -> None:
    """Wait until a page that has loaded is laid out to its end (`book/_static/rest_of_page.js`)."""
    page.wait_for_function("() => 'whole' in document.documentElement.dataset")


def build_figures(page: Page) -> None:
    """Go to each interactive figure, as a reader does, and back: each is built when one is near."""
    page.evaluate(
        """async () => {
            const wait = () => new Promise(requestAnimationFrame);
            const waiting = [...document.querySelectorAll('article :not(:defined)')];
            // Formulas are made of elements that nobody defines.
            for (const figure of waiting.filter(one => !one.localName.startsWith('mjx-'))) {
                figure.scrollIntoView({ behavior: 'instant' });
                await customElements.whenDefined(figure.localName);
            }
            scrollTo({ top: 0, behavior: 'instant' });
        }"""
    )


def received(page: Page) -> dict[str, int]:
    """Address of everything that a page has loaded so far, itself included -> bytes, unpacked."""
    return dict(
        page.evaluate(
            """() => ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))
                .map(entry => [entry.name, entry.decodedBodySize])"""
        )
    )
