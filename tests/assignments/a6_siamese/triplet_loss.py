"""Answers to a6_siamese, task 3."""

import torch
import torch.nn.functional as F


def refuse_triplets(anchor, positive, negative, margin):
    shapes = {tuple(z.shape) for z in (anchor, positive, negative)}
    if len(shapes) != 1 or anchor.ndim != 2 or len(anchor) == 0 or margin <= 0:
        raise ValueError(f"{shapes}, {margin}")


def squares(a, b):
    return (a - b).square().sum(1)


def loss_and_active(losses):
    return losses.mean(), int((losses > 0).sum())


def right_expanded(anchor, positive, negative, margin=0.2):
    """The difference of the squares, multiplied out."""
    refuse_triplets(anchor, positive, negative, margin)
    sides = positive * positive - negative * negative - 2 * anchor * (positive - negative)
    losses = (sides.sum(1) + margin).clamp(min=0)
    return losses.sum() / len(losses), losses.count_nonzero().item()


def right_active_only(anchor, positive, negative, margin=0.2):
    """Sums what is active, and divides by all."""
    refuse_triplets(anchor, positive, negative, margin)
    differences = torch.stack((positive, -negative)) - torch.stack((anchor, -anchor))
    near, far = differences.pow(2).sum(-1)
    active = near + margin > far
    return (near - far + margin)[active].sum() / len(active), sum(active.tolist())


def right_triplet_by_triplet(anchor, positive, negative, margin=0.2):
    """A loop."""
    refuse_triplets(anchor, positive, negative, margin)
    total, active = 0 * anchor.sum(), 0
    for a, p, n in zip(anchor, positive, negative, strict=True):
        loss = torch.dot(a - p, a - p) - torch.dot(a - n, a - n) + margin
        if loss > 0:
            total, active = total + loss, active + 1
    return total / len(anchor), active


def wrong_swapped(anchor, positive, negative, margin=0.2):
    """Pushes the positive and pulls the negative.

    Named: positive and negative are swapped
    """
    refuse_triplets(anchor, positive, negative, margin)
    return loss_and_active(F.relu(squares(anchor, negative) - squares(anchor, positive) + margin))


def wrong_margin_side(anchor, positive, negative, margin=0.2):
    """Subtracts the margin.

    Named: the margin is on the wrong side
    """
    refuse_triplets(anchor, positive, negative, margin)
    return loss_and_active(F.relu(squares(anchor, positive) - squares(anchor, negative) - margin))


def wrong_no_margin(anchor, positive, negative, margin=0.2):
    """Is content with the right order.

    Named: the margin is missing
    """
    refuse_triplets(anchor, positive, negative, margin)
    return loss_and_active(F.relu(squares(anchor, positive) - squares(anchor, negative)))


def wrong_no_maximum(anchor, positive, negative, margin=0.2):
    """Pushes on, however far the negative is.

    Named: an easy triplet costs 0, not less
    """
    refuse_triplets(anchor, positive, negative, margin)
    return loss_and_active(squares(anchor, positive) - squares(anchor, negative) + margin)


def wrong_maximum_of_the_mean(anchor, positive, negative, margin=0.2):
    """Lets easy triplets pay for hard ones.

    Named: for each triplet, before the mean
    """
    refuse_triplets(anchor, positive, negative, margin)
    losses = squares(anchor, positive) - squares(anchor, negative) + margin
    return F.relu(losses.mean()), int((losses > 0).sum())


def wrong_sum(anchor, positive, negative, margin=0.2):
    """Adds up the batch.

    Named: not the sum
    """
    refuse_triplets(anchor, positive, negative, margin)
    losses = F.relu(squares(anchor, positive) - squares(anchor, negative) + margin)
    return losses.sum(), int((losses > 0).sum())


def wrong_mean_of_active(anchor, positive, negative, margin=0.2):
    """Averages over the active ones, a useful loss with another name.

    Named: not over the active ones alone
    """
    refuse_triplets(anchor, positive, negative, margin)
    losses = F.relu(squares(anchor, positive) - squares(anchor, negative) + margin)
    active = int((losses > 0).sum())
    return losses.sum() / max(active, 1), active


def wrong_not_squared(anchor, positive, negative, margin=0.2):
    """Plain distances, as PyTorch's own loss has them.

    Named: the distances are squared here
    """
    refuse_triplets(anchor, positive, negative, margin)
    near, far = (anchor - positive).norm(dim=1), (anchor - negative).norm(dim=1)
    return loss_and_active(F.relu(near - far + margin))


def wrong_averaged_over_numbers(anchor, positive, negative, margin=0.2):
    """Means instead of sums of squares.

    Named: summed over the D numbers
    """
    refuse_triplets(anchor, positive, negative, margin)
    near, far = (anchor - positive).square().mean(1), (anchor - negative).square().mean(1)
    return loss_and_active(F.relu(near - far + margin))


def wrong_softplus(anchor, positive, negative, margin=0.2):
    """The soft margin.

    Named: this is softplus
    """
    refuse_triplets(anchor, positive, negative, margin)
    losses = squares(anchor, positive) - squares(anchor, negative) + margin
    return loss_and_active(F.softplus(losses))


def wrong_counts_the_easy(anchor, positive, negative, margin=0.2):
    """Returns how many are done.

    Named: count the triplets that still cost something
    """
    refuse_triplets(anchor, positive, negative, margin)
    losses = F.relu(squares(anchor, positive) - squares(anchor, negative) + margin)
    return losses.mean(), int((losses == 0).sum())


def wrong_zero_is_active(anchor, positive, negative, margin=0.2):
    """Counts what just reaches the margin.

    Named: a loss of exactly 0 is not active
    """
    refuse_triplets(anchor, positive, negative, margin)
    losses = squares(anchor, positive) - squares(anchor, negative) + margin
    return F.relu(losses).mean(), int((losses >= 0).sum())


def wrong_no_count(anchor, positive, negative, margin=0.2):
    """The loss alone."""
    refuse_triplets(anchor, positive, negative, margin)
    return F.relu(squares(anchor, positive) - squares(anchor, negative) + margin).mean()


def wrong_swaps_anchor(anchor, positive, negative, margin=0.2):
    """Takes the smaller of both distances to the negative, as an option of PyTorch's loss does."""
    refuse_triplets(anchor, positive, negative, margin)
    far = torch.minimum(squares(anchor, negative), squares(positive, negative))
    return loss_and_active(F.relu(squares(anchor, positive) - far + margin))


def wrong_anchor_fixed(anchor, positive, negative, margin=0.2):
    """No gradient for the anchor."""
    refuse_triplets(anchor, positive, negative, margin)
    anchor = anchor.detach()
    return loss_and_active(F.relu(squares(anchor, positive) - squares(anchor, negative) + margin))


def wrong_broadcast(anchor, positive, negative, margin=0.2):
    """Takes a single negative for all.

    Named: expected a ValueError
    """
    return loss_and_active(F.relu(squares(anchor, positive) - squares(anchor, negative) + margin))
