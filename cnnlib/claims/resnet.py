"""Recomputations of the notes' chapter on ResNet and its variants."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib.claims.helpers import count, layers, network, random_numbers, row, summary
from cnnlib.claims.registry import Values, recomputes
from cnnlib.data import load
from cnnlib.models.cifar_resnet import CifarResNet
from cnnlib.models.resnet import DEPTHS, BasicBlock, Bottleneck
from cnnlib.training import fit


def main_path(model: nn.Module) -> list[nn.Module]:
    """Convolutions and linear layers that are not part of a shortcut: what a depth counts."""
    return [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]


def kernels(block: nn.Module) -> tuple[int, ...]:
    """Sides of a block's filters, without the shortcut."""
    return tuple(layer.kernel_size[0] for layer in main_path(block))


def stages(model: nn.Module) -> list[nn.Sequential]:
    """The four stages of an ImageNet ResNet."""
    return [model.stage1, model.stage2, model.stage3, model.stage4]


@recomputes("resnet.c01")
def depth_152() -> Values:
    """Build the network and count its layers, parameters and multiply-adds."""
    resnet = network("resnet152")
    blocks = [len(stage) for stage in stages(resnet)]
    assert len(main_path(resnet)) == 1 + 3 * sum(blocks) + 1
    return {
        "stem": len(main_path(resnet.stem)),
        "layers per block": len(kernels(resnet.stage1[0])),
        "blocks": blocks,
        "last": len(main_path(resnet.fc)) + isinstance(resnet.fc, nn.Linear),
        "together": len(main_path(resnet)),
        "parameters": count(resnet),
        "multiply-adds": summary("resnet152").macs,
    }


@recomputes("resnet.c03", quoted=(1,))
def plain_depths() -> Values:
    """Build both plain networks and count their layers; the errors are the paper's."""
    nets = [network(name) for name in ("cifar_plain20", "cifar_plain56")]
    assert all("shortcut" not in name for net in nets for name, _ in net.named_parameters())
    return {
        "layers": [len(main_path(net)) for net in nets],
        "n in 6n + 2": [len(net.stage1) for net in nets],
    }


@recomputes("resnet.c04")
def plain_networks_of_20_and_56_layers() -> Values:
    """Train both on digits of 8×8 pixels for two epochs; errors on the images trained on."""
    train = load("digits", "train", image_size=8)
    errors = {}
    with torch.random.fork_rng():
        for depth in (20, 56):
            torch.manual_seed(0)
            model = CifarResNet(depth, in_channels=1, shortcut="none")
            history = fit(model, train, epochs=2, lr=0.1, weight_decay=1e-4, seed=0,
                          device="cpu", progress=False)  # fmt: skip
            errors[depth] = 100 * (1 - history.train_accuracy[-1])
    higher = errors[56] > errors[20] + 10
    assert higher, errors  # the percentages differ from processor to processor
    return {"training error of 56 plain layers higher than that of 20, after two epochs": higher}


@recomputes("resnet.c05")
def deeper_by_identity_layers() -> Values:
    """Append layers that copy their input to a small network, and compare outputs."""
    shallow = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
    with torch.no_grad():
        for seed, parameter in enumerate(shallow.parameters()):
            parameter.copy_(random_numbers(*parameter.shape, seed=seed))
    identity = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    nn.init.dirac_(identity.weight)  # every filter copies its channel
    deep = nn.Sequential(*shallow, identity, nn.ReLU(), identity, nn.ReLU())
    x = random_numbers(2, 3, 16, 16, seed=9, dtype=torch.float32)
    same = torch.equal(shallow(x), deep(x))
    assert same
    return {
        "convolutions": [
            len(layers(shallow, nn.Conv2d)),
            sum(isinstance(m, nn.Conv2d) for m in deep),
        ],
        "same output": same,
    }


@recomputes("resnet.c07")
def residual_at_zero() -> Values:
    """Set the last scale of a block to zero and compare output with input."""
    block = BasicBlock(16, 16).eval()
    nn.init.zeros_(block.conv2.norm.weight)
    x = random_numbers(2, 16, 8, 8, dtype=torch.float32)
    with torch.no_grad():
        residual = block.conv2(block.conv1(x))
        positive, any_sign = torch.equal(block(x.relu()), x.relu()), torch.equal(block(x), x)
    assert positive
    assert not any_sign
    return {
        "largest |F(x)|": residual.abs().max().item(),
        "identity on a non-negative input": positive,
        "identity on any input": any_sign,
    }


@recomputes("resnet.c08")
def where_a_projection_is() -> Values:
    """Look at the shortcut of every block of ResNet-50."""
    projected, identity = [], 0
    for stage in stages(network("resnet50")):
        for position, block in enumerate(stage):
            convs = layers(block.shortcut, nn.Conv2d)
            identity += isinstance(block.shortcut, nn.Identity)
            changes = position == 0  # channels or size differ only in the first block of a stage
            assert bool(convs) == changes
            projected += [tuple(conv.kernel_size) for conv in convs]
    return {"projections": projected, "identity shortcuts": identity}


@recomputes("resnet.c09")
def kinds_of_shortcuts() -> Values:
    """Collect the shortcuts of ResNet-50, and of the paper's option A."""

    def kinds(model: nn.Module, block: type[nn.Module]) -> list[str]:
        return sorted({type(b.shortcut).__name__ for b in layers(model, block)})

    shortcuts = kinds(network("resnet50"), Bottleneck)
    first = network("resnet50").stage1[0].shortcut
    return {
        "kinds in ResNet-50": len(shortcuts),
        "kernel of the projection": tuple(layers(first, nn.Conv2d)[0].kernel_size),
        "with option A": ", ".join(kinds(network("resnet34", shortcut="A"), BasicBlock)),
    }


@recomputes("resnet.c10")
def convolutions_in_a_block() -> Values:
    """Read the kernels of a block at every depth."""
    result: Values = {}
    for depth in DEPTHS:
        sides = {kernels(block) for stage in stages(network(f"resnet{depth}")) for block in stage}
        (only,) = sides
        result[f"ResNet-{depth}"] = {"depth": depth, "kernels": only, "3×3": only.count(3)}
    return result


@recomputes("resnet.c11")
def where_bottlenecks_begin() -> Values:
    """Read the kind of block at every depth."""
    with_bottleneck = [depth for depth in DEPTHS if layers(network(f"resnet{depth}"), Bottleneck)]
    assert with_bottleneck == [depth for depth in DEPTHS if depth >= with_bottleneck[0]]
    return {"depths with bottlenecks": with_bottleneck}


@recomputes("resnet.c12")
def stage_shapes() -> Values:
    """Run both networks and read the shapes after each stage."""

    def shapes(name: str) -> list[tuple[int, int]]:
        found = [row(summary(name), f"stage{i}").output_shape for i in range(1, 5)]
        return [(shape[-1], shape[1]) for shape in found]

    basic, bottleneck = shapes("resnet34"), shapes("resnet50")
    sides = [side for side, _ in basic]
    assert [a / b for a, b in itertools.pairwise(sides)] == [2, 2, 2]
    (factor,) = {b / a for (_, a), (_, b) in zip(basic, bottleneck, strict=True)}
    return {
        "side and channels after each stage": basic,
        "side shrinks by": sides[0] // sides[1],
        "channels with bottlenecks, times": factor,
    }


@recomputes("resnet.c13")
def one_linear_layer() -> Values:
    """Find the linear layers and what comes before."""
    linear = layers(network("resnet50"), nn.Linear)
    last = [line.kind for line in summary("resnet50").rows if line.macs or "Pool" in line.kind][-2:]
    assert last == ["AdaptiveAvgPool2d", "Linear"]
    return {
        "linear layers": len(linear),
        "outputs": linear[-1].out_features,
        "the end": " → ".join(last),
    }


@recomputes("resnet.c14")
def parameters_of_the_linear_layer() -> Values:
    """Find it and count."""
    (linear,) = layers(network("resnet50"), nn.Linear)
    return {
        "inputs, outputs": [linear.in_features, linear.out_features],
        "parameters": count(linear),
    }


@recomputes("resnet.c15")
def norm_after_every_convolution() -> Values:
    """Walk through the layers in the order of execution."""
    order = [line.kind for line in summary("resnet50").rows]
    after = [order[i + 1] for i, kind in enumerate(order) if kind == "Conv2d"]
    assert set(after) == {"BatchNorm2d"}
    before_relu = {order[i - 1] for i, kind in enumerate(order) if kind == "ReLU"}
    return {
        "convolutions": order.count("Conv2d"),
        "batch normalisations": order.count("BatchNorm2d"),
        "of them right after a convolution": len(after),
        "what a ReLU follows": ", ".join(sorted(before_relu)),
    }


@recomputes("resnet.c16")
def he_initialisation() -> Values:
    """Draw many filters by either rule and measure variance times inputs."""
    n_in = 64 * 3 * 3
    generator = torch.Generator().manual_seed(0)
    weight = torch.empty(4096, 64, 3, 3)
    he = nn.init.kaiming_normal_(weight, generator=generator).square().mean().item()
    # Glorot's rule for as many outputs as inputs is the fan-in variance that the notes start from.
    square = torch.empty(1024, 1024)
    xavier = nn.init.xavier_normal_(square, generator=generator).square().mean().item()
    assert abs(he**0.5 - (2 / n_in) ** 0.5) < 1e-4
    return {
        "inputs of a 3×3 filter on 64 channels": n_in,
        "He: variance × inputs": round(he * n_in, 2),
        "Xavier: variance × inputs": round(xavier * 1024, 2),
        "He: standard deviation": round(he**0.5, 4),
    }


@recomputes("resnet.c22")
def dropout_layers() -> Values:
    """Search the network."""
    found = [
        type(m).__name__ for m in network("resnet50").modules() if "Dropout" in type(m).__name__
    ]
    assert not found
    return {"dropout layers in ResNet-50": len(found)}


@recomputes("resnet.c23", quoted=(0.1, 7.93, 6.43))
def very_deep() -> Values:
    """Build the CIFAR networks of both depths and count; the errors are the paper's."""
    result: Values = {"layers of ResNet-152": len(main_path(network("resnet152")))}
    for n in (200, 18):
        with torch.device("meta"):
            net = CifarResNet(6 * n + 2)
        result[f"n = {n}"] = {"layers": len(main_path(net)), "parameters": count(net)}
    return result


@recomputes("resnet.c28")
def resnext_block() -> Values:
    """Read both blocks; then run a grouped convolution and the sum of its paths."""
    resnet, resnext = (network(name).stage1[0] for name in ("resnet50", "resnext50_32x4d"))
    assert kernels(resnet) == kernels(resnext)
    grouped = main_path(resnext)[1]
    groups, width = grouped.groups, grouped.in_channels // grouped.groups

    inner = groups * width
    x = random_numbers(1, 64, 6, 6)
    reduce, filters = (
        random_numbers(inner, 64, 1, 1, seed=1),
        random_numbers(inner, width, 3, 3, seed=2),
    )
    expand = random_numbers(256, inner, 1, 1, seed=3)
    block = F.conv2d(F.conv2d(F.conv2d(x, reduce), filters, groups=groups), expand)
    paths = []
    for i in range(groups):
        own = slice(i * width, (i + 1) * width)
        path = F.conv2d(F.conv2d(x, reduce[own]), filters[own])
        paths.append(F.conv2d(path, expand[:, own]))
    equal = torch.allclose(block, torch.stack(paths).sum(0))
    assert equal
    return {
        "kernels of both blocks": kernels(resnet),
        "groups of the 3×3": [main_path(resnet)[1].groups, groups],
        "width of a group": width,
        "paths added": len(paths),
        "equal to the grouped block": equal,
        "parameters": [count(network(name)) for name in ("resnet50", "resnext50_32x4d")],
    }


@recomputes("resnet.c29")
def cardinality() -> Values:
    """Count the weights of the two blocks, without normalisation and shortcut."""
    result: Values = {}
    for name in ("resnext50_32x4d", "resnet50"):
        convs = main_path(network(name).stage1[1])
        result[name] = {
            "groups": convs[1].groups,
            "width of a group": convs[1].in_channels // convs[1].groups,
            "weights": sum(conv.weight.numel() for conv in convs),
        }
    return result
