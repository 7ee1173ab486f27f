"""Answers to a5_encoder_decoder, task 6."""
# ruff: noqa: F821  (the notebook defines DoubleConv in task 5)

import torch
import torch.nn.functional as F
from torch import nn


def two_convolutions(entering, leaving, padded, bias=False):
    layers = []
    for channels in (entering, leaving):
        layers.append(nn.Conv2d(channels, leaving, 3, padding=int(padded), bias=bias))
        layers += [nn.BatchNorm2d(leaving), nn.ReLU()]
    return nn.Sequential(*layers)


class right_with_task_5(nn.Module):
    """The block of task 5; crops by slices from both ends."""

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__()
        if skip_channels < 1 or in_channels < 1:
            raise ValueError("channels")
        self.merge = DoubleConv(skip_channels + max(out_channels, 0), out_channels, padded)
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, 2, bias=False)

    def forward(self, x, skip):
        x = self.up(x)
        for axis in (2, 3):
            extra = skip.shape[axis] - x.shape[axis]
            if extra < 0:
                raise ValueError("too small")
            skip = skip.narrow(axis, extra // 2, x.shape[axis])
        return self.merge(torch.cat((skip, x), 1))


class right_padding_negative(nn.Module):
    """Crops with F.pad, and doubles with an einsum."""

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__()
        if not all(c >= 1 for c in (in_channels, skip_channels, out_channels)):
            raise ValueError("channels")
        self.kernels = nn.Parameter(torch.randn(in_channels, out_channels, 2, 2))
        self.first = nn.Conv2d(
            skip_channels + out_channels, out_channels, 3, padding=int(padded), bias=False
        )
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=int(padded), bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)])

    def forward(self, x, skip):
        n, _, h, w = x.shape
        x = torch.einsum("nchw,coij->nohiwj", x, self.kernels).reshape(n, -1, 2 * h, 2 * w)
        rows, columns = skip.shape[2] - 2 * h, skip.shape[3] - 2 * w
        if min(rows, columns) < 0:
            raise ValueError("too small")
        left, top = columns // 2, rows // 2
        skip = F.pad(skip, [-left, left - columns, -top, top - rows])
        x = self.norms[0](self.first(torch.cat([skip, x], dim=1))).relu()
        return self.norms[1](self.second(x)).relu()


class UpLayers(nn.Module):
    """What most of the wrong answers share."""

    conv_bias = False
    up_bias = False

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__()
        if min(in_channels, skip_channels, out_channels) < 1:
            raise ValueError("channels")
        i, s, o = in_channels, skip_channels, out_channels
        self.up = nn.ConvTranspose2d(i, o, 2, stride=2, bias=self.up_bias)
        self.merge = two_convolutions(self.pile(s, o), o, padded, self.conv_bias)

    def pile(self, skip_channels, out_channels):
        return skip_channels + out_channels

    def cut(self, skip, height, width):
        top, left = (skip.shape[2] - height) // 2, (skip.shape[3] - width) // 2
        return skip[:, :, top : top + height, left : left + width]

    def check(self, skip, height, width):
        if skip.shape[2] < height or skip.shape[3] < width:
            raise ValueError("too small")

    def joined(self, skip, x):
        return torch.cat([skip, x], dim=1)

    def forward(self, x, skip):
        x = self.up(x)
        self.check(skip, *x.shape[2:])
        return self.merge(self.joined(self.cut(skip, *x.shape[2:]), x))


class wrong_order(UpLayers):
    """What comes from below stands first.

    Named: the copy comes first
    """

    def joined(self, skip, x):
        return torch.cat([x, skip], dim=1)


class wrong_adds(UpLayers):
    """Adds the copy, as ResNet does; where channels differ, as many as there are.

    Named: the copy is put on the pile
    """

    def pile(self, skip_channels, out_channels):
        return out_channels

    def joined(self, skip, x):
        channels = min(skip.shape[1], x.shape[1])
        return x + F.pad(skip[:, :channels], [0, 0, 0, 0, 0, x.shape[1] - channels])


class wrong_corner(UpLayers):
    """Cuts from the upper left corner.

    Named: this is its upper left corner
    """

    def cut(self, skip, height, width):
        return skip[:, :, :height, :width]


class wrong_far_corner(UpLayers):
    """Cuts from the lower right corner.

    Named: this is its lower right corner
    """

    def cut(self, skip, height, width):
        return skip[:, :, skip.shape[2] - height :, skip.shape[3] - width :]


class wrong_one_more_on_top(UpLayers):
    """Of an odd number of rows the one more goes on top."""

    def cut(self, skip, height, width):
        top, left = (skip.shape[2] - height + 1) // 2, (skip.shape[3] - width + 1) // 2
        return skip[:, :, top : top + height, left : left + width]


class wrong_same_margin(UpLayers):
    """Takes the margin of the rows for the columns too: right for squares."""

    def cut(self, skip, height, width):
        margin = (skip.shape[2] - height) // 2
        left = min(margin, skip.shape[3] - width)
        return skip[:, :, margin : margin + height, left : left + width]


class wrong_shrinks_the_copy(UpLayers):
    """Interpolates the copy to the size.

    Named: it is not made smaller
    """

    def cut(self, skip, height, width):
        return F.interpolate(skip, (height, width), mode="bilinear", align_corners=False)


class wrong_enlarges_the_map(UpLayers):
    """Pads the doubled map up to the size of the copy.

    Named: the copy is cut to the size of the doubled map
    """

    def forward(self, x, skip):
        x = self.up(x)
        self.check(skip, *x.shape[2:])
        rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.merge(torch.cat([skip, x], dim=1))


class wrong_copy_unused(UpLayers):
    """Goes up without the copy.

    Named: the copy is put on the pile
    """

    def pile(self, skip_channels, out_channels):
        return out_channels

    def joined(self, skip, x):
        return x


class wrong_up_keeps_channels(UpLayers):
    """Doubles all channels, and has more on the pile.

    Named: the transposed convolution makes out_channels
    """

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__(in_channels, skip_channels, out_channels, padded)
        self.up = nn.ConvTranspose2d(in_channels, in_channels, 2, stride=2, bias=False)
        self.merge = two_convolutions(skip_channels + in_channels, out_channels, padded)


class wrong_interpolates(UpLayers):
    """Enlarges without weights.

    Named: doubled by a transposed convolution
    """

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__(in_channels, skip_channels, out_channels, padded)
        self.up = nn.Upsample(scale_factor=2)
        self.merge = two_convolutions(skip_channels + in_channels, out_channels, padded)


class wrong_up_bias(UpLayers):
    """Biases as by default.

    Named: the transposed convolution has no bias
    """

    up_bias = True


class wrong_conv_biases(UpLayers):
    """Biases in front of batch normalisation.

    Named: needs no bias
    """

    conv_bias = True


class wrong_kernels_turned(UpLayers):
    """Each 2x2 stamp upside down."""

    def forward(self, x, skip):
        x = F.conv_transpose2d(x, self.up.weight.flip(2, 3), stride=2)
        self.check(skip, *x.shape[2:])
        return self.merge(self.joined(self.cut(skip, *x.shape[2:]), x))


class wrong_relu_after_up(UpLayers):
    """Activates the doubled map."""

    def joined(self, skip, x):
        return torch.cat([skip, x.relu()], dim=1)


class wrong_copy_detached(UpLayers):
    """No gradient goes across."""

    def joined(self, skip, x):
        return torch.cat([skip.detach(), x], dim=1)


class wrong_always_padded(UpLayers):
    """Keeps the size, whether it should or not.

    Named: without padding each 3x3 convolution takes 2 rows
    """

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__(in_channels, skip_channels, out_channels, True)


class wrong_small_copy_padded(UpLayers):
    """Fills up a copy that is too small.

    Named: expected a ValueError
    """

    def check(self, skip, height, width):
        pass

    def cut(self, skip, height, width):
        rows, columns = height - skip.shape[2], width - skip.shape[3]
        return F.pad(skip, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])


class wrong_columns_not_checked(UpLayers):
    """Looks at the rows alone."""

    def check(self, skip, height, width):
        if skip.shape[2] < height:
            raise ValueError("too small")


class wrong_nothing_refused(UpLayers):
    """A block of no channels."""

    def __init__(self, in_channels, skip_channels, out_channels, padded=False):
        super().__init__(*(max(c, 1) for c in (in_channels, skip_channels, out_channels)), padded)
