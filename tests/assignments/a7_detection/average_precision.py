"""Answers to a7_detection, task 3."""

import numpy as np
import torch


def refuse_pictures(scores, overlaps):
    if len(scores) != len(overlaps):
        raise ValueError("as many pictures with scores as with overlaps")
    if [len(s) for s in scores] != [len(o) for o in overlaps]:
        raise ValueError("as many scores as rows of overlaps")
    if sum(o.shape[1] for o in overlaps) == 0:
        raise ValueError("no objects")


def ranked(scores):
    """(picture, detection), best first."""
    listed = [(-float(s), p, d) for p, given in enumerate(scores) for d, s in enumerate(given)]
    return [(p, d) for _, p, d in sorted(listed)]


def hits_of(order, overlaps, threshold):
    """Whether each detection is a hit."""
    taken, hits = set(), []
    for p, d in order:
        row = overlaps[p][d].tolist()
        best = max(range(len(row)), key=row.__getitem__, default=None)
        hit = best is not None and row[best] >= threshold and (p, best) not in taken
        if hit:
            taken.add((p, best))
        hits.append(hit)
    return hits


def objects_in(overlaps):
    return sum(o.shape[1] for o in overlaps)


def curve(hits, num_objects):
    """Precision and recall after each detection."""
    found = np.cumsum(np.array(hits, dtype=float))
    return found / np.arange(1, len(hits) + 1), found / num_objects


def staircase(hits, num_objects):
    """The area under the best precision at each recall or a higher one."""
    if not hits:
        return 0.0
    precision, recall = curve(hits, num_objects)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best).sum())


def right_numpy(scores, overlaps, threshold=0.5):
    """Running sums and a running maximum."""
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    return staircase(hits, objects_in(overlaps))


def right_float32(scores, overlaps, threshold=0.5):
    """The curve in torch, in single precision, with a point in front and one behind it."""
    refuse_pictures(scores, overlaps)
    hits = torch.tensor([0.0, *hits_of(ranked(scores), overlaps, threshold)])
    found = hits.cumsum(0)
    precision = found / torch.arange(len(hits)).clamp(min=1)
    recall = torch.cat([found / objects_in(overlaps), torch.ones(1)])
    precision = torch.cat([precision, torch.zeros(1)])
    best = precision.flip(0).cummax(0).values.flip(0)
    return ((recall[1:] - recall[:-1]) * best[1:]).sum().item()


def right_object_by_object(scores, overlaps, threshold=0.5):
    """A step for each object: the best precision from its hit on."""
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    steps = [max(precision[n:]) for n, hit in enumerate(hits) if hit]
    return sum(steps) / objects_in(overlaps) if steps else 0.0


def wrong_eleven_points(scores, overlaps, threshold=0.5):
    """The rule of VOC 2007.

    Named: the mean of 11 points
    """
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    precision, recall = curve(hits, objects_in(overlaps))
    points = [max(precision[recall >= r / 10], default=0.0) for r in range(11)]
    return float(sum(points) / 11)


def wrong_101_points(scores, overlaps, threshold=0.5):
    """The rule of COCO.

    Named: the mean of 101 points
    """
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    precision, recall = curve(hits, objects_in(overlaps))
    points = [max(precision[recall >= r / 100], default=0.0) for r in range(101)]
    return float(sum(points) / 101)


def wrong_zigzag(scores, overlaps, threshold=0.5):
    """The area under the raw curve.

    Named: the best precision at this recall
    """
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    precision, _ = curve(hits, objects_in(overlaps))
    return float(sum(precision[np.array(hits, dtype=bool)]) / objects_in(overlaps))


def wrong_maximum_from_the_left(scores, overlaps, threshold=0.5):
    """The best precision at this recall or any lower one."""
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    if not hits:
        return 0.0
    precision, recall = curve(hits, objects_in(overlaps))
    best = np.maximum.accumulate(precision)
    return float((np.diff(recall, prepend=0.0) * best).sum())


def wrong_duplicates_hit(scores, overlaps, threshold=0.5):
    """Everything that overlaps an object is right.

    Named: an object is found once
    """
    refuse_pictures(scores, overlaps)
    hits = [bool((overlaps[p][d] >= threshold).any()) for p, d in ranked(scores)]
    if not hits:
        return 0.0
    precision, recall = curve(hits, objects_in(overlaps))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall.clip(max=1), prepend=0.0) * best).sum())


def wrong_recall_of_what_was_found(scores, overlaps, threshold=0.5):
    """Divides by the objects that were found.

    Named: divided by all objects
    """
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold)
    return staircase(hits, max(1, sum(hits)))


def wrong_unsorted(scores, overlaps, threshold=0.5):
    """Takes the detections as they come.

    Named: sort the detections by falling score
    """
    refuse_pictures(scores, overlaps)
    order = [(p, d) for p, given in enumerate(scores) for d in range(len(given))]
    return staircase(hits_of(order, overlaps, threshold), objects_in(overlaps))


def wrong_picture_after_picture(scores, overlaps, threshold=0.5):
    """Sorts inside each picture only.

    Named: not picture after picture
    """
    refuse_pictures(scores, overlaps)
    order = sorted(ranked(scores), key=lambda detection: detection[0])
    return staircase(hits_of(order, overlaps, threshold), objects_in(overlaps))


def wrong_mean_over_pictures(scores, overlaps, threshold=0.5):
    """Averages the AP of each picture.

    Named: the mean of the AP of each picture
    """
    refuse_pictures(scores, overlaps)
    of_pictures = [
        staircase(hits_of(ranked([s]), [o], threshold), o.shape[1])
        for s, o in zip(scores, overlaps, strict=True)
        if o.shape[1]
    ]
    return sum(of_pictures) / len(of_pictures)


def wrong_forgets_the_picture(scores, overlaps, threshold=0.5):
    """Remembers which number an object has, but not in which picture.

    Named: is not object 0 of another
    """
    refuse_pictures(scores, overlaps)
    taken, hits = set(), []
    for p, d in ranked(scores):
        row = overlaps[p][d].tolist()
        best = max(range(len(row)), key=row.__getitem__, default=None)
        hits.append(best is not None and row[best] >= threshold and best not in taken)
        if hits[-1]:
            taken.add(best)
    return staircase(hits, objects_in(overlaps))


def wrong_best_free_object(scores, overlaps, threshold=0.5):
    """The rule of COCO: the best object that is still free.

    Named: a detection looks at one object
    """
    refuse_pictures(scores, overlaps)
    taken, hits = set(), []
    for p, d in ranked(scores):
        row = overlaps[p][d].tolist()
        free = [g for g in range(len(row)) if (p, g) not in taken and row[g] >= threshold]
        hits.append(bool(free))
        if free:
            taken.add((p, max(free, key=row.__getitem__)))
    return staircase(hits, objects_in(overlaps))


def wrong_worst_first(scores, overlaps, threshold=0.5):
    """Sorts upwards."""
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores)[::-1], overlaps, threshold)
    return staircase(hits, objects_in(overlaps))


def wrong_more_than_the_threshold(scores, overlaps, threshold=0.5):
    """An overlap of exactly the threshold does not count."""
    refuse_pictures(scores, overlaps)
    hits = hits_of(ranked(scores), overlaps, threshold * (1 + 1e-12))
    return staircase(hits, objects_in(overlaps))


def wrong_taken_by_a_miss(scores, overlaps, threshold=0.5):
    """A box that is too far off takes its object away from the others."""
    refuse_pictures(scores, overlaps)
    taken, hits = set(), []
    for p, d in ranked(scores):
        row = overlaps[p][d].tolist()
        best = max(range(len(row)), key=row.__getitem__, default=None)
        hits.append(best is not None and row[best] >= threshold and (p, best) not in taken)
        taken.add((p, best))
    return staircase(hits, objects_in(overlaps))


def wrong_pictures_without_objects_skipped(scores, overlaps, threshold=0.5):
    """What is found in a picture without objects is no false alarm."""
    refuse_pictures(scores, overlaps)
    order = [(p, d) for p, d in ranked(scores) if overlaps[p].shape[1]]
    return staircase(hits_of(order, overlaps, threshold), objects_in(overlaps))


def wrong_nothing_to_find_is_zero(scores, overlaps, threshold=0.5):
    """Without objects the AP is 0.

    Named: expected a ValueError
    """
    hits = hits_of(ranked(scores), overlaps, threshold)
    return staircase(hits, max(1, objects_in(overlaps)))
