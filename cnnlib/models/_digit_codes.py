"""The target codes of LeNet-5: a stylised picture of each digit for the 84 units of F6 to draw.

As in figure 3 of the paper (see `cnnlib.models.lenet`), but drawn anew.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Stylised digits, 12 rows of 7 pixels, the digits from 0 to 9 side by side.
DIGIT_BITMAPS = """
..###.. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..##... ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## ####... .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ..##... .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ..##... ....##. ..####. ##..##. ######. ######. ....##. .#####. .######
##...## ..##... ...##.. ..####. ##..##. .....## ##...## ...##.. .#####. .....##
##...## ..##... ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ..##... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ..##... ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. ####### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def digit_codes() -> Tensor:
    """The codes of the ten digits, +1 for ink and -1 for paper: shape (10, 12 * 7)."""
    rows = [line.split() for line in DIGIT_BITMAPS.strip().splitlines()]
    digits = ["".join(pieces) for pieces in zip(*rows, strict=True)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits])


def class_codes(num_classes: int) -> Tensor:
    """Codes for any number of classes: the digits for 10, otherwise fixed random signs.

    The paper names random codes as the alternative where a class has no obvious picture.
    """
    if num_classes == 10:
        return digit_codes()
    generator = torch.Generator().manual_seed(1998)
    return torch.randint(0, 2, (num_classes, 84), generator=generator) * 2.0 - 1.0
