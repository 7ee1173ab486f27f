"""Anchors against torchvision and the numbers of the papers."""

import pytest
import torch
from detection_cases import some
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection.anchor_utils import AnchorGenerator as Reference
from torchvision.models.detection.image_list import ImageList

from cnnlib.detection.anchors import AnchorGenerator, cell_anchors, grid_anchors
from cnnlib.detection.boxes import box_area


def maps_of(*sizes, dtype=torch.float32):
    return [torch.zeros(2, 3, *size, dtype=dtype) for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "ratios", "maps", "image"),
    [
        (((128, 256, 512),), (0.5, 1.0, 2.0), ((38, 50),), (608, 800)),
        (((32,), (64,), (128,)), (0.5, 1.0, 2.0), ((24, 32), (12, 16), (6, 8)), (96, 128)),
        (((17, 33), (51,)), (0.3, 1.7), ((7, 5), (3, 2)), (61, 47)),  # no whole strides
    ],
)
def test_agrees_with_torchvision(sizes, ratios, maps, image):
    feature_maps = maps_of(*maps)
    ours = AnchorGenerator(sizes, ratios)
    theirs = Reference(sizes, (ratios,) * len(sizes))
    images = ImageList(torch.zeros(2, 3, *image), [image, image])
    expected = theirs(images, feature_maps)
    anchors = ours(feature_maps, image)
    assert torch.equal(torch.cat(anchors), expected[0])
    assert [len(level) for level in anchors] == [
        h * w * a for (h, w), a in zip(maps, theirs.num_anchors_per_location(), strict=True)
    ]
    assert ours.anchors_per_position() == theirs.num_anchors_per_location()


def test_faster_rcnn_has_9_anchors_a_position_and_21600_on_60_by_40():
    generator = AnchorGenerator(((128, 256, 512),))
    (anchors,) = generator(maps_of((40, 60)), (640, 960))
    assert generator.anchors_per_position() == [9]
    assert len(anchors) == 21_600


def test_fpn_has_15_anchors():
    assert AnchorGenerator().anchors_per_position() == [3] * 5


@some
@given(st.floats(4, 600), st.floats(0.2, 5))
def test_unrounded_anchors_have_the_area_and_ratio_asked_for(size, ratio):
    x1, y1, x2, y2 = cell_anchors([size], [ratio], rounded=False)[0].tolist()
    assert (x2 - x1) * (y2 - y1) == pytest.approx(size**2, rel=1e-5)
    assert (y2 - y1) / (x2 - x1) == pytest.approx(ratio, rel=1e-5)
    assert (x1 + x2, y1 + y2) == (0, 0)


def test_order_is_ratio_by_ratio_and_position_by_position():
    cell = cell_anchors([10, 20], [1.0, 4.0])
    assert cell.tolist() == [
        [-5, -5, 5, 5],
        [-10, -10, 10, 10],
        [-2, -10, 2, 10],  # 2.5 rounds to the even neighbour
        [-5, -20, 5, 20],
    ]
    anchors = grid_anchors(cell, (2, 3), (8, 16)).reshape(2, 3, 4, 4)
    for row in range(2):
        for column in range(3):
            centre = torch.tensor([16 * column, 8 * row, 16 * column, 8 * row])
            assert torch.equal(anchors[row, column], cell + centre)


def test_offset_half_centres_anchors_on_what_a_position_stands_for():
    cell = cell_anchors([16], [1.0])
    anchors = grid_anchors(cell, (2, 2), (16, 16), offset=0.5)
    assert anchors.tolist() == [[0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32]]
    generator = AnchorGenerator(((16,),), (1.0,), offset=0.5)
    assert torch.equal(generator(maps_of((2, 2)), (32, 32))[0], anchors)


def test_moving_the_picture_by_a_stride_moves_the_anchors_by_one_position():
    anchors = grid_anchors(cell_anchors([32], [0.5, 2.0]), (4, 5), (16, 16)).reshape(4, 5, 2, 4)
    assert torch.equal(anchors[:, 1:], anchors[:, :-1] + torch.tensor([16.0, 0, 16, 0]))
    assert (box_area(anchors) == box_area(anchors[:1, :1])).all()


def test_coordinates_stay_exact_for_maps_in_half_precision():
    generator = AnchorGenerator(((32,),), (1.0,))
    half = generator(maps_of((1, 300), dtype=torch.float16), (16, 4800))[0]
    assert torch.equal(half, generator(maps_of((1, 300)), (16, 4800))[0])
    assert half[-1].tolist() == [299 * 16 - 16, -16, 299 * 16 + 16, 16]


def test_nothing_to_learn_or_to_save():
    generator = AnchorGenerator()
    assert list(generator.parameters()) == []
    assert generator.state_dict() == {}
    assert {name for name, _ in generator.named_buffers()} == {f"cell_{i}" for i in range(5)}


def test_rejects():
    with pytest.raises(ValueError, match=r"sizes must be positive numbers; got \(\)"):
        cell_anchors([], [1.0])
    with pytest.raises(ValueError, match="aspect_ratios must be positive"):
        cell_anchors([32], [1.0, 0.0])
    with pytest.raises(ValueError, match="at least one level"):
        AnchorGenerator(())
    with pytest.raises(ValueError, match="5 levels, but there are 1"):
        AnchorGenerator()(maps_of((4, 4)), (64, 64))
    with pytest.raises(ValueError, match=r"\(A, 4\)"):
        grid_anchors(torch.zeros(4), (2, 2), (8, 8))
