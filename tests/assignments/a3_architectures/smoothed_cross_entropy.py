"""Answers to a3_architectures, task 7."""

import torch
import torch.nn.functional as F


def refuse_smoothing(logits, labels, epsilon):
    if epsilon < 0 or epsilon >= 1:
        raise ValueError("epsilon")
    if labels.shape[0] != logits.shape[0]:
        raise ValueError("labels")


def right_with_targets(logits, labels, epsilon=0.1):
    """Writes the target distribution down."""
    refuse_smoothing(logits, labels, epsilon)
    classes = logits.shape[1]
    target = torch.full_like(logits.detach(), epsilon / classes)
    target[torch.arange(len(labels)), labels] += 1 - epsilon
    return -(target * F.log_softmax(logits, dim=1)).sum() / len(labels)


def right_with_logsumexp(logits, labels, epsilon=0.1):
    """log p = logit - logsumexp, so only the logits are averaged with the target."""
    if not (0 <= epsilon < 1):
        raise ValueError("not a share")
    if len(logits) != len(labels):
        raise ValueError("unequal")
    one_hot = F.one_hot(labels, logits.size(1)).to(logits.dtype)
    q = one_hot * (1 - epsilon) + epsilon / logits.size(1)
    return (logits.logsumexp(1) - (q * logits).sum(1)).mean()


def right_with_nll(logits, labels, epsilon=0.1):
    """Two losses: of the right class, and of the uniform distribution."""
    refuse_smoothing(logits, labels, epsilon)
    log_p = torch.log_softmax(logits, -1)
    return torch.lerp(F.nll_loss(log_p, labels), -log_p.mean(), epsilon)


def smoothing_loss(logits, labels, right, other):
    """Cross-entropy with these probabilities of the right class and of each other class."""
    target = torch.full_like(logits.detach(), other)
    target[torch.arange(len(labels)), labels] = right
    return -(target * F.log_softmax(logits, 1)).sum(1).mean()


def wrong_others_only(logits, labels, epsilon=0.1):
    """Spreads epsilon over the K - 1 other classes.

    Named: not over the K - 1 others
    """
    refuse_smoothing(logits, labels, epsilon)
    return smoothing_loss(logits, labels, 1 - epsilon, epsilon / (logits.shape[1] - 1))


def wrong_nothing_spread(logits, labels, epsilon=0.1):
    """Takes from the right class and gives to none.

    Named: must be spread over the classes
    """
    refuse_smoothing(logits, labels, epsilon)
    return smoothing_loss(logits, labels, 1 - epsilon, 0.0)


def wrong_epsilon_to_each(logits, labels, epsilon=0.1):
    """Gives epsilon to each class.

    Named: each class gets epsilon / K
    """
    refuse_smoothing(logits, labels, epsilon)
    return smoothing_loss(logits, labels, 1.0, epsilon)


def wrong_right_class_keeps_all(logits, labels, epsilon=0.1):
    """Spreads epsilon without taking it away.

    Named: the target sums to 1.2
    """
    refuse_smoothing(logits, labels, epsilon)
    return smoothing_loss(logits, labels, 1.0, epsilon / logits.shape[1])


def wrong_no_smoothing(logits, labels, epsilon=0.1):
    """The usual cross-entropy.

    Named: this is the usual cross-entropy
    """
    refuse_smoothing(logits, labels, epsilon)
    return smoothing_loss(logits, labels, 1.0, 0.0)


def wrong_shares_swapped(logits, labels, epsilon=0.1):
    """The share 1 - epsilon is spread.

    Named: the shares are swapped
    """
    refuse_smoothing(logits, labels, epsilon)
    spread = (1 - epsilon) / logits.shape[1]
    return smoothing_loss(logits, labels, epsilon + spread, spread)


def wrong_sign(logits, labels, epsilon=0.1):
    """Forgets the minus.

    Named: the sign is missing
    """
    spread = epsilon / logits.shape[1]
    return -smoothing_loss(logits, labels, 1 - epsilon + spread, spread)


def right_with_sum(logits, labels, epsilon=0.1):
    """One picture after the other."""
    refuse_smoothing(logits, labels, epsilon)
    losses = []
    for row, label in zip(F.log_softmax(logits, 1), labels, strict=True):
        losses.append(-(1 - epsilon) * row[label] - epsilon * row.sum() / len(row))
    return torch.stack(losses).mean()


def wrong_sum(logits, labels, epsilon=0.1):
    """Sums over the batch.

    Named: this is the sum over the batch
    """
    refuse_smoothing(logits, labels, epsilon)
    log_p = F.log_softmax(logits, 1)
    right = log_p[torch.arange(len(labels)), labels]
    return -((1 - epsilon) * right + epsilon * log_p.mean(1)).sum()


def wrong_mean_over_all(logits, labels, epsilon=0.1):
    """Averages over the classes as well.

    Named: average over the batch
    """
    refuse_smoothing(logits, labels, epsilon)
    log_p = F.log_softmax(logits, 1)
    target = (1 - epsilon) * F.one_hot(labels, logits.shape[1]) + epsilon / logits.shape[1]
    return -(target * log_p).mean() if len(labels) > 1 else -(target * log_p).sum()


def wrong_softmax_over_the_batch(logits, labels, epsilon=0.1):
    """The softmax goes down the columns.

    Named: the softmax goes over the classes
    """
    refuse_smoothing(logits, labels, epsilon)
    log_p = F.log_softmax(logits, 0 if len(logits) > 1 else 1)
    target = (1 - epsilon) * F.one_hot(labels, logits.shape[1]) + epsilon / logits.shape[1]
    return -(target * log_p).sum(1).mean()


def wrong_no_logarithm(logits, labels, epsilon=0.1):
    """Multiplies the target with the probabilities.

    Named: the logarithm of the softmax is missing
    """
    refuse_smoothing(logits, labels, epsilon)
    target = (1 - epsilon) * F.one_hot(labels, logits.shape[1]) + epsilon / logits.shape[1]
    return -(target * F.softmax(logits, 1)).sum(1).mean()


def wrong_softmax_twice(logits, labels, epsilon=0.1):
    """Applies the softmax before the logarithm of the softmax.

    Named: apply the softmax once
    """
    refuse_smoothing(logits, labels, epsilon)
    spread = epsilon / logits.shape[1]
    return smoothing_loss(logits.softmax(1), labels, 1 - epsilon + spread, spread)


def wrong_log_of_softmax(logits, labels, epsilon=0.1):
    """Takes the logarithm of a softmax that has become 0."""
    refuse_smoothing(logits, labels, epsilon)
    log_p = logits.softmax(1).log()
    target = (1 - epsilon) * F.one_hot(labels, logits.shape[1]) + epsilon / logits.shape[1]
    return -(target * log_p).sum(1).mean()


def wrong_three_classes(logits, labels, epsilon=0.1):
    """Divides by the three classes of the example."""
    refuse_smoothing(logits, labels, epsilon)
    return smoothing_loss(logits, labels, 1 - epsilon + epsilon / 3, epsilon / 3)


def wrong_no_gradient(logits, labels, epsilon=0.1):
    """Works on detached logits, so nothing learns."""
    refuse_smoothing(logits, labels, epsilon)
    spread = epsilon / logits.shape[1]
    return smoothing_loss(logits.detach(), labels, 1 - epsilon + spread, spread)


def wrong_epsilon_unchecked(logits, labels, epsilon=0.1):
    """Takes any epsilon.

    Named: expected a ValueError
    """
    spread = epsilon / logits.shape[1]
    refuse_smoothing(logits, labels, 0.1)
    return smoothing_loss(logits, labels, 1 - epsilon + spread, spread)


def wrong_labels_unchecked(logits, labels, epsilon=0.1):
    """Lets one label count for all rows."""
    if not 0 <= epsilon < 1:
        raise ValueError("epsilon")
    log_p = F.log_softmax(logits, 1)
    target = (1 - epsilon) * F.one_hot(labels, logits.shape[1]) + epsilon / logits.shape[1]
    if len(target) > len(log_p):
        target = target[: len(log_p)]
    return -(target * log_p).sum(1).mean()
