"""The heads and their losses against torchvision's with the same weights; pasting against both."""

import math

import pytest
import torch
import torch.nn.functional as F
from detection_cases import boxes_of, randn, random_boxes, some
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection import roi_heads as reference
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from cnnlib.detection import heads as ours

NAN, INF = math.nan, math.inf


def copy_weights(source, *targets):
    """Both list the same tensors in the same order."""
    values = list(source.state_dict().values())
    slots = [slot for target in targets for slot in target.state_dict().values()]
    with torch.no_grad():
        for slot, value in zip(slots, values, strict=True):
            slot.copy_(value)


def head_case(regions=60, classes=4, seed=0):
    """What a head might say, on proposals some of which cover objects."""
    boxes = random_boxes(5, seed=seed, size=100.0, smallest=20.0)
    near = boxes.repeat(6, 1) + 3 * randn(30, 4, seed=seed)
    proposals = torch.cat([near, random_boxes(regions - 30, seed=seed + 1)])
    labels = 1 + torch.arange(5) % (classes - 1)
    return {
        "proposals": proposals,
        "boxes": boxes,
        "labels": labels,
        "logits": 2 * randn(regions, classes, seed=seed + 2),
        "deltas": randn(regions, classes, 4, seed=seed + 3),
    }


def reference_heads(**how):
    settings = {
        "fg_iou_thresh": 0.5,
        "bg_iou_thresh": 0.5,
        "batch_size_per_image": 24,
        "positive_fraction": 0.25,
        "bbox_reg_weights": None,
        "score_thresh": 0.05,
        "nms_thresh": 0.5,
        "detections_per_img": 20,
    }
    return reference.RoIHeads(None, None, None, **(settings | how))


# Smooth L1


@some
@given(st.floats(0.01, 3), st.lists(st.floats(-5, 5), min_size=1, max_size=20))
def test_smooth_l1_agrees_with_pytorch(beta, values):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    mine = ours.smooth_l1(x, beta)
    theirs = F.smooth_l1_loss(x, torch.zeros_like(x), beta=beta, reduction="none")
    torch.testing.assert_close(mine, theirs)
    gradients = [torch.autograd.grad(loss.sum(), x)[0] for loss in (mine, theirs)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() <= 1


def test_smooth_l1_by_hand():
    loss = ours.smooth_l1(torch.tensor([0.0, 0.5, -0.5, 1.0, -3.0, 100.0]))
    assert loss.tolist() == [0, 0.125, 0.125, 0.5, 2.5, 99.5]
    with pytest.raises(ValueError, match="beta must be positive"):
        ours.smooth_l1(torch.zeros(1), 0)


# Fast R-CNN


def test_head_agrees_with_torchvision():
    torch.manual_seed(0)
    mine = ours.FastRCNNHead(6, 5, pool_size=3, hidden=16).double()
    theirs = TwoMLPHead(6 * 9, 16).double(), FastRCNNPredictor(16, 5).double()
    copy_weights(mine, *theirs)
    x = randn(7, 6, 3, 3)
    logits, deltas = mine(x)
    expected = theirs[1](theirs[0](x))
    torch.testing.assert_close(logits, expected[0])
    torch.testing.assert_close(deltas.flatten(1), expected[1])
    assert deltas.shape == (7, 5, 4)


def test_head_starts_as_the_paper_says():
    torch.manual_seed(0)
    head = ours.FastRCNNHead(8, 21)
    assert head.classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert head.regressor.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert (head.classifier.bias == 0).all()


def test_sampled_regions_agree_with_torchvision():
    case = head_case()
    torch.manual_seed(4)
    mine = ours.sample_regions(
        case["proposals"], case["boxes"], case["labels"], count=24, positive_fraction=0.25
    )
    torch.manual_seed(4)
    target = {"boxes": case["boxes"], "labels": case["labels"]}
    boxes, matched, labels, goals = (
        values[0]
        for values in reference_heads().select_training_samples([case["proposals"]], [target])
    )
    # Theirs come in the order of the proposals, ours objects first.
    order, expected_order = mine.boxes[:, 0].argsort(), boxes[:, 0].argsort()
    assert len(mine.boxes) == 24
    assert (mine.labels > 0).sum() == 6
    torch.testing.assert_close(mine.boxes[order], boxes[expected_order])
    assert torch.equal(mine.labels[order], labels[expected_order])
    objects = mine.labels[order] > 0
    assert torch.equal(mine.matched[order][objects], matched[expected_order][objects])
    torch.testing.assert_close(mine.goals[order][objects], goals[expected_order][objects])
    assert (mine.goals[order][~objects] == 0).all()


def test_true_boxes_are_among_the_regions():
    boxes = boxes_of([0, 0, 10, 10], [30, 30, 50, 60])
    regions = ours.sample_regions(random_boxes(0), boxes, torch.tensor([2, 1]), positive_fraction=1)
    assert sorted(regions.boxes.tolist()) == boxes.tolist()
    assert sorted(regions.labels.tolist()) == [1, 2]
    assert (regions.goals == 0).all()
    empty = ours.sample_regions(random_boxes(9), boxes[:0], torch.zeros(0, dtype=torch.int64))
    assert empty.labels.tolist() == [0] * 9
    assert empty.matched.tolist() == [0] * 9


def test_loss_agrees_with_torchvision():
    case = head_case()
    labels = torch.arange(60) % 4
    goals = randn(60, 4, seed=8)
    mine, theirs = (
        [case[name].clone().requires_grad_() for name in ("logits", "deltas")] for _ in range(2)
    )
    losses = ours.fast_rcnn_loss(*mine, labels, goals)
    expected = reference.fastrcnn_loss(theirs[0], theirs[1].flatten(1), [labels], [goals])
    torch.testing.assert_close(losses, expected)
    sum(losses).backward()
    sum(expected).backward()
    torch.testing.assert_close([x.grad for x in mine], [x.grad for x in theirs])


def test_background_has_no_box_loss_and_other_classes_boxes_do_not_count():
    logits, deltas = torch.zeros(3, 4), torch.zeros(3, 4, 4)
    labels = torch.tensor([0, 2, 0])
    goals = torch.ones(3, 4)
    class_loss, box_loss = ours.fast_rcnn_loss(logits, deltas, labels, goals, beta=1.0)
    assert class_loss.item() == pytest.approx(math.log(4))
    assert box_loss.item() == pytest.approx(4 * 0.5 / 3)  # one object of three regions
    deltas[1, 2] = 1
    assert ours.fast_rcnn_loss(logits, deltas, labels, goals)[1] == 0
    goals[0] = math.nan  # nobody looks at it
    deltas[0] = deltas[1, 3] = 99
    assert ours.fast_rcnn_loss(logits, deltas, labels, goals)[1] == 0


def test_loss_without_regions_is_zero():
    logits = torch.zeros(0, 4, requires_grad=True)
    losses = ours.fast_rcnn_loss(
        logits, torch.zeros(0, 4, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)
    )
    assert [loss.item() for loss in losses] == [0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_detections_agree_with_torchvision(seed):
    case = head_case(seed=seed)
    mine = ours.detect(case["logits"], case["deltas"], case["proposals"], (80, 90), limit=20)
    boxes, scores, labels = (
        values[0]
        for values in reference_heads().postprocess_detections(
            case["logits"], case["deltas"].flatten(1), [case["proposals"]], [(80, 90)]
        )
    )
    assert len(mine["boxes"]) == 20
    torch.testing.assert_close(mine["boxes"], boxes)
    torch.testing.assert_close(mine["scores"], scores)
    assert torch.equal(mine["labels"], labels)


def test_no_detections():
    case = head_case()
    sure = torch.zeros(60, 4).double()
    sure[:, 0] = 50  # background
    found = ours.detect(sure, case["deltas"], case["proposals"], (80, 90))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "boxes": (0, 4),
        "scores": (0,),
        "labels": (0,),
    }


# Masks


def test_mask_head_agrees_with_torchvision():
    torch.manual_seed(0)
    mine = ours.MaskHead(6, 5, hidden=8).double()
    theirs = (
        MaskRCNNHeads(6, (8, 8, 8, 8), 1).double(),
        MaskRCNNPredictor(8, 8, 5).double(),
    )
    copy_weights(mine, *theirs)
    x = randn(3, 6, 7, 7)
    output = mine(x)
    assert output.shape == (3, 5, 14, 14)
    torch.testing.assert_close(output, theirs[1](theirs[0](x)))


def masks_and_regions():
    masks = (randn(3, 40, 50) > 0).double()
    boxes = random_boxes(12, size=25.0, smallest=4.0, largest=20.0)
    return masks, boxes, torch.arange(12) % 3


@pytest.mark.parametrize("size", [7, 28])
def test_mask_targets_agree_with_torchvision(size):
    masks, boxes, matched = masks_and_regions()
    mine = ours.mask_targets(masks.to(torch.uint8), boxes, matched, size)
    expected = reference.project_masks_on_boxes(masks, boxes, matched, size)
    torch.testing.assert_close(mine, expected)


def test_aligned_mask_targets_of_whole_boxes_are_crops():
    masks, _, _ = masks_and_regions()
    box = boxes_of([7, 5, 21, 19])
    crop = ours.mask_targets(masks, box, torch.tensor([1]), 14, aligned=True)[0]
    torch.testing.assert_close(crop, masks[1, 5:19, 7:21])


def test_mask_loss_agrees_with_torchvision():
    masks, boxes, matched = masks_and_regions()
    labels = torch.tensor([2, 1, 3])
    logits = [randn(12, 4, 14, 14).requires_grad_() for _ in range(2)]
    targets = ours.mask_targets(masks, boxes, matched, 14)
    mine = ours.mask_loss(logits[0], labels[matched], targets)
    expected = reference.maskrcnn_loss(logits[1], [boxes], [masks], [labels], [matched])
    torch.testing.assert_close(mine, expected)
    mine.backward()
    expected.backward()
    torch.testing.assert_close(logits[0].grad, logits[1].grad)


def test_only_the_mask_of_the_true_class_counts():
    logits = torch.zeros(2, 3, 4, 4, requires_grad=True)
    ours.mask_loss(logits, torch.tensor([1, 2]), torch.ones(2, 4, 4)).backward()
    touched = logits.grad.flatten(2).abs().sum(dim=2) > 0
    assert touched.tolist() == [[False, True, False], [False, False, True]]
    none = torch.zeros(0, 3, 4, 4, requires_grad=True)
    assert ours.mask_loss(none, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4, 4)) == 0


@some
@given(st.integers(0, 1000))
def test_rounded_pasting_agrees_with_torchvision(seed):
    masks = torch.rand(6, 9, 9, generator=torch.Generator().manual_seed(seed))
    # torchvision's code cannot paste what lies wholly outside the picture.
    boxes = random_boxes(6, seed=seed, size=45.0, smallest=8.0, dtype=torch.float32) - 6
    mine = ours.paste_masks(masks, boxes, (40, 50), rounded=True)
    expected = reference.paste_masks_in_image(masks[:, None], boxes, (40, 50))[:, 0]
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


def test_pasting_agrees_with_grid_sampling():
    """Unrounded, a pixel asks the mask at its own centre: what `grid_sample` computes."""
    masks, boxes = torch.rand(5, 8, 8).double(), random_boxes(5, size=30.0) - 5
    centre_y = (torch.arange(40) + 0.5 - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1
    centre_x = (torch.arange(50) + 0.5 - boxes[:, :1]) / (boxes[:, 2:3] - boxes[:, :1]) * 2 - 1
    grid = torch.stack(
        [centre_x[:, None].expand(-1, 40, -1), centre_y[:, :, None].expand(-1, -1, 50)], dim=-1
    )
    expected = F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
    torch.testing.assert_close(ours.paste_masks(masks, boxes, (40, 50)), expected)


def test_pasting_a_mask_into_a_box_of_its_own_size_copies_it():
    mask = torch.rand(1, 4, 6)
    pasted = ours.paste_masks(mask, torch.tensor([[10.0, 3, 16, 7]]), (12, 20))
    torch.testing.assert_close(pasted[0, 3:7, 10:16], mask[0])
    pasted[0, 3:7, 10:16] = 0
    assert (pasted == 0).all()


@pytest.mark.parametrize("rounded", [False, True])
def test_pasting_strange_boxes(rounded):
    strange = boxes_of([NAN, 0, 5, 5], [0, 0, INF, 5], [-INF, 0, 5, 5], [90, 90, 99, 99])
    pasted = ours.paste_masks(torch.ones(4, 4, 4).double(), strange, (20, 30), rounded=rounded)
    assert (pasted == 0).all()
    flat = boxes_of([3, 3, 3, 9], [9, 9, 3, 3])
    pasted = ours.paste_masks(torch.ones(2, 4, 4).double(), flat, (20, 30))
    assert (pasted == 0).all()
    assert ours.paste_masks(torch.zeros(0, 4, 4), torch.zeros(0, 4), (5, 6)).shape == (0, 5, 6)
    with pytest.raises(ValueError, match=r"\(D, S, S\) and boxes \(D, 4\)"):
        ours.paste_masks(torch.zeros(2, 4, 4), torch.zeros(3, 4), (5, 6))
