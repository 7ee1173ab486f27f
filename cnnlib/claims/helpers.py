"""What several recomputations share: networks without weights, counts, and what a layer sees."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib import models
from cnnlib.summary import Row, Summary, summarize


def count(module: nn.Module) -> int:
    """Number of learnable values of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


@functools.cache
def network(name: str, **options: Any) -> nn.Module:
    """The network `cnnlib.models.name`, with shapes but no values: VGG-16 costs no memory."""
    with torch.device("meta"):
        return getattr(models, name)(**options)


@functools.cache
def summary(name: str, size: int = 224, **options: Any) -> Summary:
    """Shapes and counts of a network, layer by layer, for one 3×`size`×`size` image."""
    return summarize(network(name, **options), (3, size, size))


def row(table: Summary, name: str) -> Row:
    """The row of one layer."""
    (found,) = [line for line in table.rows if line.name == name]
    return found


def layers(model: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    """The layers of the given kinds, in the order in which the network registers them."""
    return [layer for layer in model.modules() if isinstance(layer, kinds)]


def kinds(model: nn.Module) -> list[str]:
    """Names of the layers that hold no further layers, in order: ["Conv2d", "ReLU", …]."""
    return [type(layer).__name__ for layer in model.modules() if not list(layer.children())]


def shape(build: Callable[[], nn.Module], *size: int) -> tuple[int, ...]:
    """Output shape of a layer for one input of the given size, without the batch; no values."""
    with torch.device("meta"):
        return tuple(build().eval()(torch.empty(1, *size)).shape[1:])


def seen_pixels(*kernels: int) -> int:
    """Side of the input region that one output of stacked convolutions depends on, measured."""
    x = torch.zeros(1, 1, 31, 31, requires_grad=True)
    y = x
    for kernel in kernels:
        y = F.conv2d(y, torch.ones(1, 1, kernel, kernel), padding=kernel // 2)
    y[0, 0, 15, 15].backward()
    return int((x.grad[0, 0].abs().sum(dim=0) > 0).sum())


def two_digits(number: float) -> int:
    """A number as the notes round it, to two significant digits: 802,816 becomes 800,000."""
    return int(float(f"{number:.1e}"))


def random_numbers(*size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Normally distributed numbers, the same in every run; the global random state stays."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
