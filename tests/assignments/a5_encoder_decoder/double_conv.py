"""Answers to a5_encoder_decoder, task 5."""

import torch
import torch.nn.functional as F
from torch import nn


class right_sequential(nn.Sequential):
    """Layers in a row, from the end to the beginning."""

    def __init__(self, in_channels, out_channels, padded=False):
        if min(in_channels, out_channels) < 1:
            raise ValueError("channels")
        layers = []
        for channels in (out_channels, in_channels):
            conv = nn.Conv2d(channels, out_channels, 3, padding=1 if padded else 0, bias=False)
            layers = [conv, nn.BatchNorm2d(out_channels), nn.ReLU(), *layers]
        super().__init__(*layers)


class right_functions(nn.Module):
    """Bare weights, and the frame of zeros put around by hand."""

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__()
        if in_channels <= 0 or out_channels <= 0:
            raise ValueError("channels")
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in range(2))
        self.second = nn.Parameter(torch.randn(out_channels, out_channels, 3, 3) / 10)
        self.first = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) / 10)
        self.frame = [int(padded)] * 4

    def forward(self, x):
        for weight, norm in zip((self.first, self.second), self.norms, strict=True):
            x = norm(F.conv2d(F.pad(x, self.frame), weight)).clamp(min=0)
        return x


class DoubleLayers(nn.Module):
    """What most of the wrong answers share."""

    bias = False
    frames = (1, 1)
    mode = "zeros"

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__()
        if min(in_channels, out_channels) < 1:
            raise ValueError("channels")
        o = out_channels
        first, second = self.frames if padded else (0, 0)
        options = {"bias": self.bias, "padding_mode": self.mode}
        self.conv1 = nn.Conv2d(in_channels, o, 3, padding=first, **options)
        self.conv2 = nn.Conv2d(o, o, 3, padding=second, **options)
        self.norm1, self.norm2 = nn.BatchNorm2d(o), nn.BatchNorm2d(o)

    def forward(self, x):
        x = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(x)).relu()


class wrong_biases(DoubleLayers):
    """Biases in front of batch normalisation.

    Named: needs no bias
    """

    bias = True


class wrong_no_norm(nn.Sequential):
    """As in the paper.

    Named: batch normalisation is missing
    """

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=int(padded), bias=False),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=int(padded), bias=False),
            nn.ReLU(),
        )


class wrong_one_norm(DoubleLayers):
    """The same normalisation in both places.

    Named: a batch normalisation of its own
    """

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__(in_channels, out_channels, padded)
        self.norm2 = self.norm1


class wrong_one_convolution(nn.Sequential):
    """Only the first half.

    Named: there are two convolutions
    """

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=int(padded), bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class wrong_second_changes_channels(nn.Sequential):
    """Keeps the channels first, and changes them afterwards.

    Named: the first convolution changes the number of channels
    """

    def __init__(self, in_channels, out_channels, padded=False):
        if min(in_channels, out_channels) < 1:
            raise ValueError("channels")
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=int(padded), bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=int(padded), bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class wrong_always_padded(DoubleLayers):
    """Keeps the size, whether it should or not.

    Named: without padding each convolution shaves off
    """

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__(in_channels, out_channels, True)


class wrong_never_padded(DoubleLayers):
    """Ignores padded.

    Named: with padding the size stays
    """

    frames = (0, 0)


class wrong_half_padded(DoubleLayers):
    """Pads one of the two.

    Named: both convolutions are padded
    """

    frames = (1, 0)


class wrong_reflects(DoubleLayers):
    """A mirror instead of zeros around the map."""

    mode = "reflect"


class wrong_padded_at_once(DoubleLayers):
    """A frame of two zeros in front, and none in between: the right size."""

    frames = (2, 0)


class wrong_no_first_relu(DoubleLayers):
    """Two convolutions in a row.

    Named: a ReLU follows the first convolution too
    """

    def forward(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x)))).relu()


class wrong_no_last_relu(DoubleLayers):
    """Ends with the normalisation.

    Named: a ReLU follows the second convolution too
    """

    def forward(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))


class wrong_relu_before_norm(DoubleLayers):
    """Activates first, and normalises then."""

    def forward(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x).relu())).relu())


class wrong_shortcut(DoubleLayers):
    """Adds the input where the shapes allow it."""

    def forward(self, x):
        y = super().forward(x)
        return y + x if y.shape == x.shape else y


class wrong_running_statistics(DoubleLayers):
    """Normalises with the running statistics during training too."""

    def train(self, mode=True):
        return super().train(False)


class wrong_nothing_refused(DoubleLayers):
    """A block of no channels.

    Named: expected a ValueError
    """

    def __init__(self, in_channels, out_channels, padded=False):
        super().__init__(max(in_channels, 1), max(out_channels, 1), padded)
