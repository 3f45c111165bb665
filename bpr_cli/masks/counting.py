"""Counting the pixels of many codes, such as pairs of segments, without sorting them where a table is small enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.runs import weigh

_LARGEST_TABLE = 1 << 22


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
