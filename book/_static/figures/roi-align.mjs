// <roi-align>: what RoIAlign and RoI pooling read from a feature map for a region to drag.
//
// Attributes: bins 1-4, samples 1-3 (points per bin in each direction), show (align or pool),
// unaligned (start with the first code's shift by half a pixel).

import { BOX_STYLE, boxStage } from "./box-stage.mjs";
import { button, choice, define, Figure, html, slider, svg } from "./frame.mjs";
import { roiAlign, roiPool } from "./roi.mjs";

const STRIDE = 16;
const MAP = [8, 10]; // rows, columns
const SIZE = [MAP[1] * STRIDE, MAP[0] * STRIDE];
const SHOWN = { align: "the points of RoIAlign", pool: "the bins of RoI pooling" };

// A feature that answers to something around row 3, column 5.
const FEATURES = Array.from({ length: MAP[0] }, (_, row) => Array.from(
  { length: MAP[1] },
  (__, column) => Math.round(9 * Math.exp(-((row - 3.2) ** 2 + (column - 4.6) ** 2) / 6)),
));

const fixed = (value) => value.toFixed(2).replace("-", "−");

class RoiAlign extends Figure {
  static title = "RoIAlign and RoI pooling on a feature map";
  static style = `
${BOX_STYLE}
.verdict { font-weight: 600; min-height: 4.5em; }
.pixel { stroke: color-mix(in srgb, var(--muted) 45%, var(--paper)); }
.read { fill: none; stroke: var(--vermilion); stroke-width: 2.5; }
.region { fill: none; stroke: var(--blue); stroke-width: 3; }
.bin { fill: none; stroke: var(--ink); stroke-width: 1; stroke-dasharray: 5 4; }
.rounded { fill: none; stroke: var(--ink); stroke-width: 2.5; }
.point { fill: var(--ink); }
.point.now { fill: var(--vermilion); stroke: var(--paper); stroke-width: 1.5; }
.results { display: flex; flex-wrap: wrap; gap: 0.5rem 2rem; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.95rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; white-space: nowrap; }
td { padding: 0.2rem 0.6rem; border: 1px solid var(--muted); text-align: right; }
td.now { font-weight: 700; box-shadow: inset 0 0 0 3px var(--vermilion); }
`;

  build() {
    this.bins = this.integer("bins", 2, 1, 4);
    this.samples = this.integer("samples", 2, 1, 3);
    this.aligned = !this.hasAttribute("unaligned");
    this.shown = this.getAttribute("show") ?? "align";
    if (!(this.shown in SHOWN)) {
      console.error(`<roi-align show="${this.shown}">: expected ${Object.keys(SHOWN).join(", ")}`);
      this.shown = "align";
    }
    this.region = [23, 20, 121, 87];
    this.bin = [0, 0];
    const set = (name) => (value) => {
      this[name] = value;
      this.refresh();
    };
    const show = choice({ label: "Show", value: this.shown, options: SHOWN, change: set("shown") });
    const bins = slider({
      label: "Bins along each side", value: this.bins, min: 1, max: 4, change: set("bins"),
    });
    const samples = slider({
      label: "Points along each side of a bin", value: this.samples, min: 1, max: 3,
      change: set("samples"),
    });
    const pick = (label, axis) => slider({
      label, value: 0, min: 0, max: 0, text: String, change: (value) => {
        this.bin[axis] = value;
        this.refresh();
      },
    });
    this.pickers = [pick("Bin: row", 0), pick("Bin: column", 1)];
    this.toggle = button("Pixel centres at half numbers (aligned)", () => {
      set("aligned")(!this.aligned);
    }, { "aria-pressed": this.aligned });
    this.stage = boxStage({
      size: SIZE, names: ["region"], boxes: () => [this.region], chosen: () => 0, choose: () => {},
      smallest: STRIDE, step: 1,
      change: (_, box) => set("region")(box),
    });
    this.verdict = html("p", { class: "verdict" });
    this.results = html("div", { class: "results" });
    this.body.append(
      html("div", { class: "fields" }, show.root, bins.root, samples.root,
        ...this.pickers.map(({ root }) => root)),
      html("div", { class: "row" }, this.toggle),
      this.verdict, this.stage.root,
      html("p", { class: "hint" }, `A map of ${MAP.join(" × ")} numbers, each standing for ${STRIDE} × `
        + `${STRIDE} pixels of the picture. Blue: the region, to be dragged, also by its corner. `
        + "Framed in red: the numbers that the chosen bin reads."),
      html("p", { class: "hint keys" }, "With the keyboard: Tab to the drawing, then the arrow keys "
        + "move the region by one pixel, with Shift they change its size."),
      this.results,
      html("div", { class: "fields" }, ...this.stage.controls),
    );
    this.refresh(false);
  }

  redraw() {
    this.draw();
  }

  refresh(aloud = true) {
    this.bin = this.bin.map((value) => Math.min(value, this.bins - 1));
    this.pickers.forEach((picker, axis) => {
      picker.max = this.bins - 1;
      picker.value = this.bin[axis];
    });
    this.toggle.setAttribute("aria-pressed", this.aligned);
    const how = {
      bins: this.bins, scale: 1 / STRIDE, samples: this.samples, aligned: this.aligned,
    };
    this.align = roiAlign(FEATURES, this.region, how);
    this.pool = roiPool(FEATURES, this.region, how);
    const [row, column] = this.bin;
    const { points, mean } = this.align[row][column];
    const { top, bottom, left, right, max } = this.pool.bins[row][column];
    const [x1, y1, x2, y2] = this.region.map((edge) => edge / STRIDE);
    const [rx1, ry1, rx2, ry2] = this.pool.region;
    const count = points.length === 1 ? "1 point" : `mean of ${points.length} points`;
    this.verdict.textContent = `Bin in row ${row}, column ${column}: RoIAlign ${fixed(mean)} `
      + `(${count}), RoI pooling ${max} (maximum of rows ${top} to ${bottom - 1}, columns ${left} to `
      + `${right - 1}). The region is ${fixed(x2 - x1)} × ${fixed(y2 - y1)} pixels of the map, after `
      + `rounding ${rx2 - rx1 + 1} × ${ry2 - ry1 + 1}.`;
    this.draw();
    this.list();
    if (aloud) this.announce(`${this.verdict.textContent} Region ${this.region.join(", ")}.`);
  }

  draw() {
    const width = this.drawingWidth;
    const cell = this.stage.scaleFor(width) * STRIDE;
    const rect = (x, y, across, down, kind) => svg("rect", {
      class: kind, x: x * cell, y: y * cell, width: across * cell, height: down * cell,
    });
    const pixels = FEATURES.flatMap((values, row) => values.flatMap((value, column) => {
      const square = rect(column, row, 1, 1, "pixel");
      square.style.fill = `color-mix(in srgb, var(--orange) ${5 * value}%, var(--paper))`;
      return [svg("g", {}, square, svg("text", {
        x: (column + 0.5) * cell, y: (row + 0.5) * cell, "text-anchor": "middle",
        "dominant-baseline": "central", "font-size": Math.min(cell * 0.5, 16),
      }, String(value)))];
    }));
    const [x1, y1, x2, y2] = this.region.map((edge) => edge / STRIDE);
    const layers = this.shown === "align" ? this.alignLayers(cell) : this.poolLayers(rect);
    this.stage.draw(width, `A feature map with the region ${this.region.join(", ")}, showing `
      + `${SHOWN[this.shown]}.`, pixels, rect(x1, y1, x2 - x1, y2 - y1, "region"), layers);
  }

  /** The points, and for the chosen bin the pixels that they lie between. */
  alignLayers(cell) {
    const read = new Map();
    const points = this.align.flatMap((bins, row) => bins.flatMap((bin, column) => {
      const now = row === this.bin[0] && column === this.bin[1];
      return bin.points.map((point) => {
        if (now) {
          for (const [i, j, weight] of point.taps) if (weight > 0) read.set(`${i},${j}`, [i, j]);
        }
        // The number of pixel (i, j) belongs to the point (i, j), drawn in the middle of its square.
        return svg("circle", {
          class: now ? "point now" : "point", r: now ? 5 : 3,
          cx: (point.x + 0.5) * cell, cy: (point.y + 0.5) * cell,
        });
      });
    }));
    const frames = [...read.values()].map(([i, j]) => svg("rect", {
      class: "read", x: j * cell + 2, y: i * cell + 2, width: cell - 4, height: cell - 4,
    }));
    const [x1, y1, x2, y2] = this.region.map((edge) => (edge / STRIDE + (this.aligned ? 0 : 0.5)) * cell);
    let lines = this.aligned ? "" : `M${x1} ${y1}H${x2}V${y2}H${x1}Z`;
    for (let i = 1; i < this.bins; i++) {
      lines += `M${x1 + (i / this.bins) * (x2 - x1)} ${y1}V${y2}`;
      lines += `M${x1} ${y1 + (i / this.bins) * (y2 - y1)}H${x2}`;
    }
    return [svg("path", { class: "bin", d: lines }), ...frames, ...points];
  }

  /** The rounded region, its bins, and the chosen one; bins may share a row. */
  poolLayers(rect) {
    const [x1, y1, x2, y2] = this.pool.region;
    const bins = this.pool.bins.flat().map(
      ({ top, bottom, left, right }) => rect(left, top, right - left, bottom - top, "bin"),
    );
    const { top, bottom, left, right } = this.pool.bins[this.bin[0]][this.bin[1]];
    return [
      rect(x1, y1, x2 - x1 + 1, y2 - y1 + 1, "rounded"), ...bins,
      rect(left, top, right - left, bottom - top, "read"),
    ];
  }

  list() {
    const table = (name, rows) => html("table", {},
      html("caption", {}, name),
      html("tbody", {}, ...rows.map((values, row) => html("tr", {}, ...values.map((text, column) => {
        const now = row === this.bin[0] && column === this.bin[1];
        return html("td", { class: now ? "now" : "" }, text);
      })))));
    this.results.replaceChildren(
      table("RoIAlign", this.align.map((bins) => bins.map(({ mean }) => fixed(mean)))),
      table("RoI pooling", this.pool.bins.map((bins) => bins.map(({ max }) => String(max)))),
    );
  }
}

define("roi-align", RoiAlign);
