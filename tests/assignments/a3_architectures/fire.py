"""Answers to a3_architectures, task 12."""

import torch
import torch.nn.functional as F
from torch import nn


class right_sequential(nn.Module):
    """Three small models; the expand layer is registered first."""

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__()
        if not squeeze < expand1x1 + expand3x3:
            raise ValueError("nothing squeezed")

        def layer(i, o, k):
            return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2), nn.ReLU(inplace=True))

        self.windows = layer(squeeze, expand3x3, 3)
        self.points = layer(squeeze, expand1x1, 1)
        self.narrow = layer(in_channels, squeeze, 1)

    def forward(self, x):
        x = self.narrow(x)
        return torch.cat([self.points(x), self.windows(x)], dim=1)


class right_functional(nn.Module):
    """Parameters and functions; a place for the result that is filled in two halves."""

    def __init__(self, c, s, e1, e3):
        if s >= e1 + e3:
            raise ValueError(f"{s} is not less than {e1 + e3}")
        super().__init__()
        self.ws, self.bs = nn.Parameter(torch.randn(s, c, 1, 1)), nn.Parameter(torch.rand(s))
        self.w1, self.b1 = nn.Parameter(torch.randn(e1, s, 1, 1)), nn.Parameter(torch.rand(e1))
        self.w3, self.b3 = nn.Parameter(torch.randn(e3, s, 3, 3)), nn.Parameter(torch.rand(e3))

    def forward(self, x):
        x = F.conv2d(x, self.ws, self.bs).clamp(min=0)
        n, _, h, w = x.shape
        out = x.new_empty(n, len(self.b1) + len(self.b3), h, w)
        out[:, : len(self.b1)] = F.conv2d(x, self.w1, self.b1)
        out[:, len(self.b1) :] = F.conv2d(x, self.w3, self.b3, padding=1)
        return out.relu()


class FireLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = True

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__()
        if squeeze >= expand1x1 + expand3x3:
            raise ValueError("nothing squeezed")
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1, bias=self.bias)
        self.expand1 = nn.Conv2d(squeeze, expand1x1, 1, bias=self.bias)
        self.expand3 = nn.Conv2d(squeeze, expand3x3, 3, padding=1, bias=self.bias)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1(x), self.expand3(x)), 1))


class wrong_no_squeeze_relu(FireLayers):
    """The squeeze layer is linear.

    Named: a ReLU follows the squeeze layer too
    """

    def forward(self, x):
        x = self.squeeze(x)
        return F.relu(torch.cat((self.expand1(x), self.expand3(x)), 1))


class wrong_no_expand_relu(FireLayers):
    """The expand layer is linear.

    Named: a ReLU follows the expand layer too
    """

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat((self.expand1(x), self.expand3(x)), 1)


class wrong_no_relu(FireLayers):
    """Convolutions only.

    Named: the ReLUs are missing
    """

    def forward(self, x):
        x = self.squeeze(x)
        return torch.cat((self.expand1(x), self.expand3(x)), 1)


class wrong_one_half_activated(FireLayers):
    """Activates the 1x1 filters only.

    Named: both kinds of expand filters
    """

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat((F.relu(self.expand1(x)), self.expand3(x)), 1)


class wrong_order(FireLayers):
    """The 3x3 filters first.

    Named: the 1x1 filters come first in the pile
    """

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand3(x), self.expand1(x)), 1))


class wrong_expand_then_squeeze(nn.Module):
    """Expands first and squeezes afterwards.

    Named: squeeze first, then expand
    """

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__()
        self.expand1 = nn.Conv2d(in_channels, expand1x1, 1)
        self.expand3 = nn.Conv2d(in_channels, expand3x3, 3, padding=1)
        self.squeeze = nn.Conv2d(expand1x1 + expand3x3, squeeze, 1)

    def forward(self, x):
        x = F.relu(torch.cat((self.expand1(x), self.expand3(x)), 1))
        return F.relu(self.squeeze(x))


class wrong_expands_the_input(FireLayers):
    """The expand filters see the input.

    Named: see the squeezed maps, not the input
    """

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__(in_channels, squeeze, expand1x1, expand3x3)
        self.expand1 = nn.Conv2d(in_channels, expand1x1, 1)
        self.expand3 = nn.Conv2d(in_channels, expand3x3, 3, padding=1)

    def forward(self, x):
        return F.relu(torch.cat((self.expand1(x), self.expand3(x)), 1))


class wrong_one_after_the_other(nn.Module):
    """1x1 and 3x3 filters in a row.

    Named: side by side
    """

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, squeeze, 1),
            nn.ReLU(),
            nn.Conv2d(squeeze, expand1x1, 1),
            nn.ReLU(),
            nn.Conv2d(expand1x1, expand3x3, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.layers(x)


class wrong_keeps_the_squeezed(FireLayers):
    """The squeezed maps go into the pile.

    Named: the squeezed maps are not part of the output
    """

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((x, self.expand1(x), self.expand3(x)), 1))


class wrong_no_padding(FireLayers):
    """The 3x3 filters make the map smaller.

    Named: raised RuntimeError
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.expand3.padding = (0, 0)


class wrong_width_axis(FireLayers):
    """Puts the maps together along the width.

    Named: raised RuntimeError
    """

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1(x), self.expand3(x)), -1))


class wrong_no_biases(FireLayers):
    """Convolutions without biases.

    Named: the convolutions have biases
    """

    bias = False


class wrong_normalised(FireLayers):
    """Adds batch normalisation.

    Named: there is no batch normalisation in this module
    """

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__(in_channels, squeeze, expand1x1, expand3x3)
        self.norm1, self.norm2 = nn.BatchNorm2d(squeeze), nn.BatchNorm2d(expand1x1 + expand3x3)

    def forward(self, x):
        x = F.relu(self.norm1(self.squeeze(x)))
        return F.relu(self.norm2(torch.cat((self.expand1(x), self.expand3(x)), 1)))


class wrong_wide_squeeze(FireLayers):
    """A squeeze layer of 3x3 filters.

    Named: the squeeze filters are 1x1
    """

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__(in_channels, squeeze, expand1x1, expand3x3)
        self.squeeze = nn.Conv2d(in_channels, squeeze, 3, padding=1)


class wrong_one_too_many(FireLayers):
    """Accepts a squeeze layer as wide as the expand layer."""

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        if squeeze > expand1x1 + expand3x3:
            raise ValueError("nothing squeezed")
        super().__init__(in_channels, squeeze, expand1x1, expand3x3 + (squeeze == 8))


class wrong_compares_with_one_kind(FireLayers):
    """Wants fewer squeeze filters than either kind of expand filters."""

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        if squeeze >= min(expand1x1, expand3x3):
            raise ValueError("nothing squeezed")
        super().__init__(in_channels, squeeze, expand1x1, expand3x3)


class wrong_shortcut(FireLayers):
    """Adds the input where the channels agree, as SqueezeNet's simple bypass does."""

    def forward(self, x):
        out = super().forward(x)
        return out + x if x.shape == out.shape else out
