"""Answers to a2_transfer, task 8."""

import contextlib
import copy
import functools

import torch


def find(model, names):
    """The layers by name."""
    layers = dict(model.named_modules())
    if not set(names) <= set(layers):
        raise ValueError("unknown layer")
    return {name: layers[name] for name in names}


class right_with_exit_stack:
    """Registers partial functions, and has a context remove the hooks."""

    def __init__(self, model, names):
        self.model = model
        self.layers = find(model, names)

    def __call__(self, x):
        kept = {}
        with contextlib.ExitStack() as stack, torch.no_grad():
            for name, layer in self.layers.items():
                hook = functools.partial(self.keep, kept, name)
                stack.callback(layer.register_forward_hook(hook).remove)
            self.model(x)
        return kept

    @staticmethod
    def keep(kept, name, layer, inputs, output):
        kept[name] = output.clone()


class right_as_module(torch.nn.Module):
    """A module; all hooks are one function that looks the name up."""

    def __init__(self, model, names):
        super().__init__()
        find(model, names)
        self.model = model
        self.names = list(names)

    def forward(self, x):
        name_of = {id(layer): name for name, layer in self.model.named_modules()}
        outputs = {}

        def hook(layer, inputs, output):
            outputs[name_of[id(layer)]] = output.detach() + 0

        handles = [self.model.get_submodule(n).register_forward_hook(hook) for n in self.names]
        try:
            self.model(x)
        finally:
            [handle.remove() for handle in handles]
        return outputs


class right_global_hook:
    """One hook for all modules, which picks the layers that were asked for."""

    def __init__(self, model, names):
        self.model = model
        self.names = {id(layer): name for name, layer in find(model, names).items()}

    def __call__(self, x):
        result = {}

        def hook(layer, inputs, output):
            if id(layer) in self.names:
                result[self.names[id(layer)]] = output.detach().clone()

        handle = torch.nn.modules.module.register_module_forward_hook(hook)
        try:
            self.model(x)
        finally:
            handle.remove()
        return result


class Base:
    """What most of the wrong answers share."""

    def __init__(self, model, names):
        self.model = model
        self.layers = find(model, names)

    def hook(self, features, name):
        def keep(layer, inputs, output):
            features[name] = output.detach().clone()

        return keep


class wrong_hooks_left(Base):
    """Never removes its hooks.

    Named: left on the model after the extraction
    """

    def __call__(self, x):
        features = {}
        for name, layer in self.layers.items():
            layer.register_forward_hook(self.hook(features, name))
        with torch.no_grad():
            self.model(x)
        return features


class wrong_hooks_from_the_start(Base):
    """Registers its hooks once, when it is made.

    Named: before the extractor is used
    """

    def __init__(self, model, names):
        super().__init__(model, names)
        self.features = {}
        for name, layer in self.layers.items():
            layer.register_forward_hook(self.hook(self.features, name))

    def __call__(self, x):
        with torch.no_grad():
            self.model(x)
        return dict(self.features)


class wrong_hooks_left_after_an_error(Base):
    """Removes its hooks only if all goes well.

    Named: after its forward pass raised an error
    """

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        with torch.no_grad():
            self.model(x)
        for handle in handles:
            handle.remove()
        return features


class wrong_swallows_the_error(Base):
    """Returns what there is when the model fails."""

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        with torch.no_grad(), contextlib.suppress(RuntimeError):
            self.model(x)
        for handle in handles:
            handle.remove()
        return features


class wrong_no_copy(Base):
    """Keeps the layer's own tensor.

    Named: keep a copy
    """

    def hook(self, features, name):
        def keep(layer, inputs, output):
            features[name] = output.detach()

        return keep

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        try:
            self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features


class wrong_with_gradient(Base):
    """Keeps the graph of every feature.

    Named: still carries a gradient
    """

    def hook(self, features, name):
        def keep(layer, inputs, output):
            features[name] = output.clone()

        return keep

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        try:
            self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features


class wrong_inputs(Base):
    """Keeps what goes into the layer.

    Named: inputs of the layers
    """

    def hook(self, features, name):
        def keep(layer, inputs, output):
            features[name] = inputs[0].detach().clone()

        return keep

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        try:
            self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features


class wrong_loop_variable(Base):
    """All hooks write under the last name of the loop.

    Named: each hook needs its own name
    """

    def __call__(self, x):
        features, handles = {}, []

        def keep(layer, inputs, output):
            features[name] = output.detach().clone()

        for name in self.layers:
            handles.append(self.layers[name].register_forward_hook(keep))
        try:
            self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features


class wrong_clears_all_hooks(Base):
    """Throws away everybody's hooks."""

    def __call__(self, x):
        features = {}
        for name, layer in self.layers.items():
            layer.register_forward_hook(self.hook(features, name))
        try:
            self.model(x)
        finally:
            for layer in self.model.modules():
                layer._forward_hooks.clear()
        return features


class wrong_own_copy(Base):
    """Works on a copy of the model, which does not learn what the model learns."""

    def __init__(self, model, names):
        super().__init__(copy.deepcopy(model), names)

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        try:
            self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features


class wrong_eval_mode(Base):
    """Puts the model into evaluation mode."""

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        self.model.eval()
        try:
            self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features


class wrong_key_error(Base):
    """Raises a KeyError for a name that does not exist.

    Named: expected a ValueError
    """

    def __init__(self, model, names):
        layers = dict(model.named_modules())
        self.model, self.layers = model, {name: layers[name] for name in names}

    def __call__(self, x):
        features = {}
        handles = [
            layer.register_forward_hook(self.hook(features, name))
            for name, layer in self.layers.items()
        ]
        try:
            with torch.no_grad():
                self.model(x)
        finally:
            for handle in handles:
                handle.remove()
        return features
