"""Faster R-CNN: the whole network against torchvision's with the same weights, and its edges."""

import copy

import pytest
import torch
from detector_twins import CLASSES, HEIGHT, KINDS, NAMES, WIDTH, detector, objects, pictures, twin
from torch import nn

from cnnlib.detection.boxes import box_iou
from cnnlib.detection.faster_rcnn import (
    FasterRCNN,
    RegionSettings,
    backbone_levels,
    batch_images,
    faster_rcnn,
)
from cnnlib.models import resnet18, shufflenet_v2_x1_0, vgg16
from cnnlib.pretrained import LetterNet


def nothing():
    return {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


# --- against torchvision -----------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(3, 1), (2, 0), (0, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_torchvisions(kind, counts):
    ours = detector(kind)
    theirs = twin(ours)
    losses = ours(pictures(), objects(*counts))
    expected = theirs(list(pictures()), objects(*counts))
    assert set(losses) == set(NAMES) - {"mask"}
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[NAMES[name]], rtol=1e-4, atol=1e-6)
        assert (loss > 0) or (sum(counts) == 0 and name.endswith("box"))
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_torchvisions(kind):
    ours = detector(kind).eval()
    theirs = twin(ours)
    with torch.no_grad():
        found, expected = ours(pictures()), theirs(list(pictures()))
    for mine, reference in zip(found, expected, strict=True):
        assert len(mine["boxes"]) > 5
        assert len(mine["labels"].unique()) > 1
        assert torch.equal(mine["labels"], reference["labels"])
        torch.testing.assert_close(mine["scores"], reference["scores"], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(mine["boxes"], reference["boxes"], rtol=1e-4, atol=1e-3)


def test_pictures_of_several_sizes_are_filled_up_as_torchvision_does():
    """torchvision resizes to the shorter side, so both pictures have the same one."""
    ours = detector("pyramid").eval()
    theirs = twin(ours)
    images = [pictures()[0], pictures()[1][:, :, : HEIGHT + 1]]  # 65 wide: not a multiple of 8
    with torch.no_grad():
        found, expected = ours(images), theirs(images)
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(mine["boxes"], reference["boxes"], rtol=1e-4, atol=1e-3)
    assert found[1]["boxes"][:, 2].max() <= HEIGHT + 1


# --- parts -------------------------------------------------------------------------------------


def test_losses_of_the_parts_are_those_of_the_whole():
    ours = detector("one map").eval()  # so that batch normalisation keeps still
    whole = ours(pictures(), objects(3, 1))
    rpn = ours.rpn_losses(pictures(), objects(3, 1))
    proposals = ours.propose(pictures())
    head = ours.region_losses(ours.extract(pictures()), proposals, objects(3, 1))
    torch.testing.assert_close(rpn | head, whole)
    assert [tuple(p.shape) for p in proposals] == [(30, 4)] * 2


def test_the_true_boxes_train_the_head_though_no_proposal_covers_them():
    ours = detector("one map")
    far = [torch.tensor([[60.0, 60, 64, 64]])] * 2
    losses = ours.region_losses(ours.extract(pictures()), far, objects(1, 1))
    assert losses["head_box"] > 0


def test_detections_are_sorted_and_inside_the_picture():
    found = detector("one map").eval()(pictures())[0]
    boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert len(boxes) <= 40
    assert (boxes >= 0).all()
    assert (boxes[:, 2] <= WIDTH).all()
    assert (boxes[:, 3] <= HEIGHT).all()
    assert ((labels >= 1) & (labels < CLASSES)).all()
    overlap = box_iou(boxes, boxes) * (labels[:, None] == labels)
    assert (overlap.fill_diagonal_(0) <= 0.5).all()


def test_the_generator_decides_the_samples():
    ours = detector("one map").eval()
    ours.rpn.samples = 16

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        return ours(pictures(), objects(3, 1), generator=generator)["rpn_objectness"]

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_gradients_reach_every_parameter_and_none_passes_through_the_proposals():
    ours = detector("pyramid")
    sum(ours(pictures(), objects(3, 1)).values()).backward()
    assert all(p.grad.abs().sum() > 0 for p in ours.parameters() if p.ndim > 1)
    ours.zero_grad()
    features = ours.extract(pictures())
    sum(ours.region_losses(features, ours.propose(pictures()), objects(3, 1)).values()).backward()
    assert all(p.grad is None for p in ours.rpn.parameters())


def test_roi_pooling_as_in_the_paper():
    regions = RegionSettings(layer="pool", pool_size=3)
    ours = faster_rcnn(LetterNet(5, 3), ["stage3"], CLASSES, anchor_sizes=[[16]], regions=regions)
    # The cell of the map at (4 to 7) × (4 to 7) is what a box from 16 to 28 sees: 3 × 3 bins.
    features = ours.extract(pictures(1))
    pooled = ours.crop(features, [torch.tensor([[16.0, 16, 24, 24]])], 3)
    torch.testing.assert_close(pooled[0], features.maps[0][0, :, 4:7, 4:7])


# --- edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_without_objects_teach_background(kind):
    ours = detector(kind)
    losses = ours(pictures(), [nothing(), nothing()])
    assert losses["rpn_box"] == losses["head_box"] == 0
    assert losses["rpn_objectness"] > 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())


def test_a_box_outside_the_picture_does_no_harm():
    ours = detector("one map")
    outside = {
        "boxes": torch.tensor([[200.0, 200, 220, 230], [-30, -30, -5, -5], [50, 50, 90, 90]]),
        "labels": torch.tensor([1, 2, 3]),
    }
    losses = ours(pictures(1), [outside])
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_no_proposals_no_detections(kind):
    ours = detector(kind).eval()
    with torch.no_grad():
        ours.rpn.head.deltas.weight.zero_()
        ours.rpn.head.deltas.bias.copy_(
            torch.tensor([1000.0, 0, 0, 0]).repeat(len(ours.rpn.head.deltas.bias) // 4)
        )
    for found in ours(pictures()):
        assert {key: tuple(value.shape) for key, value in found.items()} == {
            "boxes": (0, 4),
            "scores": (0,),
            "labels": (0,),
        }
    losses = ours.train()(pictures(), [nothing(), nothing()])
    assert losses["head_class"] == losses["head_box"] == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"boxes": torch.tensor([[5.0, 5, 5, 9]])}, r"boxes of picture 1.*number 0"),
        ({"boxes": torch.tensor([[5.0, 5, 9, float("nan")]])}, "must be finite"),
        ({"labels": torch.tensor([0])}, "0 is the background"),
        ({"labels": torch.tensor([1, 2])}, "must be 1 whole numbers"),
        ({"labels": torch.tensor([1.0])}, "int64"),
        ({"labels": torch.tensor([CLASSES])}, f"the detector has {CLASSES} classes"),
    ],
)
def test_bad_targets_are_explained(change, problem):
    ours = detector("one map")
    good = objects(1, 1)
    with pytest.raises(ValueError, match=problem):
        ours(pictures(), [good[0], good[1] | change])


def test_wrong_calls_are_explained():
    ours = detector("one map")
    with pytest.raises(ValueError, match=r"call .eval\(\) first"):
        ours(pictures())
    with pytest.raises(ValueError, match="1 targets for 2 pictures"):
        ours(pictures(), objects(1))
    with pytest.raises(ValueError, match="picture 0 lacks labels"):
        ours(pictures(1), [{"boxes": torch.zeros(0, 4)}])
    with pytest.raises(ValueError, match="at least one picture"):
        ours([], [])
    with pytest.raises(ValueError, match=r"number 1 is torch.uint8"):
        ours([pictures()[0], torch.zeros(3, 9, 9, dtype=torch.uint8)], objects(1, 1))


def test_parts_that_do_not_fit_are_explained():
    ours = detector("pyramid")
    with pytest.raises(ValueError, match="the backbone has 3 levels and the anchors 1"):
        FasterRCNN(ours.backbone, detector("one map").rpn, ours.head)
    with pytest.raises(ValueError, match="'pool' with 2"):
        FasterRCNN(ours.backbone, ours.rpn, ours.head, RegionSettings(layer="pool"), roi_levels=2)
    with pytest.raises(ValueError, match="roi_levels must be from 1 to 3"):
        FasterRCNN(ours.backbone, ours.rpn, ours.head, roi_levels=4)
    with pytest.raises(ValueError, match="cannot share one head"):
        faster_rcnn(LetterNet(5, 3), ["stage2", "stage4"], 3, anchor_sizes=[[8], [16]])


def test_batches():
    images = [torch.ones(3, 5, 9), torch.ones(3, 7, 2)]
    batch, sizes = batch_images(images, 4)
    assert batch.shape == (2, 3, 8, 12)
    assert sizes == [(5, 9), (7, 2)]
    assert batch.sum() == 3 * (45 + 14)
    assert batch[0, :, :5, :9].min() == 1
    fits = torch.rand(2, 3, 8, 4)
    assert batch_images(fits, 4)[0] is fits


# --- backbones ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constructor", "layers", "channels", "strides"),
    [
        (resnet18, ["stage1", "stage2", "stage3", "stage4"], [64, 128, 256, 512], [4, 8, 16, 32]),
        (vgg16, ["features.13"], [512], [16]),
        (shufflenet_v2_x1_0, ["stage2", "stage3"], [116, 232], [8, 16]),
    ],
)
def test_networks_of_the_library_become_backbones(constructor, layers, channels, strides):
    with torch.device("meta"):
        network = constructor()
    backbone = backbone_levels(network, layers)
    assert backbone.channels == channels
    assert backbone.strides == strides
    maps = backbone(torch.empty(2, 3, 64, 96, device="meta"))
    assert [m.shape for m in maps] == [
        (2, c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)
    ]


def test_a_backbone_computes_what_the_network_computes_and_shares_its_weights():
    network = LetterNet(5, 3).eval()
    backbone = backbone_levels(network, ["stage2", "stage4"]).eval()
    x = pictures(1)
    fine = network.stage2(network.stage1(network.stem(x)))
    maps = backbone(x)
    torch.testing.assert_close(maps[0], fine)
    torch.testing.assert_close(maps[1], network.stage4(network.stage3(fine)))
    assert backbone.body.stem.conv.weight is network.stem.conv.weight
    assert "body.fc.weight" not in backbone.state_dict()


def test_a_copy_of_a_backbone_is_in_the_same_mode_and_computes_the_same():
    backbone = backbone_levels(LetterNet(5, 3), ["stage2"]).eval()
    twin = copy.deepcopy(backbone)
    assert not any(module.training for module in twin.modules())
    assert torch.equal(twin(pictures())[0], backbone(pictures())[0])
    assert twin.body.stem.conv.weight is not backbone.body.stem.conv.weight


def test_a_pyramid_on_a_backbone():
    backbone = backbone_levels(
        LetterNet(5, 3), ["stage2", "stage4"], pyramid_channels=8, extra_level=True
    )
    assert (backbone.channels, backbone.strides) == ([8, 8, 8], [2, 4, 8])
    assert [m.shape[1:] for m in backbone(pictures(1))] == [(8, 32, 36), (8, 16, 18), (8, 8, 9)]


def test_wrong_backbones_are_explained():
    network = LetterNet(5, 3)
    with pytest.raises(ValueError, match=r"no layer \['stage5'\].*outermost are stem, stage1"):
        backbone_levels(network, ["stage5"])
    with pytest.raises(ValueError, match="finest first"):
        backbone_levels(network, ["stage4", "stage2"])
    with pytest.raises(ValueError, match=r"twice the one before; got \[1, 4\]"):
        backbone_levels(network, ["stem", "stage4"], pyramid_channels=8)
    with pytest.raises(ValueError, match="belongs to a pyramid"):
        backbone_levels(network, ["stage4"], extra_level=True)

    class Undecided(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x) if x.sum() > 0 else x

    with pytest.raises(ValueError, match="Undecided decides something while it runs"):
        backbone_levels(Undecided(), ["conv"])
