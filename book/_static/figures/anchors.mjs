// Anchors and their labels: cnnlib.detection.anchors and cnnlib.detection.matching in JavaScript,
// with the same names and rules. Nothing here touches the document.

import { ShapeError } from "./arithmetic.mjs";
import { boxIou } from "./detection.mjs";

export const BACKGROUND = -1;
export const IGNORED = -2;

/** Round halves to the even neighbour, as PyTorch does. */
function roundHalfToEven(x) {
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

/**
 * The anchors of one position, centred on (0, 0). An anchor of size s and ratio r has the area s²
 * and r times as much height as width. All sizes of the first ratio, then all of the second.
 */
export function cellAnchors(sizes, aspectRatios, rounded = true) {
  const f = Math.fround; // PyTorch computes this in single precision
  return aspectRatios.flatMap((ratio) => {
    const root = f(Math.sqrt(f(ratio)));
    return sizes.map((size) => {
      const [width, height] = [f(f(1 / root) * size), f(root * size)];
      const box = [-width / 2, -height / 2, width / 2, height / 2];
      return rounded ? box.map(roundHalfToEven) : box;
    });
  });
}

/**
 * Copies of `cell` on every position of a map of [rows, columns], row by row, the anchors of a
 * position together. `stride` is in pixels of the picture, [vertical, horizontal]; `offset` says
 * where the first position lies, in strides: 0 in the corner, 0.5 in the centre of its area.
 */
export function gridAnchors(cell, [rows, columns], [down, across], offset = 0) {
  const anchors = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [y, x] = [(row + offset) * down, (column + offset) * across];
      anchors.push(...cell.map(([x1, y1, x2, y2]) => [x + x1, y + y1, x + x2, y + y2]));
    }
  }
  return anchors;
}

/**
 * The object of each anchor: its number, BACKGROUND or IGNORED. `iou` has one row per object and
 * one column per anchor. From `positiveFrom` on an anchor belongs to the object it overlaps most;
 * below `negativeBelow` with all objects it is background. `keepBest` also gives each object the
 * anchors that overlap it most, ties included, as long as they overlap it at all.
 */
export function match(iou, positiveFrom, negativeBelow, keepBest = false) {
  if (negativeBelow > positiveFrom) {
    throw new ShapeError(
      `negative_below (${negativeBelow}) must not be greater than positive_from (${positiveFrom})`,
    );
  }
  const best = iou.map((row) => Math.max(...row));
  return iou[0].map((_, anchor) => {
    const column = iou.map((row) => row[anchor]);
    const most = Math.max(...column);
    const isBest = keepBest && column.some((value, object) => value === best[object] && value > 0);
    if (most >= positiveFrom || isBest) return column.indexOf(most);
    return most < negativeBelow ? BACKGROUND : IGNORED;
  });
}

/** { anchors, iou, labels } for one object: what the figure shows. */
export function labelAnchors({ sizes, ratios, grid, stride, object, positiveFrom, negativeBelow, keepBest }) {
  const anchors = gridAnchors(cellAnchors(sizes, ratios), grid, [stride, stride], 0.5);
  const [iou] = boxIou([object], anchors);
  return { anchors, iou, labels: match([iou], positiveFrom, negativeBelow, keepBest) };
}
