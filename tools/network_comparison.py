"""The numbers behind the chapter that compares all networks, and behind its interactive figure.

    python -m tools.network_comparison [--output FILE] [--repeats N]

`book/_static/published_accuracy.csv` says which networks are compared, for which size of picture,
and which accuracy was published, with its source. Everything that can be counted is counted here
with `cnnlib.summary`; the time of a forward pass is measured on the machine that runs this, on one
thread, as processor time, so that other programs do not count. The result is one JSON file, read
by book/_static/figures/network-comparison.mjs:

    {"networks": [{"name", "year", "input", "parameters", "macs", "activations" (bytes), "layers"
    (convolutions and linear layers), "milliseconds", "top1" (percent), "source"}, ...]}

A whole run takes about half a minute of one core. Counts are the same on every machine; times are
not, and the page says so.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn

from cnnlib import models
from cnnlib.summary import summarize
from tools import course

ACCURACIES = course.ROOT / "book" / "_static" / "published_accuracy.csv"
OUTPUT = course.ROOT / "book" / "_static" / "figures" / "network-comparison.json"
LAYERS = ("Conv2d", "Linear")
SIDE = 128  # of the picture that is timed
REPEATS = 5

Entry = dict[str, str]


def entries() -> list[Entry]:
    """The lines of the table of accuracies."""
    with ACCURACIES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def on_meta(entry: Entry) -> nn.Module:
    """Build the network of an entry without values."""
    options = {"variant": entry["variant"]} if entry["variant"] else {}
    with torch.device("meta"):
        return getattr(models, entry["network"])(**options).eval()


def counts(entry: Entry) -> dict[str, int]:
    """Everything about the network of an entry that can be counted."""
    side = int(entry["input"])
    summary = summarize(on_meta(entry), (3, side, side))
    return {
        "parameters": summary.parameters,
        "macs": summary.macs,
        "activations": summary.activation_bytes,
        "layers": sum(row.kind in LAYERS for row in summary.rows),
    }


def with_tame_values(network: nn.Module) -> nn.Module:
    """Give a network from the meta device memory, and weights that average what they read.

    Random weights would take longer than the measurement. What the weights are does not matter for
    the time, as long as no numbers arise that the processor is slow with (denormal ones).
    """
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1 / parameter[0].numel() if parameter.ndim > 1 else 0)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
    return network


def milliseconds(entry: Entry, repeats: int = REPEATS) -> float:
    """Median processor time of a forward pass of one picture of 3×128×128 on one thread."""
    network = with_tame_values(on_meta(entry))
    picture = torch.rand(1, 3, SIDE, SIDE)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.process_time()
            network(picture)
            times.append(1000 * (time.process_time() - start))
    return statistics.median(times[1:])  # the first one warms up


def main(arguments: list[str] | None = None) -> int:
    """Count, measure, write the file and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file to write")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="forward passes to time")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        print(f"--repeats must be at least 1; got {options.repeats}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    networks = [
        {
            "name": entry["network"],
            "year": int(entry["year"]),
            "input": int(entry["input"]),
            **counts(entry),
            "milliseconds": round(milliseconds(entry, options.repeats), 1),
            "top1": round(float(entry["top1"]), 1),
            "source": entry["source"],
        }
        for entry in entries()
    ]
    lines = ",\n  ".join(json.dumps(network, ensure_ascii=False) for network in networks)
    course.write_atomically(options.output, f'{{"networks": [\n  {lines}\n]}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
