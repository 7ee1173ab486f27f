"""`cnnlib.summary.summarize` against torchinfo, fvcore and PyTorch's own flop counter."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from importlib.metadata import version

import torch
import torchinfo
import torchvision
from fvcore.nn import FlopCountAnalysis, parameter_count
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.harness import Comparison
from cnnlib.summary import summarize

MODELS = ["vgg16", "resnet50", "googlenet", "densenet121", "mobilenet_v3_large"]
SIZE = (3, 224, 224)
NOTE = (
    "Same network, same sums (checked). torchinfo and fvcore run the network on the CPU, their "
    "default; torchinfo is also shown on a meta copy made beforehand. The flop counter gives "
    "operation counts alone: no shapes, parameters or activations."
)


def comparisons() -> Iterator[Comparison]:
    for name in MODELS:
        extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        yield compare(name, torchvision.models.get_model(name, **extra).eval())


def compare(name: str, model: nn.Module) -> Comparison:
    batch = (1, *SIZE)
    meta = copy.deepcopy(model).to("meta")
    image = torch.randn(batch)

    def by_torchinfo(network: nn.Module, device: str) -> tuple[int, int]:
        result = torchinfo.summary(network, input_size=batch, device=device, verbose=0)
        return result.total_params, result.total_mult_adds

    def by_fvcore() -> tuple[int, int]:
        with warnings.catch_warnings():
            # fvcore traces with torch.jit, which is deprecated.
            warnings.simplefilter("ignore")
            analysis = FlopCountAnalysis(model, image)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            counts = analysis.by_operator()
        return parameter_count(model)[""], counts["conv"] + counts["linear"]

    def by_flop_counter() -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            meta(torch.empty(batch, device="meta"))
        return counter.get_total_flops()

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    ours = summarize(model, SIZE)
    check(name, "fvcore", by_fvcore(), (ours.parameters, ours.macs))
    check(name, "flop counter", by_flop_counter(), 2 * ours.macs)
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
            f"fvcore {version('fvcore')} (CPU)": by_fvcore,
            f"torch {version('torch')} flop counter (meta)": by_flop_counter,
        },
        note=NOTE,
    )


def check(model: str, peer: str, got: object, ours: object) -> None:
    """Stop rather than compare the speed of two answers to different questions."""
    if got != ours:
        raise RuntimeError(f"{model}: {peer} gives {got}, cnnlib {ours}")
