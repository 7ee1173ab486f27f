"""Mask R-CNN (2017): Faster R-CNN, and which pixels of its box belong to each object.

                                     ┌── 7×7 ──── Fast R-CNN head ── class and box
    proposals ── RoIAlign on the maps┤
                                     └── 14×14 ── mask head ── a 28×28 mask for each class

A third output beside the two of Fast R-CNN, trained with them: L = L_cls + L_box + L_mask. Two
things make it work. Features are cut out without rounding, because a mask must lie where the object
does (RoIAlign). And classes do not compete for pixels: the mask of the true class alone is trained,
and in use the class is that of the other head (`cnnlib.detection.heads`).

In training the mask head sees the sampled regions that are objects. In use it sees the final
boxes, after non-maximum suppression: fewer and better than the proposals.

Reference: He et al., "Mask R-CNN", arXiv:1703.06870, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib.detection.faster_rcnn import (
    DEFAULT_REGIONS,
    FasterRCNN,
    FeatureMaps,
    RegionSettings,
    Target,
    check_targets,
    faster_rcnn,
)
from cnnlib.detection.heads import MaskHead, Regions, mask_loss, mask_targets, paste_masks
from cnnlib.detection.rpn import RegionProposalNetwork


@dataclass(frozen=True)
class MaskSettings:
    """What happens to masks.

    Attributes:
        pool_size: Side of the features of a region; the mask has twice as many pixels.
        threshold: A pixel belongs to the object from this probability on; None gives the
            probabilities themselves.
        rounded: As in `paste_masks`; True is the paper's released code and torchvision.
    """

    pool_size: int = 14
    threshold: float | None = 0.5
    rounded: bool = False


DEFAULT_MASKS = MaskSettings()


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a mask head.

    Args:
        backbone: As in `FasterRCNN`.
        rpn: As in `FasterRCNN`.
        head: As in `FasterRCNN`.
        mask_head: Module from features (R, C, P, P) of R regions to mask logits
            (R, K + 1, 2P, 2P), such as `MaskHead`.
        regions: As in `FasterRCNN`.
        masks: What happens to masks.
        roi_levels: As in `FasterRCNN`.

    Called with targets, which need "masks" (G, H, W) too, it returns one loss more, "mask"; without
    targets, "masks" (D, H, W) with the detections of a picture of H × W pixels, bool, or
    probabilities if there is no threshold.

    Raises:
        ValueError: The parts do not fit together.
    """

    def __init__(
        self,
        backbone: nn.Module,
        rpn: RegionProposalNetwork,
        head: nn.Module,
        mask_head: nn.Module,
        regions: RegionSettings = DEFAULT_REGIONS,
        masks: MaskSettings = DEFAULT_MASKS,
        *,
        roi_levels: int | None = None,
    ) -> None:
        super().__init__(backbone, rpn, head, regions, roi_levels=roi_levels)
        self.mask_head = mask_head
        self.masks = masks

    def detections(
        self, features: FeatureMaps, proposals: Sequence[Tensor]
    ) -> list[dict[str, Tensor]]:
        """What the heads find among proposals."""
        found = super().detections(features, proposals)
        boxes = [detected["boxes"] for detected in found]
        logits = self.mask_head(self.crop(features, boxes, self.masks.pool_size))
        labels = torch.cat([detected["labels"] for detected in found])
        own = logits[torch.arange(len(labels), device=labels.device), labels]  # (D, 2P, 2P)
        counts = [len(these) for these in boxes]
        for detected, masks, size in zip(
            found, own.sigmoid().split(counts), features.image_sizes, strict=True
        ):
            pasted = paste_masks(masks, detected["boxes"], size, rounded=self.masks.rounded)
            threshold = self.masks.threshold
            detected["masks"] = pasted if threshold is None else pasted >= threshold
        return found

    def _check_targets(self, targets: Sequence[Target], features: FeatureMaps) -> None:
        check_targets(targets, features.image_sizes, masks=True)

    def _losses_of(
        self, features: FeatureMaps, sampled: Sequence[Regions], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        losses = super()._losses_of(features, sampled, targets)
        objects = [regions.labels > 0 for regions in sampled]
        boxes = [regions.boxes[these] for regions, these in zip(sampled, objects, strict=True)]
        labels = [regions.labels[these] for regions, these in zip(sampled, objects, strict=True)]
        size = 2 * self.masks.pool_size
        wanted = [
            mask_targets(
                target["masks"],
                cut,
                regions.matched[these],
                size,
                aligned=self.regions.aligned,
            )
            for target, cut, regions, these in zip(targets, boxes, sampled, objects, strict=True)
        ]
        logits = self.mask_head(self.crop(features, boxes, self.masks.pool_size))
        return losses | {"mask": mask_loss(logits, torch.cat(labels), torch.cat(wanted))}


def mask_rcnn(
    model: nn.Module,
    layers: Sequence[str],
    num_classes: int,
    *,
    regions: RegionSettings = DEFAULT_REGIONS,
    masks: MaskSettings = DEFAULT_MASKS,
    mask_hidden: int = 256,
    mask_depth: int = 4,
    **options: Any,
) -> MaskRCNN:
    """Build Mask R-CNN on a classification network.

    Args:
        model: As in `faster_rcnn`.
        layers: As in `faster_rcnn`.
        num_classes: Number of classes, with background as class 0.
        regions: What happens to proposals.
        masks: What happens to masks.
        mask_hidden: Channels of the mask head.
        mask_depth: Number of its 3 × 3 convolutions.
        **options: Further arguments of `faster_rcnn`.

    Raises:
        ValueError: As in `faster_rcnn`.
    """
    boxes_only = faster_rcnn(model, layers, num_classes, regions=regions, **options)
    channels = boxes_only.backbone.channels[0]
    return MaskRCNN(
        boxes_only.backbone,
        boxes_only.rpn,
        boxes_only.head,
        MaskHead(channels, num_classes, mask_hidden, mask_depth),
        regions,
        masks,
        roi_levels=boxes_only.roi_levels,
    )
