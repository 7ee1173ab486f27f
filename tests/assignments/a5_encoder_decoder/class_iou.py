"""Answers to a5_encoder_decoder, task 10."""

import math

import torch


def refuse_iou(predicted, labels):
    if predicted.shape != labels.shape:
        raise ValueError("shapes")


def counts_of(predicted, labels, num_classes, ignore_index):
    """Pixels in common, predicted and labelled of each class."""
    keep = labels != ignore_index
    predicted, labels = predicted[keep], labels[keep]
    common, said, true = [], [], []
    for c in range(num_classes):
        common.append(((predicted == c) & (labels == c)).sum())
        said.append((predicted == c).sum())
        true.append((labels == c).sum())
    return [torch.tensor(counts, dtype=torch.float32) for counts in (common, said, true)]


def mean_of(values):
    return sum(values) / len(values) if values else math.nan


def right_loop(predicted, labels, num_classes, ignore_index=255):
    """Class by class, NaN by hand."""
    refuse_iou(predicted, labels)
    keep = labels != ignore_index
    ious = []
    for c in range(num_classes):
        a, b = (predicted == c) & keep, (labels == c) & keep
        union = (a | b).sum().item()
        ious.append((a & b).sum().item() / union if union else math.nan)
    return torch.tensor(ious), mean_of([iou for iou in ious if not math.isnan(iou)])


def right_one_hot(predicted, labels, num_classes, ignore_index=255):
    """Maps of all classes at once; the mean over what is not NaN."""
    refuse_iou(predicted, labels)
    classes = torch.arange(num_classes).reshape(-1, 1, 1, 1)
    keep = labels.ne(ignore_index)
    a, b = (predicted == classes) & keep, (labels == classes) & keep
    common = (a & b).flatten(1).sum(1, dtype=torch.float32)
    iou = common / (a | b).flatten(1).sum(1)
    return iou, float(iou[~iou.isnan()].mean())


def right_confusion(predicted, labels, num_classes, ignore_index=255):
    """A matrix of pairs, pixel by pixel."""
    refuse_iou(predicted, labels)
    matrix = torch.zeros(num_classes, num_classes)
    for p, t in zip(predicted.flatten().tolist(), labels.flatten().tolist(), strict=True):
        if t != ignore_index:
            matrix[t, p] += 1
    common = matrix.diag()
    iou = common / (matrix.sum(0) + matrix.sum(1) - common)
    return iou, torch.nanmean(iou).item()


def wrong_absent_is_zero(predicted, labels, num_classes, ignore_index=255):
    """0/0 becomes 0, and pulls the mean down.

    Named: an absent class has no IoU
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common).clamp(min=1)
    return iou, iou.mean().item()


def wrong_epsilon(predicted, labels, num_classes, ignore_index=255):
    """An epsilon in the denominator: the same, hidden better."""
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common + 1e-9)
    return iou, iou.mean().item()


def wrong_absent_averaged(predicted, labels, num_classes, ignore_index=255):
    """NaN in the list, but the mean divides by all classes.

    Named: not averaged in as 0
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common)
    return iou, (iou.nansum() / num_classes).item()


def wrong_absent_is_one(predicted, labels, num_classes, ignore_index=255):
    """Nothing to find and nothing found: full marks.

    Named: NaN, not 1
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = (common / (said + true - common)).nan_to_num(1.0)
    return iou, iou.mean().item()


def wrong_nan_spreads(predicted, labels, num_classes, ignore_index=255):
    """The mean of everything, NaN included.

    Named: the mean leaves NaN out
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common)
    return iou, iou.mean().item()


def wrong_present_in_labels(predicted, labels, num_classes, ignore_index=255):
    """A class that is claimed but not there is left out.

    Named: class 2 was predicted, and wrongly
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = torch.where(true > 0, common / (said + true - common), math.nan)
    return iou, iou.nanmean().item()


def wrong_zeros_left_out(predicted, labels, num_classes, ignore_index=255):
    """Averages what is greater than 0.

    Named: its IoU is 0, which counts
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common)
    return iou, mean_of([value for value in iou.tolist() if value > 0])


def wrong_predicted_on_ignored(predicted, labels, num_classes, ignore_index=255):
    """Predictions on ignored pixels are in the union.

    Named: pixels with ignore_index do not count
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, -12345)
    iou = common / (said + true - common)
    return iou, iou.nanmean().item()


def wrong_ignored_is_background(predicted, labels, num_classes, ignore_index=255):
    """Ignored pixels become class 0."""
    refuse_iou(predicted, labels)
    labels = torch.where(labels == ignore_index, 0, labels)
    common, said, true = counts_of(predicted, labels, num_classes, -12345)
    iou = common / (said + true - common)
    return iou, iou.nanmean().item()


def wrong_always_255(predicted, labels, num_classes, ignore_index=255):
    """Ignores ignore_index."""
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, 255)
    iou = common / (said + true - common)
    return iou, iou.nanmean().item()


def wrong_dice(predicted, labels, num_classes, ignore_index=255):
    """Twice the common pixels over the sum.

    Named: this is the Dice coefficient
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = 2 * common / (said + true)
    return iou, iou.nanmean().item()


def wrong_recall(predicted, labels, num_classes, ignore_index=255):
    """Common pixels over labelled ones.

    Named: this is the recall
    """
    refuse_iou(predicted, labels)
    common, _, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / true
    return iou, iou.nanmean().item()


def wrong_union_counts_twice(predicted, labels, num_classes, ignore_index=255):
    """The sum in the place of the union.

    Named: the common pixels are in the union once
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true)
    return iou, iou.nanmean().item()


def wrong_each_picture(predicted, labels, num_classes, ignore_index=255):
    """IoU of each picture, then the mean.

    Named: this is the mean of the IoU of each picture
    """
    refuse_iou(predicted, labels)
    rows = []
    for p, t in zip(predicted, labels, strict=True):
        common, said, true = counts_of(p, t, num_classes, ignore_index)
        rows.append(common / (said + true - common))
    iou = torch.stack(rows).nanmean(0)
    return iou, iou.nanmean().item()


def wrong_accuracy(predicted, labels, num_classes, ignore_index=255):
    """The mean is the share of right pixels."""
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    keep = labels != ignore_index
    share = (predicted[keep] == labels[keep]).float().mean().item()
    return common / (said + true - common), share


def wrong_weighted_mean(predicted, labels, num_classes, ignore_index=255):
    """Large classes weigh more."""
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common)
    return iou, ((iou.nan_to_num(0) * true).sum() / true.sum()).item()


def wrong_mean_as_tensor(predicted, labels, num_classes, ignore_index=255):
    """The mean as a tensor.

    Named: .item() turns a tensor of one value into a number
    """
    refuse_iou(predicted, labels)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common)
    return iou, iou.nanmean()


def wrong_broadcasts(predicted, labels, num_classes, ignore_index=255):
    """Takes labels of another shape and stretches them.

    Named: expected a ValueError
    """
    labels = labels.expand_as(predicted)
    common, said, true = counts_of(predicted, labels, num_classes, ignore_index)
    iou = common / (said + true - common)
    return iou, iou.nanmean().item()
