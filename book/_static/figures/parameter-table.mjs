// <parameter-table>: parameters, multiply-adds and memory of every layer of a network.
//
// Attributes: network (vgg16 if left out), group (none, stage, map or kind), sort
// (order, parameters, macs, bytes).
//
// The numbers are in parameter-tables/, which tools/parameter_tables.py writes; a network's file is
// loaded when it is chosen.

import { readData } from "./data.mjs";
import { choice, define, Figure, formatCount, formatInteger, html, svg } from "./frame.mjs";
import { AMOUNTS, decode, group, sortRows, totals } from "./tables.mjs";

const FIRST = "vgg16";
const GROUPS = {
  none: "single layers", stage: "part of the network", map: "size of the map", kind: "kind of layer",
};
const SORTS = {
  order: "order of execution", parameters: "parameters", macs: "multiply-adds", bytes: "activation memory",
};
const NAMES = { parameters: "parameters", macs: "multiply-adds", bytes: "activation memory" };

function readTable(name) {
  return readData(`parameter-tables/${name}.json`);
}

function megabytes(bytes) {
  if (bytes < 1e5) return `${(bytes / 1e3).toFixed(1)}\u00a0kB`;
  return `${(bytes / 1e6).toFixed(bytes < 99.95e6 ? 1 : 0)}\u00a0MB`;
}
const amount = (key, value) => (key === "bytes" ? megabytes(value) : formatInteger(value));
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)}\u00a0%`;

class ParameterTable extends Figure {
  static title = "Parameters, multiply-adds and memory, layer by layer";
  static style = `
.verdict { font-weight: 600; min-height: 3em; }
.scroll { max-height: 28rem; border: 1px solid var(--muted); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0.5rem; }
th { text-align: left; font-weight: 400; }
thead th { position: sticky; top: 0; background: var(--surface); font-weight: 600; z-index: 1; }
td, thead th.number { text-align: right; white-space: nowrap; }
th, td { padding: 0.15rem 0.5rem; border-bottom: 1px solid var(--surface); }
td.words { text-align: left; }
.bar { fill: var(--blue); }
.bar.macs { fill: var(--orange); }
.bar.bytes { fill: var(--green); }
`;

  async prepare() {
    this.names = (await readTable("index")).networks;
    this.network = this.oneOf("network", FIRST, this.names);
    this.content = await readTable(this.network);
  }

  build() {
    this.groupBy = this.oneOf("group", "none", Object.keys(GROUPS));
    this.sortBy = this.oneOf("sort", "order", Object.keys(SORTS));
    this.side = this.usualSide();
    const networks = choice({
      label: "Network", value: this.network, change: (value) => this.choose(value),
      options: Object.fromEntries(this.names.map((name) => [name, name])),
    });
    this.sizes = html("div", {});
    const select = (label, field, options) => choice({
      label, value: this[field], options, change: (value) => {
        this[field] = value;
        this.refresh();
      },
    }).root;
    this.message = html("p", { class: "message" });
    this.verdict = html("p", { class: "verdict" });
    this.shares = html("div");
    this.table = html("div", {
      class: "scroll", role: "group", tabindex: 0, "aria-label": "Table of layers",
    });
    this.body.append(
      html("div", { class: "fields" }, networks.root, this.sizes,
        select("Rows are", "groupBy", GROUPS), select("Sorted by", "sortBy", SORTS)),
      this.message, this.verdict, this.shares, this.table,
      html("p", { class: "hint" }, "For one picture, numbers of 4 bytes. A multiply-add is one "
        + "multiplication and the addition with it. Memory is what a layer writes in a forward pass; "
        + "a layer that works in place, or returns what it was given, writes nothing. Layers without "
        + "any of the three are left out."),
    );
    this.offerSizes();
    this.refresh(false);
  }

  /** A word from an attribute that must be one of `options`. */
  oneOf(name, otherwise, options) {
    const value = this.getAttribute(name) ?? otherwise;
    if (options.includes(value)) return value;
    console.error(`<${this.localName} ${name}="${value}">: expected ${options.join(", ")}`);
    return otherwise;
  }

  async choose(name) {
    this.network = name;
    let content;
    try {
      content = await readTable(name);
    } catch (error) {
      this.message.textContent = `The table of ${name} could not be loaded: ${error.message}. `
        + "Choose again to try once more.";
      this.announce(this.message.textContent);
      return;
    }
    if (this.network !== name) return; // another one was chosen meanwhile
    this.message.textContent = "";
    this.content = content;
    if (!this.content.sizes.includes(this.side)) this.side = this.usualSide();
    this.offerSizes();
    this.refresh();
  }

  /** The size in the middle: that of the paper. */
  usualSide() {
    const { sizes } = this.content;
    return sizes[Math.floor((sizes.length - 1) / 2)];
  }

  offerSizes() {
    const list = choice({
      label: "Picture", value: String(this.side), change: (value) => {
        this.side = Number(value);
        this.refresh();
      },
      options: Object.fromEntries(this.content.sizes.map((side) => [side, `${side} × ${side}`])),
    });
    this.sizes.replaceChildren(list.root);
  }

  redraw() {
    this.drawShares();
  }

  refresh(aloud = true) {
    const rows = decode(this.content, this.content.sizes.indexOf(this.side));
    this.sums = totals(rows);
    this.rows = sortRows(this.groupBy === "none" ? rows : group(rows, this.groupBy), this.sortBy);
    const { parameters, macs, bytes } = this.sums;
    this.verdict.textContent = `${this.content.network} on ${this.side} × ${this.side} pixels: `
      + `${formatCount(parameters)} parameters (${megabytes(4 * parameters)}), ${formatCount(macs)} `
      + `multiply-adds, ${megabytes(bytes)} of activations.`;
    this.drawShares();
    this.list();
    const [first] = this.rows;
    if (aloud) {
      this.announce(`${this.verdict.textContent} ${this.rows.length} rows, first ${first.name}: `
        + `${AMOUNTS.map((key) => `${NAMES[key]} ${amount(key, first[key])}`).join(", ")}.`);
    }
  }

  /** Three lines of bars: how each amount is spread over the rows, from the first to the last. */
  drawShares() {
    const width = this.drawingWidth;
    const [line, high] = [56, 34];
    const drawing = svg("svg", {
      width, viewBox: `0 0 ${width} ${AMOUNTS.length * line}`, role: "img",
      "aria-label": AMOUNTS.map((key) => {
        const most = this.rows.reduce((a, b) => (b[key] > a[key] ? b : a));
        return `Most ${NAMES[key]}: ${most.name}, ${percent(most[key], this.sums[key])}`;
      }).join(". "),
    });
    const step = width / this.rows.length;
    AMOUNTS.forEach((key, number) => {
      const top = number * line;
      const most = Math.max(...this.rows.map((row) => row[key]));
      drawing.append(svg("text", { x: 0, y: top + 13, "font-size": 12 },
        `${NAMES[key]}, row by row, at most ${percent(most, this.sums[key])}`));
      this.rows.forEach((row, i) => {
        const height = (row[key] / most) * high;
        if (!height) return;
        drawing.append(svg("rect", {
          class: `bar ${key}`, x: i * step, y: top + 18 + high - height,
          width: Math.max(step * 0.85, 0.5), height,
        }));
      });
    });
    this.shares.replaceChildren(drawing);
  }

  list() {
    const grouped = this.groupBy !== "none";
    const words = grouped ? ["layers"] : ["kind", "output"];
    const head = [
      html("th", { scope: "col" }, grouped ? GROUPS[this.groupBy] : "layer"),
      ...words.map((text) => html("th", { scope: "col" }, text)),
      ...AMOUNTS.map((key) => html("th", { scope: "col", class: "number" }, NAMES[key])),
    ];
    const rows = this.rows.map((row) => {
      const texts = grouped
        ? [formatInteger(row.count)]
        : [row.kind, row.shape === null ? "not called" : row.shape.join("×")];
      return html("tr", {},
        html("th", { scope: "row" }, row.name || "(the network itself)"),
        ...texts.map((text) => html("td", { class: "words" }, text)),
        // A dash, not a 0: the eye finds the expensive rows faster.
        ...AMOUNTS.map((key) => html("td", {}, row[key] ? amount(key, row[key]) : "–")));
    });
    this.table.replaceChildren(html("table", {},
      html("caption", {}, `${this.content.network}, ${formatInteger(this.rows.length)} rows`),
      html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows)));
  }
}

define("parameter-table", ParameterTable);
