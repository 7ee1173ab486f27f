"""Answers to a1_layers, task 13."""

import torch
import torch.nn.functional as F


def _check(grad_output, x, kernel, stride):
    sides = ((side - kernel) // (stride or kernel) + 1 for side in x.shape[2:])
    if tuple(grad_output.shape) != (*x.shape[:2], *sides):
        raise ValueError("shape of grad_output")


def right_with_loops(grad_output, x, kernel, stride=None):
    """Finds the winner of each window by looking at every pixel."""
    _check(grad_output, x, kernel, stride)
    stride = stride or kernel
    grad_x = x.new_zeros(x.shape)
    for n, c, i, j in torch.cartesian_prod(*map(torch.arange, grad_output.shape)).tolist():
        best = None
        for row in range(i * stride, i * stride + kernel):
            for column in range(j * stride, j * stride + kernel):
                value = x[n, c, row, column].item()
                if best is None or value > best[0]:
                    best = (value, row, column)
        grad_x[n, c, best[1], best[2]] += grad_output[n, c, i, j]
    return grad_x


def right_with_indices(grad_output, x, kernel, stride=None):
    """Positions of the winners in the flattened picture, then index_add."""
    _check(grad_output, x, kernel, stride)
    _, switches = F.max_pool2d(x, kernel, stride, return_indices=True)
    n, c, h, w = x.shape
    grad_x = torch.zeros(n * c * h * w, dtype=x.dtype)
    offset = torch.arange(n * c).view(n, c, 1, 1) * h * w
    grad_x.index_add_(0, (switches + offset).flatten(), grad_output.flatten())
    return grad_x.view(n, c, h, w)


def _by_mask(grad_output, x, kernel, stride, share):
    """Distributes each window's gradient by what ``share`` makes of its pixels."""
    _check(grad_output, x, kernel, stride)
    stride = stride or kernel
    grad_x = torch.zeros_like(x)
    for i in range(grad_output.shape[2]):
        for j in range(grad_output.shape[3]):
            rows = slice(i * stride, i * stride + kernel)
            columns = slice(j * stride, j * stride + kernel)
            window = x[:, :, rows, columns]
            upstream = grad_output[:, :, i, j, None, None]
            grad_x[:, :, rows, columns] += share(window) * upstream
    return grad_x


def _first_winner(window):
    flat = window.flatten(2)
    mask = torch.zeros_like(flat).scatter_(2, flat.argmax(2, keepdim=True), 1)
    return mask.view_as(window)


def wrong_like_average(grad_output, x, kernel, stride=None):
    """Spreads the gradient over the window.

    Named: this is the gradient of average pooling
    """
    return _by_mask(grad_output, x, kernel, stride, lambda w: torch.ones_like(w) / kernel**2)


def wrong_everyone_receives(grad_output, x, kernel, stride=None):
    """Copies the gradient to the whole window.

    Named: the losers of a window receive nothing
    """
    return _by_mask(grad_output, x, kernel, stride, torch.ones_like)


def wrong_times_the_winner(grad_output, x, kernel, stride=None):
    """Multiplies by the value of the winner.

    Named: does not depend on how large the winner is
    """
    return _by_mask(grad_output, x, kernel, stride, lambda w: _first_winner(w) * w)


def wrong_mask_only(grad_output, x, kernel, stride=None):
    """The upstream gradient is forgotten.

    Named: the upstream gradient is missing
    """
    ones = torch.ones_like(grad_output)
    return _by_mask(ones, x, kernel, stride, _first_winner)


def wrong_overlaps_overwritten(grad_output, x, kernel, stride=None):
    """Assigns where it should add.

    Named: it receives both gradients
    """
    _check(grad_output, x, kernel, stride)
    _, switches = F.max_pool2d(x, kernel, stride, return_indices=True)
    grad_x = torch.zeros_like(x).flatten(2)
    for position in range(switches[0, 0].numel()):
        winner = switches.flatten(2)[:, :, position, None]
        grad_x.scatter_(2, winner, grad_output.flatten(2)[:, :, position, None])
    return grad_x.view_as(x)


def wrong_all_equals_win(grad_output, x, kernel, stride=None):
    """Every pixel equal to the maximum wins.

    Named: of equal values only the first wins
    """
    return _by_mask(
        grad_output, x, kernel, stride, lambda w: (w == w.amax((2, 3), keepdim=True)).to(w)
    )


def wrong_equals_share(grad_output, x, kernel, stride=None):
    """Pixels equal to the maximum share the gradient.

    Named: the gradient is not shared
    """

    def share(window):
        mask = (window == window.amax((2, 3), keepdim=True)).to(window)
        return mask / mask.sum((2, 3), keepdim=True)

    return _by_mask(grad_output, x, kernel, stride, share)


def wrong_last_wins(grad_output, x, kernel, stride=None):
    """The last of equal values wins.

    Named: the first wins, not the last
    """
    return _by_mask(
        grad_output, x, kernel, stride, lambda w: _first_winner(w.flip(2, 3)).flip(2, 3)
    )


def wrong_shape_unchecked(grad_output, x, kernel, stride=None):
    """Accepts a grad_output of any size, by cutting it."""
    h, w = ((side - kernel) // (stride or kernel) + 1 for side in x.shape[2:])
    return _by_mask(grad_output[:, :, :h, :w], x, kernel, stride, _first_winner)
