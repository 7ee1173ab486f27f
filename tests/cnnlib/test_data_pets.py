"""The pets, on two small archives in the publisher's format; torchvision reads the same ones."""

import tarfile
from functools import partial

import data_archives
import pytest
import torch
from data_archives import picture_bytes, tar_bytes
from PIL import Image
from torchvision.datasets import OxfordIIITPet
from torchvision.transforms.v2.functional import pil_to_tensor

from cnnlib.data import DownloadError, FormatError, load, pets
from cnnlib.data.splits import SPLITS

BREEDS = ("Abyssinian", "american_bulldog", "yorkshire_terrier")

mirror = data_archives.mirror
tar_gz = partial(tar_bytes, compression="gz")


def jpeg(breed, number):
    """A photograph of uneven size: grey, with a bright square in its middle."""
    wide, high = (40, 30) if number % 2 else (30, 44)
    picture = Image.new("RGB", (wide, high), (60 * breed + 20, number * 20, 100))
    picture.paste((250, 250, 250), (wide // 2 - 5, high // 2 - 5, wide // 2 + 5, high // 2 + 5))
    return picture_bytes(picture, "JPEG", quality=95)


def archives():
    """Five training and two test images of each breed, lines and names as the publisher's."""
    images = {"images/Abyssinian_101.mat": b"the real archive holds some of these, too"}
    lists = {"trainval": [], "test": []}
    for breed, name in enumerate(BREEDS):
        for number in range(1, 8):
            images[f"images/{name}_{number}.jpg"] = jpeg(breed, number)
            part = "trainval" if number <= 5 else "test"
            lists[part].append(f"{name}_{number} {breed + 1} {2 - name[0].isupper()} {breed + 1}\n")
    # Stored in another order than listed, as in the real archive.
    images = dict(sorted(images.items(), reverse=True))
    annotations = {f"annotations/{part}.txt": "".join(lists[part]).encode() for part in lists}
    annotations["annotations/README"] = b"not needed"
    return {pets.IMAGES: tar_gz(images), pets.ANNOTATIONS: tar_gz(annotations)}


@pytest.fixture
def serve(mirror):
    """The small archives on a mirror; gives a function that serves other ones."""
    mirror(pets, archives())
    return partial(mirror, pets)


def test_parts_classes_and_pixels(serve):
    train, val, test = (load("oxford_pets", part, image_size=20) for part in SPLITS)
    assert train.images.shape == (12, 3, 20, 20)
    assert [len(train), len(val), len(test)] == [12, 3, 6]
    assert val.labels.tolist() == [0, 1, 2]
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert train.classes == ["Abyssinian", "American Bulldog", "Yorkshire Terrier"]
    assert 0 <= train.images.min() < train.images.max() <= 1
    # The middle is kept, and red is the first channel: it tells the breed.
    assert train.images[:, :, 8:12, 8:12].min() > 0.9
    corner = train.images[:, 0, :2, :2].mean((1, 2)) * 255
    assert torch.allclose(corner, 60.0 * train.labels + 20, atol=6)
    everything = load("oxford_pets", "all", image_size=20)
    assert len(everything) == 21
    assert torch.equal(everything.images[-6:], test.images)


def test_torchvision_agrees(serve, tmp_path):
    load("oxford_pets", "test", image_size=8)
    folder = tmp_path / "data" / pets.FOLDER
    for name in pets.CHECKSUMS:
        with tarfile.open(folder / name) as tar:
            tar.extractall(folder, filter="data")
    theirs = OxfordIIITPet(tmp_path / "data", split="test")
    ours = load("oxford_pets", "test", image_size=30)
    assert [label for _, label in theirs] == ours.labels.tolist()
    assert theirs.classes == ours.classes
    # Number 6 is 30×44: the middle 30×30 is not scaled at all.
    picture = pil_to_tensor(theirs[0][0])
    assert torch.allclose(ours.images[0] * 255, picture[:, 7:37].float(), atol=0.01)


def test_checksums_and_first_mirror_are_torchvisions():
    for address, checksum in OxfordIIITPet._RESOURCES:
        assert address.startswith(pets.MIRRORS[0])
        assert pets.CHECKSUMS[address.rsplit("/", 1)[1]] == checksum
    assert len(pets.MIRRORS) >= 2


def test_held_out_images_are_of_every_breed_and_not_in_training(serve):
    for split_by in ("writer", "random"):
        train, val = (
            load("oxford_pets", part, image_size=8, split_by=split_by, seed=3)
            for part in ("train", "val")
        )
        assert val.labels.bincount().tolist() == [1, 1, 1]
        joined = torch.cat([train.images, val.images]).flatten(1)
        assert len(joined.unique(dim=0)) == len(joined) == 15
    again = load("oxford_pets", "val", image_size=8, split_by="random", seed=3)
    assert torch.equal(again.images, val.images)


def test_wrong_arguments_are_explained():
    for options in ({"split": "trainval"}, {"split_by": "breed"}, {"image_size": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            load("oxford_pets", **options)


def test_no_mirror_names_the_offline_choice(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLIB_MIRROR", (tmp_path / "nothing").as_uri())
    with pytest.raises(DownloadError, match=r'load\("digits"\)'):
        load("oxford_pets", "test", image_size=8)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (pets.ANNOTATIONS, b"no archive", "not a whole tar.gz"),
        (pets.ANNOTATIONS, archives()[pets.ANNOTATIONS][:-40], "not a whole tar.gz"),
        (pets.ANNOTATIONS, tar_gz({"annotations/test.txt": b"cat_1 1 1 1\n"}), "no .*trainval"),
        (pets.ANNOTATIONS, tar_gz({"annotations/test.txt": b"cat_1 one\n"}), "not a list"),
        (
            pets.ANNOTATIONS,
            tar_gz({f"annotations/{p}.txt": b"cat_1 2 1 1\n" for p in ("test", "trainval")}),
            "not numbered",
        ),
        (pets.IMAGES, archives()[pets.IMAGES][:2000], "not a whole tar.gz"),
        (pets.IMAGES, tar_gz({"images/Abyssinian_6.jpg": jpeg(0, 6)}), "lacks 5 photographs"),
        (pets.IMAGES, tar_gz({"images/Abyssinian_6.jpg": b"no jpeg"}), "not a photograph"),
        (pets.IMAGES, tar_gz({"images/Abyssinian_6.jpg": jpeg(0, 6)[:-60]}), "not a photograph"),
    ],
    ids=[
        "text",
        "cut",
        "no list",
        "bad list",
        "bad breed",
        "cut images",
        "few",
        "no jpeg",
        "cut jpeg",
    ],
)
def test_wrong_files_are_explained(serve, name, content, problem):
    serve({name: content})
    with pytest.raises(FormatError, match=problem):
        load("oxford_pets", "test", image_size=8)
