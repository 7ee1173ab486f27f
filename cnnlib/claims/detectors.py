"""Recomputations of the notes' chapter on detectors: R-CNN, SPPnet, Fast, Faster, Mask R-CNN, FPN.

Where a row says what torchvision does, its own modules are asked too.
"""

from __future__ import annotations

import functools
import inspect
import math

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.rpn import AnchorGenerator as TorchvisionAnchors
from torchvision.models.detection.rpn import RPNHead as TorchvisionRPNHead
from torchvision.ops import FeaturePyramidNetwork as TorchvisionFPN

from cnnlib.arithmetic import linear_parameters
from cnnlib.claims.helpers import count, layers, network, random_numbers
from cnnlib.claims.registry import Values, recomputes
from cnnlib.detection.anchors import AnchorGenerator, cell_anchors, grid_anchors
from cnnlib.detection.boxes import box_area, encode_boxes
from cnnlib.detection.fpn import FeaturePyramidNetwork
from cnnlib.detection.heads import (
    FastRCNNHead,
    MaskHead,
    fast_rcnn_loss,
    mask_loss,
    sample_regions,
    smooth_l1,
)
from cnnlib.detection.matching import BACKGROUND, IGNORED, match, sample_balanced
from cnnlib.detection.rcnn import ridge_regression
from cnnlib.detection.roi import (
    SpatialPyramidPool,
    assign_levels,
    multiscale_roi_align,
    roi_align,
    roi_pool,
)
from cnnlib.detection.rpn import RPNHead

FASTER_RATIOS = (0.5, 1.0, 2.0)
FASTER_SIZES = (128.0, 256.0, 512.0)
PYRAMID_SIZES = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
POSITIONS = (40, 60)  # rows and columns of the map in the paper's example


def kernels(module: nn.Module) -> list[tuple[int, ...]]:
    """Kernel sizes of the convolutions of a module."""
    return [tuple(conv.kernel_size) for conv in layers(module, nn.Conv2d)]


def floats(*size: int, seed: int = 0) -> Tensor:
    """Random numbers of the type that networks compute with."""
    return random_numbers(*size, seed=seed, dtype=torch.float32)


@functools.cache
def tiny_mask_rcnn() -> MaskRCNN:
    """Mask R-CNN as torchvision builds it, on a backbone of one layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = nn.Conv2d(3, 8, 3, stride=16, padding=1)
        backbone.out_channels = 8
        return MaskRCNN(
            backbone,
            num_classes=3,
            min_size=64,
            max_size=64,
            rpn_anchor_generator=TorchvisionAnchors(((16, 32),), ((0.5, 1.0, 2.0),)),
            box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 7, 2),
            mask_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 14, 2),
        )


@recomputes("detectors.c06")
def one_background_class() -> Values:
    """Build a head with one output more than there are object classes, for VOC and ILSVRC13."""
    with torch.device("meta"):
        outputs = {
            name: FastRCNNHead(8, objects + 1, hidden=8).classifier.out_features
            for name, objects in (("VOC", 20), ("ILSVRC13", 200))
        }
    return {**outputs, "background": outputs["VOC"] - 20}


@recomputes("detectors.c09")
def ridge_regression_of_boxes() -> Values:
    """Solve the ridge problem for pairs (P, G) in closed form; at the solution its slope is 0."""
    penalty, pairs, size = 1000.0, 400, 16
    features = random_numbers(pairs, size, seed=0)
    corner = 50 * random_numbers(pairs, 2, seed=1).abs()
    proposals = torch.cat([corner, corner + 20 + 10 * random_numbers(pairs, 2, seed=2).abs()], 1)
    objects = proposals + random_numbers(pairs, 4, seed=3)
    goals = encode_boxes(objects, proposals)  # (pairs, 4)
    weight, bias = ridge_regression(features, goals, penalty)
    free, _ = ridge_regression(features, goals, penalty=0)

    weight.requires_grad_()
    error = goals - features @ weight - bias
    loss = error.square().sum() + penalty * weight.square().sum()
    (slope,) = torch.autograd.grad(loss, weight)
    assert slope.abs().max() < 1e-9
    shrunk = (weight.norm() / free.norm()).item()
    assert shrunk < 1
    return {"lambda": penalty, "weights, compared with lambda = 0": shrunk}


@recomputes("detectors.c10")
def who_fixes_the_input_size() -> Values:
    """Run convolutions, the first FC layer and SPP with it on images of two sizes."""
    convolutions = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3))
    pool = SpatialPyramidPool((4, 2, 1))
    maps = {side: convolutions(floats(1, 3, side, side)) for side in (64, 50)}
    plain, behind_spp = nn.Linear(maps[64].numel(), 5), nn.Linear(4 * 21, 5)

    def runs(layer: nn.Linear, x: Tensor) -> bool:
        return x.shape[1] == layer.in_features and layer(x).shape == (1, 5)

    values: Values = {}
    for side, made in maps.items():
        values[f"map of a {side}×{side} image"] = tuple(made.shape[1:])
        values[f"FC behind convolutions takes {side}×{side}"] = runs(plain, made.flatten(1))
        values[f"FC behind SPP takes {side}×{side}"] = runs(behind_spp, pool(made))
    assert values["FC behind convolutions takes 64×64"]
    assert not values["FC behind convolutions takes 50×50"]
    assert values["FC behind SPP takes 64×64"]
    assert values["FC behind SPP takes 50×50"]
    return values


@recomputes("detectors.c11")
def bins_of_the_feature_map() -> Values:
    """Pool maps of two sizes into the same number of bins, as adaptive pooling does."""
    values: Values = {}
    for side in (13, 20):
        x = floats(1, 3, side, side)
        pooled = SpatialPyramidPool((4,))(x)
        assert torch.equal(pooled, nn.AdaptiveMaxPool2d(4)(x).flatten(1))
        values[f"bins of a {side}×{side} map"] = pooled.numel() // 3
        values[f"rows of a bin of the {side}×{side} map"] = math.ceil(side / 4)
    return values


@recomputes("detectors.c12")
def length_of_the_pyramid() -> Values:
    """Pool one map of 256 channels on a pyramid of three levels and measure the vector."""
    filters, bins = 256, (4, 2, 1)
    length = SpatialPyramidPool(bins)(floats(1, filters, 13, 13)).shape[1]
    return {"k": filters, "levels": bins, "M": sum(n * n for n in bins), "kM": length}


@recomputes("detectors.c16")
def regions_from_few_images() -> Values:
    """Sample regions of two images and compare passes of the backbone: one for each image."""
    images = 2
    corner = torch.arange(200.0).repeat(2, 1).T
    proposals = torch.cat([corner, corner + 30], dim=1)
    regions = [
        sample_regions(proposals, proposals[:1], torch.ones(1, dtype=torch.int64), count=64)
        for _ in range(images)
    ]
    sampled = [len(region.boxes) for region in regions]
    from_as_many_images = sum(sampled)  # 128 regions, each of another image
    return {
        "N": images,
        "regions of each": sampled,
        "R": sum(sampled),
        "times fewer passes": from_as_many_images / images,
    }


@recomputes("detectors.c17")
def multi_task_loss() -> Values:
    """Evaluate both terms for one region, as background and as an object."""
    logits, deltas, goal = floats(1, 4), floats(1, 4, 4, seed=1), floats(1, 4, seed=2)
    values: Values = {}
    for name, label in (("background", 0), ("object", 2)):
        class_loss, box_loss = fast_rcnn_loss(logits, deltas, torch.tensor([label]), goal, beta=1)
        plain = smooth_l1(deltas[0, label] - goal[0]).sum()
        assert torch.isclose(class_loss, -logits.softmax(dim=1)[0, label].log())
        values[f"[u >= 1] for {name}"] = round((box_loss / plain).item(), 6)
    return values


@recomputes("detectors.c18")
def sum_over_coordinates() -> Values:
    """Add smooth L1 of the four differences of one box, and compare with the loss."""
    logits, deltas, goal = floats(1, 3), floats(1, 3, 4, seed=1), floats(1, 4, seed=2)
    parts = [smooth_l1(deltas[0, 1, i] - goal[0, i]).item() for i in range(4)]
    _, box_loss = fast_rcnn_loss(logits, deltas, torch.tensor([1]), goal, beta=1)
    assert math.isclose(sum(parts), box_loss.item(), rel_tol=1e-6)
    return {"x, y, w, h": parts, "sum": sum(parts)}


@recomputes("detectors.c19")
def smooth_l1_and_its_slope() -> Values:
    """Evaluate smooth L1 and the squared loss near 0 and far out, with their slopes."""
    x = torch.tensor([-100.0, -3, -0.5, 0, 0.5, 3, 100], requires_grad=True)
    loss = smooth_l1(x)
    assert torch.equal(loss, F.smooth_l1_loss(x, torch.zeros(7), reduction="none"))
    (slope,) = torch.autograd.grad(loss.sum(), x)
    (of_square,) = torch.autograd.grad((0.5 * x.square()).sum(), x)
    return {
        "loss / x² at 0.5": (loss[4] / x[4].square()).item(),
        "|x| - loss at 3": (x[5] - loss[5]).item(),
        "slope at 100": slope[-1].item(),
        "largest slope": slope.abs().max().item(),
        "slope of the squared loss at 100": of_square[-1].item(),
    }


@recomputes("detectors.c20")
def truncated_svd_parameters() -> Values:
    """Cut the SVD of a small matrix, and count the parameters of VGG-16's two large layers."""
    u, v, t = 6, 4, 2
    left, sigma, right = torch.linalg.svd(random_numbers(u, v), full_matrices=False)
    assert left[:, :t].shape == (u, t)
    assert sigma[:t].diag().shape == (t, t)
    assert right[:t].shape == (t, v)
    values: Values = {}
    fc = layers(network("vgg16"), nn.Linear)[:2]
    for name, layer, rank in zip(("fc6", "fc7"), fc, (1024, 256), strict=True):
        after = linear_parameters(layer.in_features, rank, bias=False)
        after += linear_parameters(rank, layer.out_features, bias=False)
        values[name] = [layer.weight.numel(), after]
        values[f"t of {name}"] = rank
    return values


@recomputes("detectors.c21")
def shape_of_the_right_factor() -> Values:
    """Factorise a u × v matrix with u = 6 and v = 4 and keep t = 2 singular values."""
    matrix = random_numbers(6, 4)
    left, sigma, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.allclose(left @ sigma.diag() @ right, matrix)
    transposed = right[:2]  # torch returns V^T, called Vh
    assert transposed.shape == (2, 4)
    return {"V": tuple(transposed.T.shape), "V^T": tuple(transposed.shape)}


@recomputes("detectors.c23")
def layers_of_the_rpn() -> Values:
    """List the convolutions of the head, ours and torchvision's, and how many lie in a row."""
    ours, theirs = RPNHead(16, 9), TorchvisionRPNHead(16, 9)
    assert kernels(ours) == kernels(theirs)
    assert count(ours) == count(theirs)
    inputs = []  # the siblings read the same tensor
    for conv in layers(ours, nn.Conv2d):
        conv.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    ours(floats(1, 16, 4, 4))
    in_a_row = len({x.data_ptr() for x in inputs})
    return {"convolutions": len(inputs), "kernels": kernels(ours), "steps in a row": in_a_row}


@recomputes("detectors.c24")
def outputs_of_the_rpn() -> Values:
    """Build the head on the last maps of both backbones and count scores and coordinates."""
    anchors = 9
    last = {name: layers(network(name), nn.Conv2d)[-1].out_channels for name in ("zfnet", "vgg16")}
    head = RPNHead(last["vgg16"], anchors)
    assert head.objectness.out_channels == anchors  # one sigmoid says as much as two in a softmax
    return {
        "k": anchors,
        "channels": last,
        "kernels": kernels(head),
        "scores for each anchor": 2,
        "scores": 2 * anchors,
        "coordinates for each anchor": head.deltas.out_channels // anchors,
        "coordinates": head.deltas.out_channels,
    }


@recomputes("detectors.c25")
def anchors_of_a_position() -> Values:
    """Make the anchors of a position and of a map of 60 × 40 positions."""
    cell = cell_anchors(FASTER_SIZES, FASTER_RATIOS, rounded=False)
    areas = torch.tensor(FASTER_SIZES).square().repeat(len(FASTER_RATIOS))
    assert torch.allclose(box_area(cell), areas)
    width, height = cell[:, 2] - cell[:, 0], cell[:, 3] - cell[:, 1]
    ratios = (height / width).unique().tolist()
    everywhere = len(grid_anchors(cell, POSITIONS, (16, 16)))
    return {
        "sizes": len(FASTER_SIZES),
        "ratios": len(ratios),
        "anchors": len(cell),
        "sides of the squares": sorted({round(side) for side in box_area(cell).sqrt().tolist()}),
        "heights for width 1 or 2": [round(max(r, 1)) for r in ratios],
        "positions": POSITIONS[::-1],
        "anchors in all": everywhere,
        "thousands of them, one digit": float(f"{everywhere:.0e}") / 1000,
    }


@recomputes("detectors.c26")
def anchors_move_with_the_stride() -> Values:
    """Compare the anchors of neighbouring positions, ours and torchvision's."""
    sizes, maps, size = ((32.0, 64.0),), torch.empty(1, 8, 5, 7), (80, 112)
    (ours,) = AnchorGenerator(sizes, FASTER_RATIOS)([maps], size)
    images = torchvision.models.detection.image_list.ImageList(torch.empty(1, 3, *size), [size])
    (theirs,) = TorchvisionAnchors(sizes, (FASTER_RATIOS,))(images, [maps])
    assert torch.equal(ours.sort(dim=0).values, theirs.sort(dim=0).values)
    by_position = ours.unflatten(0, (5, 7, 6))  # rows, columns, anchors
    (right,), (down,) = (
        by_position.diff(dim=axis).flatten(0, 2).unique(dim=0).tolist() for axis in (1, 0)
    )
    return {"a step to the right adds": right, "a step down adds": down}


def default(name: str) -> float:
    """The default value of an argument of torchvision's Faster R-CNN."""
    return inspect.signature(FasterRCNN).parameters[name].default


@recomputes("detectors.c27")
def positive_anchors() -> Values:
    """Label anchors at and around 0.7, and read torchvision's default."""
    threshold = default("rpn_fg_iou_thresh")
    overlaps = torch.tensor([[threshold - 0.01, threshold, threshold + 0.01]])
    by_code = (match(overlaps, threshold, 0.3) >= 0).tolist()
    assert by_code == [False, True, True]
    alone = match(torch.tensor([[0.1, 0.4]]), threshold, 0.3, keep_best=True)
    assert alone.tolist() == [BACKGROUND, 0]  # the best anchor of an object, with 0.4 only
    return {"threshold": threshold, "positive below, at, above": by_code}


@recomputes("detectors.c28")
def negative_anchors() -> Values:
    """Label anchors at and around 0.3, and read torchvision's default."""
    threshold = default("rpn_bg_iou_thresh")
    overlaps = torch.tensor([[threshold - 0.01, threshold, threshold + 0.01, 0.9]])
    labels = match(overlaps, 0.7, threshold)
    assert labels.tolist() == [BACKGROUND, IGNORED, IGNORED, 0]
    return {"threshold": threshold, "background below, at, above": (labels == BACKGROUND).tolist()}


@recomputes("detectors.c29", quoted=(10,))
def balance_of_the_rpn_loss() -> Values:
    """Count samples and positions, and what lambda = 10 makes of the two divisors."""
    labels = torch.zeros(9 * math.prod(POSITIONS), dtype=torch.int64)
    labels[:20] = 1
    sampled = sum(map(len, sample_balanced(labels, 256, 0.5)))
    positions = math.prod(POSITIONS)
    return {
        "N_cls": sampled,
        "N_reg": positions,
        "lambda N_cls / N_reg": round(10 * sampled / positions),
        "the same, exactly": 10 * sampled / positions,
    }


@recomputes("detectors.c32")
def terms_of_mask_rcnn() -> Values:
    """Train torchvision's Mask R-CNN for no step and read the names of its losses."""
    box, masks = torch.tensor([[10.0, 10, 50, 50]]), torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[0, 10:50, 10:50] = 1
    target = {"boxes": box, "labels": torch.tensor([1]), "masks": masks}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = tiny_mask_rcnn().train()([floats(3, 64, 64).abs()], [target])
    of_regions = sorted(name for name in losses if "rpn" not in name and "object" not in name)
    assert of_regions == ["loss_box_reg", "loss_classifier", "loss_mask"]
    return {"losses of a region": of_regions}


@recomputes("detectors.c34")
def mask_loss_of_one_class() -> Values:
    """Compare with the mean binary cross-entropy of one map; change the other maps."""
    logits, truth = floats(1, 4, 28, 28), (floats(1, 28, 28, seed=1) > 0).float()
    label = torch.tensor([2])
    loss = mask_loss(logits, label, truth)
    by_hand = F.binary_cross_entropy_with_logits(logits[0, 2], truth[0])
    assert torch.isclose(loss, by_hand)
    others = logits.clone()
    others[:, [0, 1, 3]] = 50.0
    assert torch.equal(mask_loss(others, label, truth), loss)
    return {"loss": loss.item(), "mean of the map of the true class": by_hand.item()}


@recomputes("detectors.c35")
def size_of_the_masks() -> Values:
    """Run both mask heads on the features of one region, for K = 80 classes."""
    classes = 80
    with torch.device("meta"):
        with_fpn = MaskHead(256, classes)(torch.empty(1, 256, 14, 14))
        with_c4 = MaskHead(2048, classes, depth=0)(torch.empty(1, 2048, 7, 7))
    assert with_fpn.shape == (1, classes, 28, 28)
    torchvision_pool = tiny_mask_rcnn().roi_heads.mask_roi_pool
    assert torchvision_pool.output_size == (14, 14)
    return {
        "with FPN": tuple(with_fpn.shape[1:]),
        "with C4": tuple(with_c4.shape[1:]),
        "K m² with FPN": with_fpn.numel(),
    }


@recomputes("detectors.c36")
def what_a_small_shift_changes() -> Values:
    """Shift a box by 2 pixels on a stride-16 map: RoIAlign notices, RoI pooling does not."""
    features = floats(1, 2, 20, 20)
    box = torch.tensor([[66.0, 66.0, 194.0, 194.0]])
    changes = {}
    for name, pool in (("RoIAlign", roi_align), ("RoI pooling", roi_pool)):
        at_rest, moved = (pool(features, [box + shift], 7, 1 / 16) for shift in (0, 2))
        changes[name] = (moved - at_rest).abs().max().item()
    assert changes["RoIAlign"] > 0
    assert changes["RoI pooling"] == 0
    ratio = tiny_mask_rcnn().roi_heads.box_roi_pool.sampling_ratio
    reference = torchvision.ops.roi_align(features, [box], 7, 1 / 16, sampling_ratio=ratio)
    ours = roi_align(features, [box], 7, 1 / 16, sampling_ratio=ratio)
    assert torch.allclose(ours, reference, atol=1e-5)
    return {"change": changes, "points of a bin in a row": ratio, "points of a bin": ratio**2}


@recomputes("detectors.c37")
def merge_of_the_pyramid() -> Values:
    """List the pyramid's convolutions, ours and torchvision's, and merge two maps by hand."""
    ours, theirs = FeaturePyramidNetwork((8, 16)), TorchvisionFPN([8, 16], 256)
    assert sorted(kernels(ours)) == sorted(kernels(theirs))
    fine, coarse = floats(1, 8, 12, 12), floats(1, 16, 6, 6)
    up = ours.lateral[1](coarse).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    by_hand = ours.output[0](ours.lateral[0](fine) + up)
    made = ours([fine, coarse])[0]
    assert torch.allclose(made, by_hand, atol=1e-5)
    return {
        "d": made.shape[1],
        "kernel before the sum": kernels(ours.lateral)[0],
        "kernel after it": kernels(ours.output)[0],
        "upsampling": fine.shape[-1] // coarse.shape[-1],
    }


@recomputes("detectors.c38")
def one_head_for_all_levels() -> Values:
    """List the head's convolutions, and run the same weights on two levels."""
    head = RPNHead(16, 3)
    predicted = [head(floats(1, 16, side, side))[0].shape[1] for side in (8, 4)]
    (first, *siblings) = kernels(head)
    assert first == (3, 3)
    return {
        "first kernel": first,
        "siblings": len(siblings),
        "their kernel": siblings[0],
        "anchors scored on two levels": predicted,
    }


@recomputes("detectors.c39")
def anchors_of_the_pyramid() -> Values:
    """Make the anchors of the five levels and count them."""
    ours = AnchorGenerator(PYRAMID_SIZES, FASTER_RATIOS, rounded=False)
    theirs = TorchvisionAnchors(PYRAMID_SIZES, (FASTER_RATIOS,) * len(PYRAMID_SIZES))
    per_level = ours.anchors_per_position()
    assert per_level == theirs.num_anchors_per_location()
    sides = [box_area(ours.cell(level)).sqrt().mean().item() for level in range(len(per_level))]
    cell = ours.cell(0)
    shape = (cell[:, 3] - cell[:, 1]) / (cell[:, 2] - cell[:, 0])
    return {
        "scales of a level": len(PYRAMID_SIZES[0]),
        "sides": sides,
        "heights for width 1 or 2": [round(max(r, 1)) for r in shape.tolist()],
        "in all": sum(per_level),
    }


def level_of(side: float) -> int:
    """The pyramid level of a square region."""
    return int(assign_levels(torch.tensor([[0.0, 0.0, side, side]]))[0])


@recomputes("detectors.c40")
def level_of_a_region() -> Values:
    """Evaluate the formula for regions of several sides; compare with torchvision's."""
    sides = [56, 112, 224, 448]
    levels = [level_of(side) for side in sides]
    mapper = torchvision.ops.poolers.LevelMapper(2, 5)
    squares = torch.tensor([[0.0, 0.0, side, side] for side in (20, *sides, 3000)])
    assert (mapper([squares]) + 2).tolist() == assign_levels(squares).tolist()
    k0 = inspect.signature(assign_levels).parameters["canonical_level"].default
    return {
        "k0": k0,
        "sides": sides,
        "levels": levels,
        "level of 20 and of 3000": [level_of(20), level_of(3000)],
    }


@recomputes("detectors.c41")
def canonical_level() -> Values:
    """Find the smallest square region on the level that ImageNet's size gets."""
    k0 = level_of(224)
    assert level_of(223) == k0 - 1
    smallest = next(side for side in range(1, 1000) if level_of(side) == k0)
    return {"k0": k0, "smallest side": smallest}


@recomputes("detectors.c43")
def one_box_head() -> Values:
    """Feed regions from two levels to one head, and count torchvision's heads."""
    pyramid = [floats(1, 8, side, side) for side in (64, 32)]  # strides 4 and 8
    boxes = torch.tensor([[10.0, 10, 66, 66], [20.0, 20, 220, 220]])
    features = multiscale_roi_align(pyramid, [boxes], (4, 8), 7)
    logits, _ = FastRCNNHead(8, 3, hidden=16)(features)
    levels = assign_levels(boxes, 2, 3).tolist()
    assert levels == [2, 3]
    box_head = type(tiny_mask_rcnn().roi_heads.box_head)
    heads = layers(tiny_mask_rcnn(), box_head)
    return {"levels": levels, "regions with scores": len(logits), "heads": len(heads)}
