"""The files of the built book: links, pictures, buttons, and nothing loaded from elsewhere."""

import copy
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from tools import course

pytestmark = pytest.mark.slow  # the book may have to be built

IMAGE_NAME = re.compile(r"[\w./-]+\.(?:png|jpe?g|gif|svg|webp)", re.IGNORECASE)
ELSEWHERE = r"(?:https?:)?//"


@pytest.fixture(scope="module")
def documents(site):
    """Every HTML file of the site, parsed, by its path within the site."""
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in paths
    }


def local_target(page: str, address: str) -> tuple[str, str] | None:
    """The file within the site and the anchor that `address` on `page` means; None if elsewhere."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    if not parts.path:
        return page, unquote(parts.fragment)
    assert not parts.path.startswith("/"), f"{page}: {address} breaks below a folder"
    path = Path("/site", page).parent / unquote(parts.path)
    resolved = Path(re.sub(r"[^/]+/\.\./", "", path.as_posix()))
    while ".." in resolved.parts:
        shorter = Path(re.sub(r"[^/]+/\.\./", "", resolved.as_posix(), count=1))
        assert shorter != resolved, f"{page}: {address} leaves the site"
        resolved = shorter
    relative = resolved.relative_to("/site").as_posix()
    return (relative or "index.html"), unquote(parts.fragment)


def test_every_internal_link_and_anchor_resolves(site, documents):
    broken, checked = [], 0
    anchors = {
        name: {e.get("id") for e in soup.find_all(id=True)}
        | {e.get("name") for e in soup.find_all("a", attrs={"name": True})}
        for name, soup in documents.items()
    }
    for page, soup in documents.items():
        for element in soup.find_all(["a", "link", "img", "script", "source", "iframe"]):
            address = element.get("href") or element.get("src")
            target = local_target(page, address) if address else None
            if target is None:
                continue
            checked += 1
            file, anchor = target
            if not (site / file).is_file():
                broken.append(f"{page}: {address}")
            # "#" alone is a button of the theme.
            elif anchor and file in anchors and anchor not in anchors[file]:
                broken.append(f"{page}: {address} (no such anchor)")
    assert broken == []
    assert checked > 100


def test_every_page_of_the_contents_is_there(documents):
    for path in course.pages():
        assert path.relative_to(course.ROOT / "book").with_suffix(".html").as_posix() in documents


def test_pictures_have_a_text(documents):
    poor = []
    for page, soup in documents.items():
        for image in soup.find_all("img"):
            text = (image.get("alt") or "").strip()
            if not text or IMAGE_NAME.fullmatch(text) or text in (image.get("src") or ""):
                poor.append(f"{page}: {image.get('src')} has the text {text!r}")
    assert poor == []


def test_figures_of_chapters_say_more_than_their_title(documents):
    poor = []
    for page, soup in documents.items():
        for image in soup.select("article .cell_output img"):
            if len(image.get("alt", "").split()) < 4:
                poor.append(f"{page}: {image.get('alt')!r}")
    assert poor == []


def colab_address(notebook: str) -> str:
    config = yaml.safe_load((course.ROOT / "_config.yml").read_text("utf-8"))
    repository = config["repository"]["url"].removeprefix("https://github.com/").strip("/")
    branch = config["repository"]["branch"]
    return f"https://colab.research.google.com/github/{repository}/blob/{branch}/{notebook}"


def test_the_colab_button_opens_the_page_it_is_on(documents, chapter_name):
    buttons = documents[f"{chapter_name}.html"].select(".dropdown-launch-buttons a[href]")
    addresses = [button["href"] for button in buttons]
    assert addresses == [colab_address(f"book/{chapter_name}.ipynb")]
    assert (course.ROOT / "book" / f"{chapter_name}.ipynb").is_file()


def test_every_link_to_colab_opens_a_file_of_the_repository(documents):
    start = colab_address("")
    for page, soup in documents.items():
        for link in soup.select('a[href*="colab.research.google.com/"]'):
            assert link["href"].startswith(start), f"{page}: {link['href']}"
            file = unquote(link["href"].removeprefix(start))
            assert (course.ROOT / file).is_file(), f"{page}: {link['href']}"


LOADING = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "iframe": ["src"],
    "video": ["src", "poster"],
    "audio": ["src"],
    "embed": ["src"],
    "object": ["data"],
    "use": ["href", "xlink:href"],
    "image": ["href", "xlink:href"],
}
# Links that only say something about the page; all others make the browser fetch or connect.
HARMLESS_LINKS = {"canonical", "license", "author", "next", "prev", "search", "index", "alternate"}
CSS_LOADS = re.compile(rf"""@import\s+["']?{ELSEWHERE}|url\(\s*["']?{ELSEWHERE}""", re.IGNORECASE)
JS_LOADS = re.compile(
    rf"""(?:\bimport\s*\(?|\bfrom|\bimportScripts\(|\bfetch\(|\.src\s*=|\.open\(["']GET["'],)"""
    rf"""\s*["'`]{ELSEWHERE}\w""",
)


def test_no_page_loads_anything_from_another_host(documents):
    found = []
    for page, soup in documents.items():
        for tag, attributes in LOADING.items():
            for element in soup.find_all(tag):
                for attribute in attributes:
                    if re.search(rf"(?:^|[\s,]){ELSEWHERE}", element.get(attribute) or ""):
                        found.append(f"{page}: <{tag} {attribute}={element[attribute]}>")
        for link in soup.find_all("link"):
            kinds = set(link.get("rel") or [])
            if not kinds <= HARMLESS_LINKS and re.match(ELSEWHERE, link.get("href") or ""):
                found.append(f"{page}: {link}")
        for style in soup.find_all("style"):
            found += [f"{page}: {text}" for text in CSS_LOADS.findall(style.get_text())]
        for element in soup.find_all(style=CSS_LOADS):
            found.append(f"{page}: {element['style']}")
        for script in soup.find_all("script", src=False):
            found += [f"{page}: {text}" for text in JS_LOADS.findall(script.get_text())]
    assert found == []


def test_no_style_sheet_or_script_loads_anything_from_another_host(site):
    found, read = [], 0
    for pattern, kinds in ((CSS_LOADS, "*.css"), (JS_LOADS, "*.js"), (JS_LOADS, "*.mjs")):
        for path in site.rglob(kinds):
            read += 1
            text = path.read_text("utf-8", errors="replace")
            found += [f"{path.relative_to(site)}: {match}" for match in pattern.findall(text)]
    assert read > 3
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        '@import "https://fonts.example/a.css";',
        "@import url(//fonts.example/a.css)",
        "src: url('https://fonts.example/a.woff2')",
        "background: URL( //x.example/a.png )",
    ],
)
def test_the_search_in_style_sheets_finds_what_it_looks_for(text):
    assert CSS_LOADS.search(text)
    assert not CSS_LOADS.search(re.sub(r"(https:)?//[a-z.]+/", "../", text))


@pytest.mark.parametrize(
    "text",
    [
        'import("https://cdn.example/a.js")',
        "import {a} from 'https://cdn.example/a.js'",
        'importScripts("https://cdn.example/a.js")',
        "fetch(`https://x.example/data.json`)",
        'script.src = "//cdn.example/a.js"',
        "x.open('GET', 'https://x.example/')",
    ],
)
def test_the_search_in_scripts_finds_what_it_looks_for(text):
    assert JS_LOADS.search(text)
    assert not JS_LOADS.search(re.sub(r"(https:)?//[a-z.]+/", "./", text))


def test_chapters_link_the_words_of_the_glossary_where_they_use_them_first(documents):
    """Read off the pages, without the code that made the links."""
    # None of these is a part of a longer word of the glossary.
    words = ["stride", "dropout", "softmax", "epoch", "momentum", "weight decay", "test set"]
    late, met = [], 0
    for page, soup in documents.items():
        if "/" not in page or page.startswith("appendix/") or not soup.article:
            continue
        soup = copy.copy(soup)
        for closed in soup.article.select("pre, code, h1, h2, h3, .cell, .math, figcaption, thead"):
            closed.decompose()
        for word in words:
            texts = soup.article.find_all(string=re.compile(rf"(?<![\w×-]){word}s?(?![\w-])"))
            use = next((text for text in texts if text.find_parent("a") is None), None)
            if use is None:
                continue
            met += 1
            target = re.compile(rf"glossary\.html#term-{word.replace(' ', '-')}$")
            if use.find_previous("a", href=target) is None:
                late.append(f"{page}: {word}")
    assert late == []
    assert met > 30
