"""What the checker takes from the instructor's cells, and what points a test cell gives."""

import ast
from dataclasses import asdict

import numpy as np
import pytest
import torch

from grading import cells, checker, rebuild


def kept(source, names):
    statements, bound = cells.local_statements(source, frozenset(names))
    return [ast.unparse(module) for module in statements], bound


def test_imports_functions_and_independent_values_are_repeated():
    source = """
%matplotlib inline
import torch
from cnnlib import checks
try:
    import missing
except ImportError:
    !pip install missing
torch.manual_seed(3)
data = torch.arange(3)
def helper(x):
    return conv(x)
print(data)
assert True
torch.rand(3)
"""
    found, bound = kept(source, {"conv"})
    assert found[:2] == ["import torch", "from cnnlib import checks"]
    assert found[2].startswith("try:")
    assert found[3:5] == ["torch.manual_seed(3)", "data = torch.arange(3)"]
    assert found[5].startswith("def helper")
    assert len(found) == 6
    assert bound == set()


def test_what_depends_on_the_student_is_looked_up_instead():
    source = """
net = Net()
x, y = data, net.forward
z = [k for k in range(3)]
class Wider(Net):
    pass
def call(f=net): pass
for i in range(3):
    last = net
"""
    found, bound = kept(source, {"Net"})
    assert found == ["z = [k for k in range(3)]"]
    assert bound == {"net", "x", "y", "Wider", "call", "last", "i"}


def test_a_cell_that_is_not_python_is_reported():
    with pytest.raises(SyntaxError):
        cells.local_statements("def (", frozenset())


def test_a_test_cell_that_is_not_python_makes_the_source_unusable():
    with pytest.raises(rebuild.RebuildError, match=r"test_one .* is not Python"):
        cells.compile_test("test_one", "x = (")


def test_a_compiled_test_cell_gives_its_last_expression():
    compiled = cells.compile_test("test_two", "total = 1 + offset\ntotal")
    item = {"name": "test_two", "hidden": [], "rules": [], **asdict(compiled)}
    test = checker._Test(item)
    assert test.run({"offset": 2}) == 3
    assert (test.loaded, test.stored) == ({"offset", "total"}, {"total"})
    silent = cells.compile_test("test_three", "3;")
    assert checker._Test({**item, **asdict(silent)}).run({}) is None


@pytest.mark.parametrize(
    ("value", "points", "status"),
    [
        (None, 4, "passed"),
        (2, 2, "failed"),
        (4.0, 4, "passed"),
        (0, 0, "failed"),
        (4.5, 0, "error"),
        (-1, 0, "error"),
        (float("inf"), 0, "error"),
        (np.float64(1.0), 1, "failed"),
        (torch.tensor(0.0), 0, "failed"),
        (torch.zeros(2), 4, "passed"),
        (True, 4, "passed"),
        ("3", 4, "passed"),
    ],
)
def test_a_number_at_the_end_is_the_points(value, points, status):
    result = checker._graded(value, 4.0)
    assert (result["points"], result["status"]) == (points, status)


def test_names_of_a_cell():
    tree = ast.parse("import a.b, c as d\nx = [q for q in y]\ndef f(z): w = z\nwith o as p: pass")
    loaded, stored = cells.names(tree)
    assert stored == {"a", "d", "x", "f", "p"}
    assert {"y", "z", "o", "q"} <= loaded


@pytest.mark.parametrize(
    ("ended", "status", "text"),
    [
        ({"reason": "timeout"}, "timeout", "too long"),
        ({"reason": "cpu"}, "timeout", "computing time"),
        ({"reason": "memory"}, "killed", "memory"),
        ({"reason": "output"}, "killed", "printed"),
        ({"reason": None, "exit": -11}, "killed", "signal 11"),
        ({"reason": None, "exit": 3}, "killed", "exit status 3"),
    ],
)
def test_how_a_process_ended_is_said(ended, status, text):
    result = checker._of_ended(ended, "")
    assert result["status"] == status
    assert text in result["message"]
    assert result["points"] == 0
