"""The hand-written augmentations against torchvision, and what they promise about randomness."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from cnnlib import augment

some = settings(max_examples=40, derandomize=True, deadline=None)
sizes = st.integers(1, 9)


def pictures(n=3, c=2, height=6, width=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, c, height, width, generator=generator, dtype=dtype)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@some
@given(height=sizes, width=sizes)
def test_flip_is_torchvisions_and_its_own_inverse(height, width):
    images = pictures(height=height, width=width)
    assert torch.equal(augment.flip(images), tv.horizontal_flip(images))
    assert torch.equal(augment.flip(augment.flip(images)), images)


def test_flip_mirrors_the_chosen_pictures_only():
    images = pictures()
    got = augment.flip(images, torch.tensor([True, False, True]))
    assert torch.equal(got[1], images[1])
    assert torch.equal(got[::2], tv.horizontal_flip(images[::2]))


@some
@given(
    width=st.integers(1, 50),
    data=st.lists(st.tuples(*[st.floats(0, 50, width=16)] * 4), min_size=1, max_size=4),
)
def test_flipped_boxes_are_torchvisions(width, data):
    corners = torch.tensor(data, dtype=torch.float64).view(-1, 2, 2)
    # Corner by corner the smaller before the larger, and inside the picture.
    corners = corners.sort(dim=1).values.clamp(max=width)
    boxes = corners.flatten(1)
    wrapped = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(60, width))
    flipped = augment.flip_boxes(boxes, width)
    assert torch.equal(flipped, tv.horizontal_flip(wrapped).as_subclass(torch.Tensor))
    assert (flipped[:, 2] >= flipped[:, 0]).all()


def test_a_flipped_box_still_holds_the_object():
    images = torch.zeros(1, 1, 6, 8)
    images[:, :, 1:3, 5:8] = 1
    x1, y1, x2, y2 = augment.flip_boxes(torch.tensor([5, 1, 8, 3]), 8).tolist()
    flipped = augment.flip(images)
    assert flipped[..., y1:y2, x1:x2].min() == 1
    assert flipped.sum() == (y2 - y1) * (x2 - x1)


@some
@given(right=st.integers(-8, 8), down=st.integers(-8, 8))
def test_shift_is_torchvisions_translation(right, down):
    images = pictures()
    expected = tv.affine(images, 0.0, [right, down], 1.0, [0.0, 0.0])
    torch.testing.assert_close(augment.shift(images, right, down), expected)


def test_shift_takes_one_step_per_picture():
    images = pictures()
    got = augment.shift(images, torch.tensor([0, 2, -1]), torch.tensor([1, 0, -3]))
    for i, (right, down) in enumerate([(0, 1), (2, 0), (-1, -3)]):
        assert torch.equal(got[i : i + 1], augment.shift(images[i : i + 1], right, down))


@some
@given(degrees=st.floats(-400, 400, width=16), height=sizes, width=sizes)
def test_rotation_is_torchvisions(degrees, height, width):
    images = pictures(height=height, width=width)
    expected = tv.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
    got = augment.rotate(images, degrees)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(quarters):
    images = pictures(height=7, width=7)
    torch.testing.assert_close(
        augment.rotate(images, 90.0 * quarters), images.rot90(quarters, (2, 3))
    )


def test_each_picture_gets_its_own_angle():
    images = pictures()
    got = augment.rotate(images, torch.tensor([0.0, 30.0, -75.0]))
    torch.testing.assert_close(got[0], images[0])
    torch.testing.assert_close(got[2:], augment.rotate(images[2:], -75))


def test_rotation_passes_gradients_on():
    images = pictures(n=1, c=1, height=4, width=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment.rotate(x, 25.0), images)


def test_random_flip_is_a_fair_coin():
    images = torch.zeros(4000, 1, 1, 2)
    images[..., 1] = 1
    share = augment.random_flip(images, 0.3, generator=seeded())[:, 0, 0, 0].mean().item()
    assert share == pytest.approx(0.3, abs=0.03)
    assert torch.equal(augment.random_flip(images, 0.0), images)
    assert torch.equal(augment.random_flip(images, 1.0), augment.flip(images))


def test_random_crop_visits_every_place_equally_often():
    image = torch.arange(1.0, 26.0).view(1, 1, 5, 5)
    crops = augment.random_crop(image.expand(9000, -1, -1, -1), 3, generator=seeded())
    assert crops.shape == (9000, 1, 3, 3)
    corners, counts = crops[:, 0, 0, 0].unique(return_counts=True)
    assert corners.tolist() == [1, 2, 3, 6, 7, 8, 11, 12, 13]
    assert counts.min() > 850
    assert counts.max() < 1150
    for crop in crops[:20]:  # each is a window of the picture, not a mixture
        row, column = divmod(int(crop[0, 0, 0]) - 1, 5)
        assert torch.equal(crop[0], image[0, 0, row : row + 3, column : column + 3])


def test_padded_crop_moves_by_at_most_the_border():
    images = torch.zeros(500, 1, 7, 7)
    images[:, :, 3, 3] = 1
    crops = augment.random_crop(images, padding=2, generator=seeded())
    places = crops.nonzero()[:, 2:]
    assert len(places) == 500
    assert places.unique(dim=0).tolist() == [[y, x] for y in range(1, 6) for x in range(1, 6)]


def test_random_rotation_stays_within_its_range():
    images = torch.zeros(400, 1, 41, 41)
    images[:, :, 20, 40] = 1  # a point on the right, at angle 0
    turned = augment.random_rotation(images, 30.0, generator=seeded())
    weights = turned.flatten(1)
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    y = (weights * y.flatten()).sum(1) / weights.sum(1)
    x = (weights * x.flatten()).sum(1) / weights.sum(1)
    angles = torch.atan2(-y, x).rad2deg()
    assert angles.min() == pytest.approx(-30, abs=2)
    assert angles.max() == pytest.approx(30, abs=2)
    assert angles.mean() == pytest.approx(0, abs=3)


def test_noise_has_the_asked_size_and_no_bias():
    clean = torch.full((50_000,), 0.5)
    noise = augment.add_noise(clean, 0.2, generator=seeded()) - clean
    assert noise.mean().item() == pytest.approx(0, abs=0.004)
    assert noise.std().item() == pytest.approx(0.2, abs=0.004)
    assert torch.equal(augment.add_noise(clean, 0.0), clean)


@pytest.mark.parametrize(
    "transform",
    [
        lambda x, g: augment.random_flip(x, generator=g),
        lambda x, g: augment.random_crop(x, 4, padding=1, generator=g),
        lambda x, g: augment.random_rotation(x, 45.0, generator=g),
        lambda x, g: augment.add_noise(x, 0.1, generator=g),
    ],
)
def test_seeded_and_leaves_its_input_alone(transform):
    images = pictures(n=20)
    before = images.clone()
    first = transform(images, seeded())
    assert torch.equal(first, transform(images, seeded()))
    assert not torch.equal(first, transform(images, seeded(1)))
    assert first.dtype == images.dtype
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: augment.flip(x[0]), r"\(N, C, H, W\)"),
        (lambda x: augment.flip(x, torch.tensor([1, 0, 1])), "boolean"),
        (lambda x: augment.flip_boxes(torch.zeros(3), 5), r"\(\.\.\., 4\)"),
        (lambda x: augment.shift(x, 0.5, 0), "whole pixels"),
        (lambda x: augment.shift(x, torch.tensor([1, 2]), 0), "one number or have shape"),
        (lambda x: augment.rotate(x.long(), 10), "floating point"),
        (lambda x: augment.random_flip(x, 1.5), "from 0 to 1"),
        (lambda x: augment.random_crop(x, 7), "do not fit"),
        (lambda x: augment.random_crop(x), "not square"),
        (lambda x: augment.random_crop(x, 3, padding=-1), "negative"),
        (lambda x: augment.random_rotation(x, -5), "negative"),
        (lambda x: augment.add_noise(x, -0.1), "negative"),
    ],
)
def test_says_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call(pictures())
