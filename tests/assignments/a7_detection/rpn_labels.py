"""Answers to a7_detection, task 7."""

import torch


def refuse_overlaps(overlaps, high, low):
    if overlaps.dim() != 2 or not low <= high:
        raise ValueError("a matrix, and thresholds in order")


def by_thresholds(overlaps, high, low):
    """Labels without the rule of the best."""
    if overlaps.shape[1] == 0:
        return torch.zeros(len(overlaps), dtype=torch.int64)
    most = overlaps.amax(1)
    labels = torch.where(most < low, 0, -1)
    return torch.where(most >= high, 1, labels)


def best_of_objects(overlaps):
    """Which anchors overlap some object most."""
    if overlaps.numel() == 0:
        return torch.zeros(len(overlaps), dtype=torch.bool)
    return ((overlaps == overlaps.amax(0)) & (overlaps > 0)).any(1)


def right_where(overlaps, high=0.7, low=0.3):
    """Largest overlaps, then where."""
    refuse_overlaps(overlaps, high, low)
    return torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))


def right_loops(overlaps, high=0.7, low=0.3):
    """One anchor after the other."""
    refuse_overlaps(overlaps, high, low)
    rows = overlaps.tolist()
    labels = []
    for row in rows:
        best = [max(other[g] for other in rows) for g in range(len(row))]
        if any(o >= high or (o == b and o > 0) for o, b in zip(row, best, strict=True)):
            labels.append(1)
        else:
            labels.append(0 if all(o < low for o in row) else -1)
    return torch.tensor(labels, dtype=torch.int64)


def right_object_by_object(overlaps, high=0.7, low=0.3):
    """A column that gives even anchors without objects something to compare with."""
    refuse_overlaps(overlaps, high, low)
    overlaps = torch.cat([overlaps, overlaps.new_full((len(overlaps), 1), -1.0)], dim=1)
    labels = -torch.ones(len(overlaps)).long()
    labels[overlaps.max(dim=1).values < low] = 0
    labels[overlaps.max(dim=1).values >= high] = 1
    for column in overlaps.T:
        if (column > 0).any():
            labels[column == column.max()] = 1
    return labels


def wrong_without_the_best(overlaps, high=0.7, low=0.3):
    """Thresholds only.

    Named: the one that overlaps it most gets label 1
    """
    refuse_overlaps(overlaps, high, low)
    return by_thresholds(overlaps, high, low)


def wrong_background_last(overlaps, high=0.7, low=0.3):
    """Sets the background after the best anchors, and so takes them away again.

    Named: the one that overlaps it most gets label 1
    """
    refuse_overlaps(overlaps, high, low)
    labels = torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))
    labels[(overlaps < low).all(1)] = 0
    return labels


def wrong_between_is_background(overlaps, high=0.7, low=0.3):
    """Nothing is ignored.

    Named: between the thresholds is ignored, label -1
    """
    refuse_overlaps(overlaps, high, low)
    labels = torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))
    return labels.clamp(min=0)


def wrong_between_is_object(overlaps, high=0.7, low=0.3):
    """All that is no background is an object.

    Named: it is no object
    """
    refuse_overlaps(overlaps, high, low)
    labels = torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))
    return labels.abs()


def wrong_best_of_each_anchor(overlaps, high=0.7, low=0.3):
    """The largest of each row instead of each column.

    Named: not for the best object of each anchor
    """
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, high, low)
    if overlaps.numel():
        most = overlaps.amax(1, keepdim=True)
        labels[((overlaps == most) & (most > 0)).any(1)] = 1
    return labels


def wrong_signs(overlaps, high=0.7, low=0.3):
    """Background is -1.

    Named: background is 0
    """
    refuse_overlaps(overlaps, high, low)
    labels = torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))
    return torch.where(labels == 1, 1, -1 - labels)


def wrong_best_only(overlaps, high=0.7, low=0.3):
    """An object has one anchor, its best; 0.7 is forgotten.

    Named: though anchor 0 is better
    """
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, 2.0, low)
    return torch.where(best_of_objects(overlaps), 1, labels)


def wrong_first_of_the_best(overlaps, high=0.7, low=0.3):
    """Argmax: one anchor of those that share the first place.

    Named: all that share the first place
    """
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, high, low)
    for column in overlaps.T:
        if len(column) and column.max() > 0:
            labels[column.tolist().index(column.max().item())] = 1
    return labels


def wrong_zero_is_the_best(overlaps, high=0.7, low=0.3):
    """An object that meets no anchor makes all of them positive.

    Named: an overlap of 0 is no overlap
    """
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, high, low)
    if overlaps.numel():
        labels[(overlaps == overlaps.amax(0)).any(1)] = 1
    return labels


def wrong_more_than_high(overlaps, high=0.7, low=0.3):
    """Exactly high is not enough.

    Named: an overlap of exactly high
    """
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, high + 1e-9, low)
    return torch.where(best_of_objects(overlaps), 1, labels)


def wrong_up_to_low(overlaps, high=0.7, low=0.3):
    """Exactly low is background.

    Named: an overlap of exactly low
    """
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, high, low + 1e-9)
    return torch.where(best_of_objects(overlaps), 1, labels)


def wrong_default_thresholds(overlaps, high=0.7, low=0.3):
    """0.7 and 0.3 are written into the code.

    Named: the thresholds are arguments
    """
    refuse_overlaps(overlaps, high, low)
    return torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, 0.7, 0.3))


def wrong_background_of_any(overlaps, high=0.7, low=0.3):
    """Little overlap with one object is enough for background."""
    refuse_overlaps(overlaps, high, low)
    labels = torch.full((len(overlaps),), -1)
    labels[(overlaps < low).any(1)] = 0
    labels[(overlaps >= high).any(1)] = 1
    labels[best_of_objects(overlaps)] = 1
    return labels


def wrong_mean(overlaps, high=0.7, low=0.3):
    """Background by the mean over the objects."""
    refuse_overlaps(overlaps, high, low)
    labels = torch.full((len(overlaps),), -1)
    labels[overlaps.mean(1) < low] = 0
    labels[(overlaps >= high).any(1)] = 1
    labels[best_of_objects(overlaps)] = 1
    return labels


def wrong_best_of_its_own_object(overlaps, high=0.7, low=0.3):
    """An anchor may be the best only of the object that it overlaps most."""
    refuse_overlaps(overlaps, high, low)
    labels = by_thresholds(overlaps, high, low)
    if overlaps.numel():
        own = overlaps == overlaps.amax(1, keepdim=True)
        labels[((overlaps == overlaps.amax(0)) & own & (overlaps > 0)).any(1)] = 1
    return labels


def wrong_no_objects_ignored(overlaps, high=0.7, low=0.3):
    """A picture without objects teaches nothing."""
    refuse_overlaps(overlaps, high, low)
    if overlaps.shape[1] == 0:
        return torch.full((len(overlaps),), -1)
    return torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))


def wrong_float_labels(overlaps, high=0.7, low=0.3):
    """Labels as decimal numbers."""
    refuse_overlaps(overlaps, high, low)
    return torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low)).float()


def wrong_thresholds_sorted(overlaps, high=0.7, low=0.3):
    """Swaps thresholds that are in the wrong order.

    Named: expected a ValueError
    """
    low, high = min(low, high), max(low, high)
    return torch.where(best_of_objects(overlaps), 1, by_thresholds(overlaps, high, low))
