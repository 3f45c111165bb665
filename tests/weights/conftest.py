"""A network small enough to be saved and loaded hundreds of times."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bpr_cli.networks.registry import NETWORKS
from bpr_cli.weights import files as weights
from bpr_cli.weights.card import WeightsCard


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3, padding=1)
        self.bn = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A registered network with weights and batch norm statistics that are not those of a fresh one."""
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    network = Tiny()
    network(torch.randn(2, 4, 8, 8))
    return network


@pytest.fixture
def card() -> WeightsCard:
    return WeightsCard("mine", "tiny", patch_size=48, padding=4, input_size=64, metrics={"iou": 0.9})


@pytest.fixture
def saved(tiny: Tiny, card: WeightsCard, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    weights.save_weights(path, tiny, card)
    return path
