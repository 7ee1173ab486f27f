"""The shipped letters: what they were trained for, how well they are read, and by what network."""

import dataclasses
import json

import pytest
import torch

from cnnlib.data import load
from cnnlib.models import resnet18
from cnnlib.pretrained import LetterNet, letter_net, letters_card
from cnnlib.pretrained.shipped import ShippedWeights
from cnnlib.training import evaluate
from cnnlib.transfer import features, trainable
from tools import pretrain_letters


def fresh(split):
    """Letters that neither the training nor the card's own measurement has seen."""
    configuration = letters_card()["configuration"]
    return load(
        "glyphs",
        split,
        image_size=configuration["image_size"],
        scripts=configuration["scripts"],
        per_class=8,
        seed=777,
    )


def test_the_weights_are_those_of_the_script():
    made_by = json.loads(json.dumps(dataclasses.asdict(pretrain_letters.Configuration())))
    assert letters_card()["configuration"] == made_by
    assert letters_card()["classes"] == fresh("train").classes
    assert letters_card()["bytes"] <= 300_000


@pytest.mark.slow
@pytest.mark.parametrize(("split", "fonts"), [("train", "training fonts"), ("test", "a new font")])
def test_the_stated_accuracy_is_reached_on_fresh_letters(split, fonts):
    model = letter_net(weights="letters")
    measured = evaluate(model, fresh(split)).accuracy
    assert measured == pytest.approx(letters_card()["accuracy"][fonts], abs=0.03)
    untrained = evaluate(letter_net(), fresh(split)).accuracy
    assert untrained < 0.05


def test_weights_are_loaded_in_float32_and_nothing_is_shared_between_calls():
    one, other = letter_net(weights="letters"), letter_net(weights="letters")
    assert {p.dtype for p in one.parameters()} == {torch.float32}
    with torch.no_grad():
        one.fc.weight.zero_()
    assert other.fc.weight.abs().max() > 0
    assert trainable(one).frozen == 0


def test_parts_have_the_names_of_resnet18():
    with torch.device("meta"):
        theirs = [name for name, _ in resnet18().named_children()]
    ours = [name for name, _ in letter_net().named_children()]
    assert [name for name in theirs if name != "pool"] == ours


def test_shapes_and_parameters_are_those_of_the_table():
    model = letter_net(10)
    counts = {n: sum(p.numel() for p in part.parameters()) for n, part in model.named_children()}
    assert counts == {
        "stem": 176,
        "stage1": 4_672,
        "stage2": 9_280,
        "stage3": 18_560,
        "stage4": 73_984,
        "global_pool": 0,
        "fc": 1_290,
    }
    x = torch.rand(2, 1, 16, 16)
    shapes = [features(model, name, x).shape[1:] for name in counts]
    assert shapes == [
        (16, 16, 16),
        (32, 8, 8),
        (32, 8, 8),
        (64, 4, 4),
        (128, 4, 4),
        (128, 1, 1),
        (10,),
    ]
    assert LetterNet(3, in_channels=3)(torch.rand(1, 3, 32, 24)).shape == (1, 3)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"weights": "imagenet"}, "weights must be None or 'letters'"),
        ({"weights": "letters", "num_classes": 10}, "replace the head"),
        ({"weights": "letters", "in_channels": 3}, "load the weights first"),
        ({"num_classes": 0}, "num_classes"),
        ({"in_channels": 1.5}, "in_channels"),
    ],
)
def test_wrong_arguments_are_explained(options, problem):
    with pytest.raises(ValueError, match=problem):
        letter_net(**options)


def test_the_script_stores_what_it_measured(tmp_path):
    # A network nobody trained, and few letters: only the way from the model to the card.
    configuration = dataclasses.replace(
        pretrain_letters.Configuration(), scripts=("latin",), per_class=1
    )
    model = LetterNet(37).eval()
    card = pretrain_letters.store(model, configuration, tmp_path)
    files = ShippedWeights("letters", tmp_path)
    assert files.card() == json.loads(json.dumps(card))
    assert card.keys() == letters_card().keys()
    assert card["made with"].split(",")[0] == letters_card()["made with"].split(",")[0]
    again = LetterNet(37)
    files.load_into(again)
    x = torch.rand(3, 1, 16, 16)
    assert torch.equal(again.eval()(x), model(x))
    assert card["accuracy"] == pretrain_letters.accuracies(again, configuration)


@pytest.mark.slow
def test_the_script_learns():
    configuration = dataclasses.replace(
        pretrain_letters.Configuration(),
        scripts=("cyrillic",),
        per_class=16,
        epochs=6,
        batch_size=32,
    )
    model = pretrain_letters.train(configuration)
    assert not model.training
    assert pretrain_letters.accuracies(model, configuration)["training fonts"] > 0.5


def test_changes_before_training_keep_the_letters_in_the_picture():
    configuration = pretrain_letters.Configuration()
    images = fresh("train").images[:64]
    seen = pretrain_letters.as_seen(images, configuration, torch.Generator().manual_seed(0))
    assert seen.shape == images.shape
    assert 0 <= seen.min() < seen.max() <= 1
    # Larger, so more ink; never all of it gone.
    ratio = seen.sum((1, 2, 3)) / images.sum((1, 2, 3))
    assert 0.9 < ratio.min() < ratio.max() < 1.5**2 + 0.1
