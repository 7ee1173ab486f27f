"""Make every stored link agree with `_config.yml`: run after changing where the course lives.

    python -m tools.links [--check]

Rewritten are: the install cell of chapters and assignments, links to Colab in Markdown files and
notebooks, and the link definitions ``[book]: …`` and ``[repository]: …`` at the end of README.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tools import course, notebooks

COLAB = re.compile(
    r"https://colab\.research\.google\.com/github/[^/\s)\"]+/[^/\s)\"]+/blob/[^/\s)\"]+/"
)


def link_files(root: Path = course.ROOT) -> list[Path]:
    """Markdown files that may hold links to where the course lives."""
    return sorted([*root.glob("*.md"), *(root / "book").rglob("*.md")])


def updated(text: str, site: course.Site) -> str:
    """Return the Markdown ``text`` with its links made to agree with ``site``."""
    text = COLAB.sub(lambda _: site.colab(""), text)
    text = re.sub(r"^\[book\]: .*$", f"[book]: {site.base_url}", text, flags=re.MULTILINE)
    return re.sub(
        r"^\[repository\]: .*$", f"[repository]: {site.repository}", text, flags=re.MULTILINE
    )


def main(arguments: list[str] | None = None) -> int:
    """Rewrite, or with ``--check`` only report; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if it would")
    check = parser.parse_args(arguments).check
    site = course.read_site()
    setup = notebooks.setup_source(site.base_url)
    changed = []
    for path in link_files():
        old = path.read_text(encoding="utf-8")
        new = updated(old, site)
        if new != old:
            changed.append(path)
            if not check:
                course.write_atomically(path, new)
    for path in notebooks.all_notebooks():
        notebook = notebooks.read(path)
        cells = [cell for cell in notebook.cells if cell.id == notebooks.SETUP_ID]
        if any(cell.source != setup for cell in cells):
            changed.append(path)
            if not check:
                for cell in cells:
                    cell.source = setup
                notebooks.write(notebook, path)
    for path in changed:
        print(f"{'differs' if check else 'rewritten'}: {path.relative_to(course.ROOT)}")
    if not changed:
        print("All links agree with _config.yml.")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
