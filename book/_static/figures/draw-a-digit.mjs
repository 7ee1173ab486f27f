// <draw-a-digit>: LeNet-5, trained by the course, reads what the reader draws, and shows every layer.
//
// Attributes: digit 0-9 (the stored one to begin with; 3 if left out).
//
// The weights are in draw-a-digit.json, which tools/digit_reader.py writes.

import { readData } from "./data.mjs";
import { button, choice, define, Figure, html, svg } from "./frame.mjs";
import {
  countBlocks, enlarge, forward, largest, network, rasterise,
} from "./lenet.mjs";

const DRAWN = "drawn";

const PAD = 240; // pixels of the screen that the place to draw is wide
const NEAREST = 0.01; // a point closer than this to the one before is left out
// Values of the maps, from black to white: the ends of the squashing function.
const LIMIT = 1.7159;
const LAYERS = [
  { key: "c1", name: "C1: 6 maps of 28 × 28", side: 56, columns: 6 },
  { key: "s2", name: "S2: 6 maps of 14 × 14", side: 42, columns: 6 },
  { key: "c3", name: "C3: 16 maps of 10 × 10", side: 36, columns: 8 },
  { key: "s4", name: "S4: 16 maps of 5 × 5", side: 30, columns: 8 },
];
const BAR = 26;

class DrawADigit extends Figure {
  static title = "Draw a digit, and LeNet-5 reads it";
  static style = `
.verdict { font-size: 1.1rem; font-weight: 600; min-height: 3em; }
.top { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: start; margin: 0.5rem 0; }
.pad svg { background: var(--paper); border: 2px solid var(--ink); border-radius: 6px; cursor: crosshair; touch-action: none; }
.stroke { fill: none; stroke: var(--ink); stroke-width: 16; stroke-linecap: round; stroke-linejoin: round; }
figure { margin: 0 0 0.75rem; }
.pad .row { margin-top: 0.5rem; }
figcaption { font-size: 0.875rem; color: var(--muted); }
.maps { display: flex; flex-wrap: wrap; gap: 4px; }
canvas { display: block; image-rendering: pixelated; border: 1px solid var(--muted); }
.bar { fill: var(--muted); }
.bar.best { fill: var(--blue); }
`;

  async prepare() {
    this.content = await readData("draw-a-digit.json");
    this.network = network(this.content);
  }

  build() {
    const { examples, accuracy } = this.content;
    const first = this.integer("digit", 3, 0, 9);
    this.strokes = [];
    this.choice = choice({
      label: "Picture", value: String(first), options: {
        ...Object.fromEntries(examples.map(({ label }) => [label, `stored digit ${label}`])),
        [DRAWN]: "your drawing",
      },
      change: (value) => {
        this.shown = value;
        this.refresh();
      },
    });
    this.shown = String(first);
    this.pad = svg("svg", {
      role: "img", width: PAD, viewBox: `0 0 ${PAD} ${PAD}`,
      "aria-label": "Place to draw a digit with mouse, pen or finger. With the keyboard, choose one "
        + "of the stored digits above.",
    });
    this.listen();
    const clear = button("Clear the drawing", () => {
      this.strokes = [];
      this.drawn();
    });
    const picture = (caption, side, pixels) => {
      const canvas = html("canvas", {
        width: side, height: side, role: "img", "aria-label": caption, style: `width:${pixels}px`,
      });
      return { canvas, root: html("figure", {}, html("figcaption", {}, caption), canvas) };
    };
    this.counts = picture("counted in blocks, 8 × 8", 8, 96);
    this.input = picture("what the network sees, 32 × 32", 32, 96);
    this.layers = LAYERS.map(({ key, name, side, columns }) => {
      const maps = html("div", { class: "maps", style: `max-width:${columns * (side + 4)}px` });
      return { key, name, side, maps, root: html("figure", {}, html("figcaption", {}, name), maps) };
    });
    this.c5 = picture("C5: 120 numbers, 12 in a row", 12, 84);
    this.c5.canvas.height = 10;
    this.f6 = picture("F6: 84 numbers, drawn as the 7 × 12 picture that stands for a class", 7, 70);
    this.f6.canvas.height = 12;
    this.code = picture("the picture of the class it reads", 7, 70);
    this.code.canvas.height = 12;
    this.verdict = html("p", { class: "verdict" });
    this.plot = html("div");
    this.body.append(
      html("div", { class: "fields" }, this.choice.root),
      html("div", { class: "top" },
        html("div", { class: "pad" }, html("p", {}, "Draw here:"), this.pad,
          html("div", { class: "row" }, clear)),
        html("div", {}, this.counts.root, this.input.root)),
      this.verdict, this.plot,
      ...this.layers.map(({ root }) => root),
      html("div", { class: "top" }, this.c5.root, this.f6.root, this.code.root),
      html("p", { class: "hint" }, "Black is −1.7 and white 1.7, the ends of the squashing function; in "
        + "the pictures on top black is ink. A drawing is brought to the size of the data set's "
        + "digits before it is read. The network has seen about a thousand digits of eight forms and "
        + `reads ${(100 * accuracy).toFixed(0)}\u00a0% of the test digits right; expect less `
        + "for a mouse."),
    );
    this.refresh(false);
  }

  /** Drawing by mouse, pen or finger. */
  listen() {
    const place = (event) => {
      const { left, top, width, height } = this.pad.getBoundingClientRect();
      const within = (value) => Math.min(Math.max(value, 0), 1);
      return [within((event.clientX - left) / width), within((event.clientY - top) / height)];
    };
    let drawing = false;
    this.pad.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.pad.setPointerCapture(event.pointerId);
      drawing = true;
      // What is drawn over a stored digit begins anew.
      if (this.shown !== DRAWN) this.strokes = [];
      this.strokes.push([place(event)]);
      this.drawn();
    });
    this.pad.addEventListener("pointermove", (event) => {
      if (!drawing) return;
      const stroke = this.strokes.at(-1);
      const [x, y] = place(event);
      const [lastX, lastY] = stroke.at(-1);
      if (Math.hypot(x - lastX, y - lastY) < NEAREST) return;
      stroke.push([x, y]);
      this.drawn();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.pad.addEventListener(end, () => {
        drawing = false;
      });
    }
  }

  drawn() {
    this.shown = DRAWN;
    this.choice.input.value = DRAWN;
    this.refresh();
  }

  redraw() {
    this.drawBars();
  }

  refresh(aloud = true) {
    const own = this.shown === DRAWN;
    const counts = own
      ? countBlocks(rasterise(this.strokes))
      : inRows(this.content.examples[Number(this.shown)].pixels, 8);
    const picture = enlarge(counts);
    this.result = forward(this.network, picture);
    this.pad.replaceChildren(...(own ? this.strokes : []).map((stroke) => svg("polyline", {
      class: "stroke", points: [...stroke, stroke.at(-1)].map((point) => point.map((v) => v * PAD)).join(" "),
    })));
    const best = largest(this.result.scores);
    const distances = this.result.scores.map((score) => -score);
    const second = largest(this.result.scores.map((score, i) => (i === best ? -Infinity : score)));
    const empty = own && !this.strokes.length;
    this.verdict.textContent = empty
      ? "Nothing is drawn yet."
      : `The network reads ${best}: distance ${distances[best].toFixed(1)} to its picture; next is `
        + `${second} with ${distances[second].toFixed(1)}.`;
    paint(this.counts.canvas, counts, 16, 0);
    paint(this.input.canvas, picture, 1, 0);
    for (const { key, name, side, maps } of this.layers) {
      const list = this.result[key];
      if (!maps.childElementCount) {
        maps.append(...list.map((map, i) => html("canvas", {
          width: map.length, height: map.length, role: "img", style: `width:${side}px`,
          "aria-label": `${name.split(":")[0]}, map ${i}`,
        })));
      }
      list.forEach((map, i) => paint(maps.children[i], map, -LIMIT, LIMIT));
    }
    paint(this.c5.canvas, inRows(this.result.c5, 12), -LIMIT, LIMIT);
    paint(this.f6.canvas, inRows(this.result.f6, 7), -LIMIT, LIMIT);
    paint(this.code.canvas, inRows(this.network.codes[best], 7), -LIMIT, LIMIT);
    this.drawBars();
    if (aloud) this.announce(this.verdict.textContent);
  }

  /** The distance of F6 to the picture of each class; the shortest wins. */
  drawBars() {
    const distances = this.result.scores.map((score) => -score);
    const best = largest(this.result.scores);
    const width = this.drawingWidth;
    const longest = Math.max(...distances);
    const text = (content, place) => svg("text", { "font-size": 13, ...place }, content);
    const [start, room] = [24, width - 24 - 56];
    this.plot.replaceChildren(html("p", { class: "hint" }, "Distance of F6 to the picture of each "
      + "class; the shortest wins:"), svg("svg", {
      width, viewBox: `0 0 ${width} ${10 * BAR}`, role: "img",
      "aria-label": `Distances: ${distances.map((value, i) => `${i}: ${value.toFixed(1)}`).join(", ")}`,
    }, ...distances.flatMap((value, i) => {
      const length = (value / longest) * room;
      const kind = i === best ? "bar best" : "bar";
      return [
        text(String(i), { x: 4, y: i * BAR + 17, "font-weight": i === best ? 700 : 400 }),
        svg("rect", { class: kind, x: start, y: i * BAR + 4, width: length, height: BAR - 8 }),
        text(value.toFixed(1), {
          x: start + length + 6, y: i * BAR + 17, "font-weight": i === best ? 700 : 400,
        }),
      ];
    })));
  }
}

function inRows(numbers, length) {
  return Array.from(
    { length: numbers.length / length }, (_, row) => numbers.slice(row * length, (row + 1) * length),
  );
}

/** Grey values into a canvas of as many pixels: `black` is drawn black, `white` white. */
function paint(canvas, rows, black, white) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, i) => {
    const grey = (255 * (value - black)) / (white - black);
    image.data.set([grey, grey, grey, 255], 4 * i); // clamped to 0..255 by the array
  });
  context.putImageData(image, 0, 0);
}

define("draw-a-digit", DrawADigit);
