"""Bringing the images of a set to the size that a network expects."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# MNIST's 28×28 images get a border of 2 zeros to fill the 32×32 input of LeNet-5.
LARGEST_BORDER = 2


def resize(images: Tensor, size: int | None) -> Tensor:
    """Bring square images to `size` × `size` pixels.

    A border of up to 2 pixels on each side is added as zeros, which is how LeNet-5 takes the 28×28
    digits of MNIST as 32×32 (LeCun et al. 1998, section II-B). Every other change is bilinear
    interpolation, with anti-aliasing when the image gets smaller; values stay within the range of
    the input.

    Args:
        images: Float tensor of shape (N, C, S, S).
        size: New side in pixels, at least 1; None keeps the size.

    Returns:
        Tensor of shape (N, C, size, size).

    Raises:
        ValueError: `size` is below 1.
    """
    old = images.shape[-1]
    if size is None or size == old:
        return images
    if size < 1:
        raise ValueError(f"image_size must be at least 1 pixel; got {size}")
    extra = size - old
    if 0 < extra <= 2 * LARGEST_BORDER and extra % 2 == 0:
        border = extra // 2
        return F.pad(images, (border, border, border, border))
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=size < old
    )
