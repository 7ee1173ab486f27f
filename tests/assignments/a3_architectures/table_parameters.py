"""Answers to a3_architectures, task 1."""

import torch
from torch import nn


def divides(channels, filters, groups):
    return channels % groups == filters % groups == 0


def rounded_down(pixels, kernel, stride, padding):
    return (pixels + 2 * padding - kernel) // stride + 1


def walk_table(table, in_shape, conv_count, fc_count, side=rounded_down, fits=divides):
    """Follows the size down the table and counts with the given functions."""
    channels, height, width = in_shape
    flat, counts = False, []
    for kind, *rest in table:
        if kind == "fc":
            counts.append(fc_count(channels, height, width, rest[0]))
            channels, height, width, flat = rest[0], 1, 1, True
            continue
        if kind not in ("conv", "pool") or flat:
            raise ValueError(f"{kind} does not fit here")
        row = rest if kind == "conv" else (channels, *rest, 0, 1)
        filters, kernel, stride, padding, groups = row
        if not fits(channels, filters, groups):
            raise ValueError("groups")
        if kernel > min(height, width) + 2 * padding:
            raise ValueError("kernel")
        counts.append(conv_count(channels, filters, kernel, groups) if kind == "conv" else 0)
        height, width = (side(pixels, kernel, stride, padding) for pixels in (height, width))
        channels = filters
    return counts


def grouped_conv(channels, filters, kernel, groups):
    return filters * (channels // groups * kernel * kernel + 1)


def full_fc(channels, height, width, outputs):
    return (channels * height * width + 1) * outputs


def right_walk(table, in_shape):
    """The sum of filters, each with its weights and its bias."""
    return walk_table(table, in_shape, grouped_conv, full_fc)


def right_with_layers(table, in_shape):
    """Builds layers without memory and lets a map without values flow through them."""
    x = torch.empty(1, *in_shape, device="meta")
    result = []
    for kind, *rest in table:
        if kind in ("conv", "pool") and x.ndim != 4:
            raise ValueError("no map any more")
        try:
            if kind == "conv":
                filters, kernel, stride, padding, groups = rest
                layer = nn.Conv2d(
                    *(x.shape[1], filters, kernel, stride, padding), groups=groups, device="meta"
                )
            elif kind == "pool":
                layer = nn.MaxPool2d(*rest)
            elif kind == "fc":
                x = x.flatten(1)
                layer = nn.Linear(x.shape[1], rest[0], device="meta")
            else:
                raise ValueError(kind)
            x = layer(x)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        result.append(sum(p.numel() for p in layer.parameters()))
    return result


def right_recursive(table, in_shape):
    """The first row, then the rest of the table for what comes out of it."""
    if not table:
        return []
    row, rest = table[0], table[1:]
    c, *size = in_shape
    if row[0] == "fc":
        n = row[1] * (c * size[0] * size[1]) + row[1]
        if any(kind != "fc" for kind, *_ in rest):
            raise ValueError("after a fully connected layer only such layers may follow")
        return [n, *right_recursive(rest, (row[1], 1, 1))]
    if row[0] == "conv":
        k, kernel, stride, padding, groups = row[1:]
        if c % groups > 0 or k % groups > 0:
            raise ValueError("not divisible")
        n = groups * ((c // groups) * (k // groups) * kernel**2) + k
    elif row[0] == "pool":
        k, n, padding = c, 0, 0
        kernel, stride = row[1:]
    else:
        raise ValueError("unknown kind")
    left = [side + 2 * padding - kernel for side in size]
    if min(left) < 0:
        raise ValueError("too small")
    return [n, *right_recursive(rest, (k, *(side // stride + 1 for side in left)))]


def wrong_groups_ignored(table, in_shape):
    """Every filter sees all channels: AlexNet in one tower, 62,378,344 parameters.

    Named: with 2 groups a filter sees half of the channels
    """

    def conv(channels, filters, kernel, groups):
        return filters * (channels * kernel**2 + 1)

    return walk_table(table, in_shape, conv, full_fc)


def wrong_one_tower_counted(table, in_shape):
    """Counts one of the towers only.

    Named: but there are two towers
    """

    def conv(channels, filters, kernel, groups):
        return filters // groups * (channels // groups * kernel**2 + 1)

    return walk_table(table, in_shape, conv, full_fc)


def wrong_groups_divide_twice(table, in_shape):
    """Halves the filters as well as the channels, but not the biases.

    Named: the filters are not halved as well
    """

    def conv(channels, filters, kernel, groups):
        return filters // groups * (channels // groups) * kernel**2 + filters

    return walk_table(table, in_shape, conv, full_fc)


def wrong_no_biases(table, in_shape):
    """Forgets the biases.

    Named: each filter has a bias too
    """
    return walk_table(
        *(table, in_shape),
        lambda c, k, f, g: k * (c // g) * f * f,
        lambda c, h, w, k: c * h * w * k,
    )


def wrong_bias_per_channel(table, in_shape):
    """Gives each filter a bias for each channel.

    Named: not for each filter and channel
    """
    return walk_table(table, in_shape, lambda c, k, f, g: k * (c // g) * (f * f + 1), full_fc)


def wrong_fc_without_bias(table, in_shape):
    """Forgets the biases of the fully connected layers.

    Named: a fully connected layer has biases too
    """
    return walk_table(table, in_shape, grouped_conv, lambda c, h, w, k: c * h * w * k)


def wrong_fc_sees_channels(table, in_shape):
    """The fully connected layer sees one number of each map.

    Named: the layer sees every pixel
    """
    return walk_table(table, in_shape, grouped_conv, lambda c, h, w, k: (c + 1) * k)


def wrong_rounds_up(table, in_shape):
    """Rounds sizes up: AlexNet's pooling is exact, other networks are not."""

    def side(n, kernel, stride, padding):
        return -(-(n + 2 * padding - kernel) // stride) + 1

    return walk_table(table, in_shape, grouped_conv, full_fc, side)


def wrong_padding_once(table, in_shape):
    """Adds the padding on one side only."""

    def side(n, kernel, stride, padding):
        return (n + padding - kernel) // stride + 1

    return walk_table(table, in_shape, grouped_conv, full_fc, side)


def wrong_pooling_keeps_the_size(table, in_shape):
    """Leaves the map as it is under pooling.

    Named: pooling makes the map smaller
    """
    sizes_kept = [row if row[0] != "pool" else ("pool", 1, 1) for row in table]
    return walk_table(sizes_kept, in_shape, grouped_conv, full_fc)


def wrong_pooling_left_out(table, in_shape):
    """Has no entry for pooling.

    Named: pooling is a row of the table as well
    """
    counts = walk_table(table, in_shape, grouped_conv, full_fc)
    return [count for count, row in zip(counts, table, strict=True) if row[0] != "pool"]


def wrong_square_maps(table, in_shape):
    """Takes the height for the width too."""
    channels, height, _ = in_shape
    return walk_table(table, (channels, height, height), grouped_conv, full_fc)


def wrong_groups_unchecked(table, in_shape):
    """Rounds where the channels cannot be divided.

    Named: 3 channels in 2 groups
    """
    return walk_table(table, in_shape, grouped_conv, full_fc, fits=lambda *numbers: True)


def wrong_filters_unchecked(table, in_shape):
    """Looks whether the channels can be divided, and not at the filters."""

    def fits(channels, filters, groups):
        return channels % groups == 0

    return walk_table(table, in_shape, grouped_conv, full_fc, fits=fits)


def wrong_kernel_unchecked(table, in_shape):
    """Goes on with maps of no pixels, or fewer."""
    counts, (channels, height, width), flat = [], in_shape, False
    for kind, *rest in table:
        if kind == "fc":
            counts.append(full_fc(channels, height, width, *rest))
            channels, height, width, flat = *rest, 1, 1, True
            continue
        if kind not in ("conv", "pool") or flat:
            raise ValueError(kind)
        row = rest if kind == "conv" else (channels, *rest, 0, 1)
        filters, kernel, stride, padding, groups = row
        if not divides(channels, filters, groups):
            raise ValueError("groups")
        counts.append(grouped_conv(channels, filters, kernel, groups) if kind == "conv" else 0)
        height, width = (rounded_down(p, kernel, stride, padding) for p in (height, width))
        channels = filters
    return counts
