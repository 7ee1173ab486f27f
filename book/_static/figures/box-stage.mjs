// Boxes that the reader moves: by mouse, pen or finger in the drawing, by arrow keys, and by
// sliders. Shared by the figures about detection.

import { choice, html, slider, svg } from "./frame.mjs";
import { movedBox, resizedBox } from "./detection.mjs";

/** Style of what boxStage() draws. */
export const BOX_STYLE = `
.stage { padding: 3px; }
.stage svg { background: var(--paper); border: 1px solid var(--muted); }
.grab { fill: transparent; cursor: move; }
.grab.corner { cursor: nwse-resize; }
.handle { fill: var(--paper); stroke: var(--ink); stroke-width: 2; pointer-events: none; }
.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4; pointer-events: none; }
.outline { fill: none; pointer-events: none; }
@media (pointer: coarse) { .keys { display: none; } }
`;

const THUMB = 44; // pixels of the screen that the corner to drag is wide

/**
 * A drawing with boxes to drag.
 *
 * size is [width, height] of the picture in its own pixels. `boxes()` gives the boxes of the
 * moment and `names` what they are called; `chosen()` the number of the one that keys and sliders
 * move. `change(index, box)` is called with whole coordinates, `choose(index)` when another box is
 * taken up. `tap(x, y)`, if given, is called for a tap beside all boxes, in pixels of the picture.
 *
 * Returns { root, controls, draw }: `controls` are the choice of the box and the sliders, and
 * draw(width, label, ...layers) draws anew, `width` pixels wide, with the given layers of SVG below
 * the places to grab.
 */
export function boxStage({ size, names, boxes, chosen, choose, change, tap, smallest = 8, step = 4 }) {
  // The places to grab stay the same elements: a touch ends when what it began on is taken away.
  const part = (name, attributes) => svg("rect", { class: "grab", "data-part": name, ...attributes });
  const bodies = names.map((_, index) => part("body", { "data-box": index }));
  const top = part("body"); // over the chosen box, so that it can be grabbed below others
  const corner = part("corner", { class: "grab corner", width: THUMB, height: THUMB });
  const handle = svg("rect", { class: "handle", width: 12, height: 12 });
  const picture = svg("g");
  const drawing = svg("svg", { role: "img" }, picture, ...bodies, top, corner, handle);
  let scale = 1;
  let drag = null; // { index, part, from: [x, y], box }

  const place = (event) => {
    const { left, top } = drawing.getBoundingClientRect();
    const border = 1;
    return [(event.clientX - left - border) / scale, (event.clientY - top - border) / scale];
  };
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return; // not the main button
    const grabbed = event.target.closest("[data-box]");
    if (!grabbed) {
      tap?.(...place(event));
      return;
    }
    const index = Number(grabbed.dataset.box);
    // Events go on to the drawing, whatever is redrawn below the finger.
    drawing.setPointerCapture(event.pointerId);
    drag = { index, part: grabbed.dataset.part, from: place(event), box: boxes()[index] };
    if (index !== chosen()) choose(index);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = place(event);
    const by = [Math.round(x - drag.from[0]), Math.round(y - drag.from[1])];
    const box = drag.part === "corner"
      ? resizedBox(drag.box, ...by, size, smallest)
      : movedBox(drag.box, ...by, size);
    change(drag.index, box);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    drawing.addEventListener(end, () => {
      drag = null;
    });
  }

  // A finger on a box drags it; elsewhere, or with a second finger, it scrolls and zooms as always.
  // (The property touch-action would say this in one line, but not for shapes inside a drawing.)
  drawing.addEventListener("touchstart", (event) => {
    if (event.touches.length === 1 && event.target.closest("[data-box]")) event.preventDefault();
  }, { passive: false });

  const arrows = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  const root = html("div", {
    class: "stage", role: "group", tabindex: 0,
    "aria-label": "The drawing. Arrow keys move the chosen box, with Shift they move its lower "
      + "right corner.",
    onkeydown: (event) => {
      if (!(event.key in arrows) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault(); // the page must not scroll
      const [dx, dy] = arrows[event.key].map((direction) => direction * step);
      const box = boxes()[chosen()];
      change(chosen(), event.shiftKey
        ? resizedBox(box, dx, dy, size, smallest)
        : movedBox(box, dx, dy, size));
    },
  }, drawing);

  const list = choice({
    label: "Box", value: "0", change: (value) => choose(Number(value)),
    options: Object.fromEntries(names.map((name, i) => [i, name])),
  });
  // What a slider does to the box: the first two move it, the last two move its far edges.
  const edges = [
    { label: "Left", axis: 0, get: (box) => box[0] },
    { label: "Top", axis: 1, get: (box) => box[1] },
    { label: "Width", axis: 0, far: true, get: (box) => box[2] - box[0] },
    { label: "Height", axis: 1, far: true, get: (box) => box[3] - box[1] },
  ].map(({ label, axis, far, get }) => ({
    get,
    control: slider({
      label, value: far ? smallest : 0, min: far ? smallest : 0,
      max: far ? size[axis] : size[axis] - smallest,
      change: (value) => {
        const box = boxes()[chosen()];
        const by = [0, 0];
        by[axis] = value - get(box);
        change(chosen(), far ? resizedBox(box, ...by, size, smallest) : movedBox(box, ...by, size));
      },
    }),
  }));

  const controls = [names.length > 1 ? list.root : null, ...edges.map(({ control }) => control.root)];
  return {
    root,
    controls: controls.filter(Boolean),
    draw(width, label, ...layers) {
      scale = (width - 8) / size[0]; // the frame around it takes the rest
      const [across, down] = size.map((length) => length * scale);
      drawing.setAttribute("width", across + 2);
      drawing.setAttribute("viewBox", `0 0 ${across} ${down}`);
      drawing.setAttribute("aria-label", label);
      picture.replaceChildren(...layers.flat());
      const put = (element, attributes) => {
        for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      };
      boxes().forEach((box, index) => {
        const [x1, y1, x2, y2] = box.map((value) => value * scale);
        put(bodies[index], { x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
        if (index !== chosen()) return;
        put(top, { x: x1, y: y1, width: x2 - x1, height: y2 - y1, "data-box": index });
        put(corner, { x: x2 - THUMB / 2, y: y2 - THUMB / 2, "data-box": index });
        put(handle, { x: x2 - 6, y: y2 - 6 });
      });
      list.input.value = String(chosen());
      for (const { get, control } of edges) control.value = get(boxes()[chosen()]);
    },
    /** Pixels of the screen per pixel of the picture, for the layers of a drawing so wide. */
    scaleFor: (width) => (width - 8) / size[0],
  };
}
