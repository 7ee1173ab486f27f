"""LetterNet: a small network that knows the letters of five scripts, as a start for other tasks.

It stands in for a network trained on ImageNet where there is no network to download one: its parts
have the names that `cnnlib.models.resnet18` uses (stem, stage1 to stage4, fc), so that code for one
works for the other. It is an ordinary stack of convolutions, with nothing to be read in a paper.

    layer     output for 16×16     how                                       parameters
    input     1@16×16
    stem      16@16×16             3×3 convolution, batch norm, ReLU                176
    stage1    32@8×8               2×2 max pooling, then the same                 4,672
    stage2    32@8×8               the same without pooling                       9,280
    stage3    64@4×4               2×2 max pooling, then the same                18,560
    stage4    128@4×4              the same without pooling                      73,984
    fc        classes              mean over the 4×4 places, then linear    129 · classes

`letter_net(weights="letters")` has the weights that `tools/pretrain_letters.py` of the course's
repository made. Beside them, `letters.json` says how (`configuration`), how well they read fresh
letters (`accuracy`), and what their SHA-256 is.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import Any

from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation
from cnnlib.pretrained.shipped import ShippedWeights

SHIPPED = ShippedWeights("letters")


class LetterNet(nn.Module):
    """A small convolutional network for grey images; 106,672 parameters without `fc`.

    Shape: (N, in_channels, H, W) to (N, num_classes); H and W at least 4, 16 in training.

    Args:
        num_classes: Number of outputs.
        in_channels: Channels of the image.

    Raises:
        ValueError: An argument is not a whole number of at least 1.
    """

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        for what, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{what} must be a whole number of at least 1; got {value!r}")
        super().__init__()
        self.stem = ConvNormActivation(in_channels, 16)
        self.stage1 = _pool_and_convolve(16, 32)
        self.stage2 = ConvNormActivation(32, 32)
        self.stage3 = _pool_and_convolve(32, 64)
        self.stage4 = ConvNormActivation(64, 128)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images; returns one logit per class."""
        x = self.stem(x)  # 1×16×16 -> 16×16×16
        x = self.stage1(x)  # 32×8×8
        x = self.stage2(x)  # 32×8×8
        x = self.stage3(x)  # 64×4×4
        x = self.stage4(x)  # 128×4×4
        x = self.global_pool(x).flatten(1)  # 128
        return self.fc(x)  # num_classes


def _pool_and_convolve(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(pool=nn.MaxPool2d(2), block=ConvNormActivation(in_channels, out_channels))
    )


@cache
def letters_card() -> dict[str, Any]:
    """What is known about the weights: `classes`, `configuration`, `accuracy`, `sha256`."""
    return SHIPPED.card()


def letter_net(
    num_classes: int | None = None, in_channels: int = 1, *, weights: str | None = None
) -> LetterNet:
    """Build LetterNet.

    Args:
        num_classes: Number of outputs; by default that of the letters it was trained on.
        in_channels: Channels of the image.
        weights: None for fresh weights, "letters" for the trained ones. These fit the default
            arguments only: load them first, then replace the head.

    Raises:
        ValueError: An argument is not one of the allowed values.
        DamagedWeightsError: A shipped file is missing, or is not the one published.
    """
    if weights not in (None, "letters"):
        raise ValueError(f"weights must be None or 'letters'; got {weights!r}")
    letters = len(letters_card()["classes"])
    if num_classes is None:
        num_classes = letters
    if weights and (num_classes != letters or in_channels != 1):
        raise ValueError(
            f"weights='letters' needs num_classes={letters} and in_channels=1; got {num_classes} "
            f"and {in_channels}: load the weights first, then replace the head "
            "(cnnlib.transfer.replace_head)"
        )
    model = LetterNet(num_classes, in_channels)
    if weights:
        SHIPPED.load_into(model)
    return model
