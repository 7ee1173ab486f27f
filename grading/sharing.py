"""Tensors and modules that exist on both sides of the channel.

A test cell may write ``model.conv.weight.data.fill_(1)`` and then call ``model(x)``: the weight
lives in the student's process, the assignment happens in the checker. Or it builds a network,
hands it to the student's ``freeze`` and looks at it afterwards. Both work because such a tensor
has one *replica* on each side under one number, and every message carries the replicas that
changed since the last one. Between messages each side works with an ordinary ``nn.Parameter`` or
tensor, so optimisers, ``torch.nn.init`` and everything else behave as usual.

A replica's state is plain data: values, ``requires_grad`` and ``.grad``. Nothing that comes from
the student's side is more than that.

Whether a tensor changed is found by comparing its bytes with a copy of what the other side has.
Torch counts changes too (``_version``), but not those through ``.data``, and tests use that. The
copies would add up over an assignment, so the checker forgets what no test can reach any more
(`SharedTensors.forget_unreachable`) and has the other side forget it too.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

# Bound now: a submission that patches torch in its own process breaks its own answers, not the
# exchange of the others.
_equal, _no_grad = torch.equal, torch.no_grad
_compare_memory = ctypes.CDLL(None).memcmp
_compare_memory.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

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

    def forget_unreachable(self) -> list[int]:
        """Stop sharing what only this table holds; returns its numbers, for the other side.

        To be called when the other side has been told the last changes. A tensor stays as long as
        anything could still change it or ask for it: a variable, a module, a graph of a backward
        pass, another tensor or array that shares its memory, or one that holds its gradient.
        """
        # Without a variable of its own for the tensor, which would count as one that holds it.
        alone = [number for number in self._tensors if not _is_held(self._tensors, number)]
        self.forget(alone)
        return alone

    def __len__(self) -> int:
        return len(self._tensors)

    def changes(self) -> list[State]:
        """States that the other side does not have yet; from now on it counts as having them."""
        changed = []
        for number, tensor in self._tensors.items():
            known = self._known.get(number)
            if known is None or _differs(tensor, known):
                # A copy: the tensor will be changed in place.
                self._known[number] = _copied(_state(number, tensor))
                changed.append(self._known[number])
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
            self._known[number] = _copied((number, is_parameter, requires_grad, data, grad))

    def _enter(self, number: int, tensor: torch.Tensor) -> None:
        self._tensors[number] = tensor
        self._numbers[id(tensor)] = number


def stands_for(kind: str, number: int, *rest: Any) -> Any:
    """Written into a request for what exists on the student's side already.

    Never called: the reader there puts in the object that it has under this number.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(f"a reference to {kind} {number} that nobody looked up")


def _state(number: int, tensor: torch.Tensor) -> State:
    grad = _grad(tensor)
    return (
        number,
        isinstance(tensor, nn.Parameter),
        tensor.requires_grad,
        tensor.detach(),
        None if grad is None else grad.detach(),
    )


def _grad(tensor: torch.Tensor) -> torch.Tensor | None:
    """The gradient; one that was left over from another shape, by setting ``.data``, is none."""
    grad = tensor.grad if tensor.is_leaf else None
    fits = grad is not None and grad.shape == tensor.shape and grad.dtype == tensor.dtype
    return grad if fits else None


def _copied(state: State) -> State:
    """The state with its own copy of the values."""
    number, is_parameter, requires_grad, data, grad = state
    return number, is_parameter, requires_grad, _copy(data), None if grad is None else _copy(grad)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy whose memory is just its numbers in order."""
    return tensor.resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)


def _differs(tensor: torch.Tensor, known: State) -> bool:
    _, _, requires_grad, data, grad = known
    now = _grad(tensor)
    if tensor.requires_grad != requires_grad or (now is None) != (grad is None):
        return True
    return _unequal(tensor, data) or (now is not None and grad is not None and _unequal(now, grad))


def _unequal(tensor: torch.Tensor, plain: torch.Tensor) -> bool:
    """Whether bytes differ: NaN equals itself, and -0.0 differs from 0.0.

    Args:
        tensor: Any tensor with strides.
        plain: One made by `_copy` or `grading.wire`.
    """
    if tensor.shape != plain.shape or tensor.dtype != plain.dtype or tensor.device != plain.device:
        return True
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return False
    # Asked for every shared tensor with every message, so the usual case without a copy.
    if tensor.is_contiguous() and tensor.is_cpu and not (tensor.is_neg() or tensor.is_conj()):
        return _compare_memory(tensor.data_ptr(), plain.data_ptr(), plain.nbytes) != 0
    return not _equal(_bytes(tensor.detach()), _bytes(plain))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return _copy(tensor).reshape(-1).view(torch.uint8)


def _is_held(tensors: dict[int, torch.Tensor], number: int) -> bool:
    """Whether anything but this table holds a tensor, its memory or its gradient."""
    tensor, grad = _holders(tensors, number)
    alone, alone_grad = _holders_of_a_lonely_one()
    return any(map(operator.gt, (*tensor, *grad), (*alone, *alone_grad)))


def _holders(tensors: dict[int, torch.Tensor], number: int) -> tuple[tuple, tuple]:
    """How many hold a tensor of the table, and how many its gradient.

    In Python, in torch (a graph holds its leaves), and its memory (views, ``.data``, arrays).
    """
    in_python = sys.getrefcount(tensors[number])  # before a variable here makes it one more
    tensor = tensors[number]
    found = in_python, tensor._use_count(), _memory_holders(tensor)
    grad = tensor.grad if tensor.is_leaf else None
    if grad is None:
        return found, ()
    return found, (sys.getrefcount(grad), grad._use_count(), _memory_holders(grad))


@functools.cache
def _holders_of_a_lonely_one() -> tuple[tuple, tuple]:
    """The same of a tensor that only a table holds: what torch itself counts varies by version."""
    tensors = {0: nn.Parameter(torch.zeros(1))}
    tensors[0].grad = torch.zeros(1)
    return _holders(tensors, 0)


def _memory_holders(tensor: torch.Tensor) -> int:
    if tensor.layout != torch.strided or tensor.is_meta:
        return 0  # no memory that anything could share
    storage = tensor.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata) + sys.getrefcount(storage)


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
            if type(item) not in _UNCHANGEABLE:  # most are, and asking costs a call each
                yield from containers(item, foreign, seen)
    elif type(value) in (set, np.ndarray) or isinstance(
        value, (torch.Tensor, nn.Module, torch.optim.Optimizer)
    ):
        seen.add(id(value))
        yield value


_UNCHANGEABLE = frozenset([type(None), bool, int, float, complex, str, bytes])


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
