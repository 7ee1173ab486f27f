"""ShuffleNet v1 against plain loops and published numbers, v2 against torchvision."""

import hashlib

import numpy as np
import pytest
import torch
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

import cnnlib.models
from cnnlib.blocks import channel_shuffle
from cnnlib.models import ShuffleNetV1, ShuffleNetV2, _weights, shufflenet_v1
from cnnlib.models.shufflenet_v1 import ShuffleUnit
from cnnlib.models.shufflenet_v2 import ShuffleUnitV2
from cnnlib.summary import summarize

V2_NAMES = [f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")]

# ---------------------------------------------------------------------------------------------
# Channel shuffle


def test_channel_shuffle_of_the_figure():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


@settings(derandomize=True, deadline=None, max_examples=30)
@given(groups=st.integers(1, 6), per_group=st.integers(1, 6))
def test_channel_shuffle_equals_torch_and_is_undone(groups, per_group):
    x = images(2, groups * per_group, (3, 2))
    shuffled = channel_shuffle(x, groups)
    assert torch.equal(shuffled, nn.ChannelShuffle(groups)(x))
    assert torch.equal(channel_shuffle(shuffled, per_group), x)


def test_channel_shuffle_says_what_does_not_fit():
    with pytest.raises(ValueError, match="10 channels cannot be split into 3 equal groups"):
        channel_shuffle(torch.zeros(1, 10, 2, 2), 3)


# ---------------------------------------------------------------------------------------------
# v1

# groups, parameters (an independent implementation, osmr/imgclsmob), millions of MACs (table 1)
TABLE_1 = [
    (1, 1_531_936, 143),
    (2, 1_733_848, 140),
    (3, 1_865_728, 137),
    (4, 1_968_344, 133),
    (8, 2_434_768, 137),
]


@pytest.mark.parametrize(("groups", "parameters", "millions"), TABLE_1)
def test_published_numbers_of_v1(groups, parameters, millions):
    model = on_meta(shufflenet_v1, groups=groups)
    assert count(model) == parameters
    macs = summarize(model, (3, 224, 224)).macs - model.fc.weight.numel()
    assert round(macs / 1e6) == millions


@pytest.mark.slow
@pytest.mark.parametrize(
    # Table 5 and the authors' repository megvii-model/ShuffleNet-Series; MACs with the last layer
    ("width", "groups", "millions", "parameters"),
    [(0.5, 3, 38, 0.7), (2.0, 3, 524, 5.4), (2.0, 8, 522, 6.5), (0.5, 8, 40, 1.0)],
)
def test_published_numbers_of_v1_widths(width, groups, millions, parameters):
    model = on_meta(shufflenet_v1, groups=groups, width_multiplier=width)
    assert summarize(model, (3, 224, 224)).macs / 1e6 == pytest.approx(millions, abs=0.55)
    assert count(model) / 1e6 == pytest.approx(parameters, abs=0.051)


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "stage2"), [(1, 144), (2, 200), (3, 240), (4, 272), (8, 384)])
def test_sizes_of_v1(groups, stage2):
    shapes = output_shapes(on_meta(shufflenet_v1, groups=groups), 224)
    assert shapes["conv1"] == [(24, 112, 112)]
    assert shapes["pool"] == [(24, 56, 56)]
    for stage, units, channels, size in ((2, 4, 1, 28), (3, 8, 2, 14), (4, 4, 4, 7)):
        expected = [(stage2 * channels, size, size)]
        assert all(shapes[f"stage{stage}.{i}"] == expected for i in range(units))
        assert f"stage{stage}.{units}" not in shapes


def test_only_the_very_first_1x1_convolution_is_not_grouped():
    model = on_meta(shufflenet_v1, groups=4)
    groups = [unit.gconv1.conv.groups for unit in model.modules() if isinstance(unit, ShuffleUnit)]
    assert groups == [1] + [4] * 15


def plain_conv1x1(x, weight, groups):
    """Grouped 1×1 convolution of a (C, H, W) map by the definition."""
    c_out, per_group = weight.shape[:2]
    y = np.zeros((c_out, *x.shape[1:]))
    for o in range(c_out):
        first = (o // (c_out // groups)) * per_group
        for c in range(per_group):
            y[o] += weight[o, c, 0, 0] * x[first + c]
    return y


def plain_depthwise(x, weight, stride):
    channels, height, width = x.shape
    y = np.zeros((channels, (height - 1) // stride + 1, (width - 1) // stride + 1))
    for c, i, j in np.ndindex(*y.shape):
        for a in range(3):
            for b in range(3):
                row, column = i * stride + a - 1, j * stride + b - 1
                if 0 <= row < height and 0 <= column < width:
                    y[c, i, j] += weight[c, 0, a, b] * x[c, row, column]
    return y


def plain_norm(x, bn):
    mean, variance, gamma, beta = (
        t.detach().numpy()[:, None, None]
        for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
    )
    return (x - mean) / np.sqrt(variance + bn.eps) * gamma + beta


def plain_unit(x, unit, groups, first_groups, stride):
    """Figure 2 by loops, for one image (C, H, W)."""

    def weight(block):
        return block.conv.weight.detach().numpy()

    y = plain_norm(plain_conv1x1(x, weight(unit.gconv1), first_groups), unit.gconv1.norm)
    y = np.maximum(y, 0)
    n = len(y) // groups  # channels per group
    y = np.stack([y[(c % groups) * n + c // groups] for c in range(len(y))])
    y = plain_norm(plain_depthwise(y, weight(unit.dwconv), stride), unit.dwconv.norm)
    y = plain_norm(plain_conv1x1(y, weight(unit.gconv2), groups), unit.gconv2.norm)
    if stride == 1:
        return np.maximum(x + y, 0)
    mean_filter = np.full((len(x), 1, 3, 3), 1 / 9)
    return np.maximum(np.concatenate([plain_depthwise(x, mean_filter, 2), y]), 0)


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("stride", "first"), [(1, False), (2, False), (2, True)])
def test_unit_equals_plain_loops(groups, stride, first):
    torch.manual_seed(groups)
    out_channels = 8 * groups
    in_channels = out_channels if stride == 1 else 4 * groups
    first_groups = 1 if first else groups
    unit = ShuffleUnit(in_channels, out_channels, stride, groups, first_groups=first_groups)
    randomize_norms(unit)
    unit = unit.double().eval()
    x = images(2, in_channels, (5, 6)).double()
    expected = [plain_unit(image, unit, groups, first_groups, stride) for image in x.numpy()]
    torch.testing.assert_close(unit(x).detach().numpy(), np.stack(expected))


@pytest.mark.parametrize("shuffle", [True, False])
def test_without_shuffle_groups_never_meet(shuffle):
    torch.manual_seed(0)
    unit = ShuffleUnit(36, 36, 1, 3, shuffle=shuffle).double().eval()
    x = images(1, 36, 4).double().requires_grad_()
    y = channel_shuffle(unit.gconv1(x), unit.groups)  # 9 channels, 3 in each group
    unit.gconv2(unit.dwconv(y))[0, 0].sum().backward()
    groups_seen = x.grad.abs().sum((0, 2, 3)).reshape(3, 12).sum(1) > 0
    assert groups_seen.tolist() == ([True] * 3 if shuffle else [True, False, False])


def test_shuffle_option_reaches_every_unit():
    units = [m for m in on_meta(shufflenet_v1, shuffle=False).modules() if hasattr(m, "gconv1")]
    assert len(units) == 16
    assert all(unit.groups == 1 for unit in units)


# ---------------------------------------------------------------------------------------------
# v2


@pytest.mark.parametrize("name", V2_NAMES)
def test_published_numbers_of_v2(name):
    assert_published_numbers(name)


@pytest.mark.parametrize(
    "name", [V2_NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in V2_NAMES[1:])]
)
def test_v2_equals_torchvision(name):
    ours, theirs = twins(getattr(cnnlib.models, name)(), getattr(torchvision.models, name)())
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs, 96)


def test_sizes_of_v2():
    shapes = output_shapes(on_meta(cnnlib.models.shufflenet_v2_x1_0), 224)
    assert shapes["conv1"] == [(24, 112, 112)]
    assert shapes["pool"] == [(24, 56, 56)]
    assert shapes["stage2"] == [(116, 28, 28)]
    assert shapes["stage3"] == [(232, 14, 14)]
    assert shapes["stage4"] == [(464, 7, 7)]
    assert shapes["conv5"] == [(1024, 7, 7)]


def test_half_of_the_channels_pass_a_v2_unit_untouched():
    unit = ShuffleUnitV2(8, 8, 1).eval()
    x = images(1, 8, 5)
    assert torch.equal(unit(x)[:, ::2], x[:, :4])  # the shuffle puts them at the even places


@pytest.mark.slow
def test_published_weights_load_by_order(tmp_path, monkeypatch):
    """A file in torchvision's format, put where the download would put it."""
    theirs = torchvision.models.shufflenet_v2_x0_5()
    randomize_norms(theirs)
    folder = tmp_path / "weights"
    folder.mkdir()
    path = folder / "shufflenet_v2_x0_5-local.pth"
    torch.save(theirs.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = _weights.PublishedFile(f"https://example.invalid/{path.name}", digest[:8])
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path))
    monkeypatch.setattr(_weights, "published_file", lambda architecture: published)
    ours = cnnlib.models.shufflenet_v2_x0_5(weights="imagenet")
    x = images()
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@behaviour(
    Case("shufflenet_v1", {"groups": 8, "width_multiplier": 0.25}),
    Case("shufflenet_v2_x0_5"),
    slow=(
        Case("shufflenet_v1", {"groups": 1, "width_multiplier": 0.5}),
        Case("shufflenet_v1", {"groups": 3}),
        Case("shufflenet_v2_x1_0"),
    ),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(shufflenet_v1, groups=5, width_multiplier=0)
    assert_bad_arguments_rejected(ShuffleNetV1, width_multiplier=-1.0)
    assert_bad_arguments_rejected(ShuffleNetV2, width_multiplier=0.75)
    for name in V2_NAMES:
        assert_bad_arguments_rejected(getattr(cnnlib.models, name), weights="imagenet22k")
        assert_rejected(
            getattr(cnnlib.models, name), "num_classes=1000", num_classes=10, weights="imagenet"
        )
    for unit in (
        lambda **o: ShuffleUnit(8, 16, groups=2, **o),
        lambda **o: ShuffleUnitV2(8, 16, **o),
    ):
        assert_rejected(unit, "stride must be one of 1, 2; got 3", stride=3)
        assert_rejected(unit, "in_channels must equal out_channels; got 8 and 16", stride=1)
