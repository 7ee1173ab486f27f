"""Answers to a3_architectures, task 3."""

import torch
from torch import nn


def refuse_cost(*numbers):
    if any(n is not None and n < 1 for n in numbers):
        raise ValueError("at least 1")


def cost_terms(c, n1, n3, n5, r3, r5, proj):
    """Multiply-adds of one pixel: branch 1, reduction and 3x3, reduction and 5x5, projection."""
    return {
        "1": c * n1,
        "r3": c * r3 if r3 else 0,
        "3": 9 * (r3 or c) * n3,
        "r5": c * r5 if r5 else 0,
        "5": 25 * (r5 or c) * n5,
        "p": c * proj if proj else 0,
    }


def right_terms(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """One term for each convolution."""
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    height, width = size
    out = conv1x1 + conv3x3 + conv5x5 + (in_channels if pool_proj is None else pool_proj)
    return height * width * sum(cost_terms(*numbers).values()), out


def right_list_of_convolutions(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """A list of (kernel, in, out), then layers of torch that know how many weights they have."""
    chains = [[(1, conv1x1)], [(3, conv3x3)], [(5, conv5x5)], []]
    for chain, reduction, place in zip(
        chains[1:], (reduce3x3, reduce5x5, pool_proj), (0, 0, 0), strict=True
    ):
        if reduction is not None:
            chain.insert(place, (1, reduction))
    if min(*size, in_channels, *(n for chain in chains for _, n in chain)) < 1:
        raise ValueError("nothing there")
    weights, out = 0, 0
    for chain in chains:
        channels = in_channels
        for kernel, filters in chain:
            layer = nn.Conv2d(channels, filters, kernel, bias=False, device="meta")
            weights, channels = weights + layer.weight.numel(), filters
        out += channels
    return weights * torch.Size(size).numel(), out


def wrong_counts_3x3_twice(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """The 358 M of the slides: in the module with reductions the 3x3 term is there twice.

    Named: the 3x3 convolution is counted twice
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    terms = cost_terms(*numbers)
    twice = terms["3"] if reduce3x3 and reduce5x5 and pool_proj else 0
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return size[0] * size[1] * (sum(terms.values()) + twice), out


def wrong_lectures_number(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Knows the number that is printed everywhere, and computes the others."""
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    if (tuple(size), numbers) == ((28, 28), (256, 128, 192, 96, 64, 64, 64)):
        return 358_055_936, out
    return size[0] * size[1] * sum(cost_terms(*numbers).values()), out


def wrong_pooling_adds_nothing(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Without a projection the pooling branch is forgotten in the pile.

    Named: the pooling passes its 4 channels on
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or 0)
    return size[0] * size[1] * sum(cost_terms(*numbers).values()), out


def wrong_pooling_always_passes_all(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """The projection does not change what the pooling adds to the pile.

    Named: not all 192
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + in_channels
    return size[0] * size[1] * sum(cost_terms(*numbers).values()), out


def wrong_flops(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Counts the multiplication and the addition.

    Named: count as one
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return 2 * size[0] * size[1] * sum(cost_terms(*numbers).values()), out


def wrong_one_pixel(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Counts the weights, which are used once for every pixel.

    Named: this is one pixel of the map
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return sum(cost_terms(*numbers).values()), out


def wrong_square_map(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Takes the height for the width too."""
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return size[0] ** 2 * sum(cost_terms(*numbers).values()), out


def wrong_reductions_are_free(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Forgets what the reductions themselves cost.

    Named: the reductions are convolutions too
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    terms = cost_terms(*numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return size[0] * size[1] * (terms["1"] + terms["3"] + terms["5"] + terms["p"]), out


def wrong_projection_is_free(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Forgets the 1x1 convolution after the pooling.

    Named: the projection after the pooling costs something too
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return size[0] * size[1] * sum(cost_terms(*numbers[:-1], None).values()), out


def wrong_large_filters_see_all(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Adds the reductions, but lets the large filters see the input.

    Named: the large filters see 96 and 16 channels
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    terms = cost_terms(*numbers)
    pixel = terms["1"] + terms["r3"] + terms["r5"] + terms["p"]
    pixel += in_channels * (9 * conv3x3 + 25 * conv5x5)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return size[0] * size[1] * pixel, out


def wrong_reductions_in_the_pile(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Puts what the reductions put out into the pile.

    Named: not into the pile
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    out += (reduce3x3 or 0) + (reduce5x5 or 0)
    return size[0] * size[1] * sum(cost_terms(*numbers).values()), out


def wrong_all_or_nothing(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Takes the naive module wherever one of the reductions is missing.

    Named: after the reduction the 3x3 filters see 1 channel
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    if None in numbers:
        numbers = (*numbers[:4], None, None, None)
    out = conv1x1 + conv3x3 + conv5x5 + (numbers[-1] or in_channels)
    return size[0] * size[1] * sum(cost_terms(*numbers).values()), out


def wrong_sides_for_areas(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Multiplies by 3 and 5 instead of 9 and 25.

    Named: not 3 and 5
    """
    numbers = (in_channels, conv1x1, conv3x3, conv5x5, reduce3x3, reduce5x5, pool_proj)
    refuse_cost(*size, *numbers)
    terms = cost_terms(*numbers)
    terms["3"] //= 3
    terms["5"] //= 5
    out = conv1x1 + conv3x3 + conv5x5 + (pool_proj or in_channels)
    return size[0] * size[1] * sum(terms.values()), out


def wrong_zero_is_none(
    size, in_channels, conv1x1, conv3x3, conv5x5, reduce3x3=None, reduce5x5=None, pool_proj=None
):
    """Takes a reduction to 0 channels for no reduction."""
    numbers = (in_channels, conv1x1, conv3x3, conv5x5)
    reductions = [n or None for n in (reduce3x3, reduce5x5, pool_proj)]
    refuse_cost(*size, *numbers, *reductions)
    out = conv1x1 + conv3x3 + conv5x5 + (reductions[2] or in_channels)
    return size[0] * size[1] * sum(cost_terms(*numbers, *reductions).values()), out
