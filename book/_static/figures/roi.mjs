// RoI pooling and RoIAlign on one feature map: cnnlib.detection.roi in JavaScript, with the same
// rules. Nothing here touches the document.
//
// `features` is a list of rows of numbers, `box` a region [x1, y1, x2, y2] in pixels of the picture,
// `scale` the pixels of the map per pixel of the picture, `bins` the number of bins along each side.

/** Round halves away from zero, as C does. */
function roundAway(x) {
  return Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
}

/** Along one axis: for each bin its points, each with the two pixels it lies between. */
function taps(start, binSize, bins, samples, length) {
  return Array.from({ length: bins }, (_, bin) => Array.from({ length: samples }, (__, i) => {
    const at = start + binSize * (bin + (i + 0.5) / samples);
    const inside = at >= -1 && at <= length;
    const point = Math.min(Math.max(at, 0), length - 1);
    const low = Math.floor(point);
    const above = point - low; // 0 at the lower pixel, 1 at the upper
    const pixels = [[low, 1 - above], [Math.min(low + 1, length - 1), above]];
    return { at, inside, pixels };
  }));
}

/**
 * RoIAlign: for each bin { points, mean }. A point is { y, x, inside, value, taps }, in pixels of
 * the map, where `taps` are the four pixels it is read from as [row, column, weight]. A point more
 * than a pixel outside the map counts as 0.
 */
export function roiAlign(features, box, { bins, scale, samples, aligned }) {
  const [x1, y1, x2, y2] = box.map((edge) => edge * scale - (aligned ? 0.5 : 0));
  const side = (length) => (aligned ? length : Math.max(length, 1));
  const rows = taps(y1, side(y2 - y1) / bins, bins, samples, features.length);
  const columns = taps(x1, side(x2 - x1) / bins, bins, samples, features[0].length);
  return rows.map((down) => columns.map((across) => {
    const points = down.flatMap((y) => across.map((x) => {
      const inside = y.inside && x.inside;
      const four = y.pixels.flatMap(([row, high]) => x.pixels.map(
        ([column, wide]) => [row, column, inside ? high * wide : 0],
      ));
      const value = four.reduce((sum, [row, column, weight]) => sum + weight * features[row][column], 0);
      return { y: y.at, x: x.at, inside, value, taps: four };
    }));
    return { points, mean: points.reduce((sum, { value }) => sum + value, 0) / points.length };
  }));
}

/** Along one axis: first pixel and one past the last of each bin. */
function binEdges(first, last, bins, length) {
  const size = Math.max(last - first + 1, 1);
  const within = (pixel) => Math.min(Math.max(pixel, 0), length);
  return Array.from({ length: bins }, (_, p) => [
    within(first + Math.floor((p * size) / bins)), within(first + Math.ceil(((p + 1) * size) / bins)),
  ]);
}

/**
 * RoI pooling: { region, bins }. `region` is the box rounded to pixels of the map, [x1, y1, x2, y2]
 * with both edges counting in. Each bin is { top, bottom, left, right, max }: it reaches from row
 * top to bottom - 1; the maximum of nothing is 0.
 */
export function roiPool(features, box, { bins, scale }) {
  const region = box.map((edge) => roundAway(edge * scale));
  const rows = binEdges(region[1], region[3], bins, features.length);
  const columns = binEdges(region[0], region[2], bins, features[0].length);
  return {
    region,
    bins: rows.map(([top, bottom]) => columns.map(([left, right]) => {
      const values = features.slice(top, bottom).flatMap((row) => row.slice(left, right));
      return { top, bottom, left, right, max: values.length ? Math.max(...values) : 0 };
    })),
  };
}
