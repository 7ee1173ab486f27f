"""Answers to a6_siamese, task 7."""

import torch


def refuse_shots(support, support_labels, query, query_labels):
    classes = support_labels.tolist()
    if len(classes) != len(support) or len(query_labels) != len(query) or len(query) == 0:
        raise ValueError("labels")
    if len(set(classes)) != len(classes) or not set(query_labels.tolist()) <= set(classes):
        raise ValueError("classes")


def gaps_between(query, support):
    return (query[:, None] - support[None]).square().sum(2)


def right_loops(support, support_labels, query, query_labels):
    """Query by query."""
    refuse_shots(support, support_labels, query, query_labels)
    total = 0.0
    for z, own in zip(query, query_labels.tolist(), strict=True):
        gaps = ((support - z) ** 2).sum(1)
        winners = support_labels[gaps == gaps.min()].tolist()
        if own in winners:
            total += 1 / len(winners)
    return total / len(query)


def right_cdist(support, support_labels, query, query_labels):
    """torch.cdist, and the position of the right support picture."""
    refuse_shots(support, support_labels, query, query_labels)
    gaps = torch.cdist(query, support, compute_mode="donot_use_mm_for_euclid_dist")
    own = (query_labels[:, None] == support_labels).int().argmax(1)
    least = gaps.min(dim=1).values
    wins = gaps[torch.arange(len(query)), own] == least
    ties = (gaps == least[:, None]).sum(1)
    return float((wins.double() / ties).mean())


def right_weights(support, support_labels, query, query_labels):
    """Votes: each nearest picture gives its class an equal share."""
    refuse_shots(support, support_labels, query, query_labels)
    gaps = gaps_between(query, support)
    votes = (gaps <= gaps.min(1, keepdim=True).values).double()
    votes /= votes.sum(1, keepdim=True)
    return float(votes[query_labels[:, None] == support_labels].sum() / len(query))


def wrong_first_of_a_tie(support, support_labels, query, query_labels):
    """argmin, which takes the first of several.

    Named: counts 1/2
    """
    refuse_shots(support, support_labels, query, query_labels)
    predicted = support_labels[gaps_between(query, support).argmin(1)]
    return (predicted == query_labels).double().mean().item()


def wrong_tie_counts_fully(support, support_labels, query, query_labels):
    """Top-1 by distance: right if nobody is nearer than the own class.

    Named: counts 1/2
    """
    refuse_shots(support, support_labels, query, query_labels)
    gaps = gaps_between(query, support)
    nearest = gaps == gaps.min(1, keepdim=True).values
    right = query_labels[:, None] == support_labels
    return (nearest & right).any(1).double().mean().item()


def wrong_tie_counts_nothing(support, support_labels, query, query_labels):
    """Right only if nobody is as near.

    Named: counts 1/2
    """
    refuse_shots(support, support_labels, query, query_labels)
    gaps = gaps_between(query, support)
    nearest = gaps == gaps.min(1, keepdim=True).values
    right = query_labels[:, None] == support_labels
    return ((nearest & right).any(1) & (nearest.sum(1) == 1)).double().mean().item()


def wrong_tie_counts_a_half(support, support_labels, query, query_labels):
    """1/2 for any tie, also among five."""
    refuse_shots(support, support_labels, query, query_labels)
    gaps = gaps_between(query, support)
    nearest = gaps == gaps.min(1, keepdim=True).values
    right = (nearest & (query_labels[:, None] == support_labels)).any(1).double()
    return (right / nearest.sum(1).clamp(max=2)).mean().item()


def wrong_axis(support, support_labels, query, query_labels):
    """Looks for the nearest query of each support picture.

    Named: argmin goes along the wrong axis
    """
    refuse_shots(support, support_labels, query, query_labels)
    nearest = gaps_between(query, support).argmin(0)
    return (query_labels[nearest] == support_labels).double().mean().item()


def wrong_position_for_class(support, support_labels, query, query_labels):
    """Compares the position in the support with the class.

    Named: argmin gives a position in the support
    """
    refuse_shots(support, support_labels, query, query_labels)
    return (gaps_between(query, support).argmin(1) == query_labels).double().mean().item()


def wrong_farthest(support, support_labels, query, query_labels):
    """Takes the distance for a similarity.

    Named: not the farthest
    """
    refuse_shots(support, support_labels, query, query_labels)
    gaps = gaps_between(query, support)
    nearest = gaps == gaps.max(1, keepdim=True).values
    right = query_labels[:, None] == support_labels
    return ((nearest & right).sum(1) / nearest.sum(1)).double().mean().item()


def credits_for(gaps, support_labels, query_labels):
    nearest = gaps == gaps.min(1, keepdim=True).values
    right = query_labels[:, None] == support_labels
    return (nearest & right).sum(1).double() / nearest.sum(1)


def wrong_city_block(support, support_labels, query, query_labels):
    """Sums the absolute differences.

    Named: by Euclidean distance
    """
    refuse_shots(support, support_labels, query, query_labels)
    gaps = (query[:, None] - support[None]).abs().sum(2)
    return credits_for(gaps, support_labels, query_labels).mean().item()


def wrong_inner_product(support, support_labels, query, query_labels):
    """The largest inner product: long embeddings win."""
    refuse_shots(support, support_labels, query, query_labels)
    return credits_for(-query @ support.T, support_labels, query_labels).mean().item()


def wrong_percent(support, support_labels, query, query_labels):
    """Percent.

    Named: not percent
    """
    refuse_shots(support, support_labels, query, query_labels)
    credit = credits_for(gaps_between(query, support), support_labels, query_labels)
    return 100 * credit.mean().item()


def wrong_number(support, support_labels, query, query_labels):
    """The number of right queries.

    Named: divide by the number of queries
    """
    refuse_shots(support, support_labels, query, query_labels)
    credit = credits_for(gaps_between(query, support), support_labels, query_labels)
    return credit.sum().item()


def wrong_divided_by_classes(support, support_labels, query, query_labels):
    """Divides by N instead of Q.

    Named: not of classes
    """
    refuse_shots(support, support_labels, query, query_labels)
    credit = credits_for(gaps_between(query, support), support_labels, query_labels)
    return credit.sum().item() / len(support)


def wrong_error(support, support_labels, query, query_labels):
    """The error rate.

    Named: this is the share of errors
    """
    refuse_shots(support, support_labels, query, query_labels)
    credit = credits_for(gaps_between(query, support), support_labels, query_labels)
    return 1 - credit.mean().item()


def wrong_unknown_class(support, support_labels, query, query_labels):
    """A query without support is just wrong.

    Named: expected a ValueError
    """
    return credits_for(gaps_between(query, support), support_labels, query_labels).mean().item()


def wrong_two_shots(support, support_labels, query, query_labels):
    """Takes two support pictures of a class."""
    if len(support) != len(support_labels) or len(query) != len(query_labels) or len(query) == 0:
        raise ValueError("labels")
    if not set(query_labels.tolist()) <= set(support_labels.tolist()):
        raise ValueError("classes")
    return credits_for(gaps_between(query, support), support_labels, query_labels).mean().item()
