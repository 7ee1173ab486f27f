"""Reading the files of the online sets, with torchvision's readers where it has them.

Nothing in these files is ever executed. The idx files of MNIST are plain numbers. CIFAR-10 comes as
Python pickles, a format that can call any function while it is read; `read_cifar` uses an unpickler
that knows the handful of names that an array of numbers needs and refuses every other.
"""

from __future__ import annotations

import gzip
import pickle
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
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

    The archive is never unpacked to disk, so no member can land where it should not, and the
    pickles in it are read with an unpickler that runs no code (see the module docstring).

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
        with tarfile.open(archive, "r:gz") as tar:
            for member in members:
                batch = _read_pickle(tar, member)
                rows = np.asarray(batch["data"])
                if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * 32 * 32:
                    raise FormatError(f"{member}: expected rows of 3072 bytes, got {rows.shape}")
                pixels.append(torch.from_numpy(rows.copy()).view(-1, 3, 32, 32))
                targets.append(torch.tensor(batch["labels"], dtype=torch.int64))
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{archive} is not a whole tar.gz file: {error}") from error
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
