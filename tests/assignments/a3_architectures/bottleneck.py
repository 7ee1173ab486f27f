"""Answers to a3_architectures, task 9."""

import torch
import torch.nn.functional as F
from torch import nn


class right_layers(nn.Module):
    """Layers by name, the projection first."""

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        if in_channels < 1 or width < 1 or stride < 1:
            raise ValueError("at least 1")
        self.project = None
        if stride > 1 or in_channels != 4 * width:
            self.project = nn.Conv2d(in_channels, 4 * width, 1, stride=stride, bias=False)
            self.norm0 = nn.BatchNorm2d(4 * width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm3, self.norm2 = nn.BatchNorm2d(4 * width), nn.BatchNorm2d(width)
        self.norm1 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        y = torch.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.project is not None:
            x = self.norm0(self.project(x))
        return torch.relu(x + y)


class right_lists(nn.Module):
    """Layers in lists; the stride of the projection by leaving pixels out."""

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        if not all(n >= 1 for n in (in_channels, width, stride)):
            raise ValueError("at least 1")
        self.stride = stride
        out = 4 * width
        shapes = [(in_channels, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
        if (in_channels, stride) != (out, 1):
            shapes.append((in_channels, out, 1, 1))
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, k, s, padding=k // 2, bias=False) for i, o, k, s in shapes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in shapes)

    def forward(self, x):
        layers = list(zip(self.convs, self.norms, strict=True))
        y = x
        for number, (conv, norm) in enumerate(layers[:3]):
            y = norm(conv(y))
            y = y.relu() if number < 2 else y
        for conv, norm in layers[3:]:
            x = norm(conv(x[:, :, :: self.stride, :: self.stride]))
        return F.relu(y + x)


class BottleneckLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False
    strides = staticmethod(lambda stride: (1, stride, 1))
    always = False

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        if min(in_channels, width, stride) < 1:
            raise ValueError("at least 1")
        s1, s2, s3 = self.strides(stride)
        out = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, s1, bias=self.bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, s2, padding=1, bias=self.bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, s3, bias=self.bias)
        self.bn3 = nn.BatchNorm2d(out)
        self.around = nn.Sequential()
        if self.always or stride != 1 or in_channels != out:
            self.around = self.projection(in_channels, out, stride)

    def projection(self, in_channels, out, stride):
        return nn.Sequential(
            nn.Conv2d(in_channels, out, 1, stride, bias=self.bias), nn.BatchNorm2d(out)
        )

    def change(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))

    def forward(self, x):
        return F.relu(self.change(x) + self.around(x))


class wrong_stride_in_first(BottleneckLayers):
    """The stride is in the first 1x1 convolution, as in the authors' own release.

    Named: the 3x3 convolution has the stride, not the 1x1 before it
    """

    strides = staticmethod(lambda stride: (stride, 1, 1))


class wrong_stride_in_last(BottleneckLayers):
    """The stride is in the last 1x1 convolution."""

    strides = staticmethod(lambda stride: (1, 1, stride))


class wrong_stride_twice(BottleneckLayers):
    """Two convolutions have the stride, so the shapes do not agree.

    Named: raised RuntimeError
    """

    strides = staticmethod(lambda stride: (stride, stride, 1))


class wrong_no_projection(BottleneckLayers):
    """Adds whatever comes, which fails where the shapes differ.

    Named: the shortcut needs a projection
    """

    def projection(self, in_channels, out, stride):
        return nn.Sequential()


class wrong_always_projects(BottleneckLayers):
    """A projection where the shapes agree.

    Named: without a projection
    """

    always = True


class wrong_projects_for_channels_only(BottleneckLayers):
    """Looks at the channels only, so a stride alone gives shapes that do not agree."""

    def projection(self, in_channels, out, stride):
        if in_channels == out:
            return nn.Sequential()
        return super().projection(in_channels, out, stride)


class wrong_projection_without_norm(BottleneckLayers):
    """A projection without batch normalisation.

    Named: a batch normalisation follows the projection too
    """

    def projection(self, in_channels, out, stride):
        return nn.Conv2d(in_channels, out, 1, stride, bias=False)


class wrong_projection_with_bias(BottleneckLayers):
    """A bias instead of a batch normalisation.

    Named: then it needs no bias
    """

    def projection(self, in_channels, out, stride):
        return nn.Conv2d(in_channels, out, 1, stride)


class wrong_projection_activated(BottleneckLayers):
    """A ReLU on the shortcut.

    Named: no ReLU follows the projection
    """

    def projection(self, in_channels, out, stride):
        return super().projection(in_channels, out, stride).append(nn.ReLU())


class wrong_projection_3x3(BottleneckLayers):
    """Projects with a 3x3 convolution.

    Named: the projection is a 1x1 convolution
    """

    def projection(self, in_channels, out, stride):
        return nn.Sequential(
            nn.Conv2d(in_channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out)
        )


class wrong_average_shortcut(BottleneckLayers):
    """Averages instead of taking every second pixel (a good idea, and another network)."""

    def projection(self, in_channels, out, stride):
        return nn.Sequential(
            nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(in_channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )


class wrong_relu_before_addition(BottleneckLayers):
    """Activates F and adds then.

    Named: a ReLU comes after the addition
    """

    def forward(self, x):
        return F.relu(self.change(x)) + self.around(x)


class wrong_relu_in_both_places(BottleneckLayers):
    """A third ReLU before the addition."""

    def forward(self, x):
        return F.relu(F.relu(self.change(x)) + self.around(x))


class wrong_first_relu(BottleneckLayers):
    """No ReLU after the first normalisation.

    Named: a ReLU follows the first normalisation
    """

    def change(self, x):
        x = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        return self.bn3(self.conv3(x))


class wrong_second_relu(BottleneckLayers):
    """No ReLU after the second normalisation.

    Named: a ReLU follows the second normalisation
    """

    def change(self, x):
        x = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return self.bn3(self.conv3(x))


class wrong_no_inner_relus(BottleneckLayers):
    """Three convolutions in a row.

    Named: a ReLU follows the first two normalisations
    """

    def change(self, x):
        return self.bn3(self.conv3(self.bn2(self.conv2(self.bn1(self.conv1(x))))))


class wrong_no_shortcut(BottleneckLayers):
    """A plain network where the shapes agree.

    Named: the shortcut is missing
    """

    def forward(self, x):
        around = self.around(x) if len(self.around) else 0
        return F.relu(self.change(x) + around)


class wrong_bias_left_on(BottleneckLayers):
    """Convolutions with biases.

    Named: needs no bias
    """

    bias = True


class wrong_batch_norm_forgotten(BottleneckLayers):
    """No normalisation.

    Named: batch normalisation is missing
    """

    def __init__(self, in_channels, width, stride=1):
        super().__init__(in_channels, width, stride)
        self.bn1 = self.bn2 = self.bn3 = nn.Identity()


class wrong_no_expansion(nn.Module):
    """The last convolution makes width channels, and so does the shortcut.

    Named: four times as many channels as width
    """

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.wide = BottleneckLayers(in_channels, width, stride)
        self.width = width

    def forward(self, x):
        return self.wide(x)[:, : self.width]


class wrong_norm_after_relu(BottleneckLayers):
    """Conv, ReLU, batch norm."""

    def change(self, x):
        x = self.bn1(F.relu(self.conv1(x)))
        x = self.bn2(F.relu(self.conv2(x)))
        return self.bn3(self.conv3(x))


class wrong_nothing_refused(BottleneckLayers):
    """Builds a block without channels.

    Named: expected a ValueError
    """

    def __init__(self, in_channels, width, stride=1):
        super().__init__(max(in_channels, 1), max(width, 1), max(stride, 1))
