"""Area and bbox: the fields of COCO-like records that follow from the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.json_files import Record
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.runs import Runs, weigh


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


def distinct_ids(ids: NDArray[np.int32]) -> list[int]:
    """The values of an (H, W) map of ids, sorted."""
    return [int(value) for value in np.unique(Runs.of(ids).values[0])]


def measure_segments(ids: NDArray[np.int32], segment_ids: list[int]) -> list[Measures]:
    """The measures of every listed segment of an (H, W) map of ids, in the order of the list."""
    stretches, count = Runs.of(ids), len(segment_ids)
    number_of = {segment_id: number for number, segment_id in enumerate(segment_ids)}
    values, position = np.unique(stretches.values[0], return_inverse=True)
    # What is not listed (void) is measured under one number more and dropped.
    numbers = np.array([number_of.get(int(value), count) for value in values], dtype=np.int64)[position]
    areas = weigh(numbers, stretches.lengths, count + 1).tolist()
    boxes = stretches.boxes(numbers, count + 1).tolist()
    return [
        Measures(area, (x0, y0, x1 - x0, y1 - y0))
        for area, (x0, y0, x1, y1) in zip(areas[:count], boxes[:count], strict=True)
    ]
