"""Scenes: handwritten digits or rendered letters pasted on cuts of photographs, with the truth.

A composed picture has what a photograph lacks: an outline of every object that is right to the
pixel and costs nothing. So detection and segmentation can be learnt in seconds and judged exactly.
Composed scenes are easier than photographs all the same: objects are flat, sharp and of one colour.

How a scene is made. A square is cut from one of six photographs at a random place and scale, half
of them mirrored. Then objects are pasted one after the other: each gets a random size, a place, a
tint, and a brightness that differs from what lies under it by `CONTRAST`; `OPACITY` lets some of
the photograph shine through. The mask of an object is its ink, less what later objects hide: a
pixel belongs to the uppermost object. Boxes of objects may overlap, but no more than `MAX_OVERLAP`
of an object's box is covered by the others' boxes. Boxes are tight around the masks.

What keeps the splits apart. Digits are split by writer and letters by type family, as `load` does.
Every photograph is divided into three strips, left for training, middle for validation, right for
the test, so that no pixel of a background is in two splits.

The photographs come with scikit-learn (two, CC BY 2.0, see `cnnlib.data.photograph`) and
scikit-image: "chelsea" (a cat, by Stéfan van der Walt) and "coffee" (a cup, by Rachel Michetti and
Pikolo Espresso Bar), both CC0; "astronaut" (Eileen Collins, NASA) and "rocket" (a start of a
Falcon 9, SpaceX), both in the public domain. The licences are those that scikit-image 0.26 states
in the docstrings of `skimage.data`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlib.data.digits import digits
from cnnlib.data.glyphs import LONGER_SIDE, RENDERED_SIZE, glyphs
from cnnlib.data.image_set import ImageSet
from cnnlib.data.penn_fudan import penn_fudan
from cnnlib.data.pets import pet_scenes
from cnnlib.data.photographs import PHOTOGRAPHS, photograph
from cnnlib.data.scene_set import SceneSet
from cnnlib.data.splits import check_split
from cnnlib.data.voc import voc2007
from cnnlib.detection.boxes import masks_to_boxes

COMPOSED = ("digits", "glyphs")
# Photographs, downloaded and read behind the same call.
ONLINE = {"oxford_pets": pet_scenes, "penn_fudan": penn_fudan, "voc2007": voc2007}
# Scenes in each split if nobody says how many.
COUNTS = {"train": 1000, "val": 200, "test": 300}
# Where the strips of a photograph end, as shares of its width.
STRIPS = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
MORE_PHOTOGRAPHS = ("chelsea", "coffee", "astronaut", "rocket")
ZOOM = (0.8, 1.6)  # side of a cut in pixels of the photograph, divided by that of the scene

SIZES = (0.25, 0.5)  # longer side of an object, as a share of the scene's side
CONTRAST = (0.35, 0.65)  # how much lighter than what lies under it, before OPACITY
OPACITY = (0.8, 1.0)
DIM = (0.35, 0.75)  # brightness of the background as a share of the photograph's
TINT = 0.12  # largest difference of a colour channel from grey
INK = 0.5  # from this value on a pixel of a digit or letter is ink
EDGE = 0.3  # the ink values around INK over which an object fades out
MAX_OVERLAP = 0.2  # share of an object's box that the boxes of others may cover
TRIES = 24  # places that are tried for an object
CHUNK = 1 << 20  # pixels that are composed at once, to bound the memory

LUMINANCE = torch.tensor([0.299, 0.587, 0.114])  # of red, green, blue (ITU-R BT.601)


def load_scenes(
    name: str = "digits",
    split: str = "train",
    *,
    count: int | None = None,
    image_size: int = 64,
    objects: int | tuple[int, int] = (1, 3),
    seed: int = 0,
    sizes: tuple[float, float] | None = None,
) -> SceneSet:
    """Pictures with the box, the class and, except for VOC, the mask of every object.

    The same arguments always give the same scenes, and the first scenes of a larger `count` are
    those of a smaller one.

    Args:
        name: "digits" (10 classes) or "glyphs" (the 37 Latin letters of `cnnlib.data.glyphs`) for
            composed scenes, which need no network. "oxford_pets" (37 breeds, see
            `cnnlib.data.pets.pet_scenes`), "penn_fudan" (pedestrians, see
            `cnnlib.data.penn_fudan`) and "voc2007" (20 classes, boxes only, see `cnnlib.data.voc`)
            are photographs that are downloaded once.
        split: "train", "val" or "test". Those of composed scenes share no writer or type family and
            no part of a photograph, whatever the seeds.
        count: Number of scenes; by default 1000, 200 and 300 composed ones, or all photographs.
        image_size: Side of the square scenes in pixels, at least 24.
        objects: Fewest and most objects in a composed scene, or one number for both. An object for
            which `TRIES` places did not do is left out, so a crowded scene may have fewer.
        seed: Seed of the composition, or of the choice among photographs.
        sizes: Smallest and largest longer side of an object in a composed scene in pixels; by
            default a quarter and half of `image_size`.

    Returns:
        SceneSet of shape (count, 3, image_size, image_size), objects from the lowest to the
        uppermost.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: An online set is neither in the data folder nor to be had from a mirror.
        FormatError: A file of an online set does not have the expected content.

    Examples:
        >>> scenes = load_scenes("digits", count=10, objects=2)
        >>> image, target = scenes[0]
        >>> image.shape, target["boxes"].shape, target["masks"].shape
        (torch.Size([3, 64, 64]), torch.Size([2, 4]), torch.Size([2, 64, 64]))
    """
    if name not in COMPOSED and name not in ONLINE:
        known = ", ".join(repr(known) for known in (*COMPOSED, *ONLINE))
        raise ValueError(f"no scenes are called {name!r}; known are {known}")
    check_split(split, whole=False)
    asked = 1 if count is None else count
    for what, value, least in (("count", asked, 1), ("image_size", image_size, 24)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{what} must be a whole number of at least {least}; got {value!r}")
    if name in ONLINE:
        if objects != (1, 3) or sizes is not None:
            raise ValueError(f"objects and sizes can be chosen for {' and '.join(COMPOSED)} only")
        return ONLINE[name](split, count=count, image_size=image_size, seed=seed)
    count = COUNTS[split] if count is None else count
    fewest, most = _range_of_objects(objects)
    smallest, largest = _range_of_sizes(sizes, image_size)
    sources, ink_boxes = _sources(name, split, largest)
    # One stream of random numbers for each split, and the same amount of it for each scene.
    stream = np.random.default_rng([seed, list(STRIPS).index(split)])
    per_object = 6 + 2 * TRIES
    # The scenes are composed in double precision and rounded to float32 at the end: the last bits
    # of single precision differ from processor to processor, and trainings amplify that.
    numbers = torch.from_numpy(stream.random((count, 7 + most * per_object))).float().double()

    images, targets = [], []
    for chunk in numbers.split(max(1, CHUNK // image_size**2)):
        of_scene, of_objects = chunk[:, :7], chunk[:, 7:].view(len(chunk), most, per_object)
        picked = (of_objects[:, :, 0] * len(sources)).long()  # (n, most)
        size = smallest + (largest - smallest) * of_objects[:, :, 1]
        scale = size / (ink_boxes[picked, 2:] - ink_boxes[picked, :2]).amax(dim=2)
        wanted = fewest + (of_scene[:, 0] * (most - fewest + 1)).long()
        spots = of_objects[:, :, 6:].view(len(chunk), most, TRIES, 2)
        corners, placed = _places(ink_boxes[picked], scale, spots, wanted, image_size)
        scenes = _backgrounds(split, image_size, of_scene[:, 1:])
        masks = torch.zeros(len(chunk), most, image_size, image_size, dtype=torch.bool)
        for k in range(most):
            ink = _ink_on_scene(
                sources.images[picked[:, k]].double(),
                ink_boxes[picked[:, k], :2],
                scale[:, k],
                corners[:, k],
                image_size,
            )
            ink = ink * placed[:, k].view(-1, 1, 1, 1)
            scenes = _painted(scenes, ink, of_objects[:, k, 2:6])
            mask = ink >= INK
            masks[:, :k] &= ~mask  # a pixel belongs to the uppermost object
            masks[:, k] = mask[:, 0]
        images.append(scenes.float())
        targets += _targets(masks, sources.labels[picked] + 1)
    return SceneSet(
        torch.cat(images), targets, ["background", *sources.classes], f"scenes of {name} ({split})"
    )


def _range_of_objects(objects: int | tuple[int, int]) -> tuple[int, int]:
    fewest, most = (objects, objects) if isinstance(objects, int) else objects
    if not (isinstance(fewest, int) and isinstance(most, int) and 0 <= fewest <= most >= 1):
        raise ValueError(
            "objects must be a whole number of at least 1 or a pair (fewest, most) with "
            f"0 <= fewest <= most and most at least 1; got {objects!r}"
        )
    return fewest, most


def _range_of_sizes(sizes: tuple[float, float] | None, image_size: int) -> tuple[float, float]:
    if sizes is None:
        return tuple(share * image_size for share in SIZES)
    smallest, largest = sizes
    if not 6 <= smallest <= largest <= image_size:
        raise ValueError(
            f"sizes must be a pair (smallest, largest) from 6 to image_size = {image_size} pixels; "
            f"got {sizes!r}"
        )
    return float(smallest), float(largest)


@cache
def _sources(name: str, split: str, largest: float) -> tuple[ImageSet, Tensor]:
    """What is pasted, and the box of the ink in each picture, float32 (N, 4)."""
    if name == "digits":
        # The darkest pixel of a digit becomes full ink: some writers press less.
        found = digits(split, image_size=32)
        found.images = found.images / found.images.amax(dim=(1, 2, 3), keepdim=True)
    else:
        side = max(32, round(largest * RENDERED_SIZE / LONGER_SIDE))
        found = glyphs(split, image_size=side, scripts=["latin"])
    return found, masks_to_boxes(found.images[:, 0] >= INK)


@cache
def _photographs() -> list[Tensor]:
    """The six photographs, float32 (3, H, W) each."""
    pictures = [photograph(name) for name in PHOTOGRAPHS]
    for name in MORE_PHOTOGRAPHS:
        pixels = torch.from_numpy(np.array(getattr(skimage.data, name)()))
        pictures.append(pixels.permute(2, 0, 1).float().div(255))
    return pictures


def photo_strips(split: str) -> list[Tensor]:
    """The strip of each photograph that the backgrounds of a split are cut from.

    Args:
        split: "train" (the left 60 % of the width), "val" (the next 20 %) or "test" (the last).

    Returns:
        Six float32 tensors of shape (3, H, W).
    """
    strips = []
    for picture in _photographs():
        start, end = (round(share * picture.shape[2]) for share in STRIPS[split])
        strips.append(picture[:, :, start:end])
    return strips


def _backgrounds(split: str, image_size: int, numbers: Tensor) -> Tensor:
    """Square cuts of the photographs; numbers (n, 6) give (n, 3, image_size, image_size)."""
    strips = [strip.to(numbers.dtype) for strip in photo_strips(split)]
    scenes = numbers.new_empty(len(numbers), 3, image_size, image_size)
    which = (numbers[:, 0] * len(strips)).long()
    for index, strip in enumerate(strips):
        members = (which == index).nonzero().squeeze(1)
        zoom, x, y, flip, dim = numbers[members, 1:].unbind(1)
        height, width = strip.shape[1:]
        side = image_size * (ZOOM[0] + (ZOOM[1] - ZOOM[0]) * zoom)
        side = side.clamp(max=min(height, width))
        grid = _window(x * (width - side), y * (height - side), side, (height, width), image_size)
        grid[flip < 0.5] = grid[flip < 0.5].flip(2)
        many = strip.expand(len(members), -1, -1, -1)
        cut = F.grid_sample(many, grid, padding_mode="border", align_corners=False)
        scenes[members] = cut * (DIM[0] + (DIM[1] - DIM[0]) * dim).view(-1, 1, 1, 1)
    return scenes


def _window(x: Tensor, y: Tensor, side: Tensor, shape: tuple[int, int], pixels: int) -> Tensor:
    """Where to sample for squares with corner (x, y) and this side, for `F.grid_sample`.

    `x`, `y` and `side` (n,) are in pixels of a picture of `shape` (H, W); the result is
    (n, pixels, pixels, 2), the centres of the new pixels in -1 to 1 over that picture.
    """
    steps = (torch.arange(pixels, dtype=x.dtype) + 0.5) / pixels  # centres of pixels, 0 to 1
    across = (x[:, None] + side[:, None] * steps) * 2 / shape[1] - 1  # (n, pixels)
    down = (y[:, None] + side[:, None] * steps) * 2 / shape[0] - 1
    return torch.stack(
        [across[:, None, :].expand(-1, pixels, -1), down[:, :, None].expand(-1, -1, pixels)], dim=3
    )


def _places(
    ink_boxes: Tensor, scale: Tensor, spots: Tensor, wanted: Tensor, image_size: int
) -> tuple[Tensor, Tensor]:
    """Choose a place for each object, one after the other, so that few pixels are hidden.

    Args:
        ink_boxes: Boxes of the ink in the source pictures, (n, K, 4).
        scale: Pixels of the scene for each pixel of the source, (n, K).
        spots: Places to try as shares of the room that there is, (n, K, TRIES, 2).
        wanted: Number of objects in each scene, (n,).
        image_size: Side of the scenes.

    Returns:
        Left upper corners of the ink (n, K, 2) and whether the object is there, bool (n, K).
    """
    extent = (ink_boxes[..., 2:] - ink_boxes[..., :2]) * scale[..., None]  # (n, K, 2)
    area = extent.prod(dim=2)
    corners = torch.zeros_like(extent)
    placed = torch.zeros(area.shape, dtype=torch.bool)
    overlap = torch.zeros_like(area)  # share of each box that the boxes of others cover
    scenes = torch.arange(len(extent))
    for k in range(extent.shape[1]):
        start = spots[:, k] * (image_size - extent[:, k, None])  # (n, TRIES, 2)
        end = start + extent[:, k, None]
        # Sides of the intersections with what is there already: (n, TRIES, k, 2)
        earlier = corners[:, None, :k]
        common = torch.minimum(end[:, :, None], earlier + extent[:, None, :k])
        common = (common - torch.maximum(start[:, :, None], earlier)).clamp(min=0)
        shared = common.prod(dim=3) * placed[:, None, :k]  # (n, TRIES, k)
        covers = shared / area[:, None, :k]
        covered = shared.sum(dim=2) / area[:, k, None]  # (n, TRIES)
        fits = (overlap[:, None, :k] + covers <= MAX_OVERLAP).all(dim=2) & (covered <= MAX_OVERLAP)
        first = fits.float().argmax(dim=1)  # argmax gives the first of equal values
        placed[:, k] = fits.any(dim=1) & (k < wanted)
        corners[:, k] = start[scenes, first]
        overlap[:, :k] += covers[scenes, first] * placed[:, k, None]
        overlap[:, k] = covered[scenes, first]
    return corners, placed


def _ink_on_scene(
    pictures: Tensor, ink_corners: Tensor, scale: Tensor, corners: Tensor, image_size: int
) -> Tensor:
    """Ink of one object in each scene, (n, 1, image_size, image_size).

    The inverse of pasting: the scene is a window on the object's picture, larger than that.
    """
    side = image_size / scale
    x, y = (ink_corners - corners / scale[:, None]).unbind(1)
    grid = _window(x, y, side, pictures.shape[2:], image_size)
    return F.grid_sample(pictures, grid, padding_mode="zeros", align_corners=False)


def _painted(scenes: Tensor, ink: Tensor, numbers: Tensor) -> Tensor:
    """Scenes with one more object each; numbers (n, 4) choose its colour."""
    contrast, tint_1, tint_2, opacity = numbers.unbind(1)
    ink_area = ink.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    luminance = LUMINANCE.to(scenes.dtype)
    brightness = torch.einsum("nchw,c->nhw", scenes, luminance)
    under = (brightness * ink[:, 0]).sum(dim=(1, 2)) / ink_area  # (n,)
    step = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * contrast
    # As light as white allows; on what is nearly white already there is room below only.
    grey = torch.where(under + CONTRAST[0] <= 1, (under + step).clamp(max=1), under - step)
    red, blue = TINT * (2 * tint_1 - 1), TINT * (2 * tint_2 - 1)
    green = -(luminance[0] * red + luminance[2] * blue) / luminance[1]  # keeps the brightness
    colour = (grey[:, None] + torch.stack([red, green, blue], dim=1)).clamp(0, 1)
    # Full ink a little above INK, none a little below: a sharp edge without steps.
    cover = ((ink - INK) / EDGE + 0.5).clamp(0, 1)
    cover = cover * (OPACITY[0] + (OPACITY[1] - OPACITY[0]) * opacity).view(-1, 1, 1, 1)
    return scenes + cover * (colour[:, :, None, None] - scenes)


def _targets(masks: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
    """One target for each scene from masks (n, K, S, S) and labels (n, K)."""
    there = masks.flatten(2).any(dim=2)  # (n, K); an object of which nothing is seen is none
    counts = there.sum(dim=1).tolist()
    masks, labels = masks[there], labels[there]
    boxes = masks_to_boxes(masks)
    parts = zip(boxes.split(counts), labels.split(counts), masks.split(counts), strict=True)
    return [{"boxes": box, "labels": label, "masks": mask} for box, label, mask in parts]
