"""Answers to a3_architectures, task 10."""

import torch
import torch.nn.functional as F
from torch import nn


class right_sequential(nn.Module):
    """The first activation alone, all else in a row."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.rest = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
        )
        self.same = in_channels == out_channels and stride == 1
        if not self.same:
            self.shape = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x):
        active = self.activate(x)
        return self.rest(active) + (x if self.same else self.shape(active))


class right_functional(nn.Module):
    """Weights as parameters; the 1x1 convolution of every second pixel."""

    def __init__(self, c, k, stride=1):
        super().__init__()
        self.stride = stride
        self.w_around = None
        if (c, stride) != (k, 1):
            self.w_around = nn.Parameter(torch.randn(k, c, 1, 1))
        self.w_second = nn.Parameter(torch.randn(k, k, 3, 3) / (3 * k**0.5))
        self.w_first = nn.Parameter(torch.randn(k, c, 3, 3) / (3 * c**0.5))
        self.second, self.first = nn.BatchNorm2d(k), nn.BatchNorm2d(c)

    def forward(self, x):
        a = self.first(x).clamp(min=0)
        if self.w_around is not None:
            x = F.conv2d(a[..., :: self.stride, :: self.stride], self.w_around)
        a = F.conv2d(a, self.w_first, stride=self.stride, padding=1)
        a = F.conv2d(F.relu(self.second(a)), self.w_second, padding=1)
        return torch.add(x, a)


class PreActLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=self.bias)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=self.bias)
        self.around = None
        if stride != 1 or in_channels != out_channels:
            self.around = self.projection(in_channels, out_channels, stride)

    def projection(self, in_channels, out_channels, stride):
        return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def change(self, active):
        return self.conv2(F.relu(self.bn2(self.conv1(active))))

    def forward(self, x):
        active = F.relu(self.bn1(x))
        around = x if self.around is None else self.around(active)
        return around + self.change(active)


class wrong_relu_after_addition(PreActLayers):
    """The ReLU of the first ResNet is still there.

    Named: no ReLU after the addition
    """

    def forward(self, x):
        return F.relu(super().forward(x))


class wrong_shortcut_activated(PreActLayers):
    """Takes the activated input for the shortcut, also where x itself would fit.

    Named: none on the shortcut
    """

    def forward(self, x):
        active = F.relu(self.bn1(x))
        around = active if self.around is None else self.around(active)
        return around + self.change(active)


class wrong_projects_raw_input(PreActLayers):
    """Projects x before it was activated.

    Named: sees the activated input
    """

    def forward(self, x):
        around = x if self.around is None else self.around(x)
        return around + self.change(F.relu(self.bn1(x)))


class wrong_post_activation(PreActLayers):
    """The block of the first ResNet, whose normalisation follows the convolution.

    Named: the normalisation comes before the convolution
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        around = x if self.around is None else self.around(x)
        change = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(change + around)


class wrong_no_first_relu(PreActLayers):
    """Normalises, but does not activate, before the first convolution.

    Named: a ReLU comes before the first convolution
    """

    def forward(self, x):
        active = self.bn1(x)
        around = x if self.around is None else self.around(active)
        return around + self.change(active)


class wrong_no_second_relu(PreActLayers):
    """No ReLU before the second convolution.

    Named: a ReLU comes before the second convolution
    """

    def change(self, active):
        return self.conv2(self.bn2(self.conv1(active)))


class wrong_no_relu(PreActLayers):
    """No ReLU at all.

    Named: the ReLUs before the convolutions are missing
    """

    def forward(self, x):
        active = self.bn1(x)
        around = x if self.around is None else self.around(active)
        return around + self.conv2(self.bn2(self.conv1(active)))


class wrong_relu_before_norm(PreActLayers):
    """ReLU, then batch norm, then convolution."""

    def change(self, active):
        return self.conv2(self.bn2(F.relu(self.conv1(active))))


class wrong_no_shortcut(PreActLayers):
    """A plain network.

    Named: the shortcut is missing
    """

    def forward(self, x):
        active = F.relu(self.bn1(x))
        return self.change(active) + (0 if self.around is None else self.around(active))


class wrong_norm_on_the_shortcut(PreActLayers):
    """A batch normalisation after the projection, as in the first ResNet.

    Named: stands alone, without batch normalisation
    """

    def projection(self, in_channels, out_channels, stride):
        return nn.Sequential(
            super().projection(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels)
        )


class wrong_no_projection(PreActLayers):
    """Adds whatever comes.

    Named: the shortcut needs a 1x1 convolution
    """

    def projection(self, in_channels, out_channels, stride):
        return None


class wrong_always_projects(PreActLayers):
    """A 1x1 convolution where the shapes agree.

    Named: the shortcut is the input itself
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.around = self.projection(in_channels, out_channels, stride)


class wrong_projects_for_channels_only(PreActLayers):
    """Looks at the channels only: the shapes do not agree after a stride."""

    def projection(self, in_channels, out_channels, stride):
        if in_channels == out_channels:
            return None
        return super().projection(in_channels, out_channels, stride)


class wrong_stride_in_second(PreActLayers):
    """The second convolution has the stride."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.conv1.stride, self.conv2.stride = (1, 1), (stride, stride)


class wrong_bias_left_on(PreActLayers):
    """Convolutions with biases.

    Named: the convolutions have no biases
    """

    bias = True


class wrong_batch_norm_forgotten(PreActLayers):
    """ReLU and convolution only.

    Named: batch normalisation is missing
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1, self.bn2 = nn.Identity(), nn.Identity()


class wrong_in_place(PreActLayers):
    """Activates the input in place, and the shortcut with it.

    Named: the call changed argument 1
    """

    def forward(self, x):
        with torch.no_grad():
            x.clamp_(min=0)
        return super().forward(x)
