"""The table of statements from the notes, and the page that recomputes them, tell one story."""

import csv
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from docutils.nodes import make_id

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
SECTIONS_CSV = ROOT / "cnnlib" / "claims" / "sections.csv"
# Pages of the book that explain no row of the table.
WITHOUT_ROWS = {
    "architectures/comparison",
    "architectures/timeline",
    "appendix/cheat_sheet",
    "detection/boxes_and_map",
    "index",
    "assignments",
    "instructors",
    "threat_model",
    "glossary",
    "references",
    "appendix/notes_recomputed",
}


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CLAIMS = read_csv(CLAIMS_CSV)


SECTIONS = read_csv(SECTIONS_CSV)
# Title of each page that the list says exists, and the rows it explains, in the list's order.
TITLES = {line["page"]: line["section"] for line in SECTIONS if line["id"] == "page"}
ROWS_OF_PAGE = {
    page: [line["id"] for line in SECTIONS if line["page"] == page and line["id"] != "page"]
    for page in TITLES
}


def recomputable(row):
    return not row["how_to_recompute"].lstrip("(").startswith("n/a")


class Table(HTMLParser):
    """Rows of an HTML table as lists of cell texts; links, scopes and folded code apart."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.scopes, self.code = [], [], [], []
        self.caption = ""
        self.reading = None
        self.in_code_row = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "tr":
            self.in_code_row = attributes.get("class") == "code"
            if not self.in_code_row:
                self.rows.append([])
        elif tag in ("td", "th") and not self.in_code_row:
            self.rows[-1].append("")
            self.reading = "cell"
            if tag == "th":
                self.scopes.append(attributes.get("scope"))
        elif tag == "a":
            self.links.append(attributes["href"])
        elif tag == "details":
            self.code.append("")
            self.reading = "code"
        elif tag == "caption":
            self.reading = "caption"

    def handle_endtag(self, tag):
        if tag in ("td", "th", "caption", "details"):
            self.reading = None

    def handle_data(self, data):
        if self.reading == "cell":
            self.rows[-1][-1] += data
        elif self.reading == "code":
            self.code[-1] += data
        elif self.reading == "caption":
            self.caption += data


@pytest.fixture(scope="module")
def cells():
    return {cell.id: cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells}


def stored_html(cell):
    (output,) = cell.outputs
    return output.data["text/html"]


@pytest.fixture(scope="module")
def tables(cells):
    """Page of the book -> its table."""
    parts = re.findall(r"<table.*?</table>", stored_html(cells["tables"]), flags=re.DOTALL)
    return dict(zip(TITLES, map(Table, parts), strict=True))


@pytest.fixture(scope="module")
def stored_rows(tables):
    """Row id -> (statement, the notes, verdict, computed, what is right)."""
    rows = {}
    for table in tables.values():
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


def test_every_row_has_one_place():
    """A row without a page would be forgotten; a row with two would be shown twice."""
    listed = [line["id"] for line in SECTIONS if line["id"] != "page"]
    assert sorted(listed) == sorted(row["id"] for row in CLAIMS)
    assert all(line["page"] for line in SECTIONS)
    assert len(TITLES) == sum(line["id"] == "page" for line in SECTIONS)
    assert all(TITLES.values())


def test_no_chapter_with_rows_is_forgotten():
    """A new chapter has to be named in `sections.csv`, with the rows it explains."""
    pages = {
        str(path.relative_to(BOOK).with_suffix(""))
        for path in BOOK.rglob("*")
        if path.suffix in (".md", ".ipynb") and ".ipynb_checkpoints" not in path.parts
    }
    assert pages - WITHOUT_ROWS == set(TITLES)
    assert all(ROWS_OF_PAGE.values()), "a page that explains no row belongs to WITHOUT_ROWS"


@pytest.mark.parametrize("page", TITLES)
def test_every_row_of_an_available_page_is_shown(page, tables):
    expected = ROWS_OF_PAGE[page]
    assert [claim.partition(" ")[0] for [claim] in tables[page].rows[1::2]] == expected
    assert {link.partition("#")[0] for link in tables[page].links} == {f"../{page}.html"}
    counted = "1 statement" if len(expected) == 1 else f"{len(expected)} statements"
    assert tables[page].caption.startswith(f"{TITLES[page]}: {counted}, ")


@pytest.mark.parametrize("page", TITLES)
def test_every_section_exists(page):
    lines = [line for line in SECTIONS if line["page"] == page and line["id"] != "page"]
    assert {line["section"] for line in lines} - {""} <= set(headings(BOOK / f"{page}.ipynb"))


def headings(path):
    text = "\n".join(
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    )
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


def test_links_go_to_sections_that_exist(tables):
    for table in tables.values():
        for link in table.links:
            page, _, anchor = link.partition("#")
            path = (NOTEBOOK.parent / page).resolve().with_suffix(".ipynb")
            assert path.exists(), link
            anchors = {make_id(text) for text in headings(path)}
            assert anchor in {"", *anchors}, link


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


def test_every_computed_row_shows_its_code(tables, stored_rows):
    shown = {}
    for table in tables.values():
        for code in table.code:
            claim_id = re.match(r"code of (\S+?)(?=@|def )", code)[1]
            assert claim_id not in shown
            shown[claim_id] = code
    by_id = {row["id"]: row for row in CLAIMS}
    assert set(shown) == {i for i in stored_rows if recomputable(by_id[i])}
    assert all("def " in code and "return" in code for code in shown.values())


def test_the_page_has_no_recomputation_of_its_own(cells):
    """A new chapter adds rows by `sections.csv` and `cnnlib.claims`, never by code here."""
    source = "\n".join(cell.source for cell in cells.values() if cell.cell_type == "code")
    assert "recomputes(" not in source
    prefixes = "|".join(CHAPTERS.values())
    assert set(re.findall(rf"\b(?:{prefixes})\.c\d\d", source)) <= {"layers.c14"}


def test_one_row_is_shown_from_beginning_to_end(cells):
    row = next(row for row in CLAIMS if row["id"] == "layers.c14")
    text = {name: str(cells[name].outputs[0]) for name in cells if name.startswith("one-")}
    assert row["correct_value"] in text["one-row"]
    assert "def im2col_matrix" in text["one-source"]
    assert "1098075" in text["one-values"]
    assert "'1,098,075'" in text["one-numbers"]
    complaint = "layers.c14: 7.1 (right statement) was not computed"
    assert cells["one-comparison"].outputs[0].text == f"[]\n{complaint}\n"


def test_search_has_a_label_and_is_hidden_where_scripts_are_off(cells):
    text = stored_html(cells["tables"])
    assert re.search(r'<div class="claims-search" [^>]*\bhidden>', text)
    assert '<label for="claims-search">' in text
    assert '<input type="search" id="claims-search"' in text
    assert 'aria-live="polite"' in text
    tables = text[text.index('<div class="claims-all">') : text.index("<script>")]
    assert BeautifulSoup(tables, "html.parser").find(hidden=True) is None
    script = text[text.index("<script>") :]
    assert not re.search(r"https?:|import|fetch|innerHTML", script)


@pytest.mark.slow
@pytest.mark.browser
def test_typing_shows_the_rows_that_hold_every_word(browser, cells, stored_rows):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content(stored_html(cells["tables"]))
    page.keyboard.press("Tab")  # the box is the first thing that takes the focus
    assert page.evaluate("document.activeElement.id") == "claims-search"

    def visible():
        return [text.split()[0] for text in page.locator("tbody:visible th").all_inner_texts()]

    assert visible() == list(stored_rows)
    page.keyboard.type("WRONG alexnet")
    words = [
        i for i, row in stored_rows.items() if "wrong" in row and "alexnet" in str(row).lower()
    ]
    assert visible() == words != []
    assert page.locator("output").inner_text() == f"{len(words)} rows"
    assert page.locator(".claims:visible").count() < len(TITLES)  # a table without rows goes
    page.locator("#claims-search").fill("no such word in any row")
    assert visible() == []
    page.locator("#claims-search").fill("")
    assert visible() == list(stored_rows)
    assert page.locator("output").inner_text() == ""
    assert errors == []
    context.close()


@pytest.mark.slow
@pytest.mark.browser
def test_without_scripts_every_row_is_there_and_no_dead_box(browser, cells, stored_rows):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(stored_html(cells["tables"]))
    assert page.locator("tbody:visible").count() == len(stored_rows)
    assert not page.locator("#claims-search").is_visible()
    context.close()


def test_tables_can_be_read_aloud_and_scroll_in_their_own_box(cells, tables):
    for table in tables.values():
        columns = len(table.rows[0])
        assert table.scopes == ["col"] * columns + ["rowgroup"] * len(table.rows[1::2])
    for name in ("tables", "summary"):
        text = stored_html(cells[name])
        assert "overflow-x: auto" in text
        assert "<caption>" in text
        # A fixed colour would be unreadable in one of light and dark.
        styles = "".join(re.findall(r'<style>.*?</style>|style="[^"]*"', text, flags=re.DOTALL))
        assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|background: (?!none)", styles)


@pytest.mark.parametrize("page", TITLES)
def test_every_topic_of_an_available_chapter_has_its_section(page):
    """`topics.csv` lists what the notes name and the section of the book that teaches it."""
    topics = [row for row in read_csv(TOPICS_CSV) if row["page"] == page]
    assert topics
    sections = headings(BOOK / f"{page}.ipynb")
    assert [row for row in topics if row["section"] not in sections] == []


def test_topics_are_listed_once_and_for_chapters_that_exist():
    topics = read_csv(TOPICS_CSV)
    assert len({row["topic"] for row in topics}) == len(topics)
    taught = {row["page"] for row in topics}
    assert set(TITLES) <= taught
    # A page may teach a topic of which the notes claim nothing: "what is mAP?" is a question.
    assert taught - set(TITLES) <= WITHOUT_ROWS
    assert all((BOOK / f"{page}.ipynb").exists() for page in taught)


def test_summary_has_the_right_counts_and_the_figure_points_to_them(cells, stored_rows):
    every = Counter(row["verdict"] for row in CLAIMS)
    here = Counter(verdict for _, _, verdict, _, _ in stored_rows.values())
    rows = Table(stored_html(cells["summary"])).rows[1:]
    expected = [[v, str(here[v]), str(every[v])] for v in VERDICTS]
    assert rows == [*expected, ["together", str(here.total()), str(every.total())]]
    alt = cells["figure"].metadata["mystnb"]["image"]["alt"]
    assert "in all chapters and on this page" in alt
    assert every.most_common(1)[0][0] == here.most_common(1)[0][0] == "correct"
    assert "Correct is by far the longest bar in both; the numbers are in the table above." in alt
    assert list(cells).index("figure") == list(cells).index("summary") + 1


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
