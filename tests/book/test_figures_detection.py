"""The figures about detection: their arithmetic against cnnlib.detection, and they themselves."""

import functools
import random

import figure_pages
import pytest
import torch
from figure_pages import announced, element, text_of

from cnnlib.detection import anchors, boxes, matching, metrics, nms, roi

pytestmark = [pytest.mark.browser, pytest.mark.slow]

site_folder = figure_pages.site_folder
open_body, javascript = figure_pages.open_body, figure_pages.javascript


def tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1, 4)


def random_boxes(rng, count, side=40, nothing=0.1):
    """Boxes of whole numbers, so that overlaps tie; some without area."""
    found = []
    for _ in range(count):
        x1, y1 = rng.randrange(side), rng.randrange(side)
        width, height = (rng.randint(1, side // 2) for _ in range(2))
        found.append([x1, y1, x1 + width * (rng.random() > nothing), y1 + height])
    return found


def test_overlaps_are_those_of_cnnlib(javascript):
    rng = random.Random(10)
    pairs = [[random_boxes(rng, rng.randint(1, 8)) for _ in range(2)] for _ in range(150)]
    got = javascript("detection.mjs", "boxIou", pairs)
    assert got == [boxes.box_iou(tensor(a), tensor(b)).tolist() for a, b in pairs]
    values = [value for matrix in got for row in matrix for value in row]
    assert values.count(0) > 100
    assert sum(0 < value < 1 for value in values) > 100


def test_suppression_is_that_of_cnnlib(javascript):
    rng = random.Random(11)
    cases = [
        [
            random_boxes(rng, count, side=12),
            [rng.randint(0, 5) / 5 for _ in range(count)],  # ties
            rng.choice([0, 0.2, 1 / 3, 0.5, 0.7, 1]),
        ]
        for count in range(1, 13)
        for _ in range(20)
    ]
    dropped = 0
    for (found, scores, threshold), got in zip(
        cases, javascript("detection.mjs", "nms", cases), strict=True
    ):
        kept = nms.nms(tensor(found), torch.tensor(scores), threshold).tolist()
        assert got["kept"] == kept
        iou = boxes.box_iou(tensor(found), tensor(found))
        for i, by in enumerate(got["droppedBy"]):
            assert (by is None) == (i in kept)
            if by is not None:
                # The best of those that are reason enough.
                reasons = [j for j in kept if iou[i, j] > threshold and scores[j] >= scores[i]]
                assert by == reasons[0]
                dropped += 1
    assert dropped > 100


def test_matching_is_that_of_cnnlib(javascript):
    rng = random.Random(12)
    cases = []
    for _ in range(300):
        objects = rng.randint(1, 4)
        iou = [[rng.randint(0, 8) / 8 for _ in range(objects)] for _ in range(rng.randint(1, 6))]
        cases.append([iou, rng.choice([0.125, 0.25, 0.5, 0.75, 1]), rng.choice(["coco", "voc"])])
    expected = [
        metrics.match_detections(
            torch.tensor(iou, dtype=torch.float64), threshold, rule=rule
        ).tolist()
        for iou, threshold, rule in cases
    ]
    assert javascript("detection.mjs", "matchDetections", cases) == expected
    other = [[iou, t, "coco" if rule == "voc" else "voc"] for iou, t, rule in cases]
    assert javascript("detection.mjs", "matchDetections", other) != expected


def test_average_precision_is_that_of_cnnlib(javascript):
    rng = random.Random(13)
    cases, expected = [], []
    for _ in range(200):
        hits = [rng.random() < 0.6 for _ in range(rng.randint(0, 12))]
        objects = max(sum(hits), 1) + rng.randint(0, 4)
        falling = torch.arange(len(hits), 0, -1).double()
        precision, recall = metrics.precision_recall(falling, torch.tensor(hits).bool(), objects)
        for curve in metrics.CURVES:
            cases.append((hits, objects, precision.tolist(), recall.tolist(), curve))
            expected.append(metrics.average_precision(precision, recall, curve))
    curves = javascript("detection.mjs", "precisionRecall", [one[:2] for one in cases])
    assert [one["precision"] for one in curves] == [one[2] for one in cases]
    assert [one["recall"] for one in curves] == [one[3] for one in cases]
    got = javascript("detection.mjs", "averagePrecision", [one[2:] for one in cases])
    assert got == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) > 100


def assessed(case):
    """What the playground must say: kept boxes and average precision, from cnnlib."""
    found, scores = tensor(case["boxes"]), torch.tensor(case["scores"], dtype=torch.float64)
    kept = nms.nms(found, scores, case["threshold"])
    truth = {
        "boxes": tensor(case["objects"]),
        "labels": torch.ones(len(case["objects"]), dtype=torch.int64),
    }
    detected = {
        "boxes": found[kept],
        "scores": scores[kept],
        "labels": torch.ones(len(kept), dtype=torch.int64),
    }
    result = metrics.evaluate_detections(
        [detected], [truth], benchmark=case["benchmark"], thresholds=(case["foundFrom"],)
    )
    return kept.tolist(), result.mean_average_precision


def test_the_whole_way_from_boxes_to_ap_is_that_of_cnnlib(javascript):
    rng = random.Random(14)
    cases = [
        {
            "boxes": random_boxes(rng, 6, nothing=0),
            "scores": [rng.randint(0, 100) for _ in range(6)],
            "objects": random_boxes(rng, 3, nothing=0),
            "threshold": rng.randint(0, 100) / 100,
            "foundFrom": rng.randint(5, 60) / 100,
            "benchmark": rng.choice(["voc2010", "voc2007", "coco"]),
        }
        for _ in range(200)
    ]
    for case in cases:  # most random boxes find nothing
        for place in rng.sample(range(6), 4):
            box = case["objects"][rng.randrange(3)]
            case["boxes"][place] = [edge + rng.randint(0, 1) for edge in box]
    values = set()
    for case, got in zip(
        cases, javascript("detection.mjs", "assess", [[one] for one in cases]), strict=True
    ):
        kept, value = assessed(case)
        assert got["kept"] == kept
        assert got["averagePrecision"] == pytest.approx(value, abs=1e-12)
        values.add(round(value, 6))
    assert len(values) > 20


def test_a_moved_box_stays_in_the_picture(javascript):
    rng = random.Random(15)
    cases = []
    for _ in range(200):
        x1, y1 = rng.randrange(30), rng.randrange(20)
        box = [x1, y1, rng.randint(x1 + 1, 40), rng.randint(y1 + 1, 30)]
        cases.append([box, rng.randint(-50, 50), rng.randint(-50, 50), [40, 30]])
    for (box, dx, dy, _), got in zip(
        cases, javascript("detection.mjs", "movedBox", cases), strict=True
    ):
        assert [got[2] - got[0], got[3] - got[1]] == [box[2] - box[0], box[3] - box[1]]
        assert got[0] == min(max(box[0] + dx, 0), 40 - (box[2] - box[0]))
        assert got[1] == min(max(box[1] + dy, 0), 30 - (box[3] - box[1]))
    resized = javascript("detection.mjs", "resizedBox", [[*case, 4] for case in cases])
    for (box, dx, dy, _), got in zip(cases, resized, strict=True):
        assert got[:2] == box[:2]
        right = min(max(box[2] + dx, box[0] + 4), 40)
        bottom = min(max(box[3] + dy, box[1] + 4), 30)
        assert got[2:] == [right, bottom]


RATIOS = (0.5, 1, 2, 1 / 3, 3, 0.7)


def test_anchors_are_those_of_cnnlib(javascript):
    rng = random.Random(16)
    cells = [
        [
            rng.sample([8, 15, 16, 31, 32, 33, 64, 100, 128, 255, 512], rng.randint(1, 3)),
            rng.sample(RATIOS, rng.randint(1, 3)),
            rounded,
        ]
        for _ in range(60)
        for rounded in (True, False)
    ]
    expected = [anchors.cell_anchors(s, r, rounded=rounded) for s, r, rounded in cells]
    assert javascript("anchors.mjs", "cellAnchors", cells) == [one.tolist() for one in expected]
    grids = [
        [one.tolist(), [rng.randint(1, 4), rng.randint(1, 4)], [16, rng.choice([8, 16])], offset]
        for one in expected[::4]
        for offset in (0, 0.5)
    ]
    assert javascript("anchors.mjs", "gridAnchors", grids) == [
        anchors.grid_anchors(
            torch.tensor(cell, dtype=torch.float64), grid, stride, offset=offset
        ).tolist()
        for cell, grid, stride, offset in grids
    ]


def test_labels_are_those_of_cnnlib(javascript):
    rng = random.Random(17)
    cases, expected = [], []
    for _ in range(300):
        count = rng.randint(1, 3)
        iou = [[rng.randint(0, 8) / 8 for _ in range(12)] for _ in range(count)]
        if rng.random() < 0.2:
            iou[0] = [0.0] * 12  # an object that no anchor meets
        case = [iou, rng.choice([0.5, 0.75]), rng.choice([0.25, 0.5, 0.6]), rng.random() < 0.5]
        cases.append(case)
        try:
            overlaps = torch.tensor(iou, dtype=torch.float64)
            expected.append(matching.match(overlaps, *case[1:3], keep_best=case[3]).tolist())
        except ValueError as error:
            expected.append(str(error))
    assert javascript("anchors.mjs", "match", cases) == expected
    assert {type(one) for one in expected} == {list, str}
    labels = {label for one in expected if isinstance(one, list) for label in one}
    assert {matching.BACKGROUND, matching.IGNORED, 0, 1, 2} <= labels


def labelled(case):
    """What the figure must show: overlap and label of each anchor, from cnnlib."""
    cell = anchors.cell_anchors(case["sizes"], case["ratios"])
    stride = case["stride"]
    found = anchors.grid_anchors(cell, case["grid"], (stride, stride), offset=0.5).double()
    iou = boxes.box_iou(tensor(case["object"]), found)
    labels = matching.match(
        iou, case["positiveFrom"], case["negativeBelow"], keep_best=case["keepBest"]
    )
    return iou[0], labels


def test_the_whole_way_from_object_to_labels_is_that_of_cnnlib(javascript):
    rng = random.Random(18)
    cases = []
    for _ in range(40):
        x1, y1 = rng.randrange(200), rng.randrange(140)
        stride = rng.choice([16, 32])
        negative = rng.randint(5, 70)
        cases.append(
            {
                "sizes": rng.choice([[32], [32, 64], [32, 64, 128]]),
                "ratios": rng.choice([[1], [0.5, 1, 2]]),
                "grid": [192 // stride, 256 // stride],
                "stride": stride,
                "object": [x1, y1, rng.randint(x1 + 12, 256), rng.randint(y1 + 12, 192)],
                "positiveFrom": rng.randint(max(negative, 30), 90) / 100,
                "negativeBelow": negative / 100,
                "keepBest": rng.random() < 0.5,
            }
        )
    positive = 0
    for case, got in zip(
        cases, javascript("anchors.mjs", "labelAnchors", [[one] for one in cases]), strict=True
    ):
        iou, labels = labelled(case)
        assert got["iou"] == iou.tolist()
        assert got["labels"] == labels.tolist()
        positive += (labels == 0).sum().item()
    assert positive > 50


def random_regions(rng, count):
    """Maps and regions, some of which lie partly or wholly outside their map."""
    for _ in range(count):
        height, width = rng.randint(2, 8), rng.randint(2, 8)
        features = [[rng.randint(-9, 9) for _ in range(width)] for _ in range(height)]
        x1, y1 = rng.randint(-20, 16 * width), rng.randint(-20, 16 * height)
        box = [x1, y1, x1 + rng.randint(1, 120), y1 + rng.randint(1, 120)]
        yield features, box, rng.randint(1, 4)


def test_roi_align_is_that_of_cnnlib(javascript):
    rng = random.Random(19)
    cases, expected = [], []
    for features, box, bins in random_regions(rng, 200):
        samples, aligned = rng.randint(1, 3), rng.random() < 0.5
        how = {"bins": bins, "scale": 1 / 16, "samples": samples, "aligned": aligned}
        cases.append([features, box, how])
        maps = torch.tensor(features, dtype=torch.float64)[None, None]
        expected.append(roi.roi_align(maps, [tensor(box)], bins, 1 / 16, samples, aligned)[0, 0])
    outside = 0
    for (features, _, how), got, means in zip(
        cases, javascript("roi.mjs", "roiAlign", cases), expected, strict=True
    ):
        assert [[one["mean"] for one in row] for row in got] == [
            pytest.approx(row, abs=1e-9) for row in means.tolist()
        ]
        for point in (point for row in got for one in row for point in one["points"]):
            total = sum(weight for *_, weight in point["taps"])
            assert total == pytest.approx(1 if point["inside"] else 0)
            value = sum(weight * features[row][column] for row, column, weight in point["taps"])
            assert point["value"] == pytest.approx(value)
            outside += not point["inside"]
        assert len(got[0][0]["points"]) == how["samples"] ** 2
    assert outside > 100


def test_roi_pooling_is_that_of_cnnlib(javascript):
    rng = random.Random(20)
    cases, expected, spread = [], [], []
    for features, box, bins in random_regions(rng, 200):
        cases.append([features, box, {"bins": bins, "scale": 1 / 16}])
        maps = torch.tensor(features, dtype=torch.float64)[None, None]
        maps.requires_grad_()
        pooled = roi.roi_pool(maps, [tensor(box)], bins, 1 / 16)[0, 0]
        expected.append(pooled.tolist())
        (gradient,) = torch.autograd.grad(pooled.sum(), maps)
        spread.append(gradient[0, 0])
    for (features, _, _), got, maxima, gradient in zip(
        cases, javascript("roi.mjs", "roiPool", cases), expected, spread, strict=True
    ):
        assert [[one["max"] for one in row] for row in got["bins"]] == maxima
        # Whatever autograd finds to be a maximum lies in one of the bins.
        inside = torch.zeros_like(gradient, dtype=torch.bool)
        for one in (one for row in got["bins"] for one in row):
            inside[one["top"] : one["bottom"], one["left"] : one["right"]] = True
        assert not (gradient != 0)[~inside].any()
        assert len(features) == len(gradient)


# --- The playground in the browser --------------------------------------------------------------

PLAYGROUND = "detection-playground"


def shown_boxes(page, name=PLAYGROUND):
    """The boxes to grab, by number, in pixels of the screen relative to the drawing."""
    found = page.locator(f"{name} .grab[data-part=body]").evaluate_all(
        """all => all.map(one => [Number(one.dataset.box),
            ...['x', 'y', 'width', 'height'].map(key => Number(one.getAttribute(key)))])"""
    )
    return {index: numbers for index, *numbers in found}


def table(page, name=PLAYGROUND):
    rows = page.locator(f"{name} table tr").all_inner_texts()
    return [row.split("\t") for row in rows]


def test_the_playground_shows_what_cnnlib_finds(open_body):
    page = open_body(element(PLAYGROUND))
    scale = (min(page.locator(f"{PLAYGROUND} .stage").bounding_box()["width"], 600) - 8) / 240
    screen = shown_boxes(page)
    corners = tensor(
        [
            [round(v / scale) for v in (x, y, x + w, y + h)]
            for _, (x, y, w, h) in sorted(screen.items())
        ]
    )
    detections, objects = corners[:6], corners[6:]
    head, *rows = table(page)
    order = [int(text) - 1 for text in head[2:8]]
    scores = torch.tensor([float(row[1]) for row in rows])
    assert order == [int(row[0]) - 1 for row in rows]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    ranked = detections[order]
    kept = nms.nms(ranked, scores, 0.5).tolist()
    among, with_objects = boxes.box_iou(ranked, ranked), boxes.box_iou(ranked, objects)
    for place, row in enumerate(rows):
        assert row[2 : 2 + place] == [f"{value:.2f}" for value in among[place, :place]]
        assert row[8:11] == [f"{value:.2f}" for value in with_objects[place]]
        assert row[11].startswith("suppressed by") == (place not in kept)
    case = {
        "boxes": detections.tolist(),
        "scores": [scores[order.index(i)].item() for i in range(6)],
        "objects": objects.tolist(),
        "threshold": 0.5,
        "foundFrom": 0.5,
        "benchmark": "voc2010",
    }
    places, value = assessed(case)
    verdict = text_of(page, PLAYGROUND, ".verdict")
    assert verdict.startswith(f"{len(places)} of 6 boxes stay.")
    assert verdict.endswith(f"AP {value:.2f}.")
    assert 0 < value < 0.99


def test_the_playground_by_mouse(open_body):
    page = open_body(element(PLAYGROUND))
    before = shown_boxes(page)
    frame = page.locator(f"{PLAYGROUND} .stage svg").bounding_box()
    x, y, width, height = before[5]  # detection 6 lies apart
    start = frame["x"] + 1 + x + width / 2, frame["y"] + 1 + y + height - 20
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 30, start[1] - 20, steps=3)
    page.mouse.up()
    after = shown_boxes(page)
    assert after[5][:2] == pytest.approx([x + 30, y - 20], abs=2)
    assert after[5][2:] == pytest.approx([width, height])
    assert {i: box for i, box in after.items() if i != 5} == {
        i: box for i, box in before.items() if i != 5
    }
    assert page.get_by_label("Box", exact=True).input_value() == "5"
    announced(page, PLAYGROUND, text_of(page, PLAYGROUND, ".verdict"))
    page.mouse.move(start[0] + 90, start[1] + 60)  # let go of: it stays
    assert shown_boxes(page) == after
    # Its corner can be dragged now.
    x, y, width, height = after[5]
    corner = frame["x"] + 1 + x + width, frame["y"] + 1 + y + height
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(corner[0] + 25, corner[1] + 15, steps=3)
    page.mouse.up()
    assert shown_boxes(page)[5] == pytest.approx([x, y, width + 25, height + 15], abs=2)


def test_the_playground_by_keyboard(open_body):
    page = open_body(element(PLAYGROUND))
    before = shown_boxes(page)
    page.get_by_label("Box", exact=True).select_option("object C")
    stage = page.locator(f"{PLAYGROUND} .stage")
    stage.focus()
    scrolled = page.evaluate("() => scrollY")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "Shift+ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("() => scrollY") == scrolled
    scale = shown_boxes(page)[8][2] / 84  # object C is 80 wide and has been widened by 4
    x, y, width, height = before[8]
    assert shown_boxes(page)[8] == pytest.approx(
        [x - 8 * scale, y - 4 * scale, width + 4 * scale, height + 4 * scale]
    )
    said = announced(page, PLAYGROUND, text_of(page, PLAYGROUND, ".verdict"))
    assert said.endswith("Object C: 142, 96, 226, 150; found by box 5.")
    page.get_by_label("Width", exact=True).press("Home")
    assert shown_boxes(page)[8][2] == pytest.approx(8 * scale)
    assert text_of(page, PLAYGROUND, ".verdict").startswith("5 of 6 boxes stay. 2 of 3")


def test_the_playground_by_finger(open_body):
    page = open_body(element(PLAYGROUND), width=390, has_touch=True, is_mobile=True)
    page.locator(f"{PLAYGROUND} .stage").scroll_into_view_if_needed()
    before = shown_boxes(page)
    frame = page.locator(f"{PLAYGROUND} .stage svg").bounding_box()
    x, y, *_ = before[0]
    start = {"x": frame["x"] + x + 20, "y": frame["y"] + y + 30}
    scrolled = page.evaluate("() => scrollY")
    touch = page.context.new_cdp_session(page)

    def send(kind, dx=0, dy=0):
        points = [{"x": start["x"] + dx, "y": start["y"] + dy}] if kind != "touchEnd" else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart")
    for part in (1, 2, 3, 4):
        send("touchMove", 10 * part, 8 * part)
    send("touchEnd")
    moved = [index for index, box in shown_boxes(page).items() if box != before[index]]
    assert len(moved) == 1
    # A finger that sets out needs a few pixels until the system takes it for a movement.
    shift = [b - a for a, b in zip(before[moved[0]], shown_boxes(page)[moved[0]], strict=True)]
    assert shift[:2] == pytest.approx([40, 32], abs=3)
    assert shift[2:] == pytest.approx([0, 0], abs=1e-9)
    assert page.evaluate("() => scrollY") == scrolled, "the page stays where it is"


def test_every_number_of_the_playground_can_be_set(open_body):
    page = open_body(element(PLAYGROUND, 'preset="crowd"'))
    verdict = functools.partial(text_of, page, PLAYGROUND, ".verdict")
    assert verdict().startswith("4 of 6 boxes stay.")
    page.get_by_label("Suppress above IoU").press("End")
    assert verdict().startswith("6 of 6 boxes stay. 3 of 3 objects are found, 3 boxes are false.")
    areas = set()
    for name in ("VOC since 2010: exact area", "VOC 2007: 11 points", "COCO: 101 points"):
        page.get_by_label("Area by").select_option(name)
        areas.add(verdict().split("AP ")[1])
    assert len(areas) >= 2
    page.get_by_label("Found from IoU").press("End")
    assert verdict() == ("6 of 6 boxes stay. 0 of 3 objects are found, 6 boxes are false. AP 0.00.")
    page.get_by_label("Score").press("Home")
    assert table(page)[-1][0] == "1"
    page.get_by_label("Start from").select_option("boxes that are a little off")
    assert table(page)[1][:2] == ["1", "0.97"]


def test_the_presets_show_what_they_promise(open_body):
    """Each begins with both right and wrong boxes, and the threshold matters."""
    for preset in ("duplicates", "crowd", "loose"):
        page = open_body(element(PLAYGROUND, f'preset="{preset}"'))
        at_half = text_of(page, PLAYGROUND, ".verdict")
        page.get_by_label("Suppress above IoU").press("Home")
        assert text_of(page, PLAYGROUND, ".verdict") != at_half
        assert "AP 0.00" not in at_half
        assert "AP 1.00" not in at_half
        page.context.close()


# --- Anchors and regions in the browser ---------------------------------------------------------


def counts(labels):
    return (
        f"{len(labels):,} anchors: {(labels == 0).sum()} positive, "
        f"{(labels == matching.IGNORED).sum()} ignored, "
        f"{(labels == matching.BACKGROUND).sum():,} negative."
    )


def test_anchor_labels_follow_the_object(open_body):
    page = open_body(element("anchor-labels"))
    case = {
        "sizes": [32, 64],
        "ratios": [0.5, 1, 2],
        "grid": [12, 16],
        "stride": 16,
        "object": [72, 52, 138, 122],
        "positiveFrom": 0.7,
        "negativeBelow": 0.3,
        "keepBest": True,
    }
    verdict = functools.partial(text_of, page, "anchor-labels", ".verdict")
    iou, labels = labelled(case)
    assert verdict() == f"{counts(labels)} Best IoU {iou.max():.2f}."
    # The table has the anchors of row 5, column 6.
    first = (5 * 16 + 6) * 6
    rows = table(page, "anchor-labels")[1:]
    assert [row[1] for row in rows] == [f"{value:.2f}" for value in iou[first : first + 6]]
    words = {0: "positive", matching.IGNORED: "ignored", matching.BACKGROUND: "negative"}
    assert [row[2] for row in rows] == [words[i] for i in labels[first : first + 6].tolist()]
    assert page.locator("anchor-labels .anchor.positive:not(.here)").count() == (labels == 0).sum()
    # Moved by keys.
    page.locator("anchor-labels .stage").focus()
    for key in ("ArrowDown", "ArrowRight", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    case["object"] = [76, 56, 138, 126]
    iou, labels = labelled(case)
    said = announced(page, "anchor-labels", counts(labels))
    assert "Object 76, 56, 138, 126." in said
    # With other rules: the slider for positive pulls the other one along.
    page.get_by_label("Negative below IoU").press("End")
    page.get_by_label("Positive from IoU").press("Home")
    page.get_by_role("button", name="best anchors").press("Enter")
    page.get_by_label("Distance of positions").select_option("32 pixels")
    case |= {"positiveFrom": 0.3, "negativeBelow": 0.3, "keepBest": False}
    case |= {"stride": 32, "grid": [6, 8]}
    iou, labels = labelled(case)
    assert verdict() == f"{counts(labels)} Best IoU {iou.max():.2f}."


def test_a_position_is_chosen_by_tapping_it(open_body):
    page = open_body(element("anchor-labels"), width=390, has_touch=True, is_mobile=True)
    frame = page.locator("anchor-labels .stage svg").bounding_box()
    cell = frame["width"] / 16
    page.locator("anchor-labels .stage svg").tap(position={"x": 12.5 * cell, "y": 2.5 * cell})
    caption = "The anchors of row 2, column 12"
    assert text_of(page, "anchor-labels", "caption") == caption
    assert page.get_by_label("Position: column").input_value() == "12"


def feature_map(page):
    numbers = page.locator("roi-align .stage text").evaluate_all(
        "all => all.map(one => Number(one.textContent))"
    )
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, 1, 8, 10)


def results(page):
    tables = page.locator("roi-align table").evaluate_all(
        """all => all.map(one => [...one.rows].map(
            row => [...row.cells].map(cell => Number(cell.textContent.replace('−', '-')))))"""
    )
    return [torch.tensor(one, dtype=torch.float64) for one in tables]


def test_the_region_reads_what_cnnlib_reads(open_body):
    page = open_body(element("roi-align", 'bins="3"'))
    maps, region = feature_map(page), tensor([23, 20, 121, 87])
    align, pool = results(page)
    assert torch.allclose(align, roi.roi_align(maps, [region], 3, 1 / 16, 2, True)[0, 0], atol=5e-3)
    assert torch.equal(pool, roi.roi_pool(maps, [region], 3, 1 / 16)[0, 0])
    page.get_by_role("button", name="aligned").press("Enter")
    page.get_by_label("Points along each side of a bin").press("End")
    page.locator("roi-align .stage").focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    region = tensor([24, 21, 122, 86])
    said = announced(page, "roi-align", "Bin in row 0, column 0: RoIAlign")
    assert said.endswith("Region 24, 21, 122, 86.")
    align, pool = results(page)
    expected = roi.roi_align(maps, [region], 3, 1 / 16, 3, False)[0, 0]
    assert torch.allclose(align, expected, atol=5e-3)
    assert f"RoIAlign {expected[0, 0]:.2f} (mean of 9 points)" in said


def test_points_and_bins_of_the_region_are_drawn(open_body):
    page = open_body(element("roi-align"))
    cell = shown_boxes(page, "roi-align")[0][2] / ((121 - 23) / 16)
    points = page.locator("roi-align .point").evaluate_all(
        "all => all.map(one => [Number(one.getAttribute('cx')), Number(one.getAttribute('cy'))])"
    )
    assert len(points) == 16
    across = sorted({round(x / cell * 16, 3) for x, _ in points})  # in pixels of the picture
    width = (121 - 23) / 4
    assert across == pytest.approx([23 + (i + 0.5) * width for i in range(4)], abs=0.01)
    page.get_by_label("Show", exact=True).select_option("the bins of RoI pooling")
    assert page.locator("roi-align .point").count() == 0
    rounded = page.locator("roi-align .rounded")
    # 23/16 = 1.4 is rounded to 1 and 121/16 = 7.6 to 8; both edges count in.
    assert float(rounded.get_attribute("x")) == pytest.approx(1 * cell)
    assert float(rounded.get_attribute("width")) == pytest.approx(8 * cell)
    assert "after rounding 8 × 5." in text_of(page, "roi-align", ".verdict")
    page.get_by_label("Bin: column").press("End")
    assert text_of(page, "roi-align", ".verdict").startswith("Bin in row 0, column 1:")
