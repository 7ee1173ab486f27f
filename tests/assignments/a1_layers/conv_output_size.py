"""Answers to a1_layers, task 1."""

import math


def right_by_walking(size, kernel, stride=1, padding=0, dilation=1):
    """Moves the kernel along the row and counts."""
    row = size + 2 * padding
    last_tap = (kernel - 1) * dilation
    count = len([start for start in range(0, row, stride) if start + last_tap < row])
    if count == 0:
        raise ValueError("kernel too large")
    return count


def right_with_math_floor(size, kernel, stride=1, padding=0, dilation=1):
    """The textbook formula, with floor of a float."""
    effective = kernel + (kernel - 1) * (dilation - 1)
    result = math.floor((size - effective + 2 * padding) / stride + 1)
    if effective > size + 2 * padding:
        raise ValueError(f"{effective} > {size + 2 * padding}")
    return result


def wrong_no_padding(size, kernel, stride=1, padding=0, dilation=1):
    """Padding is forgotten.

    Named: this is the size without padding
    """
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        raise ValueError
    return (size - reach) // stride + 1


def wrong_padding_on_one_side(size, kernel, stride=1, padding=0, dilation=1):
    """Padding is added at one end only.

    Named: padding is added at both ends, not at one
    """
    reach = dilation * (kernel - 1) + 1
    if reach > size + padding:
        raise ValueError
    return (size + padding - reach) // stride + 1


def wrong_true_division(size, kernel, stride=1, padding=0, dilation=1):
    """/ for //: the size becomes a float.

    Named: // divides whole numbers, / makes a float
    """
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        raise ValueError
    return (size + 2 * padding - reach) / stride + 1


def wrong_no_plus_one(size, kernel, stride=1, padding=0, dilation=1):
    """Counts the steps, not the positions.

    Named: the first position of the kernel counts too
    """
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        raise ValueError
    return (size + 2 * padding - reach) // stride


def wrong_rounds_up(size, kernel, stride=1, padding=0, dilation=1):
    """Rounds up, so that the kernel sticks out at the end.

    Named: rounded up
    """
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        raise ValueError
    return math.ceil((size + 2 * padding - reach) / stride) + 1


def wrong_dilated_kernel(size, kernel, stride=1, padding=0, dilation=1):
    """Takes kernel times dilation for the reach of the kernel.

    Named: reach over 5 pixels, not over 6
    """
    reach = kernel * dilation
    if reach > size + 2 * padding:
        raise ValueError
    return (size + 2 * padding - reach) // stride + 1


def wrong_no_dilation(size, kernel, stride=1, padding=0, dilation=1):
    """Dilation is ignored.

    Named: this is the size without dilation
    """
    if kernel > size + 2 * padding:
        raise ValueError
    return (size + 2 * padding - kernel) // stride + 1


def wrong_no_error(size, kernel, stride=1, padding=0, dilation=1):
    """Returns a size of zero or less where the kernel does not fit."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def wrong_error_without_padding(size, kernel, stride=1, padding=0, dilation=1):
    """Refuses kernels that fit into the padded input, by comparing with the bare one."""
    reach = dilation * (kernel - 1) + 1
    if reach > size:
        raise ValueError
    return (size + 2 * padding - reach) // stride + 1


def wrong_error_checks_result(size, kernel, stride=1, padding=0, dilation=1):
    """Takes a result below 0 for the sign of a misfit: at a large stride it is 0 or 1."""
    result = int((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1
    if result < 1:
        raise ValueError
    return result


def wrong_prints(size, kernel, stride=1, padding=0, dilation=1):
    """Prints the size instead of returning it.

    Named: is a `return` missing?
    """
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        raise ValueError
    print((size + 2 * padding - reach) // stride + 1)
