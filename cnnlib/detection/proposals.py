"""Region proposals without a network: parts of a picture that look alike, merged step by step.

R-CNN and Fast R-CNN are told where to look. About 2,000 boxes a picture come from an older method
that knows no classes, selective search: an object, it holds, is a part of the picture that differs
from what is around it, at some scale.

    picture ── segmentation ── about 50 regions ── merge the two most alike ── … ── one region
                                      │                      │
                                      └───── box of each ────┴──── proposals

What is simpler here than in the paper. Two neighbours are alike in three ways of the paper's four:
colour, size and fill, but not texture. The paper repeats all for several colour spaces, weights and
segmentations and joins the boxes; here only the scale of the segmentation changes. The segmentation
itself (Felzenszwalb and Huttenlocher, 2004) is scikit-image's.

Reference: Uijlings et al., "Selective search for object recognition", IJCV 2013, sections 3.1 and
3.2 and, for the order of the boxes, 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from skimage.segmentation import felzenszwalb
from torch import Tensor

from cnnlib.detection.boxes import remove_small_boxes

HISTOGRAM_BINS = 25  # for each colour channel, as in the paper

Array = np.ndarray


@dataclass(frozen=True)
class Region:
    """A part of a picture: what the similarity needs to know about it, and no pixels.

    Attributes:
        box: (x1, y1, x2, y2) around it.
        size: Number of its pixels.
        colours: Histograms of its channels, one after the other, (C · 25,); they sum to 1.
    """

    box: tuple[int, int, int, int]
    size: int
    colours: Array

    def merged(self, other: Region) -> Region:
        """The two regions as one. Histograms mix as the sizes do, so no pixel is looked at."""
        size = self.size + other.size
        colours = (self.size * self.colours + other.size * other.colours) / size
        return Region(_around(self.box, other.box), size, colours)


def similarity(a: Region, b: Region, image_pixels: int) -> float:
    """How much two neighbouring regions belong together: the sum of three numbers from 0 to 1.

    - colour: the common part of the two histograms;
    - size: small regions first, so that no region eats up the picture bit by bit;
    - fill: a region that lies in the bay of another one belongs to it.

    Args:
        a: A region.
        b: A neighbour of it.
        image_pixels: Number of pixels of the picture.

    Reference: section 3.2, equations 2, 4 and 5.
    """
    x1, y1, x2, y2 = _around(a.box, b.box)
    colour = float(np.minimum(a.colours, b.colours).sum())
    size = 1 - (a.size + b.size) / image_pixels
    fill = 1 - ((x2 - x1) * (y2 - y1) - a.size - b.size) / image_pixels
    return colour + size + fill


def initial_regions(
    image: Tensor, scale: float, *, sigma: float = 0.5, min_size: int = 10
) -> tuple[Array, list[Region]]:
    """Cut the picture into regions of one colour each.

    Args:
        image: Picture (C, H, W) with values from 0 to 1.
        scale: The larger, the larger the regions.
        sigma: The picture is smoothed by so many pixels first.
        min_size: Smaller regions are joined with a neighbour.

    Returns:
        The number of the region of each pixel (H, W), and the regions.

    Raises:
        ValueError: The picture has another shape.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image must have shape (C, H, W); got {tuple(image.shape)}")
    pixels = image.detach().cpu().permute(1, 2, 0).double().numpy()
    labels = felzenszwalb(
        pixels, scale=scale, sigma=sigma, min_size=min_size, channel_axis=-1
    ).astype(np.int64)
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)

    bins = np.clip((pixels * HISTOGRAM_BINS).astype(np.int64), 0, HISTOGRAM_BINS - 1)
    channels = pixels.shape[2]
    place = (labels[:, :, None] * channels + np.arange(channels)) * HISTOGRAM_BINS + bins
    colours = np.bincount(place.ravel(), minlength=count * channels * HISTOGRAM_BINS)
    colours = colours.reshape(count, -1) / (channels * sizes[:, None])

    rows, columns = np.indices(labels.shape)
    edges = np.empty((4, count), dtype=np.int64)
    for edge, (function, coordinate, start) in enumerate(
        [
            (np.minimum, columns, labels.shape[1]),
            (np.minimum, rows, labels.shape[0]),
            (np.maximum, columns + 1, 0),
            (np.maximum, rows + 1, 0),
        ]
    ):
        edges[edge] = start
        function.at(edges[edge], labels, coordinate)
    boxes = [tuple(box) for box in edges.T.tolist()]
    regions = [
        Region(box, size, histogram)
        for box, size, histogram in zip(boxes, sizes.tolist(), colours, strict=True)
    ]
    return labels, regions


def neighbours(labels: Array) -> set[tuple[int, int]]:
    """Pairs of regions that touch, sideways or up and down; the smaller number first."""
    pairs = []
    for here, there in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        differ = here != there
        pairs.append(np.stack([here[differ], there[differ]], axis=1))
    found = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    return set(map(tuple, found.tolist()))


def merge_steps(
    regions: Sequence[Region], touching: set[tuple[int, int]], image_pixels: int
) -> Iterator[Region]:
    """Merge the two most similar neighbours, again and again, until one region is left.

    Args:
        regions: The regions to begin with.
        touching: Pairs of their numbers, from `neighbours`.
        image_pixels: Number of pixels of the picture.

    Yields:
        Each merged region; the last one is the whole picture.

    Reference: section 3.1, algorithm 1.
    """
    alive = dict(enumerate(regions))
    alike = {(a, b): similarity(alive[a], alive[b], image_pixels) for a, b in touching}
    number = len(regions)
    while alike:
        a, b = max(alike, key=alike.__getitem__)
        merged = alive[a].merged(alive[b])
        yield merged
        affected = {pair for pair in alike if a in pair or b in pair}
        around = {region for pair in affected for region in pair} - {a, b}
        for pair in affected:
            del alike[pair]
        del alive[a], alive[b]
        alive[number] = merged
        for region in sorted(around):
            alike[region, number] = similarity(alive[region], merged, image_pixels)
        number += 1


def propose_regions(
    image: Tensor,
    *,
    scales: Sequence[float] = (50.0, 100.0, 200.0),
    sigma: float = 0.5,
    min_size: int = 10,
    min_side: float = 4.0,
    limit: int | None = 2000,
    seed: int = 0,
) -> Tensor:
    """Boxes where something may be, whatever it is.

    Every region of every step gives its box. The order is that of the paper: regions merged late
    come first, but only roughly, for each rank is multiplied by a random number; otherwise the
    first boxes would all be large.

    Args:
        image: Picture (C, H, W) with values from 0 to 1.
        scales: Scales of the segmentations that the merging starts from, one after the other.
        sigma: As in `initial_regions`.
        min_size: As in `initial_regions`.
        min_side: Boxes that are less wide or high are left out.
        limit: At most so many boxes, the first ones; None for all.
        seed: Of the random numbers.

    Returns:
        Boxes (n, 4), float32, without doubles.

    Raises:
        ValueError: The picture has another shape, or there is no scale.
    """
    if not scales:
        raise ValueError("scales must hold at least one number")
    rng = np.random.default_rng(seed)
    ranks, boxes = [], []
    for scale in scales:
        labels, regions = initial_regions(image, scale, sigma=sigma, min_size=min_size)
        steps = list(regions)
        steps += merge_steps(regions, neighbours(labels), labels.size)
        from_the_top = np.arange(len(steps), 0, -1)
        ranks.append(from_the_top * rng.random(len(steps)))
        boxes += [region.box for region in steps]
    order = np.argsort(np.concatenate(ranks), kind="stable")
    in_order = dict.fromkeys(boxes[place] for place in order)  # a dict forgets doubles, not order
    proposals = torch.tensor(list(in_order), dtype=torch.float32)
    proposals = proposals[remove_small_boxes(proposals, min_side)]
    return proposals[:limit].to(image.device)


def _around(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, ...]:
    """The smallest box around two boxes."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
