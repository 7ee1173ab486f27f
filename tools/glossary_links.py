"""Sphinx extension of the course: the first use of a glossary word in a chapter is a link.

Chapters are plain prose, so that they read well in Colab, too; the book finds the words by itself.
Passing the mouse over such a link shows the Chinese name and the definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY = "glossary"
CHAPTERS = ("foundations/", "architectures/", "beyond/", "detection/")
# Words of everyday language, which mean what the glossary says only in the chapter it points to.
EVERYDAY = frozenset(
    [
        "ablation", "aliasing", "baseline", "bypass", "calibration", "capacity", "cell", "code",
        "compression", "depth", "head", "margin", "pruning", "saturation", "scale jitter",
        "switches", "volume",
    ]
)  # fmt: skip
# Where a link would be wrong or ugly: names, formulas, code, other links, outputs of code.
CLOSED = (
    nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block,
    nodes.raw, nodes.comment, nodes.caption, nodes.thead, nodes.citation, nodes.footnote,
    nodes.image, addnodes.pending_xref, addnodes.download_reference,
)  # fmt: skip
TOOLTIP_CHARACTERS = 300


def read_glossary(text: str) -> dict[str, str]:
    """Term -> definition; a term stands at the margin, its definition on the indented line."""
    body = re.search(r"```\{glossary\}\n(?::[^\n]*\n)*\n(.*?)```", text, flags=re.DOTALL)
    if body is None:
        raise ValueError(f"{GLOSSARY}.md has no {{glossary}} block")
    pairs = (block.split("\n", 1) for block in body.group(1).strip().split("\n\n"))
    return {term.strip(): definition.strip() for term, definition in pairs}


def terms_for(page: str, glossary: dict[str, str]) -> list[str]:
    """The words that become links on a page: everyday words only where they are explained."""
    return [
        term
        for term, definition in glossary.items()
        if term not in EVERYDAY or f"]({page}.ipynb" in definition
    ]


def pattern_for(terms: list[str]) -> re.Pattern[str]:
    """Matches any of the words, also in the plural, the longest first.

    A word that is all small letters may begin a sentence; ReLU and the like are taken as they are.
    """
    alternatives = []
    for term in sorted(terms, key=len, reverse=True):
        first, rest = term[0], re.escape(term[1:]).replace(r"\ ", r"\s+")
        either = f"[{first}{first.upper()}]" if term == term.lower() else re.escape(first)
        alternatives.append(f"{either}{rest}(?:e?s)?")
    return re.compile(rf"(?<![\w×-])(?:{'|'.join(alternatives)})(?![\w-])")


def term_of(found: str, terms: set[str]) -> str:
    """The glossary's spelling of a match of `pattern_for`."""
    text = " ".join(found.split())
    for spelling in (text, text[0].lower() + text[1:]):
        for ending in ("", "s", "es"):
            if spelling.endswith(ending) and spelling.removesuffix(ending) in terms:
                return spelling.removesuffix(ending)
    raise LookupError(f"{found!r} is no word of the glossary")


class LinkFirstUses(SphinxTransform):
    """Makes the first use of every glossary word in a chapter's prose a reference."""

    default_priority = 700  # when the text is complete; references are resolved much later

    def apply(self, **kwargs: object) -> None:
        """Change the document of the page that is being read."""
        page = self.env.docname
        if not page.startswith(CHAPTERS):
            return
        path = Path(self.env.doc2path(GLOSSARY))
        self.env.note_dependency(str(path))
        terms = terms_for(page, read_glossary(path.read_text(encoding="utf-8")))
        link_first_uses(self.document, terms, page)


def link_first_uses(document: nodes.document, terms: list[str], page: str) -> None:
    """Replace the first use of each of the words by a reference to the glossary."""
    if not terms:
        return
    pattern, unused = pattern_for(terms), set(terms)
    for node in list(_texts_and_marked_terms(document)):
        if isinstance(node, addnodes.pending_xref):  # the author marked it
            unused.discard(str(node["reftarget"]))
        else:
            _link_in_text(node, pattern, terms, unused, page)


def _texts_and_marked_terms(node: nodes.Node) -> Iterator[nodes.Text | addnodes.pending_xref]:
    """What may become a link, and what is one already, in reading order."""
    if isinstance(node, nodes.Text) or (
        isinstance(node, addnodes.pending_xref) and node.get("reftype") == "term"
    ):
        yield node
    elif not isinstance(node, CLOSED) and not _is_code_cell(node):
        for child in node.children:
            yield from _texts_and_marked_terms(child)


def _is_code_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "cell" in node.get("classes", [])


def _link_in_text(
    text: nodes.Text, pattern: re.Pattern[str], terms: list[str], unused: set[str], page: str
) -> None:
    new: list[nodes.Node] = []
    end = 0
    for match in pattern.finditer(text):
        term = term_of(match.group(), set(terms))
        if term not in unused:
            continue
        unused.discard(term)
        new += [nodes.Text(text[end : match.start()]), _reference(match.group(), term, page)]
        end = match.end()
    if new:
        text.parent.replace(text, [*new, nodes.Text(text[end:])])


def _reference(shown: str, term: str, page: str) -> addnodes.pending_xref:
    inside = nodes.inline(shown, shown, classes=["xref", "std", "std-term"])
    return addnodes.pending_xref(
        shown, inside, refdomain="std", reftype="term", reftarget=term, refexplicit=True,
        refwarn=True, refdoc=page,
    )  # fmt: skip


def explain_on_hover(app: Sphinx, document: nodes.document, page: str) -> None:
    """Give every link to the glossary its definition as a tooltip, and a look of its own."""
    path = Path(app.env.doc2path(GLOSSARY))
    if not path.exists():
        return
    tooltips = {
        nodes.make_id(f"term-{term}"): tooltip(definition)
        for term, definition in read_glossary(path.read_text(encoding="utf-8")).items()
    }
    for link in document.findall(nodes.reference):
        target, _, anchor = link.get("refuri", "").partition("#")
        if target.endswith(f"{GLOSSARY}.html") and anchor in tooltips:
            link["reftitle"] = tooltips[anchor]
            link["classes"].append("glossary-link")


def tooltip(definition: str) -> str:
    """A definition as plain text; only the Chinese name where it needs formulas."""
    plain = re.sub(r"\s*\[[^\]]*\]\([^)]*\)", "", definition)  # links, also the one at the end
    plain = plain.replace("`", "").replace("*", "")
    if "$" in plain:
        plain = plain[: plain.index(")") + 1]
    if len(plain) > TOOLTIP_CHARACTERS:
        plain = plain[:TOOLTIP_CHARACTERS].rsplit(" ", 1)[0] + " …"
    return plain


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension."""
    app.add_transform(LinkFirstUses)
    app.connect("doctree-resolved", explain_on_hover)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
