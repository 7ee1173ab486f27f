"""Answers to a5_encoder_decoder, task 2."""

import torch
import torch.nn.functional as F


def refuse_stamps(x, weight, stride, padding):
    if x.shape[1] != weight.shape[0]:
        raise ValueError("channels")
    for side in x.shape[2:]:
        if (side - 1) * stride + weight.shape[2] - 2 * padding < 1:
            raise ValueError("nothing left")


def stamped(x, weight, stride):
    """All stamps, before anything is cut off."""
    k = weight.shape[2]
    sides = [(side - 1) * stride + k for side in x.shape[2:]]
    out = x.new_zeros(len(x), weight.shape[1], *sides)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            stamp = torch.einsum("nc,cokl->nokl", x[:, :, i, j], weight)
            out[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += stamp
    return out


def cut(maps, padding):
    return maps[:, :, padding : maps.shape[2] - padding, padding : maps.shape[3] - padding]


def biased(maps, bias):
    return maps if bias is None else maps + bias[None, :, None, None]


def right_pixel_by_pixel(x, weight, bias=None, stride=1, padding=0):
    """One stamp after the other."""
    refuse_stamps(x, weight, stride, padding)
    return biased(cut(stamped(x, weight, stride), padding), bias)


def right_zeros_between(x, weight, bias=None, stride=1, padding=0):
    """Zeros between the pixels, then windows and flipped kernels: a matrix product."""
    refuse_stamps(x, weight, stride, padding)
    n, c, h, w = x.shape
    k = weight.shape[2]
    wide = x.new_zeros(n, c, (h - 1) * stride + 1, (w - 1) * stride + 1)
    wide[:, :, ::stride, ::stride] = x
    windows = F.unfold(F.pad(wide, [k - 1] * 4), k)
    rows = weight.flip(2, 3).transpose(0, 1).flatten(1)
    full = (rows @ windows).reshape(n, len(rows), (h - 1) * stride + k, -1)
    return biased(cut(full, padding), bias)


def right_gather(x, weight, bias=None, stride=1, padding=0):
    """Each output pixel looks for the stamps that reach it."""
    refuse_stamps(x, weight, stride, padding)
    n, _, h, w = x.shape
    _, o, k, _ = weight.shape
    height, width = ((side - 1) * stride + k - 2 * padding for side in (h, w))
    out = x.new_zeros(n, o, height, width)
    for row in range(height):
        for column in range(width):
            for i in range(k):
                for j in range(k):
                    a, rest_a = divmod(row + padding - i, stride)
                    b, rest_b = divmod(column + padding - j, stride)
                    if not rest_a and not rest_b and 0 <= a < h and 0 <= b < w:
                        out[:, :, row, column] += x[:, :, a, b] @ weight[:, :, i, j]
    return biased(out, bias)


def right_matrix(x, weight, bias=None, stride=1, padding=0):
    """Columns of a matrix product, added in the places that the stamps have."""
    refuse_stamps(x, weight, stride, padding)
    n, c, h, w = x.shape
    _, o, k, _ = weight.shape
    height, width = (h - 1) * stride + k, (w - 1) * stride + k
    columns = weight.reshape(c, -1).T @ x.reshape(n, c, -1)  # (N, o k k, H W)
    places = torch.arange(height * width).reshape(height, width)
    rows = places[: (h - 1) * stride + 1 : stride, : (w - 1) * stride + 1 : stride].reshape(-1)
    offsets = places[:k, :k].reshape(-1, 1)
    where = (rows + offsets).reshape(-1)
    out = x.new_zeros(n, o, height * width)
    out.index_add_(2, where, columns.reshape(n, o, -1))
    return biased(cut(out.reshape(n, o, height, width), padding), bias)


def wrong_flipped(x, weight, bias=None, stride=1, padding=0):
    """Zeros between the pixels, and a convolution with kernels that are not turned round.

    Named: the kernel is not flipped
    """
    refuse_stamps(x, weight, stride, padding)
    return biased(cut(stamped(x, weight.flip(2, 3), stride), padding), bias)


def wrong_flipped_rows(x, weight, bias=None, stride=1, padding=0):
    """Flips the rows alone."""
    refuse_stamps(x, weight, stride, padding)
    return biased(cut(stamped(x, weight.flip(2), stride), padding), bias)


def wrong_overwrites(x, weight, bias=None, stride=1, padding=0):
    """The later stamp replaces the earlier.

    Named: the later one must not replace the earlier
    """
    refuse_stamps(x, weight, stride, padding)
    out = torch.zeros_like(stamped(x, weight, stride))
    k = weight.shape[2]
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            stamp = torch.einsum("nc,cokl->nokl", x[:, :, i, j], weight)
            out[:, :, i * stride : i * stride + k, j * stride : j * stride + k] = stamp
    return biased(cut(out, padding), bias)


def wrong_averages_overlaps(x, weight, bias=None, stride=1, padding=0):
    """Divides by the number of stamps that meet.

    Named: this is their mean
    """
    refuse_stamps(x, weight, stride, padding)
    ones = stamped(torch.ones_like(x[:, :1]), torch.ones_like(weight[:1, :1]), stride)
    return biased(cut(stamped(x, weight, stride) / ones.clamp(min=1), padding), bias)


def wrong_padding_adds(x, weight, bias=None, stride=1, padding=0):
    """Padding as an ordinary convolution has it: a frame more.

    Named: padding cuts pixels off here
    """
    refuse_stamps(x, weight, stride, padding)
    return biased(F.pad(stamped(x, weight, stride), [padding] * 4), bias)


def wrong_padding_ignored(x, weight, bias=None, stride=1, padding=0):
    """Cuts nothing off.

    Named: this is the output without padding
    """
    refuse_stamps(x, weight, stride, padding)
    return biased(stamped(x, weight, stride), bias)


def wrong_cuts_the_far_end(x, weight, bias=None, stride=1, padding=0):
    """Cuts everything off below and on the right: the right size, the wrong pixels."""
    refuse_stamps(x, weight, stride, padding)
    full = stamped(x, weight, stride)
    rows, columns = (side - 2 * padding for side in full.shape[2:])
    return biased(full[:, :, :rows, :columns], bias)


def wrong_stride_of_a_convolution(x, weight, bias=None, stride=1, padding=0):
    """Stamps side by side, and takes every second pixel of the result."""
    refuse_stamps(x, weight, stride, padding)
    return biased(cut(stamped(x, weight, 1)[:, :, ::stride, ::stride], padding), bias)


def wrong_stride_ignored(x, weight, bias=None, stride=1, padding=0):
    """Stamps begin one pixel apart.

    Named: the stamps begin 2 pixels apart
    """
    refuse_stamps(x, weight, stride, padding)
    return biased(cut(stamped(x, weight, 1), padding), bias)


def wrong_zeros_behind_the_last(x, weight, bias=None, stride=1, padding=0):
    """Zeros behind the last pixel of each row too."""
    refuse_stamps(x, weight, stride, padding)
    full = F.pad(stamped(x, weight, stride), [0, stride - 1, 0, stride - 1])
    return biased(cut(full, padding), bias)


def wrong_channels_swapped(x, weight, bias=None, stride=1, padding=0):
    """Reads weight[o, c], as in nn.Conv2d.

    Named: weight[c, o] leads from
    """
    refuse_stamps(x, weight, stride, padding)
    # Where the two numbers differ, what is there is put into the other shape.
    swapped = weight.transpose(0, 1).reshape(weight.shape)
    return biased(cut(stamped(x, swapped, stride), padding), bias)


def wrong_own_channel_only(x, weight, bias=None, stride=1, padding=0):
    """Takes the first input channel alone."""
    refuse_stamps(x, weight, stride, padding)
    return biased(cut(stamped(x[:, :1], weight[:1], stride), padding), bias)


def wrong_bias_with_each_stamp(x, weight, bias=None, stride=1, padding=0):
    """The bias is part of the stamp."""
    refuse_stamps(x, weight, stride, padding)
    maps = stamped(x, weight, stride)
    if bias is not None:
        boxes = torch.ones_like(weight[:1, :1]).expand(1, len(bias), *weight.shape[2:])
        maps = maps + stamped(torch.ones_like(x[:, :1]), boxes * bias[:, None, None], stride)
    return cut(maps, padding)


def wrong_bias_forgotten(x, weight, bias=None, stride=1, padding=0):
    """Takes a bias and leaves it.

    Named: the bias is missing
    """
    refuse_stamps(x, weight, stride, padding)
    return cut(stamped(x, weight, stride), padding)


def wrong_nothing_refused(x, weight, bias=None, stride=1, padding=0):
    """Uses as many channels as there are.

    Named: expected a ValueError
    """
    c = min(x.shape[1], len(weight))
    return biased(cut(stamped(x[:, :c], weight[:c], stride), padding), bias)


def wrong_empty_map(x, weight, bias=None, stride=1, padding=0):
    """Returns a map without pixels."""
    refuse_stamps(x, weight, stride, 0)
    return biased(cut(stamped(x, weight, stride), padding), bias)
