"""Figures that more than one chapter draws.

Every function returns a `Figure`: as the last expression of a notebook cell it is shown once, and
in a script it can be saved. Colours are those of Okabe and Ito, which people with any colour vision
can tell apart; the background is solid, so that a figure is readable on a dark page too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cnnlib.training import History

# Okabe and Ito, "Color Universal Design" (2008); black last, yellow left out (too pale for lines).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE = {
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.titlesize": 13,
    "font.size": 11,
    "grid.color": "#E3E3E3",
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "savefig.facecolor": "white",
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


class style:  # lower case, because it is used like a function
    """The look of the course: `style()` sets it for good, `with style():` for one block."""

    def __init__(self) -> None:
        self._before = mpl.rcParams.copy()
        mpl.rcParams.update(STYLE)

    def __enter__(self) -> style:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not the backend: switching it back would close the figures of the block.
        mpl.rcParams.update({key: self._before[key] for key in STYLE})


def show_images(
    images: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    title: str | None = None,
    size: float = 1.3,
) -> Figure:
    """Images in a grid.

    Args:
        images: Tensor of shape (N, 1, H, W) or (N, 3, H, W) with values from 0 to 1; values outside
            are shown as 0 or 1.
        titles: A short text above each image.
        columns: Images in a row.
        title: Title of the figure.
        size: Width and height of an image in inches.

    Raises:
        ValueError: `images` has another shape, or there is not one title per image.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(
            f"images must have shape (N, 1, H, W) or (N, 3, H, W) with N > 0; "
            f"got {tuple(images.shape)}"
        )
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} images need {len(images)} titles; got {len(titles)}")
    pixels = images.detach().cpu().clamp(0, 1).permute(0, 2, 3, 1).squeeze(3).numpy()
    row_height = size + (0.3 if titles is not None else 0)
    with style():
        figure, axes = _grid(len(images), columns, size, row_height)
        for axis, image in zip(axes, pixels, strict=False):
            axis.imshow(image, vmin=0, vmax=1)
        for axis, text in zip(axes, titles or (), strict=False):
            axis.set_title(text, fontsize=10)
        return _finished(figure, title)


def learning_curves(history: History, *, title: str | None = None) -> Figure:
    """Loss and accuracy of each epoch, for training and, where there is one, validation set.

    Raises:
        ValueError: The history holds no epoch.
    """
    if len(history) == 0:
        raise ValueError("the history holds no epoch yet")
    epochs = np.arange(1, len(history) + 1)
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        _curves(left, epochs, history.train_loss, history.val_loss)
        left.set(title="Loss", xlabel="epoch", ylabel="mean loss per example")
        left.set_ylim(bottom=0)
        percent = [[100 * a for a in values] for values in _accuracies(history)]
        _curves(right, epochs, *percent)
        right.set(title="Accuracy", xlabel="epoch", ylabel="right answers in %")
        right.set_ylim(top=100.5)
        right.legend(loc="lower right")
        return _finished(figure, title)


def _accuracies(history: History) -> tuple[list[float], list[float]]:
    return history.train_accuracy, history.val_accuracy


def _curves(axis: Axes, epochs: np.ndarray, train: list[float], val: list[float]) -> None:
    """Line styles and markers tell the curves apart where colours do not."""
    axis.plot(epochs, train, "o--", markersize=4, label="training (while the weights move)")
    if val:
        axis.plot(epochs, val, "s-", markersize=4, label="validation")
    axis.xaxis.get_major_locator().set_params(integer=True)


def confusion_matrix(
    labels: Tensor,
    predictions: Tensor,
    classes: Sequence[str],
    *,
    title: str | None = None,
) -> Figure:
    """How often each class (row) was taken for each class (column).

    The colours leave out the diagonal, so that the mistakes are seen and not the many right ones.

    Args:
        labels: True classes, int64 of shape (N,).
        predictions: Predicted classes, int64 of shape (N,).
        classes: Names of the classes.
        title: Title of the figure.

    Raises:
        ValueError: Shapes differ, or a value is not an index of `classes`.
    """
    counts = count_confusions(labels, predictions, len(classes))
    mistakes = counts.clone()
    mistakes.fill_diagonal_(0)
    side = 2.2 + 0.42 * len(classes)
    with style():
        figure, axis = plt.subplots(figsize=(side, side), layout="constrained")
        top = max(int(mistakes.max()), 1)
        axis.imshow(mistakes.numpy(), cmap="Blues", vmin=0, vmax=top)
        for row, column in np.ndindex(*counts.shape):
            count = int(counts[row, column])
            if count:
                dark = row != column and count > 0.6 * top
                axis.text(
                    column,
                    row,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=10,
                    color="white" if dark else "black",
                    fontweight="bold" if row != column else "normal",
                )
        axis.set_xticks(range(len(classes)), classes, rotation=0 if _short(classes) else 60)
        axis.set_yticks(range(len(classes)), classes)
        axis.set(xlabel="predicted class", ylabel="true class")
        axis.grid(False)
        return _finished(figure, title)


def count_confusions(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Counts of (true, predicted) pairs: int64 tensor of shape (num_classes, num_classes).

    Raises:
        ValueError: Shapes differ, or a value is not from 0 to `num_classes - 1`.
    """
    labels, predictions = labels.detach().cpu(), predictions.detach().cpu()
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            f"labels and predictions must both have shape (N,); "
            f"got {tuple(labels.shape)} and {tuple(predictions.shape)}"
        )
    for what, values in (("labels", labels), ("predictions", predictions)):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < num_classes:
            raise ValueError(f"{what} must be from 0 to {num_classes - 1}")
    pairs = labels * num_classes + predictions
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def show_filters(
    weight: Tensor, *, columns: int = 8, title: str | None = None, size: float = 1.3
) -> Figure:
    """The kernels of a convolution.

    Kernels of three input channels are shown as colours, each stretched to 0..1. All others are
    shown one input channel at a time: blue is negative, white 0, red positive, on one scale for the
    whole figure.

    Args:
        weight: Tensor of shape (filters, channels, H, W), for example `layer.weight`.
        columns: Kernels in a row, unless each filter gets its own row (more than one channel).
        title: Title of the figure.
        size: Width and height of a kernel in inches.

    Raises:
        ValueError: `weight` does not have four dimensions.
    """
    if weight.ndim != 4 or len(weight) == 0:
        raise ValueError(
            f"weight must have shape (filters, channels, H, W); got {tuple(weight.shape)}"
        )
    weight = weight.detach().cpu()
    channels = weight.shape[1]
    if channels == 3:
        low = weight.amin((1, 2, 3), keepdim=True)
        high = weight.amax((1, 2, 3), keepdim=True)
        stretched = (weight - low) / (high - low).clamp_min(1e-12)
        return show_images(stretched, columns=columns, title=title, size=size)
    if channels > 1:
        columns = channels
    maps = weight.flatten(0, 1)
    names = [f"filter {i}" for i in range(len(maps))] if channels == 1 else None
    return _signed_maps(maps, names, columns, title, size)


def show_feature_maps(
    maps: Tensor, *, columns: int = 8, title: str | None = None, size: float = 1.3
) -> Figure:
    """The maps of one image after some layer, on one scale.

    Maps without negative values run from white (0) to dark; others from blue (negative) over white
    (0) to red (positive).

    Args:
        maps: Tensor of shape (C, H, W), or (1, C, H, W).
        columns: Maps in a row.
        title: Title of the figure.
        size: Width and height of a map in inches.

    Raises:
        ValueError: `maps` has another shape.
    """
    maps = maps.detach().cpu()
    if maps.ndim == 4 and len(maps) == 1:
        maps = maps[0]
    if maps.ndim != 3 or len(maps) == 0:
        raise ValueError(f"maps of one image have shape (C, H, W); got {tuple(maps.shape)}")
    return _signed_maps(maps, [f"map {i}" for i in range(len(maps))], columns, title, size)


def _signed_maps(
    maps: Tensor, names: Sequence[str] | None, columns: int, title: str | None, size: float
) -> Figure:
    """Maps (N, H, W) in a grid with one colour bar."""
    extent = max(float(maps.abs().max()), 1e-12)
    signed = bool((maps < 0).any())
    low, cmap = (-extent, "RdBu_r") if signed else (0.0, "Greys")
    with style():
        figure, axes = _grid(len(maps), columns, size, size + (0.3 if names else 0), bar=0.9)
        for axis, values in zip(axes, maps.numpy(), strict=False):
            image = axis.imshow(values, cmap=cmap, vmin=low, vmax=extent)
        for axis, name in zip(axes, names or (), strict=False):
            axis.set_title(name, fontsize=10)
        figure.colorbar(image, ax=list(axes), shrink=0.8)
        return _finished(figure, title)


def _grid(
    count: int, columns: int, width: float, height: float, bar: float = 0.0
) -> tuple[Figure, Sequence[Axes]]:
    """A figure with at least `count` axes without ticks; those left over are hidden."""
    if columns < 1:
        raise ValueError(f"columns must be at least 1; got {columns}")
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * width + bar, rows * height + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for index, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
        for spine in axis.spines.values():
            spine.set_visible(index < count)
            spine.set_color("#B0B0B0")
        if index >= count:
            axis.set_axis_off()
    return figure, axes.ravel()


def _short(classes: Sequence[str]) -> bool:
    return max(map(len, classes)) <= 3


def _finished(figure: Figure, title: str | None) -> Figure:
    """Set the title and take the figure from pyplot, which would show it a second time."""
    if title is not None:
        figure.suptitle(title)
    plt.close(figure)
    return figure
