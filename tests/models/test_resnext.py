import pytest
import torch
import torchvision
from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    assert_published_numbers,
    assert_same_gradients,
    assert_same_outputs,
    behaviour,
    count,
    images,
    narrowed,
    on_meta,
    twins,
)
from torch import nn
from torch.nn import functional as F

import cnnlib.models
from cnnlib.models import resnext50_32x4d, resnext101_32x4d
from cnnlib.models.resnet import Bottleneck
from cnnlib.models.resnext import NETWORKS

PUBLISHED = [name for name in NETWORKS if name != "resnext101_32x4d"]


@pytest.mark.parametrize(
    "name", [PUBLISHED[0], *(pytest.param(n, marks=pytest.mark.slow) for n in PUBLISHED[1:])]
)
def test_published_numbers(name):
    assert_published_numbers(name)


def test_resnext101_32x4d_has_the_papers_parameters():
    # Table 7 of the ResNeXt paper: 44.2 million ("25.0" for ResNeXt-50 in table 1)
    assert count(on_meta(resnext101_32x4d)) == 44_177_704
    assert round(count(on_meta(resnext50_32x4d)) / 1e6, 1) == 25.0


def test_weights_of_a_block_hardly_change():
    # The table of the module docstring; ResNeXt paper, section 3.3
    for (groups, width), weights in {(1, 64): 69_632, (32, 4): 70_144, (1, 128): 212_992}.items():
        block = on_meta(Bottleneck, 256, 64, groups=groups, width_per_group=width)
        assert sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d)) == weights
    assert 32 * (256 * 4 + 9 * 4 * 4 + 4 * 256) == 70_144


def test_grouped_convolution_equals_parallel_paths_added_up():
    torch.manual_seed(0)
    groups, d = 8, 4
    block = Bottleneck(64, 16, groups=groups, width_per_group=4 * d).double().eval()
    d = block.conv1.conv.out_channels // groups  # channels of a path
    x = images(2, 64, 7).double()

    def bn(x, norm, channels):
        return F.batch_norm(
            x,
            norm.running_mean[channels],
            norm.running_var[channels],
            norm.weight[channels],
            norm.bias[channels],
        )

    total = 0
    for path in range(groups):
        own = slice(path * d, (path + 1) * d)
        y = bn(F.conv2d(x, block.conv1.conv.weight[own]), block.conv1.norm, own).relu()
        y = F.conv2d(y, block.conv2.conv.weight[own], padding=1)
        y = bn(y, block.conv2.norm, own).relu()
        total = total + F.conv2d(y, block.conv3.conv.weight[:, own])
    expected = (bn(total, block.conv3.norm, slice(None)) + x).relu()
    torch.testing.assert_close(block(x), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_equals_torchvision(name):
    with narrowed(4):  # 64 groups still have a channel each
        ours = getattr(cnnlib.models, name)(num_classes=10)
        theirs = getattr(torchvision.models, name)(num_classes=10)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs)


def test_block_equals_torchvision():
    down = nn.Sequential(nn.Conv2d(16, 128, 1, bias=False), nn.BatchNorm2d(128))
    theirs = torchvision.models.resnet.Bottleneck(16, 32, 1, down, groups=8, base_width=16)
    ours, theirs = twins(Bottleneck(16, 32, groups=8, width_per_group=16), theirs)
    x = images(2, 16, 9).double()
    torch.testing.assert_close(ours.train()(x), theirs.train()(x))


@behaviour(
    Case("wide_resnet50_2", narrow=8),
    slow=(Case("ResNet", {"depth": 50, "groups": 8, "width_per_group": 8}, narrow=8),),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(resnext50_32x4d, shortcut="residual", weights="imagenet_v2")
    with pytest.raises(ValueError, match="weights must be one of None"):
        resnext101_32x4d(weights="imagenet")
