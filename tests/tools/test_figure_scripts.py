"""Modules of the figures become scripts: which forms are understood, and what is refused."""

import json

import pytest

from tools import figure_scripts
from tools.figure_scripts import convert, data_script, in_order, needed_by, read, write

MODULE = """// A comment: import and export are explained here.
import { one, two } from "./other-file.mjs";
import {
  three,
  four,
} from "./frame.mjs";

/**
 * import { nothing } from a comment.
 */
export const WIDTH = 3;
export async function load() {
  await two();
}
export function steps() {}
export class Shape {}
const hidden = [one, three, four];
"""


def test_imports_and_exports_go_through_the_common_object():
    module = convert("drawing.mjs", MODULE)
    assert module.imports == {"other-file.mjs": ["one", "two"], "frame.mjs": ["three", "four"]}
    assert module.exports == ["WIDTH", "load", "steps", "Shape"]
    assert module.element is None
    lines = module.script.splitlines()
    assert lines[0].startswith('(globalThis.courseFigures ??= {})["drawing.mjs"] = (() => {')
    assert '"use strict"; // A comment' in lines[0]
    assert lines[1] == 'const { one, two } = courseFigures["other-file.mjs"];'
    assert lines[2:6] == ["const {", "  three,", "  four,", '} = courseFigures["frame.mjs"];']
    assert lines[-1] == "return { WIDTH, load, steps, Shape }; })();"


def test_all_other_lines_are_kept_and_keep_their_numbers():
    old, new = MODULE.splitlines(), convert("drawing.mjs", MODULE).script.splitlines()
    assert len(new) == len(old) + 1
    for before, after in zip(old, new, strict=False):
        if before.startswith(("import", "} from")):
            assert after.endswith('mjs"];') or after == "const {"
        else:
            assert after.endswith(before.removeprefix("export "))


@pytest.mark.parametrize(
    "line",
    [
        'import "./frame.mjs";',
        'import frame from "./frame.mjs";',
        'import * as frame from "./frame.mjs";',
        'import { html as h } from "./frame.mjs";',
        'import { html, } from "../frame.mjs";',
        'import { html } from "https://cdn.example/frame.mjs";',
        'import { html } from "./frame.mjs" with { type: "json" };',
        '  import { html } from "./frame.mjs";',
        "import { html } from './frame.mjs';",
        'const later = import("./frame.mjs");',
        'if (wanted) await import ("./frame.mjs");',
        "const here = import.meta.url;",
        "export default class {}",
        "export { html };",
        'export * from "./frame.mjs";',
        "export let count = 0;",
        "export function* steps() {}",
        "export var count = 0;",
        "export const { a, b } = pair;",
        "const answer = await fetch(address);",
        "await Promise.all([]);",
    ],
)
def test_other_forms_are_refused_with_their_line(line):
    with pytest.raises(ValueError, match=r"^drawing\.mjs, line 3: ") as refused:
        convert("drawing.mjs", f"// One\nconst two = 2;\n{line}\n")
    assert str(refused.value).endswith(line.strip())


def test_words_and_functions_that_look_alike_are_let_through():
    text = "// import('x')\nconst important = exported(3);\nasync function f() { await g(); }\n"
    assert convert("drawing.mjs", text).script.count("\n") == 4


def test_a_figure_is_named_as_its_file():
    assert convert("roi-align.mjs", 'define("roi-align", Shape);\n').element == "roi-align"
    with pytest.raises(ValueError, match=r"drawing\.mjs defines roi-align: an element is named"):
        convert("drawing.mjs", 'define("roi-align", Shape);\n')


@pytest.fixture
def folder(tmp_path):
    """A figure of three modules and a data file; another figure that needs one of them."""
    files = {
        "frame.mjs": "export const html = 1;\n",
        "sums.mjs": 'import { html } from "./frame.mjs";\nexport const sum = html;\n',
        "a-figure.mjs": 'import { sum } from "./sums.mjs";\nimport { html } from "./frame.mjs";\n'
        'define("a-figure", html + sum);\n',
        "b-figure.mjs": 'import { html } from "./frame.mjs";\ndefine("b-figure", html);\n',
        "more/numbers.json": '{"numbers": [1, 2]}\n',
    }
    for name, text in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "source"


def test_a_page_needs_the_modules_of_its_figures_each_after_its_imports(folder):
    modules = read(folder)
    needed = needed_by('<p><a-figure size="3">\n</a-figure>', modules)
    assert needed == ["frame.mjs", "sums.mjs", "a-figure.mjs"]
    both = needed_by("<b-figure></b-figure><a-figure>", modules)
    assert both == ["frame.mjs", "b-figure.mjs", "sums.mjs", "a-figure.mjs"]
    assert needed_by("<p>&lt;a-figure> <a-figures> <code-block>", modules) == []
    assert figure_scripts.tags(needed[:2], "../x/") == (
        '<script defer src="../x/frame.js"></script>\n<script defer src="../x/sums.js"></script>'
    )


def test_scripts_and_data_are_written(folder, tmp_path):
    modules = write(tmp_path / "built", folder)
    files = {
        path.relative_to(tmp_path / "built").as_posix(): path.read_text("utf-8")
        for path in (tmp_path / "built").rglob("*")
        if path.is_file()
    }
    scripts = {f"{name.removesuffix('.mjs')}.js": one.script for name, one in modules.items()}
    data = files.pop("more/numbers.json.js")
    assert files == scripts
    assert data.startswith('(globalThis.courseFigures ??= {})["more/numbers.json"] = {')
    assert json.loads(data.split(" = ", 1)[1].rstrip(";\n")) == {"numbers": [1, 2]}


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("sums.mjs", 'import { htm } from "./frame.mjs";\n', r"frame\.mjs does not export htm"),
        ("sums.mjs", 'import { x } from "./gone.mjs";\n', r"imports from gone\.mjs, which is not"),
        ("frame.mjs", 'import { sum } from "./sums.mjs";\n', "each other"),
        ("more/numbers.json", '{"numbers": [1,\n', r"more/numbers\.json is not JSON"),
    ],
)
def test_what_does_not_fit_together_stops_before_anything_is_written(
    folder, tmp_path, file, text, complaint
):
    old = (folder / file).read_text("utf-8")
    (folder / file).write_text(text + old, "utf-8")
    with pytest.raises(ValueError, match=complaint):
        write(tmp_path / "built", folder)
    assert not (tmp_path / "built").exists()


def test_a_circle_is_named(folder):
    (folder / "frame.mjs").write_text(
        'import { sum } from "./sums.mjs";\nexport const html = sum;\n', "utf-8"
    )
    with pytest.raises(ValueError, match=r"frame\.mjs → sums\.mjs → frame\.mjs"):
        in_order(read(folder), ["frame.mjs"])


def test_data_keep_their_value():
    text = json.dumps({"name": "×</script>", "value": -0.5, "list": [None, True]})
    script = data_script("numbers.json", text)
    assert json.loads(script.split(" = ", 1)[1].rstrip(";\n")) == json.loads(text)


def test_the_modules_of_the_course_are_understood():
    modules = read()
    assert {"frame.mjs", "data.mjs", "arithmetic.mjs"} <= set(modules)
    assert len(figure_scripts.elements(modules)) == 11
    ordered = in_order(modules, list(modules))
    assert sorted(ordered) == sorted(modules)
    for name, module in modules.items():
        assert all(ordered.index(file) < ordered.index(name) for file in module.imports)
