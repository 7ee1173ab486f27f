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
from cnnlib.models import ResNet, resnet18, resnet34, resnet50
from cnnlib.models.resnet import DEPTHS, BasicBlock, Bottleneck, make_shortcut
from cnnlib.summary import summarize

NAMES = [f"resnet{depth}" for depth in DEPTHS]
SLOW = pytest.mark.slow


@pytest.mark.parametrize("name", [*NAMES[:3], *(pytest.param(n, marks=SLOW) for n in NAMES[3:])])
def test_published_numbers(name):
    assert_published_numbers(name)


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_counts_the_layers_with_weights(depth):
    model = on_meta(ResNet, depth, shortcut="none")  # projections are not counted
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_every_convolution_is_followed_by_a_normalisation():
    model = on_meta(resnet50)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == 53
    assert [c.out_channels for c in convolutions] == [n.num_features for n in norms]
    assert all(c.bias is None for c in convolutions)
    assert not any(isinstance(m, nn.Dropout) for m in model.modules())


@pytest.mark.parametrize(
    ("depth", "expansion"),
    [(18, 1), (50, 4), *(pytest.param(d, e, marks=SLOW) for d, e in ((34, 1), (101, 4), (152, 4)))],
)
def test_table_1_of_the_paper(depth, expansion):
    shapes = output_shapes(on_meta(ResNet, depth), 224)
    assert shapes["stem"] == [(64, 112, 112)]
    assert shapes["pool"] == [(64, 56, 56)]
    assert shapes["stage1"] == [(64 * expansion, 56, 56)]
    assert shapes["stage2"] == [(128 * expansion, 28, 28)]
    assert shapes["stage3"] == [(256 * expansion, 14, 14)]
    assert shapes["stage4"] == [(512 * expansion, 7, 7)]


@pytest.mark.parametrize(
    ("depth", "billions"),
    [
        (18, 1.8),
        (34, 3.6),
        (50, 3.8),
        pytest.param(101, 7.6, marks=SLOW),
        pytest.param(152, 11.3, marks=SLOW),
    ],
)
def test_original_variant_costs_what_the_paper_prints(depth, billions):
    # The last row of table 1 says FLOPs and means multiply-adds. Rounded down for 34 and 50.
    model = on_meta(ResNet, depth, variant="original")
    macs = summarize(model, (3, 224, 224)).macs / 1e9
    assert macs == pytest.approx(billions, abs=0.07)
    assert count(model) == count(on_meta(ResNet, depth))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in ("resnet18", "resnet50") else SLOW) for n in NAMES],
)
def test_equals_torchvision(name):
    with narrowed(8):
        ours = getattr(cnnlib.models, name)(num_classes=10)
        theirs = getattr(torchvision.models, name)(num_classes=10)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs)


def test_bottleneck_equals_torchvision():
    down = nn.Sequential(nn.Conv2d(16, 32, 1, 2, bias=False), nn.BatchNorm2d(32))
    theirs = torchvision.models.resnet.Bottleneck(16, 8, 2, down)
    ours, theirs = twins(Bottleneck(16, 8, 2), theirs)
    x = images(2, 16, 9).double()
    torch.testing.assert_close(ours.train()(x), theirs.train()(x))


@pytest.mark.parametrize("block", [BasicBlock(8, 8), Bottleneck(32, 8)])
def test_a_block_with_zero_residual_is_the_identity(block):
    last = block.conv2 if isinstance(block, BasicBlock) else block.conv3
    nn.init.zeros_(last.norm.weight)
    x = images(2, 8 if isinstance(block, BasicBlock) else 32, 6).relu()
    assert torch.equal(block(x), x)


def test_shortcut_a_takes_every_second_pixel_and_pads_with_zero_maps():
    shortcut = make_shortcut("A", 3, 5, 2)
    x = images(2, 3, (5, 4))
    y = shortcut(x)
    assert y.shape == (2, 5, 3, 2)
    assert torch.equal(y[:, :3], x[:, :, [0, 2, 4]][:, :, :, [0, 2]])
    assert (y[:, 3:] == 0).all()
    assert count(shortcut) == 0


def test_shortcut_kinds():
    assert isinstance(make_shortcut("A", 8, 8, 1), nn.Identity)
    assert isinstance(make_shortcut("B", 8, 8, 1), nn.Identity)
    # B and C project by a 1×1 convolution, which may have the stride, and normalise.
    for kind, out_channels, stride in (("B", 16, 1), ("B", 8, 2), ("C", 8, 1)):
        shortcut = make_shortcut(kind, 8, out_channels, stride)
        assert count(shortcut) == 8 * out_channels + 2 * out_channels
        assert shortcut(images(2, 8, 6)).shape == (2, out_channels, 6 // stride, 6 // stride)
        assert (shortcut(images(2, 8, 6)) < 0).any(), "no activation on the shortcut"
    assert make_shortcut("none", 8, 16, 2) is None


def test_parameters_of_the_shortcut_kinds():
    a, b, c, plain = (count(on_meta(resnet34, shortcut=kind)) for kind in ("A", "B", "C", "none"))
    assert a == plain  # A adds no parameters
    widths = ((64, 128), (128, 256), (256, 512))
    assert b - a == sum(i * o + 2 * o for i, o in widths)
    # C: a projection in every other block as well, 3 + 3 + 5 + 2 of them
    blocks = ((64, 3), (128, 3), (256, 5), (512, 2))
    assert c - b == sum(n * (w * w + 2 * w) for w, n in blocks)


def test_stride_of_the_variants():
    for variant, strides in (("torchvision", (1, 2, 1)), ("original", (2, 1, 1))):
        block = on_meta(resnet50, variant=variant).stage2[0]
        got = [conv.conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)]
        assert tuple(got) == strides


def test_initialisation_is_he():
    torch.manual_seed(0)
    model = resnet18(num_classes=10)
    weight = model.stage1[0].conv1.conv.weight  # 64 filters of 3×3×64
    assert weight.std().item() == pytest.approx((2 / (3 * 3 * 64)) ** 0.5, rel=0.02)


@behaviour(
    Case("resnet18", narrow=8),
    Case("resnet50", {"variant": "original"}, narrow=8),
    slow=(
        Case("resnet18", {"shortcut": "C"}, narrow=8),
        Case("resnet18", {"shortcut": "none"}, narrow=8),
    ),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(resnet18, shortcut="D", variant="v1.5", weights="imagenet22k")
    assert_rejected(ResNet, "depth must be one of 18, 34, 50, 101, 152; got 20", depth=20)
    assert_rejected(resnet50, "groups must be", groups=0)
    assert_rejected(resnet50, "width_per_group must be", width_per_group=2.5)
    assert_rejected(resnet18, "need a bottleneck: depth 50, 101 or 152", groups=2)
    assert_rejected(resnet50, "variant='torchvision' only", variant="original", weights="imagenet")


@pytest.mark.slow
def test_compiles_with_inductor():
    torch.compiler.reset()
    torch.manual_seed(0)
    model = cnnlib.models.cifar_resnet20().eval()
    x = images(2, 3, 32)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model)(x), model(x), rtol=1e-4, atol=1e-4)
    torch.compiler.reset()
