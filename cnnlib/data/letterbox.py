"""Bringing photographs of any shape to one square size without changing their proportions."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def letterbox(
    photograph: Image.Image, image_size: int, *, nearest: bool = False
) -> tuple[Tensor, float]:
    """Scale a picture until its longer side fits, and fill what is missing with zeros.

    The picture lies in the upper left corner, so that coordinates need to be multiplied only.

    Args:
        photograph: The picture, in colour or with one channel.
        image_size: Side of the square in pixels.
        nearest: Whether a new pixel takes the value of the nearest old one, as masks need it,
            instead of a mean.

    Returns:
        The square, uint8, (3, image_size, image_size) or (image_size, image_size), and the factor
        by which coordinates grew.
    """
    scale = image_size / max(photograph.size)
    size = tuple(max(1, round(side * scale)) for side in photograph.size)
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    pixels = torch.from_numpy(np.array(photograph.resize(size, how)))
    square = torch.zeros(image_size, image_size, *pixels.shape[2:], dtype=pixels.dtype)
    square[: size[1], : size[0]] = pixels
    return (square.permute(2, 0, 1) if square.ndim == 3 else square), scale
