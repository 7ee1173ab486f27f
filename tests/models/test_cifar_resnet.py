import pytest
import torch
from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    assert_rejected,
    behaviour,
    count,
    images,
    on_meta,
    output_shapes,
)
from torch import nn

import cnnlib.models
from cnnlib.arithmetic import batch_norm_parameters, conv_parameters, linear_parameters
from cnnlib.models import CifarResNet, cifar_plain20, cifar_resnet20


@pytest.mark.parametrize(
    ("depth", "millions"),
    [
        (20, 0.27),
        (32, 0.46),
        (44, 0.66),
        (56, 0.85),
        pytest.param(110, 1.7, marks=pytest.mark.slow),
        pytest.param(1202, 19.4, marks=pytest.mark.slow),
    ],
)
def test_table_6_of_the_paper(depth, millions):
    digits = 2 if depth < 100 else 1
    assert round(count(on_meta(CifarResNet, depth)) / 1e6, digits) == millions


@pytest.mark.parametrize("depth", [20, 56])
def test_parameters_layer_by_layer(depth):
    n = (depth - 2) // 6

    def layer(i, o):
        return conv_parameters(i, o, 3, bias=False) + batch_norm_parameters(o)

    expected = layer(3, 16) + 2 * n * layer(16, 16) + linear_parameters(64, 10)
    for width in (32, 64):
        expected += layer(width // 2, width) + (2 * n - 1) * layer(width, width)
    assert count(on_meta(CifarResNet, depth)) == expected


def test_shapes():
    shapes = output_shapes(on_meta(cifar_resnet20), 32)
    assert shapes["stem"] == shapes["stage1"] == [(16, 32, 32)]
    assert shapes["stage2"] == [(32, 16, 16)]
    assert shapes["stage3"] == [(64, 8, 8)]


@pytest.mark.parametrize(
    "depth", [20, 32, *(pytest.param(d, marks=pytest.mark.slow) for d in (44, 56, 110))]
)
def test_depth_counts_the_layers_with_weights(depth):
    for kind in ("resnet", "plain"):
        model = on_meta(getattr(cnnlib.models, f"cifar_{kind}{depth}"))
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert len(layers) == depth


def test_plain_and_residual_twins_differ_by_the_addition_only():
    torch.manual_seed(0)
    residual, plain = cifar_resnet20().eval(), cifar_plain20().eval()
    plain.load_state_dict(residual.state_dict())
    x = images(2, 3, 32)
    assert not torch.allclose(residual(x), plain(x))
    # Without the residual part a plain block outputs 0, a residual one its input.
    for model in (residual, plain):
        nn.init.zeros_(model.stage1[0].conv2.norm.weight)
    y = images(2, 16, 8).relu()
    assert torch.equal(residual.stage1[0](y), y)
    assert (plain.stage1[0](y) == 0).all()


@behaviour(
    Case("cifar_resnet20", size=32, odd_size=(33, 27)),
    slow=(
        Case("cifar_plain20", size=32, odd_size=(33, 27)),
        Case("cifar_resnet20", {"shortcut": "B"}, size=32, odd_size=(33, 27)),
        Case("cifar_resnet20", {"shortcut": "C"}, size=32, odd_size=(33, 27)),
    ),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(cifar_resnet20, shortcut="E")
    assert_rejected(CifarResNet, r"depth must be 6n \+ 2 .*; got 21", depth=21)
    assert_rejected(CifarResNet, "depth must be", depth=2)
