"""The figures: what they show, that they stand alone, and what they refuse."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cnnlib.plots import (
    PALETTE,
    confusion_matrix,
    count_confusions,
    learning_curves,
    show_feature_maps,
    show_filters,
    show_images,
    style,
)
from cnnlib.training import History


@pytest.fixture(autouse=True)
def agg():
    mpl.use("agg")
    before = set(plt.get_fignums())
    yield
    assert set(plt.get_fignums()) == before  # a figure left open would be shown twice


def history(val=True):
    numbers = [0.9, 0.5, 0.3]
    return History(numbers, [0.6, 0.8, 0.9], *([numbers, [0.5, 0.7, 0.8]] if val else [[], []]))


FIGURES = {
    "images": lambda title=None: show_images(torch.rand(10, 1, 8, 8), title=title),
    "curves": lambda title=None: learning_curves(history(), title=title),
    "confusion": lambda title=None: confusion_matrix(
        torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), ["a", "b"], title=title
    ),
    "filters": lambda title=None: show_filters(torch.randn(6, 1, 5, 5), title=title),
    "maps": lambda title=None: show_feature_maps(torch.rand(16, 5, 5), title=title),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_a_solid_background_and_their_title(name, tmp_path):
    before = mpl.rcParams.copy()
    figure = FIGURES[name]("A title")
    assert isinstance(figure, Figure)
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert figure.get_suptitle() == "A title"
    figure.savefig(tmp_path / "figure.png")
    corner = plt.imread(tmp_path / "figure.png")[0, 0]
    assert corner.tolist() == [1, 1, 1, 1]  # white and opaque
    assert mpl.rcParams == before


def test_show_images_shows_each_image_in_its_place():
    images = torch.rand(5, 3, 8, 8)
    figure = show_images(images, [f"no {i}" for i in range(5)], columns=3)
    axes = figure.axes
    assert len(axes) == 6
    for axis, image, index in zip(axes, images, range(5), strict=False):
        shown = axis.images[0].get_array()
        assert np.allclose(shown, image.permute(1, 2, 0))
        assert axis.get_title() == f"no {index}"
    assert not axes[5].images


def test_grey_images_use_one_scale():
    dark = torch.full((2, 1, 4, 4), 0.2)
    for axis in show_images(dark).axes:
        assert axis.images[0].get_clim() == (0, 1)


def test_learning_curves_draw_the_numbers_in_percent():
    left, right = learning_curves(history()).axes
    assert left.lines[0].get_ydata() == pytest.approx([0.9, 0.5, 0.3])
    assert right.lines[1].get_ydata() == pytest.approx([50, 70, 80])
    assert right.lines[0].get_xdata() == pytest.approx([1, 2, 3])
    assert len(learning_curves(history(val=False)).axes[0].lines) == 1
    # Line styles differ too, for readers who see no difference in colour.
    assert left.lines[0].get_linestyle() != left.lines[1].get_linestyle()


def test_confusions_are_counted_by_true_row_and_predicted_column():
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    predictions = torch.tensor([0, 1, 1, 2, 0, 0])
    counts = count_confusions(labels, predictions, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 1]]
    axis = confusion_matrix(labels, predictions, ["a", "b", "c"]).axes[0]
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    assert texts == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (0, 2): "2", (2, 2): "1"}
    colours = axis.images[0].get_array()
    assert colours.trace() == 0  # the diagonal does not drown the mistakes


def test_filters_share_one_scale_around_zero():
    weight = torch.randn(4, 2, 3, 3)
    figure = show_filters(weight)
    limits = {axis.images[0].get_clim() for axis in figure.axes if axis.images}
    extent = weight.abs().max().item()
    assert len(limits) == 1
    assert limits.pop() == pytest.approx((-extent, extent))
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert np.allclose(shown[3], weight[1, 1])  # one row per filter, one column per channel


def test_colour_filters_are_stretched_to_0_1():
    figure = show_filters(3 * torch.randn(4, 3, 5, 5) - 7)
    for axis in figure.axes:
        shown = axis.images[0].get_array()
        assert shown.min() == pytest.approx(0, abs=1e-6)
        assert shown.max() == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_feature_maps_choose_the_scale_by_sign():
    positive = show_feature_maps(torch.rand(1, 4, 6, 6)).axes[0].images[0]
    signed = show_feature_maps(torch.randn(4, 6, 6)).axes[0].images[0]
    assert positive.get_clim()[0] == 0
    assert signed.get_clim()[0] == -signed.get_clim()[1]


def test_constant_maps_do_not_fail():
    assert show_feature_maps(torch.zeros(3, 4, 4)).axes


def test_palette_is_told_apart_by_lightness_or_hue_on_white():
    def luminance(colour):
        parts = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    # The first three, which most figures use: contrast of 3:1 on white (WCAG 2.1, graphics).
    for colour in PALETTE[:3]:
        assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_style_for_a_block_and_for_good():
    before = mpl.rcParams["font.size"]
    try:
        mpl.rcParams["font.size"] = 7
        with style():
            assert mpl.rcParams["font.size"] == 11
        assert mpl.rcParams["font.size"] == 7
        style()
        assert mpl.rcParams["font.size"] == 11
    finally:
        mpl.rcdefaults()
        mpl.rcParams["font.size"] = before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: show_images(torch.rand(8, 8)), r"\(N, 1, H, W\)"),
        (lambda: show_images(torch.rand(0, 1, 8, 8)), "N > 0"),
        (lambda: show_images(torch.rand(2, 1, 8, 8), ["one"]), "2 images need 2 titles"),
        (lambda: show_images(torch.rand(2, 1, 8, 8), columns=0), "columns"),
        (lambda: learning_curves(History()), "no epoch"),
        (lambda: show_filters(torch.rand(3, 3)), r"\(filters, channels, H, W\)"),
        (lambda: show_feature_maps(torch.rand(2, 3, 4, 4)), r"\(C, H, W\)"),
        (lambda: count_confusions(torch.tensor([0, 1]), torch.tensor([0]), 2), r"shape \(N,\)"),
        (lambda: count_confusions(torch.tensor([0, 2]), torch.tensor([0, 1]), 2), "from 0 to 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
