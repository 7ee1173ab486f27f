"""Pascal VOC 2007: photographs with the boxes of objects of 20 classes.

The set on which R-CNN, Fast and Faster R-CNN were compared. File names, checksums and the first
mirror are torchvision's.

Reference: Everingham et al., "The Pascal visual object classes (VOC) challenge", IJCV 2010.
"""

from __future__ import annotations

import io
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch
from torch import Tensor

from cnnlib.data.download import data_file
from cnnlib.data.formats import FormatError, open_tar, read_picture
from cnnlib.data.letterbox import letterbox
from cnnlib.data.scene_set import SceneSet
from cnnlib.data.splits import check_split, drawn

NAME = "voc2007"
CHECKSUMS = {
    "VOCtrainval_06-Nov-2007.tar": "c52e279531787c972589f7e41ab4ae64",  # 460 MB
    "VOCtest_06-Nov-2007.tar": "b6e924de25625d8de591ea690078ad9f",  # 451 MB
}
MIRRORS = (
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
)
FOLDER = "VOCdevkit/VOC2007"
PARTS = {
    "train": "VOCtrainval_06-Nov-2007.tar",
    "val": "VOCtrainval_06-Nov-2007.tar",
    "test": "VOCtest_06-Nov-2007.tar",
}
CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc2007(
    split: str = "train", *, count: int | None = None, image_size: int = 300, seed: int = 0
) -> SceneSet:
    """The photographs and boxes; downloads the archive of the part if it is missing.

    The parts are the publisher's: 2,501, 2,510 and 4,952 photographs.

    Args:
        split: "train", "val" or "test".
        count: Number of photographs, chosen at random; by default all.
        image_size: Side of the square images; photographs keep their proportions and are filled up
            with black at the right or below. All images of a part are held in memory.
        seed: Of the choice and the order of the photographs.

    Returns:
        SceneSet with 20 classes and background. There are no masks: only a few hundred photographs
        of the set have any. Targets have "ignore" (M,), bool, for objects that the publisher calls
        difficult; they count neither way in an evaluation, as `cnnlib.detection.metrics` does it.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: The archive is missing and no mirror gave it.
        FormatError: The archive has the right checksum but not the expected content.
    """
    check_split(split, whole=False)
    archive = data_file(NAME, PARTS[split], CHECKSUMS[PARTS[split]], MIRRORS)
    images, targets = [], []
    with open_tar(archive) as tar:
        members = {member.name: member for member in tar.getmembers()}
        names = _content(tar, members, archive, f"ImageSets/Main/{split}.txt").decode().split()
        for name in drawn(names, count, seed):
            content = io.BytesIO(_content(tar, members, archive, f"JPEGImages/{name}.jpg"))
            photograph = read_picture(content, f"{archive}: {name}.jpg", "photograph", "RGB")
            square, scale = letterbox(photograph, image_size)
            images.append(square / 255)
            annotation = _content(tar, members, archive, f"Annotations/{name}.xml")
            targets.append(_target(annotation, f"{archive}: {name}", scale))
    if not images:
        raise FormatError(f"{archive} names no photographs for {split}")
    return SceneSet(torch.stack(images), targets, ["background", *CLASSES], f"VOC 2007 ({split})")


def _content(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], archive: Path, name: str
) -> bytes:
    member = members.get(f"{FOLDER}/{name}")
    file = tar.extractfile(member) if member is not None else None
    if file is None:
        raise FormatError(f"{archive} has no {FOLDER}/{name}")
    return file.read()


def _target(annotation: bytes, where: str, scale: float) -> dict[str, Tensor]:
    """Read one file of annotations; coordinates are multiplied by `scale`."""
    boxes, labels, difficult = [], [], []
    try:
        for thing in ElementTree.fromstring(annotation).iter("object"):
            labels.append(CLASSES.index(thing.findtext("name", "").strip()) + 1)
            box = thing.find("bndbox")
            x1, y1, x2, y2 = (
                float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            # VOC numbers the pixels from 1 and names the first and the last one of the object.
            boxes.append([x1 - 1, y1 - 1, x2, y2])
            difficult.append(thing.findtext("difficult", "0").strip() == "1")
    except (ElementTree.ParseError, ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{where} has no readable annotation: {error}") from error
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) * scale,
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(difficult, dtype=torch.bool),
    }
