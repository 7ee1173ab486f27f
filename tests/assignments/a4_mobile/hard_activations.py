"""Answers to a4_mobile, task 9."""

import torch
import torch.nn.functional as F


def right_clamp(x):
    """min and max written out."""
    gate = (x / 6 + 0.5).clamp(0, 1)
    return gate, gate * x


def right_pieces(x):
    """Three pieces, chosen with where."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    ramp = (x + 3) / 6
    gate = torch.where(x <= -3, zero, torch.where(x >= 3, one, ramp))
    return gate, torch.where(x <= -3, zero, torch.where(x >= 3, x, x * ramp))


def right_two_relus(x):
    """ReLU6 as the difference of two ReLUs."""
    gate = (F.relu(x + 3) - F.relu(x - 3)) / 6
    return gate, x * gate


def wrong_swish(x):
    """x times the sigmoid itself.

    Named: this is the sigmoid itself, and swish
    """
    return x.sigmoid(), x * x.sigmoid()


def wrong_only_swish(x):
    """The gate is hard, h-swish is not.

    Named: this is swish, not h-swish
    """
    return F.relu6(x + 3) / 6, F.silu(x)


def wrong_without_3(x):
    """x ReLU6(x) / 6, as it is often copied.

    Named: the 3 is missing
    """
    return F.relu6(x) / 6, x * F.relu6(x) / 6


def wrong_without_6(x):
    """The ramp ends at 6.

    Named: the 6 is missing
    """
    return F.relu6(x + 3), x * F.relu6(x + 3)


def wrong_relu(x):
    """ReLU instead of ReLU6.

    Named: this is ReLU instead of ReLU6
    """
    return F.relu(x + 3) / 6, x * F.relu(x + 3) / 6


def wrong_keras(x):
    """The hard sigmoid of another library.

    Named: with a slope of 0.2
    """
    gate = (0.2 * x + 0.5).clamp(0, 1)
    return gate, x * gate


def wrong_order(x):
    """h-swish first.

    Named: the hard sigmoid comes first
    """
    gate = F.relu6(x + 3) / 6
    return x * gate, gate


def wrong_shifted_factor(x):
    """Multiplies x + 3 by the gate.

    Named: not x + 3 times it
    """
    gate = F.relu6(x + 3) / 6
    return gate, (x + 3) * gate


def wrong_in_place(x):
    """Writes into the input.

    Named: the call changed argument 1
    """
    gate = F.relu6(x + 3) / 6
    return gate, x.mul_(gate)


def wrong_numbers_only(x):
    """Takes the numbers out of the graph."""
    gate = F.relu6(x.detach() + 3) / 6
    return gate, x.detach() * gate


def wrong_gate_detached(x):
    """The gate is a constant for the gradient."""
    gate = F.relu6(x + 3) / 6
    return gate, x * gate.detach()


def wrong_always_float64(x):
    """Computes in float64 and forgets to go back."""
    gate = F.relu6(x.double() + 3) / 6
    return gate, x * gate
