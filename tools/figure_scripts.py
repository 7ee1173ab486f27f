"""Turn the modules of the interactive figures into scripts that run from the disk, too.

The figures are written as JavaScript modules that import each other (`book/_static/figures/*.mjs`).
Browsers refuse modules, and `fetch()`, to a page that was opened as a file; ordinary scripts they
run. So the build writes each module as such a script, `frame.mjs` as `frame.js`: what a module
exports is put into the object `courseFigures`, and what it imports is read from there. Nothing else
changes, and every line keeps its number. A data file becomes a script that puts its content there:
`draw-a-digit.json` is written as `draw-a-digit.json.js`, which `data.mjs` loads.

Understood are these forms, at the beginning of a line, and no others:

    import { name, otherName } from "./file.mjs";      (also over several lines)
    export const name = …
    export function name(…)
    export async function name(…)
    export class name
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tools import course

FIGURES = course.ROOT / "book" / "_static" / "figures"

STORE = "(globalThis.courseFigures ??= {})"
NAMES = r"\s*\w+(?:,\s*\w+)*,?\s*"
IMPORT = re.compile(rf'^import \{{({NAMES})\}} from "\./([\w-]+\.mjs)";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:const|function|async function|class) (\w+)\b)", re.MULTILINE)
# Comments that stand on lines of their own: there, words may stand that are refused elsewhere.
COMMENT = re.compile(r"^\s*(?://|/\*|\*)")
REFUSED = (
    (re.compile(r"^\s*(?:import|export)\b"), "a form of import or export that is not understood"),
    (re.compile(r"\bimport\s*[(.]"), "import() and import.meta do not work from the disk"),
    (re.compile(r"^(?!async\b)\S.*\bawait\b|^await\b"), "a script cannot wait outside a function"),
)
DEFINED = re.compile(r'^define\("([a-z]+(?:-[a-z]+)+)",', re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """A module and the script that it becomes.

    Attributes:
        name: Its file, as `frame.mjs`.
        imports: The names that it takes from each other file.
        exports: The names that others may take.
        element: The element that it defines, if it is a figure.
        script: The text of the script.
    """

    name: str
    imports: dict[str, list[str]]
    exports: list[str]
    element: str | None
    script: str


def convert(name: str, text: str) -> Module:
    """Turn the text of a module into a script.

    Raises:
        ValueError: The module has a form that is not understood; the message names the line.
    """
    imports: dict[str, list[str]] = {}

    def take(match: re.Match[str]) -> str:
        names, file = match.groups()
        imports.setdefault(file, []).extend(re.findall(r"\w+", names))
        return f'const {{{names}}} = courseFigures["{file}"];'

    exports = [match.group(2) for match in EXPORT.finditer(text)]
    body = EXPORT.sub(r"\1", IMPORT.sub(take, text))
    for number, line in enumerate(body.splitlines(), start=1):
        for pattern, reason in REFUSED:
            if pattern.search(line) and not COMMENT.match(line):
                raise ValueError(f"{name}, line {number}: {reason}: {line.strip()}")
    defined = DEFINED.findall(text)
    if defined not in ([], [name.removesuffix(".mjs")]):
        raise ValueError(f"{name} defines {', '.join(defined)}: an element is named as its file")
    # On the first and after the last line, so that all lines keep their numbers.
    script = f'{STORE}["{name}"] = (() => {{ "use strict"; {body.rstrip()}\n'
    script += f"return {{ {', '.join(exports)} }}; }})();\n"
    return Module(name, imports, exports, defined[0] if defined else None, script)


def read(folder: Path = FIGURES) -> dict[str, Module]:
    """All modules of a folder by their names.

    Raises:
        ValueError: A module is not understood, or takes from another what that does not have.
    """
    modules = {
        path.name: convert(path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.mjs"))
    }
    for module in modules.values():
        for file, names in module.imports.items():
            if file not in modules:
                raise ValueError(f"{module.name} imports from {file}, which is not in {folder}")
            missing = sorted(set(names) - set(modules[file].exports))
            if missing:
                raise ValueError(f"{module.name}: {file} does not export {', '.join(missing)}")
    return modules


def elements(modules: dict[str, Module]) -> dict[str, str]:
    """The module of each figure's element."""
    return {one.element: one.name for one in modules.values() if one.element}


def in_order(modules: dict[str, Module], wanted: list[str]) -> list[str]:
    """The modules to load for some wanted ones: each after all that it imports from.

    Raises:
        ValueError: Modules import each other in a circle.
    """
    ordered: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"modules import each other: {' → '.join((*path, name))}")
        if name in ordered:
            return
        for file in modules[name].imports:
            visit(file, (*path, name))
        ordered.append(name)

    for name in wanted:
        visit(name, ())
    return ordered


def needed_by(page: str, modules: dict[str, Module]) -> list[str]:
    """The modules that the figures in the HTML of a page need, in the order to load them."""
    tags = re.findall(r"<([a-z]+(?:-[a-z]+)+)[\s>]", page)
    figures = elements(modules)
    return in_order(modules, [figures[tag] for tag in dict.fromkeys(tags) if tag in figures])


def script_name(module: str) -> str:
    """The file of a module's script."""
    return f"{module.removesuffix('.mjs')}.js"


def tags(modules: list[str], folder: str = "") -> str:
    """The elements that load the scripts of modules, from `folder` (with a slash at its end)."""
    return "\n".join(
        # Deferred scripts run in the order of their tags, once the page is there.
        f'<script defer src="{folder}{script_name(module)}"></script>'
        for module in modules
    )


def data_script(name: str, text: str) -> str:
    """The script that hands over the content of a data file.

    Raises:
        ValueError: The text is not JSON.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    return f'{STORE}["{name}"] = {text.rstrip()};\n'


def write(output: Path, folder: Path = FIGURES) -> dict[str, Module]:
    """Write the scripts of all modules and data files of a folder; give the modules.

    Raises:
        ValueError: A module or a data file is not understood; nothing has been written then.
    """
    modules = read(folder)
    in_order(modules, list(modules))  # no circles, also among those that no page has yet
    scripts = {script_name(one.name): one.script for one in modules.values()}
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        scripts[f"{name}.js"] = data_script(name, path.read_text(encoding="utf-8"))
    for name, script in scripts.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        course.write_atomically(path, script)
    return modules
