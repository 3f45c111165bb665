"""Counting the pixels that two or more maps of one image share, without sorting pixels.

Maps are pieces of constant value: the stretches in which no map changes are far fewer than pixels (one in thirty in
street scenes), and all that follows is done on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST_TABLE = 1 << 22


@dataclass(frozen=True)
class Stretches:
    """Consecutive pixels (row after row) in which none of the maps changes.

    Attributes:
        values: of every map, the (N,) values of the stretches.
        lengths: int64, (N,), their pixels.
    """

    values: tuple[NDArray[np.generic], ...]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, *maps: NDArray[np.generic]) -> Stretches:
        """The stretches of one or more maps of the same (H, W), at least one pixel."""
        flat = [array.ravel() for array in maps]
        first = np.empty(flat[0].size, dtype=bool)
        first[0] = True
        np.not_equal(flat[0][1:], flat[0][:-1], out=first[1:])
        for values in flat[1:]:
            first[1:] |= values[1:] != values[:-1]
        starts = np.flatnonzero(first)
        return cls(tuple(values[starts] for values in flat), np.diff(starts, append=first.size))


def weigh(codes: NDArray[np.integer], weights: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    """Sum of the whole-number weights of every code: int64, (count,)."""
    # bincount sums in float64, exact up to 2**53 pixels.
    return np.bincount(codes, weights=weights, minlength=count).astype(np.int64)


def weigh_occurring(
    codes: NDArray[np.int64], weights: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The codes in 0 .. count - 1 that occur, sorted, and the sum of their weights (1 or more each): int64, (Q,) both.

    By table while that is small, by sorting beyond.
    """
    if count > _LARGEST_TABLE:
        occurring, place = np.unique(codes, return_inverse=True)
        return occurring, weigh(place, weights, len(occurring))
    sums = weigh(codes, weights, count)
    occurring = np.flatnonzero(sums)
    return occurring, sums[occurring]


def weigh_listed(
    codes: NDArray[np.int64], weights: NDArray[np.int64], listed: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Sum of the weights of every listed code: int64, (len(listed),); other codes are left out.

    Args:
        codes: (N,), each in 0 .. count - 1.
        weights: (N,).
        listed: the codes wanted, sorted.
        count: how many codes there may be.
    """
    if count <= _LARGEST_TABLE:
        return weigh(codes, weights, count)[listed]
    place = np.minimum(np.searchsorted(listed, codes), len(listed) - 1)
    return weigh(place, weights * (listed[place] == codes), len(listed))
