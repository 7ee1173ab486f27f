"""Answers to a1_layers, task 12."""

import numpy as np
import torch
import torch.nn.functional as F

KINDS = ("max", "average", "l2")


def right_with_unfold(x, kernel, stride=None, kind="max"):
    """Windows from Tensor.unfold, one reduction."""
    if kind not in KINDS or min(x.shape[2:]) < kernel:
        raise ValueError(kind)
    stride = stride or kernel
    windows = x.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4)
    if kind == "max":
        return windows.max(dim=-1).values
    if kind == "average":
        return windows.sum(dim=-1) / kernel**2
    return torch.linalg.vector_norm(windows, dim=-1)


def right_numpy_loops(x, kernel, stride=None, kind="max"):
    """Value by value in NumPy."""
    reduce = {"max": np.max, "average": np.mean, "l2": np.linalg.norm}.get(kind)
    if reduce is None:
        raise ValueError("unknown kind")
    stride = kernel if stride is None else stride
    pixels = x.numpy()
    n, c, h, w = pixels.shape
    if h < kernel or w < kernel:
        raise ValueError("window too large")
    out = np.zeros((n, c, (h - kernel) // stride + 1, (w - kernel) // stride + 1), pixels.dtype)
    for index in np.ndindex(out.shape):
        top, left = index[2] * stride, index[3] * stride
        out[index] = reduce(pixels[index[0], index[1], top : top + kernel, left : left + kernel])
    return torch.from_numpy(out)


def _answer(x, kernel, stride, kind, **replaced):
    reduce = {
        "max": lambda windows: windows.amax(-1),
        "average": lambda windows: windows.mean(-1),
        "l2": lambda windows: windows.square().sum(-1).sqrt(),
        **replaced,
    }
    if kind not in KINDS or min(x.shape[2:]) < kernel:
        raise ValueError
    stride = stride or kernel
    return reduce[kind](x.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4))


def wrong_max_starts_at_zero(x, kernel, stride=None, kind="max"):
    """The search for the maximum starts from 0.

    Named: the maximum does not start at 0
    """
    return _answer(x, kernel, stride, kind, max=lambda windows: windows.amax(-1).clamp(min=0))


def wrong_max_of_magnitudes(x, kernel, stride=None, kind="max"):
    """The largest magnitude.

    Named: the maximum takes the sign into account
    """
    return _answer(x, kernel, stride, kind, max=lambda windows: windows.abs().amax(-1))


def wrong_stride_one(x, kernel, stride=None, kind="max"):
    """Without a stride, the stride is taken to be 1.

    Named: the stride is the window size
    """
    return _answer(x, kernel, stride or 1, kind)


def wrong_sum(x, kernel, stride=None, kind="max"):
    """The sum for the average.

    Named: this is the sum
    """
    return _answer(x, kernel, stride, kind, average=lambda windows: windows.sum(-1))


def wrong_root_of_mean(x, kernel, stride=None, kind="max"):
    """The root of the mean square for L2 pooling.

    Named: the root of the sum, not of the mean
    """
    return _answer(x, kernel, stride, kind, l2=lambda windows: windows.square().mean(-1).sqrt())


def wrong_no_root(x, kernel, stride=None, kind="max"):
    """The root is forgotten.

    Named: the root is missing
    """
    return _answer(x, kernel, stride, kind, l2=lambda windows: windows.square().sum(-1))


def wrong_ceil_mode(x, kernel, stride=None, kind="max"):
    """Lets windows hang over the edge.

    Named: windows that hang over the edge are left out
    """
    if kind != "max":
        return _answer(x, kernel, stride, kind)
    return F.max_pool2d(x, kernel, stride, ceil_mode=True)


def wrong_unknown_kind(x, kernel, stride=None, kind="max"):
    """Everything it does not know is L2."""
    return _answer(x, kernel, stride, kind if kind in KINDS else "l2")


def wrong_over_channels(x, kernel, stride=None, kind="max"):
    """Pools over the channels too, which a picture of one channel hides."""
    pooled = _answer(x, kernel, stride, kind)
    return pooled.amax(1, keepdim=True).expand_as(pooled) if kind == "max" else pooled
