"""Transforms that enlarge a training set, written out in plain tensor operations.

Pictures are ``(N, C, H, W)``, and every picture of a batch gets its own random draw. A box is
``(x1, y1, x2, y2)`` in pixels: x runs to the right from the left edge (0) to the right edge (W),
y downwards. What moves a picture must move its boxes, too: `flip` has a twin, `flip_boxes`.

The functions agree with their namesakes in ``torchvision.transforms.v2``, which is what to use
outside a lesson: it knows more transforms, and images that are not tensors.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def flip(images: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """Mirror pictures left to right.

    Args:
        images: Pictures (N, C, H, W).
        mirrored: Which ones, a boolean tensor of shape (N,); by default all.

    Returns:
        Pictures (N, C, H, W).

    Raises:
        ValueError: A shape or type does not fit.
    """
    _check_images(images)
    if mirrored is None:
        return images.flip(3)
    if mirrored.shape != images.shape[:1] or mirrored.dtype != torch.bool:
        raise ValueError(
            f"{len(images)} pictures need a boolean `mirrored` of shape ({len(images)},); "
            f"got {mirrored.dtype} of shape {tuple(mirrored.shape)}"
        )
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def flip_boxes(boxes: Tensor, width: int) -> Tensor:
    """Mirror boxes together with their picture.

    The left edge of the new box is where the right edge was, seen from the other side. Who writes
    W - x for both x and leaves them in their places gets boxes of negative width.

    Args:
        boxes: Boxes (..., 4) as (x1, y1, x2, y2).
        width: Width W of the picture in pixels.

    Returns:
        Boxes (..., 4) as (W - x2, y1, W - x1, y2).

    Raises:
        ValueError: The last dimension is not 4.
    """
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"boxes must have shape (..., 4); got {tuple(boxes.shape)}")
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def shift(images: Tensor, right: Tensor | int, down: Tensor | int) -> Tensor:
    """Move pictures by whole pixels; what comes in from outside is 0.

    This is the same as putting a border of zeros around a picture and cropping it somewhere else.

    Args:
        images: Pictures (N, C, H, W).
        right: Pixels to the right, negative to the left: one number, or int64 of shape (N,).
        down: Pixels downwards, in the same form.

    Returns:
        Pictures (N, C, H, W).

    Raises:
        ValueError: A shape or type does not fit.
    """
    _check_images(images)
    n, _, height, width = images.shape
    right = _one_per_image(right, images, "right", whole=True)
    down = _one_per_image(down, images, "down", whole=True)
    # Where each pixel of the result comes from, (N, H) and (N, W).
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    return _pick(images, rows[:, :, None].expand(n, height, width), columns[:, None, :])


def rotate(images: Tensor, degrees: Tensor | float) -> Tensor:
    """Turn pictures counter-clockwise around their centre; corners from outside are 0.

    For each pixel of the result, ask where it comes from: turn its position back. That position
    lies between four pixels, and the value is their mean, weighted by how near each one is
    (bilinear interpolation). Going the other way, from old pixels to new ones, would leave holes.

    Args:
        images: Pictures (N, C, H, W) of a floating point type.
        degrees: The angle: one number, or a tensor of shape (N,).

    Returns:
        Pictures (N, C, H, W).

    Raises:
        ValueError: A shape or type does not fit.
    """
    _check_images(images)
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point to be interpolated; got {images.dtype}")
    height, width = images.shape[2:]
    angle = _one_per_image(degrees, images, "degrees").to(images.dtype) * (math.pi / 180)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    y = torch.arange(height, device=images.device, dtype=images.dtype)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    # y points downwards, so these signs turn the result counter-clockwise. Both (N, H, W).
    from_x = cos * x - sin * y + (width - 1) / 2
    from_y = sin * x + cos * y + (height - 1) / 2
    left, top = from_x.floor(), from_y.floor()
    to_right, below = (from_x - left)[:, None], (from_y - top)[:, None]
    left, top = left.long(), top.long()
    upper = (1 - to_right) * _pick(images, top, left) + to_right * _pick(images, top, left + 1)
    lower = (1 - to_right) * _pick(images, top + 1, left)
    lower = lower + to_right * _pick(images, top + 1, left + 1)
    return (1 - below) * upper + below * lower


def random_flip(
    images: Tensor, p: float = 0.5, *, generator: torch.Generator | None = None
) -> Tensor:
    """Mirror each picture left to right with probability `p`.

    Args:
        images: Pictures (N, C, H, W).
        p: Probability, from 0 to 1.
        generator: Source of randomness; by default the global one.

    Raises:
        ValueError: `p` is no probability, or a shape does not fit.
    """
    _check_images(images)
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1; got {p}")
    return flip(images, _uniform(images, generator) < p)


def random_crop(
    images: Tensor,
    size: int | None = None,
    *,
    padding: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Cut a square from a random place of each picture, after adding a border of zeros.

    With a border of P and the old size this moves each picture by at most P pixels.

    Args:
        images: Pictures (N, C, H, W).
        size: Side of the crops; by default the height of the pictures, which must then be square.
        padding: Width of the border on each side.
        generator: Source of randomness; by default the global one.

    Returns:
        Pictures (N, C, size, size).

    Raises:
        ValueError: The crop does not fit, or a shape is wrong.
    """
    _check_images(images)
    if padding < 0:
        raise ValueError(f"padding must not be negative; got {padding}")
    height, width = (side + 2 * padding for side in images.shape[2:])
    if size is None and height != width:
        raise ValueError(f"pictures of {height}×{width} are not square: say the size of the crops")
    size = images.shape[2] if size is None else size
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"crops of {size}×{size} do not fit into {height}×{width} (with border {padding})"
        )
    padded = F.pad(images, (padding, padding, padding, padding))
    # One of H - size + 1 places for the top row, and W - size + 1 for the left column.
    top = (_uniform(images, generator) * (height - size + 1)).long()
    left = (_uniform(images, generator) * (width - size + 1)).long()
    return shift(padded, -left, -top)[:, :, :size, :size]


def random_rotation(
    images: Tensor, largest: float, *, generator: torch.Generator | None = None
) -> Tensor:
    """Turn each picture by an angle drawn uniformly from -`largest` to `largest` degrees.

    Args:
        images: Pictures (N, C, H, W).
        largest: Largest angle in degrees, not negative.
        generator: Source of randomness; by default the global one.

    Raises:
        ValueError: `largest` is negative, or a shape or type does not fit.
    """
    _check_images(images)
    if largest < 0:
        raise ValueError(f"the largest angle must not be negative; got {largest}")
    return rotate(images, (2 * _uniform(images, generator) - 1) * largest)


def add_noise(images: Tensor, sigma: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Add independent normal noise N(0, sigma²) to every value.

    The result is not clipped to 0..1: clipping would make the noise one-sided where a picture is
    black or white, and change its mean.

    Args:
        images: Tensor of any shape.
        sigma: Standard deviation of the noise, not negative.
        generator: Source of randomness; by default the global one.

    Raises:
        ValueError: `sigma` is negative.
    """
    if sigma < 0:
        raise ValueError(f"sigma must not be negative; got {sigma}")
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    return images + sigma * noise


def _check_images(images: Tensor) -> None:
    if images.ndim != 4:
        raise ValueError(f"images must have shape (N, C, H, W); got {tuple(images.shape)}")


def _uniform(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """One number from [0, 1) for each picture."""
    return torch.rand(len(images), generator=generator, device=images.device)


def _one_per_image(
    value: Tensor | float, images: Tensor, what: str, *, whole: bool = False
) -> Tensor:
    """A tensor of shape (N,), from one number or from N."""
    values = torch.as_tensor(value, device=images.device)
    if whole and (values.is_floating_point() or values.dtype == torch.bool):
        raise ValueError(f"{what} must be whole pixels; got {values.dtype}")
    if values.ndim and values.shape != images.shape[:1]:
        raise ValueError(
            f"{what} must be one number or have shape ({len(images)},); got {tuple(values.shape)}"
        )
    return values.expand(len(images))


def _pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels at `rows` and `columns`, both (N, H, W) up to broadcasting; 0 outside."""
    height, width = images.shape[2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    n, c = images.shape[:2]
    picked = images.flatten(2).gather(2, index.flatten(1)[:, None].expand(n, c, -1))
    return picked.view(n, c, *index.shape[1:]) * inside[:, None]
