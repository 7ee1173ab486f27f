// <conv-stepper>: a convolution, one output number after another, with its im2col column.
//
// Attributes: size 3-8, kernel 1-4, stride 1-3, padding 0-2, dilation 1-3, channels 1-3;
// autoplay starts it when it comes into view, unless the reader prefers less motion.

import { ShapeError } from "./arithmetic.mjs";
import { allOutputs, im2col, sampleFilter, samplePicture } from "./convolution.mjs";
import {
  button, define, Figure, formatInteger, formatSum, grid, GRID_STYLE, html, prefersStillness,
  slider, svg,
} from "./frame.mjs";

const SETTINGS = {
  size: { label: "Input size W", value: 5, min: 3, max: 8 },
  kernel: { label: "Kernel F", value: 3, min: 1, max: 4 },
  stride: { label: "Stride S", value: 1, min: 1, max: 3 },
  padding: { label: "Padding P", value: 0, min: 0, max: 2 },
  dilation: { label: "Dilation d", value: 1, min: 1, max: 3 },
  channels: { label: "Channels C", value: 1, min: 1, max: 3 },
};
const SECONDS_PER_STEP = 1.2;

class ConvStepper extends Figure {
  static title = "A convolution, step by step";
  static style = `
${GRID_STYLE}
.stage { margin-top: 0.75rem; padding: 0.25rem; }
/* The buttons stay in sight while the drawing is scrolled, below the bar of the page's own. */
.transport {
  position: sticky; top: 3.5rem; z-index: 1; margin: 0 -0.6rem; padding: 0.4rem 0.6rem;
  background: var(--paper);
}
.grids { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; }
.grids.results { align-items: start; }
/* Where only input and kernel fit side by side, the products stand below the kernel. */
.grids.beside { display: grid; grid-template-columns: max-content 1fr; align-items: start; gap: 0.25rem 0.75rem; }
.grids.beside > :first-child { grid-row: span 2; }
.signed { display: flex; gap: 0.75rem; align-items: center; min-width: 0; }
.grids + .grids { margin-top: 0.75rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 0.875rem; color: var(--muted); margin-bottom: 0.2rem; }
.times { font-size: 1.4rem; }
.channel-sum { font-size: 0.875rem; font-weight: 600; }
.sum { font-size: 1.05rem; font-variant-numeric: tabular-nums; min-height: 3em; }
.scroll { width: fit-content; border: 1px solid var(--muted); border-radius: 6px; padding: 0.4rem; }
@media (pointer: coarse) { .keys { display: none; } }
.columns .frame { fill: none; stroke: var(--vermilion); stroke-width: 3; }
`;

  build() {
    this.settings = {};
    const sliders = Object.entries(SETTINGS).map(([name, { label, value, min, max }]) => {
      this.settings[name] = this.integer(name, value, min, max);
      const change = (number) => {
        this.settings[name] = number;
        this.restart();
        this.tellShapes();
      };
      return slider({ label, value: this.settings[name], min, max, change }).root;
    });
    this.position = slider({
      label: "Position", value: 0, min: 0, max: 0,
      text: (index) => `${index + 1} of ${this.outputs?.length ?? 1}`,
      change: (index) => this.goByHand(index),
    });
    this.back = button("Back", () => this.goByHand(this.index - 1), { sign: "◀" });
    this.play = button("Play", () => this.toggle());
    this.next = button("Next", () => this.goByHand(this.index + 1), { sign: "▶" });
    this.counter = html("span", { "aria-hidden": "true" });
    this.transport = html(
      "div", { class: "row transport" }, this.back, this.play, this.next, this.counter,
    );
    this.message = html("p", { class: "message" });
    this.stage = html("div", {
      class: "stage", role: "group", tabindex: 0, onkeydown: (event) => this.key(event),
      "aria-label": "The convolution. Arrow keys step, Home and End go to the first and last "
        + "position, the space bar plays and pauses.",
    });
    this.hint = html(
      "p", { class: "hint keys" },
      "With the keyboard: Tab to the drawing, then ← → to step, Home, End, space to play.",
    );
    this.body.append(
      html("div", { class: "fields" }, ...sliders),
      this.message, this.position.root, this.transport, this.stage, this.hint,
    );
    this.restart();
    if (this.hasAttribute("autoplay")) this.playWhenSeen();
  }

  disconnectedCallback() {
    this.stop();
  }

  /** Compute everything for the present settings and show the first position. */
  restart() {
    this.stop();
    const { size, kernel, channels, ...how } = this.settings;
    const picture = samplePicture(channels, size);
    const filter = sampleFilter(channels, kernel);
    try {
      this.outputs = allOutputs(picture, filter, how);
      this.message.textContent = "";
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      this.outputs = null;
      this.message.textContent = `No output: ${error.message}.`;
    }
    const works = this.outputs !== null;
    for (const part of [this.position.root, this.transport, this.stage, this.hint]) {
      part.hidden = !works;
    }
    if (!works) return;
    this.side = Math.sqrt(this.outputs.length);
    this.picture = picture;
    this.filter = filter;
    this.draw();
    this.index = 0;
    this.position.max = this.outputs.length - 1;
    this.show();
  }

  /** Draw the grids; show() then only changes what differs between positions. */
  draw() {
    const { picture, filter } = this;
    const { size, kernel, padding } = this.settings;
    const padded = size + 2 * padding;
    const many = picture.length > 1;
    const room = this.drawingWidth;
    const cell = room < 480 ? 26 : many ? 28 : 34;
    const inOneLine = (padded + 2 * kernel) * cell + 100 <= room;
    const beside = !inOneLine && (padded + kernel) * cell + 60 <= room;
    this.channels = picture.map((sheet, channel) => {
      const of = many ? `, channel ${channel}` : "";
      const input = grid({
        rows: padded, columns: padded, cell, label: `Input${of}, ${size} × ${size}`,
      });
      const weights = grid({ rows: kernel, columns: kernel, cell, label: `Kernel${of}` });
      const products = grid({ rows: kernel, columns: kernel, cell, label: `Products${of}` });
      filter[channel].forEach((row, i) =>
        row.forEach((weight, j) => weights.set(i, j, formatInteger(weight), "weight")),
      );
      const sum = html("div", { class: "channel-sum" });
      // A sign stays with the grid after it when the line breaks.
      const signed = (sign, ...figure) => html(
        "div", { class: "signed" },
        html("span", { class: "times", "aria-hidden": "true" }, sign), html("figure", {}, ...figure),
      );
      const root = html(
        "div", { class: `grids ${beside ? "beside" : ""}` },
        html("figure", {}, html("figcaption", {}, `input${of}`), input.root),
        signed("×", html("figcaption", {}, "kernel"), weights.root),
        signed("=", html("figcaption", {}, "products"), products.root, sum),
      );
      return { sheet, input, products, sum, root };
    });
    this.output = grid({
      rows: this.side, columns: this.side, cell, label: `Output, ${this.side} × ${this.side}`,
    });
    this.sum = html("p", { class: "sum" });
    this.stage.replaceChildren(
      ...this.channels.map(({ root }) => root),
      this.sum,
      html(
        "div", { class: "grids results" },
        html(
          "figure", {},
          html("figcaption", {}, `output, ${this.side} × ${this.side}`), this.output.root,
        ),
        this.drawColumns(),
      ),
    );
  }

  redraw() {
    if (!this.outputs) return;
    this.draw();
    this.show();
  }

  /** The im2col matrix, the filter as a column beside it and the output as a row below it. */
  drawColumns() {
    const matrix = im2col(this.outputs);
    const [rows, columns] = [matrix.length, matrix[0].length];
    const cell = this.drawingWidth < 480 ? 22 : 26;
    const drawing = grid({
      rows: rows + 1, columns: columns + 1, cell,
      label: `The im2col matrix, ${rows} × ${columns}, with the kernel as first column and the `
        + "output as last row",
    });
    matrix.forEach((values, row) => {
      drawing.set(row, 0, formatInteger(this.outputs[0].taps[row].weight), "weight");
      values.forEach((value, column) => {
        const { inside } = this.outputs[column].taps[row];
        drawing.set(row, column + 1, value, inside ? "" : "padding");
      });
    });
    drawing.set(rows, 0, "Σ");
    this.columnFrame = svg("rect", {
      class: "frame", x: 0, y: 0, width: cell, height: cell * (rows + 1),
    });
    drawing.root.append(this.columnFrame);
    this.matrix = { drawing, rows, cell };
    this.scroller = html(
      "div", { class: "scroll columns", tabindex: 0, role: "group", "aria-label": "im2col matrix" },
      drawing.root,
    );
    return html(
      "figure", {},
      html("figcaption", {}, `im2col: kernel | matrix ${rows} × ${columns}, output below`),
      this.scroller,
    );
  }

  /** Bring the drawing to the present position. */
  show() {
    const { padding, size } = this.settings;
    const current = this.outputs[this.index];
    this.channels.forEach(({ sheet, input, products, sum }, channel) => {
      const taps = current.taps.filter((tap) => tap.channel === channel);
      const touched = new Set(taps.map(({ y, x }) => `${y},${x}`));
      for (let y = -padding; y < size + padding; y++) {
        for (let x = -padding; x < size + padding; x++) {
          const value = sheet[y]?.[x];
          const kind = touched.has(`${y},${x}`) ? "tap" : "";
          input.set(
            y + padding, x + padding, value ?? 0, value === undefined ? `padding ${kind}` : kind,
          );
        }
      }
      taps.forEach(({ i, j, product }) => products.set(i, j, formatInteger(product), "product"));
      sum.textContent = `sum ${formatInteger(current.sums[channel])}`;
    });
    this.outputs.forEach(({ row, column, total }, index) => {
      const kind = index === this.index ? "now" : "done";
      const known = index <= this.index;
      this.output.set(row, column, known ? formatInteger(total) : "", known ? kind : "");
      this.matrix.drawing.set(
        this.matrix.rows, index + 1, known ? formatInteger(total) : "", known ? kind : "",
      );
    });
    this.sum.textContent = `Row ${current.row}, column ${current.column}: ${this.reading(current)}`;
    this.columnFrame.setAttribute("x", (this.index + 1) * this.matrix.cell);
    // Only the box scrolls: scrollIntoView would move the page.
    this.scroller.scrollLeft =
      (this.index + 1.5) * this.matrix.cell - this.scroller.clientWidth / 2;
    this.position.value = this.index;
    this.counter.textContent = `${this.index + 1} of ${this.outputs.length}`;
    // Not `disabled`: the keyboard would lose its place at the first and last position.
    this.back.setAttribute("aria-disabled", this.index === 0);
    this.next.setAttribute("aria-disabled", this.index === this.outputs.length - 1);
  }

  /** The sum in words: of the products, or with several channels of the channels' sums. */
  reading({ taps, sums, total }) {
    const parts = sums.length > 1 ? sums : taps.map((tap) => tap.product);
    const what = sums.length > 1 ? " (one sum per channel)" : "";
    return `${formatSum(parts)} = ${formatInteger(total)}${what}`;
  }

  goByHand(index) {
    this.stop();
    this.go(index);
    const { row, column, ...current } = this.outputs[this.index];
    this.announce(
      `Position ${this.index + 1} of ${this.outputs.length}, row ${row}, column ${column}. `
        + `${this.reading(current)}.`,
    );
  }

  go(index) {
    this.index = Math.min(Math.max(index, 0), this.outputs.length - 1);
    this.show();
  }

  tellShapes() {
    if (!this.outputs) this.announce(this.message.textContent);
    else {
      const { size, channels } = this.settings;
      this.announce(
        `Input ${channels} × ${size} × ${size}, output ${this.side} × ${this.side}, `
          + `im2col matrix ${this.matrix.rows} × ${this.outputs.length}.`,
      );
    }
  }

  toggle() {
    if (this.timer) {
      this.stop();
      return;
    }
    if (this.index === this.outputs.length - 1) this.go(0);
    this.timer = setInterval(() => {
      this.go(this.index + 1);
      if (this.index === this.outputs.length - 1) this.stop();
    }, 1000 * SECONDS_PER_STEP);
    this.play.textContent = "Pause";
    this.announce("Playing.");
  }

  stop() {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
    const { total } = this.outputs[this.index];
    this.announce(`Stopped at position ${this.index + 1} of ${this.outputs.length}, output `
      + `${formatInteger(total)}.`);
  }

  playWhenSeen() {
    if (prefersStillness()) return;
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (this.outputs && !this.timer) this.toggle();
    }, { rootMargin: "-25% 0px" }); // it has reached the middle of the window
    observer.observe(this);
  }

  key(event) {
    if (event.target !== this.stage || event.altKey || event.ctrlKey || event.metaKey) return;
    const actions = {
      ArrowRight: () => this.goByHand(this.index + 1),
      ArrowLeft: () => this.goByHand(this.index - 1),
      Home: () => this.goByHand(0),
      End: () => this.goByHand(this.outputs.length - 1),
      " ": () => this.toggle(),
    };
    if (!(event.key in actions)) return;
    event.preventDefault(); // the page must not scroll
    actions[event.key]();
  }
}

define("conv-stepper", ConvStepper);
