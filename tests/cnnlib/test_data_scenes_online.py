"""The online scenes, read from small files in each set's own format."""

import hashlib
import io
import zipfile

import data_archives
import numpy as np
import pytest
import torch
from data_archives import picture_bytes, tar_bytes, zip_bytes
from PIL import Image
from torchvision.datasets.voc import DATASET_YEAR_DICT

from cnnlib.data import IGNORED, DownloadError, FormatError, load_scenes, penn_fudan, pets, voc
from cnnlib.data.letterbox import letterbox
from cnnlib.data.splits import SPLITS
from cnnlib.detection.boxes import masks_to_boxes

mirror = data_archives.mirror

BREEDS = ("Abyssinian", "american_bulldog")


def encoded(pixels, form="PNG", palette=False):
    picture = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    if palette:
        picture = Image.fromarray(np.asarray(pixels, dtype=np.uint8), mode="L").convert("P")
        picture = Image.frombytes("P", picture.size, np.asarray(pixels, dtype=np.uint8).tobytes())
        picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    return picture_bytes(picture, form)


@pytest.fixture(autouse=True)
def not_pinned(monkeypatch):
    monkeypatch.delenv(penn_fudan.PINNED, raising=False)


# --- Oxford pets --------------------------------------------------------------------------------


def trimap(wide, high):
    """A pet of 20×20 pixels in the middle, a band of 4 around it, background outside."""
    pixels = np.full((high, wide), 2)
    y, x = high // 2, wide // 2
    pixels[y - 14 : y + 14, x - 14 : x + 14] = 3
    pixels[y - 10 : y + 10, x - 10 : x + 10] = 1
    return pixels


def pet_archives(trimaps=True):
    images, annotations = {}, {}
    lists = {"trainval": "", "test": ""}
    for breed, name in enumerate(BREEDS):
        for number in range(1, 9):
            wide, high = (72, 48) if number % 2 else (48, 60)
            pixels = np.full((high, wide, 3), 40 + 20 * number)
            images[f"images/{name}_{number}.jpg"] = encoded(pixels, "JPEG")
            if trimaps:
                annotations[f"annotations/trimaps/{name}_{number}.png"] = encoded(
                    trimap(wide, high)
                )
                # The real archive has files of the publisher's computer beside the trimaps.
                annotations[f"annotations/trimaps/._{name}_{number}.png"] = b"no picture"
            part = "trainval" if number <= 5 else "test"
            lists[part] += f"{name}_{number} {breed + 1} 1 {breed + 1}\n"
    lists = {f"annotations/{part}.txt": text.encode() for part, text in lists.items()}
    return {
        pets.IMAGES: tar_bytes(images, "gz"),
        pets.ANNOTATIONS: tar_bytes({**annotations, **lists}, "gz"),
    }


def test_pets_and_their_trimaps(mirror):
    mirror(pets, pet_archives())
    found = load_scenes("oxford_pets", "test", image_size=48)
    assert len(found) == 6
    assert found.classes == ["background", "Abyssinian", "American Bulldog"]
    assert sorted(t["labels"].item() for t in found.targets) == [1, 1, 1, 2, 2, 2]
    for target in found.targets:
        # Both shapes of photograph are cut to their middle 48×48, so nothing is scaled.
        mask = torch.zeros(1, 48, 48, dtype=torch.bool)
        mask[:, 14:34, 14:34] = True
        assert torch.equal(target["masks"], mask)
        assert target["boxes"].tolist() == [[14, 14, 34, 34]]
        band = torch.zeros(48, 48, dtype=torch.bool)
        band[10:38, 10:38] = True
        assert torch.equal(target["void"], band & ~mask[0])
    binary = found.segmentation(binary=True)
    assert binary.labels.unique().tolist() == [IGNORED, 0, 1]
    of_breeds = found.segmentation()
    assert of_breeds.labels.unique().tolist() == [IGNORED, 0, 1, 2]
    # Image and target belong together: the number of the photograph is its brightness.
    half = load_scenes("oxford_pets", "test", image_size=24)
    assert half.images.mean((1, 2, 3)).tolist() == pytest.approx(
        found.images.mean((1, 2, 3)).tolist(), abs=0.01
    )


def test_pets_parts_and_prefix(mirror):
    mirror(pets, pet_archives())
    sizes = [len(load_scenes("oxford_pets", part, image_size=24)) for part in SPLITS]
    assert sizes == [8, 2, 6]
    whole = load_scenes("oxford_pets", "train", image_size=24, seed=2)
    few = load_scenes("oxford_pets", "train", image_size=24, seed=2, count=3)
    assert len(few) == 3
    assert torch.equal(few.images, whole.images[:3])


def test_pets_without_trimaps(mirror):
    mirror(pets, pet_archives(trimaps=False))
    with pytest.raises(FormatError, match="lacks 6 trimaps"):
        load_scenes("oxford_pets", "test", image_size=24)


# --- Penn-Fudan ---------------------------------------------------------------------------------


def street(people):
    """A photograph of 80×40 pixels and its mask; each person is a block of 10×20."""
    mask = np.zeros((40, 80))
    for number in range(1, people + 1):
        x = 20 * (number - 1) + 4
        mask[10:30, x : x + 10] = number
    photograph = np.repeat(np.where(mask > 0, 220, 30)[..., None], 3, axis=2)
    return photograph, mask


def penn_fudan_archive(masks=True):
    members = {"PennFudanPed/readme.txt": b"not needed"}
    for city in ("FudanPed", "PennPed"):
        for number in range(1, 21):
            name = f"{city}{number:05}"
            photograph, mask = street(1 + number % 3)
            members[f"PennFudanPed/PNGImages/{name}.png"] = encoded(photograph)
            if masks:
                content = encoded(mask, palette=True)
                members[f"PennFudanPed/PedMasks/{name}_mask.png"] = content
            members[f"PennFudanPed/Annotation/{name}.txt"] = b"# boxes, which masks have anyway"
    return zip_bytes(members)


def test_pedestrians_and_their_masks(mirror, capsys):
    mirror(penn_fudan, {penn_fudan.ARCHIVE: penn_fudan_archive()})
    found = load_scenes("penn_fudan", "test", image_size=40)
    assert found.classes == ["background", "pedestrian"]
    assert len(found) == 8
    assert {len(t["labels"]) for t in found.targets} == {1, 2, 3}
    for image, target in zip(found.images, found.targets, strict=True):
        assert torch.equal(target["boxes"], masks_to_boxes(target["masks"]))
        assert target["masks"].flatten(1).sum(1).tolist() == [50] * len(target["masks"])
        assert target["labels"].eq(1).all()
        # Half as large, and the lower half of the square is empty.
        assert target["boxes"][0].tolist() == [2, 5, 7, 15]
        assert image[:, 20:].max() == 0
        people = target["masks"].any(dim=0)
        assert image[:, people].mean() > 0.75
        assert image[:, :20][:, ~people[:20]].mean() < 0.2
    # No checksum is published: the first download tells its own.
    printed = capsys.readouterr().out
    assert hashlib.sha256(penn_fudan_archive()).hexdigest() in printed
    assert penn_fudan.PINNED in printed
    load_scenes("penn_fudan", "val", image_size=40)
    assert penn_fudan.PINNED not in capsys.readouterr().out


def test_parts_of_penn_fudan_share_no_photograph(mirror):
    mirror(penn_fudan, {penn_fudan.ARCHIVE: penn_fudan_archive()})
    with zipfile.ZipFile(io.BytesIO(penn_fudan_archive())) as file:
        parts = [penn_fudan._names(file, "archive", part) for part in penn_fudan.PARTS]
    assert [len(part) for part in parts] == [26, 6, 8]
    assert len({name for part in parts for name in part}) == 40
    assert parts[0][12] == "FudanPed00013"
    assert parts[1][0] == "FudanPed00014"


def test_a_pinned_archive(mirror, monkeypatch, capsys):
    content = penn_fudan_archive()
    mirror(penn_fudan, {penn_fudan.ARCHIVE: content})
    monkeypatch.setenv(penn_fudan.PINNED, "0" * 64)
    with pytest.raises(DownloadError, match="wrong checksum"):
        load_scenes("penn_fudan", "test", image_size=40)
    monkeypatch.setenv(penn_fudan.PINNED, hashlib.sha256(content).hexdigest().upper())
    assert len(load_scenes("penn_fudan", "test", image_size=40)) == 8
    assert "no checksum" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no archive", "not a whole zip"),
        (penn_fudan_archive()[:-100], "not a whole zip"),
        (penn_fudan_archive(masks=False), "has no PennFudanPed/PedMasks"),
        (zip_bytes({"PennFudanPed/readme.txt": b""}), "has no photographs"),
    ],
    ids=["text", "cut", "no masks", "empty"],
)
def test_wrong_archives_of_penn_fudan(mirror, content, problem):
    mirror(penn_fudan, {penn_fudan.ARCHIVE: content})
    with pytest.raises(FormatError, match=problem):
        load_scenes("penn_fudan", "test", image_size=40)


# --- VOC 2007 -----------------------------------------------------------------------------------

ANNOTATION = """<annotation>
	<folder>VOC2007</folder>
	<size><width>60</width><height>40</height><depth>3</depth></size>
	<object>
		<name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
		<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
	</object>
	<object>
		<name>person</name><pose>Left</pose><truncated>1</truncated><difficult>1</difficult>
		<bndbox><xmin>31</xmin><ymin>1</ymin><xmax>60</xmax><ymax>20</ymax></bndbox>
		<part><name>head</name><bndbox><xmin>40</xmin><ymin>2</ymin><xmax>50</xmax><ymax>9</ymax>
		</bndbox></part>
	</object>
</annotation>
"""
EMPTY = "<annotation><folder>VOC2007</folder></annotation>"


def voc_archive(annotation=ANNOTATION, photograph=None):
    pixels = np.zeros((40, 60, 3))
    pixels[10:40, :30] = 250  # the dog
    photograph = encoded(pixels, "JPEG") if photograph is None else photograph
    members = {}
    for name, text in (("000005", annotation), ("000007", annotation), ("000009", EMPTY)):
        members[f"{voc.FOLDER}/Annotations/{name}.xml"] = text.encode()
        members[f"{voc.FOLDER}/JPEGImages/{name}.jpg"] = photograph
    for part, names in (("train", "000005\n000009\n"), ("val", "000007\n"), ("test", "000007\n")):
        members[f"{voc.FOLDER}/ImageSets/Main/{part}.txt"] = names.encode()
    return tar_bytes(members)


def serve_voc(mirror, **options):
    mirror(voc, dict.fromkeys(voc.CHECKSUMS, voc_archive(**options)))


def test_voc_boxes(mirror):
    serve_voc(mirror)
    found = load_scenes("voc2007", "val", image_size=30)
    assert len(found.classes) == 21
    image, target = found[0]
    # VOC counts pixels from 1 and includes the last: the dog covers 0 to 30 and 10 to 40.
    assert target["boxes"].tolist() == [[0, 5, 15, 20], [15, 0, 30, 10]]
    assert [found.classes[label] for label in target["labels"]] == ["dog", "person"]
    assert target["ignore"].tolist() == [False, True]
    assert image[:, 7:19, 1:14].min() > 0.9  # the picture lies where its box says
    assert image[:, 20:].max() == 0
    with pytest.raises(ValueError, match="no masks"):
        found.segmentation()


def test_voc_parts_and_photographs_without_objects(mirror):
    serve_voc(mirror)
    found = load_scenes("voc2007", "train", image_size=30)
    assert sorted(len(t["labels"]) for t in found.targets) == [0, 2]
    empty = next(t for t in found.targets if not len(t["labels"]))
    assert empty["boxes"].shape == (0, 4)
    assert len(load_scenes("voc2007", "train", image_size=30, count=1)) == 1


def test_voc_checksums_and_first_mirror_are_torchvisions():
    for year in ("2007", "2007-test"):
        source = DATASET_YEAR_DICT[year]
        assert source["url"] == voc.MIRRORS[0] + source["filename"]
        assert voc.CHECKSUMS[source["filename"]] == source["md5"]
        assert source["base_dir"].replace("\\", "/") == voc.FOLDER


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no archive", "not a whole tar"),
        (voc_archive(annotation="<annotation><object>"), "no readable annotation"),
        (voc_archive(annotation=ANNOTATION.replace("dog", "unicorn")), "no readable annotation"),
        (voc_archive(annotation=ANNOTATION.replace("<xmin>1<", "<xmin>left<")), "no readable"),
        (voc_archive(photograph=b"no jpeg"), "not a photograph"),
        (tar_bytes({"VOCdevkit/readme": b""}), "has no .*val.txt"),
    ],
    ids=["text", "bad xml", "unknown class", "bad number", "no jpeg", "no list"],
)
def test_wrong_archives_of_voc(mirror, content, problem):
    mirror(voc, {voc.PARTS["val"]: content})
    with pytest.raises(FormatError, match=problem):
        load_scenes("voc2007", "val", image_size=30)


# --- all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oxford_pets", "penn_fudan", "voc2007"])
def test_wrong_arguments_and_no_network(mirror, name):
    for options in ({"objects": 2}, {"sizes": (10, 20)}):
        with pytest.raises(ValueError, match="digits and glyphs only"):
            load_scenes(name, **options)
    with pytest.raises(ValueError, match='"train", "val" or "test"'):
        load_scenes(name, "trainval")
    with pytest.raises(DownloadError, match=name):
        load_scenes(name, "test")


def test_letterbox_keeps_the_proportions():
    picture = Image.fromarray(np.arange(8, dtype=np.uint8).reshape(2, 4))
    square, scale = letterbox(picture, 8, nearest=True)
    assert scale == 2
    assert torch.equal(
        square[:4], torch.arange(8).view(2, 4).repeat_interleave(2, 0).repeat_interleave(2, 1)
    )
    assert (square[4:] == 0).all()
