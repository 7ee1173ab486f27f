"""Answers to a5_encoder_decoder, task 1."""

import math


def refuse_trip(size, kernel, stride, padding):
    if kernel < 1 or stride < 1 or padding < 0 or kernel > size + 2 * padding:
        raise ValueError("no such layer")


def down(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def right_remainder(size, kernel, stride, padding):
    """What the floor drops is what is missing."""
    refuse_trip(size, kernel, stride, padding)
    steps, missing = divmod(size + 2 * padding - kernel, stride)
    return steps + 1, size - missing, missing


def right_windows(size, kernel, stride, padding):
    """Counts the windows that fit, and looks where the last one ends."""
    refuse_trip(size, kernel, stride, padding)
    starts = list(range(-padding, size + padding - kernel + 1, stride))
    end = starts[-1] + kernel - padding
    return len(starts), end, size - end


def wrong_size_times_stride(size, kernel, stride, padding):
    """Takes the way back for a multiplication.

    Named: size times stride forgets
    """
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    return small, small * stride, size - small * stride


def wrong_padding_added(size, kernel, stride, padding):
    """Padding makes the map larger on the way back too.

    Named: padding cuts pixels off instead of adding them
    """
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    back = (small - 1) * stride + kernel + 2 * padding
    return small, back, size - back


def wrong_as_many_steps_as_stamps(size, kernel, stride, padding):
    """Forgets the - 1.

    Named: four stamps have three steps
    """
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    back = small * stride + kernel - 2 * padding
    return small, back, size - back


def wrong_rounds_up(size, kernel, stride, padding):
    """Counts a window that sticks out.

    Named: the convolution rounds down
    """
    refuse_trip(size, kernel, stride, padding)
    small = math.ceil((size + 2 * padding - kernel) / stride) + 1
    back = (small - 1) * stride + kernel - 2 * padding
    return small, back, size - back


def wrong_padded_at_one_end(size, kernel, stride, padding):
    """Pads at one end on the way down.

    Named: pads each of the two ends
    """
    refuse_trip(size, kernel, stride, padding)
    small = (size + padding - kernel) // stride + 1
    back = (small - 1) * stride + kernel - 2 * padding
    return small, back, size - back


def wrong_sign(size, kernel, stride, padding):
    """What came back minus what went in.

    Named: size minus what came back
    """
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    back = (small - 1) * stride + kernel - 2 * padding
    return small, back, back - size


def wrong_with_output_padding(size, kernel, stride, padding):
    """Says that the size comes back, as it does with output_padding.

    Named: the size without output_padding
    """
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    return small, size, (size + 2 * padding - kernel) % stride


def wrong_always_one_less(size, kernel, stride, padding):
    """Takes stride - 1 for the output_padding, as it is in the example.

    Named: nothing is missing here
    """
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    return small, (small - 1) * stride + kernel - 2 * padding, stride - 1


def wrong_remainder_of_the_size(size, kernel, stride, padding):
    """Looks at size modulo stride and forgets kernel and padding."""
    refuse_trip(size, kernel, stride, padding)
    small = down(size, kernel, stride, padding)
    return small, (small - 1) * stride + kernel - 2 * padding, size % stride


def wrong_floats(size, kernel, stride, padding):
    """Divides with a rest and rounds afterwards, to a float.

    Named: expected a whole number (int)
    """
    refuse_trip(size, kernel, stride, padding)
    small = (size + 2 * padding - kernel) / stride // 1 + 1
    back = (small - 1) * stride + kernel - 2 * padding
    return small, back, size - back


def wrong_nothing_refused(size, kernel, stride, padding):
    """Goes on with a kernel that does not fit.

    Named: expected a ValueError
    """
    small = down(size, kernel, stride or 1, padding)
    back = (small - 1) * stride + kernel - 2 * padding
    return small, back, size - back


def wrong_kernel_against_the_bare_map(size, kernel, stride, padding):
    """Refuses a kernel that fits with the padding."""
    refuse_trip(size, kernel, stride, padding)
    if kernel > size:
        raise ValueError("too large")
    small = down(size, kernel, stride, padding)
    back = (small - 1) * stride + kernel - 2 * padding
    return small, back, size - back
