"""R-CNN's parts against scikit-learn, torchvision and planted answers."""

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC
from torch import nn
from torchvision.transforms.functional import resized_crop

from cnnlib.detection.boxes import box_iou, encode_boxes
from cnnlib.detection.rcnn import (
    BoxRegressions,
    DescribedRegions,
    LinearScores,
    describe_regions,
    rcnn_detect,
    region_features,
    ridge_regression,
    train_box_regressions,
    train_svm,
    train_svms,
    warp_crops,
)


def numbers(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


# --- crops and features ------------------------------------------------------------------------


def test_a_box_of_the_crops_size_is_cut_out_pixel_by_pixel():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    crops = warp_crops(image, torch.tensor([[4.0, 6, 12, 14], [0, 0, 8, 8]]), size=8, context=0)
    assert torch.allclose(crops[0], image[:, 6:14, 4:12], atol=1e-5)
    assert torch.allclose(crops[1], image[:, :8, :8], atol=1e-5)


def test_stretching_agrees_with_torchvision():
    # Away from the border, where torchvision repeats the crop's pixels and we see the picture's.
    image = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(1))
    ours = warp_crops(image, torch.tensor([[8.0, 4, 20, 28]]), size=48, context=0)[0]
    theirs = resized_crop(image, 4, 8, 24, 12, [48, 48], antialias=False)
    assert torch.allclose(ours[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], atol=1e-5)


def test_context_shows_what_lies_around_the_box():
    image = torch.zeros(1, 40, 40)
    image[:, 10:30, 10:30] = 1.0
    crop = warp_crops(image, torch.tensor([[10.0, 10, 30, 30]]), size=24, context=2)[0, 0]
    assert torch.allclose(crop[2:-2, 2:-2], torch.ones(20, 20), atol=1e-5)
    assert crop[:2].abs().max() < 1e-5
    assert crop[:, -2:].abs().max() < 1e-5


@pytest.mark.parametrize(("fill", "wanted"), [(None, 0.25), (0.75, 0.75)])
def test_outside_the_picture_is_the_mean_or_the_fill(fill, wanted):
    image = torch.zeros(2, 10, 10)
    image[:, :, :5] = 0.5  # mean 0.25
    crop = warp_crops(image, torch.tensor([[20.0, 20, 30, 30]]), size=4, context=0, fill=fill)
    assert torch.allclose(crop, torch.full((1, 2, 4, 4), wanted))


def test_crops_of_no_box_and_bad_input():
    image = torch.zeros(3, 10, 10)
    assert warp_crops(image, torch.zeros(0, 4), size=8, context=1).shape == (0, 3, 8, 8)
    with pytest.raises(ValueError, match="no room"):
        warp_crops(image, torch.zeros(1, 4), size=8, context=4)
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        warp_crops(image[None], torch.zeros(1, 4), size=8, context=1)


class MeanColour(nn.Module):
    """The simplest network: crops (N, C, S, S) to features (N, C)."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


def test_features_do_not_depend_on_the_batch():
    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 20], [3, 0, 20, 6]])
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5), nn.Dropout(0.5)).train()
    whole = region_features(image, boxes, network, size=8, context=1)
    parts = region_features(image, boxes, network, size=8, context=1, batch_size=2)
    assert torch.allclose(whole, parts, atol=1e-6)
    assert not whole.requires_grad
    assert region_features(image, boxes[:0], network, size=8, context=1).shape == (0, 5)


def test_regions_are_described_by_class():
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [2, 0, 12, 10]])
    labels = torch.tensor([1, 3, 1])
    proposals = torch.tensor([[3.0, 0, 13, 10], [20, 20, 30, 25], [15, 0, 18, 3]])
    made = describe_regions(
        image, proposals, boxes, labels, MeanColour(), num_classes=4, size=8, context=0
    )
    assert made.classes.tolist() == [1, 3, 1, 0, 0, 0]
    assert torch.equal(made.boxes, torch.cat([boxes, proposals]))
    iou = box_iou(made.boxes, boxes)
    expected = torch.stack([iou[:, [0, 2]].max(dim=1).values, torch.zeros(6), iou[:, 1]], dim=1)
    assert torch.allclose(made.overlaps, expected)
    assert made.goals[3, 0].tolist() == [2, 0, 12, 10]  # the nearer of the two
    assert made.goals[4, 2].tolist() == [20, 20, 30, 30]
    assert made.goals[3, 1].tolist() == made.boxes[3].tolist()  # no such object: stay
    assert torch.allclose(
        made.features, region_features(image, made.boxes, MeanColour(), size=8, context=0)
    )


# --- SVMs --------------------------------------------------------------------------------------


def clouds(overlap):
    positives = numbers(40, 6) + torch.tensor([overlap, 0, 0, 0, 0, 0])
    return positives, numbers(3000, 6, seed=1)


@pytest.mark.parametrize("distance", [1.5, 4.0])
def test_mining_ends_with_the_svm_of_all_negatives(distance):
    positives, negatives = clouds(distance)
    weight, bias, history = train_svm(positives, negatives, penalty=0.01, start=100)
    assert history[0].used == 100
    assert history[-1].found == 0
    assert history[-1].used < len(negatives)

    whole = LinearSVC(
        C=0.01,
        class_weight={1: 2.0, 0: 1.0},
        dual=False,
        tol=1e-8,
        intercept_scaling=10.0,
    )
    examples = torch.cat([positives, negatives]).double().numpy()
    whole.fit(examples, [1] * len(positives) + [0] * len(negatives))
    assert torch.allclose(weight, torch.tensor(whole.coef_[0]).float(), atol=2e-4)
    assert bias == pytest.approx(whole.intercept_[0], abs=1e-3)


def test_without_mining_the_svm_is_another_one():
    positives, negatives = clouds(1.5)
    mined, _, _ = train_svm(positives, negatives, penalty=0.01, start=100)
    first, _, history = train_svm(positives, negatives, penalty=0.01, start=100, rounds=1)
    assert len(history) == 1
    assert history[0].found > 0
    assert (mined - first).norm() > 0.05 * mined.norm()


def test_an_svm_needs_both_kinds():
    with pytest.raises(ValueError, match="0 positives and 3 negatives"):
        train_svm(torch.zeros(0, 2), torch.zeros(3, 2))


def described(features, overlaps, classes, boxes=None, goals=None):
    count, num_classes = overlaps.shape
    boxes = torch.zeros(count, 4) if boxes is None else boxes
    goals = boxes[:, None].repeat(1, num_classes, 1) if goals is None else goals
    return DescribedRegions(boxes, features, overlaps, classes, goals)


def test_only_objects_are_positive_and_only_far_regions_negative():
    """A region in between must not matter, whatever its features are."""
    positives, negatives = clouds(4.0)
    between = numbers(50, 6, seed=3) * 100
    features = torch.cat([positives, negatives, between])
    classes = torch.cat([torch.ones(40), torch.zeros(3050)]).long()
    overlaps = torch.cat([torch.ones(40), torch.full((3000,), 0.29), torch.full((50,), 0.3)])
    pictures = [described(features, overlaps[:, None], classes)]
    svms, (history,) = train_svms(pictures, penalty=0.01)
    weight, bias, _ = train_svm(positives, negatives, penalty=0.01)
    assert torch.allclose(svms.weight[0], weight, atol=1e-5)
    assert svms.bias[0].item() == pytest.approx(bias, abs=1e-4)
    assert history[-1].found == 0


def test_classes_are_told_apart_and_an_unseen_class_never_fires():
    centres = torch.tensor([[6.0, 0], [0, 6.0]])
    features = torch.cat([centres[0] + numbers(30, 2), centres[1] + numbers(30, 2, seed=1)])
    features = torch.cat([features, numbers(100, 2, seed=2) - 4])
    classes = torch.cat([torch.full((30,), 1), torch.full((30,), 3), torch.zeros(100)]).long()
    overlaps = torch.zeros(160, 3)
    overlaps[:30, 0] = overlaps[30:60, 2] = 1
    svms, histories = train_svms([described(features, overlaps, classes)], penalty=1.0)
    scores = svms(features)
    assert (scores[:30].argmax(dim=1) == 0).float().mean() > 0.95
    assert (scores[30:60].argmax(dim=1) == 2).float().mean() > 0.95
    assert (scores[60:] < 0).float().mean() > 0.95
    assert (scores[:, 1] == -1).all()
    assert histories[1] == []


def test_nothing_to_train_on_is_an_error():
    for train in (train_svms, train_box_regressions):
        with pytest.raises(ValueError, match="at least one picture"):
            train([])


# --- box regression ----------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.5, 1000.0])
@pytest.mark.parametrize("size", [9, 100])
def test_ridge_regression_is_scikit_learns(penalty, size):
    features, goals = numbers(60, size) + 2, numbers(60, 4, seed=1) - 1
    weight, bias = ridge_regression(features, goals, penalty)
    theirs = Ridge(alpha=penalty).fit(features.double().numpy(), goals.double().numpy())
    assert torch.allclose(weight.T, torch.tensor(theirs.coef_).float(), atol=1e-5)
    assert torch.allclose(bias, torch.tensor(theirs.intercept_).float(), atol=1e-5)


def test_ridge_regression_without_penalty_is_exact_where_it_can_be():
    features, weight = numbers(30, 5), numbers(5, 4, seed=1)
    got, bias = ridge_regression(features, features @ weight + 3, penalty=0)
    assert torch.allclose(got, weight, atol=1e-4)
    assert torch.allclose(bias, torch.full((4,), 3.0), atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "goals", "penalty", "message"),
    [(0, 0, 1.0, "0 rows"), (3, 2, 1.0, "3 rows"), (3, 3, -1.0, "negative")],
)
def test_bad_ridge_problems_are_refused(rows, goals, penalty, message):
    with pytest.raises(ValueError, match=message):
        ridge_regression(torch.zeros(rows, 2), torch.zeros(goals, 4), penalty)


def shifted_pictures():
    """Proposals that are shifted by what their first feature says; and far ones, to be left out."""
    shift = numbers(80, 1).clamp(-0.15, 0.15)
    corner = 20 * numbers(80, 2, seed=1).abs()
    objects = torch.cat([corner, corner + 20], dim=1)
    proposals = objects - torch.cat([20 * shift, 0 * shift], dim=1).repeat(1, 2)
    features = torch.cat([shift, numbers(80, 3, seed=2)], dim=1)
    overlaps = torch.diagonal(box_iou(proposals, objects))
    wild = torch.rand(40, generator=torch.Generator().manual_seed(3)) * 0.6  # IoU up to 0.6
    far = proposals[:40] + 10
    return objects, [
        described(
            torch.cat([features, features[:40]]),
            torch.cat([overlaps, wild])[:, None].repeat(1, 2) * torch.tensor([1.0, 0.0]),
            torch.zeros(120, dtype=torch.int64),
            torch.cat([proposals, far]),
            torch.cat([objects, objects[:40]])[:, None].repeat(1, 2, 1),
        )
    ]


def test_box_regression_moves_proposals_to_their_objects():
    objects, pictures = shifted_pictures()
    regressions = train_box_regressions(pictures, penalty=1e-3)
    boxes, features = pictures[0].boxes[:80], pictures[0].features[:80]
    moved = regressions(features, boxes)
    assert moved.shape == (80, 2, 4)
    before = torch.diagonal(box_iou(boxes, objects))
    after = torch.diagonal(box_iou(moved[:, 0], objects))
    assert before.mean() < 0.9
    assert after.min() > 0.99
    assert torch.allclose(moved[:, 1], boxes, atol=1e-4)  # no pair of the second class: stay


def test_the_four_numbers_are_those_of_the_paper():
    _, pictures = shifted_pictures()
    near = pictures[0].overlaps[:, 0] > 0.6
    goals = encode_boxes(pictures[0].goals[near, 0], pictures[0].boxes[near])
    theirs = Ridge(alpha=1000.0).fit(pictures[0].features[near].double(), goals.double())
    ours = train_box_regressions(pictures)
    assert torch.allclose(ours.weight[0].T, torch.tensor(theirs.coef_).float(), atol=1e-6)


# --- detection ---------------------------------------------------------------------------------


def test_detections_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 60, 60], [0, 0, 5, 5]])
    features = torch.tensor([[2.0, -3], [1.0, 0.5], [-2, 0.9], [-5, -5]])
    svms = LinearScores(torch.eye(2), torch.zeros(2))
    still = BoxRegressions(torch.zeros(2, 2, 4), torch.zeros(2, 4))
    for regressions in (None, still):
        found = rcnn_detect(features, boxes, svms, regressions, (40, 40))
        # Class 1: the second box overlaps the better first one. Class 2 is not silenced by it.
        assert found["scores"].tolist() == pytest.approx([2.0, 0.9, 0.5])
        assert found["labels"].tolist() == [1, 2, 2]
        assert found["boxes"].tolist() == [[0, 0, 10, 10], [30, 30, 40, 40], [1, 0, 11, 10]]
    assert len(rcnn_detect(features, boxes, svms, None, (40, 40), limit=1)["scores"]) == 1
    nothing = rcnn_detect(features[:0], boxes[:0], svms, still, (40, 40))
    assert nothing["boxes"].shape == (0, 4)


def test_regression_happens_before_suppression():
    """Two boxes that hardly overlap are moved onto the same object: one must go."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [8, 0, 18, 10]])
    features = torch.tensor([[1.0, 0.0], [0.5, 1.0]])  # the second number asks for a shift
    svms = LinearScores(torch.tensor([[1.0, 0.0]]), torch.zeros(1))
    weight = torch.zeros(1, 2, 4)
    weight[0, 1, 0] = -0.8  # t_x = -0.8: eight pixels to the left
    regressions = BoxRegressions(weight, torch.zeros(1, 4))
    found = rcnn_detect(features, boxes, svms, regressions, (20, 20))
    assert found["boxes"].tolist() == [[0, 0, 10, 10]]
    # Features of their own, which ask for nothing: both stay.
    found = rcnn_detect(features, boxes, svms, regressions, (20, 20), box_features=0 * features)
    assert found["boxes"].tolist() == boxes.tolist()
