"""Answers to a6_siamese, task 2."""

import torch
import torch.nn.functional as F


def refuse_contrast(distance, same, margin):
    if distance.ndim != 1 or same.shape != distance.shape or len(same) == 0 or margin <= 0:
        raise ValueError(f"{distance.shape}, {same.shape}, {margin}")


def right_formula(distance, same, margin=1.0):
    """The formula, with y as a number."""
    refuse_contrast(distance, same, margin)
    y = same.to(distance.dtype)
    return (y * distance**2 / 2 + (1 - y) / 2 * F.relu(margin - distance) ** 2).mean()


def right_two_sums(distance, same, margin=1.0):
    """Both kinds of pairs on their own."""
    refuse_contrast(distance, same, margin)
    pulled = distance[same]
    pushed = distance[~same]
    pushed = pushed[pushed < margin]
    return ((pulled * pulled).sum() + ((margin - pushed) ** 2).sum()) / (2 * len(distance))


def right_pair_by_pair(distance, same, margin=1.0):
    """A loop."""
    refuse_contrast(distance, same, margin)
    costs = []
    for d, equal in zip(distance, same, strict=True):
        missing = d if equal else torch.maximum(margin - d, torch.zeros_like(d))
        costs.append(0.5 * missing.square())
    return torch.stack(costs).mean()


def wrong_y_inverted(distance, same, margin=1.0):
    """Y as in the paper, where 1 is a different pair.

    Named: y is inverted
    """
    refuse_contrast(distance, same, margin)
    return torch.where(same, (margin - distance).clamp(min=0).square(), distance**2).mean() / 2


def wrong_margin_side(distance, same, margin=1.0):
    """Punishes different pairs beyond the margin.

    Named: the margin is on the wrong side
    """
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, (distance - margin).clamp(min=0).square()).mean() / 2


def wrong_no_maximum(distance, same, margin=1.0):
    """Pulls different pairs back to the margin.

    Named: beyond the margin a different pair costs nothing
    """
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, (margin - distance).square()).mean() / 2


def wrong_maximum_of_the_square(distance, same, margin=1.0):
    """Squares first, so that the maximum does nothing.

    Named: beyond the margin a different pair costs nothing
    """
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, ((margin - distance) ** 2).clamp(min=0)).mean() / 2


def wrong_no_half(distance, same, margin=1.0):
    """Leaves the factor out.

    Named: the factor 1/2 is missing
    """
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, (margin - distance).clamp(min=0).square()).mean()


def wrong_sum(distance, same, margin=1.0):
    """Adds up the batch."""
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, (margin - distance).clamp(min=0).square()).sum() / 2


def wrong_hinge_not_squared(distance, same, margin=1.0):
    """A plain hinge for different pairs."""
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, (margin - distance).clamp(min=0)).mean() / 2


def wrong_distance_not_squared(distance, same, margin=1.0):
    """Takes the distance for a squared one."""
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance, (margin - distance).clamp(min=0).square()).mean() / 2


def wrong_difference_of_squares(distance, same, margin=1.0):
    """Squares both sides of the difference."""
    refuse_contrast(distance, same, margin)
    return torch.where(same, distance**2, (margin**2 - distance**2).clamp(min=0)).mean() / 2


def wrong_squared_against_margin(distance, same, margin=1.0):
    """Compares the squared distance with the margin."""
    refuse_contrast(distance, same, margin)
    pushed = (margin - distance**2).clamp(min=0).square()
    return torch.where(same, distance**2, pushed).mean() / 2


def wrong_only_pulls(distance, same, margin=1.0):
    """A loss that collapses."""
    refuse_contrast(distance, same, margin)
    return (same * distance**2).mean() / 2


def wrong_two_means(distance, same, margin=1.0):
    """One mean for each kind, which is NaN if there is none."""
    refuse_contrast(distance, same, margin)
    pushed = (margin - distance[~same]).clamp(min=0).square()
    return (distance[same].square().mean() + pushed.mean()) / 2


def wrong_plain_number(distance, same, margin=1.0):
    """Returns a Python number: no gradient."""
    refuse_contrast(distance, same, margin)
    pushed = (margin - distance).clamp(min=0).square()
    return (torch.where(same, distance**2, pushed).mean() / 2).item()


def wrong_detached(distance, same, margin=1.0):
    """The right number without its gradient."""
    refuse_contrast(distance, same, margin)
    pushed = (margin - distance).clamp(min=0).square()
    return (torch.where(same, distance**2, pushed).mean() / 2).detach()


def wrong_broadcast(distance, same, margin=1.0):
    """Takes any shapes that torch can combine.

    Named: expected a ValueError
    """
    pushed = (margin - distance).clamp(min=0).square()
    return torch.where(same, distance**2, pushed).mean() / 2
