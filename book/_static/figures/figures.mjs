// Entry point, loaded by every page of the book: fetches a figure's module only where the page has
// that figure. How figures are written and embedded is told at the top of frame.mjs.

const FIGURES = {
  "conv-stepper": "./conv-stepper.mjs",
  "stack-calculator": "./stack-calculator.mjs",
  "inception-cost": "./inception-cost.mjs",
  "channel-shuffle": "./channel-shuffle.mjs",
  "network-comparison": "./network-comparison.mjs",
};

for (const [element, file] of Object.entries(FIGURES)) {
  if (document.querySelector(element)) import(file);
}
