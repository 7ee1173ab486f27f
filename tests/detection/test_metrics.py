"""Average precision: by hand, against scikit-learn, and against the rules counted out in full."""

import math

import pytest
import torch
from detection_cases import boxes_of, random_boxes, some, whole_boxes
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from cnnlib.detection import metrics as ours
from cnnlib.detection.boxes import box_iou
from cnnlib.detection.metrics import (
    average_precision,
    coco_summary,
    evaluate_detections,
    match_detections,
    precision_recall,
    proposal_recall,
)

NAN = math.nan


def tensor(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def bools(*values):
    return torch.tensor([bool(v) for v in values])


@st.composite
def ranked_lists(draw, distinct=False):
    """Scores, which detections are right, and how many objects there are."""
    correct = draw(st.lists(st.booleans(), min_size=1, max_size=30))
    scores = draw(
        st.lists(
            st.integers(0, 10**6 if distinct else 4),
            min_size=len(correct),
            max_size=len(correct),
            unique=distinct,
        )
    )
    missed = draw(st.integers(0, 10))
    return torch.tensor(scores, dtype=torch.float64), bools(*correct), sum(correct) + missed


def counted_ap(scores, correct, num_objects, recalls):
    """Mean over recalls of the best precision at this recall or a higher one, list by list."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i].item())
    prefixes = []
    for length in range(1, len(order) + 1):
        found = sum(correct[i].item() for i in order[:length])
        prefixes.append((found, found / length))
    best = [
        max([p for found, p in prefixes if found / num_objects >= r], default=0.0) for r in recalls
    ]
    return sum(best) / len(best)


# From a ranked list to a number


def test_a_list_by_hand():
    """Five boxes for three objects: right, wrong, right, wrong, wrong."""
    scores = tensor(0.9, 0.8, 0.7, 0.6, 0.5)
    precision, recall = precision_recall(scores, bools(1, 0, 1, 0, 0), 3)
    assert precision.tolist() == [1, 1 / 2, 2 / 3, 2 / 4, 2 / 5]
    assert recall.tolist() == [1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3]
    # Steps of the envelope: precision 1 up to recall 1/3, 2/3 up to 2/3, then nothing.
    assert average_precision(precision, recall) == pytest.approx(1 / 3 + 2 / 9)
    # Recalls 0 to 0.3 have 1, 0.4 to 0.6 have 2/3, the other four 0.
    assert average_precision(precision, recall, "11-point") == pytest.approx((4 + 3 * 2 / 3) / 11)
    # 0 to 0.33 are 34 points, 0.34 to 0.66 are 33.
    assert average_precision(precision, recall, "101-point") == pytest.approx(
        (34 + 33 * 2 / 3) / 101
    )


@some
@given(ranked_lists())
def test_the_three_curves_counted_out(ranking):
    scores, correct, num_objects = ranking
    if num_objects == 0:
        precision, recall = precision_recall(scores, correct, 0)
        assert all(math.isnan(average_precision(precision, recall, c)) for c in ours.CURVES)
        return
    precision, recall = precision_recall(scores, correct, num_objects)
    recalls = {
        # The area is the mean over the objects: each adds a step of width 1 / G.
        "all-point": [(k + 1) / num_objects for k in range(num_objects)],
        "11-point": [k / 10 for k in range(11)],
        "101-point": ours.COCO_RECALLS.tolist(),
    }
    for curve, points in recalls.items():
        expected = counted_ap(scores, correct, num_objects, points)
        assert average_precision(precision, recall, curve) == pytest.approx(expected, abs=1e-12)


@some
@given(ranked_lists(distinct=True))
def test_agrees_with_scikit_learn(ranking):
    scores, correct, _ = ranking
    if not correct.any():
        return  # scikit-learn warns that there is nothing to find
    precision, recall = precision_recall(scores, correct, int(correct.sum()))
    reference = precision_recall_curve(correct.numpy(), scores.numpy())
    # Theirs runs from the lowest threshold to the highest and appends the point (1, 0).
    assert precision.tolist() == pytest.approx(reference[0][:-1][::-1].tolist())
    assert recall.tolist() == pytest.approx(reference[1][:-1][::-1].tolist())
    # Their average precision leaves the zigzag in. Removing it can only raise the area.
    zigzag = (recall.diff(prepend=tensor(0.0)) * precision).sum().item()
    assert zigzag == pytest.approx(average_precision_score(correct.numpy(), scores.numpy()))
    assert average_precision(precision, recall) >= zigzag - 1e-12
    falling = torch.cummax(precision.flip(0), dim=0).values.flip(0)
    assert average_precision(falling, recall) == pytest.approx(average_precision(precision, recall))


def test_perfect_and_useless_detectors():
    for curve in ours.CURVES:
        assert average_precision(*precision_recall(tensor(3, 2, 1), bools(1, 1, 1), 3), curve) == 1
        assert average_precision(*precision_recall(tensor(3, 2, 1), bools(0, 0, 0), 3), curve) == 0
        assert average_precision(*precision_recall(tensor(), bools(), 3), curve) == 0
        assert math.isnan(average_precision(*precision_recall(tensor(1), bools(0), 0), curve))


def test_of_equal_scores_the_earlier_counts_first():
    first = average_precision(*precision_recall(tensor(1, 1), bools(1, 0), 1))
    second = average_precision(*precision_recall(tensor(1, 1), bools(0, 1), 1))
    assert (first, second) == (1, 0.5)


def test_a_recall_of_exactly_three_tenths_reaches_the_point():
    """3/10 and 3 · 0.1 differ in the last digit; only the first is what the rule means."""
    precision, recall = precision_recall(torch.arange(3.0), bools(1, 1, 1), 10)
    assert average_precision(precision, recall, "11-point") == pytest.approx(4 / 11)


def test_curves_reject():
    with pytest.raises(ValueError, match="score is NaN"):
        precision_recall(tensor(1, NAN), bools(1, 0), 1)
    with pytest.raises(ValueError, match="2 detections are correct, but there are 1 objects"):
        precision_recall(tensor(1, 2), bools(1, 1), 1)
    with pytest.raises(ValueError, match=r"shape \(D,\); got \(2,\) and \(1,\)"):
        precision_recall(tensor(1, 2), bools(1), 1)
    with pytest.raises(ValueError, match="recall must not fall"):
        average_precision(tensor(1, 1), tensor(0.5, 0.4))
    with pytest.raises(ValueError, match="curve must be one of 11-point, all-point, 101-point"):
        average_precision(tensor(1), tensor(1), "12-point")
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        average_precision(tensor(1, 1), tensor(1))


# Which object a detection has found


def test_a_second_box_on_the_same_object_is_false():
    iou = tensor([0.6], [0.9], [0.4])
    assert match_detections(iou, 0.5).tolist() == [0, -1, -1]


def test_where_the_two_rules_differ():
    """Both boxes overlap object 0 most. COCO gives the second one the object that is left."""
    iou = tensor([0.9, 0.0], [0.8, 0.6])
    assert match_detections(iou, 0.5, rule="coco").tolist() == [0, 1]
    assert match_detections(iou, 0.5, rule="voc").tolist() == [0, -1]


def test_ignored_objects():
    iou = tensor([0.9, 0.6], [0.9, 0.0], [0.9, 0.0])
    ignored = bools(1, 0)
    # COCO prefers the object that is asked for; what is ignored can absorb one box.
    assert match_detections(iou, 0.5, ignored=ignored).tolist() == [1, -2, -1]
    # VOC looks at the best overlap only, and difficult objects absorb any number.
    assert match_detections(iou, 0.5, ignored=ignored, rule="voc").tolist() == [-2, -2, -2]


def test_a_crowd_absorbs_any_number():
    iou = tensor([0.9, 0.0], [0.9, 0.0], [0.9, 0.7], [0.9, 0.0])
    assert match_detections(iou, 0.5, crowd=bools(1, 0)).tolist() == [-2, -2, 1, -2]


def test_exactly_the_threshold_is_found():
    assert match_detections(tensor([0.5]), 0.5).tolist() == [0]
    assert match_detections(tensor([1.0 - 1e-12]), 1.0).tolist() == [0]


@pytest.mark.parametrize("rule", ["coco", "voc"])
def test_nothing_to_match(rule):
    assert match_detections(torch.zeros(2, 0), 0.5, rule=rule).tolist() == [-1, -1]
    assert match_detections(torch.zeros(0, 3), 0.5, rule=rule).tolist() == []
    assert match_detections(tensor([NAN, 0.7]), 0.5, rule=rule).tolist() == [1]
    assert match_detections(tensor([NAN, NAN]), 0.5, rule=rule).tolist() == [-1]


def test_matching_rejects():
    with pytest.raises(ValueError, match=r"\(detections, objects\)"):
        match_detections(torch.zeros(3), 0.5)
    with pytest.raises(ValueError, match="rule must be"):
        match_detections(torch.zeros(1, 1), 0.5, rule="pascal")
    with pytest.raises(ValueError, match=r"crowd must have shape \(2,\); got \(1,\)"):
        match_detections(torch.zeros(1, 2), 0.5, crowd=bools(1))
    with pytest.raises(ValueError, match="threshold must be above 0"):
        match_detections(torch.zeros(1, 2), 0.0)


def test_crowd_overlap_and_mask_iou():
    box, crowd = boxes_of([0, 0, 4, 4]), boxes_of([2, 0, 100, 100], [3, 3, 3, 3])
    assert ours.crowd_overlap(box, crowd).tolist() == [[0.5, 0.0]]
    assert ours.crowd_overlap(boxes_of([1, 1, 1, 1]), crowd).tolist() == [[0, 0]]
    # Masks that are full boxes have the overlap of the boxes.
    boxes = torch.cat([boxes_of([0, 0, 4, 4], [2, 1, 7, 5], [3, 3, 3, 3])])
    masks = torch.zeros(3, 8, 8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    torch.testing.assert_close(ours.mask_iou(masks, masks), box_iou(boxes, boxes))
    share = ours.mask_iou(masks, masks, bools(0, 1, 0))
    assert share[0].tolist() == pytest.approx([1, 6 / 16, 0])
    with pytest.raises(ValueError, match=r"\(D, H, W\)"):
        ours.mask_iou(masks, masks[0])


# Whole data sets


def picture(boxes, labels, scores=None, **more):
    given = {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}
    if scores is not None:
        given["scores"] = tensor(*scores)
    return given | more


@st.composite
def data_sets(draw):
    """A few pictures with boxes that tie, repeat and touch, some crowds and ignored objects."""
    detections, truths = [], []
    for _ in range(draw(st.integers(1, 3))):
        boxes, objects = draw(whole_boxes(max_count=8, empty=True)), draw(whole_boxes(max_count=5))
        # Some detections are exact, or overlaps would rarely be high.
        if len(objects) and len(boxes):
            copies = draw(st.lists(st.integers(0, len(objects) - 1), max_size=len(boxes)))
            boxes[: len(copies)] = objects[copies]

        def values(count, low, high):
            return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

        n, g = len(boxes), len(objects)
        detections.append(picture(boxes, values(n, 1, 2), [s / 4 for s in values(n, 0, 4)]))
        marks = {"iscrowd": bools(*(v == 0 for v in values(g, 0, 4)))}
        marks["ignore"] = bools(*(v == 0 for v in values(g, 0, 4)))
        truths.append(picture(objects, values(g, 1, 2), **marks))
    return detections, truths


def coco_by_the_book(detections, truths, label, threshold, limit, area):
    """AP and recall of one class as COCO's rules say, one box and one object at a time."""

    def size(box):
        return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

    def overlap(box, other, is_crowd):
        w = min(box[2], other[2]) - max(box[0], other[0])
        h = min(box[3], other[3]) - max(box[1], other[1])
        common = max(0.0, w) * max(0.0, h)
        whole = size(box) if is_crowd else size(box) + size(other) - common
        return common / whole if whole else 0.0

    ranked, num_objects = [], 0
    for detected, truth in zip(detections, truths, strict=True):
        objects = []
        for i, box in enumerate(truth["boxes"].tolist()):
            if truth["labels"][i] == label:
                crowd = bool(truth["iscrowd"][i])
                unasked = crowd or bool(truth["ignore"][i])
                unasked = unasked or not area[0] <= size(box) <= area[1]
                objects.append({"box": box, "crowd": crowd, "unasked": unasked, "free": True})
        num_objects += sum(not o["unasked"] for o in objects)
        mine = [
            (s, b)
            for s, b, c in zip(
                detected["scores"].tolist(),
                detected["boxes"].tolist(),
                detected["labels"].tolist(),
                strict=True,
            )
            if c == label
        ]
        for score, box in sorted(mine, key=lambda pair: -pair[0])[:limit]:
            choice = None
            for wanted in (False, True):  # first those that are asked for
                best = threshold
                for candidate in objects:
                    if candidate["unasked"] is not wanted:
                        continue
                    if not candidate["free"] and not candidate["crowd"]:
                        continue
                    common = overlap(box, candidate["box"], candidate["crowd"])
                    if common >= best:  # later ones win ties
                        best, choice = common, candidate
                if choice is not None:
                    break
            if choice is None:
                if area[0] <= size(box) <= area[1]:
                    ranked.append((score, False))
            else:
                choice["free"] = False
                if not choice["unasked"]:
                    ranked.append((score, True))
    if num_objects == 0:
        return NAN, NAN
    ranked.sort(key=lambda pair: -pair[0])
    scores, correct = tensor(*(s for s, _ in ranked)), bools(*(c for _, c in ranked))
    recalls = ours.COCO_RECALLS.tolist()
    return counted_ap(scores, correct, num_objects, recalls), int(correct.sum()) / num_objects


@pytest.mark.slow
@some
@given(
    data_sets(),
    st.sampled_from([1, 2, 100]),
    st.sampled_from([(0.0, 1e10), (0.0, 20.0), (10.0, 30.0)]),
)
def test_coco_by_the_book(data, limit, area):
    detections, truths = data
    thresholds = (0.3, 0.5, 1.0)
    found = evaluate_detections(
        detections, truths, thresholds=thresholds, max_detections=limit, area=area
    )
    for column, label in enumerate(found.classes):
        for row, threshold in enumerate(thresholds):
            ap, recall = coco_by_the_book(detections, truths, label, threshold, limit, area)
            assert found.average_precision[row, column] == pytest.approx(ap, nan_ok=True)
            assert found.recall[row, column] == pytest.approx(recall, nan_ok=True)


def test_two_classes_two_pictures_by_hand():
    a, b, c = [0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]
    truths = [picture(boxes_of(a, b), [1, 2]), picture(boxes_of(c), [1])]
    detections = [
        picture(boxes_of(a, b, [0, 0, 10, 8]), [1, 1, 1], [0.9, 0.8, 0.7]),
        picture(boxes_of(c), [1], [0.6]),
    ]
    found = evaluate_detections(detections, truths, benchmark="voc2010")
    assert found.classes == (1, 2)
    assert found.num_objects.tolist() == [2, 1]
    # Class 1: right, wrong (a box of class 2), wrong (duplicate), right: 1/2 · 1 + 1/2 · 2/4.
    assert found.per_class() == {1: pytest.approx(0.75), 2: 0}
    assert found.mean_average_precision == pytest.approx(0.375)
    assert found.mean_recall == pytest.approx(0.5)
    old = evaluate_detections(detections, truths, benchmark="voc2007")
    assert old.per_class()[1] == pytest.approx((6 * 1 + 5 * 0.5) / 11)
    assert evaluate_detections(detections, truths).thresholds == ours.COCO_THRESHOLDS


def test_thresholds_are_averaged_and_can_be_asked_for():
    truths = [picture(boxes_of([0, 0, 10, 10]), [3])]
    detections = [picture(boxes_of([0, 0, 10, 7]), [3], [0.9])]  # IoU 0.7
    found = evaluate_detections(detections, truths)
    assert found.at(0.5) == found.at(0.70) == pytest.approx(1)
    assert found.at(0.75) == 0
    assert found.mean_average_precision == pytest.approx(0.5)  # 0.50 to 0.70 of ten
    with pytest.raises(ValueError, match=r"0.6789 was not evaluated"):
        found.at(0.6789)


def test_difficult_objects_of_voc():
    truths = [picture(boxes_of([0, 0, 10, 10], [20, 0, 30, 10]), [1, 1], ignore=bools(1, 0))]
    boxes = boxes_of([0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10])
    detections = [picture(boxes, [1, 1, 1], [0.9, 0.8, 0.7])]
    found = evaluate_detections(detections, truths, benchmark="voc2010")
    assert found.num_objects.tolist() == [1]
    assert found.mean_average_precision == 1


def test_masks_are_compared_as_masks():
    """Two masks with the same box that share nothing."""
    lower, upper = torch.ones(1, 8, 8).tril(), torch.ones(1, 8, 8).triu(diagonal=1)
    box = boxes_of([0, 0, 8, 8])
    truths = [picture(box, [1], masks=lower)]
    for masks, ap in ((lower, 1.0), (upper, 0.0)):
        detections = [picture(box, [1], [0.9], masks=masks)]
        by_masks = evaluate_detections(detections, truths, by="masks")
        assert by_masks.mean_average_precision == pytest.approx(ap)
        assert evaluate_detections(detections, truths).mean_average_precision == pytest.approx(1)


def test_a_mask_overlap_of_exactly_the_threshold_is_found():
    truth, found = torch.ones(1, 1, 10), torch.ones(1, 1, 10)
    found[..., 7:] = 0
    box = boxes_of([0, 0, 10, 1])
    result = evaluate_detections(
        [picture(box, [1], [0.9], masks=found)], [picture(box, [1], masks=truth)], by="masks"
    )
    assert [result.at(t) for t in (0.65, 0.7, 0.75)] == pytest.approx([1, 1, 0])


def test_the_twelve_numbers():
    sides = (20.0, 60.0, 200.0)
    objects = boxes_of(*([300 * i, 0, 300 * i + side, side] for i, side in enumerate(sides)))
    truths = [picture(objects, [1, 1, 1])]
    # The large object is found best, then the medium one; the small one not at all.
    detections = [picture(objects[[2, 1]], [1, 1], [0.9, 0.8])]
    summary = coco_summary(detections, truths)
    assert len(summary) == 12
    two_thirds = pytest.approx(67 / 101)  # recalls 0 to 0.66 of 101
    assert [summary[name] for name in ("AP", "AP50", "AP75")] == [two_thirds] * 3
    assert [summary[f"AP_{size}"] for size in ours.COCO_AREAS] == pytest.approx([0, 1, 1])
    assert [summary[f"AR_{count}"] for count in (1, 10, 100)] == pytest.approx(
        [1 / 3, 2 / 3, 2 / 3]
    )
    assert [summary[f"AR_{size}"] for size in ours.COCO_AREAS] == pytest.approx([0, 1, 1])


def test_false_boxes_of_another_area_do_not_count():
    """Nobody knows whether the large box is right when only small objects are looked at."""
    truths = [picture(boxes_of([0, 0, 20, 20]), [1])]
    boxes = boxes_of([300, 300, 500, 500], [300, 0, 310, 10], [0, 0, 20, 20])
    detections = [picture(boxes, [1, 1, 1], [0.9, 0.8, 0.7])]
    assert coco_summary(detections, truths)["AP"] == pytest.approx(1 / 3)
    assert coco_summary(detections, truths)["AP_small"] == pytest.approx(1 / 2)


def test_areas_of_the_truth_are_used_where_given():
    """COCO's area is that of the outline, which is less than that of the box."""
    box = boxes_of([0, 0, 40, 40])
    detections = [picture(box, [1], [0.9])]
    for area, size in ((1600.0, "medium"), (900.0, "small")):
        summary = coco_summary(detections, [picture(box, [1], area=tensor(area))])
        others = {"small", "medium", "large"} - {size}
        assert summary[f"AP_{size}"] == pytest.approx(1)
        assert all(math.isnan(summary[f"AP_{other}"]) for other in others)


def test_nothing_there():
    nothing = picture(boxes_of(), [], [])
    empty = evaluate_detections([nothing], [picture(boxes_of(), [])])
    assert empty.classes == ()
    assert math.isnan(empty.mean_average_precision)
    assert math.isnan(evaluate_detections([], []).mean_average_precision)
    object_only = evaluate_detections([nothing], [picture(boxes_of([0, 0, 1, 1]), [7])])
    assert object_only.mean_average_precision == 0
    # A class that occurs only among the detections has no AP, but does not spoil the mean.
    detections = [picture(boxes_of([0, 0, 1, 1], [0, 0, 1, 1]), [7, 8], [0.5, 0.9])]
    found = evaluate_detections(detections, [picture(boxes_of([0, 0, 1, 1]), [7])])
    assert found.mean_average_precision == pytest.approx(1)
    assert math.isnan(found.per_class()[8])


def test_detections_of_strange_boxes_are_false():
    strange = boxes_of([0, 0, NAN, 1], [5, 5, 1, 1], [0, 0, math.inf, 1], [0, 0, 1, 1])
    detections = [picture(strange, [1] * 4, [0.9, 0.8, 0.7, 0.6])]
    found = evaluate_detections(
        detections, [picture(boxes_of([0, 0, 1, 1]), [1])], benchmark="voc2010"
    )
    assert found.mean_average_precision == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("detection", "truth", "message"),
    [
        ({"scores": None}, {}, "picture 0: the detections lack 'scores'"),
        ({}, {"labels": None}, "picture 0: the truth lack 'labels'"),
        ({"scores": tensor(0.5, 0.4)}, {}, r"'scores' of the detections must have shape \(1,\)"),
        ({"boxes": torch.zeros(1, 5)}, {}, r"'boxes' .* \(1, 4\) to fit the labels; got \(1, 5\)"),
        ({}, {"iscrowd": bools(1, 0)}, r"'iscrowd' of the truth must have shape \(1,\)"),
        ({"labels": tensor(1.0)}, {}, "labels of the detections must be whole numbers"),
        ({"scores": tensor(NAN)}, {}, "picture 0: a score is NaN"),
    ],
)
def test_evaluation_says_what_does_not_fit(detection, truth, message):
    good = picture(boxes_of([0, 0, 1, 1]), [1], [0.5])

    def changed(changes):
        return {k: v for k, v in (good | changes).items() if v is not None}

    with pytest.raises(ValueError, match=message):
        evaluate_detections([changed(detection)], [changed(truth)])


def test_evaluation_rejects_settings():
    good = [picture(boxes_of([0, 0, 1, 1]), [1], [0.5])]
    for how, message in (
        ({"benchmark": "voc"}, "benchmark must be"),
        ({"thresholds": ()}, "thresholds must be"),
        ({"thresholds": (0.0,)}, "thresholds must be"),
        ({"max_detections": 0}, "max_detections must be"),
        ({"by": "pixels"}, "by must be"),
        ({"by": "masks"}, "lack 'masks'"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_detections(good, good, **how)
    with pytest.raises(ValueError, match="1 pictures with detections, 0 with truth"):
        evaluate_detections(good, [])


# Proposals


def test_proposal_recall_by_hand():
    objects = [boxes_of([0, 0, 10, 10], [20, 0, 30, 10]), boxes_of(), boxes_of([0, 0, 10, 10])]
    proposals = [
        boxes_of([50, 50, 60, 60], [0, 0, 10, 7], [0, 0, 10, 9]),
        boxes_of([0, 0, 5, 5]),
        boxes_of(),
    ]
    recall = proposal_recall(proposals, objects, (0.5, 0.8, 0.95))
    assert recall.tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    assert proposal_recall(proposals, objects, (0.5, 0.8), limit=2).tolist() == pytest.approx(
        [1 / 3, 0]
    )
    assert proposal_recall(proposals, objects, (0.5,), limit=1).tolist() == [0]
    assert proposal_recall([boxes_of()], [boxes_of()]).isnan().all()


def test_proposal_recall_of_the_objects_themselves_is_one_and_never_grows_with_the_threshold():
    objects = [random_boxes(5), random_boxes(7, seed=1)]
    assert (proposal_recall(objects, objects) == 1).all()
    moved = [boxes + 4 for boxes in objects]
    recall = proposal_recall(moved, objects)
    assert recall.shape == (10,)
    assert (recall.diff() <= 0).all()
    assert 0 < recall.mean() < 1


def test_proposal_recall_rejects():
    with pytest.raises(ValueError, match="1 pictures with proposals, 0 with objects"):
        proposal_recall([boxes_of()], [])
    with pytest.raises(ValueError, match="limit must be at least 1"):
        proposal_recall([boxes_of()], [boxes_of()], limit=0)
