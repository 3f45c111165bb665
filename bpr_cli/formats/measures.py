"""Area and bbox: the fields of COCO-like records that follow from the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.documents import Record
from bpr_cli.masks import Mask


@dataclass(frozen=True)
class Measures:
    """Area in pixels and bbox as (x, y, width, height); zeros where there are no pixels."""

    area: int
    bbox: tuple[int, int, int, int]

    @classmethod
    def of_mask(cls, mask: Mask) -> Measures:
        """The measures of a mask."""
        x0, y0, x1, y1 = mask.box
        return cls(mask.area, (x0, y0, x1 - x0, y1 - y0))

    def update(self, record: Record) -> None:
        """Set the fields that the record already has, as floats where they were floats."""
        if "area" in record:
            record["area"] = float(self.area) if isinstance(record["area"], float) else self.area
        if "bbox" in record:
            old = record["bbox"]
            floats = isinstance(old, list) and any(isinstance(value, float) for value in old)
            record["bbox"] = [float(value) if floats else value for value in self.bbox]


@dataclass(frozen=True)
class _Runs:
    """Stretches of equal ids within the rows of a map: far fewer than pixels, and as good for measuring.

    Attributes:
        ids: the id of every run.
        starts: position of its first pixel in the flattened map.
        lengths: its pixels.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, ids: NDArray[np.int32]) -> _Runs:
        flat = ids.ravel()
        first = np.ones(flat.size, dtype=bool)
        np.not_equal(flat[1:], flat[:-1], out=first[1:])
        first[:: ids.shape[1]] = True
        starts = np.flatnonzero(first)
        return cls(flat[starts], starts, np.diff(starts, append=flat.size))


def distinct_ids(ids: NDArray[np.int32]) -> list[int]:
    """The values of an (H, W) map of ids, sorted."""
    return [int(value) for value in np.unique(_Runs.of(ids).ids)]


def measure_segments(ids: NDArray[np.int32], segment_ids: list[int]) -> list[Measures]:
    """The measures of every listed segment of an (H, W) map of ids, in the order of the list."""
    runs = _Runs.of(ids)
    width, count = ids.shape[1], len(segment_ids)
    number_of = {segment_id: number for number, segment_id in enumerate(segment_ids)}
    values, position = np.unique(runs.ids, return_inverse=True)
    # What is not listed (void) is measured under one number more and dropped.
    number = np.array([number_of.get(int(value), count) for value in values], dtype=np.int64)[position]
    x, y = runs.starts % width, runs.starts // width
    area = np.zeros(count + 1, dtype=np.int64)
    left, right = np.full(count + 1, width), np.zeros(count + 1, dtype=np.int64)
    top, bottom = np.full(count + 1, ids.shape[0]), np.zeros(count + 1, dtype=np.int64)
    np.add.at(area, number, runs.lengths)
    np.minimum.at(left, number, x)
    np.maximum.at(right, number, x + runs.lengths)
    np.minimum.at(top, number, y)
    np.maximum.at(bottom, number, y + 1)
    return [
        Measures(int(area[n]), (int(left[n]), int(top[n]), int(right[n] - left[n]), int(bottom[n] - top[n])))
        if area[n]
        else Measures(0, (0, 0, 0, 0))
        for n in range(count)
    ]
