// <anchor-labels>: the anchors over a feature grid, and which of them have to find an object.
//
// Attributes: stride (16 or 32), sizes and ratios (keys of SIZES and RATIOS), positive 30-90 and
// negative 5-70 (IoU in hundredths), plain (start without the best anchors of the object).

import { BACKGROUND, labelAnchors } from "./anchors.mjs";
import { BOX_STYLE, boxStage } from "./box-stage.mjs";
import { button, choice, define, Figure, formatInteger, html, slider, svg } from "./frame.mjs";

const SIZE = [256, 192];
const SIZES = { 32: [32], 64: [64], "32-64": [32, 64], "32-64-128": [32, 64, 128] };
const RATIOS = { 1: [1], "1-2": [0.5, 1, 2] };
const NAMES = { "1-2": "½, 1 and 2", 1: "1", "32-64": "32 and 64", "32-64-128": "32, 64 and 128" };
const STRIDES = { 16: "16 pixels", 32: "32 pixels" };
const KINDS = ["negative", "ignored", "positive"]; // from the least to the most wanted

const fixed = (value) => value.toFixed(2);
const named = (lists) => Object.fromEntries(Object.keys(lists).map((key) => [key, NAMES[key] ?? key]));
const ratioName = (ratio) => (ratio === 0.5 ? "½" : String(ratio));

class AnchorLabels extends Figure {
  static title = "Anchors, and which of them have to find the object";
  static style = `
${BOX_STYLE}
.verdict { font-weight: 600; min-height: 3em; }
.cell-edge { stroke: color-mix(in srgb, var(--muted) 35%, var(--paper)); fill: none; }
.object { fill: color-mix(in srgb, var(--sky) 30%, var(--paper)); stroke: var(--blue); stroke-width: 3; }
.anchor { fill: none; pointer-events: none; }
.anchor.positive { stroke: var(--green); stroke-width: 1.5; }
.anchor.here { stroke-width: 3; }
.anchor.here.ignored { stroke: var(--orange); stroke-dasharray: 9 5; }
.anchor.here.negative { stroke: var(--muted); stroke-dasharray: 2 5; stroke-width: 2; }
.spot { pointer-events: none; stroke: var(--ink); }
.spot.positive { fill: var(--green); stroke-width: 1; }
.spot.ignored { fill: var(--paper); stroke-width: 1.5; }
.spot.negative { fill: var(--muted); stroke: none; }
.ring { fill: none; stroke: var(--vermilion); stroke-width: 3; pointer-events: none; }
.key { display: inline-block; margin-right: 1rem; }
.key svg { display: inline-block; vertical-align: -0.15em; margin-right: 0.35em; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; }
th, td { padding: 0.15rem 1rem 0.15rem 0; border-bottom: 1px solid var(--surface); text-align: left; }
`;

  build() {
    const options = {
      stride: this.oneOf("stride", "16", Object.keys(STRIDES)),
      sizes: this.oneOf("sizes", "32-64", Object.keys(SIZES)),
      ratios: this.oneOf("ratios", "1-2", Object.keys(RATIOS)),
    };
    this.options = options;
    this.positive = this.integer("positive", 70, 30, 90);
    this.negative = Math.min(this.integer("negative", 30, 5, 70), this.positive);
    this.keepBest = !this.hasAttribute("plain");
    this.object = [72, 52, 138, 122];
    const choose = (label, key, texts) => choice({
      label, value: options[key], options: texts, change: (value) => {
        options[key] = value;
        this.refresh();
      },
    });
    const hundredths = (value) => fixed(value / 100);
    this.positiveSlider = slider({
      label: "Positive from IoU", value: this.positive, min: 30, max: 90, text: hundredths,
      change: (value) => {
        this.positive = value;
        this.negative = Math.min(this.negative, value); // nothing is both
        this.refresh();
      },
    });
    this.negativeSlider = slider({
      label: "Negative below IoU", value: this.negative, min: 5, max: 70, text: hundredths,
      change: (value) => {
        this.negative = value;
        this.positive = Math.max(this.positive, value);
        this.refresh();
      },
    });
    this.toggle = button("The object's best anchors are positive, too", () => {
      this.keepBest = !this.keepBest;
      this.refresh();
    }, { "aria-pressed": this.keepBest });
    const spot = (label, axis) => slider({
      label, value: 0, min: 0, max: 0, text: String, change: (value) => {
        this.spot[axis] = value;
        this.refresh();
      },
    });
    [this.row, this.column] = [spot("Position: row", 0), spot("Position: column", 1)];
    this.spot = [5, 6];
    this.stage = boxStage({
      size: SIZE, names: ["object"], boxes: () => [this.object], chosen: () => 0, choose: () => {},
      smallest: 12,
      change: (_, box) => {
        this.object = box;
        this.refresh();
      },
      tap: (x, y) => {
        const stride = Number(options.stride);
        this.spot = [Math.floor(y / stride), Math.floor(x / stride)];
        this.refresh();
      },
    });
    this.verdict = html("p", { class: "verdict" });
    this.table = html("div");
    const sign = (kind) => html("span", { class: "key" }, svg("svg", {
      width: 16, viewBox: "-8 -8 16 16", role: "img", "aria-label": `Sign for ${kind}`,
    }, mark(kind, 0, 0)), kind);
    this.body.append(
      html("div", { class: "fields" },
        choose("Distance of positions", "stride", STRIDES).root,
        choose("Sizes in pixels", "sizes", named(SIZES)).root,
        choose("Height to width", "ratios", named(RATIOS)).root,
        this.positiveSlider.root, this.negativeSlider.root),
      html("div", { class: "row" }, this.toggle),
      this.verdict, this.stage.root,
      html("p", { class: "hint" }, ...[...KINDS].reverse().map(sign),
        "A position shows the best of its anchors. Thin green: all positive anchors. Thick: the "
          + "anchors of the ringed position, solid if positive, dashed if ignored, dotted if "
          + "negative. Drag the blue object or its corner; tap a position."),
      html("p", { class: "hint keys" }, "With the keyboard: Tab to the drawing, then the arrow keys "
        + "move the object, with Shift they change its size."),
      html("div", { class: "fields" }, ...this.stage.controls, this.row.root, this.column.root),
      this.table,
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
    const stride = Number(this.options.stride);
    this.grid = [SIZE[1] / stride, SIZE[0] / stride];
    this.spot = this.spot.map((value, axis) => Math.min(value, this.grid[axis] - 1));
    [this.row, this.column].forEach((control, axis) => {
      control.max = this.grid[axis] - 1;
      control.value = this.spot[axis];
    });
    this.positiveSlider.value = this.positive;
    this.negativeSlider.value = this.negative;
    this.toggle.setAttribute("aria-pressed", this.keepBest);
    this.sizes = SIZES[this.options.sizes];
    this.ratios = RATIOS[this.options.ratios];
    const result = labelAnchors({
      sizes: this.sizes, ratios: this.ratios, grid: this.grid, stride, object: this.object,
      positiveFrom: this.positive / 100, negativeBelow: this.negative / 100, keepBest: this.keepBest,
    });
    this.anchors = result.anchors;
    this.iou = result.iou;
    this.kinds = result.labels.map(kindOf);
    const count = (kind) => formatInteger(this.kinds.filter((one) => one === kind).length);
    this.verdict.textContent = `${formatInteger(this.kinds.length)} anchors: ${count("positive")} `
      + `positive, ${count("ignored")} ignored, ${count("negative")} negative. Best IoU `
      + `${fixed(Math.max(...this.iou))}.`;
    this.draw();
    this.list();
    if (aloud) {
      this.announce(`${this.verdict.textContent} Object ${this.object.join(", ")}. Position row `
        + `${this.spot[0]}, column ${this.spot[1]}: ${this.here().map((i) => this.kinds[i]).join(", ")}.`);
    }
  }

  /** Numbers of the anchors of the chosen position. */
  here() {
    const each = this.sizes.length * this.ratios.length;
    const first = (this.spot[0] * this.grid[1] + this.spot[1]) * each;
    return Array.from({ length: each }, (_, i) => first + i);
  }

  draw() {
    const width = this.drawingWidth;
    const scale = this.stage.scaleFor(width);
    const stride = Number(this.options.stride) * scale;
    const [rows, columns] = this.grid;
    const rect = (box, kind) => {
      const [x1, y1, x2, y2] = box.map((value) => value * scale);
      return svg("rect", { class: kind, x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
    };
    let lines = "";
    for (let row = 1; row < rows; row++) lines += `M0 ${row * stride}H${columns * stride}`;
    for (let column = 1; column < columns; column++) lines += `M${column * stride} 0V${rows * stride}`;
    const each = this.anchors.length / (rows * columns);
    const spots = Array.from({ length: rows * columns }, (_, position) => {
      const kinds = this.kinds.slice(position * each, (position + 1) * each);
      const best = KINDS[Math.max(...kinds.map((kind) => KINDS.indexOf(kind)))];
      const [row, column] = [Math.floor(position / columns), position % columns];
      return mark(best, (column + 0.5) * stride, (row + 0.5) * stride);
    });
    const positive = this.anchors.flatMap(
      (box, i) => (this.kinds[i] === "positive" ? [rect(box, "anchor positive")] : []),
    );
    const here = this.here().map((i) => rect(this.anchors[i], `anchor here ${this.kinds[i]}`));
    const ring = svg("circle", {
      class: "ring", cx: (this.spot[1] + 0.5) * stride, cy: (this.spot[0] + 0.5) * stride, r: 9,
    });
    this.stage.draw(width, `A feature grid of ${rows} × ${columns} positions with an object. `
      + this.verdict.textContent,
    rect(this.object, "object"), svg("path", { class: "cell-edge", d: lines }), positive, spots,
    here, ring);
  }

  /** The anchors of the chosen position in words. */
  list() {
    const names = this.ratios.flatMap((ratio) => this.sizes.map((size) => [size, ratioName(ratio)]));
    const rows = this.here().map((i, which) => html("tr", {},
      html("th", { scope: "row" }, `size ${names[which][0]}, ratio ${names[which][1]}`),
      html("td", {}, fixed(this.iou[i])), html("td", {}, this.kinds[i])));
    this.table.replaceChildren(html("table", {},
      html("caption", {}, `The anchors of row ${this.spot[0]}, column ${this.spot[1]}`),
      html("thead", {}, html("tr", {},
        ...["anchor", "IoU", "label"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, ...rows)));
  }
}

function kindOf(label) {
  if (label >= 0) return "positive";
  return label === BACKGROUND ? "negative" : "ignored";
}

/** The mark of a position; its form says what its colour says. */
function mark(kind, x, y) {
  const place = { class: `spot ${kind}`, transform: `translate(${x} ${y})` };
  if (kind === "positive") return svg("path", { ...place, d: "M-4.5-4.5H4.5V4.5H-4.5Z" });
  return svg("circle", { ...place, r: kind === "ignored" ? 3.5 : 1.5 });
}

define("anchor-labels", AnchorLabels);
