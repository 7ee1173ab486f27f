"""Faster R-CNN (2015): propose regions and look at them, all with the same feature maps.

    pictures ── backbone ── feature maps ──┬── region proposal network ── proposals
    (N, 3, H, W)         (one, or a pyramid)│                                 │
                                           └──────── RoIAlign ────────────────┘
                                                        │  (R, C, 7, 7)
                                                   Fast R-CNN head ── class and box of each region

Selective search took two seconds a picture; here a proposal costs three small convolutions on maps
that are computed anyway. Every box of the figure stands in its own file: `cnnlib.detection.rpn`,
`cnnlib.detection.roi`, `cnnlib.detection.heads`, `cnnlib.detection.fpn`. This one joins them to a
network with two faces:

    detector(images, targets)   -> {"rpn_objectness", "rpn_box", "head_class", "head_box"}: losses
    detector.eval()(images)     -> for each picture {"boxes", "labels", "scores"}, best first

The sum of the losses is what joint training goes down (section 3.2, ii); the module
`cnnlib.detection.training` has that and the paper's four steps. Where the released code and
torchvision do something that the paper does not (RoIAlign for RoI pooling, smooth L1 with another
corner), the defaults here follow them, so that the network is the one of torchvision.

Deviation: the paper resizes a picture until its shorter side has 600 pixels. That is left to the
data set, and so is subtracting the mean: pictures are taken as they come.

References: Ren et al., "Faster R-CNN", arXiv:1506.01497. Lin et al., "Feature pyramid networks for
object detection", arXiv:1612.03144, section 4.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.proxy import TraceError
from torchvision.models.feature_extraction import create_feature_extractor

from cnnlib.blocks import channel_shuffle
from cnnlib.detection.anchors import AnchorGenerator
from cnnlib.detection.boxes import Weights, check_boxes
from cnnlib.detection.fpn import FeaturePyramidNetwork
from cnnlib.detection.heads import (
    HEAD_WEIGHTS,
    FastRCNNHead,
    Regions,
    detect,
    fast_rcnn_loss,
    sample_regions,
)
from cnnlib.detection.roi import multiscale_roi_align, roi_align, roi_pool
from cnnlib.detection.rpn import RegionProposalNetwork

Pair = tuple[int, int]
Target = Mapping[str, Tensor]

# Large enough for the coarsest map of any backbone here (stride 32) to have a few pixels.
PROBE_SIZE = 256


# --- backbones ---------------------------------------------------------------------------------


class BackboneLevels(nn.Module):
    """The maps that some layers of a classification network put out; what follows them is cut off.

    Attributes:
        channels: Channels of each map.
        strides: Pixels of the picture per pixel of each map.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        known = dict(model.named_modules())
        unknown = [layer for layer in layers if not layer or layer not in known]
        if not layers or unknown:
            raise ValueError(
                f"the network has no layer {unknown}; of its {len(known) - 1} layers, the "
                f"outermost are {', '.join(name for name, _ in model.named_children())}"
            )
        self.layers = tuple(layers)
        try:
            traced = create_feature_extractor(
                model,
                return_nodes={layer: layer for layer in layers},
                tracer_kwargs={"autowrap_functions": (channel_shuffle,)},
                suppress_diff_warning=True,
            )
        except TraceError as error:
            raise ValueError(
                f"{type(model).__name__} decides something while it runs, such as what to do with "
                "a picture of this size, so its layers cannot be taken apart; cut the network "
                "yourself: a module that returns a list of maps, with the attributes channels and "
                "strides, is a backbone, too"
            ) from error
        # What torchvision returns has a graph for each mode, and a copy of it is in training mode
        # whatever the original was. Cut networks do the same in both modes: one graph will do.
        if str(traced.train_graph) != str(traced.eval_graph):
            raise ValueError(f"{type(model).__name__} takes another way in training than in use")
        self.body = GraphModule(traced, traced.train_graph)
        self.channels, self.strides = self._channels_and_strides()

    def _channels_and_strides(self) -> tuple[list[int], list[int]]:
        """Send a picture through a copy on the meta device, where computing costs nothing."""
        conv = next(m for m in self.body.modules() if isinstance(m, nn.Conv2d))
        picture = torch.empty(1, conv.in_channels, PROBE_SIZE, PROBE_SIZE, device="meta")
        maps = copy.deepcopy(self.body).to("meta").eval()(picture)
        # Strides are powers of two; convolutions without padding make a map a little smaller.
        strides = [2 ** round(math.log2(PROBE_SIZE / maps[x].shape[-1])) for x in self.layers]
        if strides != sorted(strides):
            raise ValueError(f"layers must be listed finest first; their strides are {strides}")
        return [maps[layer].shape[1] for layer in self.layers], strides

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of pictures (N, C, H, W), finest first."""
        maps = self.body(x)
        return [maps[layer] for layer in self.layers]


class PyramidBackbone(nn.Module):
    """A backbone with a feature pyramid on top: maps of equal channels.

    Args:
        levels: The backbone, with attributes `channels` and `strides`; each stride must be twice
            the one before.
        out_channels: Channels of every map of the pyramid.
        extra_level: As in `FeaturePyramidNetwork`: one coarser level, for proposals alone.

    Raises:
        ValueError: The strides do not double.
    """

    def __init__(
        self, levels: nn.Module, out_channels: int = 256, *, extra_level: bool = False
    ) -> None:
        super().__init__()
        strides = list(levels.strides)
        if any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
            raise ValueError(f"in a pyramid each stride is twice the one before; got {strides}")
        self.levels = levels
        self.pyramid = FeaturePyramidNetwork(levels.channels, out_channels, extra_level=extra_level)
        self.strides = [*strides, 2 * strides[-1]] if extra_level else strides
        self.channels = [out_channels] * len(self.strides)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the pyramid of pictures (N, C, H, W), finest level first."""
        return self.pyramid(self.levels(x))


def backbone_levels(
    model: nn.Module,
    layers: Sequence[str],
    *,
    pyramid_channels: int | None = None,
    extra_level: bool = False,
) -> BackboneLevels | PyramidBackbone:
    """Make the backbone of a detector from a classification network.

    Args:
        model: A network such as those of `cnnlib.models`. Its weights become the backbone's: they
            are shared, not copied.
        layers: Names of the layers whose output is wanted, finest map first: `["stage3"]` for one
            map, `["stage1", "stage2", "stage3", "stage4"]` for the pyramid on a ResNet.
        pyramid_channels: Channels of the feature pyramid; None for no pyramid.
        extra_level: As in `PyramidBackbone`.

    Returns:
        A module from pictures (N, C, H, W) to a list of maps, with attributes `channels` and
        `strides` that have one number for each.

    Raises:
        ValueError: There is no such layer, the order is wrong, the strides of a pyramid do not
            double, or there is an extra level without a pyramid.
    """
    if extra_level and pyramid_channels is None:
        raise ValueError("an extra level belongs to a pyramid; give pyramid_channels")
    levels = BackboneLevels(model, layers)
    if pyramid_channels is None:
        return levels
    return PyramidBackbone(levels, pyramid_channels, extra_level=extra_level)


# --- the detector ------------------------------------------------------------------------------


@dataclass(frozen=True)
class RegionSettings:
    """What happens to proposals. The defaults are those of torchvision, mostly of FPN.

    Attributes:
        layer: "align" for RoIAlign or "pool" for the paper's RoI pooling (on one map only).
        pool_size: Side of the features of a region.
        sampling_ratio: As in `roi_align`.
        aligned: As in `roi_align`.
        canonical_level: As in `assign_levels`.
        canonical_size: As in `assign_levels`.
        samples: Regions of each picture that the head is trained on.
        positive_fraction: Largest share of objects among them.
        positive_from: IoU from which on a region is an object.
        box_weights: As in `encode_boxes`.
        beta: As in `fast_rcnn_loss`.
        score_threshold: As in `detect`.
        nms_threshold: As in `detect`.
        limit: As in `detect`.
    """

    layer: Literal["align", "pool"] = "align"
    pool_size: int = 7
    sampling_ratio: int = 2
    aligned: bool = False
    canonical_level: int = 4
    canonical_size: float = 224.0
    samples: int = 512
    positive_fraction: float = 0.25
    positive_from: float = 0.5
    box_weights: Weights = HEAD_WEIGHTS
    beta: float = 1 / 9
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    limit: int = 100


DEFAULT_REGIONS = RegionSettings()


@dataclass(frozen=True)
class FeatureMaps:
    """What a detector knows of a batch after the backbone.

    Attributes:
        maps: (N, C, H, W) of each level, finest first.
        image_sizes: (H, W) of each picture.
        padded_size: (H, W) of the batch.
    """

    maps: list[Tensor]
    image_sizes: list[Pair]
    padded_size: Pair


class FasterRCNN(nn.Module):
    """Backbone, region proposal network and Fast R-CNN head.

    Args:
        backbone: Module from pictures (N, 3, H, W) to a list of maps with equally many channels,
            finest first, with the attribute `strides`; from `backbone_levels`.
        rpn: The region proposal network, with as many levels.
        head: Module from features (R, C, P, P) of R regions to logits (R, K + 1) and box deltas
            (R, K + 1, 4), such as `FastRCNNHead`.
        regions: What happens to proposals.
        roi_levels: Only the finest so many levels give features to regions; by default all. On a
            pyramid with an extra level, one less.

    Raises:
        ValueError: The parts do not fit together.
    """

    def __init__(
        self,
        backbone: nn.Module,
        rpn: RegionProposalNetwork,
        head: nn.Module,
        regions: RegionSettings = DEFAULT_REGIONS,
        *,
        roi_levels: int | None = None,
    ) -> None:
        super().__init__()
        levels = len(backbone.strides)
        if rpn.anchors.num_levels != levels:
            raise ValueError(
                f"the backbone has {levels} levels and the anchors {rpn.anchors.num_levels}"
            )
        roi_levels = levels if roi_levels is None else roi_levels
        if not 1 <= roi_levels <= levels:
            raise ValueError(f"roi_levels must be from 1 to {levels}; got {roi_levels}")
        if regions.layer not in ("align", "pool") or (regions.layer == "pool" and roi_levels > 1):
            raise ValueError(
                "the layer for regions must be 'align', or 'pool' with one level of features; got "
                f"{regions.layer!r} with {roi_levels}"
            )
        self.backbone, self.rpn, self.head = backbone, rpn, head
        self.regions = regions
        self.roi_levels = roi_levels

    def forward(
        self,
        images: Tensor | Sequence[Tensor],
        targets: Sequence[Target] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses if there are targets, detections if not.

        With targets the losses come in evaluation mode, too: the loss on a validation set, with
        batch normalisation as in use.

        Args:
            images: Pictures (N, 3, H, W), or a list of pictures (3, H, W) of any size, which are
                filled up with zeros at the right and at the bottom.
            targets: For each picture "boxes" (G, 4) and "labels" (G,) from 1; G may be 0, and a
                box may stick out of the picture.
            generator: Source of randomness of the samples; by default the global one.

        Returns:
            The losses by name, scalars; or for each picture "boxes" (D, 4), "labels" (D,) and
            "scores" (D,), best first.

        Raises:
            ValueError: There are no targets in training mode, or something does not fit.
        """
        if targets is None:
            if self.training:
                raise ValueError(
                    "in training mode the detector returns losses and needs targets; call .eval() "
                    "first to get detections"
                )
            features = self.extract(images)
            proposals, _ = self._propose(features)
            return self.detections(features, proposals)
        features = self.extract(images)
        self._check_targets(targets, features)
        proposals, losses = self._propose(features, targets, generator)
        return losses | self.region_losses(features, proposals, targets, generator=generator)

    def extract(self, images: Tensor | Sequence[Tensor]) -> FeatureMaps:
        """Compute the feature maps of pictures; the first half of `forward`."""
        # Whole pixels of the coarsest map, or its anchors would drift away from its pixels.
        batch, image_sizes = batch_images(images, self.backbone.strides[-1])
        return FeatureMaps(self.backbone(batch), image_sizes, tuple(batch.shape[-2:]))

    def propose(self, images: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Proposals (n, 4) of each picture, best first; how many depends on the mode."""
        return self._propose(self.extract(images))[0]

    def rpn_losses(
        self,
        images: Tensor | Sequence[Tensor],
        targets: Sequence[Target],
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The two losses of the region proposal network alone."""
        features = self.extract(images)
        self._check_targets(targets, features)
        return self.rpn.losses(features.maps, features.padded_size, targets, generator=generator)

    def region_losses(
        self,
        features: FeatureMaps,
        proposals: Sequence[Tensor],
        targets: Sequence[Target],
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The losses of the head alone, on any proposals: what Fast R-CNN trains.

        Args:
            features: From `extract`.
            proposals: For each picture, boxes (n, 4).
            targets: As in `forward`.
            generator: As in `forward`.

        Returns:
            "head_class" and "head_box".
        """
        return self._losses_of(features, self._sample(proposals, targets, generator), targets)

    def detections(
        self, features: FeatureMaps, proposals: Sequence[Tensor]
    ) -> list[dict[str, Tensor]]:
        """What the head finds among proposals: the second half of `forward` without targets."""
        logits, deltas = self.head(self.crop(features, proposals, self.regions.pool_size))
        counts = [len(boxes) for boxes in proposals]
        settings = self.regions
        return [
            detect(
                *answers,
                size,
                score_threshold=settings.score_threshold,
                nms_threshold=settings.nms_threshold,
                limit=settings.limit,
                weights=settings.box_weights,
            )
            for *answers, size in zip(
                logits.split(counts),
                deltas.split(counts),
                proposals,
                features.image_sizes,
                strict=True,
            )
        ]

    def crop(self, features: FeatureMaps, boxes: Sequence[Tensor], size: int) -> Tensor:
        """Features (R, C, size, size) of the regions of all pictures."""
        settings = self.regions
        maps = features.maps[: self.roi_levels]
        strides = self.backbone.strides[: self.roi_levels]
        if settings.layer == "pool":
            return roi_pool(maps[0], boxes, size, 1 / strides[0])
        how = {"sampling_ratio": settings.sampling_ratio, "aligned": settings.aligned}
        if len(maps) == 1:
            return roi_align(maps[0], boxes, size, 1 / strides[0], **how)
        return multiscale_roi_align(
            maps,
            boxes,
            strides,
            size,
            **how,
            canonical_level=settings.canonical_level,
            canonical_size=settings.canonical_size,
        )

    def _check_targets(self, targets: Sequence[Target], features: FeatureMaps) -> None:
        check_targets(targets, features.image_sizes)

    def _propose(
        self,
        features: FeatureMaps,
        targets: Sequence[Target] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        return self.rpn(
            features.maps,
            features.image_sizes,
            features.padded_size,
            targets,
            generator=generator,
        )

    def _sample(
        self,
        proposals: Sequence[Tensor],
        targets: Sequence[Target],
        generator: torch.Generator | None,
    ) -> list[Regions]:
        """Regions of each picture to train the head on."""
        settings = self.regions
        return [
            sample_regions(
                boxes,
                target["boxes"],
                target["labels"],
                positive_from=settings.positive_from,
                count=settings.samples,
                positive_fraction=settings.positive_fraction,
                weights=settings.box_weights,
                generator=generator,
            )
            for boxes, target in zip(proposals, targets, strict=True)
        ]

    def _losses_of(
        self, features: FeatureMaps, sampled: Sequence[Regions], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        boxes = [regions.boxes for regions in sampled]
        logits, deltas = self.head(self.crop(features, boxes, self.regions.pool_size))
        labels = torch.cat([regions.labels for regions in sampled])
        if (labels >= logits.shape[1]).any():
            raise ValueError(
                f"the detector has {logits.shape[1]} classes, background included; there is a "
                f"label {labels.max().item()}"
            )
        goals = torch.cat([regions.goals for regions in sampled])
        class_loss, box_loss = fast_rcnn_loss(logits, deltas, labels, goals, self.regions.beta)
        return {"head_class": class_loss, "head_box": box_loss}


def batch_images(images: Tensor | Sequence[Tensor], multiple: int) -> tuple[Tensor, list[Pair]]:
    """Put pictures of any sizes into one tensor, filled up with zeros at the right and the bottom.

    Args:
        images: Pictures (N, C, H, W), or a list of pictures (C, H, W).
        multiple: Height and width of the batch become multiples of this.

    Returns:
        The batch, and (H, W) of each picture.

    Raises:
        ValueError: There is no picture, or one has the wrong shape or type.
    """
    if len(images) == 0:
        raise ValueError("images must hold at least one picture (C, H, W)")
    for number, image in enumerate(images):
        if image.ndim != 3 or len(image) != len(images[0]) or not image.is_floating_point():
            raise ValueError(
                "images must be floating point (C, H, W) with the same number of channels; number "
                f"{number} is {image.dtype} of shape {tuple(image.shape)}"
            )
    sizes = [tuple(image.shape[-2:]) for image in images]
    height, width = (-(-max(side) // multiple) * multiple for side in zip(*sizes, strict=True))
    if isinstance(images, Tensor) and tuple(images.shape[-2:]) == (height, width):
        return images, sizes
    batch = images[0].new_zeros(len(images), len(images[0]), height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes


def check_targets(
    targets: Sequence[Target], image_sizes: Sequence[Pair], *, masks: bool = False
) -> None:
    """Raise an error that names the picture unless a detector can learn from these targets.

    Args:
        targets: For each picture "boxes" (G, 4), "labels" (G,), and "masks" (G, H, W) if wanted.
        image_sizes: (H, W) of each picture.
        masks: Whether masks are wanted.

    Raises:
        ValueError: Something is missing or has the wrong shape, a box has no area, or a label is
            not a whole number from 1.
    """
    if len(targets) != len(image_sizes):
        raise ValueError(f"{len(targets)} targets for {len(image_sizes)} pictures")
    for number, (target, size) in enumerate(zip(targets, image_sizes, strict=True)):
        keys = ("boxes", "labels", "masks") if masks else ("boxes", "labels")
        missing = [key for key in keys if key not in target]
        if missing:
            raise ValueError(f"the target of picture {number} lacks {', '.join(missing)}")
        check_boxes(target["boxes"], f"boxes of picture {number}")
        labels, count = target["labels"], len(target["boxes"])
        if labels.dtype != torch.int64 or labels.shape != (count,) or (labels < 1).any():
            raise ValueError(
                f"labels of picture {number} must be {count} whole numbers (int64) from 1, because "
                f"0 is the background; got {labels.dtype} {labels.tolist()[:10]}"
            )
        if masks and tuple(target["masks"].shape) != (count, *size):
            raise ValueError(
                f"masks of picture {number} must have shape {(count, *size)}; got "
                f"{tuple(target['masks'].shape)}"
            )


# --- constructors ------------------------------------------------------------------------------


def faster_rcnn(
    model: nn.Module,
    layers: Sequence[str],
    num_classes: int,
    *,
    anchor_sizes: Sequence[Sequence[float]],
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    pyramid_channels: int | None = None,
    extra_level: bool = False,
    hidden: int = 1024,
    regions: RegionSettings = DEFAULT_REGIONS,
    **rpn_options: Any,
) -> FasterRCNN:
    """Build Faster R-CNN on a classification network.

    `faster_rcnn(resnet50(), ["stage1", "stage2", "stage3", "stage4"], 21, pyramid_channels=256,
    extra_level=True, anchor_sizes=[[32], [64], [128], [256], [512]])` is that of the FPN paper.

    Args:
        model: The network, as in `backbone_levels`.
        layers: Its layers that give feature maps, finest first; one, unless there is a pyramid.
        num_classes: Number of classes, with background as class 0.
        anchor_sizes: For each level the sizes of its anchors, in pixels of the picture.
        aspect_ratios: Height divided by width of the anchors.
        pyramid_channels: Channels of the feature pyramid; None for no pyramid.
        extra_level: One coarser level, for proposals alone.
        hidden: Neurons of the head's two layers.
        regions: What happens to proposals.
        **rpn_options: Further arguments of `RegionProposalNetwork`.

    Raises:
        ValueError: The parts do not fit together, for example the number of levels.
    """
    backbone = backbone_levels(
        model, layers, pyramid_channels=pyramid_channels, extra_level=extra_level
    )
    channels = set(backbone.channels)
    if len(channels) != 1:
        raise ValueError(
            f"maps of {backbone.channels} channels cannot share one head; give pyramid_channels, "
            "or name one layer"
        )
    channels = channels.pop()
    anchors = AnchorGenerator(anchor_sizes, aspect_ratios)
    rpn = RegionProposalNetwork(channels, anchors, **rpn_options)
    head = FastRCNNHead(channels, num_classes, regions.pool_size, hidden)
    roi_levels = len(backbone.strides) - extra_level
    return FasterRCNN(backbone, rpn, head, regions, roi_levels=roi_levels)
