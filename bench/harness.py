"""What every bench shares: interleaved timing, ratios of medians, one table, one JSON format.

A bench module has a function `comparisons()` that yields `Comparison`s. Ours and its peers run in
turn, again and again, forwards and backwards through the list, so that a machine that gets slower
for a while slows all of them. What counts is the median over the ratios within one repetition.
Times of different runs are not comparable.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch


@dataclass(frozen=True)
class Comparison:
    """The same work done by our code and by its peers.

    A contender that measures itself returns `Seconds`; these count instead of the clock.

    Attributes:
        name: What is measured, such as `summarize`.
        workload: On what, such as `vgg16 3×224×224`.
        ours: Our code, ready to be called.
        peers: Other code that does the same work, by name and version.
        note: What a reader must know to read the ratio fairly.
        contender: What the table calls ours.
    """

    name: str
    workload: str
    ours: Callable[[], object]
    peers: dict[str, Callable[[], object]]
    note: str = ""
    contender: str = "cnnlib"


class Seconds(float):
    """What a contender took by its own account, such as a browser's."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender, one number a repetition."""

    contender: str
    seconds: list[float] = field(repr=False)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Result:
    """Timings of one comparison; ours comes first."""

    name: str
    workload: str
    note: str
    timings: list[Timing]

    def ratio(self, timing: Timing) -> float:
        """How many times as long as ours this contender takes: the median over repetitions."""
        pairs = zip(timing.seconds, self.timings[0].seconds, strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


# CPU time counts the work of this process alone: the one to take when others use the machine too.
# It misses what a process waits for, and what its children do.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(comparison: Comparison, repetitions: int, clock: str = "wall") -> Result:
    """Run every contender once to warm up, then `repetitions` times in turn."""
    if repetitions < 1:
        raise ValueError(f"repetitions must be at least 1, not {repetitions}")
    now = CLOCKS[clock]
    contenders = {comparison.contender: comparison.ours, **comparison.peers}
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    for run in contenders.values():
        run()
    turn = list(contenders.items())
    for _ in range(repetitions):
        for contender, run in turn:
            start = now()
            outcome = run()
            taken = now() - start
            seconds[contender].append(outcome if isinstance(outcome, Seconds) else taken)
        turn.reverse()  # whoever comes first finds other things in the cache
    timings = [Timing(contender, values) for contender, values in seconds.items()]
    return Result(comparison.name, comparison.workload, comparison.note, timings)


def environment() -> dict[str, str | int]:
    """The machine and the versions the numbers belong to."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "torch threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(results: Iterable[Result]) -> str:
    """A text table: one line a contender, its ratio to ours last."""
    header = ["bench", "workload", "contender", "median", "min–max", "ratio"]
    lines = [header]
    notes = []
    for result in results:
        for index, timing in enumerate(result.timings):
            first = [result.name, result.workload] if index == 0 else ["", ""]
            span = f"{min(timing.seconds) * 1e3:.1f}–{max(timing.seconds) * 1e3:.1f} ms"
            ratio = f"{result.ratio(timing):.2f}×"
            lines.append([*first, timing.contender, f"{timing.median * 1e3:.1f} ms", span, ratio])
        if result.note and result.note not in notes:
            notes.append(result.note)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = "─" * max(map(len, text))
    return "\n".join(
        [
            text[0],
            rule,
            *text[1:],
            rule,
            "ratio: time / that of the first line in the same repetition, median",
            *notes,
        ]
    )


def write_json(results: Iterable[Result], path: Path) -> None:
    """Write environment and every single timing; the file appears whole or not at all."""
    data = {
        "environment": environment(),
        "results": [
            {
                "name": result.name,
                "workload": result.workload,
                "note": result.note,
                "timings": [
                    {**asdict(t), "median": t.median, "ratio": result.ratio(t)}
                    for t in result.timings
                ],
            }
            for result in results
        ],
    }
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
