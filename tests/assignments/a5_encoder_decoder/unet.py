"""Answers to a5_encoder_decoder, task 7."""
# ruff: noqa: F821  (the notebook defines DoubleConv and Up in tasks 5 and 6)

import torch
import torch.nn.functional as F
from torch import nn


def refuse_net(*numbers):
    if min(numbers) < 1:
        raise ValueError("at least 1")


class right_with_tasks_5_and_6(nn.Module):
    """Blocks of the earlier tasks; sizes looked at where they occur."""

    def __init__(self, in_channels, num_classes, base=64, depth=4, padded=False):
        super().__init__()
        refuse_net(in_channels, num_classes, base, depth)
        self.smallest = 1 if padded else 5
        self.head = nn.Conv2d(base, num_classes, kernel_size=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, wide = in_channels, base
        for _ in range(depth):
            self.down.append(DoubleConv(channels, wide, padded))
            self.up.insert(0, Up(2 * wide, wide, wide, padded))
            channels, wide = wide, 2 * wide
        self.bottom = DoubleConv(channels, wide, padded)

    def fits(self, x):
        if min(x.shape[2:]) < self.smallest:
            raise ValueError("nothing would be left")
        return x

    def forward(self, x):
        copies = []
        for block in self.down:
            x = block(self.fits(x))
            copies.append(x)
            if x.shape[2] % 2 or x.shape[3] % 2:
                raise ValueError("odd")
            x = F.max_pool2d(x, 2)
        x = self.bottom(self.fits(x))
        for block in self.up:
            if 2 * min(x.shape[2:]) < self.smallest:
                raise ValueError("nothing would be left")
            x = block(x, copies.pop())
        return self.head(x)


class Level(nn.Module):
    """A level with everything that is below it."""

    def __init__(self, channels, wide, depth, padded):
        super().__init__()
        self.inwards = self.convolutions(channels, wide, padded)
        self.below = None
        if depth:
            self.below = Level(wide, 2 * wide, depth - 1, padded)
            self.up = nn.ConvTranspose2d(2 * wide, wide, 2, 2, bias=False)
            self.outwards = self.convolutions(2 * wide, wide, padded)

    @staticmethod
    def convolutions(entering, leaving, padded):
        layers = []
        for channels in (entering, leaving):
            layers.append(nn.Conv2d(channels, leaving, 3, padding=int(padded), bias=False))
            layers += [nn.BatchNorm2d(leaving), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.inwards(x)
        if self.below is None:
            return x
        if any(side % 2 for side in x.shape[2:]):
            raise ValueError("odd")
        y = self.up(self.below(F.max_pool2d(x, 2)))
        rows, columns = ((a - b) // 2 for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
        x = x[:, :, rows : rows + y.shape[2], columns : columns + y.shape[3]]
        return self.outwards(torch.cat((x, y), 1))


class right_recursion(nn.Module):
    """A U-Net is a level around a smaller U-Net; torch says when nothing is left."""

    def __init__(self, in_channels, num_classes, base=64, depth=4, padded=False):
        super().__init__()
        refuse_net(in_channels, num_classes, base, depth)
        self.level = Level(in_channels, base, depth, padded)
        self.head = nn.Conv2d(base, num_classes, 1)

    def forward(self, x):
        try:
            return self.head(self.level(x))
        except RuntimeError as error:  # a kernel larger than the map
            raise ValueError("nothing would be left") from error


class NetLayers(nn.Module):
    """What most of the wrong answers share."""

    up_bias = conv_bias = False
    head_bias = True
    growth = 2

    def __init__(self, in_channels, num_classes, base=64, depth=4, padded=False):
        super().__init__()
        self.refuse(in_channels, num_classes, base, depth)
        self.padded = padded
        widths = [base * self.growth**level for level in range(depth + 1)]
        inputs = [in_channels, *widths]
        self.down = nn.ModuleList(self.block(i, o) for i, o in zip(inputs, widths, strict=False))
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(depth)):
            above, below = widths[level], widths[level + 1]
            self.up.append(self.doubling(below, above))
            self.merge.append(self.block(self.pile(above), above))
        self.head = nn.Conv2d(base, num_classes, 1, bias=self.head_bias)

    def refuse(self, *numbers):
        refuse_net(*numbers)

    def block(self, entering, leaving):
        layers = []
        for i in (entering, leaving):
            conv = nn.Conv2d(i, leaving, 3, padding=int(self.padded), bias=self.conv_bias)
            layers += [conv, *self.norm(leaving), nn.ReLU()]
        return nn.Sequential(*layers)

    def norm(self, channels):
        return [nn.BatchNorm2d(channels)]

    def doubling(self, below, above):
        return nn.ConvTranspose2d(below, above, 2, stride=2, bias=self.up_bias)

    def pile(self, channels):
        return 2 * channels

    def check(self, x):
        for side in x.shape[2:]:
            for _ in self.up:
                side -= 0 if self.padded else 4
                if side % 2 or side < 1:
                    raise ValueError("does not fit")
                side //= 2
            if side < (1 if self.padded else 7 if len(self.up) == 1 else 8):
                raise ValueError("nothing would be left")

    def pooled(self, x):
        return F.max_pool2d(x, 2)

    def cut(self, copy, height, width):
        top, left = (copy.shape[2] - height) // 2, (copy.shape[3] - width) // 2
        return copy[:, :, top : top + height, left : left + width]

    def joined(self, copy, x):
        return torch.cat([copy, x], dim=1)

    def order(self, copies):
        return copies[::-1]

    def logits(self, x):
        return self.head(x)

    def forward(self, x):
        self.check(x)
        copies = []
        for block in self.down[:-1]:
            x = block(x)
            copies.append(x)
            x = self.pooled(x)
        x = self.down[-1](x)
        for up, merge, copy in zip(self.up, self.merge, self.order(copies), strict=True):
            x = up(x)
            x = merge(self.joined(self.cut(copy, *x.shape[2:]), x))
        return self.logits(x)


class wrong_order(NetLayers):
    """What comes from below stands first on the pile.

    Named: the copy comes first
    """

    def joined(self, copy, x):
        return torch.cat([x, copy], dim=1)


class wrong_adds(NetLayers):
    """Adds the copies.

    Named: the copy is put on the pile, not added
    """

    def pile(self, channels):
        return channels

    def joined(self, copy, x):
        return copy + x


class wrong_corner(NetLayers):
    """Cuts the copies from the corner."""

    def cut(self, copy, height, width):
        return copy[:, :, :height, :width]


class wrong_no_skips(NetLayers):
    """An autoencoder: nothing goes across, twice the same on the pile."""

    def joined(self, copy, x):
        return torch.cat([x, x], dim=1)


class wrong_copy_after_pooling(NetLayers):
    """Keeps what the pooling left, and blows it up again."""

    def cut(self, copy, height, width):
        half = F.max_pool2d(copy, 2)
        return super().cut(F.interpolate(half, scale_factor=2), height, width)


class wrong_average_pooling(NetLayers):
    """Pools with the mean."""

    def pooled(self, x):
        return F.avg_pool2d(x, 2)


class wrong_constant_width(NetLayers):
    """The same channels on each level.

    Named: parameters of UNet(1, 2, 2, 1)
    """

    growth = 1


class wrong_no_norm(NetLayers):
    """As in the paper.

    Named: batch normalisation is missing
    """

    def norm(self, channels):
        return []


class wrong_conv_biases(NetLayers):
    """Biases in front of batch normalisation.

    Named: needs no bias
    """

    conv_bias = True


class wrong_up_bias(NetLayers):
    """Biases as by default.

    Named: the transposed convolutions have no bias
    """

    up_bias = True


class wrong_head_without_bias(NetLayers):
    """No biases anywhere.

    Named: the 1x1 convolution at the end has biases
    """

    head_bias = False


class wrong_softmax(NetLayers):
    """Probabilities instead of logits.

    Named: the softmax belongs to the loss
    """

    def logits(self, x):
        return super().logits(x).softmax(dim=1)


class wrong_one_vector(NetLayers):
    """Averages the pixels away, as a classifier does.

    Named: one logit for each class and pixel
    """

    def logits(self, x):
        return super().logits(x).mean(dim=(2, 3))


class wrong_relu_after_head(NetLayers):
    """Logits that cannot be negative."""

    def logits(self, x):
        return super().logits(x).relu()


class wrong_always_padded(NetLayers):
    """Keeps the size, whether it should or not.

    Named: without padding each 3x3 convolution shaves off
    """

    def __init__(self, in_channels, num_classes, base=64, depth=4, padded=False):
        super().__init__(in_channels, num_classes, base, depth, True)


class wrong_odd_sizes_cut(NetLayers):
    """Lets max pooling drop the odd row.

    Named: expected a ValueError
    """

    def check(self, x):
        pass


class wrong_only_the_height(NetLayers):
    """Looks at the rows alone.

    Named: 17 columns would be pooled
    """

    def check(self, x):
        super().check(x[:, :, :, :1].expand(-1, -1, -1, x.shape[2]))


class wrong_only_the_first_pooling(NetLayers):
    """Looks at the input alone: deeper maps may be odd."""

    def check(self, x):
        if any((side if self.padded else side - 4) % 2 for side in x.shape[2:]):
            raise ValueError("odd")


class wrong_runtime_error(NetLayers):
    """Leaves it to torch to complain when nothing is left: another error."""

    def check(self, x):
        for side in x.shape[2:]:
            for _ in self.up:
                side -= 0 if self.padded else 4
                if side % 2:
                    raise ValueError("odd")
                side //= 2


class wrong_interpolates_the_output(NetLayers):
    """Brings the output back to the size of the picture.

    Named: without padding each 3x3 convolution shaves off
    """

    def forward(self, x):
        return F.interpolate(super().forward(x), x.shape[2:], mode="bilinear", align_corners=False)


class wrong_nothing_refused(NetLayers):
    """A network without poolings.

    Named: expected a ValueError
    """

    def refuse(self, *numbers):
        pass
