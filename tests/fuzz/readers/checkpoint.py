"""Checkpoints of other programs."""

from contextlib import suppress
from pathlib import Path

import torch

from bpr_cli.errors import BprError
from bpr_cli.weights.files import load_weights, save_weights
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers.weights import CARD, tiny
from tests.training.trainers import TinyNorm

NAMES = ("new.pth", "old.pt")


@tiny
def make(folder: Path) -> None:
    save_weights(folder / "new.pth", TinyNorm(), CARD)
    content = {"meta": {"bpr": CARD.to_json()}, "state_dict": TinyNorm().state_dict()}
    torch.save(content, folder / "old.pt", _use_new_zipfile_serialization=False)


@tiny
def read(folder: Path) -> None:
    for name in NAMES:
        with suppress(BprError):
            load_weights(folder / name)


READER = Reader("checkpoint", make, read)
