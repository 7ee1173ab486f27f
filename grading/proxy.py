"""Stand-ins: what a test cell holds in the checker in place of the student's objects.

Threat model. Everything that arrives through `Remote` was chosen by the student's process, which
may lie. So a stand-in never contains code of the student's and never *decides* anything: it
forwards a question and hands back plain data. Three rules follow.

* **Values are compared here.** A returned number, list or tensor is a plain copy whose ``==`` is
  Python's own. An object that "equals everything" arrives as a stand-in, and a stand-in equals
  nothing but itself.
* **Expected values stay here.** Operators with an operand (``a == b``, ``a + b``) would hand the
  test's right-hand side to the student and believe the answer, so a stand-in has them only if the
  assignment asks for just that: the reference solution has a class of that name that defines just
  this operator. Even then a comparison is forwarded only between two stand-ins; compared with a
  number, a text or a tensor, a stand-in is simply different.
* **Nothing it sends can misbehave.** A reply that does not fit is a broken protocol, and ends that
  student's process.

Everything else is a convenience, so that one test cell runs unchanged in the student's notebook
and here: attributes, methods, iteration, ``len``, ``float``, ``isinstance``, ``inspect.signature``,
autograd through the channel, shared parameters (`grading.sharing`), functions of the test that the
student calls back, exceptions by their builtin type. What has no meaning across two processes
raises `CannotCross` and says so.
"""

from __future__ import annotations

import builtins
import collections
import ctypes
import dataclasses
import functools
import inspect
import io
import itertools
import keyword
import pickle
import random
import socket
import struct
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from grading import sharing, wire

MAX_CALLBACK_DEPTH = 20
MESSAGE_CHARACTERS = 4_000
MAX_LINES, LINE_CHARACTERS = 30, 300
MAX_SHARED = 200_000
# From this many shared tensors on, and whenever their number has doubled since, those that no test
# can reach any more are forgotten.
TIDY_FROM = 64
_REQUEST_LIMITS = wire.Limits(max_bytes=2**31, max_table=10**6)
_TWISTER_BYTES = 624 * 4 + 4  # its numbers and the position among them

# Special methods a stand-in forwards if the student's class has them. None of them passes on a
# value that the test compares with.
_QUESTIONS = frozenset(
    [
        "__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__", "__call__",
        "__enter__", "__exit__", "__float__", "__int__", "__index__", "__complex__", "__bool__",
        "__abs__", "__neg__", "__pos__", "__invert__", "__round__", "__reversed__", "__str__",
        "__repr__",
    ]
)  # fmt: skip
_OPERATORS = frozenset(
    [
        "__contains__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__",
        "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__",
        "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__", "__matmul__",
        "__rmatmul__", "__and__", "__rand__", "__or__", "__ror__", "__xor__", "__rxor__",
        "__iadd__", "__isub__", "__imul__", "__itruediv__",
    ]
)  # fmt: skip
_COMPARISONS = frozenset(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
_PLAIN_CLASSES = {
    cls.__name__: cls
    for cls in (
        bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, slice, range,
        object, type, type(None),
    )
}  # fmt: skip


class StudentGone(BaseException):
    """The student's process ended or broke the protocol.

    Not an `Exception`: a test's own ``except Exception`` must not take it for an answer.
    """


class ProtocolError(StudentGone):
    """The student's process sent something that no honest process sends."""


class CannotCross(BaseException):
    """A value cannot be sent, or a test cell uses something that only one process can have.

    Not an `Exception` either: a submission that returns something unsendable must not pass for
    one that refuses a bad argument.
    """


class StudentExit(RuntimeError):
    """The student's code raised SystemExit, KeyboardInterrupt or the like."""


@functools.cache
def known_modules() -> dict[str, type[nn.Module]]:
    """Torch's own layers by qualified name: what a stand-in may claim to be an instance of."""
    found: dict[str, type[nn.Module]] = {}
    stack: list[type[nn.Module]] = [nn.Module]
    while stack:
        cls = stack.pop()
        if cls.__module__.startswith(("torch.nn.", "torchvision.")) and type(cls) is type:
            found[f"{cls.__module__}.{cls.__qualname__}"] = cls
        stack.extend(cls.__subclasses__())
    return found


class StandIn:
    """Base of all stand-ins: knows its session and its number, nothing else."""

    _stand_in: tuple[Remote, int, str]

    def __deepcopy__(self, memo: dict) -> Any:
        remote, _, _ = _inside(self)
        return remote.request("deepcopy", (self,))

    def __copy__(self) -> Any:
        raise CannotCross("copy.copy of a student's object; copy.deepcopy works")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise CannotCross("pickling or saving a student's object in a test")


def _inside(stand_in: Any) -> tuple[Remote, int, str]:
    return object.__getattribute__(stand_in, "_stand_in")


def _forward(name: str) -> Any:
    comparison = name in _COMPARISONS

    def method(self: Any, *args: Any) -> Any:
        if comparison and not is_stand_in(args[0]):
            return NotImplemented
        return _inside(self)[0].request("special", (self, name, *args))

    method.__name__ = name
    return method


class _Attributes(StandIn):
    """Attributes live in the student's process."""

    def __getattr__(self, name: str) -> Any:
        return _inside(self)[0].request("getattr", (self, name), share=True)

    def __setattr__(self, name: str, value: Any) -> None:
        _inside(self)[0].request("setattr", (self, name, value))

    def __delattr__(self, name: str) -> None:
        _inside(self)[0].request("delattr", (self, name))


class RemoteObject(_Attributes):
    """An instance of a student's class, an iterator, a generator: anything that is not data."""

    def __repr__(self) -> str:
        return f"<an object of the student's class {type(self).__name__}>"


class _Callable(_Attributes):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _inside(self)[0].request("call", (self, *args), kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return _inside(self)[0].signature(self)

    @property
    def __name__(self) -> str:
        return _inside(self)[2]


class RemoteFunction(_Callable):
    """A function or method of the student's."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return types.FunctionType  # inspect.isfunction and the like look here

    def __repr__(self) -> str:
        return f"<the student's function {_inside(self)[2]}>"


class RemoteClass(_Callable):
    """A class of the student's: can be called, and used with isinstance and issubclass."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type

    @property
    def __bases__(self) -> tuple[type, ...]:
        known = object.__getattribute__(self, "_known_base")
        return (known,)

    def __instancecheck__(self, instance: Any) -> bool:
        if not isinstance(type(instance), type) or not issubclass(type(instance), StandIn):
            return False
        return _inside(self)[0].request("isinstance", (instance, self)) is True

    def __repr__(self) -> str:
        return f"<the student's class {_inside(self)[2]}>"


def _documentation(self: Any) -> Any:
    return _inside(self)[0].request("getattr", (self, "__doc__"))


# Set afterwards, because a class's own docstring would hide it.
RemoteFunction.__doc__ = RemoteClass.__doc__ = property(_documentation)  # type: ignore[assignment]


class RemoteModule(_Attributes, nn.Module):
    """A student's ``nn.Module``. Its class also derives from torch's layer it is or extends.

    Every public attribute is the student's, methods included, so that an overridden ``train`` is
    honoured. Only what torch itself reads from inside another module is answered here.
    """

    _LOCAL = frozenset(
        [
            "_stand_in", "_members", "_list", "_parameters", "_buffers", "_modules", "_get_name",
            "parameters", "named_parameters", "buffers", "named_buffers", "children",
            "named_children", "modules", "named_modules", "state_dict",
        ]
    )  # fmt: skip

    def __getattribute__(self, name: str) -> Any:
        if name in RemoteModule._LOCAL or name.startswith("__"):
            return object.__getattribute__(self, name)
        return _inside(self)[0].request("getattr", (self, name), share=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the student's module, hooks included."""
        return _inside(self)[0].request("call", (self, *args), kwargs)

    def __repr__(self) -> str:
        return _inside(self)[0].request("special", (self, "__repr__"))

    def _members(self, which: str) -> dict:
        return _inside(self)[0].request("members", (self, which), share=True)

    @property
    def _parameters(self) -> dict:  # type: ignore[override]
        return self._members("_parameters")

    @property
    def _buffers(self) -> dict:  # type: ignore[override]
        return self._members("_buffers")

    @property
    def _modules(self) -> dict:  # type: ignore[override]
        return self._members("_modules")

    def _list(self, method: str, *args: Any, **kwargs: Any) -> list:
        remote = _inside(self)[0]
        bound = remote.request("getattr", (self, method))
        return remote.request("call", (bound, *args), kwargs, share=True, collect=True)

    def parameters(self, *args: Any, **kwargs: Any) -> Iterator:
        """As in nn.Module; the parameters are shared with the student's process."""
        return iter(RemoteModule._list(self, "parameters", *args, **kwargs))

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator:
        """As in nn.Module."""
        return iter(RemoteModule._list(self, "named_parameters", *args, **kwargs))

    def buffers(self, *args: Any, **kwargs: Any) -> Iterator:
        """As in nn.Module."""
        return iter(RemoteModule._list(self, "buffers", *args, **kwargs))

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator:
        """As in nn.Module."""
        return iter(RemoteModule._list(self, "named_buffers", *args, **kwargs))

    def children(self) -> Iterator:
        """As in nn.Module."""
        return iter(RemoteModule._list(self, "children"))

    def named_children(self) -> Iterator:
        """As in nn.Module."""
        return iter(RemoteModule._list(self, "named_children"))

    def modules(self) -> Iterator:
        """As in nn.Module."""
        return iter(RemoteModule._list(self, "modules"))

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator:
        """As in nn.Module; also called by a module of the test that contains this one."""
        memo = set() if memo is None else memo
        found = RemoteModule._list(
            self, "named_modules", prefix=prefix, remove_duplicate=remove_duplicate
        )
        for name, module in found:
            if module not in memo:
                if remove_duplicate:
                    memo.add(module)
                yield name, module

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict:
        """As in nn.Module; the values are copies."""
        remote = _inside(self)[0]
        bound = remote.request("getattr", (self, "state_dict"))
        state = remote.request("call", (bound,), {"prefix": prefix, "keep_vars": keep_vars})
        if destination is None:
            return collections.OrderedDict(state)
        destination.update(state)
        return destination


class _Through(torch.autograd.Function):
    """A tensor whose backward pass continues in the student's process."""

    @staticmethod
    def forward(
        ctx: Any, remote: Remote, token: int, data: torch.Tensor, *inputs: torch.Tensor
    ) -> torch.Tensor:
        ctx.remote, ctx.token = remote, token
        ctx.expected = [(tensor.shape, tensor.dtype) for tensor in inputs[1:]]
        weakref.finalize(ctx, remote.release, "graph", token)
        return data.view_as(data)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        grads = ctx.remote.request("backward", ([ctx.token], [grad]))
        if type(grads) is not list or len(grads) != len(ctx.expected):
            raise ctx.remote.broken("gradients of the wrong number")
        for value, (shape, dtype) in zip(grads, ctx.expected, strict=True):
            if value is not None and (
                type(value) is not torch.Tensor or value.shape != shape or value.dtype != dtype
            ):
                raise ctx.remote.broken("a gradient of the wrong shape")
        return (None, None, None, None, *grads)


class _Pickler(pickle.Pickler):
    """Writes arguments for the student's process. Its reader trusts us, we never read pickles."""

    def __init__(self, file: io.BytesIO, remote: Remote) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.remote = remote

    # Unlike `persistent_id`, not asked for numbers, texts and plain containers, that is, for most.
    def reducer_override(self, value: Any) -> Any:
        reference = self.reference(value)
        return NotImplemented if reference is None else (sharing.stands_for, reference)

    def reference(self, value: Any) -> tuple | None:
        """Kind and number of what the student's process has already; None to send it whole."""
        remote = self.remote
        if issubclass(type(value), StandIn):
            owner, number, _ = _inside(value)
            if owner is not remote:
                raise CannotCross(
                    "an object of a student's process that has ended since; "
                    "create it in the test cell that uses it"
                )
            return "handle", number
        if isinstance(value, type) and value in remote.exception_numbers:
            return "handle", remote.exception_numbers[value]
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided:
                raise CannotCross("a sparse tensor cannot be sent; make it dense first")
            return "shared", remote.shared.number(value)
        if isinstance(value, (nn.Module, torch.optim.Optimizer)):
            number = remote.linked_number(value)
            return None if number is None else ("linked", number)
        if type(value) is types.FunctionType and remote.is_of_test(value):
            return "callback", remote.callback_number(value), value.__name__
        return None


class Remote:
    """The checker's end of the channel to one student's process.

    Args:
        connection: Socket to `grading.student.serve`.
        namespace: Globals of the test cells.
        student_classes: The classes that the assignment asks for, with the special methods that
            the reference gives them; only their instances have operators.
    """

    def __init__(
        self,
        connection: socket.socket,
        namespace: dict,
        student_classes: dict[str, frozenset[str]],
    ) -> None:
        self.connection = connection
        self.namespace = namespace
        self.student_classes = student_classes
        self.dead: str | None = None
        self.shared = sharing.SharedTensors(first=2)
        self.stand_ins: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self.kinds: dict[int, str] = {}
        self.exceptions: dict[int, type[Exception]] = {}
        self.exception_numbers: dict[type, int] = {}
        self.released = _nothing_released()
        self.linked: dict[int, tuple[int, Any]] = {}  # id -> number, content when it was sent
        self.callbacks: dict[int, Any] = {}
        self.callback_numbers: dict[int, int] = {}
        self.ids = itertools.count(1)
        self.link_numbers = itertools.count(1)
        self.depth = 0
        self.tidy_at = TIDY_FROM
        self.random = _random_states()
        self.known_modules = known_modules()
        self.tuples: dict[tuple, type] = {}
        self.anchor = torch.zeros((), requires_grad=True)

    # --- requests ---------------------------------------------------------------------------

    def request(
        self,
        op: str,
        args: tuple,
        kwargs: dict | None = None,
        *,
        share: bool = False,
        collect: bool = False,
    ) -> Any:
        """Have the student's process do something and return the result.

        Args:
            op: Name of the operation (`grading.student`).
            args: Its arguments.
            kwargs: Its keyword arguments.
            share: Tensors in the result become shared ones instead of copies.
            collect: Turn an iterator that comes out into a list over there.

        Raises:
            Exception: What the student's code raised, by its builtin type.
            CannotCross: An argument or the result cannot be sent.
            StudentGone: The process ended.
        """
        call = _Call(self, args, kwargs or {})
        number = next(self.ids)
        body = {"op": op, "id": number, "share": share, "collect": collect}
        self.send(call, body)
        while True:
            reply, status, value, effects = self.receive(call)
            if status != "callback":
                break
            self.run_callback(reply, value, call)
        if reply != number:
            raise self.broken("an answer to another question")
        self.apply_effects(call, effects)
        result = self.decode(value, call)
        call.finish()
        if len(self.shared) >= self.tidy_at:
            self.tidy()
        if status == "ok":
            return result
        if status == "unsupported" and type(result) is str:
            raise CannotCross(f"the result cannot be sent to the checker: {result}")
        if status == "raised":
            raise self.exception(result)
        raise self.broken("an unknown kind of answer")

    def tidy(self) -> None:
        """Forget the shared tensors that no test can reach any more.

        At the end of a request, when both sides agree about all of them: nothing that a test
        changed is lost. The student's side hears of it with the next request.
        """
        self.released["shared"] += self.shared.forget_unreachable()
        self.tidy_at = max(TIDY_FROM, 2 * len(self.shared))

    def begin_test(self) -> None:
        """A test cell begins: what only the one before it used may go, with the first request."""
        self.tidy_at = 0

    def send(self, call: _Call, body: dict) -> None:
        """Send a request with the tensors that changed since the last one."""
        if self.dead:
            raise StudentGone(self.dead)
        random_states = _random_states(self.random)
        message = {
            **body,
            "args": call.args,
            "kwargs": call.kwargs,
            "links": call.links,
            "inputs": [self.shared.number(tensor) for tensor in call.inputs],
            "grad": torch.is_grad_enabled(),
            "dtype": str(torch.get_default_dtype()),
            "random": self.changed_random_states(random_states),
        }
        file = io.BytesIO()
        try:
            _Pickler(file, self).dump(message)
        except CannotCross:
            raise
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise CannotCross(
                f"an argument cannot be sent to the student's code: {error}"
            ) from error
        call.link()
        released = {kind: numbers for kind, numbers in self.released.items() if numbers}
        self.released = _nothing_released()
        content = (self.shared.changes(), released, file.getvalue())
        try:
            frame = wire.encode(content, limits=_REQUEST_LIMITS)
            wire.send_frame(self.connection, frame)
        except OSError as error:
            self.dead = self.dead or "the student's process has ended"
            raise StudentGone(self.dead) from error
        self.random = random_states
        _set_generators.clear()

    def receive(self, call: _Call) -> tuple[int, str, bytes, list]:
        """One reply, checked; shared tensors are brought up to date."""
        try:
            reply = wire.decode(wire.receive_frame(self.connection))
        except (EOFError, OSError) as error:
            self.dead = self.dead or "the student's process has ended"
            raise StudentGone(self.dead) from error
        except wire.WireError as error:
            raise self.broken(str(error)) from error
        if type(reply) is not tuple or len(reply) != 5:
            raise self.broken("a reply of the wrong form")
        number, status, value, states, effects = reply
        types_fit = (
            type(number) is int
            and type(status) is str
            and type(value) is bytes
            and type(states) is list
            and type(effects) is list
        )
        if not types_fit:
            raise self.broken("a reply of the wrong form")
        try:
            self.check_numbers(states)
            self.shared.apply(states)
        except (ValueError, TypeError, RuntimeError) as error:
            raise self.broken(str(error)) from error
        return number, status, value, effects

    def check_numbers(self, states: list) -> None:
        """The student's side may announce only numbers of its own."""
        for state in states:
            number = state[0] if type(state) is tuple and state else None
            if number in self.shared:
                continue
            if type(number) is not int or number % 2 == 0 or not 0 < number < 2**62:
                raise ValueError("a shared tensor with somebody else's number")
        if len(self.shared) + len(states) > MAX_SHARED:
            raise ValueError(f"more than {MAX_SHARED} shared tensors")

    def broken(self, what: str) -> ProtocolError:
        """Mark the process as one that does not keep to the protocol; raise the result."""
        self.dead = f"the student's process sent something malformed: {what}"
        self.connection.close()
        return ProtocolError(self.dead)

    def release(self, kind: str, number: int) -> None:
        """Tell the student's process, with the next request, that we no longer need this."""
        self.released[kind].append(number)

    def changed_random_states(self, now: dict[str, Any]) -> dict[str, Any]:
        """The random states that this side set or used since the last request.

        A test that seeds and then builds the student's layer and a reference layer gets the same
        numbers in both; also if it seeds twice with the same number, which changes nothing here
        but much for the student's layer that has used the generator since.
        """
        return {
            name: state.full if isinstance(state, _TwisterState) else state
            for name, state in now.items()
            if name in _set_generators or not _same_state(state, self.random[name])
        }

    # --- callbacks --------------------------------------------------------------------------

    def is_of_test(self, function: types.FunctionType) -> bool:
        """Whether a function was defined in a test cell and must therefore stay here."""
        name = function.__qualname__
        return function.__globals__ is self.namespace or "<" in name

    def callback_number(self, function: Any) -> int:
        """The number under which the student's process calls a function of the test."""
        number = self.callback_numbers.get(id(function))
        if number is None:
            number = len(self.callbacks) + 1
            self.callbacks[number] = function
            self.callback_numbers[id(function)] = number
        return number

    def run_callback(self, number: int, value: bytes, call: _Call) -> None:
        """The student's code calls a function that the test passed."""
        function = self.callbacks.get(number)
        arguments = self.decode(value, call)
        fits = (
            function is not None
            and type(arguments) is tuple
            and len(arguments) == 2
            and type(arguments[0]) is tuple
            and type(arguments[1]) is dict
            and all(type(key) is str for key in arguments[1])
        )
        if not fits:
            raise self.broken("a call of a function that was not passed")
        if self.depth >= MAX_CALLBACK_DEPTH:
            raise self.broken("functions that call each other endlessly")
        self.depth += 1
        try:
            answer = ("callback result", function(*arguments[0], **arguments[1]))
        except Exception as error:
            kind = type(error) if type(error).__module__ == "builtins" else RuntimeError
            answer = ("callback raised", kind(str(error)))
        finally:
            self.depth -= 1
        self.send(_Call(self, (answer[1],), {}), {"op": answer[0]})

    # --- what arrives -----------------------------------------------------------------------

    def decode(self, data: bytes, call: _Call) -> Any:
        """Read a value; extensions become stand-ins, shared tensors and so on."""

        def hook(kind: str, fields: tuple) -> Any:
            reader = getattr(self, f"read_{kind}", None) if kind.isidentifier() else None
            if reader is None:
                raise wire.WireError(f"unknown extension {kind[:40]!r}")
            return reader(call, *fields)

        try:
            return wire.decode(data, hook)
        except (TypeError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
            raise self.broken(str(error)) from error

    def read_shared(self, call: _Call, number: int) -> torch.Tensor:
        """A shared tensor."""
        return self.shared[_whole(number)]

    def read_argument(self, call: _Call, position: int) -> Any:
        """An argument of this very call."""
        return call.values[_whole(position)]

    def read_member(self, call: _Call, position: int, index: int) -> nn.Module:
        """A part of a module that is an argument of this call."""
        return call.members(_whole(position))[_whole(index)]

    def read_builtin(self, call: _Call, name: str) -> type:
        """A builtin class such as ``int``."""
        return _PLAIN_CLASSES[name]

    def read_graph(self, call: _Call, token: int, data: torch.Tensor) -> torch.Tensor:
        """A tensor whose backward pass continues in the student's process."""
        if type(data) is not torch.Tensor or not (data.is_floating_point() or data.is_complex()):
            raise wire.WireError("a differentiable value that is not a tensor of real numbers")
        with torch.enable_grad():
            return _Through.apply(self, _whole(token), data, self.anchor, *call.inputs)

    def read_named(self, call: _Call, name: str, fields: tuple, values: tuple) -> tuple:
        """A named tuple, rebuilt from plain names."""
        if type(fields) is not tuple or type(values) is not tuple or len(fields) > 100:
            raise wire.WireError("a named tuple of the wrong form")
        if not all(map(_is_name, fields)) or len(fields) != len(values):
            raise wire.WireError("a named tuple with impossible names")
        name = name.strip("_") if type(name) is str else ""
        name = name if _is_name(name) else "Result"
        key = (name, fields)
        if key not in self.tuples:
            self.tuples[key] = collections.namedtuple(name, fields)
        return self.tuples[key](*values)

    def read_handle(
        self, call: _Call, number: int, kind: str, name: str, ancestors: tuple, specials: tuple
    ) -> Any:
        """Anything that stays in the student's process."""
        number = _whole(number)
        texts = (kind, name, *ancestors, *specials)
        if len(texts) > 300 or not all(type(text) is str for text in texts):
            raise wire.WireError("a handle of the wrong form")
        if number in self.exceptions:
            return self.exceptions[number]
        known = self.stand_ins.get(number)
        if known is not None and self.kinds.get(number) == kind:
            return known
        if kind == "class":
            return self.new_class(number, name, ancestors)
        if kind == "function":
            return self.enter(number, kind, name, RemoteFunction)
        if kind not in ("module", "object"):
            raise wire.WireError("a handle of an unknown kind")
        shown = ancestors[0].rpartition(".")[2] if ancestors else "object"
        shown = shown if _is_name(shown) else "Unnamed"
        declared = self.student_classes if ancestors[:1] == (f"__main__.{shown}",) else {}
        allowed = _QUESTIONS | (_OPERATORS & declared.get(shown, frozenset()))
        methods = {special: _forward(special) for special in specials if special in allowed}
        if kind == "object":
            return self.enter(number, kind, name, type(shown, (RemoteObject,), methods))
        base = self.known_module(ancestors)
        methods = {k: m for k, m in methods.items() if k not in ("__call__", "__repr__", "__str__")}
        bases = (RemoteModule,) if base is nn.Module else (RemoteModule, base)
        return self.enter(number, kind, name, type(shown, bases, methods))

    def known_module(self, ancestors: tuple) -> type:
        """The nearest of torch's own classes among the ancestors."""
        return next(
            (self.known_modules[q] for q in ancestors if q in self.known_modules), nn.Module
        )

    def enter(self, number: int, kind: str, name: str, cls: type) -> Any:
        """Make a stand-in and remember it, so that the same object stays the same here."""
        stand_in = cls.__new__(cls)
        object.__setattr__(stand_in, "_stand_in", (self, number, name))
        if number in self.released["handle"]:
            self.released["handle"].remove(number)
        self.stand_ins[number] = stand_in
        self.kinds[number] = kind
        weakref.finalize(stand_in, self.forget_handle, number, id(stand_in))
        return stand_in

    def forget_handle(self, number: int, identity: int) -> None:
        """The stand-in is gone; unless there is a newer one, the student's side may forget."""
        current = self.stand_ins.get(number)
        if current is None or id(current) == identity:
            self.kinds.pop(number, None)
            self.release("handle", number)

    def new_class(self, number: int, name: str, ancestors: tuple) -> Any:
        """Stand-in for a class; exception classes become real ones, for ``except`` to work."""
        if ancestors and ancestors[0] in self.known_modules:
            return self.known_modules[ancestors[0]]
        if "builtins.BaseException" in ancestors:
            cls = type(name if _is_name(name) else "StudentError", (nearest(ancestors),), {})
            self.exceptions[number] = cls
            self.exception_numbers[cls] = number
            return cls
        stand_in = self.enter(number, "class", name, RemoteClass)
        is_module = "torch.nn.modules.module.Module" in ancestors
        base = self.known_module(ancestors) if is_module else object
        object.__setattr__(stand_in, "_known_base", base)
        return stand_in

    def exception(self, described: Any) -> Exception:
        """Rebuild an exception of the student's as the nearest builtin one."""
        if type(described) is not tuple or len(described) != 6:
            raise self.broken("an exception of the wrong form")
        names, kind, message, args, lines, cls = described
        if not (type(names) is type(lines) is tuple and type(kind) is type(message) is str):
            raise self.broken("an exception of the wrong form")
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            cls = nearest(names)
        kind, message = kind[:200], message[:MESSAGE_CHARACTERS]
        if cls is StudentExit:
            message, args = f"{kind}: {message}" if message else kind, None
        error = _make(cls, args if type(args) is tuple else (message,), message)
        shown = [line[:LINE_CHARACTERS] for line in lines[:MAX_LINES] if type(line) is str]
        error.student_lines = shown  # type: ignore[attr-defined]
        return error

    def signature(self, stand_in: Any) -> inspect.Signature:
        """The signature of a student's function."""
        empty = inspect.Parameter.empty
        parameters = []
        for name, kind, default, annotation in self.request("signature", (stand_in,)):
            parameters.append(
                inspect.Parameter(
                    name,
                    inspect._ParameterKind(kind),  # the documented enum has no public name
                    default=empty if default is None else default[0],
                    annotation=empty if annotation is None else annotation[0],
                )
            )
        return inspect.Signature(parameters)

    # --- arguments that were changed in place -----------------------------------------------

    def linked_number(self, value: Any) -> int | None:
        """The number under which the student's process has this very module or optimiser."""
        entry = self.linked.get(id(value))
        if entry is None or entry[1] != _fingerprint(value):
            return None
        return entry[0]

    def enter_link(self, number: int, value: Any) -> None:
        """From now on a number is enough for this module or optimiser, as long as it lives."""
        before = self.linked.get(id(value))
        if before is not None:
            self.release("linked", before[0])
        self.linked[id(value)] = (number, _fingerprint(value))
        weakref.finalize(value, self.forget_link, number, id(value))

    def forget_link(self, number: int, identity: int) -> None:
        """The module or optimiser is gone; unless it was sent again since, so is its number."""
        if self.linked.get(identity, (None,))[0] == number:
            del self.linked[identity]
            self.release("linked", number)

    def apply_effects(self, call: _Call, effects: list) -> None:
        """Repeat here what the student's code did to the arguments."""
        try:
            for position, content in effects:
                value = call.values[_whole(position)]
                parts = self.decode(content, call)
                if isinstance(value, nn.Module):
                    for module, part in zip(call.members(position), parts, strict=True):
                        _update_module(module, *part)
                    call.relink(value)
                elif isinstance(value, torch.optim.Optimizer):
                    _update_optimizer(value, parts[0])
                    call.relink(value)
                else:
                    _update_container(value, parts[0])
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise self.broken(str(error)) from error


class _Call:
    """One request: its arguments, and which of them are tracked for changes."""

    def __init__(self, remote: Remote, args: tuple, kwargs: dict) -> None:
        self.remote = remote
        self.args = args
        self.kwargs = kwargs
        self.values = list(sharing.containers((args, kwargs), is_stand_in))
        shared = remote.shared
        # Tensors that are handed over for this call only.
        self.temporary = [
            value
            for value in self.values
            if isinstance(value, torch.Tensor)
            and not isinstance(value, nn.Parameter)
            and not shared.knows(value)
        ]
        self.inputs = [
            tensor for tensor in self.temporary if tensor.requires_grad and torch.is_grad_enabled()
        ]
        self.new_links = [
            (position, next(remote.link_numbers), value)
            for position, value in enumerate(self.values)
            if isinstance(value, (nn.Module, torch.optim.Optimizer))
            and remote.linked_number(value) is None
        ]
        self.links = [(position, number) for position, number, _ in self.new_links]
        self._members = {
            position: sharing.members(value, is_stand_in)
            for position, value in enumerate(self.values)
            if isinstance(value, nn.Module)
        }

    def members(self, position: int) -> list[nn.Module]:
        return self._members[position]

    def link(self) -> None:
        """The modules and optimisers have been sent: from now on a number is enough."""
        for _, number, value in self.new_links:
            self.remote.enter_link(number, value)

    def relink(self, value: Any) -> None:
        entry = self.remote.linked.get(id(value))
        if entry is not None:
            self.remote.linked[id(value)] = (entry[0], _fingerprint(value))

    def finish(self) -> None:
        """Stop sharing the tensors that were only arguments."""
        shared = self.remote.shared
        numbers = [shared.number(tensor) for tensor in self.temporary if shared.knows(tensor)]
        shared.forget(numbers)
        self.remote.released["shared"].extend(numbers)


def _fingerprint(value: Any) -> Any:
    """The structure of a module or optimiser, to notice that a test changed it."""

    def flat(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: flat(item) for key, item in part.items()}
        if isinstance(part, (list, tuple)):
            return [flat(item) for item in part]
        return id(part) if isinstance(part, (torch.Tensor, nn.Module)) else repr(part)

    if isinstance(value, nn.Module):
        return [flat(sharing.module_content(m)) for m in sharing.members(value, is_stand_in)]
    return flat(sharing.optimizer_content(value))


def is_stand_in(value: Any) -> bool:
    """Whether a value lives in a student's process."""
    return issubclass(type(value), StandIn)


def _update_module(
    module: nn.Module,
    training: bool,
    children: dict,
    parameters: dict,
    buffers: dict,
    attributes: dict,
) -> None:
    for name in (*children, *parameters, *buffers, *attributes):
        if type(name) is not str or name in _PROTECTED:
            raise ValueError("a module with an attribute that no module has")
    for child in children.values():
        if child is not None and not isinstance(child, nn.Module):
            raise ValueError("a child that is not a module")
    for tensor in (*parameters.values(), *buffers.values()):
        if tensor is not None and not isinstance(tensor, torch.Tensor):
            raise ValueError("a parameter that is not a tensor")
    module.training = training is True
    inside = module.__dict__
    for kind, new in (("_modules", children), ("_parameters", parameters), ("_buffers", buffers)):
        inside[kind].clear()
        inside[kind].update(new)
    plain = sharing.module_content(module)[-1]
    for name in plain.keys() - attributes.keys():
        del inside[name]
    for name, value in attributes.items():
        if name not in plain or repr(plain[name]) != repr(value):  # (1, 2) == (1, 2.0)
            inside[name] = value


# Names whose replacement by data would make torch's own code misbehave.
_PROTECTED = frozenset(dir(nn.Module()))


def _update_optimizer(optimizer: torch.optim.Optimizer, groups: Any) -> None:
    if type(groups) is not list or not all(type(group) is dict for group in groups):
        raise ValueError("an optimiser of the wrong form")
    for group in groups:
        if not all(isinstance(p, torch.Tensor) for p in group["params"]):
            raise ValueError("an optimiser of something other than tensors")
    del optimizer.param_groups[len(groups) :]
    for index, group in enumerate(groups):
        if index < len(optimizer.param_groups):
            optimizer.param_groups[index].update(group)
        else:
            optimizer.param_groups.append(group)


def _update_container(value: Any, new: Any) -> None:
    if isinstance(value, np.ndarray):
        if type(new) is not np.ndarray or new.dtype != value.dtype:
            raise ValueError("an array of another type")
        if new.shape != value.shape:
            value.resize(new.shape, refcheck=False)
        np.copyto(value, new)
    elif type(new) is not type(value):
        raise ValueError("a container of another type")
    elif type(value) is list:
        value[:] = new
    else:
        value.clear()
        value.update(new)


def nearest(names: Any) -> type[Exception]:
    """The first ancestor that is a builtin `Exception`."""
    for name in names:
        if type(name) is str and name.startswith("builtins."):
            cls = getattr(builtins, name.removeprefix("builtins."), None)
            if isinstance(cls, type) and issubclass(cls, Exception):
                return cls
            if cls is BaseException or (isinstance(cls, type) and issubclass(cls, BaseException)):
                return StudentExit
    return StudentExit


def _make(cls: type[Exception], args: tuple, message: str) -> Exception:
    # Some builtin exceptions want particular arguments; their nearest simpler base does not.
    for ancestor in cls.__mro__:
        if not issubclass(ancestor, Exception):
            break
        for candidate in (args, (message,)):
            try:
                return ancestor(*candidate)
            except (TypeError, ValueError):
                continue
    return RuntimeError(message)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise wire.WireError("a number was expected")
    return value


def _is_name(text: Any) -> bool:
    return (
        type(text) is str
        and text.isidentifier()
        and not keyword.iskeyword(text)
        and (not text.startswith("_") and len(text) <= 100)
    )


def _nothing_released() -> dict[str, list[int]]:
    return {"shared": [], "handle": [], "graph": [], "linked": []}


# What sets one of the generators that everybody uses, and which of them were set since the last
# request: setting one to the state it has already cannot be seen from the state.
_SETTERS = {
    "torch": ((torch, "manual_seed"), (torch, "seed"), (torch, "set_rng_state"),
              (torch.random, "manual_seed"), (torch.random, "seed"),
              (torch.random, "set_rng_state")),
    "numpy": ((np.random, "seed"), (np.random, "set_state")),
    "python": ((random, "seed"), (random, "setstate")),
}  # fmt: skip
_set_generators: set[str] = set()


def notice_seeding(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have the functions that seed a global generator leave a note. For the checker's process.

    Args:
        replace: Sets an attribute of a module.
    """

    def noting(function: Callable, generator: str) -> Callable:
        @functools.wraps(function)
        def seeding(*args: Any, **kwargs: Any) -> Any:
            _set_generators.add(generator)
            return function(*args, **kwargs)

        return seeding

    for generator, places in _SETTERS.items():
        noted: dict[Any, Callable] = {}  # torch.seed and torch.random.seed stay the same function
        for module, name in places:
            function = getattr(module, name)
            noted.setdefault(function, noting(function, generator))
            replace(module, name, noted[function])


def _random_states(last: dict[str, Any] | None = None) -> dict[str, Any]:
    """The states of the global generators; `last` are those found before, to be quicker."""
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": _numpy_state(last["numpy"] if last else None),
        "python": _python_state(last["python"] if last else None),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class _TwisterState:
    """The state of a global Mersenne twister, and the memory it was read from.

    The functions that return a state make 624 numbers each time and would be the dearest part of
    a request. The memory says whether the generator was used, but for one thing: a normal number
    kept for the next call, which can be used up without touching the twister.
    """

    full: tuple
    memory: bytes | None
    keeps_normal: bool


def _numpy_state(last: _TwisterState | None) -> _TwisterState:
    """The state of NumPy's global generator; `last` itself if that is still right."""
    generator = np.random.get_bit_generator()
    memory = None
    if type(generator) is np.random.MT19937:
        memory = ctypes.string_at(generator.ctypes.state_address, _TWISTER_BYTES)
        if last is not None and last.memory == memory and not last.keeps_normal:
            return last
    full = np.random.get_state()  # noqa: NPY002 - the global generator
    return _TwisterState(full, memory, full[3] != 0)


def _python_state(last: _TwisterState | None) -> _TwisterState:
    """The state of `random`'s global generator; `last` itself if that is still right."""
    generator = _PYTHON_GENERATOR
    memory = _python_memory() if generator is not None else None
    if (
        last is not None
        and last.memory is not None
        and last.memory == memory
        and not last.keeps_normal
        and generator.gauss_next is None
    ):
        return last
    full = random.getstate()
    return _TwisterState(full, memory, full[2] is not None)


def _python_memory() -> bytes:
    """The twister inside the generator: its position and its numbers, behind the object's head."""
    return ctypes.string_at(id(_PYTHON_GENERATOR) + object.__basicsize__, _TWISTER_BYTES)


def _python_generator() -> random.Random | None:
    """The generator behind ``random.random``, if its memory is laid out as CPython's is.

    Python has no function that looks into it; elsewhere the state is asked for each time.
    """
    generator = getattr(random.random, "__self__", None)
    if sys.implementation.name != "cpython" or type(generator) is not random.Random:
        return None
    memory = ctypes.string_at(id(generator) + object.__basicsize__, _TWISTER_BYTES)
    position, *numbers = struct.unpack(f"i{_TWISTER_BYTES // 4 - 1}I", memory)
    return generator if (*numbers, position) == generator.getstate()[1] else None


_PYTHON_GENERATOR = _python_generator()


def _same_state(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, _TwisterState):
        a, b = a.full, b.full
    if isinstance(a, tuple) and isinstance(a[1], np.ndarray):
        return a[2:] == b[2:] and np.array_equal(a[1], b[1])
    return a == b
