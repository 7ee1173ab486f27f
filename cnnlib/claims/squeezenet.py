"""Recomputations of the notes' chapter on SqueezeNet."""

from __future__ import annotations

from torch import nn
from torchvision.models import AlexNet_Weights, SqueezeNet1_0_Weights

from cnnlib.claims.helpers import count, layers, network, summary
from cnnlib.claims.registry import Values, recomputes
from cnnlib.models.squeezenet import Fire


def fire_modules(name: str = "squeezenet1_0") -> list[Fire]:
    """The Fire modules, fire2 first."""
    return layers(network(name), Fire)


@recomputes("squeezenet.c01", quoted=(1,))
def fraction_of_alexnet() -> Values:
    """Divide the counts, once for each AlexNet."""
    squeezenet = count(network("squeezenet1_0"))
    result: Values = {"SqueezeNet": squeezenet}
    for variant in ("original", "ungrouped"):
        alexnet = count(network("alexnet", variant=variant))
        result[f"AlexNet, {variant}"] = alexnet
        result[f"{variant}: ratio"] = alexnet / squeezenet
    return result


@recomputes("squeezenet.c02", quoted=(80.3,))
def published_accuracy() -> Values:
    """Read what torchvision publishes with its weights."""
    published = [
        weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]
        for weights in (SqueezeNet1_0_Weights, AlexNet_Weights)
    ]
    return {
        "top-5 of SqueezeNet and AlexNet": [metrics["acc@5"] for metrics in published],
        "top-1": [metrics["acc@1"] for metrics in published],
    }


@recomputes("squeezenet.c03")
def saving_by_1x1() -> Values:
    """Count the weights of both."""
    large, small = (nn.Conv2d(16, 64, k, bias=False) for k in (3, 1))
    return {"weights": [count(large), count(small)], "ratio": count(large) / count(small)}


@recomputes("squeezenet.c04")
def who_reduces_channels() -> Values:
    """Read kernel and channels of the layers of every Fire module."""
    result: Values = {}
    for number, fire in enumerate(fire_modules(), start=2):
        squeeze, _, expand = layers(fire, nn.Conv2d)
        assert squeeze.kernel_size == (1, 1)
        assert expand.kernel_size == (3, 3)
        assert expand.in_channels == squeeze.out_channels < squeeze.in_channels
        result[f"fire{number}: squeeze"] = {
            "kernel": squeeze.kernel_size[0],
            "channels": [squeeze.in_channels, squeeze.out_channels],
        }
    return {**result, "kernel fed by them": expand.kernel_size[0]}


@recomputes("squeezenet.c05")
def late_downsampling() -> Values:
    """Compare the maps of version 1.0 with those of 1.1, which pools earlier."""
    result: Values = {}
    for name in ("squeezenet1_0", "squeezenet1_1"):
        lines = [line for line in summary(name).rows if line.kind == "Fire"]
        result[f"{name}: sides after fire2 to fire9"] = [line.output_shape[-1] for line in lines]
        result[f"{name}: multiply-adds"] = summary(name).macs
    late, early = (
        result[f"{n}: sides after fire2 to fire9"] for n in ("squeezenet1_0", "squeezenet1_1")
    )
    assert all(a >= b - 2 for a, b in zip(late, early, strict=True))
    assert sum(a * a for a in late) > sum(b * b for b in early)
    return result


@recomputes("squeezenet.c06")
def fire_module() -> Values:
    """Read the kernels of every Fire module and count the first."""
    found = {tuple(c.kernel_size[0] for c in layers(f, nn.Conv2d)) for f in fire_modules()}
    ((squeeze, *expand),) = found
    fire2 = layers(fire_modules()[0], nn.Conv2d)
    return {
        "squeeze": (squeeze, squeeze),
        "expand": [(side, side) for side in expand],
        "fire2: channels": [fire2[0].in_channels, *(conv.out_channels for conv in fire2)],
        "fire2: parameters": count(fire_modules()[0]),
    }
