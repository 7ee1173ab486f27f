"""Pages for people that hold text written by students: feedback and the class's summary.

Threat model. Names, code, outputs, messages, notes and file names come from submissions and may
hold HTML, scripts, terminal codes or characters that turn the writing direction round. A page is
opened by a student or, with everybody's marks on it, by an instructor; nothing in it may run, load
anything from elsewhere, or look like something that it is not. Three walls stand one behind the
other:

1. Every value enters a template through one environment that makes control characters visible
   (`visible`) and escapes (Jinja2's autoescape); templates never mark a student's text as safe.
2. The finished body passes an allowlist of tags and attributes (`sanitise`, the library nh3): no
   script, style, form, picture, frame or event handler, and links only to places on the page.
   It is there for the day on which somebody makes a mistake in a template.
3. The page carries a content security policy that allows its own style sheet and nothing else.

Charts are the one thing that nh3 does not see, since it removes SVG. They are drawn here
(`bar_chart`) from numbers and from labels that pass through the same environment.
"""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import nh3
from markupsafe import Markup
from pygments import highlight as pygments_highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

MAX_CODE_CHARACTERS = 20_000
MAX_TEXT_CHARACTERS = 4_000
MAX_TEXT_LINES = 60
MAX_LINE_CHARACTERS = 400

_KEPT = "\n\t\u200c\u200d"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TAGS = {
    "a", "caption", "code", "dd", "details", "div", "dl", "dt", "em", "footer", "h1", "h2", "h3",
    "header", "li", "main", "mark", "nav", "ol", "p", "pre", "section", "span", "strong",
    "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "*": {"class", "id"},
    "a": {"href"},
    "details": {"open"},
    "div": {"aria-label", "role", "tabindex"},
    "nav": {"aria-label"},
    "th": {"colspan", "scope"},
    "td": {"colspan"},
}


def visible(text: str) -> str:
    """Text in which every character can be seen: no terminal codes, no reversed writing.

    Line ends and tabs stay, and so do the two joiners that some scripts need. Other control
    characters become their pictures (␛ for escape), and invisible ones, such as those that change
    the direction of writing, their number.
    """
    return "".join(
        character
        if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else _picture(character)
        for character in text
    )


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def as_printed(text: str) -> str:
    """A program's output as a notebook shows it.

    Colour codes are left out, and a line that was written over again and again (a progress bar)
    is shown as it looked in the end.
    """
    text = _COLOURS.sub("", text).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join(lines)


def capped(text: str, *, characters: int = MAX_TEXT_CHARACTERS, lines: int = MAX_TEXT_LINES) -> str:
    """The beginning and the end of a long text, with a line between that says what is missing."""
    text = "\n".join(
        line
        if len(line) <= MAX_LINE_CHARACTERS
        else f"{line[:MAX_LINE_CHARACTERS]} … {len(line) - MAX_LINE_CHARACTERS} more characters"
        for line in text.split("\n")
    )
    every = text.split("\n")
    if len(every) > lines:
        half = lines // 2
        between = f"… {len(every) - 2 * half} lines are left out here …"
        text = "\n".join([*every[:half], between, *every[-half:]])
    if len(text) > characters:
        half = characters // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n… {left_out} characters are left out here …\n{text[-half:]}"
    return text


def highlight(code: str) -> Markup:
    """Python code as HTML with classes for colours.

    The text is escaped by Pygments, which knows nothing of where it comes from; what it returns
    passes `sanitise` before it counts as safe.
    """
    if len(code) > MAX_CODE_CHARACTERS:
        left_out = len(code) - MAX_CODE_CHARACTERS
        code = f"{code[:MAX_CODE_CHARACTERS]}\n# … {left_out} characters are left out here"
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    return sanitise(pygments_highlight(visible(code), lexer, HtmlFormatter(nowrap=True)))


def sanitise(body: str) -> Markup:
    """HTML with nothing in it that could run, load or submit anything."""
    clean = nh3.clean(
        body,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_only_local_links,
        clean_content_tags={"script", "style"},
        link_rel=None,
        url_schemes=set(),
    )
    return Markup(clean)  # the one place where text becomes safe: nh3 has just seen to it


def _only_local_links(tag: str, attribute: str, value: str) -> str | None:
    return None if attribute == "href" and not value.startswith("#") else value


def _show(value: Any) -> Any:
    """What the templates do to every value before it is escaped."""
    return visible(value) if type(value) is str else value


def number(value: float) -> str:
    """Points without needless zeros: 4, 2.5, 0.33."""
    return f"{round(float(value), 2) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"


_ENVIRONMENT = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=_show,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["number"] = number


def template(text: str) -> jinja2.Template:
    """A template whose values are made visible and escaped."""
    return _ENVIRONMENT.from_string(text)


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page from parts that come from `sanitise` or `bar_chart`.

    Args:
        title: Title of the window, plain text.
        parts: HTML; anything that is not marked safe is escaped.

    Returns:
        The document; it needs no other file and no network.
    """
    return _PAGE.render(title=title, style=Markup(STYLE), parts=list(parts))


def write(path: Path, text: str, *, mode: int = 0o600) -> Path:
    """Write a page so that there is never half a file; by default for its owner's eyes alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(draft, mode)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path


@dataclass(frozen=True)
class Bar:
    """One bar of a chart.

    Attributes:
        label: What it stands for.
        value: Its length, in the unit of the chart.
        text: What is written at its end, normally the value with its unit.
    """

    label: str
    value: float
    text: str


def bar_chart(title: str, description: str, bars: Sequence[Bar], *, largest: float) -> Markup:
    """Horizontal bars as an SVG, each with its label above it, readable on a phone.

    Args:
        title: What the chart shows, with the unit.
        description: The same in words, for those who do not see it.
        bars: From top to bottom.
        largest: The value of a bar of full length; must be positive.
    """
    width, step = 360.0, 36
    rows = [
        {
            "label": bar.label if len(bar.label) <= 46 else f"{bar.label[:45]}…",
            "text": bar.text,
            "y": step * index,
            "length": round(width * min(max(bar.value / largest, 0.0), 1.0), 1),
        }
        for index, bar in enumerate(bars)
    ]
    return Markup(
        _CHART.render(
            title=title, description=description, rows=rows, width=width, height=step * len(rows)
        )
    )


_CHART = template("""\
<figure class="chart"><figcaption>{{ title }}</figcaption>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ description }}">
<title>{{ title }}</title><desc>{{ description }}</desc>
{% for row in rows %}
<text x="0" y="{{ row.y + 14 }}">{{ row.label }}</text>
<text x="{{ width }}" y="{{ row.y + 14 }}" text-anchor="end">{{ row.text }}</text>
<rect class="rail" x="0" y="{{ row.y + 19 }}" width="{{ width }}" height="9"></rect>
<rect class="bar" x="0" y="{{ row.y + 19 }}" width="{{ row.length }}" height="9"></rect>
{% endfor %}
</svg></figure>
""")

_PAGE = template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<title>{{ title }}</title>
<style>
{{ style }}
</style>
</head>
<body>
{% for part in parts %}
{{ part }}
{% endfor %}
</body>
</html>
""")

# Every pair of text and background has a contrast of at least 4.5 : 1, in both themes.
STYLE = """\
:root {
  --page: #ffffff; --text: #1f2328; --soft: #57606a; --line: #d0d7de; --panel: #f6f8fa;
  --accent: #0550ae; --good: #116329; --bad: #a40e26; --warn: #7d4e00; --mark: #fff1b8;
  --bar: #0969da; --rail: #e4e9ef;
  --word: #a40e26; --string: #0a3069; --number: #0550ae; --name: #6639ba; --comment: #57606a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --text: #e6edf3; --soft: #9ea7b3; --line: #3d444d; --panel: #161b22;
    --accent: #79b8ff; --good: #56d364; --bad: #ff9490; --warn: #e3b341; --mark: #4b3a00;
    --bar: #58a6ff; --rail: #262d36;
    --word: #ff9490; --string: #a5d6ff; --number: #79c0ff; --name: #d2a8ff; --comment: #9ea7b3;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--page);
  color: var(--text); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .5rem 0; }
a { color: var(--accent); }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
.total { font-size: 1.35rem; font-weight: 600; margin: .75rem 0; }
.good, .bad, .warn { font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.box {
  border: 1px solid var(--line); border-left: .3rem solid var(--accent); border-radius: .3rem;
  background: var(--panel); padding: .5rem .9rem; margin: 1rem 0;
}
.task { border-top: 1px solid var(--line); margin-top: 2rem; }
.task h2 { margin-top: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
caption { text-align: left; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; }
th[scope=row] { font-weight: normal; }
tr { border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
pre {
  background: var(--panel); border: 1px solid var(--line); border-radius: .3rem; margin: .5rem 0;
  padding: .6rem .75rem; overflow-x: auto; font: .84rem/1.5 ui-monospace, monospace;
}
pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; }
.lines { white-space: pre-line; overflow-wrap: anywhere; }
div.code { font: .84rem/1.5 ui-monospace, monospace; margin: .2rem 0; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
pre code { font-size: 1em; }
details { margin: .5rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .25rem 0; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0 0 0 1rem; }
mark { background: var(--mark); color: inherit; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.pair > div { min-width: 0; }
.chart { margin: 1rem 0; max-width: 26rem; }
.chart svg { width: 100%; height: auto; display: block; margin-top: .5rem; }
.chart text { fill: var(--text); font: 12px system-ui, sans-serif; }
.rail { fill: var(--rail); } .bar { fill: var(--bar); }
.k, .kn, .kd, .kr, .ow { color: var(--word); } .kc, .mi, .mf, .mh { color: var(--number); }
.s, .s1, .s2, .sd, .sa, .si, .se { color: var(--string); }
.nf, .nc, .nd, .nb { color: var(--name); } .c1, .ch { color: var(--comment); }
@media (max-width: 40rem) {
  .pair { grid-template-columns: 1fr; }
  th, td { padding-right: .5rem; }
  body { padding-top: 1rem; }
}
@media print { details > * { display: block; } body { max-width: none; } }
"""
