// Reading, grouping and sorting the tables of layers that tools/parameter_tables.py writes. Nothing
// here touches the document.

/** Amounts that a row of a table has. */
export const AMOUNTS = ["parameters", "macs", "bytes"];

/**
 * The rows of a table for the input size of the given number, in the order of execution:
 * [{ name, kind, shape, parameters, macs, bytes }]. `shape` is [channels, height, width], [features]
 * for a vector, or null for a layer that is never called.
 */
export function decode({ kinds, maps, rows }, which) {
  let previous = "";
  return rows.map(([short, kind, channels, map, parameters, macs, values]) => {
    const [shared, rest] = short.split("|");
    previous = previous.slice(0, Number(shared)) + rest;
    const extent = map < 0 ? [] : maps[map][which];
    const positions = extent.reduce((product, length) => product * length, 1);
    const whole = (amount) => (Array.isArray(amount) ? amount[which] : amount * positions);
    return {
      name: previous,
      kind: kinds[kind],
      shape: channels ? [channels, ...extent] : null,
      parameters,
      macs: whole(macs),
      bytes: 4 * whole(values),
    };
  });
}

/** The sums of all amounts. */
export function totals(rows) {
  return Object.fromEntries(
    AMOUNTS.map((key) => [key, rows.reduce((sum, row) => sum + row[key], 0)]),
  );
}

/**
 * What a row is grouped by: its "stage" (the first part of its name; two parts where nearly all
 * rows have the same first part), the size of its "map", or its "kind".
 */
function labelOf(by, rows) {
  if (by === "kind") return ({ kind }) => kind;
  if (by === "map") {
    return ({ shape }) => (shape === null ? "not called" : shape.slice(1).join("×") || "vector");
  }
  const first = ({ name }) => name.split(".")[0];
  const crowded = new Set(
    rows.map(first).filter((part, _, all) => all.filter((one) => one === part).length > 0.8 * all.length),
  );
  return (row) => (crowded.has(first(row)) ? row.name.split(".").slice(0, 2).join(".") : first(row));
}

/** Rows with the same label together, in the order of their first member: [{ name, count, ... }]. */
export function group(rows, by) {
  const label = labelOf(by, rows);
  const groups = new Map();
  for (const row of rows) {
    const name = label(row);
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  return [...groups].map(([name, members]) => ({ name, count: members.length, ...totals(members) }));
}

/** Rows by falling amount, equal ones in the order they had; "order" leaves them as they are. */
export function sortRows(rows, by) {
  return by === "order" ? rows : [...rows].sort((a, b) => b[by] - a[by]);
}
