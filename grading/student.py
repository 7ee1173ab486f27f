"""The student's process: runs the submission's cells, then answers the checker's calls.

Nothing in this process is trusted by anybody. Student code shares it and may change every object
here, this module included; all it gains is wrong answers of its own. What protects the marks is
that the tests, the expected values and the decision are in another process (`grading.checker`),
and what protects the machine is `grading.warm` and `grading.sandbox`.

Requests come from the checker and are unpickled: in that direction the bytes are ours. Replies are
written with `grading.wire`, which can only hold data. Objects that are not data stay here under a
number, a *handle*: modules, instances, classes, functions, iterators. See `grading.proxy` for the
other end.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import io
import itertools
import math
import os
import pickle
import random
import socket
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from grading import sharing, watch, wire

OUTPUT_CHARACTERS = 32_000
MESSAGE_CHARACTERS = 4_000
TRACEBACK_LINES = 30
COLLECT_LIMIT = 100_000

# What a stand-in may be asked to do; everything else is an attribute or a method.
SPECIALS = (
    "__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__",
    "__contains__", "__call__", "__enter__", "__exit__", "__float__", "__int__", "__index__",
    "__complex__", "__bool__", "__abs__", "__neg__", "__pos__", "__invert__", "__round__",
    "__reversed__", "__str__", "__repr__",
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__",
    "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__",
    "__rtruediv__", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__",
    "__matmul__", "__rmatmul__", "__and__", "__rand__", "__or__", "__ror__", "__xor__", "__rxor__",
    "__iadd__", "__isub__", "__imul__", "__itruediv__",
)  # fmt: skip
# Requests during which code of the submission runs for the test that made them.
WATCHED_OPERATIONS = frozenset(
    ["call", "special", "getattr", "setattr", "delattr", "deepcopy", "backward"]
)
PLAIN_CLASSES = {
    cls: cls.__name__
    for cls in (
        bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, slice, range,
        object, type, type(None),
    )
}  # fmt: skip
_FUNCTION_TYPES = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    torch.jit.ScriptFunction,
)

_REQUEST_LIMITS = wire.Limits(max_bytes=2**31)  # requests are ours

_CONTAINERS = frozenset([tuple, list, dict, set, frozenset])

_shell: Any = None
_python: set[str] = set()  # cells of which the host has found out that they are plain Python


def prepare() -> None:
    """Before any fork: make the IPython shell that every fork starts with."""
    global _shell
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False  # it would start a thread
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.cache_size = 0
    _shell = InteractiveShell.instance(config=config)
    _shell.transform_cell = _only_where_needed(_shell)
    _shell.should_run_async = _only_if_it_says_so(_shell)
    _shell.run_cell("pass")  # load what the first cell loads, once for all forks
    _install_colab()


def _only_where_needed(shell: Any) -> Callable[[str], str]:
    """IPython's search for magics, left out for a cell that is plain Python.

    IPython leaves such a cell as it is, after looking at all of its words several times.
    """
    transform = shell.transform_cell

    def transform_cell(cell: str) -> str:
        # A prompt that was copied along can be read as Python: `In [1]: x` annotates In[1].
        special = shell.input_transformers_post or not cell[:1].strip() or "In [" in cell
        if special or not (cell in _python or _is_python(cell)):
            return transform(cell)
        return cell if cell.endswith("\n") else f"{cell}\n"

    return transform_cell


def _only_if_it_says_so(shell: Any) -> Callable[..., bool]:
    """IPython's search for ``await`` at the top level, which compiles the cell once more.

    Only for cells in which one of the two words occurs, somewhere; there is no other way.
    """
    ask = shell.should_run_async

    def should_run_async(
        raw_cell: str, *, transformed_cell: str | None = None, **others: Any
    ) -> bool:
        text = raw_cell if transformed_cell is None else transformed_cell
        if "await" not in text and "async" not in text:
            return False
        return ask(raw_cell, transformed_cell=transformed_cell, **others)

    return should_run_async


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():  # which the cell gives when it runs
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _install_colab() -> None:
    """An empty ``google.colab``: cells that mount a drive or upload files go on past that line."""

    def ignored(*args: Any, **kwargs: Any) -> dict:
        print("google.colab is not available while grading; the call was ignored")
        return {}

    colab = types.ModuleType("google.colab")
    for name, functions in {
        "drive": ("mount", "flush_and_unmount"),
        "files": ("upload", "download"),
        "output": ("clear", "enable_custom_widget_manager"),
        "userdata": ("get",),
        "patches": (),
    }.items():
        module = types.ModuleType(f"google.colab.{name}")
        for function in functions:
            setattr(module, function, ignored)
        setattr(colab, name, module)
        sys.modules[module.__name__] = module
    google = sys.modules.setdefault("google", types.ModuleType("google"))
    google.colab = colab  # type: ignore[attr-defined]
    sys.modules["google.colab"] = colab


def serve(connection: socket.socket) -> None:
    """Answer requests until the checker closes the connection."""
    _shell.system = _refuse_command
    _shell.getoutput = _refuse_command
    # A process that the student's code forks comes back from the call as well, and would answer a
    # second time and then take the next requests away: it gets no connection.
    own = os.getpid()
    os.register_at_fork(after_in_child=connection.close)
    try:
        _Student(connection).serve()
    except (EOFError, ConnectionError):
        return
    except OSError:
        if os.getpid() == own:
            raise


def _refuse_command(command: str, *args: Any, **kwargs: Any) -> list:
    print(f"not run while grading: {command}")
    return []


class _CappedText(io.TextIOBase):
    """Keeps the beginning of what is printed, so that printing costs no memory."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""
        self.lost = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        text = str(text)
        room = OUTPUT_CHARACTERS - len(self.text)
        self.text += text[:room]
        self.lost += max(0, len(text) - room)
        return len(text)

    def take(self) -> str:
        text, lost = self.text, self.lost
        self.text, self.lost = "", 0
        return text + (f"\n[{lost} more characters]" if lost else "")


class Callback:
    """A function of the test cell; calling it runs it in the checker."""

    def __init__(self, student: _Student, number: int, name: str) -> None:
        self._student = student
        self._number = number
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send the arguments over and wait for the result."""
        return self._student.call_back(self._number, args, kwargs)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, student: _Student) -> None:
        super().__init__(io.BytesIO(data))
        self.student = student

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (sharing.__name__, sharing.stands_for.__name__):
            return self.thing
        return super().find_class(module, name)

    def thing(self, kind: str, number: int, *rest: Any) -> Any:
        """What the checker only referred to."""
        student = self.student
        if kind == "shared":
            return student.shared[number]
        if kind == "handle":
            value = student.objects[number]
            student.own.add(id(value))
            return value
        if kind == "linked":
            return student.linked[number]
        return student.callbacks.setdefault(number, Callback(student, number, rest[0]))


class _Student:
    """Holds the student's objects and answers requests about them."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.shared = sharing.SharedTensors(first=1)
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self.linked: dict[int, Any] = {}
        self.callbacks: dict[int, Callback] = {}
        self.graphs: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}
        self.arguments: dict[int, int] = {}  # id(object) -> position, during a call
        self.members_of: dict[int, tuple[int, int]] = {}  # id(submodule) -> argument, place in it
        self.inputs: list[torch.Tensor] = []
        self.count = itertools.count(1)
        self.own: set[int] = set()  # id of what the checker knows as a stand-in
        self.share_all = False
        self.thread = threading.get_ident()
        self.output = _CappedText()
        self.watch: watch.Watch | None = None  # of the test that is running, if it has rules
        self.operations: dict[str, Callable[..., Any]] = {
            "cell": self.run_cell,
            "lookup": self.look_up,
            "call": self.call,
            "special": self.special,
            "getattr": self.get_attribute,
            "setattr": setattr,
            "delattr": delattr,
            "signature": self.signature,
            "isinstance": lambda value, cls: isinstance(value, cls),
            "deepcopy": copy.deepcopy,
            "members": self.members,
            "backward": self.backward,
            "watch": self.start_watching,
            "watched": self.stop_watching,
        }

    def serve(self) -> None:
        """Answer requests until the connection closes or a callback's result arrives."""
        while True:
            self.answer(self.receive())

    # --- messages ---------------------------------------------------------------------------

    def receive(self) -> dict:
        frame = wire.receive_frame(self.connection, _REQUEST_LIMITS)
        states, released, body = wire.decode(frame, limits=_REQUEST_LIMITS)
        self.shared.apply(states)
        for kind, numbers in released.items():
            self.release(kind, numbers)
        return _Unpickler(body, self).load()

    def release(self, kind: str, numbers: list[int]) -> None:
        if kind == "shared":
            self.shared.forget(numbers)
        for number in numbers:
            if kind == "graph":
                self.graphs.pop(number, None)
            elif kind == "linked":
                self.linked.pop(number, None)
            elif kind == "handle":
                value = self.objects.pop(number, None)
                self.own.discard(id(value))
                self.numbers.pop(id(value), None)

    def answer(self, request: dict) -> None:
        """Do what a request asks for and reply."""
        sys.stdout = sys.stderr = self.output  # whatever a cell did to them
        before = self.arguments, self.members_of, self.inputs, self.share_all
        self.share_all = request["share"]
        self.inputs = [self.shared[number] for number in request["inputs"]]
        values = list(sharing.containers((request["args"], request["kwargs"]), self.is_own))
        for position, number in request["links"]:
            self.linked[number] = values[position]
        self.arguments = {id(value): position for position, value in enumerate(values)}
        self.members_of = {
            id(module): (position, index)
            for position, value in enumerate(values)
            if isinstance(value, nn.Module)
            for index, module in enumerate(sharing.members(value, self.is_own))
        }
        watched = [self.watched(value) for value in values]
        old = [[_snapshot(part) for part in parts] for parts in watched]
        try:
            with self.context(request):
                result = self.operations[request["op"]](*request["args"], **request["kwargs"])
                if request["collect"]:
                    result = list(itertools.islice(result, COLLECT_LIMIT))
            status, value = "ok", self.encode(result)
        except wire.WireError as error:
            status, value = "unsupported", wire.encode(str(error))
        except BaseException as error:
            status, value = "raised", self.encode(self.describe_error(error))
        if request["op"] != "cell":
            # What is printed while a test calls could show the hidden inputs in the feedback.
            self.output.take()
        effects = []
        for position, (parts, before_call) in enumerate(zip(watched, old, strict=True)):
            if all(map(_is_unchanged, parts, before_call)):
                continue
            content = self.content(parts)
            if content is not None:
                effects.append((position, content))
        reply = (request["id"], status, value, self.shared.changes(), effects)
        self.arguments, self.members_of, self.inputs, self.share_all = before
        wire.send_frame(self.connection, wire.encode(reply))

    @contextlib.contextmanager
    def context(self, request: dict) -> Iterator[None]:
        """Run as the calling test would have: its grad mode, default dtype and random state."""
        states = request["random"]
        if "torch" in states:
            torch.set_rng_state(torch.frombuffer(bytearray(states["torch"]), dtype=torch.uint8))
        if "numpy" in states:
            np.random.set_state(states["numpy"])  # noqa: NPY002 - the global generator
        if "python" in states:
            random.setstate(states["python"])
        if request["dtype"] != str(torch.get_default_dtype()):
            torch.set_default_dtype(getattr(torch, request["dtype"].removeprefix("torch.")))
        runs_student_code = self.watch is not None and request["op"] in WATCHED_OPERATIONS
        watching = self.watch.active() if runs_student_code else contextlib.nullcontext()
        with torch.set_grad_enabled(request["grad"]), watching:
            yield

    def call_back(self, number: int, args: tuple, kwargs: dict) -> Any:
        if threading.get_ident() != self.thread:
            raise RuntimeError("functions of the tests can only be called from the main thread")
        value = self.encode((args, kwargs))
        reply = (number, "callback", value, self.shared.changes(), [])
        wire.send_frame(self.connection, wire.encode(reply))
        while True:
            request = self.receive()
            if request["op"] == "callback result":
                return request["args"][0]
            if request["op"] == "callback raised":
                raise request["args"][0]
            self.answer(request)

    # --- what leaves ------------------------------------------------------------------------

    def encode(self, value: Any) -> bytes:
        return wire.encode(value, self.hook)

    def hook(self, value: Any) -> tuple[str, tuple] | None:
        if isinstance(value, torch.Tensor):
            return self.tensor_hook(value)
        position = self.arguments.get(id(value))
        if position is not None:
            return "argument", (position,)
        if id(value) in self.members_of:
            return "member", self.members_of[id(value)]
        if type(value) in _CONTAINERS or isinstance(value, (bool, int, float, complex, str, bytes)):
            return None
        if isinstance(value, tuple) and hasattr(type(value), "_fields"):
            return self.named_tuple(value, type(value)._fields)
        if type(value).__module__ == "torch.return_types":
            names = [name for name in dir(type(value)) if not name.startswith(("_", "n_"))]
            fields = [name for name in names if name not in ("count", "index")]
            order = sorted(fields, key=lambda name: _index_of(value, getattr(value, name)))
            return self.named_tuple(value, order)
        if isinstance(value, (tuple, list, dict, set, frozenset, slice, range, bytearray)):
            return None
        if isinstance(value, (torch.dtype, torch.device, np.generic)):
            return None
        if isinstance(value, np.ndarray):
            return None if value.dtype.name in wire.NUMPY_DTYPES else self.handle(value)
        if isinstance(value, type) and value in PLAIN_CLASSES:
            return "builtin", (PLAIN_CLASSES[value],)
        return self.handle(value)

    def tensor_hook(self, tensor: torch.Tensor) -> tuple[str, tuple] | None:
        if type(tensor) is _Plain:
            return None
        if self.shared.knows(tensor):
            return "shared", (self.shared.number(tensor),)
        dense = tensor.layout == torch.strided and not tensor.is_quantized
        if not dense:
            return self.handle(tensor)
        leaf = tensor.is_leaf and tensor.requires_grad
        if isinstance(tensor, nn.Parameter) or self.share_all or leaf:
            return "shared", (self.shared.number(tensor),)
        if tensor.requires_grad:
            token = next(self.count)
            self.graphs[token] = (tensor, self.inputs)
            return "graph", (token, _Plain.of(tensor.detach()))
        return None

    def named_tuple(self, value: tuple, fields: Any) -> tuple[str, tuple]:
        return "named", (type(value).__name__, tuple(fields), tuple(value))

    def handle(self, value: Any) -> tuple[str, tuple]:
        cls = type(value)
        number = self.numbers.get(id(value))
        self.own.add(id(value))
        if number is None:
            number = next(self.count)
            self.objects[number] = value
            self.numbers[id(value)] = number
        if isinstance(value, nn.Module):
            kind = "module"
        elif isinstance(value, type):
            kind, cls = "class", value
        else:
            kind = "function" if isinstance(value, _FUNCTION_TYPES) else "object"
        ancestors = tuple(f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
        # A stand-in for a function or a class has the same methods whatever is behind it.
        asked = SPECIALS if kind in ("module", "object") else ()
        specials = tuple(name for name in asked if _defines(cls, name))
        name = str(getattr(value, "__name__", cls.__name__))
        return "handle", (number, kind, name[:200], ancestors[:64], specials)

    def is_own(self, value: Any) -> bool:
        """Whether the checker knows this object as a stand-in, not as one of its own."""
        return id(value) in self.own

    def watched(self, value: Any) -> list:
        """The objects whose content says whether an argument was changed in place."""
        return sharing.members(value, self.is_own) if isinstance(value, nn.Module) else [value]

    def content(self, parts: list) -> bytes | None:
        """What a changed argument holds now; None if it cannot be sent."""
        share_all, self.share_all = self.share_all, True
        try:
            return self.encode([_content(part) for part in parts])
        except wire.WireError:
            return None
        finally:
            self.share_all = share_all

    def describe_error(self, error: BaseException) -> tuple:
        """Type (nearest first), message, arguments and the student's lines of a traceback."""
        cls = type(error)
        try:
            message = str(error)
        except Exception as broken:
            message = f"(its message cannot be shown: {type(broken).__name__})"
        plain = all(isinstance(arg, (str, bytes, int, float, bool)) for arg in error.args)
        return (
            tuple(f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__),
            cls.__name__,
            message[:MESSAGE_CHARACTERS],
            tuple(error.args[:5]) if plain and len(str(error.args)) < MESSAGE_CHARACTERS else None,
            tuple(student_lines(error)),
            None if cls.__module__ == "builtins" else cls,
        )

    # --- operations -------------------------------------------------------------------------

    def run_cell(self, source: str, name: str, python: bool = False) -> dict:
        """Run a cell as Jupyter would, with magics and top-level await.

        Args:
            source: Its text.
            name: What the checker calls it.
            python: Whether the text is known to be Python without magics.
        """
        if python:
            _python.add(source)
        _shell._showtraceback = lambda *args: None
        result = _shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        described = None
        if error is not None:
            names, kind, message, args, lines, _ = self.describe_error(error)
            described = (names, kind, message, args, lines, None)
        value = result.result
        numeric = isinstance(value, (int, float, np.integer, np.floating))
        return {
            "error": described,
            "output": self.output.take(),
            "number": repr(float(value)) if numeric and type(value) is not bool else None,
        }

    def start_watching(self, rules: list[dict]) -> None:
        """From now on, notice what these rules forbid."""
        self.watch = watch.Watch(rules)

    def stop_watching(self) -> list[str]:
        """The rules that were broken since `start_watching`."""
        watched, self.watch = self.watch, None
        return sorted(watched.broken) if watched else []

    def look_up(self, names: list[str]) -> dict:
        """Those of the names that the student's cells define."""
        return {name: _shell.user_ns[name] for name in names if name in _shell.user_ns}

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def special(self, value: Any, name: str, *args: Any) -> Any:
        return getattr(type(value), name)(value, *args)

    def get_attribute(self, value: Any, name: str) -> Any:
        return getattr(value, name)

    def signature(self, value: Any) -> list:
        """Name, kind, default and annotation of each parameter."""

        def plain(part: Any) -> Any:
            return None if part is inspect.Parameter.empty else (part,)

        return [
            (p.name, int(p.kind), plain(p.default), plain(p.annotation))
            for p in inspect.signature(value).parameters.values()
        ]

    def members(self, module: nn.Module, which: str) -> dict:
        """The dictionaries that code of torch reads directly."""
        return dict(module.__dict__[which])

    def backward(self, tokens: list[int], grads: list[torch.Tensor]) -> list:
        """Continue a backward pass through values that this process computed.

        Gradients of parameters accumulate here, in ``.grad``; those of the call's inputs are
        returned, because the pass goes on in the checker.
        """
        outputs = [self.graphs[token][0] for token in tokens]
        inputs = self.graphs[tokens[0]][1]
        kept = [tensor.grad for tensor in inputs]
        for tensor in inputs:
            tensor.grad = None
        try:
            with torch.enable_grad():
                torch.autograd.backward(outputs, grads, retain_graph=True)
            return [None if t.grad is None else _Plain.of(t.grad.detach()) for t in inputs]
        finally:
            for tensor, grad in zip(inputs, kept, strict=True):
                tensor.grad = grad


class _Plain(torch.Tensor):
    """Marks a tensor that is to be sent by value whatever it is."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.as_subclass(_Plain)


def _content(value: Any) -> Any:
    """The inside of a changeable object, one level deep."""
    if isinstance(value, nn.Module):
        return sharing.module_content(value)
    if isinstance(value, torch.optim.Optimizer):
        return sharing.optimizer_content(value)
    if isinstance(value, torch.Tensor):
        return None  # its values travel with the shared tensors
    return copy.copy(value)  # a new container: the old one would be sent as "the argument itself"


def _snapshot(value: Any) -> tuple:
    """The inside of a changeable object, held so that a change can be seen afterwards.

    Shallow: what lies deeper is an argument's part of its own (`sharing.containers`). The
    snapshot keeps what it saw alive, so that ``is`` is enough to tell whether it is still there.
    """
    if isinstance(value, nn.Module):
        training, *parts = sharing.module_content(value)
        return (training, *(item for part in parts for item in _flat(part)))
    if isinstance(value, torch.optim.Optimizer):
        groups = sharing.optimizer_content(value)  # made for us, and so are their lists
        parts = [part for group in groups for part in (group.pop("params", []), group)]
        return tuple(item for part in parts for item in _flat(part))
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, torch.Tensor):
        return ()  # its values travel with the shared tensors
    return tuple(_flat(value))


def _flat(container: Any) -> Iterator[Any]:
    """How many elements a list, dict or set has, and what they are."""
    yield len(container)
    yield from (
        itertools.chain.from_iterable(container.items())
        if isinstance(container, dict)
        else container
    )


def _is_unchanged(value: Any, before: tuple) -> bool:
    """Whether an object's snapshot would be the same now; the same bytes in doubtful cases."""
    now = _snapshot(value)
    if len(now) != len(before):
        return False
    return all(a is b or _is_same_plain(a, b) for a, b in zip(now, before, strict=True))


def _is_same_plain(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(
            x is y or _is_same_plain(x, y) for x, y in zip(a, b, strict=True)
        )
    if type(a) is float and math.copysign(1, a) != math.copysign(1, b):
        return False  # 0.0 == -0.0
    return type(a) in (bool, int, float, str, bytes) and a == b


def student_lines(error: BaseException) -> list[str]:
    """The lines of a traceback that lie in the student's cells."""
    if isinstance(error, SyntaxError) and error.lineno:
        return [f"line {error.lineno}: {str(error.text or '').strip()[:200]}"]
    lines = []
    for frame in traceback.extract_tb(error.__traceback__)[-300:]:
        if frame.filename.startswith("<ipython-input") or "ipykernel" in frame.filename:
            lines.append(f"line {frame.lineno}, in {frame.name}: {(frame.line or '')[:200]}")
    return lines[-TRACEBACK_LINES:]


def _defines(cls: type, name: str) -> bool:
    """Whether a class has a special method of its own, not just the one every object has."""
    found = getattr(cls, name, None)
    return found is not None and found is not getattr(object, name, None)


def _index_of(values: tuple, value: Any) -> int:
    return next(index for index, item in enumerate(values) if item is value)
