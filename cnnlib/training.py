"""Training and measuring a network: `fit`, `evaluate`, `predict`.

One pass over the training set is an epoch. After each the loop prints one line on stdout, appends
one entry to the `History` and, if asked, writes a checkpoint from which training goes on exactly as
if it had not stopped.
"""

from __future__ import annotations

import json
import math
import pickle
import random
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cnnlib.data.image_set import ImageSet
from cnnlib.files import atomic_write
from cnnlib.training_parts import (
    Schedule,
    device_of,
    epoch_seed,
    learning_rate_factor,
    make_optimizer,
    own_random_stream,
    restored_modes,
)

Loss = Callable[[Tensor, Tensor], Tensor]

CHECKPOINT_VERSION = 1


class TrainingDivergedError(RuntimeError):
    """The loss became infinite or not a number; the message says what to try."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read or belongs to another training; the message says which."""


@dataclass(frozen=True)
class Metrics:
    """Means over a data set.

    Attributes:
        loss: Mean loss per example.
        accuracy: Share of right answers, 0 to 1; NaN if the targets are not class indices.
    """

    loss: float
    accuracy: float


@dataclass
class History:
    """What happened in each epoch; every list has one entry per epoch.

    Attributes:
        train_loss: Mean loss over the epoch, measured while the weights moved.
        train_accuracy: Share of right answers, measured in the same passes.
        val_loss: The same loss on the validation set after the epoch; empty without one.
        val_accuracy: Accuracy on the validation set after the epoch; empty without one.
        learning_rate: Learning rate of the last step of the epoch (first parameter group).
        seconds: Duration of the epoch, with its validation.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train_loss)

    @property
    def best_epoch(self) -> int:
        """Epoch, counted from 1, with the lowest validation loss (the first of equals).

        Raises:
            ValueError: There was no validation set, or no epoch yet.
        """
        if not self.val_loss:
            raise ValueError("the best epoch needs a validation set: fit(model, train, val, ...)")
        return 1 + min(range(len(self.val_loss)), key=self.val_loss.__getitem__)


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch (CPU and GPU).

    Args:
        seed: Whole number from 0 to 2**32 - 1 (the range that NumPy takes).

    Raises:
        ValueError: `seed` is out of this range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1; got {seed}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that students call still use this generator
    torch.manual_seed(seed)  # seeds the GPUs too


@contextmanager
def double_precision() -> Iterator[None]:
    """Within it, new layers and tensors have 64 bits a number (float64) instead of 32.

    For experiments whose digits should not depend on the processor. Processors add in different
    orders, so their results differ in the last digits, and a training amplifies that: in float32,
    after some hundred updates, to something one can see in a result. float64 has nine digits more.
    `net.double()` converts a network after its weights were drawn; here they are drawn in float64.

    Data have to be converted as well, see `ImageSet.double`. Half as fast or slower on a CPU, much
    slower on most GPUs, and not supported at all on Apple's.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def pick_device() -> torch.device:
    """The fastest device that is there: an NVIDIA GPU, else Apple's, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def fit(
    model: nn.Module,
    train: Dataset,
    val: Dataset | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    lr: float | None = None,
    optimizer: str | torch.optim.Optimizer = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Schedule = None,
    warmup_epochs: float = 0.0,
    label_smoothing: float = 0.0,
    loss: Loss | None = None,
    device: torch.device | str | None = None,
    amp: bool | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    keep_best: bool = False,
    progress: bool = True,
) -> History:
    """Train `model` in place.

    The model is moved to `device` and stays there; each of its modules is left in the mode (train
    or eval) in which it came. Order of the examples and random layers depend on `seed` alone, and
    the global generator of PyTorch is left as it was found. A last batch of one example joins the
    batch before it, because batch normalisation cannot train on one.

    Interrupting (Ctrl-C, the stop button) ends training after the current step: the history so far
    is returned, the model keeps the weights of that moment, and the checkpoint, if there is one,
    holds the last whole epoch.

    Args:
        model: Network that maps a batch of inputs to outputs, for example (N, C, H, W) to logits
            (N, classes).
        train: Data set of pairs (input, target): an ImageSet or any map-style data set.
        val: The same for validation after each epoch, in eval mode and without gradients.
        epochs: Passes over `train`, at least 1. When resuming, the total and not the rest.
        batch_size: Examples per step.
        lr: Learning rate; by default 0.05 for "sgd" and 0.001 for "adamw".
        optimizer: "sgd" (with momentum), "adamw", or an optimiser made for this model, whose own
            learning rate is then the base of the schedule.
        momentum: Momentum of "sgd".
        weight_decay: L2 penalty ("sgd") or decoupled decay ("adamw") on all parameters.
        schedule: Factor on the learning rate over the course of training: None keeps it, "cosine"
            falls from 1 to 0 along half a cosine, "step" is 1, then 0.1 from one half and 0.01
            from three quarters of the training; or a function from progress (0 to 1) to a factor.
        warmup_epochs: Epochs in which the factor rises linearly from 0 before the schedule begins.
        label_smoothing: Share of the target spread over all classes in the default loss.
        loss: Function (outputs, targets) -> mean loss; by default cross-entropy.
        device: Where to train; by default `pick_device()`.
        amp: Mixed precision (float16 with loss scaling). By default on NVIDIA GPUs only; it cannot
            be asked for elsewhere.
        seed: Fixes the order of the examples and the noise of random layers.
        checkpoint: File to write after every epoch and to go on from if it exists. It is replaced
            in one step, so there is always a whole one.
        resume: Whether to go on from an existing checkpoint; False starts anew and replaces it.
        keep_best: At the end put back the weights of the epoch with the lowest validation loss.
        progress: Whether to print one line per epoch.

    Returns:
        The history, including the epochs before a resume.

    Raises:
        ValueError: An argument is out of range, or a data set is empty.
        TrainingDivergedError: The loss is not finite.
        CheckpointError: The checkpoint is damaged or belongs to another training.
    """
    _check_fit_arguments(train, val, epochs, batch_size, warmup_epochs, keep_best)
    device = torch.device(device) if device is not None else pick_device()
    use_amp = _use_amp(amp, device)
    rate_factor = learning_rate_factor(schedule, epochs, warmup_epochs)
    loss_function = _loss_function(loss, label_smoothing)
    model.to(device)
    optimizer_name = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
    optimizer = make_optimizer(model, optimizer, lr, momentum, weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=use_amp)
    stepper = _Stepper(model, optimizer, scaler, loss_function, rate_factor, use_amp, device)
    settings = {
        "batch_size": batch_size,
        "examples": len(train),
        "label_smoothing": label_smoothing,
        "learning rates": stepper.base_rates,
        "mixed precision": use_amp,
        "momentum": momentum,
        "optimizer": optimizer_name,
        "schedule": schedule if schedule is None or isinstance(schedule, str) else "own function",
        "seed": seed,
        "warmup_epochs": warmup_epochs,
        "weight_decay": weight_decay,
        # A schedule stretches over all epochs, so another number of them is another training.
        "epochs": epochs if schedule is not None else "any",
    }
    state = _State(model, optimizer, scaler, History(), None, json.dumps(settings))
    path = Path(checkpoint) if checkpoint is not None else None
    if path is not None and resume and path.exists():
        state.load(path, device)
    elif path is not None:
        state.save(path)
    history = state.history

    try:
        with restored_modes(model), own_random_stream(device):
            for epoch in range(len(history), epochs):
                start = time.perf_counter()
                torch.manual_seed(epoch_seed(seed, epoch))
                order = _shuffled_batches(len(train), batch_size)
                metrics = stepper.one_epoch(epoch, _Batches(train, order, device))
                history.train_loss.append(metrics.loss)
                history.train_accuracy.append(metrics.accuracy)
                if val is not None:
                    metrics = evaluate(model, val, device=device, loss=loss_function)
                    history.val_loss.append(metrics.loss)
                    history.val_accuracy.append(metrics.accuracy)
                    if keep_best and history.best_epoch == len(history.val_loss):
                        state.best = _copy_state(model)
                history.learning_rate.append(optimizer.param_groups[0]["lr"])
                history.seconds.append(time.perf_counter() - start)
                if path is not None:
                    state.save(path)
                if progress:
                    print(_progress_line(history, epochs), flush=True)
    except KeyboardInterrupt:
        _drop_unfinished_epoch(history)
        if progress:
            print(f"stopped after {len(history)} of {epochs} epochs", flush=True)
    if keep_best and state.best is not None:
        model.load_state_dict(state.best)
    return history


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Dataset,
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    loss: Loss | None = None,
) -> Metrics:
    """Mean loss and accuracy of `model` on `data`, in eval mode; the modes are put back.

    Args:
        model: Network that maps a batch of inputs to outputs.
        data: Data set of pairs (input, target).
        batch_size: Examples per pass; changes speed and memory, not the result (up to rounding).
        device: Where to compute; by default where the model is. The model is moved there.
        loss: Function (outputs, targets) -> mean loss; by default cross-entropy.

    Raises:
        ValueError: `data` is empty or `batch_size` is below 1.
    """
    _check_data(data, "data", batch_size)
    device = torch.device(device) if device is not None else device_of(model)
    model.to(device)
    loss_function = loss if loss is not None else F.cross_entropy
    totals = _Totals()
    order = list(torch.arange(len(data)).split(batch_size))
    with restored_modes(model):
        model.eval()
        for inputs, targets in _Batches(data, order, device):
            outputs = model(inputs)
            totals.add(loss_function(outputs, targets).item(), outputs, targets)
    return totals.means()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor | ImageSet, *, batch_size: int = 256) -> Tensor:
    """Outputs of `model` for `images`, computed in eval mode where the model is.

    Args:
        model: Network that maps (N, C, H, W) to outputs, for a classifier logits (N, classes).
        images: Tensor of shape (N, C, H, W), or an ImageSet.
        batch_size: Images per pass.

    Returns:
        The outputs on the CPU, in the order of `images`. Softmax over dimension 1 turns logits
        into probabilities, argmax into classes.

    Raises:
        ValueError: `images` is empty or not a batch.
    """
    pixels = images.images if isinstance(images, ImageSet) else images
    if pixels.ndim != 4:
        raise ValueError(
            f"images must have shape (N, C, H, W); got {tuple(pixels.shape)}. "
            f"For one image use image.unsqueeze(0)."
        )
    _check_data(pixels, "images", batch_size)
    device = device_of(model)
    with restored_modes(model):
        model.eval()
        return torch.cat([model(batch.to(device)).cpu() for batch in pixels.split(batch_size)])


# --- one epoch ---------------------------------------------------------------------------------


class _Stepper:
    """What one training step needs: the model, its optimiser, the loss and the learning rate."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        loss_function: Loss,
        rate_factor: Callable[[float], float],
        use_amp: bool,
        device: torch.device,
    ) -> None:
        self.model, self.optimizer, self.scaler = model, optimizer, scaler
        self.loss_function, self.rate_factor = loss_function, rate_factor
        self.use_amp, self.device = use_amp, device
        self.base_rates = [float(group["lr"]) for group in optimizer.param_groups]

    def one_epoch(self, epoch: int, batches: _Batches) -> Metrics:
        """Pass over the training set once; `epoch` counts from 0."""
        self.model.train()
        totals = _Totals()
        for step, (inputs, targets) in enumerate(batches):
            self._set_learning_rate(epoch + step / len(batches))
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.float16, enabled=self.use_amp):
                outputs = self.model(inputs)
                loss = self.loss_function(outputs, targets)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingDivergedError(_divergence_advice(value, epoch, step, inputs))
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            totals.add(value, outputs.detach(), targets)
        return totals.means()

    def _set_learning_rate(self, position: float) -> None:
        """Learning rates after `position` epochs, of which the fraction is the unfinished one."""
        factor = self.rate_factor(position)
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * factor


# --- arguments ---------------------------------------------------------------------------------


def _check_data(data: Sized, what: str, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    if len(data) == 0:
        raise ValueError(f"{what} is empty: there is nothing to learn from or to measure")


def _check_fit_arguments(
    train: Sized,
    val: Sized | None,
    epochs: int,
    batch_size: int,
    warmup_epochs: float,
    keep_best: bool,
) -> None:
    _check_data(train, "train", batch_size)
    if val is not None:
        _check_data(val, "val", batch_size)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1; got {epochs}")
    if not 0 <= warmup_epochs < epochs:
        raise ValueError(
            f"warmup_epochs must be at least 0 and less than epochs = {epochs}; got {warmup_epochs}"
        )
    if keep_best and val is None:
        raise ValueError("keep_best=True needs a validation set to tell which epoch is the best")


def _use_amp(amp: bool | None, device: torch.device) -> bool:
    if amp and device.type != "cuda":
        raise ValueError(
            f"mixed precision (amp=True) is for NVIDIA GPUs; this training runs on {device.type}. "
            f"Leave amp out to have it wherever it helps."
        )
    return device.type == "cuda" if amp is None else amp


def _loss_function(loss: Loss | None, label_smoothing: float) -> Loss:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be at least 0 and below 1; got {label_smoothing}")
    if loss is None:
        return partial(F.cross_entropy, label_smoothing=label_smoothing)
    if label_smoothing:
        raise ValueError("label_smoothing belongs to the default loss; build it into your own")
    return loss


# --- batches -----------------------------------------------------------------------------------


def _shuffled_batches(examples: int, batch_size: int) -> list[Tensor]:
    """Random order cut into batches of indices; a last batch of one joins the one before."""
    batches = list(torch.randperm(examples).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


class _Batches:
    """The batches of one pass, on the device, with a length."""

    def __init__(self, data: Dataset, order: list[Tensor], device: torch.device) -> None:
        self.data, self.order, self.device = data, order, device

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.data, ImageSet):  # indexed a batch at a time, without a loader
            pairs = (self.data[indices] for indices in self.order)
        else:
            # A generator of its own: a loader draws a number at its start, which would otherwise
            # come out of the stream of the random layers.
            pairs = DataLoader(
                self.data,
                batch_sampler=[batch.tolist() for batch in self.order],
                generator=torch.Generator(),
            )
        for inputs, targets in pairs:
            yield inputs.to(self.device), targets.to(self.device)


# --- measuring and telling ---------------------------------------------------------------------


class _Totals:
    """Sums over the examples seen so far."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.examples = 0
        self.correct = 0
        self.answers = 0

    def add(self, mean_loss: float, outputs: Tensor, targets: Tensor) -> None:
        self.loss += mean_loss * len(targets)
        self.examples += len(targets)
        # Class indices: logits (N, classes, ...) against whole numbers (N, ...).
        is_classes = not targets.is_floating_point() and outputs.ndim == targets.ndim + 1
        if is_classes:
            self.correct += (outputs.argmax(1) == targets).sum().item()
            self.answers += targets.numel()

    def means(self) -> Metrics:
        accuracy = self.correct / self.answers if self.answers else math.nan
        return Metrics(self.loss / self.examples, accuracy)


def _progress_line(history: History, epochs: int) -> str:
    """One line of at most 80 characters on the last epoch."""
    width = len(str(epochs))
    parts = [f"epoch {len(history):{width}}/{epochs}"]
    parts.append(_numbers("train", history.train_loss[-1], history.train_accuracy[-1]))
    if history.val_loss:
        parts.append(_numbers("val", history.val_loss[-1], history.val_accuracy[-1]))
    seconds = history.seconds[-1]
    parts.append(f"lr {history.learning_rate[-1]:.1e}  {seconds:.{1 if seconds < 100 else 0}f} s")
    return "  ".join(parts)


def _numbers(what: str, loss: float, accuracy: float) -> str:
    return f"{what} {loss:.3g}" + ("" if math.isnan(accuracy) else f" {accuracy:6.1%}")


def _divergence_advice(value: float, epoch: int, step: int, inputs: Tensor) -> str:
    message = f"the loss is {value} in epoch {epoch + 1}, step {step + 1}. "
    if not torch.isfinite(inputs).all():
        return message + "The inputs of this batch hold values that are not finite; clean the data."
    return message + (
        "Usual cause: the learning rate is too high; try a tenth of it, or warmup_epochs=1. "
        "Otherwise look for a logarithm or division of 0 in the loss, and for inputs far outside "
        "0..1. The model's weights are no longer of use; build it anew."
    )


def _drop_unfinished_epoch(history: History) -> None:
    """Cut every list to the epochs that all of them have."""
    lists = list(vars(history).values())
    finished = min(len(values) for values in (history.train_loss, history.seconds))
    for values in lists:
        del values[finished:]


# --- checkpoints -------------------------------------------------------------------------------


def _copy_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


@dataclass
class _State:
    """Everything that a later training needs to go on as if nothing had happened."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    history: History
    best: dict[str, Tensor] | None
    settings: str

    def save(self, path: Path) -> None:
        """Replace the file at `path`; an interruption leaves the old one whole."""
        content = {
            "version": CHECKPOINT_VERSION,
            "settings": self.settings,
            "history": asdict(self.history),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
        }
        with atomic_write(path) as file:
            torch.save(content, file)

    def load(self, path: Path, device: torch.device) -> None:
        """Take over the state in `path`; `weights_only` keeps foreign code from running."""
        advice = "Delete the file, give another name, or pass resume=False to start anew."
        try:
            content = torch.load(path, map_location=device, weights_only=True)
            version = content["version"]
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is not a checkpoint of fit. {advice}") from error
        if version != CHECKPOINT_VERSION:
            raise CheckpointError(
                f"{path} has format {version}, not {CHECKPOINT_VERSION}. {advice}"
            )
        theirs, ours = json.loads(content["settings"]), json.loads(self.settings)
        differences = [
            f"{key} was {theirs.get(key)!r} and is now {ours[key]!r}"
            for key in ours
            if theirs.get(key) != ours[key]
        ]
        if differences:
            raise CheckpointError(
                f"{path} is from a training with other settings: {'; '.join(differences)}. {advice}"
            )
        # load_state_dict would change what fits before it complains about the rest.
        if _shapes(content["model"]) != _shapes(self.model.state_dict()):
            raise CheckpointError(f"{path} is from another model. {advice}")
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path} does not fit: {error} {advice}") from error
        self.scaler.load_state_dict(content["scaler"])
        self.history = History(**content["history"])
        self.best = content["best"]
