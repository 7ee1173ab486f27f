"""Answers to a4_mobile, task 2."""

import torch
import torch.nn.functional as F
from torch import nn


class right_sequential(nn.Sequential):
    """Six layers in a row, and no forward of its own."""

    def __init__(self, in_channels, out_channels, stride=1):
        if min(in_channels, out_channels, stride) <= 0:
            raise ValueError("at least 1")
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class right_functional(nn.Module):
    """Parameters and buffers of its own; the pointwise step as a product of matrices."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        c, k, self.s = in_channels, out_channels, stride
        if c < 1 or k < 1 or stride < 1:
            raise ValueError(f"{c}, {k}, {stride}")
        self.across = nn.Parameter(torch.randn(k, c))
        self.around = nn.Parameter(torch.randn(c, 1, 3, 3))
        self.scales = nn.ParameterList([torch.ones(n) for n in (c, k)])
        self.shifts = nn.ParameterList([torch.zeros(n) for n in (c, k)])
        for i, n in enumerate((c, k)):
            self.register_buffer(f"mean{i}", torch.zeros(n))
            self.register_buffer(f"var{i}", torch.ones(n))

    def norm(self, i, x):
        mean, var = getattr(self, f"mean{i}"), getattr(self, f"var{i}")
        return F.batch_norm(x, mean, var, self.scales[i], self.shifts[i], self.training)

    def forward(self, x):
        x = F.conv2d(x, self.around, stride=self.s, padding=1, groups=len(self.around))
        x = self.norm(0, x).clamp(min=0)
        return self.norm(1, torch.einsum("nchw,kc->nkhw", x, self.across)).clamp(min=0)


class SeparableLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        if min(in_channels, out_channels, stride) < 1:
            raise ValueError("at least 1")
        self.depthwise = self.around(in_channels, stride)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=self.bias)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def around(self, c, stride):
        return nn.Conv2d(c, c, 3, stride, padding=1, groups=c, bias=self.bias)

    def forward(self, x):
        x = F.relu(self.norm1(self.depthwise(x)))
        return F.relu(self.norm2(self.pointwise(x)))


class wrong_as_in_xception(SeparableLayers):
    """Nothing between the two convolutions.

    Named: a batch normalisation follows the depthwise convolution too
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm1 = None

    def forward(self, x):
        return F.relu(self.norm2(self.pointwise(self.depthwise(x))))


class wrong_no_inner_relu(SeparableLayers):
    """Normalises in between and does not activate.

    Named: a ReLU follows the depthwise convolution too
    """

    def forward(self, x):
        return F.relu(self.norm2(self.pointwise(self.norm1(self.depthwise(x)))))


class wrong_linear_end(SeparableLayers):
    """No ReLU at the end, as in the second MobileNet.

    Named: a ReLU follows the pointwise convolution too
    """

    def forward(self, x):
        x = F.relu(self.norm1(self.depthwise(x)))
        return self.norm2(self.pointwise(x))


class wrong_relu6(SeparableLayers):
    """ReLU6.

    Named: this is ReLU6
    """

    def forward(self, x):
        x = F.relu6(self.norm1(self.depthwise(x)))
        return F.relu6(self.norm2(self.pointwise(x)))


class wrong_batch_norm_forgotten(SeparableLayers):
    """No normalisation.

    Named: batch normalisation is missing
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm1 = self.norm2 = nn.Identity()


class wrong_bias_left_on(SeparableLayers):
    """Convolutions with biases.

    Named: needs no bias
    """

    bias = True


class wrong_groups_forgotten(SeparableLayers):
    """A dense 3x3 convolution in front of the pointwise one.

    Named: groups is the number of channels
    """

    def around(self, c, stride):
        return nn.Conv2d(c, c, 3, stride, padding=1, bias=False)


class wrong_pointwise_first(nn.Module):
    """Mixes first, as Inception does, and looks around then.

    Named: depthwise first, then pointwise
    """

    def __init__(self, c, k, stride=1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(c, k, 1, bias=False),
            nn.BatchNorm2d(k),
            nn.ReLU(),
            nn.Conv2d(k, k, 3, stride, padding=1, groups=k, bias=False),
            nn.BatchNorm2d(k),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.layers(x)


class wrong_not_separated(nn.Module):
    """A full convolution.

    Named: take it apart
    """

    def __init__(self, c, k, stride=1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.BatchNorm2d(k)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class wrong_stride_twice(SeparableLayers):
    """Both convolutions have the stride.

    Named: only the depthwise convolution has the stride
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.pointwise.stride = (stride, stride)


class wrong_stride_forgotten(SeparableLayers):
    """Ignores the stride.

    Named: the stride of 2 halves height and width
    """

    def around(self, c, stride):
        return super().around(c, 1)


class wrong_stride_in_pointwise(SeparableLayers):
    """Looks at every pixel and throws most of what it saw away; the statistics differ."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.depthwise.stride, self.pointwise.stride = (1, 1), (stride, stride)


class wrong_norm_after_relu(SeparableLayers):
    """Conv, ReLU, batch norm.

    Named: SeparableConv(2, 4), filters -1
    """

    def forward(self, x):
        x = self.norm1(F.relu(self.depthwise(x)))
        return self.norm2(F.relu(self.pointwise(x)))


class wrong_shortcut(SeparableLayers):
    """Adds the input where the shapes agree: a habit from residual networks."""

    def forward(self, x):
        out = super().forward(x)
        return out + x if out.shape == x.shape else out


class wrong_nothing_refused(SeparableLayers):
    """Builds a layer without channels.

    Named: expected a ValueError
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(max(in_channels, 1), max(out_channels, 1), max(stride, 1))
