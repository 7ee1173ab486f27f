"""The arithmetic against PyTorch: the layers themselves say what sizes and counts are right."""

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnlib import arithmetic
from cnnlib.arithmetic import (
    Field,
    batch_norm_parameters,
    conv_macs,
    conv_output_size,
    conv_parameters,
    conv_transpose_output_size,
    dropped_pixels,
    effective_kernel,
    linear_macs,
    linear_parameters,
    mebibytes,
    megabytes,
    pool_output_size,
    receptive_field,
    same_padding,
)

many = settings(max_examples=200, derandomize=True, deadline=None)

sizes = st.integers(1, 70)
kernels = st.integers(1, 11)
strides = st.integers(1, 5)
paddings = st.integers(0, 6)
dilations = st.integers(1, 4)


def torch_size(layer, size):
    """Output size by PyTorch, or None where PyTorch refuses. The meta device computes no values."""
    channels = getattr(layer, "in_channels", 1)
    try:
        return layer(torch.empty(1, channels, size, device="meta")).shape[-1]
    except RuntimeError:
        return None


def ours(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except ValueError:
        return None


@many
@given(sizes, kernels, strides, paddings, dilations)
def test_conv_output_size_is_that_of_torch(size, kernel, stride, padding, dilation):
    layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation, device="meta")
    expected = torch_size(layer, size)
    assert ours(conv_output_size, size, kernel, stride, padding, dilation) == expected


@many
@given(sizes, kernels, st.none() | strides, paddings, dilations, st.booleans())
def test_pool_output_size_is_that_of_torch(size, kernel, stride, padding, dilation, ceil_mode):
    how = [(1, kernel), stride and (1, stride), (0, padding), (1, dilation)]
    try:
        layer = nn.MaxPool2d(*how, ceil_mode=ceil_mode)
        expected = layer(torch.empty(1, 1, 1, size, device="meta")).shape[-1]
    except RuntimeError:
        expected = None
    got = ours(pool_output_size, size, kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    assert got == expected


@many
@given(sizes, kernels, strides, paddings, st.integers(0, 4), dilations)
def test_transposed_output_size_is_that_of_torch(
    size, kernel, stride, padding, output_padding, dilation
):
    layer = nn.ConvTranspose1d(
        1, 1, kernel, stride, padding, output_padding, dilation=dilation, device="meta"
    )
    args = size, kernel, stride, padding, output_padding, dilation
    assert ours(conv_transpose_output_size, *args) == torch_size(layer, size)


@many
@given(sizes, kernels, strides, paddings, dilations)
def test_dropped_pixels_are_those_whose_gradient_is_zero(size, kernel, stride, padding, dilation):
    if effective_kernel(kernel, dilation) > size + 2 * padding:
        with pytest.raises(ValueError, match="does not fit"):
            dropped_pixels(size, kernel, stride, padding, dilation)
        return
    x = torch.zeros(1, 1, size + 2 * padding, requires_grad=True)
    weight = torch.ones(1, 1, effective_kernel(kernel, dilation))  # every pixel under the window
    torch.conv1d(x, weight, stride=stride).sum().backward()
    reached = x.grad[0, 0].nonzero().max().item() + 1
    dropped = dropped_pixels(size, kernel, stride, padding, dilation)
    assert dropped == x.shape[-1] - reached

    args = size, kernel, stride, padding, dilation
    if dropped:
        with pytest.raises(ValueError, match=f"leave {dropped} of"):
            conv_output_size(*args, exact=True)
        # The size that the message recommends does fit, and gives one position more.
        larger = size + stride - dropped
        assert dropped_pixels(larger, *args[1:]) == 0
        assert conv_output_size(larger, *args[1:], exact=True) == conv_output_size(*args) + 1
    else:
        assert conv_output_size(*args, exact=True) == conv_output_size(*args)


@many
@given(kernels, dilations, st.integers(1, 20))
def test_same_padding_keeps_the_size(kernel, dilation, size):
    if effective_kernel(kernel, dilation) % 2 == 0:
        with pytest.raises(ValueError, match="even"):
            same_padding(kernel, dilation)
    else:
        padding = same_padding(kernel, dilation)
        layer = nn.Conv1d(1, 1, kernel, padding=padding, dilation=dilation, device="meta")
        assert torch_size(layer, size) == size


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.booleans(),
    st.integers(5, 12),
)
def test_conv_parameters_and_macs(inputs, outputs, height, width, groups, bias, size):
    inputs, outputs = inputs * groups, outputs * groups
    layer = nn.Conv2d(inputs, outputs, (height, width), groups=groups, bias=bias, device="meta")
    counted = sum(p.numel() for p in layer.parameters())
    args = inputs, outputs, (height, width)
    assert conv_parameters(*args, groups=groups, bias=bias) == counted

    x = torch.empty(1, inputs, size, size, device="meta")
    with FlopCounterMode(display=False) as counter:
        output = layer(x)
    # The counter of this PyTorch does not divide by the groups; one group is the same as dense.
    if groups == 1:
        macs = conv_macs(*args, tuple(output.shape[-2:]))
        assert 2 * macs == counter.get_total_flops()
    else:
        one = conv_macs(inputs // groups, outputs // groups, (height, width), output.shape[-2:])
        assert conv_macs(*args, tuple(output.shape[-2:]), groups=groups) == groups * one


@given(st.integers(1, 50), st.integers(1, 50), st.booleans())
@settings(max_examples=30, derandomize=True, deadline=None)
def test_linear_and_batch_norm(inputs, outputs, bias):
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta")
    counted = sum(p.numel() for p in layer.parameters())
    assert linear_parameters(inputs, outputs, bias=bias) == counted
    with FlopCounterMode(display=False) as counter:
        layer(torch.empty(1, inputs, device="meta"))
    assert 2 * linear_macs(inputs, outputs) == counter.get_total_flops()
    norm = nn.BatchNorm2d(inputs, device="meta")
    assert batch_norm_parameters(inputs) == sum(p.numel() for p in norm.parameters())


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)), max_size=4),
)
def test_receptive_field_is_the_support_of_an_input_gradient(layers):
    fields = receptive_field(layers)
    assert len(fields) == len(layers)
    for depth in range(1, len(layers) + 1):
        size, jump = fields[depth - 1]
        x = torch.zeros(1, 1, size + jump, requires_grad=True)  # room for exactly two outputs
        y = x
        for kernel, stride, dilation in layers[:depth]:
            y = torch.conv1d(y, torch.ones(1, 1, kernel), stride=stride, dilation=dilation)
        assert y.shape[-1] == 2
        first, second = (
            torch.autograd.grad(y[0, 0, i], x, retain_graph=True)[0][0, 0].nonzero() for i in (0, 1)
        )
        assert (first.min(), first.max()) == (0, size - 1)
        assert second.min() - first.min() == jump


def test_receptive_field_of_known_stacks():
    assert receptive_field([]) == []
    assert receptive_field([(3, 1), (3, 1)])[-1] == Field(5, 1)
    assert receptive_field([(3, 1)] * 3)[-1] == Field(7, 1)
    conv, pool = (3, 1), (2, 2)
    vgg16 = [conv, conv, pool] * 2 + [conv, conv, conv, pool] * 3
    assert receptive_field(vgg16)[-1] == Field(212, 32)  # Araujo et al. 2019, table of VGG-16


def test_published_counts():
    # AlexNet's first layer, CS231n: 96 filters 11x11x3 at stride 4 on 227x227.
    assert conv_output_size(227, 11, stride=4, exact=True) == 55
    assert conv_parameters(3, 96, 11) == 34_944
    assert conv_macs(3, 96, 11, 55) == 105_415_200
    # Its second, on two GPUs (Krizhevsky et al. 2012, section 3.5).
    assert conv_parameters(96, 256, 5, groups=2) == 307_456
    assert linear_parameters(25_088, 4096) == 102_764_544  # fc6 of VGG-16


def test_224_does_not_fit_alexnet():
    with pytest.raises(ValueError, match="leave 1 of 224 pixels uncovered") as failure:
        conv_output_size(224, 11, stride=4, exact=True)
    assert "223 or 227" in str(failure.value)


def test_memory_units():
    assert megabytes(1_500_000) == 1.5
    assert mebibytes(3 * 1024 * 1024) == 3.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conv_output_size(5, 7), ValueError, "kernel of 7 does not fit into 5 pixels"),
        (lambda: conv_output_size(5, 3, stride=0), ValueError, "stride must be at least 1"),
        (lambda: conv_output_size(0, 1), ValueError, "size must be at least 1"),
        (lambda: conv_output_size(5, 3, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: conv_output_size(5.0, 3), TypeError, "size must be a whole number, not 5.0"),
        (lambda: conv_output_size(5, True), TypeError, "kernel must be a whole number"),
        (lambda: pool_output_size(5, 2, padding=2), ValueError, "more than half"),
        (lambda: pool_output_size(2, 5, 2, ceil_mode=True), ValueError, "does not fit"),
        (
            lambda: conv_transpose_output_size(4, 3, 2, output_padding=2),
            ValueError,
            "output_padding 2 must be smaller",
        ),
        (lambda: conv_transpose_output_size(1, 2, padding=1), ValueError, "nothing is left"),
        (lambda: conv_parameters(3, 8, 3, groups=2), ValueError, "in_channels .3. is not div"),
        (lambda: conv_parameters(4, 9, 3, groups=2), ValueError, "out_channels .9. is not div"),
        (lambda: conv_parameters(3, 8, (3, 3, 3)), ValueError, "one number or .height, width."),
        (lambda: receptive_field([(3, 1), (3,)]), ValueError, "layer 1 is .3,."),
        (lambda: receptive_field([3]), ValueError, "layer 0 is 3"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_numpy_integers_are_welcome_and_come_back_plain():
    assert type(conv_output_size(np.int64(32), np.int32(5))) is int


def test_examples_in_the_docstrings():
    assert doctest.testmod(arithmetic).failed == 0
