"""Tensors and modules that exist on both sides of the channel.

A test cell may write ``model.conv.weight.data.fill_(1)`` and then call ``model(x)``: the weight
lives in the student's process, the assignment happens in the checker. Or it builds a network,
hands it to the student's ``freeze`` and looks at it afterwards. Both work because such a tensor
has one *replica* on each side under one number, and every message carries the replicas that
changed since the last one. Between messages each side works with an ordinary ``nn.Parameter`` or
tensor, so optimisers, ``torch.nn.init`` and everything else behave as usual.

A replica's state is plain data: values, ``requires_grad`` and ``.grad``. Nothing that comes from
the student's side is more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

# Bound now: a submission that patches torch in its own process breaks its own answers, not the
# exchange of the others.
_equal, _no_grad = torch.equal, torch.no_grad

State = tuple[int, bool, bool, torch.Tensor, "torch.Tensor | None"]


class SharedTensors:
    """The tensors that have a replica on the other side.

    Args:
        first: First number to give; the two sides use odd and even numbers.
    """

    def __init__(self, first: int) -> None:
        self._next = first
        self._tensors: dict[int, torch.Tensor] = {}
        self._numbers: dict[int, int] = {}  # id(tensor) -> number
        self._known: dict[int, State] = {}  # what the other side has

    def number(self, tensor: torch.Tensor) -> int:
        """The tensor's number; a new one is announced with the next `changes`."""
        number = self._numbers.get(id(tensor))
        if number is None:
            number = self._next
            self._next += 2
            self._enter(number, tensor)
        return number

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor is shared already."""
        return id(tensor) in self._numbers

    def __getitem__(self, number: int) -> torch.Tensor:
        return self._tensors[number]

    def __contains__(self, number: object) -> bool:
        return number in self._tensors

    def forget(self, numbers: list[int]) -> None:
        """Stop sharing; both sides keep what they have."""
        for number in numbers:
            tensor = self._tensors.pop(number, None)
            if tensor is not None:
                del self._numbers[id(tensor)]
                self._known.pop(number, None)

    def changes(self) -> list[State]:
        """States that the other side does not have yet; from now on it counts as having them."""
        changed = []
        for number, tensor in self._tensors.items():
            known = self._known.get(number)
            if known is None or _differs(tensor, known):
                state = _state(number, tensor)
                # A copy: the tensor will be changed in place.
                self._known[number] = (*state[:3], state[3].clone(), _copy(state[4]))
                changed.append(state)
        return changed

    def apply(self, states: list[State]) -> None:
        """Take over what the other side reports.

        Raises:
            ValueError: A state is malformed.
        """
        for state in states:
            number, is_parameter, requires_grad, data, grad = _checked(state)
            tensor = self._tensors.get(number)
            if tensor is None:
                data = data.clone()
                tensor = nn.Parameter(data, requires_grad) if is_parameter else data
                self._enter(number, tensor)
            _assign(tensor, data, requires_grad, grad)
            self._known[number] = (number, is_parameter, requires_grad, data.clone(), _copy(grad))

    def _enter(self, number: int, tensor: torch.Tensor) -> None:
        self._tensors[number] = tensor
        self._numbers[id(tensor)] = number


def _state(number: int, tensor: torch.Tensor) -> State:
    grad = tensor.grad if tensor.is_leaf else None
    return (
        number,
        isinstance(tensor, nn.Parameter),
        tensor.requires_grad,
        tensor.detach(),
        None if grad is None else grad.detach(),
    )


def _copy(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.clone()


def _differs(tensor: torch.Tensor, known: State) -> bool:
    _, _, requires_grad, data, grad = known
    now = tensor.grad if tensor.is_leaf else None
    if tensor.requires_grad != requires_grad or (now is None) != (grad is None):
        return True
    return _unequal(tensor.detach(), data) or (
        now is not None and grad is not None and _unequal(now.detach(), grad)
    )


def _unequal(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return True
    if a.device.type == "meta" or a.numel() == 0:
        return False
    # Bytes, so that NaN equals itself and -0.0 differs from 0.0.
    return not _equal(_bytes(a), _bytes(b))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _checked(state: Any) -> State:
    if type(state) is not tuple or len(state) != 5:
        raise ValueError("a shared tensor's state is malformed")
    number, is_parameter, requires_grad, data, grad = state
    if type(number) is not int or type(data) is not torch.Tensor:
        raise ValueError("a shared tensor's state is malformed")
    if type(is_parameter) is not bool or type(requires_grad) is not bool:
        raise ValueError("a shared tensor's state is malformed")
    if requires_grad and not (data.is_floating_point() or data.is_complex()):
        raise ValueError(f"a shared tensor of dtype {data.dtype} cannot require gradients")
    if grad is not None and (
        type(grad) is not torch.Tensor or grad.shape != data.shape or grad.dtype != data.dtype
    ):
        raise ValueError("a shared tensor's gradient does not fit it")
    return number, is_parameter, requires_grad, data, grad


def _assign(
    tensor: torch.Tensor, data: torch.Tensor, requires_grad: bool, grad: torch.Tensor | None
) -> None:
    if _unequal(tensor.detach(), data):
        if tensor.shape == data.shape and tensor.dtype == data.dtype:
            with _no_grad():
                tensor.copy_(data)  # in place: views of it and optimisers go on seeing it
        else:
            tensor.data = data.clone()
    if not tensor.is_leaf:
        return
    if tensor.requires_grad != requires_grad:
        tensor.requires_grad_(requires_grad)
    if grad is None:
        tensor.grad = None
    elif tensor.grad is None or _unequal(tensor.grad, grad):
        tensor.grad = grad.clone()


def containers(
    value: Any, foreign: Callable[[Any], bool], seen: set[int] | None = None
) -> Iterator[Any]:
    """Every changeable object that plain containers in `value` lead to, in a fixed order.

    Lists, dicts, sets, arrays, tensors, modules and optimisers; each once. Both sides walk the
    same value and so give the same object the same position.

    Args:
        value: Arguments of a call.
        foreign: Whether an object belongs to the student's process; those are left out.
        seen: Objects met before.
    """
    seen = set() if seen is None else seen
    if id(value) in seen or foreign(value):
        return
    if type(value) in (list, tuple, dict):
        seen.add(id(value))
        if type(value) is not tuple:
            yield value
        for item in value.values() if type(value) is dict else value:
            yield from containers(item, foreign, seen)
    elif type(value) in (set, np.ndarray) or isinstance(
        value, (torch.Tensor, nn.Module, torch.optim.Optimizer)
    ):
        seen.add(id(value))
        yield value


def members(
    module: nn.Module, foreign: Callable[[Any], bool], seen: set[int] | None = None
) -> list[nn.Module]:
    """A module and what it is made of, in a fixed order, without the student's own modules."""
    seen = set() if seen is None else seen
    if id(module) in seen or foreign(module):
        return []
    seen.add(id(module))
    found = [module]
    for child in module.__dict__["_modules"].values():
        if child is not None:
            found += members(child, foreign, seen)
    return found


_PLAIN = (bool, int, float, str, type(None), tuple)
_INTERNAL = frozenset(nn.Module().__dict__)


def module_content(module: nn.Module) -> tuple:
    """A module without its children's insides: training, children, parameters and so on."""
    attributes = {
        name: value
        for name, value in module.__dict__.items()
        if name not in _INTERNAL and isinstance(value, _PLAIN)
    }
    parts = (dict(module.__dict__[name]) for name in ("_modules", "_parameters", "_buffers"))
    return (module.training, *parts, attributes)


def optimizer_content(optimizer: torch.optim.Optimizer) -> list[dict]:
    """The groups of an optimiser: their parameters and plain settings."""
    return [
        {
            name: list(value) if name == "params" else value
            for name, value in group.items()
            if name == "params" or isinstance(value, _PLAIN)
        }
        for group in optimizer.param_groups
    ]
