"""Non-maximum suppression: of many boxes on the same object, keep the best.

The rule is greedy. Take the box with the highest score and keep it; drop every other box that
overlaps it by more than a threshold; go on with the best of the rest. It is older than the networks
(Felzenszwalb et al., "Object detection with discriminatively trained part-based models", 2010) and
part of all R-CNNs (Girshick et al., "Rich feature hierarchies", arXiv:1311.2524, section 2.2).

Taken literally, the rule is a loop over the kept boxes, one by one. The loop below takes the best
boxes a block at a time, with the same result in far fewer steps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cnnlib.detection.boxes import intersection_and_union

# Boxes decided at a time: few, and there are many steps; many, and boxes are compared with others
# that would have been dropped by then.
BLOCK = 256

# Groups no larger than a block are decided together, so many at a time; more would take memory.
GROUPS_AT_ONCE = 64


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box of each heap of overlapping boxes.

    Args:
        boxes: Boxes (N, 4).
        scores: Scores (N,); of equal scores the earlier box counts as better.
        iou_threshold: A box goes if its IoU with a kept, better box is greater than this. A box
            that overlaps nothing, because it has no area or a NaN, stays.

    Returns:
        Indices of the kept boxes, int64, best first.

    Raises:
        ValueError: Shapes do not fit, the threshold is not from 0 to 1, or a score is NaN.
    """
    _check(boxes, scores, iou_threshold)
    order = scores.argsort(descending=True, stable=True)
    return order[_kept(boxes[order], iou_threshold)]


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression inside each group: a cat does not suppress the dog behind it.

    Args:
        boxes: Boxes (N, 4).
        scores: Scores (N,).
        groups: Whole numbers (N,): the class of each box, or its pyramid level, or its picture.
        iou_threshold: As in `nms`.

    Returns:
        Indices of the kept boxes of all groups, int64, best first.

    Raises:
        ValueError: As in `nms`, or `groups` does not fit.
    """
    _check(boxes, scores, iou_threshold)
    if groups.shape != scores.shape or groups.is_floating_point():
        raise ValueError(
            f"groups must be {len(scores)} whole numbers; got {groups.dtype} of shape "
            f"{tuple(groups.shape)}"
        )
    order = scores.argsort(descending=True, stable=True)
    boxes, groups = boxes[order], groups[order]
    _, sizes = groups.unique(return_counts=True)
    members = groups.argsort(stable=True).split(sizes.tolist())  # of each group, still best first
    large = [places for places in members if len(places) > BLOCK]
    small = sorted((places for places in members if len(places) <= BLOCK), key=len)
    kept = [order[:0], *(places[_kept(boxes[places], iou_threshold)] for places in large)]
    for start in range(0, len(small), GROUPS_AT_ONCE):
        kept.append(_kept_together(boxes, small[start : start + GROUPS_AT_ONCE], iou_threshold))
    return order[torch.cat(kept).sort().values]


def _kept(boxes: Tensor, threshold: float) -> Tensor:
    """Places of the boxes that stay, for boxes (N, 4) sorted by falling score."""
    rest = torch.arange(len(boxes), device=boxes.device)
    kept = [rest[:0]]
    while len(rest):
        best, rest = rest[:BLOCK], rest[BLOCK:]
        best = best[_decide(_suppresses(boxes[best], boxes[best], threshold))]
        kept.append(best)
        if len(rest):
            rest = rest[~_suppresses(boxes[best], boxes[rest], threshold).any(dim=0)]
    return torch.cat(kept)


def _kept_together(boxes: Tensor, groups: list[Tensor], threshold: float) -> Tensor:
    """Places of the boxes that stay, for some groups of places, filled up to the same length."""
    places = pad_sequence(groups, batch_first=True, padding_value=-1)  # (groups, longest)
    there = places >= 0
    of_groups = boxes[places]  # what fills up is some box that may neither drop others nor stay
    suppresses = _suppresses(of_groups, of_groups, threshold) & there[:, :, None]
    return places[_decide(suppresses) & there]


def _suppresses(better: Tensor, worse: Tensor, threshold: float) -> Tensor:
    """Whether box i of (..., N, 4) would drop box j of (..., M, 4): a boolean (..., N, M)."""
    intersection, union = intersection_and_union(better, worse)
    return intersection > threshold * union  # IoU > threshold, without 0 / 0


def _decide(suppresses: Tensor) -> Tensor:
    """Which boxes of a block stay, if box i would drop box j where `suppresses[..., i, j]`.

    A box stays unless a better box that stays drops it. Guess that all stay and apply the sentence
    until nothing changes. The first round is right about the best box, the second about the two
    best, for each only looks at those before it. So it ends with the greedy result, usually after a
    few rounds: as many as the longest chain "a drops b, which would have dropped c, which ...".
    """
    suppresses = suppresses.triu(diagonal=1).float()  # only better boxes drop, none itself
    stays = torch.ones_like(suppresses[..., 0, :], dtype=torch.bool)
    while True:
        # How many boxes that stay drop each box: a row vector times the matrix.
        dropped_by = (stays[..., None, :].float() @ suppresses).squeeze(-2)
        if torch.equal(dropped_by == 0, stays):
            return stays
        stays = dropped_by == 0


def _check(boxes: Tensor, scores: Tensor, iou_threshold: float) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            "boxes must have shape (N, 4) and scores (N,); got "
            f"{tuple(boxes.shape)} and {tuple(scores.shape)}"
        )
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be from 0 to 1; got {iou_threshold}")
    if scores.isnan().any():
        raise ValueError("a score is NaN, so the boxes cannot be ranked: has training diverged?")
