"""Answers to a6_siamese, task 8."""

import bisect
import math

import torch


def refuse_doors(genuine, impostor, far):
    if not (far >= 0 and far <= 1):
        raise ValueError(f"{far}")
    for distances in (genuine, impostor):
        if distances.dim() != 1 or distances.numel() == 0 or distances.isnan().any():
            raise ValueError("distances")


def right_try_all(genuine, impostor, far):
    """Tries each distance, from the largest down."""
    refuse_doors(genuine, impostor, far)
    for threshold in [
        *torch.cat((genuine, impostor)).sort(descending=True).values.tolist(),
        -math.inf,
    ]:
        if sum(d <= threshold for d in impostor.tolist()) / len(impostor) <= far:
            break
    return threshold, sum(d > threshold for d in genuine.tolist()) / len(genuine)


def right_ranks(genuine, impostor, far):
    """Finds the first impostor that must stay outside, and what lies below it."""
    refuse_doors(genuine, impostor, far)
    ordered = sorted(impostor.tolist())
    k = 0
    while k < len(ordered) and (k + 1) / len(ordered) <= far:
        k += 1
    outside = ordered[k] if k < len(ordered) else math.inf
    everybody = sorted(genuine.tolist() + ordered)
    below = bisect.bisect_left(everybody, outside)
    rejected = len(genuine) - bisect.bisect_left(sorted(genuine.tolist()), outside)
    return everybody[below - 1] if below else -math.inf, rejected / len(genuine)


def right_table(genuine, impostor, far):
    """All thresholds at once, as for a ROC curve."""
    refuse_doors(genuine, impostor, far)
    genuine, impostor = genuine.double(), impostor.double()
    steps = torch.cat((genuine, impostor, torch.tensor([-torch.inf], dtype=torch.float64)))
    rates = (impostor <= steps[:, None]).sum(1).double() / len(impostor)
    threshold = steps[rates <= far].max()
    return threshold.item(), (genuine > threshold).double().mean().item()


def far_of(impostor, threshold):
    return int((impostor <= threshold).sum()) / len(impostor)


def frr_of(genuine, threshold):
    return int((genuine > threshold).sum()) / len(genuine)


def largest(candidates, keeps):
    """The largest threshold that passes, or minus infinity."""
    return max(filter(keeps, candidates.tolist()), default=-math.inf)


def best(genuine, impostor, far):
    return largest(torch.cat((genuine, impostor)), lambda t: far_of(impostor, t) <= far)


def wrong_less_than(genuine, impostor, far):
    """Accepts what is less than the threshold.

    Named: at 0.625 two impostors in five are accepted
    """
    refuse_doors(genuine, impostor, far)
    threshold = largest(
        torch.cat((genuine, impostor)),
        lambda t: int((impostor < t).sum()) / len(impostor) <= far,
    )
    return threshold, int((genuine >= threshold).sum()) / len(genuine)


def wrong_one_too_many(genuine, impostor, far):
    """One impostor more than allowed.

    Named: at 0.625 two impostors in five are accepted
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far + 1 / len(impostor))
    return threshold, frr_of(genuine, threshold)


def wrong_rate_not_reached(genuine, impostor, far):
    """Stays below the rate, where it may be reached.

    Named: which is just allowed
    """
    refuse_doors(genuine, impostor, far)
    everybody = torch.cat((genuine, impostor))
    threshold = largest(everybody, lambda t: far_of(impostor, t) < far)
    return threshold, frr_of(genuine, threshold)


def wrong_impostors_only(genuine, impostor, far):
    """Chooses among the impostors alone.

    Named: the genuine pair at 0.5625 can be let in
    """
    refuse_doors(genuine, impostor, far)
    threshold = largest(impostor, lambda t: far_of(impostor, t) <= far)
    return threshold, frr_of(genuine, threshold)


def wrong_genuine_only(genuine, impostor, far):
    """Chooses among the genuine pairs alone.

    Named: the threshold may also be the distance of an impostor
    """
    refuse_doors(genuine, impostor, far)
    threshold = largest(genuine, lambda t: far_of(impostor, t) <= far)
    return threshold, frr_of(genuine, threshold)


def wrong_from_genuine(genuine, impostor, far):
    """Keeps the rate on the genuine pairs: 20 % of them are accepted.

    Named: this is read off the genuine ones
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(impostor, genuine, far)
    return threshold, frr_of(genuine, threshold)


def wrong_similarity(genuine, impostor, far):
    """Accepts what is far, as if the distances were similarities.

    Named: near is accepted, far is rejected
    """
    refuse_doors(genuine, impostor, far)
    threshold = -best(-genuine, -impostor, far)
    return threshold, int((genuine < threshold).sum()) / len(genuine)


def wrong_not_sorted(genuine, impostor, far):
    """Takes the impostors as they come.

    Named: must be sorted first
    """
    refuse_doors(genuine, impostor, far)
    threshold = impostor[max(int(far * len(impostor)) - 1, 0)].item()
    return threshold, frr_of(genuine, threshold)


def wrong_rejects_equal(genuine, impostor, far):
    """Rejects a genuine pair at the threshold.

    Named: a genuine pair just at the threshold is accepted
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far)
    return threshold, int((genuine >= threshold).sum()) / len(genuine)


def wrong_accept_rate(genuine, impostor, far):
    """The share of genuine pairs that are accepted.

    Named: genuine pairs that are accepted
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far)
    return threshold, 1 - frr_of(genuine, threshold)


def wrong_number(genuine, impostor, far):
    """The number of false rejects.

    Named: not their number
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far)
    return threshold, int((genuine > threshold).sum())


def wrong_order(genuine, impostor, far):
    """The rate first.

    Named: the threshold comes first
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far)
    return frr_of(genuine, threshold), threshold


def wrong_quantile(genuine, impostor, far):
    """A quantile that interpolates.

    Named: expected 0.5625, but got 0.6
    """
    refuse_doors(genuine, impostor, far)
    threshold = impostor.quantile(far).item()
    return threshold, frr_of(genuine, threshold)


def wrong_infinite(genuine, impostor, far):
    """At a rate of 1 everything passes, at any distance.

    Named: the threshold is one of the distances
    """
    refuse_doors(genuine, impostor, far)
    threshold = math.inf if far == 1 else best(genuine, impostor, far)
    return threshold, frr_of(genuine, threshold)


def wrong_nobody_at_zero(genuine, impostor, far):
    """A rate of 0 is a threshold of 0.

    Named: this rejects everybody
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far) if far else 0.0
    return threshold, frr_of(genuine, threshold)


def wrong_at_least_one(genuine, impostor, far):
    """Accepts an impostor even at a rate of 0.

    Named: at 0.5625 an impostor is accepted
    """
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, max(far, 1 / len(impostor)))
    return threshold, frr_of(genuine, threshold)


def wrong_smallest_instead_of_none(genuine, impostor, far):
    """Where no threshold keeps the rate, takes the smallest distance."""
    refuse_doors(genuine, impostor, far)
    threshold = max(best(genuine, impostor, far), min(genuine.min(), impostor.min()).item())
    return threshold, frr_of(genuine, threshold)


def wrong_rounded_product(genuine, impostor, far):
    """far times I, cut off: 28 for 0.29 of 100."""
    refuse_doors(genuine, impostor, far)
    allowed = int(far * len(impostor))
    everybody = torch.cat((genuine, impostor))
    threshold = largest(everybody, lambda t: int((impostor <= t).sum()) <= allowed)
    return threshold, frr_of(genuine, threshold)


def wrong_rounded_up(genuine, impostor, far):
    """Rounds the number of impostors up, so that the rate is not kept."""
    refuse_doors(genuine, impostor, far)
    allowed = math.ceil(far * len(impostor) - 1e-9)
    everybody = torch.cat((genuine, impostor))
    threshold = largest(everybody, lambda t: int((impostor <= t).sum()) <= allowed)
    return threshold, frr_of(genuine, threshold)


def wrong_different_only(genuine, impostor, far):
    """Counts equal distances once."""
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor.unique(), far)
    return threshold, frr_of(genuine, threshold)


def wrong_percent(genuine, impostor, far):
    """Takes a rate above 1 for percent.

    Named: expected a ValueError
    """
    if far > 1:
        far = far / 100
    refuse_doors(genuine, impostor, far)
    threshold = best(genuine, impostor, far)
    return threshold, frr_of(genuine, threshold)
