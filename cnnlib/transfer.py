"""Transfer learning: freeze, replace the head, give each stage its own rate, probe the features.

A part of a model is named as in `named_modules()` and `named_parameters()`: the part "stage1"
holds every parameter whose name is that or goes on with a dot after it, so "stage1.0.conv.weight"
belongs to it and "stage10.weight" does not.

The recipe that these functions serve is the one of Yosinski et al., "How transferable are features
in deep neural networks?", arXiv:1411.1792, and of the CS231n notes on transfer learning.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from cnnlib.data.image_set import ImageSet
from cnnlib.models.lenet import RadialBasisOutput
from cnnlib.training import predict

# --- freezing ----------------------------------------------------------------------------------


class Counts(NamedTuple):
    """How many numbers of a model can be trained, and how many cannot."""

    trainable: int
    frozen: int


def trainable(model: nn.Module) -> Counts:
    """Count the values of all parameters, each once; buffers are no parameters.

    Examples:
        >>> trainable(nn.Linear(4, 3))
        Counts(trainable=15, frozen=0)
    """
    counts = {True: 0, False: 0}
    for parameter in model.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    return Counts(counts[True], counts[False])


def freeze(model: nn.Module, *names: str) -> Counts:
    """Exclude parts of a model from training, in place; leave the rest as it is.

    Freezing stops the gradient and so the optimiser. It does not stop the running statistics of
    batch normalisation, which the forward pass moves: see `freeze_batch_norm`.

    Args:
        model: Any model.
        names: Names of modules or parameters; without any the whole model.

    Returns:
        What is trainable and what is frozen in the whole model afterwards.

    Raises:
        ValueError: A part of that name does not exist or has no parameters. Then nothing is
            changed.
    """
    return _set_trainable(model, names, False)


def unfreeze(model: nn.Module, *names: str) -> Counts:
    """Let parts of a model be trained again; the counterpart of `freeze`."""
    return _set_trainable(model, names, True)


def _set_trainable(model: nn.Module, names: Sequence[str], value: bool) -> Counts:
    # All names are looked up before the first change, so that an error leaves the model alone.
    chosen = [_parameters_of(model, name) for name in names] or [dict(model.named_parameters())]
    for parameters in chosen:
        for parameter in parameters.values():
            parameter.requires_grad_(value)
    return trainable(model)


def _belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def _parameters_of(model: nn.Module, part: str) -> dict[str, nn.Parameter]:
    """The parameters of a part by name.

    Raises:
        ValueError: There are none; the message lists the parts that there are.
    """
    if not isinstance(part, str):
        raise ValueError(f"parts of a model are given by their names; got {part!r}")
    found = {name: p for name, p in model.named_parameters() if _belongs(name, part)}
    if not found:
        raise ValueError(_unknown(model, part, "no parameters in a part"))
    return found


def _unknown(model: nn.Module, part: str, problem: str) -> str:
    """Message for a name that is not there: what it may have meant, and the parts at the top."""
    modules = [name for name, _ in model.named_modules() if name]
    near = difflib.get_close_matches(part, modules, n=3)
    hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
    top = ", ".join(repr(name) for name, _ in model.named_children())
    return f"the model has {problem} called {part!r}.{hint} Its parts are {top or 'none'}"


# --- a new head --------------------------------------------------------------------------------


def replace_head(model: nn.Module, num_classes: int) -> nn.Linear | nn.Conv2d:
    """Give a classifier a new last layer for other classes, in place.

    The head is the last linear layer or convolution in the order of definition: `fc` of a ResNet,
    `classifier.6` of VGG, the 1×1 convolution before the pooling of SqueezeNet. The new layer has
    the kind, input size, dtype and device of the old one and a bias if that had one; its weights
    are fresh (PyTorch's default) and trainable, also in a model that is frozen.

    Auxiliary classifiers (GoogLeNet, Inception-v3) get new last layers too, or their loss would
    still speak of the old classes. LeNet-5 of 1998 ends in fixed codes of its classes, in which
    there is nothing to train; they are replaced by a linear layer on the 84 values of F6.

    Args:
        model: A classifier of `cnnlib.models`, of torchvision, or built like one of them.
        num_classes: Number of new classes.

    Returns:
        The new layer: nn.Linear(features, num_classes) or nn.Conv2d(channels, num_classes, 1).

    Raises:
        ValueError: `num_classes` is not a whole number of at least 1, or there is no such layer
            inside the model (a model that is one single layer cannot be changed in place either).
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number of at least 1; got {num_classes!r}")
    heads = [
        name
        for name, module in model.named_modules()
        if name and isinstance(module, nn.Linear | nn.Conv2d | RadialBasisOutput)
    ]
    if not heads:
        raise ValueError(
            f"{type(model).__name__} has no linear layer or convolution inside it that could be "
            "a head"
        )
    auxiliary = [name for name in heads if name.lower().startswith("aux")]
    last_of = {name.split(".")[0]: name for name in auxiliary}  # the last one of each wins
    for name in last_of.values():
        if name != heads[-1]:
            _replace_layer(model, name, num_classes)
    return _replace_layer(model, heads[-1], num_classes)


def _replace_layer(model: nn.Module, name: str, num_classes: int) -> nn.Linear | nn.Conv2d:
    """Put a fresh layer with `num_classes` outputs in the place called `name`."""
    old = model.get_submodule(name)
    if isinstance(old, RadialBasisOutput):
        new = nn.Linear(old.codes.shape[1], num_classes, device=old.codes.device)
    else:
        like_old = {
            "bias": old.bias is not None,
            "device": old.weight.device,
            "dtype": old.weight.dtype,
        }
        if isinstance(old, nn.Linear):
            new = nn.Linear(old.in_features, num_classes, **like_old)
        else:
            new = nn.Conv2d(
                old.in_channels, num_classes, old.kernel_size, old.stride, old.padding, **like_old
            )
    new.train(old.training)
    _put(model, name, new)
    return new


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


# --- an optimiser's parameter groups -----------------------------------------------------------


def parameter_groups(
    model: nn.Module,
    lr: float,
    *,
    factor: float = 0.5,
    weight_decay: float = 0.0,
    stages: Sequence[str | Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Groups for an optimiser, with a learning rate for each stage of the model.

    The last stage, the head, learns at `lr`; each stage before it at `factor` times the rate of
    the one that follows. Biases and the scale and shift of normalisation layers do not decay. So
    a stage gives up to two groups.

    Args:
        model: Any model.
        lr: Learning rate of the last stage.
        factor: What the rate is multiplied by for each stage further from the head. 1 gives one
            rate to all.
        weight_decay: Weight decay of the weights of convolutions and linear layers.
        stages: Parts of the model from the input to the head; an entry may be several names that
            share a rate, for example ("conv1", "bn1"). By default the parts at the top of the
            model in the order in which it defines them.

    Returns:
        Dictionaries with "params", "lr", "weight_decay" and "stage" (its name). Every parameter
        that can be trained is in exactly one of them; frozen ones are in none.

    Raises:
        ValueError: A rate, factor or decay is out of range, a stage does not exist, two stages
            overlap, a parameter that can be trained is in no stage, or nothing can be trained.
    """
    for what, value, fits in (
        ("lr", lr, lr > 0),
        ("factor", factor, factor > 0),
        ("weight_decay", weight_decay, weight_decay >= 0),
    ):
        if not fits:
            raise ValueError(
                f"{what} must be {'at least' if what == 'weight_decay' else 'above'} 0; got {value}"
            )
    if stages is None:
        stages = list(dict.fromkeys(name.split(".")[0] for name, _ in model.named_parameters()))
    left = dict(model.named_parameters())
    undecayed = _without_decay(model)
    groups = []
    for steps_to_head, stage in zip(range(len(stages) - 1, -1, -1), stages, strict=True):
        parts = (stage,) if isinstance(stage, str) else tuple(stage)
        names = [name for part in parts for name in _parameters_of(model, part)]
        twice = [name for name in names if name not in left]
        if twice or len(set(names)) < len(names):
            raise ValueError(f"stages overlap: {(twice or names)[0]} is in two of them")
        members = {name: left.pop(name) for name in names}
        trained = {name: p for name, p in members.items() if p.requires_grad}
        decaying = [p for name, p in trained.items() if name not in undecayed]
        others = [p for name, p in trained.items() if name in undecayed]
        common = {"lr": lr * factor**steps_to_head, "stage": "+".join(parts)}
        for parameters, decay in ((decaying, weight_decay), (others, 0.0)):
            if parameters:
                groups.append({"params": parameters, "weight_decay": decay, **common})
    forgotten = [name for name, parameter in left.items() if parameter.requires_grad]
    if forgotten:
        raise ValueError(f"in no stage, but not frozen: {', '.join(forgotten)}")
    if not groups:
        raise ValueError("every parameter is frozen: there is nothing to train")
    return groups


def _without_decay(model: nn.Module) -> set[str]:
    """Names of biases and of the parameters of normalisation layers.

    All of these have fewer than two dimensions, with two exceptions: a LayerNorm over (C, H, W),
    and a bias that is stored as (C, 1, 1).
    """
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)]
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim < 2
        or name.rpartition(".")[2] == "bias"
        or name.rpartition(".")[0] in norms
    }


# --- batch normalisation that stays frozen -----------------------------------------------------


class _Frozen:
    """In evaluation mode whatever the loop says: `train()` of the model does not reach it."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)


class FrozenBatchNorm1d(_Frozen, nn.BatchNorm1d):
    """Batch normalisation of (N, C) or (N, C, L) that always uses its running statistics."""


class FrozenBatchNorm2d(_Frozen, nn.BatchNorm2d):
    """Batch normalisation of (N, C, H, W) that always uses its running statistics."""


class FrozenBatchNorm3d(_Frozen, nn.BatchNorm3d):
    """Batch normalisation of (N, C, D, H, W) that always uses its running statistics."""


FROZEN = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
}


def freeze_batch_norm(model: nn.Module, *names: str, affine: bool = True) -> int:
    """Fix the batch normalisations of a model, in place, also against later `model.train()`.

    In training mode a batch normalisation uses the statistics of the batch, and moves its running
    mean and variance towards them in every forward pass, whether or not its parameters are
    frozen. Here each such layer is replaced by one that stays in evaluation mode. It holds the
    same parameters and buffers, under the same names in `state_dict()`.

    Args:
        model: Any model that is not itself a batch normalisation.
        names: Parts in which to do so; without any the whole model.
        affine: Whether scale and shift are frozen as well.

    Returns:
        Number of layers that were replaced. Layers that were frozen before do not count, and a
        model without batch normalisation gives 0.

    Raises:
        ValueError: A part does not exist, the model is a single layer, or a layer keeps no
            running statistics that could be used. Then nothing is changed.
    """
    known = {name for name, _ in model.named_modules()}
    for part in names:
        if part not in known:
            raise ValueError(_unknown(model, part, "no part"))
    # A layer that is used under two names is found under both, and stays one layer.
    chosen = [
        (name, layer)
        for name, layer in model.named_modules(remove_duplicate=False)
        if type(layer) in FROZEN and (not names or any(_belongs(name, part) for part in names))
    ]
    for name, layer in chosen:
        if not name:
            raise ValueError("a single layer cannot be replaced in place; put it into a model")
        if layer.running_mean is None:
            raise ValueError(
                f"{name} keeps no running statistics (track_running_stats=False) that could be used"
            )
    replacements: dict[nn.Module, nn.Module] = {}
    for name, layer in chosen:
        if layer not in replacements:
            replacements[layer] = _frozen_twin(layer, affine)
        _put(model, name, replacements[layer])
    return len(replacements)


def _frozen_twin(layer: nn.Module, affine: bool) -> nn.Module:
    """A frozen layer that holds the very parameters and buffers of `layer`."""
    twin = FROZEN[type(layer)](layer.num_features, layer.eps, layer.momentum, layer.affine)
    for name, parameter in layer.named_parameters():
        setattr(twin, name, parameter.requires_grad_(parameter.requires_grad and not affine))
    for name, buffer in layer.named_buffers():
        setattr(twin, name, buffer)
    return twin.eval()


# --- features and probes -----------------------------------------------------------------------


def features(
    model: nn.Module, layer: str, images: Tensor | ImageSet, *, batch_size: int = 256
) -> Tensor:
    """What a layer inside a model puts out, in evaluation mode and without gradients.

    The modules are put back into the modes in which they were, and the hook that listens to the
    layer is gone afterwards, also if the model raised an error.

    Args:
        model: Any model that maps images (N, C, H, W) to one tensor.
        layer: Name of the layer as in `named_modules()`.
        images: Tensor of shape (N, C, H, W), or an ImageSet.
        batch_size: Images per pass.

    Returns:
        The outputs, on the CPU: (N, channels, H', W') for a convolution, (N, values) for a linear
        layer. They are copies of what left the layer; a ReLU that works in place behind it does
        not change them.

    Raises:
        ValueError: There is no such layer, it does not run exactly once in a pass, or it does not
            put out one tensor.
    """
    modules = dict(model.named_modules())
    if not layer or layer not in modules:
        raise ValueError(_unknown(model, layer, "no layer"))
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"{layer} puts out a {type(output).__name__}, not one tensor")
        kept.append(output.detach().to("cpu", copy=True))

    handle = modules[layer].register_forward_hook(keep)
    try:
        outputs = predict(model, images, batch_size=batch_size)
    finally:
        handle.remove()
    passes = -(-len(outputs) // batch_size)
    if len(kept) != passes:
        raise ValueError(
            f"{layer} runs {len(kept) // passes} times in one pass through the model; name a "
            "layer that runs once"
        )
    return torch.cat(kept)


def linear_probe(
    train_features: Tensor, labels: Tensor, queries: Tensor, *, inverse_penalty: float = 1.0
) -> Tensor:
    """Class of each query by logistic regression on fixed features.

    Each feature is brought to mean 0 and variance 1 over the labelled examples first. Then
    scikit-learn fits one linear layer with softmax and an L2 penalty, to convergence: what a new
    head on a frozen network can reach, without a learning rate to choose.

    Args:
        train_features: Features of the labelled examples (N, ...); every axis but the first is
            flattened.
        labels: Their classes (N,), int64; at least two different ones.
        queries: Features to classify (M, ...), of the same size per example.
        inverse_penalty: `C` of scikit-learn's LogisticRegression: larger is less regularised.

    Returns:
        Predicted classes (M,), int64.

    Raises:
        ValueError: Shapes do not fit, or all labels are equal.
    """
    x, q = _as_rows(train_features, labels, queries)
    if len(labels.unique()) < 2:
        raise ValueError("a linear probe needs examples of at least two classes")
    regression = LogisticRegression(C=inverse_penalty, max_iter=2000)
    probe = make_pipeline(StandardScaler(), regression).fit(x.numpy(), labels.cpu().numpy())
    return torch.from_numpy(probe.predict(q.numpy()))


def nearest_class_mean(
    train_features: Tensor, labels: Tensor, queries: Tensor, num_classes: int
) -> Tensor:
    """Class of the nearest class mean for each query, by Euclidean distance.

    Args:
        train_features: Features of the labelled examples (N, ...); every axis but the first is
            flattened.
        labels: Their classes (N,), int64, from 0 to `num_classes - 1`.
        queries: Features to classify (M, ...), of the same size per example.
        num_classes: Number of classes. A class without examples has no mean and is never
            predicted; of equally near classes the one with the smaller number is.

    Returns:
        Predicted classes (M,), int64.

    Raises:
        ValueError: Shapes do not fit, or a label is not one of the classes.
    """
    x, q = _as_rows(train_features, labels, queries)
    if not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}")
    squares = q.new_full((len(q), num_classes), torch.inf)  # (M, classes)
    for label in labels.unique().tolist():
        mean = x[labels == label].mean(dim=0)  # (D,)
        squares[:, label] = (q - mean).square().sum(dim=1)
    return squares.argmin(dim=1)  # the first of equal distances


def _as_rows(train_features: Tensor, labels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets of features as float64 matrices on the CPU, (N, D) and (M, D).

    Raises:
        ValueError: There are no examples, or shapes do not fit.
    """
    if train_features.ndim < 2 or queries.ndim < 2:
        raise ValueError(
            f"features must have shape (N, ...) with a row for each example; got "
            f"{tuple(train_features.shape)} and queries {tuple(queries.shape)}"
        )
    if len(train_features) == 0 or labels.shape != train_features.shape[:1]:
        raise ValueError(
            f"labels must have shape (N,) with N > 0 for features (N, ...); got "
            f"{tuple(labels.shape)} for {tuple(train_features.shape)}"
        )
    if train_features.shape[1:] != queries.shape[1:]:
        raise ValueError(
            f"examples have features of shape {tuple(train_features.shape[1:])}, "
            f"queries {tuple(queries.shape[1:])}"
        )
    x, q = (part.detach().cpu().double().flatten(1) for part in (train_features, queries))
    return x, q
