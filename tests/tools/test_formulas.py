"""Formulas are typeset when the book is built."""

import re
import subprocess
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.testing.util import SphinxTestApp

from tools import formulas


def mathml(markup):
    """What a screen reader reads: the elements of the MathML, and their text."""
    math = BeautifulSoup(markup, "html.parser").find("math")
    assert math["xmlns"] == "http://www.w3.org/1998/Math/MathML"
    leaves = [one for one in math.find_all() if not one.find()]
    return [(one.name, one.text) for one in leaves], {one.name for one in math.find_all()}


def test_a_formula_becomes_html_and_mathml():
    (markup,), style = formulas.typeset(((r"\frac{W - F}{S} + 1", False),))
    leaves, elements = mathml(markup)
    assert leaves == [
        *[("mi", "W"), ("mo", "−"), ("mi", "F"), ("mi", "S"), ("mo", "+"), ("mn", "1")]
    ]
    assert "mfrac" in elements
    drawn = BeautifulSoup(markup, "html.parser").find("mjx-math")
    assert drawn["aria-hidden"] == "true"  # or it would be read twice
    # Every sign that is drawn has its rule: the class is the number of the character.
    signs = [next(c for c in sign["class"] if "mjx-c" in c) for sign in drawn.find_all("mjx-c")]
    assert len(signs) == 6
    assert all(f".{sign}." in style or f".{sign}::before" in style for sign in signs)


def test_formulas_that_stand_alone_are_marked():
    (inline, alone), _ = formulas.typeset((("x", False), ("x", True)))
    assert 'display="true"' not in inline
    assert 'display="true"' in alone


def test_what_cannot_be_read_is_named_and_costs_only_itself():
    results, _ = formulas.typeset(((r"\frac{a", True), (r"\nonsense", False), ("y", False)))
    assert [str(one) for one in results[:2]] == [
        "Missing close brace",
        "Undefined control sequence \\nonsense",
    ]
    assert all(isinstance(one, formulas.TypesettingError) for one in results[:2])
    assert mathml(results[2])[0] == [("mi", "y")]


def test_the_style_has_the_signs_that_occur_and_their_fonts(tmp_path):
    _, small = formulas.typeset((("x", False),))
    _, large = formulas.typeset((("x", False), (r"\sum \mathbb{R} \alpha", True)))
    assert len(small) < len(large) < 40_000
    formulas.write_style(tmp_path, large)
    assert (tmp_path / formulas.STYLE_SHEET).read_text("utf-8") == large
    named = set(re.findall(r'url\("([^"]+)"\)', large))
    assert named == {
        str(file.relative_to(tmp_path)) for file in (tmp_path / formulas.FONTS).iterdir()
    }
    assert "formulas/MathJax_Math-Italic.woff" in named
    # Without this rule sighted readers would see every formula twice.
    assert re.search(r"mjx-assistive-mml \{[^}]*clip: rect", large)


def test_a_line_break_outside_an_environment_is_kept():
    lines = formulas.formula_of(nodes.math_block("", r"a &= b \\ &= c"))
    assert lines == (r"\begin{split}a &= b \\ &= c\end{split}", True)
    aligned = r"\begin{aligned} a \\ b \end{aligned}"
    assert formulas.formula_of(nodes.math("", aligned)) == (aligned, False)
    (markup,), _ = formulas.typeset((lines,))
    assert BeautifulSoup(markup, "html.parser").find("math").find_all("mtr", limit=3)[1:]


def test_a_stop_of_mathjax_is_reported(monkeypatch):
    monkeypatch.setattr(formulas, "FONTS", "other")  # nothing of this is remembered
    monkeypatch.setattr(formulas, "mathjax_folder", lambda: formulas.PROGRAM.parent)
    with pytest.raises(ExtensionError, match=r"(?s)MathJax stopped with status 1.*core\.js"):
        formulas.typeset((("never seen", False),))


@pytest.mark.parametrize(
    "error",
    [OSError("Exec format error"), subprocess.TimeoutExpired("node", 300)],
    ids=["no engine", "hangs"],
)
def test_an_engine_that_does_not_work_is_reported(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(formulas, "node_js", fail)
    with pytest.raises(ExtensionError, match=r"Node\.js cannot typeset") as raised:
        formulas.typeset((("never asked before", False),))
    assert str(error) in str(raised.value)


def test_a_formula_that_came_too_late_is_no_blank():
    translator = SimpleNamespace(builder=SimpleNamespace(typeset_formulas={}))
    with pytest.raises(ExtensionError, match="x was not typeset"):
        formulas.visit_formula(translator, nodes.math("", "x"))


def test_a_missing_package_is_explained(monkeypatch):
    monkeypatch.setattr(formulas, "PACKAGE", "no-such-package")
    with pytest.raises(ExtensionError, match="make env"):
        formulas.mathjax_folder()


PAGES = {
    "index": "Index\n=====\n\n.. toctree::\n\n   other\n\nOf :math:`x^2`.\n",
    "other": "Other\n=====\n\n.. math:: \\alpha < 1\n\nAnd :math:`x^2` again.\n",
}


@pytest.fixture
def book(tmp_path):
    """Builds a book of two pages and gives its folder and what the build said."""

    def build(**changes):
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / "conf.py").write_text(
            "extensions = ['tools.formulas']\nhtml_math_renderer = 'typeset'\n", "utf-8"
        )
        for name, text in (PAGES | changes).items():
            file = source / f"{name}.rst"
            if not file.exists() or file.read_text("utf-8") != text:
                file.write_text(text, "utf-8")
        app = SphinxTestApp(srcdir=source, builddir=tmp_path / "build")
        try:
            app.build()
            return SimpleNamespace(folder=app.outdir, said=app.warning.getvalue())
        finally:
            app.cleanup()

    return build


def test_pages_hold_their_formulas_and_load_no_mathjax(book):
    built = book()
    assert built.said == ""
    page = BeautifulSoup((built.folder / "other.html").read_text("utf-8"), "html.parser")
    assert [mathml(str(one))[0] for one in page.select(".math mjx-container")] == [
        [("mi", "α"), ("mo", "<"), ("mn", "1")],
        [("mi", "x"), ("mn", "2")],
    ]
    assert page.select("div.math > mjx-container[display=true]")
    assert not page.find("script", src=re.compile("mathjax", re.IGNORECASE))
    assert page.find("link", href=re.compile(r"_static/formulas\.css"))


def test_a_page_that_did_not_change_keeps_its_signs(book):
    built = book()
    alpha = ".mjx-c1D6FC"
    assert alpha in (built.folder / "_static" / "formulas.css").read_text("utf-8")
    before = (built.folder / "other.html").stat().st_mtime_ns
    built = book(index=PAGES["index"].replace("x^2", "y^2"))
    assert (built.folder / "other.html").stat().st_mtime_ns == before
    assert "1D466" in (built.folder / "index.html").read_text("utf-8")
    assert alpha in (built.folder / "_static" / "formulas.css").read_text("utf-8")


def test_a_formula_with_a_mistake_is_a_warning_that_names_its_place(book):
    built = book(other="Other\n=====\n\nA :math:`\\frac{1` and 2 < 3.\n")
    assert re.search(r"other\.rst:4: WARNING: formula \\frac\{1: Missing close brace", built.said)
    assert r"\frac{1" in (built.folder / "other.html").read_text("utf-8")
