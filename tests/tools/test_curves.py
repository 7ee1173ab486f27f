"""Scripts in tools/curves and the files of curves that chapters show."""

import csv
from dataclasses import asdict

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from cnnlib.data import load
from cnnlib.models import CifarResNet
from cnnlib.models.resnet import BasicBlock
from cnnlib.summary import summarize
from cnnlib.training import fit, seed_everything
from tools import course
from tools.curves import googlenet, resnet

SMALL = (resnet.Run("plain-8", 8, "none"), resnet.Run("residual-8", 8, "A", zero_gamma=True))


@pytest.fixture(scope="module")
def stored():
    """The stored file: name and seed of a training to its rows."""
    with resnet.OUTPUT.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        trainings = {}
        for row in reader:
            trainings.setdefault((row["network"], int(row["seed"])), []).append(row)
    assert tuple(reader.fieldnames) == resnet.FIELDS
    return trainings


@pytest.fixture
def two_small_networks(monkeypatch):
    monkeypatch.setattr(resnet, "RUNS", SMALL)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_stored_file_holds_every_training_of_the_script(stored):
    assert list(stored) == [(run.name, seed) for run in resnet.RUNS for seed in resnet.SEEDS]
    for rows in stored.values():
        assert [int(row["epoch"]) for row in rows] == list(range(1, resnet.EPOCHS + 1))


def test_the_stored_errors_are_shares_of_whole_images(stored):
    sizes = {"train_error": len(load("digits", "train")), "val_error": len(load("digits", "val"))}
    for rows in stored.values():
        for field, size in sizes.items():
            images = np.array([float(row[field]) for row in rows]) * size / 100
            assert (images >= 0).all()
            assert (images <= size).all()
            assert np.abs(images - images.round()).max() <= 0.005 * size / 100 + 1e-9


def test_the_stored_curves_show_what_the_chapter_says(stored):
    def last(name):
        return [float(stored[name, seed][-1]["train_error"]) for seed in resnet.SEEDS]

    assert min(last("plain-56")) > max(last("plain-20")) + 30
    assert min(last("plain-56, rate 0.02")) > max(last("plain-20")) + 30
    assert max(last("residual-56, rate 0.02")) < min(last("plain-56, rate 0.02")) - 30
    assert max(last("residual-56")) < min(last("plain-56"))
    assert max(last("residual-56, zero")) < min(last("residual-56")) - 10


@pytest.mark.slow
def test_run_writes_all_epochs_and_the_same_again(two_small_networks, tmp_path, capsys):
    texts = []
    for name in ("first.csv", "second.csv"):
        arguments = ["--output", str(tmp_path / name), "--epochs", "1", "--seeds", "3"]
        assert resnet.main(arguments) == 0
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    rows = list(csv.DictReader(texts[0].splitlines()))
    expected = [(run.name, "3", "1") for run in SMALL]
    assert [(row["network"], row["seed"], row["epoch"]) for row in rows] == expected
    assert all(0 < float(row["train_loss"]) < 10 for row in rows)
    assert "plain-8, seed 3: training error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs must be at least 1; got 0"),
        (["--seeds", "1", "1"], "--seeds must be different whole numbers of at least 0"),
        (["--seeds", "-1"], "--seeds must be different whole numbers of at least 0"),
        (["--output", "nowhere/curves.csv"], "there is no folder nowhere; create it first"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resnet, "trained", lambda *_: pytest.fail("trained nevertheless"))
    assert resnet.main(["--output", "curves.csv", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_the_old_file(two_small_networks, tmp_path, monkeypatch):
    output = tmp_path / "curves.csv"
    output.write_text("old", encoding="utf-8")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(resnet, "trained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resnet.write_curves(output, 1, [0])
    assert output.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.slow
def test_the_chapter_trains_what_the_script_trains():
    """The page cannot import the script in Colab, so it repeats it; here both run an epoch."""
    chapter = nbformat.read(course.ROOT / "book" / "architectures" / "resnet.ipynb", as_version=4)
    (cell,) = (cell for cell in chapter.cells if cell.id == "training")
    digits, new_digits = (load("digits", part, image_size=8) for part in ("train", "val"))
    page = {
        "BasicBlock": BasicBlock,
        "CifarResNet": CifarResNet,
        "digits": digits,
        "fit": fit,
        "new_digits": new_digits,
        "nn": nn,
        "seed_everything": seed_everything,
    }
    exec(cell.source, page)
    defaults = {"lr": 0.1, "zero_gamma": False}
    on_page = [{"name": name} | defaults | o for name, o in page["NETWORKS"].items()]
    assert on_page == [asdict(run) for run in resnet.RUNS]
    assert page["trained"].__defaults__ == (resnet.EPOCHS,)
    for run in SMALL:
        page["NETWORKS"][run.name] = {k: v for k, v in asdict(run).items() if k != "name"}
        _, history = page["trained"](run.name, 5, epochs=1)
        _, expected = resnet.trained(run, 5, epochs=1)
        assert history.train_loss == expected.train_loss
        assert history.val_loss == expected.val_loss


def test_the_stored_file_of_googlenet_holds_every_training_of_its_script():
    with googlenet.OUTPUT.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        epochs = {}
        for row in reader:
            epochs.setdefault((row["training"], int(row["seed"])), []).append(int(row["epoch"]))
            assert 0 <= float(row["train_error"]) <= 100
    assert tuple(reader.fieldnames) == googlenet.FIELDS
    expected = {(run.name, seed): run.epochs for run in googlenet.RUNS for seed in googlenet.SEEDS}
    assert epochs == {key: list(range(1, count + 1)) for key, count in expected.items()}


def test_the_three_nets_of_googlenets_budget_cost_the_same():
    macs = {
        run.network: summarize(googlenet.NETWORKS[run.network](), (1, 24, 24)).macs
        for run in googlenet.RUNS
        if run.digits == "canvas"
    }
    assert len(macs) == 3
    assert max(macs.values()) < 1.002 * min(macs.values())


@pytest.mark.slow
def test_the_script_of_googlenet_writes_the_same_again(tmp_path, monkeypatch):
    monkeypatch.setattr(googlenet, "RUNS", googlenet.RUNS[:1])
    threads = torch.get_num_threads()
    texts = []
    for name in ("first.csv", "second.csv"):
        arguments = ["--output", str(tmp_path / name), "--stop", "1", "--seeds", "3"]
        assert googlenet.main(arguments) == 0
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    torch.set_num_threads(threads)
    assert texts[0] == texts[1]
    (row,) = csv.DictReader(texts[0].splitlines())
    assert (row["seed"], row["epoch"]) == ("3", "1")


def test_bad_arguments_of_googlenets_script_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(googlenet, "trained", lambda *_: pytest.fail("trained nevertheless"))
    for arguments in (["--stop", "0"], ["--seeds", "1", "1"]):
        assert googlenet.main(["--output", str(tmp_path / "x.csv"), *arguments]) == 2
        assert arguments[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
