"""The arithmetic of convolutional networks: sizes, fields, parameters, multiplications.

Everything here is integer arithmetic on one side of a square picture (height and width follow the
same formula, so apply it to each). The functions raise instead of rounding silently: an impossible
layer is easier to mend on paper than in a stack trace.

Symbols, as in the CS231n course text (Karpathy, "Convolutional Neural Networks"): ``W`` is the
input size, ``F`` the kernel size, ``S`` the stride, ``P`` the padding on each side, ``d`` the
dilation. Sizes are in pixels, memory in bytes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple


class Field(NamedTuple):
    """Where one output unit of a layer looks in the input of the whole stack.

    Attributes:
        size: Receptive field, in input pixels along one side.
        jump: Distance in input pixels between the fields of two neighbouring output units.
    """

    size: int
    jump: int


def effective_kernel(kernel: int, dilation: int = 1) -> int:
    """Extent of a dilated kernel: ``F + (F - 1)(d - 1)``.

    Args:
        kernel: Number of taps along one side.
        dilation: Distance between neighbouring taps; 1 is an ordinary kernel.

    Returns:
        Pixels from the first tap to the last, both counted.

    Raises:
        ValueError: If kernel or dilation is below 1.

    Example:
        >>> effective_kernel(3, dilation=2)
        5
    """
    kernel = _at_least(1, kernel, "kernel")
    dilation = _at_least(1, dilation, "dilation")
    return kernel + (kernel - 1) * (dilation - 1)


def conv_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    *,
    exact: bool = False,
) -> int:
    """Output size of a convolution: ``floor((W - F + 2P) / S) + 1``, F being the effective kernel.

    Args:
        size: Input size in pixels.
        kernel: Kernel size.
        stride: Step between neighbouring positions of the kernel.
        padding: Pixels added on each of the two sides.
        dilation: Distance between neighbouring taps.
        exact: Refuse sizes at which the last pixels are dropped, as CS231n asks, instead of
            rounding down as PyTorch does.

    Returns:
        Number of positions of the kernel, at least 1.

    Raises:
        ValueError: If an argument is out of range, if the kernel does not fit into the padded
            input, or, with ``exact``, if pixels would be dropped.

    Example:
        >>> conv_output_size(227, 11, stride=4)
        55
    """
    steps, dropped = _steps(size, kernel, stride, padding, dilation)
    if exact and dropped:
        raise ValueError(
            f"size {size} does not fit: kernel {effective_kernel(kernel, dilation)}, "
            f"stride {stride} and padding {padding} leave {dropped} of {size + 2 * padding} "
            f"pixels uncovered; change the padding, or use an input of "
            f"{_sizes_that_fit(size, stride, dropped)}"
        )
    return steps + 1


def dropped_pixels(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Pixels at the far end of the padded input which no position of the kernel reaches.

    They are the remainder of ``(W - F + 2P) / S``. Padding counts: with ``padding=1`` the first
    pixel dropped is one of zeros. Arguments and errors as for :func:`conv_output_size`.

    Returns:
        Between 0 (the size fits) and ``stride - 1``.

    Example:
        >>> dropped_pixels(10, 3, stride=2)
        1
    """
    return _steps(size, kernel, stride, padding, dilation)[1]


def pool_output_size(
    size: int,
    kernel: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    *,
    ceil_mode: bool = False,
) -> int:
    """Output size of a pooling layer, with PyTorch's rules.

    Args:
        size: Input size in pixels.
        kernel: Window size.
        stride: Step; ``None`` means the window size (no overlap).
        padding: Pixels added on each side, at most half the window.
        dilation: Distance between neighbouring taps.
        ceil_mode: Round up: a last window may hang over the far edge, as long as it starts inside
            the input or the padding before it.

    Returns:
        Number of windows, at least 1.

    Raises:
        ValueError: If an argument is out of range or no window fits.

    Example:
        >>> pool_output_size(112, 3, stride=2), pool_output_size(112, 3, stride=2, ceil_mode=True)
        (55, 56)
    """
    stride = kernel if stride is None else stride
    extent = effective_kernel(kernel, dilation)
    if _at_least(0, padding, "padding") > kernel // 2:
        raise ValueError(
            f"padding {padding} is more than half of the pooling window ({kernel}): "
            "some windows would see little but padding"
        )
    if not ceil_mode:
        return conv_output_size(size, kernel, stride, padding, dilation)

    size = _at_least(1, size, "size")
    stride = _at_least(1, stride, "stride")
    output = -((size + 2 * padding - extent) // -stride) + 1  # -(a // -b) rounds a / b up
    if (output - 1) * stride >= size + padding:
        output -= 1  # that window would start in the padding after the input
    if output < 1:
        raise ValueError(_does_not_fit(size, extent, padding))
    return output


def conv_transpose_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Output size of a transposed convolution: ``(W - 1)S - 2P + F + output_padding``.

    It is the input size of the convolution that goes the other way. With a stride several input
    sizes lead to the same output size; ``output_padding`` says which of them is meant.

    Args:
        size: Input size in pixels.
        kernel: Kernel size.
        stride: Distance in the output between neighbouring input pixels.
        padding: Pixels cut off on each side of the output.
        output_padding: Pixels added at the far side of the output.
        dilation: Distance between neighbouring taps.

    Returns:
        Output size, at least 1.

    Raises:
        ValueError: If an argument is out of range, if ``output_padding`` is not smaller than
            stride or dilation, or if nothing is left of the output.

    Example:
        >>> conv_transpose_output_size(16, 4, stride=2, padding=1)
        32
    """
    size = _at_least(1, size, "size")
    stride = _at_least(1, stride, "stride")
    padding = _at_least(0, padding, "padding")
    output_padding = _at_least(0, output_padding, "output_padding")
    extent = effective_kernel(kernel, dilation)
    if output_padding >= max(stride, dilation):
        raise ValueError(
            f"output_padding {output_padding} must be smaller than stride ({stride}) or "
            f"dilation ({dilation}): it tells apart input sizes which give the same output size"
        )
    output = (size - 1) * stride - 2 * padding + extent + output_padding
    if output < 1:
        raise ValueError(
            f"nothing is left of the output: {size} pixels at stride {stride} with kernel "
            f"{extent} make {output + 2 * padding}, padding {padding} cuts off {2 * padding}"
        )
    return output


def same_padding(kernel: int, dilation: int = 1) -> int:
    """Padding on each side that keeps the size at stride 1: ``(F - 1) / 2``.

    Args:
        kernel: Kernel size.
        dilation: Distance between neighbouring taps.

    Returns:
        Pixels to add on each side.

    Raises:
        ValueError: If the effective kernel is even: the two sides would need different padding.

    Example:
        >>> same_padding(5), same_padding(3, dilation=2)
        (2, 2)
    """
    extent = effective_kernel(kernel, dilation)
    if extent % 2 == 0:
        raise ValueError(
            f"an effective kernel of {extent} is even: equal padding on both sides cannot keep "
            "the size; use an odd kernel or pad one side more"
        )
    return (extent - 1) // 2


def conv_parameters(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    *,
    groups: int = 1,
    bias: bool = True,
) -> int:
    """Parameters of a convolution: ``K (F·F·C/groups + 1)``.

    Args:
        in_channels: Channels of the input, C.
        out_channels: Number of filters, K.
        kernel: Kernel size, or (height, width).
        groups: Parts the channels are split into; a filter sees one part.
        bias: Whether each filter has a bias.

    Returns:
        Number of weights and biases. The size of the picture plays no role.

    Raises:
        ValueError: If an argument is out of range or the groups do not divide both channel counts.

    Example:
        >>> conv_parameters(3, 96, 11)
        34944
    """
    in_channels, out_channels = _channels(in_channels, out_channels, groups)
    height, width = _pair(1, kernel, "kernel")
    return out_channels * (height * width * in_channels // groups + int(bias))


def linear_parameters(in_features: int, out_features: int, *, bias: bool = True) -> int:
    """Parameters of a fully connected layer: one weight per pair, one bias per output.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        bias: Whether each output has a bias.

    Returns:
        Number of weights and biases.

    Raises:
        ValueError: If a number of features is below 1.

    Example:
        >>> linear_parameters(7 * 7 * 512, 4096)
        102764544
    """
    in_features = _at_least(1, in_features, "in_features")
    out_features = _at_least(1, out_features, "out_features")
    return out_features * (in_features + int(bias))


def batch_norm_parameters(channels: int) -> int:
    """Learned parameters of batch normalisation: a scale and a shift per channel.

    The running mean and variance are stored too, but they are measured, not learned.

    Args:
        channels: Number of channels.

    Returns:
        ``2 * channels``.

    Raises:
        ValueError: If channels is below 1.

    Example:
        >>> batch_norm_parameters(64)
        128
    """
    return 2 * _at_least(1, channels, "channels")


def conv_macs(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    output_size: int | tuple[int, int],
    *,
    groups: int = 1,
) -> int:
    """Multiply-accumulates of a convolution on one picture; the bias is not counted.

    Every value of the output costs one multiplication per weight of its filter.

    Args:
        in_channels: Channels of the input.
        out_channels: Number of filters.
        kernel: Kernel size, or (height, width).
        output_size: Size of the *output*, or (height, width).
        groups: Parts the channels are split into.

    Returns:
        Multiply-accumulates. Papers that count a multiplication and an addition as two floating
        point operations report twice this number.

    Raises:
        ValueError: As for :func:`conv_parameters`.

    Example:
        >>> conv_macs(3, 96, 11, 55)
        105415200
    """
    height, width = _pair(1, output_size, "output_size")
    weights = conv_parameters(in_channels, out_channels, kernel, groups=groups, bias=False)
    return weights * height * width


def linear_macs(in_features: int, out_features: int) -> int:
    """Multiply-accumulates of a fully connected layer on one input: one per weight.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.

    Returns:
        ``in_features * out_features``.

    Raises:
        ValueError: If a number of features is below 1.

    Example:
        >>> linear_macs(4096, 1000)
        4096000
    """
    return linear_parameters(in_features, out_features, bias=False)


def receptive_field(layers: Sequence[tuple[int, int] | tuple[int, int, int]]) -> list[Field]:
    """Receptive field after each layer of a stack.

    A layer with effective kernel F on top of units that lie ``jump`` input pixels apart adds
    ``(F - 1) * jump`` pixels; its own stride multiplies the jump for the layers above:
    ``r_l = r_(l-1) + (F_l - 1) j_(l-1)`` and ``j_l = j_(l-1) S_l`` (Araujo, Norris and Sim,
    "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019). Padding plays no
    role, except that fields at the border reach out of the picture.

    Args:
        layers: (kernel, stride) or (kernel, stride, dilation) of each convolution or pooling
            layer, first layer first.

    Returns:
        One :class:`Field` per layer. The last one belongs to the whole stack.

    Raises:
        ValueError: If a layer is not two or three numbers of at least 1.

    Example:
        >>> receptive_field([(3, 1), (3, 1), (3, 1)])[-1]
        Field(size=7, jump=1)
    """
    fields = []
    size, jump = 1, 1
    for position, layer in enumerate(layers):
        if not isinstance(layer, Sequence) or len(layer) not in (2, 3):
            raise ValueError(
                f"layer {position} is {layer!r}; expected (kernel, stride) or "
                "(kernel, stride, dilation)"
            )
        kernel, stride, *dilation = layer
        size += (effective_kernel(kernel, *dilation) - 1) * jump
        jump *= _at_least(1, stride, "stride")
        fields.append(Field(size, jump))
    return fields


def megabytes(num_bytes: float) -> float:
    """Bytes in MB: 1 MB is a million bytes, as on the box of a disk.

    Args:
        num_bytes: Number of bytes.

    Returns:
        Megabytes.

    Example:
        >>> megabytes(4 * 60_965_224)
        243.860896
    """
    return num_bytes / 1e6


def mebibytes(num_bytes: float) -> float:
    """Bytes in MiB: 1 MiB is 2**20 bytes, as memory is counted.

    Args:
        num_bytes: Number of bytes.

    Returns:
        Mebibytes.

    Example:
        >>> mebibytes(3 * 2**20)
        3.0
    """
    return num_bytes / 2**20


def _steps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[int, int]:
    """Steps the kernel can make from its first position, and the pixels left after the last."""
    size = _at_least(1, size, "size")
    stride = _at_least(1, stride, "stride")
    padding = _at_least(0, padding, "padding")
    extent = effective_kernel(kernel, dilation)
    room = size + 2 * padding - extent
    if room < 0:
        raise ValueError(_does_not_fit(size, extent, padding))
    return divmod(room, stride)


def _does_not_fit(size: int, extent: int, padding: int) -> str:
    return (
        f"an effective kernel of {extent} does not fit into {size + 2 * padding} pixels "
        f"(size {size}, padding {padding} on each side)"
    )


def _sizes_that_fit(size: int, stride: int, dropped: int) -> str:
    larger = size + stride - dropped
    smaller = size - dropped
    return f"{smaller} or {larger}" if smaller >= 1 else f"{larger}"


def _channels(in_channels: int, out_channels: int, groups: int) -> tuple[int, int]:
    in_channels = _at_least(1, in_channels, "in_channels")
    out_channels = _at_least(1, out_channels, "out_channels")
    groups = _at_least(1, groups, "groups")
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"{name} ({channels}) is not divisible by groups ({groups})")
    return in_channels, out_channels


def _pair(smallest: int, value: int | tuple[int, int], name: str) -> tuple[int, int]:
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be one number or (height, width), not {value!r}")
        height, width = value
        return _at_least(smallest, height, name), _at_least(smallest, width, name)
    value = _at_least(smallest, value, name)
    return value, value


def _at_least(smallest: int, value: int, name: str) -> int:
    """The value as a plain int, or an error that names the argument."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value}")
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, not {value}")
    return value
