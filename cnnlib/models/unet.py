"""U-Net: segmentation with a contracting and an expanding path (2015).

Idea: the contracting path is an ordinary convolutional network: it learns what is in the image and
loses where. The expanding path brings the resolution back. At every level the maps of the
contracting path are copied over and *concatenated*, so that fine positions need not squeeze through
the bottleneck. Concatenated, not added as in ResNet: the next convolution decides how to weigh the
two halves.

The paper's 3×3 convolutions have no padding. Each shaves off two pixels, so the copied maps must be
cropped and the output is smaller than the input. Figure 1 (side of the square maps):

| level | channels | contracting       | expanding                        |
|-------|----------|-------------------|----------------------------------|
| 1     | 64       | 572 → 570 → 568   | 392 (568 cropped) → 390 → 388    |
| 2     | 128      | 284 → 282 → 280   | 200 (280 cropped) → 198 → 196    |
| 3     | 256      | 140 → 138 → 136   | 104 (136 cropped) → 102 → 100    |
| 4     | 512      | 68 → 66 → 64      | 56 (64 cropped) → 54 → 52        |
| 5     | 1024     | 32 → 30 → 28      |                                  |

`variant="2015"` is this network: 18 convolutions of 3×3, 4 "up-convolutions" and one of 1×1, 23 in
all. `variant="padded"` is what is mostly used today: padding keeps the sizes, nothing is cropped,
the output is as large as the input, and batch normalisation follows each 3×3 convolution.

The paper has dropout "at the end of the contracting path" and gives no rate; here 0.5 on levels 4
and 5. Initialisation as in section 3: N(0, 2/N) with N the inputs of a neuron (He's, fan-in).

Reference: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
segmentation", MICCAI 2015, arXiv:1505.04597.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, he_initialization
from cnnlib.models._checks import check_choice, check_network, check_positive

VARIANTS = ("2015", "padded")
UPSAMPLING = ("transposed", "bilinear")


def unet_output_size(size: int, depth: int = 4) -> int:
    """Side of the output of `variant="2015"` for an image of side `size`: 388 for 572.

    Args:
        size: Side of the image.
        depth: Number of max poolings.

    Raises:
        ValueError: A map with an odd side would be pooled, which loses a row, or nothing is left.
    """
    s = size
    sides = []
    for _ in range(depth):
        s -= 4  # two 3×3 convolutions
        sides.append(s)
        s //= 2
    s -= 4
    for _ in range(depth):
        s = 2 * s - 4
    if any(side % 2 for side in sides) or s < 1:
        step = 2**depth
        smallest = 12 * step - 4  # the bottleneck keeps a side of 4, and so does every level above
        below = max(smallest, smallest + (size - smallest) // step * step)
        raise ValueError(
            f"an image of side {size} does not fit a U-Net with {depth} levels of unpadded "
            f"convolutions: the maps to pool have sides {sides}, which must be even and large "
            f"enough; use {below} or {below + step}, or variant='padded'"
        )
    return s


class DoubleConv(nn.Sequential):
    """Two 3×3 convolutions with ReLU; (N, C, H, W) to (N, out_channels, H - 4, W - 4) or same."""

    def __init__(self, in_channels: int, out_channels: int, *, padded: bool) -> None:
        conv = partial(
            ConvNormActivation,
            kernel_size=3,
            padding=1 if padded else 0,
            norm=nn.BatchNorm2d if padded else None,
        )
        super().__init__(conv(in_channels, out_channels), conv(out_channels, out_channels))


def up_convolution(in_channels: int, kind: str) -> nn.Module:
    """Double the size and halve the channels: (N, C, H, W) to (N, C/2, 2H, 2W).

    "transposed" learns how to interpolate, "bilinear" interpolates and then mixes the channels with
    1×1 filters, which cannot produce checkerboards.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(in_channels, in_channels // 2, kernel_size=1),
    )


class UNet(nn.Module):
    """U-Net.

    Shape: (N, in_channels, H, W) to (N, num_classes, H', W') logits for every pixel. "2015":
    H' = `unet_output_size(H)`. "padded": H' = H, at least 2**depth, odd sizes too.

    Args:
        num_classes: Number of classes a pixel can have; the paper has 2 (cell or background).
        in_channels: Channels of the image; microscope images have 1.
        variant: "2015" or "padded".
        upsampling: "transposed" (the paper's up-convolution) or "bilinear".
        dropout: Share of the values of the two deepest levels set to 0 in training.
        base_channels: Channels of level 1; every level below has twice as many.
        depth: Number of max poolings.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 1,
        *,
        variant: str = "2015",
        upsampling: str = "transposed",
        dropout: float = 0.5,
        base_channels: int = 64,
        depth: int = 4,
    ) -> None:
        check_network(num_classes, in_channels, dropout)
        check_choice("variant", variant, VARIANTS)
        check_choice("upsampling", upsampling, UPSAMPLING)
        check_positive("base_channels", base_channels)
        check_positive("depth", depth)
        super().__init__()
        self.padded = variant == "padded"
        self.depth = depth
        double_conv = partial(DoubleConv, padded=self.padded)
        channels = [base_channels * 2**level for level in range(depth + 1)]  # 64, ..., 1024

        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.ModuleList(
            double_conv(c_in, c_out)
            for c_in, c_out in zip([in_channels, *channels[:-2]], channels[:-1], strict=True)
        )
        self.bottom = double_conv(channels[-2], channels[-1])
        self.up = nn.ModuleList(up_convolution(c, upsampling) for c in reversed(channels[1:]))
        # After the concatenation a level has twice its channels, half of them copied.
        self.merge = nn.ModuleList(double_conv(2 * c, c) for c in reversed(channels[:-1]))
        self.head = nn.Conv2d(base_channels, num_classes, 1)
        self._initialize()

    def _initialize(self) -> None:
        """Section 3: standard deviation sqrt(2/N); every neuron of an up-convolution has N = C."""
        he_initialization(self, mode="fan_in")
        for layer in self.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                # 2×2 filters with stride 2 do not overlap: each output pixel has one input pixel.
                nn.init.normal_(layer.weight, std=(2 / layer.in_channels) ** 0.5)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images: down the left side of the U, up the right side."""
        for size in x.shape[2:]:
            if not self.padded:
                unet_output_size(size, self.depth)  # raises if the image does not fit
            elif size < 2**self.depth:
                raise ValueError(
                    f"an image of side {size} is too small for {self.depth} max poolings; "
                    f"use at least {2**self.depth}"
                )
        copies = []
        for level, down in enumerate(self.down, start=1):
            x = down(x)  # 64×568×568, 128×280×280, 256×136×136, 512×64×64
            if level == self.depth:
                x = self.dropout(x)
            copies.append(x)
            x = self.pool(x)  # 64×284×284, 128×140×140, 256×68×68, 512×32×32
        x = self.dropout(self.bottom(x))  # 1024×28×28
        for up, merge, copy in zip(self.up, self.merge, reversed(copies), strict=True):
            x = up(x)  # 512×56×56, 256×104×104, 128×200×200, 64×392×392
            if self.padded:
                x = fit_to_copy(x, copy)
            else:
                copy = center_crop(copy, x)
            x = merge(
                torch.cat([copy, x], dim=1)
            )  # 512×52×52, 256×100×100, 128×196×196, 64×388×388
        return self.head(x)  # 2×388×388


def center_crop(copy: Tensor, x: Tensor) -> Tensor:
    """Cut the middle out of `copy`, as large as `x`."""
    height, width = x.shape[2:]
    top, left = (copy.shape[2] - height) // 2, (copy.shape[3] - width) // 2
    return copy[:, :, top : top + height, left : left + width]


def fit_to_copy(x: Tensor, copy: Tensor) -> Tensor:
    """Give back to `x` the last row or column that pooling an odd map has dropped."""
    rows, columns = copy.shape[2] - x.shape[2], copy.shape[3] - x.shape[3]
    return F.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x


def unet(
    num_classes: int = 2,
    in_channels: int = 1,
    *,
    variant: str = "2015",
    upsampling: str = "transposed",
    dropout: float = 0.5,
    base_channels: int = 64,
    depth: int = 4,
) -> UNet:
    """Build a U-Net; see `UNet` for the arguments."""
    return UNet(
        num_classes,
        in_channels,
        variant=variant,
        upsampling=upsampling,
        dropout=dropout,
        base_channels=base_channels,
        depth=depth,
    )
