"""Reading the files of the online sets, with torchvision's readers where it has them.

Archives are read where they lie and never unpacked to disk, so that no member can land where it
should not. A damaged file is reported as a `FormatError`, which names it.

Nothing in these files is ever executed. The idx files of MNIST are plain numbers. CIFAR-10 comes as
Python pickles, a format that can call any function while it is read; `read_cifar` uses an unpickler
that knows the handful of names that an array of numbers needs and refuses every other.
"""

from __future__ import annotations

import gzip
import pickle
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file

# What a pickled NumPy array calls when it is read, under the names of old and new NumPy versions.
_ARRAY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class FormatError(ValueError):
    """A file is not what its name says."""


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file for reading.

    Raises:
        FormatError: The file is damaged, also if that is found out later in the block.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise FormatError(f"{path} is not a whole zip file: {error}") from error


@contextmanager
def open_tar(path: Path, compression: str = "") -> Iterator[tarfile.TarFile]:
    """Open a tar file for reading.

    Args:
        path: The file.
        compression: "gz", or "" for none.

    Raises:
        FormatError: The file is damaged, also if that is found out later in the block.
    """
    try:
        with tarfile.open(path, f"r:{compression}") as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = f"tar.{compression}" if compression else "tar"
        raise FormatError(f"{path} is not a whole {kind} file: {error}") from error


def read_picture(
    file: BinaryIO, where: str, what: str = "picture", mode: str | None = None
) -> Image.Image:
    """Read a whole picture.

    Args:
        file: The open file.
        where: Its name, for messages.
        what: What it should be, for messages: "photograph".
        mode: Mode of Pillow to turn it into: "RGB" for colour, "L" for grey; None leaves it.

    Raises:
        FormatError: It is no picture, or cut short.
    """
    try:
        picture = Image.open(file)
        picture.load()
    except (UnidentifiedImageError, OSError) as error:
        raise FormatError(f"{where} is not a {what}: {error}") from error
    return picture if mode is None else picture.convert(mode)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads numbers, text, lists, dictionaries and NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("_codecs", "encode"):
            return _encode
        try:
            return _ARRAY_NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"the file asks for {module}.{name}, which no array of numbers needs"
            ) from None


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as Python 2 pickles write them; only the one encoding that they use."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


def read_idx(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Read a pair of gzipped idx files, the format of MNIST and FashionMNIST.

    Args:
        images: File of N grey images, unsigned bytes, for example `train-images-idx3-ubyte.gz`.
        labels: File of N labels, unsigned bytes.

    Returns:
        Images, uint8 of shape (N, 1, H, W), and labels, int64 of shape (N,).

    Raises:
        FormatError: A file is not gzipped idx, or the two do not have the same number of entries.
    """
    pixels = _read_gzipped(images, read_image_file).unsqueeze(1)
    targets = _read_gzipped(labels, read_label_file)
    if len(pixels) != len(targets):
        raise FormatError(
            f"{images.name} has {len(pixels)} images but {labels.name} has {len(targets)} labels"
        )
    return pixels, targets


def _read_gzipped(path: Path, reader: Callable[[str], Tensor]) -> Tensor:
    """Unzip into a temporary folder, because torchvision's reader wants the plain file."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        try:
            with gzip.open(path, "rb") as file:
                plain.write_bytes(file.read())
            return reader(str(plain))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(f"{path} is not a whole gzip file: {error}") from error
        # torchvision checks the header with `assert` and lets torch reject a wrong length.
        except (AssertionError, KeyError, IndexError, RuntimeError, ValueError, TypeError) as error:
            raise FormatError(f"{path} is not an idx file: {error or 'wrong header'}") from error


def read_cifar(archive: Path, members: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Read batches of CIFAR-10's "python version" straight from its archive.

    The pickles in it are read with an unpickler that runs no code (see the module docstring).

    Args:
        archive: The file `cifar-10-python.tar.gz`.
        members: Names of the batches in the order in which they are joined.

    Returns:
        Images, uint8 of shape (N, 3, 32, 32), and labels, int64 of shape (N,).

    Raises:
        FormatError: The archive or a batch in it is not what it should be.
    """
    pixels, targets = [], []
    try:
        with open_tar(archive, "gz") as tar:
            for member in members:
                batch = _read_pickle(tar, member)
                rows = np.asarray(batch["data"])
                if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * 32 * 32:
                    raise FormatError(f"{member}: expected rows of 3072 bytes, got {rows.shape}")
                pixels.append(torch.from_numpy(rows.copy()).view(-1, 3, 32, 32))
                targets.append(torch.tensor(batch["labels"], dtype=torch.int64))
    except (pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{archive} does not hold CIFAR-10: {error}") from error
    images, labels = torch.cat(pixels), torch.cat(targets)
    if len(images) != len(labels):
        raise FormatError(f"{archive} has {len(images)} images but {len(labels)} labels")
    return images, labels


def _read_pickle(tar: tarfile.TarFile, member: str) -> dict:
    """One pickled batch as a dictionary with text keys."""
    file = tar.extractfile(member)
    if file is None:
        raise FormatError(f"{member} is not a file")
    # The batches were written by Python 2, whose strings are read as latin1 text.
    batch = _ArrayUnpickler(file, encoding="latin1").load()
    if not isinstance(batch, dict):
        raise FormatError(f"{member} holds a {type(batch).__name__} instead of a dictionary")
    return batch
