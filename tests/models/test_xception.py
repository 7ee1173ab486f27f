"""Xception: published counts, the sizes of figure 5, and a second implementation."""

import pytest
import torch
import torch.nn.functional as F
from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    behaviour,
    count,
    images,
    on_meta,
    output_shapes,
    randomize_norms,
)

from cnnlib.arithmetic import conv_macs, conv_parameters
from cnnlib.blocks import SeparableConv2d
from cnnlib.models import Xception, xception
from cnnlib.summary import summarize


def test_published_parameters():
    model = on_meta(xception)
    statistics = [b for name, b in model.named_buffers() if "running" in name]
    trainable, others = count(model), sum(b.numel() for b in statistics)
    assert trainable == 22_855_952  # table 3 of the paper
    assert others == 54_528
    assert trainable + others == 22_910_480  # the total that Keras reports


def test_sizes_of_figure_5():
    shapes = output_shapes(on_meta(xception), 299)
    assert shapes["conv1"] == [(32, 149, 149)]
    assert shapes["conv2"] == [(64, 147, 147)]
    assert shapes["entry.0"] == [(128, 74, 74)]
    assert shapes["entry.1"] == [(256, 37, 37)]
    assert shapes["entry.2"] == [(728, 19, 19)]
    assert all(shapes[f"middle.{i}"] == [(728, 19, 19)] for i in range(8))
    assert "middle.8" not in shapes
    assert shapes["exit"] == [(1024, 10, 10)]
    assert shapes["conv3"] == [(1536, 10, 10)]
    assert shapes["conv4"] == [(2048, 10, 10)]


def test_36_convolutional_layers():
    """Section 3: 36 convolutional layers, in 14 modules; shortcuts are not counted."""
    model = on_meta(xception)
    separable = [m for m in model.modules() if isinstance(m, SeparableConv2d)]
    assert len(separable) + 2 == 36
    assert all(m.depthwise.kernel_size == (3, 3) for m in separable)


def reference(x, state, middle_modules):
    """Figure 5 with plain functions; reads parameters in the order of the state dict."""
    tape = iter(state.values())

    def conv(x, stride=1, padding=0, groups=1):
        return F.conv2d(x, next(tape), None, stride, padding, groups=groups)

    def norm(x):
        weight, bias, mean, variance, _ = (next(tape)[..., None, None] for _ in range(5))
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def separable(x):
        return norm(conv(conv(x, padding=1, groups=x.shape[1])))

    def pool(x):
        return F.max_pool2d(x, 3, 2, 1)

    x = norm(conv(x, stride=2)).relu()
    x = norm(conv(x)).relu()
    for module in range(3):
        y = separable(x if module == 0 else x.relu())
        y = pool(separable(y.relu()))
        x = y + norm(conv(x, stride=2))
    for _ in range(middle_modules):
        y = x
        for _ in range(3):
            y = separable(y.relu())
        x = x + y
    y = pool(separable(separable(x.relu()).relu()))
    x = y + norm(conv(x, stride=2))
    x = separable(separable(x).relu()).relu()
    return F.linear(x.mean((2, 3)), next(tape), next(tape))


def test_equals_a_second_implementation():
    torch.manual_seed(0)
    model = Xception(7, middle_modules=2)
    randomize_norms(model)
    model = model.double().eval()
    x = images(size=(65, 52)).double()
    expected = reference(x, model.state_dict(), 2)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_separable_convolution_is_a_convolution_with_a_factored_kernel(stride):
    torch.manual_seed(0)
    block = SeparableConv2d(5, 7, 3, stride).double()
    d, p = block.depthwise.weight, block.pointwise.weight
    full_kernel = p * d.transpose(0, 1)  # (7, 5, 1, 1) times (1, 5, 3, 3): w[o, c] = p[o, c] d[c]
    x = images(2, 5, (9, 8)).double()
    torch.testing.assert_close(block(x), F.conv2d(x, full_kernel, None, stride, padding=1))


@pytest.mark.parametrize(("n", "k"), [(512, 3), (64, 5)])
def test_cost_against_a_full_convolution(n, k):
    """The ratio 1/N + 1/k²: 11.3 % for 512 filters of 3×3."""
    block = on_meta(SeparableConv2d, n, n, k)
    summary = summarize(block, (n, 14, 14))
    ratio = 1 / n + 1 / k**2
    assert summary.parameters / conv_parameters(n, n, k, bias=False) == pytest.approx(ratio)
    assert summary.macs / conv_macs(n, n, k, 14) == pytest.approx(ratio)
    if (n, k) == (512, 3):
        assert ratio == pytest.approx(0.113, abs=5e-4)


@behaviour(Case("xception", narrow=8))
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(xception, dropout=1.0)
    assert_bad_arguments_rejected(Xception, middle_modules=0)
