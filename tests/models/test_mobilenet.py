"""MobileNet v1 by published numbers and a second implementation, v2 and v3 against torchvision."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    assert_published_numbers,
    assert_rejected,
    assert_same_gradients,
    assert_same_outputs,
    behaviour,
    count,
    images,
    on_meta,
    output_shapes,
    randomize_norms,
    twins,
)
from torch import nn
from torchvision.models._utils import _make_divisible

import cnnlib.models
from cnnlib.blocks import SqueezeExcitation, scaled_channels
from cnnlib.models import (
    MobileNetV1,
    MobileNetV3,
    _weights,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from cnnlib.models.mobilenet_v1 import resolution, separable
from cnnlib.models.mobilenet_v2 import InvertedResidual
from cnnlib.models.mobilenet_v3 import InvertedResidualSE
from cnnlib.summary import summarize

TORCHVISION = ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]


def macs(model, size=224):
    return summarize(model, (3, size, size)).macs


# ---------------------------------------------------------------------------------------------
# Scaled channels


@settings(derandomize=True, deadline=None, max_examples=300)
@given(channels=st.integers(1, 2000), width=st.floats(0.05, 3), divisor=st.sampled_from([1, 8]))
def test_scaled_channels_equal_torchvision(channels, width, divisor):
    assert scaled_channels(channels, width, divisor) == _make_divisible(channels * width, divisor)


@pytest.mark.parametrize("width", [0, -1.0, float("nan")])
def test_scaled_channels_reject(width):
    with pytest.raises(ValueError, match="width_multiplier must be greater than 0"):
        scaled_channels(32, width)


# ---------------------------------------------------------------------------------------------
# v1


@pytest.mark.parametrize(
    # Tables 6 and 7; parameters of Keras and of osmr/imgclsmob
    ("width", "size", "parameters", "millions"),
    [
        (1.0, 224, 4_231_976, 569),
        (0.75, 224, 2_585_560, 325),
        (0.5, 224, 1_331_592, 149),
        (0.25, 224, 470_072, 41),
        (1.0, 192, 4_231_976, 418),
        (1.0, 160, 4_231_976, 290),
        (1.0, 128, 4_231_976, 186),
    ],
)
def test_multipliers_of_v1(width, size, parameters, millions):
    model = on_meta(mobilenet_v1, width_multiplier=width)
    assert count(model) == parameters
    # The paper cuts off instead of rounding (290.7 is printed as 290).
    assert macs(model, size) / 1e6 == pytest.approx(millions, abs=0.8)


@pytest.mark.parametrize(
    ("variant", "parameters", "millions"), [("full", 29.3, 4866), ("shallow", 2.9, 307)]
)
def test_variants_of_v1(variant, parameters, millions):
    """Tables 4 and 5."""
    model = on_meta(mobilenet_v1, variant=variant)
    assert count(model) / 1e6 == pytest.approx(parameters, abs=0.05)
    assert macs(model) / 1e6 == pytest.approx(millions, abs=1.5)


def test_running_statistics_explain_the_total_of_keras():
    statistics = [b for n, b in on_meta(mobilenet_v1).named_buffers() if "running" in n]
    assert sum(b.numel() for b in statistics) == 21_888
    assert 4_231_976 + 21_888 == 4_253_864


def test_table_1():
    shapes = output_shapes(on_meta(mobilenet_v1), 224)
    assert shapes["features.0"] == [(32, 112, 112)]
    table = [(64, 112), (128, 56), (128, 56), (256, 28), (256, 28), (512, 14)]
    table += [(512, 14)] * 5 + [(1024, 7), (1024, 7)]
    for i, (channels, size) in enumerate(table, start=1):
        assert shapes[f"features.{i}"] == [(channels, size, size)]
    assert "features.14" not in shapes


def test_multiplier_equation():
    """Equation 7 for α = 0.5, ρ = 160/224 and 512 to 512 channels at 14×14: 6,784,000."""
    block = on_meta(separable, 256, 256, 1)
    assert summarize(block, (256, 10, 10)).macs == 9 * 256 * 100 + 256 * 256 * 100 == 6_784_000


def test_table_2_share_of_each_kind_of_layer():
    """Percent of the multiply-adds and of the weights (without biases and normalisation)."""
    model = on_meta(mobilenet_v1)

    def kind(module):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            return "conv 3×3" if module.groups == 1 else "depthwise 3×3"
        return {nn.Conv2d: "conv 1×1", nn.Linear: "linear"}.get(type(module))

    macs_of = {row.name: row.macs for row in summarize(model, (3, 224, 224)).rows}
    mult_adds, weights = Counter(), Counter()
    for name, module in model.named_modules():
        if kind(module) is not None:
            mult_adds[kind(module)] += macs_of[name]
            weights[kind(module)] += module.weight.numel()
    paper = {
        "conv 1×1": (94.86, 74.59),
        "depthwise 3×3": (3.06, 1.06),
        "conv 3×3": (1.91, 0.02),  # printed as 1.19, but the column then lacks 0.71 to 100
        "linear": (0.18, 24.33),
    }
    assert set(mult_adds) == set(paper)
    for layer, (mult_adds_percent, weights_percent) in paper.items():
        got = 100 * mult_adds[layer] / mult_adds.total(), 100 * weights[layer] / weights.total()
        assert got == pytest.approx((mult_adds_percent, weights_percent), abs=0.025)


@pytest.mark.parametrize(
    ("multiplier", "size"), [(1, 224), (6 / 7, 192), (5 / 7, 160), (4 / 7, 128), (0.5, 112)]
)
def test_resolution(multiplier, size):
    assert resolution(multiplier) == size


@pytest.mark.parametrize("multiplier", [0, 1.1, -0.5])
def test_resolution_rejects(multiplier):
    with pytest.raises(ValueError, match="resolution_multiplier must be greater than 0"):
        resolution(multiplier)


@pytest.mark.parametrize(("variant", "layers"), [("separable", 13), ("shallow", 8), ("full", 13)])
def test_v1_equals_a_second_implementation(variant, layers):
    torch.manual_seed(0)
    model = MobileNetV1(7, variant=variant, width_multiplier=0.25)
    randomize_norms(model)
    model = model.double().eval()
    tape = iter(model.state_dict().values())

    def conv_norm_relu(x, stride, groups=1):
        weight = next(tape)
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=groups)
        gamma, beta, mean, variance, _ = (next(tape)[..., None, None] for _ in range(5))
        return ((x - mean) / (variance + 1e-5).sqrt() * gamma + beta).relu()

    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    if variant == "shallow":
        strides = strides[:6] + strides[11:]
    assert len(strides) == layers
    x = images(size=(64, 57)).double()
    expected = conv_norm_relu(x, 2)
    for stride in strides:
        if variant == "full":
            expected = conv_norm_relu(expected, stride)
        else:
            expected = conv_norm_relu(expected, stride, groups=expected.shape[1])
            expected = conv_norm_relu(expected, 1)
    expected = F.linear(expected.mean((2, 3)), next(tape), next(tape))
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(model(x), expected)


# ---------------------------------------------------------------------------------------------
# v2 and v3


@pytest.mark.parametrize("name", TORCHVISION)
def test_published_numbers(name):
    assert_published_numbers(name)


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small", *(pytest.param(n, marks=pytest.mark.slow) for n in TORCHVISION[:2])],
)
def test_equals_torchvision(name):
    ours = getattr(cnnlib.models, name)(dropout=0.0)
    theirs = getattr(torchvision.models, name)(dropout=0.0)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs, 96)


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.4])
def test_width_multiplier_of_v2_equals_torchvision(width):
    ours = on_meta(mobilenet_v2, width_multiplier=width).state_dict()
    theirs = on_meta(torchvision.models.mobilenet_v2, width_mult=width).state_dict()
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION[1:])
@pytest.mark.parametrize("width", [0.5, 0.75, 1.25])
def test_width_multiplier_of_v3_equals_torchvision(name, width):
    configuration = torchvision.models.mobilenetv3._mobilenet_v3_conf(name, width_mult=width)
    theirs = on_meta(torchvision.models.MobileNetV3, *configuration).state_dict()
    ours = on_meta(getattr(cnnlib.models, name), width_multiplier=width).state_dict()
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]


def test_table_2_of_v2():
    shapes = output_shapes(on_meta(mobilenet_v2), 224)
    table = [(32, 112, 1), (16, 112, 1), (24, 56, 2), (32, 28, 3), (64, 14, 4), (96, 14, 3)]
    table += [(160, 7, 3), (320, 7, 1), (1280, 7, 1)]
    expected = [(c, size, size) for c, size, n in table for _ in range(n)]
    assert [shapes[f"features.{i}"][0] for i in range(19)] == expected


def test_shortcuts_of_v2():
    blocks = [m for m in on_meta(mobilenet_v2).modules() if isinstance(m, InvertedResidual)]
    assert len(blocks) == 17
    assert sum(block.has_shortcut for block in blocks) == 10
    # The bottleneck is linear: nothing follows the last normalisation.
    assert all(isinstance(list(block.modules())[-1], nn.BatchNorm2d) for block in blocks)


@pytest.mark.parametrize(
    ("build", "first", "table", "last"),
    [
        (
            mobilenet_v3_large,
            (16, 112),
            [(16, 112), *[(24, 56)] * 2, *[(40, 28)] * 3, *[(80, 14)] * 4, *[(112, 14)] * 2]
            + [(160, 7)] * 3,
            (960, 7),
        ),
        (
            mobilenet_v3_small,
            (16, 112),
            [(16, 56), *[(24, 28)] * 2, *[(40, 14)] * 3, *[(48, 14)] * 2, *[(96, 7)] * 3],
            (576, 7),
        ),
    ],
)
def test_tables_1_and_2_of_v3(build, first, table, last):
    shapes = output_shapes(on_meta(build), 224)
    got = [shapes["conv1"], *(shapes[f"blocks.{i}"] for i in range(len(table)))]
    got.append(shapes["last_conv"])
    assert got == [[(c, size, size)] for c, size in [first, *table, last]]
    assert f"blocks.{len(table)}" not in shapes


def test_squeeze_has_a_quarter_of_the_expansion_rounded_to_8():
    """The wide map keeps its channels; only the inner layer of the gate is narrow."""
    gates = [m for m in on_meta(mobilenet_v3_large).modules() if isinstance(m, SqueezeExcitation)]
    widths = [(gate.fc1.in_channels, gate.fc1.out_channels) for gate in gates]
    assert (
        widths
        == [(72, 24), (120, 32), (120, 32), (480, 120), (672, 168), (672, 168)] + [(960, 240)] * 2
    )
    assert all(gate.fc2.out_channels == gate.fc1.in_channels for gate in gates)
    assert all(isinstance(gate.gate, nn.Hardsigmoid) for gate in gates)


def test_squeeze_excitation_equals_the_definition():
    torch.manual_seed(0)
    block = SqueezeExcitation(6, 3).double()
    x = images(2, 6, (4, 5)).double()
    w1, b1, w2, b2 = (p.detach().flatten(1) if p.ndim > 1 else p for p in block.parameters())
    z = x.mean((2, 3))
    s = torch.sigmoid((z @ w1.T + b1).relu() @ w2.T + b2)
    torch.testing.assert_close(block(x), x * s[:, :, None, None])


def test_h_swish_and_hard_sigmoid_equal_the_paper():
    """Section 5.2; and h-swish stays within 0.143 of swish."""
    x = torch.linspace(-8, 8, 3201, dtype=torch.float64)
    hard_sigmoid = F.relu6(x + 3) / 6
    torch.testing.assert_close(nn.Hardsigmoid()(x), hard_sigmoid)
    torch.testing.assert_close(nn.Hardswish()(x), x * hard_sigmoid)
    difference = (nn.Hardswish()(x) - x * torch.sigmoid(x)).abs().max().item()
    assert difference == pytest.approx(0.142, abs=5e-4)


def test_redesign_of_the_tail():
    """Figure 5: about 30 M multiply-adds less; the 1×1 to 1280 works on 1 pixel, not on 49."""
    new = on_meta(mobilenet_v3_large)
    old = on_meta(mobilenet_v3_large, variant="original_tail")
    # By hand: both expand 160 to 960 at 7×7.
    old_tail = 49 * (160 * 960 + 9 * 960 + 960 * 320 + 320 * 1280)
    new_tail = 49 * 160 * 960 + 960 * 1280
    saved = macs(old) - macs(new)
    assert saved == old_tail - new_tail
    assert 28e6 < saved < 36e6
    shapes = output_shapes(old, 224)
    assert shapes["last_conv.0"] == [(320, 7, 7)]
    assert shapes["last_conv"] == [(1280, 7, 7)]
    assert shapes["fc1"] == [(1280,)]
    assert output_shapes(new, 224)["last_conv"] == [(960, 7, 7)]


def test_original_tail_is_made_of_the_figures_layers():
    tail = on_meta(mobilenet_v3_large, variant="original_tail").last_conv
    layers = [m for m in tail.modules() if not list(m.children())]
    kinds = [type(m).__name__ for m in layers]
    conv_bn_hs = ["Conv2d", "BatchNorm2d", "Hardswish"]
    assert kinds == conv_bn_hs + conv_bn_hs + ["Conv2d", "BatchNorm2d"] + conv_bn_hs
    kernels = [m.kernel_size[0] for m in layers if isinstance(m, nn.Conv2d)]
    assert kernels == [1, 3, 1, 1]


def test_splitting_the_wide_map_changes_nothing():
    """Section 5.1 of v2: the wide map can be computed in t parts, so that it is never whole."""
    torch.manual_seed(0)
    block = InvertedResidual(4, 6, 1, expansion=6)
    randomize_norms(block)
    block = block.double().eval()
    x = images(2, 4, 7).double()
    expand, depthwise, project = block.conv
    wide = 24
    total = 0
    for part in torch.arange(wide).chunk(3):
        h = F.conv2d(x, expand.conv.weight[part])
        h = bn_of(expand.norm, h, part).clamp(0, 6)
        h = F.conv2d(h, depthwise.conv.weight[part], padding=1, groups=len(part))
        h = bn_of(depthwise.norm, h, part).clamp(0, 6)
        total = total + F.conv2d(h, project.conv.weight[:, part])
    torch.testing.assert_close(project.norm(total), block(x))


def bn_of(bn, x, part):
    return F.batch_norm(
        x, bn.running_mean[part], bn.running_var[part], bn.weight[part], bn.bias[part], eps=bn.eps
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_published_weights_fit(name):
    """Names pair up in order; every pair has one shape."""
    ours = on_meta(getattr(cnnlib.models, name))
    theirs = on_meta(getattr(torchvision.models, name)).state_dict()
    pairs = _weights.paired_names(ours, name)
    state = ours.state_dict()
    assert sorted(pairs.values()) == sorted(theirs)
    for our_name, their_name in pairs.items():
        assert state[our_name].shape == theirs[their_name].shape


@pytest.mark.slow
def test_mobilenet_v3_small_in_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported file")
    torch.manual_seed(0)
    model = mobilenet_v3_small()
    randomize_norms(model)
    model.eval()
    x = images(1, size=64)
    path = tmp_path / "mobilenet_v3_small.onnx"
    torch.onnx.export(model, (x,), path, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = model(x).detach().numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@behaviour(
    Case("mobilenet_v1", {"width_multiplier": 0.25}),
    Case("mobilenet_v3_small"),
    slow=(
        Case("mobilenet_v1", {"variant": "full", "width_multiplier": 0.25}),
        Case("mobilenet_v1", {"variant": "shallow", "width_multiplier": 0.5}),
        Case("mobilenet_v2"),
        Case("mobilenet_v3_large"),
        Case("mobilenet_v3_large", {"variant": "original_tail", "width_multiplier": 0.5}),
    ),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(
        mobilenet_v1, variant="depthwise", width_multiplier=0, dropout=1.0
    )
    for build in (mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small):
        assert_bad_arguments_rejected(
            build, width_multiplier=-1, dropout=1.0, weights="imagenet21k"
        )
        assert_rejected(build, "num_classes=1000", num_classes=10, weights="imagenet")
        assert_rejected(
            build, "width_multiplier=1.0 only; got 0.5", width_multiplier=0.5, weights="imagenet"
        )
    assert_bad_arguments_rejected(MobileNetV3, size="medium")
    assert_rejected(
        mobilenet_v3_large, "'redesigned_tail', 'original_tail'; got 'new'", variant="new"
    )
    assert_rejected(
        partial(MobileNetV3, size="small"),
        "variant of the small network must be one of 'redesigned_tail'; got 'original_tail'",
        variant="original_tail",
    )
    assert_rejected(
        mobilenet_v3_large,
        "for variant='redesigned_tail' only",
        variant="original_tail",
        weights="imagenet",
    )


def test_block_of_v3_has_a_shortcut_only_between_equal_shapes():
    blocks = [m for m in on_meta(mobilenet_v3_large).modules() if isinstance(m, InvertedResidualSE)]
    assert len(blocks) == 15
    assert [i for i, block in enumerate(blocks) if block.has_shortcut] == [
        0, 2, 4, 5, 7, 8, 9, 11, 13, 14
    ]  # fmt: skip
