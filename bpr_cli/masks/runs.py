"""Runs of equal values in a mask, and strips: rows of a large map that are worked on together.

Strips keep the memory of a step from growing with the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.typing import BoolArray, IntArray, Size

STRIP_PIXELS = 2**22
"""Most pixels of a strip, unless a single row has more. Images of ordinary size are one strip."""


def strips_of(size: Size) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each strip of an image of ``size`` (H, W), from top to bottom.

    >>> strips_of((1080, 1920)), len(strips_of((12_000, 12_000)))
    ([(0, 1080)], 35)
    """
    height, width = size
    rows = max(1, STRIP_PIXELS // max(width, 1))
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


_LARGEST_TABLE = 1 << 22
"""Largest number of possible codes that is counted in a table; with more, codes are sorted."""


@dataclass(frozen=True)
class Runs:
    """Runs of one or several maps, in raster order: parts of a row within which no map changes its value.

    Attributes:
        values: for each map, the value of each run: (N,).
        starts: position of the first pixel of each run in the flattened map: int64, (N,).
        lengths: number of pixels of each run: int64, (N,).
        shape: (H, W) of the maps.
    """

    values: tuple[NDArray[np.generic], ...]
    starts: IntArray
    lengths: IntArray
    shape: Size

    @classmethod
    def of(cls, *maps: NDArray[np.generic]) -> Runs:
        """Find the runs of one or more maps of the same (H, W), with at least one pixel."""
        flat = [array.ravel() for array in maps]
        height, width = maps[0].shape
        first = np.empty(height * width, dtype=bool)
        np.not_equal(flat[0][1:], flat[0][:-1], out=first[1:])
        for values in flat[1:]:
            first[1:] |= values[1:] != values[:-1]
        first[::width] = True
        starts = np.flatnonzero(first)
        lengths = np.diff(starts, append=first.size)
        return cls(tuple(values[starts] for values in flat), starts, lengths, (height, width))

    def spread(self, flags: BoolArray) -> BoolArray:
        """Expand one flag per run, (N,), to pixels: bool, (H, W)."""
        return np.repeat(flags, self.lengths).reshape(self.shape)

    def boxes(self, numbers: NDArray[np.integer], count: int) -> IntArray:
        """Bounding boxes of the segments 0 .. count - 1: int64, (count, 4); zeros for a segment without pixels.

        Args:
            numbers: the segment of each run: (N,).
            count: number of segments.
        """
        y, x = np.divmod(self.starts, self.shape[1])
        boxes = np.zeros((count, 4), dtype=np.int64)
        boxes[:, :2] = self.shape[1], self.shape[0]
        np.minimum.at(boxes[:, 0], numbers, x)
        np.minimum.at(boxes[:, 1], numbers, y)
        np.maximum.at(boxes[:, 2], numbers, x + self.lengths)
        np.maximum.at(boxes[:, 3], numbers, y + 1)
        boxes[boxes[:, 2] == 0] = 0
        return boxes


def values_of(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Distinct values of an array, ascending, like ``np.unique`` but faster if neighbours are often equal."""
    flat = array.ravel()
    parts = [flat[start : start + STRIP_PIXELS] for start in range(0, max(flat.size, 1), STRIP_PIXELS)]
    return np.unique(np.concatenate([_values_of_part(part) for part in parts]))


def _values_of_part(flat: NDArray[np.generic]) -> NDArray[np.generic]:
    last = np.append(flat[1:] != flat[:-1], True)[: flat.size]
    return np.unique(flat[last])


def weigh(codes: NDArray[np.integer], weights: NDArray[np.generic], count: int) -> IntArray:
    """Sum the whole-number weights of each code 0 .. count - 1: int64, (count,)."""
    # bincount sums in float64, which is exact up to 2**53 pixels.
    return np.bincount(codes, weights=weights, minlength=count).astype(np.int64)


def weigh_occurring(codes: IntArray, weights: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Distinct codes, ascending, and the sum of the weights of each: int64, both (Q,).

    Args:
        codes: (N,), values 0 .. count - 1.
        weights: (N,), whole numbers from 1.
        count: number of possible codes.
    """
    if count > _LARGEST_TABLE:
        occurring, place = np.unique(codes, return_inverse=True)
        return occurring, weigh(place, weights, len(occurring))
    sums = weigh(codes, weights, count)
    occurring = np.flatnonzero(sums)
    return occurring, sums[occurring]


def weigh_listed(codes: IntArray, weights: IntArray, listed: IntArray, count: int) -> IntArray:
    """Sum the weights of each listed code: int64, (len(listed),); other codes are ignored.

    Args:
        codes: (N,), values 0 .. count - 1.
        weights: (N,), weight of each code.
        listed: codes to sum, ascending.
        count: number of possible codes.
    """
    if count <= _LARGEST_TABLE:
        return weigh(codes, weights, count)[listed]
    place = np.minimum(np.searchsorted(listed, codes), len(listed) - 1)
    return weigh(place, weights * (listed[place] == codes), len(listed))
