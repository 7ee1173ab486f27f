"""COCO's average precision against the evaluation code of its authors, pycocotools."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cnnlib.detection.boxes import box_area
from cnnlib.detection.metrics import coco_summary, evaluate_detections

NAMES = [
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
]
SIZE = 160  # of the pictures; some objects are larger than 96², COCO's limit of "large"


def evaluation(detections, truths, by="boxes"):
    """COCO's evaluation of the same detections, run but for its summary."""
    with contextlib.redirect_stdout(io.StringIO()):
        gt, dt = dataset(truths, by, truth=True), dataset(detections, by, truth=False)
        found = COCOeval(gt, dt, "segm" if by == "masks" else "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    return found


def dataset(pictures, by, *, truth):
    """What a file of annotations holds, in COCO's own format; written out, so that it may be empty.

    `COCO.loadRes` cannot read a list without detections.
    """
    annotations = []
    for image, picture in enumerate(pictures):
        for index, (box, label) in enumerate(
            zip(picture["boxes"].double().tolist(), picture["labels"].tolist(), strict=True)
        ):
            x1, y1, x2, y2 = box
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": label}
            entry |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
            entry["area"] = max(0, x2 - x1) * max(0, y2 - y1)
            if by == "masks":
                mask = picture["masks"][index].numpy().astype(np.uint8)
                entry["segmentation"] = rle.encode(np.asfortranarray(mask))
                entry["area"] = int(mask.sum())
            if not truth:
                entry["score"] = picture["scores"][index].item()
            for key, value in (("iscrowd", "iscrowd"), ("area", "area")):
                if truth and key in picture:
                    entry[value] = picture[key][index].item()
            annotations.append(entry)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": SIZE, "width": SIZE} for i in range(len(pictures))],
        "categories": [{"id": label} for label in range(1, 5)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def agree(detections, truths, by="boxes"):
    """The twelve numbers, and AP and recall of every class at every threshold."""
    theirs = evaluation(detections, truths, by)
    summary = coco_summary(detections, truths, by=by)
    assert list(summary) == NAMES
    for name, expected in zip(NAMES, theirs.stats, strict=True):
        expected = np.nan if expected == -1 else expected
        assert summary[name] == pytest.approx(expected, nan_ok=True, abs=1e-12), name
    ours = evaluate_detections(detections, truths, by=by)
    precision = theirs.eval["precision"][:, :, :, 0, 2]  # (T, 101, K): all areas, 100 boxes
    recall = theirs.eval["recall"][:, :, 0, 2]
    for column, label in enumerate(ours.classes):
        expected = precision[:, :, label - 1].mean(axis=1)
        expected = np.where(expected == -1, np.nan, expected)
        np.testing.assert_allclose(ours.average_precision[:, column], expected, atol=1e-12)
        reached = recall[:, label - 1]
        reached = np.where(reached == -1, np.nan, reached)
        np.testing.assert_allclose(ours.recall[:, column], reached, atol=1e-12)
    return summary


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def truth(rows, labels=None, **more):
    labels = [1] * len(rows) if labels is None else labels
    return {"boxes": boxes(*rows), "labels": torch.tensor(labels, dtype=torch.int64), **more}


def found(rows, scores, labels=None):
    return truth(rows, labels) | {"scores": torch.tensor(scores, dtype=torch.float64)}


# --- random cases ------------------------------------------------------------------------------


def random_boxes(rng, count):
    """Corners at quarters of a pixel, so that no rounding decides; sides from 4 to 160."""
    corner = rng.integers(0, SIZE, (count, 2)) / 4
    size = np.exp(rng.uniform(np.log(5), np.log(140), (count, 1)))
    side = size * rng.uniform(0.8, 1.25, (count, 2))
    side = np.maximum(1, np.minimum(side, SIZE - corner).round())
    return torch.from_numpy(np.concatenate([corner, corner + side], axis=1))


def random_case(seed, *, crowds=True, few_scores=False):
    """Pictures in which most detections are near an object, some twice, some of another class."""
    rng = np.random.default_rng(seed)
    detections, truths = [], []
    for _ in range(rng.integers(1, 5)):
        count = rng.integers(0, 7)
        objects = random_boxes(rng, count)
        labels = torch.from_numpy(rng.integers(1, 4, count))
        near = rng.integers(0, max(1, count), rng.integers(0, 12) if count else 0)
        shift = np.round(rng.normal(0, 2.5, (len(near), 4)) * 4) / 4
        moved = objects[near] + torch.from_numpy(shift)
        moved[:, 2:] = torch.maximum(moved[:, 2:], moved[:, :2] + 1)
        anywhere = random_boxes(rng, rng.integers(0, 5))
        guessed = torch.cat([moved, anywhere])
        same = torch.cat([labels[near], torch.from_numpy(rng.integers(1, 5, len(anywhere)))])
        other = torch.from_numpy(rng.integers(1, 5, len(guessed)))
        wrong = torch.from_numpy(rng.random(len(guessed)) < 0.15)
        scores = rng.integers(0, 3, len(guessed)) / 4 if few_scores else rng.random(len(guessed))
        detections.append(
            {
                "boxes": guessed,
                "labels": torch.where(wrong, other, same),
                "scores": torch.from_numpy(scores),
            }
        )
        more = {"iscrowd": torch.from_numpy(rng.random(count) < 0.2)} if crowds else {}
        truths.append({"boxes": objects, "labels": labels, **more})
    return detections, truths


@pytest.mark.parametrize("few_scores", [False, True])
@pytest.mark.parametrize("crowds", [False, True])
def test_random_boxes(crowds, few_scores):
    summaries = [
        agree(*random_case(seed, crowds=crowds, few_scores=few_scores)) for seed in range(8)
    ]
    values = np.array([list(summary.values()) for summary in summaries])
    assert (np.nanmax(values, axis=0) > 0).all()  # every number was put to the test
    assert np.nanstd(values[:, 0]) > 0.05


def test_random_masks():
    for seed in range(4):
        detections, truths = random_case(seed)
        rng = np.random.default_rng(seed)
        for picture in (*detections, *truths):
            masks = torch.zeros(len(picture["boxes"]), SIZE, SIZE, dtype=torch.bool)
            for mask, (x1, y1, x2, y2) in zip(masks, picture["boxes"].tolist(), strict=True):
                part = mask[max(0, int(y1)) : int(y2), max(0, int(x1)) : int(x2)]
                part[:] = torch.from_numpy(rng.random(part.shape) < 0.95)
            picture["masks"] = masks
        agree(detections, truths, by="masks")


# --- by hand -----------------------------------------------------------------------------------

ONE = (10, 10, 50, 50)
TWO = (60, 60, 100, 120)


def test_no_detections():
    summary = agree([found([], [])], [truth([ONE])])
    assert summary["AP"] == 0
    assert np.isnan(summary["AP_small"])


def test_no_ground_truth():
    assert np.isnan(agree([found([ONE], [0.9])], [truth([])])["AP"])


def test_nothing_at_all():
    assert np.isnan(agree([found([], [])], [truth([])])["AP"])


def test_a_class_that_is_only_detected_does_not_count():
    case = [found([ONE, TWO], [0.9, 0.8], [1, 2])], [truth([ONE])]
    assert agree(*case)["AP"] == pytest.approx(1)


def test_a_picture_without_objects_has_false_positives():
    case = [found([ONE], [0.5]), found([ONE, TWO], [0.9, 0.8])], [truth([ONE]), truth([])]
    assert agree(*case)["AP"] == pytest.approx(1 / 3)


def test_duplicates_are_false():
    case = [found([ONE, ONE, ONE, TWO], [0.9, 0.8, 0.7, 0.6])], [truth([ONE, TWO])]
    assert agree(*case)["AP50"] == pytest.approx((51 + 50 * 0.5) / 101)


def test_two_objects_in_one_place_can_both_be_found():
    case = [found([ONE, ONE], [0.9, 0.8])], [truth([ONE, ONE])]
    assert agree(*case)["AP"] == pytest.approx(1)


def test_a_detection_may_take_the_second_best_object():
    """The better box already has the object that both overlap most."""
    near, between = (10, 10, 50, 50), (14, 10, 54, 50)
    case = [found([near, near], [0.9, 0.8])], [truth([near, between])]
    assert agree(*case)["AP50"] == pytest.approx(1)


def test_what_falls_into_a_crowd_does_not_count():
    crowd = {"iscrowd": torch.tensor([False, True])}
    inside = [(62, 62, 80, 80), (70, 70, 98, 98), (61, 61, 64, 118)]
    case = [found([ONE, *inside], [0.5, 0.9, 0.8, 0.7])], [truth([ONE, TWO], **crowd)]
    assert agree(*case)["AP"] == pytest.approx(1)


def test_an_object_goes_before_the_crowd_around_it():
    crowd = {"iscrowd": torch.tensor([True, False])}
    around, inner = (0, 0, 120, 120), (10, 10, 50, 50)
    case = [found([inner, (11, 10, 50, 50)], [0.9, 0.8])], [truth([around, inner], **crowd)]
    assert agree(*case)["AP"] == pytest.approx(1)


def test_only_crowds_means_nothing_to_find():
    case = [found([ONE], [0.9])], [truth([ONE], iscrowd=torch.tensor([True]))]
    assert np.isnan(agree(*case)["AP"])


def test_equal_scores_keep_the_order_of_the_list():
    right_first = [found([ONE, TWO], [0.5, 0.5])], [truth([ONE])]
    wrong_first = [found([TWO, ONE], [0.5, 0.5])], [truth([ONE])]
    assert agree(*right_first)["AP"] == pytest.approx(1)
    assert agree(*wrong_first)["AP"] == pytest.approx(0.5)


def test_equal_scores_in_several_pictures():
    case = (
        [found([TWO, ONE], [0.5, 0.5]), found([ONE], [0.5]), found([TWO], [0.5])],
        [truth([ONE]), truth([ONE]), truth([ONE])],
    )
    agree(*case)


@pytest.mark.parametrize("side", [31, 32, 33, 95, 96, 97])
def test_areas_at_the_limits(side):
    """32² and 96² belong to both neighbours; a false box of another area is not held against."""
    square = (0, 0, side, side)
    false = [(100, 100, 100 + s, 100 + s) for s in (10, 40)]
    case = [found([square, *false], [0.5, 0.9, 0.8])], [truth([square])]
    summary = agree(*case)
    sizes = {"small": side <= 32, "medium": 32 <= side <= 96, "large": side >= 96}
    for name, expected in sizes.items():
        assert np.isnan(summary[f"AP_{name}"]) != expected


def test_the_area_of_an_object_may_differ_from_that_of_its_box():
    square = (0, 0, 40, 40)
    case = [found([square], [0.9])], [truth([square], area=torch.tensor([500.0]))]
    summary = agree(*case)
    assert summary["AP_small"] == 1
    assert np.isnan(summary["AP_medium"])


def test_a_hundred_detections_at_most():
    """The only right one is the 101st of its class, or the 100th."""
    grid = [
        (10 * (i % 12), 10 * (i // 12), 10 * (i % 12) + 8, 10 * (i // 12) + 8) for i in range(100)
    ]
    object_ = (130, 130, 150, 150)
    scores = np.linspace(0.9, 0.5, 100).tolist()
    late = [found([*grid, object_], [*scores, 0.1])], [truth([object_])]
    in_time = [found([*grid[1:], object_], [*scores[1:], 0.1])], [truth([object_])]
    assert agree(*late)["AR_100"] == 0
    summary = agree(*in_time)
    assert summary["AR_100"] == 1
    assert summary["AR_10"] == 0


def test_the_limit_is_for_each_class():
    rows = [(10 * i, 0, 10 * i + 8, 8) for i in range(12)]
    labels = [1] * 11 + [2]
    scores = np.linspace(0.9, 0.1, 12).tolist()
    assert agree([found(rows, scores, labels)], [truth(rows, labels)])["AR_10"] == pytest.approx(
        (10 / 11 + 1) / 2
    )


def test_an_overlap_of_exactly_the_threshold_counts():
    """Half of the object, and 19/20 of it."""
    half, most = (10, 10, 50, 30), (10, 10, 50, 48)
    assert agree([found([half], [0.9])], [truth([ONE])])["AP50"] == pytest.approx(1)
    assert agree([found([most], [0.9])], [truth([ONE])])["AP"] == pytest.approx(1)


def test_a_box_without_area_finds_nothing():
    flat = (10, 10, 10, 50)
    assert box_area(boxes(flat)) == 0
    case = [found([flat, ONE], [0.9, 0.8])], [truth([ONE])]
    assert agree(*case)["AP"] == pytest.approx(0.5)
