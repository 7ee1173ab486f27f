"""Letters of six scripts, rendered from the fonts that matplotlib carries: no network, any number.

The fonts are DejaVu (Sans, Serif, Mono) and STIX, each in four styles; both may be used and
redistributed freely (see LICENSE_DEJAVU and LICENSE_STIX beside matplotlib's fonts). A letter is
rendered once in each face at 64×64 pixels and then jittered: turned, slanted, scaled and moved by
random amounts. STIX has Latin, Greek and Cyrillic only, and Hebrew is in DejaVu Sans alone.

Some letters of different scripts, or of different cases, have one shape: Latin A, Greek Α and
Cyrillic А, or c and C. A classifier could not tell them apart, so `SCRIPTS` lists each shape once:
for Latin the 37 letters of EMNIST's "by merge" classes (Cohen et al., "EMNIST: an extension of
MNIST to handwritten letters", arXiv:1702.05373), for the others what does not look like a letter
before it. No digit is among them, though O is as good as a 0 and З as good as a 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cnnlib.data.image_set import ImageSet
from cnnlib.data.resize import resize
from cnnlib.data.splits import check_split, check_split_by

SCRIPTS = {
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt",
    "greek": "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξσφψω",
    "cyrillic": "БДЖЗИЙЦЧШЩЪЫЬЭЮЯ",
    "armenian": "աբգդեզէըթժիլխծկձղճմնշչպջռվտրփքֆ",
    "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "hebrew": "אבגדהזחטיכלמנסעפצקרשת",
}

# The faces of one family belong to one hand, so a split along families asks for reading a stranger.
FAMILIES = {
    "DejaVu Sans": (
        "DejaVuSans.ttf",
        "DejaVuSans-Bold.ttf",
        "DejaVuSans-Oblique.ttf",
        "DejaVuSans-BoldOblique.ttf",
    ),
    "STIX": (
        "STIXGeneral.ttf",
        "STIXGeneralBol.ttf",
        "STIXGeneralItalic.ttf",
        "STIXGeneralBolIta.ttf",
    ),
    "DejaVu Sans Mono": (
        "DejaVuSansMono.ttf",
        "DejaVuSansMono-Bold.ttf",
        "DejaVuSansMono-Oblique.ttf",
        "DejaVuSansMono-BoldOblique.ttf",
    ),
    "DejaVu Serif": (
        "DejaVuSerif.ttf",
        "DejaVuSerif-Bold.ttf",
        "DejaVuSerif-Italic.ttf",
        "DejaVuSerif-BoldItalic.ttf",
    ),
}
FAMILIES_PER_SPLIT = {
    "train": ("DejaVu Sans", "STIX"),
    "val": ("DejaVu Sans Mono",),
    "test": ("DejaVu Serif",),
}
FACES = tuple(face for faces in FAMILIES.values() for face in faces)
# Families that a script is missing from.
MISSING = {
    "armenian": ("STIX",),
    "georgian": ("STIX",),
    "hebrew": ("STIX", "DejaVu Sans Mono", "DejaVu Serif"),
}

RENDERED_SIZE = 64  # pixels, before the jitter
LONGER_SIDE = 42  # of a letter, in these pixels: room to turn and move it
# The largest jitter; each amount is drawn uniformly between this and its opposite.
LARGEST_TURN = 12.0  # degrees
LARGEST_SLANT = 0.2  # pixels to the side for each pixel up
LARGEST_SCALE = 0.15  # of the size
LARGEST_SHIFT = 0.06  # of the picture
CHUNK = 512  # letters that are jittered at once, to bound the memory


def glyphs(
    split: str = "train",
    *,
    image_size: int = 32,
    scripts: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    per_class: int = 20,
    jitter: float = 1.0,
    split_by: str = "writer",
    seed: int = 0,
) -> ImageSet:
    """Rendered letters: `per_class` of each, every one with a face and a jitter of its own.

    Args:
        split: "train", "val", "test" or "all".
        image_size: Side of the square images in pixels; 0 is paper and 1 is ink.
        scripts: Which of `SCRIPTS`, in this order; by default all that the split can show.
        classes: Which letters of these scripts, in this order; by default all.
        per_class: Images of each letter.
        jitter: Strength of turn, slant, scale and shift: 0 for none, 1 for up to 12°, 0.2, 15 %
            and 6 % of the picture.
        split_by: "writer" keeps each type family, which is the hand of one designer, on one side:
            DejaVu Sans and STIX for training, Sans Mono for validation, Serif for the test.
            "random" draws from all families in every split; only the jitter differs then. "all"
            draws from all families anyway.
        seed: Of the jitter and the choice of faces. Splits with one seed differ from each other.

    Returns:
        ImageSet with images of shape (N, 1, image_size, image_size), N = classes · per_class, in
        rounds: the first images show each class once. `groups` is the index in `FACES`.

    Raises:
        ValueError: An argument is not one of the choices above, or a script is in no font of the
            split.
    """
    families = _families(split, split_by)
    letters = _letters(scripts, classes, families)
    for what, value in (("per_class", per_class), ("image_size", image_size)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{what} must be a whole number of at least 1; got {value!r}")
    if not (math.isfinite(jitter) and jitter >= 0):
        raise ValueError(f"jitter must be a number of at least 0; got {jitter!r}")
    # A stream of random numbers for each split, so that no image of one is in another.
    generator = torch.Generator().manual_seed(4 * seed + ("all", *FAMILIES_PER_SPLIT).index(split))
    labels = torch.arange(len(letters)).repeat(per_class)  # (N,)
    faces = torch.empty_like(labels)
    for label, (_, script) in enumerate(letters):
        usable = torch.tensor(_faces_of(script, families))
        # In rounds through all faces, so that each is used equally often; each round shuffled.
        rounds = [
            usable[torch.randperm(len(usable), generator=generator)]
            for _ in range(-(-per_class // len(usable)))
        ]
        faces[labels == label] = torch.cat(rounds)[:per_class]
    transforms = _random_transforms(len(labels), jitter, generator)
    images = torch.empty(len(labels), 1, image_size, image_size)
    for chunk in torch.arange(len(labels)).split(CHUNK):
        pairs = zip(labels[chunk].tolist(), faces[chunk].tolist(), strict=True)
        plain = torch.stack([rendered(letters[label][0], FACES[face]) for label, face in pairs])
        images[chunk] = _warped(plain, transforms[chunk], image_size)
    shown = ", ".join(dict.fromkeys(script for _, script in letters))
    return ImageSet(
        images,
        labels,
        [letter for letter, _ in letters],
        f"rendered letters: {shown}" + (f" ({split})" if split != "all" else ""),
        faces,
    )


def _families(split: str, split_by: str) -> tuple[str, ...]:
    """The type families that a split draws from."""
    check_split(split, whole=True)
    check_split_by(split_by)
    if split == "all" or split_by == "random":
        return tuple(FAMILIES)
    return FAMILIES_PER_SPLIT[split]


def _letters(
    scripts: Sequence[str] | None, classes: Sequence[str] | None, families: Sequence[str]
) -> list[tuple[str, str]]:
    """The chosen letters, each with its script."""
    if isinstance(scripts, str):
        scripts = (scripts,)
    if scripts is None:
        scripts = [script for script in SCRIPTS if _faces_of(script, families)]
        if classes is not None:  # a letter says itself what script it is of
            scripts = list(SCRIPTS)
    for script in scripts:
        if script not in SCRIPTS:
            raise ValueError(f"scripts are {', '.join(SCRIPTS)}; got {script!r}")
    found = {letter: script for script in scripts for letter in SCRIPTS[script]}
    if classes is not None:
        unknown = [letter for letter in classes if letter not in found]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no letter of {', '.join(scripts)}; see "
                "cnnlib.data.glyphs.SCRIPTS for the letters"
            )
        if len(set(classes)) < len(classes):
            raise ValueError("classes names a letter twice")
        found = {letter: found[letter] for letter in classes}
    if not found:
        raise ValueError("no letters were chosen")
    for script in dict.fromkeys(found.values()):
        if not _faces_of(script, families):
            raise ValueError(
                f"{script} is in none of the fonts of this split ({', '.join(families)}); take "
                'split_by="random" or the split "all"'
            )
    return list(found.items())


def _faces_of(script: str, families: Sequence[str]) -> list[int]:
    """Indices in `FACES` of the faces of these families that have the script."""
    return [
        FACES.index(face)
        for family in families
        if family not in MISSING.get(script, ())
        for face in FAMILIES[family]
    ]


@cache
def rendered(letter: str, face: str) -> Tensor:
    """A letter without jitter: its longer side takes 42 of 64 pixels, and it is centred.

    Args:
        letter: One character.
        face: One of `FACES`.

    Returns:
        Float32 tensor of shape (1, 64, 64), values 0 (paper) to 1 (ink). Do not change it: it is
        kept for the next call.
    """
    drawn = _drawn(letter, face, LONGER_SIDE)
    # Once more at the size at which the longer side has the wanted length.
    drawn = _drawn(letter, face, round(LONGER_SIDE * LONGER_SIDE / max(drawn.size)))
    picture = Image.new("L", (RENDERED_SIZE, RENDERED_SIZE))
    picture.paste(drawn, tuple((RENDERED_SIZE - side) // 2 for side in drawn.size))
    return torch.from_numpy(np.array(picture)).to(torch.float32).div(255).unsqueeze(0)


def _drawn(letter: str, face: str, size: int) -> Image.Image:
    """A letter, white on black, in the smallest picture that holds its ink."""
    font = _font(face, size)
    left, top, right, bottom = font.getbbox(letter)
    # A generous margin: in some faces a letter reaches beyond the box that the font announces.
    picture = Image.new("L", (right - left + 2 * size, bottom - top + 2 * size))
    ImageDraw.Draw(picture).text((size - left, size - top), letter, font=font, fill=255)
    return picture.crop(picture.getbbox())


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / face
    # The basic layout is the same whether or not the machine has a library for complex scripts.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _random_transforms(count: int, jitter: float, generator: torch.Generator) -> Tensor:
    """Maps from places in the result to places in the rendered letter, float64 (count, 2, 3).

    The coordinates are those of `torch.nn.functional.affine_grid`: -1 to 1 over the picture.
    """
    turn, slant, scale, dx, dy = (
        (2 * torch.rand(5, count, generator=generator).double() - 1)
        * jitter
        * torch.tensor(
            [
                [math.radians(LARGEST_TURN)],
                [LARGEST_SLANT],
                [LARGEST_SCALE],
                [2 * LARGEST_SHIFT],
                [2 * LARGEST_SHIFT],
            ]
        )
    )
    # The letter becomes exp(scale) times as large, so the place of origin comes nearer.
    shrink = (-scale).exp()
    cos, sin = shrink * turn.cos(), shrink * turn.sin()
    # Rotation times slant: x + slant · y, then the turn.
    rows = [cos, cos * slant - sin, dx, sin, sin * slant + cos, dy]
    return torch.stack(rows, dim=1).view(count, 2, 3)


def _warped(plain: Tensor, transforms: Tensor, image_size: int) -> Tensor:
    """Jittered letters: (n, 1, 64, 64) and (n, 2, 3) give (n, 1, image_size, image_size).

    Computed in double precision and rounded to float32 at the end: the last bits of single
    precision differ from processor to processor, and a training amplifies such differences.
    """
    grid = F.affine_grid(transforms, list(plain.shape), align_corners=False)
    moved = F.grid_sample(
        plain.double(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return resize(moved, image_size).float()
