"""`cnnlib.summary.summarize` against torchinfo, fvcore and PyTorch's own flop counter."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version

import torch
import torchinfo
import torchvision
from fvcore.nn import FlopCountAnalysis, parameter_count
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cnnlib.models
from bench.harness import Comparison
from cnnlib.summary import summarize

MODELS = ["vgg16", "resnet50", "googlenet", "densenet121", "mobilenet_v3_large"]
SIZE = (3, 224, 224)
NOTE = (
    "Same network, same sums (checked). torchinfo and fvcore run the network on the CPU, their "
    "default; torchinfo is also shown on a meta copy made beforehand. The flop counter gives "
    "operation counts alone: no shapes, parameters or activations."
)


# Not a network, or not one for photographs.
NOT_IN_ZOO = re.compile("cifar|lenet|unet|autoencoder|corrupt|loss")


def comparisons() -> Iterator[Comparison]:
    for name in MODELS:
        extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        yield compare(name, torchvision.models.get_model(name, **extra).eval())
    yield zoo()


def zoo() -> Comparison:
    """All of the course's networks for photographs, one after the other, on the meta device."""
    names = [n for n in cnnlib.models.__all__ if n.islower() and not NOT_IN_ZOO.search(n)]
    with torch.device("meta"):
        models = {name: getattr(cnnlib.models, name)().eval() for name in names}
    for name, model in models.items():
        ours = summarize(model, SIZE)
        check(name, "fvcore", on_cpu(model), (ours.parameters, ours.macs))
        check(name, "flop counter", by_flop_counter(model), 2 * ours.macs)
        check(name, "torchinfo", by_torchinfo(model, "meta")[0], ours.parameters)

    def each(work: Callable[[nn.Module], object]) -> Callable[[], object]:
        return lambda: [work(model) for model in models.values()]

    return Comparison(
        name="summarize",
        workload=f"the whole zoo, {len(models)} networks",
        ours=each(lambda model: summarize(model, SIZE)),
        peers={
            f"torchinfo {version('torchinfo')} (meta)": each(lambda m: by_torchinfo(m, "meta")),
            f"fvcore {version('fvcore')} (CPU)": each(on_cpu),
            f"torch {version('torch')} flop counter (meta)": each(by_flop_counter),
        },
        note=NOTE,
    )


def by_torchinfo(network: nn.Module, device: str) -> tuple[int, int]:
    """Parameters and multiply-adds, as torchinfo counts them."""
    result = torchinfo.summary(network, input_size=(1, *SIZE), device=device, verbose=0)
    return result.total_params, result.total_mult_adds


def on_cpu(meta: nn.Module) -> tuple[int, int]:
    """fvcore cannot trace on the meta device, so it gets empty weights for as long as it runs."""
    return by_fvcore(copy.deepcopy(meta).to_empty(device="cpu"))


def by_fvcore(model: nn.Module) -> tuple[int, int]:
    """Parameters and multiply-adds, as fvcore counts them on the CPU."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # fvcore traces with torch.jit, which is deprecated.
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(model, torch.zeros(1, *SIZE))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counts = analysis.by_operator()
    return parameter_count(model)[""], counts["conv"] + counts["linear"]


def by_flop_counter(meta: nn.Module) -> int:
    """Floating point operations of a network on the meta device, two per multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(torch.empty(1, *SIZE, device="meta"))
    return counter.get_total_flops()


def compare(name: str, model: nn.Module) -> Comparison:
    meta = copy.deepcopy(model).to("meta")
    ours = summarize(model, SIZE)
    check(name, "fvcore", by_fvcore(model), (ours.parameters, ours.macs))
    check(name, "flop counter", by_flop_counter(meta), 2 * ours.macs)
    for network, device in [(model, "cpu"), (meta, "meta")]:
        # torchinfo's multiply-adds include biases and BatchNorm: under 0.5 % more.
        parameters, macs = by_torchinfo(network, device)
        check(name, "torchinfo", parameters, ours.parameters)
        check(name, "torchinfo", abs(macs - ours.macs) < 0.005 * ours.macs, True)

    return Comparison(
        name="summarize",
        workload=f"{name} {'×'.join(map(str, SIZE))}",
        ours=lambda: summarize(model, SIZE),
        peers={
            f"torchinfo {version('torchinfo')} (CPU)": lambda: by_torchinfo(model, "cpu"),
            f"torchinfo {version('torchinfo')} (meta)": lambda: by_torchinfo(meta, "meta"),
            f"fvcore {version('fvcore')} (CPU)": lambda: by_fvcore(model),
            f"torch {version('torch')} flop counter (meta)": lambda: by_flop_counter(meta),
        },
        note=NOTE,
    )


def check(model: str, peer: str, got: object, ours: object) -> None:
    """Stop rather than compare the speed of two answers to different questions."""
    if got != ours:
        raise RuntimeError(f"{model}: {peer} gives {got}, cnnlib {ours}")
