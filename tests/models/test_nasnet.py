"""NASNet-A: published counts, sizes, and the wiring against a second implementation."""

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
    randomize_norms,
)
from torch import nn

from cnnlib.models import NASNet, nasnet_mobile
from cnnlib.models.nasnet import (
    NORMAL_CELL,
    REDUCTION_CELL,
    FactorizedReduction,
    separable_twice,
)
from cnnlib.summary import summarize

REDUCED = {"repeats": 1, "penultimate_channels": 96, "stem_channels": 8}


def test_published_parameters():
    model = on_meta(nasnet_mobile)
    statistics = [b for name, b in model.named_buffers() if "running" in name]
    trainable, others = count(model), sum(b.numel() for b in statistics)
    assert trainable == 5_289_978  # trainable weights; table 3 of the paper: 5.3 M
    assert others == 36_738
    assert trainable + others == 5_326_716  # the total that Keras reports


@pytest.mark.slow
def test_sizes_and_published_multiply_accumulates():
    summary = summarize(on_meta(nasnet_mobile), (3, 224, 224))
    assert summary.macs / 1e6 == pytest.approx(564, abs=1)  # table 3
    shapes = {row.name: tuple(row.output_shape[1:]) for row in summary.rows if row.output_shape}
    assert shapes["conv1"] == (32, 111, 111)
    cells = [shapes[f"cells.{i}"] for i in range(16)]
    assert cells[:2] == [(44, 56, 56), (88, 28, 28)]
    assert cells[2:6] == [(264, 28, 28)] * 4
    assert cells[6:11] == [(352, 14, 14)] + [(528, 14, 14)] * 4
    assert cells[11:16] == [(704, 7, 7)] + [(1056, 7, 7)] * 4
    assert "cells.16" not in shapes


def norm(x, bn):
    scale = bn.weight / (bn.running_var + 1e-3).sqrt()
    return (x - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]


def separable(x, module, kernel, stride):
    """Applied twice, each time ReLU, depthwise, pointwise, normalisation."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [c.kernel_size[0] for c in convolutions] == [kernel, 1, kernel, 1]
    for i, s in ((0, stride), (1, 1)):
        d, p = convolutions[2 * i : 2 * i + 2]
        x = F.conv2d(x.relu(), d.weight, stride=s, padding=kernel // 2, groups=x.shape[1])
        x = norm(F.conv2d(x, p.weight), norms[i])
    return x


def average(x, stride=1):
    """3×3 mean over the pixels that exist: sum of values divided by the number of values."""
    inside = torch.ones_like(x)
    total = F.avg_pool2d(x, 3, stride, 1, divisor_override=1)
    return total / F.avg_pool2d(inside, 3, stride, 1, divisor_override=1)


def maximum(x, stride):
    padded = F.pad(x, (1, 1, 1, 1), value=-torch.inf)
    return F.max_pool2d(padded, 3, stride)


def adjusted(cell, h, p):
    """Bring both inputs to the cell's filters, p also to h's size."""
    _, conv, bn = cell.fit_h
    new_h = norm(F.conv2d(h.relu(), conv.weight), bn)
    if isinstance(cell.fit_p, nn.Identity):
        return new_h, p
    if p.shape[2:] == h.shape[2:]:
        _, conv, bn = cell.fit_p
        return new_h, norm(F.conv2d(p.relu(), conv.weight), bn)
    r = p.relu()
    every_second = F.avg_pool2d(r, 1, 2)
    shifted = F.avg_pool2d(F.pad(r, (0, 1, 0, 1))[:, :, 1:, 1:], 1, 2)
    halves = [
        F.conv2d(every_second, cell.fit_p.path1.weight),
        F.conv2d(shifted, cell.fit_p.path2.weight),
    ]
    return new_h, norm(torch.cat(halves, 1), cell.fit_p.norm)


def normal_cell(cell, h, p):
    """Figure 4, left, written out block by block."""
    left, right = cell.left, cell.right
    h, p = adjusted(cell, h, p)
    b1 = separable(h, left[0], 5, 1) + separable(p, right[0], 3, 1)
    b2 = separable(p, left[1], 5, 1) + separable(p, right[1], 3, 1)
    b3 = average(h) + p
    b4 = average(p) + average(p)
    b5 = separable(h, left[4], 3, 1) + h
    return torch.cat([p, b1, b2, b3, b4, b5], 1)


def reduction_cell(cell, h, p):
    """Figure 4, right, written out block by block."""
    left, right = cell.left, cell.right
    h, p = adjusted(cell, h, p)
    b1 = separable(h, left[0], 5, 2) + separable(p, right[0], 7, 2)
    b2 = maximum(h, 2) + separable(p, right[1], 7, 2)
    b3 = average(h, 2) + separable(p, right[2], 5, 2)
    b4 = average(b1) + b2
    b5 = separable(b1, left[4], 3, 1) + maximum(h, 2)
    return torch.cat([b2, b3, b4, b5], 1)


@pytest.mark.parametrize("size", [(64, 64), (75, 69)])
def test_wiring_equals_a_second_implementation(size):
    torch.manual_seed(0)
    model = NASNet(7, 3, **REDUCED)
    randomize_norms(model)
    model = model.double().eval()
    x = images(size=size).double()

    stem = norm(F.conv2d(x, model.conv1.weight, stride=2), model.norm1)
    kinds = [reduction_cell] * 2 + [normal_cell] + [reduction_cell, normal_cell] * 2
    before, now = stem, stem
    for kind, cell in zip(kinds, model.cells, strict=True):
        before, now = now, kind(cell, now, before)
    expected = F.linear(now.relu().mean((2, 3)), model.fc.weight, model.fc.bias)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(model(x), expected)


def test_genotypes_use_what_exists_and_concatenate_what_is_unused():
    for cell in (NORMAL_CELL, REDUCTION_CELL):
        assert len(cell.blocks) == 5
        used = set()
        for i, block in enumerate(cell.blocks):
            for state in (block.left_input, block.right_input):
                assert state in ("h", "p") or state < i
                used.add(state)
        unused = {i for i in range(5) if i not in used}
        assert unused <= set(cell.concat)


def test_factorized_reduction_sees_two_of_four_pixels():
    """A single 1×1 convolution of stride 2 would ignore three of four pixels."""
    block = FactorizedReduction(1, 2).double().eval()
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    block(x).sum().backward()
    seen = x.grad[0, 0] != 0
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    assert torch.equal(seen, (rows % 2) == (columns % 2))


def test_separable_convolutions_are_applied_twice_with_one_stride():
    block = separable_twice(4, 6, 5, stride=2)
    assert block(images(1, 4, 11)).shape == (1, 6, 6, 6)
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    assert [m.stride for m in convolutions] == [(2, 2), (1, 1), (1, 1), (1, 1)]
    assert count(block) == 4 * 25 + 4 * 6 + 6 * 25 + 6 * 6 + 2 * 2 * 6


@behaviour(Case("NASNet", REDUCED))
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(nasnet_mobile, dropout=-0.1)
    assert_bad_arguments_rejected(NASNet, repeats=0, stem_channels=0, penultimate_channels=100)
