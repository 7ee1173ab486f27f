// <inception-cost>: what an Inception module costs, naive and with 1×1 reductions.
//
// Attributes: size, channels, f1, f3, f5 (filters), r3, r5 (reductions), proj (after the pooling).
// Left out, they describe the 28 × 28 × 256 example with 128, 192 and 96 filters, reductions 64.

import { inceptionCost } from "./arithmetic.mjs";
import { define, Figure, formatCount, formatInteger, html, slider, svg } from "./frame.mjs";

const SETTINGS = {
  size: { label: "Input size", value: 28, min: 7, max: 56, step: 7 },
  channels: { label: "Input channels", value: 256, min: 16, max: 1024, step: 16 },
  f1: { label: "1×1 filters", value: 128, min: 16, max: 512, step: 16 },
  f3: { label: "3×3 filters", value: 192, min: 16, max: 512, step: 16 },
  f5: { label: "5×5 filters", value: 96, min: 16, max: 512, step: 16 },
  r3: { label: "1×1 before the 3×3", value: 64, min: 8, max: 512, step: 8 },
  r5: { label: "1×1 before the 5×5", value: 64, min: 8, max: 512, step: 8 },
  proj: { label: "1×1 after the pooling", value: 64, min: 8, max: 512, step: 8 },
};
const MODULES = { naive: "naive", bottleneck: "with 1×1 reductions" };
const BAR = { height: 44 };

class InceptionCost extends Figure {
  static title = "What an Inception module costs";
  static style = `
.verdict { font-size: 1.1rem; font-weight: 600; }
.modules {
  display: grid; align-items: start; gap: 0.75rem 1.5rem; margin-top: 0.75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr));
}
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; }
th { text-align: left; font-weight: 400; white-space: nowrap; }
td { text-align: right; }
th, td { padding: 0.15rem 0.3rem 0.15rem 0; border-bottom: 1px solid var(--surface); }
thead th { font-size: 0.8rem; color: var(--muted); }
thead th + th { text-align: right; }
tfoot :is(th, td) { font-weight: 700; border-top: 1px solid var(--ink); }
.swatch { display: inline-block; width: 1em; height: 1em; margin-right: 0.4em; vertical-align: -0.15em; }
.one { --branch: var(--blue); }
.three { --branch: var(--orange); }
.five { --branch: var(--green); }
.pooled { --branch: var(--purple); }
.swatch { background: color-mix(in srgb, var(--branch) 60%, var(--paper)); border: 2px solid var(--branch); }
.swatch.reduction { background: repeating-linear-gradient(45deg, var(--branch) 0 2px, var(--paper) 2px 5px); }
.segment { fill: color-mix(in srgb, var(--branch) 60%, var(--paper)); stroke: var(--paper); stroke-width: 1; }
.segment.reduction { fill: var(--branch); }
#stripes path { stroke: var(--paper); stroke-width: 3; }
`;

  build() {
    this.settings = {};
    const sliders = Object.entries(SETTINGS).map(([name, { label, value, min, max, step }]) => {
      this.settings[name] = this.integer(name, value, min, max);
      const change = (number) => {
        this.settings[name] = number;
        this.refresh();
        this.announce(this.verdict.textContent);
      };
      const control = slider({ label, value: this.settings[name], min, max, step, change });
      this.settings[name] = control.value; // on the grid of the slider
      return control.root;
    });
    this.verdict = html("p", { class: "verdict" });
    this.bars = html("div");
    this.tables = html("div", { class: "modules" });
    this.body.append(
      html("div", { class: "fields" }, ...sliders), this.verdict, this.bars, this.tables,
      html("p", { class: "hint" }, "M: million multiply-adds on one picture. Biases and the pooling "
        + "itself are not counted. Striped: the 1×1 layers that were added."),
    );
    this.refresh();
  }

  redraw() {
    this.refresh();
  }

  refresh() {
    const cost = inceptionCost(this.settings);
    const [naive, bottleneck] = [cost.naive.macs, cost.bottleneck.macs];
    const [word, factor] = bottleneck <= naive
      ? ["fewer", naive / bottleneck]
      : ["more", bottleneck / naive];
    this.verdict.textContent = `${formatCount(naive)} multiply-adds naive, `
      + `${formatCount(bottleneck)} with reductions: ${factor.toFixed(1)} times ${word}.`;
    this.bars.replaceChildren(this.drawBars(cost));
    this.tables.replaceChildren(
      ...Object.entries(MODULES).map(([key, name]) => this.table(name, cost[key])),
    );
  }

  drawBars(cost) {
    const longest = Math.max(cost.naive.macs, cost.bottleneck.macs);
    const width = this.drawingWidth;
    const drawing = svg("svg", {
      width, viewBox: `0 0 ${width} ${2 * BAR.height}`, role: "img",
      "aria-label": Object.entries(MODULES)
        .map(([key, name]) => `${name}: ${formatCount(cost[key].macs)} multiply-adds`).join("; "),
    }, svg("defs", {}, svg(
      "pattern",
      { id: "stripes", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("path", { d: "M0 0V8" }),
    )));
    Object.entries(MODULES).forEach(([key, name], row) => {
      drawing.append(svg("text", { x: 0, y: row * BAR.height + 14, "font-size": 14 }, name));
      let x = 0;
      for (const layer of cost[key].layers) {
        const box = {
          x, y: row * BAR.height + 19, width: (layer.macs / longest) * width, height: 22,
        };
        drawing.append(svg("rect", { class: `segment ${kindOf(layer)}`, ...box }));
        if (isReduction(layer)) drawing.append(svg("rect", { fill: "url(#stripes)", ...box }));
        x += box.width;
      }
    });
    return drawing;
  }

  table(name, { layers, macs, weights, outChannels }) {
    const line = (label, count, size) => html(
      "tr", {}, label, html("td", {}, formatCount(count)), html("td", {}, formatInteger(size)),
    );
    return html(
      "table", {},
      html("caption", {}, `${name}: ${formatInteger(outChannels)} channels out`),
      html("thead", {}, html("tr", {},
        ...["layer", "multiply-adds", "weights"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, ...layers.map((layer) => line(
        html("th", { scope: "row" },
          html("span", { class: `swatch ${kindOf(layer)}`, "aria-hidden": "true" }), layer.name),
        layer.macs, layer.weights,
      ))),
      html("tfoot", {}, line(html("th", { scope: "row" }, "together"), macs, weights)),
    );
  }
}

function isReduction({ name }) {
  return name.startsWith("1×1 ");
}

/** Class of a layer: its branch decides the colour, stripes mark the added layers. */
function kindOf(layer) {
  const branches = { "1×1": "one", "3×3": "three", "5×5": "five", pooling: "pooled" };
  return branches[layer.branch] + (isReduction(layer) ? " reduction" : "");
}

define("inception-cost", InceptionCost);
