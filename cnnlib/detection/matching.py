"""Which object an anchor has to find, and which anchors a training step looks at.

Training a detector means to ask, for each of some thousand anchors or proposals: is this an object,
and which? The answer is the overlap with the objects of the picture. Two rules make it usable:

| who learns it | positive                                     | negative           | ignored |
|---------------|----------------------------------------------|--------------------|---------|
| RPN           | IoU ≥ 0.7, and the best anchors of each object | IoU < 0.3 with all | between |
| Fast R-CNN    | IoU ≥ 0.5                                     | IoU < 0.5          | none    |

References: Ren et al., "Faster R-CNN", arXiv:1506.01497, section 3.1.2. Girshick, "Fast R-CNN",
arXiv:1504.08083, section 2.3 (whose negatives need an IoU of at least 0.1; later code dropped
that).
"""

from __future__ import annotations

import torch
from torch import Tensor

BACKGROUND = -1
IGNORED = -2


def match(
    iou: Tensor, positive_from: float, negative_below: float, *, keep_best: bool = False
) -> Tensor:
    """Assign an object, background or nothing to every anchor.

    Each anchor goes to the object that it overlaps most, if by enough. An object may get many
    anchors, or none: with few anchors a small or odd object overlaps none by 0.7. `keep_best`
    gives such an object the anchors that overlap it most, ties included.

    Args:
        iou: Overlaps (G, A) of G objects with A anchors, from `box_iou(objects, anchors)`.
        positive_from: From this overlap on, an anchor belongs to its object.
        negative_below: Below this overlap with all objects, an anchor is background. What lies
            between is ignored: it is neither a good example of an object nor of background.
        keep_best: Also assign the best anchors of each object, however small the overlap, as long
            as there is one. (Without the last condition, as in torchvision, an object that meets no
            anchor makes all anchors that miss it positive, because they all are its best.)

    Returns:
        For each anchor (A,), int64: the number of its object, from 0 to G - 1, or `BACKGROUND` (-1)
        or `IGNORED` (-2). In a picture without objects all is background. An anchor whose overlap
        is NaN is ignored.

    Raises:
        ValueError: `iou` is not a matrix or the thresholds are in the wrong order.
    """
    if iou.ndim != 2:
        raise ValueError(f"iou must have shape (objects, anchors); got {tuple(iou.shape)}")
    if not negative_below <= positive_from:
        raise ValueError(
            f"negative_below ({negative_below}) must not be greater than positive_from "
            f"({positive_from})"
        )
    if iou.shape[0] == 0:
        return torch.full(iou.shape[1:], BACKGROUND, device=iou.device)
    if iou.shape[1] == 0:
        return torch.empty(0, dtype=torch.int64, device=iou.device)
    overlap, nearest = iou.max(dim=0)  # for each anchor: how much, with which object
    positive = overlap >= positive_from
    if keep_best:
        best = iou.max(dim=1, keepdim=True).values  # for each object, (G, 1)
        # Such an anchor goes to the object that it overlaps most, which may be another one.
        positive = positive | ((iou == best) & (best > 0)).any(dim=0)
    otherwise = torch.where(overlap < negative_below, BACKGROUND, IGNORED)
    return torch.where(positive, nearest, otherwise)


def objectness_labels(matched: Tensor) -> Tensor:
    """Forget which object it is: 1 for an object, 0 for background, -1 for ignored.

    Args:
        matched: What `match` returned (A,).

    Returns:
        Labels (A,), int64, as `sample_balanced` wants them.
    """
    return torch.where(matched >= 0, 1, torch.where(matched == BACKGROUND, 0, -1))


def sample_balanced(
    labels: Tensor,
    count: int,
    positive_fraction: float,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw the anchors that one training step looks at, so that background does not drown objects.

    Of 20,000 anchors perhaps 20 are positive: a network trained on all learns to always say
    background. RPN draws 256 with up to half positive, Fast R-CNN 128 with up to a quarter.

    Args:
        labels: For each anchor (A,): above 0 positive, 0 negative, below 0 ignored.
        count: How many to draw. Where positives are missing, negatives fill up; where those are
            missing too, there are fewer.
        positive_fraction: Largest share of positives, from 0 to 1.
        generator: Source of randomness; by default the global one.

    Returns:
        Indices of the drawn positives and of the drawn negatives, both int64, in random order.

    Raises:
        ValueError: `labels` has the wrong shape, or a number is out of range.
    """
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (A,); got {tuple(labels.shape)}")
    if count < 1 or not 0 <= positive_fraction <= 1:
        raise ValueError(
            "count must be at least 1 and positive_fraction from 0 to 1; got "
            f"{count} and {positive_fraction}"
        )
    positives = torch.nonzero(labels > 0).squeeze(1)
    negatives = torch.nonzero(labels == 0).squeeze(1)
    positives = _draw(positives, int(count * positive_fraction), generator)
    return positives, _draw(negatives, count - len(positives), generator)


def _draw(population: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """At most `count` elements, without replacement."""
    # The numbers are drawn where the generator lives, which need not be where the labels are.
    device = population.device if generator is None else generator.device
    order = torch.randperm(len(population), generator=generator, device=device)
    return population[order[:count].to(population.device)]
