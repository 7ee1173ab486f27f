"""RoI layers and the level rule: values and gradients against torchvision, edge cases by hand."""

import math
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
import torchvision.ops as reference
from detection_cases import boxes_of, randn, random_boxes, some
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops.poolers import LevelMapper

from cnnlib.detection import roi as ours
from cnnlib.detection.roi import SpatialPyramidPool, assign_levels, multiscale_roi_align

NAN, INF = math.nan, math.inf


def close(a, b):
    assert a.shape == b.shape
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@st.composite
def regions(draw):
    """Feature maps, boxes partly outside the picture, and settings."""
    images, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    seed = draw(st.integers(0, 1000))
    counts = [draw(st.integers(0, 4)) for _ in range(images)]
    boxes = [
        random_boxes(count, seed=seed + i, size=90.0, smallest=0.1, largest=120.0) - 20
        for i, count in enumerate(counts)
    ]
    return {
        "features": randn(images, channels, height, width, seed=seed),
        "boxes": boxes,
        "output_size": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        "spatial_scale": draw(st.sampled_from([1 / 16, 0.1, 1 / 8])),
    }


def value_and_gradient(layer, case, **how):
    features = case["features"].clone().requires_grad_()
    output = layer(features, case["boxes"], case["output_size"], case["spatial_scale"], **how)
    (output * randn(*output.shape, seed=9)).sum().backward()
    return output, features.grad


# RoI pooling


@some
@given(regions())
def test_pooling_agrees_with_torchvision(case):
    for mine, theirs in zip(
        value_and_gradient(ours.roi_pool, case),
        value_and_gradient(reference.roi_pool, case),
        strict=True,
    ):
        close(mine, theirs)


def test_pooling_rounds_halves_away_from_zero_as_torchvision_does():
    features = torch.arange(36.0).reshape(1, 1, 6, 6)
    for corner in (-1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997):
        rois = torch.tensor([[0, corner, corner, corner + 2, corner + 2]])
        assert torch.equal(ours.roi_pool(features, rois, 1), reference.roi_pool(features, rois, 1))


def test_pooling_by_hand():
    """The lesson of quantisation: a box of 4 pixels' width, 5 columns after rounding, 2 bins."""
    features = torch.arange(64.0).reshape(1, 1, 8, 8)
    box = [torch.tensor([[1.4, 2.0, 5.4, 3.0]])]  # columns 1 to 5, rows 2 to 3
    # Bins of columns floor(0), ceil(2.5) and floor(2.5), ceil(5): 1 to 3 and 3 to 5.
    assert ours.roi_pool(features, box, (1, 2)).flatten().tolist() == [3 * 8 + 3, 3 * 8 + 5]
    # Half a pixel is more than what RoI pooling notices.
    moved = [box[0] + 0.05]
    assert torch.equal(ours.roi_pool(features, box, 2), ours.roi_pool(features, moved, 2))
    assert not torch.equal(ours.roi_align(features, box, 2), ours.roi_align(features, moved, 2))


def test_a_pixel_that_several_bins_share_gets_all_their_gradients():
    features = torch.tensor([[[[0.0, 1.0, 0.0]]]], requires_grad=True)
    boxes = [torch.tensor([[0.0, 0.0, 2.0, 0.0]])]
    ours.roi_pool(features, boxes, (1, 2)).sum().backward()  # columns 0 to 1 and 1 to 2
    assert features.grad.flatten().tolist() == [0, 2, 0]


@pytest.mark.parametrize("length", range(1, 40))
def test_bins_are_exact_where_floating_point_is_not(length):
    """Edges floor(p h / P) and ceil((p + 1) h / P) by whole numbers."""
    first, last = torch.zeros(1), torch.full((1,), length - 1.0)
    for bins in range(1, 12):
        begin, end = ours._bin_edges(first, last, bins, 100)
        assert begin[0].tolist() == [p * length // bins for p in range(bins)]
        assert end[0].tolist() == [math.ceil((p + 1) * length / bins) for p in range(bins)]


# RoIAlign


@some
@given(regions(), st.sampled_from([-1, 0, 1, 2, 3]), st.booleans())
def test_align_agrees_with_torchvision(case, sampling_ratio, aligned):
    how = {"sampling_ratio": sampling_ratio, "aligned": aligned}
    for mine, theirs in zip(
        value_and_gradient(ours.roi_align, case, **how),
        value_and_gradient(reference.roi_align, case, **how),
        strict=True,
    ):
        close(mine, theirs)


@pytest.mark.parametrize("layer", [ours.roi_pool, ours.roi_align])
def test_portions_of_any_size_give_the_same(layer):
    case = {
        "features": randn(2, 3, 20, 20),
        "boxes": [random_boxes(9), random_boxes(8, seed=1)],
        "output_size": (3, 2),
        "spatial_scale": 0.2,
    }
    expected = value_and_gradient(layer, case)
    with mock.patch.object(ours, "LARGEST_LOOKUP", 1):
        for one_by_one, whole in zip(value_and_gradient(layer, case), expected, strict=True):
            close(one_by_one, whole)


@pytest.mark.parametrize("point", [-1.0, 4.0, -1.01, 4.01])
def test_points_up_to_one_pixel_outside_count(point):
    features = torch.arange(1.0, 5).reshape(1, 1, 1, 4)
    boxes = [torch.tensor([[point - 0.5, 0, point + 0.5, 1]])]
    value = ours.roi_align(features, boxes, 1, sampling_ratio=1)
    assert torch.equal(value, reference.roi_align(features, boxes, 1, sampling_ratio=1))
    assert value.item() == {-1.0: 1, 4.0: 4}.get(point, 0)


def test_align_reads_a_ramp_exactly():
    """Interpolation between pixels reproduces a ramp, so a bin's mean is the ramp at its centre."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    # Pixel (0, 0) has its centre at (0.5, 0.5), which is what `aligned` is about.
    features = torch.stack([x + 0.5, y + 0.5])[None].double()
    box = boxes_of([3.3, 2.1, 17.7, 14.9])
    pooled = ours.roi_align(features, [box], (4, 6), aligned=True, sampling_ratio=2)
    centres_x = 3.3 + (torch.arange(6).double() + 0.5) * (17.7 - 3.3) / 6
    centres_y = 2.1 + (torch.arange(4).double() + 0.5) * (14.9 - 2.1) / 4
    close(pooled[0, 0], centres_x.expand(4, 6))
    close(pooled[0, 1], centres_y[:, None].expand(4, 6))
    shifted = ours.roi_align(features, [box], (4, 6), aligned=False, sampling_ratio=2)
    close(shifted, pooled + 0.5)


def test_rois_as_a_list_and_as_one_tensor_are_the_same():
    features = randn(3, 2, 8, 8)
    boxes = [random_boxes(2, size=5.0), random_boxes(0), random_boxes(3, seed=1, size=5.0)]
    rois = ours.boxes_to_rois(boxes)
    assert rois[:, 0].tolist() == [0, 0, 2, 2, 2]
    assert torch.equal(rois[:, 1:], torch.cat(boxes))
    assert torch.equal(ours.roi_align(features, boxes, 2), ours.roi_align(features, rois, 2))
    shuffled = rois[[3, 0, 4, 2, 1]]
    for layer in (ours.roi_align, ours.roi_pool):
        assert torch.equal(layer(features, shuffled, 2), layer(features, rois, 2)[[3, 0, 4, 2, 1]])


@pytest.mark.parametrize(
    "layer",
    [
        ours.roi_pool,
        ours.roi_align,
        lambda *args: ours.roi_align(*args, 1.0, 2),
        lambda *args: ours.roi_align(*args, 1.0, 0, True),
    ],
)
def test_boxes_that_are_none(layer):
    features = (1 + randn(1, 2, 8, 8).abs()).requires_grad_()
    strange = boxes_of(
        [NAN, 0, 5, 5], [0, 0, INF, 5], [-INF, 0, 5, 5], [100, 100, 120, 120], [-90, 0, -50, 5]
    )
    good = boxes_of([1, 1, 5, 5])
    output = layer(features, [torch.cat([strange, good])], 2)
    assert (output[:-1] == 0).all()
    assert (output[-1] > 0).all()
    close(output[-1:], layer(features, [good], 2))
    output.sum().backward()
    assert features.grad.isfinite().all()


def test_boxes_without_area():
    """One pixel in RoI pooling and in RoIAlign's first version, nothing in the aligned one."""
    features = 1 + randn(1, 2, 8, 8).abs()
    boxes = [boxes_of([3, 3, 3, 3], [5, 5, 2, 2])]
    for theirs, mine in (
        (reference.roi_pool(features, boxes, 2), ours.roi_pool(features, boxes, 2)),
        (reference.roi_align(features, boxes, 2), ours.roi_align(features, boxes, 2)),
        (
            reference.roi_align(features, boxes, 2, aligned=True),
            ours.roi_align(features, boxes, 2, aligned=True),
        ),
    ):
        close(mine, theirs)
    assert (ours.roi_align(features, boxes, 2, aligned=True) == 0).all()


@pytest.mark.parametrize("layer", [ours.roi_pool, ours.roi_align])
def test_no_regions_keep_the_graph(layer):
    features = randn(2, 3, 8, 8).requires_grad_()
    output = layer(features, [boxes_of(), boxes_of()], (2, 3))
    assert output.shape == (0, 3, 2, 3)
    output.sum().backward()
    assert (features.grad == 0).all()


def test_half_precision_comes_back_as_half():
    features = randn(1, 2, 8, 8)
    boxes = [random_boxes(4, size=4.0, dtype=torch.float32) / 10]
    for layer in (ours.roi_pool, ours.roi_align):
        half = layer(features.bfloat16(), boxes, 2)
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(
            half.double(), layer(features, boxes, 2).double(), atol=0.05, rtol=0.05
        )


@pytest.mark.slow
def test_align_compiles_to_one_graph_without_looking_at_values():
    """No `.item()` on the way: with a fixed number of samples nothing waits for a GPU."""
    features, boxes = randn(2, 3, 8, 8), [random_boxes(3, size=4.0), random_boxes(2, size=4.0)]

    def pool(features, first, second):
        return ours.roi_align(features, [first, second], 2, 0.5, 2, True)

    compiled = torch.compile(pool, backend="eager", fullgraph=True)
    close(compiled(features, *boxes), pool(features, *boxes))


@pytest.mark.parametrize(
    ("features", "boxes", "size", "message"),
    [
        (torch.zeros(3, 8, 8), [boxes_of()], 2, r"features must have shape \(N, C, H, W\)"),
        (torch.zeros(1, 3, 8, 0), [boxes_of()], 2, r"features must have shape"),
        (torch.zeros(2, 3, 8, 8), [boxes_of()], 2, "1 lists of boxes for 2 pictures"),
        (torch.zeros(1, 3, 8, 8), [torch.zeros(2, 5)], 2, r"boxes of picture 0 .* \(2, 5\)"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(2, 4), 2, r"one tensor \(K, 5\)"),
        (torch.zeros(1, 3, 8, 8), torch.ones(2, 5), 2, "numbers of pictures from 0 to 0"),
        (torch.zeros(1, 3, 8, 8), [boxes_of()], 0, "output_size must be at least 1"),
    ],
)
def test_layers_reject(features, boxes, size, message):
    for layer in (ours.roi_pool, ours.roi_align):
        with pytest.raises(ValueError, match=message):
            layer(features, boxes, size)


def test_other_rejections():
    features = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match="spatial_scale must be positive; got 0"):
        ours.roi_align(features, [boxes_of()], 2, 0)
    with pytest.raises(ValueError, match="clip the boxes"):
        ours.roi_align(features, [boxes_of([0, 0, 1e9, 1e9])], 2)
    with pytest.raises(ValueError, match="it is empty"):
        ours.boxes_to_rois([])


# Spatial pyramid


def test_spp_of_whole_maps_is_adaptive_pooling():
    features = randn(2, 3, 13, 10)
    pooled = SpatialPyramidPool((6, 3, 2, 1))(features)
    expected = [F.adaptive_max_pool2d(features, n).flatten(1) for n in (6, 3, 2, 1)]
    close(pooled, torch.cat(expected, dim=1))


def test_spp_gives_the_same_length_for_every_size():
    spp = SpatialPyramidPool((4, 2, 1))
    lengths = {spp(torch.rand(1, 256, h, w)).shape[1] for h, w in ((13, 13), (10, 17), (3, 2))}
    assert lengths == {256 * 21}  # 5,376


def test_spp_of_regions_is_roi_pooling_at_several_sizes():
    features, boxes = randn(1, 3, 13, 10), [random_boxes(4)]
    pooled = SpatialPyramidPool((2, 1))(features, boxes, 0.1)
    expected = [reference.roi_pool(features, boxes, n, 0.1).flatten(1) for n in (2, 1)]
    close(pooled, torch.cat(expected, dim=1))
    with pytest.raises(ValueError, match="at least 1"):
        SpatialPyramidPool((2, 0))


# Levels


def test_levels_of_the_paper():
    sides = torch.tensor([20, 55.9, 56, 111.9, 112, 223.9, 224, 447.9, 448, 2000])
    boxes = torch.stack([sides * 0, sides * 0, sides, sides], dim=1)
    assert assign_levels(boxes).tolist() == [2, 2, 2, 2, 3, 3, 4, 4, 5, 5]


def test_rounding_of_coordinates_does_not_change_the_level():
    corner = torch.arange(0, 900, 0.37)
    boxes = torch.stack([corner, corner, corner + 112, corner + 112], dim=1)
    assert (boxes[:, 2] - boxes[:, 0] < 112).any()
    assert (assign_levels(boxes) == 3).all()


@some
@given(st.integers(0, 1000), st.sampled_from([(2, 5), (3, 4), (1, 7)]))
def test_levels_agree_with_torchvision(seed, levels):
    boxes = random_boxes(30, seed=seed, largest=900.0, dtype=torch.float32)
    expected = LevelMapper(*levels)([boxes]) + levels[0]  # theirs counts from the finest
    assert torch.equal(assign_levels(boxes, *levels), expected)


def test_levels_of_boxes_that_are_none():
    boxes = boxes_of([5, 5, 5, 5], [9, 9, 3, 3], [NAN, 0, 1, 1], [0, 0, INF, INF])
    assert assign_levels(boxes).tolist() == [2, 2, 2, 5]
    assert assign_levels(boxes_of()).tolist() == []
    with pytest.raises(ValueError, match="k_min must not be greater"):
        assign_levels(boxes, 5, 2)


@pytest.mark.parametrize("sampling_ratio", [2, 0])
def test_multiscale_align_agrees_with_torchvision(sampling_ratio):
    image = (256, 320)
    features = {
        str(k): randn(2, 4, image[0] // 2**k, image[1] // 2**k, seed=k) for k in range(2, 6)
    }
    boxes = [random_boxes(20, size=200.0, largest=300.0), random_boxes(15, seed=1, size=200.0)]
    theirs = reference.MultiScaleRoIAlign(list(features), 3, sampling_ratio)
    expected = theirs(features, boxes, [image, image])
    assert len(assign_levels(torch.cat(boxes)).unique()) > 2
    pooled = multiscale_roi_align(list(features.values()), boxes, (4, 8, 16, 32), 3, sampling_ratio)
    close(pooled, expected)


def test_multiscale_align_rejects():
    features, boxes = [torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4)], [boxes_of()]
    with pytest.raises(ValueError, match="powers of two in a row"):
        multiscale_roi_align(features, boxes, (4, 16), 2)
    with pytest.raises(ValueError, match="2 feature maps do not fit 1 strides"):
        multiscale_roi_align(features, boxes, (4,), 2)
    with pytest.raises(ValueError, match="same N, C"):
        multiscale_roi_align([features[0], torch.zeros(1, 3, 4, 4)], boxes, (4, 8), 2)
