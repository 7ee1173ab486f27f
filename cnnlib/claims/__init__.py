"""The lecture notes, recomputed: one module for each of their chapters.

The course grew out of five files of lecture notes. `cnnlib/data/claims.csv` holds 300 statements
from them, each with the notes' value, the right one, a verdict and the source. A function in the
module of its chapter computes a row's numbers again; importing this package registers them all.
`registry` holds the comparison, `sections.csv` says which page of the book explains a row, `table`
shows the result. The book's page *The notes, recomputed* has no code of its own.

A new chapter of the book takes two steps: it adds its page to `sections.csv`, with the section that
explains each of its rows, and functions for rows that have none yet.
"""

from cnnlib.claims import (  # noqa: F401  (imported to register their rows)
    aug,
    autoencoder,
    classic,
    compute,
    densenet,
    detectors,
    googlenet,
    layers,
    mobilenet,
    nasnet,
    resnet,
    shufflenet,
    siamese,
    squeezenet,
    transfer,
    unet,
    vgg,
    xception,
)
from cnnlib.claims.registry import (
    CLAIMS,
    REGISTRY,
    compare,
    needs_recomputation,
    printed_numbers,
    recompute,
    recomputes,
    unexplained,
)
from cnnlib.claims.table import PAGES, Page, tables, verdicts

__all__ = [
    "CLAIMS",
    "PAGES",
    "REGISTRY",
    "Page",
    "compare",
    "needs_recomputation",
    "printed_numbers",
    "recompute",
    "recomputes",
    "tables",
    "unexplained",
    "verdicts",
]
