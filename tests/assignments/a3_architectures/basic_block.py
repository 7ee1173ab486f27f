"""Answers to a3_architectures, task 8."""

import torch
import torch.nn.functional as F
from torch import nn


class right_sequential(nn.Module):
    """F as one sequential model."""

    def __init__(self, channels):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return torch.relu(x + self.residual(x))


class right_other_order(nn.Module):
    """Registers its layers from the last to the first, and adds in place to its own tensor."""

    def __init__(self, n):
        super().__init__()
        self.bn_after, self.bn_before = nn.BatchNorm2d(n), nn.BatchNorm2d(n)
        self.conv_after = nn.Conv2d(n, n, kernel_size=3, padding="same", bias=False)
        self.conv_before = nn.Conv2d(n, n, kernel_size=3, padding="same", bias=False)

    def forward(self, x):
        out = self.bn_before(self.conv_before(x)).clamp(min=0)
        out = self.bn_after(self.conv_after(out))
        out += x
        return F.relu_(out)


class right_functional(nn.Module):
    """Parameters and buffers of its own, and functions."""

    def __init__(self, n):
        super().__init__()
        self.filters = nn.ParameterList(
            [torch.randn(n, n, 3, 3) * (2 / 9 / n) ** 0.5 for _ in "ab"]
        )
        self.gammas = nn.ParameterList([torch.ones(n) for _ in "ab"])
        self.betas = nn.ParameterList([torch.zeros(n) for _ in "ab"])
        for i in range(2):
            self.register_buffer(f"mean{i}", torch.zeros(n))
            self.register_buffer(f"var{i}", torch.ones(n))

    def layer(self, i, x):
        x = F.conv2d(x, self.filters[i], padding=1)
        mean, var = getattr(self, f"mean{i}"), getattr(self, f"var{i}")
        return F.batch_norm(x, mean, var, self.gammas[i], self.betas[i], self.training)

    def forward(self, x):
        return F.relu(self.layer(1, F.relu(self.layer(0, x))) + x)


class BasicLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=self.bias)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=self.bias)
        self.bn2 = nn.BatchNorm2d(channels)

    def change(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def forward(self, x):
        return F.relu(self.change(x) + x)


class wrong_relu_before_addition(BasicLayers):
    """Activates F and adds then.

    Named: the ReLU comes after the addition
    """

    def forward(self, x):
        return F.relu(self.change(x)) + x


class wrong_no_last_relu(BasicLayers):
    """No ReLU after the addition.

    Named: the ReLU comes after the addition
    """

    def forward(self, x):
        return self.change(x) + x


class wrong_relu_in_both_places(BasicLayers):
    """A ReLU before and after the addition: the block can only add."""

    def forward(self, x):
        return F.relu(F.relu(self.change(x)) + x)


class wrong_no_inner_relu(BasicLayers):
    """Two convolutions in a row.

    Named: the ReLU between the convolutions is missing
    """

    def change(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


class wrong_no_shortcut(BasicLayers):
    """A plain network.

    Named: the shortcut is missing
    """

    def forward(self, x):
        return F.relu(self.change(x))


class wrong_concatenates(BasicLayers):
    """Puts input and change in one pile.

    Named: input and change are added
    """

    def forward(self, x):
        return F.relu(torch.cat((self.change(x), x), 1))


class wrong_batch_norm_forgotten(BasicLayers):
    """No normalisation.

    Named: batch normalisation is missing
    """

    def __init__(self, channels):
        super().__init__(channels)
        self.bn1, self.bn2 = nn.Identity(), nn.Identity()


class wrong_bias_left_on(BasicLayers):
    """Convolutions with biases.

    Named: needs no bias
    """

    bias = True


class wrong_one_norm_for_both(BasicLayers):
    """One normalisation, used twice.

    Named: a batch normalisation of its own
    """

    def __init__(self, channels):
        super().__init__(channels)
        self.bn2 = self.bn1


class wrong_one_layer_twice(BasicLayers):
    """One convolution and one normalisation, used twice.

    Named: each with weights of its own
    """

    def __init__(self, channels):
        super().__init__(channels)
        self.conv2, self.bn2 = self.conv1, self.bn1


class wrong_projected(BasicLayers):
    """A projection where none is needed.

    Named: the shortcut is the input itself
    """

    def __init__(self, channels):
        super().__init__(channels)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        return F.relu(self.change(x) + self.project(x))


class wrong_norm_after_relu(BasicLayers):
    """Conv, ReLU, batch norm: the order of the first pair is turned around."""

    def change(self, x):
        return self.bn2(self.conv2(self.bn1(F.relu(self.conv1(x)))))


class wrong_norm_before_conv(BasicLayers):
    """Normalises what goes into the convolutions."""

    def change(self, x):
        return self.conv2(self.bn2(F.relu(self.conv1(self.bn1(x)))))


class wrong_norm_after_addition(BasicLayers):
    """Normalises the sum, and the shortcut with it."""

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))) + x))


class wrong_always_batch_statistics(BasicLayers):
    """Normalises with the batch in evaluation too.

    Named: raised ValueError: Expected more than 1 value per channel
    """

    def __init__(self, channels):
        super().__init__(channels)
        self.bn1 = nn.BatchNorm2d(channels, track_running_stats=False)
        self.bn2 = nn.BatchNorm2d(channels, track_running_stats=False)


class wrong_never_batch_statistics(BasicLayers):
    """Normalises with the running statistics in training too."""

    def train(self, mode=True):
        return super().train(False)


class wrong_shortcut_detached(BasicLayers):
    """Takes the shortcut out of the graph, and with it the short way of the gradient."""

    def forward(self, x):
        return F.relu(self.change(x) + x.detach())


class wrong_in_place(BasicLayers):
    """Adds into the input.

    Named: the call changed argument 1
    """

    def forward(self, x):
        change = self.change(x)
        with torch.no_grad():
            x += change
        return F.relu(x)
