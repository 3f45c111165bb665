"""Bands along the boundaries of panoptic segments, for boundary PQ.

boundary-iou-api, the reference, overwrites the inside of all segments of a map, all but their bands, with one number:
the highest category id plus 1. If a segment has that very number as its id, the tool takes the inside of all segments
for a part of its band, and if other segments are listed before it, it compares the band of them together. Ids that
count up from 1 run into this flaw as soon as an image has that many segments. It is repeated here, so that the scores
are equal; images without such an id have the scores of the paper.
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
        width: of the bands, in pixels.
        band: bool, (H, W).
        marked: position of the segment that the flaw is about among the listed ones, or None.
    """

    panoptic: PanopticMap
    width: int
    band: BoolArray
    marked: int | None

    @classmethod
    def of(cls, panoptic: PanopticMap, width: int, mark: int) -> BandMap:
        """The bands of a map; ``mark`` is the id that the flaw is about."""
        ids = [segment.id for segment in panoptic.segments]
        return cls(panoptic, width, label_band(panoptic.ids, width), ids.index(mark) if mark in ids else None)

    def numbers(self, side: NumberedSegments, inside: BoolArray) -> IntArray:
        """The segment whose band every run belongs to: int64, (N,); -1 for none, void stays 0 all over.

        Args:
            side: the segments of the map.
            inside: bool, (N,), whether a run lies in a band.
        """
        rest = -1 if self.marked is None else self.marked + 1
        return np.where(inside | (side.number == 0), side.number, rest)

    def areas(self, side: NumberedSegments, inside: BoolArray, pixels: Runs) -> IntArray:
        """Pixels of every segment's band: int64, (S + 1,)."""
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
    """The overlaps of the bands of both maps, for the pairs of segments whose masks overlap.

    Args:
        pairs: the pairs.
        found: predicted segments and their bands.
        expected: true segments and their bands.
        pixels: runs whose last two maps are the predicted and the true band.
    """
    insides = [values.astype(np.bool_) for values in pixels.values[-2:]]
    numbers = [bands.numbers(side, inside) for (side, bands), inside in zip((found, expected), insides, strict=True)]
    areas = [
        bands.areas(side, inside, pixels) for (side, bands), inside in zip((found, expected), insides, strict=True)
    ]
    in_both = (numbers[0] >= 0) & (numbers[1] >= 0)
    shared = pairs.pixels(numbers[0][in_both], numbers[1][in_both], pixels.lengths[in_both])
    # Counted apart from the pairs: by the flaw, the band of a segment may reach void that its mask does not.
    void = in_both & (numbers[1] == 0)
    on_void = weigh(numbers[0][void], pixels.lengths[void], len(areas[0]))
    # Only the flaw can leave a pair without union; the reference then divides by zero, and IoU alone decides.
    return PairOverlaps(pairs, shared, areas[0], areas[1], on_void, without_union=np.inf)
