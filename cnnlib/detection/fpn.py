"""Feature pyramid network (2017): maps of every scale that all know what a cat is.

Idea: a backbone computes maps of falling resolution. The coarse ones know what is in the picture
and the fine ones where. The pyramid hands the knowledge down: starting at the coarsest map, each
level is upsampled by 2 and added to the next finer one. It costs one 1 × 1 and one 3 × 3
convolution a level.

    C5 ── 1×1 ─────────────── M5 ── 3×3 ── P5
                              │ ×2
    C4 ── 1×1 ────────────── (+) M4 ── 3×3 ── P4
                              │ ×2
    C3 ── 1×1 ────────────── (+) M3 ── 3×3 ── P3      (and C2, P2)

All levels get the same number of channels d = 256, because the same head looks at all of them.

Reference: Lin et al., "Feature pyramid networks for object detection", arXiv:1612.03144, section 3
and figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramidNetwork(nn.Module):
    """Turns the maps of a backbone into a pyramid of maps with equal channels.

    Args:
        in_channels: Channels of the backbone's maps, finest first, such as (256, 512, 1024, 2048).
        out_channels: Channels d of every level of the pyramid.
        extra_level: Append one coarser level, every second pixel of the last: P6, which only the
            region proposal network uses, for anchors of 512 pixels (section 4.1, footnote).

    Raises:
        ValueError: There is no level or a number of channels is not positive.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int = 256, *, extra_level: bool = False
    ) -> None:
        super().__init__()
        if not in_channels or min(*in_channels, out_channels) < 1:
            raise ValueError(
                "in_channels must list at least one level, and channels be at least 1; got "
                f"{tuple(in_channels)} and {out_channels}"
            )
        self.extra_level = extra_level
        self.lateral = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        # Against the aliasing that upsampling leaves.
        self.output = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels
        )
        for conv in (*self.lateral, *self.output):
            # Variance 1 / fan-in: there is no ReLU whose loss a factor 2 would have to make up for.
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Build the pyramid.

        Args:
            features: Maps (N, C_i, H_i, W_i) of the backbone, finest first.

        Returns:
            Maps (N, d, H_i, W_i), finest first, and with `extra_level` one more of half the size.

        Raises:
            ValueError: There are more or fewer maps than levels.
        """
        if len(features) != len(self.lateral):
            raise ValueError(f"{len(features)} feature maps for {len(self.lateral)} levels")
        lateral = [conv(c) for conv, c in zip(self.lateral, features, strict=True)]
        merged = [lateral[-1]]
        for finer in reversed(lateral[:-1]):
            # The size of the finer map, not twice the own: 25 pixels come from 13.
            upsampled = F.interpolate(merged[0], size=finer.shape[-2:], mode="nearest")
            merged.insert(0, finer + upsampled)
        pyramid = [conv(m) for conv, m in zip(self.output, merged, strict=True)]
        if self.extra_level:
            pyramid.append(pyramid[-1][:, :, ::2, ::2])
        return pyramid
