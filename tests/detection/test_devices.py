"""Nothing of a computation stays on the CPU when its inputs are on a GPU.

PyTorch's fake tensors have a device and a shape but no values, so this needs no GPU.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cnnlib.detection import boxes, heads, matching, roi
from cnnlib.detection.anchors import AnchorGenerator

CASES = {
    "convert": lambda b, f, n: boxes.box_convert(b, "xyxy", "cxcywh"),
    "iou": lambda b, f, n: boxes.box_iou(b, b),
    "giou": lambda b, f, n: boxes.generalized_box_iou(b, b),
    "clip": lambda b, f, n: boxes.clip_boxes_to_image(b, (20, 30)),
    "masks_to_boxes": lambda b, f, n: boxes.masks_to_boxes(f[0]),
    "encode": lambda b, f, n: boxes.encode_boxes(b, b),
    "decode": lambda b, f, n: boxes.decode_boxes(b, b),
    "anchors": lambda b, f, n: AnchorGenerator(((32,),))([f], (64, 64)),
    "match": lambda b, f, n: matching.match(boxes.box_iou(b, b), 0.7, 0.3, keep_best=True),
    "match_none": lambda b, f, n: matching.match(boxes.box_iou(b[:0], b), 0.7, 0.3),
    "labels": lambda b, f, n: matching.objectness_labels(n),
    "align": lambda b, f, n: roi.roi_align(f, [b, b], 7, 0.1, 2, True),
    "multiscale": lambda b, f, n: roi.multiscale_roi_align([f, f[..., ::2]], [b, b], (4, 8), 7),
    "levels": lambda b, f, n: roi.assign_levels(b),
    "loss": lambda b, f, n: heads.fast_rcnn_loss(f[0, 0, :5, :3], f[0, :5, :3, :4], n, b),
    "mask_loss": lambda b, f, n: heads.mask_loss(f[:, :2].expand(5, 2, 16, 16), n, f[0, :5]),
    "paste": lambda b, f, n: heads.paste_masks(f[0, :5], b, (20, 30)),
    "paste_rounded": lambda b, f, n: heads.paste_masks(f[0, :5], b, (20, 30), rounded=True),
}


@pytest.mark.parametrize("case", CASES)
def test_results_are_on_the_gpu(case):
    with FakeTensorMode():
        numbers = torch.zeros(5, dtype=torch.int64, device="cuda")
        features = torch.rand(2, 8, 16, 16, device="cuda")
        if case == "mask_loss":
            features = features[:1]
        results = CASES[case](torch.rand(5, 4, device="cuda"), features, numbers)
    results = results if isinstance(results, list | tuple) else [results]
    assert {result.device.type for result in results} == {"cuda"}
