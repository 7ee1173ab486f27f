// A convolution of small pictures, one output number at a time. Nothing here touches the document.
//
// Pictures and filters are nested arrays: picture[channel][row][column]. `how` is { stride, padding,
// dilation }. As in every deep-learning library, the filter is not flipped.

import { convOutputSize } from "./arithmetic.mjs";

/** A picture of small whole numbers, always the same for the same size. */
export function samplePicture(channels, size) {
  return cube(channels, size, (c, i, j) => (3 * i + 5 * j + 2 * c + i * j) % 6);
}

/** A filter with an edge detector per channel: left to right, top to bottom, then a diagonal. */
export function sampleFilter(channels, kernel) {
  const middle = (kernel - 1) / 2;
  return cube(channels, kernel, (c, i, j) => {
    if (kernel === 1) return [2, -1, 1][c % 3]; // one tap has no direction
    if (c % 3 === 0) return Math.sign(j - middle);
    return c % 3 === 1 ? Math.sign(i - middle) : Number(i === j);
  });
}

/** Output rows (and columns) of the convolution; throws ShapeError if the filter does not fit. */
export function outputSize(picture, filter, { stride, padding, dilation }) {
  return convOutputSize(picture[0].length, filter[0].length, stride, padding, dilation);
}

/**
 * One output number in the making.
 *
 * Returns { taps, sums, total }: the taps in the order of a flattened filter (channel after
 * channel, row after row), each { channel, i, j, y, x, inside, value, weight, product } with (i, j)
 * in the filter and (y, x) in the unpadded picture; the sum of each channel; their total.
 */
export function computeOutput(picture, filter, { stride, padding, dilation }, row, column) {
  const size = picture[0].length;
  const taps = [];
  filter.forEach((sheet, channel) => {
    sheet.forEach((weights, i) => {
      weights.forEach((weight, j) => {
        const y = row * stride + i * dilation - padding;
        const x = column * stride + j * dilation - padding;
        const inside = y >= 0 && y < size && x >= 0 && x < size;
        const value = inside ? picture[channel][y][x] : 0;
        // "+ 0" turns the -0 of 0 × -1 into an ordinary zero
        taps.push({ channel, i, j, y, x, inside, value, weight, product: value * weight + 0 });
      });
    });
  });
  const sums = filter.map((_, channel) =>
    taps.filter((tap) => tap.channel === channel).reduce((sum, tap) => sum + tap.product, 0),
  );
  return { taps, sums, total: sums.reduce((sum, one) => sum + one, 0) };
}

/** All output numbers in the order in which the stepper visits them, row after row. */
export function allOutputs(picture, filter, how) {
  const side = outputSize(picture, filter, how);
  const outputs = [];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      outputs.push({ row, column, ...computeOutput(picture, filter, how, row, column) });
    }
  }
  return outputs;
}

/** The im2col matrix, (C·F·F, positions): column p lists the values under the filter at position p. */
export function im2col(outputs) {
  return outputs[0].taps.map((_, tap) => outputs.map((output) => output.taps[tap].value));
}

function cube(channels, side, value) {
  const range = (length) => [...Array(length).keys()];
  return range(channels).map((c) => range(side).map((i) => range(side).map((j) => value(c, i, j))));
}
