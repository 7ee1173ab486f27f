"""Answers to a7_detection, task 10."""

import math

import torch


def refuse_aligning(boxes, size, scale, samples):
    if min(size, samples) < 1 or scale <= 0 or boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError("size, scale, samples or boxes")


def points_along(start, end, size, samples):
    """P * S points along one axis, in the centres of equal fields."""
    side = (end - start) / (size * samples)
    return [start + (n + 0.5) * side for n in range(size * samples)]


def read_off(features, x, y, shift=-0.5):
    """The value (C,) at a point of the map, moved to the outermost centres."""
    _, height, width = features.shape
    x, y = min(max(x + shift, 0), width - 1), min(max(y + shift, 0), height - 1)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = x - left, y - top
    upper = (1 - a) * features[:, top, left] + a * features[:, top, right]
    lower = (1 - a) * features[:, bottom, left] + a * features[:, bottom, right]
    return (1 - b) * upper + b * lower


def aligned(features, corners, size, samples, points=points_along, read=read_off, join=None):
    """RoIAlign of boxes on the map, with parts that can be replaced."""
    out = []
    for x1, y1, x2, y2 in corners:
        grid = [
            [read(features, x, y) for x in points(x1, x2, size, samples)]
            for y in points(y1, y2, size, samples)
        ]
        table = torch.stack([torch.stack(row, dim=-1) for row in grid], dim=-2)  # (C, PS, PS)
        table = table.unflatten(2, (size, samples)).unflatten(1, (size, samples))
        out.append(table.mean((2, 4)) if join is None else join(table))
    return torch.stack(out) if out else features.new_zeros(0, len(features), size, size)


def on_map(boxes, scale):
    return [[edge * scale for edge in box] for box in boxes.double().tolist()]


def right_point_by_point(features, boxes, size, scale, samples=2):
    """As the text says it."""
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features, on_map(boxes, scale), size, samples)


def right_four_neighbours(features, boxes, size, scale, samples=2):
    """All points at once: four lookups and four weights."""
    refuse_aligning(boxes, size, scale, samples)
    channels, height, width = features.shape
    places = (torch.arange(size * samples) + 0.5).to(boxes.dtype) / (size * samples)
    start, end = boxes[:, None, :2] * scale, boxes[:, None, 2:] * scale
    points = start + places[:, None] * (end - start) - 0.5  # (K, PS, 2)
    x = points[..., 0].clamp(0, width - 1)[:, None, :].expand(-1, len(places), -1)
    y = points[..., 1].clamp(0, height - 1)[:, :, None].expand(-1, -1, len(places))
    value = 0
    for row, row_weight in ((y.floor(), 1 - y.frac()), (y.floor() + 1, y.frac())):
        for column, column_weight in ((x.floor(), 1 - x.frac()), (x.floor() + 1, x.frac())):
            r, c = row.long().clamp(max=height - 1), column.long().clamp(max=width - 1)
            value = value + features[:, r, c] * (row_weight * column_weight).to(features.dtype)
    value = value.reshape(channels, len(boxes), size, samples, size, samples)
    return value.mean(dim=(3, 5)).transpose(0, 1)


def right_bordered(features, boxes, size, scale, samples=2):
    """A border that repeats the outermost pixels, so that nothing has to be moved inside."""
    refuse_aligning(boxes, size, scale, samples)
    wide = torch.cat([features[:, :, :1], features, features[:, :, -1:]], dim=2)
    wide = torch.cat([wide[:, :1], wide, wide[:, -1:]], dim=1)

    def read(maps, x, y):
        # With the border, pixel 0 of the map is pixel 1.
        return read_off(maps, x, y, shift=0.5)

    return aligned(wide, on_map(boxes, scale), size, samples, read=read)


def wrong_box_rounded(features, boxes, size, scale, samples=2):
    """Rounds the box, as RoI pooling does.

    Named: nothing is rounded
    """
    refuse_aligning(boxes, size, scale, samples)
    corners = [[math.floor(edge + 0.5) for edge in box] for box in on_map(boxes, scale)]
    return aligned(features, corners, size, samples)


def wrong_box_cut_off(features, boxes, size, scale, samples=2):
    """Cuts the fractions off.

    Named: not the pixels below
    """
    refuse_aligning(boxes, size, scale, samples)
    corners = [[math.floor(edge) for edge in box] for box in on_map(boxes, scale)]
    return aligned(features, corners, size, samples)


def wrong_bins_rounded(features, boxes, size, scale, samples=2):
    """Keeps the box and rounds the bins."""
    refuse_aligning(boxes, size, scale, samples)

    def points(start, end, count, inside):
        side = (end - start) / count
        found = []
        for p in range(count):
            first, last = round(start + p * side), round(start + (p + 1) * side)
            found += points_along(first, last, 1, inside)
        return found

    return aligned(features, on_map(boxes, scale), size, samples, points)


def wrong_half_pixel(features, boxes, size, scale, samples=2):
    """Pixel (0, 0) in the point (0, 0), as in the first code of the paper.

    Named: half a pixel farther
    """
    refuse_aligning(boxes, size, scale, samples)

    def read(maps, x, y):
        return read_off(maps, x, y, shift=0.0)

    return aligned(features, on_map(boxes, scale), size, samples, read=read)


def wrong_half_pixel_added(features, boxes, size, scale, samples=2):
    """Half a pixel in the wrong direction.

    Named: do not add it
    """
    refuse_aligning(boxes, size, scale, samples)

    def read(maps, x, y):
        return read_off(maps, x, y, shift=0.5)

    return aligned(features, on_map(boxes, scale), size, samples, read=read)


def wrong_x_for_y(features, boxes, size, scale, samples=2):
    """x indexes rows.

    Named: x belongs to the columns
    """
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features, on_map(boxes[:, [1, 0, 3, 2]], scale), size, samples)


def wrong_bins_transposed(features, boxes, size, scale, samples=2):
    """Bins by columns first.

    Named: the bins from top to bottom
    """
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features, on_map(boxes, scale), size, samples).transpose(2, 3)


def wrong_largest(features, boxes, size, scale, samples=2):
    """The maximum of the points.

    Named: not the largest
    """
    refuse_aligning(boxes, size, scale, samples)
    return aligned(
        features, on_map(boxes, scale), size, samples, join=lambda table: table.amax((2, 4))
    )


def wrong_sum(features, boxes, size, scale, samples=2):
    """The sum of the points.

    Named: not their sum
    """
    refuse_aligning(boxes, size, scale, samples)
    return aligned(
        features, on_map(boxes, scale), size, samples, join=lambda table: table.sum((2, 4))
    )


def wrong_one_point(features, boxes, size, scale, samples=2):
    """The centre of the bin, once.

    Named: not one point
    """
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features, on_map(boxes, scale), size, 1)


def wrong_nearest_pixel(features, boxes, size, scale, samples=2):
    """The pixel in which a point lies."""
    refuse_aligning(boxes, size, scale, samples)

    def read(maps, x, y):
        row, column = min(math.floor(y), maps.shape[1] - 1), min(math.floor(x), maps.shape[2] - 1)
        return maps[:, row, column]

    return aligned(features, on_map(boxes, scale), size, samples, read=read)


def wrong_edges_of_the_bin(features, boxes, size, scale, samples=2):
    """Points from one edge of the bin to the other.

    Named: not the edges of the bin
    """
    refuse_aligning(boxes, size, scale, samples)

    def points(start, end, count, inside):
        side = (end - start) / count
        steps = torch.linspace(0, 1, inside).tolist() if inside > 1 else [0.5]
        return [start + (p + step) * side for p in range(count) for step in steps]

    return aligned(features, on_map(boxes, scale), size, samples, points)


def wrong_weights_swapped(features, boxes, size, scale, samples=2):
    """The far pixel counts more."""
    refuse_aligning(boxes, size, scale, samples)

    def read(maps, x, y):
        x = min(max(x - 0.5, 0), maps.shape[2] - 1)
        y = min(max(y - 0.5, 0), maps.shape[1] - 1)
        return read_off(maps, math.floor(x) + 1 - x % 1, math.floor(y) + 1 - y % 1, shift=0.0)

    return aligned(features, on_map(boxes, scale), size, samples, read=read)


def wrong_zero_outside(features, boxes, size, scale, samples=2):
    """A border of zeros.

    Named: takes the value at the border, not 0
    """
    refuse_aligning(boxes, size, scale, samples)
    zeros = features.new_zeros(len(features), features.shape[1] + 2, features.shape[2] + 2)
    zeros[:, 1:-1, 1:-1] = features

    def read(maps, x, y):
        return read_off(maps, x, y, shift=0.5)

    return aligned(zeros, on_map(boxes, scale), size, samples, read=read)


def wrong_without_scale(features, boxes, size, scale, samples=2):
    """Takes pixels of the picture for pixels of the map."""
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features, on_map(boxes, 1.0), size, samples)


def wrong_at_least_one_pixel(features, boxes, size, scale, samples=2):
    """Makes each box at least 1 x 1, as the first code of the paper did."""
    refuse_aligning(boxes, size, scale, samples)
    corners = [
        (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)) for x1, y1, x2, y2 in on_map(boxes, scale)
    ]
    return aligned(features, corners, size, samples)


def wrong_always_two_points(features, boxes, size, scale, samples=2):
    """Ignores the last argument."""
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features, on_map(boxes, scale), size, 2)


def wrong_numbers_only(features, boxes, size, scale, samples=2):
    """Leaves the graph."""
    refuse_aligning(boxes, size, scale, samples)
    return aligned(features.detach(), on_map(boxes, scale), size, samples)


def wrong_at_least_one_point(features, boxes, size, scale, samples=2):
    """Replaces a number of points that makes no sense.

    Named: expected a ValueError
    """
    return aligned(features, on_map(boxes, scale), size, max(samples, 1))
