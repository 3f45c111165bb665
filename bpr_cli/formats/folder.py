"""What folders of one PNG an image have in common, whether they hold label maps or binary masks."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet, Writer, Written
from bpr_cli.formats.image_lookup import Entry, ImageIndex, match_images
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Prediction
from bpr_cli.system.paths import output_file, write_bytes

_COMPANIONS = ("_color", "_colour", "_instanceIds", "_instanceTrainIds")


def value_files(source: Source) -> list[Path]:
    """The PNG files of a source without the pictures that tools put beside label maps.

    Files that end in ``_color`` or ``_instanceIds`` are left out, unless there is nothing else.
    """
    files = [file for file in source.pngs if not file.stem.endswith(_COMPANIONS)]
    return files or source.pngs


def _entry(file: Path) -> Entry:
    # Without the suffix: only names from a list of images may mean a file by its exact name.
    return Entry(file.as_posix(), (file.with_suffix("").as_posix(),))


class PngFolder(PredictionSet):
    """A PNG file for every image, in nested folders, or a single such file; items are named by relative path."""

    def __init__(self, source: Source, index: ImageIndex) -> None:
        """List the files and find their images.

        Raises:
            BprError: there is no PNG file.
        """
        self._root = source.root
        self._is_file = source.is_file
        files = value_files(source)
        if not files:
            raise BprError(f"{source.path} holds no PNG file, expected one for every image")
        self.items, self.failures = match_images([_entry(file) for file in files], index)

    def path(self, item: Item) -> Path:
        """The PNG file of an item."""
        return self._root / item.name

    def file(self, item: Item) -> Path:
        """The PNG file of an item."""
        return self.path(item)

    @abstractmethod
    def encode(self, item: Item, refined: Prediction) -> bytes:
        """The PNG file with the refined prediction of an item, in the style of its source."""

    @property
    def one_file(self) -> str | None:
        """Name of the file, where the set is one."""
        return self.items[0].name if self._is_file else None

    def writer(self, out: Path) -> Writer:
        """A writer of PNG files with the relative paths of the input."""
        return _PngWriter(self, out, self._is_file)


class _PngWriter(Writer):
    def __init__(self, source: PngFolder, out: Path, is_file: bool) -> None:
        self._source = source
        self._out = out
        self._is_file = is_file

    def write(self, item: Item, refined: Prediction) -> Written:
        path = output_file(self._out, item.name) if self._is_file else self._out / item.name
        return Written({path: write_bytes(path, self._source.encode(item, refined))})
