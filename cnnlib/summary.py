"""What a network costs, layer by layer: shapes, parameters, multiply-accumulates, activations.

`summarize` runs the network once on PyTorch's *meta* device, where a tensor has a shape but no
values. So VGG-16 is summarised in milliseconds and without its 553 MB of weights, and the numbers
are those of the real forward pass, not of a formula that somebody has to keep up to date.

Conventions (all of them are conventions; papers differ):

* **Parameters** are counted once, where they are first used, also when layers share them.
* **MACs** are multiply-accumulates: one multiplication and the addition that goes with it. They
  are counted for convolutions (plain, grouped, dilated, transposed) and matrix products (linear
  layers, attention, `torch.matmul`, `torch.einsum`), written as a module or as a function call.
  Bias additions, normalisation, activations, pooling and element-wise sums count as 0, as in the
  operation counts torchvision publishes with its weights. **FLOPs = 2 × MACs**; many papers print
  MACs and call them FLOPs.
* **Activations** are the values a layer writes into new memory in a forward pass. A layer that
  works in place (`nn.ReLU(inplace=True)`), returns a view (`nn.Flatten`) or returns its input
  unchanged (dropout in evaluation, adaptive pooling to the size it already has) adds none. The
  network's input is a row of its own and counts. Workspace inside one PyTorch function and the
  indices max pooling keeps for its backward pass do not.
  For VGG-16 at 3×224×224 this gives 15,237,608 values: input 150,528, convolutions 13,547,520,
  pooling 1,530,368, fully connected layers 9,192.

Reference for the table by hand: CS231n, "Convolutional Neural Networks", section *VGGNet in
detail* (https://cs231n.github.io/convolutional-networks/).
"""

from __future__ import annotations

import copy
import html
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Row", "Summary", "summarize"]

Size = tuple[int, ...]
# A layer may return one tensor, several in a list or tuple, or a dictionary of them.
Shapes = Size | list["Shapes"] | dict[str, "Shapes"] | None


@dataclass(frozen=True)
class Row:
    """One call of one layer. Amounts are the layer's own: what its sub-layers own is in their rows.

    Attributes:
        name: The layer's dotted name, as `model.get_submodule(name)` takes it; `""` is the model
            itself, `"input"` the input.
        kind: The layer's class name; `"Input"` for the input.
        depth: How deep the call is nested; 0 for the model and the input.
        input_shape: Shape with batch; a list or dict of shapes if there are several tensors.
        output_shape: Likewise; None if the layer is never called.
        parameters: Number of parameters not counted in an earlier row.
        trainable: How many of `parameters` have `requires_grad`.
        macs: Multiply-accumulates, for the whole batch.
        activation_bytes: Bytes written into new memory, for the whole batch.
    """

    name: str
    kind: str
    depth: int
    input_shape: Shapes
    output_shape: Shapes
    parameters: int
    trainable: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Summary:
    """The rows of a network and their sums. `print` it, or let a notebook show it as a table.

    Attributes:
        model_name: The model's class name.
        rows: The input, the model, then every layer call in the order of execution; layers that
            hold parameters and are never called come last in the layer they belong to.
        parameter_bytes: Memory of all parameters (not of buffers), in bytes.
    """

    model_name: str
    rows: list[Row]
    parameter_bytes: int

    @property
    def parameters(self) -> int:
        """Number of parameters, shared ones counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable_parameters(self) -> int:
        """Number of parameters with `requires_grad`."""
        return sum(row.trainable for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass of the given batch; FLOPs are twice that."""
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the input and of everything the layers write in one forward pass."""
        return sum(row.activation_bytes for row in self.rows)

    def __str__(self) -> str:
        cells = [_COLUMNS, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_text_line(line, widths) for line in cells]
        rule = "─" * max(map(len, lines))
        body = [lines[0], rule, *lines[1:], rule]
        return "\n".join([self.model_name, *body, *self._totals()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        # No colours of its own: the table takes those of the page, light or dark.
        left = "text-align: left"
        right = "text-align: right; font-variant-numeric: tabular-nums"
        styles = [left, left, left, right, right, right]

        def line(cells: Sequence[str], tags: Sequence[str]) -> str:
            made = [
                f'<{tag} style="{style}">{html.escape(cell)}</{tag.split()[0]}>'
                for cell, tag, style in zip(cells, tags, styles, strict=True)
            ]
            return "<tr>" + "".join(made) + "</tr>"

        head = line(_COLUMNS, ['th scope="col"'] * 6)
        tags = ['th scope="row"'] + ["td"] * 5
        body = "\n".join(line(_cells(row), tags) for row in self.rows)
        name = html.escape(self.model_name)
        caption = "<br>".join([name, *map(html.escape, self._totals())])
        return (
            f'<div role="region" aria-label="Layers of {name}" tabindex="0" '
            'style="overflow-x: auto">\n'
            f'<table>\n<caption style="text-align: left; color: inherit">{caption}</caption>\n'
            f"<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
        )

    def _totals(self) -> list[str]:
        frozen = self.parameters - self.trainable_parameters
        split = f" ({self.trainable_parameters:,} trainable, {frozen:,} frozen)" if frozen else ""
        return [
            f"parameters: {self.parameters:,}{split}, {_memory(self.parameter_bytes)}",
            f"multiply-accumulates: {self.macs:,} ({2 * self.macs:,} FLOPs)",
            f"activations: {_memory(self.activation_bytes)}",
        ]


_COLUMNS = ["layer", "kind", "output", "parameters", "MACs", "activation bytes"]


def _cells(row: Row) -> list[str]:
    called = row.output_shape is not None
    output = _shape_text(row.output_shape) if called else "not called"
    # A dash, not a 0, where a layer has none: the eye finds the expensive rows faster.
    amounts = [row.parameters, row.macs, row.activation_bytes]
    return [row.name or "(model)", row.kind, output, *(f"{n:,}" if n else "–" for n in amounts)]


def _text_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right)


def _shape_text(shapes: Shapes) -> str:
    if isinstance(shapes, tuple):
        return "×".join(map(str, shapes)) or "scalar"
    if isinstance(shapes, dict):
        return ", ".join(f"{key}: {_shape_text(shape)}" for key, shape in shapes.items())
    if isinstance(shapes, list):
        return ", ".join(map(_shape_text, shapes))
    return "no tensor"


def _memory(num_bytes: int) -> str:
    return f"{num_bytes:,} bytes = {num_bytes / 1e6:,.2f} MB = {num_bytes / 2**20:,.2f} MiB"


def summarize(
    model: nn.Module,
    input_size: Sequence[int] | Sequence[Sequence[int]],
    *,
    dtype: torch.dtype | Sequence[torch.dtype] = torch.float32,
    depth: int | None = None,
) -> Summary:
    """Summarise one forward pass of `model`, layer by layer, without computing a single value.

    The pass runs on a copy in evaluation mode on the meta device. The model itself, its mode, its
    hooks and the random state stay as they are.

    Args:
        model: Any network whose forward pass does not depend on the values of its input.
        input_size: Size of one image `(C, H, W)` or one feature vector `(F,)`: 3 and 1 numbers
            always get a batch of 1. Every other size is used as it is: `(N, C, H, W)`, `(N, F)`.
            A list of such sizes for a model of several inputs.
        dtype: Type of the input, or a list with one type for each input.
        depth: Show rows down to this depth, amounts of deeper ones added to the row above them;
            None shows all.

    Returns:
        The summary; its sums do not depend on `depth`.

    Raises:
        TypeError: If `model` is not an `nn.Module` written in Python.
        ValueError: If a size is not one, or if the input does not fit the network; the message
            names the layer where the pass stopped and the shapes it was given.

    Example:
        >>> summary = summarize(nn.Linear(3072, 10), (3072,))
        >>> summary.parameters, summary.macs
        (30730, 30720)
    """
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"summarize needs a network written as an nn.Module, not a {type(model).__name__}"
        )
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth must be None or an integer from 0, not {depth!r}")
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise ValueError(
                f"parameter '{name}' has no shape yet: call the model once on real data, "
                "or give its layer the number of input channels"
            )
    sizes = _with_batch(input_size)
    dtypes = [dtype] * len(sizes) if isinstance(dtype, torch.dtype) else list(dtype)
    if len(dtypes) != len(sizes):
        raise ValueError(f"{len(sizes)} input sizes but {len(dtypes)} dtypes")

    inputs = [
        torch.empty(size, dtype=kind, device="meta")
        for size, kind in zip(sizes, dtypes, strict=True)
    ]
    root = _trace(_meta_copy(model).eval(), inputs)
    rows = [
        Row(
            name="input",
            kind="Input",
            depth=0,
            input_shape=_shapes(*inputs),
            output_shape=_shapes(*inputs),
            parameters=0,
            trainable=0,
            macs=0,
            activation_bytes=sum(x.numel() * x.element_size() for x in inputs),
        ),
        *_rows(root, depth),
    ]
    parameter_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    return Summary(type(model).__name__, rows, parameter_bytes)


def _with_batch(input_size: Sequence[int] | Sequence[Sequence[int]]) -> list[Size]:
    sizes = list(input_size)
    if all(isinstance(n, int) for n in sizes):
        sizes = [tuple(sizes)]
    result = []
    for size in sizes:
        fits = isinstance(size, Sequence) and not isinstance(size, str) and len(size) > 0
        if not fits or not all(type(n) is int and n > 0 for n in size):
            raise ValueError(
                f"input_size must be a size such as (3, 224, 224), positive integers, "
                f"or a list of sizes; got {input_size!r}"
            )
        # (F,) and (C, H, W) are one sample; every other number of dimensions has its batch.
        result.append((1, *size) if len(size) in (1, 3) else tuple(size))
    return result


# Copying to the meta device


class _CopyAsMeta(TorchFunctionMode):
    """Makes `copy.deepcopy` of a tensor give a meta tensor of its shape, without its values."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.Tensor.__deepcopy__ or func is torch.Tensor.clone:
            return torch.empty_like(args[0], device="meta", requires_grad=args[0].requires_grad)
        return func(*args, **(kwargs or {}))


def _meta_copy(model: nn.Module) -> nn.Module:
    """A deep copy of `model` on the meta device, without hooks; shared parameters stay shared."""
    # deepcopy takes from `memo` what it holds already, so neither the weights nor the user's
    # hooks (and whatever these refer to) are ever copied.
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        meta = torch.empty_like(parameter, device="meta", requires_grad=False)
        memo[id(parameter)] = nn.Parameter(meta, requires_grad=parameter.requires_grad)
    for module in model.modules():
        for name, value in vars(module).items():
            if "_hooks" in name and isinstance(value, dict):
                memo[id(value)] = OrderedDict()
    with _CopyAsMeta():
        return copy.deepcopy(model, memo)


# Recording the forward pass


@dataclass
class _Call:
    """One call of a module while the network runs, with the calls made inside it."""

    name: str
    module: nn.Module
    input_shape: Shapes
    output_shape: Shapes = None
    macs: int = 0
    activation_bytes: int = 0
    calls: list[_Call] = field(default_factory=list)


class _Recorder:
    """Keeps the stack of open calls and the memory that already belongs to a layer."""

    def __init__(self, model: nn.Module, inputs: Sequence[Tensor]) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.root: _Call | None = None
        self.stack: list[_Call] = []
        # Storages by address. The values keep them alive: a freed address could come back.
        self.storages: dict[int, torch.UntypedStorage] = {}
        for tensor in [*model.parameters(), *model.buffers(), *inputs]:
            self.is_new(tensor)

    def is_new(self, tensor: Tensor) -> bool:
        """Whether no earlier tensor lives in this tensor's memory; from now on one does."""
        storage = tensor.untyped_storage()
        if storage._cdata in self.storages:
            return False
        self.storages[storage._cdata] = storage
        return True

    def enter(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        call = _Call(self.names[module], module, _shapes(*args, *kwargs.values()))
        if self.stack:
            self.stack[-1].calls.append(call)
        else:
            self.root = call
        self.stack.append(call)

    def leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.stack.pop().output_shape = _shapes(output)


class _CountActivations(TorchFunctionMode):
    """Adds what each PyTorch function called by the network writes into new memory.

    Functions, not the operations they are made of: local response normalisation is one layer with
    one output, however many temporary tensors PyTorch needs for it.
    """

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = _SHORTCUTS.get(func, func)(*args, **(kwargs or {}))
        if not self.recorder.stack:
            return result
        unchanged = func in _ADAPTIVE_POOLS and result.shape == args[0].shape
        for tensor in _tensors(result):
            if self.recorder.is_new(tensor) and not unchanged:
                call = self.recorder.stack[-1]
                call.activation_bytes += tensor.numel() * tensor.element_size()
        return result


# On the meta device PyTorch works out the shapes of a few functions in milliseconds of Python a
# call, and ResNet-50 has 53 batch normalisations. These give the same shapes at once.


def _batch_norm(
    x: Tensor, mean: Tensor | None, var: Tensor | None, *args: Any, **kwargs: Any
) -> Tensor:
    """`F.batch_norm`; with running statistics its output has the shape of `x`."""
    if mean is None or len(args) > 2 or kwargs.get("training"):
        return nn.functional.batch_norm(x, mean, var, *args, **kwargs)
    if x.dim() < 2 or x.shape[1] != len(mean):
        raise ValueError(f"the layer expects {len(mean)} channels in dimension 1")
    return torch.empty_like(x)


def _hard_activation(x: Tensor, inplace: bool = False) -> Tensor:
    """`F.hardswish` and `F.hardsigmoid`, which keep the shape."""
    return x if inplace else torch.empty_like(x)


_SHORTCUTS: dict[Callable, Callable] = {
    nn.functional.batch_norm: _batch_norm,
    nn.functional.hardswish: _hard_activation,
    nn.functional.hardsigmoid: _hard_activation,
}
_ADAPTIVE_POOLS = frozenset(
    [
        nn.functional.adaptive_avg_pool1d,
        nn.functional.adaptive_avg_pool2d,
        nn.functional.adaptive_avg_pool3d,
        torch.adaptive_avg_pool1d,
    ]
)


class _CountMacs(TorchDispatchMode):
    """Adds the multiply-accumulates of each operation, at the level where there are few kinds."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count = _MACS.get(func.overloadpacket)
        if count is not None and self.recorder.stack:
            self.recorder.stack[-1].macs += count(result, *args)
        return result


def _convolution_macs(
    result: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    dilation: Size,
    transposed: bool,
    *rest: Any,
) -> int:
    """MACs of a convolution.

    `weight` is (C_out, C_in/groups, …), that of a transposed one (C_in, C_out/groups, …). A plain
    one computes each output value from `weight[0].numel()` products, a transposed one spreads each
    input value over as many outputs. Dilation and groups are in the shapes already.
    """
    if transposed and x.shape[1] != weight.shape[0]:
        # On the meta device PyTorch checks this for plain convolutions only.
        raise ValueError(f"the layer expects {weight.shape[0]} input channels, not {x.shape[1]}")
    values = x.numel() if transposed else result.numel()
    return values * math.prod(weight.shape[1:])


def _product_macs(result: Tensor, a: Tensor, b: Tensor) -> int:
    """MACs of a matrix product: each output value sums over the last dimension of `a`."""
    return result.numel() * a.shape[-1]


def _added_product_macs(result: Tensor, added: Tensor, a: Tensor, b: Tensor, *rest: Any) -> int:
    """MACs of `added + a @ b`."""
    return _product_macs(result, a, b)


_aten = torch.ops.aten
_MACS: dict[Any, Callable[..., int]] = {
    _aten.convolution: _convolution_macs,
    _aten.mm: _product_macs,
    _aten.bmm: _product_macs,
    _aten.mv: _product_macs,
    _aten.dot: _product_macs,
    _aten.addmm: _added_product_macs,
    _aten.addmv: _added_product_macs,
    _aten.baddbmm: _added_product_macs,
}


def _trace(model: nn.Module, inputs: Sequence[Tensor]) -> _Call:
    """Run a network that is on the meta device; the call of the whole, with all calls inside."""
    recorder = _Recorder(model, inputs)
    for module in model.modules():
        module.register_forward_pre_hook(recorder.enter, with_kwargs=True)
        module.register_forward_hook(recorder.leave)
    try:
        # The device context: a tensor that forward makes without saying where is a meta tensor too.
        with (
            torch.no_grad(),
            torch.device("meta"),
            _CountMacs(recorder),
            _CountActivations(recorder),
        ):
            model(*inputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(_explain(error, recorder, inputs)) from error
    assert recorder.root is not None
    _add_uncalled(model, recorder.root)
    return recorder.root


def _explain(error: Exception, recorder: _Recorder, inputs: Sequence[Tensor]) -> str:
    given = _shape_text(_shapes(*inputs))
    if not recorder.stack:
        return f"the network cannot be called with an input of size {given}: {error}"
    call = recorder.stack[-1]
    layer = repr(call.module).splitlines()[0].rstrip("(")
    where = f"layer '{call.name}'" if call.name else "the model's own forward"
    if isinstance(error, NotImplementedError) or "meta tensor" in str(error):
        reason = "it needs the values of a tensor, but summarize runs on shapes alone"
    else:
        reason = "it does not fit"
    return (
        f"an input of size {given} stops in {where}, {layer}, which was given "
        f"{_shape_text(call.input_shape)}: {reason}. PyTorch says: {error}"
    )


def _add_uncalled(model: nn.Module, root: _Call) -> None:
    """Append modules that hold parameters but were never called, inside the one they belong to."""
    nodes = {"": root}
    for call in _walk(root):
        nodes.setdefault(call.name, call)
    called = set(nodes)
    for name, module in model.named_modules():
        if name in called or next(module.parameters(), None) is None:
            continue
        inside = any(other.startswith(f"{name}.") for other in called)
        if inside and next(module.parameters(recurse=False), None) is None:
            continue  # a ModuleList and the like: not called itself, its layers are
        owner = name
        while (owner := owner.rpartition(".")[0]) not in nodes:
            pass
        nodes[name] = _Call(name, module, None)
        nodes[owner].calls.append(nodes[name])


def _walk(call: _Call) -> Iterator[_Call]:
    yield call
    for inner in call.calls:
        yield from _walk(inner)


def _rows(root: _Call, limit: int | None) -> list[Row]:
    """The rows of a traced network in the order of execution, folded below depth `limit`."""
    counted: set[nn.Parameter] = set()
    rows: list[Row] = []

    def add(call: _Call, depth: int) -> list[int]:
        new = [p for p in call.module.parameters(recurse=False) if p not in counted]
        counted.update(new)
        amounts = [
            sum(p.numel() for p in new),
            sum(p.numel() for p in new if p.requires_grad),
            call.macs,
            call.activation_bytes,
        ]
        place = len(rows)
        for inner in call.calls:
            folded = add(inner, depth + 1)
            amounts = [a + b for a, b in zip(amounts, folded, strict=True)]
        if limit is not None and depth > limit:
            return amounts
        kind = type(call.module).__name__
        row = Row(call.name, kind, depth, call.input_shape, call.output_shape, *amounts)
        rows.insert(place, row)
        return [0, 0, 0, 0]

    add(root, 0)
    return rows


# Tensors inside whatever a module takes or returns


def _shapes(*values: Any) -> Shapes:
    """Shapes of one value, or of several as a list; what holds no tensor is left out."""
    if len(values) != 1:
        shapes = [_shapes(value) for value in values]
        return [shape for shape in shapes if shape is not None] or None
    (value,) = values
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return {str(key): _shapes(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return _shapes(*value) if len(value) != 1 else [_shapes(value[0])]
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
