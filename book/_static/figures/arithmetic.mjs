// Sizes, fields, parameters and multiplications of layers: cnnlib.arithmetic in JavaScript, with
// the same names, rules and messages. Nothing here touches the document.
//
// W is the input size, F the kernel size, S the stride, P the padding on each side, d the dilation.

/** Something that cannot be built; the message says why. */
export class ShapeError extends Error {}

/** Extent of a dilated kernel: F + (F - 1)(d - 1). */
export function effectiveKernel(kernel, dilation = 1) {
  atLeast(1, kernel, "kernel");
  atLeast(1, dilation, "dilation");
  return kernel + (kernel - 1) * (dilation - 1);
}

/** Output size of a convolution: floor((W - F + 2P) / S) + 1. */
export function convOutputSize(size, kernel, stride = 1, padding = 0, dilation = 1) {
  return steps(size, kernel, stride, padding, dilation).steps + 1;
}

/** Pixels at the far end of the padded input that no position of the kernel reaches. */
export function droppedPixels(size, kernel, stride = 1, padding = 0, dilation = 1) {
  return steps(size, kernel, stride, padding, dilation).left;
}

/** Output size of a pooling layer; with ceilMode a last window may hang over the far edge. */
export function poolOutputSize(size, kernel, stride = null, padding = 0, dilation = 1, ceilMode = false) {
  stride ??= kernel;
  const extent = effectiveKernel(kernel, dilation);
  if (atLeast(0, padding, "padding") > Math.floor(kernel / 2)) {
    throw new ShapeError(
      `padding ${padding} is more than half of the pooling window (${kernel}): ` +
        "some windows would see little but padding",
    );
  }
  if (!ceilMode) return convOutputSize(size, kernel, stride, padding, dilation);

  atLeast(1, size, "size");
  atLeast(1, stride, "stride");
  let output = Math.ceil((size + 2 * padding - extent) / stride) + 1;
  if ((output - 1) * stride >= size + padding) output -= 1; // it would start in the far padding
  if (output < 1) throw new ShapeError(doesNotFit(size, extent, padding));
  return output;
}

/** Parameters of a convolution: K (F·F·C/groups + 1). */
export function convParameters(inChannels, outChannels, kernel, { groups = 1, bias = true } = {}) {
  atLeast(1, inChannels, "in_channels");
  atLeast(1, outChannels, "out_channels");
  atLeast(1, groups, "groups");
  for (const [name, channels] of [["in_channels", inChannels], ["out_channels", outChannels]]) {
    if (channels % groups) {
      throw new ShapeError(`${name} (${channels}) is not divisible by groups (${groups})`);
    }
  }
  atLeast(1, kernel, "kernel");
  return outChannels * ((kernel * kernel * inChannels) / groups + (bias ? 1 : 0));
}

/** Multiply-adds of a convolution on one picture; the bias is not counted. */
export function convMacs(inChannels, outChannels, kernel, outputSize, { groups = 1 } = {}) {
  atLeast(1, outputSize, "output_size");
  const weights = convParameters(inChannels, outChannels, kernel, { groups, bias: false });
  return weights * outputSize * outputSize;
}

/**
 * Follow a square picture through a stack of layers.
 *
 * Each layer is { kind, kernel, stride, padding, dilation } with kind "conv", "pool" (rounds down)
 * or "pool-ceil" (rounds up). For each layer the result has
 *
 *   size     its output size in pixels,
 *   dropped  pixels that no window reads (never with pool-ceil),
 *   field    its receptive field in pixels of the input of the stack,
 *   jump     distance there between the fields of neighbouring units,
 *   start    where the field of its first unit begins; negative in the padding.
 *
 * The layer at which the stack breaks has { error } instead, those after it { blocked: true }.
 * Recursion: r_l = r_(l-1) + (F_l - 1) j_(l-1), j_l = j_(l-1) S_l, start_l = start_(l-1) - P_l
 * j_(l-1) (Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks",
 * Distill 2019).
 */
export function followStack(inputSize, layers) {
  let size = inputSize;
  let [field, jump, start] = [1, 1, 0];
  let broken = false;
  return layers.map(({ kind, kernel, stride, padding, dilation }) => {
    if (broken) return { blocked: true };
    let dropped = 0;
    let output;
    try {
      if (kind === "conv") output = convOutputSize(size, kernel, stride, padding, dilation);
      else output = poolOutputSize(size, kernel, stride, padding, dilation, kind === "pool-ceil");
      if (kind !== "pool-ceil") dropped = droppedPixels(size, kernel, stride, padding, dilation);
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      broken = true;
      return { error: error.message };
    }
    size = output;
    field += (effectiveKernel(kernel, dilation) - 1) * jump;
    start -= padding * jump;
    jump *= stride;
    return { size, dropped, field, jump, start };
  });
}

/**
 * Multiply-adds and weights of an Inception module, naive and with 1×1 reductions
 * (Szegedy et al., "Going deeper with convolutions", section 4).
 *
 * size, channels: of the input. f1, f3, f5: filters of the 1×1, 3×3 and 5×5 branch. r3, r5: 1×1
 * filters before the 3×3 and the 5×5. proj: 1×1 filters after the pooling. The naive module has no
 * r3, r5 and proj; its pooling branch hands on all channels. Pooling itself multiplies nothing.
 */
export function inceptionCost({ size, channels, f1, f3, f5, r3, r5, proj }) {
  const layer = (name, branch, from, to, kernel) => ({
    name,
    branch,
    macs: convMacs(from, to, kernel, size),
    weights: convParameters(from, to, kernel, { bias: false }),
  });
  const total = (layers, outChannels) => ({
    layers,
    outChannels,
    macs: layers.reduce((sum, one) => sum + one.macs, 0),
    weights: layers.reduce((sum, one) => sum + one.weights, 0),
  });
  return {
    naive: total(
      [
        layer("1×1", "1×1", channels, f1, 1),
        layer("3×3", "3×3", channels, f3, 3),
        layer("5×5", "5×5", channels, f5, 5),
      ],
      f1 + f3 + f5 + channels,
    ),
    bottleneck: total(
      [
        layer("1×1", "1×1", channels, f1, 1),
        layer("1×1 before 3×3", "3×3", channels, r3, 1),
        layer("3×3", "3×3", r3, f3, 3),
        layer("1×1 before 5×5", "5×5", channels, r5, 1),
        layer("5×5", "5×5", r5, f5, 5),
        layer("1×1 after pooling", "pooling", channels, proj, 1),
      ],
      f1 + f3 + f5 + proj,
    ),
  };
}

/** Steps the kernel can make from its first position, and the pixels left after the last. */
function steps(size, kernel, stride, padding, dilation) {
  atLeast(1, size, "size");
  atLeast(1, stride, "stride");
  atLeast(0, padding, "padding");
  const extent = effectiveKernel(kernel, dilation);
  const room = size + 2 * padding - extent;
  if (room < 0) throw new ShapeError(doesNotFit(size, extent, padding));
  return { steps: Math.floor(room / stride), left: room % stride };
}

function doesNotFit(size, extent, padding) {
  return (
    `an effective kernel of ${extent} does not fit into ${size + 2 * padding} pixels ` +
    `(size ${size}, padding ${padding} on each side)`
  );
}

function atLeast(smallest, value, name) {
  if (!Number.isInteger(value)) throw new ShapeError(`${name} must be a whole number`);
  if (value < smallest) throw new ShapeError(`${name} must be at least ${smallest}, not ${value}`);
  return value;
}
