"""Rules per task: what an answer must not use, and whether its text uses it.

An instructor writes a rule where the task is written, as a comment of the solution cell, outside
the solution itself, so that students read it too::

    ### FORBIDDEN: F.conv2d, nn.Conv2d, Tensor.unfold, @, sorted, torch.nn.grad.*
    def conv2d(x, weight): ...

and once for the whole notebook, in any code cell::

    ### FORBIDDEN IN ALL TASKS: cnnlib, torchvision

Names are read with the imports of the source notebook; ``name.*`` and ``import name`` mean
everything in a module. nbgrader and its tools see an ordinary comment. A rule in a test cell
concerns that test alone and is the place for one that students should not read.

Whether a rule was broken is looked at twice. Here, on the text: starting at the definitions that
the test's task asks for, through every function, class and value of the student's that they lead
to, with imports under any name, ``getattr``, ``importlib`` and code in string literals understood.
And in the student's process, by `grading.watch`, for what text does not show. Code that only
stands beside an answer, such as a comparison with ``F.conv2d`` below it, breaks no rule. In torch a
name stands for its whole family (`grading.watch.FAMILIES`); elsewhere it means itself, wherever it
was imported from: ``random.seed`` is the shared generator's, and ``random.Random(seed)`` is not it.

Threat model: the student's text is parsed with the caps of `grading.rebuild` and never run. The
search follows each definition once, gives up on what is nested too deeply and has a number of steps
for each task, so that no text makes it long; text that hides what it does gets past it and meets
the watch. Where the steps did not suffice, a note says so to whoever looks at the submission.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grading import rebuild, watch

_LINE = re.compile(
    r"^[ \t]*###[ \t]*FORBIDDEN(?P<all>[ \t]+IN[ \t]+ALL[ \t]+TASKS)?[ \t]*:(?P<entries>.*)$", re.M
)
_ATTEMPT = re.compile(r"^[ \t]*#+[ \t]*(?:FORBIDDEN\b|[Ff]orbidden[^\n:]*:).*$", re.M)
_ENTRY = re.compile(r"^(?:(?P<module>import[ \t]+))?(?P<path>[^\W\d]\w*(?:\.\w+)*)(?P<star>\.\*)?$")
_CAPTURED = re.compile(r"^([ \t]*)\w[\w, \t]*=[ \t]*[!%].*$", re.M)
_USUAL = {
    "F": "torch.nn.functional",
    "nn": "torch.nn",
    "np": "numpy",
    "Tensor": "torch.Tensor",
}
_MAX_DEPTH = 30
MAX_STEPS = 50_000  # for one task: syntax nodes looked at and names looked up
_spellings = functools.cache(watch.spellings)
_RUNS_TEXT = frozenset(["exec", "eval", "compile", "run_cell", "ex", "ev"])


@dataclass(frozen=True)
class Rule:
    """One thing that an answer must not use.

    Attributes:
        label: As the instructor wrote it.
        path: Full name, such as "torch.nn.functional.conv2d"; "@" for the operator.
        module: Whether everything in this module is meant.
    """

    label: str
    path: str
    module: bool = False

    @property
    def data(self) -> dict:
        """The rule for `grading.watch.Watch`."""
        return {"label": self.label, "path": self.path, "module": self.module}

    def forbids(self, path: str) -> bool:
        """Whether a full name is what the rule means, or one of its other names in torch."""
        if path == self.path or path.startswith(f"{self.path}."):
            return True
        *before, name = path.split(".")
        method = f"Tensor.{name}" if before[-1:] == ["Tensor"] else name
        in_torch = before[:1] == ["torch"] or path == "@"
        return not self.module and in_torch and method in _spellings(self.path)

    def forbids_method(self, name: str) -> bool:
        """Whether this method is forbidden on a tensor."""
        return not self.module and f"Tensor.{name}" in _spellings(self.path)


@dataclass(frozen=True)
class TaskRules:
    """The rules for one test cell.

    Attributes:
        names: What the task asks the student to define.
        rules: What must not be used for it.
    """

    names: frozenset[str]
    rules: tuple[Rule, ...]


def read(source: Sequence[rebuild.Cell]) -> dict[str, TaskRules]:
    """The rules of a source notebook, by the grade_id of the test cell they concern.

    A test belongs to the solution cells before it, back to the previous test; where there are
    several, to those whose names it uses.

    Raises:
        rebuild.RebuildError: A line that means to be a rule cannot be read.
    """
    known = dict(_USUAL)
    for cell in source:
        if cell.kind == "code":
            known |= _imported(cell.source)
    common: list[Rule] = []
    own: dict[int, list[Rule]] = {}
    for cell in source:
        if cell.kind != "code":
            continue
        for_all, for_this = _rules_of(cell, known)
        common += for_all
        own[cell.index] = for_this
    found = {}
    for test, solutions in _tasks(source):
        rules = [*common, *own[test.index]]
        rules += [rule for cell in solutions for rule in own[cell.index]]
        names = frozenset(n for cell in solutions for n in rebuild.bound_names(cell.source))
        if rules:
            found[test.grade_id] = TaskRules(names, tuple(dict.fromkeys(rules)))
    return found


def _rules_of(cell: rebuild.Cell, known: dict[str, str]) -> tuple[list[Rule], list[Rule]]:
    for_all: list[Rule] = []
    for_this: list[Rule] = []
    where = f"cell {cell.grade_id or cell.index + 1} of the source notebook"
    for attempt in _ATTEMPT.finditer(cell.source):
        line = _LINE.match(attempt.group())
        if line is None:
            raise rebuild.RebuildError(
                f"{where}: a rule is written `### FORBIDDEN: F.conv2d, cnnlib` or "
                f"`### FORBIDDEN IN ALL TASKS: …`, not `{attempt.group().strip()}`"
            )
        if not line["all"] and not cell.solution and not cell.is_test:
            raise rebuild.RebuildError(
                f"{where}: a rule for one task stands in its solution cell or its test cell; "
                "`### FORBIDDEN IN ALL TASKS:` may stand anywhere"
            )
        rules = for_all if line["all"] else for_this
        rules += [_rule(entry.strip(), known, where) for entry in line["entries"].split(",")]
    return for_all, for_this


def _rule(entry: str, known: dict[str, str], where: str) -> Rule:
    if entry == "@":
        return Rule("@", "@")
    match = _ENTRY.match(entry)
    if match is None:
        raise rebuild.RebuildError(f"{where}: {entry!r} in its rule is not the name of anything")
    first, dot, rest = match["path"].partition(".")
    if first in known:
        path = f"{known[first]}{dot}{rest}"
    elif not dot and hasattr(builtins, first):
        path = f"builtins.{first}"
    else:
        path = match["path"]
    return Rule(entry, path, module=bool(match["module"] or match["star"]))


def _imported(text: str) -> dict[str, str]:
    """Full names of what a cell imports, by the name it gets."""
    tree = _parse(text)
    found: dict[str, str] = {}
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(_bindings(node))
    return found


def _tasks(
    source: Sequence[rebuild.Cell],
) -> Iterator[tuple[rebuild.Cell, list[rebuild.Cell]]]:
    """Each test cell with the solution cells of its task."""
    group: list[rebuild.Cell] = []
    tested = False
    for cell in source:
        if cell.solution and cell.kind == "code":
            if tested:
                group, tested = [], False
            group.append(cell)
        elif cell.is_test:
            tested = True
            words = set(re.findall(r"\w+", cell.source))
            used = [c for c in group if words & rebuild.bound_names(c.source).keys()]
            yield cell, used or list(group)


def broken(
    items: Sequence[rebuild.Item], tasks: dict[str, TaskRules]
) -> tuple[dict[str, str], list[str]]:
    """Which tests' tasks break a rule in their text.

    Args:
        items: What is run for a submission, in order.
        tasks: From `read`.

    Returns:
        By the test's grade_id, what to tell the student; and notes on what could not be searched.
    """
    found: dict[str, str] = {}
    notes: list[str] = []
    if not tasks:
        return found, notes
    known = _Known()
    for item in items:
        if item.kind in ("student", "instructor"):
            known.learn(item)
            if len(item.source) > rebuild.MAX_PARSED_CHARACTERS:
                notes.append(f"{item.name!r}: {_NOT_SEARCHED}")
        elif item.kind == "test" and item.name in tasks:
            task = tasks[item.name]
            search = _Search(known, task.rules)
            problem = search.run(task.names)
            if problem is not None:
                found[item.name] = problem
            elif search.steps > MAX_STEPS:
                notes.append(f"the answer to {item.name!r}: {_NOT_SEARCHED}")
    return found, notes


_NOT_SEARCHED = (
    "too long to be searched for what the task forbids; it was only watched while it ran"
)


def explain(labels: Sequence[str], where: str = "") -> str:
    """The message for a broken rule."""
    return f"not allowed in this task: {', '.join(labels)}{where}; so the task gives no points"


@dataclass
class _Definition:
    """A top-level statement that binds a name.

    Attributes:
        node: The statement.
        cell: Name of the cell, for messages.
        lines: Text of the cell.
        by_student: Not the instructor's.
    """

    node: ast.stmt
    cell: str
    lines: list[str]
    by_student: bool

    @cached_property
    def parts(self) -> list[ast.AST]:
        """All nodes below; walked through once, because several searches need them."""
        return list(ast.walk(self.node))

    @cached_property
    def imports(self) -> dict[str, list[str]]:
        """What is imported inside, by name."""
        inside: defaultdict[str, list[str]] = defaultdict(list)
        for node in self.parts:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name, path in _bindings(node).items():
                    inside[name].append(path)
        return dict(inside)

    @cached_property
    def locals(self) -> dict[str, list[ast.expr]]:
        """Names that belong to the function itself, with what is assigned to them."""
        own = isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        return _locals(self.parts) if own else {}

    @cached_property
    def assigned(self) -> dict[str, list[ast.expr]]:
        """What a statement outside any function assigns, by name."""
        found: defaultdict[str, list[ast.expr]] = defaultdict(list)
        if not isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for part in self.parts:
                for name, value in _pairs(part):
                    found[name].append(value)
        return dict(found)


class _Known:
    """The names of the notebook so far, as Python would find them."""

    def __init__(self) -> None:
        self.names: dict[str, list[_Definition]] = {}
        self.stars: list[str] = []

    def learn(self, item: rebuild.Item) -> None:
        """Add what a cell binds at its top level."""
        tree = _parse(item.source)
        lines = item.source.split("\n")
        for node in tree.body if tree else []:
            definition = _Definition(node, item.name, lines, item.kind == "student")
            names, replaces = _bound(node)
            for name in names:
                if replaces:
                    self.names[name] = [definition]
                else:
                    self.names.setdefault(name, []).append(definition)
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self.stars.append(node.module or "")


class _Search:
    """Looks through everything that a task's definitions lead to."""

    def __init__(self, known: _Known, rules: Sequence[Rule]) -> None:
        self.known = known
        self.rules = rules
        self.steps = 0
        self.memory: dict[tuple[int, int], frozenset[str]] = {}
        self.parsed: list[ast.Module] = []  # kept: the memory goes by identity

    def run(self, names: frozenset[str]) -> str | None:
        """The first broken rule, explained; None if there is none."""
        waiting: list[_Definition] = []
        for name in sorted(names):
            for definition in self.known.names.get(name, []):
                waiting.append(definition)
                # "from torch import conv2d as answer" is a definition too.
                for rule in self.rules:
                    if any(map(rule.forbids, definition.imports.get(name, ()))):
                        return explain([rule.label], _place(definition.node.lineno, definition))
        seen: set[int] = set()
        followed = set(names)
        for definition in waiting:  # which grows meanwhile
            if id(definition.node) in seen or not definition.by_student:
                continue
            seen.add(id(definition.node))
            for node, line in self.nodes(definition):
                self.steps += 1
                if self.steps > MAX_STEPS:
                    return None
                rule = self.rule_against(node, definition)
                if rule is not None:
                    return explain([rule.label], _place(line, definition))
                if not isinstance(node, ast.Name) or node.id in followed:
                    continue
                if node.id not in definition.locals:
                    followed.add(node.id)
                    waiting += self.known.names.get(node.id, [])
        return None

    def nodes(self, definition: _Definition) -> Iterator[tuple[ast.AST, int]]:
        """All nodes below with their lines, those of code in string literals included."""
        for part in definition.parts:
            line = getattr(part, "lineno", definition.node.lineno)
            yield part, line
            if not isinstance(part, ast.Call) or not part.args:
                continue
            function = part.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            text = _text(part.args[0]) if name in _RUNS_TEXT else None
            tree = _parse(text) if text else None
            if tree is not None:
                self.parsed.append(tree)
                yield from ((inner, line) for inner in ast.walk(tree))

    def rule_against(self, node: ast.AST, definition: _Definition) -> Rule | None:
        """The rule that one expression breaks."""
        paths: frozenset[str] = frozenset()
        method = None
        if isinstance(node, (ast.BinOp, ast.AugAssign)):
            paths = frozenset({"@"}) if isinstance(node.op, ast.MatMult) else paths
        elif isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            paths = self.paths(node, definition)
            if not paths:
                method = _attribute(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)) and node is not definition.node:
            paths = frozenset(_bindings(node).values())
        for rule in self.rules:
            if any(map(rule.forbids, paths)) or (method and rule.forbids_method(method)):
                return rule
        return None

    def paths(self, node: ast.expr, definition: _Definition, depth: int = 0) -> frozenset[str]:
        """The full names that an expression may stand for; empty if nothing is known."""
        key = (id(node), id(definition))
        if key not in self.memory:
            self.steps += 1
            if depth > _MAX_DEPTH or self.steps > MAX_STEPS:
                return frozenset()
            self.memory[key] = frozenset()  # for names that are defined by themselves
            self.memory[key] = frozenset(self.find(node, definition, depth + 1))
            self.steps += len(self.memory[key])
        return self.memory[key]

    def find(self, node: ast.expr, definition: _Definition, depth: int) -> Iterator[str]:
        """As `paths`, without the memory."""
        if isinstance(node, ast.Name):
            yield from self.of_name(node.id, definition, depth)
        elif isinstance(node, ast.Attribute):
            for path in self.paths(node.value, definition, depth):
                yield f"{path}.{node.attr}"
        elif isinstance(node, ast.NamedExpr):
            yield from self.paths(node.value, definition, depth)
        elif isinstance(node, ast.IfExp):
            yield from self.paths(node.body, definition, depth)
            yield from self.paths(node.orelse, definition, depth)
        elif isinstance(node, ast.Call):
            yield from self.of_call(node, definition, depth)
        elif isinstance(node, ast.Subscript):
            key = _text(node.slice)
            for path in self.paths(node.value, definition, depth) if key else ():
                if path == "sys.modules":
                    yield str(key)
                elif path == "builtins.globals()":
                    yield from self.of_name(str(key), definition, depth)
                elif path.endswith(".__dict__"):
                    yield f"{path.removesuffix('.__dict__')}.{key}"

    def of_name(self, name: str, definition: _Definition, depth: int) -> Iterator[str]:
        """What a name stands for inside a definition."""
        yield from definition.imports.get(name, ())
        if name in definition.locals:
            for value in definition.locals[name]:
                yield from self.paths(value, definition, depth)
            return
        if name not in self.known.names:
            yield from (f"{module}.{name}" for module in self.known.stars)
            if hasattr(builtins, name):
                yield f"builtins.{name}"
        for other in self.known.names.get(name, []):
            self.steps += 1
            if self.steps > MAX_STEPS:
                return
            yield from other.imports.get(name, ())
            for value in other.assigned.get(name, ()):
                yield from self.paths(value, other, depth)

    def of_call(self, node: ast.Call, definition: _Definition, depth: int) -> Iterator[str]:
        """What a call returns, for the calls that hand out modules and their parts."""
        first = node.args[0] if node.args else None
        text = _text(first) if first is not None else None
        for path in self.paths(node.func, definition, depth):
            if path == "builtins.globals":
                yield "builtins.globals()"
            elif path in ("importlib.import_module", "builtins.__import__") and text:
                yield text
                if path == "builtins.__import__":
                    yield text.partition(".")[0]
            elif path == "builtins.vars" and first is not None:
                yield from (f"{p}.__dict__" for p in self.paths(first, definition, depth))
            elif path == "builtins.getattr" and first is not None and len(node.args) > 1:
                name = _text(node.args[1])
                for owner in self.paths(first, definition, depth) if name else ():
                    yield f"{owner}.{name}"


def _place(number: int, definition: _Definition) -> str:
    lines = definition.lines
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return f" (in {definition.cell}, line {number}: `{line[:120]}`)"


def _attribute(node: ast.AST) -> str | None:
    """The name of a method or attribute that is taken from something unknown."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
        return _text(node.args[1]) if node.func.id == "getattr" else None
    return None


def _text(node: ast.expr, depth: int = 0) -> str | None:
    """The value of a string literal, put together with + or not."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and depth < _MAX_DEPTH:
        left, right = _text(node.left, depth + 1), _text(node.right, depth + 1)
        return left + right if left is not None and right is not None else None
    if isinstance(node, ast.JoinedStr):
        parts = [_text(part, depth + 1) for part in node.values]
        return None if None in parts else "".join(part for part in parts if part is not None)
    return None


def _bindings(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Full names by the names that an import binds; ``*`` for a star."""
    found = {}
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            found[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
        elif alias.asname:
            found[alias.asname] = alias.name
        else:
            found[alias.name.partition(".")[0]] = alias.name.partition(".")[0]
    return found


def _bound(node: ast.stmt) -> tuple[set[str], bool]:
    """Names that a top-level statement binds, and whether it replaces what they were before."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}, True
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return set(_bindings(node)), True
    names: set[str] = set()
    plain = isinstance(node, (ast.Assign, ast.AnnAssign))
    for part in ast.walk(node):
        if isinstance(part, (ast.Import, ast.ImportFrom)):
            names |= set(_bindings(part))
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(part.name)
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            names.add(part.id)
        elif isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.ctx, ast.Store):
            plain = False  # Net.forward = …: one more piece of Net
            owner: Any = part
            while isinstance(owner, (ast.Attribute, ast.Subscript)):
                owner = owner.value
            if isinstance(owner, ast.Name):
                names.add(owner.id)
    return names, plain


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of an assignment, also ``a, b = c, d``."""
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        targets, value = [node.target], node.value
    else:
        return
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            for one, other in zip(target.elts, value.elts, strict=False):
                if isinstance(one, ast.Name):
                    yield one.id, other


def _locals(parts: list[ast.AST]) -> dict[str, list[ast.expr]]:
    """Names of a function's own, with the expressions that are assigned to them.

    Args:
        parts: All nodes of the function.
    """
    found: dict[str, list[ast.expr]] = {}
    outside: set[str] = set()
    for part in parts:
        if isinstance(part, ast.arg):
            found.setdefault(part.arg, [])
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.setdefault(part.id, [])
        elif isinstance(part, ast.Global):
            outside |= set(part.names)
    for part in parts:
        for name, value in _pairs(part):
            found[name].append(value)
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = part.args
            positional = [*arguments.posonlyargs, *arguments.args]
            pairs = [
                *zip(positional[::-1], arguments.defaults[::-1], strict=False),
                *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
            ]
            for argument, default in pairs:
                if default is not None:
                    found[argument.arg].append(default)
    return {name: values for name, values in found.items() if name not in outside}


def _parse(text: str) -> ast.Module | None:
    plain = rebuild.without_magics(text)
    tree = rebuild.parse(plain)
    if tree is None:  # files = !ls
        tree = rebuild.parse(_CAPTURED.sub(r"\1pass", plain))
    return tree
