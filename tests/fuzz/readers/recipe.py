"""Training recipes."""

from contextlib import suppress
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.training.recipe import load_recipe, parse_overrides, shipped_recipes
from tests.fuzz.fuzzing import Reader


def make(folder: Path) -> None:
    (folder / "based.toml").write_text(
        'base = "modern"\nsteps = 7\ngeometry.zoom_range = [0.5, 2.0]\nloss.jaccard = 0\n'
    )
    (folder / "whole.toml").write_bytes(shipped_recipes()["paper"].read_bytes())


def read(folder: Path) -> None:
    for name in ("based.toml", "whole.toml"):
        path = folder / name
        with suppress(BprError):
            load_recipe(str(path))
        if path.is_file():
            with suppress(BprError):
                load_recipe("modern", parse_overrides(path.read_text("utf-8", "replace").splitlines()))


READER = Reader("recipe", make, read)
