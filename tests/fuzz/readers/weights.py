"""Weights files of bpr."""

from pathlib import Path
from unittest.mock import patch

from bpr_cli.networks.registry import NETWORKS
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import load_weights, save_weights
from tests.fuzz.fuzzing import Reader
from tests.training.trainers import TinyNorm

CARD = WeightsCard("mine", "tiny", patch_size=48, padding=4, input_size=64, metrics={"iou": 0.9})
tiny = patch.dict(NETWORKS, tiny=TinyNorm)


@tiny
def make(folder: Path) -> None:
    save_weights(folder / "w.safetensors", TinyNorm(), CARD)


@tiny
def read(folder: Path) -> None:
    load_weights(folder / "w.safetensors")


READER = Reader("weights", make, read)
