"""How good a detector is: average precision and its mean over classes (mAP), and recall.

A detector returns boxes with scores, as many as it likes. Go through them from the highest score
to the lowest. Each either finds an object that nobody found before (true positive) or does not
(false positive: wrong place, wrong class, or a second box on the same object). After each box,

    precision = true positives / boxes so far        recall = true positives / objects there are

Recall can only grow; precision goes up and down. Precision drawn over recall makes a curve, and the
area under it is the **average precision** (AP) of this class. The mean over classes is **mAP**.
What differs between benchmarks:

|                   | VOC 2007                | VOC since 2010  | COCO                          |
|-------------------|-------------------------|-----------------|-------------------------------|
| found means IoU ≥ | 0.5                     | 0.5             | 0.50, 0.55, …, 0.95, averaged |
| area by           | 11 points of recall     | the whole curve | 101 points of recall          |
| a box looks at    | what it overlaps most   | the same        | the best that is still free   |
| does not count    | what is "difficult"     | the same        | crowds; boxes after the 100th |

References: Everingham et al., "The Pascal visual object classes (VOC) challenge", IJCV 2010,
section 4.2. Everingham et al., "The Pascal visual object classes challenge: a retrospective", IJCV
2015. Lin et al., "Microsoft COCO", arXiv:1405.0312, and the evaluation code of its authors. Hosang
et al., "What makes for effective detection proposals?", arXiv:1502.05082.

Evaluation happens once, on the CPU, in float64 and in NumPy, whose small steps are quicker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from cnnlib.detection.boxes import box_area, box_iou

Curve = Literal["11-point", "all-point", "101-point"]
Benchmark = Literal["voc2007", "voc2010", "coco"]
Array = np.ndarray

CURVES = get_args(Curve)

# As COCO's code computes them: some differ from k/100 in the last digit, which decides whether a
# recall of exactly k/100 reaches the point.
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COCO_RECALLS = np.linspace(0.0, 1.0, 101)
VOC_RECALLS = np.arange(11) / 10

# Areas in square pixels that COCO calls small, medium and large.
COCO_AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


def precision_recall(scores: Tensor, correct: Tensor, num_objects: int) -> tuple[Tensor, Tensor]:
    """Precision and recall after each detection, from the highest score to the lowest.

    Args:
        scores: Scores (D,) of the detections of one class in all pictures.
        correct: Which of them found an object (D,), bool. Of equal scores the earlier comes first.
        num_objects: Objects of this class in all pictures.

    Returns:
        Precision and recall, both (D,), float64. Recall is NaN if there are no objects.

    Raises:
        ValueError: Shapes do not fit, a score is NaN, or more objects were found than there are.
    """
    if scores.ndim != 1 or correct.shape != scores.shape:
        raise ValueError(
            "scores and correct must both have shape (D,); got "
            f"{tuple(scores.shape)} and {tuple(correct.shape)}"
        )
    precision, recall = _curve(_numpy(scores), _numpy(correct).astype(bool), num_objects)
    return torch.from_numpy(precision), torch.from_numpy(recall)


def average_precision(precision: Tensor, recall: Tensor, curve: Curve = "all-point") -> float:
    """Area under the precision-recall curve, by one of the three customary rules.

    All three first remove the zigzag: the precision at recall r becomes the best precision at this
    or any higher recall ("if I am content with r, I may choose where to stop"). Then

    - "11-point": the mean at the recalls 0, 0.1, …, 1 (VOC until 2009);
    - "all-point": the exact area of the resulting steps (VOC since 2010);
    - "101-point": the mean at the recalls 0, 0.01, …, 1 (COCO).

    A recall that is never reached has precision 0.

    Args:
        precision: Precision (D,) after each detection, by falling score.
        recall: Recall (D,) after each detection.
        curve: The rule.

    Returns:
        AP from 0 to 1. It is 0 without detections, and NaN if recall is: nothing was to be found.

    Raises:
        ValueError: Shapes do not fit, recall falls, or the rule is unknown.
    """
    if precision.ndim != 1 or precision.shape != recall.shape:
        raise ValueError(
            "precision and recall must both have shape (D,); got "
            f"{tuple(precision.shape)} and {tuple(recall.shape)}"
        )
    if curve not in CURVES:
        raise ValueError(f"curve must be one of {', '.join(CURVES)}; got {curve!r}")
    if (recall.diff() < 0).any():
        raise ValueError("recall must not fall: sort the detections by falling score")
    return _area(_numpy(precision), _numpy(recall), curve)


def match_detections(
    iou: Tensor,
    threshold: float,
    *,
    crowd: Tensor | None = None,
    ignored: Tensor | None = None,
    rule: Literal["coco", "voc"] = "coco",
) -> Tensor:
    """Decide for the detections of one class in one picture which object each has found.

    From the best detection to the worst, each takes one object, and an object can be taken once.
    By COCO's rule it takes the one it overlaps most among those still free; by VOC's rule it wants
    the one it overlaps most of all, and if that is taken, the detection is false.

    Objects may be marked so that they are not asked for. What finds an ignored object (VOC's
    "difficult") is neither true nor false. A crowd is a region with many objects, too many to
    mark: any number of detections may fall into it.

    Args:
        iou: Overlaps (D, G) of the detections, sorted by falling score, with the objects. For a
            crowd, the share of the detection that lies in it (`crowd_overlap`).
        threshold: Overlap from which on an object counts as found.
        crowd: Which objects are crowds (G,), bool; they are ignored, too.
        ignored: Which objects are not asked for (G,), bool.
        rule: "coco" or "voc".

    Returns:
        For each detection (D,), int64: the number of the object found, -1 for none (false
        positive), or -2 if it does not count, because what it found is ignored.

    Raises:
        ValueError: Shapes do not fit or the rule is unknown.
    """
    if iou.ndim != 2:
        raise ValueError(f"iou must have shape (detections, objects); got {tuple(iou.shape)}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1; got {threshold}")
    if rule not in ("coco", "voc"):
        raise ValueError(f"rule must be 'coco' or 'voc'; got {rule!r}")
    marks = []
    for what, marked in (("crowd", crowd), ("ignored", ignored)):
        marked = torch.zeros(iou.shape[1], dtype=torch.bool) if marked is None else marked
        if marked.shape != iou.shape[1:]:
            raise ValueError(f"{what} must have shape ({iou.shape[1]},); got {tuple(marked.shape)}")
        marks.append(_numpy(marked).astype(bool))
    crowds, unasked = marks
    thresholds = np.array([threshold])
    found = _match(_numpy(iou), thresholds, crowds, unasked | crowds, rule)[0]
    return torch.from_numpy(found)


def crowd_overlap(boxes: Tensor, crowds: Tensor) -> Tensor:
    """The share of each box that lies in each crowd: (D, 4) and (G, 4) to (D, G).

    A crowd is much larger than a detection of one of its members, so IoU would be small.
    """
    x1, y1, x2, y2 = (edge[:, None] for edge in boxes.unbind(1))
    cx1, cy1, cx2, cy2 = crowds.unbind(1)
    width = (torch.minimum(x2, cx2) - torch.maximum(x1, cx1)).clamp(min=0)
    height = (torch.minimum(y2, cy2) - torch.maximum(y1, cy1)).clamp(min=0)
    area = box_area(boxes)[:, None]
    return width * height / area.masked_fill(area == 0, 1)


def mask_iou(masks1: Tensor, masks2: Tensor, crowd: Tensor | None = None) -> Tensor:
    """Intersection over union of masks, in pixels.

    Args:
        masks1: Masks (D, H, W); what is not 0 belongs to the object.
        masks2: Masks (G, H, W).
        crowd: Which of `masks2` are crowds (G,), bool; for these, the share of the first mask.

    Returns:
        Overlaps (D, G), float64; 0 where there is nothing to divide by.

    Raises:
        ValueError: The shapes do not fit.
    """
    if masks1.ndim != 3 or masks2.ndim != 3 or masks1.shape[1:] != masks2.shape[1:]:
        raise ValueError(
            "masks must have shapes (D, H, W) and (G, H, W); got "
            f"{tuple(masks1.shape)} and {tuple(masks2.shape)}"
        )
    # A product of 0 and 1 is "both", so a matrix product counts common pixels. float32 counts
    # exactly up to 16 million, more than a picture has, but 7/10 in float32 is less than 0.7.
    flat1, flat2 = ((masks != 0).flatten(1).float() for masks in (masks1, masks2))
    common = (flat1 @ flat2.T).double()
    area = flat1.sum(dim=1)[:, None].double()
    union = area + flat2.sum(dim=1) - common
    if crowd is not None:
        union = torch.where(crowd, area, union)
    return common / union.masked_fill(union == 0, 1)


@dataclass(frozen=True)
class DetectionMetrics:
    """What `evaluate_detections` found; all in NumPy, rows are IoU thresholds, columns classes.

    Attributes:
        classes: Labels that occur in the ground truth or among the detections, sorted (K,).
        thresholds: The IoU thresholds (T,).
        average_precision: AP (T, K); NaN for a class of which there is nothing to find.
        recall: Share of the objects that were found at all (T, K); NaN likewise.
        num_objects: Objects of each class that were asked for (K,).
    """

    classes: tuple[int, ...]
    thresholds: tuple[float, ...]
    average_precision: Array
    recall: Array
    num_objects: Array

    @property
    def mean_average_precision(self) -> float:
        """mAP: the mean over classes and thresholds; NaN without any object."""
        return _mean(self.average_precision)

    @property
    def mean_recall(self) -> float:
        """Mean recall over classes and thresholds: COCO's AR."""
        return _mean(self.recall)

    def at(self, threshold: float) -> float:
        """Mean over classes at one IoU threshold: `at(0.5)` is called mAP50.

        Raises:
            ValueError: This threshold was not evaluated.
        """
        return _mean(self.average_precision[self._row(threshold)])

    def per_class(self) -> dict[int, float]:
        """AP of each class, averaged over the thresholds."""
        columns = zip(self.classes, self.average_precision.T, strict=True)
        return {label: _mean(column) for label, column in columns}

    def _row(self, threshold: float) -> int:
        close = np.isclose(self.thresholds, threshold)
        if not close.any():
            raise ValueError(f"{threshold} was not evaluated; the thresholds are {self.thresholds}")
        return int(close.argmax())


def evaluate_detections(
    detections: Sequence[Mapping[str, Tensor]],
    truths: Sequence[Mapping[str, Tensor]],
    *,
    benchmark: Benchmark = "coco",
    thresholds: Sequence[float] | None = None,
    max_detections: int | None = None,
    area: tuple[float, float] | None = None,
    by: Literal["boxes", "masks"] = "boxes",
) -> DetectionMetrics:
    """Average precision of every class over a whole data set.

    Args:
        detections: For each picture "boxes" (D, 4), "scores" (D,), "labels" (D,), and "masks"
            (D, H, W) if masks are to be compared.
        truths: For each picture "boxes" (G, 4), "labels" (G,), "masks" likewise; if wanted also
            "iscrowd" (G,), "ignore" (G,) for VOC's "difficult", and "area" (G,) where the area of
            an object is not that of its box.
        benchmark: "coco", "voc2010" (all-point) or "voc2007" (11-point); see the table on top.
        thresholds: IoU thresholds, if other than the benchmark's.
        max_detections: Only so many of the best detections of each class in each picture count;
            by default 100 for COCO and all for VOC.
        area: Only objects of this area in square pixels are asked for, from the first to the
            second; detections of another area that find nothing do not count either.
        by: Compare boxes or masks.

    Returns:
        AP and recall by class and threshold.

    Raises:
        ValueError: Something does not fit; the message names the picture.
    """
    if benchmark not in ("voc2007", "voc2010", "coco"):
        raise ValueError(f"benchmark must be 'voc2007', 'voc2010' or 'coco'; got {benchmark!r}")
    coco = benchmark == "coco"
    if thresholds is None:
        thresholds = COCO_THRESHOLDS if coco else (0.5,)
    if max_detections is None and coco:
        max_detections = 100
    curve: Curve = {"voc2007": "11-point", "voc2010": "all-point", "coco": "101-point"}[benchmark]
    if len(detections) != len(truths):
        raise ValueError(f"{len(detections)} pictures with detections, {len(truths)} with truth")
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise ValueError(f"thresholds must be above 0 and at most 1; got {tuple(thresholds)}")
    if max_detections is not None and max_detections < 1:
        raise ValueError(f"max_detections must be at least 1; got {max_detections}")

    judged: dict[int, list[_Judged]] = {}
    for image, (detected, truth) in enumerate(zip(detections, truths, strict=True)):
        picture = _Picture(image, detected, truth, by, area)
        for label in picture.labels():
            found = picture.judge(
                label, np.array(thresholds), "coco" if coco else "voc", max_detections
            )
            judged.setdefault(label, []).append(found)

    classes = tuple(sorted(judged))
    shape = len(thresholds), len(classes)
    ap, recall, counts = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape[1], int)
    for column, label in enumerate(classes):
        parts = judged[label]
        counts[column] = sum(part.num_objects for part in parts)
        scores = np.concatenate([part.scores for part in parts])
        found = np.concatenate([part.found for part in parts], axis=1)  # (T, D)
        for row in range(len(thresholds)):
            ap[row, column], recall[row, column] = _score(
                scores, found[row], int(counts[column]), curve
            )
    return DetectionMetrics(classes, tuple(thresholds), ap, recall, counts)


def coco_summary(
    detections: Sequence[Mapping[str, Tensor]],
    truths: Sequence[Mapping[str, Tensor]],
    *,
    by: Literal["boxes", "masks"] = "boxes",
) -> dict[str, float]:
    """The twelve numbers of COCO's table.

    Args:
        detections: As in `evaluate_detections`.
        truths: As in `evaluate_detections`.
        by: As in `evaluate_detections`.

    Returns:
        AP, AP50, AP75, AP_small, AP_medium, AP_large, AR_1, AR_10, AR_100, AR_small, AR_medium and
        AR_large; NaN where there is nothing to find.
    """
    everything = evaluate_detections(detections, truths, by=by)
    summary = {
        "AP": everything.mean_average_precision,
        "AP50": everything.at(0.5),
        "AP75": everything.at(0.75),
    }
    by_area = {
        name: evaluate_detections(detections, truths, by=by, area=area)
        for name, area in COCO_AREAS.items()
    }
    summary |= {f"AP_{name}": found.mean_average_precision for name, found in by_area.items()}
    for count in (1, 10):
        few = evaluate_detections(detections, truths, by=by, max_detections=count)
        summary[f"AR_{count}"] = few.mean_recall
    summary["AR_100"] = everything.mean_recall
    return summary | {f"AR_{name}": found.mean_recall for name, found in by_area.items()}


def proposal_recall(
    proposals: Sequence[Tensor],
    objects: Sequence[Tensor],
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    *,
    limit: int | None = None,
) -> Tensor:
    """Share of the objects that at least one proposal covers, whatever their classes.

    A detector can only find what its proposals cover, so this is the ceiling of its recall. The
    mean over thresholds from 0.5 on is what Hosang et al. call average recall (AR).

    Args:
        proposals: For each picture, boxes (n, 4), best first.
        objects: For each picture, boxes (G, 4).
        thresholds: IoU from which on an object counts as covered.
        limit: Only so many of the best proposals of each picture count; by default all.

    Returns:
        Recall (T,), float64, one for each threshold; NaN without any object.

    Raises:
        ValueError: There are not as many pictures with proposals as with objects, or the limit is
            below 1.
    """
    if len(proposals) != len(objects):
        raise ValueError(f"{len(proposals)} pictures with proposals, {len(objects)} with objects")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1; got {limit}")
    best = [torch.zeros(0, dtype=torch.float64)]
    for boxes, wanted in zip(proposals, objects, strict=True):
        iou = box_iou(boxes[:limit].double(), wanted.double()).cpu()
        covered = iou.max(dim=0).values if len(iou) else torch.zeros(len(wanted)).double()
        best.append(covered.nan_to_num(nan=0.0))
    covered = torch.cat(best)
    return torch.stack([(covered >= threshold).double().mean() for threshold in thresholds])


@dataclass(frozen=True)
class _Judged:
    """The detections of one class in one picture."""

    scores: Array  # (D,)
    found: Array  # (T, D): number of the object, -1 false, -2 does not count
    num_objects: int


class _Picture:
    """Detections and truth of one picture, checked and sorted by class."""

    def __init__(
        self,
        image: int,
        detected: Mapping[str, Tensor],
        truth: Mapping[str, Tensor],
        by: str,
        area: tuple[float, float] | None,
    ) -> None:
        if by not in ("boxes", "masks"):
            raise ValueError(f"by must be 'boxes' or 'masks'; got {by!r}")
        for what, given, keys in (
            ("detections", detected, ("boxes", "scores", "labels", by)),
            ("truth", truth, ("boxes", "labels", by)),
        ):
            _check_picture(image, what, given, keys)
        self.by, self.area = by, area
        self.shapes = detected[by].detach().cpu(), truth[by].detach().cpu()
        self.scores = _numpy(detected["scores"])
        if np.isnan(self.scores).any():
            raise ValueError(f"picture {image}: a score is NaN, so it has no rank")
        self.detected_labels, self.truth_labels = (
            _numpy(given["labels"]) for given in (detected, truth)
        )
        none = torch.zeros(len(truth["labels"]), dtype=torch.bool)
        self.crowd = _numpy(truth.get("iscrowd", none)).astype(bool)
        self.ignored = _numpy(truth.get("ignore", none)).astype(bool) | self.crowd
        self.detected_areas, areas = (_areas(shapes) for shapes in self.shapes)
        if area is not None:
            areas = _numpy(truth["area"]) if "area" in truth else areas
            self.ignored = self.ignored | (areas < area[0]) | (areas > area[1])

    def labels(self) -> list[int]:
        """Classes that occur in the picture."""
        return np.union1d(self.detected_labels, self.truth_labels).tolist()

    def judge(self, label: int, thresholds: Array, rule: str, limit: int | None) -> _Judged:
        """Match the detections of a class with its objects."""
        detected = np.flatnonzero(self.detected_labels == label)
        best_first = np.argsort(-self.scores[detected], kind="stable")[:limit]
        detected = detected[best_first]
        wanted = np.flatnonzero(self.truth_labels == label)
        crowd, ignored = self.crowd[wanted], self.ignored[wanted]
        iou = self._overlap(detected, wanted, crowd)
        found = _match(iou, thresholds, crowd, ignored, rule)
        if self.area is not None:
            areas = self.detected_areas[detected]
            elsewhere = (areas < self.area[0]) | (areas > self.area[1])
            found[(found == -1) & elsewhere] = -2
        return _Judged(self.scores[detected], found, int((~ignored).sum()))

    def _overlap(self, detected: Array, wanted: Array, crowd: Array) -> Array:
        ours = self.shapes[0][torch.from_numpy(detected)]
        theirs = self.shapes[1][torch.from_numpy(wanted)]
        crowds = torch.from_numpy(crowd)
        if self.by == "masks":
            return _numpy(mask_iou(ours, theirs, crowds))
        ours, theirs = ours.double(), theirs.double()
        iou = box_iou(ours, theirs)
        if crowd.any():
            iou = torch.where(crowds, crowd_overlap(ours, theirs), iou)
        return _numpy(iou)


def _match(iou: Array, thresholds: Array, crowd: Array, ignored: Array, rule: str) -> Array:
    """`match_detections` for several thresholds at once: (D, G) -> (T, D)."""
    num_detections, num_objects = iou.shape
    found = np.full((len(thresholds), num_detections), -1)
    if num_objects == 0:
        return found
    iou = np.nan_to_num(iou, nan=0.0)
    # COCO's code lets a rounding error less than the whole overlap count as the whole.
    thresholds = np.minimum(thresholds, 1 - 1e-10)
    taken = np.zeros((len(thresholds), num_objects), dtype=bool)
    every = np.arange(len(thresholds))
    for detection in range(num_detections):
        reached = iou[detection] >= thresholds[:, None]  # (T, G)
        if not reached.any():
            continue
        if rule == "voc":
            target = np.full(len(thresholds), iou[detection].argmax())
            hit = reached[every, target]
            counts = np.where(taken[every, target], -1, target)
            result = np.where(ignored[target], -2, counts)
        else:
            free = reached & (~taken | crowd)
            # Objects that are asked for go before those that are not, however they overlap.
            asked = free & ~ignored
            free = np.where(asked.any(axis=1, keepdims=True), asked, free)
            # Of equal overlaps, COCO's code takes the last.
            overlap = np.where(free, iou[detection], -1.0)
            target = num_objects - 1 - overlap[:, ::-1].argmax(axis=1)
            hit = free[every, target]
            result = np.where(ignored[target], -2, target)
        found[hit, detection] = result[hit]
        taken[every[hit], target[hit]] = True
    return found


def _score(scores: Array, found: Array, num_objects: int, curve: Curve) -> tuple[float, float]:
    """AP and final recall of one class at one threshold."""
    if num_objects == 0:
        return float("nan"), float("nan")
    counts = found != -2
    precision, recall = _curve(scores[counts], found[counts] >= 0, num_objects)
    return _area(precision, recall, curve), float(recall[-1]) if len(recall) else 0.0


def _curve(scores: Array, correct: Array, num_objects: int) -> tuple[Array, Array]:
    """Precision and recall after each detection."""
    if np.isnan(scores).any():
        raise ValueError("a score is NaN, so it has no rank")
    found = np.cumsum(correct[np.argsort(-scores, kind="stable")])
    if len(found) and found[-1] > num_objects:
        raise ValueError(f"{found[-1]} detections are correct, but there are {num_objects} objects")
    precision = found / np.arange(1, len(found) + 1)
    recall = found / num_objects if num_objects else np.full(len(found), np.nan)
    return precision, recall


def _area(precision: Array, recall: Array, curve: Curve) -> float:
    """Area under the curve by one of the three rules."""
    if np.isnan(recall).any():
        return float("nan")
    # The best precision at this or any higher recall: a running maximum from the right.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if curve == "all-point":
        widths = np.diff(recall, prepend=0.0)
        return float((widths * envelope).sum())
    points = VOC_RECALLS if curve == "11-point" else COCO_RECALLS
    first = np.searchsorted(recall, points, side="left")  # the first place with recall >= point
    return float(np.append(envelope, 0.0)[first].mean())


def _mean(values: Array) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def _areas(shapes: Tensor) -> Array:
    """Areas of boxes (N, 4) or masks (N, H, W)."""
    if shapes.ndim == 3:
        return _numpy((shapes != 0).flatten(1).sum(dim=1))
    return _numpy(box_area(shapes.double()))


def _numpy(values: Tensor) -> Array:
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy()


def _check_picture(image: int, what: str, given: Mapping[str, Tensor], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in given]
    if missing:
        raise ValueError(f"picture {image}: the {what} lack {', '.join(map(repr, missing))}")
    count = len(given["labels"])
    optional = [key for key in ("iscrowd", "ignore", "area") if key in given]
    for key in (*keys, *optional):
        shape = tuple(given[key].shape)
        if key == "masks":
            fits, wanted = len(shape) == 3 and shape[0] == count, f"({count}, H, W)"
        else:
            wanted = (count, 4) if key == "boxes" else (count,)
            fits = shape == wanted
        if not fits:
            raise ValueError(
                f"picture {image}: {key!r} of the {what} must have shape {wanted} to fit the "
                f"labels; got {shape}"
            )
    if given["labels"].is_floating_point():
        raise ValueError(f"picture {image}: labels of the {what} must be whole numbers")
