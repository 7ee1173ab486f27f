"""Penn-Fudan Pedestrian: 170 street photographs with a mask for each of 345 people.

Small (54 MB) and with a mask for every object, which is why tutorials on Mask R-CNN like it.

The publisher gives no checksum. So the archive is taken as the server sends it, and its SHA-256 is
printed; set the environment variable `CNNLIB_PENN_FUDAN_SHA256` to that value, and every later
download must have it. The archive's own check sums (CRC-32 of each file in a zip) still show a
download that was cut short or damaged.

Reference: Wang, Shi, Song, Shen, "Object detection combining recognition and segmentation", ACCV
2007.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath

import torch
from PIL import Image

from cnnlib.data.download import data_file, data_folder, digest_of
from cnnlib.data.formats import FormatError, open_zip, read_picture
from cnnlib.data.letterbox import letterbox
from cnnlib.data.scene_set import SceneSet
from cnnlib.data.splits import check_split, drawn
from cnnlib.detection.boxes import masks_to_boxes

NAME = "penn_fudan"
ARCHIVE = "PennFudanPed.zip"
MIRRORS = ("https://www.cis.upenn.edu/~jshi/ped_html/",)
PINNED = "CNNLIB_PENN_FUDAN_SHA256"
# Shares of the photographs of each of the two cities, in the archive's order.
PARTS = {"train": (0.0, 0.65), "val": (0.65, 0.8), "test": (0.8, 1.0)}


def penn_fudan(
    split: str = "train", *, count: int | None = None, image_size: int = 64, seed: int = 0
) -> SceneSet:
    """The pedestrians; downloads the archive if it is missing.

    The publisher has no parts. Photographs with neighbouring numbers show the same street, so the
    parts are runs of the archive's order: of each city the first 65 % are for training, the next
    15 % for validation and the rest for the test.

    Args:
        split: "train", "val" or "test".
        count: Number of photographs, chosen at random; by default all.
        image_size: Side of the square images; photographs keep their proportions and are filled up
            with black at the right or below.
        seed: Of the choice and the order of the photographs.

    Returns:
        SceneSet with the classes "background" and "pedestrian", with boxes tight around the masks.
        People who vanish when the photograph is scaled down are left out.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: The archive is missing and no mirror gave it.
        FormatError: The archive does not have the expected content.
    """
    check_split(split, whole=False)
    archive = _fetched()
    images, targets = [], []
    with open_zip(archive) as file:
        for name in drawn(_names(file, archive, split), count, seed):
            photograph = _picture(file, archive, f"PNGImages/{name}.png").convert("RGB")
            numbers = _picture(file, archive, f"PedMasks/{name}_mask.png")
            if photograph.size != numbers.size:
                raise FormatError(f"{archive}: the mask of {name} has another size")
            images.append(letterbox(photograph, image_size)[0] / 255)
            # Every pixel holds the number of its person, 0 for none. Palette images: the number,
            # not the colour.
            masks = letterbox(numbers, image_size, nearest=True)[0]
            people = masks.unique()
            masks = masks == people[people != 0].view(-1, 1, 1)
            labels = torch.ones(len(masks), dtype=torch.int64)
            targets.append({"boxes": masks_to_boxes(masks), "labels": labels, "masks": masks})
    return SceneSet(
        torch.stack(images), targets, ["background", "pedestrian"], f"Penn-Fudan ({split})"
    )


def _fetched() -> Path:
    """The archive; its checksum is printed as long as nobody has pinned it."""
    pinned = os.environ.get(PINNED, "").strip().lower()
    new = not (data_folder() / ARCHIVE).exists()
    path = data_file(NAME, ARCHIVE, pinned, MIRRORS, algorithm="sha256")
    if new and not pinned:
        print(
            f"{NAME}: the publisher gives no checksum, so the file was taken as it came. Its "
            f"SHA-256 is {digest_of(path, 'sha256')}; set {PINNED} to it to insist on this file.",
            flush=True,
        )
    return path


def _names(file: zipfile.ZipFile, archive: Path, split: str) -> list[str]:
    """Names of the photographs of a part, such as "FudanPed00001"."""
    photographs = sorted(
        PurePosixPath(name).stem
        for name in file.namelist()
        if PurePosixPath(name).parent.name == "PNGImages" and name.endswith(".png")
    )
    chosen = []
    for city in ("FudanPed", "PennPed"):
        here = [name for name in photographs if name.startswith(city)]
        start, end = (round(share * len(here)) for share in PARTS[split])
        chosen += here[start:end]
    if not chosen:
        raise FormatError(f"{archive} has no photographs PennFudanPed/PNGImages/*.png for {split}")
    return chosen


def _picture(file: zipfile.ZipFile, archive: Path, name: str) -> Image.Image:
    try:
        with file.open(f"PennFudanPed/{name}") as content:
            return read_picture(content, f"{archive}: {name}")
    except KeyError as error:
        raise FormatError(f"{archive} has no PennFudanPed/{name}") from error
