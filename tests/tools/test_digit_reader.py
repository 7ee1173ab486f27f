"""The script behind the figure in which the reader draws a digit."""

import json

import pytest
import torch

from cnnlib.data import load
from tools import digit_reader


@pytest.mark.slow  # a pass over the training set
def test_it_trains_and_writes_what_the_page_needs(tmp_path, capsys):
    threads = torch.get_num_threads()
    output = tmp_path / "digit.json"
    try:
        assert digit_reader.main(["--output", str(output), "--epochs", "3"]) == 0
    finally:
        torch.set_num_threads(threads)
    content = json.loads(output.read_text("utf-8"))
    stored = json.loads(digit_reader.OUTPUT.read_text("utf-8"))
    assert content.keys() == stored.keys()
    shapes = {name: one["shape"] for name, one in content["weights"].items()}
    assert shapes == {name: one["shape"] for name, one in stored["weights"].items()}
    assert content["codes"] == stored["codes"]
    assert [one["label"] for one in content["examples"]] == list(range(10))
    network = digit_reader.rounded_network(content["weights"])
    assert sum(parameter.numel() for parameter in network.parameters()) == 60_000
    test = load("digits", "test")
    with torch.inference_mode():
        right = (network(test.images.double()).argmax(1) == test.labels).double().mean().item()
    assert content["accuracy"] == pytest.approx(right, abs=0.003)
    assert f"{content['accuracy']:.2%}" in capsys.readouterr().out
    assert right > 0.6


def test_rounding_keeps_255_levels():
    weight = torch.tensor([[-1.0, 0.5], [0.0, 0.254]], dtype=torch.float64)
    packed = digit_reader.pack(weight)
    unpacked = digit_reader.unpack(packed)
    assert unpacked.shape == weight.shape
    assert (unpacked - weight).abs().max() <= packed["scale"] / 2
    assert unpacked[0, 0] == -1
    assert digit_reader.unpack(digit_reader.pack(torch.zeros(3))).tolist() == [0, 0, 0]


def test_without_epochs_nothing_is_written(tmp_path, capsys):
    output = tmp_path / "digit.json"
    assert digit_reader.main(["--output", str(output), "--epochs", "0"]) == 2
    assert "--epochs must be at least 1" in capsys.readouterr().err
    assert not output.exists()
