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

import cnnlib.models
from cnnlib.models import SqueezeNet, squeezenet1_0, squeezenet1_1
from cnnlib.models.squeezenet import Fire
from cnnlib.summary import summarize


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_published_numbers(name):
    assert_published_numbers(name)


def test_fire_modules_have_the_parameters_of_table_1():
    # Column "#parameter before pruning" of the paper
    model = on_meta(squeezenet1_0)
    fires = [module for module in model.features if isinstance(module, Fire)]
    expected = [11_920, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184]
    assert [count(fire) for fire in fires] == expected
    assert count(model.conv1) == 14_208
    assert count(model.conv10) == 513_000
    assert count(model) == 1_248_424


def test_shapes():
    shapes = output_shapes(on_meta(squeezenet1_0), 224)
    assert shapes["conv1"] == [(96, 109, 109)]
    assert [shapes[f"features.{i}"][0] for i in (0, 3, 4, 8, 9, 10)] == [
        (96, 54, 54),
        (256, 54, 54),
        (256, 27, 27),
        (512, 27, 27),
        (512, 13, 13),
        (512, 13, 13),
    ]
    assert shapes["conv10"] == [(1000, 13, 13)]


def test_version_1_1_is_2_4_times_cheaper():
    macs = [
        summarize(on_meta(build), (3, 224, 224)).macs for build in (squeezenet1_0, squeezenet1_1)
    ]
    assert macs[0] / macs[1] == pytest.approx(2.4, abs=0.1)  # authors' repository


def test_where_the_bypasses_are():
    def bypasses(variant):
        fires = [m for m in on_meta(squeezenet1_0, variant=variant).features if isinstance(m, Fire)]
        kinds = {type(None): "-", torch.nn.Identity: "=", torch.nn.Conv2d: "1×1"}
        return {i: kinds[type(fire.bypass)] for i, fire in enumerate(fires, start=2)}

    assert set(bypasses("plain").values()) == {"-"}
    assert [i for i, kind in bypasses("simple").items() if kind == "="] == [3, 5, 7, 9]
    assert [i for i, kind in bypasses("simple").items() if kind == "-"] == [2, 4, 6, 8]
    assert [i for i, kind in bypasses("complex").items() if kind == "1×1"] == [2, 4, 6, 8]
    assert [i for i, kind in bypasses("complex").items() if kind == "="] == [3, 5, 7, 9]


def test_parameters_of_the_bypasses():
    plain, simple, complex_ = (
        count(on_meta(squeezenet1_0, variant=v)) for v in ("plain", "simple", "complex")
    )
    assert simple == plain
    widths = ((96, 128), (128, 256), (256, 384), (384, 512))  # around fire 2, 4, 6, 8
    assert complex_ - plain == sum(i * o + o for i, o in widths) == 341_248


def test_simple_bypass_adds_the_input():
    torch.manual_seed(0)
    plain, bypass = Fire(8, 2, 4, 4), Fire(8, 2, 4, 4, "simple")
    bypass.load_state_dict(plain.state_dict())
    x = images(2, 8, 5)
    torch.testing.assert_close(bypass(x), plain(x) + x)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_equals_torchvision(name):
    with narrowed(8):
        ours = getattr(cnnlib.models, name)(num_classes=10, dropout=0.0)
        theirs = getattr(torchvision.models, name)(num_classes=10, dropout=0.0)
    ours, theirs = twins(ours, theirs)
    assert_same_outputs(ours, theirs)
    assert_same_gradients(ours, theirs)


@behaviour(
    Case("squeezenet1_0", narrow=8),
    Case("squeezenet1_0", {"variant": "complex"}, narrow=8),
    slow=(Case("squeezenet1_1"), Case("squeezenet1_0", {"variant": "simple"}, narrow=8)),
)
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(squeezenet1_0, variant="bypass", dropout=2, weights="imagenet-1k")
    assert_rejected(SqueezeNet, "version must be one of '1.0', '1.1'; got '1_1'", version="1_1")
    assert_rejected(squeezenet1_0, "variant='plain' only", variant="simple", weights="imagenet")
