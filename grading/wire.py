"""The only language in which a student's process talks to the checker.

Threat model. Whoever wrote the submission controls every byte that comes out of the student's
process: it can send nonsense, a length that lies, a million nested lists or a tensor of a
terabyte. The checker, on the other end, knows the hidden tests and decides the marks. So the
format has three properties, and everything in this module serves one of them:

* **It cannot execute anything.** Decoding builds values of the fixed list below and nothing else.
  There is no class name that is looked up, no import and no callback into the data. Pickle is
  never used in this direction.
* **It cannot be made to allocate.** A frame longer than `Limits.max_bytes` is refused before it is
  read, a frame is read in pieces as it arrives (a length that lies costs nothing), and a count or
  a shape must fit into the bytes that really came. Depth, number of values and size of
  hash tables are capped, because one byte on the wire can be fifty in memory.
* **It is canonical enough to trust.** A `bool` tensor whose bytes are not 0 or 1 is undefined
  behaviour waiting to happen, so such bytes are normalised; sizes must match exactly; trailing
  bytes are an error.

Values: ``None``, ``bool``, ``int``, ``float``, ``complex``, ``str``, ``bytes``, ``tuple``,
``list``, ``dict``, ``set``, ``frozenset``, ``slice``, ``range``, ``Ellipsis``, ``torch.Tensor``
(dense), ``torch.Size``, ``torch.dtype``, ``torch.device``, ``numpy.ndarray`` and NumPy scalars of
plain number types. Anything else travels as an *extension*: a short kind and a tuple of values,
which the two ends (`grading.student`, `grading.proxy`) agree on; without a hook an extension is an
error.

Layout: one tag byte, then big-endian numbers. Containers carry a 32-bit count, texts and byte
strings a 32-bit length. A frame is a 32-bit length and that many bytes holding one value.
"""

from __future__ import annotations

import ctypes
import math
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MEBIBYTE = 1024 * 1024

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_F64 = struct.Struct(">d")

# Torch and NumPy number types that may cross. The names are the ones both libraries print.
TORCH_DTYPES = (
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
    "uint8", "int8", "int16", "int32", "int64", "bool",
)  # fmt: skip
NUMPY_DTYPES = (
    "float16", "float32", "float64", "complex64", "complex128",
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "bool",
)  # fmt: skip
_ONE_PIECE = 65536  # bytes of a message that is sent together with its length
_MAX_DIMENSIONS = 32
_MAX_NUMEL = 1 << 48
_MAX_INT_BYTES = 64 * 1024
_HASHABLE = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)


class WireError(ValueError):
    """Bytes that are not a message, or a value that cannot be one; the message says why."""


@dataclass(frozen=True)
class Limits:
    """How large one message may be.

    Attributes:
        max_bytes: Length of a frame.
        max_depth: Containers inside containers.
        max_nodes: Values in one message, counting every element of every container.
        max_table: Entries of one dict or set. Keys can be chosen to collide, which makes building
            the table quadratic; this bounds the damage to seconds, and the clock does the rest.
    """

    max_bytes: int = 256 * MEBIBYTE
    max_depth: int = 48
    max_nodes: int = 1_000_000
    max_table: int = 20_000


DEFAULT_LIMITS = Limits()

EncodeHook = Callable[[Any], "tuple[str, tuple] | None"]
DecodeHook = Callable[[str, tuple], Any]


def encode(value: Any, hook: EncodeHook | None = None, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Write `value` as the bytes of one message.

    Args:
        value: What to send.
        hook: Called with every value but ``None``, numbers, texts and byte strings; returns
            ``(kind, fields)`` to send it as an extension, or None to send it as it is.
        limits: Caps that the other end will apply; exceeding them is reported here, where the
            culprit is known.

    Returns:
        The payload, without the frame's length.

    Raises:
        WireError: The value has no place in the format or is too large.
    """
    return _Encoder(hook, limits).run(value)


def decode(data: bytes, hook: DecodeHook | None = None, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Read the bytes of one message. Safe on any input.

    Args:
        data: The payload of a frame.
        hook: Builds the value of an extension from its kind and its (decoded) fields.
        limits: Caps; a message that exceeds one is refused.

    Returns:
        The value.

    Raises:
        WireError: The bytes are not exactly one message within the limits.
    """
    return _Decoder(data, hook, limits).run()


class _Encoder:
    def __init__(self, hook: EncodeHook | None, limits: Limits) -> None:
        self.hook = hook
        self.limits = limits
        self.parts: list[bytes] = []
        self.size = 0
        self.nodes = 0

    def run(self, value: Any) -> bytes:
        self.value(value, 0)
        return b"".join(self.parts)

    def put(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self.limits.max_bytes:
            raise WireError(f"the value is larger than {self.limits.max_bytes} bytes")
        self.parts.append(part)

    def value(self, value: Any, depth: int) -> None:
        self.nodes += 1
        if self.nodes > self.limits.max_nodes:
            raise WireError(f"the value has more than {self.limits.max_nodes} elements")
        if depth > self.limits.max_depth:
            raise WireError(f"the value is nested deeper than {self.limits.max_depth} levels")
        write = _SCALARS.get(type(value))  # nearly everything that is sent is one of these
        if write is not None:
            self.put(write(value))
            return
        if self.hook is not None:
            extension = self.hook(value)
            if extension is not None:
                kind, fields = extension
                self.put(b"O" + _pack_text(kind))
                self.items(fields, depth)
                return
        self.plain(value, depth)

    def plain(self, value: Any, depth: int) -> None:
        if type(value) in _CONTAINERS:
            self.container(value, depth)
            return
        numpy_or_torch = self.array(value)
        if numpy_or_torch is not None:
            for part in numpy_or_torch:
                self.put(part)
            return
        for base, write in _SCALARS.items():  # an instance of a subclass is sent as its base
            if isinstance(value, base):
                self.put(write(value))
                return
        if isinstance(value, bytearray):
            self.put(_pack_bytes(bytes(value)))
        elif isinstance(value, (slice, range)):
            self.put(b"S" if isinstance(value, slice) else b"R")
            for part in (value.start, value.stop, value.step):
                self.value(part, depth + 1)
        else:
            self.container(value, depth)

    def container(self, value: Any, depth: int) -> None:
        # The base class's own iteration: a subclass may iterate over something else.
        if isinstance(value, tuple):
            self.put(b"t")
            self.items(tuple.__iter__(value), depth, tuple.__len__(value))
        elif isinstance(value, list):
            self.put(b"l")
            self.items(list.__iter__(value), depth, list.__len__(value))
        elif isinstance(value, dict):
            pairs = list(dict.items(value))
            self.table(len(pairs))
            self.put(b"m")
            self.items((part for pair in pairs for part in pair), depth, len(pairs))
        elif isinstance(value, (set, frozenset)):
            items = list(set.__iter__(value) if isinstance(value, set) else value)
            self.table(len(items))
            self.put(b"e" if isinstance(value, set) else b"f")
            self.items(items, depth)
        else:
            raise WireError(f"a value of type {type(value).__name__} cannot be sent")

    def table(self, length: int) -> None:
        if length > self.limits.max_table:
            raise WireError(f"a dict or set has more than {self.limits.max_table} entries")

    def items(self, items: Any, depth: int, count: int | None = None) -> None:
        count = len(items) if count is None else count
        if count > self.limits.max_nodes - self.nodes:  # at once, not after a million elements
            raise WireError(f"the value has more than {self.limits.max_nodes} elements")
        self.put(_U32.pack(count))
        for item in items:
            self.value(item, depth + 1)

    def array(self, value: Any) -> tuple[bytes, ...] | None:
        """The parts of a torch or NumPy value, or None when it is neither."""
        import numpy as np
        import torch

        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, torch.Size):
            return b"Z", _pack_shape(tuple(value))
        if isinstance(value, torch.dtype):
            return b"D", _pack_name(str(value).removeprefix("torch."))
        if isinstance(value, torch.device):
            return b"V", _pack_name(str(value))
        if isinstance(value, (np.ndarray, np.generic)):
            array = np.asarray(value)
            name = array.dtype.name
            if name not in NUMPY_DTYPES:
                raise WireError(f"a NumPy array of dtype {array.dtype} cannot be sent")
            self.fits(array.nbytes)
            native = array.astype(array.dtype.newbyteorder("<"), copy=False)
            tag = b"A" if isinstance(value, np.ndarray) else b"G"
            return tag, _pack_name(name), _pack_shape(array.shape), native.tobytes()
        return None

    def tensor(self, tensor: Any) -> tuple[bytes, ...]:
        import torch

        if tensor.layout != torch.strided or tensor.is_quantized:
            raise WireError("a sparse or quantized tensor cannot be sent; make it dense first")
        name = str(tensor.dtype).removeprefix("torch.")
        if name not in TORCH_DTYPES:
            raise WireError(f"a tensor of dtype {tensor.dtype} cannot be sent")
        flags = (1 if tensor.requires_grad else 0) | (2 if tensor.device.type == "meta" else 0)
        shape = _pack_shape(tuple(tensor.shape))
        head = b"".join((b"X", _pack_name(name), bytes([flags]), shape))
        if tensor.device.type == "meta":
            return (head,)
        size = tensor.numel() * tensor.element_size()
        self.fits(size)
        return head, _numbers_of(tensor, size)

    def fits(self, size: int) -> None:
        # Before the copy is made: an expanded tensor of one number can claim a terabyte.
        if self.size + size > self.limits.max_bytes:
            raise WireError(
                f"an array of {size} bytes is larger than a message may be"
                f" ({self.limits.max_bytes} bytes)"
            )


def _numbers_of(tensor: Any, size: int) -> bytes:
    """The numbers of a dense tensor in order, as bytes."""
    import torch

    # The usual case is nothing but a copy of the memory.
    if tensor.is_cpu and tensor.is_contiguous() and not (tensor.is_conj() or tensor.is_neg()):
        return ctypes.string_at(tensor.data_ptr(), size)
    with torch.no_grad():
        plain = tensor.detach().resolve_conj().resolve_neg().cpu()
        dense = plain.clone(memory_format=torch.contiguous_format)
        return dense.reshape(-1).view(torch.uint8).numpy().tobytes()


_CONTAINERS = frozenset({tuple, list, dict, set, frozenset})


def _pack_int(value: int) -> bytes:
    number = int(value)
    length = number.bit_length() // 8 + 1
    if length > _MAX_INT_BYTES:
        raise WireError("the integer has too many digits")
    return b"i" + _U32.pack(length) + number.to_bytes(length, "big", signed=True)


def _pack_text(text: str) -> bytes:
    data = str.encode(text, "utf-8", "surrogatepass")
    return _U32.pack(len(data)) + data


def _pack_bytes(data: bytes) -> bytes:
    return b"b" + _U32.pack(len(data)) + data


# Values that are written without looking further, each with how; bool before int, its base.
_SCALARS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"N",
    type(...): lambda value: b"E",
    bool: lambda value: b"T" if value else b"F",
    int: _pack_int,
    float: lambda value: b"d" + _F64.pack(value),
    complex: lambda value: b"c" + _F64.pack(value.real) + _F64.pack(value.imag),
    str: lambda value: b"s" + _pack_text(value),
    bytes: lambda value: _pack_bytes(bytes(value)),
}


def _pack_name(name: str) -> bytes:
    data = name.encode("ascii")
    return bytes([len(data)]) + data


def _pack_shape(shape: tuple[int, ...]) -> bytes:
    if len(shape) > _MAX_DIMENSIONS:
        raise WireError(f"an array has {len(shape)} dimensions, more than {_MAX_DIMENSIONS}")
    return bytes([len(shape)]) + b"".join(_U64.pack(size) for size in shape)


class _Decoder:
    def __init__(self, data: bytes, hook: DecodeHook | None, limits: Limits) -> None:
        if len(data) > limits.max_bytes:
            raise WireError(f"a message of {len(data)} bytes; at most {limits.max_bytes} allowed")
        self.data = bytes(data)
        self.size = len(self.data)
        self.position = 0
        self.hook = hook
        self.limits = limits
        self.nodes = 0

    def run(self) -> Any:
        value = self.value(0)
        if self.position != self.size:
            raise WireError(f"{self.size - self.position} bytes after the value")
        return value

    def take(self, count: int) -> bytes:
        start, end = self.position, self.position + count
        if end > self.size:
            raise WireError("the message ends in the middle of a value")
        self.position = end
        return self.data[start:end]

    def count(self) -> int:
        """A number of elements or bytes, which must fit into what is left of the message."""
        number = int.from_bytes(self.take(4), "big")
        if number > self.size - self.position:
            raise WireError(f"a length of {number} in a message that ends sooner")
        return number

    def value(self, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > self.limits.max_nodes:
            raise WireError(f"more than {self.limits.max_nodes} values in one message")
        if depth > self.limits.max_depth:
            raise WireError(f"values nested deeper than {self.limits.max_depth} levels")
        tag = self.take(1)
        reader = _READERS.get(tag)
        if reader is None:
            raise WireError(f"unknown tag {tag!r}")
        return reader(self, depth)

    def integer(self, depth: int) -> int:
        length = self.count()
        if length > _MAX_INT_BYTES:
            raise WireError("an integer with too many digits")
        return int.from_bytes(self.take(length), "big", signed=True)

    def float(self, depth: int) -> float:
        return _F64.unpack(self.take(8))[0]

    def complex(self, depth: int) -> complex:
        return complex(self.float(depth), self.float(depth))

    def text(self, depth: int = 0) -> str:
        data = self.take(self.count())
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise WireError("a text that is not UTF-8") from error

    def binary(self, depth: int) -> bytes:
        return self.take(self.count())

    def items(self, depth: int) -> list:
        return [self.value(depth + 1) for _ in range(self.count())]

    def tuple(self, depth: int) -> tuple:
        return tuple(self.items(depth))

    def table(self, depth: int) -> int:
        count = self.count()
        if count > self.limits.max_table:
            raise WireError(f"a dict or set of {count} entries; {self.limits.max_table} allowed")
        return count

    def key(self, depth: int) -> Any:
        key = self.value(depth + 1)
        return self.check_key(key)

    def check_key(self, key: Any) -> Any:
        if type(key) not in _HASHABLE and not _is_torch_constant(key):
            raise WireError(f"a {type(key).__name__} as dictionary key or member of a set")
        if isinstance(key, (tuple, frozenset)):
            for part in key:
                self.check_key(part)
        return key

    def dict(self, depth: int) -> dict:
        return {self.key(depth): self.value(depth + 1) for _ in range(self.table(depth))}

    def set(self, depth: int) -> set:
        return {self.key(depth) for _ in range(self.table(depth))}

    def frozenset(self, depth: int) -> frozenset:
        return frozenset(self.set(depth))

    def slice(self, depth: int) -> slice:
        return slice(*[self.value(depth + 1) for _ in range(3)])

    def range(self, depth: int) -> range:
        parts = [self.value(depth + 1) for _ in range(3)]
        if not all(type(part) is int for part in parts) or parts[2] == 0:
            raise WireError("a range of something other than integers")
        return range(*parts)

    def extension(self, depth: int) -> Any:
        kind = self.text()
        fields = self.tuple(depth)
        if self.hook is None:
            raise WireError(f"an extension {kind!r} where only plain values are expected")
        return self.hook(kind, fields)

    def name(self, allowed: tuple[str, ...] | None) -> str:
        raw = self.take(self.take(1)[0])
        try:
            name = raw.decode("ascii")
        except UnicodeDecodeError as error:
            raise WireError("a type name that is not ASCII") from error
        if allowed is not None and name not in allowed:
            raise WireError(f"unknown number type {name!r}")
        return name

    def shape(self) -> tuple[int, ...]:
        dimensions = self.take(1)[0]
        if dimensions > _MAX_DIMENSIONS:
            raise WireError(f"{dimensions} dimensions; at most {_MAX_DIMENSIONS} allowed")
        shape = tuple(_U64.unpack(self.take(8))[0] for _ in range(dimensions))
        # Empty dimensions count as one: (0, 2**60) has no elements but overflows the strides.
        if math.prod(max(size, 1) for size in shape) > _MAX_NUMEL:
            raise WireError(f"a shape {shape} that is too large")
        return shape

    def torch_size(self, depth: int) -> Any:
        import torch

        return torch.Size(self.shape())

    def torch_dtype(self, depth: int) -> Any:
        import torch

        return getattr(torch, self.name(TORCH_DTYPES))

    def torch_device(self, depth: int) -> Any:
        import torch

        try:
            return torch.device(self.name(None))
        except RuntimeError as error:
            raise WireError("unknown device") from error

    def tensor(self, depth: int) -> Any:
        import torch

        dtype = getattr(torch, self.name(TORCH_DTYPES))
        flags = self.take(1)[0]
        shape = self.shape()
        requires_grad = bool(flags & 1)
        if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
            raise WireError(f"a tensor of dtype {dtype} cannot require gradients")
        if flags & 2:
            return torch.empty(shape, dtype=dtype, device="meta", requires_grad=requires_grad)
        raw = bytearray(self.take(math.prod(shape) * dtype.itemsize))
        if not raw:
            tensor = torch.empty(shape, dtype=dtype)
        elif dtype == torch.bool:
            tensor = torch.frombuffer(raw, dtype=torch.uint8).ne(0).reshape(shape)
        else:
            tensor = torch.frombuffer(raw, dtype=dtype).reshape(shape)
        return tensor.requires_grad_(requires_grad)

    def array(self, depth: int) -> Any:
        import numpy as np

        name = self.name(NUMPY_DTYPES)
        dtype = np.dtype(name)
        shape = self.shape()
        raw = bytearray(self.take(math.prod(shape) * dtype.itemsize))
        if name == "bool":
            return (np.frombuffer(raw, dtype=np.uint8) != 0).reshape(shape)
        stored = np.frombuffer(raw, dtype=dtype.newbyteorder("<"))
        return stored.astype(dtype, copy=False).reshape(shape)

    def scalar(self, depth: int) -> Any:
        array = self.array(depth)
        if array.shape != ():
            raise WireError("a NumPy scalar with a shape")
        return array[()]


def _is_torch_constant(key: Any) -> bool:
    import torch

    return type(key) in (torch.dtype, torch.device, torch.Size)


_READERS: dict[bytes, Callable[[_Decoder, int], Any]] = {
    b"N": lambda decoder, depth: None,
    b"E": lambda decoder, depth: Ellipsis,
    b"T": lambda decoder, depth: True,
    b"F": lambda decoder, depth: False,
    b"i": _Decoder.integer,
    b"d": _Decoder.float,
    b"c": _Decoder.complex,
    b"s": _Decoder.text,
    b"b": _Decoder.binary,
    b"t": _Decoder.tuple,
    b"l": _Decoder.items,
    b"m": _Decoder.dict,
    b"e": _Decoder.set,
    b"f": _Decoder.frozenset,
    b"S": _Decoder.slice,
    b"R": _Decoder.range,
    b"O": _Decoder.extension,
    b"Z": _Decoder.torch_size,
    b"D": _Decoder.torch_dtype,
    b"V": _Decoder.torch_device,
    b"X": _Decoder.tensor,
    b"A": _Decoder.array,
    b"G": _Decoder.scalar,
}


def send_frame(connection: socket.socket, payload: bytes) -> None:
    """Send one message.

    Raises:
        OSError: The other end is gone.
    """
    head = _U32.pack(len(payload))
    if len(payload) <= _ONE_PIECE:  # so that the other end wakes up once, not twice
        connection.sendall(head + payload)
    else:
        connection.sendall(head)
        connection.sendall(payload)


def receive_frame(connection: socket.socket, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Receive one message, allocating only as its bytes arrive.

    Raises:
        EOFError: The other end closed the connection, perhaps in the middle of a message.
        WireError: The announced length exceeds the limit.
    """
    length = _U32.unpack(_receive(connection, 4))[0]
    if length > limits.max_bytes:
        raise WireError(f"a message of {length} bytes; at most {limits.max_bytes} allowed")
    return _receive(connection, length)


def _receive(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        try:
            piece = connection.recv(min(length - len(data), MEBIBYTE))
        except ConnectionError as error:
            raise EOFError("the connection was reset") from error
        if not piece:
            raise EOFError("the connection was closed")
        data += piece
    return bytes(data)
