"""Every registered recomputation runs, and its numbers are those of the table of statements."""

import pytest

from cnnlib import claims
from cnnlib.claims import CLAIMS, REGISTRY

# These train a small network, build a large one, or probe a trained one.
SLOW = {
    "aug.c03",
    "aug.c04",
    "autoencoder.c01",
    "googlenet.c14",
    "mobilenet.c29",
    "resnet.c04",
    "resnet.c23",
    "siamese.c01",
    "transfer.c02",
    "transfer.c03",
    "transfer.c04",
    "transfer.c05",
    "vgg.c15",
}


@pytest.mark.parametrize(
    "claim_id",
    [pytest.param(i, marks=pytest.mark.slow) if i in SLOW else i for i in REGISTRY],
)
def test_the_numbers_of_a_row_are_computed(claim_id):
    values = claims.recompute(claim_id)
    assert values
    assert claims.compare(claim_id, values) == []


def test_the_set_above_names_rows_that_exist():
    assert set(REGISTRY) >= SLOW


def test_nothing_is_recomputed_that_cannot_be():
    """History, naming and hyper-parameters are quoted from a source, never "computed"."""
    assert [i for i in REGISTRY if not claims.needs_recomputation(CLAIMS[i])] == []


def test_every_row_that_can_be_computed_has_a_function():
    missing = {i for i, row in CLAIMS.items() if claims.needs_recomputation(row)} - set(REGISTRY)
    assert missing == set()


@pytest.mark.parametrize("claim_id", REGISTRY)
def test_a_function_says_in_a_line_how_it_computes(claim_id):
    function = REGISTRY[claim_id].function
    text = getattr(function, "func", function).__doc__
    assert text
    assert len(text.splitlines()) == 1
    assert f"def {getattr(function, 'func', function).__name__}(" in REGISTRY[claim_id].source


def test_running_a_row_twice_gives_the_same():
    """Nothing random, and nothing that one row changes under another."""
    for claim_id in ("layers.c15", "aug.c01", "shufflenet.c06", "googlenet.c36", "vgg.c47"):
        assert claims.recompute(claim_id) == claims.recompute(claim_id)
