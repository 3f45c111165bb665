"""Bands along the boundaries of panoptic segments, for boundary PQ.

boundary-iou-api, the reference, marks the inside of all segments, everything but their bands, with one number: the
highest category id plus 1. If this number is also the id of a segment, the tool counts the inside of all segments as
part of its band; if other segments are listed before it, the tool also merges their bands with it. Ids that count up
from 1 trigger this flaw as soon as an image has that many segments. The flaw is reproduced here, so that the scores
agree. Images without such an id have the scores of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bpr_cli.evaluation.boundary import boundary_band
from bpr_cli.evaluation.label_boundary import label_band
from bpr_cli.evaluation.panoptic_matching import NumberedSegments, OverlappingPairs, PairOverlaps, PanopticMap
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.typing import BoolArray, IntArray


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
