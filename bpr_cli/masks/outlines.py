"""Outlines of masks as polygons, with as few points as a tolerance allows.

Coordinates are in pixels: pixel (column x, row y) covers the square from (x, y) to (x + 1, y + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import Mask
from bpr_cli.typing import BoolArray, DoubleArray, IntArray

_ROUNDING = 1e-4
"""Part of the tolerance in pixels that is left to the rounding of coordinates in files."""


def outlines_of(mask: Mask, tolerance: float) -> list[DoubleArray]:
    """The outlines of a mask: around each of its parts clockwise, around each hole anticlockwise.

    Pixels that touch at a corner belong to one part. With a tolerance of at most half a pixel, the polygons enclose the
    centres of exactly the pixels of the mask, even after coordinates were rounded by 1e-4 pixels.

    >>> plane = np.zeros((5, 6), bool)
    >>> plane[1:4, 2:6] = True
    >>> [outline.tolist() for outline in outlines_of(Mask.from_array(plane), 0.5)]
    [[[2.0, 1.0], [6.0, 1.0], [6.0, 4.0], [2.0, 4.0]]]

    Args:
        mask: the mask.
        tolerance: farthest that a polygon may lie off the outline of the mask and vice versa, in pixels.

    Returns:
        The polygons, each float64, (N, 2), of x and y; none for a mask without foreground.
    """
    rings = _rings(mask.crop)
    if not rings:
        return []
    chains = [_Chain.of(ring, max(0.0, tolerance - _ROUNDING)) for ring in rings]
    kept = _kept(_Chain.joined(chains), max(0.0, tolerance - _ROUNDING))
    ends = np.cumsum([len(chain.points) for chain in chains])[:-1]
    lines = [chain.points[choice][:-1] for chain, choice in zip(chains, np.split(kept, ends), strict=True)]
    # A large tolerance would leave nothing of a small part.
    outlines = [line if len(line) > 2 else ring.astype(float) for line, ring in zip(lines, rings, strict=True)]
    return [outline + np.array(mask.box[:2], dtype=np.float64) for outline in outlines]


def polygon_of(mask: Mask, tolerance: float) -> DoubleArray:
    """One polygon around the pixels of a mask, float64, (N, 2), x and y; see ``outlines_of`` and ``bridged``."""
    return bridged(outlines_of(mask, tolerance))


def parts_of(mask: Mask) -> list[Mask]:
    """The connected parts of a mask; pixels that touch at a corner belong to one part."""
    count, numbers = cv2.connectedComponents(mask.crop.view(np.uint8), connectivity=8)
    return [Mask.from_array(numbers == number, mask.box[:2], mask.size) for number in range(1, count)]


def bridged(outlines: Sequence[DoubleArray]) -> DoubleArray:
    """All outlines as one polygon, for formats that hold only one: a bridge leads to each further one and back.

    A bridge connects near points, and has no width, so that the even-odd rule gives the same mask.

    Args:
        outlines: at least one polygon, each (N, 2).
    """
    joined = outlines[0]
    for outline in outlines[1:]:
        there = _nearest(outline, joined[_nearest(joined, outline[0])])
        here = _nearest(joined, outline[there])
        loop = np.concatenate([outline[there:], outline[: there + 1]])
        joined = np.concatenate([joined[: here + 1], loop, joined[here:]])
    return joined


def _rings(crop: BoolArray) -> list[IntArray]:
    """The corners of the outlines along the edges of pixels, each (N, 2): x and y."""
    padded = np.pad(crop, 1)
    above_left, above_right, below_left, below_right = (
        padded[:-1, :-1],
        padded[:-1, 1:],
        padded[1:, :-1],
        padded[1:, 1:],
    )
    odd = above_left ^ above_right ^ below_left ^ below_right
    # Where two pixels touch at a corner, two outlines meet, or one meets itself.
    crossing = (above_left == below_right) & (above_left != above_right) & (above_left != below_left)
    y, x = np.nonzero(odd | crossing)
    twice = np.repeat(np.arange(len(y)), 1 + crossing[y, x])
    y, x = y[twice], x[twice]
    second = np.diff(twice, prepend=-1) == 0
    # In a row, every other corner begins an edge, which ends at the next one; so in a column. Of a crossing, the first
    # corner ends the edge on its left. It begins the edge below if the pixel above on the left is foreground.
    falling = crossing[y, x] & above_left[y, x]
    by_column = np.lexsort((second ^ falling, y, x))
    beside, across = _partners(np.arange(len(y))), _partners(by_column)
    inside = below_right[y, x].tolist()
    corners = np.stack([x, y], axis=1)
    return [corners[ring if inside[ring[0]] else ring[::-1]].astype(np.int64) for ring in _cycles(beside, across)]


def _partners(order: IntArray) -> list[int]:
    """The other end of the edge of each corner, if the corners in this order begin and end edges in turn."""
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    found: list[int] = partners.tolist()
    return found


def _cycles(beside: Sequence[int], across: Sequence[int]) -> list[list[int]]:
    """The closed ways that lead to the right or left and up or down in turn; each begins at its first corner."""
    cycles, seen = [], bytearray(len(beside))
    for first in range(len(beside)):
        if seen[first]:
            continue
        cycle, corner = [], first
        while not seen[corner]:
            turn = beside[corner]
            seen[corner] = seen[turn] = True
            cycle += [corner, turn]
            corner = across[turn]
        cycles.append(cycle)
    return cycles


@dataclass(frozen=True)
class _Chain:
    """An outline as a chain of its corners and the middles of its edges in turn; the first point is also the last.

    The points of the simplified polygon are middles, and the corners that a line from middle to middle would cut off
    too far. So stairs become slopes, and corners stay.

    Attributes:
        points: float64, (N, 2): x and y.
        usable: bool, (N,), whether a point may be one of the simplified polygon.
        ends: bool, (N,), whether it is the first or the last.
    """

    points: DoubleArray
    usable: BoolArray
    ends: BoolArray

    @classmethod
    def of(cls, ring: IntArray, tolerance: float) -> _Chain:
        """The chain of a ring; it begins at a point that is usable."""
        after = np.roll(ring, -1, axis=0)
        length = np.abs(after - ring).sum(axis=1)
        before = np.roll(length, 1)
        usable = np.ones(2 * len(ring), dtype=bool)
        usable[0::2] = length * before / (2 * np.hypot(length, before)) >= tolerance
        points = np.empty((2 * len(ring), 2))
        points[0::2], points[1::2] = ring, (ring + after) / 2
        first = int(usable.argmax())
        order = np.arange(first, first + len(points) + 1) % len(points)
        ends = np.zeros(len(order), dtype=bool)
        ends[[0, -1]] = True
        return cls(points[order], usable[order], ends)

    @classmethod
    def joined(cls, chains: Sequence[_Chain]) -> _Chain:
        """Several chains in one, so that they are simplified together."""
        parts = [(chain.points, chain.usable, chain.ends) for chain in chains]
        return cls(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _kept(chain: _Chain, tolerance: float) -> BoolArray:
    """The points of chains whose connecting lines are nowhere farther from the chain than the tolerance: bool, (N,).

    This is the algorithm of Douglas and Peucker (1973), for all lines at a time: each that is too far from a point is
    split at the farthest usable one.
    """
    kept: BoolArray = chain.ends.copy()
    while True:
        vertices = np.flatnonzero(kept)
        line = np.cumsum(kept) - 1
        start, end = vertices[line], vertices[np.minimum(line + 1, len(vertices) - 1)]
        distance = _distances(chain.points, chain.points[start], chain.points[end])
        too_far = np.maximum.reduceat(distance, vertices) > tolerance
        if not too_far.any():
            return kept
        choice = np.where(chain.usable & ~kept & too_far[line], distance, -1.0)
        farthest = np.maximum.reduceat(choice, vertices)[line]
        splits = np.flatnonzero((choice == farthest) & (choice >= 0))
        kept[splits[np.unique(line[splits], return_index=True)[1]]] = True


def _distances(points: DoubleArray, starts: DoubleArray, ends: DoubleArray) -> DoubleArray:
    """The distance of each point from the line between its start and its end: (N,)."""
    way, along = points - starts, ends - starts
    length = np.maximum(np.sum(along**2, axis=1), np.finfo(float).tiny)
    share = (np.sum(way * along, axis=1) / length).clip(0, 1)
    rest = way - share[:, None] * along
    distances: DoubleArray = np.hypot(rest[:, 0], rest[:, 1])
    return distances


def _nearest(points: DoubleArray, to: DoubleArray) -> int:
    """Number of the point that is nearest to another one."""
    return int(np.sum((points - to) ** 2, axis=1).argmin())
