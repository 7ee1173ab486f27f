"""The comparison of computed values with sentences: what it finds, and that it can say no."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlib.claims import CLAIMS, REGISTRY, compare, printed_numbers, recompute, recomputes
from cnnlib.claims.registry import flat, needs_recomputation, read_number, unexplained


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("55x55x96 = 290,400 values", ["55", "55", "96", "290,400"]),
        ("N = 2,2,3,3,3, M = 5", ["2", "2", "3", "3", "3", "5"]),
        ("LeNet-5, C3, conv3-5, r_(l-1), 27C^2", ["27"]),
        ("a 7.1x blow-up of 75%", ["7.1", "75"]),
        ("order 0,3,1,4,2,5 of 512,512,14", ["0", "3", "1", "4", "2", "5", "512", "512", "14"]),
        ("minimum -0.2785 at x = -1.278", ["-0.2785", "-1.278"]),
        ("16-19 layers, 64-192-384 filters", ["16", "19", "64", "192", "384"]),
        ("alpha = 1e-4, 60e4 steps", ["1e-4", "60e4"]),
        ("138M, 150K and 15.47 G, but 96 MB", ["138M", "150K", "15.47 G", "96"]),
        ("34,848, then 1,470.5.", ["34,848", "1,470.5"]),
        ("float32 and ReLU6(x+3)/6", ["3", "6"]),
    ],
)
def test_numbers_are_found_in_sentences(text, numbers):
    assert printed_numbers(text) == numbers


@pytest.mark.parametrize(
    ("printed", "value", "step"),
    [
        ("7.10", 7.1, 0.01),
        ("34,848", 34848, 1),
        ("138M", 138e6, 1e6),
        ("15.47 G", 15.47e9, 1e7),
        ("1e-4", 1e-4, 1e-4),
        ("-1.278", -1.278, 1e-3),
    ],
)
def test_printed_numbers_are_read_with_their_last_digit(printed, value, step):
    assert read_number(printed) == pytest.approx((value, step))


def test_comparison_refuses_a_number_that_was_not_computed():
    right = {"matrix": (96, 363), "weights": 34848, "with biases": 34944}
    assert compare("layers.c13", right) == []
    for name, value in [("matrix", (96, 364)), ("weights", 34849), ("with biases", 34848)]:
        (line, *_) = compare("layers.c13", {**right, name: value})
        assert line.startswith("layers.c13: ")
        assert "was not computed" in line


@pytest.mark.parametrize(
    ("text", "values", "missing"),
    [
        ("7.1", {"ratio": 7.103}, []),
        ("7.1", {"ratio": 7.16}, ["7.1"]),
        ("1", {"yes": True}, ["1"]),
        ("138M", {"in millions": 138}, ["138M"]),
        ("138M", {"parameters": 138_357_544}, []),
        ("139M", {"parameters": 138_357_544}, ["139M"]),
        ("-0.5", {"value": 0.5}, ["-0.5"]),
        ("1e-4", {"alpha": 2e-4}, ["1e-4"]),
        ("1e-4", {"alpha": 1e-4}, []),
    ],
)
def test_a_value_must_round_to_the_printed_digits(text, values, missing):
    assert unexplained(text, values) == missing


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(-(10**9), 10**9), st.integers(0, 4))
def test_a_number_explains_itself_and_not_its_neighbour(units, decimals):
    printed = f"{units / 10**decimals:,.{decimals}f}"
    number, step = read_number(printed)
    assert unexplained(f"is {printed} here", number + 0.4 * step) == []
    assert unexplained(f"is {printed} here", number + 0.6 * step) == [printed]


def test_values_may_be_nested_and_truth_is_no_number():
    assert flat({"a": (1, [2.5, {"b": 3}]), "c": True, "d": "4"}) == [1, 2.5, 3]


def test_a_wrong_value_of_the_notes_is_held_against_a_correct_verdict(monkeypatch):
    values = recompute("layers.c12")
    assert compare("layers.c12", values) == []
    monkeypatch.setitem(CLAIMS, "layers.c12", {**CLAIMS["layers.c12"], "notes_value": "55x55x97"})
    assert compare("layers.c12", values) == [
        f"layers.c12: 97 (notes) was not computed; computed: {values}"
    ]


def test_every_quoted_number_is_needed():
    """A constant that stands in no sentence would only widen the sieve."""
    for claim_id, recomputation in REGISTRY.items():
        row = CLAIMS[claim_id]
        text = row["correct_value"] + " " + row["notes_value"] * (row["verdict"] == "correct")
        printed = [read_number(number)[0] for number in printed_numbers(text)]
        for number in recomputation.quoted:
            assert any(abs(number - value) < 1e-9 for value in printed), (claim_id, number)


def test_registering_is_refused_for_a_row_that_is_taken_or_unknown():
    with pytest.raises(ValueError, match="twice"):
        recomputes("layers.c13")(dict)
    with pytest.raises(KeyError, match=r"layers\.c99"):
        recomputes("layers.c99")(dict)
    with pytest.raises(KeyError, match=r"classic\.c01"):
        recompute("classic.c01")
    assert "layers.c99" not in REGISTRY


def test_history_and_hyper_parameters_need_no_recomputation():
    assert not needs_recomputation(CLAIMS["classic.c01"])
    assert not needs_recomputation({"how_to_recompute": "(n/a) compare layer tables"})
    assert needs_recomputation(CLAIMS["classic.c03"])
