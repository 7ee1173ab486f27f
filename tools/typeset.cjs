// Typesets formulas with MathJax 3, outside a browser. `tools/formulas.py` runs this file:
//
//   node typeset.cjs FOLDER_OF_MATHJAX ADDRESS_OF_FONTS < formulas.json > typeset.json
//
// In: a list of [TeX, whether it stands alone on its line]. Out: { formulas, style }: for each
// formula { html } or { error }, and the style sheet for all of them.
//
// Source: MathJax 3.2 documentation, "Direct Use of MathJax Components".
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const [mathjaxFolder, fontURL] = process.argv.slice(2);
const COMPONENTS = [
  "core",
  "loader",
  "adaptors/liteDOM",
  "input/tex",
  "output/chtml",
  "output/chtml/fonts/tex",
  "a11y/assistive-mml",
];

// MathJax's own start looks for a browser. What it would put together is put together here.
global.MathJax = { loader: { load: [] }, startup: { ready() {} } };
for (const name of COMPONENTS) require(path.resolve(mathjaxFolder, `${name}.js`));
const parts = global.MathJax._;

const adaptor = parts.adaptors.liteAdaptor.liteAdaptor();
const handler = parts.handlers.html_ts.RegisterHTMLHandler(adaptor);
parts.a11y["assistive-mml"].AssistiveMmlHandler(handler); // MathML beside it, for screen readers
const tex = new parts.input.tex_ts.TeX({
  packages: ["base", "ams", "newcommand"],
  formatError: (_, error) => {
    throw error; // MathJax would write the message into the page
  },
});
const chtml = new parts.output.chtml_ts.CHTML({
  font: new parts.output.chtml.fonts.tex_ts.TeXFont({ fontURL }),
  adaptiveCSS: true, // rules for the signs that occur; those for all are ten times as long
  matchFontHeight: false, // there is no text around the formula to measure
});
const page = parts.mathjax.mathjax.document("", { InputJax: tex, OutputJax: chtml });

function typeset([source, display]) {
  try {
    return { html: adaptor.outerHTML(page.convert(source, { display, em: 16, ex: 8 })) };
  } catch (error) {
    return { error: error.message };
  }
}

const formulas = JSON.parse(fs.readFileSync(0, "utf8")).map(typeset);
const assistive = new parts.util.StyleList.CssStyles(page.constructor.assistiveStyles).cssText;
const style = [adaptor.textContent(chtml.styleSheet(page)), assistive].join("\n");
fs.writeFileSync(1, JSON.stringify({ formulas, style }));
