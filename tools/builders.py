"""Run Jupyter Book's builders one after the other in one process, and nothing twice.

python -m tools.builders BUILDER [BUILDER ...] -- OPTIONS OF jupyter-book build

The page for printing shows what the other pages show. In a process of its own it would import
everything again and colour all code again: together that is half of its time.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import pybtex.plugin
from sphinx.highlighting import PygmentsBridge
from sphinx.search.en import SearchEnglish


def remember_work() -> None:
    """Keep the results of three functions that are asked the same again and again.

    Each gives the same answer to the same question for as long as a build runs.
    """
    # For every citation pybtex reads the metadata of every installed package.
    pybtex.plugin._load_entry_point = functools.cache(pybtex.plugin._load_entry_point)
    # The search reduces each word of each page to its stem.
    SearchEnglish.stem = functools.cache(SearchEnglish.stem)
    PygmentsBridge.highlight_block = remember_highlighted(PygmentsBridge.highlight_block)


def remember_highlighted(highlight: Callable[..., str]) -> Callable[..., str]:
    """Colour a block of code once, whichever builder shows it."""
    known: dict[str, str] = {}

    @functools.wraps(highlight)
    def highlight_once(
        bridge: PygmentsBridge,
        source: str,
        lang: str,
        opts: dict[str, object] | None = None,
        force: bool = False,
        location: object = None,
        **options: object,
    ) -> str:
        # Options hold lists, such as lines to mark. The place only matters for a warning, and with
        # the first warning the build has failed.
        question = repr((bridge.dest, bridge.formatter_args, source, lang, opts, force, options))
        if question not in known:
            known[question] = highlight(bridge, source, lang, opts, force, location, **options)
        return known[question]

    return highlight_once


def main(arguments: list[str]) -> None:
    """Run the builders; an exception says that one of them failed."""
    from jupyter_book.cli.main import main as jupyter_book  # takes seconds

    end = arguments.index("--")
    remember_work()
    for builder in arguments[:end]:
        jupyter_book(["build", *arguments[end + 1 :], "--builder", builder], standalone_mode=False)


if __name__ == "__main__":
    main(sys.argv[1:])
