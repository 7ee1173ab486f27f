"""Omniglot, on two small zip files in its format; torchvision reads the same ones."""

import importlib
import zipfile
from functools import partial

import data_archives
import numpy as np
import pytest
import torch
from data_archives import picture_bytes, zip_bytes
from PIL import Image
from torchvision.datasets import Omniglot
from torchvision.transforms.v2.functional import pil_to_tensor

from cnnlib.data import DownloadError, FormatError, load
from cnnlib.metric_learning import check_unseen

omniglot = importlib.import_module("cnnlib.data.omniglot")  # not the function of that name

mirror = data_archives.mirror

# Alphabets of each part and how many characters they have; names as in the real set.
BACKGROUND = {
    "Alphabet_of_the_Magi": 2,
    "Greek": 3,
    "Hebrew": 2,
    "Japanese_(hiragana)": 2,
    "Tagalog": 2,
}
EVALUATION = {"Angelic": 2, "Tibetan": 1}
DRAWERS = (1, 2, 3)


def png(seed, size=(105, 105)):
    """A drawing as in the set: one bit, black strokes on white."""
    rng = np.random.default_rng(seed)
    picture = Image.new("1", size, 1)
    for x, y in rng.integers(0, min(size) - 20, (3, 2)):
        picture.paste(0, (int(x), int(y), int(x) + 20, int(y) + 8))
    return picture_bytes(picture)


def part(name, alphabets, first_number):
    """A part with its folders; numbers of files run through the alphabets as in the real one."""
    members, number = {f"{name}/": b"", "__MACOSX/._x": b"not a drawing"}, first_number
    for alphabet, characters in alphabets.items():
        members[f"{name}/{alphabet}/"] = b""
        for character in range(1, characters + 1):
            number += 1
            for drawer in DRAWERS:
                path = f"{name}/{alphabet}/character{character:02}/{number:04}_{drawer:02}.png"
                members[path] = png(100 * number + drawer)
    return zip_bytes(dict(sorted(members.items(), reverse=True)))


def archives():
    return {
        "images_background.zip": part("images_background", BACKGROUND, 0),
        "images_evaluation.zip": part("images_evaluation", EVALUATION, 900),
    }


@pytest.fixture
def serve(mirror):
    """The small archives on a mirror; gives a function that serves other ones."""
    mirror(omniglot, archives())
    return partial(mirror, omniglot)


def test_alphabets_stay_on_one_side(serve):
    train, val, test = (
        load("omniglot", split, image_size=21) for split in ("train", "val", "test")
    )
    assert train.images.shape == (9 * 3, 1, 21, 21)
    assert val.classes == ["Tagalog/character01", "Tagalog/character02"]
    assert {name.partition("/")[0] for name in train.classes} == set(BACKGROUND) - {"Tagalog"}
    assert train.classes[2:5] == [f"Greek/character0{i}" for i in (1, 2, 3)]
    assert {name.partition("/")[0] for name in test.classes} == set(EVALUATION)
    for data in (train, val, test):
        assert data.labels.bincount().tolist() == [3] * len(data.classes)
        assert data.groups.tolist() == [1, 2, 3] * len(data.classes)
        assert 0 <= data.images.min() < 0.01 < 0.8 < data.images.max() <= 1
        assert data.images.mean() < 0.2  # ink is 1 and rare, paper is 0
    check_unseen(test, train, val)
    check_unseen(val, train)
    everything = load("omniglot", "all", image_size=21)
    assert len(everything) == 14 * 3
    assert torch.equal(everything.images[-9:], test.images)
    assert everything.classes[-3:] == test.classes


def test_random_characters_may_be_held_out_instead(serve):
    train, val = (
        load("omniglot", split, image_size=21, split_by="random", seed=1)
        for split in ("train", "val")
    )
    assert len(val.classes) == 11 // 5
    assert len(train.classes) == 11 - 2
    check_unseen(val, train)
    again = load("omniglot", "val", image_size=21, split_by="random", seed=1)
    assert torch.equal(again.images, val.images)
    others = [
        load("omniglot", "val", image_size=21, split_by="random", seed=seed).classes
        for seed in range(2, 6)
    ]
    assert any(classes != val.classes for classes in others)


@pytest.mark.parametrize(("split", "background"), [("test", False), ("all", True)])
def test_torchvision_agrees(serve, monkeypatch, tmp_path, split, background):
    ours = load("omniglot", split, image_size=None)
    folder = tmp_path / "data" / omniglot.FOLDER
    for name in omniglot.CHECKSUMS:
        if (folder / name).exists():
            with zipfile.ZipFile(folder / name) as archive:
                archive.extractall(folder)
    # The extracted files are read; the checksum of the real zip file is not asked for.
    monkeypatch.setattr(Omniglot, "_check_integrity", lambda _: True)
    theirs = Omniglot(tmp_path / "data", background=background)
    assert sorted(theirs._characters) == ours.classes[: len(theirs._characters)]
    # torchvision numbers the characters in the order of the file system, so names are compared.
    mine = dict(
        zip(
            zip(ours.labels.tolist(), ours.groups.tolist(), strict=True),
            ours.images,
            strict=True,
        )
    )
    for (file, number), (picture, label) in zip(theirs._flat_character_images, theirs, strict=True):
        assert label == number
        drawer = int(file.removesuffix(".png").rpartition("_")[2])
        own = mine[ours.classes.index(theirs._characters[number]), drawer]
        torch.testing.assert_close(own, 1 - pil_to_tensor(picture) / 255)


def test_checksums_and_first_mirror_are_torchvisions():
    assert {f"{part}.zip": md5 for part, md5 in Omniglot.zips_md5.items()} == omniglot.CHECKSUMS
    assert all(len(checksum) == 32 for checksum in omniglot.CHECKSUMS.values())
    assert omniglot.MIRRORS[0].startswith(Omniglot.download_url_prefix)
    assert len(omniglot.MIRRORS) >= 2


def test_only_the_file_that_is_needed_is_fetched(serve, tmp_path):
    load("omniglot", "val", image_size=21)
    folder = tmp_path / "data" / omniglot.FOLDER
    assert [path.name for path in folder.iterdir()] == ["images_background.zip"]


def test_many_drawings_are_resized_in_chunks(serve, monkeypatch):
    whole = load("omniglot", "test", image_size=28)
    monkeypatch.setattr(omniglot, "CHUNK", 2)
    torch.testing.assert_close(load("omniglot", "test", image_size=28).images, whole.images)


def test_wrong_arguments_are_explained():
    for options in ({"split": "background"}, {"split_by": "drawer"}, {"image_size": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            load("omniglot", **options)


def test_no_mirror_names_the_offline_choice(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLIB_MIRROR", (tmp_path / "nothing").as_uri())
    with pytest.raises(DownloadError, match=r'load\("glyphs"\)'):
        load("omniglot", "test", image_size=8)


GOOD = "images_evaluation/Angelic/character01/0901_01.png"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no archive", "not a whole zip file"),
        (archives()["images_evaluation.zip"][:-40], "not a whole zip file"),
        (zip_bytes({"images_evaluation/": b""}), "has no images_evaluation/"),
        (archives()["images_background.zip"], "has no images_evaluation/"),
        (zip_bytes({GOOD: b"no png"}), r"0901_01\.png is not a picture"),
        (zip_bytes({GOOD: png(1)[:-30]}), r"0901_01\.png is not a picture"),
        (zip_bytes({GOOD: png(1, (105, 90))}), "has 105×90 pixels instead of 105×105"),
    ],
    ids=["text", "cut", "empty", "other part", "no png", "cut png", "size"],
)
def test_wrong_files_are_explained(serve, content, problem):
    serve({"images_evaluation.zip": content})
    with pytest.raises(FormatError, match=problem):
        load("omniglot", "test", image_size=8)


def test_a_damaged_drawing_is_explained(serve):
    """The directory of the zip file is whole, the bytes of a drawing are not."""
    content = bytearray(zip_bytes({GOOD: png(1)}))
    start = content.index(b".png") + 10
    content[start : start + 20] = bytes(20)
    serve({"images_evaluation.zip": bytes(content)})
    with pytest.raises(FormatError, match="zip file"):
        load("omniglot", "test", image_size=8)
