"""Label maps whose values are objects, such as those of DAVIS, YouTube-VOS and VOC's SegmentationObject."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bpr_cli.formats.base import Item, PredictionSet, Use
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.label_maps import PngFolder
from bpr_cli.formats.png import encode_gray, read_gray, read_style
from bpr_cli.formats.reading import InputReading, ReadSettings, Task
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.masks.runs import Runs
from bpr_cli.typing import LabelArray

BACKGROUND = 0
OBJECT = CategoryRecord(1, "object", thing=True)
"""The only category: such maps do not say what the objects are."""


class ObjectMaps(PredictionSet):
    """Maps of object ids. Every object is refined as an instance; 0 is background."""

    task = Task.INSTANCE
    family = "coco"

    @abstractmethod
    def labels(self, item: Item) -> LabelMap:
        """The map of one image, and which labels are void.

        Raises:
            BprError: the file is broken.
        """

    def read(self, item: Item) -> Prediction:
        """Read the objects of one image, by ascending id."""
        return tuple(objects_of(self.labels(item)).values())

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """The objects of one image; all have the same category."""
        return tuple(SegmentRecord(OBJECT.id, id=number) for number in objects_of(self.labels(item)))

    def segments(self, item: Item, use: Use) -> list[tuple[Mask, SegmentRecord]]:
        """Read the objects of one image with their metadata; those to measure have the score 1."""
        records = [
            (mask, SegmentRecord(OBJECT.id, id=number)) for number, mask in objects_of(self.labels(item)).items()
        ]
        return [(mask, record.scored() if use == "measured" else record) for mask, record in records]

    def segment_names(self, item: Item) -> list[str]:
        """The objects of one image by their ids."""
        return [f"object {number}" for number in objects_of(self.labels(item))]

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The only category."""
        return (OBJECT,)

    def map_of(self, item: Item, refined: Prediction) -> LabelArray:
        """The map of the refined objects of one image: int32, (H, W)."""
        coarse = self.labels(item)
        ids = list(objects_of(coarse))
        if not isinstance(refined, tuple) or len(refined) != len(ids):
            raise TypeError(f"expected {len(ids)} masks for {item.name}")
        return map_of(coarse, ids, refined)


class ObjectMapSet(ObjectMaps, PngFolder):
    """PNG files of object ids. Ignored labels are void; those of 16 bits have none unless it is given."""

    format = "objects"
    noun = "maps of objects"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and find their images.

        Raises:
            BprError: there is no PNG file.
        """
        super().__init__(source, index, settings)
        self._deep_void = settings.ignore_labels or frozenset()

    def labels(self, item: Item) -> LabelMap:
        """The map of one image, and which labels are void."""
        values = read_gray(self.file(item), self.max_pixels)
        return LabelMap(values.astype(np.int32), self._void if values.dtype == np.uint8 else self._deep_void)

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings and the ignored labels."""
        return {**super().settings, "ignore_labels": sorted(self._void)}

    @property
    def reading(self) -> InputReading:
        """The common facts, and void."""
        options = ("--ids", "--ignore-label")
        return replace(super().reading, classes=None, void=tuple(sorted(self._void)), options=options)

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """Encode the map of refined objects with the bit depth and palette of the source."""
        return encode_gray(self.map_of(item, refined), read_style(self.file(item)))


def objects_of(coarse: LabelMap) -> dict[int, Mask]:
    """The masks of the objects in a map, by ascending id."""
    masks = masks_by_value(coarse.labels)
    return {number: mask for number, mask in masks.items() if number != BACKGROUND and number not in coarse.void}


def masks_by_value(labels: LabelArray) -> dict[int, Mask]:
    """The mask of every value in a map, (H, W), by ascending value."""
    runs = Runs.of(labels)
    values, numbers = np.unique(runs.values[0], return_inverse=True)
    boxes = runs.boxes(numbers, len(values)).tolist()
    size = (labels.shape[0], labels.shape[1])
    return {
        value: Mask(size, (x0, y0, x1, y1), labels[y0:y1, x0:x1] == value)
        for value, (x0, y0, x1, y1) in zip(values.tolist(), boxes, strict=True)
    }


def map_of(coarse: LabelMap, ids: Sequence[int], refined: Sequence[Mask]) -> LabelArray:
    """The map of refined objects: int32, (H, W).

    Where refined masks overlap, the object that the pixel belonged to keeps it, else the smallest one gets it. Void
    stays void. An object that would lose all its pixels keeps those that it had.

    Args:
        coarse: map of the objects before refinement.
        ids: ids of the objects.
        refined: their refined masks.
    """
    before = coarse.labels
    is_void = np.isin(before, list(coarse.void))
    labels = np.where(is_void, before, BACKGROUND).astype(np.int32)
    for number, mask in sorted(zip(ids, refined, strict=True), key=lambda each: -each[1].area):
        x0, y0, x1, y1 = mask.box
        labels[y0:y1, x0:x1][mask.crop & ~is_void[y0:y1, x0:x1]] = number
    for number, mask in zip(ids, refined, strict=True):
        x0, y0, x1, y1 = mask.box
        kept = mask.crop & (before[y0:y1, x0:x1] == number)
        if kept.any():
            labels[y0:y1, x0:x1][kept] = number
        else:
            labels[before == number] = number
    return labels
