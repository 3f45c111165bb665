"""Panoptic segmentations of images, as the metrics take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SegmentInfo:
    """What the JSON file says of one segment.

    Attributes:
        id: its value in the map.
        category: id of its category.
        crowd: whether it is a region of several objects; of no meaning for predictions.
        area: pixels, or None to count them; of no meaning for predictions.
    """

    id: int
    category: int
    crowd: bool = False
    area: int | None = None


@dataclass(frozen=True, eq=False)
class PanopticMap:
    """The segmentation of one image.

    Attributes:
        ids: (H, W), ids of segments, 0 for void.
        segments: one for every id in the map.
    """

    ids: NDArray[np.integer]
    segments: tuple[SegmentInfo, ...]


@dataclass(frozen=True)
class Category:
    """A category: its id, and whether it is a thing (counted objects) or stuff."""

    id: int
    thing: bool
    name: str = ""
