"""Answers to a7_detection, task 2."""

import torch


def refuse_detections(boxes, scores, classes, threshold):
    if len({len(boxes), len(scores), len(classes)}) > 1:
        raise ValueError("as many scores and classes as boxes")
    if threshold < 0 or threshold > 1:
        raise ValueError("a threshold from 0 to 1")


def all_overlaps(boxes):
    """The IoU of all boxes with all, (N, N)."""
    start = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    end = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = (end - start).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return (common / (area[:, None] + area - common)).nan_to_num(nan=0.0)


def greedily(order, drops):
    """Numbers from the order that stay, where drops[i, j] says that box i would drop box j."""
    gone = torch.zeros(len(drops), dtype=torch.bool)
    kept = []
    for i in order.tolist():
        if not gone[i]:
            kept.append(i)
            gone |= drops[i]
    return torch.tensor(kept, dtype=torch.int64)


def best_first(scores):
    return scores.argsort(descending=True, stable=True)


def same(classes):
    return classes[:, None] == classes


def right_matrix(boxes, scores, classes, threshold=0.5):
    """All overlaps first, then one walk down the list."""
    refuse_detections(boxes, scores, classes, threshold)
    return greedily(best_first(scores), (all_overlaps(boxes) > threshold) & same(classes))


def right_class_by_class(boxes, scores, classes, threshold=0.5):
    """Each class for itself; the results are merged in the end."""
    refuse_detections(boxes, scores, classes, threshold)
    drops = all_overlaps(boxes) > threshold
    kept = []
    for label in set(classes.tolist()):
        order = [i for i in best_first(scores).tolist() if classes[i] == label]
        kept += greedily(torch.tensor(order), drops).tolist()
    kept.sort(key=lambda i: (-scores[i].item(), i))
    return torch.tensor(kept, dtype=torch.int64)


def right_sets_moved_apart(boxes, scores, classes, threshold=0.5):
    """Moves each class to a place of its own, so that no two classes meet; then one for all."""
    refuse_detections(boxes, scores, classes, threshold)
    if len(boxes) == 0:
        return torch.zeros(0, dtype=torch.int64)
    room = boxes.max() - boxes.min() + 1
    moved = boxes.double() + (classes.double() * room.double())[:, None]
    return greedily(best_first(scores), all_overlaps(moved) > threshold)


def wrong_across_classes(boxes, scores, classes, threshold=0.5):
    """Plain NMS: the dog drops the horse behind it.

    Named: classes do not drop each other
    """
    refuse_detections(boxes, scores, classes, threshold)
    return greedily(best_first(scores), all_overlaps(boxes) > threshold)


def wrong_at_the_threshold(boxes, scores, classes, threshold=0.5):
    """Drops from the threshold on.

    Named: if its IoU is greater than the threshold
    """
    refuse_detections(boxes, scores, classes, threshold)
    return greedily(best_first(scores), (all_overlaps(boxes) >= threshold) & same(classes))


def wrong_unsorted(boxes, scores, classes, threshold=0.5):
    """Believes that the boxes come sorted.

    Named: begin with the best
    """
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return greedily(torch.arange(len(boxes)), drops)


def wrong_worst_first(boxes, scores, classes, threshold=0.5):
    """Sorts, but upwards.

    Named: the worst box comes first
    """
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return greedily(scores.argsort(stable=True), drops)


def wrong_dropped_boxes_drop(boxes, scores, classes, threshold=0.5):
    """Any better box drops, whether it was kept or not.

    Named: which is gone when its turn comes
    """
    refuse_detections(boxes, scores, classes, threshold)
    order = best_first(scores)
    drops = (all_overlaps(boxes[order]) > threshold) & same(classes[order])
    return order[~drops.triu(1).any(0)]


def wrong_in_the_order_of_the_rows(boxes, scores, classes, threshold=0.5):
    """Returns the kept boxes in the order in which they came.

    Named: from the best to the worst
    """
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return greedily(best_first(scores), drops).sort().values


def wrong_class_after_class(boxes, scores, classes, threshold=0.5):
    """Leaves the classes one after the other.

    Named: not class after class
    """
    refuse_detections(boxes, scores, classes, threshold)
    drops = all_overlaps(boxes) > threshold
    kept = []
    for label in sorted(set(classes.tolist())):
        order = [i for i in best_first(scores).tolist() if classes[i] == label]
        kept += greedily(torch.tensor(order), drops).tolist()
    return torch.tensor(kept, dtype=torch.int64)


def wrong_places_in_the_sorted_list(boxes, scores, classes, threshold=0.5):
    """Forgets to go back to the numbers of the rows.

    Named: these are places in the sorted list
    """
    refuse_detections(boxes, scores, classes, threshold)
    order = best_first(scores)
    drops = (all_overlaps(boxes[order]) > threshold) & same(classes[order])
    return greedily(torch.arange(len(order)), drops)


def wrong_boxes(boxes, scores, classes, threshold=0.5):
    """Returns the boxes themselves.

    Named: by number
    """
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return boxes[greedily(best_first(scores), drops)]


def wrong_mask(boxes, scores, classes, threshold=0.5):
    """Returns which boxes are kept.

    Named: not a mask
    """
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    mask = torch.zeros(len(boxes), dtype=torch.bool)
    mask[greedily(best_first(scores), drops)] = True
    return mask


def wrong_upside_down(boxes, scores, classes, threshold=0.5):
    """Drops what overlaps too little, and keeps all that is in the same place."""
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) <= threshold) & same(classes)
    return greedily(best_first(scores), drops)


def wrong_only_the_next(boxes, scores, classes, threshold=0.5):
    """Compares each box with the last one that was kept only."""
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    kept = []
    for i in best_first(scores).tolist():
        if not kept or not drops[kept[-1], i]:
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def wrong_moved_too_little(boxes, scores, classes, threshold=0.5):
    """Moves classes apart by the largest coordinate, and forgets that it may be negative."""
    refuse_detections(boxes, scores, classes, threshold)
    if len(boxes) == 0:
        return torch.zeros(0, dtype=torch.int64)
    moved = boxes + (classes * (boxes.max() + 1))[:, None]
    return greedily(best_first(scores), all_overlaps(moved) > threshold)


def wrong_later_of_equal_scores(boxes, scores, classes, threshold=0.5):
    """Turns an upward order around, and with it the order of equal scores."""
    refuse_detections(boxes, scores, classes, threshold)
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return greedily(scores.argsort(stable=True).flip(0), drops)


def wrong_one_is_always_kept(boxes, scores, classes, threshold=0.5):
    """Fails without boxes: there is nothing to take first."""
    refuse_detections(boxes, scores, classes, threshold)
    scores.max()
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return greedily(best_first(scores), drops)


def wrong_shortest_counts(boxes, scores, classes, threshold=0.5):
    """Takes as many boxes as there are scores.

    Named: expected a ValueError
    """
    count = min(len(boxes), len(scores), len(classes))
    boxes, scores, classes = boxes[:count], scores[:count], classes[:count]
    drops = (all_overlaps(boxes) > threshold) & same(classes)
    return greedily(best_first(scores), drops)
