"""Answers to a7_detection, task 9."""

import itertools
import math

import torch


def refuse_pooling(boxes, size, scale):
    if size < 1 or scale <= 0 or boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError("size, scale or boxes")


def nearest(edge):
    return math.floor(edge + 0.5)


def windows(boxes, scale, rounded=nearest):
    return [[rounded(edge * scale) for edge in box] for box in boxes.double().tolist()]


def edges_of_bins(first, last, size):
    """First pixel and one past the last of each bin."""
    length = last - first + 1
    return [
        (first + math.floor(p * length / size), first + math.ceil((p + 1) * length / size))
        for p in range(size)
    ]


def pooled(features, window, size, bins=edges_of_bins, value=lambda part: part.amax((1, 2))):
    """The bins (C, P, P) of one window (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = window
    rows = []
    for top, bottom in bins(y1, y2, size):
        row = []
        for left, right in bins(x1, x2, size):
            part = features[:, top:bottom, left:right]
            row.append(value(part) if part.numel() else features.new_zeros(len(features)))
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)


def pile(features, parts, size):
    return torch.stack(parts) if parts else features.new_zeros(0, len(features), size, size)


def right_slices(features, boxes, size, scale):
    """Bin after bin."""
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, window, size) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def right_one_axis_after_the_other(features, boxes, size, scale):
    """The maximum over rows, then over columns; what lies outside the map is minus infinity."""
    refuse_pooling(boxes, size, scale)

    def along(maps, first, last):
        """Bins of the last dimension."""
        pixels = torch.arange(maps.shape[-1])
        slices = []
        for start, end in edges_of_bins(first, last, size):
            inside = (pixels >= start) & (pixels < end)
            slices.append(torch.where(inside, maps, -torch.inf).amax(-1))
        return torch.stack(slices, dim=-1)

    parts = []
    for x1, y1, x2, y2 in windows(boxes, scale):
        maps = along(features, x1, x2)  # (C, H, P)
        maps = along(maps.transpose(1, 2), y1, y2).transpose(1, 2)
        parts.append(torch.where(maps.isinf(), torch.zeros_like(maps), maps))
    return pile(features, parts, size)


def right_pixel_by_pixel(features, boxes, size, scale):
    """Whole numbers in torch; rounding up is rounding down of the opposite."""
    refuse_pooling(boxes, size, scale)
    out = features.new_zeros(len(boxes), len(features), size, size)
    corner = torch.floor(boxes * scale + 0.5).to(torch.int64)
    for k in range(len(boxes)):
        x1, y1, x2, y2 = corner[k].tolist()
        high, wide = y2 - y1 + 1, x2 - x1 + 1
        for i in range(size):
            for j in range(size):
                rows = range(y1 + i * high // size, y1 - (-(i + 1) * high // size))
                columns = range(x1 + j * wide // size, x1 - (-(j + 1) * wide // size))
                seen = [
                    features[:, r, c]
                    for r in rows
                    for c in columns
                    if r < features.shape[1] and c < features.shape[2]
                ]
                if seen:
                    out[k, :, i, j] = torch.stack(seen).max(dim=0).values
    return out


def wrong_round_to_even(features, boxes, size, scale):
    """Python's round: 0.5 becomes 0.

    Named: the even neighbour
    """
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, window, size) for window in windows(boxes, scale, round)]
    return pile(features, parts, size)


def wrong_rounded_down(features, boxes, size, scale):
    """Cuts the fractions off.

    Named: round to the nearest pixel, not down
    """
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, window, size) for window in windows(boxes, scale, math.floor)]
    return pile(features, parts, size)


def wrong_end_excluded(features, boxes, size, scale):
    """The window ends before x2.

    Named: includes its last row and its last column
    """
    refuse_pooling(boxes, size, scale)
    parts = [
        pooled(features, (x1, y1, x2 - 1, y2 - 1), size) for x1, y1, x2, y2 in windows(boxes, scale)
    ]
    return pile(features, parts, size)


def wrong_x_for_y(features, boxes, size, scale):
    """x indexes rows.

    Named: x belongs to the columns
    """
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, (y1, x1, y2, x2), size) for x1, y1, x2, y2 in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_bins_transposed(features, boxes, size, scale):
    """Bins by columns first.

    Named: but rows come first
    """
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, window, size).transpose(1, 2) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_mean(features, boxes, size, scale):
    """Averages.

    Named: not its mean
    """
    refuse_pooling(boxes, size, scale)
    parts = [
        pooled(features, window, size, value=lambda part: part.mean((1, 2)))
        for window in windows(boxes, scale)
    ]
    return pile(features, parts, size)


def wrong_without_scale(features, boxes, size, scale):
    """Takes pixels of the picture for pixels of the map.

    Named: multiply it by scale
    """
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, window, size) for window in windows(boxes, 1.0)]
    return pile(features, parts, size)


def wrong_bins_side_by_side(features, boxes, size, scale):
    """A bin ends where the next begins.

    Named: a bin ends where it is rounded up
    """
    refuse_pooling(boxes, size, scale)

    def bins(first, last, count):
        cuts = [first + p * (last - first + 1) // count for p in range(count + 1)]
        return [(a, max(b, a + 1)) for a, b in itertools.pairwise(cuts)]

    parts = [pooled(features, window, size, bins) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_bins_rounded_up(features, boxes, size, scale):
    """Both ends rounded up.

    Named: a bin begins where it is rounded down
    """
    refuse_pooling(boxes, size, scale)

    def bins(first, last, count):
        length = last - first + 1
        cuts = [first + math.ceil(p * length / count) for p in range(count + 1)]
        return [(min(a, b - 1), b) for a, b in itertools.pairwise(cuts)]

    parts = [pooled(features, window, size, bins) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_equal_bins(features, boxes, size, scale):
    """Bins of equal size, and what is left over is dropped."""
    refuse_pooling(boxes, size, scale)

    def bins(first, last, count):
        side = max(1, (last - first + 1) // count)
        return [(first + p * side, first + (p + 1) * side) for p in range(count)]

    parts = [pooled(features, window, size, bins) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_one_pixel_for_one_bin(features, boxes, size, scale):
    """A window smaller than the result fills its corner only.

    Named: belongs to all bins
    """
    refuse_pooling(boxes, size, scale)

    def bins(first, last, count):
        inside = edges_of_bins(first, last, min(count, last - first + 1))
        return inside + [(first, first)] * (count - len(inside))

    parts = [pooled(features, window, size, bins) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_infinite_outside(features, boxes, size, scale):
    """A bin outside the map keeps the start of its maximum."""
    refuse_pooling(boxes, size, scale)
    parts = []
    for window in windows(boxes, scale):
        part = pooled(features, window, size, value=lambda part: part.amax((1, 2)))
        beyond = [a >= features.shape[2] for a, _ in edges_of_bins(window[0], window[2], size)]
        part[:, :, torch.tensor(beyond)] = -torch.inf
        parts.append(part)
    return pile(features, parts, size)


def wrong_moved_inside(features, boxes, size, scale):
    """Moves the last pixel of the window into the map, which makes other bins."""
    refuse_pooling(boxes, size, scale)
    _, height, width = features.shape
    parts = [
        pooled(features, (x1, y1, min(x2, width - 1), min(y2, height - 1)), size)
        for x1, y1, x2, y2 in windows(boxes, scale)
    ]
    return pile(features, parts, size)


def wrong_zero_is_the_least(features, boxes, size, scale):
    """Starts the maximum at 0, as if a ReLU came before."""
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features, window, size).clamp(min=0) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_numbers_only(features, boxes, size, scale):
    """Leaves the graph."""
    refuse_pooling(boxes, size, scale)
    parts = [pooled(features.detach(), window, size) for window in windows(boxes, scale)]
    return pile(features, parts, size)


def wrong_at_least_one_bin(features, boxes, size, scale):
    """Replaces a size that makes no sense.

    Named: expected a ValueError
    """
    size = max(size, 1)
    parts = [pooled(features, window, size) for window in windows(boxes, scale)]
    return pile(features, parts, size)
