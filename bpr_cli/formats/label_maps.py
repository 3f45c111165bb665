"""Folders with one PNG file per image, and semantic label maps in them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet, Writer, Written
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.png import encode_gray, read_gray, read_style
from bpr_cli.formats.reading import InputReading, ReadSettings, Task
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.masks.runs import values_of
from bpr_cli.system.paths import output_file, write_bytes
from bpr_cli.typing import LabelArray


class PngFolder(PredictionSet):
    """One PNG file per image, in nested folders, or a single file; items are named by relative path."""

    leaves_out = (".tif", ".tiff")

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and find their images.

        Raises:
            BprError: there is no PNG file.
        """
        self._root = source.root
        self._is_file = source.is_file
        self._void = settings.void
        self._source = source
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
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether there are PNG files, at least one of which can be read in a sample.

        Raises:
            BprError: no file of the sample can be read.
        """
        sample = source.sample
        # Broken files become failures of their items, unless all files are broken.
        if sample.errors and not sample.values.present:
            raise (sample.colours or sample.errors)[0]
        return bool(sample.values.present)

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings and the ignored labels."""
        return {**super().settings, "ignore_labels": sorted(self._void)}

    @property
    def reading(self) -> InputReading:
        """The common facts, and classes and void."""
        sample, void = self._source.sample, tuple(sorted(self._void))
        classes, sampled = len(sample.values.present - self._void), len(self.items) > sample.files
        # Maps of objects have a background of 0, and hardly ever void.
        are_clear = 0 not in sample.values.present or self._void & sample.values.present
        options = ("--format masks", *(() if are_clear else ("--ids objects",)), "--ignore-label")
        return replace(super().reading, classes=classes, sampled=sampled, void=void, options=options)

    def read(self, item: Item) -> Prediction:
        """Read the label map of one image."""
        return LabelMap(read_gray(self.file(item), self.max_pixels).astype(np.int32), self._void)

    def map_records(self, item: Item, labels: LabelArray) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """Metadata of each label, which is its own category."""
        return {label: SegmentRecord(label) for label in values_of(labels).tolist()}

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """Encode refined labels with the bit depth and palette of the source."""
        if not isinstance(refined, LabelMap):
            raise TypeError("expected a label map")
        return encode_gray(refined.labels, read_style(self.file(item)))
