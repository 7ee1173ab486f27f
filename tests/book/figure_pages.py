"""Pages with interactive figures for the tests of these, and a browser that opens them.

The pages are written here and opened from the disk, which allows less than a server does. Their
folder is laid out like the built book, with the scripts that the build writes (test_from_disk.py
compares the two) and the theme's own style sheets, so that colours are those the reader sees.

A test module takes over the fixtures by name:

    site_folder = figure_pages.site_folder
    open_body, javascript = figure_pages.open_body, figure_pages.javascript
"""

import json
import shutil
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools import figure_scripts

SOURCE = figure_scripts.FIGURES
ELEMENTS = (
    "conv-stepper",
    "stack-calculator",
    "inception-cost",
    "channel-shuffle",
    "network-comparison",
    "detection-playground",
    "anchor-labels",
    "roi-align",
    "depthwise-cost",
    "parameter-table",
    "draw-a-digit",
)
NO_BREAK = "\u00a0"
LIMIT = 120_000  # milliseconds; a busy machine is no failure
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100" viewBox="0 0 2 1">'
    '<rect width="2" height="1" fill="#0072B2"/></svg>'
)
PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}_static/styles/theme.css">
<link rel="stylesheet" href="{root}_static/styles/pydata-sphinx-theme.css">
{scripts}
</head><body><main><h1>Figures</h1>
{body}
</main></body></html>
"""


def element(name: str, attributes: str = "", root: str = "") -> str:
    picture = f'<p><img alt="a still picture" src="{root}picture.svg"></p>'
    return f"<{name} {attributes}>\n{picture}\n</{name}>"


@pytest.fixture(scope="module")
def site_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    figure_scripts.write(folder / "_static" / "figures")
    theme = Path(find_spec("pydata_sphinx_theme").origin).parent
    styles = theme / "theme" / "pydata_sphinx_theme" / "static" / "styles"
    (folder / "_static" / "styles").mkdir()
    for name in ("theme.css", "pydata-sphinx-theme.css"):
        shutil.copy2(styles / name, folder / "_static" / "styles")
    (folder / "_static" / "basic.css").touch()  # Sphinx's own, which the theme's imports
    (folder / "picture.svg").write_text(PICTURE, "utf-8")
    return folder


# A figure is there once it has been built: when it is near the window, and its data have come.
BUILT = """names => {
    const figures = names.flatMap(name => [...document.querySelectorAll(name)]);
    const missing = figures.find(figure => !figure.shadowRoot?.querySelector(
        'section button, section input, section select'));
    if (missing) missing.scrollIntoView({ behavior: 'instant' });
    else scrollTo({ top: 0, behavior: 'instant' });
    return !missing;
}"""


@dataclass
class Opener:
    """Opens pages with the given body and remembers what went wrong in them."""

    browser: object
    folder: Path
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __call__(
        self,
        body,
        *,
        path="page.html",
        width=1280,
        before=None,
        everything=False,
        wait=True,
        **options,
    ):
        root = "../" * path.count("/")
        known = figure_scripts.read()
        if everything:
            names = figure_scripts.in_order(known, list(known))
        else:
            names = figure_scripts.needed_by(body, known)
        scripts = figure_scripts.tags(names, f"{root}_static/figures/")
        page_file = self.folder / path
        page_file.parent.mkdir(parents=True, exist_ok=True)
        page_file.write_text(PAGE.format(root=root, scripts=scripts, body=body), "utf-8")
        viewport = {"width": width, "height": 800}
        context = self.browser.new_context(viewport=viewport, **options)
        context.set_default_timeout(LIMIT)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", self.answered)
        page.on("console", self.said)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        if before:
            before(page)
        page.goto(page_file.as_uri(), wait_until="load")
        if options.get("java_script_enabled", True) and wait:
            page.wait_for_function(BUILT, arg=list(ELEMENTS))
        return page

    def answered(self, response):
        if response.status >= 400:
            self.problems.append(f"{response.status} {response.url}")

    def said(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def check(self):
        assert self.problems == []
        here = (self.folder.as_uri(), "data:")
        assert [url for url in self.requests if not url.startswith(here)] == []


@pytest.fixture
def open_body(browser, site_folder):
    """Opens pages of one test; nothing may have gone wrong in them at its end."""
    opener = Opener(browser, site_folder)
    before = set(browser.contexts)
    yield opener
    for context in set(browser.contexts) - before:
        context.close()
    opener.check()


@pytest.fixture(scope="module")
def javascript(browser, site_folder):
    """Calls a function of a module on many argument lists in one go.

    Gives a list of results; an argument list that the function refuses gives its message.
    """
    opener = Opener(browser, site_folder)
    page = opener("", path="empty.html", everything=True)

    def call(module, function, argument_lists):
        # As JSON text: Playwright's own way to hand over values is slow on long lists.
        text = page.evaluate(
            """([module, name, argumentLists]) => {
                const exported = courseFigures[module];
                const { ShapeError } = courseFigures['arithmetic.mjs'];
                return JSON.stringify(JSON.parse(argumentLists).map(list => {
                    try {
                        return exported[name](...list);
                    } catch (error) {
                        if (!(error instanceof ShapeError)) throw error;
                        return error.message;
                    }
                }));
            }""",
            [module, function, json.dumps(argument_lists)],
        )
        return json.loads(text)

    yield call
    page.context.close()
    opener.check()


def announced(page, name, start):
    """Wait until the live region of a figure says something that begins so; give all of it.

    On a slow machine it may say something between two keys, too: so with nothing left to say.
    """
    page.wait_for_function(
        """([name, start]) => document.querySelector(name).waiting === null &&
            document.querySelector(name).shadowRoot.querySelector('[aria-live=polite]')
            .textContent.replaceAll('\u00a0', ' ').startsWith(start)""",
        arg=[name, start],
    )
    return page.locator(f"{name} [aria-live=polite]").text_content().replace(NO_BREAK, " ")


def text_of(page, name, selector):
    return page.locator(f"{name} {selector}").inner_text().replace(NO_BREAK, " ")
