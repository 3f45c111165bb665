"""Folders with one PNG file per image: semantic label maps and binary masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Item, PredictionSet, SegmentRecord, Writer, Written
from bpr_cli.formats.image_lookup import Candidate, ImageIndex, match_images
from bpr_cli.formats.pixel_limit import MAX_PIXELS
from bpr_cli.formats.png import encode_gray, read_gray, read_style
from bpr_cli.formats.png_window import Window, read_window
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.system.paths import output_file, write_bytes
from bpr_cli.typing import LabelArray

FOREGROUNDS = (1, 255)
"""Possible foreground values in folders of binary masks."""


class PngFolder(PredictionSet):
    """One PNG file per image, in nested folders, or a single file; items are named by relative path."""

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and find their images.

        Raises:
            BprError: there is no PNG file.
        """
        self._root = source.root
        self._is_file = source.is_file
        self._void = settings.ignore_labels
        self.max_pixels = settings.max_pixels
        if not source.value_files:
            raise BprError(f"{source.path} holds no PNG file, expected one for every image")
        # Remove the suffix, because only names from an image list may be exact file names.
        candidates = [
            Candidate(file.as_posix(), (file.with_suffix("").as_posix(),), files=(source.root / file,))
            for file in source.value_files
        ]
        index.leave_out(source.root / file for file in source.pngs)
        self.items, self.failures = match_images(candidates, index)

    def file(self, item: Item) -> Path:
        """The PNG file of an item."""
        return self._root / item.name

    @abstractmethod
    def encode(self, item: Item, refined: Prediction) -> bytes:
        """Encode the refined prediction of an item as a PNG file in the style of its source."""

    @property
    def one_file(self) -> str | None:
        """Name of the file, if the set is a single file."""
        return self.items[0].name if self._is_file else None

    def writer(self, out: Path) -> Writer:
        """Make a writer of PNG files, under the relative paths of the input."""
        return _PngWriter(self, out, self._is_file)


class _PngWriter(Writer):
    def __init__(self, source: PngFolder, out: Path, is_file: bool) -> None:
        self._source = source
        self._out = out
        self._is_file = is_file

    def write(self, item: Item, refined: Prediction) -> Written:
        path = output_file(self._out, item.name) if self._is_file else self._out / item.name
        return Written({path: write_bytes(path, self._source.encode(item, refined))})


class LabelMapSet(PngFolder):
    """Label maps whose 8- or 16-bit values are classes; ignored labels are void."""

    format = "labels"
    noun = "label maps"
    task = Task.SEMANTIC
    family = "semantic"

    @classmethod
    def recognise(cls, source: Source, task: Task | None) -> bool:  # noqa: ARG003
        """Whether there are PNG files, at least one of which can be read in a sample.

        Raises:
            BprError: no file of the sample can be read.
        """
        sample = source.sample
        # Broken files become failures of their items, unless all files are broken.
        if sample.errors and not sample.values:
            raise (sample.colours or sample.errors)[0]
        return bool(sample.values)

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings and the ignored labels."""
        return {**super().settings, "ignore_labels": sorted(self._void)}

    def read(self, item: Item) -> Prediction:
        """Read the label map of one image."""
        return LabelMap(read_gray(self.file(item), self.max_pixels).astype(np.int32), self._void)

    def map_records(self, item: Item, labels: LabelArray) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """Metadata of each label, which is its own category."""
        return {label: SegmentRecord(label) for label in np.unique(labels).tolist()}

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """Encode refined labels with the bit depth and palette of the source."""
        if not isinstance(refined, LabelMap):
            raise TypeError("expected a label map")
        return encode_gray(refined.labels, read_style(self.file(item)))


class MaskSet(PngFolder):
    """Binary masks with background 0 and foreground 1 or 255; a mask without foreground is valid."""

    format = "masks"
    noun = "binary masks"
    task = Task.INSTANCE
    family = "binary"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and find their images."""
        super().__init__(source, index, settings)
        # Remembered from reading to writing, so that the source is not decoded twice.
        self._foregrounds: dict[str, int | None] = {}

    @classmethod
    def recognise(cls, source: Source, task: Task | None) -> bool:
        """Whether all sampled PNG files hold only 0 and 255, or only 0 and 1, and the task is not semantic."""
        values = source.sample.values
        binary = any(values <= {0, foreground} for foreground in FOREGROUNDS)
        return bool(values) and binary and task is not Task.SEMANTIC

    def read(self, item: Item) -> Prediction:
        """Read the mask of one image."""
        mask, self._foregrounds[item.name] = read_mask(self.file(item), FOREGROUNDS, self.max_pixels)
        return (mask,)

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """Encode a refined mask with the foreground value and mode of the source."""
        if not isinstance(refined, tuple) or len(refined) != 1:
            raise TypeError("expected one mask")
        if item.name not in self._foregrounds:
            self.read(item)
        return encode_mask(refined[0], self.file(item), self._foregrounds.pop(item.name))


def read_mask(path: Path, allowed: Collection[int], max_pixels: int = MAX_PIXELS) -> tuple[Mask, int | None]:
    """Read a binary mask and its foreground value; None for a mask without foreground.

    Args:
        path: the PNG file.
        allowed: allowed foreground values.
        max_pixels: largest number of pixels.

    Raises:
        BprError: the file cannot be read, is too large, holds colours, or has values besides 0 and one allowed value.
    """
    window = read_window(path, max_pixels)
    return Mask.from_array(window.values, window.offset, window.size), _foreground_of(window, path, allowed)


def _foreground_of(window: Window, path: Path, allowed: Collection[int]) -> int | None:
    values = window.values
    largest = int(values.max(initial=0))
    if largest == 0:
        return None
    if largest in allowed and np.all((values == 0) | (values == largest)):
        return largest
    found = {*np.unique(values).tolist(), *([] if values.shape == window.size else [0])}
    raise BprError(
        f"{path} holds the values {join_names(sorted(found), limit=5)}, expected a binary mask of 0 and 255 or "
        "0 and 1; if these are class labels, use --format labels"
    )


def encode_mask(mask: Mask, source: Path, foreground: int | None) -> bytes:
    """Encode a mask as a PNG file in the style of the source file, with its foreground value."""
    style = read_style(source)
    if foreground is None:
        foreground = 255 if style.mode in ("L", "LA", "RGB", "RGBA") else 1
    values = np.zeros(mask.size, dtype=np.uint16)
    x0, y0, x1, y1 = mask.box
    values[y0:y1, x0:x1] = mask.crop * np.uint16(foreground)
    return encode_gray(values, style)
