// A chapter is long, and a reader sees its beginning first. course.css lets the browser leave out
// what is not on the screen (`content-visibility: auto`), with a guess in place of each size. Here the
// rest is laid out block by block whenever the browser has nothing else to do. Then the page is
// whole: the scroll bar tells the truth, and the Tab key stops at boxes that scroll far below.
addEventListener("load", () => {
  const blocks = [...document.querySelectorAll(".bd-article section > *")].filter(
    (block) => getComputedStyle(block).contentVisibility === "auto",
  );
  const layOut = (deadline) => {
    do {
      const block = blocks.shift();
      if (!block) {
        document.documentElement.dataset.whole = ""; // for the tests and the bench
        return;
      }
      block.style.contentVisibility = "visible";
      block.getBoundingClientRect(); // lays it out now, so that the time it takes is counted
    } while (deadline.timeRemaining() > 5);
    idle(layOut);
  };
  // Safari has no idle callbacks, and by course.css no blocks that wait.
  const idle = window.requestIdleCallback ?? ((call) => call({ timeRemaining: () => 50 }));
  idle(layOut);
});
