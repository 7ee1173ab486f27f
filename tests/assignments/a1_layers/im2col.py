"""Answers to a1_layers, task 9."""

import numpy as np
import torch
import torch.nn.functional as F


def _fits(x, kernel, padding):
    if x.ndim != 4 or min(x.shape[2:]) + 2 * padding < kernel:
        raise ValueError("shape")


def right_with_tensor_unfold(x, kernel, stride=1, padding=0):
    """Sliding views from Tensor.unfold, then one permute."""
    _fits(x, kernel, padding)
    x = F.pad(x, [padding] * 4)
    views = x.unfold(2, kernel, stride).unfold(3, kernel, stride)  # (N, C, H_out, W_out, k, k)
    n, c, out_h, out_w, _, _ = views.shape
    return views.permute(0, 1, 4, 5, 2, 3).reshape(n, c * kernel * kernel, out_h * out_w)


def right_with_numpy(x, kernel, stride=1, padding=0):
    """One strided slice per tap, in NumPy."""
    _fits(x, kernel, padding)
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x.numpy(), sides)
    n, c, h, w = padded.shape
    out_h, out_w = (h - kernel) // stride + 1, (w - kernel) // stride + 1
    cols = np.zeros((n, c, kernel, kernel, out_h, out_w), dtype=padded.dtype)
    for i in range(kernel):
        for j in range(kernel):
            cols[:, :, i, j] = padded[
                :, :, i : i + stride * out_h : stride, j : j + stride * out_w : stride
            ][:, :, :out_h, :out_w]
    return torch.from_numpy(cols.reshape(n, c * kernel**2, -1))


def right_with_index_lists(x, kernel, stride=1, padding=0):
    """Computes row and column numbers once and indexes with them."""
    _fits(x, kernel, padding)
    n, c, h, w = x.shape
    padded = x.new_zeros(n, c, h + 2 * padding, w + 2 * padding)
    padded[:, :, padding : padding + h, padding : padding + w] = x
    tops = range(0, padded.shape[2] - kernel + 1, stride)
    lefts = range(0, padded.shape[3] - kernel + 1, stride)
    rows = [[t + i for t in tops for _ in lefts] for i in range(kernel) for _ in range(kernel)]
    cols = [[e + j for _ in tops for e in lefts] for _ in range(kernel) for j in range(kernel)]
    return padded[:, :, torch.tensor(rows), torch.tensor(cols)].flatten(1, 2)


def wrong_transposed(x, kernel, stride=1, padding=0):
    """Patches become rows.

    Named: patches are the columns, not the rows
    """
    _fits(x, kernel, padding)
    return F.unfold(x, kernel, stride=stride, padding=padding).transpose(1, 2)


def wrong_pixel_after_pixel(x, kernel, stride=1, padding=0):
    """Lists all channels of a pixel before the next pixel.

    Named: a column lists channel after channel, not pixel after pixel
    """
    _fits(x, kernel, padding)
    cols = F.unfold(x, kernel, stride=stride, padding=padding)
    n, _, patches = cols.shape
    return cols.reshape(n, x.shape[1], -1, patches).transpose(1, 2).reshape(n, -1, patches)


def wrong_down_first(x, kernel, stride=1, padding=0):
    """Walks down the columns of the picture first.

    Named: positions go along the rows of the picture first
    """
    _fits(x, kernel, padding)
    x = F.pad(x, [padding] * 4)
    patches = [
        x[:, :, top : top + kernel, left : left + kernel].flatten(1)
        for left in range(0, x.shape[3] - kernel + 1, stride)
        for top in range(0, x.shape[2] - kernel + 1, stride)
    ]
    return torch.stack(patches, dim=2)


def wrong_stride_ignored(x, kernel, stride=1, padding=0):
    """The stride is ignored.

    Named: this is the result for stride 1
    """
    _fits(x, kernel, padding)
    return F.unfold(x, kernel, padding=padding)


def wrong_edge_padding(x, kernel, stride=1, padding=0):
    """Pads with copies of the border.

    Named: padding is made of zeros
    """
    _fits(x, kernel, padding)
    if padding:
        x = F.pad(x, [padding] * 4, mode="replicate")
    return F.unfold(x, kernel, stride=stride)


def wrong_reshape(x, kernel, stride=1, padding=0):
    """Has the right shape, but reshapes patches of shape (N, L, C, k, k) without a transpose."""
    _fits(x, kernel, padding)
    cols = F.unfold(x, kernel, stride=stride, padding=padding)
    return cols.transpose(1, 2).reshape(cols.shape)


def wrong_square_picture(x, kernel, stride=1, padding=0):
    """Uses the height for both sides."""
    _fits(x, kernel, padding)
    side = x.shape[2]
    x = F.pad(x[:, :, :, :side], [padding] * 4)
    return F.unfold(x, kernel, stride=stride)


def wrong_numpy_result(x, kernel, stride=1, padding=0):
    """Returns a NumPy array.

    Named: convert it with torch.from_numpy
    """
    _fits(x, kernel, padding)
    return F.unfold(x, kernel, stride=stride, padding=padding).numpy()


def wrong_float32(x, kernel, stride=1, padding=0):
    """Collects into a tensor of the default dtype.

    Named: new tensors should take the dtype of the input
    """
    _fits(x, kernel, padding)
    cols = F.unfold(x, kernel, stride=stride, padding=padding)
    result = torch.zeros(cols.shape)
    result[:] = cols
    return result
