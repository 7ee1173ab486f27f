// <depthwise-cost>: a full convolution, a depthwise separable one and an inverted residual compared,
// with the width and the resolution multiplier of MobileNet.
//
// Attributes: from, to (channels, 8-512), kernel 3-7, stride 1-2, expansion 1-8, width 25-140 (the
// multiplier in hundredths), resolution 96-224 (side of the picture), down (a key of PLACES).

import { choice, define, Figure, formatCount, formatInteger, html, slider, svg } from "./frame.mjs";
import { networkCost, scaledChannels, stepCosts } from "./separable.mjs";

const hundredths = (value) => (value / 100).toFixed(2);
const SETTINGS = {
  from: { label: "Input channels", value: 64, min: 8, max: 512, step: 8 },
  to: { label: "Output channels", value: 128, min: 8, max: 512, step: 8 },
  kernel: { label: "Kernel", value: 3, min: 3, max: 7, step: 2 },
  stride: { label: "Stride", value: 1, min: 1, max: 2 },
  expansion: { label: "Expansion t", value: 6, min: 1, max: 8 },
  width: { label: "Width multiplier α", value: 100, min: 25, max: 140, step: 5, text: hundredths },
  resolution: { label: "Side of the picture", value: 224, min: 96, max: 224, step: 32 },
};
const PLACES = { 2: "half", 4: "a quarter", 8: "an eighth", 16: "a 16th", 32: "a 32nd" };
const WAYS = { full: "full convolution", separable: "depthwise separable", inverted: "inverted residual" };
const NETWORKS = { 1: "MobileNet", 2: "MobileNetV2" };
const BAR = { height: 44 };
const LARGEST = 224;

class DepthwiseCost extends Figure {
  static title = "What filtering and mixing cost, together and apart";
  static style = `
.verdict { font-size: 1.05rem; font-weight: 600; min-height: 4.5em; }
.ways {
  display: grid; align-items: start; gap: 0.75rem 1.5rem; margin: 0.75rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(15rem, 100%), 1fr));
}
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; }
th { text-align: left; font-weight: 400; white-space: nowrap; }
td { text-align: right; }
th, td { padding: 0.15rem 0.3rem 0.15rem 0; border-bottom: 1px solid var(--surface); }
thead th { font-size: 0.8rem; color: var(--muted); }
thead th + th { text-align: right; }
tfoot :is(th, td) { font-weight: 700; border-top: 1px solid var(--ink); }
.both { --kind: var(--purple); }
.filter { --kind: var(--orange); }
.mix { --kind: var(--blue); }
.swatch, .segment { background: var(--kind); fill: var(--kind); }
.swatch { display: inline-block; width: 1em; height: 1em; margin-right: 0.4em; vertical-align: -0.15em; border: 1px solid var(--ink); }
.segment { stroke: var(--paper); stroke-width: 1; }
`;

  build() {
    this.settings = {};
    const sliders = Object.entries(SETTINGS).map(([name, { label, value, min, max, step = 1, text }]) => {
      const change = (number) => {
        this.settings[name] = number;
        this.refresh();
      };
      const control = slider({
        label, value: this.integer(name, value, min, max), min, max, step, change, text: text ?? formatInteger,
      });
      this.settings[name] = control.value; // on the grid of the slider
      return control.root;
    });
    this.down = this.getAttribute("down") ?? "16";
    if (!(this.down in PLACES)) {
      const wanted = Object.keys(PLACES).join(", ");
      console.error(`<${this.localName} down="${this.down}">: expected ${wanted}`);
      this.down = "16";
    }
    const place = choice({
      label: "Map's side, of the picture's", value: this.down, options: PLACES, change: (value) => {
        this.down = value;
        this.refresh();
      },
    });
    this.verdict = html("p", { class: "verdict" });
    this.bars = html("div");
    this.tables = html("div", { class: "ways" });
    this.networks = html("div", {
      class: "scroll", role: "group", tabindex: 0, "aria-label": "Whole networks",
    });
    const key = (kind, text) => html("span", {}, html(
      "span", { class: `swatch ${kind}`, "aria-hidden": "true" },
    ), `${text} `);
    this.body.append(
      html("div", { class: "fields" }, ...sliders.slice(0, 5), place.root, ...sliders.slice(5)),
      this.verdict, this.bars,
      html("p", { class: "hint" }, key("both", "filters and mixes"), key("filter", "filters each "
        + "channel"), key("mix", "mixes channels (1×1). "), "M: million multiply-adds on one picture. "
        + "Biases and normalisation are not counted in the layers."),
      this.tables, this.networks,
    );
    this.refresh(false);
  }

  redraw() {
    this.bars.replaceChildren(this.drawBars());
  }

  refresh(aloud = true) {
    const { from, to, kernel, stride, expansion, width, resolution } = this.settings;
    const alpha = width / 100;
    const size = resolution / Number(this.down);
    const [scaledFrom, scaledTo] = [from, to].map((channels) => scaledChannels(channels, alpha));
    this.costs = stepCosts({ size, from: scaledFrom, to: scaledTo, kernel, stride, expansion });
    const { full, separable, inverted } = this.costs;
    const times = (cost) => (cost.macs <= full.macs
      ? `${(full.macs / cost.macs).toFixed(1)} times fewer`
      : `${(cost.macs / full.macs).toFixed(2)} times as many`);
    this.verdict.textContent = `From ${scaledFrom} to ${scaledTo} channels on a map of ${size} × `
      + `${size}: full convolution ${formatCount(full.macs)} multiply-adds, depthwise separable `
      + `${formatCount(separable.macs)}, ${times(separable)}; inverted residual `
      + `${formatCount(inverted.macs)}, ${times(inverted)}.`;
    this.redraw();
    this.tables.replaceChildren(
      ...Object.entries(WAYS).map(([key, name]) => this.table(name, this.costs[key])),
    );
    this.list(alpha, resolution);
    if (aloud) this.announce(`${this.verdict.textContent} ${this.networkText}`);
  }

  drawBars() {
    const longest = Math.max(...Object.values(this.costs).map(({ macs }) => macs));
    const width = this.drawingWidth;
    const ways = Object.entries(WAYS);
    const drawing = svg("svg", {
      width, viewBox: `0 0 ${width} ${ways.length * BAR.height}`, role: "img",
      "aria-label": ways
        .map(([key, name]) => `${name}: ${formatCount(this.costs[key].macs)} multiply-adds`).join("; "),
    });
    ways.forEach(([key, name], row) => {
      drawing.append(svg("text", { x: 0, y: row * BAR.height + 14, "font-size": 14 }, name));
      let x = 0;
      for (const layer of this.costs[key].layers) {
        const length = (layer.macs / longest) * width;
        drawing.append(svg("rect", {
          class: `segment ${kindOf(layer)}`, x, y: row * BAR.height + 19, width: length, height: 22,
        }));
        x += length;
      }
    });
    return drawing;
  }

  table(name, { layers, macs, weights }) {
    const line = (label, count, size) => html(
      "tr", {}, label, html("td", {}, formatCount(count)), html("td", {}, formatInteger(size)),
    );
    return html("table", {},
      html("caption", {}, name),
      html("thead", {}, html("tr", {},
        ...["layer", "multiply-adds", "weights"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, ...layers.map((layer) => line(
        html("th", { scope: "row" },
          html("span", { class: `swatch ${kindOf(layer)}`, "aria-hidden": "true" }), layer.name),
        layer.macs, layer.weights,
      ))),
      html("tfoot", {}, line(html("th", { scope: "row" }, "together"), macs, weights)));
  }

  /** The whole networks at the same two dials, and what share of their cost is left. */
  list(alpha, resolution) {
    const percent = (part, whole) => `${((100 * part) / whole).toFixed(0)}\u00a0%`;
    const texts = [];
    const rows = Object.entries(NETWORKS).map(([version, name]) => {
      const now = networkCost(Number(version), alpha, resolution);
      const most = networkCost(Number(version), 1, LARGEST);
      const cells = [
        formatCount(now.macs), percent(now.macs, most.macs),
        formatCount(now.parameters), percent(now.parameters, most.parameters),
      ];
      texts.push(`${name}: ${cells[0]} multiply-adds, ${cells[2]} parameters.`);
      return html("tr", {},
        html("th", { scope: "row" }, name), ...cells.map((text) => html("td", {}, text)));
    });
    this.networkText = texts.join(" ");
    this.networks.replaceChildren(html("table", {},
      html("caption", {}, `Whole networks at α = ${alpha.toFixed(2)} and ${resolution} pixels, and `
        + `what this is of α = 1 and ${LARGEST} pixels`),
      html("thead", {}, html("tr", {},
        ...["network", "multiply-adds", "share", "parameters", "share"]
          .map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, ...rows)));
  }
}

/** What a layer does decides its colour: filter each channel, mix channels, or both at once. */
function kindOf({ name }) {
  if (name.endsWith("depthwise")) return "filter";
  return name.startsWith("1×1") ? "mix" : "both";
}

define("depthwise-cost", DepthwiseCost);
