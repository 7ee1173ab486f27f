"""fit, evaluate and predict: what they learn, what they leave behind, and how they fail."""

import math
import os
import random
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from cnnlib import training
from cnnlib.data import ImageSet
from cnnlib.training import (
    CheckpointError,
    History,
    TrainingDivergedError,
    double_precision,
    evaluate,
    fit,
    pick_device,
    predict,
    seed_everything,
)

CPU = {"device": "cpu", "progress": False}


def blobs(count=60, seed=0):
    """Three classes of 1×4×4 images that differ in where they are bright; easy to learn."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = 0.2 * torch.rand(count, 1, 4, 4, generator=generator)
    images[torch.arange(count), 0, labels] += 0.8
    return ImageSet(images.clamp(0, 1), labels, ["a", "b", "c"], "blobs")


def small_net(dropout=0.0, batch_norm=False, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Flatten(), nn.Linear(16, 12)]
    if batch_norm:
        layers.append(nn.BatchNorm1d(12))
    return nn.Sequential(*layers, nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, 3))


def states_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_fit_learns_and_records_every_epoch(optimizer):
    net = small_net()
    rate = {"sgd": 0.1, "adamw": 0.02}[optimizer]
    history = fit(
        net,
        blobs(),
        blobs(30, seed=1),
        epochs=8,
        lr=rate,
        optimizer=optimizer,
        batch_size=10,
        **CPU,
    )
    assert len(history) == 8
    assert {len(values) for values in vars(history).values()} == {8}
    assert history.val_accuracy[-1] == 1
    assert history.val_loss[-1] < 0.5 * history.val_loss[0]
    assert all(seconds > 0 for seconds in history.seconds)
    assert history.best_epoch == 1 + history.val_loss.index(min(history.val_loss))


def test_one_step_is_the_textbook_step():
    # Plain SGD on one batch: w - lr · (gradient + weight_decay · w), computed here by autograd.
    data, net, reference = blobs(6), small_net(), small_net()
    fit(net, data, epochs=1, batch_size=6, lr=0.1, momentum=0, weight_decay=0.01, **CPU)
    loss = F.cross_entropy(reference(data.images), data.labels)
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    for trained, before, gradient in zip(
        net.parameters(), reference.parameters(), gradients, strict=True
    ):
        expected = before - 0.1 * (gradient + 0.01 * before)
        torch.testing.assert_close(trained, expected)


def test_training_metrics_are_means_over_examples_of_uneven_batches():
    data = blobs(10)
    net, frozen = small_net(), small_net()
    history = fit(net, data, epochs=1, batch_size=4, lr=1e-12, momentum=0, **CPU)
    expected = evaluate(frozen, data)
    assert history.train_loss[0] == pytest.approx(expected.loss, rel=1e-6)
    assert history.train_accuracy[0] == pytest.approx(expected.accuracy)


def test_any_map_style_data_set_will_do():
    data = blobs()
    ours, theirs = small_net(), small_net()
    fit(ours, data, epochs=2, **CPU)
    fit(theirs, TensorDataset(data.images, data.labels), epochs=2, **CPU)
    assert states_equal(ours, theirs)


def test_label_smoothing_and_own_loss():
    smoothed, by_hand = small_net(), small_net()
    fit(smoothed, blobs(), epochs=2, label_smoothing=0.1, **CPU)
    fit(
        by_hand,
        blobs(),
        epochs=2,
        loss=lambda outputs, y: F.cross_entropy(outputs, y, label_smoothing=0.1),
        **CPU,
    )
    assert states_equal(smoothed, by_hand)
    plain = small_net()
    fit(plain, blobs(), epochs=2, **CPU)
    assert not states_equal(plain, smoothed)


def test_regression_has_no_accuracy():
    images = blobs().images
    data = TensorDataset(images, images.flatten(1).mean(1, keepdim=True))
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    history = fit(net, data, data, epochs=1, loss=F.mse_loss, lr=0.01, **CPU)
    assert math.isnan(history.train_accuracy[0])
    assert math.isnan(history.val_accuracy[0])
    assert history.val_loss[0] == pytest.approx(evaluate(net, data, loss=F.mse_loss).loss)


def test_keep_best_puts_back_the_best_epoch():
    # A learning rate that explodes in the last epochs makes the early ones the best.
    def then_explode(progress):
        return 1.0 if progress < 0.5 else 300.0

    val = blobs(30, seed=1)
    kept = small_net()
    history = fit(
        kept, blobs(), val, epochs=6, lr=0.05, schedule=then_explode, keep_best=True, **CPU
    )
    assert history.best_epoch < 6
    assert evaluate(kept, val).loss == pytest.approx(min(history.val_loss))
    assert history.val_loss[-1] > 2 * min(history.val_loss)


# --- learning rate -------------------------------------------------------------------------------


def rates(schedule, epochs, warmup=0.0):
    """Learning rate at every step (10 steps per epoch), seen by a spying optimiser."""
    seen = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["lr"])
            return super().step(closure)

    net = small_net()
    fit(
        net,
        blobs(20),
        epochs=epochs,
        batch_size=2,
        optimizer=Spy(net.parameters(), lr=0.1),
        schedule=schedule,
        warmup_epochs=warmup,
        **CPU,
    )
    return np.array(seen)


def test_cosine_schedule():
    expected = 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(40) / 40))
    assert np.allclose(rates("cosine", 4), expected)


def test_step_schedule():
    assert np.allclose(rates("step", 4), [0.1] * 20 + [0.01] * 10 + [0.001] * 10)


def test_constant_rate_with_warm_up():
    expected = [0.1 * step / 20 for step in range(20)] + [0.1] * 20
    assert np.allclose(rates(None, 4, warmup=2), expected)


def test_own_schedule_and_history_of_the_rate():
    assert np.allclose(rates(lambda progress: 1 - progress, 2), 0.1 * (1 - np.arange(20) / 20))
    history = fit(small_net(), blobs(20), epochs=4, batch_size=2, lr=0.1, schedule="step", **CPU)
    assert history.learning_rate == pytest.approx([0.1, 0.1, 0.01, 0.001])


# --- what is left behind -------------------------------------------------------------------------


def test_same_seed_same_weights_and_other_seed_other_weights():
    nets = [small_net(dropout=0.5) for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        fit(net, blobs(), epochs=2, seed=seed, **CPU)
    assert states_equal(nets[0], nets[1])
    assert not states_equal(nets[0], nets[2])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit(small_net_without_seeding(), blobs(), epochs=1, **CPU)
    assert torch.equal(torch.rand(3), expected)


def small_net_without_seeding():
    with torch.random.fork_rng():
        return small_net(dropout=0.5)


@pytest.mark.parametrize("training_mode", [True, False])
def test_modes_are_put_back_module_by_module(training_mode):
    net = small_net(dropout=0.5, batch_norm=True).train(training_mode)
    net[2].eval()  # a frozen batch normalisation inside
    before = [module.training for module in net.modules()]
    fit(net, blobs(), blobs(), epochs=1, **CPU)
    evaluate(net, blobs())
    predict(net, blobs())
    assert [module.training for module in net.modules()] == before


def test_modes_are_put_back_after_an_error():
    net = small_net().eval()
    with pytest.raises(TrainingDivergedError):
        fit(net, blobs(), epochs=1, loss=lambda outputs, y: outputs.sum() * math.nan, **CPU)
    assert not net.training


def test_frozen_parameters_stay_as_they_are():
    net = small_net()
    net[1].weight.requires_grad_(False)
    before = net[1].weight.clone()
    fit(net, blobs(), epochs=2, weight_decay=0.1, **CPU)
    assert torch.equal(net[1].weight, before)


def test_batch_norm_with_a_last_batch_of_one():
    data = blobs(33)  # 33 = 2 · 16 + 1
    history = fit(small_net(batch_norm=True), data, epochs=2, batch_size=16, **CPU)
    assert len(history) == 2


@pytest.mark.parametrize(("examples", "sizes"), [(33, [16, 17]), (32, [16, 16]), (1, [1])])
def test_batches_hold_every_example_once(examples, sizes):
    batches = training._shuffled_batches(examples, 16)
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(examples))


# --- progress ------------------------------------------------------------------------------------


def test_progress_is_one_line_of_80_columns_per_epoch_on_stdout(capsys):
    fit(small_net(), blobs(), blobs(), epochs=100, device="cpu", lr=0.01)
    output = capsys.readouterr()
    assert output.err == ""
    lines = output.out.splitlines()
    assert len(lines) == 100
    pattern = r"epoch +\d+/100  train \S+ +\S+%  val \S+ +\S+%  lr \S+  \S+ s"
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert max(map(len, lines)) <= 80


def test_longest_progress_line_fits():
    history = History([1.2345e-10], [1.0], [1.2345e-10], [1.0], [1e-10], [9999.9])
    assert len(training._progress_line(history, 1000)) <= 80


def test_progress_false_is_silent(capsys):
    fit(small_net(), blobs(), epochs=1, **CPU)
    assert capsys.readouterr() == ("", "")


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_resumed_training_is_bit_identical(tmp_path, optimizer, schedule):
    """Stop in the middle of epoch 4, resume in a fresh model, and compare with never stopping."""
    settings = {
        "epochs": 6,
        "batch_size": 8,
        "optimizer": optimizer,
        "schedule": schedule,
        "lr": 0.02,
        "keep_best": True,
        **CPU,
    }
    val = blobs(30, seed=1)
    straight = small_net(dropout=0.3, batch_norm=True)
    whole = fit(straight, blobs(), val, **settings)

    path = tmp_path / "run" / "checkpoint.pt"
    stopped = small_net(dropout=0.3, batch_norm=True)
    part = fit(stopped, InterruptingSet(blobs(), 3 * 60 + 30), val, checkpoint=path, **settings)
    assert len(part) == 3

    resumed = small_net(dropout=0.3, batch_norm=True, seed=99)
    torch.rand(17)  # the global generator is somewhere else now
    joined = fit(resumed, blobs(), val, checkpoint=path, **settings)
    assert states_equal(resumed, straight)
    assert joined.train_loss == whole.train_loss
    assert joined.val_loss == whole.val_loss
    assert joined.learning_rate == whole.learning_rate
    assert os.listdir(path.parent) == ["checkpoint.pt"]


class InterruptingSet(torch.utils.data.Dataset):
    """A data set at whose n-th access the user presses Ctrl-C."""

    def __init__(self, data, accesses):
        self.data, self.left = data, accesses

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.data[index]


def test_interrupt_in_the_first_epoch_leaves_the_start_as_checkpoint(tmp_path, capsys):
    path = tmp_path / "checkpoint.pt"
    net = small_net()
    history = fit(net, InterruptingSet(blobs(), 20), epochs=2, checkpoint=path, device="cpu")
    assert len(history) == 0
    assert "stopped after 0 of 2 epochs" in capsys.readouterr().out
    resumed, straight = small_net(seed=5), small_net()
    fit(resumed, blobs(), epochs=2, checkpoint=path, **CPU)
    fit(straight, blobs(), epochs=2, **CPU)
    assert states_equal(resumed, straight)


def test_interrupt_during_validation_drops_the_unfinished_epoch():
    val = InterruptingSet(blobs(30), 40)  # breaks in the second validation
    history = fit(small_net(), blobs(), val, epochs=3, **CPU)
    assert {len(values) for values in vars(history).values()} == {1}


def test_failing_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(), blobs(), epochs=1, checkpoint=path, **CPU)
    before = path.read_bytes()

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        fit(small_net(), blobs(), epochs=2, checkpoint=path, **CPU)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_finished_training_resumes_to_itself_and_can_be_extended(tmp_path):
    path = tmp_path / "checkpoint.pt"
    first, again, straight = small_net(), small_net(seed=3), small_net()
    fit(first, blobs(), epochs=2, checkpoint=path, **CPU)
    assert len(fit(again, blobs(), epochs=2, checkpoint=path, **CPU)) == 2
    assert states_equal(first, again)
    fit(again, blobs(), epochs=4, checkpoint=path, **CPU)
    fit(straight, blobs(), epochs=4, **CPU)
    assert states_equal(again, straight)


def test_resume_false_starts_anew(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(), blobs(), epochs=2, checkpoint=path, **CPU)
    net, straight = small_net(seed=4), small_net(seed=4)
    assert len(fit(net, blobs(), epochs=1, checkpoint=path, resume=False, **CPU)) == 1
    fit(straight, blobs(), epochs=1, **CPU)
    assert states_equal(net, straight)


def test_checkpoint_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(), blobs(), epochs=2, lr=0.01, checkpoint=path, **CPU)
    with pytest.raises(CheckpointError, match=r"learning rates was \[0.01\] and is now \[0.02\]"):
        fit(small_net(), blobs(), epochs=2, lr=0.02, checkpoint=path, **CPU)
    with pytest.raises(CheckpointError, match="examples was 60 and is now 30"):
        fit(small_net(), blobs(30), epochs=2, lr=0.01, checkpoint=path, **CPU)


def test_schedule_over_another_number_of_epochs_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(), blobs(), epochs=2, schedule="cosine", checkpoint=path, **CPU)
    with pytest.raises(CheckpointError, match="epochs was 2 and is now 4"):
        fit(small_net(), blobs(), epochs=4, schedule="cosine", checkpoint=path, **CPU)


def test_checkpoint_of_another_model_changes_nothing(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(batch_norm=True), blobs(), epochs=1, checkpoint=path, **CPU)
    net, untouched = small_net(), small_net()
    with pytest.raises(CheckpointError, match="another model"):
        fit(net, blobs(), epochs=1, checkpoint=path, **CPU)
    assert states_equal(net, untouched)


class Attack:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_damaged_and_hostile_checkpoints_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(), blobs(), epochs=1, checkpoint=path, **CPU)
    whole = path.read_bytes()
    torch.save({"version": 1, "model": Attack(tmp_path / "broken_in")}, tmp_path / "hostile.pt")
    hostile = (tmp_path / "hostile.pt").read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2], hostile):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="resume=False"):
            fit(small_net(), blobs(), epochs=1, checkpoint=path, **CPU)
        assert path.read_bytes() == content
    assert not (tmp_path / "broken_in").exists()


def test_checkpoint_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"version": 99}, path)
    with pytest.raises(CheckpointError, match="format 99"):
        fit(small_net(), blobs(), epochs=1, checkpoint=path, **CPU)


# --- evaluate and predict ------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_evaluate_does_not_depend_on_the_batch_size(batch_size):
    net, data = small_net(dropout=0.5, batch_norm=True), blobs(50)
    metrics = evaluate(net, data, batch_size=batch_size)
    net.eval()
    logits = net(data.images)
    assert metrics.loss == pytest.approx(F.cross_entropy(logits, data.labels).item(), rel=1e-5)
    assert metrics.accuracy == (logits.argmax(1) == data.labels).float().mean().item()


def test_pixel_accuracy_of_dense_predictions():
    outputs = torch.zeros(2, 3, 4, 4)
    outputs[:, 1] = 1
    targets = torch.ones(2, 4, 4, dtype=torch.int64)
    targets[0, 0] = 0
    data = TensorDataset(outputs, targets)
    assert evaluate(nn.Identity(), data).accuracy == pytest.approx(28 / 32)


def test_predict_gives_logits_in_order_without_gradients():
    net, data = small_net(dropout=0.5).train(), blobs(20)
    logits = predict(net, data, batch_size=6)
    assert logits.shape == (20, 3)
    assert not logits.requires_grad
    net.eval()
    torch.testing.assert_close(logits, net(data.images).detach())
    torch.testing.assert_close(predict(net, data.images), logits)


def test_predict_wants_a_batch():
    with pytest.raises(ValueError, match=r"unsqueeze\(0\)"):
        predict(small_net(), blobs().images[0])


# --- bad input -----------------------------------------------------------------------------------


def empty():
    return blobs().subset([])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(small_net(), empty(), epochs=1), "train is empty"),
        (lambda: fit(small_net(), blobs(), empty(), epochs=1), "val is empty"),
        (lambda: evaluate(small_net(), empty()), "data is empty"),
        (lambda: predict(small_net(), empty()), "images is empty"),
        (lambda: fit(small_net(), blobs(), epochs=0), "epochs must be at least 1"),
        (lambda: fit(small_net(), blobs(), epochs=1, batch_size=0), "batch_size must be"),
        (lambda: fit(small_net(), blobs(), epochs=1, optimizer="adagrad"), "optimizer must be"),
        (lambda: fit(small_net(), blobs(), epochs=1, schedule="linear"), "schedule must be"),
        (lambda: fit(small_net(), blobs(), epochs=2, warmup_epochs=2), "warmup_epochs must be"),
        (lambda: fit(small_net(), blobs(), epochs=1, label_smoothing=1), "label_smoothing must"),
        (
            lambda: fit(small_net(), blobs(), epochs=1, loss=F.cross_entropy, label_smoothing=0.1),
            "belongs to the default loss",
        ),
        (lambda: fit(small_net(), blobs(), epochs=1, keep_best=True), "needs a validation set"),
        (lambda: fit(small_net(), blobs(), epochs=1, device="cpu", amp=True), "NVIDIA GPUs"),
        (lambda: fit(nn.Flatten(), blobs(), epochs=1), "no parameter of the model is trainable"),
        (lambda: seed_everything(-1), "seed must be"),
        (lambda: History().best_epoch, "needs a validation set"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_own_optimizer_brings_its_own_rate():
    net = small_net()
    with pytest.raises(ValueError, match="belong to the optimizer"):
        fit(net, blobs(), epochs=1, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), lr=0.2)


def test_divergence_says_where_and_what_to_try():
    with pytest.raises(TrainingDivergedError, match=r"in epoch 1, step \d+(.|\n)*learning rate"):
        fit(small_net(), blobs(), epochs=3, lr=1e12, batch_size=4, **CPU)


def test_not_finite_inputs_are_told_from_a_high_learning_rate():
    data = blobs()
    data.images[7] = math.nan
    with pytest.raises(TrainingDivergedError, match="inputs of this batch"):
        fit(small_net(), data, epochs=1, **CPU)


# --- seeds and devices ---------------------------------------------------------------------------


def test_seed_everything_fixes_all_three_generators():
    draws = []
    for _ in range(2):
        seed_everything(11)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_pick_device_prefers_the_fastest(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device() == torch.device(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_mixed_precision_training_on_the_gpu(tmp_path):
    path = tmp_path / "checkpoint.pt"
    net = small_net(batch_norm=True)
    history = fit(net, blobs(), blobs(), epochs=5, lr=0.1, checkpoint=path, progress=False)
    assert history.val_accuracy[-1] > 0.9
    assert next(net.parameters()).is_cuda
    more = fit(small_net(batch_norm=True), blobs(), blobs(), epochs=7, lr=0.1, checkpoint=path)
    assert len(more) == 7
    assert predict(net, blobs()).device.type == "cpu"


# --- precision -----------------------------------------------------------------------------------


def test_layers_are_made_in_double_precision_within_the_block_only():
    with double_precision():
        inside = nn.Linear(3, 2)
        assert torch.rand(1).dtype == torch.float64
    outside = nn.Linear(3, 2)
    assert {p.dtype for p in inside.parameters()} == {torch.float64}
    assert {p.dtype for p in outside.parameters()} == {torch.float32}
    # Drawn in double precision, not converted afterwards: more digits than float32 can hold.
    assert not torch.equal(inside.weight, inside.weight.float().double())


def test_an_error_puts_the_precision_back():
    with pytest.raises(ZeroDivisionError), double_precision():
        1 / 0  # noqa: B018 - any error will do
    assert torch.get_default_dtype() == torch.float32


def test_a_network_in_double_precision_learns_from_a_set_in_double_precision():
    data = blobs().double()
    assert data.images.dtype == torch.float64
    assert torch.equal(data.images.float(), blobs().images)
    assert torch.equal(data.labels, blobs().labels)
    with double_precision():
        model = small_net(batch_norm=True)
    history = fit(model, data, epochs=12, lr=0.3, **CPU)
    assert history.train_accuracy[-1] > 0.9
    assert {p.dtype for p in model.parameters()} == {torch.float64}
