"""Answers to a4_mobile, task 3."""

import math


def refuse_scaling(channels, multiplier, divisor):
    if channels <= 0 or divisor <= 0 or not multiplier > 0:
        raise ValueError("must be positive")


def right_search(channels, multiplier, divisor=8):
    """Tries the multiples one after the other."""
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    best = divisor
    while abs(best + divisor - exact) <= abs(best - exact):
        best += divisor
    return best + divisor * (best < 0.9 * exact)


def right_blocks(channels, multiplier, divisor=8):
    """Counts blocks: floor of the number and a half."""
    refuse_scaling(channels, multiplier, divisor)
    blocks = channels * multiplier / divisor
    rounded = max(1, math.floor(blocks + 0.5))
    if rounded / blocks < 0.9:
        rounded += 1
    return rounded * divisor


def wrong_rounds_down(channels, multiplier, divisor=8):
    """Cuts down to a multiple, also below 90 %.

    Named: 8 is less than 90 % of 11.2
    """
    refuse_scaling(channels, multiplier, divisor)
    return max(divisor, int(channels * multiplier) // divisor * divisor)


def wrong_rounds_down_then_repairs(channels, multiplier, divisor=8):
    """Cuts down instead of rounding, and repairs only what falls below 90 %.

    Named: rounding down is not rounding
    """
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = max(divisor, int(exact) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded


def wrong_nearest_only(channels, multiplier, divisor=8):
    """The nearest multiple without the third rule.

    Named: 8 is less than 90 % of 11.2
    """
    refuse_scaling(channels, multiplier, divisor)
    return max(divisor, int(channels * multiplier + divisor / 2) // divisor * divisor)


def wrong_rounds_up(channels, multiplier, divisor=8):
    """Always the next multiple up.

    Named: the multiple nearest to 33.6 is 32
    """
    refuse_scaling(channels, multiplier, divisor)
    return divisor * math.ceil(channels * multiplier / divisor)


def wrong_no_multiple(channels, multiplier, divisor=8):
    """Cuts to a whole number.

    Named: the result is a multiple of 8
    """
    refuse_scaling(channels, multiplier, divisor)
    return int(channels * multiplier)


def wrong_a_float(channels, multiplier, divisor=8):
    """Returns a float, which no layer takes as a number of channels.

    Named: expected a whole number (int)
    """
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = max(divisor, (exact + divisor / 2) // divisor * divisor)
    return float(rounded + divisor if rounded < 0.9 * exact else rounded)


def wrong_no_minimum(channels, multiplier, divisor=8):
    """A layer may vanish.

    Named: at least 8 channels
    """
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = int(exact + divisor / 2) // divisor * divisor
    return rounded + divisor if 0 < rounded < 0.9 * exact else rounded


def wrong_half_to_even(channels, multiplier, divisor=8):
    """Python's round, which takes a half to the even neighbour.

    Named: a half goes up
    """
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = max(divisor, round(exact / divisor) * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded


def wrong_ninety_percent_of_the_full_network(channels, multiplier, divisor=8):
    """Compares with the channels before the multiplier.

    Named: scaled_channels(100, 0.78)
    """
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def wrong_always_eight(channels, multiplier, divisor=8):
    """Ignores the divisor."""
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def wrong_adds_eight(channels, multiplier, divisor=8):
    """Rounds to the divisor, but repairs by 8."""
    refuse_scaling(channels, multiplier, divisor)
    exact = channels * multiplier
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def wrong_nothing_refused(channels, multiplier, divisor=8):
    """Makes eight channels of none.

    Named: expected a ValueError
    """
    exact = channels * multiplier
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded
