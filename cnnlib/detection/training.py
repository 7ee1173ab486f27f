"""Training a detector: jointly, part by part, or by the four alternating steps of the paper.

Faster R-CNN is two networks on one backbone, and one learns from the other: the head sees what the
region proposal network proposes. The paper names two ways to train them (section 3.2).

**Joint training** adds up the losses of both and goes down their sum: `fit_detector`. It is simpler
and faster, gives close results, and everybody uses it today. It leaves out that proposals depend on
the weights, too: no gradient passes through their coordinates.

**Alternating training**, which the paper's numbers come from, never trains both at once:

| step | what learns                   | starts from              | function            |
|------|-------------------------------|--------------------------|---------------------|
| 1    | backbone A and the RPN        | the pre-trained backbone | `fit_rpn`           |
| 2    | backbone B and the head       | the pre-trained backbone | `fit_head`          |
| 3    | the RPN; backbone B is frozen | the backbone of step 2   | `fit_rpn`, frozen   |
| 4    | the head; B is still frozen   | the head of step 2       | `fit_head`, frozen  |

Steps 1 and 2 end with two backbones. Step 3 throws A away and teaches the proposals anew on B; now
both share one. The head of steps 2 and 4 learns from proposals that were stored before.

`fit_head` takes any proposals, so it is also how Fast R-CNN is trained.

References: Ren et al., "Faster R-CNN", arXiv:1506.01497, section 3.2. Girshick, "Fast R-CNN",
arXiv:1504.08083, section 2.3.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from cnnlib.detection.faster_rcnn import FasterRCNN, Target
from cnnlib.detection.metrics import DetectionMetrics, evaluate_detections
from cnnlib.training import TrainingDivergedError, pick_device
from cnnlib.training_parts import (
    Schedule,
    device_of,
    epoch_seed,
    learning_rate_factor,
    make_optimizer,
    own_random_stream,
    restored_modes,
)

Images = list[Tensor]
# The losses of pictures with these numbers in the data set.
StepLosses = Callable[[Images, list[Target], list[int]], dict[str, Tensor]]


@dataclass
class DetectorHistory:
    """What happened in each epoch; every list has one entry per epoch.

    Attributes:
        losses: For each loss, by the detector's name for it, the mean over the epoch.
        val_map50: mAP at IoU 0.5 on the validation set after the epoch; empty without one.
        learning_rate: Learning rate of the last step of the epoch (first parameter group).
        seconds: Duration of the epoch, with its validation.
    """

    losses: dict[str, list[float]] = field(default_factory=dict)
    val_map50: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def train_loss(self) -> list[float]:
        """The sum of the losses, what training goes down."""
        return [sum(values) for values in zip(*self.losses.values(), strict=True)]


def joint_step(
    model: FasterRCNN,
    optimizer: torch.optim.Optimizer,
    images: Tensor | Sequence[Tensor],
    targets: Sequence[Target],
) -> dict[str, float]:
    """One step of joint training: down the sum of all losses.

    Args:
        model: The detector, in training mode.
        optimizer: Knows the parameters of all its parts.
        images: As in `FasterRCNN`.
        targets: As in `FasterRCNN`.

    Returns:
        The losses before the step, by name.
    """
    return _step(optimizer, model(images, targets))


def fit_detector(
    model: FasterRCNN,
    train: Dataset,
    val: Dataset | None = None,
    *,
    epochs: int,
    **options: Any,
) -> DetectorHistory:
    """Train all parts of a detector together, in place.

    The voice is that of `cnnlib.training.fit`: the model is moved to `device` and stays there, its
    modules are left in the modes in which they came, order and samples depend on `seed` alone, and
    the global generator is left as it was found. Ctrl-C ends training after the current step and
    returns the history of the whole epochs.

    Args:
        model: `FasterRCNN` or `MaskRCNN`.
        train: Data set of pairs (image, target): a SceneSet or any map-style data set. Pictures may
            differ in size.
        val: The same; mAP50 is measured on it after each epoch.
        epochs: Passes over `train`, at least 1.
        **options: Of all the functions here:
            `batch_size` = 8, pictures per step;
            `lr`, by default 0.002 for "adamw" and 0.01 for "sgd";
            `optimizer` = "adamw", or "sgd" (with `momentum` = 0.9), or an optimiser;
            `weight_decay` = 0;
            `schedule` = "cosine", as in `cnnlib.training.fit`, and `warmup_epochs` = 0;
            `device`, by default `pick_device()`; `seed` = 0;
            `progress` = True, print one line per epoch.

    Returns:
        The history.

    Raises:
        ValueError: An argument is out of range, or a data set is empty.
        TrainingDivergedError: A loss is not finite.
    """
    losses = partial(_joint_losses, model)
    return _fit(model, losses, list(model.parameters()), train, val, epochs, **options)


def fit_rpn(
    model: FasterRCNN,
    train: Dataset,
    *,
    epochs: int,
    freeze_backbone: bool = False,
    **options: Any,
) -> DetectorHistory:
    """Train the region proposal network alone, with the backbone or on a frozen one, in place.

    Args:
        model: The detector; its head is not touched.
        train: As in `fit_detector`.
        epochs: Passes over `train`.
        freeze_backbone: Leave the backbone as it is, statistics of batch normalisation included.
        **options: As in `fit_detector`.

    Returns:
        The history.

    Raises:
        ValueError: As in `fit_detector`.
        TrainingDivergedError: A loss is not finite.
    """

    def losses(images: Images, targets: list[Target], _: list[int]) -> dict[str, Tensor]:
        return model.rpn_losses(images, targets)

    with _frozen(model, ["backbone"] if freeze_backbone else []):
        parts = [model.rpn] if freeze_backbone else [model.backbone, model.rpn]
        return _fit(model, losses, _parameters(parts), train, None, epochs, **options)


def fit_head(
    model: FasterRCNN,
    train: Dataset,
    proposals: Sequence[Tensor],
    *,
    epochs: int,
    freeze_backbone: bool = False,
    **options: Any,
) -> DetectorHistory:
    """Train the head alone on given proposals, with the backbone or on a frozen one, in place.

    Args:
        model: The detector; its region proposal network is not touched. In a `MaskRCNN` the mask
            head learns, too.
        train: As in `fit_detector`.
        proposals: For each picture of `train`, boxes (n, 4): from `propose` or from anything that
            proposes regions.
        epochs: Passes over `train`.
        freeze_backbone: As in `fit_rpn`.
        **options: As in `fit_detector`.

    Returns:
        The history.

    Raises:
        ValueError: As in `fit_detector`, or there are not as many proposals as pictures.
        TrainingDivergedError: A loss is not finite.
    """
    if len(proposals) != len(train):
        raise ValueError(f"proposals for {len(proposals)} pictures, but there are {len(train)}")

    def losses(images: Images, targets: list[Target], numbers: list[int]) -> dict[str, Tensor]:
        boxes = [proposals[number].to(images[0].device) for number in numbers]
        return model.region_losses(model.extract(images), boxes, targets)

    with _frozen(model, ["backbone"] if freeze_backbone else []):
        untouched = [model.rpn, model.backbone] if freeze_backbone else [model.rpn]
        kept = {id(parameter) for parameter in _parameters(untouched)}
        learning = [p for p in model.parameters() if id(p) not in kept]
        return _fit(model, losses, learning, train, None, epochs, **options)


def fit_alternating(
    model: FasterRCNN,
    train: Dataset,
    *,
    epochs: int | tuple[int, int, int, int],
    **options: Any,
) -> list[DetectorHistory]:
    """Train a detector by the paper's four steps, in place; the table on top says which.

    Args:
        model: The detector with a pre-trained backbone. Region proposal network and head start
            with the weights that they have.
        train: As in `fit_detector`.
        epochs: Passes over `train` of each step.
        **options: As in `fit_detector`, for each step.

    Returns:
        The histories of the four steps.

    Raises:
        ValueError: As in `fit_detector`.
        TrainingDivergedError: A loss is not finite.

    Reference: arXiv:1506.01497, section 3.2, "4-step alternating training". As in the authors'
    released code, the RPN's own layers start anew in step 3: they were made for another backbone.
    """
    each = (epochs,) * 4 if isinstance(epochs, int) else epochs
    if len(each) != 4:
        raise ValueError(f"epochs must be one number or four, one for each step; got {epochs}")
    say = options.get("progress", True)
    _announce(say, "step 1 of 4: the region proposal network and its backbone")
    first = copy.deepcopy(model)
    histories = [fit_rpn(first, train, epochs=each[0], **options)]
    _announce(say, "step 2 of 4: the head and a backbone of its own")
    proposals = propose(first, train, for_training=True)
    histories.append(fit_head(model, train, proposals, epochs=each[1], **options))
    _announce(say, "step 3 of 4: the region proposal network on the head's backbone, frozen")
    histories.append(fit_rpn(model, train, epochs=each[2], freeze_backbone=True, **options))
    _announce(say, "step 4 of 4: the head on the same backbone, frozen")
    proposals = propose(model, train, for_training=True)
    histories.append(
        fit_head(model, train, proposals, epochs=each[3], freeze_backbone=True, **options)
    )
    return histories


@torch.no_grad()
def detect_objects(
    model: FasterRCNN, data: Dataset, *, batch_size: int = 16
) -> list[dict[str, Tensor]]:
    """Detections of a whole data set, in evaluation mode, on the CPU.

    Args:
        model: The detector; it computes where it is, and its modes are put back.
        data: Data set of pairs (image, target).
        batch_size: Pictures per pass.

    Returns:
        For each picture what the detector returns.
    """
    return _predict(model, data, batch_size, model)


@torch.no_grad()
def propose(
    model: FasterRCNN, data: Dataset, *, batch_size: int = 16, for_training: bool = False
) -> list[Tensor]:
    """Proposals for a whole data set, on the CPU.

    Args:
        model: The detector; it computes where it is, and its modes are put back.
        data: Data set of pairs (image, target).
        batch_size: Pictures per pass.
        for_training: As many as the region proposal network makes in training.

    Returns:
        For each picture, boxes (n, 4), best first.
    """

    def proposals(images: Images) -> list[Tensor]:
        model.rpn.train(for_training)  # decides how many; it has no layer that would differ
        return model.propose(images)

    return _predict(model, data, batch_size, proposals)


def evaluate_detector(
    model: FasterRCNN, data: Dataset, *, batch_size: int = 16, **options: Any
) -> DetectionMetrics:
    """Average precision of a detector on a data set.

    Args:
        model: The detector.
        data: Data set of pairs (image, target).
        batch_size: Pictures per pass.
        **options: Arguments of `cnnlib.detection.metrics.evaluate_detections`.

    Returns:
        The metrics: `.at(0.5)` is mAP50, `.mean_average_precision` COCO's mAP.
    """
    targets = [data[index][1] for index in range(len(data))]
    return evaluate_detections(
        detect_objects(model, data, batch_size=batch_size), targets, **options
    )


# --- the loop ----------------------------------------------------------------------------------


def _fit(
    model: FasterRCNN,
    step_losses: StepLosses,
    learning: Sequence[nn.Parameter],
    train: Dataset,
    val: Dataset | None,
    epochs: int,
    *,
    batch_size: int = 8,
    lr: float | None = None,
    optimizer: str | torch.optim.Optimizer = "adamw",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Schedule = "cosine",
    warmup_epochs: float = 0.0,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> DetectorHistory:
    """Train the parameters `learning` of `model` on the sum of what `step_losses` returns."""
    if epochs < 1 or batch_size < 1 or not 0 <= warmup_epochs < epochs:
        raise ValueError(
            "epochs and batch_size must be at least 1 and warmup_epochs less than epochs; got "
            f"{epochs}, {batch_size} and {warmup_epochs}"
        )
    if len(train) == 0 or (val is not None and len(val) == 0):
        raise ValueError("a data set is empty: there is nothing to learn from or to measure")
    device = torch.device(device) if device is not None else pick_device()
    model.to(device)
    if lr is None and isinstance(optimizer, str):
        lr = {"adamw": 2e-3, "sgd": 1e-2}.get(optimizer)
    parts = nn.ParameterList(learning)
    optimizer = make_optimizer(parts, optimizer, lr, momentum, weight_decay)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    factor = learning_rate_factor(schedule, epochs, warmup_epochs)
    history = DetectorHistory()
    try:
        with restored_modes(model), own_random_stream(device):
            for epoch in range(epochs):
                start = time.perf_counter()
                torch.manual_seed(epoch_seed(seed, epoch))
                _train_mode(model)
                order = torch.randperm(len(train)).split(batch_size)
                totals: dict[str, float] = {}
                for step, batch in enumerate(order):
                    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
                        group["lr"] = base * factor(epoch + step / len(order))
                    numbers = batch.tolist()
                    losses = _step(optimizer, step_losses(*_load(train, numbers, device), numbers))
                    for name, loss in losses.items():
                        totals[name] = totals.get(name, 0.0) + loss * len(numbers) / len(train)
                if val is not None:
                    history.val_map50.append(evaluate_detector(model, val).at(0.5))
                for name, total in totals.items():
                    history.losses.setdefault(name, []).append(total)
                history.learning_rate.append(optimizer.param_groups[0]["lr"])
                history.seconds.append(time.perf_counter() - start)
                if progress:
                    print(_progress_line(history, epochs), flush=True)
    except KeyboardInterrupt:
        del history.val_map50[len(history) :]
        if progress:
            print(f"stopped after {len(history)} of {epochs} epochs", flush=True)
    return history


def _step(optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, float]:
    values = {name: loss.item() for name, loss in losses.items()}
    if not all(math.isfinite(value) for value in values.values()):
        raise TrainingDivergedError(
            f"a loss is not finite: {values}. Usual cause: the learning rate is too high; try a "
            "tenth of it, or warmup_epochs=1. The model's weights are no longer of use; build it "
            "anew."
        )
    optimizer.zero_grad(set_to_none=True)
    sum(losses.values()).backward()
    optimizer.step()
    return values


def _joint_losses(
    model: FasterRCNN, images: Images, targets: list[Target], _: list[int]
) -> dict[str, Tensor]:
    return model(images, targets)


def _load(
    data: Dataset, numbers: Sequence[int], device: torch.device
) -> tuple[Images, list[Target]]:
    """Pictures and targets with these numbers, on the device."""
    images, targets = zip(*(data[number] for number in numbers), strict=True)
    targets = [{key: value.to(device) for key, value in target.items()} for target in targets]
    return [image.to(device) for image in images], targets


def _predict(
    model: FasterRCNN, data: Dataset, batch_size: int, function: Callable[[Images], list]
) -> list:
    """Apply a function to all pictures of a data set, in evaluation mode; results on the CPU."""
    if len(data) == 0 or batch_size < 1:
        raise ValueError("there must be a picture, and batch_size must be at least 1")
    device = device_of(model)
    results = []
    with restored_modes(model):
        model.eval()
        for batch in torch.arange(len(data)).split(batch_size):
            results += function([data[number][0].to(device) for number in batch.tolist()])
    return [
        {key: value.cpu() for key, value in result.items()}
        if isinstance(result, dict)
        else result.cpu()
        for result in results
    ]


# --- freezing ----------------------------------------------------------------------------------


@contextmanager
def _frozen(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Keep parts of a model from learning; afterwards they can learn again if they could before."""
    parts = [model.get_submodule(name) for name in names]
    learning = [p for p in _parameters(parts) if p.requires_grad]
    for part in parts:
        part.is_frozen = True
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for part in parts:
            del part.is_frozen
        for parameter in learning:
            parameter.requires_grad_(True)


def _train_mode(model: nn.Module) -> None:
    """Training mode, except for frozen parts: batch normalisation there keeps its statistics."""
    model.train()
    for part in model.children():
        if getattr(part, "is_frozen", False):
            part.eval()


def _parameters(parts: Sequence[nn.Module]) -> list[nn.Parameter]:
    return [parameter for part in parts for parameter in part.parameters()]


# --- telling -----------------------------------------------------------------------------------


def _announce(say: bool, text: str) -> None:
    if say:
        print(text, flush=True)


def _progress_line(history: DetectorHistory, epochs: int) -> str:
    """One line on the last epoch: the sum of the losses, and each of them."""
    width = len(str(epochs))
    each = ", ".join(f"{n.replace('_', ' ')} {v[-1]:.2g}" for n, v in history.losses.items())
    parts = [
        f"epoch {len(history):{width}}/{epochs}",
        f"loss {history.train_loss[-1]:.3g} ({each})",
    ]
    if history.val_map50:
        parts.append(f"val mAP50 {history.val_map50[-1]:.3f}")
    seconds = history.seconds[-1]
    parts.append(f"{seconds:.{1 if seconds < 100 else 0}f} s")
    return "  ".join(parts)
