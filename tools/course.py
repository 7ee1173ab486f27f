"""What the course consists of and where it lives: read from `_config.yml` and `_toc.yml`."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Site:
    """Where the course is published.

    Attributes:
        repository: address of the git repository, without a slash at its end.
        branch: branch that Colab opens.
        base_url: address of the rendered book, with a slash at its end.
        colab_url: address of Colab.
    """

    repository: str
    branch: str
    base_url: str
    colab_url: str

    def colab(self, path: str) -> str:
        """Address that opens the notebook ``path`` (relative to the repository) in Colab."""
        owner_and_name = "/".join(self.repository.split("/")[-2:])
        return f"{self.colab_url}/github/{owner_and_name}/blob/{self.branch}/{path}"


def read_site(root: Path = ROOT) -> Site:
    """Read the addresses from ``_config.yml``.

    Raises:
        ValueError: an address is missing or malformed; the message names the key.
    """
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    try:
        site = Site(
            repository=config["repository"]["url"].rstrip("/"),
            branch=config["repository"]["branch"],
            base_url=config["html"]["baseurl"],
            colab_url=config["launch_buttons"]["colab_url"].rstrip("/"),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"_config.yml has no {error}: the course needs it for its links"
        ) from error
    if not site.base_url.endswith("/"):
        raise ValueError(f"_config.yml: html.baseurl must end with a slash, not {site.base_url!r}")
    if len(site.repository.split("/")) != 5:
        raise ValueError(
            "_config.yml: repository.url must read https://github.com/OWNER/NAME, "
            f"not {site.repository!r}"
        )
    return site


def pages(root: Path = ROOT) -> list[Path]:
    """Source files of the book's pages, in reading order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"]]
    for part in toc["parts"]:
        names += [chapter["file"] for chapter in part["chapters"]]
    found = []
    for name in names:
        candidates = [root / "book" / f"{name}{ending}" for ending in (".ipynb", ".md")]
        existing = [path for path in candidates if path.exists()]
        if len(existing) != 1:
            raise FileNotFoundError(
                f"_toc.yml names {name}, but book/{name}.ipynb or .md is missing"
            )
        found += existing
    return found


def chapters(root: Path = ROOT) -> list[Path]:
    """The pages that are notebooks."""
    return [page for page in pages(root) if page.suffix == ".ipynb"]


def page_name(path: Path, root: Path = ROOT) -> str:
    """What the site calls a page, such as ``foundations/layers``: its address without ending."""
    return path.relative_to(root / "book").with_suffix("").as_posix()


def assignments(root: Path = ROOT) -> list[str]:
    """Names of the assignments, from ``solutions/<name>/<name>.ipynb``."""
    return sorted(path.stem for path in (root / "solutions").glob("*/*.ipynb"))


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that an interruption leaves the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
