"""Answers to a1_layers, task 3."""


def right_from_effective_kernel(kernel, dilation=1):
    """Half of the effective kernel, which must be odd."""
    effective = kernel + (kernel - 1) * (dilation - 1)
    if effective % 2 == 0:
        raise ValueError("even kernel")
    return effective // 2


def right_by_trying(kernel, dilation=1):
    """Tries every padding on a picture of 100 pixels."""
    for padding in range(kernel * dilation):
        if 100 + 2 * padding - dilation * (kernel - 1) == 100:
            return padding
    raise ValueError("no padding keeps the size")


def wrong_both_ends(kernel, dilation=1):
    """The padding of both ends together.

    Named: both ends together
    """
    if (kernel - 1) * dilation % 2:
        raise ValueError
    return (kernel - 1) * dilation


def wrong_half_kernel(kernel, dilation=1):
    """Half the kernel, a float.

    Named: half the kernel is too much
    """
    if kernel % 2 == 0:
        raise ValueError
    return kernel / 2


def wrong_no_dilation(kernel, dilation=1):
    """Dilation is ignored.

    Named: without dilation
    """
    if kernel % 2 == 0:
        raise ValueError
    return (kernel - 1) // 2


def wrong_even_kernel_refused(kernel, dilation=1):
    """Refuses every even kernel, though a dilated one may reach over an odd number of pixels."""
    if kernel % 2 == 0:
        raise ValueError
    return dilation * (kernel - 1) // 2


def wrong_rounds(kernel, dilation=1):
    """Rounds down where the two ends would need different padding."""
    return dilation * (kernel - 1) // 2


def wrong_kernel_times_dilation(kernel, dilation=1):
    """Takes kernel times dilation for the reach.

    Named: three taps at distance 2 reach over 5 pixels
    """
    if dilation * (kernel - 1) % 2:
        raise ValueError
    return kernel * dilation // 2


def wrong_error_type(kernel, dilation=1):
    """Asserts instead of raising a ValueError."""
    assert dilation * (kernel - 1) % 2 == 0
    return dilation * (kernel - 1) // 2
