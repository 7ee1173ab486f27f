"""scikit-learn's handwritten digits: 1,797 pictures that are there without a network.

What is known about their order. The pictures are the test part of the UCI set *Optical Recognition
of Handwritten Digits* (Alpaydin and Kaynak, 1998), written by 13 people who do not appear in its
training part. The file does not say who wrote what, but it keeps the order of the sheets. Everybody
copied the same pre-printed form: the labels repeat one sequence of 130 digits 14 times, with 23
digits left out here and there and one written in place of another. `FORM_STARTS` are the beginnings
of these 14 forms. So a run of some 130 pictures is one sheet in one hand. 13 people and 14 forms
mean that not all forms are by different people; whose they are is not recorded.

A split along whole forms keeps every form on one side. A random split puts strokes of the same hand
on both sides, and the test then asks an easier question than "can it read a stranger?".
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from cnnlib.data.image_set import ImageSet
from cnnlib.data.resize import resize
from cnnlib.data.splits import check_split, check_split_by

# Index of the first picture of each form. tests/cnnlib/test_data_digits.py finds them again from
# the labels alone.
FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)
# Forms in each part; neighbours in the file stay neighbours.
FORMS_PER_SPLIT = {"train": 8, "val": 3, "test": 3}


def form_of_picture() -> Tensor:
    """Number of the form, 0 to 13, that each of the 1,797 pictures comes from; int64, (1797,)."""
    starts = np.array(FORM_STARTS)
    return torch.from_numpy(np.searchsorted(starts, np.arange(1797), side="right") - 1)


def digits(
    split: str = "train",
    *,
    image_size: int = 32,
    split_by: str = "writer",
    seed: int = 0,
) -> ImageSet:
    """The handwritten digits, up-scaled from 8×8 by bilinear interpolation.

    Args:
        split: "train", "val" or "test" (8, 3 and 3 of the 14 forms) or "all" in the file's order.
        image_size: Side of the square images in pixels. The 8×8 pictures were made from 32×32
            bitmaps by counting the black pixels of each 4×4 block, so 32 restores the scale of
            the strokes, not their detail. Values are count / 16, so 0 is paper and 1 is ink.
        split_by: "writer" keeps each form, and so each writer's sheet, whole: contiguous runs of
            forms become the parts. "random" shuffles single pictures into parts of the same
            sizes, which lets the same hand into training and test (see the module docstring).
        seed: For "writer" the number of forms by which the parts are rotated around the file: 0 to
            13 give the 14 different splits. For "random" the seed of the shuffle.

    Returns:
        ImageSet with images of shape (N, 1, image_size, image_size) and `groups` set to the form
        of each picture.

    Raises:
        ValueError: An argument is not one of the choices above.
    """
    check_split(split, whole=True)
    check_split_by(split_by)
    raw = load_digits()
    # 0..16 black pixels per block; NumPy float64 → float32 (N, 1, 8, 8) in 0..1
    pictures = torch.from_numpy(raw.images).to(torch.float32).div(16).unsqueeze(1)
    whole = ImageSet(
        resize(pictures, image_size),
        torch.from_numpy(raw.target).to(torch.int64),
        [str(digit) for digit in range(10)],
        "handwritten digits",
        form_of_picture(),
    )
    if split == "all":
        return whole
    parts = _parts_by_form(whole.groups, seed)
    if split_by == "random":
        # The same sizes as the split by form, so that only the mixing differs.
        shuffled = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed))
        sizes = [len(part) for part in parts.values()]
        parts = dict(zip(parts, shuffled.split(sizes), strict=True))
    return whole.subset(parts[split], f"handwritten digits ({split})")


def _parts_by_form(forms: Tensor, seed: int) -> dict[str, Tensor]:
    """Indices of the pictures of each part: runs of whole forms, rotated by `seed` forms."""
    position = (forms - seed) % len(FORM_STARTS)
    parts, first = {}, 0
    for split, count in FORMS_PER_SPLIT.items():
        inside = (position >= first) & (position < first + count)
        parts[split] = inside.nonzero().squeeze(1)
        first += count
    return parts
