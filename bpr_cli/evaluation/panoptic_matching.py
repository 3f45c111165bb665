"""Panoptic matching: the overlaps of the segments of two maps, and the matches.

Segments are numbered 1 .. S in the order of their list; 0 is void.

Shape letters: P predicted segments, G true segments, Q pairs that share pixels, N runs of pixels in which no map
changes, K categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.panoptic import VOID
from bpr_cli.masks.runs import weigh, weigh_listed, weigh_occurring
from bpr_cli.typing import BoolArray, DoubleArray, IntArray

ID_LIMIT = 256**3
"""Upper bound (exclusive) of ids, which are three bytes in a panoptic PNG."""


@dataclass(frozen=True)
class SegmentInfo:
    """The entry of one segment in the JSON file.

    Attributes:
        id: value of the segment in the map.
        category: id of the category.
        crowd: whether the segment is a group of objects; ignored in predictions.
        area: area in pixels, or None to count it; ignored in predictions.
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
        segments: one entry for each id in the map.
    """

    ids: NDArray[np.integer]
    segments: tuple[SegmentInfo, ...]


@dataclass(frozen=True, eq=False)
class NumberedSegments:
    """The segments of one map of an image, by number.

    Attributes:
        number: int64, (N,), segment of each run.
        category: int64, (S + 1,), position of the category among K; K for void.
        crowd: bool, (S + 1,), whether the segment is a crowd.
        listed_area: int64, (S + 1,), area from the JSON file; -1 if not listed.
        categories: K, the number of categories.
    """

    number: IntArray
    category: IntArray
    crowd: BoolArray
    listed_area: IntArray
    categories: int

    @classmethod
    def of(
        cls, values: NDArray[np.generic], panoptic: PanopticMap, places: dict[int, int], name: str
    ) -> NumberedSegments:
        """Number the segments of a map.

        Args:
            values: (N,), ids of the runs.
            panoptic: the map.
            places: position of each category by its id.
            name: name of the map in messages.

        Raises:
            BprError: an id is not listed or too large, or a listed segment has no pixels.
        """
        segments = panoptic.segments
        number = _numbers(values, [segment.id for segment in segments], name)
        category = [len(places), *(places[segment.category] for segment in segments)]
        area = [-1, *(-1 if segment.area is None else segment.area for segment in segments)]
        crowd = np.array([False, *(segment.crowd for segment in segments)])
        return cls(number, np.array(category, dtype=np.int64), crowd, np.array(area, dtype=np.int64), len(places))

    def area(self, pixels: NDArray[np.integer]) -> IntArray:
        """Sum the pixels of all runs by segment: int64, (S + 1,)."""
        return weigh(self.number, pixels, len(self.category))


def _numbers(values: NDArray[np.generic], ids: Sequence[int], name: str) -> IntArray:
    """Segment number of each run: int64, (N,)."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest < VOID or highest >= ID_LIMIT:
        raise BprError(f"{name} has ids from {lowest} to {highest}, expected {VOID} to {ID_LIMIT - 1}")
    known = np.array([VOID, *ids], dtype=np.int64)
    # The operating system allocates only the pages of the table that are used.
    table = np.zeros(max(highest, int(known.max())) + 1, dtype=np.int32)
    table[known] = np.arange(len(known))
    numbers: IntArray = table[values].astype(np.int64)
    strange = values[(numbers == 0) & (values != VOID)]
    if strange.size:
        listed = join_names(np.unique(strange))
        raise BprError(f"{name} has the ids {listed} without a segment, expected a segment for every id")
    occurs = np.zeros(len(known), dtype=bool)
    occurs[numbers] = True
    empty = known[1:][~occurs[1:]]
    if empty.size:
        raise BprError(f"{name} lists the segments {join_names(empty)}, but its map has no pixels of them")
    return numbers


@dataclass(frozen=True, eq=False)
class OverlappingPairs:
    """The pairs of segments, including void, that share pixels.

    Attributes:
        truth: int64, (Q,), numbers of true segments.
        prediction: int64, (Q,), numbers of predicted segments.
        shape: (G + 1, P + 1).
    """

    truth: IntArray
    prediction: IntArray
    shape: tuple[int, int]

    def pixels(self, found: IntArray, expected: IntArray, lengths: IntArray) -> IntArray:
        """Shared pixels of each pair: int64, (Q,).

        Args:
            found: int64, (N,), predicted segment of each run.
            expected: int64, (N,), true segment of each run.
            lengths: int64, (N,), number of pixels of each run.
        """
        listed = self.truth * self.shape[1] + self.prediction
        return weigh_listed(expected * self.shape[1] + found, lengths, listed, self.shape[0] * self.shape[1])


@dataclass(frozen=True, eq=False)
class PairOverlaps:
    """Pixel counts of all pairs and segments; for boundary PQ, only pixels in bands are counted.

    Attributes:
        pairs: the pairs of segments.
        pixels: int64, (Q,), shared pixels of each pair.
        found_area: int64, (P + 1,), areas of predicted segments in pixels.
        expected_area: int64, (G + 1,), areas of true segments in pixels.
        on_void: int64, (P + 1,), pixels of predicted segments on void of the ground truth.
        without_union: IoU of a pair whose union is empty, which can happen only if areas are not pixel counts.
    """

    pairs: OverlappingPairs
    pixels: IntArray
    found_area: IntArray
    expected_area: IntArray
    on_void: IntArray
    without_union: float = 0.0

    @property
    def iou(self) -> DoubleArray:
        """IoU of each pair: float64, (Q,). The union excludes predicted pixels on void."""
        truth, prediction = self.pairs.truth, self.pairs.prediction
        union = self.found_area[prediction] + self.expected_area[truth] - self.pixels - self.on_void[prediction]
        iou = np.where(union == 0, self.without_union, 0.0)
        np.divide(self.pixels, union, out=iou, where=union > 0)
        return iou


def mask_overlaps(found: NumberedSegments, expected: NumberedSegments, lengths: IntArray) -> PairOverlaps:
    """Overlaps of the masks of all segments; listed areas of true segments replace counted ones."""
    rows, columns = len(expected.category), len(found.category)
    codes, pixels = weigh_occurring(expected.number * columns + found.number, lengths, rows * columns)
    truth, prediction = np.divmod(codes, columns)
    area = np.where(expected.listed_area >= 0, expected.listed_area, weigh(truth, pixels, rows))
    pairs, found_area = OverlappingPairs(truth, prediction, (rows, columns)), weigh(prediction, pixels, columns)
    return PairOverlaps(pairs, pixels, found_area, area, weigh(prediction, pixels * (truth == 0), columns))


@dataclass(frozen=True, eq=False)
class MatchSums:
    """Sums per category over images; ``+`` adds the sums of two sets of images.

    Attributes:
        iou: float64, (K,), sum of the IoU of matched segments.
        matched: int64, (K,), true positives.
        wrong: int64, (K,), false positives: unmatched predicted segments, except ignored ones.
        missed: int64, (K,), false negatives: unmatched true segments, except crowds.
    """

    iou: DoubleArray
    matched: IntArray
    wrong: IntArray
    missed: IntArray

    def __add__(self, other: MatchSums) -> MatchSums:
        return MatchSums(
            self.iou + other.iou, self.matched + other.matched, self.wrong + other.wrong, self.missed + other.missed
        )


def alike(pairs: OverlappingPairs, found: NumberedSegments, expected: NumberedSegments) -> BoolArray:
    """Whether both segments of each pair have the same category, which void has not: bool, (Q,)."""
    same: BoolArray = expected.category[pairs.truth] == found.category[pairs.prediction]
    return same & (pairs.truth > 0) & (pairs.prediction > 0)


def best_iou(
    iou: DoubleArray, pairs: OverlappingPairs, found: NumberedSegments, expected: NumberedSegments
) -> DoubleArray:
    """Largest IoU of each true segment with a prediction of its category, 0 without one: float64, (G + 1,)."""
    best = np.zeros(len(expected.category))
    chosen = alike(pairs, found, expected)
    np.maximum.at(best, pairs.truth[chosen], iou[chosen])
    return best


def match_segments(
    iou: DoubleArray, masks: PairOverlaps, found: NumberedSegments, expected: NumberedSegments
) -> MatchSums:
    """Match the segments of one image, and count false positives and false negatives.

    Args:
        iou: float64, (Q,), the IoU that must exceed 0.5 for a match.
        masks: overlaps of the masks, also for boundary PQ; they decide which predictions are ignored.
        found: the predicted segments.
        expected: the true segments.
    """
    truth, prediction, count = masks.pairs.truth, masks.pairs.prediction, expected.categories
    category = expected.category[truth]
    matched = (iou > 0.5) & alike(masks.pairs, found, expected) & ~expected.crowd[truth]
    missed, wrong = ~expected.crowd, ~_ignored(masks, found, expected)
    missed[truth[matched]] = wrong[prediction[matched]] = False
    scores = np.bincount(category, weights=np.where(matched, iou, 0.0), minlength=count + 1)
    return MatchSums(
        scores[:count].astype(np.float64),
        weigh(category, matched, count + 1)[:count],
        weigh(found.category, wrong, count + 1)[:count],
        weigh(expected.category, missed, count + 1)[:count],
    )


def _ignored(masks: PairOverlaps, found: NumberedSegments, expected: NumberedSegments) -> BoolArray:
    """Predicted segments of which more than half lies on void or a crowd of their category: bool, (P + 1,)."""
    truth, prediction = masks.pairs.truth, masks.pairs.prediction
    crowd_of = np.full(expected.categories + 1, -1)
    crowds = np.flatnonzero(expected.crowd)
    crowd_of[expected.category[crowds]] = crowds  # of several crowds, the last one counts
    excused = (truth == 0) | (crowd_of[found.category[prediction]] == truth)
    return weigh(prediction, masks.pixels * excused, len(masks.found_area)) > 0.5 * masks.found_area
