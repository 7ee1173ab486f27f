"""The glossary: one meaning for each word, in English and Chinese."""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
REQUIRED = [
    "convolution",
    "filter",
    "feature map",
    "channel",
    "stride",
    "padding",
    "dilation",
    "receptive field",
    "parameter sharing",
    "pooling",
    "batch normalisation",
    "fully connected layer",
    "activation function",
    "1×1 convolution",
    "local connectivity",
    "local response normalisation",
]


@pytest.fixture(scope="module")
def entries():
    """Term -> definition; a term stands at the margin, its definition on the indented lines."""
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    body = re.search(r"```\{glossary\}\n:sorted:\n\n(.*?)```", text, flags=re.DOTALL).group(1)
    pairs = [block.split("\n", 1) for block in body.strip().split("\n\n")]
    assert [term for term, times in Counter(term for term, _ in pairs).items() if times > 1] == []
    return dict(pairs)


@pytest.mark.parametrize("term", REQUIRED)
def test_words_that_chapters_rely_on_are_defined(term, entries):
    assert term in entries


def test_every_definition_begins_with_the_chinese_name_and_is_short(entries):
    for term, definition in entries.items():
        assert re.match(r"  \([^)]*[\u4e00-\u9fff][^)]*\) \S", definition), term
        assert "\n" not in definition.rstrip("\n"), f"{term} is more than one paragraph"
        assert len(definition) < 450, f"{term} is longer than a glossary should be"


def test_every_definition_says_where_to_read_on_and_the_page_exists(entries):
    for term, definition in entries.items():
        assert re.search(r"\]\([^)]+\)$", definition.strip()), f"{term} ends without a link"
        for target in re.findall(r"\]\(([^)]+)\)", definition):
            assert (BOOK / target.partition("#")[0]).exists(), f"{term}: {target}"


def test_words_marked_in_chapters_are_defined(entries):
    for path in BOOK.rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for marked in re.findall(r"\{term\}`([^`]+)`", cell.source):
                name = re.sub(r"^.*<(.+)>$", r"\1", marked)
                assert name in entries, f"{path.name} marks {name!r}"
