"""Networks of `cnnlib.models` against torchvision's: forward, training step, peak memory.

`python -m bench models` runs all of it; `python -m bench.models --quick` a few networks on small
images. Both networks get the same parameters and the same images, and their outputs are compared
before anything is timed. NASNet, Xception and ShuffleNet v1, which torchvision lacks, are timed
alone. On a machine with a GPU the networks run there, and also with channels-last memory and
automatic mixed precision.
"""

from __future__ import annotations

import argparse
import copy
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import cnnlib.models
from bench import harness
from bench.harness import Comparison

GOOGLENET = {"aux_logits": False, "init_weights": False}
# name: options of ours, options of torchvision's
SHARED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alexnet": ({"variant": "torchvision"}, {}),
    "vgg16": ({}, {}),
    "googlenet": ({"variant": "torchvision"}, GOOGLENET),
    "inception_v3": ({"aux_heads": False}, GOOGLENET),
    "resnet18": ({}, {}),
    "resnet50": ({}, {}),
    "resnext50_32x4d": ({}, {}),
    "densenet121": ({}, {}),
    "squeezenet1_0": ({}, {}),
    "shufflenet_v2_x1_0": ({}, {}),
    "mobilenet_v2": ({}, {}),
    "mobilenet_v3_large": ({}, {}),
    "mobilenet_v3_small": ({}, {}),
}
ALONE = ("nasnet_mobile", "xception", "shufflenet_v1")
QUICK = ("resnet18", "squeezenet1_0", "mobilenet_v3_small")


def comparisons(*, quick: bool = False, only: Sequence[str] = ()) -> Iterator[Comparison]:
    """Yield forward passes and training steps of every network, or of those named in `only`."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    batch, size = (32, 224) if gpu else (2, 96) if quick else (4, 224)
    for name, (options, their_options) in SHARED.items():
        if (quick and name not in QUICK) or (only and name not in only):
            continue
        pair = {
            "cnnlib": getattr(cnnlib.models, name)(**options).to(device),
            f"torchvision {torchvision.__version__}": torchvision.models.get_model(
                name, **their_options
            ).to(device),
        }
        side = 299 if name == "inception_v3" and not quick else size
        images = torch.randn(batch, 3, side, side, device=device)
        check_same(name, *pair.values(), images)
        yield from compare(name, pair, images)
        if gpu:
            for model in pair.values():
                model.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
            yield from compare(f"{name} NHWC AMP", pair, images, mixed_precision=True)
    for name in () if quick else ALONE:
        if only and name not in only:
            continue
        model = getattr(cnnlib.models, name)().to(device)
        images = torch.randn(batch, 3, size, size, device=device)
        yield from compare(name, {"cnnlib": model}, images)


def check_same(name: str, ours: nn.Module, theirs: nn.Module, images: Tensor) -> None:
    """Stop rather than compare the speed of two different networks."""
    state = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(state)
    with torch.no_grad():
        got, expected = ours.eval()(images), theirs.eval()(images)
    if not torch.allclose(got, expected, rtol=1e-3, atol=1e-4):
        raise RuntimeError(f"{name}: cnnlib and torchvision compute different outputs")


def compare(
    name: str, models: dict[str, nn.Module], images: Tensor, *, mixed_precision: bool = False
) -> Iterator[Comparison]:
    """Yield the forward pass and the training step of one network; ours comes first."""
    workload = f"{name} {'×'.join(map(str, images.shape))}"
    for kind, make in (("forward", forward_pass), ("training step", training_step)):
        runs = {who: make(model, images, mixed_precision) for who, model in models.items()}
        ours, *peers = runs
        yield Comparison(
            kind, workload, runs[ours], {p: runs[p] for p in peers}, memory_note(models, images)
        )


def autocast(images: Tensor, enabled: bool) -> AbstractContextManager:
    return torch.autocast(images.device.type, dtype=torch.float16) if enabled else nullcontext()


def forward_pass(model: nn.Module, images: Tensor, mixed_precision: bool) -> Callable[[], None]:
    def run() -> None:
        model.eval()
        with torch.inference_mode(), autocast(images, mixed_precision):
            model(images)
        wait(images)

    return run


def training_step(model: nn.Module, images: Tensor, mixed_precision: bool) -> Callable[[], None]:
    labels = torch.arange(len(images), device=images.device)

    def run() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        with autocast(images, mixed_precision):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        wait(images)

    return run


def wait(images: Tensor) -> None:
    """A GPU works on while Python goes ahead; wait for it, or nothing is measured."""
    if images.is_cuda:
        torch.cuda.synchronize(images.device)


def memory_note(models: dict[str, nn.Module], images: Tensor) -> str:
    """Peak memory of a training step, ours and the peer's."""
    peaks = {who: peak_bytes(model, images) for who, model in models.items()}
    megabytes = [f"{who} {peak / 1e6:.1f} MB" for who, peak in peaks.items()]
    ours, *peers = peaks.values()
    ratio = f", ratio {peers[0] / ours:.3f}×" if peers else ""
    class_name = type(next(iter(models.values()))).__name__
    shape = "×".join(map(str, images.shape))
    return f"peak memory of a training step, {class_name} {shape}: {', '.join(megabytes)}{ratio}"


def peak_bytes(model: nn.Module, images: Tensor) -> int:
    """Most bytes of tensors alive at a time in a training step, without parameters and images.

    Counted on a meta copy, so it is exact, costs no memory and is the same on every machine.
    Workspace inside a PyTorch function is not seen.
    """
    meta = copy.deepcopy(model).to("meta")
    step = training_step(meta, images.to("meta"), mixed_precision=False)
    with LiveMemory() as memory:
        step()
    return memory.peak


class LiveMemory(TorchDispatchMode):
    """Follows every storage that an operation makes until Python and autograd let go of it."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[weakref.ref, int] = {}
        self.known: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        inputs = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if is_tensor(t)}
        result = func(*args, **(kwargs or {}))
        for tensor in filter(is_tensor, tree_leaves(result)):
            storage = tensor.untyped_storage()
            if id(storage) not in inputs and id(storage) not in self.known:
                self.known.add(id(storage))
                self.alive[weakref.ref(storage, self._free(id(storage)))] = storage.nbytes()
                self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        return result

    def _free(self, key: int) -> Callable[[weakref.ref], None]:
        def free(reference: weakref.ref) -> None:
            self.now -= self.alive.pop(reference)
            self.known.discard(key)

        return free


def is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three networks on small images")
    parser.add_argument("--repetitions", type=int, default=9, metavar="N", help="default 9")
    parser.add_argument(
        "--only", nargs="+", default=(), choices=[*SHARED, *ALONE], metavar="NAME", help="networks"
    )
    parser.add_argument("--clock", choices=sorted(harness.CLOCKS), default="wall")
    arguments = parser.parse_args()
    facts = ", ".join(f"{key} {value}" for key, value in harness.environment().items())
    print(facts, flush=True)
    results = []
    for comparison in comparisons(quick=arguments.quick, only=arguments.only):
        print(f"{comparison.name}: {comparison.workload} …", file=sys.stderr, flush=True)
        results.append(harness.measure(comparison, arguments.repetitions, arguments.clock))
    print(harness.table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
