"""Pages load what they use: what is left out, and what stays."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup, NavigableString
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.errors import ExtensionError

from tools import lean_pages

CODE = """import torch

x = torch.zeros(2, 3)  # zeros
print(f"{x.shape}" if x is not None else 1.5)
"""


def files(*names):
    return [SimpleNamespace(filename=name and f"_static/{name}") for name in names]


def after(body, css=(), scripts=()):
    context = {"body": body, "css_files": files(*css), "script_files": files(*scripts)}
    lean_pages.leave_out_unused(None, "page", "page.html", context, None)
    return context


def names(entries):
    return [entry.filename and entry.filename.removeprefix("_static/") for entry in entries]


def test_files_that_a_page_does_not_use_are_left_out():
    css = ["course.css", "sphinx-design.min.css", "sphinx-thebe.css"]
    context = after("<p>text</p>", css, ["doctools.js", None, "design-tabs.js"])
    assert names(context["css_files"]) == ["course.css"]
    assert names(context["script_files"]) == ["doctools.js", None]


def test_files_that_a_page_uses_stay():
    body = '<div class="sd-tab-set docutils"></div>'
    context = after(body, ["sphinx-design.min.css"], ["design-tabs.js"])
    assert names(context["css_files"]) == ["sphinx-design.min.css"]
    assert names(context["script_files"]) == ["design-tabs.js"]


@pytest.mark.parametrize(
    ("body", "loaded"),
    [
        ('<span class="math"><mjx-container class="MathJax">x</mjx-container></span>', True),
        ('<section class="tex2jax_ignore mathjax_ignore">mathematics</section>', False),
    ],
)
def test_pages_with_formulas_load_their_style(body, loaded):
    context = after(body, css=["course.css", "formulas.css"])
    assert names(context["css_files"]) == ["course.css", "formulas.css"][: 1 + loaded]


def builder(folder, format_="html"):
    return SimpleNamespace(builder=SimpleNamespace(format=format_), outdir=str(folder))


@pytest.fixture
def script(tmp_path):
    """The script of the installed theme, where a build puts it."""
    theme = Path(find_spec("pydata_sphinx_theme").origin).parent / "theme"
    file = tmp_path / "_static" / lean_pages.THEME_SCRIPT
    file.parent.mkdir(parents=True)
    shutil.copy(theme / "pydata_sphinx_theme" / "static" / lean_pages.THEME_SCRIPT, file)
    return file


def test_the_theme_no_longer_measures_boxes(script, tmp_path):
    before = script.read_text("utf-8")
    lean_pages.leave_boxes_alone(builder(tmp_path), None)
    after_it = script.read_text("utf-8")
    start, end = before.split(lean_pages.MEASURES_BOXES)
    assert after_it.startswith(start)
    assert after_it.endswith(end)
    assert 'addEventListener("load",I)' not in after_it
    lean_pages.leave_boxes_alone(builder(tmp_path), None)  # a second build copies nothing
    assert script.read_text("utf-8") == after_it


def test_another_version_of_the_theme_is_noticed(script, tmp_path):
    script.write_text("void 0", "utf-8")
    with pytest.raises(ExtensionError, match=r"change tools/lean_pages\.py"):
        lean_pages.leave_boxes_alone(builder(tmp_path), None)
    assert script.read_text("utf-8") == "void 0"


def test_a_build_that_failed_or_has_no_pages_is_left_alone(tmp_path):
    lean_pages.leave_boxes_alone(builder(tmp_path), ValueError("the build's own"))
    lean_pages.leave_boxes_alone(builder(tmp_path, "latex"), None)
    assert list(tmp_path.iterdir()) == []


def test_only_the_named_scripts_are_taken_out_of_the_template():
    kept = '<script src="../_static/scripts/bootstrap.js?digest=1"></script>'
    html = (
        f'{kept}<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>'
        '<script src="searchindex.js"></script><script>let a = "searchindex.js";</script>'
    )
    shorter = lean_pages.without(html, lean_pages.NOWHERE_NEEDED)
    assert shorter == f'{kept}<script>let a = "searchindex.js";</script>'


def test_code_keeps_its_words_and_colours_with_fewer_elements():
    full = highlight(CODE, PythonLexer(), HtmlFormatter())
    lean = highlight(CODE, PythonLexer(), lean_pages.LeanFormatter())
    assert lean.count("<span") < 0.7 * full.count("<span")

    def text_and_colour(html):
        """Every character with the colour it has."""
        for node in BeautifulSoup(html, "html.parser").descendants:
            if isinstance(node, NavigableString):
                kind = (node.parent.get("class") or [""])[0] if node.parent.name == "span" else ""
                colour = "" if kind in ("n", "nn", "p", "w") else kind
                yield from ((character, colour) for character in str(node))

    assert list(text_and_colour(lean)) == list(text_and_colour(full))
