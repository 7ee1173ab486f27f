"""Answers to a1_layers, task 11."""

import torch
import torch.nn.functional as F


def _check(grad_output, x, weight, stride, padding):
    sides = ((side + 2 * padding - weight.shape[2]) // stride + 1 for side in x.shape[2:])
    if tuple(grad_output.shape) != (len(x), len(weight), *sides):
        raise ValueError("shape of grad_output")


def _right(grad_output, x, weight, stride, padding):
    """All three gradients, to be spoilt by the wrong answers."""
    _check(grad_output, x, weight, stride, padding)
    leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    output = F.conv2d(*leaves, None, stride, padding)
    return (*torch.autograd.grad(output, leaves, grad_output), grad_output.sum((0, 2, 3)))


def right_with_unfold_and_fold(grad_output, x, weight, stride=1, padding=0):
    """Matrix products between unfold and fold."""
    _check(grad_output, x, weight, stride, padding)
    k = weight.shape[2]
    cols = F.unfold(x, k, stride=stride, padding=padding)  # (N, C·k·k, L)
    grad = grad_output.flatten(2)  # (N, K, L)
    grad_weight = (grad @ cols.mT).sum(0).view_as(weight)
    grad_cols = weight.flatten(1).T @ grad
    grad_x = F.fold(grad_cols, x.shape[2:], k, stride=stride, padding=padding)
    return grad_x, grad_weight, grad.sum((0, 2))


def right_with_convolutions(grad_output, x, weight, stride=1, padding=0):
    """A transposed convolution for the pixels, a dilated one for the weights."""
    _check(grad_output, x, weight, stride, padding)
    k = weight.shape[2]
    # The pixels that the stride drops at the far end come back through output_padding.
    rest = [(side + 2 * padding - k) % stride for side in x.shape[2:]]
    grad_x = F.conv_transpose2d(grad_output, weight, None, stride, padding, output_padding=rest)
    grad_weight = F.conv2d(
        x.transpose(0, 1), grad_output.transpose(0, 1), None, 1, padding, dilation=stride
    )[:, :, :k, :k].transpose(0, 1)
    return grad_x, grad_weight.contiguous(), grad_output.sum(dim=[0, 2, 3])


def right_with_loops(grad_output, x, weight, stride=1, padding=0):
    """Every product of the forward pass, visited once more."""
    _check(grad_output, x, weight, stride, padding)
    k = weight.shape[2]
    padded = F.pad(x, [padding] * 4)
    grad_padded, grad_weight = torch.zeros_like(padded), torch.zeros_like(weight)
    grad_bias = weight.new_zeros(len(weight))
    for n, f, i, j in torch.cartesian_prod(*map(torch.arange, grad_output.shape)).reshape(-1, 4):
        upstream = grad_output[n, f, i, j]
        top, left = i * stride, j * stride
        window = (n, slice(None), slice(top, top + k), slice(left, left + k))
        grad_weight[f] += upstream * padded[window]
        grad_padded[window] += upstream * weight[f]
        grad_bias[f] += upstream
    h, w = x.shape[2:]
    return grad_padded[:, :, padding : padding + h, padding : padding + w], grad_weight, grad_bias


def wrong_kernel_not_turned(grad_output, x, weight, stride=1, padding=0):
    """Slides the kernel over the gradient without turning it by 180 degrees.

    Named: the kernel must be turned by 180 degrees
    """
    grad_x, _, _ = _right(grad_output, x, weight.flip(2, 3), stride, padding)
    return (grad_x, *_right(grad_output, x, weight, stride, padding)[1:])


def wrong_both_flipped(grad_output, x, weight, stride=1, padding=0):
    """Flips in the gradient by the weights too, as some notes say.

    Named: you flipped the gradient by the weights; there nothing is flipped
    """
    grad_x, grad_weight, grad_bias = _right(grad_output, x, weight, stride, padding)
    return grad_x, grad_weight.flip(2, 3), grad_bias


def wrong_overlaps_overwritten(grad_output, x, weight, stride=1, padding=0):
    """Assigns where it should add.

    Named: where windows overlap, the gradients add up
    """
    _, grad_weight, grad_bias = _right(grad_output, x, weight, stride, padding)
    k = weight.shape[2]
    grad_padded = torch.zeros_like(F.pad(x, [padding] * 4))
    for i in range(grad_output.shape[2]):
        for j in range(grad_output.shape[3]):
            top, left = i * stride, j * stride
            grad_padded[:, :, top : top + k, left : left + k] = torch.einsum(
                "nk,kchw->nchw", grad_output[:, :, i, j], weight
            )
    h, w = x.shape[2:]
    return grad_padded[:, :, padding : padding + h, padding : padding + w], grad_weight, grad_bias


def wrong_mean_over_batch(grad_output, x, weight, stride=1, padding=0):
    """Averages over the batch.

    Named: summed over the batch, not averaged
    """
    grad_x, grad_weight, grad_bias = _right(grad_output, x, weight, stride, padding)
    return grad_x, grad_weight / len(x), grad_bias / len(x)


def wrong_bias_mean(grad_output, x, weight, stride=1, padding=0):
    """Averages the bias gradient over the positions.

    Named: a sum, not a mean
    """
    grad_x, grad_weight, _ = _right(grad_output, x, weight, stride, padding)
    return grad_x, grad_weight, grad_output.mean((2, 3)).sum(0)


def wrong_padding_kept(grad_output, x, weight, stride=1, padding=0):
    """Returns the gradient of the padded picture.

    Named: cut off what fell on the padding: the gradient by x has the shape of x
    """
    padded = F.pad(x, [padding] * 4)
    return _right(grad_output, padded, weight, stride, 0)


def wrong_order(grad_output, x, weight, stride=1, padding=0):
    """Returns the gradients in another order.

    Named: the order is
    """
    grad_x, grad_weight, grad_bias = _right(grad_output, x, weight, stride, padding)
    return grad_weight, grad_x, grad_bias


def wrong_one_group_of_weights(grad_output, x, weight, stride=1, padding=0):
    """Sums the weight gradient over the filters, which small examples with one filter hide."""
    grad_x, grad_weight, grad_bias = _right(grad_output, x, weight, stride, padding)
    return grad_x, grad_weight.sum(0, keepdim=True).expand_as(weight), grad_bias


def wrong_dropped_pixels_lost(grad_output, x, weight, stride=1, padding=0):
    """The gradient by x ends at the last pixel that a position reached."""
    _, grad_weight, grad_bias = _right(grad_output, x, weight, stride, padding)
    return F.conv_transpose2d(grad_output, weight, None, stride, padding), grad_weight, grad_bias


def wrong_shape_unchecked(grad_output, x, weight, stride=1, padding=0):
    """Accepts a grad_output of any size, by cutting it."""
    h, w = ((side + 2 * padding - weight.shape[2]) // stride + 1 for side in x.shape[2:])
    return _right(grad_output[:, :, :h, :w], x, weight, stride, padding)


def wrong_two_gradients(grad_output, x, weight, stride=1, padding=0):
    """Forgets the bias.

    Named: expected 3 items
    """
    return _right(grad_output, x, weight, stride, padding)[:2]
