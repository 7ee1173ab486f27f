"""Rendered letters: what is drawn, who drew it, and that every call can be repeated."""

import itertools
from pathlib import Path

import matplotlib
import pytest
import torch
import torch.nn.functional as F
from matplotlib.ft2font import FT2Font

from cnnlib.data import load
from cnnlib.data.glyphs import FACES, FAMILIES, FAMILIES_PER_SPLIT, MISSING, SCRIPTS, glyphs
from cnnlib.data.glyphs import rendered as rendered_letter


def test_shapes_labels_and_classes():
    data = load("glyphs", "train", image_size=16, scripts=["greek", "cyrillic"], per_class=3)
    letters = SCRIPTS["greek"] + SCRIPTS["cyrillic"]
    assert data.images.shape == (3 * len(letters), 1, 16, 16)
    assert data.images.dtype == torch.float32
    assert data.images.min() >= 0
    assert data.images.max() <= 1
    assert data.classes == list(letters)
    # In rounds: any first part is balanced.
    assert data.labels[: len(letters)].tolist() == list(range(len(letters)))
    assert data.labels.bincount().tolist() == [3] * len(letters)
    assert repr(data).startswith("ImageSet('rendered letters: greek, cyrillic (train)', 123 images")


def test_every_face_has_every_letter_it_is_used_for():
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    maps = {face: FT2Font(str(fonts / face)).get_charmap() for face in FACES}
    for script, letters in SCRIPTS.items():
        for family, faces in FAMILIES.items():
            has = [ord(letter) in maps[face] for face in faces for letter in letters]
            assert all(has) == (family not in MISSING.get(script, ())), (script, family)


def test_no_letter_is_listed_twice_and_none_is_a_digit():
    letters = "".join(SCRIPTS.values())
    assert len(set(letters)) == len(letters) == 37 + 25 + 16 + 31 + 33 + 21
    assert letters.isalpha()


def test_different_classes_look_different():
    # Correlation of the letters without jitter, at 16×16. A and Α would have 1.
    letters = "".join(SCRIPTS.values())
    plain = torch.stack([rendered_letter(letter, "DejaVuSans.ttf") for letter in letters])
    rows = F.avg_pool2d(plain, 4).flatten(1)
    rows = F.normalize(rows - rows.mean(1, keepdim=True))
    alike = rows @ rows.T
    alike.fill_diagonal_(0)
    assert alike.max() < 0.97
    greek = rendered_letter("Α", "DejaVuSans.ttf")
    assert torch.equal(greek, rendered_letter("A", "DejaVuSans.ttf"))


@pytest.mark.parametrize("face", FACES)
def test_letters_are_centred_and_large(face):
    for letter in "AWjg":
        ink = rendered_letter(letter, face)[0] > 0.2
        rows, columns = ink.any(1).nonzero(), ink.any(0).nonzero()
        height, width = (int(side.max() - side.min()) + 1 for side in (rows, columns))
        assert 40 <= max(height, width) <= 44
        for side in (rows, columns):
            assert abs(int(side.max() + side.min()) - 63) <= 2  # equal margins up to a pixel


def test_without_jitter_images_are_the_rendered_letters():
    data = glyphs("val", image_size=64, scripts=["latin"], per_class=4, jitter=0.0)
    for image, label, face in zip(data.images, data.labels, data.groups, strict=True):
        expected = rendered_letter(data.classes[int(label)], FACES[int(face)])
        assert torch.allclose(image, expected, atol=1e-5)


def test_jitter_stays_in_its_bounds_and_shows():
    plain = glyphs("val", image_size=32, scripts=["latin"], per_class=8, jitter=0.0)
    moved = glyphs("val", image_size=32, scripts=["latin"], per_class=8)

    def centres(images):
        mass = images[:, 0].sum((1, 2))
        places = torch.arange(32.0) + 0.5
        x = (images[:, 0].sum(1) * places).sum(1) / mass
        y = (images[:, 0].sum(2) * places).sum(1) / mass
        return torch.stack([x, y])

    distance = (centres(moved.images) - centres(plain.images)).abs()
    assert distance.max() < 0.06 * 32 + 2  # the shift, and what turning a letter adds
    assert distance.max() > 0.03 * 32
    # No ink is lost at the border.
    border = torch.ones(32, 32, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    lost = moved.images[:, 0, border].sum(1) / moved.images.sum((1, 2, 3))
    assert lost.max() < 0.02


def test_the_same_call_gives_the_same_letters_and_another_seed_others():
    options = {"image_size": 16, "scripts": ["latin"], "per_class": 2}
    first, again, other = (glyphs("train", seed=seed, **options) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.groups, again.groups)
    assert not torch.equal(first.images, other.images)


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    glyphs("train", image_size=16, scripts=["latin"], per_class=1)
    assert torch.equal(torch.rand(3), expected)


def test_splits_by_writer_share_no_family():
    families = {}
    for split in ("train", "val", "test"):
        data = glyphs(split, image_size=16, scripts=["latin", "georgian"], per_class=8)
        used = {FACES[face] for face in data.groups.tolist()}
        families[split] = {f for f, faces in FAMILIES.items() if used & set(faces)}
        assert families[split] == set(FAMILIES_PER_SPLIT[split])
    for one, other in itertools.combinations(families.values(), 2):
        assert not one & other


def test_faces_are_used_equally_often_in_each_class():
    data = glyphs("train", image_size=16, scripts=["latin", "armenian"], per_class=8)
    for label, letter in enumerate(data.classes):
        counts = data.groups[data.labels == label].bincount()
        faces = 8 if letter in SCRIPTS["latin"] else 4  # STIX has no Armenian
        assert sorted(counts[counts > 0].tolist()) == [8 // faces] * faces


def test_random_splits_share_families_but_no_image():
    parts = [
        glyphs(split, image_size=16, scripts=["hebrew"], per_class=4, split_by="random")
        for split in ("train", "val", "test", "all")
    ]
    assert all(set(part.groups.tolist()) == {0, 1, 2, 3} for part in parts)  # the faces of Sans
    everything = torch.cat([part.images for part in parts]).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything)


def test_default_scripts_are_those_of_the_split():
    assert len(glyphs("train", image_size=8, per_class=1).classes) == 163
    test = glyphs("test", image_size=8, per_class=1).classes
    assert test == list("".join(SCRIPTS.values())[: 163 - 21])  # without Hebrew
    assert len(glyphs("test", image_size=8, per_class=1, split_by="random").classes) == 163


def test_classes_can_be_chosen():
    data = load("glyphs", "all", image_size=16, classes=["Я", "A", "ש"], per_class=2)
    assert data.classes == ["Я", "A", "ש"]
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2]
    one = load("glyphs", "test", image_size=16, scripts="latin", classes="ABC", per_class=1)
    assert one.classes == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"split": "training"}, "split must be"),
        ({"split_by": "font"}, "split_by must be"),
        ({"scripts": ["latin", "klingon"]}, "scripts are latin.*'klingon'"),
        ({"scripts": ["latin"], "classes": ["A", "Я"]}, "'Я' is no letter of latin"),
        ({"classes": ["3"]}, "'3' is no letter"),
        ({"classes": ["A", "A"]}, "twice"),
        ({"classes": []}, "no letters"),
        ({"scripts": []}, "no letters"),
        ({"split": "test", "scripts": ["hebrew"]}, "hebrew is in none of the fonts"),
        ({"split": "val", "classes": ["ש"]}, "hebrew is in none of the fonts"),
        ({"per_class": 0}, "per_class"),
        ({"jitter": -1.0}, "jitter"),
        ({"jitter": float("nan")}, "jitter"),
        ({"image_size": 0}, "image_size"),
    ],
)
def test_wrong_arguments_are_explained(options, problem):
    with pytest.raises(ValueError, match=problem):
        glyphs(**{"image_size": 8, "per_class": 1, **options})


def test_letters_cannot_be_chosen_for_other_sets():
    with pytest.raises(ValueError, match="scripts can be chosen for"):
        load("digits", scripts=["latin"])
    with pytest.raises(ValueError, match="per_class can be chosen for"):
        load("mnist", per_class=3)
