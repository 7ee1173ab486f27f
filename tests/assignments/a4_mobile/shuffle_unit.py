"""Answers to a4_mobile, task 6."""

import torch
import torch.nn.functional as F
from torch import nn


def refuse_unit(in_channels, out_channels, stride, groups):
    if stride not in (1, 2) or out_channels % 4:
        raise ValueError("stride or channels")
    made = out_channels if stride == 1 else out_channels - in_channels
    if (stride == 1 and in_channels != out_channels) or made < 1:
        raise ValueError("channels do not fit")
    if any(n % groups for n in (in_channels, out_channels // 4, made)):
        raise ValueError("groups")
    return made


class right_shuffled_by_index(nn.Module):
    """Layers in a dict, the last one registered first; the shuffle as a list of channels."""

    def __init__(self, in_channels, out_channels, stride, groups):
        super().__init__()
        made = refuse_unit(in_channels, out_channels, stride, groups)
        m = out_channels // 4
        self.order = torch.arange(m).reshape(groups, -1).T.flatten().tolist()
        self.stride = stride
        self.layers = nn.ModuleDict(
            {
                "out": nn.Conv2d(m, made, 1, groups=groups, bias=False),
                "norm_out": nn.BatchNorm2d(made),
                "look": nn.Conv2d(m, m, 3, stride, 1, groups=m, bias=False),
                "norm_look": nn.BatchNorm2d(m),
                "in": nn.Conv2d(in_channels, m, 1, groups=groups, bias=False),
                "norm_in": nn.BatchNorm2d(m),
            }
        )

    def step(self, name, x):
        return self.layers[f"norm_{name}"](self.layers[name](x))

    def forward(self, x):
        y = F.relu(self.step("in", x))[:, self.order]
        y = self.step("out", self.step("look", y))
        if self.stride == 1:
            return (x + y).relu()
        pooled = F.pad(x, [1] * 4).unfold(2, 3, 2).unfold(3, 3, 2).mean((-1, -2))
        return torch.cat((pooled.relu(), y.relu()), 1)


class right_sequential(nn.Module):
    """One sequential model with torch's own shuffle in it, and a pooling or nothing beside it."""

    def __init__(self, in_channels, out_channels, stride, groups):
        super().__init__()
        made, m = refuse_unit(in_channels, out_channels, stride, groups), out_channels // 4
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, m, 1, groups=groups, bias=False),
            nn.BatchNorm2d(m),
            nn.ReLU(inplace=True),
            nn.ChannelShuffle(groups),
            nn.Conv2d(m, m, 3, stride, padding=1, groups=m, bias=False),
            nn.BatchNorm2d(m),
            nn.Conv2d(m, made, 1, groups=groups, bias=False),
            nn.BatchNorm2d(made),
        )
        self.around = nn.Identity() if stride == 1 else nn.AvgPool2d(3, 2, padding=1)
        self.added = stride == 1

    def forward(self, x):
        parts = self.around(x), self.residual(x)
        return F.relu(sum(parts) if self.added else torch.cat(parts, 1))


class UnitLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False
    in_groups = out_groups = True
    depthwise = True

    def __init__(self, in_channels, out_channels, stride, groups):
        super().__init__()
        made = self.made(in_channels, out_channels, stride, groups)
        m = self.width(out_channels)
        self.stride, self.groups = stride, groups
        g1, g3 = (groups if grouped else 1 for grouped in (self.in_groups, self.out_groups))
        self.conv1 = nn.Conv2d(in_channels, m, 1, groups=g1, bias=self.bias)
        self.norm1 = nn.BatchNorm2d(m)
        self.conv2 = nn.Conv2d(
            m, m, 3, stride, 1, groups=m if self.depthwise else 1, bias=self.bias
        )
        self.norm2 = nn.BatchNorm2d(m)
        self.conv3 = nn.Conv2d(m, made, 1, groups=g3, bias=self.bias)
        self.norm3 = nn.BatchNorm2d(made)

    def made(self, in_channels, out_channels, stride, groups):
        return refuse_unit(in_channels, out_channels, stride, groups)

    def width(self, out_channels):
        return out_channels // 4

    def shuffle(self, x):
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)

    def residual(self, x):
        x = self.shuffle(F.relu(self.norm1(self.conv1(x))))
        return self.norm3(self.conv3(self.norm2(self.conv2(x))))

    def pool(self, x):
        return F.avg_pool2d(x, 3, 2, 1)

    def forward(self, x):
        if self.stride == 1:
            return F.relu(x + self.residual(x))
        return F.relu(torch.cat((self.pool(x), self.residual(x)), 1))


class wrong_no_shuffle(UnitLayers):
    """Groups that never hear of each other.

    Named: the shuffle is missing
    """

    def shuffle(self, x):
        return x


class wrong_shuffle_backwards(UnitLayers):
    """n rows of g instead of g rows of n: the way back."""

    def shuffle(self, x):
        return x.unflatten(1, (-1, self.groups)).transpose(1, 2).flatten(1, 2)


class wrong_shuffle_after_depthwise(UnitLayers):
    """Shuffles one layer too late, which is as good, but another network."""

    def residual(self, x):
        x = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return self.norm3(self.conv3(self.shuffle(x)))


class wrong_shuffle_at_the_end(UnitLayers):
    """Shuffles what comes out: each group of the last convolution has seen one group only.

    Named: ShuffleUnit(16, 16, 1, 2), all filters 1
    """

    def residual(self, x):
        x = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return self.shuffle(self.norm3(self.conv3(x)))


class wrong_groups_ignored(UnitLayers):
    """Full 1x1 convolutions.

    Named: both 1x1 convolutions have groups
    """

    in_groups = out_groups = False


class wrong_groups_in_the_first_only(UnitLayers):
    """A full second 1x1 convolution: then no shuffle would be needed.

    Named: not one of them
    """

    out_groups = False


class wrong_full_3x3(UnitLayers):
    """The 3x3 convolution sees all channels in the middle.

    Named: the 3x3 convolution is depthwise
    """

    depthwise = False


class wrong_no_bottleneck(UnitLayers):
    """As many channels in the middle as come out.

    Named: a quarter of out_channels
    """

    def width(self, out_channels):
        return out_channels


class wrong_relu_after_depthwise(UnitLayers):
    """A ReLU after the depthwise convolution, as everywhere else.

    Named: no ReLU follows the depthwise convolution
    """

    def residual(self, x):
        x = self.shuffle(F.relu(self.norm1(self.conv1(x))))
        return self.norm3(self.conv3(F.relu(self.norm2(self.conv2(x)))))


class wrong_first_relu_forgotten(UnitLayers):
    """No ReLU on the way at all.

    Named: a ReLU follows the first 1x1 convolution
    """

    def residual(self, x):
        x = self.shuffle(self.norm1(self.conv1(x)))
        return self.norm3(self.conv3(self.norm2(self.conv2(x))))


class wrong_relu_before_addition(UnitLayers):
    """Activates the residual and adds, or piles, then.

    Named: a ReLU comes after the addition
    """

    def forward(self, x):
        change = F.relu(self.residual(x))
        return x + change if self.stride == 1 else torch.cat((self.pool(x), change), 1)


class wrong_relu_on_half_the_pile(UnitLayers):
    """With stride 2 only the residual is activated.

    Named: a ReLU comes after the pooled input and the residual
    """

    def forward(self, x):
        if self.stride == 1:
            return F.relu(x + self.residual(x))
        return torch.cat((self.pool(x), F.relu(self.residual(x))), 1)


class wrong_no_shortcut(UnitLayers):
    """A plain unit where the stride is 1.

    Named: the shortcut is missing
    """

    def forward(self, x):
        return F.relu(self.residual(x)) if self.stride == 1 else super().forward(x)


class wrong_residual_makes_all(UnitLayers):
    """With stride 2 the residual makes out_channels, and the pooled input comes on top.

    Named: the convolutions make the other 8
    """

    def made(self, in_channels, out_channels, stride, groups):
        refuse_unit(in_channels, out_channels, stride, groups)
        return out_channels


class wrong_pile_order(UnitLayers):
    """The residual first.

    Named: the pooled input comes first
    """

    def forward(self, x):
        if self.stride == 1:
            return F.relu(x + self.residual(x))
        return F.relu(torch.cat((self.residual(x), self.pool(x)), 1))


class wrong_max_pooling(UnitLayers):
    """Pools with the maximum.

    Named: this is max pooling
    """

    def pool(self, x):
        return F.max_pool2d(x, 3, 2, 1)


class wrong_padding_not_counted(UnitLayers):
    """Averages over the pixels that are there.

    Named: the zeros of the padding count
    """

    def pool(self, x):
        return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


class wrong_bias_left_on(UnitLayers):
    """Convolutions with biases.

    Named: needs no bias
    """

    bias = True


class wrong_batch_norm_forgotten(UnitLayers):
    """No normalisation.

    Named: batch normalisation is missing
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.norm1 = self.norm2 = self.norm3 = nn.Identity()


class wrong_any_stride(UnitLayers):
    """Takes every stride but 1 for 2, and adds where it can."""

    def made(self, in_channels, out_channels, stride, groups):
        return refuse_unit(in_channels, out_channels, 1 if stride == 1 else 2, groups)


class wrong_channels_unchecked(UnitLayers):
    """Fails only later, where the channels cannot be added.

    Named: expected a ValueError because with stride 1 the channels must agree
    """

    def made(self, in_channels, out_channels, stride, groups):
        return out_channels if stride == 1 else out_channels - in_channels
