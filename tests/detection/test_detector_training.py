"""Joint and alternating training: what moves, what does not, and that a detector learns."""

import copy
from itertools import pairwise

import pytest
import torch
from detector_twins import CLASSES, detector, objects, pictures

from cnnlib.data.scene_set import SceneSet
from cnnlib.detection import training
from cnnlib.detection.training import (
    detect_objects,
    evaluate_detector,
    fit_alternating,
    fit_detector,
    fit_head,
    fit_rpn,
    joint_step,
    propose,
)
from cnnlib.pretrained.detector import mini_faster_rcnn
from cnnlib.training import TrainingDivergedError

QUIET = {"device": "cpu", "progress": False}


def scenes(count=4, seed=0):
    classes = ["background", *"abc"]
    targets = objects(*[1 + number % 3 for number in range(count)], seed=seed)
    return SceneSet(pictures(count, seed), targets, classes, "noise")


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(before, module):
    """Names of what is different now."""
    return {name for name, value in module.state_dict().items() if not value.equal(before[name])}


def parts(names):
    """The parts of the detector that these names belong to."""
    return {name.split(".")[0] for name in names}


# --- joint -------------------------------------------------------------------------------------


def test_a_joint_step_goes_down_the_sum():
    model = detector("one map").eval()  # batch normalisation keeps still
    by_hand = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = joint_step(model, optimizer, pictures(), objects(2, 1))
    expected = by_hand(pictures(), objects(2, 1))
    assert losses == pytest.approx({name: loss.item() for name, loss in expected.items()})
    sum(expected.values()).backward()
    for parameter, before in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(parameter, before - 0.01 * before.grad)


def test_joint_training_moves_every_part_and_is_repeatable():
    runs = []
    for _ in range(2):
        model = detector("one map")
        model.rpn.samples = 16  # so that chance decides something
        torch.manual_seed(len(runs))  # of no influence
        before = state(model)
        history = fit_detector(model, scenes(), scenes(3, 1), epochs=2, batch_size=2, **QUIET)
        assert parts(moved(before, model)) == {"backbone", "rpn", "head"}
        runs.append((history.losses, history.val_map50, state(model)))
    assert runs[0][0] == runs[1][0]
    assert runs[0][1] == runs[1][1]
    assert all(torch.equal(value, runs[1][2][name]) for name, value in runs[0][2].items())
    other = detector("one map")
    other.rpn.samples = 16
    history = fit_detector(other, scenes(), epochs=2, batch_size=2, seed=1, **QUIET)
    assert history.losses != runs[0][0]


def test_the_history_is_complete():
    model = detector("one map", masks=True)
    history = fit_detector(model, scenes(), scenes(2), epochs=2, batch_size=3, **QUIET)
    assert set(history.losses) == {"rpn_objectness", "rpn_box", "head_class", "head_box", "mask"}
    columns = [*history.losses.values(), history.val_map50, history.learning_rate, history.seconds]
    assert [len(column) for column in columns] == [2] * len(columns)
    assert len(history) == 2
    sums = [sum(values[epoch] for values in history.losses.values()) for epoch in range(2)]
    assert history.train_loss == pytest.approx(sums)
    assert history.learning_rate[1] < history.learning_rate[0] < 2e-3  # along the cosine


def test_modes_generator_and_progress(capsys):
    model = detector("one map")
    model.backbone.eval()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_detector(model, scenes(), scenes(2), epochs=1, device="cpu")
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert not model.backbone.training
    line = capsys.readouterr().out
    assert line.startswith("epoch 1/1  loss ")
    assert "head class" in line
    assert "val mAP50 " in line
    assert line.count("\n") == 1


def test_pictures_of_several_sizes():
    data = [scenes()[0], (torch.rand(3, 50, 90), objects(1)[0])]
    history = fit_detector(detector("pyramid"), data, epochs=1, batch_size=2, **QUIET)
    assert history.train_loss[0] > 0


def test_interrupting_keeps_whole_epochs(monkeypatch, capsys):
    evaluate, calls = training.evaluate_detector, []

    def second_time(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(training, "evaluate_detector", second_time)
    history = fit_detector(detector("one map"), scenes(), scenes(2), epochs=3, device="cpu")
    assert len(history) == len(history.val_map50) == len(history.losses["rpn_box"]) == 1
    assert "stopped after 1 of 3 epochs" in capsys.readouterr().out


# --- parts -------------------------------------------------------------------------------------


def test_fit_rpn_leaves_the_head():
    model = detector("one map")
    before = state(model)
    history = fit_rpn(model, scenes(), epochs=1, **QUIET)
    assert set(history.losses) == {"rpn_objectness", "rpn_box"}
    assert parts(moved(before, model)) == {"backbone", "rpn"}


def test_fit_head_leaves_the_rpn_and_learns_from_the_proposals_it_is_given():
    losses = []
    for shift in (0.0, 3.0):
        model = detector("one map", masks=True)
        before = state(model)
        proposals = [target["boxes"].repeat(3, 1) + shift for _, target in scenes()]
        history = fit_head(model, scenes(), proposals, epochs=1, **QUIET)
        assert set(history.losses) == {"head_class", "head_box", "mask"}
        assert parts(moved(before, model)) == {"backbone", "head", "mask_head"}
        losses.append(history.losses["head_box"][0])
    assert losses[0] != losses[1]


@pytest.mark.parametrize("kind", ["one map", "pyramid"])
@pytest.mark.parametrize("part", ["rpn", "head"])
def test_a_frozen_backbone_does_not_move(kind, part):
    """Neither weights nor running statistics, whatever the optimiser does."""
    model = detector(kind)
    before = state(model)
    options = {"epochs": 1, "freeze_backbone": True, "weight_decay": 0.1, **QUIET}
    if part == "rpn":
        fit_rpn(model, scenes(), **options)
    else:
        fit_head(model, scenes(), propose(model, scenes()), **options)
    assert parts(moved(before, model)) == {part}
    assert all(p.requires_grad for p in model.parameters())
    assert model.backbone.training


def test_the_four_steps():
    """Which parts move in which step, seen from the calls, and where each starts."""
    model = detector("one map")
    start = state(model)
    steps = []
    names = ("fit_rpn", "fit_head")
    real = {name: getattr(training, name) for name in names}

    def watch(name):
        def watched(network, *args, **kwargs):
            before = state(network)
            history = real[name](network, *args, **kwargs)
            steps.append((network, before, state(network), parts(moved(before, network))))
            return history

        return watched

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(training, name, watch(name))
        histories = fit_alternating(model, scenes(), epochs=(1, 1, 2, 1), **QUIET)
    assert [len(history) for history in histories] == [1, 1, 2, 1]
    assert [step[3] for step in steps] == [
        {"backbone", "rpn"},
        {"backbone", "head"},
        {"rpn"},
        {"head"},
    ]
    # Step 1 has a network of its own; the other steps share the one that is returned.
    assert [step[0] is model for step in steps] == [False, True, True, True]
    assert all(torch.equal(value, steps[1][1][name]) for name, value in start.items())
    for (_, _, after, _), (_, before, _, _) in pairwise(steps[1:]):
        assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_proposals_and_detections_of_a_data_set():
    model = detector("one map")
    assert [len(p) for p in propose(model, scenes(3), batch_size=2)] == [30] * 3
    assert [len(p) for p in propose(model, scenes(3), for_training=True)] == [60] * 3
    assert model.rpn.training
    found = detect_objects(model, scenes(3), batch_size=2)
    assert model.training
    with torch.no_grad():
        expected = model.eval()(scenes(3).images)
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(mine["boxes"], reference["boxes"], rtol=1e-4, atol=1e-3)
        assert not mine["boxes"].requires_grad


# --- wrong arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"epochs": 1, "batch_size": 0}, "at least 1"),
        ({"epochs": 2, "warmup_epochs": 2}, "less than epochs"),
        ({"epochs": 1, "optimizer": "lion"}, "optimizer must be"),
        ({"epochs": 1, "schedule": "up"}, "schedule must be"),
    ],
)
def test_wrong_arguments_are_explained(options, problem):
    with pytest.raises(ValueError, match=problem):
        fit_detector(detector("one map"), scenes(), **options, **QUIET)


def test_wrong_data_is_explained():
    model = detector("one map")
    with pytest.raises(ValueError, match="a data set is empty"):
        fit_detector(model, [], epochs=1, **QUIET)
    with pytest.raises(ValueError, match="proposals for 1 pictures, but there are 4"):
        fit_head(model, scenes(), [torch.zeros(0, 4)], epochs=1, **QUIET)
    with pytest.raises(ValueError, match="one number or four"):
        fit_alternating(model, scenes(), epochs=(1, 1), **QUIET)


def test_divergence_is_explained():
    model = detector("one map")
    with torch.no_grad():
        model.head.classifier.weight.fill_(float("inf"))
    with pytest.raises(TrainingDivergedError, match="learning rate"):
        fit_detector(model, scenes(), epochs=1, **QUIET)


# --- learning ----------------------------------------------------------------------------------


def shapes(count, seed):
    """Grey pictures with one bright square, frame or cross."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.rand(count, 1, 32, 32, generator=generator).repeat(1, 3, 1, 1)
    targets = []
    for image in images:
        x, y = torch.randint(0, 18, (2,), generator=generator).tolist()
        label = int(torch.randint(1, 4, (1,), generator=generator))
        square = image[:, y : y + 14, x : x + 14]
        square[:] = 1
        if label == 2:
            square[:, 3:11, 3:11] = 0
        if label == 3:
            for corner in (
                square[:, :5, :5],
                square[:, :5, 9:],
                square[:, 9:, :5],
                square[:, 9:, 9:],
            ):
                corner[:] = 0
        box = torch.tensor([[x, y, x + 14, y + 14]]).float()
        targets.append({"boxes": box, "labels": torch.tensor([label])})
    return SceneSet(images, targets, ["background", "square", "frame", "cross"], "shapes")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "epochs"), [(fit_detector, 6), (fit_alternating, 2)])
def test_a_detector_learns(how, epochs):
    torch.manual_seed(0)
    model = mini_faster_rcnn(CLASSES, anchor_sizes=(14.0,))
    test = shapes(40, seed=1)
    assert evaluate_detector(model, test).at(0.5) < 0.2
    how(model, shapes(64, seed=0), epochs=epochs, lr=4e-3, warmup_epochs=0.5, **QUIET)
    assert evaluate_detector(model, test, benchmark="voc2010").at(0.5) > 0.8
