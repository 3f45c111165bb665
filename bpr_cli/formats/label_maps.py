"""Semantic label maps: a PNG file an image whose 8- or 16-bit values are class labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.base import Item, SegmentRecord
from bpr_cli.formats.folder import PngFolder
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.png import encode_gray, read_gray, read_style
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Prediction


class LabelMapSet(PngFolder):
    """Label maps; the ignored labels are void."""

    format = "labels"
    noun = "label maps"
    task = Task.SEMANTIC
    family = "semantic"

    def __init__(self, source: Source, index: ImageIndex, options: ReadSettings) -> None:
        """List the files and find their images."""
        super().__init__(source, index)
        self._void = options.ignore_labels

    @property
    def settings(self) -> dict[str, Any]:
        """The ignored labels too."""
        return {**super().settings, "ignore_labels": sorted(self._void)}

    def read(self, item: Item) -> Prediction:
        """The label map of one image."""
        return LabelMap(read_gray(self.path(item)).astype(np.int32), self._void)

    def map_records(self, item: Item, labels: NDArray[np.int32]) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """Every label is its category."""
        return {label: SegmentRecord(label) for label in np.unique(labels).tolist()}

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """The refined labels with the bit depth and palette of the source."""
        if not isinstance(refined, LabelMap):
            raise TypeError("expected a label map")
        return encode_gray(refined.labels, read_style(self.path(item)))
