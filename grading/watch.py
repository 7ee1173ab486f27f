"""What a rule such as "no ``F.conv2d``" covers, and the watch that notices it while code runs.

Used on three sides: `grading.rules` compares names in the student's text with it, the checker sees
that every name of a rule exists, and the student's process runs a `Watch` around each call that a
test with rules makes.

A watch sees, whatever name the student's code uses for it: every call of a Python function or of a
function written in C (``sys.setprofile``, in new threads too), ``torch.ops`` included, and, where
a rule concerns something that torch does in C, every operation on tensors, with operators such as
``@`` (``TorchFunctionMode``: it costs as much as the operation). Python reports no calls
of functions that Cython compiled, such as ``np.random.seed``: those only the text shows. A method
of one object, such as ``random.seed``, is that object's alone. What it notices is a set of rules'
names, which the checker asks for when the test is over.

Threat model, honestly: the watch lives in the process that it watches. It is a hurdle against the
convenient way, not a wall. Python code can find the watch and empty its set, enter a context that
switches torch's modes off, or start another interpreter; whoever can do that can also copy the
library's source into a cell, which no rule forbids. Marks are safe from everything else because
the expected values and the decision are in another process; *how* a right value was computed is
known only as far as text and watch tell, and an instructor can read the cell.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_KNOWN_CODES = 100_000
_KNOWN_FUNCTIONS = 10_000


def _sides(*names: str) -> set[str]:
    return {f"{name}{side}d" for name in names for side in (1, 2, 3)}


# Torch has many names for one computation. A rule against one of them is a rule against them all.
# "Tensor.x" is a method, "x" a function or class anywhere in torch (torch.nn.functional, torch.ops
# and so on).
FAMILIES = tuple(
    map(
        frozenset,
        (
            _sides("conv", "conv_transpose", "Conv", "ConvTranspose", "LazyConv")
            | _sides("LazyConvTranspose", "slow_conv", "conv_depthwise")
            | {"conv_tbc", "convolution", "_convolution", "_convolution_mode", "thnn_conv2d"}
            | {"mkldnn_convolution", "convolution_overrideable", "_slow_conv2d_forward"},
            {"unfold", "Unfold", "im2col"},
            {"fold", "Fold", "col2im"},
            _sides("max_pool", "MaxPool", "adaptive_max_pool", "AdaptiveMaxPool")
            | _sides("fractional_max_pool", "FractionalMaxPool", "mkldnn_max_pool")
            | {f"{name}_with_indices" for name in _sides("max_pool", "adaptive_max_pool")}
            | {f"{name}_with_indices" for name in _sides("fractional_max_pool")},
            _sides("avg_pool", "AvgPool", "adaptive_avg_pool", "AdaptiveAvgPool")
            | _sides("_adaptive_avg_pool", "lp_pool", "LPPool"),
            {"@", "matmul", "mm", "bmm", "mv", "addmm", "addbmm", "baddbmm", "addmv", "linear"}
            | {"chain_matmul", "multi_dot", "tensordot", "inner", "Linear", "Tensor.inner"}
            | {"Tensor.matmul", "Tensor.mm", "Tensor.bmm", "Tensor.mv", "Tensor.addmm"}
            | {"Tensor.addbmm", "Tensor.baddbmm", "Tensor.addmv"}
            | {"Tensor.__matmul__", "Tensor.__rmatmul__", "Tensor.__imatmul__"},
            {"grad", "backward", "Tensor.backward", "vjp", "jvp", "jacobian", "jacrev", "jacfwd"}
            | {"grad_and_value", "linearize", "hvp", "vhp", "hessian", "convolution_backward"}
            | {f"{name}_{of}" for name in _sides("conv") for of in ("input", "weight")}
            | {f"{name}_with_indices_backward" for name in _sides("max_pool")},
        ),
    )
)


def spellings(path: str) -> frozenset[str]:
    """Everything in torch that a rule's full name stands for, as in `FAMILIES`.

    Args:
        path: For example "torch.nn.functional.conv2d", "torch.Tensor.unfold" or "@".

    Returns:
        Names without their module; empty if the path does not lead into torch.
    """
    if path != "@" and not path.startswith("torch."):
        return frozenset()
    *before, name = path.split(".")
    name = f"Tensor.{name}" if before[-1:] == ["Tensor"] else name
    found = [family for family in FAMILIES if name in family]
    return frozenset({name}).union(*found)


def resolve(path: str) -> Any:
    """The object of a full name.

    Raises:
        LookupError: There is no such module or attribute.
    """
    first, *names = path.split(".")
    try:
        found = importlib.import_module(first)
    except ImportError as error:
        raise LookupError(f"there is no package {first}") from error
    place = first
    for name in names:
        place = f"{place}.{name}"
        if not hasattr(found, name):
            try:
                importlib.import_module(place)
            except ImportError as error:
                raise LookupError(f"there is no {place}") from error
        found = getattr(found, name)
    return found


class Watch:
    """Notices what the rules of one task forbid.

    Args:
        rules: Dicts with "label" (what the instructor wrote), "path" (the full name) and "module"
            (everything in this module is meant).

    Attributes:
        broken: Labels of the rules that were broken so far.
    """

    def __init__(self, rules: Sequence[dict]) -> None:
        self.broken: set[str] = set()
        self.modules = {rule["path"]: rule["label"] for rule in rules}
        self.names: dict[str, str] = {}  # in torch
        self.endings: set[str] = set()  # the names without "Tensor."
        self.objects: dict[int, tuple[Any, str]] = {}  # id -> object (kept alive), label
        self.codes: dict[int, tuple[types.CodeType, str | None]] = {}
        self.harmless: set[int] = set()  # ids of those codes that no rule concerns
        # For the code of a method of one object, such as random.seed: whose call is meant.
        self.owners: dict[int, tuple[Any, ...]] = {}
        for rule in rules:
            for name in () if rule["module"] else spellings(rule["path"]):
                self.names[name] = rule["label"]
            if "." not in rule["path"]:  # a whole package: importing it could take seconds
                continue
            with contextlib.suppress(LookupError):  # not installed: then it cannot be called
                self.enter(resolve(rule["path"]), rule["label"])
        self.endings = {name.removeprefix("Tensor.") for name in self.names}
        for value, name in _of_torch(frozenset(self.names)):
            self.enter(value, self.names[name])
        self.in_c = _has_in_c(frozenset(self.names))

    def enter(self, value: Any, label: str) -> None:
        """Remember a forbidden function or class."""
        if value is None or isinstance(value, types.ModuleType):
            return
        self.objects[id(value)] = (value, label)
        parts = [inspect.unwrap(value)]
        if isinstance(value, type):
            parts = [vars(value).get("__init__"), vars(value).get("forward")]
        for part in parts:
            code = getattr(part, "__code__", None)
            # Functions made by one factory share their code, so it does not identify them.
            if code is not None and "<locals>" not in part.__qualname__:
                owner = getattr(part, "__self__", None)
                of_one = owner is not None and not isinstance(owner, type)
                if not of_one:
                    self.owners.pop(id(code), None)
                elif id(code) not in self.codes or id(code) in self.owners:
                    self.owners[id(code)] = (*self.owners.get(id(code), ()), owner)
                self.codes[id(code)] = (code, label)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Watch what runs inside."""
        before = sys.getprofile(), threading.getprofile()
        threading.setprofile(self.notice)
        try:
            with self.operations if self.in_c else contextlib.nullcontext():
                sys.setprofile(self.notice)
                yield
        finally:
            sys.setprofile(before[0])
            threading.setprofile(before[1])  # type: ignore[arg-type]

    @functools.cached_property
    def operations(self) -> contextlib.AbstractContextManager:
        """Watches the operations on tensors. Made once: there are hundreds of calls to watch."""
        return _operations_watched_by(self)

    @functools.cached_property
    def notice(self) -> Callable[[types.FrameType, str, Any], None]:
        """The function that Python calls for every call and return."""
        # Names of its own, and the usual answer without another call: it runs for everything that
        # the student's code does, and most of the cost of having rules is here.
        harmless, objects, endings, broken = self.harmless, self.objects, self.endings, self.broken

        def notice(frame: types.FrameType, event: str, argument: Any) -> None:
            if event == "call":
                if id(frame.f_code) in harmless:
                    return
                label = self.label_of_call(frame)
            elif event == "c_call":
                if id(argument) not in objects:
                    try:
                        name = argument.__name__
                    except AttributeError:
                        return
                    if name not in endings and (name.__class__ is not str or "." not in name):
                        return
                label = self.label_of(argument)
                if label is not None and _is_ours(frame):
                    return
            else:
                return
            if label is not None:
                broken.add(label)

        return notice

    def label_of_call(self, frame: types.FrameType) -> str | None:
        """The rule against a Python function that has just been called, or None."""
        code = frame.f_code
        if self.names and code is _torch_op():
            return self.label_of_torch_op(frame)
        known = self.codes.get(id(code))
        label = known[1] if known else self.new_code(frame)
        if label is not None and id(code) in self.owners and not self.is_owner(frame):
            label = self.of_module(frame)
        return label

    def label_of_torch_op(self, frame: types.FrameType) -> str | None:
        """The same of an operation in ``torch.ops``; what torch itself does with it is allowed."""
        caller = frame.f_back
        place = "" if caller is None else str(caller.f_globals.get("__name__"))
        if place.partition(".")[0] == "torch":
            return None
        return self.label_of(frame.f_locals["self"])

    def is_owner(self, frame: types.FrameType) -> bool:
        """Whether a method runs for the object that a rule means.

        ``random.seed`` is a method of the generator that the module shares. A generator of one's
        own, ``random.Random(seed)``, runs the same code for itself.
        """
        first = frame.f_locals.get(frame.f_code.co_varnames[0])
        return any(first is owner for owner in self.owners[id(frame.f_code)])

    def new_code(self, frame: types.FrameType) -> str | None:
        """The rule against a function that was not met before, by the module it comes from."""
        label = self.of_module(frame)
        if len(self.codes) < _KNOWN_CODES:
            self.codes[id(frame.f_code)] = (frame.f_code, label)  # kept, so that its id stays its
            if label is None:
                self.harmless.add(id(frame.f_code))
        return label

    def of_module(self, frame: types.FrameType) -> str | None:
        """The rule against the module that a function comes from."""
        module = str(frame.f_globals.get("__name__"))
        for path, label in self.modules.items():
            if module == path or module.startswith(f"{path}."):
                return label
        return None

    def label_of(self, function: Any) -> str | None:
        """The rule against a function, method or operation of torch, or None."""
        # Asked for every call and every operation, so first what rules most of them out.
        if id(function) in self.objects:
            return self.objects[id(function)][1]
        try:
            name = function.__name__
        except AttributeError:
            return None
        if name not in self.endings:
            if name.__class__ is not str or "." not in name:
                return None
            name = name.partition(".")[0]  # torch.ops: "conv2d.default"
        for spelling in (name, f"Tensor.{name}"):
            if spelling in self.names and _is_of_torch(function, spelling):
                return self.names[spelling]
        return None


def _is_ours(frame: types.FrameType) -> bool:
    """Whether the caller is not the submission, but what serves it."""
    return str(frame.f_globals.get("__name__")).startswith("grading.")


def _is_of_torch(function: Any, spelling: str) -> bool:
    import torch

    owner = getattr(function, "__self__", None)
    cls = getattr(function, "__objclass__", None)
    of_tensor = isinstance(owner, torch.Tensor) or (
        isinstance(cls, type) and issubclass(torch.Tensor, cls)
    )
    of_tensor = of_tensor or getattr(function, "__qualname__", "").startswith("Tensor.")
    if spelling.startswith("Tensor."):
        return of_tensor
    places = (
        getattr(function, "__module__", None),
        getattr(owner, "__module__", None),
        getattr(owner, "__name__", None),
        type(function).__module__,
    )
    return not of_tensor and any(str(place).partition(".")[0] == "torch" for place in places)


def _of_torch(names: frozenset[str]) -> list[tuple[Any, str]]:
    """What torch has under these names, with the name."""
    if not names:
        return []
    import torch
    import torch.nn.grad

    places = (torch, torch.nn.functional, torch.nn, torch.autograd, torch.func, torch.nn.grad)
    parts = [vars(place) for place in places]
    return [(part[name], name) for name in names for part in parts if name in part]


def _has_in_c(names: frozenset[str]) -> bool:
    """Whether torch has something under these names that Python need not report a call of.

    Operators, and functions written in C that other C code may call, as ``map`` does. Functions of
    Python's own are reported whoever calls them.
    """
    import torch

    if not names:
        return False
    places = (torch, torch._C, torch._C._nn, torch._C._VariableFunctions, torch.nn.functional)
    in_python = (types.FunctionType, type, types.ModuleType, type(None))
    return "@" in names or not all(
        isinstance(found, in_python)
        for name in names
        for found in (
            [getattr(torch.Tensor, name.removeprefix("Tensor."), None)]
            if name.startswith("Tensor.")
            else [getattr(place, name, None) for place in places]
        )
    )


@functools.cache
def _torch_op() -> types.CodeType:
    """The code through which Python calls ``torch.ops.aten.conv2d.default`` and the like.

    What it calls in turn has no name. (``torch.ops.aten.conv2d`` itself leads to one that has.)
    """
    from torch._ops import OpOverload

    return vars(OpOverload)["__call__"].__code__


def _operations_watched_by(watch: Watch) -> contextlib.AbstractContextManager:
    from torch.overrides import TorchFunctionMode

    harmless: set[Any] = set()

    def look_at(function: Any) -> None:
        label = watch.label_of(function)
        if label is None:
            if len(harmless) < _KNOWN_FUNCTIONS:
                harmless.add(function)
        elif not _is_ours(sys._getframe(2)):
            watch.broken.add(label)

    class Mode(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, kinds: Any, args: tuple = (), kwargs: dict | None = None
        ) -> Any:
            # Runs for every operation, and each call in here would be noticed in turn: so one
            # look at each function, and only a search in a set from then on.
            if function not in harmless:
                look_at(function)
            return function(*args, **kwargs) if kwargs else function(*args)

    return Mode()
