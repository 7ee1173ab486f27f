// What the interactive figures share: the base element, controls, drawing, numbers.
//
// PUTTING A FIGURE INTO A CHAPTER
//
// A figure is an element. Write it into a markdown cell of a notebook, or into a markdown page, as
// a block of its own, with an empty line before and after and none inside:
//
//     <conv-stepper size="5" kernel="3" stride="2" padding="1">
//     <p>On the website of the course an interactive figure stands here: ...</p>
//     </conv-stepper>
//
// What stands between the tags is the fallback. It is shown wherever this script does not run: in
// Colab, on GitHub, in JupyterLab, with scripts switched off; and where the data of a figure cannot
// be loaded. It is also what gets printed. Put the element right after the code
// cell that draws the same thing as a still picture: that picture is part of the notebook, so it is
// there in all these places, and the fallback need only say what can be played with on the website.
// Leave the fallback out, and the figure itself is printed.
//
// Where no cell draws the same, put a still picture between the tags, in Markdown and with empty
// lines around each part, so that Sphinx finds it and takes it along:
//
//     <roi-align bins="2">
//
//     ![What the picture shows.][roi-align]
//
//     On the website of the course an interactive figure stands here: ...
//
//     </roi-align>
//
//     [roi-align]: data:image/png;base64,
//
// `python -m tools.figure_stills` draws the picture and completes the last line, so that the picture
// is there in Colab, too; the book shows the drawing itself, roi-align.svg.
//
// Attributes set where a figure starts. Each module lists its own at the top.
//
// HOW IT IS LOADED
//
// Browsers refuse modules to a page that was opened from the disk, so `make book` writes each module
// of this folder as an ordinary script, line by line as it stands here (tools/figure_scripts.py says
// which forms of import and export it knows). A page gets tags for the scripts that its figures
// need, each after those that it imports from; a page without figures gets none. Data are *.json
// files here, read with readData() of data.mjs. There is no dependency and no network. The files
// end in .mjs: Jupyter Book would write a tag for every *.js below _static/ into every page.
//
// WRITING A NEW ONE
//
// 1. The arithmetic goes into a module that never touches the document, with the names, the rules
//    and the error messages of cnnlib. tests/book/test_figures.py compares the two in a browser.
// 2. The figure extends Figure, fills `this.body` in build(), and its file ends in define("name", …)
//    and is named name.mjs. Data that it needs from the start it reads in prepare().
// 3. Use the controls below: they are large enough for a thumb, work by keyboard, and have names.
// 4. Whatever the eye sees change, say with this.announce(): one sentence with the new values.
// 5. Colours are the variables in STYLE. They follow the light and dark theme by themselves,
//    because custom properties reach into a shadow tree. Never let colour carry a meaning alone.
// 6. Nothing moves unless asked to. `autoplay` does nothing for readers who prefer less motion.

// How far below or above the window a figure is built: about a screen.
const NEAR = "800px";

const STYLE = `
:host {
  --ink: var(--pst-color-text-base, #222832);
  --muted: var(--pst-color-text-muted, #48566b);
  --paper: var(--pst-color-background, #ffffff);
  --surface: var(--pst-color-surface, #f3f4f5);
  /* Okabe and Ito, as in cnnlib.plots.PALETTE */
  --blue: #0072B2;
  --vermilion: #D55E00;
  --green: #009E73;
  --purple: #CC79A7;
  --orange: #E69F00;
  --sky: #56B4E9;
  display: block;
  margin: 1.5rem 0;
  color: var(--ink);
  font-size: 1rem;
  line-height: 1.45;
}
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
section {
  border: 1px solid var(--muted);
  border-radius: 8px;
  padding: 0.75rem;
  position: relative;
  background: var(--paper);
}
p { margin: 0.4rem 0; }
.title { font-weight: 700; margin-top: 0; }
.hint { color: var(--muted); font-size: 0.875rem; }
.message { border-left: 4px solid var(--vermilion); padding-left: 0.6rem; }
.message:empty { display: none; }
.fields {
  display: grid;
  grid-template-columns: repeat(auto-fill, minmax(min(10rem, 45%), 1fr));
  gap: 0.25rem 1rem;
}
.field {
  display: grid; grid-template-columns: 1fr auto; column-gap: 0.5rem; min-width: 0;
  align-content: end; align-items: end; /* sliders line up where a label needs two lines */
}
.field > :is(input, select) { grid-column: 1 / -1; }
.field > label { font-size: 0.9rem; }
.field > .value { font-variant-numeric: tabular-nums; font-weight: 600; font-size: 0.9rem; }
button, select, input {
  font: inherit;
  color: var(--ink);
  min-height: 44px;
  min-width: 44px;
  width: 100%;
  margin: 0;
}
button, select, input[type="number"] {
  background: var(--surface);
  border: 1px solid var(--muted);
  border-radius: 6px;
  padding: 0 0.6rem;
}
button { width: auto; cursor: pointer; touch-action: manipulation; }
button[aria-disabled="true"] { color: var(--muted); border-style: dashed; cursor: default; }
button[aria-pressed="true"] { box-shadow: inset 0 0 0 3px var(--blue); }
input[type="range"] { accent-color: var(--blue); cursor: pointer; }
input:invalid { border: 2px solid var(--vermilion); }
:focus-visible { outline: 3px solid var(--vermilion); outline-offset: 2px; border-radius: 4px; }
.row { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; }
svg text { fill: var(--ink); }
.scroll { overflow: auto; max-width: 100%; }
.scroll svg { max-width: none; }
.hidden-visually {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;
}
.fallback { display: none; }
.failed > .fallback { display: block; margin-top: 0.75rem; }
@media print {
  .with-fallback > section { display: none; }
  .with-fallback > .fallback { display: block; }
}
@media (forced-colors: active) { svg { forced-color-adjust: none; background: var(--paper); } }
`;

const SVG = "http://www.w3.org/2000/svg";
let controls = 0; // gives every control an id of its own

/** An HTML element: `html("p", { class: "title" }, "text", child)`; `onclick` and the like listen. */
export function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** 1234567 as "1,234,567", with a real minus sign. */
export function formatInteger(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 }).replace("-", "−");
}

/** Large counts in millions, as papers give them: 854196224 is "854.2 M". */
export function formatCount(value) {
  if (Math.abs(value) < 1e6) return formatInteger(value);
  const [unit, letter] = Math.abs(value) < 999.95e6 ? [1e6, "M"] : [1e9, "G"];
  // A no-break space: number and unit stay on one line.
  return `${(value / unit).toFixed(unit === 1e6 ? 1 : 2).replace("-", "−")}\u00a0${letter}`;
}

/** A sum of signed numbers to read: [3, -2] is "3 − 2". */
export function formatSum(values) {
  return values
    .map((value, i) => {
      if (i === 0) return formatInteger(value);
      return value < 0 ? `− ${formatInteger(-value)}` : `+ ${formatInteger(value)}`;
    })
    .join(" ");
}

/** Whether the reader has asked the system for less motion. */
export function prefersStillness() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/**
 * A labelled slider over the whole numbers from min to max.
 * Returns { root, input, value }; setting `value` moves it without calling `change`.
 */
export function slider({ label, value, min, max, step = 1, text = formatInteger, change }) {
  const id = `control-${++controls}`;
  const shown = html("span", { class: "value", "aria-hidden": "true" });
  const input = html("input", { id, type: "range", min, max, step, value });
  const show = () => {
    shown.textContent = text(Number(input.value));
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => {
    show();
    change(Number(input.value));
  });
  show();
  return {
    root: html("div", { class: "field" }, html("label", { for: id }, label), shown, input),
    input,
    get value() {
      return Number(input.value);
    },
    set value(number) {
      input.value = number;
      show();
    },
    set max(number) {
      input.max = number;
      show();
    },
  };
}

/** A labelled field for a whole number; `change` gets the number, or null where there is none. */
export function numberField({ label, value, min, max, change }) {
  const id = `control-${++controls}`;
  const input = html("input", { id, type: "number", inputmode: "numeric", min, max, value });
  input.required = true;
  input.addEventListener("input", () => change(input.validity.valid ? input.valueAsNumber : null));
  return { root: html("div", { class: "field" }, html("label", { for: id }, label), input), input };
}

/** A labelled choice; `options` maps values to what the reader sees. */
export function choice({ label, value, options, change }) {
  const id = `control-${++controls}`;
  const list = Object.entries(options).map(([key, text]) => html("option", { value: key }, text));
  const input = html("select", { id, onchange: () => change(input.value) }, ...list);
  input.value = value;
  return { root: html("div", { class: "field" }, html("label", { for: id }, label), input), input };
}

/** A button with a word on it, and perhaps a sign in front that is not read out. */
export function button(text, click, { sign = "", ...attributes } = {}) {
  const word = html("span", {}, text);
  const root = html("button", { type: "button", onclick: click, ...attributes });
  if (sign) root.append(html("span", { "aria-hidden": "true" }, `${sign} `));
  root.append(word);
  return root;
}

/**
 * A grid of square cells with numbers in them.
 * Returns { root, set(row, column, text, kind) }: `kind` becomes the class of the cell.
 */
export function grid({ rows, columns, cell = 34, label }) {
  const root = svg("svg", {
    width: columns * cell + 2,
    viewBox: `-1 -1 ${columns * cell + 2} ${rows * cell + 2}`,
    role: "img",
    "aria-label": label,
  });
  const cells = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [x, y] = [column * cell, row * cell];
      const square = svg("rect", { x, y, width: cell, height: cell });
      const text = svg("text", {
        x: x + cell / 2,
        y: y + cell / 2,
        "text-anchor": "middle",
        "dominant-baseline": "central",
        "font-size": cell * 0.44,
      });
      const group = svg("g", { class: "cell" }, square, text);
      cells.push({ group, text });
      root.append(group);
    }
  }
  return {
    root,
    set(row, column, text, kind = "") {
      const one = cells[row * columns + column];
      one.text.textContent = text;
      one.group.setAttribute("class", `cell ${kind}`);
    },
  };
}

/** Style of grid(): padding is hatched by its dashed edge, the window is outlined. */
export const GRID_STYLE = `
.cell rect { fill: var(--paper); stroke: var(--muted); stroke-width: 1; }
.cell.padding rect { fill: var(--surface); stroke-dasharray: 3 3; }
.cell.tap rect {
  fill: color-mix(in srgb, var(--sky) 35%, var(--paper)); stroke: var(--blue); stroke-width: 3;
}
.cell.tap text { font-weight: 700; }
.cell.weight rect { fill: color-mix(in srgb, var(--purple) 28%, var(--paper)); }
.cell.product rect { fill: color-mix(in srgb, var(--green) 22%, var(--paper)); }
.cell.done rect { fill: color-mix(in srgb, var(--orange) 18%, var(--paper)); }
.cell.now rect {
  fill: color-mix(in srgb, var(--orange) 45%, var(--paper)); stroke: var(--vermilion); stroke-width: 3;
}
.cell.now text { font-weight: 700; }
`;

/** Base of all figures: a framed section, a live region, and the fallback for print. */
export class Figure extends HTMLElement {
  /** What the figure is called, above it and to a screen reader. Subclasses set it. */
  static title = "";
  /** Style of the subclass. */
  static style = "";

  connectedCallback() {
    if (this.shadowRoot) return; // moved within the page: it is built already
    this.attachShadow({ mode: "open" });
    const { title, style } = this.constructor;
    this.live = html("p", { class: "hidden-visually", "aria-live": "polite" });
    this.body = html("div", {});
    this.frame = html(
      "div",
      { class: this.childElementCount ? "with-fallback" : "" },
      html(
        "section",
        { "aria-label": `Interactive figure: ${title}` },
        html("p", { class: "title" }, title),
        this.body,
        this.live,
      ),
      html("div", { class: "fallback" }, html("slot")),
    );
    this.shadowRoot.append(html("style", {}, STYLE + style), this.frame);
    const prepared = this.prepare();
    if (prepared) prepared.then(() => this.start(), (error) => this.fail(error));
    else this.start();
  }

  /** Subclasses that need data get them here and give a promise; build() comes after it. */
  prepare() {}

  /** Build what can be played with. */
  start() {
    this.build();
    // Drawings are made for the width there is, so that their text never shrinks on a phone.
    let width = this.drawingWidth;
    new ResizeObserver(() => {
      if (this.drawingWidth === width) return;
      width = this.drawingWidth;
      this.redraw();
    }).observe(this.body);
  }

  /** Say that there are no data, and show the fallback. */
  fail(error) {
    const sentence = `This figure could not be loaded: ${error.message}. Reload the page to try again.`;
    this.body.replaceChildren(html("p", { class: "message" }, sentence));
    this.frame.classList.add("failed");
    this.announce(sentence);
  }

  /** Pixels that a drawing may be wide; 600 at most, and while the figure is not shown. */
  get drawingWidth() {
    return Math.min(this.body.clientWidth || 600, 600);
  }

  /** Called when drawingWidth has changed. */
  redraw() {}

  /** Say a sentence to a screen reader, once the reader's hand has come to rest. */
  announce(sentence) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.waiting = null;
      this.live.textContent = sentence;
    }, 250);
  }

  /** A whole number from an attribute, kept within what the control allows. */
  integer(name, otherwise, min, max) {
    if (!this.hasAttribute(name)) return otherwise;
    const value = Number(this.getAttribute(name));
    if (!Number.isInteger(value) || value < min || value > max) {
      const wanted = `a whole number from ${min} to ${max}`;
      console.error(`<${this.localName} ${name}="${this.getAttribute(name)}">: expected ${wanted}`);
      return otherwise;
    }
    return value;
  }
}

/**
 * Register a figure under its element name, once.
 *
 * Building a figure takes a slow telephone long enough to notice. So where the page has one, this
 * waits until the reader comes near; until then its still picture stands there.
 */
export function define(name, figure) {
  const register = () => {
    if (!customElements.get(name)) customElements.define(name, figure);
  };
  const waiting = document.querySelectorAll(name);
  if (!waiting.length) return register();
  const near = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      register();
    },
    { rootMargin: `${NEAR} 0px` },
  );
  for (const one of waiting) {
    one.style.display = "block";
    near.observe(one);
  }
}
