"""The tables of layers behind the interactive figure `<parameter-table>`.

    python -m tools.parameter_tables [--output FOLDER]

For each network of the course one small file, loaded when the reader chooses it, and `index.json`,
which lists them. Everything is counted by `cnnlib.summary` for several sizes of picture:

    {"network", "sizes": [side, ...], "channels": of the picture, "kinds": [...],
     "maps": [[[height, width], ... for each size], ...],
     "rows": [[name, kind, channels, map, parameters, macs, values], ...]}

`kind` and `map` are numbers in these lists; `map` is -1 where a layer's output is a vector. A name
begins with the number of characters that it shares with the name before it: "8|conv2". `macs` are
multiply-accumulates per position of the map and `values` the numbers written per position (4 bytes
each); where that differs from size to size, a list of whole amounts for each size. `channels` is 0
for a layer that is never called. Rows that own nothing (containers, activations that work in place)
are left out.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import torch
from torch import nn

from cnnlib import models
from cnnlib.summary import Row, summarize
from tools import course, network_comparison

OUTPUT = course.ROOT / "book" / "_static" / "figures" / "parameter-tables"
SIDES = (128, 224, 320)
# Networks that do not classify ImageNet: (name, channels of the picture, sides).
SMALL = (("lenet5", 1, (32,)), ("cifar_resnet20", 3, (32, 64)), ("unet", 1, (188, 572)))
VALUE_BYTES = 4  # float32

Tables = dict[str, dict]


def networks() -> list[tuple[str, nn.Module, int, tuple[int, ...]]]:
    """(name, network without values, channels, sides) of each network, oldest first."""
    found = []
    for name, channels, sides in SMALL:
        with torch.device("meta"):
            found.append((name, getattr(models, name)().eval(), channels, sides))
    for entry in network_comparison.entries():
        own = int(entry["input"])  # 299 for the two that were made for it
        sides = SIDES if own in SIDES else tuple(sorted({128, own, 320}))
        found.append((entry["network"], network_comparison.on_meta(entry), 3, sides))
    return found


def owners(rows: list[Row]) -> list[int]:
    """Numbers of the rows that own parameters, multiplications or memory."""
    return [i for i, row in enumerate(rows) if row.parameters or row.macs or row.activation_bytes]


def per_position(amounts: list[int], positions: list[int]) -> int | list[int]:
    """An amount per position of the map if that is the same at every size, else all amounts."""
    shares = {divmod(amount, count) for amount, count in zip(amounts, positions, strict=True)}
    if len(shares) == 1:
        share, rest = shares.pop()
        if rest == 0:
            return share
    return amounts


def shared_beginning(one: str, other: str) -> int:
    """Number of characters with which both names begin."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def table(name: str, network: nn.Module, channels: int, sides: tuple[int, ...]) -> dict:
    """Everything that the figure shows of one network."""
    summaries = [summarize(network, (channels, side, side)).rows for side in sides]
    kept = sorted({i for rows in summaries for i in owners(rows)})
    assert len({len(rows) for rows in summaries}) == 1, "the same layers run at every size"
    kinds: list[str] = []
    maps: list[list[tuple[int, ...]]] = []
    lines = []
    previous = ""
    for i in kept:
        rows = [summary[i] for summary in summaries]
        row = rows[0]
        shapes = [one.output_shape or (0, 0) for one in rows]  # None: the layer is never called
        while isinstance(shapes[0], list):
            shapes = [shape[0] for shape in shapes]  # of several outputs, the first
        extents = [shape[2:] for shape in shapes]
        place = -1
        if extents[0]:
            if extents not in maps:
                maps.append(extents)
            place = maps.index(extents)
        if row.kind not in kinds:
            kinds.append(row.kind)
        positions = [extent[0] * extent[1] if extent else 1 for extent in extents]
        shared = shared_beginning(previous, row.name)
        previous = row.name
        lines.append(
            [
                f"{shared}|{row.name[shared:]}",
                kinds.index(row.kind),
                shapes[0][1],
                place,
                row.parameters,
                per_position([one.macs for one in rows], positions),
                per_position([one.activation_bytes // VALUE_BYTES for one in rows], positions),
            ]
        )
    return {
        "network": name,
        "sizes": list(sides),
        "channels": channels,
        "kinds": kinds,
        "maps": maps,
        "rows": lines,
    }


def as_text(content: dict) -> str:
    """JSON with one row on each line."""
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in content["rows"])
    head = {key: value for key, value in content.items() if key != "rows"}
    return json.dumps(head, separators=(",", ":"))[:-1] + ',"rows":[\n' + rows + "\n]}\n"


def main(arguments: list[str] | None = None) -> int:
    """Count, write the files and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the folder to write to")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    names = []
    for name, network, channels, sides in networks():
        content = table(name, network, channels, sides)
        course.write_atomically(options.output / f"{name}.json", as_text(content))
        names.append(name)
    course.write_atomically(options.output / "index.json", json.dumps({"networks": names}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
