"""What the warm parent imports before its first fork, and what it keeps torch from importing.

An import in here is paid once; the same import in a fork is paid by every submission. So
everything that assignments use comes first. Two things that torch would import are of no use in
the sandbox, where there is no GPU and nothing is compiled: bindings of CUDA and Triton, and torch's
compiler.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

ALWAYS = (
    "torch", "torch.nn.functional", "torch.utils.data", "numpy", "cnnlib", "cnnlib.checks",
    "IPython.core.interactiveshell",
    # What the first backward pass would import.
    "torch.fx.experimental.symbolic_shapes", "torch.nested._internal.nested_tensor",
)  # fmt: skip
# What torch imports if it is installed, and what is of use with a GPU only: there is none in the
# sandbox, and the two take a tenth of a second.
NOT_HERE = ("triton", "cuda")
_COMPILER = "torch._dynamo"


def import_all(entries: tuple[str, ...], more: tuple[str, ...]) -> list[str]:
    """Import everything.

    Args:
        entries: Modules of ours, imported first; one that cannot be imported is an error.
        more: Modules to import beside `ALWAYS`; like those, they may be missing.

    Returns:
        What is missing, each with the reason.

    Raises:
        ImportError: There is no torch, or one of `entries` cannot be imported.
    """
    missing = []
    with absent(NOT_HERE):
        for name in entries:
            importlib.import_module(name)
        for name in (*ALWAYS, *more):
            try:
                importlib.import_module(name)
            except ImportError as error:
                if name == "torch":
                    raise
                missing.append(f"{name}: {error}")
    postpone_the_compiler()
    return missing


@contextlib.contextmanager
def absent(names: tuple[str, ...]) -> Iterator[None]:
    """Within it, importing these modules fails as if they were not installed.

    One that was imported before is there again afterwards, and is the same.
    """
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


def postpone_the_compiler() -> int:
    """Keep functions of torch from importing its compiler only to be left alone by it.

    Hundreds of functions, every operation on the meta device among them, are wrapped
    (``torch._compile._disable_dynamo``): the wrapper's first call imports the compiler, which
    takes half a second and more, to ask it for a version of the function that it does not touch,
    and remembers that as an attribute. As long as nobody else has imported the compiler there is
    nothing to be left alone by. So here the attribute is set before: to the function as it is, and
    back to torch's own way once the compiler is there, for example by ``torch.compile``.

    Returns:
        How many functions were found; 0 with a torch that does this in another way.
    """
    try:
        from torch._compile import _disable_dynamo

        code = _disable_dynamo(_nothing).__code__
    except (ImportError, AttributeError):
        return 0
    if "fn" not in code.co_freevars or _COMPILER in sys.modules:
        return 0
    place = code.co_freevars.index("fn")
    # Of all functions that exist, those made from the wrapper's code.
    wrappers = [
        found
        for found in gc.get_objects()
        if type(found) is types.FunctionType and found.__code__ is code
    ]
    for wrapper in wrappers:
        function = wrapper.__closure__[place].cell_contents
        with contextlib.suppress(AttributeError):  # not every callable has room for an attribute
            function.__dynamo_disable = _until_there_is_a_compiler(wrapper, function)
    return len(wrappers)


def _nothing() -> None:
    """Something to wrap."""


def _until_there_is_a_compiler(wrapper: Callable, function: Any) -> Callable:
    def as_it_is(*args: Any, **kwargs: Any) -> Any:
        if _COMPILER in sys.modules:
            del function.__dynamo_disable
            return wrapper(*args, **kwargs)
        return function(*args, **kwargs)

    return as_it_is
