"""Box formats, overlaps and coding against torchvision; what torchvision leaves open by hand."""

import itertools
import math

import pytest
import torch
import torchvision.ops as reference
from detection_cases import boxes_of, randn, random_boxes, some, whole_boxes
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder

from cnnlib.detection import boxes as ours

NAN, INF = math.nan, math.inf


def close(a, b):
    assert a.shape == b.shape
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# Formats


@pytest.mark.parametrize(("source", "goal"), list(itertools.product(ours.FORMATS, repeat=2)))
def test_convert_agrees_with_torchvision_and_goes_back(source, goal):
    boxes = reference.box_convert(random_boxes(20), "xyxy", source)
    converted = ours.box_convert(boxes, source, goal)
    close(converted, reference.box_convert(boxes, source, goal))
    close(ours.box_convert(converted, goal, source), boxes)


def test_convert_by_hand():
    box = torch.tensor([10, 20, 40, 25])
    assert ours.box_convert(box, "xyxy", "xywh").tolist() == [10, 20, 30, 5]
    assert ours.box_convert(box, "xyxy", "cxcywh").tolist() == [25.0, 22.5, 30.0, 5.0]
    assert ours.box_convert(box, "xywh", "xyxy").tolist() == [10, 20, 50, 45]
    assert ours.box_convert(box, "cxcywh", "xyxy").tolist() == [-10.0, 7.5, 30.0, 32.5]


def test_convert_returns_a_copy():
    boxes = random_boxes(2)
    ours.box_convert(boxes, "xyxy", "xyxy").zero_()
    assert boxes.abs().sum() > 0


def test_convert_rejects():
    with pytest.raises(ValueError, match="one of xyxy, xywh, cxcywh; got 'yxyx'"):
        ours.box_convert(random_boxes(1), "yxyx", "xyxy")
    with pytest.raises(ValueError, match=r"\(\.\.\., 4\); got \(3, 5\)"):
        ours.box_convert(torch.zeros(3, 5), "xyxy", "xywh")


# Areas and overlaps


@some
@given(whole_boxes(empty=True))
def test_area_agrees_with_torchvision(boxes):
    close(ours.box_area(boxes), reference.box_area(boxes))


def test_area_has_no_plus_one_and_is_never_negative():
    assert ours.box_area(boxes_of([0, 0, 1, 1], [2, 3, 12, 5])).tolist() == [1, 20]
    inverted = boxes_of([5, 0, 0, 5], [0, 5, 5, 0], [5, 5, 0, 0], [3, 3, 3, 9])
    assert ours.box_area(inverted).tolist() == [0, 0, 0, 0]


def test_area_of_half_precision_and_whole_numbers():
    for dtype in (torch.float16, torch.bfloat16, torch.int64, torch.uint8):
        boxes = torch.tensor([[0, 0, 255, 255]], dtype=dtype)
        area = ours.box_area(boxes)
        side = float(boxes[0, 2])  # 256 in bfloat16
        assert area.dtype == torch.float32
        assert area.item() == side * side


@some
@given(whole_boxes(), whole_boxes())
def test_iou_agrees_with_torchvision(boxes1, boxes2):
    close(ours.box_iou(boxes1, boxes2), reference.box_iou(boxes1, boxes2))
    close(ours.generalized_box_iou(boxes1, boxes2), reference.generalized_box_iou(boxes1, boxes2))


@some
@given(whole_boxes(1, empty=True), whole_boxes(1, empty=True))
def test_iou_counts_unit_squares(boxes1, boxes2):
    """Whole boxes are sets of unit squares; sets know their overlap without a formula."""

    def squares(box):
        x1, y1, x2, y2 = (int(edge) for edge in box)
        return set(itertools.product(range(x1, x2), range(y1, y2)))

    iou = ours.box_iou(boxes1, boxes2)
    for (i, a), (j, b) in itertools.product(enumerate(boxes1), enumerate(boxes2)):
        together = squares(a) | squares(b)
        expected = len(squares(a) & squares(b)) / len(together) if together else 0.0
        assert iou[i, j].item() == pytest.approx(expected, abs=1e-15)


@some
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-50, 50))
def test_iou_is_symmetric_and_ignores_scale_and_place(seed, scale, shift):
    a, b = random_boxes(5, seed=seed), random_boxes(6, seed=seed + 1)
    iou = ours.box_iou(a, b)
    assert ((iou >= 0) & (iou <= 1)).all()
    close(iou, ours.box_iou(b, a).T)
    torch.testing.assert_close(iou, ours.box_iou(a * scale + shift, b * scale + shift))
    close(ours.box_iou(a, a).diagonal(), torch.ones(5, dtype=a.dtype))
    giou = ours.generalized_box_iou(a, b)
    assert ((giou >= -1) & (giou <= iou)).all()


def test_boxes_without_area_overlap_nothing():
    empty = boxes_of([3, 3, 3, 3], [3, 3, 3, 8], [6, 3, 3, 8], [9, 9, 3, 3])
    proper = boxes_of([0, 0, 10, 10], [3, 3, 6, 8])
    for others in (empty, proper):
        iou = ours.box_iou(empty, others)
        assert (iou == 0).all()
        assert not ours.generalized_box_iou(empty, others).isnan().any()
    # Two points apart: the enclosing box is covered by neither, the worst there is.
    points = boxes_of([0, 0, 0, 0], [4, 4, 4, 4])
    assert ours.generalized_box_iou(points, points).tolist() == [[0, -1], [-1, 0]]


def test_no_gradient_is_infinite_or_nan_without_area():
    for overlap in (ours.box_iou, ours.generalized_box_iou):
        boxes = boxes_of([3, 3, 3, 8], [3, 3, 3, 3], [0, 0, 9, 9]).requires_grad_()
        overlap(boxes, boxes.detach()).sum().backward()
        assert boxes.grad.isfinite().all()


def test_overlap_of_nan_is_nan_and_of_nothing_is_empty():
    boxes = boxes_of([0, 0, 5, 5], [0, NAN, 5, 5])
    assert ours.box_iou(boxes, boxes).isnan().tolist() == [[False, True], [True, True]]
    none = boxes_of()
    assert ours.box_iou(none, boxes).shape == (0, 2)
    assert ours.generalized_box_iou(boxes, none).shape == (2, 0)
    assert ours.box_area(none).shape == (0,)


def test_gradients_of_overlaps_agree_with_torchvision():
    for mine, theirs in (
        (ours.box_iou, reference.box_iou),
        (ours.generalized_box_iou, reference.generalized_box_iou),
    ):
        grads = []
        for overlap in (mine, theirs):
            a = random_boxes(8).requires_grad_()
            b = random_boxes(7, seed=1).requires_grad_()
            (overlap(a, b) * randn(8, 7)).sum().backward()
            grads.append((a.grad, b.grad))
        close(grads[0][0], grads[1][0])
        close(grads[0][1], grads[1][1])


def test_overlaps_reject_wrong_shapes():
    with pytest.raises(ValueError, match=r"boxes2 must have shape \(N, 4\); got \(4,\)"):
        ours.box_iou(torch.zeros(1, 4), torch.zeros(4))


# Pictures


@some
@given(st.integers(0, 1000))
def test_clip_and_remove_small_agree_with_torchvision(seed):
    boxes = random_boxes(20, seed=seed) - 20
    clipped = ours.clip_boxes_to_image(boxes, (50, 70))
    close(clipped, reference.clip_boxes_to_image(boxes, (50, 70)))
    for size in (0.0, 1e-3, 10.0):
        keep = ours.remove_small_boxes(clipped, size)
        assert keep.tolist() == reference.remove_small_boxes(clipped, size).tolist()


def test_clip_takes_height_first_and_empties_boxes_outside():
    boxes = boxes_of([-5, -5, 90, 90], [200, 0, 300, 10], [-9, -9, -1, -1], [0, 0, INF, INF])
    clipped = ours.clip_boxes_to_image(boxes, (50, 70))
    assert clipped[[0, 3]].tolist() == [[0, 0, 70, 50], [0, 0, 70, 50]]
    assert ours.box_area(clipped[1:3]).tolist() == [0, 0]
    assert ours.clip_boxes_to_image(boxes_of([NAN, 0, 1, 1]), (5, 5)).isnan().any()


def test_remove_small_drops_nan_and_inverted_boxes():
    boxes = boxes_of([0, 0, 2, 2], [0, 0, NAN, 2], [5, 5, 1, 9], [0, 0, 2, 1.9])
    assert ours.remove_small_boxes(boxes, 2).tolist() == [0]
    assert ours.remove_small_boxes(boxes_of(), 2).tolist() == []


def test_masks_to_boxes_against_torchvision():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(30, 7, 11, generator=generator) > 0.93
    masks = masks[masks.flatten(1).any(1)]
    # torchvision gives the first and last pixel, we the edges: one more to the right and below.
    expected = reference.masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(ours.masks_to_boxes(masks), expected)


def test_masks_to_boxes_by_hand():
    masks = torch.zeros(3, 5, 6)
    masks[0, 2, 4] = 0.5
    masks[1] = 1
    assert ours.masks_to_boxes(masks).tolist() == [[4, 2, 5, 3], [0, 0, 6, 5], [0, 0, 0, 0]]
    assert ours.masks_to_boxes(torch.zeros(0, 5, 6)).shape == (0, 4)
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        ours.masks_to_boxes(torch.zeros(5, 6))


# Coding


@some
@given(
    st.integers(0, 1000), st.tuples(*[st.sampled_from([0.1, 1.0, 5.0, 10.0])] * 4), st.booleans()
)
def test_coding_agrees_with_torchvision_and_goes_back(seed, weights, single):
    dtype = torch.float32 if single else torch.float64
    boxes = random_boxes(10, seed=seed, dtype=dtype)
    anchors = random_boxes(10, seed=seed + 1, dtype=dtype)
    coder = BoxCoder(weights)
    deltas = ours.encode_boxes(boxes, anchors, weights)
    torch.testing.assert_close(deltas, coder.encode_single(boxes, anchors))
    decoded = ours.decode_boxes(deltas, anchors, weights)
    torch.testing.assert_close(decoded, coder.decode_single(deltas, anchors))
    torch.testing.assert_close(decoded, boxes, rtol=1e-4, atol=1e-4)


def test_encoding_by_hand():
    anchor = boxes_of([0, 0, 10, 20])  # centre (5, 10)
    box = boxes_of([5, 0, 25, 20])  # centre (15, 10), twice as wide
    assert ours.encode_boxes(box, anchor).tolist() == [[1.0, 0.0, math.log(2), 0.0]]
    weighted = ours.encode_boxes(box, anchor, (10, 10, 5, 5))
    assert weighted.tolist() == [[10.0, 0.0, 5 * math.log(2), 0.0]]
    assert ours.decode_boxes(torch.zeros(1, 4), anchor).tolist() == anchor.tolist()


def test_decoding_of_boxes_per_class_and_its_limit():
    anchors = random_boxes(6)
    deltas = randn(6, 3, 4) * 5  # some beyond the limit
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    expected = coder.decode_single(deltas.flatten(1), anchors).reshape(6, 3, 4)
    close(ours.decode_boxes(deltas, anchors[:, None]), expected)
    huge = ours.decode_boxes(boxes_of([0, 0, 1e6, 1e6]), boxes_of([0, 0, 16, 16]))
    torch.testing.assert_close(huge, boxes_of([-492, -492, 508, 508]))
    assert ours.decode_boxes(torch.zeros(0, 3, 4), torch.zeros(0, 1, 4)).shape == (0, 3, 4)


def test_gradients_of_coding_agree_with_torchvision():
    grads = []
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    for decode in (
        lambda d, a: ours.decode_boxes(d, a, (10.0, 10.0, 5.0, 5.0)),
        coder.decode_single,
    ):
        deltas = (randn(9, 4) * 3).requires_grad_()
        (decode(deltas, random_boxes(9)) * randn(9, 4, seed=1)).sum().backward()
        grads.append(deltas.grad)
    close(*grads)


# The door


def test_check_boxes_accepts_ground_truth():
    ours.check_boxes(random_boxes(5))
    ours.check_boxes(boxes_of())


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (torch.zeros(4), r"truth must have shape \(N, 4\)"),
        (torch.zeros(2, 5), r"truth must have shape \(N, 4\)"),
        (torch.tensor([[0, 0, 1, 1]]), "floating point; got torch.int64"),
        (boxes_of([0, 0, 1, 1], [0, 0, 0, 1]), r"number 1 is \(0.0, 0.0, 0.0, 1.0\)"),
        (boxes_of([4, 0, 1, 1]), "number 0"),
        (boxes_of([0, 0, NAN, 1]), "finite"),
        (boxes_of([0, 0, INF, 1]), "finite"),
    ],
)
def test_check_boxes_says_what_is_wrong(boxes, message):
    with pytest.raises(ValueError, match=message):
        ours.check_boxes(boxes, "truth")
