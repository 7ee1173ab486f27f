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
