"""Answers to a1_layers, task 6."""


def right_per_group(in_channels, out_channels, kernel, output_size, groups=1):
    """Counts one group and multiplies."""
    inputs, rest = divmod(in_channels, groups)
    filters, more_rest = divmod(out_channels, groups)
    if rest or more_rest:
        raise ValueError("groups do not divide the channels")
    one_group = inputs * filters * kernel**2 * output_size[0] * output_size[1]
    return groups * one_group


def right_by_loops(in_channels, out_channels, kernel, output_size, groups=1):
    """Adds up filter by filter, row by row."""
    if in_channels % groups != 0:
        raise ValueError("in_channels")
    if out_channels % groups != 0:
        raise ValueError("out_channels")
    macs = 0
    for _ in range(out_channels):
        for _ in range(output_size[0]):
            macs += output_size[1] * (in_channels // groups) * kernel * kernel
    return macs


def wrong_weights_only(in_channels, out_channels, kernel, output_size, groups=1):
    """Counts the weights, forgetting that they are used at every position.

    Named: each of them is used at every position
    """
    if in_channels % groups or out_channels % groups:
        raise ValueError
    return out_channels * in_channels // groups * kernel**2


def wrong_flops(in_channels, out_channels, kernel, output_size, groups=1):
    """Counts multiplications and additions separately.

    Named: count once, not twice
    """
    if in_channels % groups or out_channels % groups:
        raise ValueError
    return 2 * out_channels * in_channels // groups * kernel**2 * output_size[0] * output_size[1]


def wrong_one_channel(in_channels, out_channels, kernel, output_size, groups=1):
    """A filter is taken to be flat.

    Named: a filter sees all input channels, not one
    """
    if in_channels % groups or out_channels % groups:
        raise ValueError
    return out_channels * kernel**2 * output_size[0] * output_size[1]


def wrong_groups_ignored(in_channels, out_channels, kernel, output_size, groups=1):
    """Groups are ignored.

    Named: this is the number without groups
    """
    if in_channels % groups or out_channels % groups:
        raise ValueError
    return out_channels * in_channels * kernel**2 * output_size[0] * output_size[1]


def wrong_square_output(in_channels, out_channels, kernel, output_size, groups=1):
    """Squares the height of the output.

    Named: height and width of the output may differ
    """
    if in_channels % groups or out_channels % groups:
        raise ValueError
    return out_channels * in_channels // groups * kernel**2 * output_size[0] ** 2


def wrong_with_biases(in_channels, out_channels, kernel, output_size, groups=1):
    """Counts the addition of the bias.

    Named: biases are not counted
    """
    if in_channels % groups or out_channels % groups:
        raise ValueError
    weights = in_channels // groups * kernel**2 + 1
    return out_channels * weights * output_size[0] * output_size[1]


def wrong_no_error(in_channels, out_channels, kernel, output_size, groups=1):
    """Rounds where the groups do not divide the channels."""
    return out_channels * (in_channels // groups) * kernel**2 * output_size[0] * output_size[1]
