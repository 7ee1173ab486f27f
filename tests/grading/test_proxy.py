"""Stand-ins behave like the real objects, and a lying process gains nothing.

The student's end runs in a thread here: what is tested is what crosses, not the isolation.
"""

import copy
import gc
import inspect
import random
import socket
import sys
import threading
import types

import numpy as np
import pytest
import torch
from torch import nn

from grading import proxy, student, wire

CODE = '''
import collections, torch, numpy as np
from torch import nn

LIMIT = 7
TABLE = torch.arange(3.0)

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Linear(2, width)
        self.norm = nn.BatchNorm1d(width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.width = width
    def forward(self, x):
        x = self.norm(self.first(x))
        for layer in self.layers:
            x = layer(x)
        return x
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

class Value:
    def __init__(self, x): self.x = x
    def __add__(self, other): return Value(self.x + other.x)
    def __eq__(self, other): return isinstance(other, Value) and self.x == other.x
    def __len__(self): return 3
    def __iter__(self): return iter([self.x] * 3)
    def __float__(self): return float(self.x)
    def __getitem__(self, i): return self.x * i

class Liar:
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __repr__(self): return "5"

class ShapeError(ValueError): pass

def add(a, b=2, *, scale: float = 1.0):
    """Adds."""
    return (a + b) * scale
def identity(x): return x
def liar(): return Liar()
def refuse(kind): raise kind
def custom(): raise ShapeError("wrong shape")
def leave(): raise SystemExit(3)
def append(items): items.append(4)
def double(x): x.mul_(2)
def fill(array): array[:] = 1
def count(n):
    yield from range(n)
def apply_to(f, x): return f(f(x))
def freeze(model):
    for p in model.parameters(): p.requires_grad = False
    model[1] = nn.Linear(3, 5)
    model.eval()
def train_step(model, optimizer, x):
    optimizer.zero_grad()
    loss = model(x).pow(2).mean()
    loss.backward()
    optimizer.step()
    return loss.item()
def make_optimizer(model): return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
def halve(optimizer):
    for group in optimizer.param_groups: group["lr"] /= 2
def groups(model): return [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}]
def largest(x): return torch.max(x, dim=0)
Point = collections.namedtuple("Point", "x y")
def point(): return Point(1, 2)
def noise(): return torch.randn(3)
def square(x): return x ** 2
def modes(): return torch.is_grad_enabled(), torch.get_default_dtype()
def sparse(): return torch.eye(2).to_sparse()
def long(): return [0] * 2_000_000
def with_default(shape=(1, 2)): return shape
def replace_first(items, new): items[0] = new
def copy_first(items): items[0] = list(items[0])
def swap(table): table["a"], table["b"] = table["b"], table["a"]
def demote(model): model._buffers["bias"] = model._parameters.pop("bias")
def name_size(model): model.size = (1, 2.0)
def runner(model, x): return model(x)
'''


@pytest.fixture
def world(monkeypatch):
    """Names of CODE as a test cell would see them."""
    ours, theirs = socket.socketpair()
    namespace = {"__name__": "__main__"}
    exec(CODE, namespace)
    monkeypatch.setattr(student, "_shell", types.SimpleNamespace(user_ns=namespace))
    server = student._Student(theirs)

    def serve():
        server.thread = threading.get_ident()
        try:
            while True:
                server.answer(server.receive())
        except (EOFError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    remote = proxy.Remote(
        ours, globals(), {"Net": frozenset(), "Value": frozenset({"__add__", "__eq__"})}
    )
    names = [name for name in namespace if not name.startswith("__")]
    found = types.SimpleNamespace(**remote.request("lookup", (names,), share=True))
    found.remote = remote
    found.real = namespace
    found.server = server
    yield found
    ours.close()
    thread.join(5)


def test_functions_take_and_return_plain_values(world):
    assert world.LIMIT == 7
    assert world.add(1) == 3
    assert world.add(1, b=3, scale=0.5) == 2.0
    assert world.identity({"a": [1, (2.5, None)], 3: {4}}) == {"a": [1, (2.5, None)], 3: {4}}
    torch.testing.assert_close(world.add(torch.ones(2), 1), torch.full((2,), 2.0))
    assert np.array_equal(world.add(np.ones(2), 1), np.full(2, 2.0))


def test_keyword_names_of_the_channel_are_free_for_students(world):
    with pytest.raises(TypeError, match="share"):
        world.add(1, share=True)


def test_functions_look_like_functions(world):
    assert callable(world.add)
    assert inspect.isfunction(world.add)
    assert world.add.__name__ == "add"
    assert world.add.__doc__ == "Adds."
    signature = inspect.signature(world.add)
    assert list(signature.parameters) == ["a", "b", "scale"]
    assert signature.parameters["b"].default == 2
    assert signature.parameters["scale"].kind is inspect.Parameter.KEYWORD_ONLY
    assert inspect.signature(world.with_default).parameters["shape"].default == (1, 2)


def test_exceptions_arrive_by_their_builtin_type(world):
    for kind in (ValueError, KeyError, IndexError, ZeroDivisionError, NotImplementedError):
        with pytest.raises(kind, match="reason"):
            world.refuse(kind("reason"))
    with pytest.raises(UnicodeDecodeError):
        world.refuse(UnicodeDecodeError("utf-8", b"", 0, 1, "reason"))
    with pytest.raises(ValueError, match="wrong shape") as caught:
        world.custom()
    assert type(caught.value).__name__ == "ShapeError"
    assert isinstance(caught.value, world.ShapeError)
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        world.leave()


def test_arguments_changed_in_place_are_changed_here(world):
    items = [1, 2]
    world.append(items)
    assert items == [1, 2, 4]
    tensor = torch.ones(3)
    world.double(tensor)
    assert tensor.tolist() == [2, 2, 2]
    array = np.zeros(2)
    world.fill(array)
    assert array.tolist() == [1, 1]


@pytest.mark.parametrize("new", [0, True, 1.0, -0.0, "1", (1, 2), (1, 2.0), [5], None, b"1"])
def test_any_change_of_an_element_is_seen(world, new):
    for old in (1, 0.0, (1, 2), None, [5]):
        items = [old]
        world.replace_first(items, new)
        assert type(items[0]) is type(new)
        assert repr(items[0]) == repr(new)


def test_an_equal_object_in_the_place_of_another_is_seen(world):
    inner, items = [1], []
    items.append(inner)
    world.copy_first(items)
    assert items == [[1]]
    assert items[0] is not inner
    table = {"a": inner, "b": [1]}
    world.swap(table)
    assert table["b"] is inner


def test_what_changes_inside_a_module_is_seen(world):
    model = nn.Linear(2, 2)
    bias = model.bias
    world.demote(model)  # the same tensor under the same name, but no parameter any more
    assert "bias" not in dict(model.named_parameters())
    assert dict(model.named_buffers())["bias"] is bias
    world.name_size(model)
    assert model.size == (1, 2.0)
    world.name_size(model)
    model.size = (1, 2)
    world.name_size(model)
    assert type(model.size[1]) is float


def test_an_optimizer_changed_in_place_is_changed_here(world):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.5)
    world.halve(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_identity_of_arguments_survives(world):
    for value in ([1], torch.ones(1), nn.Linear(1, 1), {"a": 1}):
        assert world.identity(value) is value


def test_generators_and_iterators(world):
    assert list(world.count(3)) == [0, 1, 2]
    assert next(world.count(3)) == 0


def test_functions_of_the_test_are_called_here(world):
    calls = []

    def increase(x):
        calls.append(x)
        return x + 1

    assert world.apply_to(increase, 1) == 3
    assert calls == [1, 2]

    def fail(x):
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        world.apply_to(fail, 1)
    assert world.apply_to(torch.neg, torch.ones(1)).item() == 1


def test_instances_of_declared_classes_have_their_operators(world):
    a, b = world.Value(2), world.Value(3)
    assert (a + b).x == 5
    assert world.Value(2) == world.Value(2)
    assert (a == b) is False
    assert a != 2
    with pytest.raises(TypeError):
        a - b
    assert len(a) == 3
    assert list(a) == [2, 2, 2]
    assert float(a) == 2.0
    assert a[4] == 8
    assert isinstance(a, world.Value)
    assert not isinstance(a, world.Net)
    a.x = 9
    assert a.x == 9
    assert type(a).__name__ == "Value"


def test_an_object_that_equals_everything_equals_nothing_here(world):
    liar = world.liar()
    assert liar != 5
    assert (liar == 5) is False
    for operation in (lambda: liar - 5, lambda: liar < 5, lambda: abs(liar) < 1, lambda: 5 - liar):
        with pytest.raises(TypeError):
            operation()
    with pytest.raises((TypeError, AssertionError)):
        torch.testing.assert_close(liar, torch.ones(1))


def test_modules_look_like_modules(world):
    net = world.Net(5)
    assert isinstance(net, nn.Module)
    assert isinstance(net, world.Net)
    assert issubclass(world.Net, nn.Module)
    assert inspect.isclass(world.Net)
    assert type(net).__name__ == "Net"
    assert isinstance(net.first, nn.Linear)
    assert net.first.out_features == 5
    assert net.width == 5
    assert [type(m).__name__ for m in net.modules()].count("Linear") == 3
    assert sum(isinstance(m, nn.Linear) for m in net.modules()) == 3
    assert [name for name, _ in net.named_children()] == ["first", "norm", "layers"]
    assert len(net.layers) == 2
    assert isinstance(net.layers[1], nn.Linear)
    assert [layer.in_features for layer in net.layers] == [5, 5]
    assert "Linear(in_features=2" in repr(net)
    assert net.to("cpu") is net
    assert net.double()(torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float64


def test_an_overridden_train_is_honoured(world):
    net = world.Net()
    assert net.train() is net
    assert net.training
    assert not net.norm.training
    assert not net.eval().training


def test_parameters_are_shared_both_ways(world):
    net = world.Net()
    net.eval()
    assert net.first.weight is net.first.weight
    assert isinstance(net.first.weight, nn.Parameter)
    with torch.no_grad():
        net.first.weight.zero_()
    net.first.bias.data.fill_(1.0)
    net.layers[0].weight.data = torch.eye(4)
    net.layers[0].bias.data.zero_()
    nn.init.eye_(net.layers[1].weight)
    nn.init.zeros_(net.layers[1].bias)
    expected = torch.full((3, 4), 1 / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(net(torch.rand(3, 2)).detach(), expected)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_buffers_follow_the_student(world):
    norm = world.real["nn"].BatchNorm1d  # the student's Net keeps its norm in eval mode
    assert norm is nn.BatchNorm1d
    net = world.Net()
    mean = net.norm.running_mean
    net.norm.train()
    net(torch.ones(8, 2))
    assert not torch.equal(mean, torch.zeros(4))
    assert mean is net.norm.running_mean


def test_training_a_students_module_from_the_test(world):
    torch.manual_seed(0)
    net, x = world.Net(), torch.randn(16, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = net(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_gradients_are_those_of_one_process(world):
    torch.manual_seed(1)
    net, x = world.Net(), torch.randn(5, 2, requires_grad=True)
    (net(x) * 2).sum().backward()
    real = world.real["Net"]()
    real.load_state_dict(net.state_dict())
    real.eval()
    net.eval()
    y = x.detach().clone().requires_grad_()
    x.grad = None
    net.zero_grad()
    net(x).pow(2).sum().backward()
    real(y).pow(2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    for ours, theirs in zip(net.parameters(), real.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    chained = torch.ones(2, requires_grad=True)
    world.square(world.square(chained)).sum().backward()
    assert chained.grad.tolist() == [4, 4]
    assert torch.autograd.gradcheck(
        world.square, torch.rand(2, dtype=torch.float64).requires_grad_()
    )


def test_grad_mode_dtype_and_random_state_follow_the_test(world):
    with torch.no_grad():
        assert world.modes()[0] is False
    assert world.modes() == (True, torch.float32)
    torch.manual_seed(5)
    got = world.noise()
    torch.manual_seed(5)
    assert torch.equal(got, torch.randn(3))
    random.seed(3)
    assert not torch.equal(world.noise(), world.noise())


def test_modules_of_the_test_are_changed_in_place(world):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    head, weight = model[1], model[0].weight
    world.freeze(model)
    assert not model.training
    assert model[0].weight is weight
    assert not weight.requires_grad
    assert model[1] is not head
    assert isinstance(model[1], nn.Linear)
    assert model[1].out_features == 5
    assert model(torch.ones(1, 2)).shape == (1, 5)
    assert sum(p.requires_grad for p in model.parameters()) == 2
    assert torch.equal(world.runner(model, torch.ones(1, 2)), model(torch.ones(1, 2)))


def test_an_optimizer_keeps_its_state_between_calls(world):
    torch.manual_seed(0)
    model, x = nn.Linear(2, 1), torch.randn(4, 2)
    twin = copy.deepcopy(model)
    for make in (world.make_optimizer, lambda m: torch.optim.SGD(m.parameters(), 0.1, 0.9)):
        here, twins = make(model), torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            ours = world.train_step(model, here, x)
            theirs = world.real["train_step"](twin, twins, x)
            assert ours == pytest.approx(theirs)
        torch.testing.assert_close(model.weight, twin.weight)
    world.halve(here)
    assert here.param_groups[0]["lr"] == 0.05


def test_returned_parameters_are_the_tests_own(world):
    layer = nn.Linear(2, 2)
    first, second = world.groups(layer)
    assert first["params"][0] is layer.weight
    assert second["params"][0] is layer.bias
    torch.optim.SGD([first, second], lr=0.1)


def test_named_results(world):
    values, _ = world.largest(torch.tensor([[1.0, 5.0], [3.0, 2.0]]))
    assert values.tolist() == [3, 5]
    assert world.largest(torch.eye(2)).indices.tolist() == [0, 1]
    assert world.point().y == 2
    assert world.point() == (1, 2)


def test_a_module_of_the_students_inside_one_of_the_tests(world):
    net = world.Net()
    both = nn.Sequential(net, nn.ReLU(), nn.Linear(4, 1))
    assert both(torch.ones(3, 2)).shape == (3, 1)
    assert len(list(both.parameters())) == len(list(net.parameters())) + 2
    both.eval()
    assert not net.training
    assert any(key == "0.first.weight" for key in both.state_dict())


def test_hooks_run_here(world):
    net, seen = world.Net(), []
    handle = net.first.register_forward_hook(
        lambda module, args, output: seen.append((type(module).__name__, tuple(output.shape)))
    )
    net(torch.ones(3, 2))
    handle.remove()
    net(torch.ones(3, 2))
    assert seen == [("Linear", (3, 4))]


def test_copies_of_a_students_object(world):
    net = world.Net()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.first.weight.zero_()
    assert not torch.equal(net.first.weight, twin.first.weight)


def test_what_cannot_cross_says_so(world):
    class Local:
        pass

    with pytest.raises(proxy.CannotCross, match="Local"):
        world.identity(Local())
    with pytest.raises(proxy.CannotCross, match="generator"):
        world.identity(i for i in range(3))
    with pytest.raises(proxy.CannotCross, match="saving"):
        torch.save(world.Net(), "/dev/null")
    with pytest.raises(proxy.CannotCross, match="elements"):
        world.long()
    assert not issubclass(proxy.CannotCross, Exception)
    with pytest.raises(TypeError):
        torch.testing.assert_close(world.sparse(), torch.eye(2))


def settle(world):
    """Have both sides forget what nothing can reach any more."""
    gc.collect()
    for _ in range(2):  # the first tells the student's side with the second
        world.remote.begin_test()
        assert world.add(1) == 3


def sizes(world):
    ours, theirs = world.remote, world.server
    kept = (ours.stand_ins, ours.kinds, ours.linked, theirs.linked, theirs.objects, theirs.graphs)
    return [len(ours.shared), len(theirs.shared), *map(len, kept)]


def one_of_everything(world, size):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, size))
    world.freeze(model)
    world.halve(world.make_optimizer(nn.Linear(2, 2)))
    net = world.Net(size)
    net.eval()
    net(torch.ones(3, 2, requires_grad=True)).sum().backward()
    world.square(torch.ones(2, requires_grad=True))
    return [p.sum().item() for p in net.parameters()], net.state_dict()


@pytest.mark.slow
def test_nothing_is_kept_of_what_no_test_can_reach(world):
    one_of_everything(world, 3)
    settle(world)
    before = sizes(world)
    for size in (1, 2, 4):
        one_of_everything(world, size)
    settle(world)
    assert sizes(world) == before


@pytest.mark.slow
def test_a_long_test_does_not_pile_tensors_up(world):
    for _ in range(2 * proxy.TIDY_FROM):
        assert world.Net(1).first.weight.shape == (1, 2)
        world.runner(nn.Linear(2, 2), torch.ones(1, 2))
    assert len(world.remote.shared) <= proxy.TIDY_FROM + 10
    assert len(world.server.shared) <= proxy.TIDY_FROM + 10
    assert len(world.server.linked) < 10


@pytest.mark.slow
def test_what_a_test_changed_last_is_not_forgotten(world):
    net = world.Net(1)
    net.eval()
    settle(world)
    shared = len(world.server.shared)
    net.first.weight.data.fill_(2.0)  # the parameter itself is held by nothing here
    values = net.first.bias.data
    settle(world)
    values.fill_(3.0)
    settle(world)
    inside = world.real["torch"].nn.functional.linear(torch.ones(1, 2), *world_net(world, net))
    assert inside.tolist() == [[7.0]]
    del values
    settle(world)
    assert len(world.server.shared) == shared


def world_net(world, net):
    """Weight and bias of the first layer as the student's process has them."""
    real = world.server.objects[object.__getattribute__(net, "_stand_in")[1]]
    return real.first.weight, real.first.bias


def test_a_module_that_was_sent_is_known_until_it_changes(world):
    model = nn.Linear(2, 2)
    world.runner(model, torch.ones(1, 2))
    (number, _), *others = world.remote.linked.values()
    assert not others
    world.runner(model, torch.ones(1, 2))
    assert world.remote.linked[id(model)][0] == number
    model.extra = "new"
    world.runner(model, torch.ones(1, 2))
    assert world.remote.linked[id(model)][0] != number
    world.add(1)
    assert list(world.server.linked) == [world.remote.linked[id(model)][0]]


def test_setting_a_generator_twice_to_the_same_state_is_noticed(monkeypatch):
    proxy.notice_seeding(monkeypatch.setattr)
    remote, theirs = lying(*[framed((number, "ok", OK, [], [])) for number in range(1, 40)])

    def sent():
        states = remote.changed_random_states(proxy._random_states(remote.random))
        assert remote.request("call", ()) == 1
        return set(states)

    seeds = {
        "torch": lambda: torch.manual_seed(0),
        "numpy": lambda: np.random.seed(0),  # noqa: NPY002 - as students do
        "python": lambda: random.seed(0),
    }
    with theirs:
        sent()
        for name, seed in seeds.items():
            seed()
            sent()
            assert sent() == set()
            seed()
            assert sent() == {name}
            assert sent() == set()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            assert sent() == {"torch"}
        assert sent() == {"torch"}
        torch.rand(1)
        assert sent() == {"torch"}
        np.random.seed(0)  # noqa: NPY002
        assert sent() == {"numpy"}
        np.random.randn()  # noqa: NPY002 - makes two numbers and keeps one
        assert sent() == {"numpy"}
        np.random.randn()  # noqa: NPY002 - uses that up, and only that
        assert sent() == {"numpy"}
        random.random()
        assert sent() == {"python"}
        random.gauss(0.0, 1.0)  # makes two numbers and keeps one
        assert sent() == {"python"}
        random.gauss(0.0, 1.0)  # uses that up, and only that
        assert sent() == {"python"}
        assert sent() == set()


def test_the_memory_of_pythons_generator_is_where_it_is_looked_for():
    """Where it is not, every request pays for 624 numbers again."""
    if sys.implementation.name != "cpython":
        pytest.skip("another Python than CPython: the state is asked for each time")
    state = proxy._random_states()
    assert proxy._random_states(state)["python"] is state["python"]


def test_a_state_whose_memory_does_not_exist_ends_the_process():
    meta = torch.ones(3, device="meta")
    remote, theirs = lying(framed((1, "ok", OK, [(2, False, False, meta, None)], [])))
    with theirs, pytest.raises(proxy.ProtocolError):
        remote.request("call", (torch.ones(3),))


def test_a_student_cannot_share_without_end(monkeypatch):
    monkeypatch.setattr(proxy, "MAX_SHARED", 3)
    states = [(number, False, False, torch.ones(1), None) for number in (1, 3, 5, 7)]
    remote, theirs = lying(framed((1, "ok", OK, states, [])))
    with theirs, pytest.raises(proxy.ProtocolError, match="more than 3"):
        remote.request("call", ())


def lying(*replies):
    """A student's end that answers with these bytes."""
    ours, theirs = socket.socketpair()

    def serve():
        for reply in replies:
            try:
                wire.receive_frame(theirs)
            except (EOFError, OSError):  # the test has seen enough
                return
            theirs.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return proxy.Remote(ours, {}, {}), theirs


def framed(value):
    payload = wire.encode(value)
    return len(payload).to_bytes(4, "big") + payload


def inner(kind, *fields):
    return wire.encode(slice(0), lambda value: (kind, fields) if type(value) is slice else None)


OK = wire.encode(1)


@pytest.mark.parametrize(
    "reply",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01?",
        framed(5),
        framed((1, "ok", OK)),
        framed((2, "ok", OK, [], [])),
        framed((1, "fine", OK, [], [])),
        framed((1, "ok", b"garbage", [], [])),
        framed((1, "callback", wire.encode(((), {})), [], [])),
        framed((1, "raised", OK, [], [])),
        framed((1, "ok", OK, [(2, False, False, torch.ones(1), None)], [])),
        framed((1, "ok", OK, [(3, False, True, torch.ones(1, dtype=torch.int64), None)], [])),
        framed((1, "ok", OK, [(3, False, False, torch.ones(1), torch.ones(2))], [])),
        framed((1, "ok", OK, [], [(0, OK)])),
        framed((1, "ok", inner("shared", 77), [], [])),
        framed((1, "ok", inner("argument", -1), [], [])),
        framed((1, "ok", inner("exec", "import os"), [], [])),
        framed((1, "ok", inner("builtin", "eval"), [], [])),
        framed((1, "ok", inner("named", "T", ("__class__",), (1,)), [], [])),
        framed((1, "ok", inner("handle", 1, "object", "x", (1,), ()), [], [])),
        framed((1, "ok", inner("handle", "1", "object", "x", (), ()), [], [])),
        framed((1, "ok", inner("graph", 1, 5), [], [])),
    ],
)
def test_replies_that_no_honest_process_sends_end_it(reply):
    remote, theirs = lying(reply)
    with theirs, pytest.raises(proxy.ProtocolError):
        remote.request("call", ())
    assert remote.dead
    with pytest.raises(proxy.StudentGone):
        remote.request("call", ())


def test_a_stand_in_has_no_special_method_that_was_not_allowed():
    names = ("__eq__", "__class__", "__del__", "__getattribute__", "__len__")
    reply = inner("handle", 1, "object", "x", ("__main__.Evil",), names)
    remote, theirs = lying(framed((1, "ok", reply, [], [])))
    with theirs:
        value = remote.request("call", ())
        methods = type(value).__dict__
        assert "__len__" in methods
        assert not {"__eq__", "__del__", "__getattribute__"} & methods.keys()
