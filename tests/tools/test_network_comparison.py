"""The script behind the comparison of networks. Its counts are tested with the figure."""

import json

import pytest
import torch
from torch import nn

from tools import network_comparison


@pytest.fixture
def two_networks(monkeypatch):
    """Only two small entries; and the script may change the number of threads."""
    small = [
        entry
        for entry in network_comparison.entries()
        if entry["network"] in ("squeezenet1_1", "mobilenet_v3_small")
    ]
    monkeypatch.setattr(network_comparison, "entries", lambda: small)
    threads = torch.get_num_threads()
    yield small
    torch.set_num_threads(threads)


@pytest.mark.slow  # a few seconds of one core
def test_it_writes_a_line_for_each_network(two_networks, tmp_path):
    output = tmp_path / "numbers.json"
    assert network_comparison.main(["--output", str(output), "--repeats", "1"]) == 0
    networks = json.loads(output.read_text("utf-8"))["networks"]
    assert [one["name"] for one in networks] == ["squeezenet1_1", "mobilenet_v3_small"]
    stored = json.loads(network_comparison.OUTPUT.read_text("utf-8"))["networks"]
    kept = {one["name"]: one for one in stored}
    for one in networks:
        milliseconds = one.pop("milliseconds")
        assert milliseconds > 0
        expected = dict(kept[one["name"]])
        expected.pop("milliseconds")
        assert one == expected


def test_without_repeats_nothing_is_written(tmp_path, capsys):
    output = tmp_path / "numbers.json"
    assert network_comparison.main(["--output", str(output), "--repeats", "0"]) == 2
    assert "--repeats must be at least 1" in capsys.readouterr().err
    assert not output.exists()


def test_tame_values_average_and_stay_finite():
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
        ).eval()
    network = network_comparison.with_tame_values(network)
    picture = torch.full((1, 3, 6, 6), 0.5)
    inside = network(picture)[:, :, 1:-1, 1:-1]
    assert torch.allclose(inside, torch.full_like(inside, 0.5), atol=1e-4)
