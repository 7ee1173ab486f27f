"""Answers to a3_architectures, task 4."""

import torch
import torch.nn.functional as F
from torch import nn


class right_sequential(nn.Module):
    """Four branches as sequential models, registered in another order."""

    def __init__(self, c, n1, r3, n3, r5, n5, proj):
        super().__init__()
        if any(n < 1 for n in (c, n1, r3, n3, r5, n5, proj)):
            raise ValueError("at least one channel")

        def conv(i, o, k):
            return nn.Sequential(nn.Conv2d(i, o, k, padding="same"), nn.ReLU())

        self.d = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(c, proj, 1))
        self.c = nn.Sequential(conv(c, r5, 1), conv(r5, n5, 5))
        self.b = nn.Sequential(conv(c, r3, 1), conv(r3, n3, 3))
        self.a = conv(c, n1, 1)

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)


class right_functional(nn.Module):
    """Parameters in a ParameterList and functions; writes the branches into one tensor."""

    def __init__(self, in_channels, conv1x1, reduce3x3, conv3x3, reduce5x5, conv5x5, pool_proj):
        super().__init__()
        shapes = [
            (conv1x1, in_channels, 1),
            (reduce3x3, in_channels, 1),
            (conv3x3, reduce3x3, 3),
            (reduce5x5, in_channels, 1),
            (conv5x5, reduce5x5, 5),
            (pool_proj, in_channels, 1),
        ]
        if min(min(o, i) for o, i, _ in shapes) <= 0:
            raise ValueError("empty")
        self.w = nn.ParameterList(
            [torch.randn(o, i, k, k) / (i * k * k) ** 0.5 for o, i, k in shapes]
        )
        self.b = nn.ParameterList([torch.rand(o) for o, _, _ in shapes])

    def conv(self, number, x):
        w, b = self.w[number], self.b[number]
        return torch.relu(F.conv2d(x, w, b, padding=(w.shape[2] - 1) // 2))

    def forward(self, x):
        out = [self.conv(0, x), self.conv(2, self.conv(1, x)), self.conv(4, self.conv(3, x))]
        out.append(self.conv(5, F.max_pool2d(x, 3, stride=1, padding=1)))
        return torch.concat(out, dim=-3)


class InceptionLayers(nn.Module):
    """The layers, which most of the wrong answers share."""

    large = 5
    bias = True

    def __init__(self, in_channels, conv1x1, reduce3x3, conv3x3, reduce5x5, conv5x5, pool_proj):
        super().__init__()
        numbers = (in_channels, conv1x1, reduce3x3, conv3x3, reduce5x5, conv5x5, pool_proj)
        if min(numbers) < 1:
            raise ValueError("at least 1")
        self.one = nn.Conv2d(in_channels, conv1x1, 1, bias=self.bias)
        self.before3 = nn.Conv2d(in_channels, reduce3x3, 1, bias=self.bias)
        self.three = nn.Conv2d(reduce3x3, conv3x3, 3, padding=1, bias=self.bias)
        self.before5 = nn.Conv2d(in_channels, reduce5x5, 1, bias=self.bias)
        self.five = nn.Conv2d(
            reduce5x5, conv5x5, self.large, padding=self.large // 2, bias=self.bias
        )
        self.proj = nn.Conv2d(in_channels, pool_proj, 1, bias=self.bias)

    def branches(self, x):
        return [
            F.relu(self.one(x)),
            F.relu(self.three(F.relu(self.before3(x)))),
            F.relu(self.five(F.relu(self.before5(x)))),
            F.relu(self.proj(F.max_pool2d(x, 3, 1, 1))),
        ]

    def forward(self, x):
        return torch.cat(self.branches(x), 1)


class wrong_no_relu_after_reductions(InceptionLayers):
    """The reductions have no ReLU.

    Named: a ReLU follows the reductions too
    """

    def branches(self, x):
        return [
            F.relu(self.one(x)),
            F.relu(self.three(self.before3(x))),
            F.relu(self.five(self.before5(x))),
            F.relu(self.proj(F.max_pool2d(x, 3, 1, 1))),
        ]


class wrong_no_last_relu(InceptionLayers):
    """The pile is not activated.

    Named: a ReLU follows the last convolution of each branch
    """

    def branches(self, x):
        return [
            self.one(x),
            self.three(F.relu(self.before3(x))),
            self.five(F.relu(self.before5(x))),
            self.proj(F.max_pool2d(x, 3, 1, 1)),
        ]


class wrong_no_relu_at_all(InceptionLayers):
    """Convolutions only.

    Named: the ReLUs are missing
    """

    def branches(self, x):
        return [
            self.one(x),
            self.three(self.before3(x)),
            self.five(self.before5(x)),
            self.proj(F.max_pool2d(x, 3, 1, 1)),
        ]


class wrong_pooling_not_activated(InceptionLayers):
    """Forgets the ReLU of the fourth branch.

    Named: after the pooling as well
    """

    def branches(self, x):
        return [*super().branches(x)[:3], self.proj(F.max_pool2d(x, 3, 1, 1))]


class wrong_order(InceptionLayers):
    """5x5 before 3x3.

    Named: this is 1x1, 5x5, 3x3, pooling
    """

    def branches(self, x):
        one, three, five, pooled = super().branches(x)
        return [one, five, three, pooled]


class wrong_average_pooling(InceptionLayers):
    """Average instead of max pooling.

    Named: this is average pooling
    """

    def branches(self, x):
        return [*super().branches(x)[:3], F.relu(self.proj(F.avg_pool2d(x, 3, 1, 1)))]


class wrong_no_pooling(InceptionLayers):
    """Two 1x1 branches: the pooling is missing.

    Named: the pooling is missing
    """

    def branches(self, x):
        return [*super().branches(x)[:3], F.relu(self.proj(x))]


class wrong_pools_last(InceptionLayers):
    """Pools after the projection instead of before it."""

    def branches(self, x):
        return [*super().branches(x)[:3], F.max_pool2d(F.relu(self.proj(x)), 3, 1, 1)]


class wrong_pads_with_zeros(InceptionLayers):
    """Pads with zeros before the pooling, which are larger than negative pixels.

    Named: zeros are larger than a negative pixel
    """

    def branches(self, x):
        pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)
        return [*super().branches(x)[:3], F.relu(self.proj(pooled))]


class wrong_pooling_stride(InceptionLayers):
    """Forgets that the stride of pooling is the side of the window unless one says so.

    Named: raised RuntimeError
    """

    def branches(self, x):
        return [*super().branches(x)[:3], F.relu(self.proj(F.max_pool2d(x, 3, padding=1)))]


class wrong_no_padding(InceptionLayers):
    """The 5x5 filters make the map smaller.

    Named: raised RuntimeError
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.five.padding = (0, 0)


class wrong_batch_axis(InceptionLayers):
    """Puts the maps together along the batch.

    Named: raised RuntimeError
    """

    def forward(self, x):
        return torch.cat(self.branches(x))


class wrong_pile_of_all(InceptionLayers):
    """The reductions go into the pile as well.

    Named: does not go into the pile
    """

    def forward(self, x):
        return torch.cat([*self.branches(x), self.before3(x).relu(), self.before5(x).relu()], 1)


class wrong_torchvision_kernel(InceptionLayers):
    """3x3 instead of 5x5 filters, as in torchvision.

    Named: 3x3 is what torchvision has there
    """

    large = 3


class wrong_no_biases(InceptionLayers):
    """Convolutions without biases, as before a batch normalisation.

    Named: the convolutions have biases
    """

    bias = False


class wrong_no_reduction(nn.Module):
    """The large filters see the input.

    Named: the large filters see the maps of their reduction
    """

    def __init__(self, c, n1, r3, n3, r5, n5, proj):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(c, n, k, padding=k // 2) for n, k in ((n1, 1), (n3, 3), (n5, 5), (proj, 1))
        )

    def forward(self, x):
        one, three, five, last = self.convs
        parts = (one(x), three(x), five(x), last(F.max_pool2d(x, 3, 1, 1)))
        return F.relu(torch.cat(parts, 1))


class wrong_nothing_refused(InceptionLayers):
    """Makes branches without channels."""

    def __init__(self, *numbers):
        super().__init__(*(max(n, 1) for n in numbers))


class wrong_overwrites_its_input(InceptionLayers):
    """An in-place ReLU on the input.

    Named: the call changed argument 1
    """

    def forward(self, x):
        return torch.cat(self.branches(F.relu(x, inplace=True)), 1)
