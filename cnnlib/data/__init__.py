"""Data sets behind one function: `load(name, split)` gives an `ImageSet`.

`load("digits")` and `load("glyphs")` need no network. `load("mnist")`, `load("fashion_mnist")`,
`load("cifar10")`, `load("oxford_pets")` and `load("omniglot")` download once, check every file
against its published checksum and give the same kind of object, so that a chapter switches from one
to the other by its first argument. `load_scenes(name, split)` gives pictures of several objects
with boxes and masks.
"""

from collections.abc import Sequence

from cnnlib.data.digits import digits
from cnnlib.data.download import DownloadError
from cnnlib.data.formats import FormatError
from cnnlib.data.glyphs import glyphs
from cnnlib.data.image_set import ImageSet
from cnnlib.data.omniglot import omniglot
from cnnlib.data.online import ONLINE, online
from cnnlib.data.pets import oxford_pets
from cnnlib.data.photographs import photograph
from cnnlib.data.scene_set import IGNORED, SceneSet, SegmentationSet
from cnnlib.data.scenes import load_scenes

__all__ = [
    "IGNORED",
    "DownloadError",
    "FormatError",
    "ImageSet",
    "SceneSet",
    "SegmentationSet",
    "load",
    "load_scenes",
    "names",
    "photograph",
]


def names() -> list[str]:
    """Names that `load` knows; "digits" and "glyphs" need no network."""
    return ["digits", "glyphs", *ONLINE, "oxford_pets", "omniglot"]


def load(
    name: str,
    split: str = "train",
    *,
    image_size: int = 32,
    split_by: str = "writer",
    seed: int = 0,
    scripts: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
) -> ImageSet:
    """Load a data set of small labelled images into memory.

    Args:
        name: "digits" or "glyphs" (offline), "mnist", "fashion_mnist", "cifar10", "oxford_pets"
            or "omniglot".
        split: "train", "val", "test" or "all".
        image_size: Side of the square images in pixels.
        split_by: "writer" keeps pictures of the same origin on the same side of a split; "random"
            mixes them. See `cnnlib.data.digits.digits` for what that does to a test result. Origin
            means a sheet of paper for the digits, a type family for the glyphs and an alphabet for
            Omniglot.
        seed: Chooses among the possible splits.
        scripts: Glyphs only: which of "latin", "greek", "cyrillic", "armenian", "georgian" and
            "hebrew"; by default all that the split has. See `cnnlib.data.glyphs.glyphs`.
        classes: Glyphs only: which letters of these scripts; by default all.
        per_class: Glyphs only: images of each letter; by default 20.

    Returns:
        ImageSet of shape (N, 1, image_size, image_size), or 3 channels for CIFAR-10
            and the pets.

    Raises:
        ValueError: An argument is not one of the choices above.
        DownloadError: An online set is neither in the data folder nor to be had from a mirror.

    Examples:
        >>> load("digits", "test")
        ImageSet('handwritten digits (test)', 382 images of 1×32×32, 10 classes)
    """
    of_letters = {"scripts": scripts, "classes": classes, "per_class": per_class}
    of_letters = {option: value for option, value in of_letters.items() if value is not None}
    if of_letters and name != "glyphs":
        raise ValueError(f'{", ".join(of_letters)} can be chosen for "glyphs" only, not {name!r}')
    common = {"image_size": image_size, "split_by": split_by, "seed": seed}
    if name == "digits":
        return digits(split, **common)
    if name == "glyphs":
        return glyphs(split, **common, **of_letters)
    if name in ONLINE:
        return online(name, split, **common)
    if name == "oxford_pets":
        return oxford_pets(split, **common)
    if name == "omniglot":
        return omniglot(split, **common)
    known = ", ".join(repr(known) for known in names())
    raise ValueError(f"no data set is called {name!r}; known are {known}")
