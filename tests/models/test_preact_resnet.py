import pytest
import torch
from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    assert_rejected,
    behaviour,
    count,
    images,
    narrowed,
    on_meta,
    output_shapes,
    randomize_norms,
)
from torch import nn
from torch.nn import functional as F

from cnnlib.models import PreActResNet, preact_resnet18, preact_resnet50
from cnnlib.models.preact_resnet import PreActBasicUnit, PreActBottleneckUnit
from cnnlib.summary import summarize


@pytest.mark.parametrize(
    ("depth", "trainable_in_keras"),
    [
        (50, 25_568_360),
        pytest.param(101, 44_577_896, marks=pytest.mark.slow),
        pytest.param(152, 60_236_904, marks=pytest.mark.slow),
    ],
)
def test_parameters_against_keras(depth, trainable_in_keras):
    # Keras' ResNet50V2, 101V2 and 152V2 have the same layers, but also a bias in the stem, in each
    # projection and in the last convolution of each unit.
    units = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    widths = (256, 512, 1024, 2048)
    biases = 64 + sum(widths) + sum(n * w for n, w in zip(units, widths, strict=True))
    assert count(on_meta(PreActResNet, depth)) == trainable_in_keras - biases


def test_shapes():
    shapes = output_shapes(on_meta(preact_resnet50), 224)
    assert shapes["stem"] == [(64, 112, 112)]
    assert shapes["stage1"] == [(256, 56, 56)]
    assert shapes["stage2"] == [(512, 28, 28)]
    assert shapes["stage3"] == [(1024, 14, 14)]
    assert shapes["stage4"] == shapes["activation"] == [(2048, 7, 7)]


def test_same_cost_as_resnet_50():
    macs = summarize(on_meta(preact_resnet50), (3, 224, 224)).macs
    assert macs / 1e9 == pytest.approx(4.089, abs=0.0005)  # torchvision's resnet50


def test_against_a_plain_function():
    """The whole of PreAct-ResNet-18, written once more with functions on the same parameters."""
    torch.manual_seed(0)
    with narrowed(8):
        model = preact_resnet18(num_classes=10).double().eval()
    randomize_norms(model)
    state = iter(model.state_dict().values())
    weights = [value for value in state if value.dim() > 0]  # without num_batches_tracked
    take = iter(weights)

    def norm_relu(x):
        weight, bias, mean, var = (next(take) for _ in range(4))
        x = (x - mean.view(1, -1, 1, 1)) / (var.view(1, -1, 1, 1) + 1e-5).sqrt()
        return (x * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)).clamp(min=0)

    x = images(2, 3, 64).double()
    y = F.conv2d(x, next(take), stride=2, padding=3)
    y = F.max_pool2d(norm_relu(y), 3, 2, 1)
    for stage in range(4):
        for unit in range(2):
            changes = unit == 0 and stage > 0
            activated = y if (stage, unit) == (0, 0) else norm_relu(y)
            residual = F.conv2d(activated, next(take), stride=2 if changes else 1, padding=1)
            residual = F.conv2d(norm_relu(residual), next(take), padding=1)
            shortcut = F.conv2d(activated, next(take), stride=2) if changes else y
            y = shortcut + residual
    y = norm_relu(y).mean((2, 3))
    expected = F.linear(y, next(take), next(take))
    assert next(take, None) is None
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("unit", [PreActBasicUnit(16, 16), PreActBottleneckUnit(16, 16)])
def test_nothing_is_on_the_shortcut(unit):
    # With zero residual weights the unit hands negative values and gradients on untouched.
    last = [m for m in unit.modules() if isinstance(m, nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    x = images(2, 16, 5).requires_grad_()
    y = unit(x)
    assert torch.equal(y, x)
    g = images(2, 16, 5, seed=1)
    y.backward(g)
    assert torch.equal(x.grad, g)


def test_only_shape_changes_have_a_projection():
    model = on_meta(preact_resnet50)
    stages = (model.stage1, model.stage2, model.stage3, model.stage4)
    projections = [[unit.projection is not None for unit in stage] for stage in stages]
    assert projections == [[True] + [False] * (n - 1) for n in (3, 4, 6, 3)]
    assert isinstance(model.stage1[0].preactivation, nn.Identity)
    assert not isinstance(model.stage1[1].preactivation, nn.Identity)


@behaviour(Case("preact_resnet18", narrow=8), slow=(Case("preact_resnet50", narrow=8),))
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(preact_resnet18)
    assert_rejected(PreActResNet, "depth must be one of 18, 34, 50, 101, 152, 200", depth=1001)
