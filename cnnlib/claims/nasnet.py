"""Recomputations of the notes' chapter on NASNet."""

from __future__ import annotations

import torch

from cnnlib.claims.registry import Values, recomputes
from cnnlib.models.nasnet import NORMAL_CELL, REDUCTION_CELL, Block, Cell


@recomputes("nasnet.c03", quoted=(1,))
def size_after_a_cell() -> Values:
    """Run one cell of either kind on the same map."""
    side, filters = 28, 44
    result: Values = {}
    for name, genotype in (("normal", NORMAL_CELL), ("reduction", REDUCTION_CELL)):
        with torch.device("meta"):
            cell = Cell(genotype, 264, 264, filters).eval()
            made = cell(torch.empty(1, 264, side, side), torch.empty(1, 264, side, side))
        result[f"{name}: side shrinks by"] = side // made.shape[-1]
        result[f"{name}: stride of its first operations"] = genotype.stride
    return result


@recomputes("nasnet.c05", quoted=(1, 100))
def controller_decisions() -> Values:
    """Count what one block of our genotypes says, times blocks, times cells."""
    cells = (NORMAL_CELL, REDUCTION_CELL)
    (blocks,) = {len(cell.blocks) for cell in cells}
    # Two states, two operations, and how the results are combined, which is always a sum here.
    decisions = len(Block._fields) + 1
    return {
        "cells": len(cells),
        "blocks per cell": blocks,
        "decisions per block": decisions,
        "softmax decisions": len(cells) * blocks * decisions,
    }
