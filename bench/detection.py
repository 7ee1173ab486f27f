"""Parts of `cnnlib.detection` against torchvision's compiled ops, and a whole training step.

`python -m bench detection`. IoU, non-maximum suppression and RoIAlign run on sizes of real use; the
training step is that of the course's small Faster R-CNN on eight scenes, against torchvision's
FasterRCNN of the same configuration with the same weights. Before anything is timed the results are
compared. On a machine with a GPU all of it runs there.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import detection as theirs
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from bench.harness import Comparison
from bench.models import wait
from cnnlib.data.scenes import load_scenes
from cnnlib.detection.boxes import box_iou
from cnnlib.detection.faster_rcnn import FasterRCNN
from cnnlib.detection.nms import batched_nms, nms
from cnnlib.detection.roi import multiscale_roi_align, roi_align
from cnnlib.pretrained.detector import (
    ANCHOR_SIZES,
    ASPECT_RATIOS,
    CLASSES,
    OPTIONS,
    REGIONS,
    mini_faster_rcnn,
)

PEER = f"torchvision {torchvision.__version__}"
SIZE = 800.0  # of the picture, in pixels
SEED = 0


def comparisons() -> Iterator[Comparison]:
    """Yield the parts, then the training step."""
    torch.manual_seed(SEED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for count in (1_000, 10_000):
        boxes = random_boxes(count, device)
        objects = boxes[:100]
        yield same(
            "IoU",
            f"{count:,} boxes, 100 objects",
            lambda b=boxes, o=objects: box_iou(b, o),
            lambda b=boxes, o=objects: torchvision.ops.box_iou(b, o),
        )
    for count in (1_000, 2_000, 10_000):
        boxes, scores = proposals(count, device)
        yield same(
            "NMS",
            f"{count:,} proposals, IoU 0.7",
            lambda b=boxes, s=scores: nms(b, s, 0.7),
            lambda b=boxes, s=scores: torchvision.ops.nms(b, s, 0.7),
        )
    boxes, scores = proposals(2_000, device)
    classes = torch.randint(0, 80, (2_000,), device=device)
    yield same(
        "NMS per class",
        "2,000 boxes, 80 classes, IoU 0.5",
        lambda: batched_nms(boxes, scores, classes, 0.5),
        lambda: torchvision.ops.batched_nms(boxes, scores, classes, 0.5),
    )
    yield from region_layers(device)
    yield training_step(device)


def region_layers(device: torch.device) -> Iterator[Comparison]:
    """RoIAlign of 256 regions, forward and with its backward pass."""
    regions = [random_boxes(256, device)]
    level = torch.rand(1, 256, 100, 100, device=device, requires_grad=True)
    how = {"output_size": 7, "spatial_scale": 1 / 8, "sampling_ratio": 2}
    workload = "256 regions, 7×7, a level of 256×100×100"
    ours = lambda: roi_align(level, regions, **how)  # noqa: E731
    peer = lambda: torchvision.ops.roi_align(level, regions, **how)  # noqa: E731
    yield same("RoIAlign", workload, without_gradient(ours), without_gradient(peer))
    yield same("RoIAlign + backward", workload, gradient(ours, level), gradient(peer, level))

    strides = (4, 8, 16, 32)
    pyramid = [torch.rand(1, 256, *[int(SIZE) // s] * 2, device=device) for s in strides]
    pool = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    named = OrderedDict((str(i), level) for i, level in enumerate(pyramid))
    yield same(
        "RoIAlign, pyramid",
        "256 regions, 7×7, four levels of 256 channels",
        lambda: multiscale_roi_align(pyramid, regions, strides, 7),
        lambda: pool(named, regions, [(int(SIZE), int(SIZE))]),
    )


def random_boxes(count: int, device: torch.device) -> Tensor:
    corner = torch.rand(count, 2, device=device) * (SIZE - 300)
    return torch.cat([corner, corner + 16 + torch.rand(count, 2, device=device) * 284], dim=1)


def proposals(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What comes out of an RPN: heaps of boxes around a few dozen places."""
    centres = random_boxes(60, device)
    boxes = centres[torch.randint(0, 60, (count,), device=device)]
    boxes = boxes + 20 * torch.randn(count, 4, device=device)
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 4)
    return boxes, torch.rand(count, device=device)


def training_step(device: torch.device) -> Comparison:
    """Losses and gradients of the small detector on eight scenes."""
    scenes = load_scenes("digits", count=8)
    images = scenes.images.to(device)
    targets = [{key: value.to(device) for key, value in t.items()} for t in scenes.targets]
    ours = mini_faster_rcnn(weights="digits").to(device).train()
    peer = twin(ours).to(device).train()

    def step(model: nn.Module, pictures: object) -> Callable[[], None]:
        def run() -> None:
            model.zero_grad(set_to_none=True)
            sum(model(pictures, targets).values()).backward()
            wait(images)

        return run

    with torch.no_grad():
        found, expected = ours.eval()(images), peer.eval()(list(images))
    for mine, reference in zip(found, expected, strict=True):
        if not torch.allclose(mine["boxes"], reference["boxes"], atol=1e-2):
            raise RuntimeError("the two small detectors find different boxes")
    ours.train(), peer.train()
    return Comparison(
        "training step",
        "small Faster R-CNN, 8×3×64×64",
        step(ours, images),
        {PEER: step(peer, list(images))},
    )


class Named(nn.Module):
    """Our backbone as torchvision wants it."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.out_channels = backbone, backbone.channels[0]

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict(map=self.backbone(x)[0])


def twin(ours: FasterRCNN) -> nn.Module:
    """torchvision's detector with the configuration and the weights of ours."""
    backbone = Named(copy.deepcopy(ours.backbone))
    channels, pool, hidden = backbone.out_channels, REGIONS.pool_size, OPTIONS["hidden"]
    anchors = theirs.anchor_utils.AnchorGenerator((ANCHOR_SIZES,), (ASPECT_RATIOS,))
    model = theirs.FasterRCNN(
        backbone,
        min_size=64,
        max_size=64,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        size_divisible=4,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(channels, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=OPTIONS["training"].before_nms,
        rpn_post_nms_top_n_train=OPTIONS["training"].after_nms,
        rpn_pre_nms_top_n_test=OPTIONS["testing"].before_nms,
        rpn_post_nms_top_n_test=OPTIONS["testing"].after_nms,
        rpn_batch_size_per_image=OPTIONS["samples"],
        box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["map"], pool, REGIONS.sampling_ratio),
        box_head=TwoMLPHead(channels * pool**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, CLASSES),
        box_batch_size_per_image=REGIONS.samples,
        box_positive_fraction=REGIONS.positive_fraction,
        box_detections_per_img=REGIONS.limit,
    )
    with torch.no_grad():
        for copied, original in zip(model.parameters(), ours.parameters(), strict=True):
            copied.copy_(original)
    return model


def same(
    name: str, workload: str, ours: Callable[[], Tensor], peer: Callable[[], Tensor]
) -> Comparison:
    """Stop rather than compare the speed of two different results."""
    if not torch.allclose(ours().double(), peer().double(), rtol=1e-3, atol=1e-4):
        raise RuntimeError(f"{name}, {workload}: cnnlib and torchvision compute different results")
    return Comparison(name, workload, synchronized(ours), {PEER: synchronized(peer)})


def synchronized(function: Callable[[], Tensor]) -> Callable[[], None]:
    def run() -> None:
        wait(function())

    return run


def without_gradient(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return function()

    return run


def gradient(function: Callable[[], Tensor], level: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        output = function()
        return torch.autograd.grad(output, level, torch.ones_like(output))[0]

    return run
