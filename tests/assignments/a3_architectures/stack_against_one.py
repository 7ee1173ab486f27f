"""Answers to a3_architectures, task 2."""

import torch
from torch import nn


def refuse_stack(kernels, channels):
    if len(kernels) == 0 or any(k < 1 for k in kernels) or channels < 1:
        raise ValueError("nothing to compare")


def stack_field(kernels):
    return 1 + sum(kernels) - len(kernels)


def layer_size(kernel, channels, bias):
    return (kernel * kernel * channels + int(bias)) * channels


def right_with_loops(kernels, channels, bias=True):
    """Grows the field layer by layer."""
    if not kernels:
        raise ValueError("no layers")
    field, weights = 1, 0
    for kernel in kernels:
        if kernel < 1 or channels < 1:
            raise ValueError("at least 1, please")
        field += kernel - 1
        weights += kernel * kernel * channels * channels
        if bias:
            weights += channels
    single = field * field * channels * channels
    if bias:
        single += channels
    return field, weights, single


def right_with_layers(kernels, channels, bias=True):
    """Lets torch count."""
    refuse_stack(kernels, channels)
    layers = [nn.Conv2d(channels, channels, k, bias=bias, device="meta") for k in kernels]
    x = torch.empty(1, channels, 200, 200, device="meta")
    field = 201 - nn.Sequential(*layers)(x).shape[-1]
    one = nn.Conv2d(channels, channels, field, bias=bias, device="meta")
    count = [sum(p.numel() for p in layer.parameters()) for layer in (*layers, one)]
    return field, sum(count[:-1]), count[-1]


def wrong_fields_add(kernels, channels, bias=True):
    """Adds the sides of the filters.

    Named: the fields overlap
    """
    refuse_stack(kernels, channels)
    field = sum(kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, stack, layer_size(field, channels, bias)


def wrong_first_pixel(kernels, channels, bias=True):
    """Forgets the pixel that the field begins with.

    Named: the first pixel is missing
    """
    refuse_stack(kernels, channels)
    field = sum(k - 1 for k in kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, stack, layer_size(field, channels, bias)


def wrong_largest_filter(kernels, channels, bias=True):
    """Takes the largest filter for the field.

    Named: the field grows with every layer
    """
    refuse_stack(kernels, channels)
    field = max(kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, stack, layer_size(field, channels, bias)


def wrong_all_like_the_first(kernels, channels, bias=True):
    """Takes all layers for copies of the first.

    Named: the second filter is 3x3
    """
    refuse_stack(kernels, channels)
    kernels = [kernels[0]] * len(kernels)
    field = stack_field(kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, stack, layer_size(field, channels, bias)


def wrong_one_filter(kernels, channels, bias=True):
    """Counts one filter of each layer.

    Named: this counts one filter of each layer
    """
    refuse_stack(kernels, channels)
    field = stack_field(kernels)
    return field, sum(k * k * channels + bias for k in kernels), field**2 * channels + bias


def wrong_coefficients(kernels, channels, bias=True):
    """27 against 49: the coefficients, without the channels.

    Named: as many filters as channels
    """
    refuse_stack(kernels, channels)
    field = stack_field(kernels)
    return field, sum(k * k for k in kernels), field**2


def wrong_one_layer(kernels, channels, bias=True):
    """Compares one layer of the stack with the large filter.

    Named: this is one layer of the stack
    """
    refuse_stack(kernels, channels)
    field = stack_field(kernels)
    return field, layer_size(kernels[0], channels, bias), layer_size(field, channels, bias)


def wrong_no_biases(kernels, channels, bias=True):
    """Forgets the biases.

    Named: with bias=True each filter has a bias
    """
    refuse_stack(kernels, channels)
    field = stack_field(kernels)
    return (
        field,
        sum(layer_size(k, channels, False) for k in kernels),
        layer_size(field, channels, False),
    )


def wrong_biases_once(kernels, channels, bias=True):
    """Counts the biases of one layer of the stack.

    Named: every layer of the stack has its biases
    """
    refuse_stack(kernels, channels)
    field = stack_field(kernels)
    stack = sum(layer_size(k, channels, False) for k in kernels) + (channels if bias else 0)
    return field, stack, layer_size(field, channels, bias)


def wrong_order(kernels, channels, bias=True):
    """Returns the single layer before the stack.

    Named: the stack comes first
    """
    refuse_stack(kernels, channels)
    field = stack_field(kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, layer_size(field, channels, bias), stack


def wrong_nothing_refused(kernels, channels, bias=True):
    """Compares nothing with something.

    Named: expected a ValueError
    """
    field = stack_field(kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, stack, layer_size(field, channels, bias)


def wrong_zero_kernel(kernels, channels, bias=True):
    """Refuses an empty stack, and accepts filters without pixels."""
    if not kernels:
        raise ValueError("empty")
    field = stack_field(kernels)
    stack = sum(layer_size(k, channels, bias) for k in kernels)
    return field, stack, layer_size(field, channels, bias)
