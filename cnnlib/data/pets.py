"""Oxford-IIIT Pet: photographs of cats and dogs of 37 breeds, about 200 of each.

The set that the chapter on transfer learning takes where there is a network: a few dozen labelled
photographs for each breed are far too few to train a large network from scratch. File names,
checksums and the first mirror are torchvision's. Images under CC BY-SA 4.0.

Reference: Parkhi, Vedaldi, Zisserman, Jawahar, "Cats and dogs", CVPR 2012.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from cnnlib.data.download import data_file
from cnnlib.data.formats import FormatError, open_tar, read_picture
from cnnlib.data.image_set import ImageSet
from cnnlib.data.scene_set import SceneSet
from cnnlib.data.splits import check_split, check_split_by, drawn
from cnnlib.detection.boxes import masks_to_boxes

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
HELD_OUT = 5  # one in five images of a breed becomes the validation part
# Values of a trimap's pixels; 2 is background.
PET, UNDECIDED = 1, 3


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
    check_split(split, whole=True)
    check_split_by(split_by)
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel; got {image_size!r}")
    archives, classes, chosen = _fetched(split, split_by, seed)
    images = _read_images(archives[IMAGES], [name for name, _ in chosen], image_size)
    labels = torch.tensor([label for _, label in chosen], dtype=torch.int64)
    return ImageSet(
        images, labels, classes, "Oxford pets" + (f" ({split})" if split != "all" else "")
    )


def pet_scenes(
    split: str = "train", *, count: int | None = None, image_size: int = 64, seed: int = 0
) -> SceneSet:
    """The pets with their outlines: one object in each photograph, its class is the breed.

    The publisher drew a *trimap* for each photograph: pet, background, and a band between them,
    a few pixels wide, that is neither. A mask holds the pixels of the pet alone; the band is in the
    target's "void", so that `SceneSet.segmentation` marks it as `IGNORED`. The box is tight around
    the mask; the boxes of the publisher are around the heads and are not used.

    Args:
        split: "train", "val" or "test", as for `oxford_pets`.
        count: Number of photographs, chosen at random; by default all.
        image_size: Side of the square images: the middle of the photograph, scaled; trimaps take
            the nearest pixel's value, since the mean of "pet" and "undecided" would be background.
        seed: Of the choice and the order of the photographs. The parts are the same for all seeds.

    Returns:
        SceneSet with 37 classes and background.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: A file is missing and no mirror gave it.
        FormatError: A file has the right checksum but not the expected content.
    """
    check_split(split, whole=False)
    archives, classes, entries = _fetched(split, "writer", 0)
    entries = drawn(entries, count, seed)
    names = [name for name, _ in entries]
    images = _read_images(archives[IMAGES], names, image_size)
    trimaps = _read_trimaps(archives[ANNOTATIONS], names, image_size)
    targets = []
    for (_, label), trimap in zip(entries, trimaps, strict=True):
        masks = (trimap == PET).unsqueeze(0)
        masks = masks[masks.flatten(1).any(dim=1)]  # none, if the cut shows no pixel of the pet
        target = {"boxes": masks_to_boxes(masks), "labels": torch.tensor([label + 1])[: len(masks)]}
        targets.append({**target, "masks": masks, "void": trimap == UNDECIDED})
    return SceneSet(images, targets, ["background", *classes], f"Oxford pets ({split})")


def _fetched(
    split: str, split_by: str, seed: int
) -> tuple[dict[str, Path], list[str], list[tuple[str, int]]]:
    """The archives, the classes, and pairs (image name, label from 0) of a part."""
    archives = {
        file_name: data_file(NAME, f"{FOLDER}/{file_name}", checksum, MIRRORS)
        for file_name, checksum in CHECKSUMS.items()
    }
    lists = _read_lists(archives[ANNOTATIONS])
    classes = _class_names(lists)
    if split == "all":
        chosen = [*lists["trainval"], *lists["test"]]
    elif split == "test":
        chosen = lists["test"]
    else:
        held_out = _held_out(lists["trainval"], split_by, seed)
        chosen = [e for e in lists["trainval"] if (e[0] in held_out) == (split == "val")]
    return archives, classes, chosen


def _read_lists(archive: Path) -> dict[str, list[tuple[str, int]]]:
    """Pairs (image name, label from 0) of the publisher's parts "trainval" and "test"."""
    wanted = {f"annotations/{part}.txt": part for part in ("trainval", "test")}
    lists = {}
    for name, content in _members(archive, wanted):
        try:
            # A line is "Abyssinian_100 1 1 1": name, breed from 1, species, breed in species.
            rows = [line.split() for line in content.decode().splitlines() if line]
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
    """The named photographs as squares, float32 (N, 3, image_size, image_size), in that order."""
    images = torch.empty(len(names), 3, image_size, image_size)
    members = {f"images/{name}.jpg": place for place, name in enumerate(names)}
    for place, photograph in _pictures(archive, members, "photograph", "RGB"):
        square = ImageOps.fit(photograph, (image_size, image_size), Image.Resampling.BILINEAR)
        images[place] = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
    return images


def _read_trimaps(archive: Path, names: list[str], image_size: int) -> Tensor:
    """The trimaps of the named photographs, cut like these, uint8 (N, image_size, image_size)."""
    trimaps = torch.empty(len(names), image_size, image_size, dtype=torch.uint8)
    members = {f"annotations/trimaps/{name}.png": place for place, name in enumerate(names)}
    for place, trimap in _pictures(archive, members, "trimap", "L"):
        square = ImageOps.fit(trimap, (image_size, image_size), Image.Resampling.NEAREST)
        trimaps[place] = torch.from_numpy(np.array(square))
    return trimaps


def _pictures(
    archive: Path, places: dict[str, int], what: str, mode: str
) -> Iterator[tuple[int, Image.Image]]:
    """The members of an archive that have a place, in the order in which they lie there."""
    missing = dict(places)
    for name, content in _members(archive, missing):
        picture = read_picture(io.BytesIO(content), f"{archive}: {name}", what, mode)
        yield missing.pop(name), picture
    if missing:
        raise FormatError(f"{archive} lacks {len(missing)} {what}s, the first is {min(missing)}")


def _members(archive: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted files in a tar.gz, in their order."""
    with open_tar(archive, "gz") as tar:
        for member in tar:
            if member.isfile() and member.name in wanted:
                yield member.name, tar.extractfile(member).read()
