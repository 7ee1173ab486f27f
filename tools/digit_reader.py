"""The network behind the figure in which the reader draws a digit: LeNet-5, trained here.

    python -m tools.digit_reader [--output FILE] [--epochs N]

The training is that of the chapter "Your first network": the network and the loss of 1998, on
scikit-learn's digits. Its 60,000 weights are then rounded to 8 bits, so that a page need not load
four times as much, and written to one JSON file that book/_static/figures/draw-a-digit.mjs reads:

    {"accuracy": share of the test pictures that the rounded network reads right,
     "weights": {name: {"shape", "scale", "values"}}  (values: base64 of signed bytes, times scale),
     "codes": the 84 values of F6 that stand for each class,
     "examples": [{"label", "pixels"}]  (ten test pictures of 8×8 pixels, counts from 0 to 16)}

A run takes some 20 seconds of one core.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from cnnlib.data import load
from cnnlib.losses import equation_9
from cnnlib.models import lenet5
from cnnlib.models.lenet import LeNet5
from cnnlib.training import evaluate, fit, seed_everything
from tools import course

OUTPUT = course.ROOT / "book" / "_static" / "figures" / "draw-a-digit.json"
EPOCHS = 12
LARGEST = 127  # of a signed byte; -128 is left out, so that the range is symmetric


def train(epochs: int) -> LeNet5:
    """The training of the chapter, with the epoch of the lowest validation loss kept."""
    seed_everything(0)
    network = lenet5()
    fit(
        network,
        load("digits", "train"),
        load("digits", "val"),
        epochs=epochs,
        batch_size=32,
        optimizer="adamw",
        lr=4e-3,
        schedule="cosine",
        loss=equation_9,
        device="cpu",
        keep_best=True,
        progress=False,
    )
    return network


def pack(weight: Tensor) -> dict[str, object]:
    """Round a tensor to 255 levels around zero."""
    scale = weight.abs().max().item() / LARGEST or 1.0  # a tensor of zeros has no largest value
    levels = (weight / scale).round().to(torch.int8)
    values = base64.b64encode(levels.numpy().tobytes()).decode("ascii")
    return {"shape": list(weight.shape), "scale": scale, "values": values}


def unpack(packed: dict) -> Tensor:
    """The rounded tensor, in float64 as the page computes it."""
    levels = np.frombuffer(base64.b64decode(packed["values"]), dtype=np.int8)
    return torch.from_numpy(levels.astype(np.float64)).reshape(packed["shape"]) * packed["scale"]


def rounded_network(weights: dict[str, dict]) -> LeNet5:
    """The network that the page runs, in float64."""
    network = lenet5().double()
    network.load_state_dict({name: unpack(packed) for name, packed in weights.items()})
    return network.eval()


def examples(network: LeNet5) -> list[dict[str, object]]:
    """A test picture of each class, if possible one that is read right, as counts of 0 to 16."""
    everything, test = load("digits", "all"), load("digits", "test")
    raw = load_digits().images
    answers = network(test.images.double()).argmax(1)
    chosen = []
    for label in range(10):
        of_class = (test.labels == label).nonzero().flatten()
        index = of_class[(answers[of_class] == label).int().argmax()]  # the first of the best
        same = (everything.images == test.images[index]).flatten(1).all(1)
        pixels = raw[int(same.nonzero()[0])].astype(int).flatten().tolist()
        chosen.append({"label": label, "pixels": pixels})
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Train, round, write the file and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file to write")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the training set")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        print(f"--epochs must be at least 1; got {options.epochs}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    network = train(options.epochs)
    weights = {name: pack(weight) for name, weight in network.state_dict().items()}
    rounded = rounded_network(weights)
    content = {
        "accuracy": round(evaluate(rounded.float(), load("digits", "test")).accuracy, 4),
        "weights": weights,
        "codes": [code.int().tolist() for code in rounded.output.codes],
        "examples": examples(rounded.double()),
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    course.write_atomically(options.output, "{\n" + lines + "\n}\n")
    print(f"accuracy after rounding: {content['accuracy']:.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
