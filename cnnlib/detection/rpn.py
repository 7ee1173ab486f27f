"""Region proposal network (2015): a small network that says where to look.

Idea: selective search took 2 seconds a picture and knew nothing of what the network had learned.
The feature map is there anyway, so let it propose. A 3 × 3 convolution slides over it; at each
position, two 1 × 1 convolutions say for each of the k anchors whether it covers an object (one
number) and how to move and stretch it (four numbers).

                            ┌── 1×1 ── objectness   k a position
    feature map ── 3×3 ── ReLU
                            └── 1×1 ── deltas      4k a position

(The paper has 2k scores and a softmax over "object" and "no object"; one number and a sigmoid are
the same, as its footnote says.) The best boxes, after non-maximum suppression, are the proposals.
On a feature pyramid the same head, with the same weights, slides over every level.

Reference: Ren et al., "Faster R-CNN", arXiv:1506.01497, section 3. Lin et al., "Feature pyramid
networks for object detection", arXiv:1612.03144, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.blocks import gaussian_initialization
from cnnlib.detection.anchors import AnchorGenerator
from cnnlib.detection.boxes import (
    box_iou,
    clip_boxes_to_image,
    decode_boxes,
    encode_boxes,
    remove_small_boxes,
)
from cnnlib.detection.heads import smooth_l1
from cnnlib.detection.matching import match, objectness_labels, sample_balanced
from cnnlib.detection.nms import batched_nms

Pair = tuple[int, int]


@dataclass(frozen=True)
class ProposalSettings:
    """How many proposals the network makes; the defaults are those of FPN.

    Attributes:
        before_nms: The best so many of each level enter non-maximum suppression.
        after_nms: The best so many of each picture leave it.
    """

    before_nms: int = 1000
    after_nms: int = 1000


class RPNHead(nn.Module):
    """The convolutions of the figure above.

    Args:
        in_channels: Channels of the feature maps.
        anchors_per_position: k.

    Reference: section 3.1; weights are drawn from N(0, 0.01²), section 3.1.3.
    """

    def __init__(self, in_channels: int, anchors_per_position: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.objectness = nn.Conv2d(in_channels, anchors_per_position, 1)
        self.deltas = nn.Conv2d(in_channels, 4 * anchors_per_position, 1)
        gaussian_initialization(self, std=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predict for every anchor of one level.

        Args:
            x: Feature map (N, C, H, W).

        Returns:
            Logits (N, H·W·k) and deltas (N, H·W·k, 4), in the order of `grid_anchors`.
        """
        x = F.relu(self.conv(x))
        logits = self.objectness(x).permute(0, 2, 3, 1).flatten(1)  # (N, H, W, k) flattened
        deltas = self.deltas(x).unflatten(1, (-1, 4))  # (N, k, 4, H, W)
        return logits, deltas.permute(0, 3, 4, 1, 2).flatten(1, 3)


class RegionProposalNetwork(nn.Module):
    """Anchors, head, labels, loss and proposals.

    Args:
        in_channels: Channels of the feature maps.
        anchors: The anchors; all levels must have the same number a position, since they share the
            head.
        positive_from: IoU from which on an anchor is an object.
        negative_below: IoU below which it is background.
        samples: Anchors of each picture that the loss looks at.
        positive_fraction: Largest share of objects among them.
        training: How many proposals to make in training mode.
        testing: How many to make in evaluation mode.
        nms_threshold: Proposals of a level that overlap a better one by more are dropped.
        beta: Where smooth L1 turns from a parabola into a line: 1/9 in the released code, though
            the paper refers to Fast R-CNN, which prints 1.

    Raises:
        ValueError: Levels differ in anchors a position.
    """

    def __init__(
        self,
        in_channels: int,
        anchors: AnchorGenerator,
        *,
        positive_from: float = 0.7,
        negative_below: float = 0.3,
        samples: int = 256,
        positive_fraction: float = 0.5,
        training: ProposalSettings = ProposalSettings(2000, 2000),
        testing: ProposalSettings = ProposalSettings(1000, 1000),
        nms_threshold: float = 0.7,
        beta: float = 1 / 9,
    ) -> None:
        super().__init__()
        per_position = set(anchors.anchors_per_position())
        if len(per_position) != 1:
            raise ValueError(
                "the levels share one head, so they need equally many anchors a position; got "
                f"{anchors.anchors_per_position()}"
            )
        self.anchors = anchors
        self.head = RPNHead(in_channels, per_position.pop())
        self.positive_from, self.negative_below = positive_from, negative_below
        self.samples, self.positive_fraction = samples, positive_fraction
        self.settings_in_training, self.settings_in_testing = training, testing
        self.nms_threshold = nms_threshold
        self.beta = beta

    def forward(
        self,
        features: Sequence[Tensor],
        image_sizes: Sequence[Pair],
        padded_size: Pair,
        targets: Sequence[Mapping[str, Tensor]] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Propose regions, and say how wrong the network is if there are targets.

        Args:
            features: Maps (N, C, H, W) of all levels, finest first.
            image_sizes: (H, W) of each picture without padding: proposals stay inside.
            padded_size: (H, W) of the batch.
            targets: For each picture, "boxes" (G, 4).
            generator: Source of randomness of the samples; by default the global one.

        Returns:
            Proposals (n, 4) of each picture, best first and without gradient, and the losses
            "rpn_objectness" and "rpn_box": empty without targets.

        Raises:
            ValueError: There are not as many sizes or targets as pictures.
        """
        for what, given in (("image_sizes", image_sizes), ("targets", targets)):
            if given is not None and len(given) != len(features[0]):
                raise ValueError(f"{len(given)} {what} for {len(features[0])} pictures")
        anchors, predicted = self._look(features, padded_size)
        proposals = self._propose(predicted, anchors, image_sizes)
        losses = {} if targets is None else self._losses(predicted, anchors, targets, generator)
        return proposals, losses

    def losses(
        self,
        features: Sequence[Tensor],
        padded_size: Pair,
        targets: Sequence[Mapping[str, Tensor]],
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The losses of `forward` without the proposals, for training this network alone.

        Args:
            features: As in `forward`.
            padded_size: As in `forward`.
            targets: As in `forward`.
            generator: As in `forward`.

        Returns:
            "rpn_objectness" and "rpn_box".

        Raises:
            ValueError: There are not as many targets as pictures.
        """
        if len(targets) != len(features[0]):
            raise ValueError(f"{len(targets)} targets for {len(features[0])} pictures")
        anchors, predicted = self._look(features, padded_size)
        return self._losses(predicted, anchors, targets, generator)

    def _look(
        self, features: Sequence[Tensor], padded_size: Pair
    ) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """For each level the anchors (H·W·k, 4), and what the head says about them."""
        return self.anchors(features, padded_size), [self.head(level) for level in features]

    def _propose(
        self,
        predicted: Sequence[tuple[Tensor, Tensor]],
        anchors: Sequence[Tensor],
        image_sizes: Sequence[Pair],
    ) -> list[Tensor]:
        """Proposals of each picture, from what the head says about each level."""
        settings = self.settings_in_training if self.training else self.settings_in_testing
        boxes, scores, levels = [], [], []
        for level, ((logits, deltas), anchor) in enumerate(zip(predicted, anchors, strict=True)):
            logits, deltas = logits.detach(), deltas.detach()
            score, best = logits.topk(min(settings.before_nms, len(anchor)), dim=1)  # (N, n)
            delta = deltas.gather(1, best[:, :, None].expand(-1, -1, 4))
            boxes.append(decode_boxes(delta, anchor[best]))  # (N, n, 4)
            scores.append(score)
            levels.append(torch.full_like(best, level))
        boxes, scores, levels = (torch.cat(parts, dim=1) for parts in (boxes, scores, levels))
        boxes = torch.cat(
            [clip_boxes_to_image(*of_image) for of_image in zip(boxes, image_sizes, strict=True)]
        )
        images = torch.arange(len(scores), device=scores.device)[:, None].expand_as(scores)
        scores, levels, images = scores.flatten(), levels.flatten(), images.flatten()
        # What lies outside the picture has no area any more.
        inside = remove_small_boxes(boxes, min_size=1e-3)
        boxes, scores, images = boxes[inside], scores[inside], images[inside]
        # A sigmoid keeps the order, so the logits rank as well as probabilities would.
        groups = images * len(anchors) + levels[inside]
        kept = batched_nms(boxes, scores, groups, self.nms_threshold)
        boxes, images = boxes[kept], images[kept]
        return [boxes[images == image][: settings.after_nms] for image in range(len(image_sizes))]

    def label_anchors(self, anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """What each anchor should say in one picture.

        Args:
            anchors: Anchors (A, 4) of all levels.
            boxes: Objects (G, 4).

        Returns:
            Labels (A,): 1 object, 0 background, -1 ignored; and the deltas (A, 4) that would turn
            the anchor into its object, 0 where it has none.
        """
        matched = self._match(box_iou(boxes, anchors))
        goals = torch.zeros_like(anchors)
        positive = matched >= 0
        goals[positive] = encode_boxes(boxes[matched[positive]], anchors[positive])
        return objectness_labels(matched), goals

    def _match(self, iou: Tensor) -> Tensor:
        return match(iou, self.positive_from, self.negative_below, keep_best=True)

    def _losses(
        self,
        predicted: Sequence[tuple[Tensor, Tensor]],
        anchors: Sequence[Tensor],
        targets: Sequence[Mapping[str, Tensor]],
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        """Equation 1 over the sampled anchors of all pictures.

        Both terms are divided by the number of samples. The paper divides the second by the number
        of positions, about 2,400, and multiplies it by lambda = 10, which comes to about the same.
        """
        logits, deltas = (torch.cat(values, dim=1) for values in zip(*predicted, strict=True))
        anchors = torch.cat(list(anchors))  # of all levels, (A, 4)
        # The anchors are the same for all pictures: one table of overlaps, (all objects, A).
        boxes = torch.cat([target["boxes"] for target in targets]).to(anchors.dtype)
        overlaps = box_iou(boxes, anchors).split([len(target["boxes"]) for target in targets])
        positives, negatives, goals, first = [], [], [], 0
        for image, overlap in enumerate(overlaps):
            matched = self._match(overlap)
            positive, negative = sample_balanced(
                objectness_labels(matched),
                self.samples,
                self.positive_fraction,
                generator=generator,
            )
            goals.append(matched[positive] + first)  # numbers of the objects in `boxes`
            positives.append(positive + image * len(anchors))  # numbers among all predictions
            negatives.append(negative + image * len(anchors))
            first += len(overlap)
        positives, negatives, goals = (torch.cat(x) for x in (positives, negatives, goals))
        logits, deltas = logits.flatten(), deltas.flatten(0, 1)
        count = max(1, len(positives) + len(negatives))
        objectness = F.binary_cross_entropy_with_logits(
            torch.cat([logits[positives], logits[negatives]]),
            torch.cat([torch.ones_like(logits[positives]), torch.zeros_like(logits[negatives])]),
            reduction="sum",
        )
        wanted = encode_boxes(boxes[goals], anchors[positives % len(anchors)])
        box = smooth_l1(deltas[positives] - wanted, self.beta).sum()
        return {"rpn_objectness": objectness / count, "rpn_box": box / count}
