"""Answers to a6_siamese, task 5."""

import torch
import torch.nn.functional as F


def refuse_views(z1, z2, temperature):
    if z1.ndim != 2 or z1.shape != z2.shape or len(z1) < 2 or temperature <= 0:
        raise ValueError(f"{z1.shape}, {z2.shape}, {temperature}")


def logits_of(z1, z2, temperature):
    refuse_views(z1, z2, temperature)
    return F.normalize(z1) @ F.normalize(z2).T / temperature


def right_log_softmax(z1, z2, temperature=0.1):
    """The diagonal of a log-softmax."""
    refuse_views(z1, z2, temperature)
    u1, u2 = (z / z.square().sum(1, keepdim=True).sqrt() for z in (z1, z2))
    return -(torch.mm(u1, u2.t()) / temperature).log_softmax(dim=1).diagonal().mean()


def right_cosine_similarity(z1, z2, temperature=0.1):
    """Cosines of all pairs, and the log of a sum that cannot overflow."""
    refuse_views(z1, z2, temperature)
    logits = F.cosine_similarity(z1[:, None], z2[None], dim=2) / temperature
    largest = logits.max(dim=1, keepdim=True).values
    total = (logits - largest).exp().sum(1).log() + largest[:, 0]
    return (total - logits.trace() / len(z1)).mean()


def right_row_by_row(z1, z2, temperature=0.1):
    """A loop over the views."""
    refuse_views(z1, z2, temperature)
    losses = []
    for i, view in enumerate(z1):
        logits = (F.normalize(z2) * F.normalize(view[None])).sum(1) / temperature
        losses.append(torch.logsumexp(logits, 0) - logits[i])
    return sum(losses) / len(losses)


def wrong_axis(z1, z2, temperature=0.1):
    """A softmax over the first views.

    Named: the softmax goes along the wrong axis
    """
    return -logits_of(z1, z2, temperature).log_softmax(0).diagonal().mean()


def wrong_both_directions(z1, z2, temperature=0.1):
    """The loss of CLIP.

    Named: both directions are averaged
    """
    logits, twins = logits_of(z1, z2, temperature), torch.arange(len(z1))
    return (F.cross_entropy(logits, twins) + F.cross_entropy(logits.T, twins)) / 2


def wrong_directions_added(z1, z2, temperature=0.1):
    """Both directions, added up.

    Named: both directions are added
    """
    logits, twins = logits_of(z1, z2, temperature), torch.arange(len(z1))
    return F.cross_entropy(logits, twins) + F.cross_entropy(logits.T, twins)


def wrong_one_softmax(z1, z2, temperature=0.1):
    """One softmax over all N x N cosines.

    Named: not one for the whole table
    """
    logits = logits_of(z1, z2, temperature)
    return -logits.flatten().log_softmax(0).reshape(logits.shape).diagonal().mean()


def wrong_twin_left_out(z1, z2, temperature=0.1):
    """Only the negatives below the fraction.

    Named: the twin itself is in the sum
    """
    logits = logits_of(z1, z2, temperature)
    others = logits.masked_fill(torch.eye(len(z1), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(1) - logits.diagonal()).mean()


def wrong_sum(z1, z2, temperature=0.1):
    """Adds up the batch.

    Named: not the sum
    """
    twins = torch.arange(len(z1))
    return F.cross_entropy(logits_of(z1, z2, temperature), twins, reduction="sum")


def wrong_sign(z1, z2, temperature=0.1):
    """Forgets the minus.

    Named: the minus is missing
    """
    return logits_of(z1, z2, temperature).log_softmax(1).diagonal().mean()


def wrong_no_log(z1, z2, temperature=0.1):
    """The mean probability of the twin.

    Named: the log is missing
    """
    return -logits_of(z1, z2, temperature).softmax(1).diagonal().mean()


def wrong_lengths_kept(z1, z2, temperature=0.1):
    """Inner products instead of cosines.

    Named: scale the embeddings to length 1 first
    """
    refuse_views(z1, z2, temperature)
    return F.cross_entropy(z1 @ z2.T / temperature, torch.arange(len(z1)))


def wrong_one_length_kept(z1, z2, temperature=0.1):
    """Scales the first views alone.

    Named: scale both kinds of views
    """
    refuse_views(z1, z2, temperature)
    return F.cross_entropy(F.normalize(z1) @ z2.T / temperature, torch.arange(len(z1)))


def wrong_columns_scaled(z1, z2, temperature=0.1):
    """Normalises along the batch.

    Named: not each column of the batch
    """
    refuse_views(z1, z2, temperature)
    logits = F.normalize(z1, dim=0) @ F.normalize(z2, dim=0).T / temperature
    return F.cross_entropy(logits, torch.arange(len(z1)))


def wrong_multiplies(z1, z2, temperature=0.1):
    """Multiplies by the temperature.

    Named: divide by the temperature
    """
    return F.cross_entropy(logits_of(z1, z2, 1 / temperature), torch.arange(len(z1)))


def wrong_no_temperature(z1, z2, temperature=0.1):
    """Plain cosines.

    Named: the temperature is missing
    """
    refuse_views(z1, z2, temperature)
    return F.cross_entropy(logits_of(z1, z2, 1.0), torch.arange(len(z1)))


def wrong_distance(z1, z2, temperature=0.1):
    """Takes the cosine for a distance.

    Named: a cosine needs no minus
    """
    return F.cross_entropy(-logits_of(z1, z2, temperature), torch.arange(len(z1)))


def wrong_softmax_twice(z1, z2, temperature=0.1):
    """Hands probabilities to cross_entropy.

    Named: the softmax is taken twice
    """
    twins = torch.arange(len(z1))
    return F.cross_entropy(logits_of(z1, z2, temperature).softmax(1), twins)


def wrong_exponentials(z1, z2, temperature=0.1):
    """The formula as it stands, which overflows."""
    powers = logits_of(z1, z2, temperature).exp()
    return -(powers.diagonal() / powers.sum(1)).log().mean()


def wrong_second_views_fixed(z1, z2, temperature=0.1):
    """No gradient for the second views."""
    return F.cross_entropy(logits_of(z1, z2.detach(), temperature), torch.arange(len(z1)))


def wrong_nothing_refused(z1, z2, temperature=0.1):
    """More second views than first ones, or fewer.

    Named: expected a ValueError
    """
    logits = F.normalize(z1) @ F.normalize(z2).T / temperature
    twins = torch.arange(len(z1)).clamp(max=len(z2) - 1)
    return F.cross_entropy(logits, twins)
