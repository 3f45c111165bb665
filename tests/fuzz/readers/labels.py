"""Folders of label maps."""

from pathlib import Path

import numpy as np

from tests.formats.format_builders import SIZE, indexed_png, photo, png
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers.predictions import refine_nothing

LABELS = np.random.default_rng(1).integers(0, 9, SIZE)


def make(folder: Path) -> None:
    for name in "abc":
        photo(folder / f"images/{name}.jpg")
    png(folder / "preds/a_labelIds.png", LABELS.astype(np.uint8))
    png(folder / "preds/b_labelIds.png", LABELS.astype(np.uint16) * 999)
    indexed_png(folder / "preds/c_labelIds.png", LABELS, bytes(range(27)))


def read(folder: Path) -> None:
    refine_nothing(folder / "preds", folder / "images", folder.parent / "out")


READER = Reader("labels", make, read)
