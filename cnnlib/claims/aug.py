"""Recomputations of the notes' chapter on data augmentation and regularisation."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import rotate

from cnnlib.claims.helpers import random_numbers
from cnnlib.claims.registry import Values, recomputes
from cnnlib.data import load


@functools.cache
def digits(split: str) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits, split by writer: pictures (N, 1, 8, 8) and labels (N,)."""
    data = load("digits", split, image_size=8)
    return data.images, data.labels


def train(images: Tensor, labels: Tensor, *, noise: float = 0.0) -> nn.Module:
    """Train one hidden layer on the whole set at once; the global random state stays."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(100):
            loss = F.cross_entropy(model(images + noise * torch.randn_like(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of pictures read right."""
    return (model(images).argmax(1) == labels).double().mean().item()


@recomputes("aug.c01")
def two_causes_of_overfitting() -> Values:
    """Fit polynomials to noisy points of a sine, where both axes can be seen in microseconds."""

    def gap(points: int, degree: int, penalty: float = 0.0) -> float:
        """Root mean square error on unseen points minus that on the points of the fit."""
        seen, unseen = (
            torch.linspace(-1, 1, points, dtype=torch.float64),
            torch.linspace(-1, 1, 401),
        )
        powers = torch.arange(degree + 1)
        x = seen[:, None] ** powers
        y = torch.sin(3 * seen) + 0.3 * random_numbers(points)
        weights = torch.linalg.solve(x.mT @ x + penalty * torch.eye(degree + 1), x.mT @ y)
        new = unseen.double()
        noisy = torch.sin(3 * new) + 0.3 * random_numbers(401, seed=1)
        errors = [(x @ weights - y), (new[:, None] ** powers @ weights - noisy)]
        trained, tested = (error.square().mean().sqrt().item() for error in errors)
        return round(tested - trained, 2)

    base = gap(points=10, degree=8)
    better = {
        "200 points": gap(points=200, degree=8),
        "degree 3": gap(points=10, degree=3),
        "degree 8, weights penalised": gap(points=10, degree=8, penalty=0.1),
    }
    assert all(value < base / 2 for value in better.values())
    return {
        "test error − training error, 10 points, degree 8": base,
        **{f"the same, {change}": value for change, value in better.items()},
    }


@recomputes("aug.c02")
def number_of_variants() -> Values:
    """Make fixed variants of a picture and count; count the crops of AlexNet's paper."""
    picture = torch.arange(9.0).view(3, 3)
    turned = [picture.rot90(k) for k in range(1, 4)]
    variants = [*turned, picture.flip(0), picture.flip(1)]
    different = {tuple(v.flatten().tolist()) for v in [picture, *variants]}
    positions = 256 - 224  # as the paper counts them
    mirrored = len([picture, picture.flip(1)])
    return {
        "variants made": len(variants),
        "with the original": len(different),
        "AlexNet: positions a side": positions,
        "as it is and mirrored": mirrored,
        "AlexNet, together": positions * positions * mirrored,
    }


@recomputes("aug.c03")
def rotated_digits() -> Values:
    """Train on upright digits, then show sixes upside down and all digits a little tilted."""
    model = train(*digits("train"))
    images, labels = digits("test")
    angle = 180
    with torch.no_grad():
        answers = model(rotate(images[labels == 6], angle)).argmax(1)
    upright, tilted = accuracy(model, images, labels), accuracy(model, rotate(images, 10), labels)
    small_is_fine = tilted > upright - 0.1
    assert small_is_fine
    return {
        "digit": 6,
        "rotated by, degrees": angle,
        "most frequent answer": answers.mode().values.item(),
        "tilted by ten degrees, accuracy falls by less than 0.1": small_is_fine,
    }


@recomputes("aug.c04")
def noise_on_inputs_and_hidden_units() -> Values:
    """Sweep the noise at the input, and look at what dropout multiplies with."""
    scores = [accuracy(train(*digits("train"), noise=s), *digits("val")) for s in (0.2, 3.0)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rate = 0.25
        factors = nn.Dropout(rate)(torch.ones(100_000))
    values = sorted(set(factors.tolist()))
    too_much = scores[1] < scores[0] - 0.05
    assert too_much
    assert abs(factors.mean().item() - 1) < 0.01
    return {
        "noise can be too strong: accuracy falls": too_much,
        f"dropout with rate {rate} multiplies by": values,
    }
