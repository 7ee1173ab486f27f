"""Build the book from its stored outputs, and put the library's wheel inside the site.

python -m tools.book [--output FOLDER]
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

from tools import course, icons

# What `pip --find-links` reads: a page with one link per file.
WHEEL_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>cnnlib</title></head>
<body><h1>cnnlib</h1><p>The library of the course, for <code>pip --find-links</code>.</p>
<ul>
{links}
</ul></body></html>
"""


PRINTABLE = "print.html"
# The last file that a build touches. GitHub Pages must not run Jekyll over _static.
FINISHED = ".nojekyll"


def is_current(site: Path) -> bool:
    """Whether a build has finished in ``site`` since anything it reads was last changed."""
    finished = site / FINISHED
    if not finished.exists() or not (site / "wheels" / "index.html").exists():
        return False
    sources = [course.ROOT / name for name in ("_config.yml", "_toc.yml", "pyproject.toml")]
    for folder in ("book", "cnnlib", "tools"):
        files = (course.ROOT / folder).rglob("*")
        sources += [f for f in files if f.is_file() and "__pycache__" not in f.parts]
    return all(source.stat().st_mtime <= finished.stat().st_mtime for source in sources)


def build_pages(output: Path) -> None:
    """Run Jupyter Book for the pages and for the book as one page; every warning is an error.

    Args:
        output: Where ``_build/html`` and ``_build/singlehtml`` go.

    Raises:
        subprocess.CalledProcessError: Jupyter Book found something wrong and printed it.
    """
    command = [
        *(sys.executable, "-m", "tools.builders", "html", "singlehtml", "--"),
        str(course.ROOT / "book"),
        *("--config", str(course.ROOT / "_config.yml"), "--toc", str(course.ROOT / "_toc.yml")),
        *("--path-output", str(output), "--warningiserror", "--nitpick", "--keep-going", "--quiet"),
    ]
    # PYTHONPATH: the configuration names an extension in tools/.
    environment = {**os.environ, "PYTHONPATH": str(course.ROOT), "PYTHONUTF8": "1"}
    # The chapters' outputs are stored: no kernel starts, and nothing is fetched.
    subprocess.run(command, check=True, cwd=course.ROOT, env=environment)


def finish_printable(output: Path) -> Path:
    """Put the whole book as one page beside the others, with the answers of self-checks open.

    Raises:
        FileNotFoundError: The page shows a picture that the site does not have.
    """
    built, site = output / "_build" / "singlehtml", output / "_build" / "html"
    page = (built / "index.html").read_text(encoding="utf-8")
    # On paper nobody can open an answer or move a slider: the still pictures stay.
    page = page.replace("<details", "<details open")
    page = re.sub(r'<script[^>]*src="[^"]*/figures/[^"]*"[^>]*></script>', "", page)
    # Laying out all of it before anybody scrolls there would keep a browser busy for minutes.
    page = re.sub(r'<script[^>]*src="[^"]*/rest_of_page\.js[^"]*"[^>]*></script>', "", page)
    # Tables that are written as HTML link pages from one folder below; the rest is on this page.
    page = page.replace('href="../', 'href="').replace('href="index.html#', 'href="#')
    for name in set(re.findall(r'src="(_images/[^"]+)"', page)):
        if not (site / unquote(name)).is_file():
            raise FileNotFoundError(f"{PRINTABLE} shows {name}, which the site does not have")
    course.write_atomically(site / PRINTABLE, page)
    shutil.rmtree(built)
    return site / PRINTABLE


def build_wheel(site: Path) -> Path:
    """Build cnnlib's wheel into ``site/wheels`` with a page that pip can read; return the wheel."""
    folder = site / "wheels"
    with tempfile.TemporaryDirectory() as scratch:
        # A copy, so that building leaves no build/ or egg-info in the working tree.
        source = Path(scratch) / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(course.ROOT / name, source)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(course.ROOT / "cnnlib", source / "cnnlib", ignore=ignore)
        built = Path(scratch) / "wheels"
        subprocess.run(
            [
                *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
                *("--outdir", str(built), str(source)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (wheel,) = built.glob("cnnlib-*.whl")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy2(wheel, folder)
    link = f'<li><a href="{html.escape(wheel.name)}">{html.escape(wheel.name)}</a></li>'
    course.write_atomically(folder / "index.html", WHEEL_PAGE.format(links=link))
    return folder / wheel.name


def main(arguments: list[str] | None = None) -> int:
    """Build everything and say where to open it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=course.ROOT, help="where _build/ goes")
    output = parser.parse_args(arguments).output.resolve()
    started = time.monotonic()
    print(f"Building {len(course.pages())} pages …", flush=True)
    try:
        site = output / "_build" / "html"
        build_pages(output)
        finish_printable(output)
        icons.shrink(site)
        wheel = build_wheel(site)
    except subprocess.CalledProcessError as error:
        print(f"\nThe book was not built: {error.cmd[0]} failed, see above.", file=sys.stderr)
        return 1
    (site / FINISHED).touch()
    print(f"Built in {time.monotonic() - started:.0f} s, with {wheel.name}. Open:")
    print(f"  {(site / 'index.html').as_uri()}")
    print("Everything on its pages works without a server; `make serve` starts one.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
