"""Writing a file in one step, so that there is never half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` at the end of the block.

    It lies beside `path` under a temporary name until then. If the block ends by an exception,
    Ctrl-C included, the temporary file is deleted and `path` is as it was.

    Args:
        path: Where the content belongs. Its folder is made if need be; the file can be read by all
            users of the machine, because data and weights are often shared.

    Yields:
        The open file; its `name` is the temporary path.

    Raises:
        OSError: The folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.chmod(0o644)  # mkstemp makes it for its owner only
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there is none after the renaming
