"""Answers to a7_detection, task 8."""

import torch


def refuse_loss(logits, labels, beta):
    if beta <= 0 or len(labels) == 0 or len(labels) != len(logits):
        raise ValueError("beta, labels")


def class_losses(logits, labels):
    """-ln p of the true class, (R,)."""
    return -logits.log_softmax(1)[torch.arange(len(labels)), labels]


def smooth(z, beta):
    z = z.abs()
    return torch.where(z < beta, z * z / (2 * beta), z - beta / 2)


def own_errors(deltas, labels, targets):
    """What the true class is off by, for the objects only: (objects, 4)."""
    rows = (labels > 0).nonzero().squeeze(1)
    return deltas[rows, labels[rows]] - targets[rows]


def right_by_hand(logits, deltas, labels, targets, beta=1.0):
    """The softmax written out in logarithms."""
    refuse_loss(logits, labels, beta)
    own = logits.gather(1, labels[:, None]).squeeze(1)
    class_loss = (torch.logsumexp(logits, dim=1) - own).mean()
    return class_loss, smooth(own_errors(deltas, labels, targets), beta).sum() / len(labels)


def right_masked(logits, deltas, labels, targets, beta=1.0):
    """Own numbers by gather; what is no object is replaced, not multiplied by 0."""
    refuse_loss(logits, labels, beta)
    own = deltas.gather(1, labels[:, None, None].expand(-1, 1, 4)).squeeze(1)
    is_object = (labels > 0)[:, None]
    error = torch.where(is_object, own - targets.nan_to_num(), torch.zeros_like(own)).abs()
    near = error.clamp(max=beta)
    # The parabola up to beta, and a line of slope 1 behind it.
    box = near**2 / (2 * beta) + (error - near)
    return class_losses(logits, labels).mean(), box.sum(1).mean()


def right_loop(logits, deltas, labels, targets, beta=1.0):
    """One RoI after the other."""
    refuse_loss(logits, labels, beta)
    class_loss, box_loss = logits.new_zeros(()), 0.0 * deltas.sum()
    for n, label in enumerate(labels.tolist()):
        class_loss = class_loss - logits[n].log_softmax(0)[label]
        if label > 0:
            for t, v in zip(deltas[n, label], targets[n], strict=True):
                z = (t - v).abs()
                box_loss = box_loss + (z**2 / 2 / beta if z < beta else z - beta / 2)
    return class_loss / len(labels), box_loss / len(labels)


def wrong_background_has_a_box(logits, deltas, labels, targets, beta=1.0):
    """The box loss of all RoIs.

    Named: background has no box
    """
    refuse_loss(logits, labels, beta)
    error = deltas[torch.arange(len(labels)), labels] - targets
    return class_losses(logits, labels).mean(), smooth(error, beta).sum() / len(labels)


def wrong_mean_over_objects(logits, deltas, labels, targets, beta=1.0):
    """Divides by the number of objects.

    Named: not by the objects among them
    """
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas, labels, targets), beta).sum()
    return class_losses(logits, labels).mean(), box / (labels > 0).sum().clamp(min=1)


def wrong_mean_over_numbers(logits, deltas, labels, targets, beta=1.0):
    """The mean over the four numbers.

    Named: not their mean
    """
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas, labels, targets), beta).mean(1).sum()
    return class_losses(logits, labels).mean(), box / len(labels)


def wrong_all_classes(logits, deltas, labels, targets, beta=1.0):
    """Trains the boxes of all classes.

    Named: not those of all classes
    """
    refuse_loss(logits, labels, beta)
    rows = labels > 0
    box = smooth(deltas[rows] - targets[rows][:, None], beta).sum()
    return class_losses(logits, labels).mean(), box / len(labels)


def wrong_class_before(logits, deltas, labels, targets, beta=1.0):
    """Believes that the background has no four numbers.

    Named: not u - 1
    """
    refuse_loss(logits, labels, beta)
    rows = labels > 0
    error = deltas[rows, labels[rows] - 1] - targets[rows]
    return class_losses(logits, labels).mean(), smooth(error, beta).sum() / len(labels)


def wrong_l1(logits, deltas, labels, targets, beta=1.0):
    """Not smooth.

    Named: this is L1
    """
    refuse_loss(logits, labels, beta)
    error = own_errors(deltas, labels, targets)
    return class_losses(logits, labels).mean(), error.abs().sum() / len(labels)


def wrong_squared(logits, deltas, labels, targets, beta=1.0):
    """L2, as in R-CNN.

    Named: this is the square
    """
    refuse_loss(logits, labels, beta)
    error = own_errors(deltas, labels, targets)
    return class_losses(logits, labels).mean(), error.square().sum() / len(labels)


def wrong_jump(logits, deltas, labels, targets, beta=1.0):
    """A line that does not meet the parabola.

    Named: so that it meets the parabola
    """
    refuse_loss(logits, labels, beta)
    error = own_errors(deltas, labels, targets).abs()
    box = torch.where(error < beta, error**2 / (2 * beta), error)
    return class_losses(logits, labels).mean(), box.sum() / len(labels)


def wrong_whole_square(logits, deltas, labels, targets, beta=1.0):
    """The parabola without its 2.

    Named: the 2 is missing
    """
    refuse_loss(logits, labels, beta)
    error = own_errors(deltas, labels, targets).abs()
    box = torch.where(error < beta, error**2 / beta, error - beta / 2)
    return class_losses(logits, labels).mean(), box.sum() / len(labels)


def wrong_classes_of_objects(logits, deltas, labels, targets, beta=1.0):
    """The class loss of objects only.

    Named: background is a class
    """
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas, labels, targets), beta).sum()
    return class_losses(logits, labels)[labels > 0].mean(), box / len(labels)


def wrong_sum_of_classes(logits, deltas, labels, targets, beta=1.0):
    """The class loss is not divided.

    Named: the class loss is divided by the number of RoIs
    """
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas, labels, targets), beta).sum()
    return class_losses(logits, labels).sum(), box / len(labels)


def wrong_added_up(logits, deltas, labels, targets, beta=1.0):
    """Returns their sum.

    Named: return the two losses one by one
    """
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas, labels, targets), beta).sum()
    return class_losses(logits, labels).mean() + box / len(labels)


def wrong_zero_times_nan(logits, deltas, labels, targets, beta=1.0):
    """Multiplies by a mask.

    Named: 0 times NaN is NaN
    """
    refuse_loss(logits, labels, beta)
    error = deltas[torch.arange(len(labels)), labels] - targets
    box = (smooth(error, beta) * (labels > 0)[:, None]).sum()
    return class_losses(logits, labels).mean(), box / len(labels)


def wrong_beta_ignored(logits, deltas, labels, targets, beta=1.0):
    """Always 1.

    Named: this is the loss for beta = 1
    """
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas, labels, targets), 1.0).sum()
    return class_losses(logits, labels).mean(), box / len(labels)


def wrong_huber(logits, deltas, labels, targets, beta=1.0):
    """Huber's loss, which is the same for beta = 1.

    Named: this is Huber's loss
    """
    refuse_loss(logits, labels, beta)
    box = beta * smooth(own_errors(deltas, labels, targets), beta).sum()
    return class_losses(logits, labels).mean(), box / len(labels)


def wrong_deltas_detached(logits, deltas, labels, targets, beta=1.0):
    """The box loss does not reach the deltas."""
    refuse_loss(logits, labels, beta)
    box = smooth(own_errors(deltas.detach(), labels, targets), beta).sum()
    return class_losses(logits, labels).mean(), box / len(labels)


def wrong_nothing_to_do(logits, deltas, labels, targets, beta=1.0):
    """The mean of nothing, where a batch holds no object."""
    refuse_loss(logits, labels, beta)
    error = own_errors(deltas, labels, targets)
    share = (labels > 0).double().mean()
    return class_losses(logits, labels).mean(), smooth(error, beta).sum(1).mean() * share


def wrong_any_beta(logits, deltas, labels, targets, beta=1.0):
    """Replaces a beta that makes no sense.

    Named: expected a ValueError
    """
    box = smooth(own_errors(deltas, labels, targets), max(beta, 1e-9)).sum()
    return class_losses(logits, labels).mean(), box / len(labels)
