"""Boundaries of all labels of a map at once: contours for the boundary F-score, bands for boundary IoU.

The cost depends on the size of the map, not on the number of its labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.boundary import boundary_band, dilate, harmonic_mean
from bpr_cli.evaluation.panoptic_matching import NumberedSegments, OverlappingPairs, PairOverlaps, PanopticMap
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.typing import BoolArray, ByteArray, DoubleArray, IntArray, Size

FAR = np.iinfo(np.int64).max
"""Squared distance to what is farther than anyone asks for."""

Points = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Contours:
    """The boundary pixels (``boundary_map``) of the masks of every class.

    Attributes:
        x: int64, (N,), columns, sorted by class.
        y: int64, (N,), rows.
        starts: int64, (K + 1,), class k has the pixels from ``starts[k]`` to ``starts[k + 1]`` (exclusive).
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.integer], classes: int) -> Contours:
        """The contours of an (H, W) map of ``codes``: 0 .. K - 1 for the K ``classes``, K for background."""
        # Repeating the last row and column avoids comparisons with pixels outside the image.
        padded = np.pad(codes, ((0, 1), (0, 1)), mode="edge")
        here, right, below, across = codes, padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
        where = np.flatnonzero((here != right) | (here != below) | (here != across))
        near = [values.ravel()[where] for values in (here, right, below, across)]
        # A pixel lies on the contours of its own class and of each other class among its three neighbours.
        members = [_differs(near[n], near[:n]) for n in range(4)]
        found = np.concatenate([values[member] for values, member in zip(near, members, strict=True)])
        places = np.concatenate([where[member] for member in members])
        order = np.argsort(found, kind="stable")
        starts = np.searchsorted(found[order], np.arange(classes + 1))
        y, x = np.divmod(places[order[: starts[-1]]], codes.shape[1])  # background comes last and is dropped
        return cls(x, y, starts)

    @property
    def sizes(self) -> list[int]:
        """Number of pixels of the contour of each class."""
        return [int(size) for size in np.diff(self.starts)]

    def counts(self, chosen: BoolArray) -> list[int]:
        """Number of chosen pixels, bool (N,), on the contour of each class."""
        sums = np.concatenate([[0], np.cumsum(chosen[: self.starts[-1]])])
        return [int(count) for count in np.diff(sums[self.starts])]

    def of_class(self, number: int) -> Points:
        """Columns and rows of the contour of one class."""
        pixels = slice(self.starts[number], self.starts[number + 1])
        return self.x[pixels], self.y[pixels]


def _differs(values: NDArray[np.integer], earlier: list[NDArray[np.integer]]) -> BoolArray:
    """Where the values are in none of the earlier arrays: bool, (N,)."""
    fresh = np.ones(values.shape, dtype=bool)
    for other in earlier:
        fresh &= values != other
    return fresh


def label_boundary_f(
    codes: NDArray[np.integer], truth: NDArray[np.integer], classes: int, tolerances: Sequence[float]
) -> DoubleArray:
    """Boundary F-score of every class of two label maps; equal to ``boundary_f`` of the masks of each class.

    Args:
        codes: predicted map, (H, W): 0 .. K - 1 for the classes, K for background.
        truth: true map, likewise.
        classes: K, the number of classes.
        tolerances: D tolerances in pixels.

    Returns:
        float64, (D, K).
    """
    found, expected = Contours.of(codes, classes), Contours.of(truth, classes)
    reach, size = max(tolerances), (codes.shape[0], codes.shape[1])
    far = [squared_distances(*sides, size, reach) for sides in ((found, expected), (expected, found))]
    scores = np.empty((len(tolerances), classes))
    for number, tolerance in enumerate(tolerances):
        hits = [side.counts(near <= tolerance * tolerance) for side, near in zip((found, expected), far, strict=True)]
        scores[number] = [_f_score(*counts) for counts in zip(*hits, found.sizes, expected.sizes, strict=True)]
    return scores


def _f_score(right: int, recalled: int, found: int, expected: int) -> float:
    """F-score of one class: correct pixels of the found and of the expected contour, and the sizes of both."""
    if not found or not expected:
        return float(found == expected)
    return harmonic_mean(right / found, recalled / expected)


def squared_distances(points: Contours, targets: Contours, size: Size, reach: float) -> IntArray:
    """Squared distance of every contour pixel to the nearest contour pixel of its class on the other side.

    Args:
        points: the contours that are measured from.
        targets: the contours that are measured to, of the same classes.
        size: (H, W) of the map.
        reach: distance in pixels beyond which ``FAR`` is enough.

    Returns:
        int64, (N,), in the order of ``points``.
    """
    margin = int(reach)
    width = size[1] + 2 * margin
    distances = np.full(len(points.x), FAR, dtype=np.int64)
    # Eight classes at a time share a map: each has a bit. Pixels that no step can reach are left out beforehand.
    for first in range(0, len(points.starts) - 1, 8):
        last = min(first + 8, len(points.starts) - 1)
        bits = np.zeros((size[0] + 2 * margin) * width, dtype=np.uint8)
        for number in range(first, last):
            x, y = targets.of_class(number)
            bits[(y + margin) * width + x + margin] |= np.uint8(1 << (number - first))
        left = np.arange(points.starts[first], points.starts[last])
        place = (points.y[left] + margin) * width + points.x[left] + margin
        mine = np.repeat(2 ** np.arange(last - first), np.diff(points.starts[first : last + 1])).astype(np.uint8)
        around = _gathered(_gathered(bits, 1, 2 * margin + 1), width, 2 * margin + 1)
        near = (around[place - margin * width - margin] & mine) != 0
        left, place, mine = left[near], place[near], mine[near]
        for squared, dy, dx in rings_within(reach):
            hit = (np.bitwise_or.reduce(bits[(dy * width + dx)[:, None] + place], axis=0) & mine) != 0
            distances[left[hit]] = squared
            left, place, mine = left[~hit], place[~hit], mine[~hit]
    return distances


def _gathered(bits: ByteArray, step: int, count: int) -> ByteArray:
    """The bits of every element and of those up to ``count`` - 1 steps after it, in one: uint8, (N,)."""
    gathered: ByteArray = bits.copy()
    covered = 1
    while covered < count:
        more = min(covered, count - covered)
        gathered[: -more * step] |= gathered[more * step :]
        covered += more
    return gathered


@lru_cache(maxsize=16)
def rings_within(radius: float) -> tuple[tuple[int, IntArray, IntArray], ...]:
    """Steps to the pixels within ``radius``, the shortest first: squared length, and dy and dx of all that long."""
    dy, dx = np.mgrid[-int(radius) : int(radius) + 1, -int(radius) : int(radius) + 1].reshape(2, -1)
    squared = dy * dy + dx * dx
    lengths = np.unique(squared[squared <= radius * radius]).tolist()
    return tuple((length, dy[squared == length], dx[squared == length]) for length in lengths)


def label_band(labels: NDArray[np.integer], width: int) -> BoolArray:
    """Pixels within ``width`` pixels of another label or the outside: the ``boundary_band`` of every label.

    Args:
        labels: label map, (H, W).
        width: chessboard distance in pixels, 1 or more.

    Returns:
        bool, (H, W).
    """
    right, below = label_steps(labels)
    # The anchor lets each step reach the two columns (rows) that it separates, and one row (column) on either side.
    touched = dilate(right, np.ones((3, 2), dtype=np.uint8), (1, 1)) | dilate(
        below, np.ones((2, 3), dtype=np.uint8), (1, 1)
    )
    touched[[0, -1]] = touched[:, [0, -1]] = True
    # The nearest pixel that touches another label has the same label as the pixel, so one pass serves all labels.
    return dilate(touched, np.ones((2 * width - 1, 2 * width - 1), dtype=np.uint8))


def label_steps(labels: NDArray[np.integer]) -> tuple[BoolArray, BoolArray]:
    """Where the label differs from the right neighbour, and from the lower neighbour: bool, (H, W) each."""
    right, below = np.zeros(labels.shape, dtype=bool), np.zeros(labels.shape, dtype=bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=right[:, :-1])
    np.not_equal(labels[1:], labels[:-1], out=below[:-1])
    return right, below


@dataclass(frozen=True, eq=False)
class BandMap:
    """The bands of all segments of a map.

    Attributes:
        panoptic: the map.
        width: width of the bands in pixels.
        band: pixels in a band, bool, (H, W).
        marked: position of the segment that triggers the flaw among the listed segments, or None.
    """

    panoptic: PanopticMap
    width: int
    band: BoolArray
    marked: int | None

    @classmethod
    def of(cls, panoptic: PanopticMap, width: int, mark: int) -> BandMap:
        """The bands of a map; ``mark`` is the id that triggers the flaw."""
        ids = [segment.id for segment in panoptic.segments]
        return cls(panoptic, width, label_band(panoptic.ids, width), ids.index(mark) if mark in ids else None)

    def numbers(self, side: NumberedSegments, inside: BoolArray) -> IntArray:
        """The segment whose band contains each run: int64, (N,); -1 for none, 0 for all void.

        Args:
            side: the segments of the map.
            inside: bool, (N,), whether each run lies in a band.
        """
        rest = -1 if self.marked is None else self.marked + 1
        return np.where(inside | (side.number == 0), side.number, rest)

    def areas(self, side: NumberedSegments, inside: BoolArray, pixels: Runs) -> IntArray:
        """Pixels in the band of each segment: int64, (S + 1,)."""
        areas = side.area(pixels.lengths * inside)
        if self.marked is not None:
            number = self.marked + 1
            earlier = (side.number > 0) & (side.number < number)
            merged = pixels.spread((side.number == number) | (earlier & ~inside))
            areas[number] = np.count_nonzero(boundary_band(merged, self.width))
        return areas


def band_overlaps(
    pairs: OverlappingPairs,
    found: tuple[NumberedSegments, BandMap],
    expected: tuple[NumberedSegments, BandMap],
    pixels: Runs,
) -> PairOverlaps:
    """Overlaps of the bands of both maps, for all pairs of segments whose masks overlap.

    Args:
        pairs: the pairs of segments.
        found: predicted segments and their bands.
        expected: true segments and their bands.
        pixels: runs; their last two maps are the predicted and the true band.
    """
    insides = [values.astype(np.bool_) for values in pixels.values[-2:]]
    numbers = [bands.numbers(side, inside) for (side, bands), inside in zip((found, expected), insides, strict=True)]
    areas = [
        bands.areas(side, inside, pixels) for (side, bands), inside in zip((found, expected), insides, strict=True)
    ]
    in_both = (numbers[0] >= 0) & (numbers[1] >= 0)
    shared = pairs.pixels(numbers[0][in_both], numbers[1][in_both], pixels.lengths[in_both])
    # Counted separately from the pairs: with the flaw, a band may reach void that the mask does not reach.
    void = in_both & (numbers[1] == 0)
    on_void = weigh(numbers[0][void], pixels.lengths[void], len(areas[0]))
    # Only the flaw can make a union empty. The reference then divides by zero, and IoU alone decides.
    return PairOverlaps(pairs, shared, areas[0], areas[1], on_void, without_union=np.inf)
