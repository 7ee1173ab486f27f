// <detection-playground>: boxes to drag; what overlaps, what suppression keeps, what AP says.
//
// Attributes: preset (a key of PRESETS), threshold 0-100 (IoU in hundredths above which a box
// suppresses another), found 5-95 (IoU in hundredths from which an object counts as found),
// benchmark (voc2010, voc2007, coco).

import { assess, BENCHMARKS, envelope, readings } from "./detection.mjs";
import { BOX_STYLE, boxStage } from "./box-stage.mjs";
import { choice, define, Figure, html, slider, svg } from "./frame.mjs";

const SIZE = [240, 160];
const OBJECTS = ["A", "B", "C"];
const PRESETS = {
  duplicates: {
    name: "several boxes on each object",
    objects: [[20, 30, 90, 110], [130, 20, 200, 80], [150, 100, 230, 150]],
    boxes: [
      [22, 28, 92, 106], [14, 36, 84, 116], [132, 24, 204, 84], [124, 10, 188, 68],
      [146, 96, 222, 152], [70, 96, 120, 146],
    ],
    scores: [95, 80, 90, 60, 55, 70],
  },
  crowd: {
    name: "two objects close together",
    objects: [[40, 30, 110, 130], [66, 34, 136, 134], [170, 60, 225, 130]],
    boxes: [
      [42, 28, 112, 128], [68, 36, 138, 136], [36, 40, 104, 140], [168, 56, 222, 128],
      [52, 30, 122, 130], [182, 76, 238, 148],
    ],
    scores: [92, 85, 70, 88, 55, 86],
  },
  loose: {
    name: "boxes that are a little off",
    objects: [[20, 20, 80, 90], [110, 30, 180, 100], [60, 105, 150, 150]],
    boxes: [
      [34, 34, 96, 108], [122, 22, 190, 86], [50, 98, 132, 154], [16, 16, 70, 84],
      [180, 100, 225, 150], [100, 38, 176, 110],
    ],
    scores: [97, 91, 84, 66, 58, 45],
  },
};
const COUNTS = {
  voc2010: "VOC since 2010: exact area", voc2007: "VOC 2007: 11 points", coco: "COCO: 101 points",
};
const PLOT = { height: 200, left: 40, right: 10, top: 22, bottom: 36 };

const fixed = (value) => value.toFixed(2);

class DetectionPlayground extends Figure {
  static title = "Overlap, suppression and average precision";
  static style = `
${BOX_STYLE}
.verdict { font-weight: 600; min-height: 3em; }
.object { fill: color-mix(in srgb, var(--green) 18%, var(--paper)); }
.object-edge { stroke: var(--green); stroke-width: 3; }
.box-edge { stroke: var(--blue); stroke-width: 2.5; }
.box-edge.dropped { stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 3 4; }
.box-edge.false { stroke: var(--vermilion); }
.chosen { stroke-width: 4.5; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; }
th, td { padding: 0.15rem 0.45rem; border-bottom: 1px solid var(--surface); text-align: right; white-space: nowrap; }
td.over { font-weight: 700; box-shadow: inset 0 0 0 2px var(--blue); }
td.enough { font-weight: 700; box-shadow: inset 0 0 0 2px var(--green); }
td.words, th.words { text-align: left; }
.axis { stroke: var(--muted); fill: none; }
.area { fill: color-mix(in srgb, var(--blue) 25%, var(--paper)); }
.curve { stroke: var(--blue); stroke-width: 2.5; fill: none; }
.reading { fill: var(--blue); }
.zigzag { stroke: var(--ink); stroke-width: 1.5; fill: none; stroke-dasharray: 4 3; }
.measured { fill: var(--paper); stroke: var(--ink); stroke-width: 2; }
`;

  build() {
    this.preset = this.oneOf("preset", "duplicates", Object.keys(PRESETS));
    this.threshold = this.integer("threshold", 50, 0, 100);
    this.foundFrom = this.integer("found", 50, 5, 95);
    this.benchmark = this.oneOf("benchmark", "voc2010", Object.keys(BENCHMARKS));
    const set = (name) => (value) => {
      this[name] = value;
      this.refresh();
    };
    const hundredths = (value) => fixed(value / 100);
    const start = choice({
      label: "Start from", value: this.preset, change: (value) => {
        this.preset = value;
        this.begin();
        this.refresh();
      },
      options: Object.fromEntries(Object.entries(PRESETS).map(([key, { name }]) => [key, name])),
    });
    const threshold = slider({
      label: "Suppress above IoU", value: this.threshold, min: 0, max: 100, text: hundredths,
      change: set("threshold"),
    });
    const foundFrom = slider({
      label: "Found from IoU", value: this.foundFrom, min: 5, max: 95, text: hundredths,
      change: set("foundFrom"),
    });
    const benchmark = choice({
      label: "Area by", value: this.benchmark, options: COUNTS, change: set("benchmark"),
    });
    this.score = slider({
      label: "Score", value: 0, min: 0, max: 100, text: hundredths,
      change: (value) => {
        this.scores[this.chosen] = value;
        this.refresh();
      },
    });
    this.begin();
    this.numbers = this.boxes.map((_, i) => String(i + 1));
    this.stage = boxStage({
      size: SIZE,
      names: [
        ...this.numbers.map((number) => `detection ${number}`),
        ...OBJECTS.map((letter) => `object ${letter}`),
      ],
      boxes: () => [...this.boxes, ...this.objects],
      chosen: () => this.chosen,
      choose: (index) => {
        this.chosen = index;
        this.refresh();
      },
      change: (index, box) => {
        if (index < this.boxes.length) this.boxes[index] = box;
        else this.objects[index - this.boxes.length] = box;
        this.refresh();
      },
    });
    this.verdict = html("p", { class: "verdict" });
    this.table = html("div", {
      class: "scroll", role: "group", tabindex: 0, "aria-label": "Overlaps and what follows",
    });
    this.plot = html("div");
    this.body.append(
      html("div", { class: "fields" }, start.root, threshold.root, foundFrom.root, benchmark.root),
      this.verdict, this.stage.root,
      html("p", { class: "hint" }, "Drag a box, or its lower right corner. Filled: the objects A, "
        + "B, C. Boxes 1 to 6 are detections: blue has found an object, red has not, dashed has "
        + "been suppressed; the table says the same in words."),
      html("p", { class: "hint keys" }, "With the keyboard: choose a box below, then Tab back to the "
        + "drawing and use the arrow keys, with Shift to change the size."),
      html("div", { class: "fields" }, ...this.stage.controls, this.score.root),
      this.table, this.plot,
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

  /** Take over the boxes of the preset. */
  begin() {
    const { boxes, scores, objects } = PRESETS[this.preset];
    this.boxes = boxes.map((box) => [...box]);
    this.objects = objects.map((box) => [...box]);
    this.scores = [...scores];
    this.chosen = 0;
  }

  redraw() {
    this.draw();
    this.drawCurve();
  }

  refresh(aloud = true) {
    this.result = assess({
      boxes: this.boxes, scores: this.scores, objects: this.objects, benchmark: this.benchmark,
      threshold: this.threshold / 100, foundFrom: this.foundFrom / 100,
    });
    const { kept, found, averagePrecision } = this.result;
    const hits = found.filter((object) => object >= 0).length;
    this.verdict.textContent = `${kept.length} of ${this.boxes.length} boxes stay. ${hits} of `
      + `${this.objects.length} objects are found, ${kept.length - hits} `
      + `${kept.length - hits === 1 ? "box is" : "boxes are"} false. `
      + `AP ${fixed(averagePrecision)}.`;
    const isBox = this.chosen < this.boxes.length;
    this.score.root.hidden = !isBox;
    if (isBox) this.score.value = this.scores[this.chosen];
    this.draw();
    this.list();
    this.drawCurve();
    if (aloud) this.announce(`${this.verdict.textContent} ${this.chosenText()}`);
  }

  /** The chosen box in words. */
  chosenText() {
    if (this.chosen >= this.boxes.length) {
      const object = this.chosen - this.boxes.length;
      const finder = this.result.found.indexOf(object);
      const by = finder < 0 ? "not found" : `found by box ${this.numbers[finder]}`;
      return `Object ${OBJECTS[object]}: ${this.objects[object].join(", ")}; ${by}.`;
    }
    return `Box ${this.numbers[this.chosen]}: ${this.boxes[this.chosen].join(", ")}; `
      + `${this.fate(this.chosen)}.`;
  }

  /** What became of a detection. */
  fate(i) {
    const { droppedBy, found } = this.result;
    if (droppedBy[i] !== null) return `suppressed by ${this.numbers[droppedBy[i]]}`;
    return found[i] >= 0 ? `finds ${OBJECTS[found[i]]}` : "false";
  }

  draw() {
    const width = this.drawingWidth;
    const scale = this.stage.scaleFor(width);
    const rect = (box, attributes) => {
      const [x1, y1, x2, y2] = box.map((value) => value * scale);
      return svg("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, ...attributes });
    };
    const mark = (index) => (index === this.chosen ? " chosen" : "");
    const label = (text, x, y, anchor) => svg("text", {
      class: "halo", x: x * scale, y: y * scale, "text-anchor": anchor, "font-size": 15,
      "font-weight": 700,
    }, text);
    const objects = this.objects.flatMap((box, i) => [
      rect(box, { class: "object" }),
      rect(box, { class: `outline object-edge${mark(this.boxes.length + i)}` }),
    ]);
    const fates = this.boxes.map((_, i) => {
      if (this.result.droppedBy[i] !== null) return "dropped";
      return this.result.found[i] >= 0 ? "true" : "false";
    });
    const detections = this.boxes.map(
      (box, i) => rect(box, { class: `outline box-edge ${fates[i]}${mark(i)}` }),
    );
    const names = [
      ...this.objects.map(([, , x2, y2], i) => label(OBJECTS[i], x2 - 4, y2 - 4, "end")),
      ...this.boxes.map(([x1, y1], i) => label(this.numbers[i], x1 + 3, y1 + 12, "start")),
    ];
    const what = this.boxes.map((_, i) => `box ${this.numbers[i]} ${this.fate(i)}`).join("; ");
    this.stage.draw(width, `Six detections and three objects: ${what}.`, objects, detections, names);
  }

  /** The overlaps, and what follows from them. */
  list() {
    const { order, iou, withObjects, droppedBy, kept } = this.result;
    const head = (text, scope = "col", kind = "") => html("th", { scope, class: kind }, text);
    const rows = order.map((i, place) => html("tr", {},
      head(this.numbers[i], "row"),
      html("td", {}, fixed(this.scores[i] / 100)),
      ...order.map((j, other) => {
        if (other >= place) return html("td", {}, ""); // only better boxes suppress
        const over = kept.includes(j) && iou[i][j] > this.threshold / 100;
        return html("td", { class: over ? "over" : "" }, fixed(iou[i][j]));
      }),
      ...withObjects[i].map((value) => {
        const enough = droppedBy[i] === null && value >= this.foundFrom / 100;
        return html("td", { class: enough ? "enough" : "" }, fixed(value));
      }),
      html("td", { class: "words" }, this.fate(i)),
    ));
    this.table.replaceChildren(html("table", {},
      html("caption", {}, "IoU with better boxes and with the objects, by falling score"),
      html("thead", {}, html("tr", {},
        head("box"), head("score"), ...order.map((j) => head(this.numbers[j])),
        ...OBJECTS.map((letter) => head(letter)), head("so it", "col", "words"))),
      html("tbody", {}, ...rows)));
  }

  drawCurve() {
    const { precision, recall, averagePrecision } = this.result;
    const { curve } = BENCHMARKS[this.benchmark];
    const width = this.drawingWidth;
    const bottom = PLOT.height - PLOT.bottom;
    const x = (value) => PLOT.left + value * (width - PLOT.right - PLOT.left);
    const y = (value) => bottom - value * (bottom - PLOT.top);
    const best = envelope(precision);
    let steps = `M${x(0)} ${y(best[0] ?? 0)}`;
    best.forEach((value, i) => {
      steps += `V${y(value)}H${x(recall[i])}`;
    });
    steps += `V${y(0)}`;
    const text = (content, place) => svg("text", { "font-size": 12, ...place }, content);
    const marks = [0, 0.5, 1].flatMap((value) => [
      text(String(value), { x: x(value), y: bottom + 15, "text-anchor": "middle" }),
      text(String(value), { x: PLOT.left - 6, y: y(value) + 4, "text-anchor": "end" }),
    ]);
    const heightAt = (point) => best[recall.findIndex((value) => value >= point)] ?? 0;
    const dots = (readings(curve) ?? []).map((point) => svg("circle", {
      class: "reading", cx: x(point), cy: y(heightAt(point)), r: curve === "11-point" ? 4.5 : 2.2,
    }));
    const zigzag = precision.map((value, i) => `${i ? "L" : "M"}${x(recall[i])} ${y(value)}`).join("");
    const points = precision.map(
      (value, i) => svg("circle", { class: "measured", cx: x(recall[i]), cy: y(value), r: 4 }),
    );
    this.plot.replaceChildren(svg("svg", {
      width, viewBox: `0 0 ${width} ${PLOT.height}`, role: "img",
      "aria-label": `Precision over recall. After each kept box, precision `
        + `${precision.map(fixed).join(", ")} at recall ${recall.map(fixed).join(", ")}. `
        + `Area ${fixed(averagePrecision)}.`,
    },
    svg("path", { class: "area", d: `${steps}H${x(0)}Z` }),
    svg("path", { class: "axis", d: `M${x(0)} ${y(1)}V${bottom}H${x(1)}` }),
    ...marks,
    text("↑ Precision", { x: 0, y: 12 }),
    text("Recall →", { x: width - PLOT.right, y: PLOT.height - 4, "text-anchor": "end" }),
    svg("path", { class: "curve", d: steps }), svg("path", { class: "zigzag", d: zigzag }),
    ...dots, ...points));
  }
}

define("detection-playground", DetectionPlayground);
