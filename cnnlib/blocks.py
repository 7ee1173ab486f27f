"""Building blocks that several networks share, each written once.

Shapes are (N, C, H, W) throughout. A block that belongs to one paper lives in that paper's file in
`cnnlib.models`; what two papers use lives here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cnnlib.arithmetic import same_padding

NormLayer = Callable[[int], nn.Module]
ActivationLayer = Callable[..., nn.Module]
Size2d = int | tuple[int, int]


def _same_padding_2d(kernel_size: Size2d, dilation: int) -> Size2d:
    """Padding that keeps the map's size at stride 1, for a square or a rectangular kernel."""
    if isinstance(kernel_size, tuple):
        height, width = kernel_size
        return same_padding(height, dilation), same_padding(width, dilation)
    return same_padding(kernel_size, dilation)


class ConvNormActivation(nn.Sequential):
    """Convolution, normalisation, activation: the block almost every network is built from.

    Shape: (N, in_channels, H, W) to (N, out_channels, H', W'), where H' and W' are H and W divided
    by the stride (rounded up) with the default padding.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, which is the number of filters.
        kernel_size: Side of the filter, or (height, width).
        stride: Step of the filter.
        padding: Zeros added on each side; by default what keeps the size at stride 1.
        dilation: Spacing of the filter's taps.
        groups: The channels are split into this many groups that do not see each other.
        norm: Makes the normalisation layer from the number of channels; None leaves it out.
        activation: Makes the activation layer; None leaves it out. It is called with
            `inplace=True`: the map that it overwrites is needed by nobody else.
        bias: Whether the convolution has a bias. By default only without normalisation, because
            batch normalisation subtracts the mean and with it any bias.

    Raises:
        ValueError: `padding` was left out and the kernel is even, so no symmetric padding keeps
            the size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size2d = 3,
        stride: Size2d = 1,
        padding: Size2d | None = None,
        *,
        dilation: int = 1,
        groups: int = 1,
        norm: NormLayer | None = nn.BatchNorm2d,
        activation: ActivationLayer | None = nn.ReLU,
        bias: bool | None = None,
    ) -> None:
        if padding is None:
            padding = _same_padding_2d(kernel_size, dilation)
        if bias is None:
            bias = norm is None
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        if norm is not None:
            layers["norm"] = norm(out_channels)
        if activation is not None:
            layers["activation"] = activation(inplace=True)
        super().__init__(layers)


class NormActivationConv(nn.Sequential):
    """Normalisation, activation, convolution: the order of pre-activation nets and DenseNet.

    Shape: (N, in_channels, H, W) to (N, out_channels, H', W').

    The activation may overwrite only what the normalisation has just made, so the block's input
    stays intact for the shortcut or the concatenation that also reads it.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square filter (odd).
        stride: Step of the filter.

    Raises:
        ValueError: The kernel is even, so no symmetric padding keeps the size.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["norm"] = nn.BatchNorm2d(in_channels)
        layers["activation"] = nn.ReLU(inplace=True)
        layers["conv"] = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, same_padding(kernel_size), bias=False
        )
        super().__init__(layers)


class Branches(nn.Module):
    """Applies every branch to the same input and concatenates the maps: Inception's principle.

    Shape: (N, C, H, W) to (N, sum of the branches' channels, H', W').
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the branches side by side."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class LocalResponseNorm(nn.LocalResponseNorm):
    """Local response normalisation across channels, as AlexNet's paper prints it.

    b_i = a_i / (k + alpha * sum of a_j^2 over the n channels around i) ** beta

    PyTorch (like Caffe) divides alpha by n before it multiplies the sum; the printed formula does
    not. Handing PyTorch n * alpha gives the printed one.

    Shape: (N, C, H, W) to the same.

    Reference: Krizhevsky et al., "ImageNet classification with deep convolutional neural networks",
    NIPS 2012, section 3.3.
    """

    def __init__(self, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__(n, alpha=n * alpha, beta=beta, k=k)


class ImageNetToInceptionInput(nn.Module):
    """Turns images normalised for ImageNet into the range [-1, 1] that Google's networks expect.

    The published GoogLeNet and Inception-v3 weights were trained on (image - 0.5) / 0.5, while
    images usually come as (image - mean) / std with ImageNet's mean and std.

    Shape: (N, 3, H, W) to the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Undo the one normalisation and apply the other."""
        image = x * self.std + self.mean  # back to [0, 1]
        return (image - 0.5) / 0.5


def he_initialization(model: nn.Module, mode: str = "fan_out") -> None:
    """Draw every convolution's weights with He's variance 2 / fan, in place.

    The factor 2 makes up for the half of the signal that ReLU throws away, so that the variance
    stays about the same from layer to layer. Biases start at 0, batch normalisation as identity.

    Args:
        model: The network.
        mode: "fan_in" counts the inputs of a neuron and keeps the variance of the maps (equation
            10), "fan_out" its outputs and keeps that of the gradients (equation 14).

    Reference: He et al., "Delving deep into rectifiers", arXiv:1502.01852.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def xavier_initialization(model: nn.Module) -> None:
    """Draw every convolution's and linear layer's weights as Glorot and Bengio do, in place.

    Uniform with variance 2 / (fan-in + fan-out); biases start at 0.

    Reference: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 16.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def gaussian_initialization(model: nn.Module, std: float = 0.01) -> None:
    """Draw every convolution's and linear layer's weights from N(0, std²), in place; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class SeparableConv2d(nn.Sequential):
    """Depthwise separable convolution: filter each channel by itself, then mix with 1×1 filters.

    Costs 1/out_channels + 1/kernel_size² of the full convolution. Nothing stands between the two
    halves here, as in Xception and NASNet; MobileNet puts normalisation and ReLU there.

    Shape: (N, in_channels, H, W) to (N, out_channels, H', W').

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square depthwise filter (odd).
        stride: Step of the depthwise filter.

    Raises:
        ValueError: The kernel is even, so no symmetric padding keeps the size.

    Reference: Chollet, "Xception", arXiv:1610.02357, section 1.2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["depthwise"] = nn.Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            stride,
            same_padding(kernel_size),
            groups=in_channels,
            bias=False,
        )
        layers["pointwise"] = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        super().__init__(layers)


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: the whole map decides how much each channel counts.

    Squeeze: average every channel to one number z. Excitation: s = gate(W2 ReLU(W1 z)), one factor
    per channel. The output is the input with channel c multiplied by s_c.

    Shape: (N, C, H, W) to the same.

    Args:
        channels: C.
        squeeze_channels: Channels between the two layers: C/16 in the paper, C/4 in MobileNetV3.
        gate: Makes the function that keeps the factors between 0 and 1: the sigmoid in the paper,
            `nn.Hardsigmoid` in MobileNetV3.

    Reference: Hu et al., "Squeeze-and-excitation networks", arXiv:1709.01507, section 3.
    """

    def __init__(
        self, channels: int, squeeze_channels: int, gate: Callable[[], nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__()
        # A fully connected layer on a 1×1 map is a 1×1 convolution.
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeeze_channels, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(squeeze_channels, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        """Rescale the channels of x."""
        s = self.squeeze(x)  # (N, C, 1, 1)
        s = self.relu(self.fc1(s))  # (N, squeeze_channels, 1, 1)
        s = self.gate(self.fc2(s))  # (N, C, 1, 1)
        return s * x


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Let information cross groups: the next grouped convolution sees channels of every group.

    The channels, in `groups` rows of n, are read column by column: 6 channels in 2 groups come out
    as 0, 3, 1, 4, 2, 5.

    Shape: (N, C, H, W) to the same.

    Raises:
        ValueError: C is not a multiple of `groups`.

    Reference: Zhang et al., "ShuffleNet", arXiv:1707.01083, section 3.1 and figure 1.
    """
    batch, channels, height, width = x.shape
    if channels % groups:
        raise ValueError(f"{channels} channels cannot be split into {groups} equal groups")
    x = x.reshape(batch, groups, channels // groups, height, width)
    x = x.transpose(1, 2)  # (N, C/groups, groups, H, W)
    return x.reshape(batch, channels, height, width)


def scaled_channels(channels: int, width_multiplier: float, divisor: int = 8) -> int:
    """Multiply a number of channels by the width multiplier, rounded to a multiple of `divisor`.

    Mobile hardware works on 8 channels at a time, so the MobileNets round to multiples of 8. Never
    rounds off more than a tenth.

    Raises:
        ValueError: `width_multiplier` is not greater than 0.

    Reference: released code of Sandler et al., "MobileNetV2", arXiv:1801.04381.
    """
    if not width_multiplier > 0:
        raise ValueError(f"width_multiplier must be greater than 0; got {width_multiplier!r}")
    exact = channels * width_multiplier
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded
