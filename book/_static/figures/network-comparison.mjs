// <network-comparison>: the networks of the course in a plane of two quantities that the reader
// chooses.
//
// Attributes: x, y (keys of QUANTITIES in comparison.mjs; macs and top1 if left out) and network,
// the one that is marked (resnet50 if left out).
//
// The numbers are in network-comparison.json, which tools/network_comparison.py writes.

import { betterInBoth, front, QUANTITIES, rankCorrelation, ticks } from "./comparison.mjs";
import { readData } from "./data.mjs";
import { choice, define, Figure, formatCount, formatInteger, html, svg } from "./frame.mjs";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 9.95e6 ? 1 : 0)}\u00a0MB`;
const milliseconds = (value) => `${value.toFixed(value < 9.95 ? 1 : 0)}\u00a0ms`;
const percent = (value) => `${value.toFixed(1)}\u00a0%`;
const LABELS = {
  parameters: { label: "Parameters", text: formatCount, mark: short },
  macs: { label: "Multiply-adds", text: formatCount, mark: short },
  activations: { label: "Activation memory", text: megabytes, mark: (v) => `${v / 1e6} MB` },
  layers: { label: "Layers with weights", text: formatInteger, mark: formatInteger },
  milliseconds: { label: "Time", text: milliseconds, mark: (v) => `${v} ms` },
  top1: { label: "Top-1 accuracy", text: percent, mark: (v) => `${v} %` },
  year: { label: "Year", text: String, mark: String },
};
const ERAS = [
  { until: 2014, name: "to 2014", kind: "early" },
  { until: 2016, name: "2015 and 2016", kind: "middle" },
  { until: Infinity, name: "from 2017", kind: "late" },
];
const SHAPES = { // around the origin, so that colour does not carry the meaning alone
  early: "M0-6A6 6 0 1 1 0 6A6 6 0 1 1 0-6Z",
  middle: "M-5.5-5.5H5.5V5.5H-5.5Z",
  late: "M0-7L6.5 5.5H-6.5Z",
};
const SIZE = { height: 340, left: 54, right: 14, top: 24, bottom: 40 };

/** A mark of an axis: 5000000 is "5 M". */
function short(value) {
  if (value >= 1e9) return `${value / 1e9} G`;
  return value >= 1e6 ? `${value / 1e6} M` : formatInteger(value);
}

const eraOf = ({ year }) => ERAS.find(({ until }) => year <= until).kind;

class NetworkComparison extends Figure {
  static title = "The networks of the course, by two quantities";
  static style = `
.verdict { font-weight: 600; }
.axis { stroke: var(--muted); fill: none; }
.gridline { stroke: color-mix(in srgb, var(--muted) 30%, var(--paper)); }
.point { stroke: var(--ink); stroke-width: 1; cursor: pointer; }
.point.early { fill: var(--blue); }
.point.middle { fill: var(--orange); }
.point.late { fill: var(--green); }
.point.beaten { fill-opacity: 0.35; }
.ring { fill: none; stroke: var(--ink); stroke-width: 3; pointer-events: none; }
.key { display: inline-block; margin-right: 1rem; white-space: nowrap; }
.key svg { display: inline-block; vertical-align: -0.15em; margin-right: 0.35em; }
summary { min-height: 44px; padding: 0.6rem 0; cursor: pointer; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 400; }
td { text-align: right; }
th, td { padding: 0.15rem 0.8rem 0.15rem 0; border-bottom: 1px solid var(--surface); }
`;

  async prepare() {
    this.networks = (await readData("network-comparison.json")).networks;
  }

  build() {
    this.x = this.oneOf("x", "macs", Object.keys(QUANTITIES));
    this.y = this.oneOf("y", "top1", Object.keys(QUANTITIES));
    this.name = this.oneOf("network", "resnet50", this.networks.map(({ name }) => name));
    const quantities = Object.fromEntries(
      Object.entries(LABELS).map(([key, { label }]) => [key, label]),
    );
    const select = (label, field, options) => choice({
      label, value: this[field], options,
      change: (value) => {
        this[field] = value;
        this.refresh();
      },
    });
    this.networkChoice = select(
      "Network", "name", Object.fromEntries(this.networks.map(({ name }) => [name, name])),
    );
    this.plot = html("div");
    this.verdict = html("p", { class: "verdict" });
    this.together = html("p");
    this.table = html("div", { class: "scroll" });
    this.body.append(
      html("div", { class: "fields" },
        select("Across", "x", quantities).root, select("Upwards", "y", quantities).root,
        this.networkChoice.root),
      this.plot,
      html("p", { class: "hint" }, ...ERAS.map(({ name, kind }) => html("span", { class: "key" },
        svg("svg", { width: 16, viewBox: "-8 -8 16 16", role: "img", "aria-label": `Sign for ${name}` },
          svg("path", { class: `point ${kind}`, d: SHAPES[kind] })), name))),
      this.verdict, this.together,
      html("details", {}, html("summary", {}, "The numbers as a table"), this.table),
      html("p", { class: "hint" }, "Full colour: no other network is better in both. Counts are for "
        + "the picture size of the paper; the time is that of one core for a "
        + "picture of 128 × 128 pixels, measured once for this page, so only its order says something "
        + "about your machine. "
        + "Accuracy: share of right first guesses on ImageNet, as published with the weights."),
    );
    this.refresh(false);
  }

  /** A word from an attribute that must be one of `options`. */
  oneOf(name, otherwise, options) {
    const value = this.getAttribute(name) ?? otherwise;
    if (options.includes(value)) return value;
    console.error(`<${this.localName} ${name}="${value}">: expected ${options.join(", ")}`);
    return otherwise;
  }

  redraw() {
    this.draw();
  }

  refresh(aloud = true) {
    const { networks, x, y } = this;
    this.network = networks.find(({ name }) => name === this.name);
    this.networkChoice.input.value = this.name;
    this.verdict.textContent = this.verdictText();
    const rank = rankCorrelation(networks.map((one) => one[x]), networks.map((one) => one[y]));
    this.together.textContent = `Rank correlation of the two over all ${networks.length} networks: `
      + `${rank.toFixed(2).replace("-", "−")}.`;
    this.draw();
    this.listNumbers();
    if (aloud) this.announce(`${this.verdict.textContent} ${this.together.textContent}`);
  }

  verdictText() {
    const { x, y, network } = this;
    const values = [...new Set([x, y])].map(
      (key) => `${LABELS[key].label.toLowerCase()} ${LABELS[key].text(network[key])}`,
    );
    const start = `${network.name}: ${values.join(", ")}.`;
    const better = betterInBoth(this.networks, x, y, network);
    if (better === null) return start;
    const names = better.map(({ name }) => name).join(", ");
    return `${start} Better in both: ${names || "none"}.`;
  }

  /** Where a value lies on an axis: 0 at its low end, 1 at its high end. */
  scale(quantity) {
    const { log } = QUANTITIES[quantity];
    const convert = log ? Math.log : (value) => value;
    const values = this.networks.map((one) => one[quantity]);
    let [low, high] = [Math.min(...values), Math.max(...values)].map(convert);
    const room = 0.06 * (high - low);
    [low, high] = [low - room, high + room];
    const back = log ? Math.exp : (value) => value;
    return {
      place: (value) => (convert(value) - low) / (high - low),
      marks: ticks(back(low), back(high), log),
    };
  }

  draw() {
    const { networks, x, y } = this;
    const width = this.drawingWidth;
    const [across, up] = [this.scale(x), this.scale(y)];
    const right = width - SIZE.right;
    const bottom = SIZE.height - SIZE.bottom;
    const toX = (value) => SIZE.left + across.place(value) * (right - SIZE.left);
    const toY = (value) => bottom - up.place(value) * (bottom - SIZE.top);
    const text = (content, place) => svg("text", { "font-size": 12, ...place }, content);
    const drawing = svg("svg", {
      width, viewBox: `0 0 ${width} ${SIZE.height}`, role: "img",
      "aria-label": `${networks.length} networks, ${LABELS[x].label} across and ${LABELS[y].label} `
        + `upwards. ${this.network.name} is marked.`,
    });
    let free = 0; // where the next mark may begin, so that marks do not run into each other
    for (const mark of across.marks) {
      const [at, label] = [toX(mark), LABELS[x].mark(mark)];
      drawing.append(svg("path", { class: "gridline", d: `M${at} ${SIZE.top}V${bottom}` }));
      const half = 3.6 * label.length;
      if (at - half < free || at + half > width) continue;
      drawing.append(text(label, { x: at, y: bottom + 16, "text-anchor": "middle" }));
      free = at + half + 6;
    }
    for (const mark of up.marks) {
      const at = toY(mark);
      drawing.append(
        svg("path", { class: "gridline", d: `M${SIZE.left} ${at}H${right}` }),
        text(LABELS[y].mark(mark), { x: SIZE.left - 6, y: at + 4, "text-anchor": "end" }),
      );
    }
    drawing.append(
      svg("path", { class: "axis", d: `M${SIZE.left} ${SIZE.top}V${bottom}H${right}` }),
      text(`${LABELS[x].label} →`, { x: right, y: SIZE.height - 4, "text-anchor": "end" }),
      text(`↑ ${LABELS[y].label}`, { x: 0, y: 12 }),
    );
    const best = new Set(front(networks, x, y));
    const judged = QUANTITIES[x].better && QUANTITIES[y].better;
    for (const one of networks) {
      const beaten = judged && !best.has(one.name) ? " beaten" : "";
      drawing.append(svg("path", {
        class: `point ${eraOf(one)}${beaten}`, d: SHAPES[eraOf(one)],
        transform: `translate(${toX(one[x])} ${toY(one[y])})`,
        onclick: () => {
          this.name = one.name;
          this.refresh();
        },
      }, svg("title", {}, one.name)));
    }
    const [atX, atY] = [toX(this.network[x]), toY(this.network[y])];
    const end = atX > width / 2;
    drawing.append(
      svg("circle", { class: "ring", cx: atX, cy: atY, r: 11 }),
      text(this.network.name, {
        x: atX + (end ? -16 : 16), y: atY + 4, "text-anchor": end ? "end" : "start",
        "font-weight": 700, "font-size": 13, "paint-order": "stroke",
        stroke: "var(--paper)", "stroke-width": 4,
      }),
    );
    this.plot.replaceChildren(drawing);
  }

  listNumbers() {
    const keys = [...new Set([this.x, this.y])];
    const rows = [...this.networks].sort((a, b) => a[this.x] - b[this.x]).map((one) => html("tr", {},
      html("th", { scope: "row" }, one.name),
      ...keys.map((key) => html("td", {}, LABELS[key].text(one[key])))));
    this.table.replaceChildren(html("table", {},
      html("thead", {}, html("tr", {},
        ...["Network", ...keys.map((key) => LABELS[key].label)]
          .map((label) => html("th", { scope: "col" }, label)))),
      html("tbody", {}, ...rows)));
  }
}

define("network-comparison", NetworkComparison);
