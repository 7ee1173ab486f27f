"""Answers to a7_detection, task 6."""

import itertools

import torch


def refuse_anchors(height, width, stride, sizes, ratios):
    numbers = [height, width, stride, *sizes, *ratios]
    if len(sizes) == 0 or len(ratios) == 0 or any(number <= 0 for number in numbers):
        raise ValueError("positive numbers")


def one_by_one(height, width, stride, shapes, offset=0.5):
    """A box of each shape (w, h) at each position, row by row."""
    boxes = []
    for i, j in itertools.product(range(height), range(width)):
        x, y = (j + offset) * stride, (i + offset) * stride
        boxes += [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for w, h in shapes]
    return torch.tensor(boxes, dtype=torch.float32)


def shapes_of(sizes, ratios):
    return [(s / r**0.5, s * r**0.5) for r in ratios for s in sizes]


def right_loops(height, width, stride, sizes, ratios):
    """Position by position."""
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, shapes_of(sizes, ratios))


def right_from_the_area(height, width, stride, sizes, ratios):
    """The width from the area, the height from the width; positions by numbers."""
    refuse_anchors(height, width, stride, sizes, ratios)
    ratio, size = (
        torch.cartesian_prod(
            torch.tensor(ratios, dtype=torch.float64), torch.tensor(sizes, dtype=torch.float64)
        )
        .reshape(-1, 2)
        .unbind(1)
    )
    w = (size.square() / ratio).sqrt()
    half = torch.stack([w, w * ratio], dim=1) / 2
    number = torch.arange(height * width)
    centre = torch.stack([number % width, number // width], dim=1) * stride + stride / 2
    boxes = torch.cat([centre[:, None] - half, centre[:, None] + half], dim=2)
    return boxes.flatten(0, 1).float()


def wrong_ratio_of_width(height, width, stride, sizes, ratios):
    """Width divided by height.

    Named: the ratio is height divided by width
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, [(h, w) for w, h in shapes_of(sizes, ratios)])


def wrong_no_root(height, width, stride, sizes, ratios):
    """Divides and multiplies by the ratio itself.

    Named: the square root of the ratio
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, [(s / r, s * r) for r in ratios for s in sizes])


def wrong_only_the_height(height, width, stride, sizes, ratios):
    """Keeps the width.

    Named: if the height grows, the width shrinks
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, [(s, s * r) for r in ratios for s in sizes])


def wrong_only_the_width(height, width, stride, sizes, ratios):
    """Keeps the height.

    Named: if the width shrinks, the height grows
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, [(s / r, s) for r in ratios for s in sizes])


def wrong_in_the_corner(height, width, stride, sizes, ratios):
    """The centre in the corner, as in the code of the papers.

    Named: not in their corner
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, shapes_of(sizes, ratios), offset=0.0)


def wrong_half_forgotten(height, width, stride, sizes, ratios):
    """The whole size on each side.

    Named: half of the size
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    shapes = [(2 * w, 2 * h) for w, h in shapes_of(sizes, ratios)]
    return one_by_one(height, width, stride, shapes)


def wrong_sizes_in_strides(height, width, stride, sizes, ratios):
    """Sizes in pixels of the map.

    Named: in pixels of the picture, not of the map
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    shapes = [(stride * w, stride * h) for w, h in shapes_of(sizes, ratios)]
    return one_by_one(height, width, stride, shapes)


def wrong_cut_off(height, width, stride, sizes, ratios):
    """Cuts the anchors off at the border.

    Named: not cut off at the border
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    boxes = one_by_one(height, width, stride, shapes_of(sizes, ratios))
    limits = torch.tensor([width, height, width, height]) * float(stride)
    return torch.minimum(boxes.clamp(min=0), limits)


def wrong_column_by_column(height, width, stride, sizes, ratios):
    """The row runs faster.

    Named: the column runs faster than the row
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    boxes = one_by_one(height, width, stride, shapes_of(sizes, ratios))
    return boxes.reshape(height, width, -1, 4).transpose(0, 1).reshape(-1, 4)


def wrong_x_from_the_row(height, width, stride, sizes, ratios):
    """Row is x, column is y.

    Named: x belongs to the column
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    swapped = [(h, w) for w, h in shapes_of(sizes, ratios)]
    return one_by_one(height, width, stride, swapped)[:, [1, 0, 3, 2]]


def wrong_ratios_first(height, width, stride, sizes, ratios):
    """All ratios of a size together.

    Named: all sizes of the first ratio come first
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    shapes = [(s / r**0.5, s * r**0.5) for s in sizes for r in ratios]
    return one_by_one(height, width, stride, shapes)


def wrong_shape_after_shape(height, width, stride, sizes, ratios):
    """All positions of a shape together.

    Named: the anchors of a position stand together
    """
    refuse_anchors(height, width, stride, sizes, ratios)
    shapes = shapes_of(sizes, ratios)
    return torch.cat([one_by_one(height, width, stride, [shape]) for shape in shapes])


def wrong_rounded(height, width, stride, sizes, ratios):
    """Rounds to whole pixels, as in the code of the papers."""
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, shapes_of(sizes, ratios)).round()


def wrong_whole_centres(height, width, stride, sizes, ratios):
    """Half a stride in whole numbers: 3 for a stride of 7."""
    refuse_anchors(height, width, stride, sizes, ratios)
    boxes = one_by_one(height, width, stride, shapes_of(sizes, ratios), offset=0.0)
    return boxes + stride // 2


def wrong_float64(height, width, stride, sizes, ratios):
    """More digits than asked for."""
    refuse_anchors(height, width, stride, sizes, ratios)
    return one_by_one(height, width, stride, shapes_of(sizes, ratios)).double()


def wrong_nothing_refused(height, width, stride, sizes, ratios):
    """No sizes, no anchors.

    Named: expected a ValueError
    """
    return one_by_one(height, width, stride, shapes_of(sizes, ratios)).reshape(-1, 4)
