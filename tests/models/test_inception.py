import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
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
    output_shapes,
    twins,
)
from torch import nn

from cnnlib.losses import LabelSmoothingLoss
from cnnlib.models import InceptionV3, inception_v3
from cnnlib.models.inception import (
    AsymmetricModule,
    ExpandedModule,
    FactorizedModule,
    GridReductionA,
    GridReductionB,
    InceptionOutputs,
)


def test_parameters():
    assert count(on_meta(inception_v3)) == 27_161_264
    assert count(on_meta(inception_v3, aux_heads=False)) == 23_834_568


def test_published_numbers():
    assert_published_numbers("inception_v3", 299)


def test_shapes_at_299():
    shapes = output_shapes(on_meta(inception_v3), 299)
    assert [shapes[f"stem.{i}"][0] for i in range(7)] == [
        (32, 149, 149),
        (32, 147, 147),
        (64, 147, 147),
        (64, 73, 73),
        (80, 73, 73),
        (192, 71, 71),
        (192, 35, 35),
    ]
    assert shapes["factorized.0"] == [(256, 35, 35)]
    assert shapes["factorized"] == [(288, 35, 35)]
    assert shapes["reduction_a"] == shapes["asymmetric"] == [(768, 17, 17)]
    assert shapes["reduction_b"] == [(1280, 8, 8)]
    assert shapes["expanded"] == [(2048, 8, 8)]


@pytest.mark.parametrize(
    ("module", "side", "out"),
    [
        ((FactorizedModule, 192, 32), 35, (256, 35)),
        ((AsymmetricModule, 768, 128), 17, (768, 17)),
        ((AsymmetricModule, 768, 128, 3), 12, (768, 12)),
        ((ExpandedModule, 1280), 8, (2048, 8)),
        ((GridReductionA, 288), 35, (768, 17)),
        ((GridReductionB, 768), 17, (1280, 8)),
    ],
)
def test_modules_keep_or_halve_the_map(module, side, out):
    block = on_meta(*module)
    with torch.device("meta"):
        y = block(torch.empty(2, module[1], side, side))
    assert y.shape == (2, out[0], out[1], out[1])


def test_factorising_saves_what_the_paper_says():
    def weights(*kernels, channels=8):
        return sum(nn.Conv2d(channels, channels, k, bias=False).weight.numel() for k in kernels)

    # 28 %, 33 % and 71 % fewer, in the kernels that the modules use
    assert weights(3, 3) / weights(5) == pytest.approx(0.72)
    assert weights((1, 3), (3, 1)) / weights(3) == pytest.approx(2 / 3)
    kernels = [
        m.kernel_size
        for m in on_meta(AsymmetricModule, 768, 128).modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert kernels.count((1, 7)) == kernels.count((7, 1)) == 3
    assert weights((1, 7), (7, 1)) / weights(7) == pytest.approx(2 / 7)


def test_auxiliary_head_speaks_in_training_only():
    model = on_meta(inception_v3)
    with torch.device("meta"):
        x = torch.empty(2, 3, 299, 299)
    result = model.train()(x)
    assert isinstance(result, InceptionOutputs)
    assert [head.shape for head in result] == [(2, 1000)] * 2
    assert model.eval()(x).shape == (2, 1000)


def test_initialisation_is_the_releases():
    torch.manual_seed(0)
    model = inception_v3(num_classes=10)
    assert model.stem[5].conv.weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert model.aux[2].conv.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert model.aux[5].weight.std().item() == pytest.approx(0.001, rel=0.05)


@pytest.mark.parametrize(
    ("size", "aux"), [(75, False), pytest.param(299, True, marks=pytest.mark.slow)]
)
def test_equals_torchvision(size, aux):
    options = {"dropout": 0.0, "num_classes": 10}
    with narrowed(8):
        ours = inception_v3(aux_heads=aux, **options)
        theirs = torchvision.models.inception_v3(aux_logits=aux, init_weights=False, **options)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs, size)
    assert_same_gradients(ours, theirs, size)


@behaviour(
    Case("inception_v3", {"aux_heads": False}, size=107, odd_size=(111, 125), narrow=8),
    slow=(Case("inception_v3", size=299, odd_size=(347, 349), narrow=8),),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(InceptionV3, aux_heads=2, dropout="half")
    assert_bad_arguments_rejected(inception_v3, weights="IMAGENET")
    with pytest.raises(ValueError, match="needs in_channels=3; got 1"):
        on_meta(InceptionV3, in_channels=1, transform_input=True)


# Label smoothing


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    epsilon=st.floats(0, 0.99),
    batch=st.integers(1, 5),
    classes=st.integers(1, 12),
    scale=st.floats(0.01, 50),
    seed=st.integers(0, 1000),
)
def test_label_smoothing_equals_pytorchs(epsilon, batch, classes, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(classes, (batch,), generator=generator)
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=epsilon)
    torch.testing.assert_close(LabelSmoothingLoss(epsilon)(logits, labels), expected)


def test_label_smoothing_targets_of_the_paper():
    # epsilon = 0.1 and 1000 classes: 0.9001 for the right class, 0.0001 for the others. With one
    # logit raised, the loss is the cross-entropy against exactly these targets.
    logits = images(1, 1, (1, 1000)).view(1, 1000).double()
    target = torch.full((1, 1000), 0.0001, dtype=torch.float64)
    target[0, 7] = 0.9001
    expected = -(target * logits.log_softmax(1)).sum()
    torch.testing.assert_close(LabelSmoothingLoss()(logits, torch.tensor([7])), expected)


def test_label_smoothing_gradient():
    logits = images(1, 1, (4, 6)).view(4, 6).double().requires_grad_()
    labels = torch.tensor([0, 5, 2, 2])
    assert torch.autograd.gradcheck(lambda z: LabelSmoothingLoss(0.3)(z, labels), logits)


@pytest.mark.parametrize("epsilon", [-0.1, 1.0, "0.1", None])
def test_label_smoothing_rejects(epsilon):
    with pytest.raises(ValueError, match="epsilon must be a number"):
        LabelSmoothingLoss(epsilon)


def test_images_for_imagenet_are_turned_into_the_range_that_the_network_expects():
    ours = on_meta(InceptionV3, transform_input=True).transform_input
    x = images(2, 3, 5)
    theirs = torchvision.models.Inception3(transform_input=True, init_weights=False)
    ours = type(ours)()
    torch.testing.assert_close(ours(x), theirs._transform_input(x))
