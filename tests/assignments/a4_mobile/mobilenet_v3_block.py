"""Answers to a4_mobile, task 10."""

import torch.nn.functional as F
from torch import nn


def refuse_v3(in_channels, expanded, out_channels, kernel, stride, squeezed):
    given = (in_channels, expanded, out_channels, kernel, stride)
    if min(given) < 1 or kernel % 2 == 0 or (squeezed is not None and squeezed < 1):
        raise ValueError("nothing there, or an even kernel")


class right_sequential(nn.Module):
    """One sequential model with a small module for the factors."""

    def __init__(
        self,
        in_channels,
        expanded,
        out_channels,
        kernel=3,
        stride=1,
        squeezed=None,
        hard_swish=False,
    ):
        super().__init__()
        refuse_v3(in_channels, expanded, out_channels, kernel, stride, squeezed)

        class Weighing(nn.Module):
            def __init__(self):
                super().__init__()
                self.back = nn.Linear(squeezed, expanded)
                self.few = nn.Linear(expanded, squeezed)

            def forward(self, x):
                s = self.back(self.few(x.mean((-1, -2))).relu())
                return x * F.hardsigmoid(s)[..., None, None]

        def step(i, o, k, s=1, g=1):
            conv = nn.Conv2d(i, o, k, s, (k - 1) // 2, groups=g, bias=False)
            return [conv, nn.BatchNorm2d(o)]

        active = nn.Hardswish if hard_swish else nn.ReLU
        layers = []
        if expanded != in_channels:
            layers += [*step(in_channels, expanded, 1), active()]
        layers += [*step(expanded, expanded, kernel, stride, expanded), active()]
        if squeezed is not None:
            layers.append(Weighing())
        layers += step(expanded, out_channels, 1)
        self.change = nn.Sequential(*layers)
        self.added = stride == 1 and in_channels == out_channels

    def forward(self, x):
        return x + self.change(x) if self.added else self.change(x)


class V3Layers(nn.Module):
    """Layers by name, without a choice that a right answer could miss."""

    bias = False
    excitation_bias = True

    def __init__(
        self,
        in_channels,
        expanded,
        out_channels,
        kernel=3,
        stride=1,
        squeezed=None,
        hard_swish=False,
    ):
        super().__init__()
        refuse_v3(in_channels, expanded, out_channels, kernel, stride, squeezed)
        self.hard_swish, self.stride, self.squeezed = hard_swish, stride, squeezed
        kernel = self.side(kernel)
        self.widen = None
        if self.expands(in_channels, expanded):
            self.widen = nn.Conv2d(in_channels, expanded, 1, bias=self.bias)
            self.norm1 = nn.BatchNorm2d(expanded)
        self.look = nn.Conv2d(
            *(expanded, expanded, kernel, stride, kernel // 2),
            groups=expanded,
            bias=self.bias,
        )
        self.norm2 = nn.BatchNorm2d(expanded)
        self.narrow = nn.Conv2d(expanded, out_channels, 1, bias=self.bias)
        self.norm3 = nn.BatchNorm2d(out_channels)
        if squeezed is not None:
            wide = self.weighed_channels(expanded, out_channels)
            self.few = nn.Conv2d(wide, squeezed, 1, bias=self.excitation_bias)
            self.back = nn.Conv2d(squeezed, wide, 1, bias=self.excitation_bias)
        self.has_shortcut = self.shortcut(in_channels, out_channels, stride)

    def side(self, kernel):
        return kernel

    def expands(self, in_channels, expanded):
        return expanded != in_channels

    def weighed_channels(self, expanded, out_channels):
        return expanded

    def shortcut(self, in_channels, out_channels, stride):
        return stride == 1 and in_channels == out_channels

    def active(self, x):
        return F.hardswish(x) if self.hard_swish else F.relu(x)

    def active_inside(self, x):
        return F.relu(x)

    def gate(self, x):
        return F.hardsigmoid(x)

    def weighed(self, x):
        if self.squeezed is None:
            return x
        z = F.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.back(self.active_inside(self.few(z))))

    def first(self, x):
        return x if self.widen is None else self.active(self.norm1(self.widen(x)))

    def second(self, x):
        return self.active(self.norm2(self.look(x)))

    def third(self, x):
        return self.norm3(self.narrow(x))

    def change(self, x):
        return self.third(self.weighed(self.second(self.first(x))))

    def forward(self, x):
        return x + self.change(x) if self.has_shortcut else self.change(x)


class right_named_layers(V3Layers):
    """Layers by name; the squeeze-and-excitation is registered last."""


class wrong_squeeze_before_depthwise(V3Layers):
    """Weighs the wide map before it was looked at.

    Named: the squeeze comes after the depthwise convolution
    """

    def change(self, x):
        return self.third(self.second(self.weighed(self.first(x))))


class wrong_squeeze_before_activation(V3Layers):
    """Weighs between normalisation and activation."""

    def second(self, x):
        return self.active(self.weighed(self.norm2(self.look(x))))

    def change(self, x):
        return self.third(self.second(self.first(x)))


class wrong_squeeze_on_the_narrow_map(V3Layers):
    """Weighs what comes out, as SE-ResNet does.

    Named: works on the wide map
    """

    def weighed_channels(self, expanded, out_channels):
        return out_channels

    def change(self, x):
        return self.weighed(self.third(self.second(self.first(x))))


class wrong_squeeze_forgotten(V3Layers):
    """No squeeze-and-excitation.

    Named: the squeeze-and-excitation is missing
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.few = self.back = self.squeezed = None


class wrong_sigmoid_gate(V3Layers):
    """The gate of the original squeeze-and-excitation.

    Named: the gate of the squeeze-and-excitation is the hard sigmoid
    """

    def gate(self, x):
        return x.sigmoid()


class wrong_h_swish_gate(V3Layers):
    """h-swish as a gate.

    Named: not h-swish
    """

    def gate(self, x):
        return F.hardswish(x)


class wrong_h_swish_inside(V3Layers):
    """The block's activation between the layers of the squeeze-and-excitation, too."""

    def active_inside(self, x):
        return self.active(x)


class wrong_excitation_without_bias(V3Layers):
    """No biases in the squeeze-and-excitation.

    Named: have biases
    """

    excitation_bias = False


class wrong_always_relu(V3Layers):
    """Ignores hard_swish.

    Named: this is the other activation
    """

    def active(self, x):
        return F.relu(x)


class wrong_always_h_swish(V3Layers):
    """h-swish everywhere.

    Named: this is the other activation
    """

    def active(self, x):
        return F.hardswish(x)


class wrong_relu6(V3Layers):
    """ReLU6, as in the second MobileNet.

    Named: this is ReLU6
    """

    def active(self, x):
        return F.hardswish(x) if self.hard_swish else F.relu6(x)


class wrong_swish(V3Layers):
    """Swish with a true sigmoid.

    Named: MobileNetV3Block(4, 8, 6, 3, 1, None, True)
    """

    def active(self, x):
        return F.silu(x) if self.hard_swish else F.relu(x)


class wrong_h_swish_once(V3Layers):
    """ReLU after the expansion, h-swish after the depthwise convolution.

    Named: the activation after the expansion is h-swish too
    """

    def first(self, x):
        return x if self.widen is None else F.relu(self.norm1(self.widen(x)))


class wrong_activated_bottleneck(V3Layers):
    """Activates the narrow map.

    Named: the last convolution is linear
    """

    def third(self, x):
        return self.active(super().third(x))


class wrong_always_3x3(V3Layers):
    """Ignores the kernel.

    Named: the depthwise filters are 5x5
    """

    def side(self, kernel):
        return 3


class wrong_always_expands(V3Layers):
    """A first convolution where nothing is expanded.

    Named: there is nothing to expand
    """

    def expands(self, in_channels, expanded):
        return True


class wrong_shortcut_at_stride_2(V3Layers):
    """Adds where the channels agree, with every second pixel.

    Named: with stride 2 there is no shortcut
    """

    def shortcut(self, in_channels, out_channels, stride):
        return in_channels == out_channels

    def forward(self, x):
        s = self.stride
        return super().change(x) + x[:, :, ::s, ::s] if self.has_shortcut else self.change(x)


class wrong_no_shortcut(V3Layers):
    """Never adds.

    Named: the shortcut is missing
    """

    def shortcut(self, *_):
        return False


class wrong_relu_after_addition(V3Layers):
    """Activates after the addition.

    Named: no activation after the addition
    """

    def forward(self, x):
        return F.relu(x + self.change(x)) if self.has_shortcut else self.change(x)


class wrong_bias_left_on(V3Layers):
    """Convolutions with biases.

    Named: needs no bias
    """

    bias = True


class wrong_batch_norm_forgotten(V3Layers):
    """No normalisation.

    Named: batch normalisation is missing
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm1 = self.norm2 = self.norm3 = nn.Identity()


class wrong_even_kernel_accepted(V3Layers):
    """Takes an even kernel and returns a larger map.

    Named: no padding keeps the size for an even kernel
    """

    def __init__(self, in_channels, expanded, out_channels, kernel=3, *args, **kwargs):
        super().__init__(in_channels, expanded, out_channels, kernel | 1, *args, **kwargs)
