"""Boxes: formats, area, overlap, and the four numbers that turn one box into another.

A box is ``(x1, y1, x2, y2)`` in pixels, "xyxy" for short: left, top, right and bottom edge, x to
the right and y downwards. Coordinates are points of a plane, not numbers of pixels: the pixel in
the top left corner covers the box (0, 0, 1, 1) and a picture of H × W pixels the box (0, 0, W, H).
So a box is x2 - x1 wide, without the "+ 1" that VOC's and R-CNN's first code adds because it counts
pixels.

What is not a proper box gets the same answer everywhere:

- a box without area (x2 ≤ x1 or y2 ≤ y1) has area 0 and overlaps nothing, itself included;
- NaN stays NaN, and what is compared with NaN is false: such a box is dropped by
  `remove_small_boxes`;
- a box may lie outside the picture; `clip_boxes_to_image` cuts off what sticks out;
- no boxes is a tensor of shape (0, 4), and every function takes it.

What a user hands in as ground truth is held to more by `check_boxes`, once, at the door.

The functions agree with their namesakes in ``torchvision.ops`` except where those return 0 / 0.
They work on any device, and gradients flow through all that compute coordinates or overlaps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FORMATS = ("xyxy", "xywh", "cxcywh")

Weights = tuple[float, float, float, float]

# A predicted side is at most 1000/16 = 62.5 times the anchor's side: exp() of what an untrained
# network says would overflow. The number is that of the released code of Fast and Mask R-CNN
# (Detectron): from an anchor of 16 pixels to a picture of 1000.
LOG_OF_LARGEST_SCALE = math.log(1000 / 16)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Translate boxes from one format into another.

    Args:
        boxes: Boxes (..., 4) in the format `in_fmt`.
        in_fmt: "xyxy" (left, top, right, bottom; used in this package), "xywh" (left, top, width,
            height; COCO's files) or "cxcywh" (centre, width, height; what networks predict).
        out_fmt: One of the same.

    Returns:
        Boxes (..., 4). Whole numbers become floating point where the centre asks for halves.

    Raises:
        ValueError: A format is unknown or the last dimension is not 4.
    """
    for fmt in (in_fmt, out_fmt):
        if fmt not in FORMATS:
            raise ValueError(f"a box format is one of {', '.join(FORMATS)}; got {fmt!r}")
    a, b, c, d = _check_shape(boxes).unbind(-1)
    if in_fmt == out_fmt:
        return boxes.clone()
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    x1, y1, x2, y2 = a, b, c, d
    if out_fmt == "xyxy":
        converted = (x1, y1, x2, y2)
    elif out_fmt == "xywh":
        converted = (x1, y1, x2 - x1, y2 - y1)
    else:
        centre = (x1 + x2) / 2, (y1 + y2) / 2
        width, height = x2 - x1, y2 - y1
        converted = (*centre, width.to(centre[0].dtype), height.to(centre[0].dtype))
    return torch.stack(converted, dim=-1)


def box_area(boxes: Tensor) -> Tensor:
    """Area of each box in square pixels; 0 for a box whose edges are in the wrong order.

    Args:
        boxes: Boxes (..., 4).

    Returns:
        Areas (...), in float32 at least: 300 · 300 is more than half precision can hold.

    Raises:
        ValueError: The last dimension is not 4.
    """
    x1, y1, x2, y2 = _as_float(_check_shape(boxes)).unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut off what sticks out of the picture; a box wholly outside keeps no area.

    Args:
        boxes: Boxes (..., 4).
        size: (H, W) of the picture.

    Returns:
        Boxes (..., 4) with x from 0 to W and y from 0 to H.

    Raises:
        ValueError: The last dimension is not 4.
    """
    x1, y1, x2, y2 = _check_shape(boxes).unbind(-1)
    height, width = size
    clipped = (x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height))
    return torch.stack(clipped, dim=-1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Find the boxes that are at least `min_size` wide and high.

    Args:
        boxes: Boxes (N, 4).
        min_size: Smallest allowed side in pixels.

    Returns:
        Indices of the boxes that stay, int64, in order. A box with a NaN does not stay.

    Raises:
        ValueError: The boxes do not have shape (N, 4).
    """
    x1, y1, x2, y2 = _check_shape(boxes, ndim=2).unbind(1)
    return torch.nonzero((x2 - x1 >= min_size) & (y2 - y1 >= min_size)).squeeze(1)


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every box of the one set with every box of the other.

    The common area divided by the area that the two cover together: 1 for equal boxes, 0 for boxes
    that do not meet (Everingham et al., "The Pascal visual object classes challenge", 2010, section
    4.2).

    Args:
        boxes1: Boxes (N, 4).
        boxes2: Boxes (M, 4).

    Returns:
        Overlaps (N, M) from 0 to 1. A box without area has overlap 0 with everything.

    Raises:
        ValueError: The boxes do not have shape (N, 4).
    """
    _check_shape(boxes1, ndim=2, what="boxes1")
    _check_shape(boxes2, ndim=2, what="boxes2")
    intersection, union = intersection_and_union(boxes1, boxes2)
    return _ratio(intersection, union)


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU minus the share of the smallest enclosing box that neither of the two covers.

    IoU is 0 for all boxes that do not meet, near or far, so it gives no gradient. GIoU falls
    towards -1 the farther they are apart.

    Args:
        boxes1: Boxes (N, 4).
        boxes2: Boxes (M, 4).

    Returns:
        GIoU (N, M) from -1 to 1. It is 0 where the enclosing box has no area.

    Raises:
        ValueError: The boxes do not have shape (N, 4).

    Reference: Rezatofighi et al., "Generalized intersection over union", arXiv:1902.09630,
    algorithm 1.
    """
    _check_shape(boxes1, ndim=2, what="boxes1")
    _check_shape(boxes2, ndim=2, what="boxes2")
    intersection, union = intersection_and_union(boxes1, boxes2)
    ax1, ay1, ax2, ay2 = (edge[:, None] for edge in _as_float(boxes1).unbind(1))  # (N, 1)
    bx1, by1, bx2, by2 = _as_float(boxes2).unbind(1)  # (M,)
    width = (torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)).clamp(min=0)
    height = (torch.maximum(ay2, by2) - torch.minimum(ay1, by1)).clamp(min=0)
    enclosing = width * height  # (N, M)
    return _ratio(intersection, union) - _ratio(enclosing - union, enclosing)


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The smallest box around each mask.

    A mask of one pixel gives a box of side 1. (torchvision's namesake returns the numbers of the
    first and last pixel, which makes every box one pixel too small and that one empty.)

    Args:
        masks: Masks (N, H, W); what is not 0 belongs to the object.

    Returns:
        Boxes (N, 4), float32; (0, 0, 0, 0) for an empty mask.

    Raises:
        ValueError: The masks are not three-dimensional.
    """
    if masks.ndim != 3:
        raise ValueError(f"masks must have shape (N, H, W); got {tuple(masks.shape)}")
    if masks.numel() == 0:
        return torch.zeros(len(masks), 4, device=masks.device)
    masks = masks != 0
    columns, rows = masks.any(dim=1), masks.any(dim=2)  # (N, W) and (N, H)
    x1, x2 = _first_and_end(columns)
    y1, y2 = _first_and_end(rows)
    boxes = torch.stack([x1, y1, x2, y2], dim=1).float()
    return boxes * columns.any(dim=1, keepdim=True)


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """How to move and stretch each anchor to get its box: what the network learns to predict.

    With (x, y) the centre, w the width and h the height of the box, and the same with index a of
    its anchor:

        t_x = (x - x_a) / w_a    t_y = (y - y_a) / h_a    t_w = log(w / w_a)    t_h = log(h / h_a)

    Shifts are measured in anchor sizes and stretching in logarithms, so that the same four numbers
    mean the same error for a small and for a large box.

    Args:
        boxes: Boxes (..., 4), each the goal of the anchor at the same place.
        anchors: Anchors or proposals (..., 4).
        weights: The four numbers are multiplied by these. (10, 10, 5, 5) brings the head's targets
            to a standard deviation of about 1: the released code divides by 0.1, 0.1, 0.2, 0.2.

    Returns:
        (t_x, t_y, t_w, t_h), shape (..., 4). Where a box or an anchor has no area there is no
        answer: infinite or NaN.

    Raises:
        ValueError: The last dimension is not 4.

    Reference: Girshick et al., "Rich feature hierarchies", arXiv:1311.2524, appendix C, equations 6
    to 9; Ren et al., "Faster R-CNN", arXiv:1506.01497, equation 2.
    """
    x, y, w, h = _centre_and_size(boxes)
    x_a, y_a, w_a, h_a = _centre_and_size(anchors)
    t_x, t_y = (x - x_a) / w_a, (y - y_a) / h_a
    t_w, t_h = (w / w_a).log(), (h / h_a).log()
    t = zip((t_x, t_y, t_w, t_h), weights, strict=True)
    return torch.stack([number * weight for number, weight in t], dim=-1)


def decode_boxes(
    deltas: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Apply predicted shifts and stretches to anchors: the way back from `encode_boxes`.

    Args:
        deltas: (t_x, t_y, t_w, t_h), shape (..., 4).
        anchors: Anchors or proposals whose shape broadcasts to that of `deltas`: for the K boxes
            that a head predicts for each of N proposals, (N, K, 4) and (N, 1, 4).
        weights: Those that the boxes were encoded with.

    Returns:
        Boxes (..., 4). No side becomes more than 62.5 times that of its anchor.

    Raises:
        ValueError: The last dimension is not 4.
    """
    deltas = _as_float(_check_shape(deltas)).unbind(-1)
    t_x, t_y, t_w, t_h = (number / weight for number, weight in zip(deltas, weights, strict=True))
    x_a, y_a, w_a, h_a = _centre_and_size(anchors)
    x, y = x_a + t_x * w_a, y_a + t_y * h_a
    half_w = 0.5 * w_a * t_w.clamp(max=LOG_OF_LARGEST_SCALE).exp()
    half_h = 0.5 * h_a * t_h.clamp(max=LOG_OF_LARGEST_SCALE).exp()
    return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)


def check_boxes(boxes: Tensor, what: str = "boxes") -> None:
    """Raise an error unless these can be ground truth: finite boxes with an area.

    Looking at values makes a GPU wait, so this is for what comes from outside, not for inner loops.

    Args:
        boxes: What should be boxes (N, 4).
        what: Their name in the message.

    Raises:
        ValueError: The shape or type is wrong, or a box is not finite or has no area; the message
            names the first such box.
    """
    _check_shape(boxes, ndim=2, what=what)
    if not boxes.is_floating_point():
        raise ValueError(f"{what} must be floating point; got {boxes.dtype}")
    x1, y1, x2, y2 = boxes.unbind(1)
    bad = torch.nonzero(~(boxes.isfinite().all(dim=1) & (x2 > x1) & (y2 > y1))).flatten().tolist()
    if bad:
        raise ValueError(
            f"{what} must be finite (x1, y1, x2, y2) with x1 < x2 and y1 < y2; number {bad[0]} is "
            f"{tuple(boxes[bad[0]].tolist())}"
        )


def intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Common area and joint area of every box of the one set with every box of the other.

    Args:
        boxes1: Boxes (..., N, 4).
        boxes2: Boxes (..., M, 4); several sets at once, if the dimensions before are the same.

    Returns:
        Intersection and union in square pixels, both (..., N, M).

    Raises:
        ValueError: The boxes do not have shape (..., N, 4).
    """
    boxes1 = _as_float(_check_shape(boxes1, what="boxes1"))
    boxes2 = _as_float(_check_shape(boxes2, what="boxes2"))
    ax1, ay1, ax2, ay2 = (edge[..., :, None] for edge in boxes1.unbind(-1))  # (..., N, 1)
    bx1, by1, bx2, by2 = (edge[..., None, :] for edge in boxes2.unbind(-1))  # (..., 1, M)
    # In place where autograd allows it: these matrices are large, and new memory costs time.
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)  # (..., N, M)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    intersection = width * height
    areas = box_area(boxes1)[..., :, None] + box_area(boxes2)[..., None, :]
    return intersection, areas.sub_(intersection)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """The part of the whole; 0 where there is no whole, instead of 0 / 0."""
    return part / whole.masked_fill(whole == 0, 1)


def _first_and_end(marked: Tensor) -> tuple[Tensor, Tensor]:
    """Position of the first mark and one past the last, for marks (N, length)."""
    marked = marked.int()
    return marked.argmax(dim=1), marked.shape[1] - marked.flip(1).argmax(dim=1)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = _as_float(_check_shape(boxes)).unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


def _as_float(boxes: Tensor) -> Tensor:
    """Whole numbers and half precision in float32: an area needs more digits than a coordinate."""
    return boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()


def _check_shape(boxes: Tensor, ndim: int | None = None, what: str = "boxes") -> Tensor:
    if boxes.ndim == 0 or boxes.shape[-1] != 4 or (ndim is not None and boxes.ndim != ndim):
        wanted = "(..., 4)" if ndim is None else "(N, 4)"
        raise ValueError(f"{what} must have shape {wanted}; got {tuple(boxes.shape)}")
    return boxes
