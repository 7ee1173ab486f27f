"""Answers to a7_detection, task 1."""

import torch


def refuse_boxes(*sets):
    if any(boxes.ndim != 2 or boxes.shape[1] != 4 for boxes in sets):
        raise ValueError("boxes have shape (N, 4)")


def sides_in_common(boxes1, boxes2):
    """Width and height, both (N, M), negative where two boxes do not meet."""
    ax1, ay1, ax2, ay2 = (edge[:, None] for edge in boxes1.unbind(1))
    bx1, by1, bx2, by2 = boxes2.unbind(1)
    width = torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)
    return width, torch.minimum(ay2, by2) - torch.maximum(ay1, by1)


def area_of(boxes):
    return (boxes[:, 2] - boxes[:, 0]).clamp(min=0) * (boxes[:, 3] - boxes[:, 1]).clamp(min=0)


def common_and_areas(boxes1, boxes2):
    width, height = sides_in_common(boxes1, boxes2)
    common = width.clamp(min=0) * height.clamp(min=0)
    return common, area_of(boxes1)[:, None].expand_as(common), area_of(boxes2).expand_as(common)


def right_unbound(boxes1, boxes2):
    """Edge by edge; 0 / 0 is replaced afterwards."""
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return (common / (area1 + area2 - common)).nan_to_num(nan=0.0)


def right_loops(boxes1, boxes2):
    """One pair after the other, in Python's numbers."""
    refuse_boxes(boxes1, boxes2)
    overlaps = boxes1.new_zeros(len(boxes1), len(boxes2))
    for i, a in enumerate(boxes1.tolist()):
        for j, b in enumerate(boxes2.tolist()):
            width = min(a[2], b[2]) - max(a[0], b[0])
            height = min(a[3], b[3]) - max(a[1], b[1])
            if width > 0 and height > 0:
                areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
                overlaps[i, j] = width * height / (sum(areas) - width * height)
    return overlaps


def right_one_axis_at_a_time(boxes1, boxes2):
    """Lengths in common along x and along y, with relu, and a safe division."""
    refuse_boxes(boxes1, boxes2)

    def lengths(axis):
        starts = torch.maximum(boxes1[:, axis].unsqueeze(1), boxes2[:, axis].unsqueeze(0))
        ends = torch.minimum(boxes1[:, axis + 2].unsqueeze(1), boxes2[:, axis + 2].unsqueeze(0))
        return torch.relu(ends - starts)

    common = lengths(0) * lengths(1)
    either = area_of(boxes1).unsqueeze(1) + area_of(boxes2).unsqueeze(0) - common
    either[either == 0] = 1
    return common / either


def wrong_plus_one(boxes1, boxes2):
    """Counts pixels, as R-CNN's first code did.

    Named: without + 1
    """
    refuse_boxes(boxes1, boxes2)
    width, height = sides_in_common(boxes1, boxes2)
    common = (width + 1).clamp(min=0) * (height + 1).clamp(min=0)
    area1, area2 = ((b[:, 2] - b[:, 0] + 1) * (b[:, 3] - b[:, 1] + 1) for b in (boxes1, boxes2))
    return common / (area1[:, None] + area2 - common)


def wrong_union_is_the_sum(boxes1, boxes2):
    """Counts the common area twice.

    Named: the union counts it once
    """
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return common / (area1 + area2).clamp(min=1e-30)


def wrong_over_the_smaller(boxes1, boxes2):
    """How much of the smaller box is covered.

    Named: not by the smaller box
    """
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return common / torch.minimum(area1, area2).clamp(min=1e-30)


def wrong_dice(boxes1, boxes2):
    """Dice's coefficient.

    Named: twice the common area
    """
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return 2 * common / (area1 + area2).clamp(min=1e-30)


def wrong_width_and_height(boxes1, boxes2):
    """Takes the last two numbers for width and height.

    Named: not with width and height
    """
    refuse_boxes(boxes1, boxes2)
    boxes1, boxes2 = (torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], 1) for b in (boxes1, boxes2))
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return (common / (area1 + area2 - common)).nan_to_num(nan=0.0)


def wrong_negative_sides(boxes1, boxes2):
    """Multiplies width and height before it looks whether they are negative.

    Named: a negative width times a negative height
    """
    refuse_boxes(boxes1, boxes2)
    width, height = sides_in_common(boxes1, boxes2)
    common = (width * height).clamp(min=0)
    union = area_of(boxes1)[:, None] + area_of(boxes2) - common
    return (common / union).nan_to_num(nan=0.0)


def wrong_transposed(boxes1, boxes2):
    """The second set by rows.

    Named: the rows of the result belong to boxes1
    """
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return (common / (area1 + area2 - common)).nan_to_num(nan=0.0).T


def wrong_zero_by_zero(boxes1, boxes2):
    """Divides 0 by 0.

    Named: 0 / 0 is not a number
    """
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return common / (area1 + area2 - common)


def wrong_equal_is_one(boxes1, boxes2):
    """A box is always like itself, area or not.

    Named: overlaps nothing, itself included
    """
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    overlaps = (common / (area1 + area2 - common)).nan_to_num(nan=0.0)
    return torch.where((boxes1[:, None] == boxes2).all(2), 1.0, overlaps).to(boxes1.dtype)


def wrong_epsilon(boxes1, boxes2):
    """A small number against 0 / 0, which is not small beside small boxes."""
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return common / (area1 + area2 - common + 1e-9)


def wrong_union_at_least_one(boxes1, boxes2):
    """Supposes that boxes are measured in pixels."""
    refuse_boxes(boxes1, boxes2)
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return common / (area1 + area2 - common).clamp(min=1)


def wrong_turned_over_boxes(boxes1, boxes2):
    """Sorts the edges: a box whose edges are in the wrong order gets an area."""
    refuse_boxes(boxes1, boxes2)
    boxes1, boxes2 = (
        torch.cat([torch.minimum(b[:, :2], b[:, 2:]), torch.maximum(b[:, :2], b[:, 2:])], 1)
        for b in (boxes1, boxes2)
    )
    common, area1, area2 = common_and_areas(boxes1, boxes2)
    return (common / (area1 + area2 - common)).nan_to_num(nan=0.0)


def wrong_reads_the_first_four(boxes1, boxes2):
    """Accepts rows of any length.

    Named: expected a ValueError
    """
    common, area1, area2 = common_and_areas(boxes1[:, :4], boxes2[:, :4])
    return (common / (area1 + area2 - common)).nan_to_num(nan=0.0)
