"""The region proposal network against torchvision's with the same weights."""

from collections import OrderedDict

import pytest
import torch
from detection_cases import boxes_of, randn, random_boxes
from torchvision.models.detection.anchor_utils import AnchorGenerator as ReferenceAnchors
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork as Reference
from torchvision.models.detection.rpn import RPNHead as ReferenceHead
from torchvision.models.detection.rpn import concat_box_prediction_layers

from cnnlib.detection.anchors import AnchorGenerator, cell_anchors, grid_anchors
from cnnlib.detection.boxes import box_iou, decode_boxes
from cnnlib.detection.rpn import ProposalSettings, RegionProposalNetwork, RPNHead

SIZES = ((16,), (32,), (64,))
PADDED = (96, 128)
IMAGES = [(96, 128), (80, 100)]  # the second picture is padded


def feature_maps():
    return [randn(2, 8, 96 // s, 128 // s, seed=s, dtype=torch.float32) for s in (4, 8, 16)]


def targets():
    return [
        {"boxes": random_boxes(n, seed=n, size=60.0, smallest=10.0, dtype=torch.float32)}
        for n in (4, 2)
    ]


def pair(*, before=50, after=30):
    """Ours and torchvision's, with the same weights, larger than at the start of training."""
    torch.manual_seed(0)
    ours = RegionProposalNetwork(
        8,
        AnchorGenerator(SIZES),
        samples=64,
        training=ProposalSettings(before, after),
        testing=ProposalSettings(before // 2, after // 2),
    )
    theirs = Reference(
        ReferenceAnchors(SIZES, ((0.5, 1.0, 2.0),) * 3),
        ReferenceHead(8, 3),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=64,
        positive_fraction=0.5,
        pre_nms_top_n={"training": before, "testing": before // 2},
        post_nms_top_n={"training": after, "testing": after // 2},
        nms_thresh=0.7,
    )
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(10 * parameter + 0.1 * torch.randn_like(parameter))
    names = {"conv": "conv.0.0", "objectness": "cls_logits", "deltas": "bbox_pred"}
    state = {}
    for name, value in ours.head.state_dict().items():
        layer, part = name.split(".")
        state[f"{names[layer]}.{part}"] = value
    theirs.head.load_state_dict(state)
    return ours, theirs


def call_reference(theirs, features, truth=None):
    images = ImageList(torch.zeros(2, 3, *PADDED), IMAGES)
    return theirs(images, OrderedDict((str(i), f) for i, f in enumerate(features)), truth)


@pytest.mark.parametrize("training", [False, True])
def test_proposals_agree_with_torchvision(training):
    ours, theirs = pair()
    ours.train(training)
    theirs.train(training)
    proposals, losses = ours(feature_maps(), IMAGES, PADDED)
    expected, _ = call_reference(theirs, feature_maps(), targets())
    assert losses == {}
    for mine, reference, (height, width) in zip(proposals, expected, IMAGES, strict=True):
        torch.testing.assert_close(mine, reference)
        assert len(mine) == (30 if training else 15)
        assert not mine.requires_grad
        assert (mine >= 0).all()
        assert (mine[:, 2] <= width).all()
        assert (mine[:, 3] <= height).all()


def test_losses_and_gradients_agree_with_torchvision():
    """Both draw their samples from the global generator, in the same order."""
    ours, theirs = pair()
    torch.manual_seed(3)
    _, losses = ours(feature_maps(), IMAGES, PADDED, targets())
    torch.manual_seed(3)
    _, expected = call_reference(theirs, feature_maps(), targets())
    torch.testing.assert_close(losses["rpn_objectness"], expected["loss_objectness"])
    torch.testing.assert_close(losses["rpn_box"], expected["loss_rpn_box_reg"])
    assert losses["rpn_box"] > 0
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-4, atol=1e-6)


def test_head_answers_in_the_order_of_the_anchors():
    head, features = RPNHead(8, 3), feature_maps()
    mine = [head(level) for level in features]
    maps = [torch.relu(head.conv(level)) for level in features]
    scores, deltas = concat_box_prediction_layers(
        [head.objectness(x) for x in maps], [head.deltas(x) for x in maps]
    )
    torch.testing.assert_close(torch.cat([a for a, _ in mine], dim=1).flatten(), scores.flatten())
    torch.testing.assert_close(torch.cat([b for _, b in mine], dim=1).flatten(0, 1), deltas)


def test_head_starts_with_small_weights():
    torch.manual_seed(0)
    head = RPNHead(64, 9)
    assert head.objectness.weight.shape == (9, 64, 1, 1)
    assert head.deltas.weight.shape == (36, 64, 1, 1)  # 4k coordinates
    assert head.conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert all((p == 0).all() for name, p in head.named_parameters() if name.endswith("bias"))


def test_labels_and_goals_of_anchors():
    network = RegionProposalNetwork(8, AnchorGenerator(((32,),)))
    anchors = grid_anchors(cell_anchors([32], [0.5, 1.0, 2.0]), (6, 8), (16, 16))
    boxes = torch.tensor([[20.0, 20, 50, 55], [70, 10, 80, 16]])  # the second is hard to cover
    labels, goals = network.label_anchors(anchors, boxes)
    overlap = box_iou(boxes, anchors)
    assert set(labels.tolist()) == {-1, 0, 1}
    assert (overlap[:, labels == 0].max(dim=0).values < 0.3).all()
    assert labels[overlap[1].argmax()] == 1  # though less than 0.7
    assert overlap[1].max() < 0.3
    positive = labels == 1
    decoded = decode_boxes(goals[positive], anchors[positive])
    nearest = overlap[:, positive].argmax(dim=0)
    torch.testing.assert_close(decoded, boxes[nearest])
    assert (goals[~positive] == 0).all()


def test_a_picture_without_objects_teaches_background():
    ours, _ = pair()
    nothing = [{"boxes": torch.zeros(0, 4)}, {"boxes": torch.zeros(0, 4)}]
    _, losses = ours(feature_maps(), IMAGES, PADDED, nothing)
    assert losses["rpn_objectness"] > 0
    assert losses["rpn_box"] == 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())


def test_losses_alone_are_those_that_come_with_proposals():
    ours, _ = pair()
    torch.manual_seed(3)
    _, both = ours(feature_maps(), IMAGES, PADDED, targets())
    torch.manual_seed(3)
    assert ours.losses(feature_maps(), PADDED, targets()) == both
    with pytest.raises(ValueError, match="1 targets for 2 pictures"):
        ours.losses(feature_maps(), PADDED, targets()[:1])


def test_a_generator_makes_the_loss_repeatable():
    ours, _ = pair()

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        how = {"generator": generator}
        return ours(feature_maps(), IMAGES, PADDED, targets(), **how)[1]["rpn_objectness"]

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_levels_do_not_suppress_each_other():
    """The same box on two levels: both stay."""
    network = RegionProposalNetwork(8, AnchorGenerator(((32,), (32,)), (1.0,)))
    with torch.no_grad():
        network.head.deltas.weight.zero_()  # so that proposals are the anchors
    features = [torch.rand(1, 8, 1, 2), torch.rand(1, 8, 1, 2)]
    proposals, _ = network(features, [(64, 128)], (64, 128))
    assert sorted(proposals[0].tolist()) == [[0, 0, 16, 16]] * 2 + [[48, 0, 80, 16]] * 2


def test_boxes_that_leave_the_picture_are_dropped():
    """All anchors are sent far away: nothing to propose, and no error."""
    ours, _ = pair()
    with torch.no_grad():
        ours.head.deltas.weight.zero_()
        ours.head.deltas.bias.copy_(torch.tensor([1000.0, 0, 0, 0]).repeat(3))
    proposals, _ = ours(feature_maps(), IMAGES, PADDED)
    assert [tuple(p.shape) for p in proposals] == [(0, 4), (0, 4)]


def test_rejects():
    with pytest.raises(ValueError, match=r"equally many anchors a position; got \[3, 6\]"):
        RegionProposalNetwork(8, AnchorGenerator(((32,), (64, 128))))
    ours, _ = pair()
    with pytest.raises(ValueError, match="1 image_sizes for 2 pictures"):
        ours(feature_maps(), IMAGES[:1], PADDED)
    with pytest.raises(ValueError, match="1 targets for 2 pictures"):
        ours(feature_maps(), IMAGES, PADDED, [{"boxes": boxes_of()}])
