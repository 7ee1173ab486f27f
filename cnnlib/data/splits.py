"""What every data set does alike: check which part is asked for, and draw some of its entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

SPLITS = ("train", "val", "test")
SPLIT_BY = ("writer", "random")

Entry = TypeVar("Entry")


def check_split(split: str, *, whole: bool) -> None:
    """Check the name of a part.

    Args:
        split: The name.
        whole: Whether "all" is one, too.

    Raises:
        ValueError: There is no such part.
    """
    if split in SPLITS or (whole and split == "all"):
        return
    names = '"train", "val", "test" or "all"' if whole else '"train", "val" or "test"'
    raise ValueError(f"split must be {names}; got {split!r}")


def check_split_by(split_by: str) -> None:
    """Check what the parts are told apart by.

    Raises:
        ValueError: It is neither "writer" nor "random".
    """
    if split_by not in SPLIT_BY:
        raise ValueError(f'split_by must be "writer" or "random"; got {split_by!r}')


def drawn(entries: Sequence[Entry], count: int | None, seed: int) -> list[Entry]:
    """Entries in random order; fewer of them are the first ones of more.

    Args:
        entries: What is drawn from.
        count: How many; None for all.
        seed: Of the order.
    """
    order = torch.randperm(len(entries), generator=torch.Generator().manual_seed(seed))
    return [entries[index] for index in order[:count]]
