"""Answers to a2_transfer, task 5."""

import copy

from torch import nn


def right_from_the_end(model, num_classes):
    """Searches from the end, and builds the layer from the old one's settings."""
    if num_classes <= 0:
        raise ValueError("classes")
    for name, layer in reversed(list(model.named_modules())):
        if name and type(layer) in (nn.Linear, nn.Conv2d):
            break
    else:
        raise ValueError("no head")
    bias = layer.bias is not None
    if type(layer) is nn.Linear:
        new = nn.Linear(layer.weight.shape[1], num_classes, bias=bias)
    else:
        new = nn.Conv2d(
            *(layer.weight.shape[1], num_classes),
            *(layer.kernel_size, layer.stride, layer.padding),
            bias=bias,
        )
    *path, last = name.split(".")
    parent = model
    for step in path:
        parent = getattr(parent, step)
    parent._modules[last] = new.to(layer.weight.dtype)
    return name


def right_copy_with_new_weights(model, num_classes):
    """Copies the old layer and gives the copy new parameters."""
    if num_classes < 1:
        raise ValueError("classes")
    found = None
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            found = name, layer
    if not found or not found[0]:
        raise ValueError("no head")
    name, layer = found
    new = copy.deepcopy(layer)
    new.weight = nn.Parameter(layer.weight.new_empty(num_classes, *layer.weight.shape[1:]))
    if layer.bias is not None:
        new.bias = nn.Parameter(layer.bias.new_empty(num_classes))
    if isinstance(new, nn.Linear):
        new.out_features = num_classes
    else:
        new.out_channels = num_classes
    new.reset_parameters()
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)
    return name


def find(model, num_classes, kinds=(nn.Linear, nn.Conv2d)):
    """Name of the head, or the ValueErrors that the task asks for."""
    if num_classes < 1:
        raise ValueError
    names = [name for name, layer in model.named_modules() if isinstance(layer, kinds)]
    if not names or not names[-1]:
        raise ValueError
    return names[-1]


def fresh(old, num_classes):
    """A new layer like the old one."""
    new = copy.deepcopy(old)
    new.weight = nn.Parameter(old.weight.detach().new_empty(num_classes, *old.weight.shape[1:]))
    if old.bias is not None:
        new.bias = nn.Parameter(old.bias.detach().new_empty(num_classes))
    new.reset_parameters()
    setattr(new, "out_features" if isinstance(new, nn.Linear) else "out_channels", num_classes)
    return new


def put(model, name, new):
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)


def wrong_only_the_label(model, num_classes):
    """Changes out_features, which is only what the layer says about itself.

    Named: still has its old weights
    """
    name = find(model, num_classes)
    layer = model.get_submodule(name)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", num_classes)
    return name


def wrong_in_features(model, num_classes):
    """Takes the old number of classes for the inputs of the new layer.

    Named: not its old classes
    """
    name = find(model, num_classes)
    old = model.get_submodule(name)
    if isinstance(old, nn.Linear):
        put(model, name, nn.Linear(old.out_features, num_classes, bias=old.bias is not None))
    else:
        put(model, name, nn.Conv2d(old.out_channels, num_classes, old.kernel_size))
    return name


def wrong_one_layer_more(model, num_classes):
    """Puts a new layer behind the old head."""
    name = find(model, num_classes)
    old = model.get_submodule(name)
    put(model, name, nn.Sequential(old, nn.Linear(old.weight.shape[0], num_classes)))
    return name


def wrong_linear_only(model, num_classes):
    """Knows linear heads only."""
    name = find(model, num_classes, (nn.Linear,))
    put(model, name, fresh(model.get_submodule(name), num_classes))
    return name


def wrong_fc_only(model, num_classes):
    """Knows ResNet only."""
    if num_classes < 1 or not hasattr(model, "fc"):
        raise ValueError("the model has no fc")
    model.fc = nn.Linear(model.fc.in_features, num_classes)
    return "fc"


def wrong_always_bias(model, num_classes):
    """Gives the new head a bias in any case.

    Named: whether the new head has a bias
    """
    name = find(model, num_classes)
    new = fresh(model.get_submodule(name), num_classes)
    if new.bias is None:
        new.bias = nn.Parameter(new.weight.new_full((num_classes,), 0.1))
    put(model, name, new)
    return name


def wrong_still_frozen(model, num_classes):
    """Gives the new head the requires_grad of the old one.

    Named: cannot be trained
    """
    name = find(model, num_classes)
    old = model.get_submodule(name)
    new = fresh(old, num_classes).requires_grad_(old.weight.requires_grad)
    put(model, name, new)
    return name


def wrong_freezes_the_rest(model, num_classes):
    """Freezes everything else, which nobody asked for.

    Named: not of the head
    """
    name = find(model, num_classes)
    model.requires_grad_(False)
    put(model, name, fresh(model.get_submodule(name), num_classes))
    return name


def wrong_resets_the_rest(model, num_classes):
    """Initialises the whole model again.

    Named: which is not of the head, is as before
    """
    name = find(model, num_classes)
    put(model, name, fresh(model.get_submodule(name), num_classes))
    for layer in model.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return name


def wrong_old_rows(model, num_classes):
    """Keeps the weights of the first classes."""
    name = find(model, num_classes)
    old = model.get_submodule(name)
    new = fresh(old, num_classes)
    rows = min(num_classes, len(old.weight))
    new.weight.data[:rows] = old.weight.data[:rows]
    put(model, name, new)
    return name


def wrong_flat_name(model, num_classes):
    """Returns the last part of the name only.

    Named: classifier.3
    """
    name = find(model, num_classes)
    put(model, name, fresh(model.get_submodule(name), num_classes))
    return name.rpartition(".")[2]


def wrong_linear_for_convolution(model, num_classes):
    """Puts a linear layer where a convolution was.

    Named: Conv2d too
    """
    name = find(model, num_classes)
    old = model.get_submodule(name)
    put(model, name, nn.Linear(old.weight.shape[1], num_classes, bias=old.bias is not None))
    return name


def wrong_single_precision(model, num_classes):
    """Forgets the dtype of the model."""
    name = find(model, num_classes)
    put(model, name, fresh(model.get_submodule(name), num_classes).float())
    return name


def wrong_silent_without_head(model, num_classes):
    """Changes nothing in a model that has no head, and says nothing."""
    try:
        name = find(model, num_classes)
    except ValueError:
        return ""
    put(model, name, fresh(model.get_submodule(name), num_classes))
    return name
