"""Answers to a1_layers, task 7."""

import math

import torch


def right_from_the_top(layers):
    """Walks down: how many units below does a group of units see?"""
    units = 1
    for layer in reversed(layers):
        kernel, stride = layer[:2]
        dilation = layer[2] if len(layer) == 3 else 1
        if kernel < 1 or stride < 1 or dilation < 1:
            raise ValueError("impossible layer")
        units = (units - 1) * stride + dilation * (kernel - 1) + 1
    return units


def right_closed_form(layers):
    """The sum over layers, with the product of the strides below each."""
    layers = [(*layer, 1)[:3] for layer in layers]
    if any(number < 1 for layer in layers for number in layer):
        raise ValueError("impossible layer")
    strides = [stride for _, stride, _ in layers]
    return 1 + sum(
        d * (k - 1) * math.prod(strides[:depth]) for depth, (k, _, d) in enumerate(layers)
    )


def right_by_gradient(layers):
    """Runs the stack and looks where the gradient arrives."""
    for layer in layers:
        if min(layer) < 1:
            raise ValueError("impossible layer")
    row = torch.zeros(1, 1, 2000, dtype=torch.float64, requires_grad=True)
    unit = row
    for kernel, stride, *dilation in layers:
        taps = torch.ones(1, 1, kernel, dtype=torch.float64)
        unit = torch.conv1d(unit, taps, stride=stride, dilation=dilation[0] if dilation else 1)
    unit[0, 0, 0].backward()
    return int(row.grad.nonzero()[:, 2].max()) + 1


def _check(layers):
    if any(number < 1 for layer in layers for number in layer):
        raise ValueError


def wrong_sum_of_kernels(layers):
    """Adds up the kernels.

    Named: kernel sizes do not simply add up
    """
    _check(layers)
    return sum(layer[0] for layer in layers) or 1


def wrong_product_of_kernels(layers):
    """Multiplies the kernels.

    Named: kernel sizes do not multiply
    """
    _check(layers)
    return math.prod(layer[0] for layer in layers)


def wrong_no_stride(layers):
    """Strides are ignored.

    Named: the stride of the first layer makes the steps of the second longer
    """
    _check(layers)
    field = 1
    for kernel, _, *dilation in layers:
        field += (kernel - 1) * (dilation[0] if dilation else 1)
    return field


def wrong_own_stride(layers):
    """A layer's own stride is applied before its kernel.

    Named: not of its own layer
    """
    _check(layers)
    field, step = 1, 1
    for kernel, stride, *dilation in layers:
        step *= stride
        field += (kernel - 1) * (dilation[0] if dilation else 1) * step
    return field


def wrong_strides_not_multiplied(layers):
    """Only the stride of the layer below counts.

    Named: strides multiply
    """
    _check(layers)
    field, step = 1, 1
    for kernel, stride, *dilation in layers:
        field += (kernel - 1) * (dilation[0] if dilation else 1) * step
        step = stride
    return field


def wrong_no_dilation(layers):
    """Dilation is ignored.

    Named: the dilation is ignored
    """
    _check(layers)
    field, step = 1, 1
    for kernel, stride, *_ in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def wrong_empty_stack(layers):
    """Fails on a stack without layers, by starting from the first kernel."""
    _check(layers)
    kernel, step, *dilation = layers[0]
    field = 1 + (kernel - 1) * (dilation[0] if dilation else 1)
    for kernel, stride, *dilation in layers[1:]:
        field += (kernel - 1) * (dilation[0] if dilation else 1) * step
        step *= stride
    return field


def wrong_no_error(layers):
    """Accepts a stride of 0."""
    field, step = 1, 1
    for kernel, stride, *dilation in layers:
        field += (kernel - 1) * (dilation[0] if dilation else 1) * step
        step *= stride
    return field
