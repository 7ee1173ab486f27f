"""Train the small Faster R-CNN on scenes of digits and store its weights in `cnnlib/pretrained/`.

    python -m tools.pretrain_detector [--out FOLDER]

One thread, one seed; about a minute of a CPU. Another CPU or another PyTorch gives other last
digits and so another file, with the same mAP50 up to two points.

The backbone starts with what LetterNet knows of letters. There are three to five digits in each
scene, although one to three are what the detector is then measured on: most of a step's cost is the
picture, and most of what the head learns comes from objects.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from cnnlib.data.scene_set import SceneSet
from cnnlib.data.scenes import load_scenes
from cnnlib.detection.faster_rcnn import FasterRCNN
from cnnlib.detection.training import evaluate_detector, fit_detector
from cnnlib.pretrained.detector import SHIPPED, mini_faster_rcnn
from cnnlib.pretrained.shipped import ShippedWeights, round_weights
from cnnlib.training import seed_everything


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Everything that decides what comes out, apart from the version of PyTorch."""

    image_size: int = 64
    scenes: int = 2000
    objects: tuple[int, int] = (3, 5)
    start: str = "letters"
    epochs: int = 2
    batch_size: int = 8
    learning_rate: float = 6e-3
    warmup_epochs: float = 0.25
    weight_decay: float = 0.01
    seed: int = 2026


def scenes_for_training(configuration: Configuration) -> SceneSet:
    """The scenes the detector learns from."""
    return load_scenes(
        "digits",
        "train",
        count=configuration.scenes,
        image_size=configuration.image_size,
        objects=configuration.objects,
        seed=configuration.seed,
    )


def train(configuration: Configuration) -> FasterRCNN:
    """Train a detector and return it in evaluation mode."""
    seed_everything(configuration.seed)
    model = mini_faster_rcnn(weights=configuration.start)
    fit_detector(
        model,
        scenes_for_training(configuration),
        epochs=configuration.epochs,
        batch_size=configuration.batch_size,
        lr=configuration.learning_rate,
        warmup_epochs=configuration.warmup_epochs,
        weight_decay=configuration.weight_decay,
        device="cpu",
        seed=configuration.seed,
    )
    return model.eval()


def quality(model: FasterRCNN, configuration: Configuration) -> dict[str, float]:
    """Measure mAP on scenes with other writers and other parts of the photographs."""
    unseen = load_scenes("digits", "test", image_size=configuration.image_size)
    metrics = evaluate_detector(model, unseen)
    return {
        "map50": round(metrics.at(0.5), 4),
        "map": round(metrics.mean_average_precision, 4),
    }


def store(model: FasterRCNN, configuration: Configuration, folder: Path) -> dict[str, object]:
    """Write the weights in float16 and the card that describes them.

    Returns:
        The card.
    """
    round_weights(model)  # what is measured is what is stored
    facts = {
        "classes": ["background", *map(str, range(10))],
        "configuration": dataclasses.asdict(configuration),
        **quality(model, configuration),
    }
    return ShippedWeights(SHIPPED.name, folder).store(model, facts, "tools/pretrain_detector.py")


def main() -> None:
    """Train, measure, store."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretrain_detector", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=SHIPPED.folder, help="folder to write to")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    start = time.process_time()
    configuration = Configuration()
    card = store(train(configuration), configuration, folder)
    print(
        f"{card['bytes']:,} bytes, mAP50 {card['map50']}, mAP {card['map']}, "
        f"{time.process_time() - start:.0f} s of CPU"
    )


if __name__ == "__main__":
    main()
