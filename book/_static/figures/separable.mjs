// What depthwise separable convolutions, inverted residuals and the networks made of them cost, with
// the two dials of MobileNet. Nothing here touches the document.

import { convMacs, convOutputSize, convParameters } from "./arithmetic.mjs";

/**
 * Channels times the width multiplier, rounded to a multiple of `divisor`, never by more than a
 * tenth (cnnlib.blocks.scaled_channels).
 */
export function scaledChannels(channels, width, divisor = 8) {
  const exact = channels * width;
  const rounded = Math.max(divisor, Math.floor(Math.trunc(exact + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * exact ? rounded + divisor : rounded;
}

/** One convolution without bias, with padding that keeps the size at stride 1. */
function layer(name, from, to, kernel, size, { stride = 1, groups = 1 } = {}) {
  const output = convOutputSize(size, kernel, stride, (kernel - 1) / 2);
  return {
    name,
    size: output,
    macs: convMacs(from, to, kernel, output, { groups }),
    weights: convParameters(from, to, kernel, { groups, bias: false }),
  };
}

function total(layers) {
  const sum = (key) => layers.reduce((all, one) => all + one[key], 0);
  return { layers, macs: sum("macs"), weights: sum("weights") };
}

/**
 * The same step from `from` to `to` channels in three ways: { full, separable, inverted }, each
 * { layers, macs, weights }, without biases and normalisation.
 *
 * full: a k×k convolution. separable: k×k depthwise, then 1×1 (Howard et al., arXiv:1704.04861,
 * section 3.1). inverted: 1×1 to `expansion` times as many channels, k×k depthwise, 1×1 back (Sandler
 * et al., arXiv:1801.04381, table 1); without the first layer if `expansion` is 1.
 */
export function stepCosts({ size, from, to, kernel, stride, expansion }) {
  const name = `${kernel}×${kernel}`;
  const depthwise = (channels) => layer(
    `${name} depthwise`, channels, channels, kernel, size, { stride, groups: channels },
  );
  const one = depthwise(from);
  const wide = from * expansion;
  const filtered = depthwise(wide);
  return {
    full: total([layer(name, from, to, kernel, size, { stride })]),
    separable: total([one, layer("1×1", from, to, 1, one.size)]),
    inverted: total([
      ...(expansion === 1 ? [] : [layer("1×1 expansion", from, wide, 1, size)]),
      filtered,
      layer("1×1 projection", wide, to, 1, filtered.size),
    ]),
  };
}

// Table 1 of MobileNet: filters and stride of each separable convolution.
const SEPARABLE = [
  [64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2], ...Array(5).fill([512, 1]), [1024, 2],
  [1024, 1],
];
// Table 2 of MobileNetV2: expansion, channels, number of blocks, stride of the first.
const BOTTLENECKS = [
  [1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/**
 * { macs, parameters } of MobileNet (version 1) or MobileNetV2 (2) with a width multiplier, on a
 * square picture of `resolution` pixels with 3 channels, for 1000 classes. Parameters include the
 * normalisation after each convolution (two a channel) and the bias of the last layer.
 */
export function networkCost(version, width, resolution, classes = 1000) {
  const divisor = version === 1 ? 1 : 8;
  let [macs, parameters] = [0, 0];
  let size = resolution;
  const add = (from, to, kernel, stride = 1, groups = 1) => {
    const one = layer("", from, to, kernel, size, { stride, groups });
    macs += one.macs;
    parameters += one.weights + 2 * to;
    size = one.size;
  };
  let channels = scaledChannels(32, width, divisor);
  add(3, channels, 3, 2);
  if (version === 1) {
    for (const [filters, stride] of SEPARABLE) {
      const to = scaledChannels(filters, width, divisor);
      add(channels, channels, 3, stride, channels);
      add(channels, to, 1);
      channels = to;
    }
  } else {
    for (const [expansion, filters, blocks, first] of BOTTLENECKS) {
      const to = scaledChannels(filters, width);
      for (let block = 0; block < blocks; block++) {
        const wide = channels * expansion;
        if (expansion > 1) add(channels, wide, 1);
        add(wide, wide, 3, block ? 1 : first, wide);
        add(wide, to, 1);
        channels = to;
      }
    }
    const last = scaledChannels(1280, Math.max(1, width));
    add(channels, last, 1);
    channels = last;
  }
  return { macs: macs + channels * classes, parameters: parameters + (channels + 1) * classes };
}
