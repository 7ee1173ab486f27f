"""Truncated SVD of a linear layer: the nearest matrix of its rank, and what it costs."""

import pytest
import torch
from detection_cases import randn, some
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnlib.detection.compression import truncated_svd


def layer(out_features, in_features, *, bias=True, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(in_features, out_features, bias=bias, dtype=torch.float64)


def product(split):
    return split[1].weight @ split[0].weight


@some
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_error_is_the_discarded_singular_values(out_features, in_features, data):
    rank = data.draw(st.integers(1, min(out_features, in_features)))
    linear = layer(out_features, in_features, seed=out_features * 13 + in_features)
    split = truncated_svd(linear, rank)
    error = linear.weight - product(split)
    lost = torch.linalg.svdvals(linear.weight.detach())[rank:]
    torch.testing.assert_close(torch.linalg.matrix_norm(error), lost.square().sum().sqrt())
    largest = lost[0] if len(lost) else torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.matrix_norm(error, 2), largest, atol=1e-12, rtol=1e-7)
    weights = [p.numel() for p in (split[0].weight, split[1].weight)]
    assert sum(weights) == rank * (out_features + in_features)


def test_no_matrix_of_the_rank_is_nearer():
    """Gradient descent over all products of two thin matrices ends at the same error."""
    linear = layer(4, 6)
    best = torch.linalg.matrix_norm(linear.weight - product(truncated_svd(linear, 2))).item()
    a, b = (randn(*shape, seed=3).requires_grad_() for shape in ((4, 2), (2, 6)))
    optimizer = torch.optim.LBFGS([a, b], max_iter=80, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (linear.weight.detach() - a @ b).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert closure().sqrt().item() == pytest.approx(best, rel=1e-4)


def test_full_rank_changes_nothing():
    linear = layer(5, 8)
    x = randn(4, 8)
    torch.testing.assert_close(truncated_svd(linear, 5)(x), linear(x))


def test_a_matrix_of_low_rank_is_kept_exactly():
    linear = layer(7, 6)
    with torch.no_grad():
        linear.weight.copy_(randn(7, 2, seed=1) @ randn(2, 6, seed=2))
    x = randn(4, 6)
    torch.testing.assert_close(truncated_svd(linear, 2)(x), linear(x))


def test_bias_type_and_original_stay():
    linear = nn.Linear(6, 4)
    before = linear.weight.clone()
    split = truncated_svd(linear, 3)
    assert [part.bias is None for part in split] == [True, False]
    assert torch.equal(split[1].bias, linear.bias)
    assert split[1].bias is not linear.bias
    assert {p.dtype for p in split.parameters()} == {torch.float32}
    assert truncated_svd(layer(4, 6, bias=False), 2)[1].bias is None
    half = truncated_svd(nn.Linear(6, 4).bfloat16(), 2)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert torch.equal(linear.weight, before)


@pytest.mark.parametrize("rank", [0, 5, -1])
def test_a_rank_that_is_not_there(rank):
    with pytest.raises(ValueError, match=r"rank must be from 1 to 4, the smaller side"):
        truncated_svd(nn.Linear(9, 4), rank)


def test_only_linear_layers():
    with pytest.raises(ValueError, match="got Conv2d"):
        truncated_svd(nn.Conv2d(3, 4, 1), 1)
