"""Segmentation: losses for a class in every pixel, and how good the answer is.

A segmentation network gives logits (N, K, H, W), K numbers for every pixel; the truth is a class
for every pixel, int64 (N, H, W). Cross-entropy treats each pixel as an example of its own, so what
covers most of the pixels, the background as a rule, has most of the say. This module holds the
three usual remedies: weights for classes, weights for places (`weight_map`), and a loss that
compares regions instead of pixels (`dice_loss`).

Two measures of overlap between a predicted region P and the true region G:

    IoU = |P ∩ G| / |P ∪ G|        Dice = 2 |P ∩ G| / (|P| + |G|) = 2 IoU / (1 + IoU)

Dice is the F1 score of the pixels. The two order answers in the same way for one region; their
means over several regions may not.

References: Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, arXiv:1505.04597. Milletari, Navab,
Ahmadi, "V-Net", 3DV 2016, arXiv:1606.04797. Long, Shelhamer, Darrell, "Fully convolutional networks
for semantic segmentation", CVPR 2015, arXiv:1411.4038.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from cnnlib.data.scene_set import IGNORED

# --- losses ------------------------------------------------------------------------------------


def dice_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    smooth: float = 1.0,
    squared: bool = False,
    ignore_index: int = IGNORED,
) -> Tensor:
    """1 minus the soft Dice, mean over the classes.

    Logits are no probabilities: they can be negative, and so could their "overlap". So the softmax
    over the classes is taken here, or the sigmoid if there is one channel only.

    The overlap is summed over all pixels of the batch before the division. A class that no picture
    of the batch shows still counts: its Dice is `smooth` / (Σp + `smooth`), which tells the network
    to keep its probability low.

    Args:
        logits: Raw scores (N, K, H, W); K = 1 means one object class against background.
        labels: Classes (N, H, W), int64 from 0 to K - 1, or 0 and 1 if K = 1.
        smooth: Added to numerator and denominator; keeps the loss defined for a class that is
            nowhere.
        squared: Whether to square the terms of the denominator, as V-Net does.
        ignore_index: Pixels with this label do not count.

    Returns:
        The loss, a scalar from 0 (perfect) to 1.

    Raises:
        ValueError: Shapes do not fit or a label is out of range.

    Reference: Milletari et al., arXiv:1606.04797, section 3 (with `squared=True, smooth=0`).
    """
    binary = logits.ndim == 4 and logits.shape[1] == 1
    classes = 2 if binary else logits.shape[1] if logits.ndim == 4 else 0
    _check(logits, labels, classes, ignore_index)
    counted = (labels != ignore_index).unsqueeze(1)  # (N, 1, H, W)
    if binary:
        probabilities = logits.sigmoid()
        truth = (labels == 1).unsqueeze(1).to(logits.dtype)
    else:
        probabilities = logits.softmax(dim=1)
        kept = torch.where(labels == ignore_index, 0, labels)
        truth = F.one_hot(kept, classes).movedim(-1, 1).to(logits.dtype)
    scores = soft_dice(probabilities * counted, truth * counted, smooth=smooth, squared=squared)
    return 1 - scores.mean()


def soft_dice(
    probabilities: Tensor, truth: Tensor, *, smooth: float = 1.0, squared: bool = False
) -> Tensor:
    """Dice of each class, with probabilities in place of a decision.

        (2 Σ p g + smooth) / (Σ p + Σ g + smooth),  sums over all pixels of the batch

    With p = 0 or 1 this is Dice. Unlike Dice it has a gradient.

    Args:
        probabilities: p, (N, K, H, W) from 0 to 1.
        truth: g, the same shape, 1 in the pixels of the class and 0 elsewhere.
        smooth: See above.
        squared: Whether the denominator has p² and g² (V-Net).

    Returns:
        One number for each class, (K,).

    Raises:
        ValueError: The shapes differ.
    """
    if probabilities.ndim != 4 or probabilities.shape != truth.shape:
        raise ValueError(
            "probabilities and truth must both have shape (N, K, H, W); got "
            f"{tuple(probabilities.shape)} and {tuple(truth.shape)}"
        )
    pixels = (0, 2, 3)
    common = (probabilities * truth).sum(dim=pixels)
    power = 2 if squared else 1
    both = (probabilities**power).sum(dim=pixels) + (truth**power).sum(dim=pixels)
    return (2 * common + smooth) / (both + smooth)


def weighted_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, *, ignore_index: int = IGNORED
) -> Tensor:
    """Cross-entropy with a weight for every pixel: Σ w(x) (-log p(x)) / Σ w(x).

    Equation 1 of the U-Net paper, with the minus sign that is missing there, as a weighted mean: so
    the learning rate does not depend on the size of the picture.

    Args:
        logits: Raw scores (N, K, H, W).
        labels: Classes (N, H, W), int64.
        weights: w, (N, H, W), at least 0; see `weight_map`.
        ignore_index: Pixels with this label do not count.

    Returns:
        The loss, a scalar; 0 if all weights are 0.

    Raises:
        ValueError: Shapes do not fit or a label is out of range.

    Reference: Ronneberger et al., arXiv:1505.04597, section 3, equation 1.
    """
    _check(logits, labels, logits.shape[1] if logits.ndim == 4 else 0, ignore_index)
    if weights.shape != labels.shape:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} need weights of the same shape; got "
            f"{tuple(weights.shape)}"
        )
    of_pixels = F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")
    weights = weights * (labels != ignore_index)
    total = weights.sum()
    return (weights * of_pixels).sum() / torch.where(total > 0, total, 1)


def class_weights(labels: Tensor, num_classes: int, *, ignore_index: int = IGNORED) -> Tensor:
    """Weights that give every class the same say: all pixels / (classes there · its pixels).

    Args:
        labels: Classes of the pixels, int64 of any shape.
        num_classes: K.
        ignore_index: Pixels with this label do not count.

    Returns:
        Weights (K,), float32, for `torch.nn.functional.cross_entropy(weight=...)`. A class without
        a pixel has weight 0; the mean weight over all pixels is 1.

    Raises:
        ValueError: A label is out of range.
    """
    counts = _counted(labels, num_classes, ignore_index).bincount(minlength=num_classes).double()
    there = (counts > 0).sum()
    weights = counts.sum() / (there * counts)
    return torch.where(counts > 0, weights, 0.0).float()


def weight_map(
    objects: Tensor,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    balanced: bool = True,
    everywhere: bool = False,
) -> Tensor:
    """Weights of the U-Net paper: narrow gaps between two objects count most.

        w(x) = w_c(x) + w0 · exp(-(d1(x) + d2(x))² / (2 σ²))

    d1 and d2 are the distances of pixel x to the nearest and to the second nearest object, w_c
    balances the classes. Two cells that touch become one in the answer if a few pixels between them
    are wrong; in the mean over all pixels these few would hardly count.

    The paper puts the second term on every pixel. Here it is on background pixels only, the gaps
    that the network is to learn, unless `everywhere` asks for all.

    Args:
        objects: Number of the object that each pixel belongs to, int64 (H, W), 0 for background;
            or the objects' masks, bool (M, H, W).
        w0: Weight of the gaps.
        sigma: Width of a gap that still counts, in pixels.
        balanced: Whether w_c is `class_weights` of "object" and "background"; otherwise it is 1.
        everywhere: Whether the second term is on the pixels of objects, too.

    Returns:
        Weights (H, W), float32. With fewer than two objects there is no gap: w = w_c.

    Raises:
        ValueError: `objects` has another shape, or `sigma` is not above 0.

    Reference: Ronneberger et al., arXiv:1505.04597, section 3, equation 2 (w0 = 10, σ ≈ 5 pixels).
    """
    if objects.ndim not in (2, 3):
        raise ValueError(
            "objects must have shape (H, W) with numbers or (M, H, W) with masks; got "
            f"{tuple(objects.shape)}"
        )
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be a number above 0; got {sigma!r}")
    if objects.ndim == 2:
        numbers = objects.unique()
        masks = objects == numbers[numbers != 0].view(-1, 1, 1)
    else:
        masks = objects != 0
        masks = masks[masks.flatten(1).any(dim=1)]
    inside = masks.any(dim=0)
    w = class_weights(inside.long(), 2)[inside.long()] if balanced else torch.ones(inside.shape)
    w = w.to(inside.device)
    if len(masks) < 2:
        return w
    # scipy gives the distance to the nearest zero: of the pixels outside an object to that object.
    outside = ~masks.cpu().numpy()
    distances = np.stack([distance_transform_edt(mask) for mask in outside])  # (M, H, W)
    d1, d2 = np.partition(distances, 1, axis=0)[:2]
    gap = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    gap = torch.from_numpy(gap).float().to(inside.device)
    return w + (gap if everywhere else gap * ~inside)


# --- measures ----------------------------------------------------------------------------------


def confusion(
    predictions: Tensor, labels: Tensor, num_classes: int, *, ignore_index: int = IGNORED
) -> Tensor:
    """How many pixels of each true class were given to each class.

    Tables of batches may be added up, which is what a measure over a data set needs: the IoU of
    all pixels is not the mean of the batches' IoUs.

    Args:
        predictions: Predicted classes, int64 of any shape; argmax of the logits, not the logits.
        labels: True classes, the same shape.
        num_classes: K.
        ignore_index: Pixels with this label do not count.

    Returns:
        Table (K, K), int64: rows are true classes, columns predictions.

    Raises:
        ValueError: The shapes differ, or a class is out of range.
    """
    if predictions.shape != labels.shape:
        raise ValueError(
            f"predictions and labels must have the same shape; got {tuple(predictions.shape)} and "
            f"{tuple(labels.shape)} (of logits take the argmax over the classes first)"
        )
    counted = labels != ignore_index
    truth = _counted(labels, num_classes, ignore_index)
    predicted = _in_range(predictions[counted], num_classes, "predictions")
    pairs = truth * num_classes + predicted
    return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)


def class_iou(table: Tensor) -> Tensor:
    """IoU of each class: right pixels / pixels that are the class or were taken for it.

    Args:
        table: Table (K, K) of `confusion`.

    Returns:
        IoU (K,), float64, from 0 to 1. NaN for a class that is in neither the truth nor the
        predictions: 0 would punish and 1 reward an answer to a question that was not asked.

    Raises:
        ValueError: The table is not square.
    """
    right, truth, predicted = _margins(table)
    return right / (truth + predicted - right)  # 0 / 0 is NaN


def class_dice(table: Tensor) -> Tensor:
    """Dice of each class, (K,), float64: the F1 score of its pixels; NaN as in `class_iou`.

    Args:
        table: Table (K, K) of `confusion`.

    Raises:
        ValueError: The table is not square.
    """
    right, truth, predicted = _margins(table)
    return 2 * right / (truth + predicted)


def mean_iou(table: Tensor) -> float:
    """Mean IoU (mIoU) over the classes that are there, in the truth or in the predictions.

    Args:
        table: Table (K, K) of `confusion`.

    Returns:
        From 0 to 1; NaN for an empty table.

    Raises:
        ValueError: The table is not square.
    """
    return class_iou(table).nanmean().item()


def pixel_accuracy(table: Tensor) -> float:
    """Share of right pixels; high for a network that says "background" everywhere.

    Args:
        table: Table (K, K) of `confusion`.

    Returns:
        From 0 to 1; NaN for an empty table.

    Raises:
        ValueError: The table is not square.
    """
    right, truth, _ = _margins(table)
    return (right.sum() / truth.sum()).item()


# --- checks ------------------------------------------------------------------------------------


def _check(logits: Tensor, labels: Tensor, classes: int, ignore_index: int) -> None:
    fits = logits.ndim == 4 and tuple(labels.shape) == (len(logits), *logits.shape[2:])
    if not fits:
        raise ValueError(
            "logits (N, K, H, W) need labels (N, H, W); got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    _counted(labels, classes, ignore_index)


def _counted(labels: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """The labels that count, in one row."""
    return _in_range(labels[labels != ignore_index], num_classes, "labels")


def _in_range(classes: Tensor, num_classes: int, what: str) -> Tensor:
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise ValueError(f"{what} must be class indices (int64); got {classes.dtype}")
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise ValueError(
            f"{what} must be from 0 to {num_classes - 1}; got {int(classes.min())} to "
            f"{int(classes.max())}"
        )
    return classes.long()


def _margins(table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Diagonal, sums of rows and sums of columns, float64."""
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"the table must have shape (K, K); got {tuple(table.shape)}")
    table = table.double()
    return table.diagonal(), table.sum(dim=1), table.sum(dim=0)
