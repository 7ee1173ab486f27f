"""Answers to a2_transfer, task 7."""

import copy

import torch
from torch import nn


def replace_all(cls, model):
    """The conversion, which most of the answers share."""
    replaced = 0
    for name, child in list(model.named_children()):
        if isinstance(child, nn.BatchNorm2d) and not isinstance(child, cls):
            setattr(model, name, cls(child))
            replaced += 1
        else:
            replaced += replace_all(cls, child)
    return replaced


class right_subclass(nn.BatchNorm2d):
    """A batch norm layer whose train() does nothing."""

    def __init__(self, layer):
        if not layer.track_running_stats:
            raise ValueError("no statistics")
        super().__init__(layer.num_features, eps=layer.eps, affine=layer.affine)
        self.to(layer.running_mean.dtype)
        self.load_state_dict(layer.state_dict())
        self.requires_grad_(False)
        self.eval()

    def train(self, mode=True):
        return super().train(False)

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class right_scale_and_shift(nn.Module):
    """Works scale and shift out in forward; converts with a list of names."""

    def __init__(self, layer):
        super().__init__()
        if layer.running_var is None:
            raise ValueError("no statistics")
        self.eps = layer.eps
        for name, value in layer.state_dict().items():
            self.register_buffer(name, value.clone())

    def forward(self, x):
        scale = (self.running_var + self.eps).rsqrt()
        if hasattr(self, "weight"):
            scale = scale * self.weight
        shift = -self.running_mean * scale
        if hasattr(self, "bias"):
            shift = shift + self.bias
        return x * scale.reshape(-1, 1, 1) + shift.reshape(-1, 1, 1)

    @classmethod
    def convert(cls, model):
        names = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
        for name in names:
            parent, _, child = name.rpartition(".")
            parent = model.get_submodule(parent)
            setattr(parent, child, cls(getattr(parent, child)))
        return len(names)


class right_keeps_a_layer(nn.Module):
    """Parameters that are not trained, and a functional call."""

    def __init__(self, layer):
        super().__init__()
        if layer.running_mean is None:
            raise ValueError("no statistics")
        twin = copy.deepcopy(layer)
        self.weight, self.bias, self.eps = twin.weight, twin.bias, twin.eps
        self.register_buffer("running_mean", twin.running_mean)
        self.register_buffer("running_var", twin.running_var)
        self.requires_grad_(False)

    def forward(self, x):
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class Base(nn.Module):
    """What most of the wrong answers share."""

    def __init__(self, layer):
        super().__init__()
        if layer.running_mean is None:
            raise ValueError
        self.eps = layer.eps
        self.register_buffer("running_mean", layer.running_mean.clone())
        self.register_buffer("running_var", layer.running_var.clone())
        self.register_buffer("weight", layer.weight.detach().clone() if layer.affine else None)
        self.register_buffer("bias", layer.bias.detach().clone() if layer.affine else None)

    def forward(self, x):
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class Unlocked(nn.BatchNorm2d):
    """A batch norm layer with frozen scale and shift, and modes like any other."""

    def __init__(self, layer):
        if not layer.track_running_stats:
            raise ValueError
        super().__init__(layer.num_features, eps=layer.eps, affine=layer.affine)
        self.to(layer.running_mean.dtype)
        self.load_state_dict(layer.state_dict())
        self.requires_grad_(False)

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class wrong_only_weights_frozen(Unlocked):
    """Freezes scale and shift, and leaves the statistics to the mode.

    Named: the statistics of the batch
    """


class wrong_eval_until_train(Unlocked):
    """Calls eval() once, which the next train() undoes.

    Named: the statistics of the batch
    """

    def __init__(self, layer):
        super().__init__(layer)
        self.eval()


class wrong_statistics_move(Base):
    """Computes with the running statistics, but goes on updating them."""

    def forward(self, x):
        result = super().forward(x)
        if self.training:
            self.running_mean.lerp_(x.detach().mean((0, 2, 3)), 0.1)
        return result


class wrong_weights_trained(nn.BatchNorm2d):
    """Keeps the mode fixed, and scale and shift free.

    Named: parameters that can still be trained
    """

    def __init__(self, layer):
        if not layer.track_running_stats:
            raise ValueError
        super().__init__(layer.num_features, eps=layer.eps, affine=layer.affine)
        self.to(layer.running_mean.dtype)
        self.load_state_dict(layer.state_dict())
        self.eval()

    def train(self, mode=True):
        return super().train(False)

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class wrong_default_eps(Base):
    """Takes 1e-5 for eps.

    Named: eps of the layer is not 1e-5
    """

    def __init__(self, layer):
        super().__init__(layer)
        self.eps = 1e-5


class wrong_no_root(Base):
    """Divides by the variance.

    Named: its root is missing
    """

    def forward(self, x):
        def column(values):
            return values.reshape(1, -1, 1, 1)

        x = (x - column(self.running_mean)) / column(self.running_var + self.eps)
        if self.weight is None:
            return x
        return x * column(self.weight) + column(self.bias)


class wrong_no_scale(Base):
    """Forgets scale and shift.

    Named: scale and shift are missing
    """

    def forward(self, x):
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class wrong_plain_attributes(nn.Module):
    """Keeps the numbers as plain attributes, which are not saved or moved.

    Named: missing in state_dict()
    """

    def __init__(self, layer):
        super().__init__()
        if layer.running_mean is None:
            raise ValueError
        self.mean, self.variance = layer.running_mean.clone(), layer.running_var.clone()
        self.scale = layer.weight.detach().clone() if layer.affine else None
        self.shift = layer.bias.detach().clone() if layer.affine else None
        self.eps = layer.eps

    def forward(self, x):
        return nn.functional.batch_norm(
            x, self.mean, self.variance, self.scale, self.shift, eps=self.eps
        )

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class wrong_shares_the_tensors(Base):
    """Takes the layer's own tensors, which go on changing."""

    def __init__(self, layer):
        super().__init__(layer)
        self.running_mean, self.running_var = layer.running_mean, layer.running_var


class wrong_freezes_the_original(Base):
    """Freezes the layer it was made from.

    Named: must stay as it is
    """

    def __init__(self, layer):
        super().__init__(layer)
        layer.requires_grad_(False)


class wrong_needs_scale(nn.Module):
    """Fails for a layer without scale and shift."""

    def __init__(self, layer):
        super().__init__()
        if layer.running_mean is None:
            raise ValueError
        self.eps = layer.eps
        for name in ("running_mean", "running_var", "weight", "bias"):
            self.register_buffer(name, getattr(layer, name).detach().clone())

    def forward(self, x):
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    @classmethod
    def convert(cls, model):
        return replace_all(cls, model)


class wrong_children_only(Base):
    """Converts the direct children of the model only.

    Named: nested parts count too
    """

    @classmethod
    def convert(cls, model):
        names = [n for n, m in model.named_children() if isinstance(m, nn.BatchNorm2d)]
        for name in names:
            setattr(model, name, cls(getattr(model, name)))
        return len(names)


class wrong_returns_nothing(Base):
    """Converts, and does not say how many.

    Named: return the number
    """

    @classmethod
    def convert(cls, model):
        replace_all(cls, model)


class wrong_no_gradient(Base):
    """Detaches what passes through, so that nothing before it learns."""

    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)
