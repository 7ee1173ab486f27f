"""What the tests of all networks share: comparison with torchvision, and checks of behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import cnnlib.models
from cnnlib.summary import summarize

# ---------------------------------------------------------------------------------------------
# Comparison with torchvision


def copy_parameters(
    ours: nn.Module, theirs: nn.Module, names: Mapping[str, str] | None = None
) -> None:
    """Copy parameters and buffers of `theirs` into `ours`.

    By order with a check of every shape, or by `names` (ours to theirs) where the orders differ.
    """
    source, target = theirs.state_dict(), ours.state_dict()
    if names is None:
        assert len(source) == len(target), f"{len(target)} entries, the reference has {len(source)}"
        names = dict(zip(target, source, strict=True))
    assert set(names) == set(target)
    assert sorted(names.values()) == sorted(source)
    for name, their_name in names.items():
        assert target[name].shape == source[their_name].shape, f"{name} against {their_name}"
    ours.load_state_dict({name: source[their_name] for name, their_name in names.items()})


def randomize_norms(model: nn.Module, seed: int = 0) -> None:
    """Give batch normalisations uneven values, so that a mix-up between entries shows."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 1.5),
            ):
                with torch.no_grad():
                    values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)


def twins(
    ours: nn.Module, theirs: nn.Module, names: Mapping[str, str] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Make both networks float64 with the same, uneven parameters."""
    randomize_norms(theirs)
    copy_parameters(ours, theirs, names)
    return ours.double(), theirs.double()


def images(
    batch: int = 2, channels: int = 3, size: int | tuple[int, int] = 64, seed: int = 0
) -> Tensor:
    """Random float32 images of shape (batch, channels, H, W)."""
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=generator)


def outputs(result: Any) -> list[Tensor]:
    """Tensors in a network's result: one, or several from a network with auxiliary heads."""
    if isinstance(result, Tensor):
        return [result]
    return [tensor for tensor in result if tensor is not None]


def assert_same_outputs(ours: nn.Module, theirs: nn.Module, size: int = 64) -> None:
    """In eval mode both give the same logits."""
    x = images(size=size).double()
    with torch.no_grad():
        got, expected = ours.eval()(x), theirs.eval()(x)
    assert expected.abs().max() > 1e-6, "the reference says 0 everywhere: nothing is compared"
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def assert_same_gradients(ours: nn.Module, theirs: nn.Module, size: int = 64) -> None:
    """In train mode both give the same outputs, gradients and running statistics.

    Dropout must be off in both. All heads count in the loss.
    """
    results = []
    for model in (ours.train(), theirs.train()):
        x = images(size=size).double().requires_grad_()
        heads = outputs(model(x))
        generator = torch.Generator().manual_seed(1)
        loss = sum(
            (head * torch.randn(head.shape, generator=generator, dtype=head.dtype)).sum()
            for head in heads
        )
        loss.backward()
        results.append((heads, x.grad))
    (got_heads, got_dx), (expected_heads, expected_dx) = results
    # The reference's own round-off shows where gradients nearly cancel, hence the absolute part.
    close = {"rtol": 1e-7, "atol": 1e-9}
    torch.testing.assert_close(got_heads, expected_heads, **close)
    torch.testing.assert_close(got_dx, expected_dx, **close)
    pairs = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
    for (name, p), (their_name, q) in pairs:
        torch.testing.assert_close(
            p.grad, q.grad, **close, msg=lambda m, n=name, t=their_name: f"{n} against {t}: {m}"
        )
    for (name, b), (_, c) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        torch.testing.assert_close(b, c, msg=lambda m, n=name: f"{n}: {m}")


def count(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())


def on_meta(build: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    """Build a network of shapes only."""
    with torch.device("meta"):
        return build(*args, **options)


def assert_published_numbers(name: str, size: int = 224, **options: Any) -> None:
    """Parameters equal torchvision's published count, MACs its `_ops` to its three decimals."""
    meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    model = on_meta(getattr(cnnlib.models, name), **options)
    assert count(model) == meta["num_params"]
    summary = summarize(model, (3, size, size))
    assert summary.parameters == meta["num_params"]
    assert summary.macs / 1e9 == pytest.approx(meta["_ops"], abs=0.000501)


def output_shapes(model: nn.Module, size: int, channels: int = 3) -> dict[str, list[tuple]]:
    """Shapes without the batch that each layer of a network on the meta device gives, in order."""
    shapes: dict[str, list[tuple]] = {}
    for row in summarize(model, (channels, size, size)).rows:
        if row.output_shape is not None:
            shapes.setdefault(row.name, []).append(tuple(row.output_shape[1:]))
    return shapes


# ---------------------------------------------------------------------------------------------
# Narrow forms

CLASSES = 10  # of every network that is narrowed
FIXED = {1, 3, CLASSES}  # numbers of channels that are not widths: images' and classes'


@contextmanager
def narrowed(divisor: int) -> Iterator[None]:
    """Networks built inside have all widths divided by `divisor`, ours and torchvision's alike.

    Same layers, same wiring, a small fraction of the time and memory: AlexNet's 61 million
    parameters become one million. It fits networks of plain and depthwise convolutions whose widths
    are all multiples of `divisor`.
    """

    def width(channels: int) -> int:
        if channels in FIXED:
            return channels
        assert channels % divisor == 0, f"{channels} channels cannot be divided by {divisor}"
        return channels // divisor

    conv, linear, norm = nn.Conv2d.__init__, nn.Linear.__init__, nn.BatchNorm2d.__init__

    def narrow_conv(
        self: nn.Conv2d, in_channels: int, out_channels: int, *args: Any, **options: Any
    ) -> None:
        if options.get("groups", 1) == in_channels:  # depthwise
            options["groups"] = width(in_channels)
        conv(self, width(in_channels), width(out_channels), *args, **options)

    def narrow_linear(
        self: nn.Linear, in_features: int, out_features: int, *args: Any, **options: Any
    ) -> None:
        linear(self, width(in_features), width(out_features), *args, **options)

    def narrow_norm(self: nn.BatchNorm2d, channels: int, *args: Any, **options: Any) -> None:
        norm(self, width(channels), *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "__init__", narrow_conv)
        patch.setattr(nn.Linear, "__init__", narrow_linear)
        patch.setattr(nn.BatchNorm2d, "__init__", narrow_norm)
        yield


# ---------------------------------------------------------------------------------------------
# Behaviour that every classifier must show


@dataclass(frozen=True)
class Case:
    """A network as the checks of behaviour build it."""

    name: str  # of the constructor in cnnlib.models
    options: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 3
    size: int = 64  # small, but large enough for batch normalisation with a batch of 1
    odd_size: tuple[int, int] = (75, 69)
    narrow: int = 1  # divides all widths, see `narrowed`
    classifies: bool = True  # whether an image gives one logit per class, and not an image

    def __str__(self) -> str:
        return "-".join([self.name, *(str(value) for value in self.options.values())])

    def build(self, *, seed: int = 0, **options: Any) -> nn.Module:
        """Build the network with ten classes unless told otherwise."""
        torch.manual_seed(seed)
        build = getattr(cnnlib.models, self.name)
        options = {"num_classes": CLASSES} | self.options | options
        if self.narrow == 1:
            return build(**options)
        with narrowed(self.narrow):
            return build(**options)

    def images(self, batch: int = 2, seed: int = 0) -> Tensor:
        """Images that this network takes."""
        return images(batch, self.channels, self.size, seed)


def check_odd_size(case: Case) -> None:
    """Odd, unequal sides, one channel, one class, one image: forward and backward both work."""
    model = case.build(num_classes=1, in_channels=1)
    x = images(1, 1, case.odd_size)
    with torch.no_grad():
        logits = model.eval()(x)
    assert logits.shape == (1, 1)
    assert logits.isfinite().all()
    heads = outputs(model.train()(x))
    assert all(head.shape == (1, 1) for head in heads)
    sum(head.sum() for head in heads).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, f"{name} gets no gradient"
        assert p.grad.isfinite().all(), f"{name} gets a gradient that is not finite"


def check_evaluation(case: Case) -> None:
    """In eval mode an image's outputs depend on nothing else; training sees the whole batch."""
    model = case.build().eval()
    x = case.images()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        together, alone, again = model(x), model(x[:1]), model(x)
    assert len(together) == 2
    if case.classifies:
        assert together.shape == (2, 10)
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-4)
    assert torch.equal(together, again)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), f"evaluation changed {name}"
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        model.train()(x)
        changed = [n for n, v in model.state_dict().items() if not torch.equal(v, state[n])]
        assert changed, "training did not update the running statistics"
        assert all("running" in name or "num_batches" in name for name in changed), changed


def check_round_trip(case: Case) -> None:
    """A state dict carries everything; the seed decides the initial values and the dropout."""
    first, second = case.build(seed=0), case.build(seed=1)
    x = case.images()
    with torch.no_grad():
        expected = first.eval()(x)
        assert not torch.equal(second.eval()(x), expected)
        second.load_state_dict(first.state_dict())
        assert torch.equal(second(x), expected)
        same_seed = case.build(seed=0)
        for (name, p), q in zip(first.named_parameters(), same_seed.parameters(), strict=True):
            assert torch.equal(p, q), f"{name} differs although the seed is the same"
        torch.manual_seed(5)
        once = outputs(first.train()(x))
        torch.manual_seed(5)
        twice = outputs(second.train()(x))
    for a, b in zip(once, twice, strict=True):
        assert torch.equal(a, b)


def check_channels_last(case: Case) -> None:
    """With NHWC memory the network computes the same, forwards and backwards."""
    model = case.build().eval().double()
    x = case.images().double()
    expected = model(x)
    expected.sum().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model.to(memory_format=torch.channels_last)
    got = model(x.contiguous(memory_format=torch.channels_last))
    got.sum().backward()
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    used = [p for p in model.parameters() if p.grad is not None]
    for p, gradient in zip(used, gradients, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-7, atol=1e-9)


def check_autocast(case: Case) -> None:
    """Under autocast the logits are bfloat16, near the float32 ones, and trainable."""
    model = case.build().eval()
    x = case.images()
    with torch.no_grad():
        expected = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = model(x)
    assert got.dtype == torch.bfloat16
    # bfloat16 keeps 8 significant bits; errors of many layers add up.
    error = (got.float() - expected).norm() / expected.norm()
    assert error < 0.1, f"relative error {error:.3f}"
    got.float().sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


def check_compile(case: Case) -> None:
    """`torch.compile` traces the network as one graph that computes the same."""
    torch.compiler.reset()
    model = case.build().eval()
    x = case.images()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    torch.compiler.reset()


CHECKS = (
    check_odd_size,
    check_evaluation,
    check_round_trip,
    check_channels_last,
    check_autocast,
    check_compile,
)


def behaviour(*cases: Case, slow: tuple[Case, ...] = ()) -> pytest.MarkDecorator:
    """Parametrise a test by (check, case): `def test_behaviour(check, case): check(case)`.

    Cases in `slow` are marked so, and so are all checks but two: there are many networks, and the
    quick loop has to stay quick.
    """
    parameters = []
    for case in (*cases, *slow):
        for check in CHECKS:
            quick = case not in slow and check in (check_odd_size, check_evaluation)
            marks = [] if quick else [pytest.mark.slow]
            name = f"{check.__name__.removeprefix('check_')}-{case}"
            parameters.append(pytest.param(check, case, id=name, marks=marks))
    return pytest.mark.parametrize(("check", "case"), parameters)


def assert_rejected(constructor: Callable[..., nn.Module], message: str, **options: Any) -> None:
    """The constructor refuses the options with a ValueError that matches `message`."""
    with pytest.raises(ValueError, match=message):
        on_meta(constructor, **options)


def assert_bad_arguments_rejected(constructor: Callable[..., nn.Module], **extra: Any) -> None:
    """Refused with the allowed values: bad numbers of classes and channels, and `extra` ones.

    `extra` maps an argument's name to a wrong value; the message must name the argument.
    """
    wrong = [("num_classes", 0), ("num_classes", 2.5), ("in_channels", -1), ("in_channels", True)]
    for argument, value in [*wrong, *extra.items()]:
        assert_rejected(constructor, rf"{argument} must be .*got {value!r}", **{argument: value})
