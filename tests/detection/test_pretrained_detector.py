"""The shipped detector: what it was trained for, how well it finds digits, and what it fits."""

import dataclasses
import json

import pytest
import torch

from cnnlib.data.scenes import load_scenes
from cnnlib.detection.training import evaluate_detector
from cnnlib.pretrained import letter_net
from cnnlib.pretrained.detector import (
    detector_card,
    letter_backbone,
    mini_faster_rcnn,
    mini_mask_rcnn,
)
from cnnlib.pretrained.shipped import ShippedWeights
from tools import pretrain_detector


def test_the_weights_are_those_of_the_script():
    configuration = pretrain_detector.Configuration()
    made_by = json.loads(json.dumps(dataclasses.asdict(configuration)))
    card = detector_card()
    assert card["configuration"] == made_by
    assert card["classes"] == load_scenes("digits", count=1).classes
    assert card["bytes"] <= 600_000


@pytest.mark.slow
def test_the_stated_quality_is_reached_on_fresh_scenes():
    fresh = load_scenes("digits", "test", count=80, seed=777)
    metrics = evaluate_detector(mini_faster_rcnn(weights="digits"), fresh)
    assert metrics.at(0.5) == pytest.approx(detector_card()["map50"], abs=0.04)
    assert metrics.mean_average_precision == pytest.approx(detector_card()["map"], abs=0.05)
    assert detector_card()["map50"] > 0.9


def test_the_mask_detector_takes_over_everything_but_the_masks():
    boxes_only, with_masks = (
        f(weights="digits").eval() for f in (mini_faster_rcnn, mini_mask_rcnn)
    )
    images = load_scenes("digits", "test", count=2).images
    with torch.no_grad():
        expected, found = boxes_only(images), with_masks(images)
    for one, other in zip(expected, found, strict=True):
        assert len(one["boxes"]) >= 1
        assert torch.equal(one["boxes"], other["boxes"])
        assert other["masks"].shape == (len(one["boxes"]), 64, 64)


def test_weights_are_loaded_in_float32_and_nothing_is_shared_between_calls():
    one, other = (mini_faster_rcnn(weights="digits") for _ in range(2))
    assert {p.dtype for p in one.parameters()} == {torch.float32}
    with torch.no_grad():
        one.head.classifier.weight.zero_()
    assert other.head.classifier.weight.abs().max() > 0


def test_grey_pictures_give_what_the_letter_network_gives():
    grey = torch.rand(2, 1, 16, 16)
    ours, letters = letter_backbone().eval(), letter_net(weights="letters").eval()
    with torch.no_grad():
        torch.testing.assert_close(
            ours.stage1(ours.stem(grey.expand(-1, 3, -1, -1))), letters.stage1(letters.stem(grey))
        )
        torch.testing.assert_close(
            mini_faster_rcnn().eval().backbone(grey.expand(-1, 3, -1, -1))[0],
            letters.stage3(letters.stage2(letters.stage1(letters.stem(grey)))),
        )
    assert ours.stem.conv.in_channels == 3


def test_fresh_weights_are_not_those_of_letters():
    torch.manual_seed(0)
    fresh = mini_faster_rcnn(weights=None).state_dict()
    known = mini_faster_rcnn().state_dict()
    assert list(fresh) == list(known)
    assert not torch.equal(
        fresh["backbone.body.stage2.conv.weight"], known["backbone.body.stage2.conv.weight"]
    )


@pytest.mark.parametrize("build", [mini_faster_rcnn, mini_mask_rcnn])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"weights": "imagenet"}, "weights must be None, 'letters' or 'digits'"),
        ({"weights": "digits", "num_classes": 3}, "take its backbone alone"),
        ({"weights": "digits", "anchor_sizes": (10.0, 20.0)}, "take its backbone alone"),
    ],
)
def test_wrong_arguments_are_explained(build, options, problem):
    with pytest.raises(ValueError, match=problem):
        build(**options)


def test_other_classes_and_anchors():
    model = mini_faster_rcnn(4, anchor_sizes=(20.0, 40.0))
    model.backbone.load_state_dict(mini_faster_rcnn(weights="digits").backbone.state_dict())
    found = model.eval()(torch.rand(1, 3, 96, 80))[0]
    assert found["boxes"][:, 2].max() <= 80
    assert model.rpn.head.objectness.out_channels == 4


@pytest.mark.slow
def test_the_script_stores_what_it_measured(tmp_path, monkeypatch):
    # A network that few steps have trained: only the way from the model to the card.
    configuration = dataclasses.replace(
        pretrain_detector.Configuration(), scenes=16, epochs=1, warmup_epochs=0.0
    )
    monkeypatch.setattr(
        pretrain_detector,
        "quality",
        lambda model, _: {"map50": model.head.classifier.bias.sum().item()},
    )
    model = pretrain_detector.train(configuration)
    assert not model.training
    card = pretrain_detector.store(model, configuration, tmp_path)
    files = ShippedWeights("detector", tmp_path)
    assert files.card() == json.loads(json.dumps(card))
    assert card["made with"].split(",")[0] == detector_card()["made with"].split(",")[0]
    again = mini_faster_rcnn(weights=None)
    files.load_into(again)
    assert card["map50"] == again.head.classifier.bias.sum().item()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
