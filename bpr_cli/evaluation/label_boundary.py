"""Boundaries of all labels of a map at once: contours for the boundary F-score, bands for boundary IoU.

The cost depends on the size of the map, not on the number of its labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.boundary import boundary_band, dilate, disc_of, harmonic_mean
from bpr_cli.evaluation.panoptic_matching import NumberedSegments, OverlappingPairs, PairOverlaps, PanopticMap
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.typing import BoolArray, IntArray

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
    codes: NDArray[np.integer], truth: NDArray[np.integer], classes: int, tolerance: float
) -> list[float]:
    """Boundary F-score of every class of two label maps; equal to ``boundary_f`` of the masks of each class.

    Args:
        codes: predicted map, (H, W): 0 .. K - 1 for the classes, K for background.
        truth: true map, likewise.
        classes: K, the number of classes.
        tolerance: tolerance in pixels.
    """
    found, expected = Contours.of(codes, classes), Contours.of(truth, classes)
    return [_class_f(found.of_class(number), expected.of_class(number), tolerance) for number in range(classes)]


def _class_f(found: Points, expected: Points, tolerance: float) -> float:
    """F-score of two contours, like ``contour_f``, but evaluated only at contour pixels."""
    if not found[0].size or not expected[0].size:
        return float(found[0].size == expected[0].size)
    x0, y0 = (min(int(found[axis].min()), int(expected[axis].min())) for axis in (0, 1))
    x1, y1 = (max(int(found[axis].max()), int(expected[axis].max())) + 1 for axis in (0, 1))
    window = np.zeros((2, y1 - y0, x1 - x0), dtype=bool)
    places = [(y - y0, x - x0) for x, y in (found, expected)]
    for drawn, place in zip(window, places, strict=True):
        drawn[place] = True
    disc = disc_of(tolerance)
    precision = np.count_nonzero(dilate(window[1], disc)[places[0]]) / found[0].size
    recall = np.count_nonzero(dilate(window[0], disc)[places[1]]) / expected[0].size
    return harmonic_mean(precision, recall)


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
