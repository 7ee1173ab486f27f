// LeNet-5 of 1998, forward, and what makes its input from a drawing: cnnlib.models.lenet in plain
// JavaScript. Nothing here touches the document.
//
// A map is an array of rows of numbers, a layer's output a list of maps.

export const SIDE = 32; // of the picture that the network reads
const BLOCK = 4; // pixels that are counted together

/** The weights of the file that tools/digit_reader.py writes, as lists nested like their shapes. */
export function unpack({ shape, scale, values }) {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  const flat = [...new Int8Array(bytes.buffer)].map((level) => level * scale);
  const nest = (numbers, [, ...inner]) => {
    if (!inner.length) return numbers;
    const size = inner.reduce((product, length) => product * length, 1);
    const parts = Array.from(
      { length: numbers.length / size }, (_, i) => numbers.slice(i * size, (i + 1) * size),
    );
    return parts.map((part) => nest(part, inner));
  };
  return nest(flat, shape);
}

// Table I of the paper: the maps of S2 that each map of C3 sees.
const TABLE_1 = [
  "X...XXX..XXXX.XX", "XX...XXX..XXXX.X", "XXX...XXX..X.XXX", ".XXX..XXXX..X.XX", "..XXX..XXXX.XX.X",
  "...XXX..XXXX.XXX",
];
const C3_SOURCES = Array.from({ length: 16 }, (_, map) => [0, 1, 2, 3, 4, 5].filter(
  (source) => TABLE_1[source][map] === "X",
));

/** f(a) = 1.7159 tanh(2a/3), the squashing function of the paper. */
const squash = (a) => 1.7159 * Math.tanh((2 / 3) * a);
const squashMaps = (maps) => maps.map((map) => map.map((row) => row.map(squash)));

/** Each output map is the sum of a 5×5 correlation with every one of its sources, and a bias. */
function convolution(maps, kernels, sources, biases) {
  const side = maps[0].length - 4;
  return kernels.map((ofMap, number) => {
    const output = Array.from({ length: side }, () => Array(side).fill(biases[number]));
    ofMap.forEach((kernel, k) => {
      const input = maps[sources[number][k]];
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          let sum = 0;
          for (let i = 0; i < 5; i++) {
            for (let j = 0; j < 5; j++) sum += kernel[i][j] * input[y + i][x + j];
          }
          output[y][x] += sum;
        }
      }
    });
    return output;
  });
}

/** The sum of each 2×2 block, times a coefficient, plus a bias. */
function subsampling(maps, coefficients, biases) {
  return maps.map((map, number) => Array.from({ length: map.length / 2 }, (_, y) => Array.from(
    { length: map.length / 2 },
    (__, x) => {
      const [above, below] = [map[2 * y], map[2 * y + 1]];
      const sum = above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1];
      return coefficients[number][0][0] * sum + biases[number][0][0];
    },
  )));
}

/** The network of the file, ready to run. */
export function network({ weights, codes }) {
  const w = Object.fromEntries(Object.entries(weights).map(([name, packed]) => [name, unpack(packed)]));
  // The kernels of C3 lie one after the other, as the table names them.
  let next = 0;
  const c3 = C3_SOURCES.map((sources) => sources.map(() => w["c3.weight"][next++]));
  return { w, c3, codes };
}

/**
 * All layers for a picture of 32 rows of 32 values from 0 (paper) to 1 (ink): { c1, s2, c3, s4 }
 * are lists of maps, { c5, f6, scores } lists of numbers. The largest score wins; it is minus the
 * squared distance of F6 to the code of a class.
 */
export function forward({ w, c3: kernels, codes }, picture) {
  const all = (maps, count) => Array.from({ length: count }, () => maps.map((_, i) => i));
  const c1 = squashMaps(convolution([picture], w["c1.weight"], all([picture], 6), w["c1.bias"]));
  const s2 = squashMaps(subsampling(c1, w["s2.coefficient"], w["s2.bias"]));
  const c3 = squashMaps(convolution(s2, kernels, C3_SOURCES, w["c3.bias"]));
  const s4 = squashMaps(subsampling(c3, w["s4.coefficient"], w["s4.bias"]));
  const c5 = squashMaps(convolution(s4, w["c5.weight"], all(s4, 120), w["c5.bias"])).flat(2);
  const f6 = w["f6.weight"].map((row, unit) => squash(
    row.reduce((sum, weight, i) => sum + weight * c5[i], w["f6.bias"][unit]),
  ));
  const scores = codes.map((code) => -code.reduce((sum, value, i) => sum + (f6[i] - value) ** 2, 0));
  return { c1, s2, c3, s4, c5, f6, scores };
}

/** Position of the largest number. */
export function largest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

/**
 * Strokes, lists of points [x, y] from 0 to 1, as a bitmap of 32×32 pixels, 1 for ink: moved and
 * stretched evenly so that they fill the height (or, if they are wide, the width), and drawn with a
 * pen of the given radius in pixels. So were the digits of the data set brought to one size.
 */
export function rasterise(strokes, radius = 2.5) {
  const points = strokes.flat();
  if (!points.length) return Array.from({ length: SIDE }, () => Array(SIDE).fill(0));
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
  const extent = Math.max(...[xs, ys].map((values) => Math.max(...values) - Math.min(...values)));
  const scale = (SIDE - 2 * radius) / Math.max(extent, 0.2); // a dot stays a dot
  const place = ([x, y]) => [
    SIDE / 2 + (x - middle(xs)) * scale, SIDE / 2 + (y - middle(ys)) * scale,
  ];
  const segments = strokes.flatMap((stroke) => {
    const placed = stroke.map(place);
    return placed.map((point, i) => [placed[Math.max(i - 1, 0)], point]);
  });
  return Array.from({ length: SIDE }, (_, row) => Array.from({ length: SIDE }, (__, column) => {
    const centre = [column + 0.5, row + 0.5];
    return segments.some(([a, b]) => distance(centre, a, b) <= radius) ? 1 : 0;
  }));
}

/** Distance of a point to the line from a to b. */
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / length, 0), 1) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

/** The pixels of ink in each 4×4 block, 0 to 16: what the data set keeps of a bitmap. */
export function countBlocks(bitmap) {
  const side = SIDE / BLOCK;
  return Array.from({ length: side }, (_, row) => Array.from({ length: side }, (__, column) => {
    let count = 0;
    for (let i = 0; i < BLOCK; i++) {
      for (let j = 0; j < BLOCK; j++) count += bitmap[BLOCK * row + i][BLOCK * column + j];
    }
    return count;
  }));
}

/** 8×8 counts as the 32×32 picture of the data set: bilinear interpolation of count / 16. */
export function enlarge(counts) {
  const side = counts.length;
  const factor = SIDE / side;
  const taps = Array.from({ length: SIDE }, (_, i) => {
    const at = Math.max((i + 0.5) / factor - 0.5, 0);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, side - 1), at - low];
  });
  return taps.map(([top, bottom, down]) => taps.map(([left, right, across]) => {
    const row = (y) => counts[y][left] * (1 - across) + counts[y][right] * across;
    return (row(top) * (1 - down) + row(bottom) * down) / 16;
  }));
}
