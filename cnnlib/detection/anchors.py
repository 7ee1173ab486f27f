"""Anchors: the boxes a detector starts from, the same ones at every position of a feature map.

A network that slides over a map sees the same weights at every position, so it cannot say where an
object is, only where it is seen from here. An anchor is that "here": the region proposal network
predicts, for each, whether it covers an object and how to move and stretch it
(`cnnlib.detection.boxes.decode_boxes`).

| paper, section      | maps           | sizes                   | ratios  | anchors a position |
|---------------------|----------------|-------------------------|---------|--------------------|
| Faster R-CNN, 3.1.1 | one, stride 16 | 128, 256, 512           | ½, 1, 2 | 9                  |
| FPN, 4.1            | P2 to P6       | one a level, 32 to 512  | ½, 1, 2 | 3                  |

References: Ren et al., "Faster R-CNN", arXiv:1506.01497. Lin et al., "Feature pyramid networks for
object detection", arXiv:1612.03144.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Pair = tuple[int, int]


def cell_anchors(
    sizes: Sequence[float], aspect_ratios: Sequence[float], *, rounded: bool = True
) -> Tensor:
    """The anchors of one position, centred on (0, 0).

    An anchor of size s and ratio r has the area s² and r times as much height as width.

    Args:
        sizes: Sides of the square anchors, in pixels of the picture.
        aspect_ratios: Height divided by width.
        rounded: Round the corners to whole pixels. The papers' released code does, and published
            weights were trained with it; without rounding the areas are exact.

    Returns:
        Anchors (A, 4), A = len(aspect_ratios) · len(sizes): all sizes of the first ratio, then all
        of the second.

    Raises:
        ValueError: A list is empty or a number is not positive.
    """
    for what, numbers in (("sizes", sizes), ("aspect_ratios", aspect_ratios)):
        if not numbers or not all(number > 0 for number in numbers):
            raise ValueError(f"{what} must be positive numbers; got {tuple(numbers)}")
    size = torch.as_tensor(sizes, dtype=torch.float32)
    ratio = torch.as_tensor(aspect_ratios, dtype=torch.float32)[:, None]
    height = (ratio.sqrt() * size).flatten()  # (A,)
    width = (1 / ratio.sqrt() * size).flatten()
    anchors = torch.stack([-width, -height, width, height], dim=1) / 2
    return anchors.round() if rounded else anchors


def grid_anchors(cell: Tensor, grid: Pair, stride: Pair, *, offset: float = 0.0) -> Tensor:
    """Put copies of the anchors of one position on every position of a feature map.

    Args:
        cell: Anchors (A, 4) of one position, from `cell_anchors`.
        grid: (H, W) of the feature map.
        stride: (vertical, horizontal) distance between two positions, in pixels of the picture.
        offset: Where the first position lies, in strides. 0 puts it into the corner of the picture,
            as torchvision does, whose weights were trained so; 0.5 into the centre of the area that
            the position stands for.

    Returns:
        Anchors (H·W·A, 4): position after position, row by row, the A anchors of a position
        together. Those at the border stick out of the picture.

    Raises:
        ValueError: `cell` does not have shape (A, 4).
    """
    if cell.ndim != 2 or cell.shape[1] != 4:
        raise ValueError(f"the anchors of a position must have shape (A, 4); got {cell.shape}")
    y, x = (
        (torch.arange(count, device=cell.device, dtype=cell.dtype) + offset) * step
        for count, step in zip(grid, stride, strict=True)
    )
    y, x = torch.meshgrid(y, x, indexing="ij")  # (H, W)
    centres = torch.stack([x, y, x, y], dim=-1)  # (H, W, 4)
    return (centres[:, :, None] + cell).flatten(0, 2)


class AnchorGenerator(nn.Module):
    """Anchors for all levels of a feature pyramid, or for one map.

    It has no parameters; it is a module so that `.to(device)` moves its buffers along.

    Args:
        sizes: For each level, the anchor sizes in pixels of the picture.
        aspect_ratios: Height divided by width, the same for all levels.
        rounded: As in `cell_anchors`.
        offset: As in `grid_anchors`.

    Raises:
        ValueError: There is no level, or a number is not positive.
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[float]] = ((32,), (64,), (128,), (256,), (512,)),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        *,
        rounded: bool = True,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        if not sizes:
            raise ValueError("an anchor generator needs the sizes of at least one level")
        self.num_levels = len(sizes)
        self.offset = offset
        for level, level_sizes in enumerate(sizes):
            cell = cell_anchors(level_sizes, aspect_ratios, rounded=rounded)
            self.register_buffer(f"cell_{level}", cell, persistent=False)

    def cell(self, level: int) -> Tensor:
        """The anchors (A, 4) of one position of a level, centred on (0, 0)."""
        return self.get_buffer(f"cell_{level}")

    def anchors_per_position(self) -> list[int]:
        """A of each level: how many predictions the head makes at a position."""
        return [len(self.cell(level)) for level in range(self.num_levels)]

    def forward(self, feature_maps: Sequence[Tensor], image_size: Pair) -> list[Tensor]:
        """Anchors of each level.

        Args:
            feature_maps: One map (N, C, H, W) for each level.
            image_size: (H, W) of the pictures that the maps were computed from, padding included.

        Returns:
            For each level, anchors (H·W·A, 4), the same for all pictures of the batch.

        Raises:
            ValueError: There are more or fewer maps than levels.
        """
        if len(feature_maps) != self.num_levels:
            raise ValueError(
                f"sizes are given for {self.num_levels} levels, but there are {len(feature_maps)} "
                "feature maps"
            )
        anchors = []
        for level, feature_map in enumerate(feature_maps):
            height, width = feature_map.shape[-2:]
            # A whole number of pixels: a map of ceil(size / 16) positions still has stride 16 if
            # the picture was padded to a multiple of the coarsest stride, as detectors do.
            stride = image_size[0] // height, image_size[1] // width
            # Coordinates of a large picture need more digits than half precision has.
            cell = self.cell(level).to(feature_map.device)
            anchors.append(grid_anchors(cell, (height, width), stride, offset=self.offset))
        return anchors
