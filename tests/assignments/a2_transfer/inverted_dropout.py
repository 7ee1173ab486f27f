"""Answers to a2_transfer, task 2."""

import torch


def right_with_bernoulli(x, p, training):
    """Draws who survives with torch.bernoulli; x times 0 for p = 1 without dividing."""
    if p < 0 or p > 1:
        raise ValueError("p")
    if not training or p == 0:
        return x.clone()
    mask = torch.bernoulli(torch.full_like(x, 1 - p))
    return x * mask / max(1 - p, 1e-30)


def right_with_where(x, p, training):
    """Chooses between zero and the scaled value."""
    if not (0 <= p <= 1):
        raise ValueError(f"not a probability: {p}")
    if not training:
        return x
    zeros = torch.zeros_like(x)
    if p == 1.0:
        return zeros
    return torch.where(torch.rand(x.shape) < p, zeros, x / (1 - p))


def wrong_no_scaling(x, p, training):
    """Zeroes units, but does not scale the others.

    Named: not scaled
    """
    if not 0 <= p <= 1:
        raise ValueError
    if not training:
        return x
    return x * (torch.rand_like(x) >= p)


def wrong_scaled_when_used(x, p, training):
    """The older way: no scaling in training, but when the network is used.

    Named: not scaled
    """
    if not 0 <= p <= 1:
        raise ValueError
    if not training:
        return x * (1 - p)
    return x * (torch.rand_like(x) >= p)


def wrong_scaled_in_both(x, p, training):
    """Scales in training and again when the network is used.

    Named: nothing is left to do
    """
    if not 0 <= p <= 1:
        raise ValueError
    if not training:
        return x * (1 - p)
    if p == 1:
        return torch.zeros_like(x)
    return x * (torch.rand_like(x) >= p) / (1 - p)


def wrong_p_keeps(x, p, training):
    """Takes p for the probability of keeping a unit.

    Named: the probability of dropping
    """
    if not 0 <= p <= 1:
        raise ValueError
    if not training:
        return x
    if p == 0:
        return torch.zeros_like(x)
    return x * (torch.rand_like(x) < p) / p


def wrong_multiplies(x, p, training):
    """Makes the survivors smaller instead of larger.

    Named: must become larger
    """
    if not 0 <= p <= 1:
        raise ValueError
    return x * (torch.rand_like(x) >= p) * (1 - p) if training else x


def wrong_always_active(x, p, training):
    """Drops units also when the network is used.

    Named: although training=False
    """
    if not 0 <= p <= 1:
        raise ValueError
    if p == 1:
        return torch.zeros_like(x)
    return x * (torch.rand_like(x) >= p) / (1 - p)


def wrong_divides_by_zero(x, p, training):
    """0/0 for p = 1.

    Named: nan
    """
    if not 0 <= p <= 1:
        raise ValueError
    return x * (torch.rand_like(x) >= p) / (1 - p) if training else x


def wrong_whole_rows(x, p, training):
    """Decides once for each row of a batch.

    Named: decide for each value
    """
    if not 0 <= p <= 1:
        raise ValueError
    if not training:
        return x
    if p == 1:
        return torch.zeros_like(x)
    # Rows are few, so take exactly the share of them.
    rows = torch.randperm(len(x)) >= round(p * len(x))
    return x * rows.reshape(-1, *[1] * (x.ndim - 1)) / (1 - p)


def wrong_same_units_always(x, p, training):
    """Sets a seed of its own, so that every pass drops the same units."""
    if not 0 <= p <= 1:
        raise ValueError
    if not training:
        return x
    if p == 1:
        return torch.zeros_like(x)
    torch.manual_seed(0)
    return x * (torch.rand_like(x) >= p) / (1 - p)


def wrong_p_unchecked_when_used(x, p, training):
    """Looks at p in training only."""
    if not training:
        return x
    if not 0 <= p <= 1:
        raise ValueError
    if p == 1:
        return torch.zeros_like(x)
    return x * (torch.rand_like(x) >= p) / (1 - p)


def wrong_no_gradient(x, p, training):
    """Works on detached values, so nothing before it learns."""
    if not 0 <= p <= 1:
        raise ValueError
    x = x.detach()
    if not training:
        return x
    if p == 1:
        return torch.zeros_like(x)
    return x * (torch.rand_like(x) >= p) / (1 - p)


def wrong_in_place(x, p, training):
    """Overwrites the units it was given.

    Named: the call changed argument 1
    """
    if not 0 <= p <= 1:
        raise ValueError
    if training:
        x[torch.rand_like(x) < p] = 0
        x /= 1 - p if p < 1 else 1
    return x
