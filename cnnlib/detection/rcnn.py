"""R-CNN (2014) as it was: a network for features, then SVMs, then ridge regression.

    picture ── proposals ── warped crops ── network ── features ─┬─ a linear SVM for each class
               about 2,000   227 × 227       2,000 times         └─ a box regression for each class

Nothing here is trained end to end. The network is fine-tuned as a classifier of crops. Then it is
frozen, its features are stored, and the two last stages are fitted to them one after the other, by
methods that have a unique best answer. So R-CNN needs three trainings and a disk, and each region
its own pass through the network: 47 seconds a picture with VGG-16 on the graphics card of the day
(Fast R-CNN, table 4). What came after it is the history of removing these parts.

What is different here. The SVMs are scikit-learn's with the squared hinge loss, whose optimum is
found without random steps; the released code has the plain hinge. Everything fits into memory.

Reference: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", arXiv:1311.2524; section 2, appendices A (crops), B (which regions count as what)
and C (box regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from cnnlib.detection.boxes import (
    box_iou,
    clip_boxes_to_image,
    decode_boxes,
    encode_boxes,
    remove_small_boxes,
)
from cnnlib.detection.nms import batched_nms

# --- crops and features ------------------------------------------------------------------------


def warp_crops(
    image: Tensor, boxes: Tensor, size: int = 227, context: int = 16, fill: float | None = None
) -> Tensor:
    """Cut out each box with something around it and stretch it to a square.

    Height and width are stretched independently, so a tall box becomes a fat picture. That looks
    odd and worked best (appendix A).

    Args:
        image: Picture (C, H, W).
        boxes: Boxes (n, 4) in pixels of the picture.
        size: Side of the crops.
        context: So many pixels on each side *of the crop* show what lies around the box.
        fill: Value of what lies outside the picture; by default the mean of each channel.

    Returns:
        Crops (n, C, size, size), read off by bilinear interpolation.

    Raises:
        ValueError: A shape does not fit, or the context leaves nothing for the box.
    """
    if image.ndim != 3 or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"image must have shape (C, H, W) and boxes (n, 4); got {tuple(image.shape)} and "
            f"{tuple(boxes.shape)}"
        )
    if not 0 <= 2 * context < size:
        raise ValueError(f"a crop of {size} pixels has no room for {context} on each side")
    channels, height, width = image.shape
    outside = image.mean(dim=(1, 2)) if fill is None else image.new_full((channels,), fill)
    x1, y1, x2, y2 = boxes.to(image.dtype).unbind(1)
    # Places in the box, as shares of its side: 0 to 1 for its own pixels, beyond for the context.
    place = torch.arange(size, dtype=image.dtype, device=image.device) + 0.5 - context
    place = place / (size - 2 * context)
    x = x1[:, None] + place * (x2 - x1)[:, None]  # (n, size), in pixels of the picture
    y = y1[:, None] + place * (y2 - y1)[:, None]
    grid = torch.stack(
        [
            (2 * x / width - 1)[:, None, :].expand(-1, size, -1),
            (2 * y / height - 1)[:, :, None].expand(-1, -1, size),
        ],
        dim=-1,
    )  # (n, size, size, 2), from -1 to 1 as grid_sample wants it
    shifted = (image - outside[:, None, None]).expand(len(boxes), -1, -1, -1)
    crops = F.grid_sample(shifted, grid, padding_mode="zeros", align_corners=False)
    return crops + outside[:, None, None]


@torch.no_grad()
def region_features(
    image: Tensor,
    boxes: Tensor,
    network: nn.Module,
    *,
    size: int = 227,
    context: int = 16,
    batch_size: int = 256,
) -> Tensor:
    """Send every region through the network on its own: the step that makes R-CNN slow.

    Args:
        image: Picture (C, H, W).
        boxes: Regions (n, 4).
        network: Maps crops (N, C, size, size) to features (N, D). It is put into eval mode.
        size: As in `warp_crops`.
        context: As in `warp_crops`.
        batch_size: Crops for each pass.

    Returns:
        Features (n, D).
    """
    network.eval()
    parts = [
        network(warp_crops(image, some, size, context))
        for some in boxes.split(batch_size)  # of no box, one batch of none
    ]
    return torch.cat(parts)


@dataclass(frozen=True)
class DescribedRegions:
    """The regions of one training picture: what the SVMs and the regressions are fitted to.

    Attributes:
        boxes: The objects of the picture, then its proposals, (n, 4).
        features: Features (n, D).
        overlaps: The largest IoU of each region with an object of each class (n, K).
        classes: Class (n,) of the regions that are objects themselves, 0 for proposals.
        goals: The object that each region overlaps most, (n, K, 4), for each class.
    """

    boxes: Tensor
    features: Tensor
    overlaps: Tensor
    classes: Tensor
    goals: Tensor


def describe_regions(
    image: Tensor,
    proposals: Tensor,
    boxes: Tensor,
    labels: Tensor,
    network: nn.Module,
    num_classes: int,
    *,
    size: int = 227,
    context: int = 16,
) -> DescribedRegions:
    """Compute the features of a training picture once, and what its regions are good for.

    Args:
        image: Picture (C, H, W).
        proposals: Regions (n, 4).
        boxes: Objects (G, 4).
        labels: Their classes (G,), from 1 to K.
        network: As in `region_features`.
        num_classes: Number of classes, with background as class 0: K + 1.
        size: As in `warp_crops`.
        context: As in `warp_crops`.

    Returns:
        The described regions, objects first.
    """
    regions = torch.cat([boxes, proposals])
    iou = box_iou(regions, boxes)  # (n, G)
    overlaps = iou.new_zeros(len(regions), num_classes - 1)
    goals = regions[:, None].repeat(1, num_classes - 1, 1)
    for label in labels.unique().tolist():
        members = torch.nonzero(labels == label).squeeze(1)
        overlaps[:, label - 1], nearest = iou[:, members].max(dim=1)
        goals[:, label - 1] = boxes[members[nearest]]
    classes = torch.cat([labels, labels.new_zeros(len(proposals))])
    features = region_features(image, regions, network, size=size, context=context)
    return DescribedRegions(regions, features, overlaps, classes, goals)


# --- a linear SVM for each class ---------------------------------------------------------------


@dataclass(frozen=True)
class LinearScores:
    """What the trained SVMs are: a matrix and a vector.

    Attributes:
        weight: Weights (K, D).
        bias: Thresholds (K,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Scores (n, K) of features (n, D); above 0 means yes, -1 to 1 is the margin."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class MiningRound:
    """What happened in one round of hard negative mining.

    Attributes:
        used: Negatives that the SVM was trained on.
        found: Negatives elsewhere that it got wrong or nearly so.
    """

    used: int
    found: int


def train_svm(
    positives: Tensor,
    negatives: Tensor,
    *,
    penalty: float = 1e-3,
    positive_weight: float = 2.0,
    start: int = 500,
    rounds: int = 10,
    seed: int = 0,
) -> tuple[Tensor, float, list[MiningRound]]:
    """Train one linear SVM with hard negative mining.

    There are far more negatives than are needed, and most are easy. So train on a few, look where
    the SVM is wrong among all, and train again with those. Negatives that lie safely on the right
    side do not change an SVM. So when no hard one is left outside, the result is that of training
    on all of them.

    Args:
        positives: Features (P, D) of objects of the class.
        negatives: Features (Q, D) of regions that are none.
        penalty: What an example in the margin costs, LinearSVC's C. 0.001 in the released code.
        positive_weight: How much more a positive counts; 2 in the released code.
        start: Negatives of the first round, drawn at random.
        rounds: At most so many.
        seed: Of the draw.

    Returns:
        Weights (D,), bias, and what happened in each round.

    Raises:
        ValueError: There is no positive or no negative.

    Reference: arXiv:1311.2524, section 2.3; the method is that of Felzenszwalb et al. (2010).
    """
    if len(positives) == 0 or len(negatives) == 0:
        raise ValueError(
            f"an SVM needs examples of both kinds; got {len(positives)} positives and "
            f"{len(negatives)} negatives"
        )
    yes, no = positives.double().cpu().numpy(), negatives.double().cpu().numpy()
    used = np.zeros(len(no), dtype=bool)
    used[np.random.default_rng(seed).permutation(len(no))[:start]] = True
    history = []
    svm = LinearSVC(
        C=penalty,
        class_weight={1: positive_weight, 0: 1.0},
        dual=False,
        tol=1e-6,
        intercept_scaling=10.0,  # the bias is penalised, too; this makes it nearly free
    )
    for _ in range(rounds):
        examples = np.concatenate([yes, no[used]])
        svm.fit(examples, np.repeat([1, 0], [len(yes), int(used.sum())]))
        scores = svm.decision_function(no)
        hard = (scores > -1) & ~used
        history.append(MiningRound(int(used.sum()), int(hard.sum())))
        if not hard.any():
            break
        used = hard | (used & (scores > -1.2))  # safely right: forgotten, to keep the set small
    weight = torch.from_numpy(svm.coef_[0]).to(positives)
    return weight, float(svm.intercept_[0]), history


def train_svms(
    pictures: Sequence[DescribedRegions],
    *,
    negative_below: float = 0.3,
    penalty: float = 1e-3,
    rounds: int = 10,
    seed: int = 0,
) -> tuple[LinearScores, list[list[MiningRound]]]:
    """Train the SVMs of all classes.

    Positive is an object itself, and nothing else. Negative is a region that overlaps every object
    of the class by less than `negative_below`. What lies between is not used. (For fine-tuning the
    network, IoU ≥ 0.5 was positive; appendix B explains why the two rules differ.)

    Args:
        pictures: The described regions of each training picture.
        negative_below: 0.3 was the best of 0, 0.1, …, 0.5 (section 2.3).
        penalty: As in `train_svm`.
        rounds: As in `train_svm`.
        seed: As in `train_svm`.

    Returns:
        The SVMs, and the rounds of mining of each class. A class without an object never fires:
        its weights are 0 and its bias -1.

    Raises:
        ValueError: There is no picture, or a class has no negative.
    """
    if not pictures:
        raise ValueError("there must be at least one picture to train on")
    features = torch.cat([picture.features for picture in pictures])
    overlaps = torch.cat([picture.overlaps for picture in pictures])
    classes = torch.cat([picture.classes for picture in pictures])
    num_classes = overlaps.shape[1]
    weight = features.new_zeros(num_classes, features.shape[1])
    bias = features.new_full((num_classes,), -1.0)
    histories: list[list[MiningRound]] = []
    for column in range(num_classes):
        positives = features[classes == column + 1]
        history: list[MiningRound] = []
        if len(positives):
            weight[column], bias[column], history = train_svm(
                positives,
                features[overlaps[:, column] < negative_below],
                penalty=penalty,
                rounds=rounds,
                seed=seed,
            )
        histories.append(history)
    return LinearScores(weight, bias), histories


# --- a box regression for each class -----------------------------------------------------------


def ridge_regression(
    features: Tensor, goals: Tensor, penalty: float = 1000.0
) -> tuple[Tensor, Tensor]:
    """Minimise ‖goals - features · weight - bias‖² + penalty ‖weight‖², in closed form.

    Args:
        features: Features (n, D).
        goals: Numbers to predict (n, m).
        penalty: λ. Large, because there are few pairs and many features; 1000 in the paper.

    Returns:
        Weight (D, m) and bias (m,). The bias is not penalised.

    Raises:
        ValueError: There are no pairs, numbers of rows differ, or the penalty is negative.

    Reference: arXiv:1311.2524, appendix C, equation 5.
    """
    if len(features) == 0 or len(features) != len(goals):
        raise ValueError(f"{len(features)} rows of features do not fit {len(goals)} of goals")
    if not penalty >= 0:
        raise ValueError(f"penalty must not be negative; got {penalty}")
    x, t = features.double(), goals.double()
    x_mean, t_mean = x.mean(dim=0), t.mean(dim=0)
    x, t = x - x_mean, t - t_mean  # what is left is explained without a bias
    # (XᵀX + λ)⁻¹ Xᵀ = Xᵀ (XXᵀ + λ)⁻¹, so the smaller of the two systems will do.
    few = len(x) < x.shape[1] and penalty > 0
    gram = x @ x.T if few else x.T @ x
    gram.diagonal().add_(penalty)
    weight = x.T @ torch.linalg.solve(gram, t) if few else torch.linalg.solve(gram, x.T @ t)
    bias = t_mean - x_mean @ weight
    return weight.to(features), bias.to(features)


@dataclass(frozen=True)
class BoxRegressions:
    """Four linear functions for each class: from features to (t_x, t_y, t_w, t_h).

    Attributes:
        weight: Weights (K, D, 4).
        bias: Biases (K, 4).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Better boxes (n, K, 4), one for each class, from features (n, D) and boxes (n, 4)."""
        deltas = torch.einsum("nd,kdm->nkm", features, self.weight) + self.bias
        return decode_boxes(deltas, boxes[:, None])


def train_box_regressions(
    pictures: Sequence[DescribedRegions], *, penalty: float = 1000.0, min_iou: float = 0.6
) -> BoxRegressions:
    """Learn to move a box that is nearly right to where the object is.

    Only proposals near an object are shown: from one far away, nobody could tell where to go.

    Args:
        pictures: The described regions of each training picture.
        penalty: λ of the ridge regression.
        min_iou: Pairs of proposal and object must overlap by more than this.

    Returns:
        The regressions. Those of a class without a pair leave boxes as they are.

    Raises:
        ValueError: There is no picture.

    Reference: arXiv:1311.2524, appendix C.
    """
    if not pictures:
        raise ValueError("there must be at least one picture to train on")
    features, boxes, overlaps, classes, goals = (
        torch.cat([getattr(picture, what) for picture in pictures])
        for what in ("features", "boxes", "overlaps", "classes", "goals")
    )
    num_classes = overlaps.shape[1]
    weight = features.new_zeros(num_classes, features.shape[1], 4)
    bias = features.new_zeros(num_classes, 4)
    for column in range(num_classes):
        # An object is no proposal of itself: there would be nothing to learn.
        near = (overlaps[:, column] > min_iou) & (classes == 0)
        if near.any():
            deltas = encode_boxes(goals[near, column], boxes[near])
            weight[column], bias[column] = ridge_regression(features[near], deltas, penalty)
    return BoxRegressions(weight, bias)


# --- detection ---------------------------------------------------------------------------------


def rcnn_detect(
    features: Tensor,
    boxes: Tensor,
    svms: LinearScores,
    regressions: BoxRegressions | None,
    image_size: tuple[int, int],
    *,
    score_threshold: float = -1.0,
    nms_threshold: float = 0.3,
    limit: int = 100,
    box_features: Tensor | None = None,
) -> dict[str, Tensor]:
    """Turn the features of the proposals of one picture into detections.

    Args:
        features: Features (n, D).
        boxes: Proposals (n, 4).
        svms: The SVMs.
        regressions: The box regressions; None leaves the proposals as they are.
        image_size: (H, W); boxes are cut off there.
        score_threshold: Lower scores are dropped. -1 is the far side of the SVM's margin.
        nms_threshold: Boxes that overlap a better one of the same class by more are dropped.
        limit: Keep the best so many.
        box_features: Features (n, D') for the regressions, if they have their own: the paper gives
            them those of the last convolution and the SVMs those of a fully connected layer.

    Returns:
        "boxes" (D, 4), "scores" (D,) and "labels" (D,), best first. Scores are no probabilities.

    Reference: arXiv:1311.2524, section 2.2.
    """
    scores = svms(features)  # (n, K)
    if regressions is None:
        moved = boxes[:, None].expand(-1, scores.shape[1], -1)
    else:
        moved = regressions(features if box_features is None else box_features, boxes)
    moved = clip_boxes_to_image(moved, image_size)
    region, column = torch.nonzero(scores > score_threshold, as_tuple=True)
    moved, scores, labels = moved[region, column], scores[region, column], column + 1
    large = remove_small_boxes(moved, min_size=1.0)
    moved, scores, labels = moved[large], scores[large], labels[large]
    kept = batched_nms(moved, scores, labels, nms_threshold)[:limit]
    return {"boxes": moved[kept], "scores": scores[kept], "labels": labels[kept]}
