"""`SceneSet`: pictures with several objects, each with a box, a class and a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cnnlib.data.image_set import ImageSet

# The value of a pixel that nobody has labelled: `torch.nn.functional.cross_entropy` leaves out the
# pixels with this label unless it is told otherwise, and so does `cnnlib.segmentation`.
IGNORED = -100


@dataclass(eq=False)
class SegmentationSet(ImageSet):
    """Images with one label for every pixel; in all else an `ImageSet`.

    Attributes:
        images: Float32 tensor of shape (N, C, H, W) with values from 0 to 1.
        labels: Int64 tensor of shape (N, H, W), each from 0 (background) to `len(classes) - 1`, or
            `IGNORED`.
        classes: Name of each class; the first is "background".
        name: What the set is.
        groups: As for `ImageSet`.
    """

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ValueError(f"images must have shape (N, C, H, W); got {tuple(self.images.shape)}")
        expected = (len(self.images), *self.images.shape[2:])
        if tuple(self.labels.shape) != expected:
            raise ValueError(
                f"images of shape {tuple(self.images.shape)} need labels of shape {expected}; got "
                f"{tuple(self.labels.shape)}"
            )
        if self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be int64, as class indices are; got {self.labels.dtype}")

    def __repr__(self) -> str:
        return super().__repr__().replace("ImageSet(", "SegmentationSet(", 1)

    def subset(
        self, indices: slice | Sequence[int] | Tensor, name: str | None = None
    ) -> SegmentationSet:
        """A set of the images at `indices`, in that order; see `ImageSet.subset`."""
        return SegmentationSet(
            self.images[indices],
            self.labels[indices],
            self.classes,
            self.name if name is None else name,
            None if self.groups is None else self.groups[indices],
        )


@dataclass(eq=False)
class SceneSet(Dataset):
    """Pictures of several objects, held in memory.

    Indexing with a whole number gives one pair `(image, target)`. A target is a dictionary:

    - `"boxes"`: float32 (M, 4), left, top, right and bottom edge in pixels ("xyxy");
    - `"labels"`: int64 (M,), from 1 on; 0 is the background and labels no object;
    - `"masks"`: bool (M, H, W), the pixels of each object that can be seen; a set that has boxes
      only lacks this key;
    - some sets have more: see the reader.

    M, the number of objects, differs from picture to picture and may be 0.

    Attributes:
        images: Tensor of shape (N, 3, H, W) with values from 0 to 1; float32 unless `double` was
            called.
        targets: One dictionary for each picture.
        classes: Name of each class, "background" first.
        name: What the set is, for titles and messages.
    """

    images: Tensor
    targets: list[dict[str, Tensor]] = field(repr=False)
    classes: list[str]
    name: str

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ValueError(f"images must have shape (N, C, H, W); got {tuple(self.images.shape)}")
        if len(self.images) != len(self.targets):
            raise ValueError(
                f"{len(self.images)} images need as many targets; got {len(self.targets)}"
            )
        if not self.classes or self.classes[0] != "background":
            raise ValueError(f'the first class must be "background"; got {self.classes}')

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.images[index], self.targets[index]

    def __repr__(self) -> str:
        channels, height, width = self.images.shape[1:]
        objects = sum(len(target["labels"]) for target in self.targets)
        return (
            f"SceneSet({self.name!r}, {len(self):,} images of {channels}×{height}×{width} with "
            f"{objects:,} objects, {len(self.classes) - 1} classes and background)"
        )

    def subset(self, indices: slice | Sequence[int] | Tensor, name: str | None = None) -> SceneSet:
        """A set of the pictures at `indices`, in that order.

        Args:
            indices: Slice, list or tensor of indices, or a boolean mask of shape (N,).
            name: Name of the new set; by default that of this one.
        """
        chosen = torch.arange(len(self))[indices].tolist()
        return SceneSet(
            self.images[chosen],
            [self.targets[index] for index in chosen],
            self.classes,
            self.name if name is None else name,
        )

    def double(self) -> SceneSet:
        """The same set with its images in double precision (float64); see `ImageSet.double`."""
        return replace(self, images=self.images.double())

    def loader(self, batch_size: int = 8, *, shuffle: bool = False, seed: int = 0) -> DataLoader:
        """Batches `(list of images, list of targets)`; the last may be smaller.

        Lists, because the number of objects differs: targets do not fit into one tensor.

        Args:
            batch_size: Pictures in a batch, at least 1.
            shuffle: Visit the pictures in a new random order in every pass.
            seed: Fixes these orders: two loaders with the same seed give the same passes.

        Raises:
            ValueError: `batch_size` is below 1.
        """
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(
            self, batch_size=batch_size, shuffle=shuffle, generator=generator, collate_fn=_in_lists
        )

    def segmentation(self, binary: bool = False) -> SegmentationSet:
        """The same pictures with a class for every pixel instead of a list of objects.

        A pixel takes the class of the object that it belongs to; of the last in the list, should it
        belong to several. Pixels that the set declares as ambiguous (key `"void"`, bool (H, W))
        become `IGNORED`, whatever object they are in.

        Args:
            binary: Whether to tell "object" from "background" only.

        Raises:
            ValueError: The set has boxes but no masks.
        """
        labels = torch.zeros(len(self), *self.images.shape[2:], dtype=torch.int64)
        for index, target in enumerate(self.targets):
            if "masks" not in target:
                raise ValueError(f"{self.name} has boxes but no masks, so no class for a pixel")
            for mask, label in zip(target["masks"], target["labels"].tolist(), strict=True):
                labels[index][mask] = 1 if binary else label
            if "void" in target:
                labels[index][target["void"]] = IGNORED
        classes = ["background", "object"] if binary else list(self.classes)
        return SegmentationSet(self.images, labels, classes, self.name)


def _in_lists(
    pairs: list[tuple[Tensor, dict[str, Tensor]]],
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    images, targets = zip(*pairs, strict=True)
    return list(images), list(targets)
