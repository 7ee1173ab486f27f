"""From a region of any size to features of one size: SPP, RoI pooling and RoIAlign.

A region of interest (RoI) is a box on the picture. Its features are cut out of a feature map that
was computed once for the whole picture, which is what makes these detectors fast. The head behind
it needs a fixed size, say 7 × 7, so the region is divided into 7 × 7 bins and each bin gives one
value per channel. The three layers differ in what a bin is:

| layer       | edges of the bins               | value of a bin              | paper, section   |
|-------------|---------------------------------|-----------------------------|------------------|
| SPP         | rounded to pixels of the map    | maximum; several bin counts | SPPnet, 2.2      |
| RoI pooling | the box, then the bins, rounded | maximum                     | Fast R-CNN, 2.1  |
| RoIAlign    | not rounded                     | mean of interpolated points | Mask R-CNN, 3    |

A pixel of a stride-16 map stands for 16 pixels of the picture, so rounding moves a region by up to
8 of them. That hardly matters for saying what is there and much for saying which pixels it has.

How they are computed here. Lay out the feature map as a table with one row of C numbers per pixel.
A bin is then a list of rows, with weights in RoIAlign, and its value a sum or maximum of rows:
what language models call an embedding bag, for which PyTorch has fast code on every device. The
boxes decide which rows; they get no gradient (Faster R-CNN, arXiv:1506.01497, section 3.2, leaves
it out, too).

Boxes are a list with one tensor (n, 4) per picture, or one tensor (K, 5) whose first column is the
number of the picture. A box with NaN or an infinite coordinate covers nothing and gives zeros.

References: He et al., "Spatial pyramid pooling in deep convolutional networks", arXiv:1406.4729.
Girshick, "Fast R-CNN", arXiv:1504.08083. He et al., "Mask R-CNN", arXiv:1703.06870. Lin et al.,
"Feature pyramid networks for object detection", arXiv:1612.03144.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlib.detection.boxes import box_area

Pair = tuple[int, int]

# Rows looked up at a time. More would be a little faster and take memory that a picture with many
# or large regions does not have: 12 bytes for each.
LARGEST_LOOKUP = 2**22

# A bin this long means a box far larger than any picture, that is, one that was not clipped.
LARGEST_BIN = 4096

# Some room around the largest map, far below where whole numbers stop being exact in float32.
FARTHEST = 2.0**22


def boxes_to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """Join the boxes of all pictures in one tensor that remembers whose they are.

    Args:
        boxes: For each picture, boxes (n, 4).

    Returns:
        Regions (K, 5): number of the picture, x1, y1, x2, y2.

    Raises:
        ValueError: There is no picture, or boxes do not have shape (n, 4).
    """
    if len(boxes) == 0:
        raise ValueError("boxes must be a list with one tensor (n, 4) per picture; it is empty")
    for image, these in enumerate(boxes):
        if these.ndim != 2 or these.shape[1] != 4:
            raise ValueError(
                f"boxes of picture {image} must have shape (n, 4); got {tuple(these.shape)}"
            )
    images = [these.new_full((len(these), 1), image) for image, these in enumerate(boxes)]
    return torch.cat([torch.cat(images), torch.cat(list(boxes))], dim=1)


def roi_pool(
    features: Tensor,
    boxes: Sequence[Tensor] | Tensor,
    output_size: int | Pair,
    spatial_scale: float = 1.0,
) -> Tensor:
    """RoI pooling: the maximum of each bin of a region whose edges are rounded twice.

    First the box is rounded to pixels of the map, both edges counting in, so that it has at least
    one. Then a region of h rows is divided into P bins: bin p reaches from floor(p h / P) to
    ceil((p + 1) h / P), so neighbours may share a row.

    Args:
        features: Feature maps (N, C, H, W).
        boxes: Regions in pixels of the picture.
        output_size: Number of bins P, or (vertical, horizontal).
        spatial_scale: Pixels of the map per pixel of the picture, such as 1/16.

    Returns:
        Maxima (K, C, P, P) for the K regions of all pictures. A bin outside the map is 0.

    Raises:
        ValueError: A shape does not fit.

    Reference: Girshick, "Fast R-CNN", arXiv:1504.08083, section 2.1.
    """
    rois = _check(features, boxes, spatial_scale)
    bins_h, bins_w = _pair(output_size)
    images, corners = rois[:, 0].long(), rois[:, 1:]
    finite = corners.isfinite().all(dim=1)
    corners = torch.where(finite[:, None], corners * spatial_scale, 0)
    x1, y1, x2, y2 = _round(corners.clamp(-FARTHEST, FARTHEST)).unbind(1)
    height, width = features.shape[2:]
    top, bottom = _bin_edges(y1, y2, bins_h, height)  # each (K, P): first row, one past the last
    left, right = _bin_edges(x1, x2, bins_w, width)

    table = _pixel_table([features])
    longest = torch.stack([(bottom - top).amax(dim=1), (right - left).amax(dim=1)], dim=1)
    parts, order = [], []
    for (tall, wide), members in _groups(longest.clamp(min=1), bins_h * bins_w):
        rows = _window(top[members], bottom[members], tall)  # (n, P, tall)
        columns = _window(left[members], right[members], wide)
        first = images[members] * (height * width)
        pixels = _cross(rows * width, columns) + first[:, None, None, None, None]
        parts.append(F.embedding_bag(pixels.flatten(0, 2).flatten(1), table, mode="max"))
        order.append(members)
    output = _reassemble(parts, order, features, (bins_h, bins_w))
    covered = (bottom > top)[:, :, None] & (right > left)[:, None] & finite[:, None, None]
    return torch.where(covered[:, None], output, 0).to(features.dtype)


def roi_align(
    features: Tensor,
    boxes: Sequence[Tensor] | Tensor,
    output_size: int | Pair,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """RoIAlign: the mean of points inside each bin, read off by bilinear interpolation.

    Nothing is rounded. A point between four pixels gets their mean, weighted by how near each is.
    A point up to one pixel outside the map takes the pixel at the border, one farther out is 0.

    Args:
        features: Feature maps (N, C, H, W).
        boxes: Regions in pixels of the picture.
        output_size: Number of bins P, or (vertical, horizontal).
        spatial_scale: Pixels of the map per pixel of the picture, such as 1/16.
        sampling_ratio: Points per bin in each direction; the paper uses 2, so 4 a bin. 0 or less
            takes as many as the bin is pixels long, which differs from region to region.
        aligned: Whether pixel (0, 0) has its centre at (0.5, 0.5), as a box that is measured from
            edge to edge supposes. False is the paper's first code and what torchvision's published
            detectors were trained with: all regions are half a pixel of the map too far to
            the lower right, and none is smaller than 1 × 1.

    Returns:
        Means (K, C, P, P) for the K regions of all pictures.

    Raises:
        ValueError: A shape does not fit, or a region is so large that it was surely not clipped to
            its picture.

    Reference: He et al., "Mask R-CNN", arXiv:1703.06870, section 3 and figure 3.
    """
    rois = _check(features, boxes, spatial_scale)
    level = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
    scale = torch.full((1,), spatial_scale, dtype=rois.dtype, device=rois.device)
    return _align([features], rois, level, scale, _pair(output_size), sampling_ratio, aligned)


def assign_levels(
    boxes: Tensor,
    k_min: int = 2,
    k_max: int = 5,
    *,
    canonical_level: int = 4,
    canonical_size: float = 224.0,
) -> Tensor:
    """The pyramid level whose features a region gets: k = floor(k0 + log2(sqrt(w h) / 224)).

    A region as large as an ImageNet picture, 224 × 224, gets the level that ResNet classified those
    from, k0 = 4; one of half the side the next finer level, and so on.

    Args:
        boxes: Boxes (K, 4) in pixels of the picture.
        k_min: Finest level there is; smaller regions, those without area and NaN get it, too.
        k_max: Coarsest level there is; larger regions get it, too.
        canonical_level: k0.
        canonical_size: The 224 of the formula.

    Returns:
        Levels (K,) from k_min to k_max, int64.

    Raises:
        ValueError: The boxes have no shape (..., 4) or there is no level.

    Reference: Lin et al., arXiv:1612.03144, equation 1.
    """
    if k_min > k_max:
        raise ValueError(f"k_min must not be greater than k_max; got {k_min} and {k_max}")
    side = box_area(boxes).sqrt()
    # In float32, a box from x = 700.3 to 812.3 may be 111.9999 wide. The small number forgives it.
    k = torch.floor(canonical_level + torch.log2(side / canonical_size) + 1e-6)
    return k.nan_to_num(nan=k_min).clamp(k_min, k_max).long()


def multiscale_roi_align(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor] | Tensor,
    strides: Sequence[int],
    output_size: int | Pair,
    sampling_ratio: int = 2,
    aligned: bool = False,
    *,
    canonical_level: int = 4,
    canonical_size: float = 224.0,
) -> Tensor:
    """RoIAlign on a feature pyramid: each region from the level that fits its size.

    Args:
        features: Maps (N, C, H, W) of all levels, finest first.
        boxes: Regions in pixels of the picture.
        strides: Pixels of the picture per pixel of the map, for each level; each twice the one
            before. Level k of the paper has stride 2^k.
        output_size: As in `roi_align`.
        sampling_ratio: As in `roi_align`.
        aligned: As in `roi_align`.
        canonical_level: As in `assign_levels`.
        canonical_size: As in `assign_levels`.

    Returns:
        Features (K, C, P, P) of the K regions of all pictures.

    Raises:
        ValueError: A shape does not fit, or the strides are not powers of two in a row.
    """
    if len(features) != len(strides) or not features:
        raise ValueError(f"{len(features)} feature maps do not fit {len(strides)} strides")
    k_min = int(strides[0]).bit_length() - 1
    if [2 ** (k_min + level) for level in range(len(strides))] != list(strides):
        raise ValueError(f"strides must be powers of two in a row; got {tuple(strides)}")
    if len({(*level.shape[:2], level.dtype, level.device) for level in features}) > 1:
        raise ValueError(
            "all levels must have the same N, C, type and device; got shapes "
            f"{[tuple(level.shape) for level in features]}"
        )
    rois = _check(features[0], boxes, 1 / strides[0])
    levels = assign_levels(
        rois[:, 1:],
        k_min,
        k_min + len(strides) - 1,
        canonical_level=canonical_level,
        canonical_size=canonical_size,
    )
    scales = 1 / torch.tensor(strides, dtype=rois.dtype, device=rois.device)
    size = _pair(output_size)
    return _align(features, rois, levels - k_min, scales, size, sampling_ratio, aligned)


class SpatialPyramidPool(nn.Module):
    """SPP: maxima over n × n bins for several n, joined in one vector of fixed length.

    RoI pooling is this layer with one n.

    Args:
        bins: The values of n. (4, 2, 1) gives 21 bins; the paper's ImageNet networks have
            (6, 3, 2, 1), so 50.

    Raises:
        ValueError: There is no n, or one is not positive.

    Reference: He et al., arXiv:1406.4729, section 2.2. Its bins follow appendix A, so they cover
    the map without gaps whatever its size.
    """

    def __init__(self, bins: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        if not bins or not all(n >= 1 for n in bins):
            raise ValueError(f"bins must be numbers of at least 1; got {tuple(bins)}")
        self.bins = tuple(bins)

    def forward(
        self,
        features: Tensor,
        boxes: Sequence[Tensor] | Tensor | None = None,
        spatial_scale: float = 1.0,
    ) -> Tensor:
        """Pool regions, by default each whole map.

        Args:
            features: Feature maps (N, C, H, W).
            boxes: Regions in pixels of the picture.
            spatial_scale: Pixels of the map per pixel of the picture.

        Returns:
            Vectors (K, C · (n1² + n2² + …)); K is N without boxes. They hold first all values for
            n1, channel after channel, then those for n2, and so on.
        """
        if boxes is None:
            height, width = features.shape[2:]
            # Both edges count in, so the last pixel's number is the edge.
            whole = features.new_tensor([[0, 0, width - 1, height - 1]])
            boxes, spatial_scale = [whole] * len(features), 1.0
        pooled = [roi_pool(features, boxes, n, spatial_scale).flatten(1) for n in self.bins]
        return torch.cat(pooled, dim=1)


def _align(
    features: Sequence[Tensor],
    rois: Tensor,
    level: Tensor,
    scales: Tensor,
    size: Pair,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """RoIAlign of regions (K, 5), each on the map of its level (K,)."""
    table = _pixel_table(features)
    first, map_height, map_width = _places_in_table(features, rois[:, 0].long(), level)

    corners = rois[:, 1:] * scales[level, None] - (0.5 if aligned else 0.0)
    finite = corners.isfinite().all(dim=1)
    x1, y1, x2, y2 = torch.where(finite[:, None], corners, 0).unbind(1)
    height, width = y2 - y1, x2 - x1
    if not aligned:
        height, width = height.clamp(min=1), width.clamp(min=1)
    bin_h, bin_w = height / size[0], width / size[1]
    # As many points as a bin is long are none in a region without area.
    counts = finite if sampling_ratio > 0 else finite & (bin_h > 0) & (bin_w > 0)
    counts = counts.to(table.dtype)

    parts, order = [], []
    for (samples_h, samples_w), members in _portions(bin_h, bin_w, size, sampling_ratio):
        rows, row_weights = _taps(
            y1[members], bin_h[members], size[0], samples_h, map_height[members]
        )
        columns, column_weights = _taps(
            x1[members], bin_w[members], size[1], samples_w, map_width[members]
        )
        # Bilinear weights are a product of a vertical and a horizontal one. So are the means.
        row_weights = row_weights * counts[members, None, None]
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        pixels = _cross(rows * map_width[members, None, None], columns)
        pixels = pixels + first[members, None, None, None, None]  # (n, P, P, 2 S, 2 S)
        bins = F.embedding_bag(
            pixels.flatten(0, 2).flatten(1),  # one bag per bin: (n P P, 4 S S)
            table,
            mode="sum",
            per_sample_weights=weights.flatten(0, 2).flatten(1).to(table.dtype),
        )
        parts.append(bins)
        order.append(members)
    return _reassemble(parts, order, features[0], size).to(features[0].dtype)


def _places_in_table(
    features: Sequence[Tensor], image: Tensor, level: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """For each region, the table's row where its map begins, and the map's height and width."""
    images = len(features[0])
    sizes = torch.tensor([level.shape[2:] for level in features], device=image.device)
    pixels = sizes.prod(dim=1)  # of one map of each level
    end_of_level = (images * pixels).cumsum(dim=0)
    first = end_of_level[level] - (images - image) * pixels[level]
    height, width = sizes[level].unbind(1)
    return first, height, width


def _portions(
    bin_h: Tensor, bin_w: Tensor, size: Pair, sampling_ratio: int
) -> Iterable[tuple[Pair, Tensor]]:
    """Regions with equally many points per bin: (vertical, horizontal) points, indices."""
    if sampling_ratio > 0:
        everyone = torch.arange(len(bin_h), device=bin_h.device)
        lookups = size[0] * size[1] * (2 * sampling_ratio) ** 2  # of one region
        portions = everyone.split(max(1, LARGEST_LOOKUP // lookups))
        return [((sampling_ratio, sampling_ratio), members) for members in portions]
    samples = torch.stack([bin_h, bin_w], dim=1).ceil()
    if (samples > LARGEST_BIN).any():
        raise ValueError(
            f"a region has bins more than {LARGEST_BIN} pixels long: clip the boxes to their "
            "picture first"
        )
    return _groups(samples.clamp(min=1).long(), 4 * size[0] * size[1])


def _taps(
    start: Tensor, bin_size: Tensor, bins: int, samples: int, length: Tensor
) -> tuple[Tensor, Tensor]:
    """Along one axis: which pixels each bin reads, and how much each of them counts.

    Args:
        start: Where each region begins (K,), in pixels of the map.
        bin_size: Length of its bins (K,).
        bins: Number of bins P.
        samples: Points per bin S.
        length: Pixels of the map along this axis (K,).

    Returns:
        Pixels and weights, both (K, P, 2 S): each point lies between two pixels.
    """
    place = torch.arange(samples, device=start.device, dtype=start.dtype)
    place = (place + 0.5) / samples  # of the points in a bin of length 1
    place = torch.arange(bins, device=start.device, dtype=start.dtype)[:, None] + place  # (P, S)
    point = start[:, None, None] + bin_size[:, None, None] * place  # (K, P, S)
    length = length[:, None, None]
    counts = (point >= -1) & (point <= length)
    point = torch.minimum(point.clamp(min=0), (length - 1).to(point.dtype))
    low = point.floor()
    above = point - low  # 0 at the lower pixel, 1 at the upper
    low = low.long()
    pixels = torch.stack([low, torch.minimum(low + 1, length - 1)], dim=-1)
    share = counts.to(point.dtype) / samples  # of each point in the mean, along this axis
    weights = torch.stack([1 - above, above], dim=-1) * share[..., None]
    return pixels.flatten(2), weights.flatten(2)


def _bin_edges(first: Tensor, last: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """First pixel and one past the last of each bin, for regions from pixel `first` to `last`."""
    first, last = first.long()[:, None], last.long()[:, None]
    size = (last - first + 1).clamp(min=1)
    p = torch.arange(bins, device=first.device)
    begin = first + p * size // bins
    end = first - (-(p + 1) * size // bins)  # -(-a // b) rounds up
    return begin.clamp(0, length), end.clamp(0, length)


def _window(begin: Tensor, end: Tensor, longest: int) -> Tensor:
    """Pixels from begin to end - 1, filled up to `longest` with the last: (K, P) -> (K, P, S).

    A maximum does not care how often it sees a pixel.
    """
    pixels = begin[..., None] + torch.arange(longest, device=begin.device)
    return torch.minimum(pixels, end[..., None] - 1).clamp(min=0)


def _cross(rows: Tensor, columns: Tensor) -> Tensor:
    """Every row of a bin with every column: (K, P, R) and (K, Q, S) -> (K, P, Q, R, S)."""
    return rows[:, :, None, :, None] + columns[:, None, :, None, :]


def _groups(sizes: Tensor, bins: int) -> Iterator[tuple[Pair, Tensor]]:
    """Regions of equal window size, in portions that fit in memory: (height, width), indices."""
    for height, width in torch.unique(sizes, dim=0).tolist():
        members = torch.nonzero((sizes[:, 0] == height) & (sizes[:, 1] == width)).squeeze(1)
        portion = max(1, LARGEST_LOOKUP // (bins * height * width))
        for some in members.split(portion):
            yield (height, width), some


def _reassemble(
    parts: Sequence[Tensor], order: Sequence[Tensor], features: Tensor, size: Pair
) -> Tensor:
    """Rows of bins (n · P · Q, C) of all groups -> (K, C, P, Q) in the order of the regions."""
    channels = features.shape[1]
    if not parts:
        return features.new_zeros(0, channels, *size) + 0 * features.sum()  # keeps the graph whole
    output = torch.cat(list(parts)).reshape(-1, *size, channels)
    if len(order) > 1:
        output = output[torch.cat(list(order)).argsort()]
    return output.permute(0, 3, 1, 2)


def _pixel_table(features: Sequence[Tensor]) -> Tensor:
    """One row of C numbers per pixel of all maps, in float32 at least."""
    tables = [level.permute(0, 2, 3, 1).flatten(0, 2) for level in features]
    table = tables[0] if len(tables) == 1 else torch.cat(tables)
    return table if table.dtype in (torch.float32, torch.float64) else table.float()


def _round(x: Tensor) -> Tensor:
    """Round halves away from zero, as C does; `torch.round` takes them to the even neighbour."""
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


def _check(features: Tensor, boxes: Sequence[Tensor] | Tensor, spatial_scale: float) -> Tensor:
    """The regions (K, 5), detached, in float32 at least."""
    if features.ndim != 4 or 0 in features.shape[1:]:
        raise ValueError(f"features must have shape (N, C, H, W); got {tuple(features.shape)}")
    if not spatial_scale > 0:
        raise ValueError(f"spatial_scale must be positive; got {spatial_scale}")
    if isinstance(boxes, Tensor):
        rois = boxes
        if rois.ndim != 2 or rois.shape[1] != 5:
            raise ValueError(
                "boxes must be a list of tensors (n, 4) or one tensor (K, 5); got a tensor of "
                f"shape {tuple(rois.shape)}"
            )
        if not ((rois[:, 0] >= 0) & (rois[:, 0] < len(features))).all():
            raise ValueError(
                f"the first column must hold numbers of pictures from 0 to {len(features) - 1}"
            )
    else:
        if len(boxes) != len(features):
            raise ValueError(f"{len(boxes)} lists of boxes for {len(features)} pictures")
        rois = boxes_to_rois(boxes)
    rois = rois.detach().to(features.device)
    return rois if rois.dtype in (torch.float32, torch.float64) else rois.float()


def _pair(value: int | Pair) -> Pair:
    height, width = (value, value) if isinstance(value, int) else value
    if height < 1 or width < 1:
        raise ValueError(f"output_size must be at least 1; got {value}")
    return height, width
