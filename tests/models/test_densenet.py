import pytest
import torch
import torchvision
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
    narrowed,
    on_meta,
    output_shapes,
    twins,
)
from torch import nn

import cnnlib.models
from cnnlib.models import DenseNet, densenet121
from cnnlib.models.densenet import BLOCKS, DenseBlock, Transition

NAMES = [f"densenet{depth}" for depth in BLOCKS]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "densenet121" else pytest.mark.slow) for n in NAMES]
)
def test_published_numbers(name):
    assert_published_numbers(name)


@pytest.mark.parametrize(
    "depth", [pytest.param(d, marks=[] if d == 121 else pytest.mark.slow) for d in BLOCKS]
)
def test_depth_counts_the_layers_with_weights(depth):
    model = on_meta(getattr(cnnlib.models, f"densenet{depth}"))
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_table_1_of_the_paper():
    shapes = output_shapes(on_meta(densenet121), 224)
    assert shapes["stem"] == [(64, 56, 56)]
    # Dense blocks at even, transitions at odd places
    assert [shapes[f"features.{i}"][0] for i in range(7)] == [
        (256, 56, 56),
        (128, 28, 28),
        (512, 28, 28),
        (256, 14, 14),
        (1024, 14, 14),
        (512, 7, 7),
        (1024, 7, 7),
    ]


def test_a_layer_sees_everything_before_it():
    torch.manual_seed(0)
    block = DenseBlock(3, 4, growth_rate=2, dropout=0.0).eval()
    x = images(2, 4, 5)
    y = block(x)
    assert y.shape == (2, 4 + 3 * 2, 5, 5)
    assert torch.equal(y[:, :4], x)
    for i, layer in enumerate(block.layers):
        seen = y[:, : 4 + 2 * i]
        torch.testing.assert_close(y[:, 4 + 2 * i : 6 + 2 * i], layer(seen))


def test_connections_of_a_block():
    # Each of L layers reads the input and all layers before it: L (L + 1) / 2 connections.
    layers, k, k0 = 12, 32, 64
    block = on_meta(DenseBlock, layers, k0, k, 0.0)
    read = [layer.bottleneck.conv.in_channels for layer in block.layers]
    connections = sum(1 + (channels - k0) // k for channels in read)
    assert connections == layers * (layers + 1) // 2 == 78


@pytest.mark.slow
def test_compression():
    model = on_meta(densenet121, compression=1.0)
    kept = [m[0].conv.out_channels for m in model.features if isinstance(m, Transition)]
    assert kept == [256, 640, 1408]
    half = [
        m[0].conv.out_channels for m in on_meta(densenet121).features if isinstance(m, Transition)
    ]
    assert half == [128, 256, 512]
    assert count(model) > count(on_meta(densenet121))


def test_dropout_reaches_the_new_maps_only():
    torch.manual_seed(0)
    block = DenseBlock(1, 4, growth_rate=50, dropout=0.5).train()
    x = images(4, 4, 8)
    y = block(x)
    assert torch.equal(y[:, :4], x)
    assert (y[:, 4:] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "densenet121" else pytest.mark.slow) for n in NAMES]
)
def test_equals_torchvision(name):
    with narrowed(8):
        ours = getattr(cnnlib.models, name)(num_classes=10)
        theirs = getattr(torchvision.models, name)(num_classes=10)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs)


@behaviour(Case("densenet121", narrow=8), slow=(Case("densenet121", {"dropout": 0.2}, narrow=8),))
def test_behaviour(check, case):
    check(case)


def test_a_small_densenet_behaves():
    model = DenseNet((2, 3), growth_rate=4, num_classes=5, in_channels=1)
    assert model(images(2, 1, 33)).shape == (2, 5)


def test_bad_arguments():
    assert_bad_arguments_rejected(densenet121, compression=0, dropout=1, weights="")
    assert_rejected(DenseNet, "growth_rate must be", blocks=(2,), growth_rate=0)
    assert_rejected(DenseNet, "at least one dense block", blocks=())
    assert_rejected(DenseNet, "every number in blocks must be", blocks=(6, 0))
