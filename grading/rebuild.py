"""From a source notebook and a submission to the list of cells that is really run.

Threat model. A submission is a file that anybody may have edited with anything: its test cells,
metadata and outputs say nothing. So only the *text of the student's cells* is taken from it, and
everything else, above all the test cells, comes from the source notebook. The file itself is
parsed with size caps and without running any of it; the student's code is parsed to learn which
names it defines, never imported. This happens outside the sandbox, so there are caps for how much
is parsed: a text made for the purpose costs a parser many times what an honest one does.

Accidents are more frequent than attacks: Colab copies cells with their ids, editors lose
metadata, students merge two cells or write a helper between two tasks. A solution cell is
therefore looked for by its ``grade_id``; a cell found that way is believed only if it defines the
function the task asks for (or nothing better is found). Otherwise the cell at the same position
is taken, and otherwise whichever cell defines the function. Cells that belong to nobody are the
student's helper cells and keep their place. Whatever had to be guessed is written into
`Plan.notes`, for the instructor and for the student.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_CELLS = 3000
MAX_PARTS = 3_000_000  # values and containers in the JSON
MAX_CELL_CHARACTERS = 200_000  # a longer cell is left out
MAX_PARSED_CHARACTERS = 20_000  # of a longer cell only what looks like a definition is seen
MAX_CODE_CHARACTERS = 250_000  # of all cells, a longer one counted as one that is just parsed
MAX_REMEMBERED_CHARACTERS = 300_000
# What students find where the reference has its solution. nbgrader puts it there, so its
# configuration says the same (ClearSolutions.code_stub), and a test compares the two.
STUB = 'raise NotImplementedError("Write your answer here, then remove this line.")'

_SOLUTION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION.*?^[ \t]*### END SOLUTION[^\n]*\n?", re.M | re.S
)
_MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.M)
_HIDDEN = re.compile(
    r"^[ \t]*### BEGIN HIDDEN TESTS.*?^[ \t]*### END HIDDEN TESTS[^\n]*\n?", re.M | re.S
)


class RebuildError(ValueError):
    """The file cannot be graded; the message tells the student or the instructor why."""


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook, read defensively.

    Attributes:
        index: Position in its notebook, from 0.
        kind: "code", "markdown" or "raw".
        source: Text, with Unix line ends.
        cell_id: Jupyter's own id, "" if there is none.
        grade_id: nbgrader's id, "" if there is none.
        grade: nbgrader: the cell gives points.
        solution: nbgrader: the student writes here.
        locked: nbgrader: the student must not edit it.
        points: nbgrader: the most it can give.
    """

    index: int
    kind: str
    source: str
    cell_id: str = ""
    grade_id: str = ""
    grade: bool = False
    solution: bool = False
    locked: bool = False
    points: float = 0.0

    @property
    def is_test(self) -> bool:
        """Whether the cell is a test: gives points and is not written by the student."""
        return self.kind == "code" and self.grade and not self.solution


@dataclass(frozen=True)
class Item:
    """One step of grading.

    Attributes:
        kind: "student" (the student's text), "instructor" (from the source notebook, no points),
            "test" (run by the checker) or "manual" (for a human; run if it is code).
        name: grade_id, or a description of where the cell stands.
        source: Code; empty for a manual cell of text.
        points: The most that a test or manual item gives.
    """

    kind: str
    name: str
    source: str
    points: float = 0.0


@dataclass
class Plan:
    """What to run for one submission.

    Attributes:
        items: Steps in order.
        student_names: Names that the reference solution binds: in test cells these, and only
            these, mean the student's objects. A student who redefines ``torch`` or a check
            function changes nothing for the tests.
        student_classes: Those of them that are classes, with the special methods that the
            reference defines.
        notes: What was damaged and how it was understood.
    """

    items: list[Item]
    student_names: frozenset[str]
    student_classes: dict[str, frozenset[str]]
    notes: list[str] = field(default_factory=list)

    @property
    def max_score(self) -> float:
        """The points of all tests and manual cells."""
        return sum(item.points for item in self.items if item.kind in ("test", "manual"))


def read_file(path: Path) -> bytes:
    """Read a notebook file, refusing what is not an ordinary file of acceptable size."""
    if path.is_symlink() or not path.is_file():
        raise RebuildError(f"{path.name} is not an ordinary file")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    _check_size(data)
    return data


def read_cells(data: bytes) -> list[Cell]:
    """Read the cells of a notebook from the bytes of its file.

    Raises:
        RebuildError: The bytes are not a usable notebook; the message says what they are.
    """
    _check_size(data)
    if not data.strip():
        raise RebuildError("the file is empty")
    notebook = _parse_json(_decode_text(data))
    if not isinstance(notebook, dict) or not ({"cells", "worksheets"} & notebook.keys()):
        raise RebuildError("the file is JSON, but not a notebook")
    raw_cells = notebook["cells"] if "cells" in notebook else _version_3_cells(notebook)
    if not isinstance(raw_cells, list):
        raise RebuildError("the notebook's list of cells is damaged")
    if len(raw_cells) > MAX_CELLS:
        raise RebuildError(f"the notebook has {len(raw_cells)} cells; at most {MAX_CELLS} are read")
    cells = [_read_cell(index, raw) for index, raw in enumerate(raw_cells)]
    if not any(cell.source.strip() for cell in cells):
        raise RebuildError("the notebook has no text in any cell")
    code = [len(cell.source) for cell in cells if cell.kind == "code"]
    looked_at = [min(n, MAX_PARSED_CHARACTERS) for n in code if n <= MAX_CELL_CHARACTERS]
    if sum(looked_at) > MAX_CODE_CHARACTERS:
        raise RebuildError(
            f"the notebook has {sum(code)} characters of code, more than is read. Take out cells "
            "that do not belong to the assignment and data such as encoded pictures, then hand it "
            "in again"
        )
    return cells


def read_source(data: bytes) -> list[Cell]:
    """Read the source notebook of an assignment and check what the grader relies on.

    Raises:
        RebuildError: No test cells, a duplicated grade_id, or bad points.
    """
    return list(_read_source(data))


@functools.lru_cache(maxsize=4)
def _read_source(data: bytes) -> tuple[Cell, ...]:
    """The cells of a source notebook: asked for with every submission of a class."""
    cells = read_cells(data)
    graded = [cell for cell in cells if cell.grade_id]
    seen: set[str] = set()
    for cell in graded:
        if cell.grade_id in seen:
            raise RebuildError(f"two cells of the source notebook are called {cell.grade_id!r}")
        seen.add(cell.grade_id)
    if not any(cell.is_test for cell in cells):
        raise RebuildError("the source notebook has no test cell (nbgrader metadata, grade: true)")
    for cell in cells:
        if cell.is_test:
            problem = _syntax_problem(cell.source)
            if problem:
                raise RebuildError(f"cell {cell.grade_id!r} of the source notebook: {problem}")
    return tuple(cells)


@functools.lru_cache(maxsize=512)  # the same cells for every submission of a class
def released_text(source: str, *, solution: bool = False) -> str:
    """The text of a source cell as students get it: solutions replaced, hidden tests removed.

    Args:
        source: Text of the cell.
        solution: Whether it is a solution cell: without marked regions all of it is replaced.
    """
    if solution and not _SOLUTION.search(source):
        return STUB
    text = _SOLUTION.sub(
        lambda match: "\n".join(match["indent"] + line for line in STUB.split("\n")) + "\n", source
    )
    return _HIDDEN.sub("", text)


def hidden_lines(source: str) -> list[tuple[int, int]]:
    """First and last line, counted from 1, of the parts of a test cell that students never see.

    Read as nbgrader reads them: its words, anywhere in a line. A part without an end goes on to
    the last line.
    """
    found: list[tuple[int, int]] = []
    start = 0
    lines = source.split("\n")
    for number, line in enumerate(lines, 1):
        if not start and "BEGIN HIDDEN TESTS" in line:
            start = number
        elif start and "END HIDDEN TESTS" in line:
            found.append((start, number))
            start = 0
    return [*found, (start, len(lines))] if start else found


def rebuild(source: list[Cell], submission: list[Cell]) -> Plan:
    """Combine the source notebook's tests with the submission's solutions.

    Args:
        source: Cells of the source notebook, from `read_source`.
        submission: Cells of the submission, from `read_cells`.

    Returns:
        The plan, with a note for everything that had to be guessed.

    Raises:
        RebuildError: Nothing in the submission belongs to this assignment.
    """
    return _Rebuilder(source, submission).run()


def bound_names(text: str) -> dict[str, str]:
    """Names that a cell binds at its top level: ``{name: "function" | "class" | "value"}``.

    Lines for IPython (``%``, ``!``) are ignored; where the rest does not parse, or is too long for
    that, lines that look like definitions count. A cell too long to be run binds nothing.
    """
    if len(text) > MAX_CELL_CHARACTERS:
        return {}
    if len(text) > MAX_PARSED_CHARACTERS:
        return _bound_names(text)
    return dict(_known_bound_names(text))


def _bound_names(text: str) -> dict[str, str]:
    plain = without_magics(text)
    tree = parse(plain)
    if tree is None:
        return {
            match["name"]: {"def": "function", "class": "class"}.get(match["what"] or "", "value")
            for match in re.finditer(
                r"^(?:async[ \t]+)?(?:(?P<what>def|class)[ \t]+)?(?P<name>[^\W\d]\w*)[ \t]*"
                r"(?(what)[(:]|=(?!=))",
                plain,
                re.M,
            )
        }
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names[node.name] = "function"
        elif isinstance(node, ast.ClassDef):
            names[node.name] = "class"
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(dict.fromkeys(_stored_names(node), "value"))
    return names


# Most cells of a submission are the source's, so the answer is known from the classmates'.
_known_bound_names = functools.lru_cache(maxsize=512)(_bound_names)


def without_magics(text: str) -> str:
    """Python without the lines meant for IPython, so that it can be parsed."""
    return _MAGIC.sub(r"\1pass", text)


def special_methods(text: str) -> dict[str, frozenset[str]]:
    """The special methods that each top-level class of a cell defines."""
    tree = parse(without_magics(text))
    found = {}
    for node in tree.body if tree else []:
        if isinstance(node, ast.ClassDef):
            names = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            for statement in node.body:
                names.update(_stored_names(statement))
            if any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list):
                names |= {"__eq__", "__lt__", "__le__", "__gt__", "__ge__"}
            if "__eq__" in names:
                names.add("__ne__")
            found[node.name] = frozenset(name for name in names if name.startswith("__"))
    return found


def _stored_names(node: ast.AST) -> list[str]:
    """Names assigned by a statement, not looking into functions, lambdas and comprehensions."""
    names: list[str] = []
    stack: list[ast.AST] = [node]
    inner = (
        ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda,
        ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
    )  # fmt: skip
    while stack:
        current = stack.pop()
        if isinstance(current, ast.Name) and isinstance(current.ctx, ast.Store):
            names.append(current.id)
        if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(current.name)
        if not isinstance(current, inner):
            stack.extend(ast.iter_child_nodes(current))
    return names


class _Rebuilder:
    def __init__(self, source: list[Cell], submission: list[Cell]) -> None:
        self.source = source
        self.submission = submission
        self.notes: list[str] = []
        self.owner: dict[int, int] = {}  # submission cell -> source cell
        self.owned: defaultdict[int, list[int]] = defaultdict(list)
        self.by_id: defaultdict[str, list[Cell]] = defaultdict(list)
        self.by_cell_id: defaultdict[str, list[Cell]] = defaultdict(list)
        for cell in submission:
            if cell.grade_id:
                self.by_id[cell.grade_id].append(cell)
            elif cell.cell_id:
                self.by_cell_id[cell.cell_id].append(cell)
        self.names = {
            cell.index: bound_names(cell.source) if cell.kind != "markdown" else {}
            for cell in submission
        }
        self.stubs = {
            _normal(released_text(cell.source, solution=True)) for cell in source if cell.solution
        }

    def run(self) -> Plan:
        student_names: dict[str, str] = {}
        for cell in self.source:
            if cell.solution and cell.kind == "code":
                student_names.update(bound_names(cell.source))
        self.match_fixed_cells()
        found = [
            self.match_solution(cell)
            for cell in self.source
            if cell.solution and cell.kind == "code"
        ]
        if found and not any(found):
            raise RebuildError(self.why_nothing_was_found())
        return Plan(
            items=self.items(),
            student_names=frozenset(student_names),
            student_classes={
                name: specials
                for cell in self.source
                if cell.solution and cell.kind == "code"
                for name, specials in special_methods(cell.source).items()
            },
            notes=self.notes,
        )

    def why_nothing_was_found(self) -> str:
        ids = sorted(self.by_id)
        if ids:
            return (
                "this seems to be another assignment: none of its solution cells belongs to this "
                f"one (it has cells called {', '.join(ids[:5])})"
            )
        return (
            "no solution was found: no cell carries the ids of this assignment and no cell "
            "defines its functions"
        )

    def own(self, cell: Cell, source: Cell) -> None:
        self.owner[cell.index] = source.index
        self.owned[source.index].append(cell.index)

    def match_fixed_cells(self) -> None:
        """Recognise copies of the source's own cells (tests, imports, text), to leave them out."""
        texts: defaultdict[str, list[Cell]] = defaultdict(list)
        fixed = [cell for cell in self.source if not cell.solution]
        fixed_ids = {cell.grade_id: cell for cell in fixed if cell.grade_id}
        cell_ids = {cell.cell_id: cell for cell in fixed if cell.cell_id and not cell.grade_id}
        for cell in fixed:
            if cell.source.strip():
                texts[_normal(released_text(cell.source))].append(cell)
        solution_ids = {cell.grade_id for cell in self.source if cell.solution}
        for cell in self.submission:
            if cell.grade_id in solution_ids:
                continue
            by_text = texts.get(_normal(cell.source), [])
            original = fixed_ids.get(cell.grade_id) or cell_ids.get(cell.cell_id)
            if original is None and by_text:
                original = next((c for c in by_text if not self.owned[c.index]), by_text[0])
            if original is None or (cell.kind != "code" and not cell.grade_id):
                continue
            self.own(cell, original)
            versions = (released_text(original.source), original.source)
            same_text = _normal(cell.source) in map(_normal, versions)
            if original.is_test and not same_text:
                self.notes.append(
                    f"the test cell {original.grade_id!r} was changed; the original was run"
                )

    def match_solution(self, cell: Cell) -> bool:
        """Find the submission's cell(s) for one solution cell; says whether there is one."""
        wanted = set(bound_names(cell.source))
        named = self.by_id.get(cell.grade_id) or self.by_cell_id.get(cell.cell_id, [])
        free = [c for c in named if c.index not in self.owner]
        believable = [c for c in free if not wanted or wanted & self.names[c.index].keys()]
        written = [c for c in believable if _normal(c.source) not in self.stubs]
        if written:
            return self.take(cell, written)
        elsewhere = self.at_same_position(cell, wanted) or self.by_function(wanted)
        if elsewhere:
            self.notes.append(
                f"{cell.grade_id!r}: found in cell {elsewhere[0].index + 1}, which "
                + ("carries another id" if elsewhere[0].grade_id else "lost its id")
            )
            return self.take(cell, elsewhere)
        merged = self.merged(cell, wanted)
        if merged is not None:
            self.notes.append(
                f"{cell.grade_id!r}: its answer is in cell {merged + 1}, merged with another"
            )
            return True
        left = believable or free
        if left:  # an empty stub, or a cell that defines something else: run it as it is
            return self.take(cell, left)
        self.notes.append(f"{cell.grade_id!r}: no cell for it in the submission")
        return False

    def take(self, cell: Cell, found: list[Cell]) -> bool:
        for one in found:
            self.own(one, cell)
            if one.kind != "code":
                self.notes.append(
                    f"{cell.grade_id!r}: its cell had become a {one.kind} cell; run as code"
                )
        if len(found) > 1:
            self.notes.append(f"{cell.grade_id!r}: {len(found)} cells carry this id; all were run")
        return True

    def at_same_position(self, cell: Cell, wanted: set[str]) -> list[Cell]:
        if len(self.submission) != len(self.source):
            return []
        there = self.submission[cell.index]
        free = there.index not in self.owner and not there.grade_id and there.kind == "code"
        if not free or _normal(there.source) in self.stubs:
            return []
        return [there] if not wanted or wanted & self.names[there.index].keys() else []

    def by_function(self, wanted: set[str]) -> list[Cell]:
        """The free cells that define what the task asks for, in their order."""
        found = [
            cell
            for cell in self.submission
            if cell.index not in self.owner
            and cell.kind == "code"
            and wanted & self.names[cell.index].keys()
            and _normal(cell.source) not in self.stubs
        ]
        complete = [cell for cell in found if wanted <= self.names[cell.index].keys()]
        return complete[-1:] or found

    def merged(self, cell: Cell, wanted: set[str]) -> int | None:
        """A cell that was taken for another task and defines this one's names too."""
        for index, owner in self.owner.items():
            other = self.source[owner]
            if other.solution and wanted and wanted <= self.names[index].keys():
                return index
        return None

    def items(self) -> list[Item]:
        helpers = self.helpers()
        items = [self.student_item(cell) for cell in helpers.get(-1, [])]
        for cell in self.source:
            items.extend(self.own_items(cell))
            for index in self.owned[cell.index]:
                items.extend(self.student_item(helper) for helper in helpers.get(index, []))
        return items

    def own_items(self, cell: Cell) -> list[Item]:
        name = cell.grade_id or f"cell {cell.index + 1}"
        answers = [self.submission[index] for index in self.owned[cell.index]]
        if cell.is_test:
            return [Item("test", name, cell.source, cell.points)]
        if cell.solution:
            runs = cell.kind == "code"
            items = [
                Item("student", name, one.source)
                for one in answers
                if runs and self.short_enough(one)
            ]
            return [*items, Item("manual", name, "", cell.points)] if cell.grade else items
        if cell.kind != "code":
            return [Item("manual", name, "", cell.points)] if cell.grade else []
        items = [Item("instructor", name, cell.source)]
        if not cell.locked and not cell.grade_id:
            # The student may edit it, for example to import something more.
            original = _normal(cell.source)
            items += [self.student_item(one) for one in answers if _normal(one.source) != original]
        return items

    def helpers(self) -> dict[int, list[Cell]]:
        """Code cells that are nobody's copy, by the known cell they follow (-1: the start)."""
        helpers: defaultdict[int, list[Cell]] = defaultdict(list)
        anchor = -1
        for cell in self.submission:
            if cell.index in self.owner:
                anchor = cell.index
            elif cell.kind == "code" and self.is_helper(cell) and self.short_enough(cell):
                helpers[anchor].append(cell)
        return helpers

    def is_helper(self, cell: Cell) -> bool:
        # A forgotten copy of an empty stub would overwrite the answer.
        return bool(cell.source.strip()) and _normal(cell.source) not in self.stubs

    def short_enough(self, cell: Cell) -> bool:
        if len(cell.source) <= MAX_CELL_CHARACTERS:
            return True
        self.notes.append(
            f"cell {cell.index + 1} has {len(cell.source)} characters and was left out"
        )
        return False

    def student_item(self, cell: Cell) -> Item:
        return Item("student", f"cell {cell.index + 1} of the submission", cell.source)


def _normal(text: str) -> str:
    """Text for comparing cells: trailing blanks and empty lines do not matter."""
    return _normal_of_short(text) if len(text) <= 10_000 else _without_blanks(text)


@functools.lru_cache(maxsize=512)
def _normal_of_short(text: str) -> str:
    """The same: a class hands in the same cells again and again."""
    return _without_blanks(text)


def _without_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().split("\n") if line.strip())


def _check_size(data: bytes) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise RebuildError(
            f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB; clear the outputs and remove "
            "attached pictures, then hand it in again"
        )


def _decode_text(data: bytes) -> str:
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marks.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if data.startswith((b"PK\x03\x04", b"%PDF", b"\x1f\x8b")):
            raise RebuildError("the file is an archive or a PDF, not a notebook") from error
        raise RebuildError(f"the file is not text in {encoding}") from error


def _parse_json(text: str) -> Any:
    if text.lstrip()[:1] == "<":
        raise RebuildError("the file is a web page, not a notebook; download the .ipynb itself")
    parts = sum(map(text.count, ",[{"))
    if parts > MAX_PARTS:
        raise RebuildError(
            f"the file holds about {parts} values, more than the {MAX_PARTS} that are read; clear "
            "the outputs, then hand it in again"
        )
    try:
        return json.loads(text)
    except RecursionError as error:
        raise RebuildError("the file is nested too deeply to be a notebook") from error
    except ValueError as error:
        raise RebuildError(
            f"the file is not a notebook: not JSON ({error}); it may be cut off, or a script"
        ) from error


def _version_3_cells(notebook: dict) -> list:
    """The cells of a notebook in format 3, which kept code in "input" and cells in worksheets."""
    cells = []
    worksheets = notebook["worksheets"]
    for sheet in worksheets if isinstance(worksheets, list) else []:
        for cell in (sheet.get("cells") or []) if isinstance(sheet, dict) else []:
            if isinstance(cell, dict):
                cells.append({**cell, "source": cell.get("input", cell.get("source", ""))})
    if not cells:
        raise RebuildError("the notebook is in the old format 3 and has no cells that can be read")
    return cells


def _read_cell(index: int, raw: Any) -> Cell:
    raw = raw if isinstance(raw, dict) else {}
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    nbgrader = metadata.get("nbgrader")
    nbgrader = nbgrader if isinstance(nbgrader, dict) else {}
    kind = raw.get("cell_type")
    points = nbgrader.get("points", 0)
    return Cell(
        index=index,
        kind=kind if kind in ("code", "markdown") else "raw",
        source=_text(raw.get("source", "")),
        cell_id=_text(raw.get("id", "")),
        grade_id=_text(nbgrader.get("grade_id", "")),
        grade=nbgrader.get("grade") is True or nbgrader.get("task") is True,
        solution=nbgrader.get("solution") is True,
        locked=nbgrader.get("locked") is True,
        points=float(points) if isinstance(points, (int, float)) and 0 <= points < 1e6 else 0.0,
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    if not isinstance(value, str):
        return ""
    # Lone surrogates are legal in JSON and nowhere else.
    value = value.encode("utf-8", "replace").decode("utf-8")
    return value.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def parse(text: str) -> ast.Module | None:
    """A student's code as a syntax tree, to read only; None if too long, deep or not Python."""
    if len(text) > MAX_PARSED_CHARACTERS:
        return None
    if text in _parsed:  # cells are looked at several times, the source's for every submission
        return _parsed[text]
    if sum(map(len, _parsed)) + len(text) > MAX_REMEMBERED_CHARACTERS:
        _parsed.clear()  # a syntax tree can be a thousand times as large as its text
    tree = _parse(text)
    _parsed[text] = tree
    return tree


_parsed: dict[str, ast.Module | None] = {}


def _parse(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _syntax_problem(text: str) -> str | None:
    try:
        ast.parse(text)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    return None
