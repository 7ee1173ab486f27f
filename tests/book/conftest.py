"""The built book, a local server for it, and a browser that can reach nothing else."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tools import course

# GitHub Pages serves a project below its name: a link that starts at the root must break here too.
PREFIX = "/cnn-course/"


def page_names() -> list[str]:
    """Pages of the table of contents, as `foundations/layers`."""
    folder = course.ROOT / "book"
    return [path.relative_to(folder).with_suffix("").as_posix() for path in course.pages()]


def chapter_names() -> list[str]:
    """Pages that are notebooks."""
    folder = course.ROOT / "book"
    return [path.relative_to(folder).with_suffix("").as_posix() for path in course.chapters()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `page_name` or `chapter_name` runs on each of them.

    The scope makes pytest run all tests of one page together, so that they can share its visit.
    """
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", page_names(), scope="module")
    if "chapter_name" in metafunc.fixturenames:
        metafunc.parametrize("chapter_name", chapter_names(), scope="module")


def is_current(site: Path) -> bool:
    """Whether `make book` has finished since anything it reads was last changed."""
    finished = site / ".nojekyll"  # the last file that it touches
    if not finished.exists() or not (site / "wheels" / "index.html").exists():
        return False
    sources = [course.ROOT / name for name in ("_config.yml", "_toc.yml", "pyproject.toml")]
    for folder in ("book", "cnnlib", "tools"):
        files = (course.ROOT / folder).rglob("*")
        sources += [f for f in files if f.is_file() and "__pycache__" not in f.parts]
    return all(source.stat().st_mtime <= finished.stat().st_mtime for source in sources)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built book: `_build/html` if that is current, else built for the tests."""
    built = course.ROOT / "_build" / "html"
    if is_current(built):
        return built
    output = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "tools.book", "--output", str(output)]
    result = subprocess.run(command, cwd=course.ROOT, capture_output=True, text=True)
    assert result.returncode == 0, f"the book was not built:\n{result.stdout}\n{result.stderr}"
    return output / "_build" / "html"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder below PREFIX, quietly."""

    def translate_path(self, path: str) -> str:
        if not path.startswith(PREFIX):
            return os.devnull + "/outside-the-site"
        return super().translate_path("/" + path.removeprefix(PREFIX))

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve `folder` on a free port of this machine; gives its address with a slash at the end."""
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """Address of the book on this machine."""
    with serving(site) as url:
        yield url


def find_chromium() -> str | None:
    """Path of a Chromium that the system has, if any."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A Chromium in which no name but this machine's resolves."""
    executable = find_chromium()
    if executable is None:
        message = "no chromium, chromium-browser or google-chrome (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(f"{message}; the continuous integration must have one")
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    flags = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium's sandbox refuses to run as root
    with sync_playwright() as playwright:
        # Playwright starts it headless, with a new profile folder that it deletes.
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


@dataclass
class Visit:
    """One page in the browser and everything that went wrong in it."""

    page: object
    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def check(self) -> None:
        """No request to another host, none that failed, nothing on the console."""
        assert self.foreign == [], "the page asks other hosts"
        assert self.failed == [], "resources of the site are missing"
        assert self.errors == [], "errors in the browser's console"


def open_page(browser: object, address: str, *, width: int = 1280, scheme: str = "light") -> Visit:
    """Open a page at `width`×800 pixels, in a profile of its own, and let it finish."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(180_000)  # a busy machine is no failure
    one = Visit(context.new_page())
    host = urlsplit(address).netloc

    def guard(route: object) -> None:
        wanted = urlsplit(route.request.url)
        if wanted.netloc == host or wanted.scheme in ("data", "blob"):
            route.continue_()
        else:
            one.foreign.append(route.request.url)
            route.abort()

    def answered(response: object) -> None:
        if response.status >= 400:
            one.failed.append(f"{response.status} {response.url}")

    context.route("**/*", guard)
    one.page.on("response", answered)
    one.page.on(
        "console",
        lambda message: one.errors.append(message.text) if message.type == "error" else None,
    )
    one.page.on("pageerror", lambda error: one.errors.append(str(error)))
    one.page.goto(address, wait_until="load")
    # Pages with formulas load MathJax; it typesets after the page has loaded.
    one.page.evaluate("() => window.MathJax?.startup?.promise?.then(() => true)")
    return one


@pytest.fixture
def visit(browser: object, site_url: str) -> Iterator[Callable[..., Visit]]:
    """Opens pages by name; every page is checked when the test ends."""
    visits: list[Visit] = []

    def open_by_name(name: str, **options: object) -> Visit:
        visits.append(open_page(browser, f"{site_url}{name}", **options))
        return visits[-1]

    yield open_by_name
    for one in visits:
        one.page.context.close()
    for one in visits:
        one.check()


@pytest.fixture(scope="module")
def shared_visit(browser: object, site_url: str, page_name: str) -> Iterator[Visit]:
    one = open_page(browser, f"{site_url}{page_name}.html")
    yield one
    one.page.context.close()


@pytest.fixture
def desktop(shared_visit: Visit) -> Iterator[Visit]:
    """The page `page_name` in a wide window, opened once for all tests of it that only look.

    A test that goes elsewhere, or needs the page as it was on opening, opens its own (`visit`).
    """
    yield shared_visit
    shared_visit.check()
