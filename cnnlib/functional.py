"""The operators of a convolutional network, written out in plain tensor operations.

These are the operators the chapters derive. Pictures are ``(N, C, H, W)``: N pictures of C channels
of H × W pixels. A kernel, stride, padding or dilation is one number or a pair (height, width).
Every function agrees with its PyTorch namesake, which is what to use outside a lesson: it is
faster. Forward functions are differentiable by autograd; the ``*_backward`` functions compute the
same gradients by hand.

The one idea that most of the file rests on: **im2col**. Copy every patch that the kernel visits
into a column of a matrix; then a convolution is one matrix product, and a pooling layer is a
reduction along the columns. The reverse copy, which adds up where patches overlap, is ``col2im``;
it gives the gradients and the transposed convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib import arithmetic

Pair = tuple[int, int]


def im2col(
    x: Tensor,
    kernel: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> Tensor:
    """Copy every patch under the kernel into a column.

    Args:
        x: Pictures (N, C, H, W).
        kernel: Kernel size.
        stride: Step between neighbouring patches.
        padding: Zeros added on each side.
        dilation: Distance between neighbouring taps.

    Returns:
        Columns (N, C·kh·kw, L) with L = H_out·W_out. A column lists channel after channel, within a
        channel row after row: the order of a flattened filter. Columns follow the output positions
        row after row. This is the layout of ``torch.nn.functional.unfold``.

    Raises:
        ValueError: If x is not four-dimensional or the kernel does not fit.
    """
    n, c, height, width = _picture_shape(x)
    (kh, kw), padding = _pair(kernel), _pair(padding)
    out_h, out_w = _output_size((height, width), kernel, stride, padding, dilation)
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    # One strided slice per tap: the pixels that this tap meets as the kernel moves.
    taps = [
        padded[..., rows, columns]
        for rows, columns in _tap_slices((kh, kw), stride, dilation, (out_h, out_w))
    ]  # kh·kw × (N, C, H_out, W_out)
    return torch.stack(taps, dim=2).reshape(n, c * kh * kw, out_h * out_w)


def col2im(
    cols: Tensor,
    output_size: Pair,
    kernel: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> Tensor:
    """Put columns back where :func:`im2col` took them from, adding up where patches overlap.

    It is the adjoint of im2col, not its inverse: a pixel that was copied four times comes back
    four times as large.

    Args:
        cols: Columns (N, C·kh·kw, L).
        output_size: (H, W) of the pictures to build.
        kernel: Kernel size.
        stride: Step between neighbouring patches.
        padding: Zeros that were added on each side; what falls on them is dropped.
        dilation: Distance between neighbouring taps.

    Returns:
        Pictures (N, C, H, W).

    Raises:
        ValueError: If the shape of cols does not belong to these sizes.
    """
    if cols.ndim != 3:
        raise ValueError(f"cols must have shape (N, C*kh*kw, L), not {tuple(cols.shape)}")
    (height, width), (kh, kw) = _pair(output_size), _pair(kernel)
    pad_h, pad_w = _pair(padding)
    out_h, out_w = _output_size((height, width), kernel, stride, padding, dilation)
    n, rows_of_cols, positions = cols.shape
    if rows_of_cols % (kh * kw) or positions != out_h * out_w:
        raise ValueError(
            f"cols of shape {tuple(cols.shape)} do not fit: expected a multiple of {kh * kw} rows "
            f"and {out_h} x {out_w} = {out_h * out_w} columns"
        )
    cols = cols.reshape(n, -1, kh * kw, out_h, out_w)
    padded_size = height + 2 * pad_h, width + 2 * pad_w
    padded = _add_taps(cols, padded_size, (kh, kw), stride, dilation)
    return padded[..., pad_h : pad_h + height, pad_w : pad_w + width]


def conv2d_loops(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> Tensor:
    """Convolution as its definition reads: for every output value, a sum of products.

    Slow on purpose: use it to see what :func:`conv2d` must compute. Like every deep learning
    library it slides the kernel without flipping it, which mathematics calls cross-correlation.

    Args:
        x: Pictures (N, C, H, W).
        weight: Filters (K, C, kh, kw).
        bias: One number per filter (K,), or None.
        stride: Step between neighbouring positions.
        padding: Zeros added on each side.
        dilation: Distance between neighbouring taps.

    Returns:
        Activation maps (N, K, H_out, W_out).

    Raises:
        ValueError: If the shapes do not fit together.
    """
    _check_filters(x, weight, bias, groups=1)
    n, _, height, width = x.shape
    filters, _, kh, kw = weight.shape
    (stride_h, stride_w), (pad_h, pad_w) = _pair(stride), _pair(padding)
    dilation_h, dilation_w = _pair(dilation)
    out_h, out_w = _output_size((height, width), (kh, kw), stride, padding, dilation)
    padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h))
    output = x.new_zeros(n, filters, out_h, out_w)
    for picture in range(n):
        for k in range(filters):
            for row in range(out_h):
                for column in range(out_w):
                    top, left = row * stride_h, column * stride_w
                    patch = padded[
                        picture,
                        :,
                        top : top + dilation_h * (kh - 1) + 1 : dilation_h,
                        left : left + dilation_w * (kw - 1) + 1 : dilation_w,
                    ]  # (C, kh, kw)
                    value = (patch * weight[k]).sum()
                    output[picture, k, row, column] = value if bias is None else value + bias[k]
    return output


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution as one matrix product per picture: flattened filters times im2col columns.

    Args:
        x: Pictures (N, C, H, W).
        weight: Filters (K, C/groups, kh, kw).
        bias: One number per filter (K,), or None.
        stride: Step between neighbouring positions.
        padding: Zeros added on each side.
        dilation: Distance between neighbouring taps.
        groups: Parts the channels are split into; filter k sees only the channels of its part.

    Returns:
        Activation maps (N, K, H_out, W_out).

    Raises:
        ValueError: If the shapes do not fit together.
    """
    _check_filters(x, weight, bias, groups)
    n, filters = x.shape[0], weight.shape[0]
    kernel = tuple(weight.shape[2:])
    out_h, out_w = _output_size(tuple(x.shape[2:]), kernel, stride, padding, dilation)
    cols = im2col(x, kernel, stride, padding, dilation)  # (N, C·kh·kw, L)
    cols = cols.reshape(n, groups, -1, out_h * out_w)  # (N, G, C/G·kh·kw, L)
    rows = weight.reshape(groups, filters // groups, -1)  # (G, K/G, C/G·kh·kw)
    output = (rows @ cols).reshape(n, filters, out_h, out_w)
    return output if bias is None else output + bias.reshape(1, -1, 1, 1)


def conv2d_backward(
    grad_output: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a convolution, from the gradient of its output.

    With the forward pass written as ``output = rows @ cols``, the two gradients of a matrix
    product are all it takes: ``grad_rows = grad_output @ colsᵀ`` and
    ``grad_cols = rowsᵀ @ grad_output``; col2im brings the latter back to pixels.

    Args:
        grad_output: Gradient of the loss by the output (N, K, H_out, W_out).
        x: The input of the forward pass (N, C, H, W).
        weight: The filters of the forward pass (K, C/groups, kh, kw).
        stride: As in the forward pass.
        padding: As in the forward pass.
        dilation: As in the forward pass.
        groups: As in the forward pass.

    Returns:
        The gradients by x (N, C, H, W), by weight (K, C/groups, kh, kw) and by bias (K,).

    Raises:
        ValueError: If the shapes do not fit together.
    """
    _check_filters(x, weight, None, groups)
    n, filters = x.shape[0], weight.shape[0]
    kernel, size = tuple(weight.shape[2:]), tuple(x.shape[2:])
    expected = (n, filters, *_output_size(size, kernel, stride, padding, dilation))
    if tuple(grad_output.shape) != expected:
        raise ValueError(
            f"grad_output has shape {tuple(grad_output.shape)}, but the output of this "
            f"convolution has shape {expected}"
        )
    grad = grad_output.reshape(n, groups, filters // groups, -1)  # (N, G, K/G, L)
    cols = im2col(x, kernel, stride, padding, dilation).reshape(n, groups, -1, grad.shape[-1])
    rows = weight.reshape(groups, filters // groups, -1)  # (G, K/G, C/G·kh·kw)

    grad_weight = (grad @ cols.transpose(2, 3)).sum(dim=0).reshape(weight.shape)
    grad_cols = (rows.transpose(1, 2) @ grad).reshape(n, -1, grad.shape[-1])  # (N, C·kh·kw, L)
    grad_x = col2im(grad_cols, size, kernel, stride, padding, dilation)
    grad_bias = grad_output.sum(dim=(0, 2, 3))
    return grad_x, grad_weight, grad_bias


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Tensor:
    """Transposed convolution: every input pixel stamps its filter into the output.

    It is the gradient of a convolution by its input, used as a layer of its own: the product with
    the transposed matrix, then the adding up of :func:`col2im`.

    Args:
        x: Pictures (N, C, H, W).
        weight: Filters (C, K/groups, kh, kw), input channels first as in PyTorch.
        bias: One number per output channel (K,), or None.
        stride: Distance in the output between the stamps of neighbouring pixels.
        padding: Pixels cut off on each side of the output.
        output_padding: Pixels added at the far side of the output.
        groups: Parts the channels are split into.
        dilation: Distance between neighbouring taps.

    Returns:
        Pictures (N, K, H_out, W_out), see
        :func:`cnnlib.arithmetic.conv_transpose_output_size`.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    n, c, height, width = _picture_shape(x)
    if weight.ndim != 4 or weight.shape[0] != c or c % groups:
        raise ValueError(
            f"weight must have shape (C, K/groups, kh, kw) with C = {c} divisible by groups = "
            f"{groups}, not {tuple(weight.shape)}"
        )
    kernel, filters = tuple(weight.shape[2:]), weight.shape[1] * groups
    _check_bias(bias, filters)
    parts = (kernel, stride, padding, output_padding, dilation)
    out_h, out_w = (
        arithmetic.conv_transpose_output_size(side, *settings)
        for side, *settings in zip((height, width), *map(_pair, parts), strict=True)
    )
    pixels = x.reshape(n, groups, c // groups, height * width)  # (N, G, C/G, L)
    rows = weight.reshape(groups, c // groups, -1)  # (G, C/G, K/G·kh·kw)
    cols = rows.transpose(1, 2) @ pixels  # (N, G, K/G·kh·kw, L)
    cols = cols.reshape(n, filters, kernel[0] * kernel[1], height, width)
    pad_h, pad_w = _pair(padding)
    padded = _add_taps(cols, (out_h + 2 * pad_h, out_w + 2 * pad_w), kernel, stride, dilation)
    output = padded[..., pad_h : pad_h + out_h, pad_w : pad_w + out_w]
    return output if bias is None else output + bias.reshape(1, -1, 1, 1)


def max_pool2d(
    x: Tensor,
    kernel: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> tuple[Tensor, Tensor]:
    """Largest value of each window, and where it was.

    Args:
        x: Pictures (N, C, H, W).
        kernel: Window size.
        stride: Step between windows; None means the window size.
        padding: Pixels of minus infinity added on each side, so that padding never wins.

    Returns:
        The maxima (N, C, H_out, W_out), and the switches, int64 of the same shape: the position
        ``row * W + column`` in its channel of the pixel that won. The first of equal values wins.

    Raises:
        ValueError: If no window fits or the padding is more than half a window.
    """
    n, c, height, width = _picture_shape(x)
    stride = kernel if stride is None else stride
    pad_h, pad_w = _pair(padding)
    size = _pooled_size((height, width), kernel, stride, padding)
    padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h), value=-torch.inf)
    windows = _windows(padded, kernel, stride)  # (N, C, window, L)
    maxima, winners = windows.max(dim=2)

    # The same windows over a picture of position numbers tell which pixel each winner is.
    rows = torch.arange(-pad_h, height + pad_h, device=x.device)
    columns = torch.arange(-pad_w, width + pad_w, device=x.device)
    positions = (rows[:, None] * width + columns)[None, None]
    positions = _windows(positions, kernel, stride).expand(n, c, -1, -1)
    switches = positions.gather(2, winners.unsqueeze(2)).squeeze(2)
    return maxima.reshape(n, c, *size), switches.reshape(n, c, *size)


def max_pool2d_backward(grad_output: Tensor, switches: Tensor, input_size: Pair) -> Tensor:
    """Gradient of max pooling: all of it goes to the pixel that won.

    Args:
        grad_output: Gradient by the output (N, C, H_out, W_out).
        switches: Second result of :func:`max_pool2d`.
        input_size: (H, W) of the pictures that were pooled.

    Returns:
        The gradient by the input (N, C, H, W). A pixel that won several overlapping windows
        receives the sum.

    Raises:
        ValueError: If the shapes of grad_output and switches differ.
    """
    if grad_output.shape != switches.shape:
        raise ValueError(
            f"grad_output {tuple(grad_output.shape)} and switches {tuple(switches.shape)} "
            "must have the same shape"
        )
    n, c, _, _ = _picture_shape(grad_output)
    height, width = _pair(input_size)
    grad_x = grad_output.new_zeros(n, c, height * width)
    grad_x.scatter_add_(2, switches.flatten(2), grad_output.flatten(2))
    return grad_x.reshape(n, c, height, width)


def avg_pool2d(
    x: Tensor,
    kernel: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> Tensor:
    """Mean of each window; padded zeros count as values, as in PyTorch.

    Args:
        x: Pictures (N, C, H, W).
        kernel: Window size.
        stride: Step between windows; None means the window size.
        padding: Zeros added on each side.

    Returns:
        The means (N, C, H_out, W_out).

    Raises:
        ValueError: If no window fits or the padding is more than half a window.
    """
    n, c, height, width = _picture_shape(x)
    stride = kernel if stride is None else stride
    size = _pooled_size((height, width), kernel, stride, padding)
    return _windows(x, kernel, stride, padding).mean(dim=2).reshape(n, c, *size)


def avg_pool2d_backward(
    grad_output: Tensor,
    input_size: Pair,
    kernel: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> Tensor:
    """Gradient of average pooling: every pixel of a window gets an equal share.

    Args:
        grad_output: Gradient by the output (N, C, H_out, W_out).
        input_size: (H, W) of the pictures that were pooled.
        kernel: As in the forward pass.
        stride: As in the forward pass.
        padding: As in the forward pass.

    Returns:
        The gradient by the input (N, C, H, W).

    Raises:
        ValueError: If the shape of grad_output does not belong to these sizes.
    """
    n, c, _, _ = _picture_shape(grad_output)
    stride = kernel if stride is None else stride
    kh, kw = _pair(kernel)
    share = grad_output.reshape(n * c, 1, -1) / (kh * kw)  # (N·C, 1, L)
    cols = share.expand(-1, kh * kw, -1)
    height, width = _pair(input_size)
    return col2im(cols, (height, width), kernel, stride, padding).reshape(n, c, height, width)


def lp_pool2d(
    x: Tensor,
    kernel: int | Pair,
    stride: int | Pair | None = None,
    *,
    norm: float = 2.0,
) -> Tensor:
    """Norm of each window, ``(Σ |x|ᵖ)^(1/p)``: the L2 pooling of older networks for p = 2.

    Args:
        x: Pictures (N, C, H, W).
        kernel: Window size.
        stride: Step between windows; None means the window size.
        norm: The exponent p, positive. 1 is the sum of magnitudes; large p approaches the maximum.

    Returns:
        The norms (N, C, H_out, W_out). A sum, not a mean: four ones give 2 for p = 2.

    Raises:
        ValueError: If no window fits or norm is not positive.
    """
    if not norm > 0:
        raise ValueError(f"norm must be positive, not {norm}")
    n, c, height, width = _picture_shape(x)
    stride = kernel if stride is None else stride
    size = _pooled_size((height, width), kernel, stride, 0)
    windows = _windows(x, kernel, stride)
    return windows.abs().pow(norm).sum(dim=2).pow(1 / norm).reshape(n, c, *size)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """Mean over all pixels: one number per channel, whatever the size of the picture.

    Args:
        x: Pictures (N, C, H, W).

    Returns:
        The means (N, C).

    Raises:
        ValueError: If x is not four-dimensional.

    Reference:
        Lin, Chen and Yan, "Network in Network", 2014, section 3.2.
    """
    _picture_shape(x)
    return x.mean(dim=(2, 3))


def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide each value by the strength of its neighbours in other channels, at the same pixel.

    ``x / (k + alpha/size · Σ x²)^beta``, the sum running over ``size`` channels around the own one.
    AlexNet introduced it (Krizhevsky, Sutskever and Hinton, 2012, section 3.3) with k = 2, n = 5,
    alpha = 1e-4, beta = 0.75 and **without** dividing alpha by n; PyTorch and Caffe divide, and so
    does this function. The paper's layer is ``local_response_norm(x, 5, alpha=5e-4, k=2)``.

    Args:
        x: Pictures (N, C, H, W).
        size: Number of channels in the neighbourhood.
        alpha: Weight of the neighbourhood.
        beta: Exponent.
        k: Keeps the divisor away from zero.

    Returns:
        Normalised pictures (N, C, H, W).

    Raises:
        ValueError: If x is not four-dimensional or size is below 1.
    """
    _, channels, _, _ = _picture_shape(x)
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    # Channels of zeros before and after, so that the first and last have neighbours too.
    squares = F.pad(x.square(), (0, 0, 0, 0, size // 2, (size - 1) // 2))
    energy = sum(squares[:, shift : shift + channels] for shift in range(size))
    return x / (k + alpha / size * energy) ** beta


def batch_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation with the statistics of this batch, as in training.

    ``weight · (x - mean) / sqrt(var + eps) + bias``: mean and variance per channel, taken over the
    pictures of the batch and all their pixels (Ioffe and Szegedy, 2015, algorithm 1; the paper
    calls the two parameters gamma and beta).

    Args:
        x: Pictures (N, C, H, W).
        weight: Scale per channel (C,); None means 1.
        bias: Shift per channel (C,); None means 0.
        eps: Keeps the divisor away from zero.

    Returns:
        Normalised pictures (N, C, H, W).

    Raises:
        ValueError: If x is not four-dimensional or holds one value per channel, whose variance
            says nothing.
    """
    n, c, height, width = _picture_shape(x)
    if n * height * width < 2:
        raise ValueError("batch normalisation needs more than one value per channel")
    mean = x.mean(dim=(0, 2, 3), keepdim=True)  # (1, C, 1, 1)
    variance = x.var(dim=(0, 2, 3), keepdim=True, correction=0)  # divided by the count, not by n-1
    output = (x - mean) / (variance + eps).sqrt()
    if weight is not None:
        output = output * weight.reshape(1, c, 1, 1)
    return output if bias is None else output + bias.reshape(1, c, 1, 1)


def linear_to_conv(linear: nn.Linear, in_shape: tuple[int, int, int]) -> nn.Conv2d:
    """The convolution that computes the same as a fully connected layer on flattened volumes.

    A neuron of the layer has one weight per value of the volume, which is a filter as large as the
    volume. On larger volumes the convolution slides, and gives the layer's answer at every
    position (Long, Shelhamer and Darrell, 2015, section 3.1).

    Args:
        linear: Fully connected layer with C·H·W inputs and K outputs.
        in_shape: (C, H, W) of the volume that was flattened into its input. For a layer that
            follows another fully connected layer it is (in_features, 1, 1).

    Returns:
        A convolution with K filters (C, H, W), stride 1, no padding, holding a copy of the
        weights: volumes (N, C, H', W') give (N, K, H' - H + 1, W' - W + 1).

    Raises:
        ValueError: If C·H·W is not the number of inputs.
    """
    channels, height, width = in_shape
    if channels * height * width != linear.in_features:
        raise ValueError(
            f"in_shape {tuple(in_shape)} holds {channels * height * width} values, but the layer "
            f"has {linear.in_features} inputs"
        )
    conv = nn.Conv2d(
        channels,
        linear.out_features,
        (height, width),
        bias=linear.bias is not None,
        device=linear.weight.device,
        dtype=linear.weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(linear.weight.reshape(conv.weight.shape))
        if linear.bias is not None:
            conv.bias.copy_(linear.bias)
    return conv


def _windows(x: Tensor, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0) -> Tensor:
    """Patches with the channels kept apart: (N, C, H, W) -> (N, C, kh·kw, L)."""
    n, c = x.shape[:2]
    cols = im2col(x, kernel, stride, padding)
    return cols.reshape(n, c, -1, cols.shape[-1])


def _add_taps(
    cols: Tensor, size: Pair, kernel: Pair, stride: int | Pair, dilation: int | Pair
) -> Tensor:
    """Add up columns (N, C, kh·kw, H_out, W_out) in pictures (N, C, H, W) of a padded size."""
    picture = cols.new_zeros(*cols.shape[:2], *size)
    slices = _tap_slices(kernel, stride, dilation, tuple(cols.shape[3:]))
    for tap, (rows, columns) in enumerate(slices):
        picture[..., rows, columns] += cols[:, :, tap]
    return picture


def _tap_slices(
    kernel: Pair, stride: int | Pair, dilation: int | Pair, output_size: Pair
) -> list[tuple[slice, slice]]:
    """For each tap of the kernel, the rows and columns of the padded picture that it meets."""
    (stride_h, stride_w), (dilation_h, dilation_w) = _pair(stride), _pair(dilation)
    last_h, last_w = stride_h * (output_size[0] - 1), stride_w * (output_size[1] - 1)
    return [
        (
            slice(i * dilation_h, i * dilation_h + last_h + 1, stride_h),
            slice(j * dilation_w, j * dilation_w + last_w + 1, stride_w),
        )
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _output_size(
    size: Pair,
    kernel: int | Pair,
    stride: int | Pair,
    padding: int | Pair,
    dilation: int | Pair,
) -> Pair:
    sides = zip(size, *map(_pair, (kernel, stride, padding, dilation)), strict=True)
    height, width = (arithmetic.conv_output_size(*side) for side in sides)
    return height, width


def _pooled_size(size: Pair, kernel: int | Pair, stride: int | Pair, padding: int | Pair) -> Pair:
    sides = zip(size, *map(_pair, (kernel, stride, padding)), strict=True)
    height, width = (arithmetic.pool_output_size(*side) for side in sides)
    return height, width


def _pair(value: int | Pair) -> Pair:
    if isinstance(value, int):
        return value, value
    height, width = value
    return int(height), int(width)


def _picture_shape(x: Tensor) -> tuple[int, int, int, int]:
    if x.ndim != 4:
        raise ValueError(f"expected pictures of shape (N, C, H, W), not {tuple(x.shape)}")
    return tuple(x.shape)


def _check_filters(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    channels = _picture_shape(x)[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"{channels} channels cannot be split into {groups} groups")
    if weight.ndim != 4 or weight.shape[1] != channels // groups:
        raise ValueError(
            f"weight must have shape (K, {channels // groups}, kh, kw) for {channels} channels in "
            f"{groups} groups, not {tuple(weight.shape)}"
        )
    if weight.shape[0] % groups:
        raise ValueError(f"{weight.shape[0]} filters cannot be split into {groups} groups")
    _check_bias(bias, weight.shape[0])


def _check_bias(bias: Tensor | None, filters: int) -> None:
    if bias is not None and tuple(bias.shape) != (filters,):
        raise ValueError(f"bias must have shape ({filters},), not {tuple(bias.shape)}")
