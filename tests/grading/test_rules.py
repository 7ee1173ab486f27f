"""Rules per task: how they are read, what text breaks them, and what the watch notices."""

import functools
import operator
import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import FULL, outcome
from torch import nn

from grading import rebuild, rules, watch

IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def cell(index, source, grade_id="", *, solution=False, grade=False):
    return rebuild.Cell(index, "code", source, "", grade_id, grade, solution, not solution, 1.0)


def rule(*labels):
    """Rules as a source notebook with the usual imports would give them."""
    text = f"### FORBIDDEN: {', '.join(labels)}\ndef conv(x, w): ..."
    source = [cell(0, IMPORTS), cell(1, text, "conv", solution=True)]
    source.append(cell(2, "conv(1, 2)", "test_conv", grade=True))
    return rules.read(source)["test_conv"]


def broken(labels, *cells, names=("conv",)):
    """The message for a submission of these cells, or None."""
    task = rules.TaskRules(frozenset(names), rule(*labels).rules)
    items = [rebuild.Item("instructor", "imports", IMPORTS)]
    items += [rebuild.Item("student", f"cell {n}", text) for n, text in enumerate(cells, 1)]
    items.append(rebuild.Item("test", "test_conv", "", 1.0))
    found, _ = rules.broken(items, {"test_conv": task})
    return found.get("test_conv")


def test_names_are_read_with_the_imports_of_the_notebook():
    found = rule("F.conv2d", "nn.Conv2d", "Tensor.unfold", "@", "sorted", "import cnnlib", "a.b.*")
    assert [(r.label, r.path, r.module) for r in found.rules] == [
        ("F.conv2d", "torch.nn.functional.conv2d", False),
        ("nn.Conv2d", "torch.nn.Conv2d", False),
        ("Tensor.unfold", "torch.Tensor.unfold", False),
        ("@", "@", False),
        ("sorted", "builtins.sorted", False),
        ("import cnnlib", "cnnlib", True),
        ("a.b.*", "a.b", True),
    ]
    assert found.names == {"conv"}


def test_which_tests_a_rule_concerns():
    source = [
        cell(0, "### FORBIDDEN IN ALL TASKS: cnnlib"),
        cell(1, "### FORBIDDEN: sum\ndef a(): ...", "a", solution=True),
        cell(2, "### FORBIDDEN: max\ndef b(): ...", "b", solution=True),
        cell(3, "a()", "test_a", grade=True),
        cell(4, "### FORBIDDEN: min\nb()", "test_b", grade=True),
        cell(5, "def c(): ...", "c", solution=True),
        cell(6, "c(), a(), b()", "test_c", grade=True),
    ]
    found = {name: [r.label for r in task.rules] for name, task in rules.read(source).items()}
    assert found == {
        "test_a": ["cnnlib", "sum"],
        "test_b": ["cnnlib", "min", "max"],
        "test_c": ["cnnlib"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("### FORBIDDEN F.conv2d\ndef a(): ...", "a rule is written"),
        ("# forbidden: F.conv2d\ndef a(): ...", "a rule is written"),
        ("### FORBIDDEN: F.conv2d,\ndef a(): ...", "not the name of anything"),
        ("### FORBIDDEN: loops in Python\ndef a(): ...", "not the name of anything"),
    ],
)
def test_a_rule_that_cannot_be_read_is_the_instructors_error(text, message):
    source = [cell(0, text, "a", solution=True), cell(1, "a()", "test_a", grade=True)]
    with pytest.raises(rebuild.RebuildError, match=message):
        rules.read(source)


def test_a_rule_beside_the_tasks_is_the_instructors_error():
    source = [cell(0, "### FORBIDDEN: sum"), cell(1, "pass", "test_a", grade=True)]
    with pytest.raises(rebuild.RebuildError, match="IN ALL TASKS"):
        rules.read(source)


def function(body, *before):
    lines = [*before, "def conv(x, w):", *("    " + line for line in body.split("\n"))]
    return "\n".join(lines)


EVASIONS = {
    "plain": [function("return F.conv2d(x, w)")],
    "full_name": [function("return torch.nn.functional.conv2d(x, w)")],
    "other_name_in_torch": [function("return torch.conv2d(x, w)")],
    "other_kind_of_convolution": [function("return F.conv3d(x[None], w[None])")],
    "operator_packet": [function("return torch.ops.aten.convolution.default(x, w)")],
    "a_layer": [function("return nn.Conv2d(1, 1, 3)(x)")],
    "alias_import": ["from torch.nn import functional as G", function("return G.conv2d(x, w)")],
    "alias_import_inside": [function("import torch as t\nreturn t.nn.functional.conv2d(x, w)")],
    "from_import": ["from torch.nn.functional import conv2d as c", function("return c(x, w)")],
    "import_is_the_answer": ["from torch.nn.functional import conv2d as conv"],
    "star_import": ["from torch.nn.functional import *", function("return conv2d(x, w)")],
    "assigned_module": ["H = nn.functional", function("return H.conv2d(x, w)")],
    "assigned_function": [function("f = F.conv2d\nreturn f(x, w)")],
    "assigned_pair": [function("f, g = F.conv2d, 3\nreturn f(x, w)")],
    "default_argument": ["def conv(x, w, f=F.conv2d):\n    return f(x, w)"],
    "walrus": [function("return (f := F.conv2d)(x, w)")],
    "either": [function("return (F if x is None else nn.functional).conv2d(x, w)")],
    "lambda": ["conv = lambda x, w: F.conv2d(x, w)"],
    "getattr": [function('return getattr(F, "conv2d")(x, w)')],
    "getattr_in_pieces": [function('return getattr(F, "conv" + "2d")(x, w)')],
    "importlib": [
        function('import importlib as i\nreturn i.import_module("torch.nn.functional").conv2d(x)')
    ],
    "dunder_import": [function('return __import__("torch").conv2d(x, w)')],
    "sys_modules": [function('import sys\nreturn sys.modules["torch.nn.functional"].conv2d(x)')],
    "dict": [function('return F.__dict__["conv2d"](x, w)')],
    "vars": [function('return vars(F)["conv2d"](x, w)')],
    "globals": [function('return globals()["F"].conv2d(x, w)')],
    "exec": [function('exec("y = F.conv2d(x, w)")\nreturn y')],
    "eval": [function('return eval("F.conv2d(x, w)")')],
    "helper": ["def help_me(x, w):\n    return F.conv2d(x, w)", function("return help_me(x, w)")],
    "helper_of_a_helper": [
        "def c(x, w):\n    return F.conv2d(x, w)\ndef b(x, w):\n    return c(x, w)",
        function("return b(x, w)"),
    ],
    "helper_after": [function("return later(x, w)"), "later = F.conv2d"],
    "table": ["table = {'c': F.conv2d}", function("return table['c'](x, w)")],
    "in_a_class": ["class conv:\n    def __call__(self, x, w):\n        return F.conv2d(x, w)"],
    "method_added_later": ["class conv:\n    pass", "conv.__call__ = lambda self, x: F.conv2d(x)"],
    "decorator": [function("pass", "@(lambda f: F.conv2d)")],
    "defined_in_a_branch": ["if True:\n    conv = F.conv2d\nelse:\n    conv = None"],
    "beside_a_magic": ["%matplotlib inline\n!ls\nfiles = !ls\n" + function("return F.conv2d(x)")],
}


@pytest.mark.parametrize("name", EVASIONS)
def test_the_text_of_an_answer_breaks_a_rule(name):
    message = broken(["F.conv2d"], *EVASIONS[name])
    assert message is not None
    assert message.startswith("not allowed in this task: F.conv2d (in cell ")
    assert message.endswith("so the task gives no points")


HONEST = {
    "another_function": [function("return F.pad(x, w)")],
    "its_own_name": ["def conv2d(x, w): return x", function("return conv2d(x, w)")],
    "compared_below": [function("return x") + "\nassert torch.equal(conv(1, 2), F.conv2d(1, 2))"],
    "a_helper_of_another_task": ["def other(x):\n    return F.conv2d(x, x)", function("return x")],
    "replaced_later": [function("return F.conv2d(x, w)"), function("return x")],
    "a_parameter_called_F": ["def conv(x, F):\n    return F.conv2d"],
    "a_local_called_F": [function("n, F = x.shape\nreturn F.conv2d")],
    "in_a_comment": [function("# F.conv2d does this\nreturn 'F.conv2d'")],
    "in_a_docstring": [function('"""Like F.conv2d."""\nreturn x')],
    "not_python": ["def conv(x, w:\n    return F.conv2d(x, w)"],
    "its_own_method": [function("return x.conv2d(w)")],
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_text_breaks_none(name):
    assert broken(["F.conv2d", "cnnlib", "@"], *HONEST[name]) is None


def test_the_message_shows_the_line():
    text = function("y = 1\nreturn  F.conv2d(x, w)")
    assert "(in cell 1, line 3: `return  F.conv2d(x, w)`)" in broken(["F.conv2d"], text)


def test_modules_methods_operators_and_builtins():
    used = function("from cnnlib.functional import im2col\nreturn im2col(x, 3)")
    assert "cnnlib" in broken(["cnnlib"], used)
    assert "cnnlib" in broken(["import cnnlib.functional"], used)
    assert broken(["cnnlib.models"], used) is None
    assert broken(["cnnlib"], "import cnnlib", function("return x")) is None
    for body in ("return x.unfold(2, 3, 1)", "return torch.Tensor.unfold(x, 2, 3, 1)"):
        assert broken(["Tensor.unfold"], function(body)) is not None
        assert broken(["F.unfold"], function(body)) is None
    assert broken(["F.unfold"], function("return nn.Unfold(3)(x)")) is not None
    assert broken(["Tensor.unfold"], function('return getattr(x, "unfold")(2)')) is not None
    for body in ("return x @ w", "x @= w\nreturn x", "return torch.matmul(x, w)", "x.mm(w)"):
        assert broken(["@"], function(body)) is not None
    assert broken(["@"], function("return x * w")) is None
    assert broken(["sorted"], function("return sorted(x)")) is not None
    assert broken(["sorted"], "def sorted(x): return x", function("return sorted(x)")) is None


def test_a_rule_against_a_shared_generator_is_none_against_ones_own():
    mine = function("import random\nrng = random.Random(1)\nrng.seed(2)\nreturn rng.random()")
    assert broken(["random.seed"], mine) is None
    for body in ("random.seed(1)", "from random import seed as s\ns(1)"):
        assert "random.seed" in broken(["random.seed"], function("import random\n" + body))
    text = function("import numpy as n\nn.random.seed(1)")
    assert "np.random.seed" in broken(["np.random.seed"], text)


def test_text_that_makes_trouble_ends_the_search_soon():
    loop = "conv = other\n" + "other = conv\n" + function("return conv(x, other)")
    assert broken(["F.conv2d"], loop, "def other(x):\n    return conv(x, x)") is None
    assert broken(["F.conv2d"], "def conv(x, w): return x" + ".y" * 5_000) is None
    assert broken(["F.conv2d"], "def conv(x, w): return " + "x + " * 4_000 + "x") is None
    many = "\n".join(f"def f{n}(x):\n    return f{n + 1}(x)" for n in range(500))
    assert "F.conv2d" in broken(["F.conv2d"], many + "\nf500 = F.conv2d\nconv = f0")


LONG = {
    # Each makes the search look at every part of the text for every part of the text.
    "many definitions of a name": ["z = 1\n" + "z.a = z\n" * 2_000, function("z;" * 8_000)],
    "many values of a name": [function("y = x\n" * 1_000 + "x = y\n" * 300 + "y.a;" * 1_000)],
    "many imports of a name": [
        function("".join(f"import a{n} as x\n" for n in range(600)) + "x.a.a;" * 500)
    ],
    "long statements": [f"v{n} = z = [{'z, ' * 6_000}]" for n in range(4)]
    + [function("v0, v1, v2, v3;" * 1_000)],
    "much code": [f"def f{n}(): {'f.x(1);' * 2_500}" for n in range(4)]
    + [function("f0(), f1(), f2(), f3()")],
    "too long for one cell": [function("x;" * (rebuild.MAX_PARSED_CHARACTERS // 2))],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_the_search_has_a_number_of_steps_and_says_when_they_were_used_up(name, monkeypatch):
    looked_at = []
    rule_against = rules._Search.rule_against
    forbids = rules.Rule.forbids

    def counted(self, node, definition):
        looked_at.append(1)
        return rule_against(self, node, definition)

    def counted_path(self, path):
        looked_at.append(1)
        return forbids(self, path)

    monkeypatch.setattr(rules._Search, "rule_against", counted)
    monkeypatch.setattr(rules.Rule, "forbids", counted_path)
    task = rule("F.conv2d")
    items = [rebuild.Item("student", f"cell {n}", text) for n, text in enumerate(LONG[name])]
    items += [
        rebuild.Item("student", "more", "def g(): pass"),
        rebuild.Item("test", "test_conv", ""),
    ]
    found, notes = rules.broken(items, {"test_conv": task})
    assert found == {}
    assert len(looked_at) < 3 * rules.MAX_STEPS
    assert len(notes) == 1
    assert "too long to be searched" in notes[0]
    assert rules.broken(items, {}) == ({}, [])


def noticed(labels, function):
    """The rules that a call breaks."""
    found = watch.Watch([r.data for r in rule(*labels).rules])
    with found.active():
        function()
    return sorted(found.broken)


X, W = torch.arange(32.0).reshape(1, 2, 4, 4), torch.ones(3, 2, 2, 2)
CONVOLUTION_BACKWARD = (
    torch.ones(1, 3, 3, 3), X, W, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1,
    [True, True, False],
)  # fmt: skip


class TestWatch:
    @pytest.mark.parametrize(
        "used",
        [
            lambda: F.conv2d(X, W),
            lambda: torch.conv2d(X, W),
            lambda: nn.Conv2d(2, 3, 2)(X),
            lambda: torch.ops.aten.conv2d(X, W),
            lambda: torch.ops.aten.convolution.default(
                X, W, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1
            ),
            lambda: getattr(F, "".join(["conv", "2d"]))(X, W),
            lambda: list(map(F.conv2d, [X], [W])),
            lambda: _in_a_thread(lambda: F.conv2d(X, W)),
        ],
    )
    def test_a_convolution_by_any_name(self, used):
        assert noticed(["F.conv2d", "cnnlib"], used) == ["F.conv2d"]

    def test_pooling_and_patches(self):
        assert noticed(["F.max_pool2d"], lambda: F.max_pool2d(X, 2)) == ["F.max_pool2d"]
        assert noticed(["F.max_pool2d"], lambda: nn.AdaptiveMaxPool2d(2)(X)) == ["F.max_pool2d"]
        assert noticed(["F.avg_pool2d"], lambda: F.lp_pool2d(X, 2.0, 2)) == ["F.avg_pool2d"]
        assert noticed(["F.unfold", "Tensor.unfold"], lambda: F.unfold(X, 2)) == ["F.unfold"]
        assert noticed(["F.unfold", "Tensor.unfold"], lambda: X.unfold(2, 2, 1)) == [
            "Tensor.unfold"
        ]

    def test_operators_and_gradients(self):
        assert noticed(["@"], lambda: X @ X) == ["@"]
        assert noticed(["@"], lambda: torch.bmm(X[0], X[0])) == ["@"]
        assert noticed(["@"], lambda: X * X) == []
        leaf = X.clone().requires_grad_()
        assert noticed(["torch.autograd.grad"], lambda: torch.autograd.grad(leaf.sum(), leaf))
        assert noticed(["Tensor.backward"], lambda: leaf.sum().backward()) == ["Tensor.backward"]
        assert noticed(["torch.autograd.grad"], lambda: leaf.grad) == []
        assert noticed(
            ["torch.autograd.grad"],
            lambda: nn.grad.conv2d_weight(X, W.shape, torch.ones(1, 3, 3, 3)),
        )

    @pytest.mark.parametrize(
        "used",
        [
            lambda leaf: list(map(torch.autograd.grad, [leaf.sum()], [leaf])),
            lambda leaf: functools.partial(torch.autograd.grad, leaf.sum())(leaf),
            lambda leaf: operator.methodcaller("backward")(leaf.sum()),
            lambda leaf: torch.ops.aten.convolution_backward(*CONVOLUTION_BACKWARD),
            lambda leaf: torch.ops.aten.convolution_backward.default(*CONVOLUTION_BACKWARD),
            lambda leaf: list(map(torch.ops.aten.convolution_backward, *zip(CONVOLUTION_BACKWARD))),
            lambda leaf: _in_a_thread(lambda: torch.autograd.grad(leaf.sum(), leaf)),
        ],
    )
    def test_a_gradient_is_noticed_without_a_look_at_each_operation(self, used):
        labels = ["torch.autograd.grad"]
        assert not watch.Watch([r.data for r in rule(*labels).rules]).in_c
        assert noticed(labels, lambda: used(X.clone().requires_grad_())) == labels

    @pytest.mark.parametrize("label", ["F.conv2d", "nn.Conv2d", "F.avg_pool2d", "@", "torch.cdist"])
    def test_what_torch_does_in_c_needs_a_look_at_each_operation(self, label):
        assert watch.Watch([r.data for r in rule(label).rules]).in_c
        assert watch.Watch([r.data for r in rule("np.convolve", label).rules]).in_c
        assert not watch.Watch([r.data for r in rule("np.convolve", "cnnlib").rules]).in_c

    def test_what_torch_does_with_its_own_operations_is_allowed(self):
        call = "lambda: torch.ops.aten.convolution_backward.default(*CONVOLUTION_BACKWARD)"
        names = {"torch": torch, "CONVOLUTION_BACKWARD": CONVOLUTION_BACKWARD}
        for place, broken in {
            "torch": [],
            "torch.x": [],
            "torchy": ["torch.autograd.grad"],
        }.items():
            function = eval(call, {**names, "__name__": place})
            assert noticed(["torch.autograd.grad"], function) == broken

    def test_modules_and_builtins(self):
        from cnnlib import arithmetic

        used = lambda: arithmetic.conv_output_size(5, 3)  # noqa: E731
        assert noticed(["cnnlib"], used) == ["cnnlib"]
        assert noticed(["cnnlib.arithmetic.conv_output_size"], used) != []
        assert noticed(["cnnlib.functional"], used) == []
        assert noticed(["sorted"], lambda: sorted([1])) == ["sorted"]
        assert noticed(["np.convolve"], lambda: np.convolve([1], [1])) == ["np.convolve"]

    def test_a_function_of_a_shared_object_is_not_that_of_another(self):
        label = "random.seed"
        assert noticed([label], lambda: random.seed(1)) == [label]
        assert noticed([label], lambda: getattr(random, "se" + "ed")(1)) == [label]
        assert noticed([label], lambda: random.Random(1).random()) == []
        assert noticed([label], lambda: random.Random().seed(1)) == []
        both = ["random.seed", "random.Random.seed"]  # the second means every generator
        for labels in (both, both[::-1]):
            assert len(noticed(labels, lambda: random.Random(1))) == 1
        assert noticed(["random.*"], lambda: random.Random(1)) == ["random.*"]
        mine = random.Random(1)
        assert noticed(["random.*", label], lambda: mine.seed(2)) == ["random.*"]
        assert noticed(["random.Random"], lambda: random.Random(1)) == ["random.Random"]
        # Python reports no calls of functions compiled by Cython; the text shows them.
        seed = np.random.seed
        assert noticed(["np.random.seed"], lambda: seed(1)) == []

    def test_what_is_allowed_is_not_noticed(self):
        def allowed():
            patches = F.pad(X, [1] * 4).unfold(2, 2, 1)
            torch.einsum("nchw,nchw->n", X, X)
            return nn.Sequential(nn.ReLU(), nn.BatchNorm2d(2))(X), patches.amax(-1)

        assert noticed(["F.conv2d", "F.unfold", "F.max_pool2d", "cnnlib"], allowed) == []

    def test_what_serves_the_submission_is_not_noticed(self):
        ours = {"__name__": "grading.student", "F": F, "X": X, "W": W}
        assert noticed(["F.conv2d"], eval("lambda: F.conv2d(X, W)", ours)) == []
        theirs = {**ours, "__name__": "__main__"}
        assert noticed(["F.conv2d"], eval("lambda: F.conv2d(X, W)", theirs)) == ["F.conv2d"]

    def test_nothing_is_left_on(self):
        import sys

        with pytest.raises(ZeroDivisionError):
            noticed(["F.conv2d"], lambda: 1 / 0)
        assert sys.getprofile() is None

    def test_a_name_that_does_not_exist_is_an_error(self):
        assert watch.resolve("torch.nn.functional.conv2d") is F.conv2d
        with pytest.raises(LookupError, match="covn2d"):
            watch.resolve("torch.nn.functional.covn2d")
        with pytest.raises(LookupError, match="no package"):
            watch.resolve("nowhere.x")


def _in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def with_rules(source):
    """The small assignment with rules, as an instructor would write them."""
    text = source.cell("convolve")["source"]
    text = "".join(text) if isinstance(text, list) else text
    source.put(convolve="### FORBIDDEN: nn.functional.conv2d, sorted\n" + text)
    source.cells[1]["source"] = "".join(source.cells[1]["source"]) + (
        "\n### FORBIDDEN IN ALL TASKS: cnnlib.arithmetic\n"
    )
    return source


def result_of(grader, source, submission, test):
    result = grader.grade(source.bytes, submission.bytes, seed="a")
    return next(t for t in result["tests"] if t["grade_id"] == test), outcome(result), result


HIDDEN_CALL = """
NAMES = ["conv", "2d"]
def convolve(image, kernel):
    function = getattr(nn.functional, "".join(NAMES))
    return function(image[None, None], kernel[None, None])[0, 0]
"""


@pytest.mark.slow
def test_a_broken_rule_costs_the_task_and_says_why(grader, source, right):
    with_rules(source)
    assert grader.grade(source.bytes, right.bytes, seed="a")["score"] == sum(FULL.values())
    for answer, words in (
        (HIDDEN_CALL, "nn.functional.conv2d (used while your code ran)"),
        (HIDDEN_CALL.replace('"".join(NAMES)', '"conv2d"'), "line 4: `function = getattr"),
    ):
        right.put(convolve=answer)
        test, points, result = result_of(grader, source, right, "test_convolve")
        assert points == {**FULL, "test_convolve": 0.0}
        assert test["status"] == "forbidden"
        assert words in test["message"]
        assert not test["hidden"]
        assert result["notes"] == []


@pytest.mark.slow
def test_a_rule_for_all_tasks_and_one_that_names_nothing(grader, source, right):
    with_rules(source)
    source.put(box="### FORBIDDEN: torch.covn2d\n" + right.cell("box")["source"])
    right.put(
        output_size="from cnnlib.arithmetic import conv_output_size as reference\n"
        "def output_size(*args, **kwargs):\n    return reference(*args, **kwargs)\n"
    )
    test, points, result = result_of(grader, source, right, "test_output_size")
    assert points == {**FULL, "test_output_size": 0.0}
    assert test["status"] == "forbidden"
    assert "cnnlib.arithmetic" in test["message"]
    assert [note for note in result["notes"] if "'torch.covn2d' names nothing" in note]
