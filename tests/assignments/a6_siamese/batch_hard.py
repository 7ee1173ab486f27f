"""Answers to a6_siamese, task 4."""

import torch


def table(z):
    return (z[:, None] - z[None]).square().sum(2)


def masks(z, labels):
    """Same class without the picture itself, and other classes; or a refusal."""
    if z.ndim != 2 or labels.shape != z.shape[:1]:
        raise ValueError(f"{z.shape}, {labels.shape}")
    same = labels[:, None] == labels
    friends = same & (torch.arange(len(z))[:, None] != torch.arange(len(z)))
    if not friends.any() or same.all():
        raise ValueError("no triplets")
    return friends, ~same


def right_loops(z, labels):
    """Picture by picture."""
    if z.ndim != 2 or labels.ndim != 1 or len(z) != len(labels):
        raise ValueError(f"{z.shape}, {labels.shape}")
    classes = labels.tolist()
    found = []
    for i, own in enumerate(classes):
        gaps = ((z - z[i]) ** 2).sum(1).tolist()
        friends = [j for j, c in enumerate(classes) if c == own and j != i]
        strangers = [j for j, c in enumerate(classes) if c != own]
        if friends and strangers:
            # Both take the first of several.
            found.append(
                (i, max(friends, key=gaps.__getitem__), min(strangers, key=gaps.__getitem__))
            )
    if not found:
        raise ValueError("no triplets")
    return tuple(torch.tensor(column) for column in zip(*found, strict=True))


def right_where(z, labels):
    """Masks, with torch.cdist and where."""
    friends, strangers = masks(z, labels)
    gaps = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    anchors = torch.where(friends.sum(1) > 0)[0]
    positives = torch.where(friends, gaps, torch.full_like(gaps, -torch.inf)).max(dim=1).indices
    negatives = torch.where(strangers, -gaps, torch.full_like(gaps, -torch.inf)).max(dim=1).indices
    return anchors, positives[anchors], negatives[anchors]


def right_anchors_first(z, labels):
    """Leaves out lonely pictures before it looks for anything."""
    friends, strangers = masks(z, labels)
    anchors = torch.arange(len(z))[friends.any(1)]
    gaps = table(z)[anchors]
    gaps_to_friends = gaps.clone()
    gaps_to_friends[~friends[anchors]] = float("-inf")
    gaps_to_strangers = gaps.clone()
    gaps_to_strangers[~strangers[anchors]] = float("inf")
    return anchors, gaps_to_friends.argmax(1), gaps_to_strangers.argmin(1)


def mine(z, anchors, positives, negatives, positive=None, negative=None):
    """The farthest positive and the nearest negative of each anchor, within these masks."""
    gaps = table(z)
    positive = gaps.masked_fill(~positives, -1.0).argmax(1) if positive is None else positive
    negative = gaps.masked_fill(~negatives, torch.inf).argmin(1) if negative is None else negative
    return anchors, positive[anchors], negative[anchors]


def anchors_of(friends):
    return friends.any(1).nonzero().flatten()


def wrong_nearest_with_itself(z, labels):
    """The nearest of the class is the anchor itself.

    Named: the anchor itself is no positive
    """
    friends, strangers = masks(z, labels)
    positive = table(z).masked_fill(labels[:, None] != labels, torch.inf).argmin(1)
    return mine(z, anchors_of(friends), friends, strangers, positive=positive)


def wrong_nearest_positive(z, labels):
    """The easiest positive.

    Named: the hardest positive is the farthest one
    """
    friends, strangers = masks(z, labels)
    positive = table(z).masked_fill(~friends, torch.inf).argmin(1)
    return mine(z, anchors_of(friends), friends, strangers, positive=positive)


def wrong_farthest_negative(z, labels):
    """The easiest negative.

    Named: the hardest negative is the nearest one
    """
    friends, strangers = masks(z, labels)
    negative = table(z).masked_fill(~strangers, -1.0).argmax(1)
    return mine(z, anchors_of(friends), friends, strangers, negative=negative)


def wrong_easiest(z, labels):
    """Nearest positive and farthest negative.

    Named: not the other way around
    """
    friends, strangers = masks(z, labels)
    positive = table(z).masked_fill(~friends, torch.inf).argmin(1)
    negative = table(z).masked_fill(~strangers, -1.0).argmax(1)
    return mine(z, anchors_of(friends), friends, strangers, positive, negative)


def wrong_itself_allowed(z, labels):
    """Trusts that the farthest is never the anchor, which fails where all are equal.

    Named: not even among equal embeddings
    """
    friends, strangers = masks(z, labels)
    return mine(z, anchors_of(friends), labels[:, None] == labels, strangers)


def wrong_zero_means_itself(z, labels):
    """Takes every picture at distance 0 for the anchor itself.

    Named: a picture at distance 0 is a positive too
    """
    _, strangers = masks(z, labels)
    friends = ~strangers & (table(z) > 0)
    return mine(z, anchors_of(friends), friends, strangers)


def wrong_lonely_anchors(z, labels):
    """A picture without others of its class is its own positive.

    Named: that picture is no anchor
    """
    _, strangers = masks(z, labels)
    return mine(z, torch.arange(len(z)), labels[:, None] == labels, strangers)


def wrong_lonely_left_out(z, labels):
    """Throws away pictures without a class mate, though they are negatives.

    Named: but the picture is a negative
    """
    friends, strangers = masks(z, labels)
    return mine(z, anchors_of(friends), friends, strangers & friends.any(1))


def wrong_negative_of_any_class(z, labels):
    """The nearest picture, whatever it shows.

    Named: this takes the nearest picture of any
    """
    friends, _ = masks(z, labels)
    return mine(z, anchors_of(friends), friends, torch.eye(len(z)) == 0)


def wrong_positive_of_any_class(z, labels):
    """The farthest picture, whatever it shows.

    Named: this takes the farthest picture of any
    """
    friends, strangers = masks(z, labels)
    return mine(z, anchors_of(friends), torch.eye(len(z)) == 0, strangers)


def wrong_negative_masked_with_zero(z, labels):
    """Multiplies by the mask: the nearest negative is then the first picture of the own class."""
    friends, strangers = masks(z, labels)
    negative = (table(z) * strangers).argmin(1)
    return mine(z, anchors_of(friends), friends, strangers, negative=negative)


def wrong_positive_masked_with_zero(z, labels):
    """Multiplies by the mask, which is right until a class has collapsed.

    Named: not even among equal embeddings
    """
    friends, strangers = masks(z, labels)
    positive = (table(z) * friends).argmax(1)
    return mine(z, anchors_of(friends), friends, strangers, positive=positive)


def wrong_order_of_the_tuple(z, labels):
    """Negatives before positives.

    Named: a tuple of anchors, positives, negatives
    """
    friends, strangers = masks(z, labels)
    anchors, positives, negatives = mine(z, anchors_of(friends), friends, strangers)
    return anchors, negatives, positives


def wrong_last_of_several(z, labels):
    """Takes the last of several at the same distance."""
    friends, strangers = masks(z, labels)
    gaps, last = table(z), len(z) - 1
    positive = last - gaps.masked_fill(~friends, -1.0).flip(1).argmax(1)
    negative = last - gaps.masked_fill(~strangers, torch.inf).flip(1).argmin(1)
    return mine(z, anchors_of(friends), friends, strangers, positive, negative)


def wrong_first_numbers_only(z, labels):
    """Compares the first number of the embeddings."""
    friends, strangers = masks(z, labels)
    return mine(z[:, :1], anchors_of(friends), friends, strangers)


def wrong_one_class_accepted(z, labels):
    """Takes the first picture for a negative if there is none.

    Named: expected a ValueError because with one class
    """
    same = labels[:, None] == labels
    friends = same & (torch.eye(len(z)) == 0)
    return mine(z, anchors_of(friends), friends, ~same)


def wrong_no_positives_accepted(z, labels):
    """Returns no triplets where it should say why.

    Named: expected a ValueError because three classes
    """
    same = labels[:, None] == labels
    friends = same & (torch.eye(len(z)) == 0)
    if same.all():
        raise ValueError("one class")
    return mine(z, anchors_of(friends), friends, ~same)
