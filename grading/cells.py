"""The instructor's cells, parsed and compiled once for a whole class.

Every submission is checked by the same test cells and surrounded by the same cells of the
instructor. Parsing them takes longer than most of them run, so the process that hands out the
work does it once per source notebook, and each checker gets the compiled code. The text comes
from the instructor; nothing here reads a submission.

Code travels as `marshal` writes it. Its reader is the same Python, started by the process that
wrote it.
"""

from __future__ import annotations

import ast
import base64
import functools
import marshal
import types
from dataclasses import dataclass

from grading import rebuild

# Calls in the instructor's cells that only set something up, worth repeating in the checker.
_SETTERS = frozenset(
    ["manual_seed", "seed", "seed_everything", "set_default_dtype", "filterwarnings"]
)


@dataclass(frozen=True)
class Test:
    """A test cell, compiled: statements, and the last expression if it may be points.

    Attributes:
        body: The statements but the last expression.
        last: The last expression, or None.
        loaded: Names that are read anywhere in it.
        stored: Names that it binds at the top level.
    """

    body: str
    last: str | None
    loaded: tuple[str, ...]
    stored: tuple[str, ...]


@dataclass(frozen=True)
class Local:
    """What the checker repeats of a cell of the instructor's.

    Attributes:
        statements: Compiled one by one, because one that fails must not stop the next.
        loaded: Names that they read anywhere.
        bound: Names that left-out statements would bind; they are the student's process's.
    """

    statements: tuple[str, ...]
    loaded: tuple[str, ...]
    bound: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def compile_test(name: str, source: str) -> Test:
    """Compile a test cell; tracebacks call it ``<test NAME>``.

    Raises:
        rebuild.RebuildError: It is not Python.
    """
    file = f"<test {name}>"
    try:
        tree = ast.parse(source, filename=file)
        loaded, stored = names(tree)
        last = None
        silent = source.rstrip().endswith(";")
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not silent:
            expression = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
            last = packed(compile(expression, file, "eval"))
        body = packed(compile(tree, file, "exec"))
    except (SyntaxError, ValueError) as error:
        raise rebuild.RebuildError(
            f"the test cell {name} of the source notebook is not Python: {error}"
        ) from error
    return Test(body, last, tuple(sorted(loaded)), tuple(sorted(stored)))


@functools.lru_cache(maxsize=1024)
def compile_local(name: str, source: str, student_names: frozenset[str]) -> Local:
    """Compile what a cell of the instructor's does without the student's objects.

    Args:
        name: What tracebacks call it.
        source: Its text.
        student_names: Names that are the student's before this cell.

    Raises:
        SyntaxError: The cell is not Python, its lines for IPython aside.
    """
    statements, bound = local_statements(source, student_names)
    read = [names(statement)[0] for statement in statements]
    return Local(
        tuple(packed(compile(statement, f"<{name}>", "exec")) for statement in statements),
        tuple(sorted(set().union(*read))),
        tuple(sorted(bound)),
    )


def packed(code: types.CodeType) -> str:
    """Compiled code as a text that `grading.checker` can run."""
    return base64.b64encode(marshal.dumps(code)).decode("ascii")


def names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Names that code reads anywhere, and names that it binds at the top level."""
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    stored: set[str] = set()
    stack: list[ast.AST] = list(getattr(tree, "body", []))
    scopes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    hidden = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    while stack:
        node = stack.pop()
        if isinstance(node, scopes):
            stored.add(node.name)
            continue
        if isinstance(node, hidden):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            stored |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stored.add(node.id)
        stack.extend(ast.iter_child_nodes(node))
    return loaded, stored


def local_statements(
    source: str, student_names: frozenset[str]
) -> tuple[list[ast.Module], set[str]]:
    """The statements of an instructor's cell that make sense without the student's objects.

    Imports, functions, classes, assignments and seeds stay. What needs a student's object is left
    out; the names it would bind are looked up in the student's process instead. What only shows
    something (a plot, a print) is left out too.

    Returns:
        The statements that stay, and the names that the others would bind.

    Raises:
        SyntaxError: The cell is not Python, its lines for IPython aside.
    """
    body = ast.parse(rebuild.without_magics(source)).body
    kept, bound = [], set()
    for statement in body:
        loaded, stored = names(ast.Module([statement], []))
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            loaded = _loaded_now(statement)  # its body runs later
        if loaded & (student_names | bound):
            bound |= stored
        elif not isinstance(statement, ast.Expr) or _is_setter(statement.value):
            kept.append(ast.Module([statement], []))
    kept = [module for module in kept if not isinstance(module.body[0], (ast.Assert, ast.Pass))]
    return kept, bound


def _loaded_now(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    parts = [*function.decorator_list, *function.args.defaults]
    parts += [default for default in function.args.kw_defaults if default is not None]
    return {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}


def _is_setter(expression: ast.expr) -> bool:
    if not isinstance(expression, ast.Call):
        return False
    function = expression.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in _SETTERS
