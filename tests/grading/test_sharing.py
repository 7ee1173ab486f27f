"""Tensors with a replica on the other side: every change is noticed, nothing is kept for ever."""

import copy

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from grading.sharing import SharedTensors


def step(tensor):
    tensor.grad = torch.ones_like(tensor)
    torch.optim.SGD([tensor], lr=0.1).step()


def through_numpy(tensor):
    tensor.detach().numpy()[0] = 7


CHANGES = {
    "in place": lambda t: t.detach().add_(1),
    "data": lambda t: t.data.fill_(5),
    "data replaced": lambda t: setattr(t, "data", torch.full((4,), 8.0)),
    "a view": lambda t: t.detach()[1:2].zero_(),
    "an array": through_numpy,
    "sign of zero": lambda t: t.data.mul_(torch.tensor([1.0, 1.0, 1.0, -1.0])),
    "to NaN": lambda t: t.data[0].fill_(float("nan")),
    "shape": lambda t: setattr(t, "data", torch.zeros(2, 2)),
    "order in memory": lambda t: setattr(t, "data", torch.zeros(8)[::2]),
    "dtype": lambda t: setattr(t, "data", t.data.double()),
    "grad": lambda t: setattr(t, "grad", torch.ones(4)),
    "optimiser": step,
    "requires_grad": lambda t: t.requires_grad_(False),
}


def pair():
    """Two ends with one parameter, the first end's number 1."""
    here, there = SharedTensors(1), SharedTensors(2)
    tensor = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 0.0]))
    number = here.number(tensor)
    there.apply(here.changes())
    return here, there, tensor, number


def assert_same(a, b):
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    assert a.requires_grad == b.requires_grad
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.signbit(a), torch.signbit(b))
    grads = [
        None if t.grad is None or t.grad.shape != t.shape or t.grad.dtype != t.dtype else t.grad
        for t in (a, b)  # torch keeps an old one when .data gets another shape
    ]
    assert (grads[0] is None) == (grads[1] is None)
    assert grads[0] is None or torch.equal(*grads)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_noticed_once(name):
    here, there, tensor, number = pair()
    CHANGES[name](tensor)
    states = here.changes()
    assert [state[0] for state in states] == [number]
    there.apply(states)
    assert_same(there[number], tensor)
    assert here.changes() == there.changes() == []


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(sorted(CHANGES))), max_size=5))
def test_both_ends_agree_whichever_of_them_changes_what(steps):
    here, there, _, number = pair()
    for from_here, name in steps:
        one, other = (here, there) if from_here else (there, here)
        if one[number].shape == (4,) and one[number].dtype == torch.float32:
            CHANGES[name](one[number])
        other.apply(one.changes())
        assert_same(here[number], there[number])


def test_a_tensor_that_is_stored_in_another_order_is_compared_by_value():
    here, there = SharedTensors(1), SharedTensors(2)
    columns = torch.arange(6.0).reshape(2, 3).t()
    conjugated = torch.tensor([1 + 2j, 3 - 1j]).conj()
    negated = torch.tensor([1 + 2j]).conj().imag
    numbers = [here.number(one) for one in (columns, conjugated, negated)]
    there.apply(here.changes())
    assert here.changes() == []
    for number, one in zip(numbers, (columns, conjugated, negated), strict=True):
        assert torch.equal(there[number], one)
    columns[2, 1] = 9
    conjugated[0] = 0
    assert [state[0] for state in here.changes()] == numbers[:2]


@pytest.mark.parametrize("meta", [torch.ones(4, device="meta"), torch.ones(0)])
def test_a_replica_is_not_compared_with_memory_that_is_not_there(meta):
    here, _, tensor, number = pair()
    with pytest.raises((RuntimeError, ValueError)):
        here.apply([(number, True, True, meta, torch.ones(4))])
    assert tensor.shape == (4,)


HOLDS = {
    "a variable": lambda t: t,
    "its values": lambda t: t.data,
    "a view": lambda t: t[1:],
    "an array": lambda t: t.detach().numpy(),
    "its storage": lambda t: t.untyped_storage(),
    "a graph": lambda t: (t * 2).sum(),
    "its gradient": lambda t: t.grad,
    "values of its gradient": lambda t: t.grad.data,
    "an optimiser": lambda t: torch.optim.SGD([t], lr=1.0),
    "a module": lambda t: nn.ParameterList([t]),
    "a list": lambda t: [[t]],
}


@pytest.mark.parametrize("kind", [nn.Parameter, torch.Tensor.requires_grad_])
@pytest.mark.parametrize("name", HOLDS)
def test_a_tensor_is_forgotten_when_nothing_holds_it_any_more(name, kind):
    table = SharedTensors(2)
    tensor = kind(torch.ones(3))
    tensor.grad = torch.ones(3)
    assert table.number(tensor) == 2
    table.changes()
    holder = HOLDS[name](tensor)
    del tensor
    assert table.forget_unreachable() == []
    assert 2 in table
    del holder
    assert table.forget_unreachable() == [2]
    assert 2 not in table
    assert table.changes() == []


def test_without_a_gradient_or_any_memory_too():
    table = SharedTensors(2)
    for tensor in (torch.ones(3), torch.ones(3, device="meta"), torch.ones(0)):
        table.number(tensor)
    del tensor
    table.changes()
    assert table.forget_unreachable() == [2, 4, 6]


def test_what_is_forgotten_can_be_shared_again():
    here, there, tensor, number = pair()
    here.forget([number])
    there.forget([number])
    assert len(here) == len(there) == 0
    again = here.number(tensor)
    assert again != number
    tensor.data.fill_(3)
    there.apply(here.changes())
    assert_same(there[again], tensor)


def test_the_copy_for_comparing_is_the_tables_own():
    here, there, tensor, number = pair()
    before = copy.deepcopy(tensor)
    there[number].data.zero_()
    assert_same(tensor, before)
    here.apply(there.changes())
    assert not tensor.any()
