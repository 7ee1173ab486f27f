"""Answers to a4_mobile, task 7."""

import torch
import torch.nn.functional as F
from torch import nn


def refuse_inverted(*numbers):
    if min(numbers) < 1:
        raise ValueError(f"{numbers} must be at least 1")


class right_named_layers(nn.Module):
    """Layers by name, the last one first; min and max instead of ReLU6."""

    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        refuse_inverted(in_channels, out_channels, stride, expansion)
        wide = in_channels * expansion
        self.narrow = nn.Conv2d(wide, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.look = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.norm2 = nn.BatchNorm2d(wide)
        self.widen = None
        if expansion != 1:
            self.widen, self.norm1 = nn.Conv2d(in_channels, wide, 1, bias=False), None
            self.norm1 = nn.BatchNorm2d(wide)
        self.same = (in_channels, 1) == (out_channels, stride)

    def forward(self, x):
        y = x
        if self.widen is not None:
            y = self.norm1(self.widen(y)).clamp(0, 6)
        y = self.norm2(self.look(y)).clamp(0, 6)
        y = self.norm3(self.narrow(y))
        if self.same:
            y += x
        return y


class right_two_kinds(nn.Module):
    """A list of steps, and the shortcut as a number that multiplies the input."""

    def __init__(self, i, o, s=1, t=6):
        super().__init__()
        if i <= 0 or o <= 0 or s <= 0 or t <= 0:
            raise ValueError("nothing there")

        def step(a, b, k, stride=1, groups=1, *, active=True):
            conv = nn.Conv2d(a, b, k, stride, k // 2, groups=groups, bias=False)
            layers = [conv, nn.BatchNorm2d(b)]
            return nn.Sequential(*layers, *([nn.Hardtanh(0, 6)] if active else []))

        steps = [step(i, i * t, 1)] * (t > 1)
        steps += [step(i * t, i * t, 3, s, i * t), step(i * t, o, 1, active=False)]
        self.steps = nn.ModuleList(steps)
        self.kept = int(s == 1 and i == o)

    def forward(self, x):
        y = x
        for step in self.steps:
            y = step(y)
        return y + self.kept * x if self.kept else y


class InvertedLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False
    always_expands = False

    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        refuse_inverted(in_channels, out_channels, stride, expansion)
        self.stride = stride
        wide = self.width(in_channels, out_channels, expansion)
        self.widen = None
        if expansion > 1 or self.always_expands:
            self.widen = nn.Conv2d(in_channels, wide, 1, bias=self.bias)
            self.norm1 = nn.BatchNorm2d(wide)
        self.look = nn.Conv2d(wide, wide, 3, stride, 1, groups=self.groups(wide), bias=self.bias)
        self.norm2 = nn.BatchNorm2d(wide)
        self.narrow = nn.Conv2d(wide, out_channels, 1, bias=self.bias)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.has_shortcut = self.shortcut(in_channels, out_channels, stride, expansion)

    def width(self, in_channels, out_channels, expansion):
        return in_channels * expansion

    def groups(self, wide):
        return wide

    def shortcut(self, in_channels, out_channels, stride, expansion):
        return stride == 1 and in_channels == out_channels

    def first(self, x):
        return F.relu6(self.norm1(self.widen(x)))

    def second(self, x):
        return F.relu6(self.norm2(self.look(x)))

    def third(self, x):
        return self.norm3(self.narrow(x))

    def change(self, x):
        return self.third(self.second(x if self.widen is None else self.first(x)))

    def forward(self, x):
        return x + self.change(x) if self.has_shortcut else self.change(x)


class wrong_relu_after_bottleneck(InvertedLayers):
    """Activates the narrow map.

    Named: the bottleneck is linear
    """

    def third(self, x):
        return F.relu6(super().third(x))


class wrong_relu_after_addition(InvertedLayers):
    """Activates after the addition, as ResNet does.

    Named: no activation after the addition
    """

    def forward(self, x):
        y = super().forward(x)
        return F.relu(y) if self.has_shortcut else y


class wrong_shortcut_at_stride_2(InvertedLayers):
    """Looks at the channels only, and adds every second pixel.

    Named: with stride 2 there is no shortcut
    """

    def forward(self, x):
        y = self.change(x)
        s = self.stride
        return y + x[:, :, ::s, ::s] if x.shape[1] == y.shape[1] else y


class wrong_shortcut_by_shape(InvertedLayers):
    """Compares shapes, which agree for a single pixel whatever the stride.

    Named: though the shapes agree for a single pixel
    """

    def forward(self, x):
        y = self.change(x)
        return x + y if x.shape == y.shape else y


class wrong_no_shortcut(InvertedLayers):
    """Never adds.

    Named: the shortcut is missing
    """

    def shortcut(self, *_):
        return False


class wrong_shortcut_needs_expansion(InvertedLayers):
    """No shortcut where t = 1.

    Named: an expansion of 1 takes no shortcut away
    """

    def shortcut(self, in_channels, out_channels, stride, expansion):
        return stride == 1 and in_channels == out_channels and expansion > 1


class wrong_shortcut_by_stride_only(InvertedLayers):
    """Adds wherever the stride is 1, and fails where the channels differ.

    Named: raised RuntimeError
    """

    def shortcut(self, in_channels, out_channels, stride, expansion):
        return stride == 1


class wrong_projected_shortcut(InvertedLayers):
    """A projection where the channels differ, as in ResNet.

    Named: there is no projection either
    """

    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        if in_channels != out_channels and expansion > 1:
            self.project = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.norm0 = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        y = super().forward(x)
        return y + self.norm0(self.project(x)) if hasattr(self, "project") else y


class wrong_shortcut_joins_the_wide_ends(InvertedLayers):
    """The shortcut of a bottleneck: from the wide map to the wide map."""

    def change(self, x):
        y = x if self.widen is None else self.first(x)
        z = self.second(y)
        return self.third(z + y if self.has_shortcut else z)

    def forward(self, x):
        return self.change(x)


class wrong_expands_at_t_1(InvertedLayers):
    """A first convolution where there is nothing to widen.

    Named: with an expansion of 1 there is nothing to widen
    """

    always_expands = True


class wrong_relu(InvertedLayers):
    """ReLU without the 6.

    Named: this is ReLU; ReLU6 cuts at 6
    """

    def first(self, x):
        return F.relu(self.norm1(self.widen(x)))

    def second(self, x):
        return F.relu(self.norm2(self.look(x)))


class wrong_linear_expansion(InvertedLayers):
    """No activation after the expansion.

    Named: a ReLU6 follows the expansion
    """

    def first(self, x):
        return self.norm1(self.widen(x))


class wrong_linear_depthwise(InvertedLayers):
    """No activation after the depthwise convolution, as in ShuffleNet.

    Named: a ReLU6 follows the depthwise convolution
    """

    def second(self, x):
        return self.norm2(self.look(x))


class wrong_expands_the_output(InvertedLayers):
    """t times the channels that come out.

    Named: the expansion multiplies the channels that come in
    """

    def width(self, in_channels, out_channels, expansion):
        return (out_channels if expansion > 1 else in_channels) * expansion


class wrong_full_3x3(InvertedLayers):
    """The 3x3 convolution mixes channels.

    Named: the 3x3 convolution is depthwise
    """

    def groups(self, wide):
        return 1


class wrong_bottleneck_without_norm(InvertedLayers):
    """Takes "linear" for "without normalisation".

    Named: has a normalisation as well
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.norm3 = nn.Identity()


class wrong_batch_norm_forgotten(InvertedLayers):
    """No normalisation.

    Named: batch normalisation is missing
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.norm1 = self.norm2 = self.norm3 = nn.Identity()


class wrong_bias_left_on(InvertedLayers):
    """Convolutions with biases.

    Named: needs no bias
    """

    bias = True


class wrong_norm_after_relu6(InvertedLayers):
    """Conv, ReLU6, batch norm."""

    def second(self, x):
        return self.norm2(F.relu6(self.look(x)))


class wrong_adds_into_the_input(InvertedLayers):
    """Adds in place."""

    def forward(self, x):
        y = self.change(x)
        if not self.has_shortcut:
            return y
        with torch.no_grad():
            x += y
        return x.clone()


class wrong_nothing_refused(InvertedLayers):
    """Builds a block without a middle.

    Named: expected a ValueError
    """

    def __init__(self, *args):
        super().__init__(*(max(number, 1) for number in args))
