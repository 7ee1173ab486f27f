// Comparing networks by two numbers each. Nothing here touches the document.

/**
 * What can stand on an axis: `better` says which end is good ("low", "high", or "" for neither),
 * `log` whether the axis is logarithmic.
 */
export const QUANTITIES = {
  parameters: { better: "low", log: true },
  macs: { better: "low", log: true },
  activations: { better: "low", log: true },
  layers: { better: "low", log: true },
  milliseconds: { better: "low", log: true },
  top1: { better: "high", log: false },
  year: { better: "", log: false },
};

function atLeastAsGood(quantity, a, b) {
  return QUANTITIES[quantity].better === "low" ? a[quantity] <= b[quantity] : a[quantity] >= b[quantity];
}

/**
 * The networks that are at least as good as `one` in both quantities and better in one of them.
 * Null if one of the quantities has no good end.
 */
export function betterInBoth(networks, x, y, one) {
  if (!QUANTITIES[x].better || !QUANTITIES[y].better) return null;
  return networks.filter((other) => atLeastAsGood(x, other, one) && atLeastAsGood(y, other, one)
    && (other[x] !== one[x] || other[y] !== one[y]));
}

/** Names of the networks that no other one beats in both quantities (the Pareto front). */
export function front(networks, x, y) {
  return networks
    .filter((one) => betterInBoth(networks, x, y, one)?.length === 0)
    .map(({ name }) => name);
}

/** Ranks from 1; equal values share the mean of their ranks. */
export function ranks(values) {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal + 1) / 2;
  });
}

/** Spearman's rank correlation: the correlation of the ranks. NaN if all values are equal. */
export function rankCorrelation(a, b) {
  const centred = [a, b].map((values) => {
    const order = ranks(values);
    const mean = (values.length + 1) / 2;
    return order.map((rank) => rank - mean);
  });
  const product = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const [u, v] = centred;
  return product(u, v) / Math.sqrt(product(u, u) * product(v, v));
}

/**
 * Marks of an axis from `low` to `high`: 1, 2 and 5 times the powers of ten that lie between
 * (only the powers where there are many), or multiples of 1, 2, 5, 10, ... on a linear axis.
 */
export function ticks(low, high, log) {
  if (log) {
    const digits = high / low > 500 ? [1] : high / low > 50 ? [1, 3] : [1, 2, 5];
    const marks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      marks.push(...digits.map((digit) => digit * 10 ** power));
    }
    return marks.filter((mark) => mark >= low && mark <= high);
  }
  const step = [1, 2, 5, 10, 20, 50].find((size) => (high - low) / size <= 7) ?? 100;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}
