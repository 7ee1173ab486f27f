"""Answers to a1_layers, task 4."""


def right_by_stamping(size, kernel, stride=1, padding=0, output_padding=0):
    """Marks the pixels that the stamps reach."""
    if not output_padding < stride:
        raise ValueError("output_padding too large")
    reached = {i * stride + tap for i in range(size) for tap in range(kernel)}
    left = max(reached) + 1 - padding - padding + output_padding
    if left <= 0:
        raise ValueError("nothing left")
    return left


def right_by_stuffing_zeros(size, kernel, stride=1, padding=0, output_padding=0):
    """An ordinary convolution over the pixels with zeros between and around them."""
    if output_padding > stride - 1:
        raise ValueError("output_padding too large")
    stuffed = size + (size - 1) * (stride - 1)
    result = stuffed + 2 * (kernel - 1 - padding) - kernel + 1 + output_padding
    if result < 1:
        raise ValueError("nothing left")
    return result


def wrong_size_times_stride(size, kernel, stride=1, padding=0, output_padding=0):
    """Up-sampling by the stride.

    Named: the last stamp is a whole kernel
    """
    if output_padding >= stride:
        raise ValueError
    return size * stride - 2 * padding + output_padding


def wrong_ordinary_convolution(size, kernel, stride=1, padding=0, output_padding=0):
    """The formula of the ordinary convolution.

    Named: this is the size of the ordinary convolution
    """
    if output_padding >= stride:
        raise ValueError
    return (size + 2 * padding - kernel) // stride + 1 + output_padding


def wrong_padding_added(size, kernel, stride=1, padding=0, output_padding=0):
    """Padding makes the output larger.

    Named: here padding cuts pixels off
    """
    if output_padding >= stride:
        raise ValueError
    return (size - 1) * stride + kernel + 2 * padding + output_padding


def wrong_one_step_too_many(size, kernel, stride=1, padding=0, output_padding=0):
    """Seven steps between seven stamps.

    Named: seven stamps have six steps
    """
    if output_padding >= stride:
        raise ValueError
    return size * stride + kernel - 2 * padding + output_padding


def wrong_output_padding_twice(size, kernel, stride=1, padding=0, output_padding=0):
    """output_padding at both ends.

    Named: output_padding is added at one end only
    """
    if output_padding >= stride:
        raise ValueError
    return (size - 1) * stride + kernel - 2 * padding + 2 * output_padding


def wrong_no_error_for_output_padding(size, kernel, stride=1, padding=0, output_padding=0):
    """Accepts any output_padding."""
    output = (size - 1) * stride + kernel - 2 * padding + output_padding
    if output < 1:
        raise ValueError
    return output


def wrong_negative_size(size, kernel, stride=1, padding=0, output_padding=0):
    """Returns sizes of zero or less."""
    if output_padding >= stride:
        raise ValueError
    return (size - 1) * stride + kernel - 2 * padding + output_padding
