"""Build the book from its stored outputs, and put the library's wheel inside the site.

python -m tools.book [--output FOLDER]
"""

from __future__ import annotations

import argparse
import html
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import course

# What `pip --find-links` reads: a page with one link per file.
WHEEL_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>cnnlib</title></head>
<body><h1>cnnlib</h1><p>The library of the course, for <code>pip --find-links</code>.</p>
<ul>
{links}
</ul></body></html>
"""


def build_html(output: Path) -> None:
    """Run Jupyter Book; every warning is an error.

    Raises:
        subprocess.CalledProcessError: Jupyter Book found something wrong and printed it.
    """
    command = [
        *(str(Path(sys.executable).parent / "jupyter-book"), "build", str(course.ROOT / "book")),
        *("--config", str(course.ROOT / "_config.yml"), "--toc", str(course.ROOT / "_toc.yml")),
        *("--path-output", str(output), "--warningiserror", "--nitpick", "--keep-going", "--quiet"),
    ]
    # PYTHONPATH: the configuration names an extension in tools/.
    environment = {**os.environ, "PYTHONPATH": str(course.ROOT), "PYTHONUTF8": "1"}
    # The chapters' outputs are stored: no kernel starts, and nothing is fetched.
    subprocess.run(command, check=True, cwd=course.ROOT, env=environment)


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
        build_html(output)
        site = output / "_build" / "html"
        wheel = build_wheel(site)
    except subprocess.CalledProcessError as error:
        print(f"\nThe book was not built: {error.cmd[0]} failed, see above.", file=sys.stderr)
        return 1
    # Jupyter Book writes a redirect; GitHub Pages must not run Jekyll over _static.
    (site / ".nojekyll").touch()
    print(f"Built in {time.monotonic() - started:.0f} s, with {wheel.name}. Open:")
    print(f"  {(site / 'index.html').as_uri()}")
    print("or run `make serve`, which the interactive figures need.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
