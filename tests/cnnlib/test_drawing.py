"""Drawings tell the truth: positions and extents come from layers that really ran."""

import itertools
import math

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch.nn import functional as F

from cnnlib import drawing

matplotlib.use("Agg")


@pytest.fixture
def ax():
    return Figure().add_subplot()


def new_axes():
    """Axes of their own for each example of a property."""
    return Figure().add_subplot()


def read_by_torch(size, kernel, stride, padding, dilation):
    """Positions each output of a real convolution reads, from the gradient of one output."""
    line = torch.zeros(1, 1, size, requires_grad=True)
    out = F.conv1d(line, torch.ones(1, 1, kernel), None, stride, padding, dilation)
    found = []
    for index in range(out.shape[-1]):
        (gradient,) = torch.autograd.grad(out[0, 0, index], line, retain_graph=True)
        found.append(gradient[0, 0].nonzero().flatten().tolist())
    return found


def cells(ax):
    """Face colour of each filled cell by its lower left corner."""
    return {
        (int(patch.get_y()), int(patch.get_x())): to_hex(patch.get_facecolor()).upper()
        for patch in ax.patches
        if isinstance(patch, Rectangle) and patch.get_fill()
    }


def test_grid_writes_every_number_in_its_cell(ax):
    values = np.array([[1.5, -2.0, 3.0], [4.0, np.nan, 6.0]])
    drawing.grid(ax, values, fmt="{:.1f}")
    texts = {
        (math.floor(t.get_position()[1]), math.floor(t.get_position()[0])): t for t in ax.texts
    }
    written = {cell: text.get_text() for cell, text in texts.items()}
    assert written == {(0, 0): "1.5", (0, 1): "-2.0", (0, 2): "3.0", (1, 0): "4.0", (1, 2): "6.0"}
    assert len(cells(ax)) == 6  # the empty cell is drawn too


def test_grid_has_row_zero_on_top(ax):
    drawing.grid(ax, [[1, 2], [3, 4]])
    bottom, top = ax.get_ylim()
    assert bottom > top


def test_grid_highlight_wins_over_the_colour_map(ax):
    drawing.grid(ax, [[0, 1], [2, 3]], cmap="gray", highlight={drawing.VERMILION: [(1, 0)]})
    filled = cells(ax)
    assert filled[1, 0] == drawing.VERMILION
    assert filled[0, 0] == "#000000"
    assert filled[1, 1] == "#FFFFFF"


def test_grid_numbers_stay_readable_on_dark_and_light_cells(ax):
    drawing.grid(ax, [[0, 1]], cmap="gray")
    assert [text.get_color() for text in ax.texts] == ["white", "black"]


def test_grid_frames_a_window(ax):
    drawing.grid(ax, np.zeros((5, 6)), outline={drawing.ORANGE: [(1, 2, 3, 4)]})
    frames = [p for p in ax.patches if not p.get_fill()]
    assert [p.get_bbox().bounds for p in frames] == [(2, 1, 4, 3)]


@pytest.mark.parametrize("values", [[1, 2, 3], np.zeros((2, 2, 2)), np.zeros((0, 3))])
def test_grid_refuses_what_is_no_matrix(ax, values):
    with pytest.raises(ValueError, match="matrix"):
        drawing.grid(ax, values)


def test_grid_refuses_cells_and_windows_outside(ax):
    with pytest.raises(ValueError, match="outside"):
        drawing.grid(ax, np.zeros((2, 3)), highlight={drawing.BLUE: [(2, 0)]})
    with pytest.raises(ValueError, match="outside"):
        drawing.grid(ax, np.zeros((2, 3)), highlight={drawing.BLUE: [(0, -1)]})
    with pytest.raises(ValueError, match="leaves the 2 × 3 grid"):
        drawing.grid(ax, np.zeros((2, 3)), outline={drawing.BLUE: [(0, 2, 2, 2)]})


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    size=st.integers(1, 14),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 3),
)
def test_windows_stand_where_a_convolution_reads(size, kernel, stride, padding, dilation):
    if dilation * (kernel - 1) + 1 > size + 2 * padding:
        with pytest.raises(ValueError, match="fit"):
            drawing.windows(new_axes(), size, kernel, stride, padding, dilation)
        return
    positions = drawing.windows(new_axes(), size, kernel, stride, padding, dilation)
    inside = [[p for p in window if 0 <= p < size] for window in positions]
    assert inside == read_by_torch(size, kernel, stride, padding, dilation)


def test_windows_hatch_exactly_the_pixels_nothing_reads(ax):
    drawing.windows(ax, 10, 3, stride=4)  # reads 0 1 2, 4 5 6; 3 and 7 8 9 are lost
    hatched = [int(p.get_x()) for p in ax.patches if p.get_hatch()]
    assert hatched == [3, 7, 8, 9]


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(10, 3, 2), (9, 2, 2), (7, 3, 2), (5, 2, 3)]
)
def test_windows_in_ceil_mode_match_pytorch(ax, size, kernel, stride):
    positions = drawing.windows(ax, size, kernel, stride, ceil_mode=True)
    pooled = F.max_pool1d(torch.zeros(1, 1, size), kernel, stride, ceil_mode=True)
    assert len(positions) == pooled.shape[-1]
    # In ceil mode only the very last window may hang over the edge.
    assert all(max(window) < size for window in positions[:-1])


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=3
    ),
    outputs=st.sampled_from([1, 3]),
)
def test_cone_is_as_wide_as_the_support_of_a_gradient(layers, outputs):
    extents = drawing.receptive_field_cone(new_axes(), layers, outputs=outputs)
    line = torch.zeros(1, 1, 200, requires_grad=True)
    x = line
    for kernel, stride, dilation in layers:
        x = F.conv1d(x, torch.ones(1, 1, kernel), None, stride, 0, dilation)
    x[0, 0, outputs // 2].backward()
    support = line.grad[0, 0].nonzero().flatten()
    assert extents[0] == (int(support.min()), int(support.max()))
    assert extents[-1] == (outputs // 2, outputs // 2)


def test_cone_writes_the_width_of_every_row(ax):
    drawing.receptive_field_cone(ax, [(3, 1), (2, 2), (3, 1)], names=["in", "c1", "pool", "c2"])
    assert [t.get_text() for t in ax.texts] == ["in: 8", "c1: 6", "pool: 3", "c2: 1"]


def test_cone_colours_only_units_that_are_seen(ax):
    drawing.receptive_field_cone(ax, [(3, 1, 2)], outputs=3)  # dilation 2 reads 1, 3, 5 of 0 … 6
    colours = [to_hex(c).upper() for c in ax.collections[0].get_facecolors()]
    assert [i for i, colour in enumerate(colours) if colour == drawing.ORANGE] == [1, 3, 5]
    assert len(colours) == 7


def test_cone_refuses_bad_arguments(ax):
    with pytest.raises(ValueError, match="at least one layer"):
        drawing.receptive_field_cone(ax, [])
    with pytest.raises(ValueError, match="odd"):
        drawing.receptive_field_cone(ax, [(3, 1)], outputs=2)
    with pytest.raises(ValueError, match="2 names, got 1"):
        drawing.receptive_field_cone(ax, [(3, 1)], names=["input"])


def test_volume_covers_the_box_it_reports(ax):
    box = drawing.volume(ax, (4.0, 2.0, 1.0), at=(3.0, 1.0))
    corners = np.concatenate([patch.get_xy() for patch in ax.patches])
    assert len(ax.patches) == 3  # the three faces that can be seen
    np.testing.assert_allclose(corners.min(axis=0), (box.left, box.bottom))
    np.testing.assert_allclose(corners.max(axis=0), (box.right, box.top))
    assert (box.left, box.bottom) == (3.0, 1.0)


def test_volume_refuses_an_edge_of_zero(ax):
    with pytest.raises(ValueError, match="positive"):
        drawing.volume(ax, (4.0, 0.0, 1.0))


def test_volumes_label_shapes_names_and_steps_without_overlap(ax):
    shapes = [(32, 32, 3), (16, 16, 12), (1, 1, 10)]
    boxes = drawing.volumes(ax, shapes, names=["input", "pool", "scores"], arrows=["conv", "FC"])
    texts = [t.get_text() for t in ax.texts]
    assert {"32×32×3", "16×16×12", "1×1×10", "input", "pool", "scores", "conv", "FC"} == set(texts)
    assert all(left.right < right.left for left, right in itertools.pairwise(boxes))
    heights = [box.top - box.bottom for box in boxes]
    assert heights[0] > heights[1] > heights[2]


def test_volumes_refuse_lists_that_do_not_match(ax):
    shapes = [(8, 8, 3), (4, 4, 8)]
    with pytest.raises(ValueError, match="no volume"):
        drawing.volumes(ax, [])
    with pytest.raises(ValueError, match="2 names, got 1"):
        drawing.volumes(ax, shapes, names=["input"])
    with pytest.raises(ValueError, match="1 arrows, got 2"):
        drawing.volumes(ax, shapes, arrows=["a", "b"])


def arrows(ax):
    """Start and end of each arrow in the coordinates of the drawing."""
    found = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    return [tuple(map(tuple, (p._posA_posB[0], p._posA_posB[1]))) for p in found]


def test_a_diagram_joins_the_sides_that_face_each_other(ax):
    nodes = {
        "top": drawing.Node(0, 0, "one", width=2, height=1),
        "bottom": drawing.Node(0, 3, "two", width=2, height=1),
        "right": drawing.Node(5, 0, "three", drawing.INK, width=2, height=1),
    }
    drawing.diagram(ax, nodes, [("top", "bottom"), ("top", "right"), ("bottom", "top")])
    assert arrows(ax) == [((0, 0.5), (0, 2.5)), ((1, 0), (4, 0)), ((0, 2.5), (0, 0.5))]
    texts = {text.get_text(): text.get_color() for text in ax.texts}
    assert texts == {"one": "black", "two": "black", "three": "white"}
    low, high = ax.get_ylim()
    assert low > high  # y grows downwards, as in the nodes
    left, right = ax.get_xlim()
    assert left < -1
    assert right > 6


def test_a_shortcut_runs_around_what_lies_between(ax):
    nodes = {"x": drawing.Node(0, 0, "x"), "+": drawing.Node(0, 4, "+", width=1)}
    edge = drawing.Edge("x", "+", "shortcut", drawing.BLUE, around=2.5)
    drawing.diagram(ax, nodes, [edge], title="T")
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[1.5, 0], [2.5, 0], [2.5, 4]]
    assert arrows(ax) == [((2.5, 4), (0.5, 4))]
    label = next(text for text in ax.texts if text.get_text() == "shortcut")
    assert label.get_position() == pytest.approx((2.62, 2))
    assert ax.get_xlim()[1] > 2.5
    assert ax.get_title() == "T"


def test_text_without_a_box_has_no_box(ax):
    drawing.diagram(ax, {"x": drawing.Node(0, 0, "input", "none")}, [])
    assert not ax.patches


def test_an_arrow_to_nowhere_is_named(ax):
    with pytest.raises(ValueError, match=r"no box is called 'b'; there are a"):
        drawing.diagram(ax, {"a": drawing.Node(0, 0, "a")}, [("a", "b")])
