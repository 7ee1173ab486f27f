// <stack-calculator>: output size and receptive field of a stack of layers that the reader edits.
//
// Attribute: preset, one of the keys of PRESETS below; lenet5 if left out.

import { followStack } from "./arithmetic.mjs";
import {
  button, choice, define, Figure, formatInteger, html, numberField, svg,
} from "./frame.mjs";

const conv = (kernel, stride = 1, padding = 0) =>
  ({ kind: "conv", kernel, stride, padding, dilation: 1 });
const pool = (kernel, stride) => ({ kind: "pool", kernel, stride, padding: 0, dilation: 1 });
const repeat = (count, layer) => Array.from({ length: count }, () => ({ ...layer }));

const PRESETS = {
  three: { name: "three 3×3 layers", size: 32, layers: repeat(3, conv(3)) },
  lenet5: { name: "LeNet-5", size: 32, layers: [conv(5), pool(2, 2), conv(5), pool(2, 2), conv(5)] },
  alexnet: {
    name: "AlexNet up to pool5",
    size: 227,
    layers: [
      conv(11, 4), pool(3, 2), conv(5, 1, 2), pool(3, 2), ...repeat(3, conv(3, 1, 1)), pool(3, 2),
    ],
  },
  vgg16: {
    name: "VGG-16 up to pool5",
    size: 224,
    layers: [2, 2, 3, 3, 3].flatMap((count) => [...repeat(count, conv(3, 1, 1)), pool(2, 2)]),
  },
  odd: { name: "one that does not fit", size: 10, layers: [conv(3, 2), pool(2, 2), conv(3)] },
};
const KINDS = { conv: "convolution", pool: "pooling", "pool-ceil": "pooling, rounded up" };
const NUMBERS = {
  kernel: { label: "Kernel", min: 1, max: 64 },
  stride: { label: "Stride", min: 1, max: 32 },
  padding: { label: "Padding", min: 0, max: 32 },
  dilation: { label: "Dilation", min: 1, max: 32 },
};
const MOST_LAYERS = 40;
const BAR = { height: 14, gap: 3, names: 28 };

class StackCalculator extends Figure {
  static title = "How large is the output, and how far does it see?";
  static style = `
.top { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 0.25rem 1rem; }
ol { list-style: none; margin: 0.5rem 0; padding: 0; }
li { border-top: 1px solid var(--muted); padding: 0.4rem 0 0.6rem; }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
/* What comes out stands beside the name of the layer. */
legend { font-weight: 600; padding: 0; float: left; margin-right: 0.75rem; }
.result { margin: 0; min-height: 1.45em; font-variant-numeric: tabular-nums; }
.result.error { display: flow-root; border-left: 4px solid var(--vermilion); padding-left: 0.6rem; }
.layer { clear: both; display: grid; gap: 0.25rem 0.5rem; grid-template-columns: repeat(4, 1fr); }
.layer > :first-child { grid-column: 1 / 4; }
.layer > button { align-self: end; padding: 0 0.25rem; }
.layer .field label { font-size: 0.8rem; }
@media (min-width: 700px) {
  .layer { grid-template-columns: 2fr repeat(4, 1fr) auto; }
  .layer > :first-child { grid-column: auto; }
  .layer > button { order: 1; padding: 0 0.6rem; }
  /* The names stand above the first layer alone; a screen reader still hears them everywhere. */
  li:not(:first-child) label {
    position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  }
}
.total { font-size: 1.05rem; font-weight: 600; }
.picture { fill: color-mix(in srgb, var(--ink) 15%, var(--paper)); stroke: var(--ink); }
.field-bar { fill: color-mix(in srgb, var(--blue) 45%, var(--paper)); stroke: var(--blue); }
.edge { stroke: var(--ink); stroke-dasharray: 3 3; }
`;

  build() {
    const names = Object.fromEntries(
      Object.entries(PRESETS).map(([key, { name }]) => [key, name]),
    );
    let preset = this.getAttribute("preset") ?? "lenet5";
    if (!(preset in PRESETS)) {
      console.error(`<stack-calculator preset="${preset}">: expected ${Object.keys(PRESETS).join(", ")}`);
      preset = "lenet5";
    }
    const load = choice({
      label: "Start from", value: preset, options: names, change: (key) => this.load(key),
    });
    this.sizeField = numberField({
      label: "Input size (pixels)", value: 1, min: 1, max: 4096,
      change: (value) => {
        this.size = value;
        this.refresh();
      },
    });
    this.list = html("ol");
    this.total = html("p", { class: "total" });
    this.bars = html("div");
    this.addButton = button("Add a layer", () => this.add(), { sign: "+" });
    this.body.append(
      html("div", { class: "top" }, load.root, this.sizeField.root),
      this.list, this.addButton, this.total, this.bars,
    );
    this.load(preset, false);
  }

  load(preset, aloud = true) {
    const { size, layers } = PRESETS[preset];
    this.size = size;
    this.sizeField.input.value = size;
    this.layers = layers.map((layer) => ({ ...layer }));
    this.listLayers();
    this.refresh(aloud);
  }

  add() {
    this.layers.push(conv(3, 1, 1));
    this.listLayers();
    this.refresh();
    this.list.lastElementChild.querySelector("select").focus();
  }

  remove(index) {
    this.layers.splice(index, 1);
    this.listLayers();
    this.refresh();
    // The button that was pressed is gone; its neighbour takes over the focus.
    const left = [...this.list.querySelectorAll("button")];
    (left[Math.min(index, left.length - 1)] ?? this.addButton).focus();
  }

  /** Make the controls of every layer anew. */
  listLayers() {
    this.results = this.layers.map(() => html("p", { class: "result" }));
    const items = this.layers.map((layer, index) => {
      const set = (name) => (value) => {
        layer[name] = value;
        this.refresh();
      };
      const kind = choice({ label: "Kind", value: layer.kind, options: KINDS, change: set("kind") });
      const numbers = Object.entries(NUMBERS).map(
        ([name, limits]) => numberField({ ...limits, value: layer[name], change: set(name) }).root,
      );
      const remove = button("Remove", () => this.remove(index), {
        "aria-label": `Remove layer ${index + 1}`,
      });
      return html(
        "li", {},
        html(
          "fieldset", {},
          html("legend", {}, `Layer ${index + 1}`),
          this.results[index],
          html("div", { class: "layer" }, kind.root, remove, ...numbers),
        ),
      );
    });
    this.list.replaceChildren(...items);
    this.addButton.setAttribute("aria-disabled", this.layers.length >= MOST_LAYERS);
    this.addButton.disabled = this.layers.length >= MOST_LAYERS;
  }

  /** Compute the stack again, and write what came out beside each layer. */
  refresh(aloud = true) {
    const rows = followStack(this.size, this.layers);
    rows.forEach((row, index) => {
      this.results[index].textContent = this.resultText(row);
      this.results[index].classList.toggle("error", "error" in row);
    });
    this.total.textContent = this.totalText(rows);
    this.drawBars(rows);
    if (aloud) this.announce(this.total.textContent);
  }

  resultText({ size, dropped, field, jump, error, blocked }) {
    if (blocked) return "No input: a layer above does not fit.";
    if (error) return `Does not fit: ${error}.`;
    const pixels = dropped === 1 ? "row and column" : `${dropped} rows and columns`;
    const lost = dropped ? ` The last ${pixels} of the padded input are not read.` : "";
    return `${size} × ${size}, sees ${field} × ${field}, jump ${jump}.${lost}`;
  }

  totalText(rows) {
    if (rows.length === 0) return "No layers: the output is the input.";
    const broken = rows.findIndex((row) => "error" in row);
    if (broken >= 0) return `Layer ${broken + 1} does not fit: ${rows[broken].error}.`;
    const { size, field } = rows.at(-1);
    const comparison = field > this.size
      ? `more than the ${this.size} pixels of the input`
      : `of the ${this.size} of the input`;
    return `Output ${size} × ${size}; one of its numbers sees ${formatInteger(field)} pixels each `
      + `way, ${comparison}.`;
  }

  redraw() {
    this.drawBars(followStack(this.size, this.layers));
  }

  /** One bar per layer: what its middle unit sees, below the input. */
  drawBars(rows) {
    const works = rows.filter((row) => "size" in row);
    if (works.length === 0 || !this.size) {
      this.bars.replaceChildren();
      return;
    }
    const fields = works.map(({ size, start, jump, field }) => {
      const from = start + Math.floor((size - 1) / 2) * jump;
      return { from, to: from + field };
    });
    const [left, right] = [
      Math.min(0, ...fields.map(({ from }) => from)),
      Math.max(this.size, ...fields.map(({ to }) => to)),
    ];
    const width = this.drawingWidth;
    const scale = (width - BAR.names - 2) / (right - left);
    const x = (pixel) => BAR.names + (pixel - left) * scale;
    const step = BAR.height + BAR.gap;
    const height = (works.length + 1) * step;
    const bar = (name, kind, from, to, row) => [
      svg("text", {
        x: BAR.names - 6, y: row * step + BAR.height / 2, "font-size": 12, "text-anchor": "end",
        "dominant-baseline": "central",
      }, name),
      svg("rect", {
        class: kind, x: x(from), y: row * step + 1, width: Math.max((to - from) * scale, 2),
        height: BAR.height - 2,
      }),
    ];
    const edges = [0, this.size].map((pixel) =>
      svg("line", { class: "edge", x1: x(pixel), x2: x(pixel), y1: 0, y2: height }),
    );
    const drawing = svg("svg", {
      width, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Receptive fields beside the input of ${this.size} pixels: `
        + works.map(({ field }, index) => `layer ${index + 1} sees ${field}`).join(", "),
    }, ...bar("in", "picture", 0, this.size, 0), ...edges,
      ...fields.flatMap(({ from, to }, index) =>
        bar(String(index + 1), "field-bar", from, to, index + 1)));
    this.bars.replaceChildren(
      html("p", { class: "hint" }, "What the middle number of each layer sees of the input (grey). "
        + "Beyond the dashed lines there is only padding. Jump: how many input pixels lie between "
        + "what two neighbouring numbers see."),
      drawing,
    );
  }
}

define("stack-calculator", StackCalculator);
