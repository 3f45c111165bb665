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


def measure_segments(ids: NDArray[np.int32], segment_ids: list[int]) -> list[Measures]:
    """The measures of every segment of an (H, W) map of ids, in one pass over the pixels."""
    height, width = ids.shape
    count = len(segment_ids) + 1
    # From the id to the segment's position in the list, 0 for all others. The table takes memory only where it is
    # used, and looking pixels up is several times faster than sorting or comparing them.
    table = np.zeros(max([int(ids.max()), *segment_ids]) + 1, dtype=np.int32)
    table[segment_ids] = np.arange(1, count)
    position = table[ids]
    areas = np.bincount(position.ravel(), minlength=count)
    in_row = np.zeros((height, count), dtype=bool)
    in_column = np.zeros((width, count), dtype=bool)
    in_row[np.arange(height)[:, None], position] = True
    in_column[np.arange(width)[None, :], position] = True
    return [Measures(int(areas[number]), _span(in_row[:, number], in_column[:, number])) for number in range(1, count)]


def _span(in_row: NDArray[np.bool_], in_column: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(in_row), np.flatnonzero(in_column)
    if rows.size == 0:
        return (0, 0, 0, 0)
    x, y = int(columns[0]), int(rows[0])
    return (x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
