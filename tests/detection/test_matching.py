"""Matching and sampling: against torchvision's Matcher, the paper's rules, and by property."""

import math

import pytest
import torch
from detection_cases import boxes_of, random_boxes, some
from hypothesis import assume, given
from hypothesis import strategies as st
from torchvision.models.detection._utils import Matcher

from cnnlib.detection.boxes import box_iou
from cnnlib.detection.matching import (
    BACKGROUND,
    IGNORED,
    match,
    objectness_labels,
    sample_balanced,
)

# Matching


@st.composite
def overlaps(draw):
    """A table of overlaps with few values, so that there are ties and bare thresholds."""
    objects, anchors = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    value = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    rows = [[draw(value) for _ in range(anchors)] for _ in range(objects)]
    return torch.tensor(rows, dtype=torch.float64)


@some
@given(overlaps(), st.sampled_from([(0.7, 0.3), (0.5, 0.5), (0.5, 0.1)]), st.booleans())
def test_agrees_with_torchvision(iou, thresholds, keep_best):
    # An object that meets no anchor is where we differ on purpose.
    assume(not keep_best or (iou.max(dim=1).values > 0).all())
    expected = Matcher(*thresholds, allow_low_quality_matches=keep_best)(iou)
    assert Matcher.BELOW_LOW_THRESHOLD == BACKGROUND
    assert Matcher.BETWEEN_THRESHOLDS == IGNORED
    assert torch.equal(match(iou, *thresholds, keep_best=keep_best), expected)


@some
@given(overlaps())
def test_the_rules_of_the_paper(iou):
    """Section 3.1.2, spelled out anchor by anchor."""
    table = iou.tolist()
    for anchor, matched in enumerate(match(iou, 0.7, 0.3, keep_best=True).tolist()):
        column = [row[anchor] for row in table]
        is_best = any(row[anchor] == max(row) > 0 for row in table)
        if max(column) >= 0.7 or is_best:
            assert column[matched] == max(column)
        elif max(column) < 0.3:
            assert matched == BACKGROUND
        else:
            assert matched == IGNORED


def test_by_hand():
    objects = boxes_of([0, 0, 10, 10], [20, 0, 24, 4])
    anchors = boxes_of(
        [0, 0, 10, 10],  # exactly the first object
        [0, 0, 10, 5],  # half of it: ignored
        [0, 0, 10, 2],  # a fifth of it: background
        [20, 0, 28, 8],  # a quarter, but the second object's best
        [50, 50, 60, 60],
    )
    iou = box_iou(objects, anchors)
    without = [0, IGNORED, BACKGROUND, BACKGROUND, BACKGROUND]
    assert match(iou, 0.7, 0.3).tolist() == without
    assert match(iou, 0.7, 0.3, keep_best=True).tolist() == [0, IGNORED, BACKGROUND, 1, BACKGROUND]


def test_all_of_several_equally_good_anchors_are_kept():
    iou = torch.tensor([[0.2, 0.4, 0.4, 0.1]])
    assert match(iou, 0.7, 0.3, keep_best=True).tolist() == [BACKGROUND, 0, 0, BACKGROUND]


def test_a_best_anchor_goes_to_the_object_it_overlaps_most():
    iou = torch.tensor([[0.6, 0.0], [0.4, 0.0]])  # anchor 0 is the best of both objects
    assert match(iou, 0.7, 0.3, keep_best=True).tolist() == [0, BACKGROUND]


def test_an_object_that_no_anchor_meets_makes_none_positive():
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.2, 0.0]])
    ours = match(iou, 0.7, 0.3, keep_best=True)
    assert ours.tolist() == [1, BACKGROUND, BACKGROUND]
    # Why we differ: of their positives, one overlaps its object by 0.2 and one not at all.
    assert Matcher(0.7, 0.3, allow_low_quality_matches=True)(iou).tolist() == [1, 1, 0]


def test_pictures_without_objects_or_anchors():
    assert match(torch.zeros(0, 3), 0.7, 0.3, keep_best=True).tolist() == [BACKGROUND] * 3
    assert match(torch.zeros(2, 0), 0.7, 0.3, keep_best=True).tolist() == []
    assert match(torch.zeros(0, 0), 0.7, 0.3).dtype == torch.int64


def test_nan_is_ignored():
    iou = torch.tensor([[math.nan, 0.9, 0.1]])
    for keep_best in (False, True):
        assert match(iou, 0.7, 0.3, keep_best=keep_best).tolist() == [IGNORED, 0, BACKGROUND]


def test_match_rejects():
    with pytest.raises(ValueError, match=r"\(objects, anchors\); got \(3,\)"):
        match(torch.zeros(3), 0.7, 0.3)
    with pytest.raises(ValueError, match=r"negative_below \(0.7\) must not be greater"):
        match(torch.zeros(1, 3), 0.3, 0.7)


# Sampling


@some
@given(
    st.lists(st.sampled_from([-1, 0, 0, 0, 1, 2]), max_size=60),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_samples_are_what_they_should_be(labels, count, fraction):
    labels = torch.tensor(labels)
    generator = torch.Generator().manual_seed(0)
    positives, negatives = sample_balanced(labels, count, fraction, generator=generator)
    assert (labels[positives] > 0).all()
    assert (labels[negatives] == 0).all()
    assert len(set(positives.tolist())) == len(positives)
    assert len(set(negatives.tolist())) == len(negatives)
    assert len(positives) == min((labels > 0).sum(), int(count * fraction))
    assert len(negatives) == min((labels == 0).sum(), count - len(positives))


def test_every_anchor_has_the_same_chance():
    labels = torch.tensor([1] * 10 + [0] * 10)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.zeros(20)
    rounds = 1000
    for _ in range(rounds):
        positives, negatives = sample_balanced(labels, 8, 0.5, generator=generator)
        drawn[positives] += 1
        drawn[negatives] += 1
    # Binomial with p = 4/10: standard deviation sqrt(1000 · 0.24) = 15.5.
    assert ((drawn - 0.4 * rounds).abs() < 5 * 15.5).all()


def test_a_generator_makes_the_draw_repeatable():
    labels = torch.arange(100) % 2
    draws = [
        torch.cat(sample_balanced(labels, 20, 0.5, generator=torch.Generator().manual_seed(seed)))
        for seed in (3, 3, 4)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    torch.manual_seed(5)
    first = torch.cat(sample_balanced(labels, 20, 0.5))
    torch.manual_seed(5)
    assert torch.equal(first, torch.cat(sample_balanced(labels, 20, 0.5)))


def test_labels_from_a_match_can_be_sampled():
    iou = box_iou(random_boxes(3), random_boxes(200, seed=1))
    matched = match(iou, 0.5, 0.3, keep_best=True)
    assert set(matched.tolist()) >= {BACKGROUND, IGNORED, 0}
    labels = objectness_labels(matched)
    positives, negatives = sample_balanced(labels, 32, 0.5)
    assert (matched[positives] >= 0).all()
    assert (matched[negatives] == BACKGROUND).all()
    assert len(positives) + len(negatives) == 32


def test_labels_forget_the_object():
    assert objectness_labels(torch.tensor([3, BACKGROUND, 0, IGNORED])).tolist() == [1, 0, 1, -1]


def test_sampling_rejects():
    labels = torch.zeros(4)
    for bad in ((0, 0.5), (4, -0.1), (4, 1.1), (4, math.nan)):
        with pytest.raises(ValueError, match="count must be at least 1"):
            sample_balanced(labels, *bad)
    with pytest.raises(ValueError, match=r"\(A,\); got \(2, 2\)"):
        sample_balanced(torch.zeros(2, 2), 4, 0.5)
