"""Drawings of what layers do: grids, volumes, sliding windows, receptive fields, block diagrams.

Every function draws on a matplotlib ``Axes`` that the caller made, turns its frame off and returns
what it worked out (positions, extents), so that a chapter can print the same facts that its figure
shows. The colours are those of Okabe and Ito, which people with colour-blind eyes can tell apart
(M. Okabe and K. Ito, "Color Universal Design", 2008).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from cnnlib import arithmetic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
YELLOW = "#F0E442"
GREY = "#8C8C8C"
LIGHT = "#ECECEC"
INK = "#222222"

Cell = tuple[int, int]
Layer = tuple[int, int] | tuple[int, int, int]


def _text_colour(background: str | tuple[float, ...]) -> str:
    """Black or white, whichever is easier to read on ``background`` (relative luminance)."""
    red, green, blue = to_rgb(background)
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "white"


def grid(
    ax: Axes,
    values: Sequence[Sequence[float]] | np.ndarray,
    *,
    highlight: Mapping[str, Iterable[Cell]] | None = None,
    outline: Mapping[str, Sequence[tuple[int, int, int, int]]] | None = None,
    fmt: str = "{:g}",
    cmap: str | None = None,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    text_size: float = 10,
) -> None:
    """Draws a matrix as a grid of cells with the number written in each.

    Args:
        ax: Axes to draw on; it gets equal aspect and no frame.
        values: Array (H, W). NaN leaves a cell empty, so a grid of NaN shows positions only.
        highlight: Colour to the cells (row, column) filled with it. Wins over ``cmap``.
        outline: Colour to rectangles (top row, left column, height, width) framed with it: the
            place of a window.
        fmt: Format of the numbers, as for :meth:`str.format`.
        cmap: Matplotlib colour map that fills the cells by value; without it cells are white.
        limits: Values at the two ends of ``cmap``; default: the smallest and largest value.
        title: Title above the grid.
        text_size: Size of the numbers in points.

    Raises:
        ValueError: ``values`` is not a matrix, or a highlighted or outlined cell is outside it.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a grid shows a matrix (H, W), not an array of shape {array.shape}")
    height, width = array.shape
    fill: dict[Cell, str | tuple[float, ...]] = {}
    if cmap is not None:
        finite = array[np.isfinite(array)]
        low, high = limits if limits is not None else (finite.min(), finite.max())
        norm = Normalize(low, high)
        fill = {
            (row, column): colormaps[cmap](norm(array[row, column]))
            for row, column in np.argwhere(np.isfinite(array)).tolist()
        }
    for colour, cells in (highlight or {}).items():
        for row, column in cells:
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(f"cell {(row, column)} is outside the {height} × {width} grid")
            fill[row, column] = colour
    for row in range(height):
        for column in range(width):
            colour = fill.get((row, column), "white")
            ax.add_patch(
                Rectangle((column, row), 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.8)
            )
            if np.isfinite(array[row, column]):
                ax.text(
                    column + 0.5,
                    row + 0.5,
                    fmt.format(array[row, column]),
                    ha="center",
                    va="center",
                    size=text_size,
                    color=_text_colour(colour),
                )
    for colour, rectangles in (outline or {}).items():
        for top, left, rows, columns in rectangles:
            if top < 0 or left < 0 or top + rows > height or left + columns > width:
                raise ValueError(
                    f"the {rows} × {columns} window at {(top, left)} leaves the "
                    f"{height} × {width} grid"
                )
            ax.add_patch(
                Rectangle((left, top), columns, rows, fill=False, edgecolor=colour, linewidth=3)
            )
    ax.set_xlim(-0.1, width + 0.1)
    ax.set_ylim(height + 0.1, -0.1)  # row 0 on top, as in a matrix
    ax.set_aspect("equal")
    ax.axis("off")
    if title:
        ax.set_title(title)


@dataclass(frozen=True)
class Box:
    """Where a volume was drawn, in the units of the Axes.

    Attributes:
        left: Smallest x of the drawing.
        right: Largest x.
        bottom: Smallest y.
        top: Largest y.
    """

    left: float
    right: float
    bottom: float
    top: float


_SLANT = 0.45  # how far the hidden axis leans to the right and up, as in a cabinet projection


def volume(
    ax: Axes,
    size: tuple[float, float, float],
    *,
    at: tuple[float, float] = (0.0, 0.0),
    colour: str = SKY,
    alpha: float = 1.0,
) -> Box:
    """Draws a box in oblique projection: depth along x, height along y, width into the page.

    Args:
        ax: Axes to draw on.
        size: Edges (height, width, depth) of the drawn box, in the units of the Axes.
        at: Lower left corner of the front face.
        colour: Colour of the front face; the other two faces are lighter and darker shades.
        alpha: Opacity of the faces.

    Returns:
        The rectangle that the drawing covers.

    Raises:
        ValueError: An edge is not positive.
    """
    height, width, depth = size
    if min(size) <= 0:
        raise ValueError(f"the edges of a volume are positive, got {size}")
    x, y = at
    lean = _SLANT * width
    rgb = np.array(to_rgb(colour))
    faces = [
        # the H × W side that an image would show, seen at an angle
        (
            [
                (x + depth, y),
                (x + depth + lean, y + lean),
                (x + depth + lean, y + lean + height),
                (x + depth, y + height),
            ],
            rgb * 0.75,
        ),
        (
            [
                (x, y + height),
                (x + depth, y + height),
                (x + depth + lean, y + height + lean),
                (x + lean, y + height + lean),
            ],
            rgb + (1 - rgb) * 0.5,
        ),
        ([(x, y), (x + depth, y), (x + depth, y + height), (x, y + height)], rgb),
    ]
    for corners, face in faces:
        ax.add_patch(
            Polygon(corners, facecolor=tuple(face), edgecolor=INK, linewidth=0.9, alpha=alpha)
        )
    return Box(left=x, right=x + depth + lean, bottom=y, top=y + height + lean)


def volumes(
    ax: Axes,
    shapes: Sequence[tuple[int, int, int]],
    *,
    names: Sequence[str] | None = None,
    arrows: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    gap: float = 3.2,
) -> list[Box]:
    """Draws a row of volumes joined by arrows: a network as volume-to-volume steps.

    Edges are drawn in proportion to the square root of the sizes, else a 224 × 224 × 3 input would
    be a thin sheet beside which a 1 × 1 × 1000 output is invisible.

    Args:
        ax: Axes to draw on; it gets equal aspect and no frame.
        shapes: Shapes (height, width, channels), in order.
        names: One name per volume, written above it; the shape is always written below.
        arrows: One text per step, written on the arrow; ``len(shapes) - 1`` of them.
        colours: One colour per volume.
        gap: Room for an arrow, in the units of the drawing.

    Returns:
        One :class:`Box` per volume.

    Raises:
        ValueError: No shape at all, or the number of names, arrows or colours does not match.
    """
    if not shapes:
        raise ValueError("there is no volume to draw")
    for what, given, wanted in (
        ("names", names, len(shapes)),
        ("arrows", arrows, len(shapes) - 1),
        ("colours", colours, len(shapes)),
    ):
        if given is not None and len(given) != wanted:
            raise ValueError(f"{len(shapes)} volumes need {wanted} {what}, got {len(given)}")
    roots = [tuple(float(np.sqrt(edge)) for edge in shape) for shape in shapes]
    floor = min(0.35, min(min(edges) for edges in roots))
    boxes: list[Box] = []
    x = 0.0
    middle = max(edges[0] + _SLANT * edges[1] for edges in roots) / 2
    for index, edges in enumerate(roots):
        height, width, depth = (max(edge, floor) for edge in edges)
        covered = height + _SLANT * width
        box = volume(
            ax,
            (height, width, depth),
            at=(x, middle - covered / 2),
            colour=colours[index] if colours else SKY,
        )
        centre = (box.left + box.right) / 2
        rows, columns, channels = shapes[index]
        ax.text(
            centre,
            -0.25,
            f"{rows}×{columns}×{channels}",
            ha="center",
            va="top",
            size=10,
            color=INK,
        )
        if names:
            ax.text(
                centre, 2 * middle + 0.2, names[index], ha="center", va="bottom", size=11, color=INK
            )
        if index + 1 < len(shapes):
            start, end = box.right + 0.25 * gap / 2, box.right + gap - 0.25 * gap / 2
            ax.add_patch(
                FancyArrowPatch(
                    (start, middle),
                    (end, middle),
                    arrowstyle="-|>",
                    mutation_scale=14,
                    color=INK,
                    shrinkA=0,
                    shrinkB=0,
                )
            )
            if arrows:
                ax.text(
                    (start + end) / 2, middle + 0.2, arrows[index], ha="center", va="bottom", size=9
                )
        boxes.append(box)
        x = box.right + gap
    ax.set_xlim(-0.4, boxes[-1].right + 0.4)
    ax.set_ylim(-1.1, 2 * middle + 1.1)
    ax.set_aspect("equal")
    ax.axis("off")
    return boxes


def windows(
    ax: Axes,
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    *,
    ceil_mode: bool = False,
    title: str | None = None,
) -> list[list[int]]:
    """Draws every position of a sliding window over one line of pixels.

    The pixels are numbered boxes on top, zero padding is dashed, and each window is a row below
    with one filled square per position it reads. Pixels that no window reads are hatched.

    Args:
        ax: Axes to draw on; it gets equal aspect and no frame.
        size: Number of pixels of the line.
        kernel: Window size F in pixels.
        stride: Step S in pixels.
        padding: Zeros P on each side.
        dilation: Distance between the taps of the window.
        ceil_mode: Let a last, incomplete window start, as ``ceil_mode=True`` of a pooling layer.
        title: Title above the drawing.

    Returns:
        For every window the positions it reads: 0 … size − 1 are pixels, other numbers are padding
        or lie beyond the border (``ceil_mode``).

    Raises:
        ValueError: The window does not fit (from :mod:`cnnlib.arithmetic`).
    """
    if ceil_mode:
        count = arithmetic.pool_output_size(size, kernel, stride, padding, dilation, ceil_mode=True)
    else:
        count = arithmetic.conv_output_size(size, kernel, stride, padding, dilation)
    taps = [
        [index * stride - padding + tap * dilation for tap in range(kernel)]
        for index in range(count)
    ]
    read = {position for window in taps for position in window}
    last = max(size - 1 + padding, max(read))
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    for position in range(-padding, last + 1):
        inside = 0 <= position < size
        unread = inside and position not in read
        ax.add_patch(
            Rectangle(
                (position, 0),
                1,
                1,
                facecolor=LIGHT if inside else "white",
                edgecolor=VERMILION if unread else GREY,
                linestyle="-" if inside else "--",
                linewidth=1.6 if unread else 1.0,
                hatch="////" if unread else None,
            )
        )
        text = str(position) if inside else ("0" if -padding <= position < size + padding else "")
        ax.text(position + 0.5, 0.5, text, ha="center", va="center", size=10, color=INK)
    for index, window in enumerate(taps):
        colour = colours[index % len(colours)]
        y = 1.35 + 0.6 * index
        ax.plot(
            [window[0] + 0.5, window[-1] + 0.5],
            [y + 0.22, y + 0.22],
            color=colour,
            linewidth=1.5,
        )
        for position in window:
            beyond = position >= size + padding
            ax.add_patch(
                Rectangle(
                    (position + 0.1, y),
                    0.8,
                    0.44,
                    facecolor="white" if beyond else colour,
                    edgecolor=colour,
                    linewidth=1.2,
                )
            )
    ax.set_xlim(-padding - 0.2, last + 1.2)
    ax.set_ylim(1.35 + 0.6 * count + 0.1, -0.2)
    ax.set_aspect("equal", anchor="N")  # lines of pixels in neighbouring drawings start level
    ax.axis("off")
    if title:
        ax.set_title(title)
    return taps


def receptive_field_cone(
    ax: Axes,
    layers: Sequence[Layer],
    *,
    outputs: int = 3,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> list[tuple[int, int]]:
    """Draws, in one dimension, what a single output number sees through a stack of layers.

    Units of each layer are dots, the input is the lowest line. The middle output unit and
    everything it depends on are coloured.

    Args:
        ax: Axes to draw on; it gets no frame.
        layers: (kernel, stride) or (kernel, stride, dilation) of each layer, input first.
        outputs: Number of output units drawn; odd, so that one is in the middle.
        names: One name per line of units, input first: ``len(layers) + 1`` of them.
        title: Title above the drawing.

    Returns:
        For every line, input first, the first and last unit that the coloured output sees.

    Raises:
        ValueError: No layer, an even number of outputs, or names that do not match.
    """
    if not layers:
        raise ValueError("a receptive field needs at least one layer")
    if outputs < 1 or outputs % 2 == 0:
        raise ValueError(f"outputs must be odd so that one is in the middle, got {outputs}")
    if names is not None and len(names) != len(layers) + 1:
        raise ValueError(f"{len(layers)} layers need {len(layers) + 1} names, got {len(names)}")
    full = [(*layer, 1) if len(layer) == 2 else layer for layer in layers]
    counts = [outputs]
    for kernel, stride, dilation in reversed(full):
        counts.append((counts[-1] - 1) * stride + arithmetic.effective_kernel(kernel, dilation))
    counts.reverse()  # units per line, input first
    # x of unit i in a line: the centre of what it reads one line below.
    scale, offset = [1.0], [0.0]
    for kernel, stride, dilation in full:
        half = (arithmetic.effective_kernel(kernel, dilation) - 1) / 2
        offset.append(offset[-1] + half * scale[-1])
        scale.append(scale[-1] * stride)
    seen = [{outputs // 2}]
    for kernel, stride, dilation in reversed(full):
        seen.append({unit * stride + tap * dilation for unit in seen[-1] for tap in range(kernel)})
    seen.reverse()
    extents = [(min(units), max(units)) for units in seen]
    for line in range(len(full)):
        kernel, stride, dilation = full[line]
        for unit in range(counts[line + 1]):
            for tap in range(kernel):
                below = unit * stride + tap * dilation
                coloured = unit in seen[line + 1]
                ax.plot(
                    [offset[line] + scale[line] * below, offset[line + 1] + scale[line + 1] * unit],
                    [line, line + 1],
                    color=BLUE if coloured else "#CFCFCF",
                    linewidth=1.6 if coloured else 1.0,
                    zorder=2 if coloured else 1,
                )
    for line, count in enumerate(counts):
        x = [offset[line] + scale[line] * unit for unit in range(count)]
        colours = [ORANGE if unit in seen[line] else "white" for unit in range(count)]
        ax.scatter(x, [line] * count, s=70, c=colours, edgecolors=INK, linewidths=0.9, zorder=3)
        first, last = extents[line]
        name = f"{names[line]}: " if names else ""
        ax.text(
            counts[0] + 0.2,
            line,
            f"{name}{last - first + 1}",
            ha="left",
            va="center",
            size=10,
            color=INK,
        )
    ax.set_xlim(-0.8, counts[0] + 0.2)
    ax.set_ylim(-0.4, len(full) + 0.4)
    ax.axis("off")
    if title:
        ax.set_title(title)
    return extents


@dataclass(frozen=True)
class Node:
    """A box of a block diagram.

    Attributes:
        x: Middle of the box, from left to right.
        y: Middle of the box, from top to bottom.
        text: What is written in it.
        colour: Of the box; "none" writes the text alone.
        width: Of the box.
        height: Of the box.
    """

    x: float
    y: float
    text: str
    colour: str = SKY
    width: float = 3.0
    height: float = 0.8


@dataclass(frozen=True)
class Edge:
    """An arrow of a block diagram.

    Attributes:
        start: Name of the box where it begins.
        end: Name of the box where it ends.
        text: Written beside its middle.
        colour: Of line and text.
        around: The x at which the arrow runs down beside what lies between the boxes, as a shortcut
            does; None goes straight.
    """

    start: str
    end: str
    text: str = ""
    colour: str = INK
    around: float | None = None


def diagram(
    ax: Axes,
    nodes: Mapping[str, Node],
    edges: Iterable[Edge | tuple[str, str]],
    *,
    title: str | None = None,
    text_size: float = 10,
) -> None:
    """Draws a block diagram: boxes joined by arrows, from top to bottom or from left to right.

    Args:
        ax: Axes to draw on; it gets equal aspect and no frame.
        nodes: The boxes by name.
        edges: The arrows; a pair (start, end) is a plain one.
        title: Title above the drawing.
        text_size: Size of all texts in points.

    Raises:
        ValueError: An arrow begins or ends at a box that is not there.
    """
    for node in nodes.values():
        _draw_node(ax, node, text_size)
    places = [(n.x - n.width / 2, n.x + n.width / 2) for n in nodes.values()]
    for edge in edges:
        arrow = edge if isinstance(edge, Edge) else Edge(*edge)
        for name in (arrow.start, arrow.end):
            if name not in nodes:
                raise ValueError(f"no box is called {name!r}; there are {', '.join(nodes)}")
        _draw_edge(ax, arrow, nodes[arrow.start], nodes[arrow.end], text_size)
        if arrow.around is not None:
            places.append((arrow.around, arrow.around))
    ax.set_xlim(min(left for left, _ in places) - 0.3, max(right for _, right in places) + 0.3)
    ax.set_ylim(
        max(n.y + n.height / 2 for n in nodes.values()) + 0.2,
        min(n.y - n.height / 2 for n in nodes.values()) - 0.2,
    )
    ax.set_aspect("equal")
    ax.axis("off")
    if title:
        ax.set_title(title)


def _draw_node(ax: Axes, node: Node, text_size: float) -> None:
    framed = node.colour != "none"
    if framed:
        ax.add_patch(
            FancyBboxPatch(
                (node.x - node.width / 2, node.y - node.height / 2),
                node.width,
                node.height,
                boxstyle="round,pad=0,rounding_size=0.12",
                facecolor=node.colour,
                edgecolor=INK,
                linewidth=0.9,
            )
        )
    colour = _text_colour(node.colour) if framed else INK
    ax.text(node.x, node.y, node.text, ha="center", va="center", size=text_size, color=colour)


def _draw_edge(ax: Axes, edge: Edge, start: Node, end: Node, text_size: float) -> None:
    """One arrow between the sides that face each other, or around by the side."""
    down = abs(end.y - start.y) >= (start.height + end.height) / 2
    if edge.around is not None:
        side = 1 if edge.around > start.x else -1
        path = [
            (start.x + side * start.width / 2, start.y),
            (edge.around, start.y),
            (edge.around, end.y),
            (end.x + side * end.width / 2, end.y),
        ]
    elif down:
        sign = 1 if end.y > start.y else -1
        path = [
            (start.x, start.y + sign * start.height / 2),
            (end.x, end.y - sign * end.height / 2),
        ]
    else:
        sign = 1 if end.x > start.x else -1
        path = [(start.x + sign * start.width / 2, start.y), (end.x - sign * end.width / 2, end.y)]
    if len(path) > 2:
        ax.plot(*zip(*path[:-1], strict=True), color=edge.colour, linewidth=1.5)
    ax.add_patch(
        FancyArrowPatch(
            path[-2],
            path[-1],
            arrowstyle="-|>",
            mutation_scale=12,
            color=edge.colour,
            linewidth=1.5 if len(path) > 2 else 1.1,
            shrinkA=0,
            shrinkB=0,
        )
    )
    if edge.text:
        (x0, y0), (x1, y1) = path[len(path) // 2 - 1], path[len(path) // 2]
        ax.text(
            (x0 + x1) / 2 + 0.12,
            (y0 + y1) / 2,
            edge.text,
            ha="left",
            va="center",
            size=text_size,
            color=edge.colour,
        )
