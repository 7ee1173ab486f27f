// Overlap, non-maximum suppression and average precision: cnnlib.detection in JavaScript, with the
// same names and rules. Nothing here touches the document.
//
// A box is [x1, y1, x2, y2] in pixels, edges as points of a plane, so it is x2 - x1 wide.

/** Area of a box; 0 if its edges are in the wrong order. */
export function boxArea([x1, y1, x2, y2]) {
  return Math.max(x2 - x1, 0) * Math.max(y2 - y1, 0);
}

/** { intersection, union } of two boxes, in square pixels. */
export function overlap(a, b) {
  const width = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const height = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const intersection = width * height;
  return { intersection, union: boxArea(a) + boxArea(b) - intersection };
}

/** Intersection over union of every box of the one list with every box of the other. */
export function boxIou(boxes1, boxes2) {
  return boxes1.map((a) => boxes2.map((b) => {
    const { intersection, union } = overlap(a, b);
    return union === 0 ? 0 : intersection / union;
  }));
}

/** Indices by falling score; of equal scores the earlier comes first. */
export function byScore(scores) {
  return scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
}

/**
 * Greedy non-maximum suppression: { kept, droppedBy }. `kept` are indices, best first;
 * `droppedBy[i]` is the kept box that box i had to give way to, or null.
 *
 * A box goes if its IoU with a kept, better box is greater than the threshold.
 */
export function nms(boxes, scores, threshold) {
  const kept = [];
  const droppedBy = boxes.map(() => null);
  for (const i of byScore(scores)) {
    const stronger = kept.find((j) => {
      const { intersection, union } = overlap(boxes[j], boxes[i]);
      return intersection > threshold * union; // without 0 / 0
    });
    if (stronger === undefined) kept.push(i);
    else droppedBy[i] = stronger;
  }
  return { kept, droppedBy };
}

/**
 * Which object each detection has found: its number, or -1. `iou` has one row per detection, from
 * the best to the worst, and one column per object. An object is found once. By the rule "coco" a
 * detection takes the object that it overlaps most among those still free, by the rule "voc" it
 * wants the one that it overlaps most of all.
 */
export function matchDetections(iou, threshold, rule = "coco") {
  const enough = Math.min(threshold, 1 - 1e-10); // as in COCO's code
  const taken = new Set();
  return iou.map((row) => {
    let target = -1;
    row.forEach((value, object) => {
      if (rule === "coco" && (taken.has(object) || value < enough)) return;
      const best = target < 0 ? -1 : row[target];
      // Of equal overlaps COCO takes the last, VOC the first.
      if (rule === "coco" ? value >= best : value > best) target = object;
    });
    if (target < 0 || row[target] < enough || taken.has(target)) return -1;
    taken.add(target);
    return target;
  });
}

/** { precision, recall } after each detection, from the best to the worst. */
export function precisionRecall(correct, numObjects) {
  let found = 0;
  const precision = [];
  const recall = [];
  correct.forEach((hit, i) => {
    found += hit ? 1 : 0;
    precision.push(found / (i + 1));
    recall.push(found / numObjects);
  });
  return { precision, recall };
}

/** The best precision at this or any higher recall: a running maximum from the right. */
export function envelope(precision) {
  const best = [...precision];
  for (let i = best.length - 2; i >= 0; i--) best[i] = Math.max(best[i], best[i + 1]);
  return best;
}

/** Recalls at which a rule reads the curve; null for the exact area. */
export function readings(curve) {
  if (curve === "all-point") return null;
  const steps = curve === "11-point" ? 10 : 100;
  return Array.from({ length: steps + 1 }, (_, i) => (steps === 10 ? i / 10 : i === 100 ? 1 : i * 0.01));
}

/** Area under the precision-recall curve by the rule "all-point", "11-point" or "101-point". */
export function averagePrecision(precision, recall, curve = "all-point") {
  const best = envelope(precision);
  const points = readings(curve);
  if (!points) {
    return best.reduce((sum, value, i) => sum + (recall[i] - (i ? recall[i - 1] : 0)) * value, 0);
  }
  const heights = points.map((point) => {
    const first = recall.findIndex((value) => value >= point);
    return first < 0 ? 0 : best[first];
  });
  return heights.reduce((sum, value) => sum + value, 0) / points.length;
}

/** How the benchmarks count: the rule of the area and the rule of who finds what. */
export const BENCHMARKS = {
  voc2010: { curve: "all-point", rule: "voc" },
  voc2007: { curve: "11-point", rule: "voc" },
  coco: { curve: "101-point", rule: "coco" },
};

/**
 * From boxes and scores to the one number: suppression, matching, curve, average precision.
 *
 * Everything about detections in the result is listed by the number of the detection, except
 * `kept` and what belongs to the curve (`precision`, `recall`), which go by falling score.
 */
export function assess({ boxes, scores, objects, threshold, foundFrom, benchmark }) {
  const { curve, rule } = BENCHMARKS[benchmark];
  const { kept, droppedBy } = nms(boxes, scores, threshold);
  const withObjects = boxIou(boxes, objects);
  const matched = matchDetections(kept.map((i) => withObjects[i]), foundFrom, rule);
  const found = boxes.map(() => -1);
  kept.forEach((i, place) => {
    found[i] = matched[place];
  });
  const { precision, recall } = precisionRecall(matched.map((object) => object >= 0), objects.length);
  return {
    order: byScore(scores),
    iou: boxIou(boxes, boxes),
    withObjects,
    kept,
    droppedBy,
    found,
    precision,
    recall,
    averagePrecision: averagePrecision(precision, recall, curve),
  };
}

/** A box moved by (dx, dy), kept inside a picture of the given size. */
export function movedBox([x1, y1, x2, y2], dx, dy, [width, height]) {
  const right = Math.min(Math.max(dx, -x1), width - x2);
  const down = Math.min(Math.max(dy, -y1), height - y2);
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

/** A box whose lower right corner is moved, kept inside the picture and not below a size. */
export function resizedBox([x1, y1, x2, y2], dx, dy, [width, height], smallest) {
  const limit = (value, low, high) => Math.min(Math.max(value, Math.min(low, high)), high);
  return [x1, y1, limit(x2 + dx, x1 + smallest, width), limit(y2 + dy, y1 + smallest, height)];
}
