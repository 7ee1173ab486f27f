"""Answers to a4_mobile, task 1."""

import math

from torch import nn


def refuse_separable(size, *numbers):
    if any(number < 1 for number in (*size, *numbers)):
        raise ValueError("at least 1")


def right_formula(size, in_channels, out_channels, kernel):
    """The fraction first, by its formula with two terms."""
    refuse_separable(size, in_channels, out_channels, kernel)
    fraction = 1 / out_channels + 1 / kernel**2
    full = math.prod(size) * in_channels * out_channels * kernel * kernel
    return full, full // out_channels + full // kernel**2, fraction


def right_layers(size, in_channels, out_channels, kernel):
    """Layers of torch that know how many weights they have."""
    refuse_separable(size, in_channels, out_channels, kernel)

    def cost(entering, leaving, side, groups=1):
        layer = nn.Conv2d(entering, leaving, side, groups=groups, bias=False, device="meta")
        return layer.weight.numel() * size[0] * size[1]

    full = cost(in_channels, out_channels, kernel)
    separable = cost(in_channels, in_channels, kernel, in_channels)
    separable += cost(in_channels, out_channels, 1)
    return full, separable, separable / full


def wrong_depthwise_only(size, in_channels, out_channels, kernel):
    """Forgets that somebody has to mix the channels.

    Named: this is the depthwise step alone
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    full = size[0] * size[1] * kernel**2 * in_channels * out_channels
    separable = size[0] * size[1] * kernel**2 * in_channels
    return full, separable, separable / full


def wrong_depthwise_with_all_filters(size, in_channels, out_channels, kernel):
    """A depthwise filter for each channel that comes out.

    Named: a filter for each channel that goes in
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * out_channels * (kernel**2 + in_channels)
    return full, separable, separable / full


def wrong_depthwise_is_dense(size, in_channels, out_channels, kernel):
    """The first step sees all channels: no groups.

    Named: a depthwise filter sees one channel
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * (kernel**2 * in_channels**2 + in_channels * out_channels)
    return full, separable, separable / full


def wrong_fraction_upside_down(size, in_channels, out_channels, kernel):
    """How many times cheaper, instead of what is left.

    Named: separable divided by full
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, full / separable


def wrong_fraction_saved(size, in_channels, out_channels, kernel):
    """What is saved, instead of what is left.

    Named: what is left, not what is saved
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, 1 - separable / full


def wrong_fraction_by_the_side(size, in_channels, out_channels, kernel):
    """1/N + 1/k.

    Named: the area of the filter
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, 1 / out_channels + 1 / kernel


def wrong_fraction_of_channels_in(size, in_channels, out_channels, kernel):
    """1/M + 1/k²: right where as many channels come out as go in.

    Named: the channels that come out
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, 1 / in_channels + 1 / kernel**2


def wrong_one_pixel(size, in_channels, out_channels, kernel):
    """Counts weights, each of which is used once for every pixel.

    Named: this is one pixel of the map
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    full = kernel**2 * in_channels * out_channels
    separable = in_channels * (kernel**2 + out_channels)
    return full, separable, separable / full


def wrong_flops(size, in_channels, out_channels, kernel):
    """Counts the multiplication and the addition.

    Named: count as one
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = 2 * size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, separable / full


def wrong_square_map(size, in_channels, out_channels, kernel):
    """Takes the height for the width too.

    Named: the map is not square
    """
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] ** 2
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, separable / full


def wrong_rounded_fraction(size, in_channels, out_channels, kernel):
    """Rounds the fraction for printing."""
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, round(separable / full, 3)


def wrong_never_dearer(size, in_channels, out_channels, kernel):
    """Believes that separation always saves something."""
    refuse_separable(size, in_channels, out_channels, kernel)
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = min(full, pixels * in_channels * (kernel**2 + out_channels))
    return full, separable, separable / full


def wrong_checks_channels_only(size, in_channels, out_channels, kernel):
    """Accepts a map without rows."""
    if min(in_channels, out_channels, kernel) < 1:
        raise ValueError("at least 1")
    pixels = size[0] * size[1]
    full = pixels * kernel**2 * in_channels * out_channels
    separable = pixels * in_channels * (kernel**2 + out_channels)
    return full, separable, 1 / out_channels + 1 / kernel**2
