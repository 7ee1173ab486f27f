// <channel-shuffle>: two grouped 1×1 convolutions, with or without a channel shuffle between them.
//
// Attributes: groups 1-4, each 1-4 (channels per group), plain (start without the shuffle).

import { button, define, Figure, formatInteger, html, slider, svg } from "./frame.mjs";
import { convParameters } from "./arithmetic.mjs";
import { dependencies, groupMembers, shuffleOrder } from "./shuffle.mjs";

const ROWS = 4; // input, after the first convolution, after the shuffle, output
const COLOURS = ["blue", "orange", "green", "purple"]; // one per group
const WIDEST = 36; // pixels from one channel to the next where there is room
const MARGIN = 22; // for the names of the operations
const LEVEL = 122; // from one row to the next

class ChannelShuffle extends Figure {
  static title = "Grouped convolution and channel shuffle";
  static style = `
.row { margin: 0.4rem 0; }
.verdict { font-size: 1.05rem; font-weight: 600; min-height: 3em; }
.wire { stroke: var(--muted); stroke-width: 1; opacity: 0.45; }
.wire.live { stroke: var(--ink); stroke-width: 2.5; opacity: 1; }
.node rect { fill: color-mix(in srgb, var(--group) 30%, var(--paper)); stroke: var(--group); stroke-width: 2; }
.node.live rect { stroke: var(--ink); stroke-width: 3; }
.node text { text-anchor: middle; dominant-baseline: central; }
.node.live text { font-weight: 700; }
.name { font-size: 13px; text-anchor: middle; }
.group-0 { --group: var(--blue); }
.group-1 { --group: var(--orange); }
.group-2 { --group: var(--green); }
.group-3 { --group: var(--purple); }
`;

  build() {
    this.groups = this.integer("groups", 3, 1, COLOURS.length);
    this.each = this.integer("each", 4, 1, 4);
    this.shuffled = !this.hasAttribute("plain");
    this.output = 0;
    const set = (name) => (value) => {
      this[name] = value;
      this.refresh();
      this.announce(this.verdict.textContent);
    };
    const groups = slider({
      label: "Groups g", value: this.groups, min: 1, max: COLOURS.length, change: set("groups"),
    });
    const each = slider({
      label: "Channels per group", value: this.each, min: 1, max: 4, change: set("each"),
    });
    this.follow = slider({
      label: "Follow output channel", value: 0, min: 0, max: 0, text: String, change: set("output"),
    });
    this.toggle = button("Shuffle the channels", () => set("shuffled")(!this.shuffled), {
      "aria-pressed": this.shuffled,
    });
    this.verdict = html("p", { class: "verdict" });
    this.drawing = html("div");
    this.cost = html("p");
    this.body.append(
      html("div", { class: "fields" }, groups.root, each.root, this.follow.root),
      html("div", { class: "row" }, this.toggle),
      this.verdict, this.drawing, this.cost,
      html("p", { class: "hint" }, "Colours tell the groups of the first convolution apart; a "
        + "channel keeps its colour and its number through the shuffle. Bold: what the chosen "
        + "output depends on."),
    );
    this.refresh();
  }

  redraw() {
    this.refresh();
  }

  refresh() {
    const channels = this.groups * this.each;
    this.output = Math.min(this.output, channels - 1);
    this.follow.max = channels - 1;
    this.follow.value = this.output;
    this.toggle.setAttribute("aria-pressed", this.shuffled);
    const { inputs } = dependencies(channels, this.groups, this.shuffled, this.output);
    const how = this.shuffled ? "With the shuffle" : "Without the shuffle";
    this.verdict.textContent = `${how}, output ${this.output} depends on ${inputs.length} of `
      + `${channels} input channels: ${inputs.join(", ")}.`;
    const dense = 2 * convParameters(channels, channels, 1, { bias: false });
    const grouped = 2 * convParameters(channels, channels, 1, { groups: this.groups, bias: false });
    this.cost.textContent = `Weights of the two 1×1 layers: ${formatInteger(grouped)} in `
      + `${this.groups} ${this.groups === 1 ? "group" : "groups"}, ${formatInteger(dense)} without `
      + "groups. The shuffle has none.";
    this.drawing.replaceChildren(this.draw(channels));
  }

  draw(channels) {
    const { groups, shuffled, output } = this;
    const order = shuffled
      ? shuffleOrder(channels, groups)
      : Array.from({ length: channels }, (_, k) => k);
    const live = dependencies(channels, groups, shuffled, output);
    const used = [new Set(live.inputs), new Set(live.middle), new Set(live.shuffled), new Set([output])];
    const group = (channel) => Math.floor(channel / this.each);
    // Which channel of the row below reads which of the row above.
    const reads = [
      (channel) => groupMembers(channels, groups, channel),
      (channel) => [order[channel]],
      (channel) => groupMembers(channels, groups, channel),
    ];
    const pitch = Math.min(WIDEST, (this.drawingWidth - MARGIN) / channels);
    const node = Math.min(pitch * 0.82, 27);
    const fontSize = Math.min(node * 0.6, 14);
    const x = (channel) => MARGIN + (channel + 0.5) * pitch;
    const y = (row) => row * LEVEL + 2;
    const wires = { idle: [], live: [] };
    reads.forEach((sources, row) => {
      for (let to = 0; to < channels; to++) {
        for (const from of sources(to)) {
          const on = used[row].has(from) && used[row + 1].has(to);
          wires[on ? "live" : "idle"].push(svg("line", {
            class: `wire ${on ? "live" : ""}`,
            x1: x(from), y1: y(row) + node, x2: x(to), y2: y(row + 1),
          }));
        }
      }
    });
    const nodes = Array.from({ length: ROWS * channels }, (_, index) => {
      const [row, channel] = [Math.floor(index / channels), index % channels];
      // After the shuffle a channel still shows where it came from.
      const origin = row === 2 ? order[channel] : channel;
      const kind = `node group-${group(origin)} ${used[row].has(channel) ? "live" : ""}`;
      return svg("g", { class: kind },
        svg("rect", { x: x(channel) - node / 2, y: y(row), width: node, height: node, rx: 4 }),
        svg("text", { x: x(channel), y: y(row) + node / 2, "font-size": fontSize },
          String(origin)));
    });
    const names = ["grouped conv", shuffled ? "shuffle" : "no shuffle", "grouped conv"];
    const operations = names.map((name, row) => {
      const middle = y(row) + (node + LEVEL) / 2;
      return svg("text", { class: "name", transform: `translate(15 ${middle}) rotate(-90)` }, name);
    });
    const width = MARGIN + channels * pitch;
    const height = y(ROWS - 1) + node + 2;
    return svg("svg", {
      width, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Wires between ${channels} channels in ${groups} groups. Order after the `
        + `shuffle: ${order.join(", ")}. Output ${output} depends on inputs ${live.inputs.join(", ")}.`,
    }, ...operations, ...wires.idle, ...wires.live, ...nodes);
  }
}

define("channel-shuffle", ChannelShuffle);
