"""The table of statements from the notes, and the page that recomputes them, tell one story."""

import csv
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CLAIMS_CSV = ROOT / "cnnlib" / "data" / "claims.csv"
NOTEBOOK = BOOK / "appendix" / "notes_recomputed.ipynb"
TOPICS_CSV = Path(__file__).with_name("topics.csv")

FIELDS = [
    "id",
    "notes_file",
    "chapter",
    "claim",
    "notes_value",
    "correct_value",
    "verdict",
    "how_to_recompute",
    "source",
]
VERDICTS = ["correct", "imprecise", "wrong", "depends"]
CHAPTERS = {  # chapter name in the table -> beginning of its row ids
    "Layers": "layers",
    "Data augmentation and regularisation": "aug",
    "Transfer learning": "transfer",
    "LeNet / AlexNet / ZFNet": "classic",
    "VGG": "vgg",
    "GoogLeNet / Inception v2": "googlenet",
    "ResNet and variants": "resnet",
    "DenseNet": "densenet",
    "SqueezeNet": "squeezenet",
    "Xception": "xception",
    "ShuffleNet v1/v2": "shufflenet",
    "MobileNet v1/v2/v3": "mobilenet",
    "NASNet": "nasnet",
    "Autoencoders": "autoencoder",
    "U-Net": "unet",
    "Siamese": "siamese",
    "Detectors (R-CNN, SPPnet, Fast R-CNN, Faster R-CNN, Mask R-CNN, FPN)": "detectors",
    "Computational considerations": "compute",
}
# Which rows a chapter of the book must have on the page once it exists.
ROWS_OF_CHAPTER = {
    "foundations/layers": re.compile(r"layers\."),
    "foundations/first_network": re.compile(r"classic\.c0[1-8]$"),
}


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CLAIMS = read_csv(CLAIMS_CSV)


def recomputable(row):
    return not row["how_to_recompute"].lstrip("(").startswith("n/a")


class Table(HTMLParser):
    """Rows of an HTML table as lists of cell texts; links and scopes are kept apart."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.scopes = [], [], []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True
            if tag == "th":
                self.scopes.append(attributes.get("scope"))
        elif tag == "a":
            self.links.append(attributes["href"])

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def cells():
    return {cell.id: cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells}


def stored_html(cell):
    (output,) = cell.outputs
    return output.data["text/html"]


@pytest.fixture(scope="module")
def tables(cells):
    return [Table(stored_html(cells[name])) for name in ("layers-table", "lenet-table")]


@pytest.fixture(scope="module")
def stored_rows(tables):
    """Row id -> (statement, the notes, verdict, computed, what is right)."""
    rows = {}
    for table in tables:
        # Two table rows per statement: the statement itself, and what belongs to it.
        for [claim], rest in zip(table.rows[1::2], table.rows[2::2], strict=True):
            claim_id, _, statement = claim.partition(" ")
            assert claim_id not in rows
            rows[claim_id] = (statement, *rest)
    return rows


def test_table_is_complete_and_well_formed():
    with CLAIMS_CSV.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == FIELDS
    assert len(CLAIMS) == 300
    assert len({row["id"] for row in CLAIMS}) == len(CLAIMS)
    for row in CLAIMS:
        assert None not in row, f"{row['id']} has too many columns"
        assert None not in row.values(), f"{row['id']} has too few columns"
        assert all(value.strip() for value in row.values()), f"{row['id']} has an empty field"
        assert row["verdict"] in VERDICTS
        assert row["chapter"] in CHAPTERS
        assert re.fullmatch(CHAPTERS[row["chapter"]] + r"\.c\d\d", row["id"]), row["id"]


def test_rows_of_a_chapter_are_numbered_without_gaps():
    for prefix in CHAPTERS.values():
        ids = [row["id"] for row in CLAIMS if row["id"].startswith(f"{prefix}.")]
        assert ids == [f"{prefix}.c{n:02}" for n in range(1, len(ids) + 1)]


def test_the_book_offers_the_same_table_that_cnnlib_ships():
    assert (BOOK / "appendix" / "claims.csv").read_bytes() == CLAIMS_CSV.read_bytes()


@pytest.mark.parametrize("chapter", ROWS_OF_CHAPTER)
def test_every_row_of_an_available_chapter_is_on_the_page(chapter, stored_rows, tables):
    assert (BOOK / f"{chapter}.ipynb").exists()
    expected = {row["id"] for row in CLAIMS if ROWS_OF_CHAPTER[chapter].match(row["id"])}
    assert expected
    assert expected <= stored_rows.keys()
    assert any(
        {link.partition("#")[0] for link in table.links} == {f"../{chapter}.html"}
        for table in tables
    )


def headings(path):
    text = "\n".join(
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    )
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


def test_links_go_to_sections_that_exist(tables):
    for table in tables:
        for link in table.links:
            page, _, anchor = link.partition("#")
            path = (NOTEBOOK.parent / page).resolve().with_suffix(".ipynb")
            assert path.exists(), link
            anchors = {"-".join(re.findall(r"\w+", text.lower())) for text in headings(path)}
            assert anchor in {"", *anchors}, link


def test_no_chapter_with_rows_is_forgotten():
    """A new chapter has to say here which rows it brings to the page."""
    without_rows = {"index", "assignments", "instructors", "glossary", "references"}
    without_rows |= {"appendix/notes_recomputed"}
    pages = {
        str(path.relative_to(BOOK).with_suffix(""))
        for path in BOOK.rglob("*")
        if path.suffix in (".md", ".ipynb") and ".ipynb_checkpoints" not in path.parts
    }
    assert pages - without_rows == set(ROWS_OF_CHAPTER)


def test_stored_rows_agree_with_the_table(stored_rows):
    by_id = {row["id"]: row for row in CLAIMS}
    for claim_id, (statement, notes, verdict, _, right) in stored_rows.items():
        row = by_id[claim_id]
        assert row["claim"].startswith(statement)
        assert (notes, verdict, right) == (
            row["notes_value"],
            row["verdict"],
            row["correct_value"],
        ), claim_id


def test_recomputable_rows_show_a_computed_value_and_the_others_their_source(stored_rows):
    by_id = {row["id"]: row for row in CLAIMS}
    for claim_id, (_, _, _, computed, _) in stored_rows.items():
        row = by_id[claim_id]
        by_source = computed == f"not a computation. Source: {row['source']}"
        assert by_source != recomputable(row), claim_id
        assert by_source or ": " in computed, claim_id


def test_every_recomputation_is_used(cells, stored_rows):
    source = "\n".join(cell.source for cell in cells.values() if cell.cell_type == "code")
    registered = re.findall(r'^@recomputes\("([^"]+)"', source, flags=re.MULTILINE)
    by_id = {row["id"]: row for row in CLAIMS}
    assert len(registered) == len(set(registered))
    assert set(registered) == {i for i in stored_rows if recomputable(by_id[i])}


@pytest.fixture(scope="module")
def checker(cells):
    """The notebook's own comparison, to see that it can say no."""
    names = {"CLAIMS": {row["id"]: row for row in CLAIMS}, "re": re}
    exec(cells["registry"].source, names)
    return names


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("55x55x96 = 290,400 values", ["55", "55", "96", "290,400"]),
        ("N = 2,2,3,3,3, M = 5", ["2", "2", "3", "3", "3", "5"]),
        ("LeNet-5, C3, conv3-5, r_(l-1), 27C^2", ["27"]),
        ("a 7.1x blow-up of 75%", ["7.1", "75"]),
    ],
)
def test_numbers_are_found_in_sentences(checker, text, numbers):
    assert checker["printed_numbers"](text) == numbers


def test_comparison_refuses_a_number_that_was_not_computed(checker):
    checker["recomputes"]("layers.c13")(lambda: {})
    right = {"matrix": (96, 363), "weights": 34848, "with biases": 34944}
    assert checker["compare"]("layers.c13", right) == []
    for name, value in [("matrix", (96, 364)), ("weights", 34849), ("with biases", 34848)]:
        assert checker["compare"]("layers.c13", {**right, name: value})
    assert checker["unexplained"]("7.1", {"ratio": 7.103}) == []
    assert checker["unexplained"]("7.1", {"ratio": 7.16}) == ["7.1"]
    assert checker["unexplained"]("1", {"yes": True}) == ["1"]
    with pytest.raises(ValueError, match="twice"):
        checker["recomputes"]("layers.c13")(lambda: {})
    with pytest.raises(KeyError, match=r"layers\.c99"):
        checker["recomputes"]("layers.c99")(lambda: {})


def test_tables_can_be_read_aloud_and_scroll_in_their_own_box(cells, tables):
    for table in tables:
        columns = len(table.rows[0])
        assert table.scopes == ["col"] * columns + ["rowgroup"] * len(table.rows[1::2])
    for name in ("layers-table", "lenet-table", "summary"):
        text = stored_html(cells[name])
        assert "overflow-x: auto" in text
        assert "<caption>" in text
        # A fixed colour would be unreadable in one of light and dark.
        assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|background: (?!none)", text)


@pytest.mark.parametrize("page", ROWS_OF_CHAPTER)
def test_every_topic_of_an_available_chapter_has_its_section(page):
    """`topics.csv` lists what the notes name and the section of the book that teaches it."""
    topics = [row for row in read_csv(TOPICS_CSV) if row["page"] == page]
    assert topics
    sections = headings(BOOK / f"{page}.ipynb")
    assert [row for row in topics if row["section"] not in sections] == []


def test_topics_are_listed_once_and_for_chapters_that_exist():
    topics = read_csv(TOPICS_CSV)
    assert len({row["topic"] for row in topics}) == len(topics)
    assert {row["page"] for row in topics} == set(ROWS_OF_CHAPTER)


def counted(counter):
    return ", ".join(f"{counter[verdict]} {verdict}" for verdict in VERDICTS)


def test_summary_and_figure_text_have_the_right_counts(cells, stored_rows):
    every = Counter(row["verdict"] for row in CLAIMS)
    here = Counter(verdict for _, _, verdict, _, _ in stored_rows.values())
    rows = Table(stored_html(cells["summary"])).rows[1:]
    expected = [[v, str(here[v]), str(every[v])] for v in VERDICTS]
    assert rows == [*expected, ["together", str(here.total()), str(every.total())]]
    alt = cells["figure"].metadata["mystnb"]["image"]["alt"]
    assert f"All chapters: {counted(every)}. On this page: {counted(here)}." in alt


def test_opening_page_quotes_the_right_counts():
    every = Counter(row["verdict"] for row in CLAIMS)
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    assert f"into {every.total()} statements" in text
    assert (
        f"{every['correct']} are correct, {every['imprecise']} imprecise, "
        f"{every['wrong']} wrong, and {every['depends']} depend"
    ) in text


def test_reference_keys_are_unique_and_every_cited_key_exists():
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,\s]+),", text, flags=re.MULTILINE)
    assert len(keys) == text.count("\n@") + text.startswith("@")
    assert [key for key, times in Counter(keys).items() if times > 1] == []
    cited = set()
    for path in [*BOOK.rglob("*.md"), *BOOK.rglob("*.ipynb")]:
        if path.suffix == ".md":
            pages = [path.read_text(encoding="utf-8")]
        else:
            pages = [cell.source for cell in nbformat.read(path, as_version=4).cells]
        for page in pages:
            for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page):
                cited |= {key.strip() for key in group.split(",")}
    assert cited <= set(keys)


def test_every_arxiv_paper_in_the_table_has_a_reference():
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    named = {
        number
        for row in CLAIMS
        for number in re.findall(r"arXiv:(\d{4}\.\d{5}|\d{4}\.\d{4})", row["source"])
    }
    assert named
    assert {number for number in named if f"arXiv:{number}" not in text} == set()
