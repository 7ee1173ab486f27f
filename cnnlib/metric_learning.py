"""Learning to compare: pairs, triplets and balanced batches, and how a comparison is measured.

The losses are in `cnnlib.models.siamese`. This module has what stands before and behind them.

- Before: `pair_sampler` and `triplet_sampler` draw what a loss compares, `ClassBalancedBatches` the
  batches of P classes with K images that batch-hard mining needs. All are seeded, and
  `check_unseen` refuses a test whose classes were trained on.
- Behind: `verification_roc`, `equal_error_rate`, `threshold_at` and `error_rates` judge the answer
  "the same or not" from distances; `one_shot_accuracy` judges "which of these five".

A distance is small for what looks alike. Two images are *accepted* as the same if their distance
is at most the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnnlib.data import ImageSet
from cnnlib.training_parts import restored_modes

# --- what is compared ---------------------------------------------------------------------------


def check_unseen(data: ImageSet, *seen: ImageSet) -> None:
    """Make sure that no class of `data` was seen before.

    Classes are compared by name, and only those count of which a set really has an image: a subset
    keeps the whole list of names. Two sets that give one class two names are not found out.

    Args:
        data: The set on which something will be measured.
        *seen: Sets that were used in training or to choose anything.

    Raises:
        ValueError: A class is in `data` and in one of the others.
    """
    own = _names_present(data)
    for other in seen:
        common = sorted(own & _names_present(other))
        if common:
            named = ", ".join(common[:5]) + (", …" if len(common) > 5 else "")
            raise ValueError(
                f"{data.name!r} shares {len(common)} of its {len(own)} classes with {other.name!r} "
                f"({named}): what is measured there would not be about new classes. Give the two "
                "sets different classes"
            )


@dataclass(frozen=True)
class PairSet:
    """Pairs of images: the indices of both, and whether they show the same class.

    Attributes:
        data: Where the images come from.
        first: Index of one image, int64 (N,).
        second: Index of the other, int64 (N,).
        same: Bool (N,).
    """

    data: ImageSet
    first: Tensor
    second: Tensor
    same: Tensor

    def __len__(self) -> int:
        return len(self.same)

    def __getitem__(self, index: int | slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (…, C, H, W) twice and `same` (…,), as `contrastive_loss` takes them."""
        images = self.data.images
        return images[self.first[index]], images[self.second[index]], self.same[index]

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """All pairs in their order, `batch_size` at a time; the last batch may be smaller."""
        for chosen in _slices(len(self), batch_size):
            yield self[chosen]

    def distances(self, embeddings: Tensor) -> Tensor:
        """Euclidean distance of each pair.

        Args:
            embeddings: One row (D,) for each image of `data`, (len(data), D).

        Returns:
            Tensor (N,).
        """
        if embeddings.ndim != 2 or len(embeddings) != len(self.data):
            raise ValueError(
                f"{len(self.data)} images need embeddings of shape ({len(self.data)}, D); got "
                f"{tuple(embeddings.shape)}"
            )
        return (embeddings[self.first] - embeddings[self.second]).norm(dim=1)


@dataclass(frozen=True)
class TripletSet:
    """Triplets of images: an anchor, another image of its class, and one of another class.

    Attributes:
        data: Where the images come from.
        anchor: Index of the anchor, int64 (N,).
        positive: Index of an image of the same class, never the anchor itself.
        negative: Index of an image of another class.
    """

    data: ImageSet
    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __len__(self) -> int:
        return len(self.anchor)

    def __getitem__(self, index: int | slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (…, C, H, W) of the three, as `triplet_loss` takes their embeddings."""
        images = self.data.images
        return tuple(images[which[index]] for which in (self.anchor, self.positive, self.negative))

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """All triplets in their order, `batch_size` at a time; the last batch may be smaller."""
        for chosen in _slices(len(self), batch_size):
            yield self[chosen]


def pair_sampler(
    data: ImageSet,
    count: int,
    *,
    same_share: float = 0.5,
    unseen_by: ImageSet | None = None,
    seed: int = 0,
) -> PairSet:
    """Draw random pairs, of which a fixed share shows the same class.

    Two images drawn without care are nearly always different: of ten classes nine times in ten. So
    the share is fixed, and within it every class is as likely as every other, however many images
    it has. No image is paired with itself. A pair may come twice.

    Args:
        data: Images of at least two classes; some class needs two images.
        count: Number of pairs, at least 1.
        same_share: Share of pairs of one class, from 0 to 1. The number is rounded to the nearest
            whole one, and the two kinds are mixed.
        unseen_by: Refuse to draw if `data` shares a class with this set: see `check_unseen`.
        seed: Same seed, same pairs.

    Raises:
        ValueError: An argument is out of range, the data have too few classes or images, or a class
            was seen before.
    """
    _check_count(count)
    if not 0 <= same_share <= 1:
        raise ValueError(f"same_share must be from 0 to 1; got {same_share}")
    if unseen_by is not None:
        check_unseen(data, unseen_by)
    generator = torch.Generator().manual_seed(seed)
    classes = _Classes.of(data.labels)
    same = torch.zeros(count, dtype=torch.bool)
    same[torch.randperm(count, generator=generator)[: round(same_share * count)]] = True
    first, second = torch.empty(2, count, dtype=torch.int64)
    if same.any():
        chosen = classes.draw(int(same.sum()), generator, at_least=2)
        first[same], second[same] = classes.two_images(chosen, generator)
    if not same.all():
        chosen = classes.draw(int((~same).sum()), generator)
        first[~same] = classes.one_image(chosen, generator)
        second[~same] = classes.one_image(classes.draw_other(chosen, generator), generator)
    return PairSet(data, first, second, same)


def triplet_sampler(
    data: ImageSet, count: int, *, unseen_by: ImageSet | None = None, seed: int = 0
) -> TripletSet:
    """Draw random triplets; every class is as likely to be the anchor's as every other.

    Args:
        data: Images of at least two classes; some class needs two images.
        count: Number of triplets, at least 1.
        unseen_by: Refuse to draw if `data` shares a class with this set: see `check_unseen`.
        seed: Same seed, same triplets.

    Raises:
        ValueError: As for `pair_sampler`.
    """
    _check_count(count)
    if unseen_by is not None:
        check_unseen(data, unseen_by)
    generator = torch.Generator().manual_seed(seed)
    classes = _Classes.of(data.labels)
    own = classes.draw(count, generator, at_least=2)
    anchor, positive = classes.two_images(own, generator)
    negative = classes.one_image(classes.draw_other(own, generator), generator)
    return TripletSet(data, anchor, positive, negative)


class ClassBalancedBatches:
    """Batches of P classes with K images each, for `batch_hard_triplet_loss`.

    A batch of images drawn at random from many classes has hardly two of one class, so there is
    nothing to mine. Here every image has K − 1 positives and (P − 1)·K negatives (Hermans et al.
    2017, section 2). Classes with fewer than K images are left out.

    Iterating gives `batches` pairs of images (P·K, C, H, W) and labels (P·K,), the images of one
    class one after the other. Every pass gives new batches; two objects with the same seed give the
    same passes.

    Args:
        data: The images.
        classes: P, at least 2.
        images: K, at least 2.
        batches: Length of a pass; by default as many as would show each image about once.
        seed: Of the choice.

    Raises:
        ValueError: An argument is out of range, or the data have fewer than P classes with K
            images.
    """

    def __init__(
        self,
        data: ImageSet,
        classes: int,
        images: int,
        *,
        batches: int | None = None,
        seed: int = 0,
    ) -> None:
        for what, value in (("classes", classes), ("images", images)):
            if value < 2:
                raise ValueError(f"{what} must be at least 2, or there is no triplet; got {value}")
        if batches is not None and batches < 1:
            raise ValueError(f"batches must be at least 1; got {batches}")
        by_class = [
            (data.labels == label).nonzero().flatten() for label in data.labels.unique().tolist()
        ]
        self._by_class = [indices for indices in by_class if len(indices) >= images]
        if len(self._by_class) < classes:
            raise ValueError(
                f"batches of {classes} classes with {images} images need as many classes with as "
                f"many images; {data.name!r} has {len(self._by_class)} such classes"
            )
        self.data = data
        self.classes = classes
        self.images = images
        usable = sum(len(indices) for indices in self._by_class)
        self.batches = max(1, usable // (classes * images)) if batches is None else batches
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.batches):
            yield self.data[self._indices()]

    def _indices(self) -> Tensor:
        """Indices of one batch, (P·K,)."""
        chosen = torch.randperm(len(self._by_class), generator=self._generator)[: self.classes]
        parts = []
        for place in chosen.tolist():
            of_class = self._by_class[place]
            order = torch.randperm(len(of_class), generator=self._generator)
            parts.append(of_class[order[: self.images]])
        return torch.cat(parts)


class _Classes:
    """The images of each class, so that drawing from a class is one indexing operation.

    Attributes:
        order: Indices of all images, class after class.
        start: Where each class begins in `order`, (number of classes,).
        size: How many images each class has.
    """

    def __init__(self, order: Tensor, start: Tensor, size: Tensor) -> None:
        self.order, self.start, self.size = order, start, size

    @classmethod
    def of(cls, labels: Tensor) -> _Classes:
        if len(labels) == 0:
            raise ValueError("there are no images to draw from")
        size = torch.bincount(labels)
        size = size[size > 0]  # a class without images is no class here
        if len(size) < 2:
            raise ValueError("images of at least two classes are needed; all are of one class")
        return cls(labels.argsort(stable=True), size.cumsum(0) - size, size)

    def draw(self, count: int, generator: torch.Generator, at_least: int = 1) -> Tensor:
        """Classes drawn evenly from those with `at_least` images, (count,)."""
        usable = (self.size >= at_least).nonzero().flatten()
        if len(usable) == 0:
            raise ValueError(f"no class has {at_least} images, so no two images show the same one")
        return usable[torch.randint(len(usable), (count,), generator=generator)]

    def draw_other(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """For each class another one, drawn evenly from all others."""
        others = len(self.size) - 1
        step = torch.randint(1, others + 1, classes.shape, generator=generator)
        return (classes + step) % len(self.size)

    def one_image(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Index of a random image of each class."""
        return self.order[self.start[classes] + _below(self.size[classes], generator)]

    def two_images(self, classes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices of two different random images of each class."""
        size = self.size[classes]
        one = _below(size, generator)
        other = (one + 1 + _below(size - 1, generator)) % size
        return self.order[self.start[classes] + one], self.order[self.start[classes] + other]


def _below(limits: Tensor, generator: torch.Generator) -> Tensor:
    """A random whole number from 0 to limit − 1 for each limit."""
    numbers = torch.rand(limits.shape, generator=generator, dtype=torch.float64)
    return (numbers * limits).to(torch.int64)


def _names_present(data: ImageSet) -> set[str]:
    return {data.classes[label] for label in data.labels.unique().tolist()}


def _slices(count: int, batch_size: int) -> Iterator[slice]:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    return (slice(start, start + batch_size) for start in range(0, count, batch_size))


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")


# --- the same or not ----------------------------------------------------------------------------


class Roc(NamedTuple):
    """What each threshold accepts: three float64 arrays of the same length.

    Attributes:
        thresholds: −∞, which accepts nothing, then every distance that occurs, rising.
        false_accept: Share of the pairs of different classes with a distance up to the threshold.
        true_accept: Share of the pairs of the same class with a distance up to the threshold.
    """

    thresholds: np.ndarray
    false_accept: np.ndarray
    true_accept: np.ndarray


class ErrorRates(NamedTuple):
    """Shares of wrong answers at one threshold.

    Attributes:
        false_accept: Of the pairs of different classes, those that were accepted.
        false_reject: Of the pairs of the same class, those that were not.
    """

    false_accept: float
    false_reject: float


def verification_roc(distances: Tensor | np.ndarray, same: Tensor | np.ndarray) -> Roc:
    """The receiver operating characteristic of the answer "same, if the distance is small".

    Args:
        distances: (N,), small for pairs that look alike.
        same: (N,), True or 1 where both show the same class.

    Raises:
        ValueError: The shapes differ, a distance is not finite, or one of the two kinds is missing.
    """
    d, genuine = _checked(distances, same)
    order = np.argsort(d, kind="stable")
    d, genuine = d[order], genuine[order]
    # Pairs of the same distance are accepted together: only the last of them makes a point.
    last = np.append(np.diff(d) > 0, True)
    true_accept = np.cumsum(genuine)[last] / genuine.sum()
    false_accept = np.cumsum(~genuine)[last] / (~genuine).sum()
    return Roc(
        np.append(-np.inf, d[last]), np.append(0.0, false_accept), np.append(0.0, true_accept)
    )


def equal_error_rate(distances: Tensor | np.ndarray, same: Tensor | np.ndarray) -> float:
    """The error rate where as many strangers are accepted as friends are turned away.

    One number for the whole curve, from 0 (perfect) to about 0.5 (a coin). Between two thresholds
    the ROC is taken to be straight.

    Args:
        distances: (N,).
        same: (N,).

    Raises:
        ValueError: As for `verification_roc`.
    """
    roc = verification_roc(distances, same)
    # Rises from −1 (nothing accepted) to 1 (everything accepted).
    excess = roc.false_accept - (1 - roc.true_accept)
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    rise = roc.false_accept[after] - roc.false_accept[before]
    return float(roc.false_accept[before] + share * rise)


def threshold_at(
    distances: Tensor | np.ndarray, same: Tensor | np.ndarray, *, false_accept_rate: float
) -> float:
    """The most generous threshold that keeps to a false-accept rate on these pairs.

    It is one of the distances, or −∞ if even the smallest one accepts too many. Choose it on
    validation pairs: on those it was chosen on, the rate is kept by construction and says nothing.

    Args:
        distances: (N,).
        same: (N,).
        false_accept_rate: The largest share of accepted strangers, from 0 to 1.

    Raises:
        ValueError: The rate is out of range, or as for `verification_roc`.
    """
    if not 0 <= false_accept_rate <= 1:
        raise ValueError(f"false_accept_rate must be from 0 to 1; got {false_accept_rate}")
    roc = verification_roc(distances, same)
    return float(roc.thresholds[roc.false_accept <= false_accept_rate].max())


def error_rates(
    distances: Tensor | np.ndarray, same: Tensor | np.ndarray, threshold: float
) -> ErrorRates:
    """Both error rates of one threshold.

    Args:
        distances: (N,).
        same: (N,).
        threshold: Pairs up to this distance are accepted.

    Raises:
        ValueError: The threshold is not a number, or as for `verification_roc`.
    """
    if math.isnan(threshold):
        raise ValueError("threshold is not a number")
    d, genuine = _checked(distances, same)
    accepted = d <= threshold
    return ErrorRates(float(accepted[~genuine].mean()), float((~accepted)[genuine].mean()))


def _checked(
    distances: Tensor | np.ndarray, same: Tensor | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays (N,), float64 and bool."""
    d, genuine = (
        v.detach().cpu().numpy() if isinstance(v, Tensor) else np.asarray(v)
        for v in (distances, same)
    )
    if d.ndim != 1 or d.shape != genuine.shape:
        raise ValueError(
            f"distances and same must both have shape (N,); got {d.shape} and {genuine.shape}"
        )
    if not np.isfinite(d).all():
        raise ValueError("some distances are not finite: the training has probably diverged")
    if not np.isin(genuine, (0, 1)).all():
        raise ValueError("same must hold True or False (1 or 0) only")
    genuine = genuine.astype(bool)
    if genuine.all() or not genuine.any():
        raise ValueError(
            "pairs of the same class and of different classes are both needed; all of these are "
            + ("of the same" if len(genuine) and genuine.all() else "different or missing")
        )
    return d.astype(np.float64), genuine


# --- which of these -----------------------------------------------------------------------------


@dataclass(frozen=True)
class OneShot:
    """Result of `one_shot_accuracy`.

    Attributes:
        accuracy: Share of queries that were given their own class.
        margin: Half the width of the 95 % confidence interval, 1.96 standard errors of the mean
            over the episodes.
        ways: Classes to choose from.
        shots: Known images of each class.
        episodes: Number of rounds.
    """

    accuracy: float
    margin: float
    ways: int
    shots: int
    episodes: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval, cut to 0 and 1."""
        return max(0.0, self.accuracy - self.margin), min(1.0, self.accuracy + self.margin)

    def __str__(self) -> str:
        return (
            f"{self.ways}-way {self.shots}-shot: {100 * self.accuracy:.1f} ± "
            f"{100 * self.margin:.1f} %"
        )


@torch.no_grad()
def one_shot_accuracy(
    embed: nn.Module | Callable[[Tensor], Tensor],
    data: ImageSet,
    ways: int = 5,
    shots: int = 1,
    episodes: int = 400,
    seed: int = 0,
    *,
    unseen_by: ImageSet | None = None,
) -> OneShot:
    """How often a new image is given the right one of `ways` classes, from `shots` examples each.

    In each episode `ways` classes are drawn, and of each `shots` known images and one query. Each
    query gets the class whose known images have the nearest mean embedding; with one shot this is
    the nearest neighbour (for the mean see Snell et al. 2017, arXiv:1703.05175). Guessing gives
    1 / ways.

    The confidence interval says how far another draw of episodes from the same images might be
    off. It knows nothing of other classes, other writers or another training.

    Args:
        embed: Maps images (N, C, H, W) to embeddings (N, D), for example a `SiameseNetwork`'s
            `embed`; `lambda x: x.flatten(1)` compares pixels. A module is called in evaluation
            mode and left as it was.
        data: Images; classes with fewer than shots + 1 of them are left out.
        ways: At least 2.
        shots: At least 1.
        episodes: At least 2.
        seed: Same seed, same episodes, whatever `embed` is.
        unseen_by: Refuse if `data` shares a class with this set: see `check_unseen`.

    Raises:
        ValueError: An argument is out of range, too few classes have enough images, or a class was
            seen before.
    """
    for what, value, least in (("ways", ways, 2), ("shots", shots, 1), ("episodes", episodes, 2)):
        if value < least:
            raise ValueError(f"{what} must be at least {least}; got {value}")
    if unseen_by is not None:
        check_unseen(data, unseen_by)
    by_class = [
        (data.labels == label).nonzero().flatten() for label in data.labels.unique().tolist()
    ]
    by_class = [indices for indices in by_class if len(indices) > shots]
    if len(by_class) < ways:
        raise ValueError(
            f"{ways} ways need as many classes with {shots + 1} images; {data.name!r} has "
            f"{len(by_class)} such classes"
        )
    z = _embedded(embed, data.images)
    generator = torch.Generator().manual_seed(seed)
    known, query = [], []
    for _ in range(episodes):
        for place in torch.randperm(len(by_class), generator=generator)[:ways].tolist():
            of_class = by_class[place]
            drawn = of_class[torch.randperm(len(of_class), generator=generator)[: shots + 1]]
            known.append(drawn[:shots])
            query.append(drawn[shots])
    means = z[torch.stack(known)].mean(dim=1).view(episodes, ways, -1)  # (E, ways, D)
    queries = z[torch.stack(query)].view(episodes, ways, -1)
    distances = (queries[:, :, None] - means[:, None]).square().sum(dim=-1)  # (E, query, class)
    right = (distances.argmin(dim=2) == torch.arange(ways)).double().mean(dim=1)  # (E,)
    margin = 1.96 * right.std().item() / math.sqrt(episodes)
    return OneShot(right.mean().item(), margin, ways, shots, episodes)


def _embedded(embed: nn.Module | Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Embeddings of all images, in batches, (N, D)."""
    is_network = isinstance(embed, nn.Module)
    with restored_modes(embed) if is_network else nullcontext():
        if is_network:
            embed.eval()
        z = torch.cat([embed(batch) for batch in images.split(256)])
    if z.ndim != 2 or len(z) != len(images):
        raise ValueError(
            f"embed must map images (N, C, H, W) to embeddings (N, D); {len(images)} images gave "
            f"{tuple(z.shape)}"
        )
    if not z.isfinite().all():
        raise ValueError("some embeddings are not finite: the training has probably diverged")
    return z
