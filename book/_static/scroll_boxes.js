// Code, outputs, tables and formulas that are wider than the page scroll inside their own box. Only
// what can have the focus can be scrolled by keyboard in every browser, so such boxes, and no
// others, are stops of the Tab key.
//
// The theme would do this for all but the formulas. It measures and marks one box after the other,
// and each measurement makes the browser lay the page out again: the build takes that out of the
// theme's script (tools/lean_pages.py).
const SCROLL_BOXES =
  'mjx-container[display="true"], pre, .cell_output > .output, .pst-scrollable-table-container';

addEventListener("DOMContentLoaded", () => {
  // Called when the browser knows the sizes anyway, also when an answer is opened.
  const watched = new ResizeObserver((entries) => {
    const scrolls = ({ target }) =>
      target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    // All are measured before the first is marked.
    entries.map(scrolls).forEach((isStop, index) => {
      if (isStop) entries[index].target.tabIndex = 0;
      else entries[index].target.removeAttribute("tabindex");
    });
  });
  const boxes = document.querySelectorAll(SCROLL_BOXES);
  boxes.forEach((box) => watched.observe(box));
  // A formula in a font that has yet to come may stick out of its box, and no longer when the font
  // is there, while the box stays as it is. To be observed anew is to be measured anew.
  document.fonts.addEventListener("loadingdone", () => {
    for (const box of boxes) {
      watched.unobserve(box);
      watched.observe(box);
    }
  });
});
