"""What happens to a region: its class, its exact box (Fast R-CNN) and its mask (Mask R-CNN).

Fast R-CNN (2015) replaced R-CNN's three separately trained parts, network, SVMs and box regressors,
by one network with two outputs and one loss. Mask R-CNN (2017) added a third output beside them.

                          ┌── K + 1 classes, background is 0     (softmax)
    7×7 features ── fc ── fc
                          └── a box for each class               (smooth L1)

    14×14 features ── 4 × conv 3×3 ── deconv ── a 28×28 mask for each class   (sigmoid)

Classes do not compete for a mask: whether a pixel belongs to the object is asked of the mask of its
class alone, and which class it is, of the other head (arXiv:1703.06870, section 3 and table 2b).

References: Girshick, "Fast R-CNN", arXiv:1504.08083. Lin et al., "Feature pyramid networks for
object detection", arXiv:1612.03144, section 4.2 (the two fully connected layers). He et al., "Mask
R-CNN", arXiv:1703.06870, section 3 and figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import he_initialization
from cnnlib.detection.boxes import (
    Weights,
    box_iou,
    clip_boxes_to_image,
    decode_boxes,
    encode_boxes,
    remove_small_boxes,
)
from cnnlib.detection.matching import match, objectness_labels, sample_balanced
from cnnlib.detection.nms import batched_nms
from cnnlib.detection.roi import roi_align

Pair = tuple[int, int]

# Brings the head's targets to a standard deviation of about 1, see `encode_boxes`.
HEAD_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)


def smooth_l1(error: Tensor, beta: float = 1.0) -> Tensor:
    """Parabola near 0, straight line farther out: 0.5 x² / beta if |x| < beta, |x| - beta / 2 else.

    The gradient is at most 1, so one hopeless box cannot blow up a step, and goes to 0 where the
    box is right, so that it comes to rest.

    Args:
        error: Differences of any shape.
        beta: Where the parabola ends; 1 in the paper.

    Returns:
        The loss of each difference, in the same shape.

    Raises:
        ValueError: `beta` is not positive.

    Reference: Girshick, "Fast R-CNN", arXiv:1504.08083, equation 3.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive; got {beta}")
    size = error.abs()
    return torch.where(size < beta, 0.5 * error.square() / beta, size - 0.5 * beta)


class FastRCNNHead(nn.Module):
    """Two fully connected layers, then what is it and where exactly.

    Args:
        in_channels: Channels of the region's features.
        num_classes: Number of classes, with background as class 0.
        pool_size: Side of the region's features.
        hidden: Neurons of each of the two layers.

    Reference: weights of the two outputs are drawn with standard deviations of 0.01 and 0.001
    (arXiv:1504.08083, section 2.3). The two layers before them have He's initialisation; in the
    paper they come from a network trained on ImageNet. Like all released code, the head also has a
    box for the background, which nothing uses.
    """

    def __init__(
        self, in_channels: int, num_classes: int, pool_size: int = 7, hidden: int = 1024
    ) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels * pool_size**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.classifier = nn.Linear(hidden, num_classes)
        self.regressor = nn.Linear(hidden, 4 * num_classes)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        for layer, std in ((self.classifier, 0.01), (self.regressor, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Look at each region.

        Args:
            x: Features (R, C, P, P) of R regions of all pictures.

        Returns:
            Logits (R, K + 1) and deltas (R, K + 1, 4).
        """
        x = F.relu(self.fc6(x.flatten(1)))  # (R, hidden)
        x = F.relu(self.fc7(x))
        return self.classifier(x), self.regressor(x).unflatten(1, (-1, 4))


@dataclass(frozen=True)
class Regions:
    """The regions of one picture that a training step looks at, and what the head should say.

    Attributes:
        boxes: Regions (R, 4).
        labels: Their classes (R,), 0 for background.
        goals: Deltas (R, 4) that turn each region into its object; 0 for background.
        matched: Number of its object (R,); 0 for background, which has none.
    """

    boxes: Tensor
    labels: Tensor
    goals: Tensor
    matched: Tensor


def sample_regions(
    proposals: Tensor,
    boxes: Tensor,
    labels: Tensor,
    *,
    positive_from: float = 0.5,
    count: int = 512,
    positive_fraction: float = 0.25,
    weights: Weights = HEAD_WEIGHTS,
    generator: torch.Generator | None = None,
) -> Regions:
    """Choose regions of one picture to train the head on.

    The true boxes join the proposals: at the beginning, no proposal may cover an object.

    Args:
        proposals: Boxes (n, 4).
        boxes: Objects (G, 4).
        labels: Their classes (G,), from 1.
        positive_from: IoU from which on a region is an object; below, it is background.
        count: Number of regions; 64 in Fast R-CNN, 512 in FPN.
        positive_fraction: Largest share of objects.
        weights: As in `encode_boxes`.
        generator: Source of randomness; by default the global one.

    Returns:
        At most `count` regions, objects first.

    Reference: arXiv:1504.08083, section 2.3.
    """
    boxes = boxes.to(proposals.dtype)
    proposals = torch.cat([proposals, boxes])
    matched = match(box_iou(boxes, proposals), positive_from, positive_from)
    positives, negatives = sample_balanced(
        objectness_labels(matched), count, positive_fraction, generator=generator
    )
    chosen = torch.cat([positives, negatives])
    classes, goals = labels.new_zeros(len(chosen)), proposals.new_zeros(len(chosen), 4)
    objects = matched[positives]
    classes[: len(positives)] = labels[objects]
    goals[: len(positives)] = encode_boxes(boxes[objects], proposals[positives], weights)
    return Regions(proposals[chosen], classes, goals, matched[chosen].clamp(min=0))


def fast_rcnn_loss(
    logits: Tensor, deltas: Tensor, labels: Tensor, goals: Tensor, beta: float = 1 / 9
) -> tuple[Tensor, Tensor]:
    """The two terms of the multi-task loss L = L_cls(p, u) + [u ≥ 1] L_loc(t^u, v).

    Background has no box, so the second term leaves it out; of an object, only the box of its own
    class counts. Both terms are divided by the number of regions, background included.

    Args:
        logits: Scores (R, K + 1) before softmax.
        deltas: Predictions t (R, K + 1, 4).
        labels: True classes u (R,), 0 for background.
        goals: Targets v (R, 4); not looked at for background.
        beta: As in `smooth_l1`; the paper has 1, torchvision and so its published weights 1/9.

    Returns:
        Class loss and box loss, two scalars; 0 without regions.

    Reference: arXiv:1504.08083, equations 1 to 3.
    """
    count = max(1, len(labels))
    class_loss = F.cross_entropy(logits, labels, reduction="sum") / count
    own = deltas[torch.arange(len(labels), device=labels.device), labels]  # t^u, (R, 4)
    error = torch.where(labels[:, None] > 0, own - goals, 0)
    return class_loss, smooth_l1(error, beta).sum() / count


def detect(
    logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_size: Pair,
    *,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
    limit: int = 100,
    weights: Weights = HEAD_WEIGHTS,
) -> dict[str, Tensor]:
    """Turn what the head says about the proposals of one picture into detections.

    Every proposal can become one detection of each class: its box is the one predicted for that
    class, its score the probability.

    Args:
        logits: Scores (R, K + 1) before softmax.
        deltas: Predictions (R, K + 1, 4).
        proposals: Boxes (R, 4).
        image_size: (H, W); boxes are cut off there.
        score_threshold: Detections that are less probable are dropped.
        nms_threshold: Boxes that overlap a better one of the same class by more are dropped.
        limit: Keep the best so many.
        weights: Those that the goals were encoded with.

    Returns:
        "boxes" (D, 4), "scores" (D,) and "labels" (D,), best first.
    """
    scores = logits.softmax(dim=1)[:, 1:]  # (R, K): background is no detection
    boxes = decode_boxes(deltas[:, 1:], proposals[:, None], weights)  # (R, K, 4)
    boxes = clip_boxes_to_image(boxes, image_size)
    region, column = torch.nonzero(scores > score_threshold, as_tuple=True)
    boxes, scores, labels = boxes[region, column], scores[region, column], column + 1
    large = remove_small_boxes(boxes, min_size=1e-2)
    boxes, scores, labels = boxes[large], scores[large], labels[large]
    kept = batched_nms(boxes, scores, labels, nms_threshold)[:limit]
    return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}


class MaskHead(nn.Sequential):
    """A small fully convolutional network: a mask for each class, twice the size of the features.

    Args:
        in_channels: Channels of the region's features.
        num_classes: Number of classes, with background as class 0.
        hidden: Channels of the layers between.
        depth: Number of 3 × 3 convolutions.

    Shape: (R, C, P, P) to logits (R, num_classes, 2P, 2P).

    Reference: arXiv:1703.06870, figure 4, right.
    """

    def __init__(
        self, in_channels: int, num_classes: int, hidden: int = 256, depth: int = 4
    ) -> None:
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Conv2d(in_channels if index == 0 else hidden, hidden, 3, padding=1)]
            layers += [nn.ReLU(inplace=True)]
        deconv = nn.ConvTranspose2d(hidden if depth else in_channels, hidden, 2, stride=2)
        nn.init.kaiming_normal_(deconv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(deconv.bias)
        super().__init__(*layers, deconv, nn.ReLU(inplace=True), nn.Conv2d(hidden, num_classes, 1))
        he_initialization(self)


def mask_targets(
    masks: Tensor, boxes: Tensor, matched: Tensor, size: int, *, aligned: bool = False
) -> Tensor:
    """Cut the mask of its object out of each region, at the size the mask head predicts.

    Args:
        masks: Masks (G, H, W) of the objects of one picture.
        boxes: Regions (R, 4).
        matched: Number of the object of each region (R,).
        size: Side of the predicted masks.
        aligned: As in `roi_align`.

    Returns:
        Targets (R, size, size) from 0 to 1: where a bin is only partly covered, its share.
    """
    regions = torch.cat([matched[:, None].to(boxes.dtype), boxes], dim=1)
    return roi_align(masks[:, None].to(boxes.dtype), regions, size, aligned=aligned)[:, 0]


def mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of the pixels, on the mask of the true class alone.

    Args:
        logits: Predictions (R, K + 1, S, S) for regions that are objects.
        labels: True classes (R,), from 1.
        targets: True masks (R, S, S).

    Returns:
        A scalar; 0 without regions.

    Reference: arXiv:1703.06870, section 3.
    """
    if len(labels) == 0:
        return logits.sum() * 0  # the mean of nothing would be NaN
    own = logits[torch.arange(len(labels), device=labels.device), labels]  # (R, S, S)
    return F.binary_cross_entropy_with_logits(own, targets)


def paste_masks(masks: Tensor, boxes: Tensor, image_size: Pair, *, rounded: bool = False) -> Tensor:
    """Stretch each mask to its box and put it where the box is in the picture.

    A pixel of the picture gets the bilinear mean of the mask's pixels around its centre. Bilinear
    weights are a product of a vertical and a horizontal one, so pasting is two matrix products:
    (H × S) · mask · (S × W).

    Args:
        masks: Masks (D, S, S), probabilities from 0 to 1.
        boxes: Boxes (D, 4); what sticks out of the picture is cut off.
        image_size: (H, W).
        rounded: First round the box outwards to whole pixels, as the paper's released code and
            torchvision do. Without it a mask moves as smoothly as its box.

    Returns:
        Masks (D, H, W), 0 outside the box. Of a box without area, or with NaN, nothing is seen.

    Raises:
        ValueError: Shapes do not fit.

    Reference: arXiv:1703.06870, section 3.1, "inference".
    """
    if masks.ndim != 3 or tuple(boxes.shape) != (len(masks), 4):
        raise ValueError(
            "masks must have shape (D, S, S) and boxes (D, 4); got "
            f"{tuple(masks.shape)} and {tuple(boxes.shape)}"
        )
    x1, y1, x2, y2 = boxes.to(masks.dtype).unbind(1)
    vertical = _stretch(y1, y2, masks.shape[1], image_size[0], rounded)  # (D, H, S)
    horizontal = _stretch(x1, x2, masks.shape[2], image_size[1], rounded)  # (D, W, S)
    return vertical @ masks @ horizontal.transpose(1, 2)


def _stretch(start: Tensor, end: Tensor, size: int, length: int, rounded: bool) -> Tensor:
    """How much each of the mask's S pixels counts for each of the picture's: (D, length, S)."""
    if rounded:
        # The released code puts a border of one empty pixel around the mask, enlarges the box by
        # as much, cuts off the fractions and counts both edges in.
        border = (end - start) / size
        start, end = (start - border).trunc(), (end + border).trunc() + 1
        end = torch.maximum(end, start + 1)
        pixel = (end - start) / (size + 2)
        start = start + pixel
    else:
        pixel = (end - start) / size
    visible = (pixel > 0) & pixel.isfinite() & start.isfinite()
    pixel = torch.where(visible, pixel, 1)
    start = torch.where(visible, start, 0)
    centre = torch.arange(length, device=start.device, dtype=start.dtype) + 0.5
    place = (centre - start[:, None]) / pixel[:, None] - 0.5  # in pixels of the mask, (D, length)
    distance = place[:, :, None] - torch.arange(size, device=start.device)
    return (1 - distance.abs()).clamp(min=0) * visible[:, None, None]
