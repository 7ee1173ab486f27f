"""Answers to a4_mobile, task 8."""

import torch
import torch.nn.functional as F
from torch import nn


class right_convolutions(nn.Module):
    """1x1 convolutions on a map of one pixel."""

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        if min(channels, squeezed) < 1:
            raise ValueError("nothing there")
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid() if hard else nn.Sigmoid(),
        )

    def forward(self, x):
        return self.factors(x) * x


class right_einsum(nn.Module):
    """Parameters and sums over indices; the second layer registered first."""

    def __init__(self, c, r, hard=False):
        if c <= 0 or r <= 0:
            raise ValueError(f"{c}, {r}")
        super().__init__()
        self.hard = hard
        self.w2, self.b2 = nn.Parameter(torch.rand(c, r)), nn.Parameter(torch.rand(c))
        self.w1, self.b1 = nn.Parameter(torch.rand(r, c)), nn.Parameter(torch.rand(r))

    def forward(self, x):
        z = torch.einsum("nchw->nc", x) / x[0, 0].numel()
        s = torch.einsum("nc,rc->nr", z, self.w1) + self.b1
        s = torch.einsum("nr,cr->nc", s.clamp(min=0), self.w2) + self.b2
        s = F.relu6(s + 3) / 6 if self.hard else 1 / (1 + torch.exp(-s))
        return torch.einsum("nchw,nc->nchw", x, s)


class ExcitationLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = True

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        if min(channels, squeezed) < 1:
            raise ValueError("nothing there")
        self.hard = hard
        self.one = nn.Linear(channels, squeezed, bias=self.bias)
        self.two = nn.Linear(squeezed, channels, bias=self.bias)

    def squeeze(self, x):
        return x.mean((2, 3))

    def between(self, h):
        return h.relu()

    def gate(self, s):
        return F.hardsigmoid(s) if self.hard else s.sigmoid()

    def factors(self, x):
        return self.gate(self.two(self.between(self.one(self.squeeze(x)))))

    def forward(self, x):
        return x * self.factors(x)[:, :, None, None]


class wrong_axis(ExcitationLayers):
    """Takes the mean over the channels at each pixel.

    Named: raised RuntimeError
    """

    def squeeze(self, x):
        return x.mean(1)


class wrong_batch_squeezed(ExcitationLayers):
    """One set of factors for the whole batch: right for a batch of one."""

    def squeeze(self, x):
        return x.mean((0, 2, 3))[None].expand(len(x), -1)


class wrong_rows_only(ExcitationLayers):
    """Averages over one axis, and takes the first of what is left."""

    def squeeze(self, x):
        return x.mean(2)[..., 0]


class wrong_max(ExcitationLayers):
    """Squeezes to the largest value.

    Named: not the largest value
    """

    def squeeze(self, x):
        return x.amax((2, 3))


class wrong_sum(ExcitationLayers):
    """Squeezes to the sum, which grows with the picture."""

    def squeeze(self, x):
        return x.sum((2, 3))


class wrong_no_relu(ExcitationLayers):
    """Two linear layers in a row, which are one.

    Named: a ReLU stands between the two layers
    """

    def between(self, h):
        return h


class wrong_no_gate(ExcitationLayers):
    """Factors of any size.

    Named: the gate is missing
    """

    def gate(self, s):
        return s


class wrong_softmax(ExcitationLayers):
    """Factors that sum to 1.

    Named: softmax
    """

    def gate(self, s):
        return F.hardsigmoid(s) if self.hard else s.softmax(1)


class wrong_gates_swapped(ExcitationLayers):
    """The hard gate where the soft one is wanted.

    Named: with hard=True the gate is the hard sigmoid
    """

    def gate(self, s):
        return s.sigmoid() if self.hard else F.hardsigmoid(s)


class wrong_h_swish_gate(ExcitationLayers):
    """h-swish as a gate.

    Named: not h-swish
    """

    def gate(self, s):
        return F.hardswish(s) if self.hard else s.sigmoid()


class wrong_adds(ExcitationLayers):
    """Adds the factors.

    Named: not increased
    """

    def forward(self, x):
        return x + self.factors(x)[:, :, None, None]


class wrong_shortcut(ExcitationLayers):
    """Keeps the input beside the weighted one: 1 + s instead of s."""

    def forward(self, x):
        return x + super().forward(x)


class wrong_returns_factors(ExcitationLayers):
    """Does not use the factors.

    Named: these are the factors
    """

    def forward(self, x):
        return self.factors(x)


class wrong_no_biases(ExcitationLayers):
    """Layers without biases.

    Named: both layers have biases
    """

    bias = False


class wrong_one_layer(nn.Module):
    """One layer from all channels to all.

    Named: there are two layers
    """

    def __init__(self, channels, squeezed, hard=False):
        super().__init__()
        self.layer = nn.Linear(channels, channels)

    def forward(self, x):
        return x * self.layer(x.mean((2, 3))).sigmoid()[:, :, None, None]


class wrong_not_squeezed(ExcitationLayers):
    """Keeps all channels between the layers.

    Named: between the two layers are 2 channels
    """

    def __init__(self, channels, squeezed, hard=False):
        super().__init__(channels, channels if squeezed else 0, hard)


class wrong_gate_without_gradient(ExcitationLayers):
    """The factors are taken out of the graph: the layers would never learn."""

    def forward(self, x):
        return x * self.factors(x).detach()[:, :, None, None]


class wrong_nothing_refused(ExcitationLayers):
    """A bottleneck of no channels.

    Named: expected a ValueError
    """

    def __init__(self, channels, squeezed, hard=False):
        super().__init__(max(channels, 1), max(squeezed, 1), hard)
