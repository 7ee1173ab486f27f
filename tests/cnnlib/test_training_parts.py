"""The parts that the training loops share; `test_training.py` has them at work."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlib.training_parts import (
    device_of,
    epoch_seed,
    learning_rate_factor,
    make_optimizer,
    own_random_stream,
    restored_modes,
)


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=12)),
        ("step", lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=[6, 9], gamma=0.1)),
    ],
)
def test_schedules_are_those_of_pytorch(schedule, theirs):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = theirs(optimizer)
    factor = learning_rate_factor(schedule, epochs=12)
    for epoch in range(12):
        assert factor(epoch) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.floats(0.1, 5), st.floats(0, 1), st.sampled_from([None, "cosine", "step"]))
def test_warm_up_rises_in_a_line_and_the_schedule_takes_what_is_left(warmup, share, schedule):
    epochs = 8
    factor = learning_rate_factor(schedule, epochs, warmup)
    assert factor(share * warmup * 0.999) == pytest.approx(share * 0.999)
    assert factor(warmup) == 1
    rest = learning_rate_factor(schedule, epochs=1)
    position = warmup + share * (epochs - warmup)
    assert factor(position) == rest((position - warmup) / (epochs - warmup))


def test_an_own_schedule_gets_progress_from_0_to_1():
    seen = []
    factor = learning_rate_factor(lambda progress: seen.append(progress) or 0.5, 10, 2)
    assert [factor(position) for position in (1, 2, 6, 10)] == [0.5, 0.5, 0.5, 0.5]
    assert seen == [0, 0.5, 1]
    with pytest.raises(ValueError, match="schedule must be"):
        learning_rate_factor("linear", 10)


def test_optimizers_know_what_is_trainable_and_nothing_else():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    for name, kind in (("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)):
        optimizer = make_optimizer(net, name, 0.3, momentum=0.8, weight_decay=0.1)
        assert type(optimizer) is kind
        (group,) = optimizer.param_groups
        assert [id(p) for p in group["params"]] == [id(p) for p in net[1].parameters()]
        assert (group["lr"], group["weight_decay"]) == (0.3, 0.1)
    assert make_optimizer(net, optimizer, None, 0.9, 0.0) is optimizer
    with pytest.raises(ValueError, match="belong to the optimizer that you made"):
        make_optimizer(net, optimizer, 0.1, 0.9, 0.0)
    with pytest.raises(ValueError, match="optimizer must be"):
        make_optimizer(net, "adam", None, 0.9, 0.0)
    with pytest.raises(ValueError, match="no parameter of the model is trainable"):
        make_optimizer(net[0], "sgd", None, 0.9, 0.0)


def test_every_epoch_of_every_seed_has_its_own_seed():
    seeds = {epoch_seed(seed, epoch) for seed in range(20) for epoch in range(50)}
    assert len(seeds) == 1000
    assert epoch_seed(3, 7) == epoch_seed(3, 7)


def test_the_random_stream_of_everybody_else_goes_on_as_if_nothing_had_been():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with own_random_stream(torch.device("cpu")):
        torch.manual_seed(6)
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


def test_modes_are_put_back_after_an_error():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout())).train()
    net[1].eval()
    before = [module.training for module in net.modules()]

    def broken():
        with restored_modes(net):
            net.eval()
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        broken()
    assert [module.training for module in net.modules()] == before == [True, True, False, False]


def test_device_of_a_model():
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.Linear(2, 3, device="meta")) == torch.device("meta")
