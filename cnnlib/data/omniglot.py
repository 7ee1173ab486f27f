"""Omniglot: 1,623 characters of 50 alphabets, each drawn once by 20 people.

The usual set for one-shot learning: very many classes with very few images. The authors divide it
by alphabet into a background set of 30, to learn from, and an evaluation set of 20. File names,
checksums and the mirror are torchvision's.

Reference: Lake, Salakhutdinov, Tenenbaum, "Human-level concept learning through probabilistic
program induction", Science 350, 2015.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import Omniglot

from cnnlib.data.download import data_file
from cnnlib.data.formats import FormatError, open_zip, read_picture
from cnnlib.data.image_set import ImageSet
from cnnlib.data.resize import resize
from cnnlib.data.splits import check_split, check_split_by

NAME = "omniglot"
FOLDER = Omniglot.folder
CHECKSUMS = {f"{part}.zip": checksum for part, checksum in Omniglot.zips_md5.items()}
MIRRORS = (
    f"{Omniglot.download_url_prefix}/",
    "https://github.com/brendenlake/omniglot/raw/master/python/",
)
OFFLINE = 'load("glyphs") has letters of six scripts and is always there'
BACKGROUND, EVALUATION = "images_background", "images_evaluation"
PARTS = {
    "train": (BACKGROUND,),
    "val": (BACKGROUND,),
    "test": (EVALUATION,),
    "all": (BACKGROUND, EVALUATION),
}
HELD_OUT = 5  # one in five alphabets of the background set becomes the validation part
DRAWN_SIZE = 105  # pixels; all drawings have this size
CHUNK = 512  # drawings that are resized at once, to bound the memory
# images_background/Greek/character03/0396_07.png: the third letter, drawn by the seventh person
MEMBER = re.compile(
    r"(?P<part>images_background|images_evaluation)/(?P<alphabet>[^/]+)/"
    r"(?P<character>character\d+)/(?P<file>\d+_(?P<drawer>\d+)\.png)"
)


def omniglot(
    split: str = "train",
    *,
    image_size: int | None = 32,
    split_by: str = "writer",
    seed: int = 0,
) -> ImageSet:
    """The drawings; downloads what is missing and checks the files before they are used.

    No character is in two splits: a new image of a known class is not what this set is for.

    Args:
        split: "train" (24 alphabets of the authors' background set), "val" (its other 6), "test"
            (their evaluation set, 20 alphabets) or "all".
        image_size: Side of the square images in pixels (see `cnnlib.data.resize.resize`); None
            keeps 105.
        split_by: "writer" keeps each alphabet on one side and holds out the last alphabets of the
            background set by name. "random" holds out one character in five at random, of whatever
            alphabet, which makes validation easier than the test.
        seed: Seed of that choice.

    Returns:
        ImageSet of shape (N, 1, image_size, image_size), values 0 (paper) to 1 (ink). Classes have
        names like "Greek/character03"; `groups` is the number of the person who drew, 1 to 20.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: A file is missing and no mirror gave it.
        FormatError: A file has the right checksum but not the expected content.
    """
    check_split(split, whole=True)
    check_split_by(split_by)
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel; got {image_size!r}")
    images: list[Tensor] = []
    labels: list[int] = []
    drawers: list[int] = []
    classes: list[str] = []
    for part in PARTS[split]:
        file_name = f"{part}.zip"
        archive = data_file(
            NAME, f"{FOLDER}/{file_name}", CHECKSUMS[file_name], MIRRORS, offline=OFFLINE
        )
        with open_zip(archive) as opened:
            drawings = _drawings(opened, part)
            chosen = _characters(drawings, split, split_by, seed)
            members = []
            for character in chosen:
                members += [member for member, _ in drawings[character]]
                labels += [len(classes)] * len(drawings[character])
                drawers += [drawer for _, drawer in drawings[character]]
                classes.append(character)
            images.append(_read(opened, members, image_size))
    return ImageSet(
        torch.cat(images),
        torch.tensor(labels, dtype=torch.int64),
        classes,
        "Omniglot" + (f" ({split})" if split != "all" else ""),
        torch.tensor(drawers, dtype=torch.int64),
    )


def _drawings(archive: zipfile.ZipFile, part: str) -> dict[str, list[tuple[str, int]]]:
    """Character to its drawings (name in the archive, person), everything in order of names."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name in sorted(archive.namelist()):
        match = MEMBER.fullmatch(name)
        if match and match["part"] == part:  # folders and notes of the file system are not
            character = f"{match['alphabet']}/{match['character']}"
            found.setdefault(character, []).append((name, int(match["drawer"])))
    if not found:
        raise FormatError(f"{archive.filename} has no {part}/<alphabet>/characterNN/NNNN_NN.png")
    return found


def _characters(characters: Iterable[str], split: str, split_by: str, seed: int) -> list[str]:
    """The characters of a split, in order of names."""
    ordered = list(characters)
    if split not in ("train", "val"):
        return ordered
    if split_by == "writer":
        alphabets = sorted({_alphabet(character) for character in ordered})
        held_out = set(alphabets[len(alphabets) - len(alphabets) // HELD_OUT :])
        is_held_out = [_alphabet(character) in held_out for character in ordered]
    else:
        order = torch.randperm(len(ordered), generator=torch.Generator().manual_seed(seed))
        places = set(order[: len(ordered) // HELD_OUT].tolist())
        is_held_out = [place in places for place in range(len(ordered))]
    return [
        character
        for character, out in zip(ordered, is_held_out, strict=True)
        if out == (split == "val")
    ]


def _alphabet(character: str) -> str:
    return character.partition("/")[0]


def _read(archive: zipfile.ZipFile, members: list[str], image_size: int | None) -> Tensor:
    """The drawings as float32 (N, 1, S, S); they are black on white, and ink becomes 1."""
    parts = []
    for start in range(0, len(members), CHUNK):
        drawn = [_drawing(archive, member) for member in members[start : start + CHUNK]]
        parts.append(resize(torch.stack(drawn), image_size))
    side = DRAWN_SIZE if image_size is None else image_size
    return torch.cat(parts) if parts else torch.empty(0, 1, side, side)


def _drawing(archive: zipfile.ZipFile, member: str) -> Tensor:
    """One drawing as (1, 105, 105), float32."""
    where = f"{archive.filename}: {member}"
    with archive.open(member) as file:
        picture = read_picture(file, where, mode="L")
    if picture.size != (DRAWN_SIZE, DRAWN_SIZE):
        raise FormatError(
            f"{where} has {picture.width}×{picture.height} pixels instead of "
            f"{DRAWN_SIZE}×{DRAWN_SIZE}"
        )
    return 1 - torch.from_numpy(np.array(picture)).to(torch.float32).div(255).unsqueeze(0)
