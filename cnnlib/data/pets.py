"""Oxford-IIIT Pet: photographs of cats and dogs of 37 breeds, about 200 of each.

The set that the chapter on transfer learning takes where there is a network: a few dozen labelled
photographs for each breed are far too few to train a large network from scratch. File names,
checksums and the first mirror are torchvision's. Images under CC BY-SA 4.0.

Reference: Parkhi, Vedaldi, Zisserman, Jawahar, "Cats and dogs", CVPR 2012.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from cnnlib.data.download import data_folder, fetch, mirrors
from cnnlib.data.formats import FormatError
from cnnlib.data.image_set import ImageSet

NAME = "oxford_pets"
FOLDER = "oxford-iiit-pet"
IMAGES = "images.tar.gz"  # 792 MB
ANNOTATIONS = "annotations.tar.gz"  # 19 MB
CHECKSUMS = {
    IMAGES: "5c4f3ee8e5d25df40f4fd59a7f44e54c",
    ANNOTATIONS: "95a8c909bbe2e81eed6a22bccdf3f68f",
}
MIRRORS = (
    "https://www.robots.ox.ac.uk/~vgg/data/pets/data/",
    "https://thor.robots.ox.ac.uk/~vgg/data/pets/",
)
PARTS = {"train": "trainval", "val": "trainval", "test": "test"}
HELD_OUT = 5  # one in five images of a breed becomes the validation part


def oxford_pets(
    split: str = "train",
    *,
    image_size: int = 224,
    split_by: str = "writer",
    seed: int = 0,
) -> ImageSet:
    """The pets; downloads what is missing and checks both files before they are used.

    The publisher's test part is the test part here. Of its training part one image in five of each
    breed becomes the validation part.

    Args:
        split: "train" (about 80 images of a breed), "val" (20), "test" (100) or "all".
        image_size: Side of the square images in pixels: a photograph is cut to the largest square
            in its middle and scaled. All images of a split are held in memory, at 224 pixels and
            for 3,000 images 1.8 GB.
        split_by: "writer" holds out the last images of each breed in the stored order, "random"
            holds out random ones.
        seed: Seed of the random choice.

    Returns:
        ImageSet of shape (N, 3, image_size, image_size), values 0 to 1, with 37 classes.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: A file is missing and no mirror gave it.
        FormatError: A file has the right checksum but not the expected content.
    """
    if split not in (*PARTS, "all"):
        raise ValueError(f'split must be "train", "val", "test" or "all"; got {split!r}')
    if split_by not in ("writer", "random"):
        raise ValueError(f'split_by must be "writer" or "random"; got {split_by!r}')
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel; got {image_size!r}")
    archives = {}
    for file_name, checksum in CHECKSUMS.items():
        path = data_folder() / FOLDER / file_name
        archives[file_name] = fetch(path, checksum, NAME, mirrors(NAME, MIRRORS))
    lists = _read_lists(archives[ANNOTATIONS])
    classes = _class_names(lists)
    if split == "all":
        chosen = [*lists["trainval"], *lists["test"]]
    elif split == "test":
        chosen = lists["test"]
    else:
        held_out = _held_out(lists["trainval"], split_by, seed)
        chosen = [e for e in lists["trainval"] if (e[0] in held_out) == (split == "val")]
    images = _read_images(archives[IMAGES], [name for name, _ in chosen], image_size)
    labels = torch.tensor([label for _, label in chosen], dtype=torch.int64)
    return ImageSet(
        images, labels, classes, "Oxford pets" + (f" ({split})" if split != "all" else "")
    )


def _read_lists(archive: Path) -> dict[str, list[tuple[str, int]]]:
    """Pairs (image name, label from 0) of the publisher's parts "trainval" and "test"."""
    wanted = {f"annotations/{part}.txt": part for part in ("trainval", "test")}
    lists = {}
    for name, file in _members(archive):
        if name in wanted:
            try:
                # A line is "Abyssinian_100 1 1 1": name, breed from 1, species, breed in species.
                rows = [line.split() for line in file.read().decode().splitlines() if line]
                lists[wanted[name]] = [(image, int(breed) - 1) for image, breed, _, _ in rows]
            except ValueError as error:
                raise FormatError(f"{archive}: {name} is not a list of images: {error}") from error
    missing = set(wanted.values()) - set(lists)
    if missing:
        raise FormatError(f"{archive} has no annotations/{sorted(missing)[0]}.txt")
    return lists


def _class_names(lists: dict[str, list[tuple[str, int]]]) -> list[str]:
    """Names of the breeds in the order of their labels: "american_bulldog" → "American Bulldog"."""
    breeds = {
        label: image.rpartition("_")[0].replace("_", " ").title()
        for entries in lists.values()
        for image, label in entries
    }
    if sorted(breeds) != list(range(len(breeds))):
        raise FormatError(f"the breeds are not numbered from 1 on: {sorted(breeds)}")
    return [breeds[label] for label in range(len(breeds))]


def _held_out(entries: list[tuple[str, int]], split_by: str, seed: int) -> set[str]:
    """Names of the images of the validation part: one in five of each breed."""
    generator = torch.Generator().manual_seed(seed)
    held_out: set[str] = set()
    for breed in sorted({label for _, label in entries}):
        names = [name for name, label in entries if label == breed]
        if split_by == "random":
            names = [names[i] for i in torch.randperm(len(names), generator=generator)]
        held_out.update(names[len(names) - len(names) // HELD_OUT :])
    return held_out


def _read_images(archive: Path, names: list[str], image_size: int) -> Tensor:
    """The named photographs as squares, float32 (N, 3, image_size, image_size), in that order.

    They are read from the archive in the order in which they lie there and never unpacked to disk.
    """
    places = {f"images/{name}.jpg": place for place, name in enumerate(names)}
    images = torch.empty(len(names), 3, image_size, image_size)
    for name, file in _members(archive):
        place = places.pop(name, None)
        if place is None:
            continue
        try:
            photograph = Image.open(file).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise FormatError(f"{archive}: {name} is not a photograph: {error}") from error
        square = ImageOps.fit(photograph, (image_size, image_size), Image.Resampling.BILINEAR)
        images[place] = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
    if places:
        raise FormatError(f"{archive} lacks {len(places)} images, the first is {min(places)}")
    return images


def _members(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Names and contents of the files in a tar.gz, in their order."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield member.name, file
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{archive} is not a whole tar.gz file: {error}") from error
