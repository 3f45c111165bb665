"""Label maps whose values are objects, such as those of DAVIS, YouTube-VOS and VOC's SegmentationObject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bpr_cli.formats.base import Item, Use
from bpr_cli.formats.label_maps import PngFolder
from bpr_cli.formats.png import encode_gray, read_gray, read_style
from bpr_cli.formats.reading import InputReading, Task
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.masks.masks import Mask, Prediction
from bpr_cli.masks.runs import Runs
from bpr_cli.typing import LabelArray

BACKGROUND = 0
OBJECT = CategoryRecord(1, "object", thing=True)
"""The only category: such maps do not say what the objects are."""


class ObjectMapSet(PngFolder):
    """Maps of object ids. Every object is refined as an instance; 0 is background, and ignored labels are void."""

    format = "objects"
    noun = "maps of objects"
    task = Task.INSTANCE
    family = "coco"

    def _objects(self, item: Item) -> dict[int, Mask]:
        """The masks of the objects of an item, by ascending id."""
        return objects_of(self._labels(item), self._void)

    def _labels(self, item: Item) -> LabelArray:
        return read_gray(self.file(item), self.max_pixels).astype(np.int32)

    def read(self, item: Item) -> Prediction:
        """Read the objects of one image, by ascending id."""
        return tuple(self._objects(item).values())

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """The objects of one image; all have the same category."""
        return tuple(SegmentRecord(OBJECT.id, id=number) for number in self._objects(item))

    def segments(self, item: Item, use: Use) -> list[tuple[Mask, SegmentRecord]]:
        """Read the objects of one image with their metadata; those to measure have the score 1."""
        records = ((mask, SegmentRecord(OBJECT.id, id=number)) for number, mask in self._objects(item).items())
        return [(mask, record.scored() if use == "measured" else record) for mask, record in records]

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The only category."""
        return (OBJECT,)

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
        labels = self._labels(item)
        objects = objects_of(labels, self._void)
        if not isinstance(refined, tuple) or len(refined) != len(objects):
            raise TypeError(f"expected {len(objects)} masks for {item.name}")
        return encode_gray(map_of(labels, list(objects), refined, self._void), read_style(self.file(item)))


def objects_of(labels: LabelArray, void: frozenset[int]) -> dict[int, Mask]:
    """The masks of the objects in a map, (H, W), by ascending id."""
    runs = Runs.of(labels)
    ids, numbers = np.unique(runs.values[0], return_inverse=True)
    boxes = runs.boxes(numbers, len(ids)).tolist()
    size = (labels.shape[0], labels.shape[1])
    return {
        number: Mask(size, (x0, y0, x1, y1), labels[y0:y1, x0:x1] == number)
        for number, (x0, y0, x1, y1) in zip(ids.tolist(), boxes, strict=True)
        if number != BACKGROUND and number not in void
    }


def map_of(coarse: LabelArray, ids: Sequence[int], refined: Sequence[Mask], void: frozenset[int]) -> LabelArray:
    """The map of refined objects: int32, (H, W).

    Where refined masks overlap, the object that the pixel belonged to keeps it, else the smallest one gets it. Void
    stays void. An object that would lose all its pixels keeps those that it had.

    Args:
        coarse: map of the objects before refinement, (H, W).
        ids: ids of the objects.
        refined: their refined masks.
        void: labels that are neither objects nor background.
    """
    is_void = np.isin(coarse, list(void))
    labels = np.where(is_void, coarse, BACKGROUND).astype(np.int32)
    for number, mask in sorted(zip(ids, refined, strict=True), key=lambda each: -each[1].area):
        x0, y0, x1, y1 = mask.box
        labels[y0:y1, x0:x1][mask.crop & ~is_void[y0:y1, x0:x1]] = number
    for number, mask in zip(ids, refined, strict=True):
        x0, y0, x1, y1 = mask.box
        kept = mask.crop & (coarse[y0:y1, x0:x1] == number)
        if kept.any():
            labels[y0:y1, x0:x1][kept] = number
        else:
            labels[coarse == number] = number
    return labels
