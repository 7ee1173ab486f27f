"""Checks that explain: what was expected, what came, and which misconception it looks like.

The test cells of the assignments are written with these functions. A failed check raises
:class:`CheckError`; its message is written for the student who reads it below the cell.

Three rules keep a check honest. Types are compared exactly, so that an object which claims to equal
everything does not pass. A student's function is called through :func:`call`, which reports its
exception with type and message and keeps the traceback. And everything handed to it is plain data
(numbers, strings, lists, tuples, dicts, tensors), which is compared afterwards with a copy, so
that the same cell also runs where the student's function lives in another process.

Blocks of networks are checked by what they compute, whatever their layers are called:
:func:`set_filters` gives a block filters that one can follow with pencil and paper, and
:func:`check_block` compares it, filled with random numbers, with a formula.

Example:
    >>> from cnnlib.checks import check_call
    >>> def pool_output_size(size, kernel, stride):
    ...     return (size - kernel) // stride
    >>> check_call(
    ...     pool_output_size, (4, 2, 2), expected=2, misconceptions={1: "the + 1 is missing"}
    ... )
    Traceback (most recent call last):
    cnnlib.checks.CheckError: pool_output_size(4, 2, 2): expected 2, but got 1.
    Likely cause: the + 1 is missing.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SEED_VARIABLE = "CNNLIB_GRADING_SEED"
DEFAULT_SEED = "cnnlib"

# Sums of float32 taken in another order differ in the last digits; a wrong formula differs by far
# more than this.
TOLERANCES = {
    torch.float16: (1e-2, 1e-3),
    torch.bfloat16: (2e-2, 1e-2),
    torch.float32: (1e-4, 1e-5),
    torch.float64: (1e-7, 1e-9),
    torch.complex64: (1e-4, 1e-5),
    torch.complex128: (1e-7, 1e-9),
}
NUMBER_TOLERANCE = (1e-9, 1e-12)

_EXACT = (int, bool, str, bytes, type(None))
_LARGEST_INT_BITS = 1023  # beyond that a whole number is too long to print, or to become a float
_ARTICLES = {
    int: "a whole number (int)",
    float: "a number (float)",
    bool: "True or False (bool)",
    str: "a text (str)",
    bytes: "bytes",
    list: "a list",
    tuple: "a tuple",
    dict: "a dict",
    type(None): "None",
}


class CheckError(AssertionError):
    """A failed check.

    Attributes:
        what: What was checked, for example the call.
        cause: The misconception the value matches, or None.
    """

    def __init__(self, message: str, *, what: str = "", cause: str | None = None) -> None:
        super().__init__(message)
        self.what = what
        self.cause = cause


def check_equal(
    got: Any,
    expected: Any,
    what: str,
    *,
    misconceptions: Mapping[Any, str] | Iterable[tuple[Any, str]] | None = None,
) -> None:
    """Check that a value is the expected one, of the same type.

    Numbers, texts, lists, tuples and dicts are compared item by item. Floats may differ in the
    last digits; tensors must have equal values, shape and dtype.

    Args:
        got: The student's value.
        expected: The right value.
        what: What the value is, for example "conv_output_size(32, 5)".
        misconceptions: Wrong values and what they mean, ``{28: "this is the size without
            padding"}``; pairs (value, text) where a value cannot be a dict key.

    Raises:
        CheckError: If the value differs.
    """
    _compare(got, expected, what, _value_first(misconceptions), tolerance=None)


def check_close(
    got: Any,
    expected: Any,
    what: str,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    misconceptions: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
) -> None:
    """Check that tensors or numbers are close to the expected ones, of the same shape and dtype.

    Args:
        got: The student's value: a tensor, a number, or a tuple, list or dict of them.
        expected: The right value.
        what: What the value is.
        rtol: Allowed difference relative to the expected value; by default chosen by dtype.
        atol: Allowed absolute difference; by default chosen by dtype.
        misconceptions: What a wrong value means and that value, ``{"the kernel was flipped":
            flipped_output}``.

    Raises:
        CheckError: If the value differs, is not of the expected type, dtype or shape, is not
            finite where the expected value is, or still carries a gradient.
    """
    pairs = misconceptions.items() if isinstance(misconceptions, Mapping) else misconceptions or ()
    _compare(got, expected, what, list(pairs), tolerance=(rtol, atol))


def check_shape(
    got: Any,
    expected: Sequence[int],
    what: str,
    *,
    misconceptions: Mapping[tuple[int, ...], str] | None = None,
) -> None:
    """Check that a value is a tensor of the expected shape.

    Args:
        got: The student's tensor.
        expected: The right shape.
        what: What the tensor is.
        misconceptions: Wrong shapes and what they mean.

    Raises:
        CheckError: If it is not a tensor or the shape differs.
    """
    _require_tensor(got, what)
    shape, expected = tuple(got.shape), tuple(expected)
    if shape != expected:
        cause = dict(misconceptions or {}).get(shape)
        raise _failure(what, f"expected shape {expected}, but got {shape}", cause)


def check_raises(
    function: Callable[..., Any],
    *args: Any,
    error: type[Exception] = ValueError,
    what: str | None = None,
    **kwargs: Any,
) -> None:
    """Check that a call is refused with the right kind of error.

    Args:
        function: The student's function.
        *args: Its arguments.
        error: The exception it should raise.
        what: Why the call should be refused, for example "the kernel is larger than the input".
        **kwargs: Its keyword arguments.

    Raises:
        CheckError: If the function returns, or raises something else.
    """
    shown = describe_call(function, args, kwargs)
    reason = f" because {what}" if what else ""
    wanted = f"expected a {error.__name__}{reason}"
    try:
        result = function(*args, **kwargs)
    except (Exception, SystemExit) as raised:
        # An empty stub must not pass as a refusal, though its error is a RuntimeError too.
        if isinstance(raised, NotImplementedError) and error is not NotImplementedError:
            raise _not_written(shown) from raised
        if isinstance(raised, error):
            return
        raise _failure(shown, f"{wanted}, but it raised {_describe_error(raised)}") from raised
    raise _failure(shown, f"{wanted}, but it returned {_describe(result)}")


def check_call(
    function: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    expected: Any,
    misconceptions: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    what: str | None = None,
) -> None:
    """Call a student's function and check its result: :func:`call`, then compare.

    Args:
        function: The student's function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        expected: The right result. Where it holds tensors or floats they are compared as in
            :func:`check_close`, everything else as in :func:`check_equal`.
        misconceptions: As in check_close if expected holds tensors, else as in check_equal.
        rtol: As in check_close.
        atol: As in check_close.
        what: Description of the call; made from function and arguments if left out.

    Raises:
        CheckError: If the function raises, changes its arguments, or returns something else.
    """
    shown = describe_call(function, args, kwargs)
    what = what or shown
    got = _call(function, tuple(args), dict(kwargs or {}), shown)
    if _holds_tensor(expected):
        check_close(got, expected, what, rtol=rtol, atol=atol, misconceptions=misconceptions)
    elif rtol is not None or atol is not None:
        _compare(got, expected, what, _value_first(misconceptions), tolerance=(rtol, atol))
    else:
        check_equal(got, expected, what, misconceptions=misconceptions)


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a student's function, explain its exception, and see that it left its arguments alone.

    Args:
        function: The student's function.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Returns:
        What the function returned.

    Raises:
        CheckError: If the function raises (its exception is the cause), or if an argument
            has changed.
    """
    return _call(function, args, kwargs, describe_call(function, args, kwargs))


def _call(function: Callable[..., Any], args: tuple, kwargs: dict[str, Any], shown: str) -> Any:
    """`call`, with the call's description made already."""
    before = [_copy(value) for value in (*args, *kwargs.values())]
    try:
        result = function(*args, **kwargs)
    except NotImplementedError as raised:
        raise _not_written(shown) from raised
    except (Exception, SystemExit) as raised:
        raise _failure(shown, f"raised {_describe_error(raised)}") from raised
    names = [f"argument {number}" for number in range(1, len(args) + 1)] + list(kwargs)
    for name, old, new in zip(names, before, (*args, *kwargs.values()), strict=True):
        if not _same(new, old):
            raise _failure(
                shown,
                f"the call changed {name}. Work on a copy: the caller still needs its values",
            )
    return result


def describe_call(
    function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> str:
    """The call as one would write it, with tensors shown by dtype and shape.

    Args:
        function: Any callable.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Returns:
        For example ``"im2col(float64 tensor (1, 2, 5, 5), 3, stride=2)"``.
    """
    name = getattr(function, "__name__", None)
    if type(name) is not str:
        name = type(function).__name__
    shown = [_describe(value) for value in args]
    shown += [f"{key}={_describe(value)}" for key, value in (kwargs or {}).items()]
    return f"{name}({', '.join(shown)})"


def hidden_rng(label: str = "") -> random.Random:
    """Random numbers for hidden checks: the same for the same student, different for another.

    Args:
        label: Name of the test, so that two tests draw different numbers.

    Returns:
        A generator of its own, seeded from the environment variable CNNLIB_GRADING_SEED.
    """
    return random.Random(f"{os.environ.get(SEED_VARIABLE, DEFAULT_SEED)}/{label}")


def random_tensor(rng: random.Random, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normally distributed values that depend on nothing but the generator.

    Args:
        rng: A generator, for example from :func:`hidden_rng`.
        *shape: Shape of the tensor.
        dtype: A floating point type.

    Returns:
        A tensor of this shape.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    return torch.randn(shape, generator=generator, dtype=dtype)


def one_pixel(*values: float) -> Tensor:
    """A picture of a single pixel.

    Args:
        *values: Its channels.

    Returns:
        A float32 tensor of shape (1, C, 1, 1).
    """
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)


def count_parameters(block: nn.Module) -> int:
    """How many numbers a block learns."""
    return sum(parameter.numel() for parameter in block.parameters())


def set_filters(block: nn.Module, factor: float, bias: float | None = None) -> None:
    """Give a block filters that can be followed by hand.

    Of the channels that it sees, filter o looks at channel o alone and multiplies each pixel of its
    window by the factor; where there are more filters than channels, they begin again with channel
    0. In a depthwise convolution each filter sees one channel, and multiplies that.

    Args:
        block: A block, changed in place.
        factor: What the filters multiply by.
        bias: What all biases become, and the shifts of batch normalisation too; None leaves them.
            Vectors of ones are taken for scales of a fresh batch normalisation and stay, so give
            this once to a block.
    """
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.ndim >= 2:
                parameter.zero_()
                for o in range(parameter.shape[0]):
                    parameter[o, o % parameter.shape[1]] = factor
            elif bias is not None and not bool((parameter == 1).all()):
                parameter.fill_(bias)


def in_evaluation(block: nn.Module, x: Tensor) -> Tensor:
    """What a block makes of x in evaluation mode, without gradients.

    A fresh batch normalisation changes next to nothing there: it divides by the root of 1.00001.

    Args:
        block: The student's block. It is left in evaluation mode.
        x: Its input.

    Returns:
        Its output.

    Raises:
        CheckError: If the block raises, or changes its input.
    """
    block.eval()
    with torch.no_grad():
        return call(block, x)


# A convolution's weight or bias by its shape, a batch norm by its number of channels.
Part = tuple[int, ...] | int
_BLOCK_TOLERANCE = {"rtol": 1e-3, "atol": 1e-3}  # a few layers of float32, and their gradients
_LARGEST_CAST = 1000  # ways to give the parameters their parts; each is one more forward pass


def check_block(
    block: nn.Module,
    parts: Mapping[str, Part],
    formula: Callable[[Tensor, Callable[..., Tensor], Callable[..., Tensor]], Tensor],
    x: Tensor,
    rng: random.Random,
    what: str,
    *,
    alike: bool = False,
) -> None:
    """Fill a fresh block with random numbers; it must compute what the formula says.

    Output and gradients in training mode are compared, then the output in evaluation mode, which
    depends on the running statistics that the training has left. Nothing is asked of the names
    and the order of the layers: every cast in which the shapes fit is tried. A linear layer, with
    weights (o, i), may stand for a 1x1 convolution and the other way round.

    Args:
        block: A block that was just made: scales of batch normalisation are 1, shifts 0, all other
            vectors biases.
        parts: Name and shape of each convolution's weight and bias ("name" and "name bias"), name
            and number of channels of each batch normalisation.
        formula: What the block should compute, a function of x, conv(name, y, stride=1) and
            norm(name, y). conv pads by half of the kernel, and has as many groups as the shape of
            the weight asks for.
        x: Input (N, C, H, W) in float32.
        rng: Draws the numbers.
        what: The call that made the block.
        alike: Give parameters of the same shape the same numbers, so that it does not matter which
            is which. For whole networks, which have too many casts; their gradients are compared
            as sums over the parameters of one shape.

    Raises:
        CheckError: If the parameters have other shapes, or the block computes something else.
        ValueError: If there are too many casts to try them all.
    """
    found = _parameters_found(block, parts, what)
    possible = list(itertools.islice(_casts(found, parts), 1 if alike else _LARGEST_CAST + 1))
    if len(possible) > _LARGEST_CAST:
        raise ValueError(f"more than {_LARGEST_CAST} casts for {what}: draw sizes that differ")
    _fill(found, rng, alike)
    values = [tuple(p.detach().clone() for p in tensors) for tensors in found]
    shape = _by_formula(formula, possible[0], values, x, None)["in training"].shape
    upstream = random_tensor(rng, *shape, dtype=torch.float32)
    got = _of_block(block, found, x, upstream, what)
    by_parameters = "gradients by parameters"
    if alike:
        got[by_parameters] = _summed(got[by_parameters], found)
    failures = []
    for cast in possible:
        expected = _by_formula(formula, cast, values, x, upstream)
        if alike:
            expected[by_parameters] = _summed(expected[by_parameters], found)
        try:
            check_close(got, expected, f"{what}, random weights", **_BLOCK_TOLERANCE)
        except CheckError as failure:
            failures.append(failure)
        else:
            return
    raise failures[0]


def _shapes_of(part: Part) -> tuple[tuple[int, ...], ...]:
    """Shapes of the tensors of a part: a batch norm has a scale and a shift."""
    return ((part,), (part,)) if isinstance(part, int) else (part,)


def _full_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """A linear layer's weight counts as that of a 1x1 convolution."""
    return (*shape, 1, 1) if len(shape) == 2 else tuple(shape)


def _shapes_found(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(_full_shape(tensor.shape) for tensor in tensors)


def _parameters_found(
    block: nn.Module, parts: Mapping[str, Part], what: str
) -> list[tuple[Tensor, ...]]:
    """The block's parameters, if they are the right ones: (weight,), (bias,) or (scale, shift)."""
    parameters = list(block.parameters())
    wanted = [shape for part in parts.values() for shape in _shapes_of(part)]
    check_equal(
        sorted(_full_shape(p.shape) for p in parameters),
        sorted(wanted),
        f"{what}: the shapes of its parameters",
    )
    norms = [part for part in parts.values() if isinstance(part, int)]
    if not norms:
        return [(p,) for p in parameters]
    vectors = [number for number, p in enumerate(parameters) if p.ndim == 1]
    scales = [number for number in vectors if bool((parameters[number] == 1).all())]
    zeros = [number for number in vectors if bool((parameters[number] == 0).all())]
    check_equal(
        sorted(len(parameters[number]) for number in scales),
        sorted(norms),
        f"{what}: the channels of its batch norms, whose scales begin with 1",
    )
    shifts: dict[int, int] = {}  # position of the scale: position of the shift
    for size in sorted(set(norms)):
        of_size = [number for number in scales if len(parameters[number]) == size]
        fitting = [number for number in zeros if len(parameters[number]) == size]
        if len(fitting) < len(of_size):
            raise _failure(
                what,
                f"expected {_count(len(of_size), 'shift')} of batch norms with {size} channels "
                f"that begin with 0, but found {len(fitting)}",
            )
        if len(fitting) > len(of_size):
            # Biases that begin with 0 are among them. PyTorch's layer has its shift behind its
            # scale.
            following = [number + 1 for number in of_size if number + 1 in fitting]
            fitting = following if len(following) == len(of_size) else fitting
        shifts |= dict(zip(of_size, fitting, strict=False))
    others = set(range(len(parameters))) - set(scales) - set(shifts.values())
    return [(parameters[number],) for number in sorted(others)] + [
        (parameters[scale], parameters[shift]) for scale, shift in shifts.items()
    ]


def _casts(
    found: Sequence[tuple[Tensor, ...]], parts: Mapping[str, Part]
) -> Iterator[dict[str, int]]:
    """Every way to give the parameters the parts of the formula: dicts of part: position."""
    names: dict[tuple, list[str]] = {}
    for name, part in parts.items():
        names.setdefault(_shapes_of(part), []).append(name)
    groups = [
        (members, [i for i, tensors in enumerate(found) if _shapes_found(tensors) == shapes])
        for shapes, members in names.items()
    ]

    def complete(cast: dict[str, int], remaining: list) -> Iterator[dict[str, int]]:
        if not remaining:
            yield cast
            return
        (members, positions), *others = remaining
        for order in itertools.permutations(positions, len(members)):
            yield from complete(cast | dict(zip(members, order, strict=True)), others)

    return complete({}, groups)


def _fill(found: Sequence[tuple[Tensor, ...]], rng: random.Random, alike: bool) -> None:
    """Random numbers that keep the size of a signal: scales around 1, all else around 0."""
    drawn: dict[tuple, Tensor] = {}
    with torch.no_grad():
        for tensors in found:
            for place, parameter in enumerate(tensors):
                shape = _full_shape(parameter.shape)
                key = (len(tensors), place, shape)
                if key not in drawn or not alike:
                    fan_in = math.prod(shape[1:])
                    spread = 0.5 if parameter.ndim == 1 else max(fan_in, 1) ** -0.5
                    middle = 1.0 if len(tensors) == 2 and place == 0 else 0.0
                    numbers = random_tensor(rng, *shape, dtype=torch.float32)
                    drawn[key] = middle + spread * numbers
                parameter.copy_(drawn[key].reshape(parameter.shape))


def _by_formula(
    formula: Callable[..., Tensor],
    cast: Mapping[str, int],
    values: Sequence[tuple[Tensor, ...]],
    x: Tensor,
    upstream: Tensor | None,
) -> dict[str, Any]:
    """What the formula gives with these values, listed as :func:`_of_block` does."""
    leaves = [tuple(v.clone().requires_grad_() for v in tensors) for tensors in values]
    running: dict[str, tuple[Tensor, Tensor]] = {}  # batch norm: running mean and variance
    training = True

    def conv(name: str, y: Tensor, stride: int = 1) -> Tensor:
        (weight,) = leaves[cast[name]]
        weight = weight.reshape(_full_shape(weight.shape))
        bias = leaves[cast[f"{name} bias"]][0] if f"{name} bias" in cast else None
        groups = y.shape[1] // weight.shape[1]
        return F.conv2d(y, weight, bias, stride, padding=weight.shape[-1] // 2, groups=groups)

    def norm(name: str, y: Tensor) -> Tensor:
        scale, shift = leaves[cast[name]]
        start = (torch.zeros(len(scale)), torch.ones(len(scale)))
        mean, variance = running.setdefault(name, start)
        return F.batch_norm(y, mean, variance, scale, shift, training)

    leaf = x.clone().requires_grad_()
    trained = formula(leaf, conv, norm)
    if upstream is None:
        return {"in training": trained}
    (trained * upstream).sum().backward()
    training = False
    with torch.no_grad():
        evaluated = formula(x, conv, norm)
    return {
        "in training": trained.detach(),
        "then in evaluation": evaluated,
        "gradient by x": leaf.grad,
        "gradients by parameters": [v.grad for tensors in leaves for v in tensors],
    }


def _of_block(
    block: nn.Module,
    found: Sequence[tuple[Tensor, ...]],
    x: Tensor,
    upstream: Tensor,
    what: str,
) -> dict[str, Any]:
    """What the block gives, in training and then in evaluation, with its gradients."""
    leaf = x.clone().requires_grad_()
    block.train()
    trained = call(block, leaf)
    check_shape(trained, upstream.shape, what)
    check_equal(trained.requires_grad, True, f"{what}: whether gradients pass through it")
    (trained * upstream).sum().backward()
    gradients = [leaf.grad, *(p.grad for tensors in found for p in tensors)]
    check_equal(
        [g is None for g in gradients].count(True), 0, f"{what}: gradients that are missing"
    )
    return {
        "in training": trained.detach(),
        "then in evaluation": in_evaluation(block, x),
        "gradient by x": gradients[0],
        "gradients by parameters": gradients[1:],
    }


def _summed(gradients: Sequence[Tensor], found: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    """Sums of gradients over the parameters that :func:`_fill` makes alike."""
    keys = [
        (len(tensors), place, _full_shape(tensor.shape))
        for tensors in found
        for place, tensor in enumerate(tensors)
    ]
    sums: dict[tuple, Tensor] = {}
    for key, gradient in zip(keys, gradients, strict=True):
        gradient = gradient.reshape(key[-1])
        sums[key] = sums[key] + gradient if key in sums else gradient
    return list(sums.values())


def _compare(
    got: Any,
    expected: Any,
    what: str,
    misconceptions: Sequence[tuple[str, Any]],
    tolerance: tuple[float | None, float | None] | None,
) -> None:
    difference = _difference(got, expected, "", tolerance)
    if difference is None:
        return
    cause = None
    for text, wrong in misconceptions:
        # A wrong value which happens to be right for these inputs explains nothing.
        if (
            _difference(got, wrong, "", tolerance) is None
            and _difference(expected, wrong, "", tolerance) is not None
        ):
            cause = text
            break
    raise _failure(what, difference, cause)


def _difference(
    got: Any, expected: Any, path: str, tolerance: tuple[float | None, float | None] | None
) -> str | None:
    """What is wrong with a value, or None. ``path`` says which part of the result it is."""
    prefix = f"{path}: " if path else ""
    if isinstance(expected, Tensor):
        problem = _tensor_difference(got, expected, tolerance)
        return prefix + problem if problem else None
    if type(expected) is float:
        problem = _number_difference(got, expected, tolerance)
        return prefix + problem if problem else None
    if type(expected) is tuple and type(got) is torch.Size:
        got = tuple(got)
    if type(got) is not type(expected):
        return prefix + _wrong_type(got, expected)
    if type(expected) in _EXACT:
        if got == expected:
            return None
        return f"{prefix}expected {_describe(expected)}, but got {_describe(got)}"
    if type(expected) in (list, tuple):
        if len(got) != len(expected):
            return (
                f"{prefix}expected {_count(len(expected), 'item')}, {_describe(expected)}, "
                f"but got {len(got)}: {_describe(got)}"
            )
        keys = range(len(expected))
    elif type(expected) is dict:
        if any(type(key) not in _EXACT for key in got) or set(got) != set(expected):
            return f"{prefix}expected the keys {_describe(list(expected))}, got {_describe(got)}"
        keys = expected.keys()
    else:
        raise TypeError(f"cannot check a value of type {type(expected).__name__}")
    for key in keys:
        where = f"{path or 'item '}[{key!r}]"
        difference = _difference(got[key], expected[key], where, tolerance)
        if difference is None:
            continue
        if path or _holds_tensor(expected):
            return difference
        return f"{difference} (expected {_describe(expected)}, but got {_describe(got)})"
    return None


def _number_difference(
    got: Any, expected: float, tolerance: tuple[float | None, float | None] | None
) -> str | None:
    if type(got) not in (float, int):
        return _wrong_type(got, expected)
    if type(got) is int and got.bit_length() > _LARGEST_INT_BITS:
        return f"expected {expected!r}, but got {_describe(got)}"
    if math.isnan(got) and not math.isnan(expected):
        return f"expected {expected!r}, but got nan (not a number: 0/0, or the root of a negative)"
    if math.isnan(expected):
        return None if math.isnan(got) else f"expected nan, but got {got!r}"
    rtol, atol = _filled(tolerance, NUMBER_TOLERANCE)
    if got == expected or math.isclose(got, expected, rel_tol=rtol, abs_tol=atol):
        return None
    return f"expected {expected!r}, but got {_describe(got)}"


def _tensor_difference(
    got: Any, expected: Tensor, tolerance: tuple[float | None, float | None] | None
) -> str | None:
    if not _is_tensor(got):
        return _wrong_type(got, expected)
    expected = expected.detach()
    if tuple(got.shape) != tuple(expected.shape):
        hint = ""
        if sorted(got.shape) == sorted(expected.shape):
            hint = " (the right sizes in another order)"
        elif got.numel() == expected.numel():
            hint = " (the right number of values: reshape it)"
        return f"expected shape {tuple(expected.shape)}, but got {tuple(got.shape)}{hint}"
    if got.dtype != expected.dtype:
        return (
            f"expected a tensor of {_dtype(expected)}, but got {_dtype(got)}; "
            "new tensors should take the dtype of the input"
        )
    if got.requires_grad and not expected.requires_grad and type(got) is nn.Parameter:
        return "expected a plain tensor, but got an nn.Parameter; return its values (.detach())"
    if got.requires_grad:
        return (
            "the values may be right, but the tensor still carries a gradient (requires_grad); "
            "return it with .detach()"
        )
    if got.layout is not torch.strided or got.device != expected.device:
        return (
            f"expected an ordinary tensor on {expected.device}, but got one on {got.device} "
            f"with layout {got.layout}"
        )
    got = got.detach().resolve_conj().resolve_neg()
    if not (expected.is_floating_point() or expected.is_complex()):
        wrong = got != expected
        return _value_difference(got, expected, wrong) if wrong.any() else None

    rtol, atol = _filled(tolerance, TOLERANCES.get(expected.dtype, (0.0, 0.0)))
    close = torch.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    nans = got.isnan() & ~expected.isnan()
    if nans.any():
        return (
            f"{int(nans.sum())} of {_count(got.numel(), 'value')} are nan (not a number): a "
            "division 0/0, the root or logarithm of a negative number, or memory from torch.empty "
            "that was never filled"
        )
    return _value_difference(got, expected, ~close)


def _value_difference(got: Tensor, expected: Tensor, wrong: Tensor) -> str:
    """Where two tensors differ first, and a pattern in the difference if there is a simple one."""
    index = tuple(wrong.nonzero()[0].tolist())
    where = f" at {list(index)}" if index else ""
    message = (
        f"{int(wrong.sum())} of {_count(wrong.numel(), 'value')} differ; the first{where}: "
        f"expected {_show(expected[index])}, but got {_show(got[index])}"
    )
    pattern = _pattern(got, expected)
    return f"{message} ({pattern})" if pattern else message


def _pattern(got: Tensor, expected: Tensor) -> str | None:
    if got.dtype == torch.bool or got.is_complex() or got.numel() < 2:
        return None
    got, expected = got.to(torch.float64).flatten(), expected.to(torch.float64).flatten()
    if not (got.isfinite().all() and expected.isfinite().all()):
        return None
    close = {"rtol": 1e-4, "atol": 1e-6}
    if not got.any():
        return "all your values are zero"
    if torch.allclose(got.sort().values, expected.sort().values, **close):
        return "the right values in another order: look at reshape, permute or the order of loops"
    largest = expected.abs().argmax()
    factor = float(got[largest] / expected[largest]) if expected[largest] else 0.0
    if factor and torch.allclose(got, factor * expected, **close):
        return f"every value is {factor:.4g} times the expected one"
    offset = float(got[0] - expected[0])
    if torch.allclose(got, expected + offset, **close):
        return f"every value is off by {offset:.4g}"
    return None


def _wrong_type(got: Any, expected: Any) -> str:
    """Message for a value of the wrong type; ``got`` may be anything, so trust only its type."""
    if isinstance(expected, Tensor):
        wanted = f"a torch tensor of shape {tuple(expected.shape)}"
    else:
        wanted = _ARTICLES[type(expected)]
        if type(expected) in (int, float, bool, str):
            wanted += f", {_describe(expected)}"
    kind = type(got)
    if got is None:
        return f"expected {wanted}, but got None; is a `return` missing?"
    message = f"expected {wanted}, but got {_describe(got)}"
    if kind in (torch.Tensor, nn.Parameter) and type(expected) in (int, float, bool):
        return message + "; .item() turns a tensor of one value into a number"
    if isinstance(got, (np.ndarray, np.generic)):
        remedy = "torch.from_numpy" if isinstance(expected, Tensor) else type(expected).__name__
        return f"{message}; convert it with {remedy}(...)"
    if kind is float and type(expected) is int:
        return f"{message}, a float; // divides whole numbers, / makes a float"
    if kind is bool and type(expected) in (int, float):
        return f"{message}, which is a bool, the result of a comparison"
    if callable(got):
        return f"{message}; are the parentheses of a call missing?"
    return message


def _require_tensor(got: Any, what: str) -> None:
    if not _is_tensor(got):
        remedy = "; is a `return` missing?" if got is None else ""
        raise _failure(what, f"expected a torch tensor, but got {_describe(got)}{remedy}")


def _is_tensor(value: Any) -> bool:
    # Exact types: a subclass can override what comparison and arithmetic mean.
    return type(value) in (torch.Tensor, nn.Parameter) and not value.is_nested


_SMALL = 1_000_000


def _describe(value: Any, depth: int = 0) -> str:
    """A short text for a value, without running code of a type we do not know."""
    kind = type(value)
    if kind is int and -_SMALL < value < _SMALL:  # most arguments; the rest takes longer
        return repr(value)
    if depth > 5:
        return "…"
    if _is_tensor(value):
        shape = tuple(value.shape)
        if not shape and not value.is_meta:
            return f"the {_dtype(value)} tensor {_show(value.detach())}"
        return f"{_dtype(value)} tensor {shape}"
    if kind is np.ndarray:
        return f"a numpy array of {value.dtype}, shape {value.shape}"
    if issubclass(kind, np.generic) and kind.__module__ == "numpy":
        return f"the numpy {kind.__name__} {value}"
    if kind in (list, tuple):
        return _describe_items(
            [_describe(item, depth + 1) for item in value[:20]], len(value), kind
        )
    if kind is dict:
        items = [
            f"{_describe(key, depth + 1)}: {_describe(item, depth + 1)}"
            for key, item in list(value.items())[:20]
        ]
        return _describe_items(items, len(value), kind)
    if kind is torch.Size:
        return f"torch.Size({list(value)})"
    if kind is int and value.bit_length() > _LARGEST_INT_BITS:
        return f"a whole number of {value.bit_length()} bits"
    if kind in (float, complex, *_EXACT):
        text = repr(value)
        return text if len(text) <= 200 else text[:200] + "…"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and type(getattr(value, "__name__", None)) is str:
        return f"the function {value.__name__}"
    return f"an object of type {kind.__name__}"


def _describe_items(items: list[str], length: int, kind: type) -> str:
    if length > len(items):
        items.append(f"… {length - len(items)} more")
    text = ", ".join(items)
    if kind is tuple:
        return f"({text},)" if length == 1 else f"({text})"
    return f"[{text}]" if kind is list else f"{{{text}}}"


def _describe_error(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # the message of a student's own exception class may fail too
        text = f"its message cannot be shown, {type(broken).__name__}"
    name = type(error).__name__
    return f"{name}: {text}" if text else f"{name} without a message"


def _not_written(shown: str) -> CheckError:
    return CheckError(
        f"{shown} is not written yet: it raises NotImplementedError. Replace that line by your "
        "code, run the cell, then run this check again.",
        what=shown,
    )


def _failure(what: str, problem: str, cause: str | None = None) -> CheckError:
    separator = " " if problem.startswith("raised") else ": "
    message = f"{what}{separator}{problem}"
    if not message.endswith((".", "!", "?")):
        message += "."
    if cause:
        message += f"\nLikely cause: {cause.rstrip('.')}."
    return CheckError(message, what=what, cause=cause)


def _value_first(
    misconceptions: Mapping[Any, str] | Iterable[tuple[Any, str]] | None,
) -> list[tuple[str, Any]]:
    pairs = misconceptions.items() if isinstance(misconceptions, Mapping) else misconceptions or ()
    return [(text, value) for value, text in pairs]


def _filled(
    tolerance: tuple[float | None, float | None] | None, default: tuple[float, float]
) -> tuple[float, float]:
    rtol, atol = tolerance or (None, None)
    return (default[0] if rtol is None else rtol, default[1] if atol is None else atol)


def _holds_tensor(value: Any) -> bool:
    if type(value) in (list, tuple):
        return any(map(_holds_tensor, value))
    if type(value) is dict:
        return any(map(_holds_tensor, value.values()))
    return isinstance(value, Tensor)


def _copy(value: Any) -> Any:
    """A copy to compare an argument with after the call; modules and the like stay themselves."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(_copy(item) for item in value)
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    return value


def _same(now: Any, before: Any) -> bool:
    """Whether plain data is what it was; other objects are not compared."""
    if type(now) is not type(before):
        # The copy of a parameter is a plain tensor.
        return isinstance(now, Tensor) and isinstance(before, Tensor) and _same(now.data, before)
    if isinstance(now, Tensor):
        now = now.detach()
        if now.shape != before.shape:
            return False
        if now.dtype == before.dtype and torch.equal(now, before):  # nearly always, and quick
            return True
        return bool(((now == before) | (now != now)).all())
    if type(now) in (list, tuple):
        return len(now) == len(before) and all(map(_same, now, before))
    if type(now) is dict:
        return list(now) == list(before) and all(map(_same, now.values(), before.values()))
    if type(now) in (float, *_EXACT):
        return now == before or now != now
    return True


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _show(value: Tensor) -> str:
    number = value.item()
    return f"{number:.6g}" if type(number) is float else repr(number)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
