"""The checks of the assignments: what passes, what is refused, and what the message says."""

import doctest
import math
import re
import traceback

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlib import checks
from cnnlib.checks import (
    CheckError,
    call,
    check_block,
    check_call,
    check_close,
    check_equal,
    check_raises,
    check_shape,
    count_parameters,
    hidden_rng,
    in_evaluation,
    one_pixel,
    random_tensor,
    set_filters,
)


class EqualsEverything:
    """What a cheat returns."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __repr__(self):
        raise RuntimeError("do not print me")

    __array_priority__ = 1000
    shape, dtype, requires_grad = (2, 2), torch.float64, False


class AgreeableInt(int):
    __eq__ = EqualsEverything.__eq__
    __hash__ = EqualsEverything.__hash__


class AgreeableTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.tensor(True)


def message(function, *args, **kwargs):
    with pytest.raises(CheckError) as failure:
        function(*args, **kwargs)
    assert str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize(
    "value",
    [28, 0, True, 2.5, math.inf, math.nan, "text", None, [1, 2], (1, [2, "x"]), {"a": (1.0,)}, []],
)
def test_equal_values_pass(value):
    check_equal(value, value, "the value")


def test_rounding_of_floats_is_forgiven_and_no_more():
    check_equal(0.1 + 0.2, 0.3, "the sum")
    check_equal(2, 2.0, "an int where a float is expected")
    assert "expected 0.3, but got 0.3001" in message(check_equal, 0.3001, 0.3, "the sum")
    check_equal(torch.Size([1, 2]), (1, 2), "a shape")


@pytest.mark.parametrize(
    ("got", "expected", "text"),
    [
        (27, 28, r"f\(32\): expected 28, but got 27\."),
        (28.0, 28, r"got 28\.0, a float; // divides whole numbers"),
        (torch.tensor(28), 28, r"int64 tensor 28; \.item\(\) turns"),
        (np.int64(28), 28, r"the numpy int64 28; convert it with int"),
        (np.float64(0.5), 0.5, r"the numpy float64 0\.5; convert it with float"),
        (None, 28, r"got None; is a `return` missing\?"),
        (True, 1, r"got True, which is a bool"),
        (1, True, r"expected True or False \(bool\), True, but got 1"),
        ("28", 28, r"got '28'"),
        (len, 28, r"the function len; are the parentheses of a call missing\?"),
        (int, 28, r"the class int"),
        ([1, 2], (1, 2), r"expected a tuple, but got \[1, 2\]"),
        ([1, 2, 3], [1, 2], r"expected 2 items, \[1, 2\], but got 3: \[1, 2, 3\]"),
        ([], [1], r"expected 1 item, \[1\], but got 0: \[\]"),
        ([1, 3], [1, 2], r"item \[1\]: expected 2, but got 3 \(expected \[1, 2\]"),
        ([(1, 2)], [(1, 3)], r"item \[0\]\[1\]: expected 3, but got 2"),
        ({"a": 1}, {"b": 1}, r"the keys \['b'\], got \{'a': 1\}"),
        ({"a": 1}, {"a": 2}, r"item \['a'\]: expected 2, but got 1"),
        (math.nan, 1.0, r"got nan"),
        (1.0, math.nan, r"expected nan, but got 1\.0"),
        pytest.param(10**5000, 3, r"got a whole number of 16610 bits", id="huge-int"),
        pytest.param(10**5000, 3.0, r"got a whole number of 16610 bits", id="huge-float"),
        (list(range(50)), 3, r"… 30 more\]"),
        ("x" * 500, "y", r"x…"),
        (EqualsEverything(), 28, r"an object of type EqualsEverything"),
        (EqualsEverything(), 2.0, r"an object of type EqualsEverything"),
        (EqualsEverything(), None, r"expected None, but got an object"),
        (AgreeableInt(3), 28, r"an object of type AgreeableInt"),
        ([AgreeableInt(3)], [28], r"item \[0\]: expected a whole number"),
        ({EqualsEverything(): 1}, {"a": 1}, r"the keys \['a'\]"),
    ],
)
def test_what_differs_is_named(got, expected, text):
    assert re.search(text, message(check_equal, got, expected, "f(32)"))


def test_a_list_that_contains_itself_is_refused():
    endless = []
    endless.append(endless)
    assert "…" in message(check_equal, endless, [1], "the list")


def test_misconceptions_are_named():
    causes = {28: "this is the size without padding", 32.5: "/ instead of //"}
    text = message(check_equal, 28, 32, "the size", misconceptions=causes)
    assert text.endswith("\nLikely cause: this is the size without padding.")
    assert "Likely cause: / instead of //" in message(
        check_equal, 32.5, 32, "the size", misconceptions=causes
    )
    assert "Likely" not in message(check_equal, 29, 32, "the size", misconceptions=causes)
    pairs = [([1, 2], "in the wrong order")]
    assert "wrong order" in message(check_equal, [1, 2], [2, 1], "a list", misconceptions=pairs)
    with pytest.raises(CheckError) as failure:
        check_equal(28, 32, "the size", misconceptions=causes)
    assert failure.value.cause == "this is the size without padding"
    assert failure.value.what == "the size"


def test_a_misconception_that_is_right_here_says_nothing():
    expected = torch.zeros(2)
    causes = {"the kernel was flipped": torch.zeros(2), "plus one": torch.ones(2)}
    assert "plus one" in message(
        check_close, torch.ones(2), expected, "the map", misconceptions=causes
    )


def test_close_tensors_pass():
    x = torch.arange(6.0).reshape(2, 3)
    check_close(x + 1e-6, x, "x")
    check_close(x.double() + 1e-10, x.double(), "x")
    check_close((x, [x]), (x, [x.clone()]), "nested")
    check_close(torch.tensor([math.nan, math.inf]), torch.tensor([math.nan, math.inf]), "x")
    check_close(x + 0.1, x, "x", atol=0.2)
    check_close(1.0001, 1.0, "a number", rtol=1e-3)


TARGET = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)


@pytest.mark.parametrize(
    ("got", "text"),
    [
        (None, r"a torch tensor of shape \(2, 3\), but got None; is a `return` missing\?"),
        (TARGET.numpy(), r"a numpy array of float64, shape \(2, 3\); convert it with torch\.from_"),
        (TARGET.tolist(), r"but got \[\[1\.0, 2\.0, 3\.0\], \[4\.0"),
        (TARGET.float(), r"a tensor of float64, but got float32"),
        (TARGET.T, r"shape \(2, 3\), but got \(3, 2\) \(the right sizes in another order\)"),
        (TARGET.flatten(), r"got \(6,\) \(the right number of values: reshape it\)"),
        (TARGET[:1], r"shape \(2, 3\), but got \(1, 3\)\."),
        (TARGET / 0 * 0, r"6 of 6 values are nan"),
        (TARGET.clone().requires_grad_(), r"requires_grad"),
        (nn.Parameter(TARGET), r"nn\.Parameter"),
        (TARGET.to("meta"), r"on cpu, but got one on meta"),
        (TARGET.to_sparse(), r"layout torch\.sparse_coo"),
        (TARGET + torch.eye(3, dtype=torch.float64)[:2], r"2 of 6 .* at \[0, 0\]: expected 1, but"),
        (TARGET * 2.25, r"every value is 2\.25 times the expected one"),
        (TARGET - 3, r"every value is off by -3"),
        (TARGET * 0, r"all your values are zero"),
        (TARGET.flip(1), r"the right values in another order"),
        (TARGET / 0, r"expected 1, but got inf"),
        (AgreeableTensor(TARGET + 1), r"an object of type AgreeableTensor"),
        (EqualsEverything(), r"an object of type EqualsEverything"),
    ],
)
def test_wrong_tensors_are_refused(got, text):
    assert re.search(text, message(check_close, got, TARGET, "the output"))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_have_no_shape_to_compare():
    nested = torch.nested.nested_tensor([TARGET])
    assert "an object of type Tensor" in message(check_close, nested, TARGET, "the output")
    assert "an object of type Tensor" in message(check_shape, nested, (2, 3), "the output")


def test_tensors_of_whole_numbers_are_compared_exactly():
    check_equal(torch.tensor([1, 2]), torch.tensor([1, 2]), "switches")
    assert "at [1]: expected 2, but got 3" in message(
        check_equal, torch.tensor([1, 3]), torch.tensor([1, 2]), "switches"
    )


def test_nothing_passes_against_a_longer_list():
    assert "2 items" in message(check_close, [], [TARGET, TARGET], "the gradients")
    assert "2 items" in message(check_close, (TARGET,), (TARGET, TARGET), "the gradients")
    text = message(check_close, (TARGET, TARGET + 1), (TARGET, TARGET), "the gradients")
    assert "item [1]: 6 of 6 values differ" in text


def test_shape():
    check_shape(TARGET, (2, 3), "the map")
    text = message(check_shape, TARGET, (4, 3), "the map", misconceptions={(2, 3): "half of it"})
    assert "expected shape (4, 3), but got (2, 3)" in text
    assert "half of it" in text
    assert "return" in message(check_shape, None, (2, 3), "the map")
    assert "numpy array" in message(check_shape, TARGET.numpy(), (2, 3), "the map")
    assert "an object" in message(check_shape, EqualsEverything(), (2, 2), "the map")


def broken(size):
    return [size][1]


def stub(size):
    raise NotImplementedError


def test_an_exception_is_reported_with_its_traceback():
    with pytest.raises(CheckError, match=r"broken\(3\) raised IndexError: list index") as failure:
        call(broken, 3)
    assert isinstance(failure.value.__cause__, IndexError)
    shown = "".join(traceback.format_exception(failure.value))
    assert "return [size][1]" in shown
    for check in (lambda f: check_call(f, (3,), expected=1), lambda f: call(f, size=3)):
        assert "raised IndexError: list index out of range" in message(check, broken)
        assert "is not written yet" in message(check, stub)


def test_exceptions_that_try_to_escape():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def leave():
        raise SystemExit(0)

    def mute():
        raise Mute

    assert "raised SystemExit: 0" in message(call, leave)
    assert "raised Mute: its message cannot be shown" in message(call, mute)


def test_raises():
    def refuses(size, kernel=3):
        raise ValueError("too small")

    check_raises(refuses, 1, kernel=5)
    accepts = len
    assert "expected a ValueError because it is empty, but it returned 0" in message(
        check_raises, accepts, [], what="it is empty"
    )
    text = message(check_raises, broken, 3, what="3 is too much")
    assert "but it raised IndexError" in text
    check_raises(broken, 3, error=IndexError)
    assert "is not written yet" in message(check_raises, stub, 3)
    assert "is not written yet" in message(check_raises, stub, 3, error=RuntimeError)
    check_raises(stub, 3, error=NotImplementedError)
    with pytest.raises(CheckError) as failure:
        check_raises(broken, 3)
    assert isinstance(failure.value.__cause__, IndexError)


def test_changed_arguments_are_noticed():
    def relu_in_place(x, names=(), *, sizes=None):
        if sizes:
            sizes.append(1)
        if names:
            names[0].zero_()
        return x.clamp_(min=0)

    x = torch.tensor([-1.0, math.nan])
    assert "the call changed argument 1. Work on a copy" in message(call, relu_in_place, x)
    call(relu_in_place, torch.tensor([math.nan]))
    assert "changed argument 2" in message(call, relu_in_place, torch.ones(1), [torch.ones(1)])
    assert "changed sizes" in message(call, relu_in_place, torch.ones(1), sizes=[2])
    layer = nn.Linear(2, 2)
    call(lambda *_: None, layer, layer.weight, {"a": (1.0, None)}, object(), np.ones(2))


def test_check_call():
    def double(x):
        return 2 * x

    check_call(double, (3,), expected=6)
    check_call(double, [TARGET], expected=2 * TARGET)
    check_call(double, (), {"x": 1.5}, expected=3.0)
    check_call(double, (1.5,), expected=3.1, atol=0.2)
    text = message(check_call, double, (3,), expected=7, misconceptions={6: "plus one is missing"})
    assert text == "double(3): expected 7, but got 6.\nLikely cause: plus one is missing."
    text = message(
        check_call, double, (TARGET,), expected=TARGET, misconceptions={"twice": 2 * TARGET}
    )
    assert text.startswith("double(float64 tensor (2, 3)): 6 of 6 values differ")
    assert "twice" in text
    assert message(check_call, double, (3,), expected=7, what="the sum").startswith("the sum: ")


def test_hidden_numbers_follow_the_seed(monkeypatch):
    monkeypatch.delenv("CNNLIB_GRADING_SEED", raising=False)
    default = hidden_rng("conv").random()
    assert hidden_rng("conv").random() == default
    assert hidden_rng("pool").random() != default
    monkeypatch.setenv("CNNLIB_GRADING_SEED", "17")
    seeded = hidden_rng("conv").random()
    assert seeded != default
    assert hidden_rng("conv").random() == seeded


def test_random_tensors_ignore_the_global_generator():
    torch.manual_seed(1)
    first = random_tensor(hidden_rng(), 2, 3)
    torch.manual_seed(2)
    assert torch.equal(first, random_tensor(hidden_rng(), 2, 3))
    assert first.shape == (2, 3)
    assert first.dtype == torch.float64
    rng = hidden_rng()
    assert not torch.equal(random_tensor(rng, 4), random_tensor(rng, 4))


class TwoSteps(nn.Module):
    """A depthwise convolution, a batch norm, a ReLU, and a linear layer with a bias on channels."""

    def __init__(self, channels=3, outputs=4):
        super().__init__()
        self.mix = nn.Linear(channels, outputs)
        self.norm = nn.BatchNorm2d(channels)
        self.look = nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False)

    def forward(self, x):
        x = self.norm(self.look(x)).relu()
        return self.mix(x.movedim(1, -1)).movedim(-1, 1)


TWO_STEPS = {
    "mix": (4, 3, 1, 1),
    "mix bias": (4,),
    "norm": 3,
    "look": (3, 1, 3, 3),
}


def two_steps(x, conv, norm):
    return conv("mix", norm("norm", conv("look", x, 2)).clamp(min=0))


def check_two_steps(block, parts=TWO_STEPS, formula=two_steps, **options):
    rng = hidden_rng("two steps")
    x = random_tensor(rng, 3, 3, 5, 4, dtype=torch.float32)
    check_block(block, parts, formula, x, rng, "TwoSteps(3, 4)", **options)


class FromFunctions(nn.Module):
    """The same block: a 1x1 convolution, parameters of its own, in another order."""

    def __init__(self):
        super().__init__()
        self.shift, self.start = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.rand(4))
        self.mixing = nn.Parameter(torch.rand(4, 3, 1, 1))
        self.looking = nn.Parameter(torch.rand(3, 1, 3, 3))
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("variance", torch.ones(3))

    def forward(self, x):
        x = F.conv2d(x, self.looking, stride=2, padding=1, groups=3)
        buffers = self.mean, self.variance
        x = F.batch_norm(x, *buffers, self.scale, self.shift, self.training).relu()
        return F.conv2d(x, self.mixing, self.start)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("block", [TwoSteps, FromFunctions])
def test_a_block_is_known_by_what_it_computes(block, alike):
    check_two_steps(block(), alike=alike)


class WithoutRelu(TwoSteps):
    def forward(self, x):
        return self.mix(self.norm(self.look(x)).movedim(1, -1)).movedim(-1, 1)


class NeverInTraining(TwoSteps):
    def train(self, mode=True):
        return super().train(False)


class SlowStatistics(TwoSteps):
    def __init__(self):
        super().__init__()
        self.norm.momentum = 0.01


class CutOff(TwoSteps):
    def forward(self, x):
        return super().forward(x + 0.5 * (x.detach() - x))


class HalfFrozen(TwoSteps):
    def forward(self, x):
        held = self.norm(self.look(x)).relu().movedim(1, -1)
        weight = self.mix.weight + (self.mix.weight.detach() - self.mix.weight) / 2
        return F.linear(held, weight, self.mix.bias).movedim(-1, 1)


class WithoutNorm(TwoSteps):
    def __init__(self):
        super().__init__()
        self.norm = nn.Identity()


class LargeScale(TwoSteps):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.norm.weight, 2)


class LargeShift(TwoSteps):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.norm.bias, 2)


class FirstHalf(TwoSteps):
    def forward(self, x):
        return super().forward(x)[:, :2]


class Unused(TwoSteps):
    def forward(self, x):
        return F.linear(self.norm(self.look(x)).relu().movedim(1, -1), self.mix.weight).movedim(
            -1, 1
        )


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(
    ("block", "text"),
    [
        (WithoutRelu, r"item \['in training'\]: \d+ of \d+ values differ"),
        (NeverInTraining, r"item \['in training'\]"),
        (SlowStatistics, r"item \['then in evaluation'\]"),
        (CutOff, r"item \['gradient by x'\]"),
        (HalfFrozen, r"item \['gradients by parameters'\]"),
        (WithoutNorm, r"the shapes of its parameters: expected 5 items"),
        (LargeScale, r"channels of its batch norms, whose scales begin with 1: expected 1 item"),
        (LargeShift, r"expected 1 shift of batch norms with 3 channels that begin with 0, but fou"),
        (FirstHalf, r"expected shape \(3, 4, 3, 2\), but got \(3, 2, 3, 2\)"),
        (Unused, r"gradients that are missing: expected 0, but got 1"),
    ],
)
def test_blocks_that_compute_something_else(block, text, alike):
    assert re.search(text, message(check_two_steps, block(), alike=alike))


def test_biases_that_begin_with_zero_are_told_from_shifts():
    class ZeroBias(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            nn.init.zeros_(self.first.bias)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.first(x).relu())

    parts = {"first": (3, 3, 1, 1), "first bias": (3,), "norm": 3}
    check_two_steps(ZeroBias(), parts, lambda x, conv, norm: norm("norm", conv("first", x).relu()))


def test_every_cast_is_tried_and_not_too_many():
    class Deep(nn.Sequential):
        def __init__(self, layers):
            super().__init__(*(nn.Conv2d(3, 3, 1, bias=False) for _ in range(layers)))

        def forward(self, x):
            for layer in reversed(self):
                x = layer(x).relu()
            return x

    def deep(layers):
        def formula(x, conv, norm):
            for layer in range(layers):
                x = conv(f"layer {layer}", x).relu()
            return x

        return {f"layer {layer}": (3, 3, 1, 1) for layer in range(layers)}, formula

    check_two_steps(Deep(3), *deep(3))
    with pytest.raises(ValueError, match="more than 1000 casts for"):
        check_two_steps(Deep(7), *deep(7))
    parts, formula = deep(7)
    check_two_steps(Deep(7), parts, formula, alike=True)
    linear_end = message(
        check_two_steps,
        *(Deep(7), parts, lambda *_: formula(*_) - 0.5),
        alike=True,
    )
    assert "item ['in training']" in linear_end


def test_filters_that_can_be_followed_by_hand():
    block = TwoSteps(2, 3)
    set_filters(block, -2.0, bias=1.0)
    assert block.look.weight.tolist() == [[[[-2.0] * 3] * 3]] * 2
    assert block.mix.weight.tolist() == [[-2.0, 0.0], [0.0, -2.0], [-2.0, 0.0]]
    assert block.mix.bias.tolist() == [1.0] * 3
    assert (block.norm.weight.tolist(), block.norm.bias.tolist()) == ([1.0] * 2, [1.0] * 2)
    # -2 * 3 + 1 < 0; -2 * -1 + 1 = 3, and then -2 * 3 + 1.
    expected = one_pixel(1, -5, 1)
    check_close(in_evaluation(block, one_pixel(3, -1)), expected, "the block", rtol=1e-4)
    other = TwoSteps(2, 3)
    before = other.mix.bias.tolist()
    set_filters(other, 1.0)
    assert (other.mix.bias.tolist(), other.norm.bias.tolist()) == (before, [0.0] * 2)


def test_one_pixel_and_the_number_of_parameters():
    assert one_pixel(1, -2).shape == (1, 2, 1, 1)
    assert one_pixel(1, -2).dtype == torch.float32
    assert one_pixel(1, -2).flatten().tolist() == [1.0, -2.0]
    assert count_parameters(TwoSteps(3, 4)) == 27 + 6 + 12 + 4
    assert count_parameters(nn.ReLU()) == 0


def test_in_evaluation():
    class Mode(nn.Linear):
        def forward(self, x):
            return super().forward(x) + (100 if self.training else 0)

    block = Mode(2, 2)
    with torch.no_grad():
        block.weight.copy_(torch.eye(2))
        block.bias.zero_()
    check_close(in_evaluation(block.train(), torch.ones(1, 2)), torch.ones(1, 2), "evaluation")
    assert not block.training
    assert "raised RuntimeError" in message(in_evaluation, block, torch.ones(1, 3))


def test_examples_in_the_docstrings():
    assert doctest.testmod(checks).failed == 0
