"""Answers to a3_architectures, task 11."""

import torch
import torch.nn.functional as F
from torch import nn


class right_list_of_maps(nn.Module):
    """Keeps a list of maps and joins it for every layer."""

    def __init__(self, layers, in_channels, growth_rate):
        super().__init__()
        if layers < 1 or in_channels < 1 or growth_rate < 1:
            raise ValueError("at least 1")
        seen = [in_channels + i * growth_rate for i in range(layers)]
        self.norms = nn.ModuleList(map(nn.BatchNorm2d, seen))
        self.convs = nn.ModuleList(
            nn.Conv2d(c, growth_rate, 3, padding=1, bias=False) for c in seen
        )

    def forward(self, x):
        maps = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            maps.append(conv(F.relu(norm(torch.cat(maps, dim=1)))))
        return torch.cat(maps, dim=1)


class right_recursive(nn.Module):
    """The first layers are a dense block themselves."""

    def __init__(self, layers, in_channels, growth_rate):
        super().__init__()
        if min(layers, in_channels, growth_rate) <= 0:
            raise ValueError("at least 1")
        self.before = None
        if layers > 1:
            self.before = type(self)(layers - 1, in_channels, growth_rate)
        seen = in_channels + (layers - 1) * growth_rate
        self.layer = nn.Sequential(
            nn.BatchNorm2d(seen),
            nn.ReLU(),
            nn.Conv2d(seen, growth_rate, 3, padding="same", bias=False),
        )

    def forward(self, x):
        if self.before is not None:
            x = self.before(x)
        return torch.concatenate([x, self.layer(x)], 1)


class DenseLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False

    def __init__(self, layers, in_channels, growth_rate):
        super().__init__()
        if min(layers, in_channels, growth_rate) < 1:
            raise ValueError("at least 1")
        self.layers = nn.ModuleList(
            self.layer(self.seen(number, in_channels, growth_rate), growth_rate)
            for number in range(layers)
        )

    def seen(self, number, in_channels, growth_rate):
        return in_channels + number * growth_rate

    def layer(self, channels, growth_rate):
        return nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, growth_rate, 3, padding=1, bias=self.bias),
        )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat((x, layer(x)), 1)
        return x


class wrong_adds(DenseLayers):
    """Adds like ResNet.

    Named: not added
    """

    def layer(self, channels, growth_rate):
        return super().layer(channels, self.width)

    def __init__(self, layers, in_channels, growth_rate):
        self.width = in_channels
        super().__init__(layers, in_channels, growth_rate)

    def seen(self, number, in_channels, growth_rate):
        return in_channels

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


class wrong_chain(DenseLayers):
    """Each layer sees only the maps of the layer before it.

    Named: not only those of the layer before
    """

    def seen(self, number, in_channels, growth_rate):
        return growth_rate if number else in_channels

    def forward(self, x):
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return torch.cat(maps, 1)


class wrong_all_see_the_input(DenseLayers):
    """All layers side by side on the input, like Inception.

    Named: each layer sees the input and all new maps
    """

    def seen(self, number, in_channels, growth_rate):
        return in_channels

    def forward(self, x):
        return torch.cat([x, *(layer(x) for layer in self.layers)], 1)


class wrong_new_maps_only(DenseLayers):
    """Returns what the layers have made, without the input.

    Named: the block returns its input
    """

    def forward(self, x):
        return super().forward(x)[:, x.shape[1] :]


class wrong_last_maps_only(DenseLayers):
    """Returns the maps of the last layer.

    Named: the block returns the pile
    """

    def forward(self, x):
        return super().forward(x)[:, -self.layers[-1][2].out_channels :]


class wrong_last_layer_forgotten(DenseLayers):
    """Returns what the last layer has seen.

    Named: its own 2 maps are missing
    """

    def forward(self, x):
        return super().forward(x)[:, : -self.layers[-1][2].out_channels]


class wrong_new_maps_first(DenseLayers):
    """Puts new maps in front of the old ones.

    Named: the input comes first in the pile
    """

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat((layer(x), x), 1)
        return x


class wrong_post_activation(DenseLayers):
    """Convolution, batch norm, ReLU.

    Named: the normalisation comes before the convolution
    """

    def layer(self, channels, growth_rate):
        return nn.Sequential(
            nn.Conv2d(channels, growth_rate, 3, padding=1, bias=False),
            nn.BatchNorm2d(growth_rate),
            nn.ReLU(),
        )


class wrong_relu_last(DenseLayers):
    """Batch norm, convolution, ReLU.

    Named: the ReLU comes before the convolution
    """

    def layer(self, channels, growth_rate):
        norm, relu, conv = super().layer(channels, growth_rate)
        return nn.Sequential(norm, conv, relu)


class wrong_no_relu(DenseLayers):
    """Batch norm and convolution.

    Named: the ReLU before the convolution is missing
    """

    def layer(self, channels, growth_rate):
        norm, _, conv = super().layer(channels, growth_rate)
        return nn.Sequential(norm, conv)


class wrong_relu_before_norm(DenseLayers):
    """ReLU, batch norm, convolution."""

    def layer(self, channels, growth_rate):
        norm, relu, conv = super().layer(channels, growth_rate)
        return nn.Sequential(relu, norm, conv)


class wrong_input_activated(DenseLayers):
    """An in-place ReLU that works on the pile.

    Named: only what a layer sees is activated
    """

    def forward(self, x):
        return super().forward(F.relu(x))


class wrong_batch_norm_forgotten(DenseLayers):
    """ReLU and convolution only.

    Named: batch normalisation is missing
    """

    def layer(self, channels, growth_rate):
        return super().layer(channels, growth_rate)[1:]


class wrong_bias_left_on(DenseLayers):
    """Convolutions with biases.

    Named: the convolutions have no biases
    """

    bias = True


class wrong_no_padding(DenseLayers):
    """Convolutions that make the map smaller.

    Named: raised RuntimeError
    """

    def layer(self, channels, growth_rate):
        norm, relu, conv = super().layer(channels, growth_rate)
        conv.padding = (0, 0)
        return nn.Sequential(norm, relu, conv)


class wrong_batch_axis(DenseLayers):
    """Puts the maps together along the batch.

    Named: raised RuntimeError
    """

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat((x, layer(x)))
        return x


class wrong_old_maps_detached(DenseLayers):
    """Shows each layer the earlier maps without their gradient."""

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat((x, layer(x.detach())), 1)
        return x


class wrong_nothing_refused(DenseLayers):
    """Makes a block without layers.

    Named: expected a ValueError
    """

    def __init__(self, layers, in_channels, growth_rate):
        super().__init__(max(layers, 1), max(in_channels, 1), max(growth_rate, 1))
