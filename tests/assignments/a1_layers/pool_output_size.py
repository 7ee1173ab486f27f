"""Answers to a1_layers, task 2."""

import math


def right_by_walking(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Places the windows one after the other."""
    stride = stride or kernel
    end = size + 2 * padding
    if kernel > end:
        raise ValueError("window too large")
    windows, start = 1, stride
    while start + kernel <= end:
        windows, start = windows + 1, start + stride
    last_end = start - stride + kernel
    if ceil_mode and last_end < end and start < padding + size:
        windows += 1
    return windows


def right_with_remainder(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Rounds up through the remainder."""
    step = kernel if stride is None else stride
    if size + 2 * padding < kernel:
        raise ValueError("window too large")
    whole, rest = divmod(size + 2 * padding - kernel, step)
    hangs_over = ceil_mode and rest > 0 and (whole + 1) * step < size + padding
    # Without ceil mode, or with it and a fit, there may still be a window in the padding.
    in_padding = ceil_mode and whole * step >= size + padding
    return whole + 1 + hangs_over - in_padding


def wrong_stride_one(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Without a stride, the stride is taken to be 1, as in a convolution.

    Named: the stride is the window size, not 1
    """
    stride = 1 if stride is None else stride
    room = size + 2 * padding - kernel
    if room < 0:
        raise ValueError
    if not ceil_mode:
        return room // stride + 1
    windows = math.ceil(room / stride) + 1
    return windows - ((windows - 1) * stride >= padding + size)


def wrong_always_floor(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Ceil mode is ignored.

    Named: rounded down, but ceil_mode is on
    """
    stride = stride or kernel
    if kernel > size + 2 * padding:
        raise ValueError
    return (size + 2 * padding - kernel) // stride + 1


def wrong_ceil_of_whole(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Ceil mode adds a window even where all windows fit.

    Named: ceil mode adds nothing
    """
    stride = stride or kernel
    if kernel > size + 2 * padding:
        raise ValueError
    windows = (size + 2 * padding - kernel) // stride + 1 + ceil_mode
    return windows - (windows > 1 and (windows - 1) * stride >= padding + size + kernel)


def wrong_window_beyond_the_input(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Rounds up without looking where the last window starts.

    Named: beyond the last pixel
    """
    stride = stride or kernel
    room = size + 2 * padding - kernel
    if room < 0:
        raise ValueError
    return (math.ceil if ceil_mode else math.floor)(room / stride) + 1


def wrong_window_in_far_padding(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Lets the last window start in the padding after the input."""
    stride = stride or kernel
    room = size + 2 * padding - kernel
    if room < 0:
        raise ValueError
    if not ceil_mode:
        return room // stride + 1
    windows = math.ceil(room / stride) + 1
    return windows - ((windows - 1) * stride >= 2 * padding + size)


def wrong_no_error(size, kernel, stride=None, padding=0, ceil_mode=False):
    """Returns something for windows that do not fit."""
    stride = stride or kernel
    room = size + 2 * padding - kernel
    if not ceil_mode:
        return room // stride + 1
    windows = math.ceil(room / stride) + 1
    return windows - ((windows - 1) * stride >= padding + size)
