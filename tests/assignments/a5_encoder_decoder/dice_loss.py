"""Answers to a5_encoder_decoder, task 9."""

import torch
import torch.nn.functional as F


def refuse_dice(logits, labels, smooth):
    if labels.ndim != 3 or logits[:, 0].shape != labels.shape:
        raise ValueError("shapes")
    if smooth <= 0:
        raise ValueError("smooth")


def targets_of(logits, labels, ignore_index):
    """One-hot targets (N, C, H, W), 0 for ignored pixels, and which pixels count (N, 1, H, W)."""
    classes = torch.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    counts = (labels != ignore_index)[:, None]
    return ((labels[:, None] == classes) & counts).to(logits.dtype), counts.to(logits.dtype)


def sums_of(p, t, axes=(0, 2, 3)):
    return (p * t).sum(axes), p.sum(axes), t.sum(axes)


def usual_loss(logits, labels, smooth, ignore_index):
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def right_masks(logits, labels, smooth=1.0, ignore_index=255):
    """Full maps; ignored pixels are multiplied by 0."""
    return usual_loss(logits, labels, smooth, ignore_index)


def right_class_by_class(logits, labels, smooth=1.0, ignore_index=255):
    """A loop over the classes; the loss as a mean of what is missing to 1."""
    refuse_dice(logits, labels, smooth)
    keep = labels != ignore_index
    p = logits.log_softmax(1).exp().transpose(0, 1)[:, keep]  # (C, pixels)
    missing = 0.0
    for c in range(len(p)):
        own = labels[keep] == c
        below = p[c].sum() + own.sum() + smooth
        missing = missing + (below - 2 * p[c][own].sum() - smooth) / below
    return missing / len(p)


def wrong_on_logits(logits, labels, smooth=1.0, ignore_index=255):
    """Dice of the logits themselves.

    Named: these are logits
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_sigmoid(logits, labels, smooth=1.0, ignore_index=255):
    """Each class for itself.

    Named: not a sigmoid for each of them
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.sigmoid() * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_softmax_twice(logits, labels, smooth=1.0, ignore_index=255):
    """A softmax of the softmax.

    Named: the softmax is applied once
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1).softmax(1) * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_softmax_over_pixels(logits, labels, smooth=1.0, ignore_index=255):
    """The last axis, where the classes of a classifier are.

    Named: the softmax goes over the classes of each pixel
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(-1) * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_softmax_over_batch(logits, labels, smooth=1.0, ignore_index=255):
    """Axis 0.

    Named: not over the batch
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(0) * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_argmax(logits, labels, smooth=1.0, ignore_index=255):
    """Decides first: nothing can be learned from that.

    Named: an argmax passes no gradient
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    decided = F.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    common, p, t = sums_of(decided * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_coefficient(logits, labels, smooth=1.0, ignore_index=255):
    """The Dice coefficient: training would make it small.

    Named: the loss is 1 minus it
    """
    return 1 - usual_loss(logits, labels, smooth, ignore_index)


def wrong_overlap_once(logits, labels, smooth=1.0, ignore_index=255):
    """Forgets the 2: a perfect answer has Dice 1/2.

    Named: the overlap counts twice
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - ((common + smooth) / (p + t + smooth)).mean()


def wrong_no_smooth(logits, labels, smooth=1.0, ignore_index=255):
    """Leaves smooth out.

    Named: smooth is missing
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - (2 * common / (p + t)).mean()


def wrong_smooth_below_only(logits, labels, smooth=1.0, ignore_index=255):
    """An epsilon against 0/0: absent classes get 0.

    Named: smooth belongs to the numerator too
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - (2 * common / (p + t + smooth)).mean()


def wrong_smooth_doubled(logits, labels, smooth=1.0, ignore_index=255):
    """Twice the sum of overlap and smooth."""
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - (2 * (common + smooth) / (p + t + smooth)).mean()


def wrong_all_classes_at_once(logits, labels, smooth=1.0, ignore_index=255):
    """One Dice of all sums: large classes rule.

    Named: one Dice coefficient for each class
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t, (0, 1, 2, 3))
    return 1 - (2 * common + smooth) / (p + t + smooth)


def wrong_each_picture(logits, labels, smooth=1.0, ignore_index=255):
    """A Dice for each picture, then the mean."""
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t, (2, 3))
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_squares(logits, labels, smooth=1.0, ignore_index=255):
    """The variant with squares below.

    Named: not its square
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    chances = logits.softmax(1) * counts
    common, _, t = sums_of(chances, t)
    return 1 - ((2 * common + smooth) / (chances.square().sum((0, 2, 3)) + t + smooth)).mean()


def wrong_iou(logits, labels, smooth=1.0, ignore_index=255):
    """Divides by the union.

    Named: this is 1 - IoU
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - ((common + smooth) / (p + t - common + smooth)).mean()


def wrong_ignored_in_the_sum_of_p(logits, labels, smooth=1.0, ignore_index=255):
    """Targets of ignored pixels are 0, but their probabilities count.

    Named: left out of the sum of p too
    """
    refuse_dice(logits, labels, smooth)
    t, _ = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1), t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_ignored_is_background(logits, labels, smooth=1.0, ignore_index=255):
    """Ignored pixels become class 0.

    Named: not to class 0
    """
    refuse_dice(logits, labels, smooth)
    known = torch.where(labels == ignore_index, 0, labels)
    t, _ = targets_of(logits, known, -12345)
    common, p, t = sums_of(logits.softmax(1), t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_always_255(logits, labels, smooth=1.0, ignore_index=255):
    """Ignores ignore_index."""
    return usual_loss(logits, labels, smooth, 255)


def wrong_present_classes_only(logits, labels, smooth=1.0, ignore_index=255):
    """Averages over the classes that occur.

    Named: an absent class counts like the others
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    dice = (2 * common + smooth) / (p + t + smooth)
    return 1 - dice[t > 0].mean() if (t > 0).any() else 1 - dice.mean()


def wrong_absent_is_right(logits, labels, smooth=1.0, ignore_index=255):
    """An absent class gets 1.

    Named: not as right
    """
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - torch.where(t > 0, (2 * common + smooth) / (p + t + smooth), 1.0).mean()


def wrong_without_background(logits, labels, smooth=1.0, ignore_index=255):
    """Leaves class 0 out."""
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth))[1:].mean()


def wrong_overflow(logits, labels, smooth=1.0, ignore_index=255):
    """exp() without taking the largest off."""
    refuse_dice(logits, labels, smooth)
    t, counts = targets_of(logits, labels, ignore_index)
    chances = logits.exp() / logits.exp().sum(1, keepdim=True)
    common, p, t = sums_of(chances * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()


def wrong_no_gradient(logits, labels, smooth=1.0, ignore_index=255):
    """The right number, taken out of the graph."""
    return usual_loss(logits.detach(), labels, smooth, ignore_index)


def wrong_a_number(logits, labels, smooth=1.0, ignore_index=255):
    """A float instead of a tensor.

    Named: expected a torch tensor
    """
    return usual_loss(logits, labels, smooth, ignore_index).item()


def wrong_nothing_refused(logits, labels, smooth=1.0, ignore_index=255):
    """Divides by nothing.

    Named: expected a ValueError
    """
    t, counts = targets_of(logits, labels, ignore_index)
    common, p, t = sums_of(logits.softmax(1) * counts, t)
    return 1 - ((2 * common + smooth) / (p + t + smooth)).mean()
