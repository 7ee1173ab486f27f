"""LeNet-5 behaves as every network of the course does; its numbers are in tests/cnnlib."""

import numpy as np
import pytest
import torch
from model_harness import (
    Case,
    check_autocast,
    check_channels_last,
    check_compile,
    check_evaluation,
    check_round_trip,
    images,
)

from cnnlib.models import lenet5

# Odd sizes are left out: LeNet-5 takes 32×32 and says so, see tests/cnnlib/test_lenet.py.
CHECKS = (
    check_channels_last,
    check_compile,
    check_evaluation,
    check_round_trip,
)


@pytest.mark.parametrize("variant", ["1998", "modern"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_behaviour(check, variant):
    check(Case("lenet5", {"variant": variant}, channels=1, size=32))


def test_autocast():
    check_autocast(Case("lenet5", {"variant": "modern"}, channels=1, size=32))


def test_autocast_measures_distances_to_the_codes_in_full_precision():
    case = Case("lenet5", {"variant": "1998"}, channels=1, size=32)
    model = case.build().eval()
    expected = model(case.images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = model(case.images())
    assert got.dtype == torch.float32  # the codes are: a sum of 84 squares needs the digits
    torch.testing.assert_close(got, expected, rtol=0.02, atol=0.1)
    got.sum().backward()


@pytest.mark.parametrize("variant", ["1998", "modern"])
def test_one_class_and_colour(variant):
    torch.manual_seed(0)
    model = lenet5(1, 3, variant=variant)
    logits = model(images(1, 3, 32))
    assert logits.shape == (1, 1)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["1998", "modern"])
def test_onnx_engine_computes_the_same(tmp_path, variant):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported file")
    torch.manual_seed(0)
    model = lenet5(variant=variant).eval()
    x = images(1, 1, 32)
    path = tmp_path / "lenet5.onnx"
    torch.onnx.export(model, (x,), path, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = model(x).detach().numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
