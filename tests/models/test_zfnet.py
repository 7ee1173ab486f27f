from model_harness import (
    Case,
    assert_bad_arguments_rejected,
    behaviour,
    count,
    on_meta,
    output_shapes,
)

from cnnlib.arithmetic import conv_parameters, linear_parameters
from cnnlib.models import zfnet


def test_parameters_are_those_of_the_layers_of_figure_3():
    for variant, (c3, c4, c5) in {
        "original": (384, 384, 256),
        "enlarged": (512, 1024, 512),
    }.items():
        expected = (
            conv_parameters(3, 96, 7)
            + conv_parameters(96, 256, 5)
            + conv_parameters(256, c3, 3)
            + conv_parameters(c3, c4, 3)
            + conv_parameters(c4, c5, 3)
            + linear_parameters(c5 * 6 * 6, 4096)
            + linear_parameters(4096, 4096)
            + linear_parameters(4096, 1000)
        )
        assert count(on_meta(zfnet, variant=variant)) == expected
    assert count(on_meta(zfnet)) == 62_357_608


def test_shapes_are_those_of_figure_3():
    shapes = output_shapes(on_meta(zfnet), 224)
    assert shapes["conv1"] == [(96, 110, 110)]
    assert shapes["conv2"] == [(256, 26, 26)]
    assert shapes["conv3"] == shapes["conv4"] == [(384, 13, 13)]
    assert shapes["conv5"] == [(256, 13, 13)]
    assert shapes["pool"] == [(96, 55, 55), (256, 13, 13), (256, 6, 6)]
    assert shapes["norm"] == [(96, 55, 55), (256, 13, 13)]


def test_shapes_of_the_enlarged_variant():
    shapes = output_shapes(on_meta(zfnet, variant="enlarged"), 224)
    assert shapes["conv3"] == [(512, 13, 13)]
    assert shapes["conv4"] == [(1024, 13, 13)]
    assert shapes["conv5"] == [(512, 13, 13)]


@behaviour(Case("zfnet", narrow=8), slow=(Case("zfnet", {"variant": "enlarged"}, narrow=8),))
def test_behaviour(check, case):
    check(case)


def test_bad_arguments():
    assert_bad_arguments_rejected(zfnet, variant="torchvision", dropout=-0.5)
