"""What a page of the book costs a reader: bytes of a first visit, and time until it can be used.

Chromium loads every page from a server on this machine, each with an empty cache.

The bytes are unpacked: what the browser has to read, whatever a server saves on the way. The page
is counted to its end, with all pictures and figures.

A page is interactive at the end of the later of these: its `load` event (so `DOMContentLoaded`, all
scripts, styles and pictures), and the last long task (50 ms or more) of the main thread, once
500 ms have passed without another. The time runs from the start of the navigation, with the
processor slowed four times as Chrome's developer tools do it. The network costs nothing here.
"""

from __future__ import annotations

import contextlib
import io
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from bench.harness import Comparison, Seconds
from tools import book, browser, course

SITE = course.ROOT / "_build" / "html"
SLOWER = 4
QUIET = 500  # milliseconds without a long task
WINDOW = {"width": 1280, "height": 800}
PATIENCE = 120_000  # milliseconds; a busy machine is no failure
MOST_REPETITIONS = 5
WITH_A_FIGURE = "architectures/googlenet"
NOTE = (
    f"interactive: loaded, then {QUIET} ms without a long task; processor slowed {SLOWER}×, empty "
    "cache, no network delay; by the browser's own clock. The book aims at 2 s."
)
KINDS = ("page", "styles", "scripts", "fonts", "pictures", "data")

# Runs in the page before anything of the page does.
WATCH = f"""
window.interactive = new Promise(resolve => {{
    let lastLongTask = 0;
    const count = entries => entries.forEach(entry => {{
        lastLongTask = Math.max(lastLongTask, entry.startTime + entry.duration);
    }});
    const observer = new PerformanceObserver(list => count(list.getEntries()));
    observer.observe({{ type: 'longtask', buffered: true }});
    addEventListener('load', () => {{
        const ready = performance.now();
        const look = () => {{
            count(observer.takeRecords());
            const since = Math.max(ready, lastLongTask);
            if (performance.now() - since >= {QUIET}) resolve(since);
            else setTimeout(look, 20);
        }};
        setTimeout(look, 20);
    }});
}});
"""


@dataclass(frozen=True)
class Weight:
    """What a first visit to a page loads.

    Attributes:
        page: Such as `foundations/layers`.
        bytes: One number for each of KINDS.
        requests: How many files that is.
        busy: Seconds of work of the browser's main thread, not slowed.
    """

    page: str
    bytes: dict[str, int]
    requests: int
    busy: float

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


measured: list[Weight] = []


def comparisons() -> Iterator[Comparison]:
    missing = what_is_missing()
    if missing:
        print(f"pages: left out, {missing}", file=sys.stderr)
        return
    if not book.is_current(SITE):
        print("pages: the book has changed since it was built (make book)", file=sys.stderr)
    with browser.serving(SITE, Variants) as address, browser.chromium() as chromium:
        for name in map(course.page_name, course.pages()):
            print(f"\rpages: weighing {name:<40}", end="", file=sys.stderr, flush=True)
            measured.append(weigh(chromium, address, name))
        print(file=sys.stderr)
        for name, reason in chosen(measured).items():
            time = partial(time_until_interactive, chromium, f"{address}{name}.html")
            text = (SITE / f"{name}.html").read_text(encoding="utf-8")
            yield Comparison(
                name="interactive",
                workload=f"{name} ({reason})",
                ours=time,
                peers={
                    variant: partial(time, f"?{address_of(variant)}")
                    for variant, change in VARIANTS.items()
                    if change(text) != text
                },
                note=NOTE,
                contender="the page",
            )


def what_is_missing() -> str:
    """What keeps this bench from running and how to get it; nothing if nothing does."""
    if not (SITE / book.FINISHED).exists():
        return f"there is no book in {SITE.relative_to(course.ROOT)}: run `make book` first"
    return "" if browser.find_chromium() else browser.MISSING


def chosen(weights: list[Weight]) -> dict[str, str]:
    """The pages to time, and why these."""
    ranked = sorted(weights, key=lambda weight: weight.total)
    return {
        WITH_A_FIGURE: "an interactive figure",
        ranked[len(ranked) // 2].page: "typical",
        ranked[-1].page: "the heaviest",
    }


@contextlib.contextmanager
def visit(chromium: object) -> Iterator[object]:
    """A page in a profile of its own, whose cache is empty."""
    context = chromium.new_context(viewport=WINDOW)
    context.set_default_timeout(PATIENCE)
    try:
        yield context.new_page()
    finally:
        context.close()


def weigh(chromium: object, address: str, name: str) -> Weight:
    """Load a page to its end and add up what the browser received."""
    with visit(chromium) as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(f"{address}{name}.html", wait_until="load")
        browser.wait_until_whole(page)
        browser.build_figures(page)
        page.wait_for_load_state("networkidle")
        received = browser.received(page)
        metrics = session.send("Performance.getMetrics")["metrics"]
    busy = next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
    sizes = dict.fromkeys(KINDS, 0)
    for url, size in received.items():
        sizes[kind_of(urlsplit(url).path)] += size
    return Weight(name, sizes, len(received), busy)


def kind_of(path: str) -> str:
    """One of KINDS, by what a file is for."""
    ending = Path(path).suffix
    if ending in (".woff", ".woff2", ".ttf"):
        return "fonts"
    if ending in (".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp", ".ico"):
        return "pictures"
    return {".html": "page", ".css": "styles", ".js": "scripts", ".mjs": "scripts"}.get(
        ending, "data"
    )


def time_until_interactive(chromium: object, address: str, variant: str = "") -> Seconds:
    """Load a page once with a slow processor; see the top of this file for what is timed."""
    with visit(chromium) as page:
        session = page.context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.add_init_script(WATCH)
        page.goto(address + variant, wait_until="load")
        return Seconds(page.evaluate("() => window.interactive") / 1e3)


def without_formulas(text: str) -> str:
    """The page with a word in place of each formula, and without their style sheet."""
    text = re.sub(r"<mjx-container.*?</mjx-container>", "formula", text, flags=re.DOTALL)
    return re.sub(r'<link[^>]*href="[^"]*/formulas\.css[^"]*"[^>]*>', "", text)


def at_once(text: str) -> str:
    """The page laid out to its end before it answers."""
    everything = ".bd-article section > * { content-visibility: visible !important }"
    return text.replace("</head>", f"<style>{everything}</style></head>", 1)


def empty(text: str) -> str:
    """What the theme puts around a chapter, and no chapter: no text, formulas or figures."""
    text = re.sub(r"(<article[^>]*>).*(</article>)", r"\1\2", text, flags=re.DOTALL)
    return re.sub(
        r'<script[^>]*src="[^"]*/figures/[^"]*"[^>]*></script>', "", without_formulas(text)
    )


VARIANTS = {
    "without formulas": without_formulas,
    "laid out at once": at_once,
    "theme, empty page": empty,
}


def address_of(variant: str) -> str:
    return re.sub(r"\W+", "-", variant)


class Variants(browser.Handler):
    """Also serves pages with something left out: `page.html?without-formulas`."""

    def send_head(self) -> io.BufferedIOBase | None:
        address = urlsplit(self.path)
        changes = {address_of(variant): change for variant, change in VARIANTS.items()}
        if address.query not in changes:
            return super().send_head()
        text = Path(self.translate_path(address.path)).read_text(encoding="utf-8")
        body = changes[address.query](text).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)


def details() -> str:
    """A table of bytes, the heaviest page first; empty if nothing was weighed."""
    if not measured:
        return ""
    ranked = sorted(measured, key=lambda weight: -weight.total)
    width = max(len(weight.page) for weight in ranked)
    head = "".join(f"{kind:>10}" for kind in ("total", *KINDS, "files", "busy ms"))
    lines = [f"{'bytes of a first visit':<{width}}{head}"]
    for one in ranked:
        numbers = (one.total, *one.bytes.values(), one.requests, round(1e3 * one.busy))
        lines.append(f"{one.page:<{width}}" + "".join(f"{number:>10,}" for number in numbers))
    rule = "─" * max(map(len, lines))
    largest, middle = ranked[0], statistics.median(weight.total for weight in ranked)
    kinds = sorted(KINDS, key=lambda kind: -largest.bytes[kind])[:3]
    shares = ", ".join(f"{kind} {largest.bytes[kind] / largest.total:.0%}" for kind in kinds)
    return "\n".join(
        [
            lines[0],
            rule,
            *lines[1:],
            rule,
            f"largest: {largest.page}, {largest.total:,} of {browser.LIMIT:,} bytes ({shares})",
            f"median: {middle:,.0f} bytes",
            "unpacked bytes, empty cache, read to the end; busy: the main thread, not slowed",
        ]
    )
