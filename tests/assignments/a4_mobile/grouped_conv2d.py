"""Answers to a4_mobile, task 4."""

import torch
import torch.nn.functional as F


def refuse_groups(x, weight, groups):
    if x.shape[1] % groups or len(weight) % groups or x.shape[1] // groups != weight.shape[1]:
        raise ValueError("groups")


def plain_conv(x, weight, stride, padding):
    """A full convolution: a product of a matrix of filters with columns of windows."""
    k = weight.shape[2]
    columns = F.unfold(x, k, padding=padding, stride=stride)
    rows = (x.shape[2] + 2 * padding - k) // stride + 1
    return (weight.flatten(1) @ columns).reshape(len(x), len(weight), rows, -1)


def with_bias(maps, bias):
    return maps if bias is None else maps + bias[None, :, None, None]


def right_group_by_group(x, weight, groups=1, bias=None, stride=1, padding=0):
    """A full convolution for each group, and one pile."""
    refuse_groups(x, weight, groups)
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1), bias)


def right_block_diagonal(x, weight, groups=1, bias=None, stride=1, padding=0):
    """One full convolution whose filters are 0 outside of their group."""
    refuse_groups(x, weight, groups)
    full = weight.new_zeros(len(weight), x.shape[1], *weight.shape[2:])
    seen, made = weight.shape[1], len(weight) // groups
    for g in range(groups):
        full[g * made : (g + 1) * made, g * seen : (g + 1) * seen] = weight[
            g * made : (g + 1) * made
        ]
    return with_bias(plain_conv(x, full, stride, padding), bias)


def right_loops(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Filter by filter and tap by tap."""
    refuse_groups(x, weight, groups)
    x = F.pad(x, [padding] * 4)
    _, seen, k, _ = weight.shape
    height, width = ((side - k) // stride + 1 for side in x.shape[2:])
    out = x.new_zeros(len(x), len(weight), height, width)
    for o, taps in enumerate(weight):
        group = o // (len(weight) // groups)
        for c in range(seen):
            for i in range(k):
                for j in range(k):
                    window = x[:, group * seen + c, i::stride, j::stride][:, :height, :width]
                    out[:, o] += taps[c, i, j] * window
    return with_bias(out, bias)


def wrong_groups_ignored(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Lets every filter see the first group: as many channels as it has weights.

    Named: every filter sees the first group
    """
    refuse_groups(x, weight, groups)
    return with_bias(plain_conv(x[:, : weight.shape[1]], weight, stride, padding), bias)


def wrong_adds_the_groups(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Repeats the filters until they see all channels.

    Named: each filter sees its own group only
    """
    refuse_groups(x, weight, groups)
    return with_bias(plain_conv(x, weight.repeat(1, groups, 1, 1), stride, padding), bias)


def wrong_every_second_channel(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Channels i, i + g, i + 2g make a group.

    Named: groups are neighbours
    """
    refuse_groups(x, weight, groups)
    parts = weight.chunk(groups)
    maps = [plain_conv(x[:, g::groups], parts[g], stride, padding) for g in range(groups)]
    return with_bias(torch.cat(maps, 1), bias)


def wrong_every_second_filter(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Filter o belongs to group o modulo g.

    Named: the first two filters belong to the first group
    """
    refuse_groups(x, weight, groups)
    parts = x.chunk(groups, 1)
    maps = [plain_conv(parts[o % groups], f[None], stride, padding) for o, f in enumerate(weight)]
    return with_bias(torch.cat(maps, 1), bias)


def wrong_groups_swapped(x, weight, groups=1, bias=None, stride=1, padding=0):
    """The filters of the first group see the last group of channels.

    Named: the filters of the second group see the second group
    """
    refuse_groups(x, weight, groups)
    pairs = zip(x.chunk(groups, 1)[::-1], weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1), bias)


def wrong_maps_interleaved(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Deals the maps out, as if a shuffle were part of it.

    Named: the groups one after the other
    """
    refuse_groups(x, weight, groups)
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.stack(maps, 2).flatten(1, 2), bias)


def wrong_flipped(x, weight, groups=1, bias=None, stride=1, padding=0):
    """A convolution as in mathematics, with flipped filters.

    Named: the filters are not flipped
    """
    refuse_groups(x, weight, groups)
    pairs = zip(x.chunk(groups, 1), weight.flip(2, 3).chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1), bias)


def wrong_bias_forgotten(x, weight, groups=1, bias=None, stride=1, padding=0):
    """No bias.

    Named: each filter has a bias
    """
    refuse_groups(x, weight, groups)
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return torch.cat(maps, 1)


def wrong_square_maps(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Takes the map for a square."""
    refuse_groups(x, weight, groups)
    k = weight.shape[2]
    side = (x.shape[2] + 2 * padding - k) // stride + 1
    x = x[..., : x.shape[2]]
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1)[..., :side], bias)


def wrong_stride_forgotten(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Ignores the stride."""
    refuse_groups(x, weight, groups)
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, 1, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1), bias)


def wrong_one_filter_per_channel(x, weight, groups=1, bias=None, stride=1, padding=0):
    """With one channel in a group: one filter for each channel, and the others forgotten."""
    refuse_groups(x, weight, groups)
    if weight.shape[1] == 1:
        weight = weight[: x.shape[1]].repeat(len(weight) // x.shape[1], 1, 1, 1)
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1), bias)


def wrong_rest_dropped(x, weight, groups=1, bias=None, stride=1, padding=0):
    """Drops the channels that are left over instead of refusing.

    Named: expected a ValueError
    """
    seen = x.shape[1] // groups
    pairs = zip(x[:, : seen * groups].chunk(groups, 1), weight.chunk(groups), strict=True)
    maps = [plain_conv(part, filters, stride, padding) for part, filters in pairs]
    return with_bias(torch.cat(maps, 1), bias)
