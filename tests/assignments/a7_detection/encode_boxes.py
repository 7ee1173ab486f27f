"""Answers to a7_detection, task 4."""

import math

import torch


def refuse_to_encode(boxes, anchors):
    if boxes.shape != anchors.shape:
        raise ValueError("one anchor for each box")
    for x1, y1, x2, y2 in [*boxes.tolist(), *anchors.tolist()]:
        if x2 <= x1 or y2 <= y1:
            raise ValueError("no area")


def middle_and_size(boxes):
    """Four columns: x, y, w, h."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def weighed(numbers, weights):
    return torch.stack([t * w for t, w in zip(numbers, weights, strict=True)], dim=1)


def right_columns(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Column by column, as in the formula."""
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log()), weights)


def right_difference_of_logarithms(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Twice the centre is the sum of the edges; the logarithm of a quotient is a difference."""
    refuse_to_encode(boxes, anchors)
    start, end = boxes[:, :2], boxes[:, 2:]
    anchor_start, anchor_end = anchors[:, :2], anchors[:, 2:]
    shift = (start + end - anchor_start - anchor_end) / (anchor_end - anchor_start) / 2
    stretch = (end - start).log() - (anchor_end - anchor_start).log()
    return torch.cat([shift, stretch], dim=1) * torch.tensor(weights, dtype=boxes.dtype)


def right_rows(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Row by row, in Python's numbers."""
    refuse_to_encode(boxes, anchors)
    encoded = torch.zeros_like(boxes)
    for n, (b, a) in enumerate(zip(boxes.tolist(), anchors.tolist(), strict=True)):
        for axis in (0, 1):
            side, own = a[axis + 2] - a[axis], b[axis + 2] - b[axis]
            moved = b[axis] + own / 2 - a[axis] - side / 2
            encoded[n, axis] = weights[axis] * moved / side
            encoded[n, axis + 2] = weights[axis + 2] * math.log(own / side)
    return encoded


def wrong_swapped(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """From the box to the anchor.

    Named: box and anchor are swapped
    """
    refuse_to_encode(boxes, anchors)
    (xa, ya, wa, ha), (x, y, w, h) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log()), weights)


def wrong_by_the_size_of_the_box(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Divides the shift by the box's own size.

    Named: by the size of the anchor, not of the box
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / w, (y - ya) / h, (w / wa).log(), (h / ha).log()), weights)


def wrong_width_for_height(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Divides x by the height and y by the width.

    Named: t_x is divided by the width
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / ha, (y - ya) / wa, (w / wa).log(), (h / ha).log()), weights)


def wrong_corners(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """From corner to corner.

    Named: from centre to centre
    """
    refuse_to_encode(boxes, anchors)
    (_, _, w, h), (_, _, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    shift = boxes - anchors
    return weighed((shift[:, 0] / wa, shift[:, 1] / ha, (w / wa).log(), (h / ha).log()), weights)


def wrong_in_pixels(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Shifts in pixels.

    Named: measured in sizes of the anchor
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed((x - xa, y - ya, (w / wa).log(), (h / ha).log()), weights)


def wrong_ratio_upside_down(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """The logarithm of the wrong ratio.

    Named: not of w_a / w
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / wa, (y - ya) / ha, (wa / w).log(), (ha / h).log()), weights)


def wrong_no_logarithm(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """The ratio itself.

    Named: the logarithm is missing
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / wa, (y - ya) / ha, w / wa, h / ha), weights)


def wrong_base_2(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Another logarithm.

    Named: to base 2
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / wa, (y - ya) / ha, (w / wa).log2(), (h / ha).log2()), weights)


def wrong_order(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Height before width, like the shape of a picture.

    Named: the order is
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return weighed(((x - xa) / wa, (y - ya) / ha, (h / ha).log(), (w / wa).log()), weights)


def wrong_plus_one(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Counts pixels.

    Named: without + 1
    """
    refuse_to_encode(boxes, anchors)
    one_more = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    (x, y, w, h), (xa, ya, wa, ha) = (middle_and_size(b + one_more) for b in (boxes, anchors))
    return weighed(((x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log()), weights)


def wrong_divided_by_the_weights(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Takes the weights for standard deviations.

    Named: are multiplied by the weights
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    numbers = ((x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log())
    return weighed(numbers, [1 / weight for weight in weights])


def wrong_weights_forgotten(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """No weights.

    Named: the weights are missing
    """
    refuse_to_encode(boxes, anchors)
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    return torch.stack([(x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log()], dim=1)


def wrong_width_refused_only(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Looks at the widths and not at the heights."""
    if boxes.shape != anchors.shape:
        raise ValueError("one anchor for each box")
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    if (w <= 0).any() or (wa <= 0).any():
        raise ValueError("no area")
    return weighed(((x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log()), weights)


def wrong_saved_by_a_small_number(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Lifts the sizes instead of refusing.

    Named: expected a ValueError
    """
    (x, y, w, h), (xa, ya, wa, ha) = middle_and_size(boxes), middle_and_size(anchors)
    w, h, wa, ha = (side.clamp(min=1e-6) for side in (w, h, wa, ha))
    return weighed(((x - xa) / wa, (y - ya) / ha, (w / wa).log(), (h / ha).log()), weights)
