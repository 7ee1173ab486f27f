"""Still pictures of the interactive figures, for print, Colab and readers without scripts.

    python -m tools.figure_stills [--output FOLDER] [NAME ...]

Opens each figure in a Chromium, as it starts, and writes its drawing with the colours of the light
theme to book/_static/figures/<name>.svg. Run it again when the drawing of a figure changes; a test
compares the stored pictures with what the figures draw.

Colab shows neither a file of the repository nor an SVG inside a notebook, and it leaves out
attachments of cells. A small PNG inside the text it does show. So each chapter carries its still
picture as the last line of the cell, where a Markdown link definition gives the picture its place:

    ![What the picture shows.][roi-align]
    …
    [roi-align]: data:image/png;base64,…

This script writes these lines too, from the drawings; in the PNG stands the digest of the drawing
that it was made from. The book shows the drawings themselves (tools/sphinx_figures.py).
"""

import argparse
import base64
import hashlib
import io
import re
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tools import course, figure_scripts, notebooks
from tools.browser import MISSING, chromium, find_chromium

FIGURES = figure_scripts.FIGURES
# The drawing of each figure: attributes to start with, and which SVG of the figure it is.
STILLS = {
    "detection-playground": ("", ".stage svg"),
    "anchor-labels": ("", ".stage svg"),
    "roi-align": ("", ".stage svg"),
    "depthwise-cost": ("", "svg"),
    "parameter-table": ("", "svg"),
    "draw-a-digit": ("", "svg[aria-label^=Distances]"),
}
WIDTH = 700
PATIENCE = 120  # seconds for a figure to draw; a busy machine is no failure
COLOURS = 64  # of a PNG: the drawings have few, and the edges of letters need some between
SOURCE = "Source"  # the text in a PNG that holds the digest of its drawing
EMBEDDED = re.compile(rf"\[({'|'.join(STILLS)})\]: data:image/png;base64,([A-Za-z0-9+/=]*)")

# Style sheets do not leave the page with the drawing, so what they decide is written to its shapes.
# Places to grab are invisible and mean nothing in a picture.
TAKE = """([name, selector]) => {
    const drawing = document.querySelector(name).shadowRoot.querySelector(selector);
    const copy = drawing.cloneNode(true);
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const plain = colour => {  // color(srgb ...) is not understood everywhere, #rrggbb is
        if (colour === 'none') return colour;
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, opacity] = canvas.getImageData(0, 0, 1, 1).data;
        const hex = [r, g, b].map(value => value.toString(16).padStart(2, '0')).join('');
        return opacity ? `#${hex}` : 'none';
    };
    const [from, to] = [drawing, copy].map(root => [...root.querySelectorAll('*')]);
    from.forEach((shape, i) => {
        const style = getComputedStyle(shape);
        for (const old of ['class', 'style']) to[i].removeAttribute(old);
        if (shape.matches('.grab, .handle')) to[i].remove();
        if (shape.localName === 'g') return;
        const write = properties => properties.forEach(
            property => to[i].setAttribute(property, style[property]));
        to[i].setAttribute('fill', plain(style.fill));
        if (style.stroke !== 'none') {
            to[i].setAttribute('stroke', plain(style.stroke));
            write(['stroke-width', 'stroke-dasharray', 'paint-order']);
        }
        if (shape.localName !== 'text') return;
        write(['text-anchor', 'dominant-baseline', 'font-size', 'font-weight']);
    });
    const [, , width, height] = copy.getAttribute('viewBox').split(' ');
    copy.setAttribute('xmlns', copy.namespaceURI);
    copy.setAttribute('width', width);
    copy.setAttribute('height', height);
    copy.setAttribute('font-family', 'DejaVu Sans, Arial, sans-serif');
    const paper = document.createElementNS(copy.namespaceURI, 'rect');
    for (const [key, value] of Object.entries({ width, height, fill: '#ffffff' })) {
        paper.setAttribute(key, value);
    }
    copy.prepend(paper);
    for (const old of ['class', 'style']) copy.removeAttribute(old);
    return new XMLSerializer().serializeToString(copy);
}"""


DRAWN = """([name, selector]) =>
    !!document.querySelector(name).shadowRoot?.querySelector(selector)"""


def take(browser: object, scripts: Path, name: str) -> str:
    """The drawing of a figure, as it starts, as the text of an SVG file.

    Args:
        browser: A Playwright browser.
        scripts: The folder that `figure_scripts.write` has filled; the page is written there, too.
        name: Name of the element.

    Raises:
        RuntimeError: The figure has thrown an error, or draws nothing.
    """
    attributes, selector = STILLS[name]
    element = f"<{name} {attributes}></{name}>"
    tags = figure_scripts.tags(figure_scripts.needed_by(element, figure_scripts.read()))
    still = scripts / "still.html"
    still.write_text(f"<!DOCTYPE html><meta charset=utf-8>\n{tags}\n{element}", "utf-8")
    page = browser.new_page(viewport={"width": WIDTH, "height": 900})
    try:
        errors: list[object] = []
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(still.as_uri())
        # The figure is built when the browser has seen that it is near, and has read its data.
        end = time.monotonic() + PATIENCE
        while not errors and not page.evaluate(DRAWN, [name, selector]):
            if time.monotonic() > end:
                raise RuntimeError(f"<{name}> has drawn no {selector!r} in {PATIENCE} s")
            page.wait_for_timeout(20)
        if errors:
            raise RuntimeError(f"<{name}> does not start: {errors[0]}")
        return page.evaluate(TAKE, [name, selector]) + "\n"
    finally:
        page.close()


def digest(drawing: str) -> str:
    """What tells a drawing from any other."""
    return hashlib.sha256(drawing.encode()).hexdigest()


def as_png(browser: object, drawing: str) -> str:
    """A drawing as a small PNG in base64, one pixel for each of its units."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900})
    try:
        page.set_content(f"<!DOCTYPE html><style>svg {{ display: block }}</style>{drawing}")
        picture = Image.open(io.BytesIO(page.locator("svg").screenshot()))
    finally:
        page.close()
    few = picture.convert("RGB").quantize(
        COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    information = PngInfo()
    information.add_text(SOURCE, digest(drawing))
    stored = io.BytesIO()
    few.save(stored, "PNG", optimize=True, pnginfo=information)
    return base64.b64encode(stored.getvalue()).decode("ascii")


def embed(pictures: dict[str, str]) -> list[Path]:
    """Put pictures, PNG in base64 by the name of their figure, into the chapters that show them.

    Returns:
        The chapters that have changed.
    """
    changed = []
    for path in course.chapters():
        notebook = notebooks.read(path)
        old = [cell.source for cell in notebook.cells]
        for cell in notebook.cells:
            cell.source = EMBEDDED.sub(
                lambda match: (
                    match.group().removesuffix(match.group(2))
                    + pictures.get(match.group(1), match.group(2))
                ),
                cell.source,
            )
        if [cell.source for cell in notebook.cells] != old:
            notebooks.write(notebook, path)
            changed.append(path)
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Write the pictures and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, help="write the drawings to this folder, and change no chapter"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures; all if left out")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(STILLS))
    if unknown:
        print(
            f"no such figure: {', '.join(unknown)}; there are {', '.join(STILLS)}", file=sys.stderr
        )
        return 2
    if find_chromium() is None:
        print(MISSING, file=sys.stderr)
        return 1
    pictures = {}
    with chromium() as browser, tempfile.TemporaryDirectory() as scratch:
        scripts = Path(scratch)
        figure_scripts.write(scripts)
        for name in options.names or STILLS:
            still = take(browser, scripts, name)
            course.write_atomically((options.output or FIGURES) / f"{name}.svg", still)
            if options.output is None:
                pictures[name] = as_png(browser, still)
    for path in embed(pictures):
        print(f"rewritten: {path.relative_to(course.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
