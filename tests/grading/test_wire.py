"""The channel format: everything listed crosses, and no bytes can hurt the reader."""

import math
import socket
import struct
import threading
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grading import wire
from grading.wire import Limits, WireError, decode, encode

SMALL = Limits(max_bytes=4096, max_depth=8, max_nodes=200, max_table=20)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(scalars, inner, max_size=4),
        st.sets(scalars, max_size=4),
        st.frozensets(scalars, max_size=4),
    ),
    max_leaves=20,
)


def same(a, b):
    """Equality that also compares types all the way down (1 == True == 1.0 is not enough)."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True)
        )
    return a == b


@settings(derandomize=True, deadline=None, max_examples=200)
@given(values)
def test_plain_values_arrive_as_they_were_sent(value):
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize("dtype", wire.TORCH_DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
def test_tensors_arrive_bit_for_bit(dtype, shape):
    tensor = (torch.rand(shape) * 3 - 1).to(getattr(torch, dtype))
    got = decode(encode(tensor))
    assert got.dtype == tensor.dtype
    assert got.shape == tensor.shape
    assert torch.equal(got, tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12).reshape(3, 4).t(),
        torch.arange(4).expand(3, 4),
        torch.tensor([1 + 2j]).conj(),
        torch.tensor([float("nan"), float("inf")]),
        torch.arange(12.0).reshape(3, 4)[:1, 1::4],
        torch.tensor([5, 6])[::2],
    ],
    ids=["transposed", "expanded", "conjugate", "nan", "one of a matrix", "every second of two"],
)
def test_views_arrive_as_the_values_they_show(tensor):
    torch.testing.assert_close(decode(encode(tensor)), tensor.clone(), equal_nan=True)


def test_flags_of_tensors_cross():
    assert decode(encode(torch.ones(2, requires_grad=True))).requires_grad
    meta = decode(encode(torch.empty(2, 3, device="meta")))
    assert meta.device.type == "meta"
    assert meta.shape == (2, 3)


@pytest.mark.parametrize("name", wire.NUMPY_DTYPES)
def test_numpy_arrays_and_scalars_arrive(name):
    array = np.arange(6).reshape(2, 3).astype(name)
    got = decode(encode(array))
    assert got.dtype == array.dtype
    assert np.array_equal(got, array)
    scalar = decode(encode(array[1, 2]))
    assert type(scalar) is type(array[1, 2])
    assert scalar == array[1, 2]


@pytest.mark.parametrize(
    "value",
    [
        torch.Size([2, 3]),
        torch.float32,
        torch.device("cpu"),
        slice(1, None, 2),
        range(3, 9, 2),
        ...,
        10**4000,
        -(2**63),
        "\ud800",
    ],
)
def test_the_other_listed_values_arrive(value):
    assert same(decode(encode(value)), value)


def test_a_subclass_is_sent_as_its_base_whatever_it_overrides():
    class Liar(list):
        def __iter__(self):
            return iter([1, 2, 3])

        def __len__(self):
            return 10**9

    assert decode(encode(Liar([7]))) == [7]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "type object"),
        (lambda: 0, "type function"),
        (torch.eye(2).to_sparse(), "sparse"),
        (np.array(["a"]), "dtype"),
        pytest.param(1 << (8 * 70_000), "too many digits", id="integer"),
        (torch.zeros(1).expand(10**12), "larger than"),
    ],
)
def test_what_has_no_place_in_the_format_is_refused_by_name(value, reason):
    with pytest.raises(WireError, match=reason):
        encode(value)


def test_a_list_that_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(WireError, match="nested deeper"):
        encode(loop)


def test_caps_hold_on_both_sides():
    for value, reason in [
        ([0] * 300, "values|elements"),
        (b"x" * 5000, "bytes"),
        ([[[[[[[[[[[]]]]]]]]]]], "nested"),
        (dict.fromkeys(range(21)), "entries"),
    ]:
        with pytest.raises(WireError, match=reason):
            encode(value, limits=SMALL)
        with pytest.raises(WireError, match=reason):
            decode(encode(value), limits=SMALL)


def test_extensions_need_a_hook_and_arrive_through_it():
    def hook(value):
        return ("point", (value.start, value.stop)) if isinstance(value, slice) else None

    data = encode([slice(1.0, 2.0)], hook)
    with pytest.raises(WireError, match="extension 'point'"):
        decode(data)
    assert decode(data, lambda kind, fields: (kind, fields)) == [("point", (1.0, 2.0))]


def frame(*parts):
    return b"".join(parts)


u32 = struct.Struct(">I").pack
u64 = struct.Struct(">Q").pack


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        b"i",
        frame(b"l", u32(2**32 - 1)),
        frame(b"s", u32(1), b"\xff"),
        frame(b"N", b"N"),
        frame(b"e", u32(1), b"l", u32(0)),
        frame(b"m", u32(1), b"t", u32(1), b"l", u32(0), b"N"),
        frame(b"X", b"\x05int64", b"\x00", b"\x01", u64(2**61)),
        frame(b"X", b"\x05int64", b"\x00", b"\x02", u64(0), u64(2**63)),
        frame(b"X", b"\x05int64", b"\x02", b"\x02", u64(2**40), u64(2**40)),
        frame(b"X", b"\x05int64", b"\x01", b"\x00", u64(0)),
        frame(b"X", b"\x06object", b"\x00", b"\x00"),
        frame(b"A", b"\x06object", b"\x00", u64(0)),
        frame(b"X", b"\x07__doc__", b"\x00", b"\x00"),
        frame(b"R", b"N", b"N", b"N"),
        frame(b"V", b"\x03xyz"),
    ],
)
def test_malformed_messages_are_refused(data):
    with pytest.raises(WireError):
        decode(data)


def test_booleans_with_impossible_bytes_become_real_booleans():
    data = bytearray(encode(torch.tensor([True, False])))
    data[-2:] = b"\x02\xff"
    got = decode(bytes(data))
    assert torch.equal(got, torch.tensor([True, True]))
    assert got.view(torch.uint8).tolist() == [1, 1]
    array = bytearray(encode(np.array([True])))
    array[-1] = 7
    assert decode(bytes(array)).view(np.uint8).tolist() == [1]


PREFIXES = [bytes([byte]) for byte in range(256)]


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(st.sampled_from(PREFIXES), st.binary(max_size=200))
def test_random_bytes_never_crash_the_decoder(prefix, rest):
    try:
        decode(prefix + rest, lambda kind, fields: (kind, fields), SMALL)
    except WireError:
        return


@settings(derandomize=True, deadline=None, max_examples=300)
@given(values, st.data())
def test_damaged_messages_never_crash_the_decoder(value, data):
    message = bytearray(encode([value, torch.ones(3), np.ones(2)]))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(message), lambda kind, fields: (kind, fields), SMALL)
    except WireError:
        return


def test_a_lying_length_allocates_nothing():
    messages = [
        frame(b"l", u32(2**31)),
        frame(b"b", u32(2**31)),
        frame(b"X", b"\x07float32", b"\x00", b"\x01", u64(2**40)),
        frame(b"A", b"\x07float32", b"\x01", u64(2**40)),
    ]
    tracemalloc.start()
    for message in messages:
        with pytest.raises(WireError):
            decode(message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_frames_cross_a_socket_and_a_lie_about_their_length_is_caught():
    left, right = socket.socketpair()
    with left, right:
        payload = encode(torch.rand(200, 300))
        sender = threading.Thread(target=wire.send_frame, args=(left, payload))
        sender.start()
        assert wire.receive_frame(right) == payload
        sender.join()
        left.sendall(u32(2**32 - 1))
        with pytest.raises(WireError, match="at most"):
            wire.receive_frame(right)
        left.sendall(u32(100) + b"short")
        left.close()
        with pytest.raises(EOFError):
            wire.receive_frame(right)


def test_nan_crosses():
    assert math.isnan(decode(encode(float("nan"))))
