"""A small detector of ours and the same one of torchvision's, with the same weights."""

import copy
from collections import OrderedDict

import torch
from detection_cases import random_boxes
from torch import nn
from torchvision.models.detection import FasterRCNN as TheirFasterRCNN
from torchvision.models.detection import MaskRCNN as TheirMaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from cnnlib.detection.faster_rcnn import RegionSettings, faster_rcnn
from cnnlib.detection.mask_rcnn import MaskSettings, mask_rcnn
from cnnlib.detection.rpn import ProposalSettings
from cnnlib.pretrained import LetterNet

CLASSES = 4
HIDDEN = 32
HEIGHT, WIDTH = 64, 72  # multiples of all strides
RATIOS = (0.5, 1.0, 2.0)
# So many that all are taken, and chance decides nothing.
ALL = 10**6
REGIONS = RegionSettings(
    samples=ALL, positive_fraction=0.5, canonical_level=2, canonical_size=24.0, limit=40
)
KINDS = {
    "one map": {"layers": ["stage4"], "anchor_sizes": [[12, 24]]},
    "pyramid": {
        "layers": ["stage2", "stage4"],
        "anchor_sizes": [[8], [16], [32]],
        "pyramid_channels": 16,
        "extra_level": True,
    },
}
NAMES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "head_class": "loss_classifier",
    "head_box": "loss_box_reg",
    "mask": "loss_mask",
}


class Named(nn.Module):
    """A backbone of ours as torchvision wants it: maps by name."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.out_channels = backbone.channels[0]

    def forward(self, x):
        return OrderedDict((str(level), x) for level, x in enumerate(self.backbone(x)))


def detector(kind, *, masks=False, seed=0):
    """Ours, with weights large enough that its answers differ from place to place."""
    torch.manual_seed(seed)
    options = {
        **KINDS[kind],
        "hidden": HIDDEN,
        "aspect_ratios": RATIOS,
        "regions": REGIONS,
        "samples": ALL,
        "training": ProposalSettings(200, 60),
        "testing": ProposalSettings(100, 30),
    }
    model, layers = LetterNet(5, in_channels=3), options.pop("layers")
    if masks:
        settings = MaskSettings(pool_size=6, threshold=None, rounded=True)
        how = {"masks": settings, "mask_hidden": 8, "mask_depth": 2}
        ours = mask_rcnn(model, layers, CLASSES, **options, **how)
    else:
        ours = faster_rcnn(model, layers, CLASSES, **options)
    with torch.no_grad():
        for part in (ours.rpn.head.objectness, ours.rpn.head.deltas):
            part.weight.normal_(std=0.1)
            part.bias.normal_(std=0.2)
        ours.head.classifier.weight.normal_(std=0.3)
        ours.head.regressor.weight.normal_(std=0.3)
    return ours


def twin(ours):
    """torchvision's network of the same shape with a copy of our weights."""
    masks = hasattr(ours, "mask_head")
    backbone = Named(copy.deepcopy(ours.backbone))
    sizes = KINDS["pyramid" if len(ours.backbone.strides) > 1 else "one map"]["anchor_sizes"]
    channels = backbone.out_channels
    anchors = AnchorGenerator(tuple(map(tuple, sizes)), (RATIOS,) * len(sizes))
    levels = [str(level) for level in range(ours.roi_levels)]

    def pool(size):
        canonical = {"canonical_scale": 24.0, "canonical_level": 2}
        return MultiScaleRoIAlign(levels, size, 2, **canonical)

    options = {
        "min_size": HEIGHT,
        "max_size": WIDTH,
        "image_mean": [0.0] * 3,
        "image_std": [1.0] * 3,
        "rpn_anchor_generator": anchors,
        "rpn_head": RPNHead(channels, anchors.num_anchors_per_location()[0]),
        "rpn_pre_nms_top_n_train": 200,
        "rpn_post_nms_top_n_train": 60,
        "rpn_pre_nms_top_n_test": 100,
        "rpn_post_nms_top_n_test": 30,
        "rpn_batch_size_per_image": ALL,
        "box_roi_pool": pool(7),
        "box_head": TwoMLPHead(channels * 49, HIDDEN),
        "box_predictor": FastRCNNPredictor(HIDDEN, CLASSES),
        "box_batch_size_per_image": ALL,
        "box_positive_fraction": 0.5,
        "box_detections_per_img": 40,
        "size_divisible": ours.backbone.strides[-1],
    }
    if masks:
        options |= {
            "mask_roi_pool": pool(6),
            "mask_head": MaskRCNNHeads(channels, (8, 8), 1),
            "mask_predictor": MaskRCNNPredictor(8, 8, CLASSES),
        }
    theirs = (TheirMaskRCNN if masks else TheirFasterRCNN)(backbone, **options)
    with torch.no_grad():
        for copied, original in zip(theirs.parameters(), ours.parameters(), strict=True):
            copied.copy_(original)
    return theirs.train(ours.training)


def pictures(count=2, seed=0):
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def objects(*counts, seed=0):
    """Targets with boxes of which some stick out of the picture."""
    found = []
    for number, count in enumerate(counts):
        how = {"size": 50.0, "smallest": 8.0, "largest": 40.0, "dtype": torch.float32}
        boxes = random_boxes(count, seed=seed + number, **how)
        generator = torch.Generator().manual_seed(seed + number)
        masks = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist(), strict=True):
            shape = mask[y1:y2, x1:x2].shape
            mask[y1:y2, x1:x2] = torch.rand(shape, generator=generator) < 0.7
        labels = torch.randint(1, CLASSES, (count,), generator=generator)
        found.append({"boxes": boxes, "labels": labels, "masks": masks})
    return found


def masks_as_bytes(targets):
    """torchvision takes masks as uint8."""
    return [{**target, "masks": target["masks"].to(torch.uint8)} for target in targets]
