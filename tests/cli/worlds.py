"""What the tests of the command line look at: a small world, and what a user sees of a command."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.formats.format_builders import compressed, disc, png

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = (80, 96)
MASK = disc(SIZE, (40, 48), 20)
SMALL = disc()

INFO = {"images": [{"id": i, "file_name": f"{name}.png", "height": 80, "width": 96} for i, name in enumerate("abc", 1)]}
"""A COCO list of the images of the world."""


def record(image_id, mask=MASK, **fields):
    """A record of COCO results."""
    return {"image_id": image_id, "category_id": 1, "score": 0.5, "segmentation": compressed(mask), **fields}


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command that has ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The sentences that say what went wrong."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]


Bpr = Callable[..., Outcome]
"""Runs ``bpr`` with some arguments."""


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files below a folder with their content, and all folders."""
    paths = [Path(root, name) for root, folders, files in os.walk(folder) for name in (*folders, *files)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def results(folder: Path) -> dict[str, bytes | None]:
    """The tree without what a refinement writes of itself, and keeps to go on."""
    own = (".bpr", "run.json")
    return {name: content for name, content in tree(folder).items() if not set(name.split("/")) & set(own)}


def cut_short(path: Path) -> None:
    """Leave the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def make_broken(world: Path) -> None:
    """Masks d to h in ``preds``, of which only d can be refined."""
    for name in "defgh":
        add_mask(world, name)
    png(world / "preds/e.png", SMALL.astype("uint8") * 255)
    cut_short(world / "preds/f.png")
    (world / "images/g.png").write_text("not an image")
    (world / "images/h.png").unlink()


def add_mask(world: Path, name: str) -> None:
    """A mask in ``preds`` and its image."""
    png(world / f"preds/{name}.png", MASK.astype("uint8") * 255)
    shutil.copy(world / "images/a.png", world / f"images/{name}.png")


def says(sentence: str, pattern: str) -> bool:
    """Whether a sentence is the pattern, in which ``[..]`` stands for what a decoder or the system says."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("[..]"))), sentence) is not None
