"""The hand-written operators against PyTorch and autograd, in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlib import functional as ours

some = settings(max_examples=50, derandomize=True, deadline=None)


def close(a, b):
    assert a.shape == b.shape
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def randn(*shape, seed=0, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_(requires_grad)


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw):
    """Shapes and settings of a convolution whose kernel fits."""
    groups = draw(st.integers(1, 3))
    case = {
        "n": draw(st.integers(1, 2)),
        "c": groups * draw(st.integers(1, 2)),
        "k": groups * draw(st.integers(1, 2)),
        "size": draw(pairs(1, 9)),
        "kernel": draw(pairs(1, 3)),
        "stride": draw(pairs(1, 3)),
        "padding": draw(pairs(0, 2)),
        "dilation": draw(pairs(1, 2)),
        "groups": groups,
        "seed": draw(st.integers(0, 1000)),
    }
    sides = zip(case["size"], case["kernel"], case["padding"], case["dilation"], strict=True)
    assume(all(d * (k - 1) + 1 <= s + 2 * p for s, k, p, d in sides))
    return case


def tensors(case):
    x = randn(case["n"], case["c"], *case["size"], seed=case["seed"])
    shape = case["k"], case["c"] // case["groups"], *case["kernel"]
    weight = randn(*shape, seed=case["seed"] + 1)
    bias = randn(case["k"], seed=case["seed"] + 2)
    return x, weight, bias


@some
@given(convolutions())
def test_im2col_and_col2im(case):
    x, _, _ = tensors(case)
    how = {name: case[name] for name in ("stride", "padding", "dilation")}
    cols = ours.im2col(x, case["kernel"], **how)
    close(cols, F.unfold(x, case["kernel"], **how))

    # col2im is the adjoint: <im2col(x), y> = <x, col2im(y)> for every y.
    y = randn(*cols.shape, seed=case["seed"] + 3)
    back = ours.col2im(y, case["size"], case["kernel"], **how)
    close(back, F.fold(y, case["size"], case["kernel"], **how))
    torch.testing.assert_close((cols * y).sum(), (x * back).sum())


@some
@given(convolutions())
def test_convolution_forward_and_backward(case):
    x, weight, bias = (t.requires_grad_() for t in tensors(case))
    how = [case[name] for name in ("stride", "padding", "dilation", "groups")]
    output = ours.conv2d(x, weight, bias, *how)
    reference = F.conv2d(x, weight, bias, *how)
    close(output, reference)
    close(ours.conv2d(x, weight, None, *how), F.conv2d(x, weight, None, *how))

    grad_output = randn(*reference.shape, seed=case["seed"] + 3)
    expected = torch.autograd.grad(reference, (x, weight, bias), grad_output)
    by_hand = ours.conv2d_backward(grad_output, x.detach(), weight.detach(), *how)
    by_autograd = torch.autograd.grad(output, (x, weight, bias), grad_output)
    for a, b, c in zip(expected, by_hand, by_autograd, strict=True):
        close(b, a)
        close(c, a)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(convolutions())
def test_convolution_by_loops(case):
    assume(case["groups"] == 1)
    x, weight, bias = tensors(case)
    how = [case[name] for name in ("stride", "padding", "dilation")]
    close(ours.conv2d_loops(x, weight, bias, *how), F.conv2d(x, weight, bias, *how))
    close(ours.conv2d_loops(x, weight, None, *how), F.conv2d(x, weight, None, *how))


@some
@given(convolutions(), pairs(0, 2))
def test_transposed_convolution(case, output_padding):
    x, _, bias = tensors(case)
    shape = case["c"], case["k"] // case["groups"], *case["kernel"]
    weight = randn(*shape, seed=case["seed"] + 4)
    how = [case["stride"], case["padding"], output_padding, case["groups"], case["dilation"]]
    try:
        expected = F.conv_transpose2d(x, weight, bias, *how)
    except RuntimeError:
        with pytest.raises(ValueError, match=r"output_padding|nothing is left"):
            ours.conv_transpose2d(x, weight, bias, *how)
    else:
        close(ours.conv_transpose2d(x, weight, bias, *how), expected)


@st.composite
def poolings(draw):
    kernel = draw(pairs(1, 4))
    padding = tuple(draw(st.integers(0, side // 2)) for side in kernel)
    size = draw(pairs(1, 9))
    assume(all(s + 2 * p >= k for s, p, k in zip(size, padding, kernel, strict=True)))
    stride = draw(st.none() | pairs(1, 4))
    return size, kernel, stride, padding, draw(st.integers(0, 1000))


@some
@given(poolings(), st.booleans())
def test_max_pooling(pooling, ties):
    size, kernel, stride, padding, seed = pooling
    x = randn(2, 3, *size, seed=seed)
    if ties:
        x = x.round()  # equal values in a window: the first one must win
    x.requires_grad_()
    expected, switches = F.max_pool2d(x, kernel, stride, padding, return_indices=True)
    output, our_switches = ours.max_pool2d(x.detach(), kernel, stride, padding)
    close(output, expected)
    assert torch.equal(our_switches, switches)

    grad_output = randn(*expected.shape, seed=seed + 1)
    (grad_x,) = torch.autograd.grad(expected, x, grad_output)
    close(ours.max_pool2d_backward(grad_output, our_switches, size), grad_x)


@some
@given(poolings())
def test_average_pooling(pooling):
    size, kernel, stride, padding, seed = pooling
    x = randn(2, 3, *size, seed=seed, requires_grad=True)
    expected = F.avg_pool2d(x, kernel, stride, padding)
    close(ours.avg_pool2d(x, kernel, stride, padding), expected)

    grad_output = randn(*expected.shape, seed=seed + 1)
    (grad_x,) = torch.autograd.grad(expected, x, grad_output)
    close(ours.avg_pool2d_backward(grad_output, size, kernel, stride, padding), grad_x)


@some
@given(poolings(), st.sampled_from([1.0, 2.0, 3.0]))
def test_lp_pooling(pooling, norm):
    size, kernel, stride, padding, seed = pooling
    assume(padding == (0, 0))
    x = randn(2, 3, *size, seed=seed)
    # PyTorch adds up signed powers; ours is a norm. On positive values both are the same.
    expected = F.lp_pool2d(x.abs(), norm, kernel, stride)
    close(ours.lp_pool2d(x, kernel, stride, norm=norm), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_local_response_norm(size):
    x = randn(2, 7, 3, 4)
    how = {"alpha": 0.3, "beta": 0.6, "k": 1.5}
    close(ours.local_response_norm(x, size, **how), F.local_response_norm(x, size, **how))


def test_local_response_norm_as_the_alexnet_paper_writes_it():
    x = 30 * randn(1, 8, 2, 2)
    got = ours.local_response_norm(x, 5, alpha=5e-4, k=2)
    for i in range(8):
        near = x[:, max(0, i - 2) : min(7, i + 2) + 1]  # section 3.3: n = 5, ends cut off
        close(got[:, i], x[:, i] / (2 + 1e-4 * near.square().sum(dim=1)) ** 0.75)


def test_batch_norm_as_in_training():
    x = 3 + 2 * randn(4, 3, 5, 6)
    weight, bias = randn(3, seed=1), randn(3, seed=2)
    expected = F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-3)
    close(ours.batch_norm(x, weight, bias, eps=1e-3), expected)
    close(ours.batch_norm(x), F.batch_norm(x, None, None, training=True))


def test_global_average_pooling():
    x = randn(2, 3, 5, 7)
    close(ours.global_avg_pool2d(x), F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("bias", [True, False])
def test_linear_to_conv_gives_the_answer_at_every_position(bias):
    linear = nn.Linear(3 * 4 * 5, 6, bias=bias).double()
    conv = ours.linear_to_conv(linear, (3, 4, 5))
    volume = randn(2, 3, 6, 8)
    scores = conv(volume)
    assert scores.shape == (2, 6, 3, 4)
    for row in range(3):
        for column in range(4):
            crop = volume[:, :, row : row + 4, column : column + 5]
            close(scores[:, :, row, column], linear(crop.flatten(1)))
    # A copy: training one does not change the other.
    with torch.no_grad():
        conv.weight.zero_()
    assert linear.weight.any()


def test_inputs_are_left_alone():
    x, weight, grad = randn(1, 2, 5, 5), randn(2, 2, 3, 3, seed=1), randn(1, 2, 3, 3, seed=2)
    copies = [t.clone() for t in (x, weight, grad)]
    ours.conv2d(x, weight)
    ours.conv2d_backward(grad, x, weight)
    ours.conv_transpose2d(x, weight)
    ours.local_response_norm(x, 2)
    ours.batch_norm(x)
    _, switches = ours.max_pool2d(x, 3, 1)
    ours.max_pool2d_backward(grad, switches, (5, 5))
    assert all(torch.equal(a, b) for a, b in zip((x, weight, grad), copies, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ours.im2col(x[0], 3), r"\(N, C, H, W\), not \(2, 5, 5\)"),
        (lambda x: ours.im2col(x, 6), "does not fit into 5 pixels"),
        (lambda x: ours.col2im(x, (5, 5), 3), r"\(N, C\*kh\*kw, L\)"),
        (lambda x: ours.col2im(x.flatten(2), (5, 5), 3), "multiple of 9 rows"),
        (lambda x: ours.conv2d(x, torch.ones(1, 3, 3, 3)), r"shape \(K, 2, kh, kw\)"),
        (lambda x: ours.conv2d(x, torch.ones(1, 2, 3, 3), torch.ones(2)), r"shape \(1,\)"),
        (lambda x: ours.conv2d(x, torch.ones(3, 1, 3, 3), groups=2), "3 filters"),
        (lambda x: ours.conv2d(x, torch.ones(3, 1, 3, 3), groups=3), "2 channels"),
        (lambda x: ours.conv2d_backward(x, x, torch.ones(2, 2, 3, 3)), r"has shape \(1, 2, 3, 3"),
        (lambda x: ours.conv_transpose2d(x, torch.ones(3, 2, 3, 3)), "with C = 2"),
        (lambda x: ours.max_pool2d(x, 3, padding=2), "more than half"),
        (lambda x: ours.max_pool2d_backward(x, x[..., 1:], (5, 5)), "same shape"),
        (lambda x: ours.lp_pool2d(x, 2, norm=0), "positive"),
        (lambda x: ours.local_response_norm(x, 0), "at least 1"),
        (lambda x: ours.batch_norm(x[..., :1, :1]), "more than one value"),
        (lambda x: ours.linear_to_conv(nn.Linear(49, 2), (2, 5, 5)), "holds 50 values"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(1, 2, 5, 5))
