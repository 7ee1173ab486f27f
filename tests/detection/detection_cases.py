"""Boxes for the tests of detection: random ones by seed, and strategies for hypothesis."""

import torch
from hypothesis import settings
from hypothesis import strategies as st

some = settings(max_examples=30, derandomize=True, deadline=None)


def random_boxes(count, *, seed=0, size=100.0, smallest=1.0, largest=60.0, dtype=torch.float64):
    """Proper boxes whose corners need not lie in the picture."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(count, 4, generator=generator, dtype=dtype)
    corner = numbers[:, :2] * size
    sides = smallest + numbers[:, 2:] * (largest - smallest)
    return torch.cat([corner, corner + sides], dim=1)


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def boxes_of(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


@st.composite
def whole_boxes(draw, min_count=0, max_count=12, *, empty=False):
    """Boxes with whole coordinates: they touch, repeat and tie. `empty` allows sides of 0."""
    count = draw(st.integers(min_count, max_count))
    numbers = st.integers(0, 10)
    side = st.integers(0 if empty else 1, 8)
    rows = []
    for _ in range(count):
        x, y = draw(numbers), draw(numbers)
        rows.append((x, y, x + draw(side), y + draw(side)))
    return boxes_of(*rows)
