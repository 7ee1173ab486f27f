"""The script behind the tables of layers. What it has written is tested with the figure."""

import json

import pytest
import torch
from torch import nn

from tools import parameter_tables


class Halves(nn.Module):
    """A layer whose memory does not grow with the map, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(8)
        self.spare = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.conv(x))


@pytest.fixture
def one_network(monkeypatch):
    networks = [("halves", Halves(), 3, (8, 16))]
    monkeypatch.setattr(parameter_tables, "networks", lambda: networks)


def test_it_writes_a_file_for_each_network(one_network, tmp_path):
    folder = tmp_path / "tables"
    assert parameter_tables.main(["--output", str(folder)]) == 0
    assert json.loads((folder / "index.json").read_text("utf-8")) == {"networks": ["halves"]}
    content = json.loads((folder / "halves.json").read_text("utf-8"))
    assert content == {
        "network": "halves",
        "sizes": [8, 16],
        "channels": 3,
        "kinds": ["Input", "Conv2d", "AdaptiveAvgPool2d", "Linear"],
        "maps": [[[8, 8], [16, 16]], [[8, 8], [8, 8]]],
        "rows": [
            ["0|input", 0, 3, 0, 0, 0, 3],
            ["0|conv", 1, 4, 0, 4 * 28, 4 * 27, 4],
            # At 8 × 8 there is nothing to average, so nothing is written.
            ["0|pool", 2, 4, 1, 0, 0, [0, 4 * 64]],
            ["0|spare", 3, 0, -1, 6, 0, 0],
        ],
    }


def test_names_share_their_beginnings():
    assert parameter_tables.shared_beginning("layer1.conv1", "layer1.conv2") == 11
    assert parameter_tables.shared_beginning("", "conv") == 0
    assert parameter_tables.shared_beginning("conv", "conv") == 4


def test_what_does_not_grow_with_the_map_is_listed():
    assert parameter_tables.per_position([18, 72], [9, 36]) == 2
    assert parameter_tables.per_position([18, 73], [9, 36]) == [18, 73]
    assert parameter_tables.per_position([19, 76], [9, 36]) == [19, 76]
