"""Answers to a7_detection, task 11."""

import math

import torch


def refuse_levels(k_min, k_max):
    if k_max < k_min:
        raise ValueError("levels")


def sides(boxes):
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def from_level(k, k_min, k_max):
    return k.clamp(min=k_min, max=k_max).to(torch.int64)


def right_half_the_logarithm(boxes, k0=4, k_min=2, k_max=5):
    """The root in the logarithm: half of the logarithm of the area."""
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level(torch.floor(k0 + 0.5 * torch.log2(w * h / 224**2)), k_min, k_max)


def right_python(boxes, k0=4, k_min=2, k_max=5):
    """One region after the other; without area there is no logarithm."""
    refuse_levels(k_min, k_max)
    levels = []
    for x1, y1, x2, y2 in boxes.tolist():
        area = (x2 - x1) * (y2 - y1)
        k = math.floor(k0 + math.log2(math.sqrt(area) / 224)) if area > 0 else k_min
        levels.append(min(max(k, k_min), k_max))
    return torch.tensor(levels, dtype=torch.int64)


def right_counting(boxes, k0=4, k_min=2, k_max=5):
    """One level up for each side that is reached."""
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    levels = torch.full((len(boxes),), k_min)
    for k in range(k_min + 1, k_max + 1):
        levels = levels + ((w * h).sqrt() >= 224 * 2.0 ** (k - k0)).long()
    return levels


def wrong_rounded(boxes, k0=4, k_min=2, k_max=5):
    """The nearest level.

    Named: neither up nor to the nearest level
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + ((w * h).sqrt() / 224).log2()).round(), k_min, k_max)


def wrong_rounded_up(boxes, k0=4, k_min=2, k_max=5):
    """The level above.

    Named: neither up nor to the nearest level
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + ((w * h).sqrt() / 224).log2()).ceil(), k_min, k_max)


def wrong_longer_side(boxes, k0=4, k_min=2, k_max=5):
    """The longer side.

    Named: not the width or the longer side
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + (torch.maximum(w, h) / 224).log2()).floor(), k_min, k_max)


def wrong_height(boxes, k0=4, k_min=2, k_max=5):
    """The height.

    Named: not the height
    """
    refuse_levels(k_min, k_max)
    _, h = sides(boxes)
    return from_level((k0 + (h / 224).log2()).floor(), k_min, k_max)


def wrong_area_by_side(boxes, k0=4, k_min=2, k_max=5):
    """No root, and one 224.

    Named: the square root is missing
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + (w * h / 224).log2()).floor(), k_min, k_max)


def wrong_area_by_area(boxes, k0=4, k_min=2, k_max=5):
    """No root: two levels for twice the side.

    Named: one level down, not two
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + (w * h / 224**2).log2()).floor(), k_min, k_max)


def wrong_natural_logarithm(boxes, k0=4, k_min=2, k_max=5):
    """ln for log2.

    Named: this is the natural logarithm
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + ((w * h).sqrt() / 224).log()).floor(), k_min, k_max)


def wrong_upside_down(boxes, k0=4, k_min=2, k_max=5):
    """Small regions from coarse maps.

    Named: the fraction is upside down
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + (224 / (w * h).sqrt()).log2()).floor(), k_min, k_max)


def wrong_float(boxes, k0=4, k_min=2, k_max=5):
    """Levels as decimal numbers.

    Named: expected a tensor of int64
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return (k0 + ((w * h).sqrt() / 224).log2()).floor().clamp(k_min, k_max)


def wrong_unlimited(boxes, k0=4, k_min=2, k_max=5):
    """Levels that do not exist.

    Named: there are only levels 2 to 5
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return (k0 + ((w * h).sqrt() / 224).log2()).floor().long()


def wrong_no_upper_end(boxes, k0=4, k_min=2, k_max=5):
    """Looks for small regions only.

    Named: there is no level above 5
    """
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return (k0 + ((w * h).sqrt() / 224).log2()).floor().clamp(min=k_min).long()


def wrong_always_2_to_5(boxes, k0=4, k_min=2, k_max=5):
    """The usual levels, whatever was asked for."""
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + ((w * h).sqrt() / 224).log2()).floor(), 2, 5)


def wrong_k0_is_4(boxes, k0=4, k_min=2, k_max=5):
    """The usual k0, whatever was asked for."""
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((4 + ((w * h).sqrt() / 224).log2()).floor(), k_min, k_max)


def wrong_counts_pixels(boxes, k0=4, k_min=2, k_max=5):
    """Sides with + 1: a region without area has a pixel, and a very narrow one is wider."""
    refuse_levels(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + (((w + 1) * (h + 1)).sqrt() / 224).log2()).floor(), k_min, k_max)


def wrong_no_area_is_an_error(boxes, k0=4, k_min=2, k_max=5):
    """The logarithm of 0 in Python."""
    refuse_levels(k_min, k_max)
    levels = []
    for x1, y1, x2, y2 in boxes.tolist():
        k = math.floor(k0 + math.log2(math.sqrt((x2 - x1) * (y2 - y1)) / 224))
        levels.append(min(max(k, k_min), k_max))
    return torch.tensor(levels, dtype=torch.int64)


def wrong_levels_swapped(boxes, k0=4, k_min=2, k_max=5):
    """Swaps levels that are in the wrong order.

    Named: expected a ValueError
    """
    k_min, k_max = min(k_min, k_max), max(k_min, k_max)
    w, h = sides(boxes)
    return from_level((k0 + ((w * h).sqrt() / 224).log2()).floor(), k_min, k_max)
