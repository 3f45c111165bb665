"""Photographs."""

from contextlib import suppress
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.images import image_size, read_image
from tests.formats.format_builders import photo
from tests.fuzz.fuzzing import Reader


def make(folder: Path) -> None:
    for suffix in ("png", "jpg", "tif", "webp"):
        photo(folder / f"{suffix}.{suffix}", (12, 14))
    photo(folder / "packed.tif", (12, 14), compression="tiff_lzw")


def read(folder: Path) -> None:
    index = ImageIndex.scan(folder)
    for stem in ("png", "jpg", "tif", "webp", "packed"):
        with suppress(BprError):
            path = index.find([stem])
            image_size(path)
            assert read_image(path).shape[2] == 3


READER = Reader("images", make, read)
