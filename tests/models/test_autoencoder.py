"""Autoencoders: published size, codes, a second implementation, and what denoising does."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from model_harness import (
    Case,
    check_autocast,
    check_channels_last,
    check_compile,
    check_evaluation,
    check_round_trip,
)

import cnnlib.models
from cnnlib.models import (
    ConvAutoencoder,
    DenoisingAutoencoder,
    DenseAutoencoder,
    conv_autoencoder,
    corrupt,
    dense_autoencoder,
)


def count(model):
    return sum(p.numel() for p in model.parameters())


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_dense_autoencoder_of_2006():
    units = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]
    by_hand = sum(a * b + b for a, b in pairwise(units))
    model = dense_autoencoder()
    assert count(model) == by_hand == 2_837_314
    x = images(2, 1, 28, 28)
    assert model.encoder(x).shape == (2, 30)
    assert model(x).shape == x.shape


@pytest.mark.parametrize("variant", ["2006", "modern"])
def test_dense_autoencoder_equals_plain_matrix_products(variant):
    torch.manual_seed(0)
    model = dense_autoencoder(
        2, image_size=4, hidden=(10, 6), latent_size=3, variant=variant
    ).double()
    x = images(5, 2, 4, 4).double()
    tape = iter(model.state_dict().values())
    activation = torch.sigmoid if variant == "2006" else torch.relu
    h = x.reshape(5, 32)
    for layer in range(6):
        h = h @ next(tape).T + next(tape)
        if layer == 5:
            h = torch.sigmoid(h)
        elif layer != 2:  # the code is linear
            h = activation(h)
    torch.testing.assert_close(model(x), h.reshape(5, 2, 4, 4))


def test_conv_autoencoder_equals_plain_functions():
    torch.manual_seed(0)
    model = conv_autoencoder(3).double()
    x = images(2, 3, 32, 32).double()
    tape = iter(model.state_dict().values())
    h = x
    sizes = []
    for _ in range(3):
        h = F.conv2d(h, next(tape), next(tape), stride=2, padding=1).relu()
        sizes.append(tuple(h.shape[1:]))
    torch.testing.assert_close(model.encoder(x), h)
    for layer in range(3):
        h = F.conv_transpose2d(h, next(tape), next(tape), stride=2)
        h = h.sigmoid() if layer == 2 else h.relu()
        sizes.append(tuple(h.shape[1:]))
    torch.testing.assert_close(model(x), h)
    # The table at the top of the file, with 3 channels.
    assert sizes == [(16, 16, 16), (32, 8, 8), (8, 4, 4), (32, 8, 8), (16, 16, 16), (3, 32, 32)]


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (28, 28), (33, 17)])
def test_conv_autoencoder_returns_the_size_it_was_given(size):
    x = images(2, 1, *size)
    y = conv_autoencoder()(x)
    assert y.shape == x.shape
    assert (y >= 0).all()
    assert (y <= 1).all()


def test_autoencoder_reconstructs_what_the_images_have_in_common():
    """Images with one hidden number each: a code of length 2 is enough, the mean image is not."""
    torch.manual_seed(0)
    slope = torch.rand(64, 1, 1, 1)
    ramp = torch.linspace(0, 1, 8)
    x = (slope * ramp + (1 - slope) * ramp.flip(0)).expand(64, 1, 8, 8)
    model = dense_autoencoder(image_size=8, hidden=(32,), latent_size=2, variant="modern")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.mse_loss(model(x), x).backward()
        optimizer.step()
    error = F.mse_loss(model(x), x).item()
    assert error < 0.05 * x.var(dim=0, unbiased=False).mean().item()


@pytest.mark.parametrize("noise", ["masking", "salt and pepper"])
def test_share_of_damaged_values(noise):
    x = torch.full((200, 200), 0.5)
    y = corrupt(x, noise, 0.3, torch.Generator().manual_seed(1))
    hit = y != x
    assert hit.float().mean().item() == pytest.approx(0.3, abs=0.01)
    ones = (y[hit] == 1).float().mean().item()
    assert set(y.unique().tolist()) == ({0, 0.5} if noise == "masking" else {0, 0.5, 1})
    assert ones == pytest.approx(0 if noise == "masking" else 0.5, abs=0.02)


def test_gaussian_noise_has_the_deviation_asked_for_and_stays_an_image():
    x = torch.full((200, 200), 0.5)
    y = corrupt(x, "gaussian", 0.1, torch.Generator().manual_seed(1))
    assert y.std().item() == pytest.approx(0.1, rel=0.02)
    y = corrupt(x, "gaussian", 0.9, torch.Generator().manual_seed(1))
    assert y.min().item() == 0
    assert y.max().item() == 1


@pytest.mark.parametrize("noise", ["masking", "gaussian", "salt and pepper"])
def test_corrupt_is_repeatable_and_leaves_its_input_alone(noise):
    x = images(4, 1, 8, 8)
    before = x.clone()
    first = corrupt(x, noise, 0.2, torch.Generator().manual_seed(3))
    second = corrupt(x, noise, 0.2, torch.Generator().manual_seed(3))
    assert torch.equal(first, second)
    assert not torch.equal(first, x)
    assert torch.equal(x, before)
    assert torch.equal(corrupt(x, noise, 0.0), x)


def test_denoising_damages_only_in_training():
    inner = conv_autoencoder()
    model = DenoisingAutoencoder(inner, noise="gaussian", level=0.3)
    x = images(2, 1, 16, 16)
    torch.manual_seed(5)
    trained_on = model(x)
    torch.manual_seed(5)
    assert torch.equal(trained_on, inner(corrupt(x, "gaussian", 0.3)))
    model.eval()
    assert torch.equal(model(x), inner(x))
    assert count(model) == count(inner)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DenseAutoencoder(variant="relu"), "variant must be one of '2006', 'modern'"),
        (lambda: DenseAutoencoder(latent_size=0), "latent_size must be a whole number"),
        (lambda: DenseAutoencoder(hidden=(10, 0)), "every entry of hidden"),
        (lambda: ConvAutoencoder(0), "in_channels must be a whole number"),
        (lambda: ConvAutoencoder(channels=()), "channels must have at least one entry"),
        (lambda: ConvAutoencoder(channels=(4, -1)), "every entry of channels"),
        (
            lambda: DenoisingAutoencoder(ConvAutoencoder(), noise="blur"),
            "noise must be one of 'masking', 'gaussian', 'salt and pepper'; got 'blur'",
        ),
        (lambda: DenoisingAutoencoder(ConvAutoencoder(), level=1.5), "level must be a number"),
        (lambda: corrupt(torch.zeros(1), "blur"), "noise must be one of"),
        (
            lambda: dense_autoencoder(image_size=8)(torch.zeros(2, 1, 8, 9)),
            r"shape \(1, 8, 8\); got \(1, 8, 9\)",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@dataclass(frozen=True)
class AutoencoderCase(Case):
    """Autoencoders have no classes."""

    def build(self, *, seed=0, **options):
        torch.manual_seed(seed)
        return getattr(cnnlib.models, self.name)(**self.options | options)


CASES = (
    AutoencoderCase("conv_autoencoder", channels=1, size=27, classifies=False),
    AutoencoderCase(
        "dense_autoencoder", {"hidden": (20, 10)}, channels=1, size=28, classifies=False
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    "check",
    [
        check_evaluation,
        check_round_trip,
        check_channels_last,
        check_autocast,
        pytest.param(check_compile, marks=pytest.mark.slow),
    ],
)
def test_behaviour(check, case):
    check(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_image_forward_and_backward(case):
    model = case.build()
    x = case.images(1)
    assert model(x).shape == x.shape
    (model(x) - x).square().mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, f"{name} gets no gradient"
        assert p.grad.isfinite().all(), name
