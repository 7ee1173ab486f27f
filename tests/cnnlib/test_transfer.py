"""Transfer learning: what is frozen stays, what is replaced fits, what is probed is what ran."""

import copy
import doctest
import warnings

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid
from torch import nn

import cnnlib.models
import cnnlib.transfer
from cnnlib.data import ImageSet
from cnnlib.models import lenet5, resnet18, squeezenet1_1, vgg11
from cnnlib.training import fit
from cnnlib.transfer import (
    Counts,
    features,
    freeze,
    freeze_batch_norm,
    linear_probe,
    nearest_class_mean,
    parameter_groups,
    replace_head,
    trainable,
    unfreeze,
)


def small_model():
    """Parts whose names begin alike, a batch normalisation, and a ReLU that works in place."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(1, 4, 3, padding=1))  # 40 numbers
    model.add_module("norm", nn.BatchNorm2d(4))  # 8
    model.add_module("relu", nn.ReLU(inplace=True))
    model.add_module("stem2", nn.Conv2d(4, 3, 1))  # 15
    model.add_module("flatten", nn.Flatten())
    model.add_module("head", nn.Linear(3 * 4 * 4, 5))  # 245
    return model


def images(count=6, seed=0):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def pictures(count=12):
    return ImageSet(images(count), torch.arange(count) % 5, list("abcde"), "noise")


def test_examples_in_docstrings():
    assert doctest.testmod(cnnlib.transfer).failed == 0


# --- freezing ------------------------------------------------------------------------------------


def test_a_part_ends_at_a_dot():
    model = small_model()
    assert trainable(model) == (308, 0)
    assert freeze(model, "stem") == Counts(trainable=268, frozen=40)
    assert [p.requires_grad for p in model.stem2.parameters()] == [True, True]
    assert freeze(model, "stem2", "head.bias") == (248, 60)
    assert freeze(model) == (0, 308)
    assert unfreeze(model, "head") == (245, 63)
    assert unfreeze(model) == (308, 0)


def test_names_that_are_not_there_change_nothing():
    model = small_model()
    with pytest.raises(ValueError, match=r"'sten'.*Did you mean 'stem'.*'norm'.*'head'"):
        freeze(model, "head", "sten")
    with pytest.raises(ValueError, match="no parameters in a part called 'relu'"):
        unfreeze(model, "relu")
    with pytest.raises(ValueError, match="by their names"):
        freeze(model, model.stem)
    assert trainable(model) == (308, 0)


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 3)
    assert trainable(nn.Sequential(layer, nn.ReLU(), layer)) == (12, 0)


def test_training_leaves_frozen_parameters_alone():
    model = small_model()
    freeze(model, "stem", "norm")
    before = copy.deepcopy(model.state_dict())
    fit(model, pictures(), epochs=2, batch_size=4, weight_decay=0.1, progress=False, device="cpu")
    after = model.state_dict()
    for name in ("stem.weight", "stem.bias", "norm.weight", "norm.bias"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["stem2.weight"], after["stem2.weight"])
    # The bug that the chapter shows: freezing does not reach what the forward pass moves.
    assert not torch.equal(before["norm.running_mean"], after["norm.running_mean"])


# --- a new head ----------------------------------------------------------------------------------

# One network of each family of cnnlib, and the side of a picture it takes.
OURS = {
    "alexnet": 224,
    "cifar_resnet20": 32,
    "densenet121": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "mobilenet_v1": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_large": 64,
    "nasnet_mobile": 64,
    "preact_resnet18": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v1": 64,
    "shufflenet_v2_x1_0": 64,
    "squeezenet1_0": 64,
    "vgg11_bn": 224,
    "xception": 96,
    "zfnet": 224,
}
THEIRS = {
    "alexnet": 64,
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_large": 64,
    "regnet_y_400mf": 64,
    "resnet18": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "vgg11": 64,
    "vit_b_32": 224,
}


def check_new_head(model, side, channels=3):
    """The old layer is gone, nothing else is, and the network gives seven scores."""
    before = dict(model.named_parameters())
    freeze(model)
    layer = replace_head(model, 7)
    after = dict(model.named_parameters())
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    new = {name for name in after if after[name] is not before.get(name)}
    aux = {name for name in new if name.lower().startswith("aux")}
    assert {id(after[name]) for name in new - aux} == {id(p) for p in layer.parameters()}
    assert all(after[name].requires_grad == (name in new) for name in after)
    x = torch.empty(2, channels, side, side, device=layer.weight.device)
    assert model.eval()(x).shape == (2, 7)
    return layer, aux


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_new_head_of_our_networks(name):
    with torch.device("meta"):  # shapes only: costs neither memory nor arithmetic
        model = getattr(cnnlib.models, name)()
    check_new_head(model, OURS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", THEIRS)
def test_new_head_of_torchvisions_networks(name):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    # RegNet computes its widths with tensors, which needs a device that has numbers.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = torchvision.models.get_model(name, weights=None, **options)
    check_new_head(model, THEIRS[name])


def test_every_family_of_our_classifiers_is_tested():
    families = {
        getattr(cnnlib.models, name).__module__
        for name in cnnlib.models.__all__
        if name[0].islower()
    }
    no_classifiers = {f"cnnlib.models.{name}" for name in ("autoencoder", "unet", "siamese")}
    tested = {getattr(cnnlib.models, name).__module__ for name in OURS} | {"cnnlib.models.lenet"}
    assert families == tested | no_classifiers


def test_new_heads_where_they_are():
    with torch.device("meta"):
        ours, vgg, squeeze = resnet18(), vgg11(), squeezenet1_1()
    assert replace_head(ours, 37) is ours.fc
    assert (ours.fc.in_features, ours.fc.out_features) == (512, 37)
    assert sum(p.numel() for p in ours.fc.parameters()) == 18_981  # 512 · 37 + 37
    assert replace_head(vgg, 37) is vgg.classifier[6]
    layer = replace_head(squeeze, 37)
    assert isinstance(layer, nn.Conv2d)
    assert layer.weight.shape == (37, 512, 1, 1)


@pytest.mark.parametrize("variant", ["1998", "modern"])
def test_new_head_of_lenet(variant):
    layer, _ = check_new_head(lenet5(variant=variant), 32, channels=1)
    assert isinstance(layer, nn.Linear)
    assert layer.in_features == 84


def test_auxiliary_heads_speak_of_the_new_classes_too():
    model = cnnlib.models.googlenet(num_classes=11, aux_heads=True)
    _, aux = check_new_head(model, 64)
    assert len(aux) == 4  # weight and bias of two heads
    model.train()
    assert [tuple(logits.shape) for logits in model(torch.rand(2, 3, 224, 224))] == [(2, 7)] * 3


def test_new_head_is_like_the_old_one():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False, dtype=torch.float64)).eval()
    layer = replace_head(model, 2)
    assert layer.bias is None
    assert layer.weight.dtype == torch.float64
    assert not layer.training


@pytest.mark.parametrize("number", [0, -1, 2.5, True, "3"])
def test_a_head_has_a_whole_number_of_classes(number):
    with pytest.raises(ValueError, match="num_classes"):
        replace_head(small_model(), number)


@pytest.mark.parametrize("model", [nn.Linear(3, 2), nn.Sequential(nn.ReLU())])
def test_no_head_to_replace(model):
    with pytest.raises(ValueError, match="could be a head"):
        replace_head(model, 3)


# --- parameter groups ----------------------------------------------------------------------------


def check_groups(model, groups):
    """Every parameter that can be trained is in exactly one group, no frozen one is in any."""
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}
    torch.optim.AdamW(groups)  # the optimiser accepts them


def test_rates_fall_towards_the_input():
    model = resnet18(num_classes=7)
    groups = parameter_groups(model, 0.1, factor=0.5, weight_decay=0.01)
    check_groups(model, groups)
    rates = {group["stage"]: group["lr"] for group in groups}
    assert rates == {
        "stem": 0.1 / 32,
        "stage1": 0.1 / 16,
        "stage2": 0.1 / 8,
        "stage3": 0.1 / 4,
        "stage4": 0.1 / 2,
        "fc": 0.1,
    }
    # By dimensions, the rule of thumb: what has at least two decays.
    for group in groups:
        assert all((p.ndim >= 2) == (group["weight_decay"] == 0.01) for p in group["params"])


def test_several_parts_may_share_a_rate():
    model = torchvision.models.resnet18()
    stages = [("conv1", "bn1"), "layer1", "layer2", "layer3", "layer4", "fc"]
    groups = parameter_groups(model, 1.0, factor=0.1, stages=stages)
    check_groups(model, groups)
    assert groups[0]["lr"] == groups[1]["lr"] == pytest.approx(1e-5)
    assert groups[0]["stage"] == "conv1+bn1"


def test_frozen_parameters_are_in_no_group():
    model = small_model()
    freeze(model, "stem", "norm")
    groups = parameter_groups(model, 0.1, factor=0.5)
    check_groups(model, groups)
    # The frozen parts still are steps on the way from the head to the input.
    assert {group["stage"]: group["lr"] for group in groups} == {"stem2": 0.05, "head": 0.1}


def test_biases_and_norms_of_any_shape_do_not_decay():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm((3, 4, 4))
            self.bias = nn.Parameter(torch.zeros(3, 1, 1))
            self.fc = nn.Linear(48, 2)

    model = Odd()
    groups = parameter_groups(model, 0.1, weight_decay=0.3)
    check_groups(model, groups)
    decaying = [tuple(p.shape) for g in groups if g["weight_decay"] for p in g["params"]]
    assert decaying == [(2, 48)]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    frozen=st.sets(st.sampled_from(["stem", "norm", "stem2", "head.bias"])),
    factor=st.floats(0.1, 2),
    decay=st.sampled_from([0.0, 0.1]),
)
def test_each_trainable_parameter_is_in_one_group(frozen, factor, decay):
    model = small_model()
    if frozen:
        freeze(model, *frozen)
    groups = parameter_groups(model, 0.2, factor=factor, weight_decay=decay)
    check_groups(model, groups)
    order = ["stem", "norm", "stem2", "head"]
    for group in groups:
        steps = len(order) - 1 - order.index(group["stage"])
        assert group["lr"] == pytest.approx(0.2 * factor**steps)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"lr": 0.0}, "lr must be above 0"),
        ({"factor": -1.0}, "factor must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"stages": ["stem", "norm", "stem2"]}, "not frozen: head.weight, head.bias"),
        ({"stages": ["stem", "norm", "stem2", "head", "head.bias"]}, "overlap: head.bias"),
        ({"stages": ["stem", ("norm", "norm"), "stem2", "head"]}, "overlap"),
        ({"stages": ["stem", "norms", "stem2", "head"]}, "'norms'.*Did you mean 'norm'"),
    ],
)
def test_wrong_groups_are_explained(options, problem):
    with pytest.raises(ValueError, match=problem):
        parameter_groups(small_model(), **{"lr": 0.1, **options})


def test_nothing_to_train():
    model = small_model()
    freeze(model)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        parameter_groups(model, 0.1)


def test_layer_wise_rates_move_the_early_layers_less():
    def moved(factor):
        model = small_model()
        before = copy.deepcopy(model.state_dict())
        optimizer = torch.optim.SGD(parameter_groups(model, 0.1, factor=factor))
        fit(model, pictures(), epochs=3, optimizer=optimizer, progress=False, device="cpu")
        return [(model.state_dict()[n] - before[n]).norm() for n in ("stem.weight", "head.weight")]

    stem, head = moved(1.0)
    slow_stem, slow_head = moved(0.1)
    assert slow_stem < 0.05 * stem
    assert slow_head > 0.5 * head


# --- batch normalisation -------------------------------------------------------------------------


def trained_norms(seed=0):
    """The small model with statistics that are not those of a fresh layer."""
    model = small_model()
    torch.manual_seed(seed)
    with torch.no_grad():
        for values in (model.norm.running_mean, model.norm.weight, model.norm.bias):
            values.normal_()
        model.norm.running_var.uniform_(0.5, 2)
    return model


def test_frozen_statistics_survive_train_mode_and_training():
    model = trained_norms()
    expected = copy.deepcopy(model).eval()(images())
    state = copy.deepcopy(model.state_dict())
    assert freeze_batch_norm(model) == 1
    assert list(model.state_dict()) == list(state)
    model.train()
    assert model.training
    assert not model.norm.training
    assert torch.allclose(model(images()), expected, atol=1e-6)
    fit(model, pictures(), epochs=2, batch_size=4, progress=False, device="cpu")
    for name, value in model.norm.state_dict().items():
        assert torch.equal(value, state[f"norm.{name}"]), name
    assert not torch.equal(model.stem.weight, state["stem.weight"])  # the rest was trained
    assert freeze_batch_norm(model) == 0  # there is nothing left to do


def test_frozen_norms_can_be_copied_and_stay_frozen():
    model = trained_norms()
    freeze_batch_norm(model)
    twin = copy.deepcopy(model).train()
    assert not twin.norm.training
    twin.norm.running_mean.zero_()
    assert model.norm.running_mean.abs().max() > 0


def test_scale_and_shift_may_stay_trainable():
    model = trained_norms()
    weight = model.norm.weight
    assert freeze_batch_norm(model, affine=False) == 1
    assert model.norm.weight is weight  # an optimiser that was made before still owns it
    assert weight.requires_grad
    freeze_batch_norm(other := trained_norms())
    assert not other.norm.weight.requires_grad


def test_frozen_parameters_do_not_thaw():
    model = trained_norms()
    freeze(model, "norm")
    freeze_batch_norm(model, affine=False)
    assert not model.norm.weight.requires_grad


def test_only_the_named_parts():
    model = resnet18(num_classes=3)
    assert freeze_batch_norm(model, "stem", "stage1") == 5  # one, and two blocks of two
    model.train()
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {n for n, m in norms.items() if not m.training} == {
        n for n in norms if n.startswith(("stem", "stage1"))
    }
    assert freeze_batch_norm(model) == len(norms) - 5


def test_a_shared_norm_stays_shared():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(norm, nn.Linear(3, 3), norm, nn.BatchNorm3d(2))
    assert freeze_batch_norm(model) == 2
    assert model[0] is model[2]


def test_norms_that_cannot_be_frozen():
    with pytest.raises(ValueError, match="single layer"):
        freeze_batch_norm(nn.BatchNorm2d(3))
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False))
    with pytest.raises(ValueError, match="1 keeps no running statistics"):
        freeze_batch_norm(model)
    assert type(model[0]) is nn.BatchNorm2d
    with pytest.raises(ValueError, match="no part called 'norms'"):
        freeze_batch_norm(small_model(), "norms")
    assert freeze_batch_norm(nn.Sequential(nn.Linear(2, 2))) == 0


# --- features and probes -------------------------------------------------------------------------


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_features_are_what_left_the_layer():
    model = trained_norms().train()
    x = images(7)
    got = features(model, "norm", x, batch_size=3)
    expected = copy.deepcopy(model).eval()[:2](x)
    assert got.shape == (7, 4, 4, 4)
    assert torch.allclose(got, expected, atol=1e-6)
    assert got.min() < 0  # the ReLU behind it works in place and did not change them
    assert features(model, "relu", x).min() == 0
    assert torch.equal(features(model, "head", pictures(7)), copy.deepcopy(model).eval()(x))
    assert hooks(model) == 0
    assert model.training
    assert not got.requires_grad


def test_hooks_are_removed_after_an_error():
    model = small_model().eval()
    with pytest.raises(RuntimeError):
        features(model, "stem", torch.rand(2, 3, 4, 4))  # three channels instead of one
    assert hooks(model) == 0


def test_layers_without_features_are_explained():
    model = small_model()
    with pytest.raises(ValueError, match=r"no layer called 'stm'.*'stem'"):
        features(model, "stm", images())
    with pytest.raises(ValueError, match="no layer called ''"):
        features(model, "", images())
    relu = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(1, 1, 1), relu, nn.Conv2d(1, 1, 1), relu)
    with pytest.raises(ValueError, match="1 runs 2 times"):
        features(twice, "1", images())
    model.unused = nn.Linear(1, 1)
    model.forward = lambda x: model.stem(x)
    with pytest.raises(ValueError, match="unused runs 0 times"):
        features(model, "unused", images())


def clusters(count, seed):
    """Three clouds of points in eight dimensions, as features of shape (N, 2, 2, 2)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = 4 * torch.eye(3, 8)
    points = centres[labels] + torch.randn(count, 8, generator=generator)
    return points.view(-1, 2, 2, 2), labels


def test_linear_probe_separates_what_is_linear():
    x, labels = clusters(60, 0)
    queries, truth = clusters(90, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it converged
        got = linear_probe(x, labels, queries)
    assert got.dtype == torch.int64
    assert (got == truth).double().mean() > 0.95
    # Units do not matter: each feature is standardised.
    scales = torch.logspace(-3, 3, 8).view(2, 2, 2)
    assert torch.equal(linear_probe(x * scales, labels, queries * scales), got)


def test_linear_probe_cannot_do_what_is_not_linear():
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert (linear_probe(corners, labels, corners) == labels).sum() <= 3
    product = (corners[:, :1] - 0.5) * (corners[:, 1:] - 0.5)
    assert torch.equal(linear_probe(product, labels, product), labels)


def test_nearest_class_mean_by_hand():
    x = torch.tensor([[0.0], [2.0], [4.0], [12.0]])
    labels = torch.tensor([0, 0, 2, 2])  # means 1 and 8
    queries = torch.tensor([[4.1], [4.5], [4.6], [100.0]])
    assert nearest_class_mean(x, labels, queries, 3).tolist() == [0, 0, 2, 2]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(3, 30), size=st.integers(1, 6))
def test_nearest_class_mean_agrees_with_scikit_learn(seed, count, size):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, size, generator=generator)
    labels = torch.arange(count) % 3
    queries = torch.randn(10, size, generator=generator)
    with np.errstate(invalid="ignore"):  # its own estimate of the spread, 0 / 0 for three examples
        oracle = NearestCentroid().fit(x.double().numpy(), labels.numpy())
    theirs = oracle.predict(queries.double())
    assert np.array_equal(nearest_class_mean(x, labels, queries, 3).numpy(), theirs)


@pytest.mark.parametrize("probe", [linear_probe, lambda x, y, q: nearest_class_mean(x, y, q, 3)])
@pytest.mark.parametrize(
    ("x", "labels", "queries", "problem"),
    [
        (torch.zeros(0, 2), torch.zeros(0).long(), torch.zeros(1, 2), "N > 0"),
        (torch.zeros(3, 2), torch.tensor([0, 1]), torch.zeros(1, 2), "labels must have shape"),
        (torch.zeros(2, 2), torch.tensor([0, 1]), torch.zeros(1, 3), "queries"),
        (torch.zeros(2), torch.tensor([0, 1]), torch.zeros(1), "row for each example"),
    ],
)
def test_probes_check_shapes(probe, x, labels, queries, problem):
    with pytest.raises(ValueError, match=problem):
        probe(x, labels, queries)


def test_probes_check_labels():
    x = torch.rand(4, 2)
    with pytest.raises(ValueError, match="at least two classes"):
        linear_probe(x, torch.zeros(4).long(), x)
    for labels in ([0, 1, 2, 3], [-1, 0, 1, 2]):
        with pytest.raises(ValueError, match="from 0 to 2"):
            nearest_class_mean(x, torch.tensor(labels), x, 3)
