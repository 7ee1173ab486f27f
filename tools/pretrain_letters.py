"""Train LetterNet on rendered letters and store its weights in `cnnlib/pretrained/`.

    python -m tools.pretrain_letters [--out FOLDER]

One thread, one seed; about two minutes of a CPU. Another CPU or another PyTorch gives other last
digits and so another file, with the same accuracy up to a point.

The letters are drawn anew in every epoch. Before the network sees them they are zoomed, stretched
and made coarse by random amounts, because a network should meet in training what it will meet in
use: the digits of scikit-learn fill their picture and were scanned at 8×8.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlib.data import ImageSet, load
from cnnlib.pretrained.letters import SHIPPED, LetterNet
from cnnlib.pretrained.shipped import ShippedWeights, round_weights
from cnnlib.training import evaluate, seed_everything


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Everything that decides what comes out, apart from the version of PyTorch."""

    scripts: tuple[str, ...] = ("latin", "greek", "cyrillic", "armenian", "georgian")
    image_size: int = 16
    per_class: int = 32
    epochs: int = 45
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    largest_zoom: float = 1.5
    coarsest_size: int = 8
    seed: int = 2026


def as_seen(images: Tensor, configuration: Configuration, generator: torch.Generator) -> Tensor:
    """Zoom, stretch and blur each image by a random amount.

    Args:
        images: Letters (N, 1, S, S).
        configuration: Says how much.
        generator: Source of the random numbers.

    Returns:
        The changed letters, same shape.
    """
    count, _, side, _ = images.shape
    zoom = 1 + (configuration.largest_zoom - 1) * torch.rand(count, 2, generator=generator)
    transforms = torch.diag_embed(1 / zoom)  # (N, 2, 2): width and height on their own
    transforms = F.pad(transforms, (0, 1))  # no shift: (N, 2, 3)
    grid = F.affine_grid(transforms, list(images.shape), align_corners=False)
    zoomed = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    small = F.interpolate(
        zoomed,
        size=(configuration.coarsest_size,) * 2,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    coarse = F.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)
    share = torch.rand(count, 1, 1, 1, generator=generator)
    return zoomed + share * (coarse - zoomed)


def letters(configuration: Configuration, split: str, seed: int, **options: object) -> ImageSet:
    """Fresh letters; the same seed gives the same ones."""
    return load(
        "glyphs",
        split,
        image_size=configuration.image_size,
        scripts=configuration.scripts,
        per_class=configuration.per_class,
        seed=seed,
        **options,
    )


def train(configuration: Configuration) -> LetterNet:
    """Train a network from fresh weights, in float32, and return it in evaluation mode."""
    seed_everything(configuration.seed)
    generator = torch.Generator().manual_seed(configuration.seed)
    classes = letters(configuration, "train", 0).classes
    model = LetterNet(len(classes)).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=configuration.learning_rate, weight_decay=configuration.weight_decay
    )
    batches = -(-len(classes) * configuration.per_class // configuration.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, configuration.learning_rate, total_steps=configuration.epochs * batches
    )
    for epoch in range(configuration.epochs):
        drawn = letters(configuration, "train", seed=1000 + epoch)
        images = as_seen(drawn.images, configuration, generator)
        order = torch.randperm(len(drawn), generator=generator)
        total = 0.0
        for chosen in order.split(configuration.batch_size):
            loss = F.cross_entropy(model(images[chosen]), drawn.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1:2}/{configuration.epochs}  loss {total / len(drawn):.3f}")
    return model.eval()


def accuracies(model: LetterNet, configuration: Configuration) -> dict[str, float]:
    """Share of right answers on letters that were not in training, in fonts that were or not."""
    fresh = letters(configuration, "train", seed=1)
    unseen = letters(configuration, "test", seed=1)
    return {
        "training fonts": round(evaluate(model, fresh).accuracy, 4),
        "a new font": round(evaluate(model, unseen).accuracy, 4),
    }


def store(model: LetterNet, configuration: Configuration, folder: Path) -> dict[str, object]:
    """Write the weights in float16 and the card that describes them.

    Returns:
        The card.
    """
    round_weights(model)  # what is measured is what is stored
    facts = {
        "classes": letters(configuration, "train", 0).classes,
        "configuration": dataclasses.asdict(configuration),
        "accuracy": accuracies(model, configuration),
    }
    return ShippedWeights(SHIPPED.name, folder).store(model, facts, "tools/pretrain_letters.py")


def main() -> None:
    """Train, measure, store."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretrain_letters", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=SHIPPED.folder, help="folder to write to")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    start = time.process_time()
    configuration = Configuration()
    card = store(train(configuration), configuration, folder)
    print(
        f"{card['bytes']:,} bytes, {card['accuracy']}, {time.process_time() - start:.0f} s of CPU"
    )


if __name__ == "__main__":
    main()
