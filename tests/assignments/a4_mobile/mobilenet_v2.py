"""Answers to a4_mobile, task 11."""
# ruff: noqa: F821  (the notebook defines MOBILENET_V2 and, in task 7, InvertedResidual)

import torch.nn.functional as F
from torch import nn


class Residual6(nn.Module):
    """An inverted residual of its own, so that no answer needs task 7."""

    def __init__(self, i, o, stride, t, *, expands=None, shortcut=True):
        super().__init__()
        wide = i * t
        layers = []
        if expands or (expands is None and t > 1):
            layers += [nn.Conv2d(i, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, o, 1, bias=False),
            nn.BatchNorm2d(o),
        ]
        self.layers = nn.Sequential(*layers)
        self.same = shortcut and stride == 1 and i == o

    def forward(self, x):
        return self.layers(x) + x if self.same else self.layers(x)


def refuse_table(table):
    for row in table:
        if len(row) != 4 or any(number < 1 for number in row):
            raise ValueError(f"not a row: {row}")


class right_with_task_7(nn.Module):
    """Blocks of task 7 in a list, the head registered first."""

    def __init__(self, num_classes=1000, table=MOBILENET_V2, first=32, last=1280):
        super().__init__()
        refuse_table(table)
        self.head = nn.Linear(last, num_classes)
        self.front = nn.Conv2d(3, first, 3, 2, 1, bias=False)
        self.norm_front = nn.BatchNorm2d(first)
        inputs = [first]
        self.blocks = nn.ModuleList()
        for t, c, n, s in table:
            for stride in [s] + [1] * (n - 1):
                self.blocks.append(InvertedResidual(inputs[-1], c, stride, t))
                inputs.append(c)
        self.behind = nn.Conv2d(inputs[-1], last, 1, bias=False)
        self.norm_behind = nn.BatchNorm2d(last)

    def maps(self, x):
        x = F.relu6(self.norm_front(self.front(x)))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.norm_behind(self.behind(x)))

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(self.maps(x), 1).flatten(1))


class NetLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False
    front_stride = 2

    def __init__(self, num_classes=1000, table=MOBILENET_V2, first=32, last=1280):
        super().__init__()
        self.check(table)
        layers = self.layer(3, first, 3, self.front_stride)
        channels = first
        for t, c, n, s in table:
            for stride in self.strides(s, n):
                layers.append(self.block(channels, c, stride, t))
                channels = c
        layers += self.behind(channels, last)
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(last, num_classes)
        self.start()

    def check(self, table):
        refuse_table(table)

    def layer(self, i, o, k, stride=1):
        conv = nn.Conv2d(i, o, k, stride, k // 2, bias=self.bias)
        return [conv, nn.BatchNorm2d(o), nn.ReLU6()]

    def behind(self, channels, last):
        return self.layer(channels, last, 1)

    def strides(self, s, n):
        return [s] + [1] * (n - 1) if n else []

    def block(self, i, o, stride, t):
        return Residual6(i, o, stride, t)

    def start(self):
        pass

    def maps(self, x):
        return self.layers(x)

    def pooled(self, x):
        return x.mean((2, 3))

    def forward(self, x):
        return self.head(self.pooled(self.maps(x)))


class right_own_blocks(NetLayers):
    """A block of its own in the same cell; weights as torchvision starts them."""

    def start(self):
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        nn.init.normal_(self.head.weight, 0, 0.01)
        nn.init.zeros_(self.head.bias)


class wrong_one_block_per_row(NetLayers):
    """Ignores n.

    Named: n is the number of blocks of a row
    """

    def strides(self, s, n):
        return [s]


class wrong_stride_in_every_block(NetLayers):
    """Every block of a row has the stride.

    Named: only the first block of a row has the stride
    """

    def strides(self, s, n):
        return [s] * n


class wrong_stride_in_the_last_block(NetLayers):
    """The last block of a row halves the map, as if the row ended a stage."""

    def strides(self, s, n):
        return [1] * (n - 1) + [s]


class wrong_front_without_stride(NetLayers):
    """The convolution in front keeps the size.

    Named: the convolution in front has stride 2
    """

    front_stride = 1


class wrong_expands_at_t_1(NetLayers):
    """A first convolution where t = 1.

    Named: with t = 1 the first convolution of a block is left out
    """

    def block(self, i, o, stride, t):
        return Residual6(i, o, stride, t, expands=True)


class wrong_never_adds(NetLayers):
    """Blocks without shortcuts.

    Named: the shortcut of the block is missing
    """

    def block(self, i, o, stride, t):
        return Residual6(i, o, stride, t, shortcut=False)


class wrong_first_block_of_a_row_never_adds(NetLayers):
    """Takes the first block of each row for one that changes the shape."""

    def __init__(self, num_classes=1000, table=MOBILENET_V2, first=32, last=1280):
        super().__init__(num_classes, table, first, last)
        position = 3
        for number, (_, _, n, _) in enumerate(table):
            if number:
                self.layers[position].same = False
            position += n


class wrong_no_last_activation(NetLayers):
    """The convolution behind the table is linear, as the blocks are.

    Named: a ReLU6 follows the convolution behind the table
    """

    def behind(self, channels, last):
        return super().behind(channels, last)[:2]


class wrong_no_front_activation(NetLayers):
    """The convolution in front is linear."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layers[2] = nn.Identity()


class wrong_relu(NetLayers):
    """ReLU everywhere.

    Named: all activations are ReLU6
    """

    def start(self):
        for layer in self.modules():
            for name, child in layer.named_children():
                if isinstance(child, nn.ReLU6):
                    setattr(layer, name, nn.ReLU())


class wrong_max_pooling(NetLayers):
    """The largest value of each map instead of the mean."""

    def pooled(self, x):
        return x.amax((2, 3))


class wrong_softmax(NetLayers):
    """Probabilities instead of logits.

    Named: return the logits
    """

    def forward(self, x):
        return super().forward(x).softmax(1)


class wrong_dropout(NetLayers):
    """Dropout in the head, as in the published training."""

    def pooled(self, x):
        return F.dropout(x.mean((2, 3)), 0.2, self.training)


class wrong_maps_averaged(NetLayers):
    """maps returns the means.

    Named: the mean belongs to the head
    """

    def maps(self, x):
        return self.layers(x).mean((2, 3))

    def pooled(self, x):
        return x


class wrong_nothing_behind_the_table(NetLayers):
    """The last block's maps go into the head.

    Named: the 1x1 convolution behind the table is missing
    """

    def __init__(self, num_classes=1000, table=MOBILENET_V2, first=32, last=1280):
        super().__init__(num_classes, table, first, table[-1][1] if table else first)

    def behind(self, channels, last):
        return []


class wrong_bias_left_on(NetLayers):
    """Biases in front of and behind the table.

    Named: needs no bias
    """

    bias = True


class wrong_head_without_bias(NetLayers):
    """A linear layer without biases.

    Named: the linear layer has biases
    """

    def start(self):
        self.head.bias = None


class wrong_table_unchecked(NetLayers):
    """Reads a row without blocks as no row.

    Named: expected a ValueError
    """

    def check(self, table):
        pass


class wrong_published_table_only(NetLayers):
    """Ignores the table that it is given.

    Named: parameters of MobileNetV2(5, [(1, 8, 2, 1)], 8, 20)
    """

    def __init__(self, num_classes=1000, table=MOBILENET_V2, first=32, last=1280):
        super().__init__(num_classes, MOBILENET_V2, first, last)
