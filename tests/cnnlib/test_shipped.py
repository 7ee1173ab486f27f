"""Shipped weights: whole and unchanged or refused, and written with their facts in one step."""

import dataclasses
import hashlib
import json
import os

import pytest
import torch
from torch import nn

from cnnlib.pretrained import DamagedWeightsError, detector, letter_net, letters, shipped
from cnnlib.pretrained.shipped import ShippedWeights, round_weights

SCRIPT = "tools/pretrain_this.py"
# What uses the shipped weights: the module, and a call that loads them.
USERS = {
    "letters": (letters, lambda: letter_net(weights="letters")),
    "detector": (detector, lambda: detector.mini_faster_rcnn(weights="digits")),
    "detector with masks": (detector, lambda: detector.mini_mask_rcnn(weights="digits")),
}


def small_net(seed=0, outputs=3):
    """A network with every kind of tensor in its state: weights, statistics, a count of batches."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, outputs))
    net(torch.rand(5, 1, 3, 3))
    return net.eval()


@pytest.fixture
def files(tmp_path):
    """A small network on disk."""
    net = small_net()
    round_weights(net)
    files = ShippedWeights("small", tmp_path / "folder")
    files.store(net, {"classes": ["α", "β", "γ"]}, SCRIPT)
    return files


def replace_content(files, content):
    """Other weights, with a card that vouches for them."""
    files.weights_path.write_bytes(content)
    card = {**files.card(), "sha256": hashlib.sha256(content).hexdigest()}
    files.card_path.write_text(json.dumps(card), encoding="utf-8")


def saved(content, folder):
    torch.save(content, folder / "content")
    return (folder / "content").read_bytes()


# --- what comes with the library -----------------------------------------------------------------


@pytest.mark.parametrize("user", USERS)
def test_a_damaged_or_missing_file_is_not_loaded(user, monkeypatch, tmp_path):
    module, load = USERS[user]
    copy = ShippedWeights(module.SHIPPED.name, tmp_path)
    for name in ("weights_path", "card_path"):
        getattr(copy, name).write_bytes(getattr(module.SHIPPED, name).read_bytes())
    monkeypatch.setattr(module, "SHIPPED", copy)
    load()
    content = bytearray(copy.weights_path.read_bytes())
    content[len(content) // 2] ^= 1
    copy.weights_path.write_bytes(content)
    with pytest.raises(DamagedWeightsError, match=rf"{copy.name}\.pt has the SHA-256 .* instead"):
        load()
    copy.weights_path.unlink()
    with pytest.raises(DamagedWeightsError, match=rf"{copy.name}\.pt is missing"):
        load()


@pytest.mark.parametrize("module", [letters, detector])
def test_the_card_is_that_of_the_file(module):
    content = module.SHIPPED.weights_path.read_bytes()
    card = module.SHIPPED.card()
    assert card["bytes"] == len(content)
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["made with"].startswith("tools/pretrain_")
    assert list(card)[:2] == ["classes", "configuration"]


# --- storing and loading --------------------------------------------------------------------------


def test_what_is_stored_is_loaded_in_float32(files):
    stored, again = small_net(), small_net(seed=1)
    round_weights(stored)
    files.load_into(again)
    x = torch.rand(6, 1, 3, 3)
    assert torch.equal(again(x), stored(x))
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32, torch.int64}
    assert again[1].num_batches_tracked == 1
    # On disk they take half of that.
    on_disk = torch.load(files.weights_path, weights_only=True)
    assert {value.dtype for value in on_disk.values()} == {torch.float16, torch.int64}


def test_nothing_is_shared_between_calls(files):
    files.state()["0.weight"].zero_()
    assert files.state()["0.weight"].abs().max() > 0


def test_the_card_says_what_was_stored(files):
    content = files.weights_path.read_bytes()
    assert files.card() == {
        "classes": ["α", "β", "γ"],
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "made with": f"{SCRIPT}, PyTorch {torch.__version__.split('+')[0]}",
    }
    assert "β" in files.card_path.read_text(encoding="utf-8")  # for people, too


@pytest.mark.parametrize("value", [1 / 3, 1e6, 1e-9, float("nan")])
def test_weights_that_were_not_rounded_are_refused(files, value):
    before = files.weights_path.read_bytes()
    net = small_net()
    round_weights(net)
    with torch.no_grad():
        net[3].bias[1] = value
    with pytest.raises(ValueError, match=r"3\.bias is not exact in float16.*round_weights"):
        files.store(net, {}, SCRIPT)
    assert files.weights_path.read_bytes() == before


def test_rounding_changes_little_and_no_second_time():
    net, rounded = small_net(), small_net()
    round_weights(rounded)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(rounded.state_dict()[name], value, rtol=2**-11, atol=2**-25)
    assert not torch.equal(rounded[0].weight, net[0].weight)
    once = {name: value.clone() for name, value in rounded.state_dict().items()}
    round_weights(rounded)
    assert all(torch.equal(rounded.state_dict()[name], value) for name, value in once.items())


def test_interrupted_writing_leaves_no_half_file(files, monkeypatch):
    """The second file cannot be renamed: the new weights do not pass for those of the old card."""
    old_card = files.card_path.read_bytes()
    replace = os.replace

    def fails_for_the_card(source, target):
        if os.fspath(target) == os.fspath(files.card_path):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_for_the_card)
    other = small_net(seed=1)
    round_weights(other)
    with pytest.raises(OSError, match="No space left"):
        files.store(other, {}, SCRIPT)
    assert sorted(path.name for path in files.folder.iterdir()) == ["small.json", "small.pt"]
    assert files.card_path.read_bytes() == old_card
    with pytest.raises(DamagedWeightsError, match="SHA-256"):
        files.state()


# --- files that are not what they should be -------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, r"small\.json is missing"),
        ("", r"small\.json is not readable"),
        ('{"classes": [', r"small\.json is not readable"),
        ("[1]", "names no SHA-256"),
        ('{"classes": []}', "names no SHA-256"),
    ],
)
def test_a_damaged_card_is_explained(files, text, problem):
    files.card_path.unlink()
    if text is not None:
        files.card_path.write_text(text, encoding="utf-8")
    for use in (files.card, files.state):
        with pytest.raises(DamagedWeightsError, match=problem):
            use()


class Attack:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_file_without_a_state_dict_is_explained(files, tmp_path):
    replace_content(files, b"no tensors")
    with pytest.raises(DamagedWeightsError, match="not a file of tensors"):
        files.state()
    replace_content(files, saved([torch.zeros(2)], tmp_path))
    with pytest.raises(DamagedWeightsError, match="not hold a state dict"):
        files.state()
    replace_content(files, saved({"0.weight": Attack(tmp_path / "broken_in")}, tmp_path))
    with pytest.raises(DamagedWeightsError, match="not a file of tensors"):
        files.state()
    assert not (tmp_path / "broken_in").exists()


def test_weights_of_another_network_are_refused(files):
    with pytest.raises(DamagedWeightsError, match=r"(?s)small\.pt does not fit.*size mismatch"):
        files.load_into(small_net(outputs=4))
    with pytest.raises(DamagedWeightsError, match=r"(?s)does not fit.*Missing key"):
        files.load_into(nn.Sequential(*small_net(), nn.Linear(3, 3)))


def test_a_part_may_stay_fresh_but_no_other(files):
    class WithHead(nn.Module):
        def __init__(self, *parts):
            super().__init__()
            for name, part in parts:
                self.add_module(name, part)

    parts = list(small_net(seed=1).named_children())
    model = WithHead(*parts, ("head", nn.Linear(2, 2)))
    head = model.head.weight.clone()
    files.load_into(model, fresh="head")
    assert torch.equal(model.get_parameter("0.weight"), files.state()["0.weight"])
    assert torch.equal(model.head.weight, head)
    for fresh in ("he", "tail"):
        with pytest.raises(DamagedWeightsError, match=r"head\.weight"):
            files.load_into(model, fresh=fresh)
    with pytest.raises(DamagedWeightsError, match=r"3\.weight"):
        files.load_into(WithHead(*parts[:3], ("head", nn.Linear(2, 2))), fresh="head")
    with pytest.raises(DamagedWeightsError, match="size mismatch"):
        files.load_into(
            WithHead(*parts[:3], ("3", nn.Linear(4, 5)), ("head", nn.Linear(2, 2))), fresh="head"
        )


def test_the_files_are_fixed():
    files = ShippedWeights("letters")
    assert files.folder == shipped.FOLDER
    with pytest.raises(dataclasses.FrozenInstanceError):
        files.name = "other"
