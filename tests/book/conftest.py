"""The built book, a local server for it, and a browser that can reach nothing else."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tools import book, course
from tools.browser import MISSING, chromium, find_chromium, serving, wait_until_whole


def page_names() -> list[str]:
    """Pages of the table of contents, as `foundations/layers`."""
    return [course.page_name(path) for path in course.pages()]


def chapter_names() -> list[str]:
    """Pages that are notebooks."""
    return [course.page_name(path) for path in course.chapters()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `page_name` or `chapter_name` runs on each of them.

    The scope makes pytest run all tests of one page together, so that they can share its visit.
    """
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", page_names(), scope="module")
    if "chapter_name" in metafunc.fixturenames:
        metafunc.parametrize("chapter_name", chapter_names(), scope="module")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built book: `_build/html` if that is current, else built for the tests."""
    built = course.ROOT / "_build" / "html"
    if book.is_current(built):
        return built
    output = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "tools.book", "--output", str(output)]
    result = subprocess.run(command, cwd=course.ROOT, capture_output=True, text=True)
    assert result.returncode == 0, f"the book was not built:\n{result.stdout}\n{result.stderr}"
    return output / "_build" / "html"


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """Address of the book on this machine."""
    with serving(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A Chromium in which no name but this machine's resolves."""
    if find_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail(f"{MISSING}; the continuous integration must have one")
        pytest.skip(MISSING)
    with chromium() as browser:
        yield browser


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

    def asked(request: object) -> None:
        wanted = urlsplit(request.url)
        if wanted.netloc != host and wanted.scheme not in ("data", "blob"):
            one.foreign.append(request.url)  # in vain: no other name resolves

    def answered(response: object) -> None:
        if response.status >= 400:
            one.failed.append(f"{response.status} {response.url}")

    one.page.on("request", asked)
    one.page.on("response", answered)
    one.page.on(
        "console",
        lambda message: one.errors.append(message.text) if message.type == "error" else None,
    )
    one.page.on("pageerror", lambda error: one.errors.append(str(error)))
    one.page.goto(address, wait_until="load")
    wait_until_whole(one.page)
    return one


@contextlib.contextmanager
def opening(browser: object, site_url: str) -> Iterator[Callable[..., Visit]]:
    """Gives a function that opens pages by name; every page is checked at the end."""
    visits: list[Visit] = []

    def open_by_name(name: str, **options: object) -> Visit:
        visits.append(open_page(browser, f"{site_url}{name}", **options))
        return visits[-1]

    yield open_by_name
    for one in visits:
        one.page.context.close()
    for one in visits:
        one.check()


@pytest.fixture
def visit(browser: object, site_url: str) -> Iterator[Callable[..., Visit]]:
    """Opens pages by name; every page is checked when the test ends."""
    with opening(browser, site_url) as open_by_name:
        yield open_by_name


@pytest.fixture
def from_disk(browser: object, site: Path) -> Iterator[Callable[..., Visit]]:
    """The same without a server, as a reader opens the folder."""
    with opening(browser, f"{site.as_uri()}/") as open_by_name:
        yield open_by_name


@pytest.fixture(scope="module")
def open_once(browser: object, site_url: str) -> Iterator[Callable[..., Visit]]:
    """The same for pages that the tests of a module share; they are checked after the last."""
    with opening(browser, site_url) as open_by_name:
        yield open_by_name


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
