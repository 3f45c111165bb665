"""Runs of constant value in maps of labels or ids: counting and measuring without looking at every pixel.

Maps are pieces of constant value: the stretches in which no map changes are far fewer than pixels (one in thirty in
street scenes), and all that follows is done on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import BoolArray, Size


@dataclass(frozen=True)
class Runs:
    """Consecutive pixels of a row in which none of the maps changes, row after row.

    Attributes:
        values: of every map, the (N,) values of the stretches.
        starts: int64, (N,), positions of their first pixels in a flattened map.
        lengths: int64, (N,), their pixels.
        shape: (H, W) of the maps.
    """

    values: tuple[NDArray[np.generic], ...]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    shape: Size

    @classmethod
    def of(cls, *maps: NDArray[np.generic]) -> Runs:
        """The stretches of one or more maps of the same (H, W), at least one pixel."""
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
        """The pixels of the stretches that have a flag: bool, (H, W) from (N,)."""
        return np.repeat(flags, self.lengths).reshape(self.shape)

    def boxes(self, numbers: NDArray[np.integer], count: int) -> NDArray[np.int64]:
        """Bounding boxes of what is numbered 0 .. count - 1: int64, (count, 4); zeros for a number without pixels.

        Args:
            numbers: (N,), the number of every stretch.
            count: how many numbers there are.
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
    """The values of an array, ascending: those of ``np.unique``, from the last pixels of its stretches only."""
    flat = array.ravel()
    last = np.append(flat[1:] != flat[:-1], True)[: flat.size]
    return np.unique(flat[last])


def weigh(codes: NDArray[np.integer], weights: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    """Sum of the whole-number weights of every code in 0 .. count - 1: int64, (count,)."""
    # bincount sums in float64, exact up to 2**53 pixels.
    return np.bincount(codes, weights=weights, minlength=count).astype(np.int64)
