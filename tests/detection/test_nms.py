"""Non-maximum suppression against the literal loop and torchvision's compiled code."""

import math
from unittest import mock

import pytest
import torch
import torchvision.ops as reference
from detection_cases import boxes_of, random_boxes, some, whole_boxes
from hypothesis import given
from hypothesis import strategies as st

from cnnlib.detection import nms as module
from cnnlib.detection.nms import batched_nms, nms


def literal_nms(boxes, scores, threshold, groups=None):
    """The rule as the sentence says it, on plain numbers."""

    def iou(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        if width <= 0 or height <= 0:
            return 0.0
        area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return width * height / (area[0] + area[1] - width * height)

    boxes, scores = boxes.tolist(), scores.tolist()
    rest = sorted(range(len(boxes)), key=lambda i: -scores[i])  # sorted() is stable
    kept = []
    while rest:
        best = rest.pop(0)
        kept.append(best)
        rest = [
            i
            for i in rest
            if iou(boxes[best], boxes[i]) <= threshold
            or (groups is not None and groups[i] != groups[best])
        ]
    return kept


@given(
    whole_boxes(max_count=15, empty=True),
    st.lists(st.integers(0, 5), min_size=15, max_size=15),  # few values, so many ties
    st.lists(st.integers(0, 2), min_size=15, max_size=15),
    st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    st.sampled_from([1, 2, 3, 5, 256]),  # small blocks, so that few boxes cross their borders
)
@some
def test_equals_the_literal_loop(boxes, scores, groups, threshold, block):
    scores = torch.tensor(scores[: len(boxes)], dtype=torch.float64)
    groups = torch.tensor(groups[: len(boxes)], dtype=torch.int64)
    with mock.patch.object(module, "BLOCK", block):
        assert nms(boxes, scores, threshold).tolist() == literal_nms(boxes, scores, threshold)
        expected = literal_nms(boxes, scores, threshold, groups.tolist())
        for at_once in (1, 2, 64):
            with mock.patch.object(module, "GROUPS_AT_ONCE", at_once):
                assert batched_nms(boxes, scores, groups, threshold).tolist() == expected


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchvision_on_many_boxes(threshold, dtype):
    boxes = random_boxes(1500, size=300.0, dtype=dtype)
    scores = torch.rand(1500, generator=torch.Generator().manual_seed(1), dtype=dtype)
    kept = nms(boxes, scores, threshold)
    assert kept.dtype == torch.int64
    assert torch.equal(kept, reference.nms(boxes, scores, threshold))
    assert 0 < len(kept) < 1500
    groups = torch.arange(1500) % 7
    kept = batched_nms(boxes, scores, groups, threshold)
    assert torch.equal(kept, reference.batched_nms(boxes, scores, groups, threshold))


def test_a_long_chain_of_suppressions():
    """Every box would drop the next: kept are exactly every second one."""
    count = 700
    left = torch.arange(count, dtype=torch.float64)
    boxes = torch.stack([left, left * 0, left + 2, left * 0 + 1], dim=1)  # IoU 1/3 with the next
    scores = -left
    assert nms(boxes, scores, 0.3).tolist() == list(range(0, count, 2))


def test_exactly_the_threshold_is_not_too_much():
    boxes = boxes_of([0, 0, 2, 1], [1, 0, 3, 1])  # IoU exactly 1/3
    scores = torch.tensor([0.9, 0.8])
    third = 1 / 3
    assert nms(boxes, scores, third).tolist() == [0, 1]
    assert nms(boxes, scores, math.nextafter(third, 0)).tolist() == [0]


def test_groups_do_not_meet_wherever_they_are():
    boxes = boxes_of([0, 0, 4, 4]).repeat(4, 1) - 1000
    scores = torch.tensor([0.1, 0.4, 0.3, 0.2])
    groups = torch.tensor([-7, 10**9, -7, 10**9])
    assert batched_nms(boxes, scores, groups, 0.5).tolist() == [1, 2]


def test_boxes_that_overlap_nothing_stay():
    boxes = boxes_of([1, 1, 1, 1], [1, 1, 1, 1], [0, 0, math.nan, 2], [0, 0, 2, 2], [0, 0, 2, 2])
    scores = torch.tensor([5.0, 4.0, 3.0, 2.0, math.inf])
    assert nms(boxes, scores, 0.5).tolist() == [4, 0, 1, 2]


def test_no_boxes():
    none = torch.zeros(0, 4), torch.zeros(0)
    assert nms(*none, 0.5).tolist() == []
    assert nms(*none, 0.5).dtype == torch.int64
    assert batched_nms(*none, torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []


@pytest.mark.parametrize(
    ("boxes", "scores", "threshold", "message"),
    [
        (torch.zeros(3, 5), torch.zeros(3), 0.5, r"\(3, 5\)"),
        (torch.zeros(3, 4), torch.zeros(2), 0.5, r"scores \(N,\); got \(3, 4\) and \(2,\)"),
        (torch.zeros(3, 4), torch.zeros(3), 1.5, "from 0 to 1; got 1.5"),
        (torch.zeros(3, 4), torch.zeros(3), math.nan, "from 0 to 1"),
        (torch.zeros(1, 4), torch.tensor([math.nan]), 0.5, "score is NaN"),
    ],
)
def test_rejects(boxes, scores, threshold, message):
    with pytest.raises(ValueError, match=message):
        nms(boxes, scores, threshold)


def test_groups_must_be_whole_numbers_one_a_box():
    boxes, scores = random_boxes(3), torch.rand(3)
    for groups in (torch.zeros(3), torch.zeros(2, dtype=torch.int64)):
        with pytest.raises(ValueError, match="groups must be 3 whole numbers"):
            batched_nms(boxes, scores, groups, 0.5)
