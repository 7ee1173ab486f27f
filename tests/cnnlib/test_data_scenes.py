import pytest
import torch
from torchvision.ops import masks_to_boxes as torchvision_boxes

from cnnlib.data import IGNORED, ImageSet, SceneSet, SegmentationSet, load, load_scenes, scenes
from cnnlib.detection.boxes import masks_to_boxes
from cnnlib.segmentation import confusion, mean_iou
from cnnlib.training import evaluate


@pytest.fixture(scope="module")
def digits():
    return load_scenes("digits", count=300)


@pytest.mark.parametrize(("name", "classes"), [("digits", 11), ("glyphs", 38)])
def test_shapes_and_types(name, classes):
    made = load_scenes(name, "val", count=20, image_size=48)
    assert len(made) == 20
    assert len(made.classes) == classes
    assert made.classes[0] == "background"
    assert made.images.shape == (20, 3, 48, 48)
    assert made.images.dtype == torch.float32
    assert 0 <= made.images.min() < made.images.max() <= 1
    for image, target in (made[i] for i in range(20)):
        objects = len(target["labels"])
        assert image.shape == (3, 48, 48)
        assert 1 <= objects <= 3
        assert target["boxes"].shape == (objects, 4)
        assert target["boxes"].dtype == torch.float32
        assert target["labels"].dtype == torch.int64
        assert 1 <= target["labels"].min() <= target["labels"].max() < classes
        assert target["masks"].shape == (objects, 48, 48)
        assert target["masks"].dtype == torch.bool


def test_default_counts():
    assert [len(load_scenes("digits", split, image_size=24)) for split in scenes.STRIPS] == [
        1000,
        200,
        300,
    ]


def test_boxes_are_tight_and_pixels_belong_to_one_object(digits):
    for target in digits.targets:
        assert target["masks"].sum(dim=0).max() <= 1
        assert torch.equal(target["boxes"], masks_to_boxes(target["masks"]))
        # torchvision counts pixels: its right and lower edge are the last pixel's number.
        theirs = torchvision_boxes(target["masks"]) + torch.tensor([0.0, 0.0, 1.0, 1.0])
        assert torch.equal(target["boxes"], theirs)


def test_all_sizes_and_numbers_of_objects_come_up(digits):
    per_scene = torch.tensor([len(target["labels"]) for target in digits.targets])
    assert (per_scene.bincount(minlength=4)[1:] > 60).all()
    labels = torch.cat([target["labels"] for target in digits.targets])
    assert (labels.bincount(minlength=11)[1:] > 30).all()
    boxes = torch.cat([target["boxes"] for target in digits.targets])
    longer = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)
    # 16 to 32 pixels; an edge may fall on either side of a pixel's centre, and parts are hidden
    assert longer.max() <= 33
    assert longer.quantile(0.02) >= 15
    assert longer.quantile(0.1) < 19
    assert longer.quantile(0.9) > 29
    assert boxes.amin(dim=0)[:2].tolist() == [0, 0]
    assert boxes.amax() == 64
    one_size = load_scenes("digits", count=50, sizes=(20, 20), objects=1)
    longer = torch.cat([(t["boxes"][:, 2:] - t["boxes"][:, :2]).amax(1) for t in one_size.targets])
    assert ((longer - 20).abs() <= 1).all()


def test_number_of_objects_as_asked():
    for objects, allowed in ((1, {1}), ((0, 1), {0, 1}), ((2, 2), {2})):
        made = load_scenes("digits", count=30, objects=objects)
        assert {len(target["labels"]) for target in made.targets} == allowed
    empty = next(t for t in load_scenes(count=30, objects=(0, 1)).targets if not len(t["labels"]))
    assert empty["boxes"].shape == (0, 4)
    assert empty["masks"].shape == (0, 64, 64)


def test_objects_are_lighter_than_around_them_but_no_threshold_finds_them(digits):
    brightness = torch.einsum("nchw,c->nhw", digits.images, scenes.LUMINANCE)
    differences = []
    for grey, target in zip(brightness, digits.targets, strict=True):
        free = ~target["masks"].any(dim=0)
        for mask, (x1, y1, x2, y2) in zip(
            target["masks"], target["boxes"].int().tolist(), strict=True
        ):
            around = torch.zeros_like(free)
            around[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
            differences.append(grey[mask].mean() - grey[around & free].mean())
    differences = torch.stack(differences)
    assert (differences > 0.1).float().mean() > 0.97
    assert differences.std() > 0.05
    truth = digits.segmentation(binary=True).labels
    best = max(mean_iou(confusion((brightness > q).long(), truth, 2)) for q in (0.5, 0.6, 0.7, 0.8))
    assert 0.5 < best < 0.85


def test_colour_and_opacity_of_one_object():
    """On an even grey, from which the opacity and the tint can be read off."""
    ground = torch.full((1, 3, 8, 8), 0.2)
    ink = torch.zeros(1, 1, 8, 8)
    ink[..., :4] = 1
    numbers = torch.tensor([[0.5, 1.0, 0.5, 0.0]])  # middle contrast, red, opacity 0.8
    painted = scenes._painted(ground, ink, numbers)[0]
    assert torch.equal(painted[:, :, 4:], ground[0, :, :, 4:])
    grey = torch.einsum("chw,c->hw", painted, scenes.LUMINANCE)[0, 0]
    assert grey == pytest.approx(0.2 + 0.8 * 0.5)
    red, green, blue = (painted[:, 0, 0] - grey).tolist()
    assert red == pytest.approx(0.8 * scenes.TINT, abs=1e-6)
    assert green < blue == pytest.approx(0, abs=1e-6)
    on_white = scenes._painted(ground + 0.75, ink, numbers)[0]  # no room for anything lighter
    grey = torch.einsum("chw,c->hw", on_white, scenes.LUMINANCE)[0, 0]
    assert grey == pytest.approx(0.95 - 0.8 * 0.5, abs=1e-6)


def test_no_box_is_covered_by_more_than_a_fifth():
    crowded = load_scenes("digits", count=200, objects=(2, 6), image_size=64, sizes=(20, 26))
    numbers = [len(target["labels"]) for target in crowded.targets]
    assert max(numbers) >= 5  # crowded indeed
    overlaps = []
    for target in crowded.targets:
        for k, box in enumerate(target["boxes"]):
            others = torch.cat([target["boxes"][:k], target["boxes"][k + 1 :]])
            low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
            shared = (high - low).clamp(min=0).prod(dim=1).sum()
            overlaps.append(shared / (box[2:] - box[:2]).prod())
    overlaps = torch.stack(overlaps)
    # An edge on a pixel's border may move a box by one pixel of about 15.
    assert overlaps.max() <= scenes.MAX_OVERLAP + 0.12
    assert (overlaps <= scenes.MAX_OVERLAP).float().mean() > 0.9
    assert (overlaps > 0.1).float().mean() > 0.1  # and overlap there is


def test_same_arguments_same_scenes_and_the_first_of_more_are_those_of_fewer():
    few = load_scenes("glyphs", "test", count=5, seed=3)
    many = load_scenes("glyphs", "test", count=300, seed=3)
    assert torch.equal(few.images, many.images[:5])
    for a, b in zip(few.targets, many.targets[:5], strict=True):
        assert all(torch.equal(a[key], b[key]) for key in ("boxes", "labels", "masks"))
    other = load_scenes("glyphs", "test", count=5, seed=4)
    assert not any(torch.equal(a, b) for a, b in zip(few.images, other.images, strict=True))


def test_splits_share_no_picture_and_no_pixel(monkeypatch):
    sources = {split: scenes._sources("digits", split, 32.0)[0] for split in scenes.STRIPS}
    forms = [set(source.groups.tolist()) for source in sources.values()]
    assert not forms[0] & forms[1]
    assert not forms[0] & forms[2]
    assert not forms[1] & forms[2]
    # Photographs that say themselves which column a pixel is from:
    columns = [torch.arange(100.0 + i).expand(3, 60, -1) for i in range(6)]
    monkeypatch.setattr(scenes, "_photographs", lambda: columns)
    for photo in range(6):
        parts = [scenes.photo_strips(split)[photo] for split in scenes.STRIPS]
        assert torch.equal(torch.cat(parts, dim=2), columns[photo])


def test_backgrounds_show_the_strip_at_the_wanted_place(monkeypatch):
    down, across = torch.meshgrid(torch.arange(90.0), torch.arange(200.0), indexing="ij")
    picture = torch.stack([across, down, torch.zeros_like(down)]) / 200
    monkeypatch.setattr(scenes, "_photographs", lambda: [picture] * 6)
    monkeypatch.setattr(scenes, "DIM", (0.5, 1.0))
    # photo, zoom, x, y, flip, dim: scale 1, left upper corner, no flip, full brightness
    zoom = (1 - scenes.ZOOM[0]) / (scenes.ZOOM[1] - scenes.ZOOM[0])
    numbers = torch.tensor([[0, zoom, 0, 0, 1, 1], [0, zoom, 1, 1, 1, 1], [0, zoom, 0, 0, 0, 1]])
    plain, far, mirrored = scenes._backgrounds("train", 30, numbers.float())
    assert torch.allclose(plain, picture[:, :30, :30], atol=1e-5)
    assert torch.allclose(far, picture[:, 60:, 90:120], atol=1e-5)  # the strip has 120 columns
    assert torch.allclose(mirrored, plain.flip(2), atol=1e-5)


def test_photographs_come_with_the_packages():
    strips = scenes.photo_strips("train")
    assert len(strips) == 6
    for strip in strips:
        assert 0 <= strip.min() < 0.2
        assert 0.7 < strip.max() <= 1


def test_a_pasted_digit_is_the_digit_of_its_label():
    """Cut out along its box and scaled, the mask is nearest to an original of its class."""
    made = load_scenes("digits", count=60, objects=1, sizes=(32, 32))
    originals, boxes = scenes._sources("digits", "train", 32.0)

    def cut(ink, box):
        x1, y1, x2, y2 = box.int().tolist()
        part = ink[None, None, y1:y2, x1:x2].float()
        return torch.nn.functional.interpolate(part, size=(16, 16), mode="bilinear").flatten()

    table = torch.stack(
        [cut(i[0] >= scenes.INK, box) for i, box in zip(originals.images, boxes, strict=True)]
    )
    found = [
        originals.labels[(table - cut(t["masks"][0], t["boxes"][0])).square().sum(1).argmin()] + 1
        for t in made.targets
    ]
    right = torch.stack(found) == torch.cat([t["labels"] for t in made.targets])
    assert right.float().mean() > 0.95


def test_segmentation_has_a_class_for_every_pixel(digits):
    of_classes, binary = digits.segmentation(), digits.segmentation(binary=True)
    assert isinstance(of_classes, SegmentationSet)
    assert isinstance(of_classes, ImageSet)
    assert binary.classes == ["background", "object"]
    assert of_classes.classes == digits.classes
    assert torch.equal(binary.labels, (of_classes.labels > 0).long())
    for target, labels in zip(digits.targets, of_classes.labels, strict=True):
        for mask, label in zip(target["masks"], target["labels"], strict=True):
            assert (labels[mask] == label).all()
        assert (labels[~target["masks"].any(dim=0)] == 0).all()
    part = of_classes.subset([4, 2])
    assert torch.equal(part.labels, of_classes.labels[[4, 2]])
    assert isinstance(part, SegmentationSet)
    images, labels = next(iter(of_classes.loader(8)))
    assert images.shape == (8, 3, 64, 64)
    assert labels.shape == (8, 64, 64)
    # An untrained constant answer: the accuracy is that of saying "background" everywhere.
    accuracy = evaluate(Constant(), binary).accuracy
    assert accuracy == pytest.approx((binary.labels == 0).float().mean().item(), abs=1e-6)


class Constant(torch.nn.Module):
    def forward(self, x):
        return torch.stack([x[:, 0] * 0 + 1, x[:, 0] * 0], dim=1)


def test_ambiguous_pixels_and_missing_masks():
    masks = torch.tensor([[[True, True], [False, False]]])
    target = {"boxes": torch.tensor([[0.0, 0, 2, 1]]), "labels": torch.tensor([2]), "masks": masks}
    ambiguous = {**target, "void": torch.tensor([[False, True], [False, True]])}
    pictures = SceneSet(torch.zeros(2, 3, 2, 2), [target, ambiguous], ["background", "a", "b"], "x")
    assert pictures.segmentation().labels.tolist() == [
        [[2, 2], [0, 0]],
        [[2, IGNORED], [0, IGNORED]],
    ]
    boxes_only = {key: value for key, value in target.items() if key != "masks"}
    with pytest.raises(ValueError, match="no masks"):
        SceneSet(torch.zeros(1, 3, 2, 2), [boxes_only], ["background", "b"], "x").segmentation()


def test_subset_and_loader(digits):
    part = digits.subset(slice(2, 12))
    assert len(part) == 10
    assert torch.equal(part.images[0], digits.images[2])
    assert part.targets[0] is digits.targets[2]
    chosen = torch.zeros(300, dtype=torch.bool)
    chosen[[7, 9]] = True
    assert torch.equal(digits.subset(chosen).images, digits.images[[7, 9]])
    batches = list(part.loader(4))
    assert [len(images) for images, _ in batches] == [4, 4, 2]
    images, targets = batches[0]
    assert isinstance(images, list)
    assert isinstance(targets, list)
    assert targets[3] is part.targets[3]

    def order(seed):
        loader = part.loader(5, shuffle=True, seed=seed)
        return [target["boxes"].sum().item() for _, targets in loader for target in targets]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == sorted(t["boxes"].sum().item() for t in part.targets)


def test_images_in_double_precision(digits):
    twice = digits.double()
    assert twice.images.dtype == torch.float64
    assert digits.images.dtype == torch.float32
    assert torch.equal(twice.images.float(), digits.images)
    assert twice.targets is digits.targets


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "letters"}, "'digits', 'glyphs'"),
        ({"split": "all"}, '"train", "val" or "test"'),
        ({"count": 0}, "count"),
        ({"image_size": 10}, "image_size"),
        ({"objects": 0}, "objects"),
        ({"objects": (3, 2)}, "objects"),
        ({"objects": (-1, 2)}, "objects"),
        ({"sizes": (40, 70)}, "sizes"),
        ({"sizes": (20, 10)}, "sizes"),
    ],
)
def test_wrong_arguments_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        load_scenes(**options)


def test_wrong_sets_are_explained():
    with pytest.raises(ValueError, match="as many targets"):
        SceneSet(torch.zeros(2, 3, 4, 4), [], ["background"], "x")
    with pytest.raises(ValueError, match="background"):
        SceneSet(torch.zeros(0, 3, 4, 4), [], ["cat"], "x")
    with pytest.raises(ValueError, match="labels of shape"):
        SegmentationSet(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, dtype=torch.int64), ["a"], "x")
    with pytest.raises(ValueError, match="int64"):
        SegmentationSet(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), ["a"], "x")


def test_the_digits_of_load_stay_as_they_are():
    """The scenes scale the ink of their own copy."""
    load_scenes("digits", "val", count=1)
    assert load("digits", "val").images.amax(dim=(1, 2, 3)).min() < 1
