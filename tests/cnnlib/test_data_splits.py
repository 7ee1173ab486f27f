"""What every data set does alike: names of its parts, and drawing some of its entries."""

import pytest

from cnnlib.data.splits import SPLITS, check_split, check_split_by, drawn


def test_names_of_parts():
    for split in SPLITS:
        check_split(split, whole=False)
    check_split("all", whole=True)
    with pytest.raises(ValueError, match=r'"train", "val" or "test"; got \'all\''):
        check_split("all", whole=False)
    with pytest.raises(ValueError, match=r'"train", "val", "test" or "all"; got \'dev\''):
        check_split("dev", whole=True)
    for split_by in ("writer", "random"):
        check_split_by(split_by)
    with pytest.raises(ValueError, match="split_by must be"):
        check_split_by("page")


def test_entries_are_drawn_once_each_in_an_order_that_the_seed_decides():
    entries = [f"picture {number}" for number in range(40)]
    order = drawn(entries, None, seed=3)
    assert order != entries
    assert sorted(order) == sorted(entries)
    assert drawn(entries, 7, seed=3) == order[:7]
    assert drawn(entries, 99, seed=3) == order
    assert drawn(entries, None, seed=4) != order
    assert drawn([], 5, seed=3) == []
