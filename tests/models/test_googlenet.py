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
    output_shapes,
    twins,
)
from torch import nn

from cnnlib.models import GoogLeNet, googlenet
from cnnlib.models.googlenet import MODULES, Filters, GoogLeNetOutputs, Inception, NaiveInception
from cnnlib.summary import summarize


def test_parameters():
    assert count(on_meta(googlenet)) == 6_998_552
    with_heads = on_meta(googlenet, aux_heads=True)
    assert count(with_heads) == 13_378_280
    assert (count(with_heads.aux1), count(with_heads.aux2)) == (3_188_840, 3_190_888)
    assert count(on_meta(googlenet).fc) == 1_025_000


def test_published_numbers():
    assert_published_numbers("googlenet", variant="torchvision")


def test_table_1_of_the_paper():
    model = on_meta(googlenet)
    shapes = output_shapes(model, 224)
    expected = {  # output and parameters in thousands, as printed
        "3a": ((256, 28, 28), 159),
        "3b": ((480, 28, 28), 380),
        "4a": ((512, 14, 14), 364),
        "4b": ((512, 14, 14), 437),
        "4c": ((512, 14, 14), 463),
        "4d": ((528, 14, 14), 580),
        "4e": ((832, 14, 14), 840),
        "5a": ((832, 7, 7), 1072),
        "5b": ((1024, 7, 7), 1388),
    }
    assert list(MODULES) == list(expected)
    for name, (shape, thousands) in expected.items():
        assert shapes[f"inception.{name}"] == [shape]
        module = model.inception[name]
        weights = sum(p.numel() for n, p in module.named_parameters() if n.endswith("weight"))
        # The paper counts in units of 1024 weights. Not all of its numbers follow from its own
        # filters; 4c, whose filters have 509,440 weights, is furthest off.
        assert weights / 1024 == pytest.approx(thousands, rel=0.08)
    assert shapes["stem"] == [(192, 28, 28)]
    assert shapes["global_pool"] == [(1024, 1, 1)]


def test_22_layers_with_parameters():
    in_stem = [m for m in on_meta(googlenet).stem.modules() if isinstance(m, nn.Conv2d)]
    assert len(in_stem) + 2 * len(MODULES) + 1 == 22


def test_naive_module_and_its_reduced_form():
    x = (256, 28, 28)
    naive = summarize(on_meta(NaiveInception, 256, 128, 192, 96), x)
    assert naive.macs == 854_196_224
    assert naive.rows[-1].output_shape == (1, 256, 28, 28)  # the pooling keeps all channels
    reduced = on_meta(Inception, 256, Filters(128, 64, 192, 64, 96, 64))
    assert summarize(reduced, x).macs == 271_351_808
    with torch.device("meta"):
        image = torch.empty(1, *x)
    assert on_meta(NaiveInception, 256, 128, 192, 96)(image).shape == (1, 672, 28, 28)
    assert reduced(image).shape == (1, 480, 28, 28)


def test_naive_module_concatenates_the_branches_in_order():
    torch.manual_seed(0)
    module = NaiveInception(4, 2, 3, 5)
    x = images(2, 4, 9)
    y = module(x)
    torch.testing.assert_close(y[:, :2], module.branches[0].conv(x).relu())
    torch.testing.assert_close(y[:, 2:5], module.branches[1].conv(x).relu())
    torch.testing.assert_close(y[:, 5:10], module.branches[2].conv(x).relu())
    torch.testing.assert_close(y[:, 10:], nn.functional.max_pool2d(x, 3, 1, 1))


def test_original_has_5x5_filters_and_torchvisions_variant_has_none():
    def sides(variant):
        modules = on_meta(googlenet, variant=variant).modules()
        return {m.kernel_size[0] for m in modules if isinstance(m, nn.Conv2d)}

    assert sides("original") == {1, 3, 5, 7}
    assert sides("torchvision") == {1, 3, 7}


def test_auxiliary_heads_speak_in_training_only():
    torch.manual_seed(0)
    model = googlenet(num_classes=10, aux_heads=True)
    x = images(2, 3, 96)
    result = model.train()(x)
    assert isinstance(result, GoogLeNetOutputs)
    assert [head.shape for head in result] == [(2, 10)] * 3
    assert model.eval()(x).shape == (2, 10)
    # Each head reaches the layers below it, and those only.
    result.aux1.sum().backward()
    assert model.inception["4a"].branches[0].conv.weight.grad is not None
    assert model.inception["4b"].branches[0].conv.weight.grad is None


def test_auxiliary_head_pools_14x14_to_4x4_by_the_papers_windows():
    pool = on_meta(googlenet, aux_heads=True).aux1.pool
    x = torch.randn(1, 2, 14, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pool(x), nn.functional.avg_pool2d(x, 5, 3))
    assert pool(x).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("size", [64, pytest.param(224, marks=pytest.mark.slow)])
def test_equals_torchvision(size):
    options = {"dropout": 0.0, "num_classes": 10}
    with narrowed(8):
        ours = googlenet(variant="torchvision", aux_heads=True, aux_dropout=0.0, **options)
        theirs = torchvision.models.googlenet(
            aux_logits=True, dropout_aux=0.0, init_weights=False, **options
        )
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs, size)
    assert_same_gradients(ours, theirs, size)


@behaviour(
    Case("googlenet", narrow=8),
    Case("googlenet", {"aux_heads": True}, size=96, odd_size=(107, 93), narrow=8),
    Case("googlenet", {"variant": "torchvision"}, narrow=8),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(
        GoogLeNet, variant="v1", aux_heads="yes", dropout=1, aux_dropout=None
    )
    assert_bad_arguments_rejected(googlenet, weights=True)
    with pytest.raises(ValueError, match="needs in_channels=3; got 1"):
        on_meta(GoogLeNet, in_channels=1, transform_input=True)
