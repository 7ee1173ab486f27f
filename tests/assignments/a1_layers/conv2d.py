"""Answers to a1_layers, task 10."""

import numpy as np
import torch
import torch.nn.functional as F


def _check(x, weight, padding):
    if x.shape[1] != weight.shape[1]:
        raise ValueError("channels")
    if min(x.shape[2:]) + 2 * padding < weight.shape[2]:
        raise ValueError("kernel")


def right_matrix_product(x, weight, bias=None, stride=1, padding=0):
    """Columns of patches times flattened filters."""
    _check(x, weight, padding)
    k = weight.shape[2]
    x = F.pad(x, [padding] * 4)
    views = x.unfold(2, k, stride).unfold(3, k, stride)  # (N, C, H_out, W_out, k, k)
    n, _, out_h, out_w = views.shape[:4]
    cols = views.permute(0, 2, 3, 1, 4, 5).reshape(n, out_h * out_w, -1)
    output = (cols @ weight.flatten(1).T).transpose(1, 2).reshape(n, -1, out_h, out_w)
    return output if bias is None else output + bias[:, None, None]


def right_numpy_loops(x, weight, bias=None, stride=1, padding=0):
    """The definition, value by value, in NumPy."""
    _check(x, weight, padding)
    pixels = np.pad(x.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    filters = weight.numpy()
    k = filters.shape[2]
    out_h = (pixels.shape[2] - k) // stride + 1
    out_w = (pixels.shape[3] - k) // stride + 1
    output = np.zeros((len(pixels), len(filters), out_h, out_w), dtype=pixels.dtype)
    for n in range(len(pixels)):
        for f in range(len(filters)):
            for i in range(out_h):
                for j in range(out_w):
                    top, left = i * stride, j * stride
                    patch = pixels[n, :, top : top + k, left : left + k]
                    output[n, f, i, j] = np.sum(patch * filters[f])
            if bias is not None:
                output[n, f] += bias[f].item()
    return torch.from_numpy(output)


def right_sum_over_taps(x, weight, bias=None, stride=1, padding=0):
    """A 1x1 convolution per tap, added up."""
    _check(x, weight, padding)
    x = F.pad(x, [padding] * 4)
    k = weight.shape[2]
    out_h, out_w = ((side - k) // stride + 1 for side in x.shape[2:])
    total = 0
    for i in range(k):
        for j in range(k):
            tap = x[:, :, i::stride, j::stride][:, :, :out_h, :out_w]
            total = total + torch.einsum("nchw,fc->nfhw", tap, weight[:, :, i, j])
    return total if bias is None else total + bias.view(-1, 1, 1)


def wrong_flipped(x, weight, bias=None, stride=1, padding=0):
    """The convolution of mathematics, with a flipped kernel.

    Named: the kernel was flipped
    """
    _check(x, weight, padding)
    return F.conv2d(x, weight.flip(2, 3), bias, stride, padding)


def wrong_no_bias(x, weight, bias=None, stride=1, padding=0):
    """The bias is forgotten.

    Named: the bias is missing
    """
    _check(x, weight, padding)
    return F.conv2d(x, weight, None, stride, padding)


def wrong_no_padding(x, weight, bias=None, stride=1, padding=0):
    """Padding is forgotten.

    Named: the padding is missing
    """
    _check(x, weight, padding)
    return F.conv2d(x, weight, bias, stride)


def wrong_first_channel(x, weight, bias=None, stride=1, padding=0):
    """Only the first channel is used.

    Named: only the first channel was used
    """
    _check(x, weight, padding)
    return F.conv2d(x[:, :1], weight[:, :1], bias, stride, padding)


def wrong_mean_over_channels(x, weight, bias=None, stride=1, padding=0):
    """Channels are averaged.

    Named: the sum over the channels became a mean
    """
    _check(x, weight, padding)
    return F.conv2d(x, weight / x.shape[1], bias, stride, padding)


def wrong_first_picture(x, weight, bias=None, stride=1, padding=0):
    """Only the first picture of the batch is convolved.

    Named: every picture got the result of the first
    """
    _check(x, weight, padding)
    return F.conv2d(x[:1], weight, bias, stride, padding).expand(len(x), -1, -1, -1)


def wrong_adds_bias_in_place(x, weight, bias=None, stride=1, padding=0):
    """Pads the pictures it was given, in place.

    Named: the call changed argument 1
    """
    _check(x, weight, padding)
    output = F.conv2d(x, weight, bias, stride, padding)
    x.mul_(2)
    return output


def wrong_channels_unchecked(x, weight, bias=None, stride=1, padding=0):
    """Broadcasts a filter of one channel over all channels."""
    if min(x.shape[2:]) + 2 * padding < weight.shape[2]:
        raise ValueError("kernel")
    return F.conv2d(x, weight.expand(-1, x.shape[1], -1, -1), bias, stride, padding)


def wrong_bias_required(x, weight, bias=None, stride=1, padding=0):
    """Fails without a bias.

    Named: raised AttributeError
    """
    _check(x, weight, padding)
    return F.conv2d(x, weight, None, stride, padding) + bias.view(-1, 1, 1)


def wrong_carries_gradient(x, weight, bias=None, stride=1, padding=0):
    """Returns the output of a module, gradient and all.

    Named: still carries a gradient
    """
    _check(x, weight, padding)
    layer = torch.nn.Conv2d(
        x.shape[1], len(weight), weight.shape[2], stride, padding, bias=bias is not None
    )
    layer.weight = torch.nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = torch.nn.Parameter(bias.clone())
    return layer(x)
