"""Parts that every training loop of the course is made of.

`cnnlib.training.fit` trains classifiers and everything else with one loss,
`cnnlib.detection.training` trains detectors, whose losses are several and whose pictures come in
lists. What both need is here: the optimiser, the learning rate over time, and the two promises that
a training leaves the modes of the modules and the random numbers of everybody else alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

Schedule = str | Callable[[float], float] | None

DEFAULT_LEARNING_RATE = {"sgd": 0.05, "adamw": 1e-3}


def make_optimizer(
    model: nn.Module,
    optimizer: str | torch.optim.Optimizer,
    lr: float | None,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """The optimiser for the trainable parameters of a model.

    Args:
        model: A network, or an `nn.ParameterList` of what learns.
        optimizer: "sgd" (with momentum), "adamw", or one that is made already and is given back.
        lr: Learning rate; None takes `DEFAULT_LEARNING_RATE`.
        momentum: Momentum of "sgd".
        weight_decay: L2 penalty ("sgd") or decoupled decay ("adamw").

    Raises:
        ValueError: The name is unknown, nothing is trainable, or `lr` or `weight_decay` is given
            for an optimiser that has its own.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        if lr is not None or weight_decay:
            raise ValueError("lr and weight_decay belong to the optimizer that you made; set them")
        return optimizer
    if optimizer not in DEFAULT_LEARNING_RATE:
        raise ValueError(f'optimizer must be "sgd", "adamw" or an optimizer; got {optimizer!r}')
    # Frozen parameters would still be changed by weight decay if the optimiser knew them.
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("no parameter of the model is trainable (requires_grad is False for all)")
    rate = DEFAULT_LEARNING_RATE[optimizer] if lr is None else lr
    if optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=weight_decay)


def learning_rate_factor(
    schedule: Schedule, epochs: int, warmup_epochs: float = 0.0
) -> Callable[[float], float]:
    """What the learning rate is multiplied by in the course of a training.

    Args:
        schedule: None keeps the rate, "cosine" lets it fall from 1 to 0 along half a cosine, "step"
            is 1, then 0.1 from one half and 0.01 from three quarters of the training; or a function
            from progress (0 to 1) to a factor. Progress counts from the end of the warm-up.
        epochs: Length of the training.
        warmup_epochs: Epochs in which the factor rises linearly from 0 before the schedule begins.

    Returns:
        Function from the epochs that are behind, 0 to `epochs` and with fractions, to the factor.

    Raises:
        ValueError: The schedule is unknown.
    """
    after_warmup = _schedule_function(schedule)

    def factor(position: float) -> float:
        if position < warmup_epochs:
            return position / warmup_epochs
        return after_warmup((position - warmup_epochs) / (epochs - warmup_epochs))

    return factor


def _schedule_function(schedule: Schedule) -> Callable[[float], float]:
    """The schedule as a function from progress in 0..1 to a factor on the learning rate."""
    if callable(schedule):
        return schedule
    if schedule is None:
        return lambda _progress: 1.0
    if schedule == "cosine":
        return lambda progress: 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "step":
        return lambda progress: 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    raise ValueError(f'schedule must be None, "cosine", "step" or a function; got {schedule!r}')


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for each epoch, so that a resumed epoch draws what it would have drawn."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@contextmanager
def own_random_stream(device: torch.device) -> Iterator[None]:
    """Put PyTorch's generators, that of the CPU and of `device`, back to where they were."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def restored_modes(model: nn.Module) -> Iterator[None]:
    """Put each module back into the mode, train or eval, in which it was."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """Device of the first parameter; the CPU for a model without any."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device
