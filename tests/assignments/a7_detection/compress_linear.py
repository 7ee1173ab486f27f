"""Answers to a7_detection, task 12."""

import torch
from torch import nn


def refuse_rank(layer, rank):
    if rank < 1 or rank > min(layer.in_features, layer.out_features):
        raise ValueError("rank")


def of_weights(weight, bias=None):
    """A layer with copies of these."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype)
    layer.weight.data = weight.clone()
    if bias is not None:
        layer.bias.data = bias.detach().clone()
    return layer


def two_layers(first, second, bias):
    return nn.Sequential(of_weights(first), of_weights(second, bias))


def decomposed(layer):
    return torch.linalg.svd(layer.weight.detach(), full_matrices=False)


def lost(s, rank):
    return (s[rank:].norm() / s.norm()).item()


def right_stretching_in_the_second(layer, rank):
    """The singular values in the second layer."""
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(vt[:rank], u[:, :rank] * s[:rank], layer.bias), lost(s, rank)


def right_roots_in_both(layer, rank):
    """A root of the singular values in each layer; the error from the weights themselves."""
    refuse_rank(layer, rank)
    weight = layer.weight.detach()
    u, s, v = torch.svd(weight)
    root = s[:rank].sqrt()
    first, second = (v[:, :rank] * root).T.contiguous(), u[:, :rank] * root
    error = torch.linalg.norm(weight - second @ first) / torch.linalg.norm(weight)
    return two_layers(first, second, layer.bias), float(error)


def right_projection(layer, rank):
    """Inputs onto the leading right singular vectors, which are eigenvectors of W^T W."""
    refuse_rank(layer, rank)
    weight = layer.weight.detach().double()
    axes = torch.linalg.eigh(weight.T @ weight).eigenvectors.flip(1)[:, :rank]
    change = weight - weight @ axes @ axes.T
    dtype = layer.weight.dtype
    layers = two_layers(axes.T.to(dtype), (weight @ axes).to(dtype), layer.bias)
    return layers, (change.square().sum() / weight.square().sum()).sqrt().item()


def wrong_bias_twice(layer, rank):
    """Both layers have biases.

    Named: the first of the two layers has no biases
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    first = of_weights(s[:rank, None] * vt[:rank], layer.bias.new_zeros(rank))
    return nn.Sequential(first, of_weights(u[:, :rank], layer.bias)), lost(s, rank)


def wrong_bias_lost(layer, rank):
    """No biases at all.

    Named: the second layer has the biases of the old one
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], None), lost(s, rank)


def wrong_fresh_bias(layer, rank):
    """Biases that are left at zero.

    Named: the second layer has the biases of the old one
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    bias = torch.zeros_like(layer.bias)
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], bias), lost(s, rank)


def wrong_one_layer(layer, rank):
    """The approximation in one layer, which saves nothing.

    Named: make two layers
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    weight = (u[:, :rank] * s[:rank]) @ vt[:rank]
    return nn.Sequential(of_weights(weight, layer.bias)), lost(s, rank)


def wrong_nothing_cut(layer, rank):
    """Two layers, but all singular values.

    Named: the shapes are smaller
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(s[:, None] * vt, u, layer.bias), lost(s, rank)


def wrong_smallest(layer, rank):
    """The order of eigenvalues: smallest first.

    Named: not the smallest
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    u, s, vt = u.flip(1), s.flip(0), vt.flip(0)
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), lost(s, rank)


def wrong_no_stretching(layer, rank):
    """Rotations only.

    Named: the singular values are missing
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(vt[:rank], u[:, :rank], layer.bias), lost(s, rank)


def wrong_stretched_twice(layer, rank):
    """The singular values in both layers.

    Named: multiply by the singular values once
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank] * s[:rank], layer.bias), lost(s, rank)


def wrong_relu_between(layer, rank):
    """A ReLU, as after every other layer.

    Named: nothing stands between the two layers
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    first, second = two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias)
    return nn.Sequential(first, nn.ReLU(), second), lost(s, rank)


def wrong_columns_of_vt(layer, rank):
    """Takes V^T for V, and turns it."""
    refuse_rank(layer, rank)
    u, s, vt = torch.linalg.svd(layer.weight.detach())
    return two_layers(s[:rank, None] * vt[:, :rank].T, u[:, :rank], layer.bias), lost(s, rank)


def wrong_squared_error(layer, rank):
    """The share of the squares.

    Named: take the root
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), lost(s, rank) ** 2


def wrong_absolute_error(layer, rank):
    """The norm of the change itself.

    Named: divide by the norm of the old weights
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    error = s[rank:].norm().item()
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), error


def wrong_what_is_kept(layer, rank):
    """The share that is kept.

    Named: what is kept, not what is lost
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    error = (s[:rank].norm() / s.norm()).item()
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), error


def wrong_sum_of_singular_values(layer, rank):
    """Adds the singular values up, without squares.

    Named: squares are added up
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    error = (s[rank:].sum() / s.sum()).item()
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), error


def wrong_largest_change(layer, rank):
    """The first that is dropped by the first that is kept.

    Named: not by the largest singular value
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    error = (s[rank] / s[0]).item() if rank < len(s) else 0.0
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), error


def wrong_first_dropped_only(layer, rank):
    """Forgets all but the first of those that are dropped."""
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    error = (s[rank : rank + 1].norm() / s.norm()).item()
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), error


def wrong_layers_only(layer, rank):
    """Forgets the error.

    Named: a tuple of two
    """
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias)


def wrong_float32(layer, rank):
    """Layers in float32, whatever the old one is in."""
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    layers = two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias)
    return layers.float(), lost(s, rank)


def wrong_old_layer_changed(layer, rank):
    """Writes the approximation into the old layer, too."""
    refuse_rank(layer, rank)
    u, s, vt = decomposed(layer)
    with torch.no_grad():
        layer.weight.copy_((u[:, :rank] * s[:rank]) @ vt[:rank])
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), lost(s, rank)


def wrong_rank_cut_off(layer, rank):
    """Takes the nearest rank there is.

    Named: expected a ValueError
    """
    u, s, vt = decomposed(layer)
    rank = min(max(rank, 1), len(s))
    return two_layers(s[:rank, None] * vt[:rank], u[:, :rank], layer.bias), lost(s, rank)
