"""Cityscapes result folders."""

from pathlib import Path

from tests.formats.format_builders import disc, photo, png
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers.predictions import refine_nothing


def make(folder: Path) -> None:
    for name in "ab":
        photo(folder / f"images/{name}.png")
        png(folder / f"preds/masks/{name}_0.png", disc().astype("uint8") * 255)
        png(folder / f"preds/masks/{name} 1.png", disc(radius=3).astype("uint8"))
        (folder / f"preds/{name}_pred.txt").write_text(f"masks/{name}_0.png 24 0.97\nmasks/{name} 1.png 26 0.1\n")


def read(folder: Path) -> None:
    refine_nothing(folder / "preds", folder / "images", folder.parent / "out")


READER = Reader("cityscapes", make, read)
