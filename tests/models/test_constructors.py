"""The constructors of `cnnlib.models` look alike."""

import inspect

import pytest
import torchvision
from torch import nn

import cnnlib.models

NOT_CLASSIFIERS = {
    "batch_hard_triplet_loss",
    "contrastive_loss",
    "conv_autoencoder",
    "corrupt",
    "dense_autoencoder",
    "triplet_loss",
    "unet",
    "unet_output_size",
}
CLASSIFIERS = sorted(
    name for name in cnnlib.models.__all__ if name[0].islower() and name not in NOT_CLASSIFIERS
)


def test_everything_announced_is_there():
    assert len(set(cnnlib.models.__all__)) == len(cnnlib.models.__all__)
    for name in cnnlib.models.__all__:
        assert callable(getattr(cnnlib.models, name))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_arguments(name):
    constructor = getattr(cnnlib.models, name)
    parameters = list(inspect.signature(constructor).parameters.values())
    assert [p.name for p in parameters[:2]] == ["num_classes", "in_channels"]
    small = name == "lenet5" or name.startswith("cifar_")
    assert parameters[0].default == (10 if small else 1000)
    assert parameters[1].default == (1 if name == "lenet5" else 3)
    # Everything else must be named in a call, so that the order of arguments never matters.
    for p in parameters[2:]:
        assert p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD), p.name
    assert constructor.__doc__


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_weights_are_offered_where_torchvision_publishes_them(name):
    published = name in torchvision.models.list_models(torchvision.models)
    parameters = inspect.signature(getattr(cnnlib.models, name)).parameters
    if published:
        assert parameters["weights"].default is None
    else:
        # resnext101_32x4d takes the argument, like its relatives, and refuses it with a reason.
        assert "weights" not in parameters or name == "resnext101_32x4d"


def test_classes_are_modules():
    for name in cnnlib.models.__all__:
        if name[0].isupper():
            assert issubclass(getattr(cnnlib.models, name), nn.Module)
