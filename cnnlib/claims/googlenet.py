"""Recomputations of the notes' chapter on GoogLeNet and Inception v2."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib import arithmetic
from cnnlib.claims.helpers import count, layers, network, random_numbers, row, shape, summary
from cnnlib.claims.registry import Values, recomputes
from cnnlib.losses import LabelSmoothingLoss
from cnnlib.models.googlenet import MODULES, Filters, GoogLeNet, Inception, NaiveInception
from cnnlib.summary import Row, Summary, summarize

# The column "params" of the paper's table 1, in thousands, from the first convolution to the last
# layer: arXiv:1409.4842. The sum is not printed there.
PAPER_TABLE_1 = (2.7, 112, 159, 380, 364, 437, 463, 580, 840, 1072, 1388, 1000)
PAPER_ALEXNET = 60e6  # "12 times fewer parameters than the winning architecture", introduction
EXAMPLE = (256, 28, 28)  # the input of the slides' module: channels, height, width


@functools.cache
def module(kind: str) -> nn.Module:
    """The slides' example: the naive module, or the one with 64 filters in every reduction."""
    with torch.device("meta"):
        if kind == "naive":
            return NaiveInception(EXAMPLE[0], 128, 192, 96)
        return Inception(EXAMPLE[0], Filters(128, 64, 192, 64, 96, 64))


@functools.cache
def example(kind: str) -> Summary:
    """What the example costs."""
    return summarize(module(kind), EXAMPLE)


def window(kind: str, line: Row) -> tuple[int, int, int]:
    """Height, width and channels of the filters of one of the example's convolutions."""
    channels, height, width = module(kind).get_submodule(line.name).weight.shape[1:]
    return height, width, channels


def naive_convolution(filters: int) -> Values:
    """A convolution of the naive module: its output, its window and its multiplications."""
    (line,) = [
        line
        for line in example("naive").rows
        if line.kind == "Conv2d" and line.output_shape[1] == filters
    ]
    _, channels, height, width = line.output_shape
    kernel, _, depth = window("naive", line)
    assert line.macs == arithmetic.conv_macs(depth, filters, kernel, (height, width))
    return {
        "output": (height, width, channels),
        "window": window("naive", line),
        "multiplications": line.macs,
    }


def weight_layers_in_a_row() -> int:
    """Layers with weights on the longest way through GoogLeNet."""
    googlenet = network("googlenet")
    longest = [
        max(len(layers(branch, nn.Conv2d)) for branch in module.branches)
        for module in googlenet.inception.values()
    ]
    return (
        len(layers(googlenet.stem, nn.Conv2d)) + sum(longest) + len(layers(googlenet.fc, nn.Linear))
    )


@recomputes("googlenet.c03", quoted=(1,))
def parameters() -> Values:
    """Build the networks and count; add up the paper's own table."""
    googlenet = network("googlenet")
    return {
        "convolutions": sum(count(conv) for conv in layers(googlenet, nn.Conv2d)),
        "linear layer": count(googlenet.fc),
        "together": count(googlenet),
        "sum of the paper's table": 1e3 * sum(PAPER_TABLE_1),
        "with both training heads": count(network("googlenet", aux_heads=True)),
        "torchvision": count(network("googlenet", variant="torchvision")),
    }


@recomputes("googlenet.c04", quoted=(1, 12, PAPER_ALEXNET))
def parameters_of_the_other_file() -> Values:
    """Build the network and count; divide the paper's round numbers."""
    googlenet = network("googlenet")
    return {
        "together": count(googlenet),
        "sum of the paper's table": 1e3 * sum(PAPER_TABLE_1),
        "without the linear layer": count(googlenet) - count(googlenet.fc),
        "60M / 12": PAPER_ALEXNET / 12,
    }


@recomputes("googlenet.c05", quoted=(12, PAPER_ALEXNET))
def ratio_to_alexnet() -> Values:
    """Divide the two counts."""
    alexnet, googlenet = count(network("alexnet")), count(network("googlenet"))
    table = 1e3 * sum(PAPER_TABLE_1)
    return {
        "AlexNet": alexnet,
        "GoogLeNet": googlenet,
        "ratio": alexnet / googlenet,
        "without the linear layer": alexnet / (googlenet - count(network("googlenet").fc)),
        "sum of the paper's table": table,
        "ratio of the paper's numbers": PAPER_ALEXNET / table,
    }


@recomputes("googlenet.c06")
def depth() -> Values:
    """Count layers with weights on the longest way, and the poolings between them."""
    googlenet = network("googlenet")
    stem = len(layers(googlenet.stem, nn.Conv2d))
    modules = len(googlenet.inception)
    pools = [line for line in summary("googlenet").rows if "Pool" in line.kind]
    between = [line for line in pools if not line.name.startswith("inception")]
    linear = len(layers(googlenet.fc, nn.Linear))
    assert weight_layers_in_a_row() == stem + 2 * modules + linear
    return {
        "stem": stem,
        "modules": modules,
        "layers per module": (weight_layers_in_a_row() - stem - linear) // modules,
        "linear": linear,
        "together": weight_layers_in_a_row(),
        "with pooling": weight_layers_in_a_row() + len(between),
    }


@recomputes("googlenet.c07")
def inception_modules() -> Values:
    """Count the modules in the network."""
    found = layers(network("googlenet"), Inception)
    assert len(found) == len(MODULES)
    return {
        "modules": len(found),
        "names": ", ".join(MODULES),
        "stage of each": [int(name[0]) for name in MODULES],
    }


@recomputes("googlenet.c08")
def fully_connected_layers() -> Values:
    """Count linear layers in the network and in one training head."""
    with_heads = network("googlenet", aux_heads=True)
    (last,) = layers(network("googlenet"), nn.Linear)
    widths = [layer.out_features for layer in layers(network("alexnet"), nn.Linear)[:-1]]
    return {
        "large layers of AlexNet": len(widths),
        "their width": widths,
        "linear layers": len(layers(network("googlenet"), nn.Linear)),
        "inputs, outputs": [last.in_features, last.out_features],
        "parameters": count(last),
        "in each head": [len(layers(h, nn.Linear)) for h in (with_heads.aux1, with_heads.aux2)],
    }


@recomputes("googlenet.c09")
def global_average_pooling() -> Values:
    """Read the shapes, and count what a fully connected layer in its place would need."""
    line = row(summary("googlenet"), "global_pool")
    channels, height, width = line.input_shape[1:]
    return {
        "before": (height, width, channels),
        "after": (*line.output_shape[2:], line.output_shape[1]),
        "weights": line.parameters,
        "weights of a fully connected layer": arithmetic.linear_parameters(
            height * width * channels, channels, bias=False
        ),
    }


@recomputes("googlenet.c11")
def auxiliary_pooling() -> Values:
    """Run the pooling on the maps it gets."""
    heads = network("googlenet", aux_heads=True)
    (pool,) = layers(heads.aux1.pool, nn.AvgPool2d)
    result: Values = {"window": (pool.kernel_size,) * 2, "stride": pool.stride}
    for name, head in (("4a", heads.aux1), ("4d", heads.aux2)):
        channels = layers(head, nn.Conv2d)[0].in_channels
        line = row(summary("googlenet"), f"inception.{name}")
        assert line.output_shape[1:] == (channels, 14, 14)
        made = pool(torch.empty(line.output_shape, device="meta")).shape
        result[f"after {name}"] = [line.output_shape[2:], (*made[2:], made[1])]
    return result


@recomputes("googlenet.c12")
def auxiliary_heads() -> Values:
    """Read the layers and count."""
    heads = network("googlenet", aux_heads=True)
    (conv,) = layers(heads.aux1, nn.Conv2d)
    (dropout,) = layers(heads.aux1, nn.Dropout)
    return {
        "convolution": tuple(conv.kernel_size),
        "filters": conv.out_channels,
        "fully connected": [layer.out_features for layer in layers(heads.aux1, nn.Linear)],
        "dropout, %": 100 * dropout.p,
        "parameters": [count(heads.aux1), count(heads.aux2)],
    }


@recomputes("googlenet.c13", quoted=(0.3,))
def heads_in_training_only() -> Values:
    """Call the network in both modes and count what it returns."""
    with torch.device("meta"):
        googlenet, picture = GoogLeNet(aux_heads=True), torch.empty(2, 3, 224, 224)
        training = len(googlenet.train()(picture))
        logits = googlenet.eval()(picture)
    alone = isinstance(logits, torch.Tensor) and logits.shape == (2, 1000)
    assert alone
    return {"outputs in training": training, "in evaluation only the logits": alone}


@recomputes("googlenet.c14", quoted=(2014, 2015))
def gradient_with_and_without_heads() -> Values:
    """Measure the gradient behind the stem at the random start: main loss, and first head."""
    values: Values = {}
    images, labels = random_numbers(2, 3, 96, 96, dtype=torch.float32), torch.tensor([1, 2])
    for variant in ("original", "torchvision"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = GoogLeNet(variant=variant, aux_heads=True).train()
            kept: list[torch.Tensor] = []
            model.stem.register_forward_hook(lambda _m, _i, output, kept=kept: kept.append(output))
            out = model(images)
        main, head = (
            torch.autograd.grad(F.cross_entropy(scores, labels), kept, retain_graph=True)[0].norm()
            for scores in (out.logits, out.aux1)
        )
        norm = "with" if variant == "torchvision" else "without"
        share = (0.3 * head / main).item()
        values[f"{norm} batch norm: gradient of head at 4a / of the main loss"] = round(share, 2)
    without, with_norm = values.values()
    assert without > 3 * with_norm  # the heads bring gradient where nothing else keeps it up
    values["training with and without heads"] = "not computed here, see the chapter's curves"
    return values


@recomputes("googlenet.c15")
def naive_branches() -> Values:
    """Run each branch of the module: all must keep the size."""
    with torch.device("meta"):
        outputs = [branch(torch.empty(1, *EXAMPLE)) for branch in module("naive").branches]
        together = module("naive")(torch.empty(1, *EXAMPLE))
    windows = layers(module("naive"), nn.Conv2d, nn.MaxPool2d)
    assert {tuple(y.shape[2:]) for y in outputs} == {EXAMPLE[1:]}
    assert together.shape[1] == sum(y.shape[1] for y in outputs)
    return {
        "branches": len(outputs),
        "window": [
            w.kernel_size if isinstance(w, nn.MaxPool2d) else w.kernel_size[0] for w in windows
        ],
        "stride": [w.stride if isinstance(w, nn.MaxPool2d) else w.stride[0] for w in windows],
        "padding": [w.padding if isinstance(w, nn.MaxPool2d) else w.padding[0] for w in windows],
    }


@recomputes("googlenet.c16")
def naive_output() -> Values:
    """Run the module."""
    channels, height, width = shape(lambda: NaiveInception(256, 128, 192, 96), *EXAMPLE)
    return {"output": (height, width, channels)}


@recomputes("googlenet.c17")
def naive_1x1() -> Values:
    """Run the module and count."""
    return naive_convolution(128)


@recomputes("googlenet.c18")
def naive_3x3() -> Values:
    """Run the module and count."""
    return naive_convolution(192)


@recomputes("googlenet.c19")
def naive_5x5() -> Values:
    """Run the module and count."""
    return naive_convolution(96)


@recomputes("googlenet.c20")
def naive_total() -> Values:
    """Count the whole module."""
    macs = example("naive").macs
    return {"multiply-accumulates": macs, "GFLOP": 2 * macs / 1e9}


@recomputes("googlenet.c21")
def bottleneck_total() -> Values:
    """Count the whole module, and look for the sum that gives the slide's number."""
    convs = [line for line in example("reduced").rows if line.kind == "Conv2d"]
    (conv3x3,) = [line for line in convs if line.output_shape[1] == 192]
    total = example("reduced").macs
    assert total == sum(line.macs for line in convs)
    return {
        "convolutions": len(convs),
        "together": total,
        "window with 192 filters": window("reduced", conv3x3),
        "its multiply-accumulates": conv3x3.macs,
        "together, that one counted twice": total + conv3x3.macs,
    }


@recomputes("googlenet.c22")
def convolutions_listed() -> Values:
    """List the module's convolutions, and leave out one reduction."""
    convs = [line for line in example("reduced").rows if line.kind == "Conv2d"]
    alike = [c for c in convs if window("reduced", c) == (1, 1, 256) and c.output_shape[1] == 64]
    reduction = alike[0]
    return {
        "convolutions": len(convs),
        "filters of a reduction": reduction.output_shape[1],
        "its window": window("reduced", reduction),
        "convolutions like it": len(alike),
        "multiply-accumulates without one of them": example("reduced").macs - reduction.macs,
    }


@recomputes("googlenet.c23")
def saving() -> Values:
    """Divide the two totals."""
    totals = [example(kind).macs for kind in ("naive", "reduced")]
    depths = [row(example(kind), "").output_shape[1] for kind in ("naive", "reduced")]
    return {
        "million multiply-accumulates": [total / 1e6 for total in totals],
        "ratio": totals[0] / totals[1],
        "output channels": depths,
    }


@recomputes("googlenet.c24")
def depth_can_only_grow() -> Values:
    """Run the naive module with next to no filters of its own."""
    depths = {}
    for filters in (1, 8, 96):
        depths[filters] = shape(lambda f=filters: NaiveInception(256, f, f, f), *EXAMPLE)[0]
    assert all(depth > EXAMPLE[0] for depth in depths.values())
    return {f"256 channels in, 3 × {f} filters, out": depth for f, depth in depths.items()}


@recomputes("googlenet.c25")
def linearity_of_1x1() -> Values:
    """Test additivity of a bare 1×1 convolution and of one with its ReLU."""
    weight = random_numbers(64, 64, 1, 1, seed=0)
    x, y = random_numbers(1, 64, 8, 8, seed=1), random_numbers(1, 64, 8, 8, seed=2)

    def is_additive(with_relu: bool) -> bool:
        def f(z: torch.Tensor) -> torch.Tensor:
            z = F.conv2d(z, weight)
            return z.relu() if with_relu else z

        return torch.allclose(f(x + y), f(x) + f(y))

    result = {"bare": is_additive(False), "with ReLU": is_additive(True)}
    assert result == {"bare": True, "with ReLU": False}
    return {
        "kernel": tuple(weight.shape[2:]),
        **{f"{k}: f(x + y) = f(x) + f(y)": v for k, v in result.items()},
    }


@recomputes("googlenet.c26")
def reduction_saves() -> Values:
    """Count both modules."""
    return {kind: example(kind).macs for kind in ("naive", "reduced")}


@recomputes("googlenet.c27")
def where_the_reductions_stand() -> Values:
    """List kernels and poolings of each branch in the order of execution."""
    inception = network("googlenet").inception["3a"]
    order = {
        f"branch {number}": [
            "pool" if isinstance(layer, nn.MaxPool2d) else layer.kernel_size[0]
            for layer in layers(branch, nn.Conv2d, nn.MaxPool2d)
        ]
        for number, branch in enumerate(inception.branches, start=1)
    }
    assert list(order.values()) == [[1], [1, 3], [1, 5], ["pool", 1]]
    return dict(order)


@recomputes("googlenet.c31")
def two_3x3_for_5x5() -> Values:
    """Count weights of both, and measure what they see."""
    c = 64
    small = 2 * count(nn.Conv2d(c, c, 3, bias=False))
    large = count(nn.Conv2d(c, c, 5, bias=False))
    fields = [field.size for field in arithmetic.receptive_field([(3, 1), (3, 1)])]
    return {
        "layers": len(fields),
        "field after each": fields,
        "weights / C²": [small // c**2, large // c**2],
        "cheaper, %": 100 * (1 - small / large),
    }


@recomputes("googlenet.c32")
def asymmetric_convolutions() -> Values:
    """Count weights of the pair and of the square."""
    result: Values = {}
    c = 64
    for n in (3, 7):
        pair = [nn.Conv2d(c, c, kernel, bias=False) for kernel in ((n, 1), (1, n))]
        square = nn.Conv2d(c, c, n, bias=False)
        weights = sum(count(layer) for layer in pair)
        result[f"{n}: kernels"] = [tuple(layer.kernel_size) for layer in (*pair, square)]
        result[f"{n}: weights / C²"] = [weights // c**2, count(square) // c**2]
        result[f"{n}: cost, %"] = 100 * weights / count(square)
        result[f"{n}: cheaper, %"] = 100 * (1 - weights / count(square))
    return result


@recomputes("googlenet.c34")
def grid_reduction() -> Values:
    """Run the branches of Inception v3's first grid reduction."""
    reduction = next(
        m for m in network("inception_v3").modules() if type(m).__name__ == "GridReductionA"
    )
    x = torch.empty(1, 288, 35, 35, device="meta")
    outputs = [branch.eval()(x) for branch in reduction.branches]
    kinds = [type(layers(b, nn.Conv2d, nn.MaxPool2d)[-1]).__name__ for b in reduction.branches]
    assert len({tuple(y.shape[2:]) for y in outputs}) == 1
    assert kinds == ["Conv2d", "Conv2d", "MaxPool2d"]
    return {
        "input": tuple(x.shape[1:]),
        "branches end in": ", ".join(kinds),
        "their outputs": [tuple(y.shape[1:]) for y in outputs],
        "concatenated": tuple(reduction.eval()(x).shape[1:]),
    }


@recomputes("googlenet.c35", quoted=(1,))
def smoothed_targets() -> Values:
    """Read the targets off the gradient: at the logits z it is softmax(z) − q'."""
    epsilon, classes = LabelSmoothingLoss().epsilon, 1000
    logits = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    F.cross_entropy(logits, torch.tensor([3]), label_smoothing=epsilon).backward()
    targets = (logits.softmax(1) - logits.grad).detach()[0]
    return {
        "eps": epsilon,
        "classes": classes,
        "target of the right class": targets[3].item(),
        "target of each other class": targets[4].item(),
    }


def distributions() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of 5 pictures, log p and the labels."""
    logits = random_numbers(5, 10)
    return logits, logits.log_softmax(1), torch.tensor([0, 3, 9, 3, 5])


@recomputes("googlenet.c36", quoted=(1,))
def smoothed_cross_entropy() -> Values:
    """Evaluate both sides and PyTorch's own on random logits."""
    logits, log_p, labels = distributions()
    epsilon = 0.1
    u = torch.full_like(log_p, 1 / 10)
    q = F.one_hot(labels, 10).to(log_p.dtype)
    left = -(((1 - epsilon) * q + epsilon * u) * log_p).sum(1).mean()
    right = (1 - epsilon) * -(q * log_p).sum(1).mean() + epsilon * -(u * log_p).sum(1).mean()
    pytorch = F.cross_entropy(logits, labels, label_smoothing=epsilon)
    assert torch.allclose(left, right)
    assert torch.allclose(left, pytorch)
    return {"H(q', p)": left.item(), "split": right.item(), "PyTorch": pytorch.item()}


@recomputes("googlenet.c37")
def entropy_by_divergence() -> Values:
    """Evaluate both sides on random logits."""
    _, log_p, _ = distributions()
    u = torch.full_like(log_p, 1 / 10)
    cross = -(u * log_p).sum(1)
    divergence = F.kl_div(log_p, u, reduction="none").sum(1)
    entropy = -(u * u.log()).sum(1)
    assert torch.allclose(cross, divergence + entropy)
    return {
        "H(u, p)": cross.mean().item(),
        "KL(u||p)": divergence.mean().item(),
        "H(u), the same for every picture": entropy.mean().item(),
    }
