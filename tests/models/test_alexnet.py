import pytest
import torch
from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    assert_published_numbers,
    assert_same_gradients,
    assert_same_outputs,
    behaviour,
    count,
    narrowed,
    on_meta,
    output_shapes,
    twins,
)
from torchvision.models import alexnet as alexnet_of_torchvision

from cnnlib.blocks import LocalResponseNorm
from cnnlib.models import AlexNet, alexnet


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [("original", 60_965_224), ("ungrouped", 62_378_344), ("torchvision", 61_100_840)],
)
def test_parameters(variant, parameters):
    assert count(on_meta(alexnet, variant=variant)) == parameters


def test_fully_connected_layers_hold_96_percent_of_the_parameters():
    model = on_meta(alexnet)
    linear = count(model.fc6) + count(model.fc7) + count(model.fc8)
    assert linear == 58_631_144
    assert round(100 * linear / count(model)) == 96


def test_published_numbers():
    assert_published_numbers("alexnet", variant="torchvision")


def test_shapes_are_those_of_the_paper():
    shapes = output_shapes(on_meta(alexnet), 227)
    assert shapes["conv1"] == [(96, 55, 55)]
    assert shapes["conv2"] == [(256, 27, 27)]
    assert shapes["conv3"] == shapes["conv4"] == [(384, 13, 13)]
    assert shapes["conv5"] == [(256, 13, 13)]
    assert shapes["pool"] == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]
    assert output_shapes(on_meta(alexnet, variant="torchvision"), 224)["conv1"] == [(64, 55, 55)]


def test_towers_meet_only_in_conv3():
    model = on_meta(alexnet)
    seen = {name: getattr(model, name).weight.shape[1] for name in ("conv2", "conv3", "conv4")}
    assert seen == {"conv2": 48, "conv3": 256, "conv4": 192}
    assert model.conv5.weight.shape[1] == 192


def test_local_response_norm_is_the_printed_formula():
    # b_i = a_i / (k + alpha * sum of a_j^2 for j = i - n/2 ... i + n/2) ** beta, without alpha / n
    n, k, alpha, beta = 5, 2.0, 1e-2, 0.75  # a larger alpha than the paper's, so that it matters
    a = torch.randn(2, 7, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(a)
    for i in range(7):
        neighbours = a[:, max(0, i - n // 2) : i + n // 2 + 1]
        expected[:, i] = a[:, i] / (k + alpha * (neighbours**2).sum(1)) ** beta
    got = LocalResponseNorm(n=n, k=k, alpha=alpha, beta=beta)(a)
    torch.testing.assert_close(got, expected)


def test_norm_has_the_constants_of_the_paper():
    norm = on_meta(alexnet).norm
    assert (norm.size, norm.k, norm.alpha / norm.size, norm.beta) == (5, 2, 1e-4, 0.75)


@pytest.mark.slow
def test_initialisation_is_the_papers():
    torch.manual_seed(0)
    model = alexnet()
    for name, layer in model.named_modules():
        if hasattr(layer, "weight"):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
            active = name in {"conv2", "conv4", "conv5", "fc6", "fc7"}
            assert (layer.bias == (1 if active else 0)).all(), name


def test_equals_torchvision():
    options = {"num_classes": 10, "dropout": 0.0}
    with narrowed(8):
        ours, theirs = alexnet(variant="torchvision", **options), alexnet_of_torchvision(**options)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs, 224)
    assert_same_gradients(ours, theirs, 96)


@behaviour(
    Case("alexnet", size=96, narrow=8),
    slow=(
        Case("alexnet", {"variant": "ungrouped"}, size=96, narrow=8),
        Case("alexnet", {"variant": "torchvision"}, size=96, narrow=8),
    ),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(AlexNet, variant="2012", dropout=1)
    with pytest.raises(ValueError, match="'original', 'ungrouped', 'torchvision'"):
        on_meta(AlexNet, variant="2012")
    assert_bad_arguments_rejected(alexnet, weights="coco")
    with pytest.raises(ValueError, match="variant='torchvision' only"):
        on_meta(alexnet, weights="imagenet")
