"""Answers to a7_detection, task 5."""

import math

import torch

LARGEST = math.log(1000 / 16)


def refuse_to_decode(deltas, anchors):
    if deltas.shape != anchors.shape:
        raise ValueError("one anchor for each row of deltas")


def unweighed(deltas, weights):
    return [t / w for t, w in zip(deltas.unbind(1), weights, strict=True)]


def middle_and_size(boxes):
    """Four columns: x, y, w, h."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def edges(x, y, w, h):
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1)


def right_columns(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Column by column, as in the formula."""
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * wa, ya + ty * ha, w, h)


def right_factor_by_minimum(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """The minimum by `where`; the corner first, then the size added to it."""
    refuse_to_decode(deltas, anchors)
    t = deltas / torch.tensor(weights, dtype=deltas.dtype)
    size = anchors[:, 2:] - anchors[:, :2]
    stretch = torch.where(t[:, 2:] < LARGEST, t[:, 2:], torch.full_like(t[:, 2:], LARGEST))
    own = size * torch.exp(stretch)
    corner = anchors[:, :2] + (0.5 + t[:, :2]) * size - 0.5 * own
    return torch.cat([corner, corner + own], dim=1)


def right_edge_by_edge(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """One axis after the other."""
    refuse_to_decode(deltas, anchors)
    columns = [None] * 4
    for axis in (0, 1):
        start, end = anchors[:, axis], anchors[:, axis + 2]
        middle = (start + end) / 2 + deltas[:, axis] / weights[axis] * (end - start)
        t = torch.minimum(deltas[:, axis + 2] / weights[axis + 2], deltas.new_tensor(LARGEST))
        half = (end - start) * torch.exp(t) / 2
        columns[axis], columns[axis + 2] = middle - half, middle + half
    return torch.stack(columns, dim=-1)


def wrong_half_forgotten(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """The whole size on each side.

    Named: half of the size lies on each side
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * wa, ya + ty * ha, 2 * w, 2 * h)


def wrong_centre_and_size(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Forgets to go back to the edges.

    Named: this is (centre, size)
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return torch.stack([xa + tx * wa, ya + ty * ha, w, h], dim=1)


def wrong_centre_is_the_corner(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Hangs the box on its centre.

    Named: not its corner
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    x, y = xa + tx * wa, ya + ty * ha
    return torch.stack([x, y, x + w, y + h], dim=1)


def wrong_from_the_corner(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Shifts the corner of the anchor.

    Named: at the centre of the anchor, not at its corner
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    _, _, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(anchors[:, 0] + tx * wa, anchors[:, 1] + ty * ha, w, h)


def wrong_shift_in_pixels(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Takes shifts for pixels.

    Named: shifts are measured in sizes of the anchor
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx, ya + ty, w, h)


def wrong_shift_in_own_sizes(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Multiplies the shift by the new size.

    Named: not of the box
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * w, ya + ty * h, w, h)


def wrong_width_for_height(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Multiplies the horizontal shift by the height.

    Named: by the width of the anchor
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * ha, ya + ty * wa, w, h)


def wrong_no_exponential(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Takes t_w for the factor.

    Named: exp() turns it into a factor
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    return edges(xa + tx * wa, ya + ty * ha, wa * tw, ha * th)


def wrong_times_the_weights(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Multiplies where encoding has multiplied.

    Named: divide by the weights
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, [1 / w for w in weights])
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * wa, ya + ty * ha, w, h)


def wrong_without_weights(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Forgets the weights.

    Named: the weights are missing
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = deltas.unbind(1)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * wa, ya + ty * ha, w, h)


def wrong_not_cut_off(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Trusts the network.

    Named: is cut off at ln(1000 / 16)
    """
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    return edges(xa + tx * wa, ya + ty * ha, wa * tw.exp(), ha * th.exp())


def wrong_cut_off_first(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Cuts off what is still multiplied by its weight.

    Named: divide by the weights first
    """
    refuse_to_decode(deltas, anchors)
    shift, stretch = deltas.split(2, dim=1)
    deltas = torch.cat([shift, stretch.clamp(max=LARGEST)], dim=1)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    return edges(xa + tx * wa, ya + ty * ha, wa * tw.exp(), ha * th.exp())


def wrong_cut_off_on_both_sides(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Does not let a box become very small either."""
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = (a * t.clamp(-LARGEST, LARGEST).exp() for a, t in ((wa, tw), (ha, th)))
    return edges(xa + tx * wa, ya + ty * ha, w, h)


def wrong_shift_cut_off_too(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Cuts off all four numbers."""
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = (
        t.clamp(max=1.0 if n < 2 else LARGEST) for n, t in enumerate(unweighed(deltas, weights))
    )
    xa, ya, wa, ha = middle_and_size(anchors)
    return edges(xa + tx * wa, ya + ty * ha, wa * tw.exp(), ha * th.exp())


def wrong_cut_off_at_62(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Cuts off t itself at 62.5."""
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas, weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=62.5).exp(), ha * th.clamp(max=62.5).exp()
    return edges(xa + tx * wa, ya + ty * ha, w, h)


def wrong_takes_the_gradient_off(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Leaves the graph."""
    refuse_to_decode(deltas, anchors)
    tx, ty, tw, th = unweighed(deltas.detach(), weights)
    xa, ya, wa, ha = middle_and_size(anchors)
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * wa, ya + ty * ha, w, h)


def wrong_repeats_the_anchor(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Lets the last anchor serve the deltas that have none.

    Named: expected a ValueError
    """
    rows = torch.arange(len(deltas)).clamp(max=len(anchors) - 1)
    tx, ty, tw, th = unweighed(deltas[:, :4], weights)
    xa, ya, wa, ha = middle_and_size(anchors[rows])
    w, h = wa * tw.clamp(max=LARGEST).exp(), ha * th.clamp(max=LARGEST).exp()
    return edges(xa + tx * wa, ya + ty * ha, w, h)
