"""Region proposals: planted rectangles are found, merging follows the rules, nothing is random."""

import numpy as np
import pytest
import torch

from cnnlib.data import load_scenes
from cnnlib.detection.boxes import box_iou
from cnnlib.detection.metrics import proposal_recall
from cnnlib.detection.proposals import (
    HISTOGRAM_BINS,
    Region,
    initial_regions,
    merge_steps,
    neighbours,
    propose_regions,
    similarity,
)


def planted():
    """A grey picture of 40 × 60 with three rectangles: two alone, one made of two colours."""
    image = torch.full((3, 40, 60), 0.5)
    image[:, 5:20, 5:17] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    image[:, 25:37, 40:58] = torch.tensor([0.1, 0.1, 0.9])[:, None, None]
    image[:, 4:18, 30:40] = torch.tensor([0.2, 0.9, 0.2])[:, None, None]
    image[:, 4:18, 40:50] = torch.tensor([0.6, 0.9, 0.2])[:, None, None]
    boxes = [[5, 5, 17, 20], [40, 25, 58, 37], [30, 4, 50, 18]]
    return image, torch.tensor(boxes, dtype=torch.float32)


def region(box, size, colour):
    histogram = np.zeros(3 * HISTOGRAM_BINS)
    histogram[colour] = 1.0
    return Region(box, size, histogram)


def test_planted_rectangles_are_among_the_proposals():
    image, boxes = planted()
    # The smoothing before the segmentation moves an edge by a pixel at most.
    best = box_iou(propose_regions(image, sigma=0.3), boxes).max(dim=0).values
    assert (best > 0.85).all()


def test_an_object_of_two_colours_comes_only_from_merging():
    image, boxes = planted()
    labels, regions = initial_regions(image, 10.0, sigma=0.3)
    two_coloured = boxes[2:]

    def best(found):
        return box_iou(torch.tensor([r.box for r in found]).float(), two_coloured).max().item()

    assert best(regions) < 0.6
    assert best(list(merge_steps(regions, neighbours(labels), labels.size))) > 0.85


def test_regions_are_what_a_loop_over_the_pixels_finds():
    image = load_scenes("digits", "val", count=1, image_size=48, seed=3).images[0]
    labels, regions = initial_regions(image, 60.0)
    assert len(regions) == labels.max() + 1 > 5
    for number, found in enumerate(regions):
        rows, columns = np.nonzero(labels == number)
        assert found.size == len(rows)
        assert found.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        pixels = image.numpy().astype(np.float64)[:, rows, columns]
        histogram = [np.histogram(c, HISTOGRAM_BINS, (0, 1))[0] / len(rows) / 3 for c in pixels]
        # A value on the edge of two bins may fall to either side.
        assert np.abs(found.colours - np.concatenate(histogram)).sum() <= 4 / len(rows)
        assert found.colours.sum() == pytest.approx(1)


def test_neighbours_touch_by_an_edge_and_not_by_a_corner():
    labels = np.array([[0, 0, 1], [2, 3, 1], [2, 3, 3]])
    assert neighbours(labels) == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}
    assert neighbours(np.zeros((3, 4), dtype=int)) == set()


def test_similarity_by_hand():
    # A picture of 100 pixels; two halves of a square of 4 × 4, of the same colour.
    left, right = region((0, 0, 2, 4), 8, 0), region((2, 0, 4, 4), 8, 0)
    assert similarity(left, right, 100) == pytest.approx(1 + (1 - 0.16) + 1)
    # Another colour, and in the opposite corner: the box around both is the picture.
    far = region((8, 6, 10, 10), 8, 30)
    assert similarity(left, far, 100) == pytest.approx(0 + 0.84 + (1 - (100 - 16) / 100))
    assert similarity(left, far, 100) == similarity(far, left, 100)


def test_merging_keeps_pixels_and_colours():
    a, b = region((0, 0, 2, 4), 8, 0), region((2, 0, 5, 8), 24, 30)
    both = a.merged(b)
    assert both.box == (0, 0, 5, 8)
    assert both.size == 32
    assert both.colours[[0, 30]].tolist() == [0.25, 0.75]


def test_the_most_similar_pair_goes_first_and_one_region_is_left():
    regions = [
        region((0, 0, 10, 5), 50, 0),
        region((10, 0, 20, 5), 50, 30),
        region((20, 0, 30, 5), 50, 30),
        region((0, 5, 30, 10), 150, 60),
    ]
    touching = {(0, 1), (1, 2), (0, 3), (1, 3), (2, 3)}
    steps = list(merge_steps(regions, touching, 300))
    assert len(steps) == len(regions) - 1
    assert steps[0].box == (10, 0, 30, 5)
    assert steps[-1].box == (0, 0, 30, 10)
    assert steps[-1].size == 300


def test_proposals_are_the_same_again_inside_the_picture_and_without_doubles():
    image = load_scenes("digits", "val", count=1, seed=5).images[0]
    boxes = propose_regions(image)
    assert torch.equal(boxes, propose_regions(image))
    assert len(boxes.unique(dim=0)) == len(boxes) > 30
    assert boxes.min() >= 0
    assert boxes.max() <= 64
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 4
    assert torch.equal(propose_regions(image, limit=7), boxes[:7])
    reordered = propose_regions(image, seed=1)
    assert not torch.equal(reordered, boxes)
    assert sorted(reordered.tolist()) == sorted(boxes.tolist())


def test_a_picture_of_one_colour_is_one_region():
    boxes = propose_regions(torch.full((3, 20, 30), 0.25))
    assert boxes.tolist() == [[0, 0, 30, 20]]


def test_grey_pictures_work_too():
    image, boxes = planted()
    best = box_iou(propose_regions(image[2:], sigma=0.3), boxes[:2]).max(dim=0).values
    assert (best > 0.85).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shape \(C, H, W\)"):
        propose_regions(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="at least one number"):
        propose_regions(torch.zeros(3, 8, 8), scales=())


@pytest.mark.slow
def test_nearly_all_digits_of_a_scene_are_covered():
    scenes = load_scenes("digits", "val", count=25, seed=1)
    proposals = [propose_regions(image) for image in scenes.images]
    objects = [target["boxes"] for target in scenes.targets]
    half, most = proposal_recall(proposals, objects, (0.5, 0.7)).tolist()
    assert half > 0.93
    assert most > 0.85
    # Boxes of the same number and shapes in random places cover far fewer.
    rng = torch.Generator().manual_seed(0)
    moved = []
    for boxes in proposals:
        size = boxes[:, 2:] - boxes[:, :2]
        corner = torch.rand(len(boxes), 2, generator=rng) * (64 - size)
        moved.append(torch.cat([corner, corner + size], dim=1))
    assert proposal_recall(moved, objects, (0.7,)).item() < most - 0.25
