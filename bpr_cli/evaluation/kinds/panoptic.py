"""Panoptic maps: PQ, SQ, RQ and boundary PQ, of all classes, things, stuff and each class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.kinds.base import Compared, Figures, Kind, TableRow, Tables
from bpr_cli.evaluation.oracle import near_boundary
from bpr_cli.evaluation.panoptic import (
    Category,
    PanopticFigures,
    PanopticMap,
    PanopticSettings,
    PanopticSums,
    Quality,
    QualityTable,
    SegmentInfo,
    compare_panoptic,
    panoptic_figures,
)
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import CategoryRecord, Item, PredictionSet
from bpr_cli.formats.panoptic import VOID
from bpr_cli.masks.masks import LabelMap
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.truth.pairs import Pair

_ID_BITS = 24  # ids are three bytes

Shared = dict[tuple[int, int], int]
"""Pixels that a predicted and a true segment share, by their ids."""


class PanopticKind(Kind[PanopticMap, PanopticMap, PanopticSums]):
    """Panoptic quality and boundary panoptic quality."""

    def __init__(self, settings: EvaluateSettings, categories: tuple[CategoryRecord, ...]) -> None:
        self._names = {category.id: category.name for category in categories}
        listed = tuple(Category(category.id, bool(category.thing), category.name) for category in categories)
        self._settings = PanopticSettings(listed, settings.dilation_ratio)

    def read(self, scored: PredictionSet, item: Item | None, pair: Pair) -> PanopticMap:
        """The segments of an image."""
        if item is None:
            raise BprError(f"{pair.name} has no panoptic map")
        read = scored.read(item)
        if not isinstance(read, LabelMap):
            raise BprError(f"{scored.file(item)} holds masks, expected a panoptic map")
        segments = [
            SegmentInfo(
                record.id or VOID, record.category, record.crowd, None if record.area is None else int(record.area)
            )
            for record in scored.records(item)
        ]
        return PanopticMap(read.labels, tuple(segments))

    def read_truth(self, truth: PredictionSet, pair: Pair) -> PanopticMap:
        """The true segments of an image."""
        return self.read(truth, pair.truth, pair)

    def measure(self, pair: Pair, content: PanopticMap, truth: PanopticMap) -> Compared[PanopticSums]:  # noqa: ARG002
        """The sums of one image, and every true segment but crowds."""
        sums, best = compare_panoptic(content, truth, self._settings)
        scores = zip(truth.segments, best.tolist(), strict=True)
        return Compared(sums, [(self._names[each.category], iou) for each, iou in scores if not each.crowd])

    def add(self, total: PanopticSums, sums: PanopticSums) -> PanopticSums:
        """The sums of both."""
        return total + sums

    def oracle(self, content: PanopticMap, truth: PanopticMap, distance: int) -> PanopticMap:
        """The map, right near its boundaries wherever a true segment has a predicted counterpart.

        That is the segment of its category that shares most pixels with it. True segments that nothing overlaps cannot
        be found by a refinement; there the prediction stays.
        """
        counterpart = _counterparts(content, truth)
        near = near_boundary(content.ids, distance)
        wanted, place = np.unique(truth.ids[near], return_inverse=True)
        right = np.array([counterpart.get(int(true), VOID) for true in wanted], dtype=np.int32)[place]
        ids = content.ids.astype(np.int32)
        ids[near] = np.where(right == VOID, ids[near], right)
        left = set(np.unique(ids).tolist())
        return replace(content, ids=ids, segments=tuple(known for known in content.segments if known.id in left))

    def tables(self, total: PanopticSums) -> Tables:
        """The figures."""
        figures = panoptic_figures(total, self._settings)
        kinds = {category.id: "thing" if category.thing else "stuff" for category in self._settings.categories}
        classes = [
            TableRow(self._names[number], _of_class(figures, number), kinds[number])
            for number in figures.mask.per_class
        ]
        groups = [TableRow("things", _of_group(figures, "things")), TableRow("stuff", _of_group(figures, "stuff"))]
        return Tables(_of_group(figures, "all"), classes, groups, notes=self._notes(total))

    def _notes(self, total: PanopticSums) -> tuple[str, ...]:
        if not total.slips:
            return ()
        return (
            f"boundary PQ: in {total.slips} of {total.images} images a segment has the id {self._settings.mark}, the "
            "number that boundary-iou-api writes over the inside of all segments; the figures repeat that, to equal "
            "this tool's, and are not those of the paper there (segment ids above the number avoid it)",
        )

    def layer(self, content: PanopticMap, truth: PanopticMap) -> NDArray[np.int32]:
        """Segments with the number of their true counterpart, so that both look alike; others come after them."""
        numbers = {segment.id: number for number, segment in enumerate(truth.segments, 1)}
        chosen: dict[int, int] = {}
        for true, found in _counterparts(content, truth).items():
            chosen.setdefault(found, numbers[true])
        for extra, segment in enumerate(content.segments, len(numbers) + 1):
            chosen.setdefault(segment.id, extra)
        return _renumber(content.ids, chosen)

    def truth_layer(self, truth: PanopticMap) -> NDArray[np.int32]:
        """Segments from 1 on, in the order of the file."""
        return _renumber(truth.ids, {segment.id: number for number, segment in enumerate(truth.segments, 1)})


def _shared(content: PanopticMap, truth: PanopticMap) -> Shared:
    stretches = Runs.of(content.ids, truth.ids)
    found, true = (values.astype(np.int64) for values in stretches.values)
    codes, place = np.unique(found << _ID_BITS | true, return_inverse=True)
    pixels = weigh(place, stretches.lengths, len(codes))
    pairs = zip((codes >> _ID_BITS).tolist(), (codes & (1 << _ID_BITS) - 1).tolist(), strict=True)
    return dict(zip(pairs, pixels.tolist(), strict=True))


def _counterparts(content: PanopticMap, truth: PanopticMap) -> dict[int, int]:
    """For true segments, the predicted one of the same category that shares most pixels with it."""
    found_category = {segment.id: segment.category for segment in content.segments}
    true_category = {segment.id: segment.category for segment in truth.segments}
    most: dict[int, tuple[int, int]] = {}
    for (found, true), pixels in _shared(content, truth).items():
        same = VOID not in (found, true) and found_category.get(found) == true_category.get(true)
        if same and pixels > most.get(true, (0, 0))[0]:
            most[true] = (pixels, found)
    return {true: found for true, (_, found) in most.items()}


def _renumber(ids: NDArray[np.integer], numbers: dict[int, int]) -> NDArray[np.int32]:
    values, place = np.unique(ids, return_inverse=True)
    table = np.array([numbers.get(int(value), 0) for value in values], dtype=np.int32)
    return table[place].reshape(ids.shape)


def _of_group(figures: PanopticFigures, group: str) -> Figures:
    def of(table: QualityTable) -> Quality:
        return {"all": table.all, "things": table.things, "stuff": table.stuff}[group]

    return _named(of(figures.mask), of(figures.boundary) if figures.boundary else None)


def _of_class(figures: PanopticFigures, category: int) -> Figures:
    boundary = figures.boundary.per_class[category] if figures.boundary else None
    return _named(figures.mask.per_class[category], boundary)


def _named(mask: Quality, boundary: Quality | None) -> Figures:
    named = {"PQ": mask.pq, "SQ": mask.sq, "RQ": mask.rq}
    if boundary:
        named |= {"boundary PQ": boundary.pq, "boundary SQ": boundary.sq, "boundary RQ": boundary.rq}
    return named if mask.n else dict.fromkeys(named, float("nan"))
