// Reading a data file of this folder.
//
// A page that was opened from the disk may not fetch(). It may load scripts, so the build writes
// each *.json file here as a script that hands its content over (tools/figure_scripts.py), and that
// script is loaded when the content is wanted.

const FOLDER = new URL(".", document.currentScript.src);
const wanted = new Map(); // by file: what was given out for it

/**
 * A promise of the content of a file such as "draw-a-digit.json". It is loaded once; after a
 * failure, asking again tries again.
 */
export function readData(file) {
  if (!wanted.has(file)) wanted.set(file, load(file));
  return wanted.get(file);
}

function load(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const settle = () => {
      script.remove();
      const content = courseFigures[file];
      if (content !== undefined) return resolve(content);
      wanted.delete(file);
      reject(new Error(`${file} is missing or damaged`));
    };
    script.onload = settle;
    script.onerror = settle;
    script.src = new URL(`${file}.js`, FOLDER);
    document.head.append(script);
  });
}
