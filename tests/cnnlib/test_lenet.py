"""LeNet-5: the counts of the paper, the connection table, and the output units."""

import math

import pytest
import torch
import torch.nn.functional as F

from cnnlib.models.lenet import (
    C3_TABLE,
    RadialBasisOutput,
    ScaledTanh,
    Subsampling,
    TableConv2d,
    class_codes,
    digit_codes,
    equation_9,
    lenet5,
)


def trainable(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_parameters_of_1998_are_those_of_the_paper():
    # LeCun et al. 1998, section II-B, gives these numbers layer by layer.
    net = lenet5()
    counts = {name: trainable(layer) for name, layer in net.named_children() if trainable(layer)}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert trainable(net) == 60_000


def test_parameters_of_the_modern_variant():
    net = lenet5(variant="modern")
    counts = {name: trainable(layer) for name, layer in net.named_children() if trainable(layer)}
    assert counts == {"c1": 156, "c3": 2416, "c5": 48120, "f6": 10164, "output": 850}
    assert trainable(net) == 61_706


@pytest.mark.parametrize("variant", ["1998", "modern"])
def test_shapes_layer_by_layer(variant):
    net = lenet5(variant=variant)
    shapes = {}
    for name, layer in net.named_children():
        if name not in ("squash", "relu"):
            layer.register_forward_hook(
                lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape[1:])})
            )
    net(torch.rand(2, 1, 32, 32))
    assert shapes == {
        "c1": (6, 28, 28),
        "s2": (6, 14, 14),
        "c3": (16, 10, 10),
        "s4": (16, 5, 5),
        "c5": (120, 1, 1),
        "f6": (84,),
        "output": (10,),
    }


def test_table_has_the_structure_that_the_paper_describes():
    neighbours = [{(start + k) % 6 for k in range(3)} for start in range(6)]
    assert sorted(map(sorted, map(set, C3_TABLE[:6]))) == sorted(map(sorted, neighbours))
    four = [{(start + k) % 6 for k in range(4)} for start in range(6)]
    assert sorted(map(sorted, map(set, C3_TABLE[6:12]))) == sorted(map(sorted, four))
    for row in C3_TABLE[12:15]:
        assert len(set(row)) == 4
        assert set(row) not in four
    assert set(C3_TABLE[15]) == set(range(6))
    assert len({frozenset(row) for row in C3_TABLE}) == 16  # all different: symmetry is broken
    # Every map of S2 is used equally often.
    uses = [sum(source in row for row in C3_TABLE) for source in range(6)]
    assert uses == [10] * 6


def test_c3_sees_only_the_maps_of_its_table():
    torch.manual_seed(0)
    layer = TableConv2d(6, C3_TABLE)
    torch.nn.init.normal_(layer.weight)
    x = torch.rand(1, 6, 14, 14, requires_grad=True)
    for output, sources in enumerate(C3_TABLE):
        (gradient,) = torch.autograd.grad(layer(x)[0, output].sum(), x)
        seen = gradient.abs().sum((0, 2, 3)).nonzero().flatten().tolist()
        assert seen == list(sources)


def test_c3_equals_sixteen_small_convolutions():
    torch.manual_seed(0)
    layer = TableConv2d(6, C3_TABLE)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.rand(2, 6, 14, 14)
    expected, first = [], 0
    for output, sources in enumerate(C3_TABLE):
        kernels = layer.weight[first : first + len(sources)].unsqueeze(0)
        first += len(sources)
        expected.append(F.conv2d(x[:, list(sources)], kernels, layer.bias[output : output + 1]))
    torch.testing.assert_close(layer(x), torch.cat(expected, dim=1))


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = lenet5()
    F.cross_entropy(net(torch.rand(8, 1, 32, 32)), torch.arange(8)).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_subsampling_starts_as_average_pooling_and_follows_its_parameters():
    layer = Subsampling(3)
    x = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(layer(x), F.avg_pool2d(x, 2))
    with torch.no_grad():
        layer.coefficient.fill_(2.0)
        layer.bias.fill_(-1.0)
    torch.testing.assert_close(layer(x), 2 * F.lp_pool2d(x, 1, 2) - 1)  # L1 norm of x >= 0 = sum


def test_squashing_function_maps_one_to_one():
    squash = ScaledTanh()
    values = squash(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(
        values, torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), atol=1e-4, rtol=0
    )
    # Strongest curvature at 1: the second derivative is extreme there.
    grid = torch.linspace(0.5, 1.5, 1001, dtype=torch.float64)
    second = torch.gradient(torch.gradient(squash(grid), spacing=(grid,))[0], spacing=(grid,))[0]
    assert abs(grid[second[2:-2].argmin() + 2].item() - 1) < 0.02


def test_output_is_minus_the_squared_distance_to_the_codes():
    codes = digit_codes()
    x = torch.randn(5, 84)
    expected = -torch.cdist(x.double(), codes.double()).square()
    torch.testing.assert_close(RadialBasisOutput(codes)(x).double(), expected, atol=1e-3, rtol=1e-5)


def test_equation_9_is_the_formula_of_the_paper():
    distances = torch.rand(6, 10, dtype=torch.float64) * 20
    labels = torch.arange(6)
    for j in (0.5, 10.0):
        expected = distances[range(6), labels] + torch.log(
            math.exp(-j) + torch.exp(-distances).sum(1)
        )
        torch.testing.assert_close(equation_9(-distances, labels, j), expected.mean())


def test_equation_9_pulls_far_drawings_nearer_where_cross_entropy_does_not():
    # Every code equally far: cross-entropy moves the right one and the others alike, the loss of
    # the paper moves the right one alone.
    distances = torch.full((1, 10), 50.0, requires_grad=True)
    labels = torch.tensor([3])
    (ours,) = torch.autograd.grad(equation_9(-distances, labels), distances)
    (usual,) = torch.autograd.grad(F.cross_entropy(-distances, labels), distances)
    assert ours[0, 3] == pytest.approx(1, abs=1e-6)
    assert ours.abs().sum() == pytest.approx(1, abs=1e-6)
    assert usual.sum() == pytest.approx(0, abs=1e-6)


def test_initial_loss_of_the_paper_is_that_of_an_empty_drawing():
    torch.manual_seed(0)
    loss = equation_9(lenet5()(torch.rand(100, 1, 32, 32)), torch.arange(100) % 10, j=10)
    assert loss.item() == pytest.approx(84 - 10, abs=0.5)


def test_codes_are_ten_different_pictures_of_7_by_12():
    codes = digit_codes()
    assert codes.shape == (10, 7 * 12)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    differing_pixels = (codes.unsqueeze(0) != codes.unsqueeze(1)).sum(2)
    assert differing_pixels[~torch.eye(10, dtype=torch.bool)].min() >= 4


def test_codes_for_other_numbers_of_classes_are_fixed_signs():
    codes = class_codes(26)
    assert codes.shape == (26, 84)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(codes, class_codes(26))
    assert lenet5(26, in_channels=3)(torch.rand(2, 3, 32, 32)).shape == (2, 26)


def test_initial_weights_keep_the_bound_of_appendix_a():
    torch.manual_seed(0)
    net = lenet5()
    for layer, fan_in in ((net.c1, 25), (net.c5, 16 * 25), (net.f6, 120)):
        assert 0.9 * 2.4 / fan_in < layer.weight.abs().max() <= 2.4 / fan_in
    largest = [
        net.c3.dense_weight()[output].abs().max().item() * len(sources) * 25
        for output, sources in enumerate(C3_TABLE)
    ]
    assert 0.9 * 2.4 < min(largest) <= max(largest) <= 2.4 + 1e-6


@pytest.mark.parametrize("variant", ["1998", "modern"])
def test_initial_loss_is_that_of_guessing(variant):
    torch.manual_seed(0)
    net = lenet5(variant=variant)
    loss = F.cross_entropy(net(torch.rand(100, 1, 32, 32)), torch.arange(100) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=0.1)


def test_fixed_codes_are_not_part_of_the_saved_state():
    assert sum(value.numel() for value in lenet5().state_dict().values()) == 60_000


@pytest.mark.parametrize("variant", ["1998", "modern"])
def test_wrong_image_size_is_explained(variant):
    with pytest.raises(ValueError, match=r"32×32 pixels; got \(4, 1, 28, 28\).*Pad"):
        lenet5(variant=variant)(torch.rand(4, 1, 28, 28))


@pytest.mark.parametrize(
    "arguments", [{"variant": "1989"}, {"num_classes": 0}, {"in_channels": -1}]
)
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        lenet5(**arguments)
