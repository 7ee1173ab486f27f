from itertools import pairwise

import pytest
import torchvision
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
from torch import nn

import cnnlib.models
from cnnlib.models import VGG
from cnnlib.models.vgg import CONFIGURATIONS

NAMES = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "vgg16" else pytest.mark.slow) for n in NAMES]
)
def test_published_numbers(name):
    assert_published_numbers(name)


@pytest.mark.parametrize(
    ("configuration", "layers", "millions"),
    # Tables 1 and 2 of the paper
    [
        ("A", 11, 133),
        ("A-LRN", 11, 133),
        ("B", 13, 133),
        ("C", 16, 134),
        ("D", 16, 138),
        ("E", 19, 144),
    ],
)
def test_table_of_the_paper(configuration, layers, millions):
    model = on_meta(VGG, configuration)
    weights = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weights) == layers
    assert round(count(model) / 1e6) == millions
    norms = [m for m in model.modules() if isinstance(m, nn.LocalResponseNorm)]
    assert len(norms) == (1 if configuration == "A-LRN" else 0)


def test_only_3x3_stride_1_and_2x2_pooling():
    for module in on_meta(VGG, "D").modules():
        if isinstance(module, nn.Conv2d):
            assert (module.kernel_size, module.stride, module.padding) == ((3, 3), (1, 1), (1, 1))
        if isinstance(module, nn.MaxPool2d):
            assert (module.kernel_size, module.stride) == (2, 2)
    kernels = {m.kernel_size for m in on_meta(VGG, "C").modules() if isinstance(m, nn.Conv2d)}
    assert kernels == {(3, 3), (1, 1)}


def test_maps_after_each_stage():
    shapes = output_shapes(on_meta(VGG, "D"), 224)
    pooled = [s for n, (s,) in shapes.items() if n.startswith("features.") and n.count(".") == 1]
    halved = [b for a, b in pairwise(pooled) if b[1] < a[1]]
    assert halved == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in ("vgg11_bn", "vgg16") else pytest.mark.slow) for n in NAMES],
)
def test_equals_torchvision(name):
    options = {"num_classes": 10, "dropout": 0.0}
    with narrowed(8):
        ours = getattr(cnnlib.models, name)(**options)
        theirs = getattr(torchvision.models, name)(**options)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_whole_network_pairs_with_torchvisions(name):
    ours = on_meta(getattr(cnnlib.models, name)).state_dict()
    theirs = on_meta(getattr(torchvision.models, name)).state_dict()
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]


@behaviour(Case("vgg11", narrow=8), Case("vgg11_bn", narrow=8))
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(cnnlib.models.vgg16, dropout=1.0, weights="imagenet1k")
    with pytest.raises(ValueError, match="'A', 'A-LRN', 'B', 'C', 'D', 'E'"):
        VGG("F")
    assert list(CONFIGURATIONS) == ["A", "A-LRN", "B", "C", "D", "E"]
    with pytest.raises(ValueError, match="num_classes=1000"):
        cnnlib.models.vgg16(num_classes=10, weights="imagenet")
