"""Answers to a3_architectures, task 5."""

import torch
import torch.nn.functional as F
from torch import nn


class right_layers(nn.Sequential):
    """PyTorch's own layers in a row."""

    def __init__(self, in_channels, num_classes, dropout=0.0):
        if dropout < 0 or dropout > 1:
            raise ValueError("not a probability")
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(in_channels, num_classes),
        )


class right_one_by_one(nn.Module):
    """A 1x1 convolution on the map of averages, which is one pixel large."""

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        self.scores = nn.Conv2d(in_channels, num_classes, 1)
        self.drop = nn.Dropout(dropout)  # refuses what is no probability

    def forward(self, x):
        mean = F.avg_pool2d(x, x.shape[2:])
        return self.scores(self.drop(mean))[:, :, 0, 0]


class right_by_hand(nn.Module):
    """Sums, divides, draws a mask of its own."""

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"{dropout}")
        self.p = dropout
        self.w = nn.Parameter(torch.randn(num_classes, in_channels) * 0.01)
        self.b = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        n, c, h, w = x.shape
        mean = x.reshape(n, c, h * w).sum(-1) / (h * w)
        if self.training and self.p > 0:
            mean = mean * (torch.rand_like(mean) >= self.p) / (1 - self.p)
        return mean @ self.w.T + self.b


class GapLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = True

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError("dropout")
        self.p = dropout
        self.linear = nn.Linear(in_channels, num_classes, bias=self.bias)

    def pool(self, x):
        return x.mean((2, 3))

    def forward(self, x):
        return self.linear(F.dropout(self.pool(x), self.p, self.training))


class wrong_max(GapLayers):
    """The maximum of each map.

    Named: this is the largest value of each map
    """

    def pool(self, x):
        return x.amax((2, 3))


class wrong_sum(GapLayers):
    """The sum over the pixels, which grows with the picture.

    Named: this is the sum of each map
    """

    def pool(self, x):
        return x.sum((2, 3))


class wrong_window_of_two(GapLayers):
    """Averages over one window in the corner only."""

    def pool(self, x):
        return F.avg_pool2d(x, min(2, *x.shape[2:]))[:, :, 0, 0]


class wrong_softmax(GapLayers):
    """Returns probabilities.

    Named: the softmax belongs to the loss
    """

    def forward(self, x):
        return super().forward(x).softmax(1)


class wrong_log_softmax(GapLayers):
    """Returns the logarithms of probabilities.

    Named: this is the logarithm of the softmax
    """

    def forward(self, x):
        return F.log_softmax(super().forward(x), dim=-1)


class wrong_always_drops(GapLayers):
    """F.dropout drops in evaluation too, unless it is told not to.

    Named: in evaluation mode
    """

    def forward(self, x):
        return self.linear(F.dropout(self.pool(x), self.p))


class wrong_never_drops(GapLayers):
    """No dropout.

    Named: nothing was dropped
    """

    def forward(self, x):
        return self.linear(self.pool(x))


class wrong_drops_scores(GapLayers):
    """Dropout after the linear layer.

    Named: not the scores
    """

    def forward(self, x):
        return F.dropout(self.linear(self.pool(x)), self.p, self.training)


class wrong_drops_pixels(GapLayers):
    """Dropout before the average.

    Named: not pixels
    """

    def forward(self, x):
        return self.linear(self.pool(F.dropout(x, self.p, self.training)))


class wrong_drops_by_one_minus(GapLayers):
    """Takes dropout for the share that is kept."""

    def forward(self, x):
        x = self.pool(x)
        if self.training and self.p:
            x = x * (torch.rand_like(x) < self.p) / (1 - self.p)
        return self.linear(x)


class wrong_no_bias(GapLayers):
    """A linear layer without biases.

    Named: the linear layer has biases
    """

    bias = False


class wrong_flattens(nn.Module):
    """VGG's head: a weight for every pixel.

    Named: not the 7x7 pixels
    """

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        self.linear = nn.Linear(49 * in_channels, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.linear(self.dropout(F.adaptive_avg_pool2d(x, 7).flatten(1)))


class wrong_knows_one_size(GapLayers):
    """A window of 7x7, as in GoogLeNet at 224 pixels, for every map.

    Named: raised RuntimeError
    """

    def pool(self, x):
        return F.avg_pool2d(x, 7).flatten(1)


class wrong_two_layers(nn.Module):
    """A hidden layer before the scores.

    Named: there is one linear layer
    """

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        self.hidden = nn.Linear(in_channels, in_channels)
        self.linear = nn.Linear(in_channels, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.linear(self.dropout(self.hidden(x.mean((2, 3)))))


class wrong_not_flattened(nn.Module):
    """Scores as a map of one pixel.

    Named: expected shape (1, 2), but got (1, 2, 1, 1)
    """

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.conv(self.dropout(x.mean((2, 3), keepdim=True)))


class wrong_no_gradient(GapLayers):
    """Reads the averages out as numbers, so that nothing before the head learns."""

    def pool(self, x):
        return x.detach().mean((2, 3))


class wrong_dropout_unchecked(GapLayers):
    """Takes any number for a probability.

    Named: expected a ValueError
    """

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__(in_channels, num_classes, min(max(dropout, 0.0), 1.0))
