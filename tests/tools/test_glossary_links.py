"""Words of the glossary become links where a chapter uses them first."""

from pathlib import Path

import pytest
from docutils import nodes
from sphinx import addnodes

from tools import glossary_links as links

GLOSSARY = """# Glossary

```{glossary}
:sorted:

convolution
  (卷积) A sum of products. [Layers](foundations/layers.ipynb)

1×1 convolution
  (1×1 卷积) One pixel, $C^2$ weights. [Layers](foundations/layers.ipynb)

ReLU
  (线性整流) Negative numbers become 0.

cell
  (单元) A part of NASNet. [NASNet](architectures/nasnet.ipynb)
```
"""


@pytest.fixture
def glossary():
    return links.read_glossary(GLOSSARY)


def page(*children):
    document = nodes.document(None, None)
    document += children
    return document


def linked(document):
    """What became a link: the shown text and the word it leads to."""
    return [(x.astext(), x["reftarget"]) for x in document.findall(addnodes.pending_xref)]


def linked_words(glossary, *children, where="foundations/layers"):
    document = page(*children)
    text = document.astext()
    links.link_first_uses(document, links.terms_for(where, glossary), where)
    assert document.astext() == text, "linking changed what stands on the page"
    return linked(document)


def paragraph(text):
    return nodes.paragraph("", text)


def test_the_first_use_of_each_word_is_linked_and_no_other(glossary):
    first, second = (
        paragraph("A ReLU after a convolution."),
        paragraph("Another convolution, ReLU."),
    )
    assert linked_words(glossary, first, second) == [
        ("ReLU", "ReLU"),
        ("convolution", "convolution"),
    ]
    assert not list(second.findall(addnodes.pending_xref))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Convolutions are sums.", [("Convolutions", "convolution")]),
        ("A 1×1 convolution only.", [("1×1 convolution", "1×1 convolution")]),
        (
            "A 1×1\nconvolution, then a convolution.",
            [("1×1\nconvolution", "1×1 convolution"), ("convolution", "convolution")],
        ),
        ("relu is not how it is written, nor RELU", []),
        ("A deconvolution, convolutional, 3×3-convolution", []),
    ],
)
def test_plurals_sentence_beginnings_and_longer_words(text, found, glossary):
    assert linked_words(glossary, paragraph(text)) == found


def test_no_link_in_headings_code_formulas_links_or_outputs(glossary):
    closed = (
        nodes.title("", "The convolution"),
        nodes.literal_block("", "convolution"),
        nodes.container("", paragraph("a convolution was printed"), classes=["cell"]),
        nodes.paragraph("", "", nodes.literal("", "convolution"), nodes.math("", "convolution")),
        nodes.paragraph("", "", nodes.reference("", "convolution", refuri="x.html")),
    )
    assert linked_words(glossary, *closed) == []


def test_a_word_that_the_author_marked_before_is_not_linked_again(glossary):
    marked = addnodes.pending_xref("", nodes.inline("", "it"), reftype="term", reftarget="ReLU")
    found = linked_words(glossary, nodes.paragraph("", "", marked), paragraph("A ReLU."))
    assert found == [("it", "ReLU")]


def test_everyday_words_are_links_only_where_they_are_explained(glossary):
    text = "Run the cell."
    assert linked_words(glossary, paragraph(text)) == []
    nasnet = linked_words(glossary, paragraph(text), where="architectures/nasnet")
    assert nasnet == [("cell", "cell")]


def test_every_everyday_word_that_is_defined_names_its_chapter():
    book = Path(__file__).resolve().parents[2] / "book"
    defined = links.read_glossary((book / "glossary.md").read_text(encoding="utf-8"))
    for word in links.EVERYDAY & defined.keys():
        assert ".ipynb" in defined[word], f"{word} would be a link nowhere"


def test_tooltips_are_plain_text(glossary):
    assert links.tooltip(glossary["convolution"]) == "(卷积) A sum of products."
    assert links.tooltip(glossary["1×1 convolution"]) == "(1×1 卷积)"
    long = links.tooltip("(长) " + "word " * 200)
    assert len(long) <= links.TOOLTIP_CHARACTERS + 2
    assert long.endswith("word …")


def test_a_glossary_without_its_block_is_an_error():
    with pytest.raises(ValueError, match="glossary"):
        links.read_glossary("# Glossary\n")
