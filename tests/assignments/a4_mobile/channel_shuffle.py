"""Answers to a4_mobile, task 5."""

import torch


def refuse_shuffle(x, groups):
    if x.shape[1] % groups:
        raise ValueError(f"{x.shape[1]} channels, {groups} groups")


def transposed(x, rows):
    """The channels in this many rows, read by columns."""
    n, c, h, w = x.shape
    return x.reshape(n, rows, c // rows, h, w).transpose(1, 2).reshape(n, c, h, w)


def right_index(x, groups, inverse=False):
    """A list of channels."""
    refuse_shuffle(x, groups)
    order = torch.arange(x.shape[1]).reshape(groups, -1).T.flatten()
    return x[:, order.argsort() if inverse else order]


def right_slices(x, groups, inverse=False):
    """Every g-th channel, or every n-th, in one pile."""
    refuse_shuffle(x, groups)
    step = groups if inverse else x.shape[1] // groups
    return torch.cat([x[:, start::step] for start in range(step)], dim=1)


def right_unflatten(x, groups, inverse=False):
    """A tensor with one axis more, its axes swapped and joined."""
    refuse_shuffle(x, groups)
    table = x.unflatten(1, (-1, groups) if inverse else (groups, -1))
    return table.swapaxes(1, 2).flatten(1, 2)


def wrong_own_inverse(x, groups, inverse=False):
    """Shuffles once more to go back.

    Named: this shuffles once more
    """
    refuse_shuffle(x, groups)
    return transposed(x, groups)


def wrong_directions_swapped(x, groups, inverse=False):
    """g columns instead of g rows.

    Named: write 2 rows of 3 and read the columns
    """
    refuse_shuffle(x, groups)
    return transposed(x, groups if inverse else x.shape[1] // groups)


def wrong_no_transpose(x, groups, inverse=False):
    """Reshapes there and back.

    Named: nothing was shuffled: after reshape
    """
    refuse_shuffle(x, groups)
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).reshape(n, c, h, w)


def wrong_inverse_ignored(x, groups, inverse=False):
    """To go back it does nothing.

    Named: nothing was shuffled back
    """
    refuse_shuffle(x, groups)
    return x.clone() if inverse else transposed(x, groups)


def wrong_reversed(x, groups, inverse=False):
    """Turns the channels around, which is its own inverse.

    Named: this turns the order around
    """
    refuse_shuffle(x, groups)
    return x.flip(1)


def wrong_groups_rolled(x, groups, inverse=False):
    """Moves whole groups along.

    Named: this swaps the groups
    """
    refuse_shuffle(x, groups)
    shift = x.shape[1] // groups
    return x.roll(-shift if inverse else shift, 1)


def wrong_pixels_too(x, groups, inverse=False):
    """Reads the pixels as if they were channels.

    Named: whole maps are shuffled
    """
    refuse_shuffle(x, groups)
    n, rows = x.shape[0], x.shape[1] // groups if inverse else groups
    return x.reshape(n, rows, -1).transpose(1, 2).reshape(x.shape)


def wrong_drawn_at_random(x, groups, inverse=False):
    """Takes the name literally."""
    refuse_shuffle(x, groups)
    generator = torch.Generator().manual_seed(groups)
    order = torch.randperm(x.shape[1], generator=generator)
    return x[:, order.argsort() if inverse else order]


def wrong_batch_mixed_in(x, groups, inverse=False):
    """Forgets the batch, which is right for a single picture."""
    refuse_shuffle(x, groups)
    n, c, h, w = x.shape
    rows = c // groups if inverse else groups
    return x.reshape(rows, -1, h, w).transpose(0, 1).reshape(n, c, h, w)


def wrong_takes_the_gradient_off(x, groups, inverse=False):
    """Shuffles the values only."""
    refuse_shuffle(x, groups)
    return transposed(x.detach(), x.shape[1] // groups if inverse else groups)


def wrong_nothing_refused(x, groups, inverse=False):
    """Takes as many groups as fit.

    Named: expected a ValueError
    """
    while x.shape[1] % groups:
        groups -= 1
    return transposed(x, x.shape[1] // groups if inverse else groups)
