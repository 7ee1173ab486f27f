"""The statements of the lecture notes, and the functions that compute their numbers again.

Each row of `claims.csv` whose verdict rests on a computation has one function here in
`cnnlib.claims`. It is registered under the row's number and returns what it computed, as names and
values. `compare` then reads the sentence that we hold to be right, picks out every number in it and
looks for that number among the computed values. A number that nobody computed is reported.
"""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, NamedTuple

__all__ = [
    "CLAIMS",
    "REGISTRY",
    "Recomputation",
    "Values",
    "compare",
    "needs_recomputation",
    "printed_numbers",
    "recompute",
    "recomputes",
    "unexplained",
]

Values = dict[str, Any]  # name -> number, text, True/False, shape (a tuple) or list of them


class Recomputation(NamedTuple):
    """How one row is computed again.

    Attributes:
        function: Takes nothing and returns the computed values by name.
        quoted: Numbers of the row's sentence that are no results: constants of a formula, a year, a
            figure that only the source can know. The table shows them as quoted.
    """

    function: Callable[[], Values]
    quoted: tuple[float, ...]

    @property
    def source(self) -> str:
        """The function's source code."""
        # A row made in a loop is a partial of one function: its arguments are not its code.
        return inspect.getsource(getattr(self.function, "func", self.function))


def read_rows(package: str, file: str) -> list[dict[str, str]]:
    """Read a CSV file that travels inside the package."""
    with resources.files(package).joinpath(file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


CLAIMS: dict[str, dict[str, str]] = {
    row["id"]: row for row in read_rows("cnnlib.data", "claims.csv")
}
REGISTRY: dict[str, Recomputation] = {}


def recomputes(
    claim_id: str, quoted: tuple[float, ...] = ()
) -> Callable[[Callable[[], Values]], Callable[[], Values]]:
    """Register the function below as the recomputation of one row.

    Args:
        claim_id: The row's number in `claims.csv`.
        quoted: Numbers in the row's sentence that are no results; see `Recomputation`.

    Raises:
        KeyError: There is no such row.
        ValueError: The row has a function already.
    """

    def register(function: Callable[[], Values]) -> Callable[[], Values]:
        if claim_id not in CLAIMS:
            raise KeyError(f"claims.csv has no row {claim_id}")
        if claim_id in REGISTRY:
            raise ValueError(f"{claim_id} is recomputed twice")
        REGISTRY[claim_id] = Recomputation(function, tuple(quoted))
        return function

    return register


def recompute(claim_id: str) -> Values:
    """Run the function of one row.

    Raises:
        KeyError: The row has none.
    """
    if claim_id not in REGISTRY:
        raise KeyError(f"nothing recomputes {claim_id}")
    return REGISTRY[claim_id].function()


# A number as people print it: 55, -0.28, 34,848, 1e-4, 138M. Digits inside a name are none.
NUMBER = re.compile(
    r"(?<![\w.^-])-?(?:\d{1,3}(?:,\d{3})+(?!\d|,\d)|\d+)(?:\.\d+)?(?:e-?\d+\b|\s?[KMG]\b)?"
)
MULTIPLES = {"K": 1e3, "M": 1e6, "G": 1e9}


def printed_numbers(text: str) -> list[str]:
    """The numbers in a sentence, as printed.

    "55x55x96" holds three and "16-19" two; "LeNet-5" and "C3" hold none.
    """
    text = re.sub(r"(?<=\d)x(?=\d)", " ", text)
    # The dash of a range or a list is no minus: 16-19, 64-192-384.
    chain = r"(?<![\w.^-])\d+(?:\.\d+)?(?:-\d+(?:\.\d+)?)+"
    text = re.sub(chain, lambda match: match[0].replace("-", " "), text)
    return NUMBER.findall(text)


def unexplained(text: str, values: object) -> list[str]:
    """Numbers printed in `text` that none of `values` rounds to.

    Args:
        text: A sentence.
        values: Numbers in any nesting of lists, tuples and dictionaries.
    """
    known = flat(values)
    missing = []
    for printed in printed_numbers(text):
        number, step = read_number(printed)
        if not any(abs(value - number) <= step * (0.5 + 1e-9) for value in known):
            missing.append(printed)
    return missing


def read_number(printed: str) -> tuple[float, float]:
    """The value of a printed number and of one unit of its last digit: 7.10 is (7.1, 0.01)."""
    plain = printed.replace(",", "")
    scale = 1.0
    if plain[-1] in MULTIPLES:
        plain, scale = plain[:-1].strip(), MULTIPLES[plain[-1]]
    digits, _, exponent = plain.partition("e")
    scale *= 10.0 ** int(exponent or 0)
    decimals = len(digits.partition(".")[2])
    return float(digits) * scale, scale * 10.0**-decimals


def flat(value: object) -> list[float]:
    """All int and float values inside (nested) tuples, lists and dicts; True and False are none."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [number for part in value for number in flat(part)]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if is_number else []


def compare(claim_id: str, values: Values) -> list[str]:
    """What does not agree between computed values and the row, in plain words; empty if all does.

    Read are the right statement and, where the notes are held to be right, their value too.
    """
    row, quoted = CLAIMS[claim_id], REGISTRY[claim_id].quoted
    texts = {"right statement": row["correct_value"]}
    if row["verdict"] == "correct":
        texts["notes"] = row["notes_value"]
    return [
        f"{claim_id}: {printed} ({where}) was not computed; computed: {values}"
        for where, text in texts.items()
        for printed in unexplained(text, [values, list(quoted)])
    ]


def needs_recomputation(row: Mapping[str, str]) -> bool:
    """False for history, hyper-parameters and readings of a source: nothing there can be run."""
    return not row["how_to_recompute"].lstrip("(").startswith("n/a")
