"""Answers to a2_transfer, task 9."""

import torch
import torch.nn.functional as F


def refuse(features, labels, num_classes):
    """Raises the ValueErrors that the task asks for."""
    if not len(features):
        raise ValueError("no examples")
    if any(not 0 <= label < num_classes for label in labels.tolist()):
        raise ValueError("no such class")


def right_with_one_hot(features, labels, queries, num_classes):
    """Means by a matrix product, distances from all differences."""
    refuse(features, labels, num_classes)
    members = F.one_hot(labels, num_classes).to(features.dtype)  # (N, K)
    counts = members.sum(0)
    means = members.T @ features / counts.clamp(min=1)[:, None]
    distances = (queries[:, None] - means[None]).norm(dim=2)
    distances[:, counts == 0] = float("inf")
    return distances.argmin(1)


def right_query_by_query(features, labels, queries, num_classes):
    """Loops over queries and classes."""
    refuse(features, labels, num_classes)
    answers = []
    for query in queries:
        best, winner = None, None
        for label in range(num_classes):
            mine = features[labels == label]
            if not len(mine):
                continue
            distance = float(((query - mine.sum(0) / len(mine)) ** 2).sum())
            if best is None or distance < best:
                best, winner = distance, label
        answers.append(winner)
    return torch.tensor(answers, dtype=torch.int64)


def right_through_the_labels(features, labels, queries, num_classes):
    """Means of the classes that exist; labels at the end."""
    refuse(features, labels, num_classes)
    present = sorted(set(labels.tolist()))
    means = torch.stack([features[labels == label].mean(0) for label in present])
    return torch.tensor(present)[torch.cdist(queries, means).argmin(1)]


def wrong_nearest_neighbour(features, labels, queries, num_classes):
    """Takes the class of the nearest example.

    Named: nearest example
    """
    refuse(features, labels, num_classes)
    return labels[torch.cdist(queries, features).argmin(1)]


def wrong_zero_mean(features, labels, queries, num_classes):
    """A class without examples lies at the origin.

    Named: its mean is not zero
    """
    refuse(features, labels, num_classes)
    means = torch.zeros(num_classes, features.shape[1], dtype=features.dtype)
    for label in labels.unique():
        means[label] = features[labels == label].mean(0)
    return torch.cdist(queries, means).argmin(1)


def wrong_nan_mean(features, labels, queries, num_classes):
    """A class without examples has nan for a mean, and argmin takes it.

    Named: 0/0
    """
    refuse(features, labels, num_classes)
    means = torch.stack([features[labels == k].mean(0) for k in range(num_classes)])
    return ((queries[:, None] - means) ** 2).sum(2).argmin(1)


def wrong_counts_present_classes(features, labels, queries, num_classes):
    """Numbers the classes that have examples.

    Named: number the classes that have examples
    """
    refuse(features, labels, num_classes)
    means = torch.stack([features[labels == k].mean(0) for k in labels.unique()])
    return torch.cdist(queries, means).argmin(1)


def wrong_dot_product(features, labels, queries, num_classes):
    """Takes the largest product for the nearest.

    Named: the largest product
    """
    refuse(features, labels, num_classes)
    scores = torch.full((len(queries), num_classes), -torch.inf, dtype=queries.dtype)
    for label in labels.unique():
        scores[:, label] = queries @ features[labels == label].mean(0)
    return scores.argmax(1)


def wrong_furthest(features, labels, queries, num_classes):
    """Takes the largest distance.

    Named: furthest away
    """
    refuse(features, labels, num_classes)
    scores = torch.full((len(queries), num_classes), -torch.inf, dtype=queries.dtype)
    for label in labels.unique():
        scores[:, label] = (queries - features[labels == label].mean(0)).norm(dim=1)
    return scores.argmax(1)


def wrong_last_of_a_tie(features, labels, queries, num_classes):
    """Gives a tie to the larger class.

    Named: that of the smaller class wins
    """
    refuse(features, labels, num_classes)
    answers = []
    for query in queries:
        best, winner = float("inf"), 0
        for label in range(num_classes):
            mine = features[labels == label]
            if len(mine) and float((query - mine.mean(0)).norm()) <= best:
                best, winner = float((query - mine.mean(0)).norm()), label
        answers.append(winner)
    return torch.tensor(answers, dtype=torch.int64)


def wrong_city_blocks(features, labels, queries, num_classes):
    """Adds up the differences along the axes."""
    refuse(features, labels, num_classes)
    distances = torch.full((len(queries), num_classes), torch.inf, dtype=queries.dtype)
    for label in labels.unique():
        distances[:, label] = (queries - features[labels == label].mean(0)).abs().sum(1)
    return distances.argmin(1)


def wrong_sums(features, labels, queries, num_classes):
    """Adds the features of a class up and does not divide."""
    refuse(features, labels, num_classes)
    distances = torch.full((len(queries), num_classes), torch.inf, dtype=queries.dtype)
    for label in labels.unique():
        distances[:, label] = (queries - features[labels == label].sum(0)).norm(dim=1)
    return distances.argmin(1)


def wrong_median(features, labels, queries, num_classes):
    """Takes the median of each feature."""
    refuse(features, labels, num_classes)
    distances = torch.full((len(queries), num_classes), torch.inf, dtype=queries.dtype)
    for label in labels.unique():
        distances[:, label] = (queries - features[labels == label].median(0).values).norm(dim=1)
    return distances.argmin(1)


def wrong_returns_distances(features, labels, queries, num_classes):
    """Returns how far the nearest mean is."""
    refuse(features, labels, num_classes)
    distances = torch.full((len(queries), num_classes), torch.inf, dtype=queries.dtype)
    for label in labels.unique():
        distances[:, label] = (queries - features[labels == label].mean(0)).norm(dim=1)
    return distances.min(1).values


def wrong_labels_unchecked(features, labels, queries, num_classes):
    """Leaves out labels that are no classes."""
    if not len(features):
        raise ValueError
    distances = torch.full((len(queries), num_classes), torch.inf, dtype=queries.dtype)
    for label in range(num_classes):
        if (labels == label).any():
            distances[:, label] = (queries - features[labels == label].mean(0)).norm(dim=1)
    return distances.argmin(1)
