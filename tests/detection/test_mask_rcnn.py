"""Mask R-CNN: the whole network against torchvision's with the same weights, and its edges."""

import dataclasses

import pytest
import torch
from detector_twins import (
    CLASSES,
    HEIGHT,
    KINDS,
    NAMES,
    WIDTH,
    detector,
    masks_as_bytes,
    objects,
    pictures,
    twin,
)

from cnnlib.detection.boxes import masks_to_boxes
from cnnlib.detection.mask_rcnn import MaskSettings


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_torchvisions(kind):
    ours = detector(kind, masks=True)
    theirs = twin(ours)
    losses = ours(pictures(), objects(3, 1))
    expected = theirs(list(pictures()), masks_as_bytes(objects(3, 1)))
    assert set(losses) == set(NAMES)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[NAMES[name]], rtol=1e-4, atol=1e-6)
        assert loss > 0
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_torchvisions(kind):
    ours = detector(kind, masks=True).eval()
    theirs = twin(ours)
    with torch.no_grad():
        found, expected = ours(pictures()), theirs(list(pictures()))
    for mine, reference in zip(found, expected, strict=True):
        assert len(mine["boxes"]) > 5
        assert torch.equal(mine["labels"], reference["labels"])
        torch.testing.assert_close(mine["boxes"], reference["boxes"], rtol=1e-4, atol=1e-3)
        assert mine["masks"].shape == (len(mine["boxes"]), HEIGHT, WIDTH)
        # A box within rounding of a whole number may be rounded to either side.
        differs = (mine["masks"] - reference["masks"][:, 0]).abs() > 1e-3
        assert differs.float().mean() < 1e-3


def test_a_threshold_makes_masks_of_true_and_false():
    ours = detector("one map", masks=True).eval()
    probabilities = ours(pictures())[0]["masks"]
    ours.masks = dataclasses.replace(ours.masks, threshold=0.5)
    masks = ours(pictures())[0]["masks"]
    assert masks.dtype == torch.bool
    assert torch.equal(masks, probabilities >= 0.5)
    assert MaskSettings().threshold == 0.5


def test_a_mask_stays_in_its_box():
    ours = detector("one map", masks=True).eval()
    ours.masks = MaskSettings(pool_size=6, threshold=0.0)  # every pixel, so the whole picture
    ours.masks = dataclasses.replace(ours.masks, threshold=1e-6)
    found = ours(pictures())[0]
    around = masks_to_boxes(found["masks"])
    # A pixel is bilinear between its neighbours, so a mask reaches half its own pixel farther.
    side = (found["boxes"][:, 2:] - found["boxes"][:, :2]) / 24 + 1
    assert (around[:, :2] >= found["boxes"][:, :2] - side).all()
    assert (around[:, 2:] <= found["boxes"][:, 2:] + side).all()


def test_the_mask_of_the_true_class_alone_is_trained():
    ours = detector("one map", masks=True)
    target = objects(2)
    target[0]["labels"][:] = 2
    ours(pictures(1), target)["mask"].backward()
    gradient = ours.mask_head[-1].weight.grad.flatten(1).abs().sum(dim=1)
    assert len(gradient) == CLASSES
    assert gradient[2] > 0
    assert gradient[[0, 1, 3]].sum() == 0


@pytest.mark.parametrize("counts", [(2, 0), (0, 0)])
def test_pictures_without_objects(counts):
    ours = detector("pyramid", masks=True)
    losses = ours(pictures(), objects(*counts))
    assert (losses["mask"] > 0) == (sum(counts) > 0)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())


def test_nothing_found_means_no_masks():
    ours = detector("one map", masks=True).eval()
    ours.regions = dataclasses.replace(ours.regions, score_threshold=1.0)
    assert ours(pictures())[0]["masks"].shape == (0, HEIGHT, WIDTH)


def test_bad_masks_are_explained():
    ours = detector("one map", masks=True)
    target = objects(2)
    with pytest.raises(ValueError, match=r"must have shape \(2, 64, 72\); got \(2, 9, 9\)"):
        ours(pictures(1), [target[0] | {"masks": torch.zeros(2, 9, 9)}])
    del target[0]["masks"]
    with pytest.raises(ValueError, match="picture 0 lacks masks"):
        ours(pictures(1), target)
