"""The rows that the book explains, recomputed and shown as HTML that can be searched.

`sections.csv` says where a row is explained: its number, a page of the book, and a heading on it.
A line with `page` in place of a number says that this page exists, and gives its title. Rows of
pages that do not exist yet are planned; they are not shown.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from typing import NamedTuple

from cnnlib.claims.registry import (
    CLAIMS,
    REGISTRY,
    Values,
    compare,
    needs_recomputation,
    read_rows,
    recompute,
)

__all__ = ["PAGES", "Page", "computed_rows", "read_pages", "tables", "verdicts"]

VERDICTS = ("correct", "imprecise", "wrong", "depends")


class Page(NamedTuple):
    """A page of the book and the rows it explains.

    Attributes:
        title: The page's title; None while the page is only planned.
        sections: Row number to the heading that explains it, in the order of the table; "" is the
            top of the page.
    """

    title: str | None
    sections: dict[str, str]


def read_pages(lines: list[dict[str, str]]) -> dict[str, Page]:
    """Pages by their path within the book, as `foundations/layers`.

    Args:
        lines: What `sections.csv` holds: dictionaries with `id`, `page` and `section`.

    Raises:
        ValueError: A page or a row is listed twice, or a number is no row of `claims.csv`.
    """
    titles: dict[str, str] = {}
    sections: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for line in lines:
        key, page, section = line["id"], line["page"], line["section"]
        if key == "page":
            if page in titles:
                raise ValueError(f"sections.csv lists the page {page} twice")
            titles[page] = section
            sections.setdefault(page, {})
            continue
        if key not in CLAIMS:
            raise ValueError(f"sections.csv names {key}, which is no row of claims.csv")
        if key in seen:
            raise ValueError(f"sections.csv lists {key} twice")
        seen.add(key)
        sections.setdefault(page, {})[key] = section
    return {page: Page(titles.get(page), rows) for page, rows in sections.items()}


PAGES = read_pages(read_rows("cnnlib.claims", "sections.csv"))


def shown_pages() -> dict[str, Page]:
    """The pages that exist and have rows."""
    return {name: page for name, page in PAGES.items() if page.title is not None and page.sections}


def verdicts() -> tuple[Counter[str], Counter[str]]:
    """How often each verdict occurs: among all rows, and among those that are shown."""
    every = Counter(row["verdict"] for row in CLAIMS.values())
    ids = [claim_id for page in shown_pages().values() for claim_id in page.sections]
    return every, Counter(CLAIMS[claim_id]["verdict"] for claim_id in ids)


def computed_rows(page: Page) -> dict[str, Values]:
    """Recompute the rows of a page and compare them with the table of statements.

    Raises:
        AssertionError: A row that can be recomputed has no function, or a number in a row was not
            computed. The message names rows and numbers.
    """
    missing = [i for i in page.sections if needs_recomputation(CLAIMS[i]) and i not in REGISTRY]
    if missing:
        raise AssertionError(f"rows with nothing that recomputes them: {missing}")
    computed = {i: recompute(i) for i in page.sections if i in REGISTRY}
    disagreements = [line for i, values in computed.items() for line in compare(i, values)]
    if disagreements:
        raise AssertionError("\n".join(disagreements))
    return computed


def link(page: str, section: str) -> str:
    """Address of a section, seen from a page in another folder of the book."""
    # As docutils does it: what ASCII lacks, such as ×, is left out, and no digit comes first.
    plain = unicodedata.normalize("NFKD", section.lower()).encode("ascii", "ignore").decode()
    anchor = re.sub(r"^[-0-9]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", plain))
    return f"../{page}.html" + (f"#{anchor}" if anchor else "")


def shown(value: object) -> str:
    """A computed value as text: (55, 55, 96) is a shape, [3, 5, 7] is a list."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " × ".join(shown(part) for part in value)
    if isinstance(value, list):
        return ", ".join(shown(part) for part in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {shown(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else html.escape(str(value))


def highlighted(source: str) -> str:
    """Python source as HTML; keywords, texts, numbers and comments carry the theme's classes."""
    # Jupyter brings Pygments with it; nothing else in cnnlib needs it.
    from pygments import lex
    from pygments.lexers import PythonLexer
    from pygments.token import STANDARD_TYPES, Comment, Keyword, Literal, Name

    coloured = (Comment, Keyword, Literal, Name.Decorator)
    parts = []
    for kind, text in lex(source.strip("\n"), PythonLexer()):
        piece = html.escape(text, quote=False)
        if any(kind in group for group in coloured):
            piece = f'<span class="{STANDARD_TYPES[kind]}">{piece}</span>'
        parts.append(piece)
    return f'<div class="highlight"><pre>{"".join(parts).strip()}</pre></div>'


def computed_cell(claim_id: str, values: Values | None) -> str:
    """The cell that says what was computed, and what was only quoted."""
    if values is None:
        return f"not a computation. Source: {html.escape(CLAIMS[claim_id]['source'])}"
    lines = [f"{html.escape(key)}: <b>{shown(value)}</b>" for key, value in values.items()]
    recomputation = REGISTRY[claim_id]
    if recomputation.quoted:
        lines.append(f"quoted, not computed: {shown(list(recomputation.quoted))}")
    return "<br>".join(lines)


def code_row(claim_id: str) -> str:
    """A table row of its own for the folded code: in the cell it would be too narrow to read."""
    return (
        f'<tr class="code"><td colspan="{len(COLUMNS)}"><details><summary>code of {claim_id}'
        f"</summary>{highlighted(REGISTRY[claim_id].source)}</details></td></tr>"
    )


COLUMNS = {"The notes": 20, "Verdict": 18, "Computed here": 34, "What is right": 28}  # width in %


def page_table(name: str, page: Page) -> str:
    """The rows of one page as an HTML table, after recomputing them; see `computed_rows`."""
    computed = computed_rows(page)
    bodies = []
    for claim_id, section in page.sections.items():
        row = CLAIMS[claim_id]
        claim = html.escape(re.sub(r" \[[^\]]*\]$", "", row["claim"]))  # without the line numbers
        verdict = row["verdict"]
        cells = (
            html.escape(row["notes_value"]),
            verdict if verdict == "correct" else f"<strong>{verdict}</strong>",
            computed_cell(claim_id, computed.get(claim_id)),
            html.escape(row["correct_value"]),
        )
        bodies.append(
            f'<tbody><tr><th scope="rowgroup" colspan="{len(cells)}">'
            f'<a href="{link(name, section)}">{claim_id}</a> <em>{claim}</em></th></tr>\n<tr>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
            + (code_row(claim_id) if claim_id in computed else "")
            + "</tbody>"
        )
    head = "".join(f'<th scope="col" style="width: {w}%">{c}</th>' for c, w in COLUMNS.items())
    title = html.escape(page.title or name)
    number = f"{len(page.sections)} statement" + ("s" if len(page.sections) > 1 else "")
    return (
        f'<div class="claims" role="region" tabindex="0" aria-label="{title}: the notes, '
        f'recomputed"><table class="dataframe wide"><caption>{title}: {number}, '
        f"{len(computed)} of them recomputed</caption>"
        f"<thead><tr>{head}</tr></thead>\n" + "\n".join(bodies) + "\n</table></div>"
    )


# No colours: the page brings those of its light or dark mode. A wide table scrolls in its own box.
STYLE = """<style>
.claims { overflow-x: auto; max-width: 100%; }
.claims table.dataframe { display: table; text-align: left; background: none; color: inherit; }
.claims table.wide { table-layout: fixed; width: 100%; min-width: 38rem; }
.claims caption { text-align: left; }
.claims :is(th, td) { padding: 0.3rem 0.5rem; vertical-align: top; text-align: left;
  overflow-wrap: anywhere; }
.claims th[scope="rowgroup"] { font-weight: normal; }
.claims details pre { overflow-x: auto; font-size: 0.8em; padding: 0.5em; margin: 0; }
.claims-search input { font: inherit; color: inherit; background: none; width: min(100%, 26rem);
  padding: 0.3rem 0.5rem; border: 1px solid currentColor; border-radius: 4px; }
</style>
"""

# Hidden until the script runs: where scripts are off, all rows stay and no dead box stands above.
SEARCH = """<div class="claims-search" role="search" hidden>
<label for="claims-search">Search the rows (words, a number, a verdict or a row such as
layers.c03):</label><br>
<input type="search" id="claims-search" autocomplete="off">
<output for="claims-search" aria-live="polite"></output>
</div>
"""

# Every word must occur in a row; the folded code is not searched. A table without rows is hidden.
SCRIPT = """<script>
(() => {
  const search = document.querySelector(".claims-search");
  const input = search.querySelector("input"), result = search.querySelector("output");
  const tables = [...document.querySelectorAll(".claims-all .claims")].map(box => ({
    box, rows: [...box.querySelectorAll("tbody")].map(row => {
      const copy = row.cloneNode(true);
      copy.querySelectorAll("details").forEach(code => code.remove());
      return { row, text: copy.textContent.toLowerCase() };
    }),
  }));
  const filter = () => {
    const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let found = 0;
    for (const { box, rows } of tables) {
      let here = 0;
      for (const { row, text } of rows) {
        row.hidden = !words.every(word => text.includes(word));
        here += !row.hidden;
      }
      box.hidden = here === 0;
      found += here;
    }
    result.textContent = words.length ? `${found} ${found === 1 ? "row" : "rows"}` : "";
  };
  search.hidden = false;
  input.addEventListener("input", filter);
  filter();
})();
</script>
"""


def tables() -> str:
    """HTML of all rows that the book explains so far, a table for each page, with a search box.

    Raises:
        AssertionError: As for `computed_rows`.
    """
    shown_tables = [page_table(name, page) for name, page in shown_pages().items()]
    return (
        f'{STYLE}{SEARCH}<div class="claims-all">' + "\n".join(shown_tables) + f"</div>\n{SCRIPT}"
    )


def summary_table() -> str:
    """HTML of the number of rows by verdict: among the rows shown, and among all."""
    every, here = verdicts()
    lines = "".join(
        f'<tr><th scope="row">{verdict}</th><td>{here[verdict]}</td><td>{every[verdict]}</td></tr>'
        for verdict in VERDICTS
    )
    return (
        f'{STYLE}<div class="claims"><table class="dataframe"><caption>Statements by verdict'
        '</caption><thead><tr><th scope="col">Verdict</th><th scope="col">On this page</th>'
        f'<th scope="col">In all chapters</th></tr></thead><tbody>{lines}<tr><th scope="row">'
        f"together</th><td>{here.total()}</td><td>{every.total()}</td></tr></tbody></table></div>"
    )
