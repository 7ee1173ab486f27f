"""`ImageSet`: images and labels in memory, as one PyTorch data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


@dataclass(eq=False)
class ImageSet(Dataset):
    """Images with one label each, held in memory.

    Indexing with a whole number gives one pair `(image, label)` of shapes `(C, H, W)` and `()`;
    indexing with a slice, a list or a tensor of indices gives a pair of batches.

    Attributes:
        images: Tensor of shape (N, C, H, W) with values from 0 to 1; float32 unless `double` was
            called.
        labels: Int64 tensor of shape (N,), each from 0 to `len(classes) - 1`.
        classes: Name of each class, in the order of the labels.
        name: What the set is, for titles and messages.
        groups: Optional int64 tensor of shape (N,): images with the same number belong together
            (the same form, the same writer) and should land on the same side of a split.
    """

    images: Tensor
    labels: Tensor
    classes: list[str]
    name: str
    groups: Tensor | None = field(default=None)

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ValueError(f"images must have shape (N, C, H, W); got {tuple(self.images.shape)}")
        for what, values in (("labels", self.labels), ("groups", self.groups)):
            if values is not None and values.shape != self.images.shape[:1]:
                raise ValueError(
                    f"{len(self.images)} images need {what} of shape ({len(self.images)},); "
                    f"got {tuple(values.shape)}"
                )
        if self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be int64, as class indices are; got {self.labels.dtype}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def __repr__(self) -> str:
        channels, height, width = self.images.shape[1:]
        return (
            f"ImageSet({self.name!r}, {len(self):,} images of {channels}×{height}×{width}, "
            f"{len(self.classes)} classes)"
        )

    def subset(self, indices: slice | Sequence[int] | Tensor, name: str | None = None) -> ImageSet:
        """A set of the images at `indices`, in that order.

        Args:
            indices: Slice, list or tensor of indices, or a boolean mask of shape (N,).
            name: Name of the new set; by default that of this one.
        """
        return ImageSet(
            self.images[indices],
            self.labels[indices],
            self.classes,
            self.name if name is None else name,
            None if self.groups is None else self.groups[indices],
        )

    def double(self) -> ImageSet:
        """The same set with its images in double precision (float64); compare `nn.Module.double`.

        For experiments whose printed digits must not depend on how a processor rounds.
        """
        return replace(self, images=self.images.double())

    def loader(self, batch_size: int = 64, *, shuffle: bool = False, seed: int = 0) -> DataLoader:
        """Batches `(images, labels)` of shapes (B, C, H, W) and (B,); the last may be smaller.

        Args:
            batch_size: Images in a batch, at least 1.
            shuffle: Visit the images in a new random order in every pass.
            seed: Fixes these orders: two loaders with the same seed give the same passes.

        Raises:
            ValueError: `batch_size` is below 1.
        """
        generator = torch.Generator().manual_seed(seed)
        order = (
            torch.utils.data.RandomSampler(self, generator=generator)
            if shuffle
            else torch.utils.data.SequentialSampler(self)
        )
        # One indexing operation per batch instead of one per image: with `batch_size=None` the
        # loader passes each list of indices from the sampler to `__getitem__` as it is.
        batches = torch.utils.data.BatchSampler(order, batch_size, drop_last=False)
        return DataLoader(self, sampler=batches, batch_size=None)
