"""What is imported before the first fork, and what is not."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap

import pytest

from grading import preload


def test_modules_of_no_use_are_absent_while_torch_is_imported_and_no_longer():
    name = "colorsys"
    sys.modules.pop(name, None)
    with preload.absent((name,)), pytest.raises(ImportError):
        importlib.import_module(name)
    assert importlib.import_module(name).__name__ == name
    with pytest.raises(RuntimeError, match="on the way"), preload.absent((name,)):
        raise RuntimeError("on the way")
    assert importlib.import_module(name).__name__ == name


def test_a_package_imported_before_is_the_same_afterwards():
    import xml.dom.minidom as part  # `xml.dom` has to stay the module that knows its parts

    with preload.absent(("xml", "xml.dom")), pytest.raises(ImportError):
        importlib.import_module("xml.dom.pulldom")
    import xml.dom

    assert xml.dom.minidom is part


def test_what_is_missing_is_named_and_what_is_ours_must_be_there(monkeypatch):
    monkeypatch.setattr(preload, "ALWAYS", ("json",))
    monkeypatch.setattr(preload, "postpone_the_compiler", lambda: 0)
    (line,) = preload.import_all((), ("json.decoder", "no_such_module_here"))
    assert line.startswith("no_such_module_here: ")
    with pytest.raises(ImportError, match="no_such_entry"):
        preload.import_all(("no_such_entry",), ())


def run_alone(program: str) -> None:
    """Run a program in a fresh Python: in this one the compiler may have been imported."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_meta_device_and_optimisers_do_not_import_the_compiler():
    run_alone(
        """
        import sys
        from grading import preload
        assert preload.import_all((), ("cnnlib.summary", "cnnlib.models")) == []
        before = set(sys.modules)

        import torch
        from torch import nn
        from cnnlib import models, summary
        with torch.device("meta"):
            net = nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(36, 5), nn.Softmax(1),
            )
            out = net(torch.empty(2, 3, 8, 8))
        assert out.shape == (2, 5) and out.sum().shape == () and (out * 2 + out).shape == (2, 5)
        assert summary.summarize(models.LeNet5(), (1, 1, 32, 32)) is not None
        layer = nn.Linear(3, 2)
        optimizer = torch.optim.Adam(layer.parameters())
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).backward(torch.ones(1, 2))
        optimizer.load_state_dict(optimizer.state_dict())
        new = set(sys.modules) - before
        assert new <= {"torch.utils._device"}, sorted(new)  # of the device as a context; no more
        """
    )


def test_with_a_compiler_torch_goes_its_own_way():
    run_alone(
        """
        import sys
        from grading import preload
        import torch
        assert preload.postpone_the_compiler() > 100
        relu = torch._refs.nn.functional.relu
        assert torch.equal(relu(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))
        assert "torch._dynamo" not in sys.modules

        compiled = torch.compile(lambda x: x.sin() + 1, backend="eager")
        assert torch.equal(compiled(torch.zeros(2)), torch.ones(2))
        assert "torch._dynamo" in sys.modules
        assert preload.postpone_the_compiler() == 0

        layer = torch.nn.Linear(3, 2)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
        wrapped = torch.optim.Optimizer.zero_grad
        place = wrapped.__code__.co_freevars.index("fn")
        function = wrapped.__closure__[place].cell_contents
        ours = function.__dynamo_disable
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert layer.weight.grad is None
        assert function.__dynamo_disable is not ours
        assert torch.equal(relu(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))
        """
    )


def test_a_torch_that_does_it_in_another_way_is_left_alone(monkeypatch):
    import torch._compile

    monkeypatch.setattr(torch._compile, "_disable_dynamo", lambda function: function)
    assert preload.postpone_the_compiler() == 0
    monkeypatch.setattr(torch._compile, "_disable_dynamo", lambda function: len)
    assert preload.postpone_the_compiler() == 0
    monkeypatch.delattr(torch._compile, "_disable_dynamo")
    assert preload.postpone_the_compiler() == 0
