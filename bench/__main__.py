"""`python -m bench [NAME ...] [--repetitions N] [--json OUT]`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

import bench
from bench import harness


def names() -> list[str]:
    """The bench modules, by name."""
    found = {module.name for module in pkgutil.iter_modules(bench.__path__)}
    return sorted(found - {"__main__", "harness"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    parser.add_argument("--repetitions", type=int, default=9, metavar="N", help="default 9")
    parser.add_argument(
        "--clock",
        choices=harness.CLOCKS,
        default="wall",
        help="cpu counts this process's own work: for a machine that has other things to do",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write all timings here")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"no bench named {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if arguments.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    if arguments.json and not arguments.json.parent.is_dir():
        parser.error(f"--json: there is no folder {arguments.json.parent}")

    facts = ", ".join(f"{key} {value}" for key, value in harness.environment().items())
    print(facts, flush=True)
    results: list[harness.Result] = []
    try:
        for name in arguments.names or names():
            run(name, arguments, results)
    except KeyboardInterrupt:
        print(f"interrupted after {len(results)} comparisons; these were finished:")
        status = 130
    else:
        status = 0
    print(harness.table(results))
    for name in arguments.names or names():
        details = getattr(importlib.import_module(f"bench.{name}"), "details", None)
        if details is not None and (text := details()):
            print(f"\n{text}")
    if arguments.json:
        harness.write_json(results, arguments.json)
    return status


def run(name: str, arguments: argparse.Namespace, results: list[harness.Result]) -> None:
    """Measure one bench module and append to ``results`` as it goes, with progress on stderr."""
    module = importlib.import_module(f"bench.{name}")
    repetitions = min(arguments.repetitions, getattr(module, "MOST_REPETITIONS", sys.maxsize))
    for comparison in module.comparisons():
        print(f"{comparison.name}: {comparison.workload} … ", end="", file=sys.stderr, flush=True)
        result = harness.measure(comparison, repetitions, arguments.clock)
        results.append(result)
        ours, *peers = result.timings
        ratios = [f"{peer.contender} {result.ratio(peer):.2f}×" for peer in peers]
        print(", ".join([f"{ours.median * 1e3:.1f} ms", *ratios]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
