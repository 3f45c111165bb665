"""Folders of binary masks."""

from pathlib import Path

from tests.formats.format_builders import disc, photo, png
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers.predictions import refine_nothing


def make(folder: Path) -> None:
    for name, mode in (("a", "L"), ("b", "1"), ("c", "P"), ("d", "RGB")):
        photo(folder / f"images/{name}.png")
        png(folder / f"preds/{name}.png", disc().astype("uint8") * 255, mode)


def read(folder: Path) -> None:
    refine_nothing(folder / "preds", folder / "images", folder.parent / "out")


READER = Reader("masks", make, read)
