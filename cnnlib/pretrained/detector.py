"""The course's small detectors: Faster and Mask R-CNN for scenes of 64 × 64 pixels, and weights.

    picture 3×64×64 ── LetterNet up to stage3 ── 64×16×16 ──┬── RPN, 6 anchors a position
                                                           └── RoIAlign 5×5 ── 96 ── 96 ── 10 digits

What ImageNet is to the detectors of the papers, letters are here: `weights="letters"` starts the
backbone with what `cnnlib.pretrained.letters` learned from rendered letters, and region proposal
network and head anew. From there half a minute of a CPU gives an mAP50 of about 0.9.
`weights="digits"` is a detector that was trained that way by `tools/pretrain_detector.py` of the
course's repository. Beside its weights, `detector.json` says how (`configuration`), how good it is
on scenes it has never seen (`map50`), and what their SHA-256 is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import nn

from cnnlib.detection.faster_rcnn import FasterRCNN, RegionSettings, faster_rcnn
from cnnlib.detection.mask_rcnn import MaskRCNN, MaskSettings, mask_rcnn
from cnnlib.detection.rpn import ProposalSettings
from cnnlib.pretrained.letters import LetterNet, letter_net
from cnnlib.pretrained.shipped import ShippedWeights

SHIPPED = ShippedWeights("detector")
WEIGHTS = (None, "letters", "digits")
CLASSES = 11  # background and ten digits

# Digits in scenes of 64 × 64 pixels are 16 to 32 pixels high; most are 1.4 to 2 times as high as
# wide.
ANCHOR_SIZES = (14.0, 20.0, 28.0)
ASPECT_RATIOS = (1.0, 1.8)
REGIONS = RegionSettings(
    pool_size=5,
    samples=32,
    positive_fraction=0.5,
    beta=1.0,  # as the paper prints it: coordinates do not have to be exact to a tenth of a pixel
    limit=20,
)
OPTIONS: dict[str, Any] = {
    "hidden": 96,
    "aspect_ratios": ASPECT_RATIOS,
    "samples": 64,
    "training": ProposalSettings(before_nms=200, after_nms=48),
    "testing": ProposalSettings(before_nms=100, after_nms=30),
}


def mini_faster_rcnn(
    num_classes: int = CLASSES,
    *,
    anchor_sizes: Sequence[float] = ANCHOR_SIZES,
    regions: RegionSettings = REGIONS,
    weights: str | None = "letters",
) -> FasterRCNN:
    """Faster R-CNN on the first stages of LetterNet, for scenes of 64 × 64 pixels.

    Pictures of another size work, too; if the objects are larger, so should the anchors be.

    Args:
        num_classes: Number of classes, with background as class 0.
        anchor_sizes: Square roots of the areas of the anchors, in pixels.
        regions: What happens to proposals.
        weights: None for fresh weights, "letters" for a backbone that knows letters, "digits" for a
            detector of digits.

    Raises:
        ValueError: An argument is not one of the allowed values, or does not fit the weights.
        DamagedWeightsError: A file of weights is not the one published.
    """
    _check(weights, num_classes, anchor_sizes, regions)
    model = faster_rcnn(
        _backbone(weights),
        ["stage3"],
        num_classes,
        anchor_sizes=[anchor_sizes],
        regions=regions,
        **OPTIONS,
    )
    if weights == "digits":
        SHIPPED.load_into(model)
    return model


def mini_mask_rcnn(
    num_classes: int = CLASSES,
    *,
    anchor_sizes: Sequence[float] = ANCHOR_SIZES,
    regions: RegionSettings = REGIONS,
    masks: MaskSettings = MaskSettings(pool_size=7),  # noqa: B008 - frozen
    weights: str | None = "letters",
) -> MaskRCNN:
    """The same with a small mask head, whose weights are always fresh.

    Args:
        num_classes: As in `mini_faster_rcnn`.
        anchor_sizes: As in `mini_faster_rcnn`.
        regions: As in `mini_faster_rcnn`.
        masks: What happens to masks; here 14 × 14 pixels.
        weights: As in `mini_faster_rcnn`; "digits" gives everything but the mask head.

    Raises:
        ValueError: As in `mini_faster_rcnn`.
        DamagedWeightsError: A file of weights is not the one published.
    """
    _check(weights, num_classes, anchor_sizes, regions)
    model = mask_rcnn(
        _backbone(weights),
        ["stage3"],
        num_classes,
        anchor_sizes=[anchor_sizes],
        regions=regions,
        masks=masks,
        mask_hidden=32,
        mask_depth=2,
        **OPTIONS,
    )
    if weights == "digits":
        SHIPPED.load_into(model, fresh="mask_head")
    return model


def letter_backbone(in_channels: int = 3, *, weights: str | None = "letters") -> LetterNet:
    """LetterNet for colour pictures: each colour gets a third of the weights made for grey.

    A grey picture, with three equal colours, gives the same maps as before.

    Args:
        in_channels: Channels of the picture.
        weights: None or "letters".

    Raises:
        ValueError: `weights` is neither.
        DamagedWeightsError: The file of weights is not the one published.
    """
    model = LetterNet(1, in_channels)  # its classifier is cut off by a detector
    if weights is None:
        return model
    known = letter_net(weights=weights)
    known.fc = model.fc
    conv = known.stem.conv
    conv.in_channels = in_channels
    conv.weight = nn.Parameter(conv.weight.detach().repeat(1, in_channels, 1, 1) / in_channels)
    return known


@cache
def detector_card() -> dict[str, Any]:
    """What is known about the weights: `classes`, `configuration`, `map50`, `map`, `sha256`."""
    return SHIPPED.card()


def _backbone(weights: str | None) -> LetterNet:
    return letter_backbone(weights="letters" if weights == "letters" else None)


def _check(
    weights: str | None, num_classes: int, anchor_sizes: Sequence[float], regions: RegionSettings
) -> None:
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be None, 'letters' or 'digits'; got {weights!r}")
    if weights == "digits" and (
        num_classes != CLASSES
        or tuple(anchor_sizes) != ANCHOR_SIZES
        or regions.pool_size != REGIONS.pool_size
    ):
        raise ValueError(
            f"weights='digits' are for num_classes={CLASSES}, anchor_sizes={ANCHOR_SIZES} and "
            f"pool_size={REGIONS.pool_size}; for others take its backbone alone: "
            "other.backbone.load_state_dict(mini_faster_rcnn(weights='digits').backbone"
            ".state_dict())"
        )
