"""Metrics of panoptic segmentation: PQ, SQ and RQ (Kirillov et al., CVPR 2019), boundary PQ (Cheng et al., CVPR 2021).

The rules are those of panopticapi, which the Cityscapes scripts share, and of boundary-iou-api:
- A predicted and a true segment of one category match if their IoU exceeds 0.5. The union excludes predicted pixels on
  void of the ground truth. Boundary PQ uses the smaller of IoU and boundary IoU instead.
- Crowd segments of the ground truth are neither matched nor missed. The crowd flag of predictions is ignored.
- An unmatched predicted segment is ignored if more than half of it lies on void or on the crowd segment of its
  category. If a category has several crowd segments, only the last one listed counts, as in panopticapi.
- The area of a true segment comes from the JSON file if listed there. Areas of predicted segments are counted.
- boundary-iou-api writes a number over the inside of segments that may be the id of a segment, whose band is then
  wrong. Boundary PQ equals its figure; where such a segment occurs, boundary PQ by the definition of the paper stands
  beside it.
- The sums of all images are pooled per category. All, Things and Stuff are means over their categories that occur.

Unlike these tools, the evaluator also refuses ground truth whose ids and segments disagree, not only predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.boundary import band_width
from bpr_cli.evaluation.evaluator import Evaluator, Measured, SegmentIou, categories_of, check_map, check_sizes
from bpr_cli.evaluation.label_boundary import BandMap, band_overlaps
from bpr_cli.evaluation.oracle import near_boundary
from bpr_cli.evaluation.panoptic_matching import (
    ID_LIMIT,
    MatchSums,
    NumberedSegments,
    PanopticMap,
    SegmentInfo,
    best_iou,
    mask_overlaps,
    match_segments,
)
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.evaluation.report.model import PAPER_PQ, Row, Tables, metrics_of
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.panoptic import VOID
from bpr_cli.formats.records import CategoryRecord
from bpr_cli.masks.masks import LabelMap
from bpr_cli.masks.runs import Runs, values_of, weigh
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import BoolArray, DoubleArray, LabelArray

_ID_BITS = 24  # ids are three bytes


@dataclass(frozen=True, eq=False)
class PanopticSums:
    """Sums over images; ``+`` adds the sums of two sets of images.

    Attributes:
        images: number of images.
        mask: sums of PQ.
        boundary: sums of boundary PQ, with the flaw of boundary-iou-api.
        paper: sums of boundary PQ by the definition of the paper.
        flawed: number of images with the flaw; see ``BandMap``.
    """

    images: int
    mask: MatchSums
    boundary: MatchSums
    paper: MatchSums
    flawed: int = 0

    def __add__(self, other: PanopticSums) -> PanopticSums:
        return PanopticSums(
            self.images + other.images,
            self.mask + other.mask,
            self.boundary + other.boundary,
            self.paper + other.paper,
            self.flawed + other.flawed,
        )


def mark_of(categories: Sequence[CategoryRecord]) -> int:
    """The segment id that triggers the flaw of boundary-iou-api; see ``BandMap``."""
    return max(category.id for category in categories) + 1


def measure_panoptic(
    prediction: PanopticMap, truth: PanopticMap, categories: Sequence[CategoryRecord], settings: EvaluateSettings
) -> tuple[PanopticSums, DoubleArray]:
    """Compare the segmentations of one image.

    Args:
        prediction: predicted segments.
        truth: ground-truth segments.
        categories: K categories with distinct ids, in the order of the sums.
        settings: only ``dilation_ratio`` is used.

    Returns:
        The sums, and the IoU of every true segment with the best prediction of its category (0 without a prediction):
        float64, in the order of the segments.

    Raises:
        BprError: the maps differ in size, a segment id is void or repeated, a category is unknown, or ids and segments
            disagree.
    """
    _check_pair(prediction, truth, categories)
    places = {category.id: place for place, category in enumerate(categories)}
    width = band_width(settings.band_ratio(), (truth.ids.shape[0], truth.ids.shape[1]))
    bands = [BandMap.of(side, width, mark_of(categories)) for side in (prediction, truth)]
    pixels = Runs.of(prediction.ids, truth.ids, *(each.band for each in bands))
    found = NumberedSegments.of(pixels.values[0], prediction, places, "the prediction")
    expected = NumberedSegments.of(pixels.values[1], truth, places, "the ground truth")
    masks = mask_overlaps(found, expected, pixels.lengths)
    iou = masks.iou

    def boundary_sums(bands: Sequence[BandMap]) -> MatchSums:
        boundary_iou = band_overlaps(masks.pairs, (found, bands[0]), (expected, bands[1]), pixels).iou
        return match_segments(np.minimum(iou, boundary_iou), masks, found, expected)

    flawed = any(each.marked is not None for each in bands)
    boundary = boundary_sums(bands)
    paper = boundary_sums([replace(each, marked=None) for each in bands]) if flawed else boundary
    sums = PanopticSums(1, match_segments(iou, masks, found, expected), boundary, paper, int(flawed))
    return sums, best_iou(iou, masks.pairs, found, expected)[1:]


def _check_pair(prediction: PanopticMap, truth: PanopticMap, categories: Sequence[CategoryRecord]) -> None:
    """Check sizes and segments; whether ids and segments agree is checked later, when pixels are counted."""
    known = {category.id for category in categories}
    for panoptic, name in ((prediction, "the prediction"), (truth, "the ground truth")):
        check_map(panoptic.ids, name)
        _check_segments(panoptic.segments, known, name)
    check_sizes(prediction.ids, truth.ids)


def _check_segments(segments: tuple[SegmentInfo, ...], known: set[int], name: str) -> None:
    ids = [segment.id for segment in segments]
    outside = [segment_id for segment_id in ids if not VOID < segment_id < ID_LIMIT]
    if outside:
        raise BprError(
            f"{name} lists a segment with the id {outside[0]}, expected 1 to {ID_LIMIT - 1} ({VOID} is void)"
        )
    _check_distinct(ids, f"{name} lists the segment id")
    unknown = sorted({segment.category for segment in segments} - known)
    if unknown:
        raise BprError(
            f"{name} has the categories {join_names(unknown)}, expected {join_names(sorted(known), limit=5)}"
        )


def _check_distinct(ids: list[int], what: str) -> None:
    if len(set(ids)) < len(ids):
        repeated = next(number for number in ids if ids.count(number) > 1)
        raise BprError(f"{what} {repeated} more than once, expected distinct ids")


def panoptic_scores(sums: PanopticSums, chosen: BoolArray, with_paper: bool = False) -> dict[str, float]:
    """Means over the chosen categories (bool, (K,)) that occur, from 0 to 1; NaN if none occurs."""
    scores: dict[str, float] = {}
    for prefix, part in (("", sums.mask), ("boundary ", sums.boundary)):
        scores |= {f"{prefix}{name}": mean for name, mean in zip(("PQ", "SQ", "RQ"), _means(part, chosen), strict=True)}
    return scores | {PAPER_PQ: _means(sums.paper, chosen)[0]} if with_paper else scores


def _means(sums: MatchSums, chosen: BoolArray) -> list[float]:
    """PQ, SQ and RQ, averaged over the chosen categories that occur."""
    occurs = chosen & (sums.matched + sums.wrong + sums.missed > 0)
    means: list[float] = _qualities(sums)[occurs].mean(axis=0).tolist() if occurs.any() else [float("nan")] * 3
    return means


def _qualities(sums: MatchSums) -> DoubleArray:
    """PQ, SQ and RQ of every category: float64, (K, 3); zeros for categories that do not occur."""
    weight = sums.matched + 0.5 * sums.wrong + 0.5 * sums.missed
    parts = np.stack([sums.iou, sums.iou, sums.matched.astype(float)], axis=1)
    wholes = np.stack([weight, sums.matched.astype(float), weight], axis=1)
    qualities: DoubleArray = np.zeros_like(parts)
    np.divide(parts, wholes, out=qualities, where=wholes > 0)
    return qualities


@dataclass(frozen=True, eq=False)
class PanopticComparison:
    """The segmentations of one image."""

    prediction: PanopticMap
    truth: PanopticMap

    @cached_property
    def counterparts(self) -> dict[int, int]:
        """For each true segment, the predicted segment of its category with the most shared pixels, by id."""
        found_category = {segment.id: segment.category for segment in self.prediction.segments}
        true_category = {segment.id: segment.category for segment in self.truth.segments}
        most: dict[int, tuple[int, int]] = {}
        for (found, true), pixels in self._shared_pixels().items():
            same = VOID not in (found, true) and found_category.get(found) == true_category.get(true)
            if same and pixels > most.get(true, (0, 0))[0]:
                most[true] = (pixels, found)
        return {true: found for true, (_, found) in most.items()}

    def _shared_pixels(self) -> dict[tuple[int, int], int]:
        """Pixels shared by a predicted and a true segment, by their ids."""
        runs = Runs.of(self.prediction.ids, self.truth.ids)
        found, true = (values.astype(np.int64) for values in runs.values)
        codes, place = np.unique(found << _ID_BITS | true, return_inverse=True)
        pixels = weigh(place, runs.lengths, len(codes))
        pairs = zip((codes >> _ID_BITS).tolist(), (codes & (1 << _ID_BITS) - 1).tolist(), strict=True)
        return dict(zip(pairs, pixels.tolist(), strict=True))


class PanopticEvaluator(Evaluator[PanopticMap, PanopticComparison, PanopticSums]):
    """Panoptic quality and boundary panoptic quality."""

    applicable = frozenset({"dilation_ratio"})

    def __init__(self, settings: EvaluateSettings, categories: Sequence[CategoryRecord], flawed: bool = False) -> None:
        """Make an evaluator; ``flawed`` says whether a set of the evaluation has the flaw of boundary-iou-api."""
        _check_distinct([category.id for category in categories], "the categories list the id")
        self._settings, self._categories, self._flawed = settings, categories, flawed
        self._names = {category.id: category.name for category in categories}

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> PanopticEvaluator:  # noqa: ARG003
        """Check that every category is listed as thing or stuff."""
        if not sets.truth.categories and not sets.predictions.categories:
            raise BprError(
                f"{sets.truth.shared_files()[0]} has no categories, expected a list of id, name and isthing, which "
                "tells things from stuff"
            )
        categories = categories_of(sets, settings.allow_missing)
        unknown = [category.id for category in categories if category.thing is None]
        if unknown:
            raise BprError(
                f"{sets.truth.shared_files()[0]}: category {unknown[0]} has no isthing, expected 1 for things and 0 "
                "for stuff"
            )
        mark = mark_of(categories)
        every = ((each, item) for each in (sets.truth, *sets.scored) for item in each.items)
        return cls(
            settings, categories, any(record.id == mark for each, item in every for record in each.records(item))
        )

    def read_truth(self, truth: PredictionSet, pair: Pair) -> PanopticMap:
        """The ground-truth segments of an image."""
        return _read_segments(truth, pair.truth, pair)

    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: PanopticMap) -> PanopticComparison:
        """The segments of an image."""
        return PanopticComparison(_read_segments(scored, item, pair), truth)

    def measure(self, pair: Pair, comparison: PanopticComparison) -> Measured[PanopticSums]:  # noqa: ARG002
        """The sums of one image, and all true segments except crowds."""
        truth = comparison.truth
        sums, best = measure_panoptic(comparison.prediction, truth, self._categories, self._settings)
        scores = enumerate(zip(truth.segments, best.tolist(), strict=True), start=1)
        named = (
            SegmentIou(self._names[each.category], iou, number) for number, (each, iou) in scores if not each.crowd
        )
        return Measured(sums, list(named))

    def oracle(self, comparison: PanopticComparison, distance: int) -> PanopticComparison:
        """The predicted map, corrected near its boundaries inside true segments with a predicted counterpart.

        A refinement cannot find true segments without a counterpart; there the prediction stays.
        """
        content, truth = comparison.prediction, comparison.truth
        near = near_boundary(content.ids, distance)
        wanted, place = np.unique(truth.ids[near], return_inverse=True)
        right = np.array([comparison.counterparts.get(int(true), VOID) for true in wanted], dtype=np.int32)[place]
        ids = content.ids.astype(np.int32)
        ids[near] = np.where(right == VOID, ids[near], right)
        left = set(np.unique(ids).tolist())
        segments = tuple(known for known in content.segments if known.id in left)
        return PanopticComparison(replace(content, ids=ids, segments=segments), truth)

    def tables(self, total: PanopticSums) -> Tables:
        """PQ, SQ and RQ over all classes, over things and stuff, and of each class, for masks and boundaries."""
        things = np.array([bool(category.thing) for category in self._categories])
        every = np.arange(len(things))

        def scores(chosen: BoolArray) -> dict[str, float]:
            return panoptic_scores(total, chosen, self._flawed)

        return Tables(
            metrics_of(scores(np.ones_like(things))),
            tuple(
                Row.of(category.name, scores(every == place), "thing" if category.thing else "stuff")
                for place, category in enumerate(self._categories)
            ),
            (
                Row.of("things", scores(things)),
                Row.of("stuff", scores(~things)),
            ),
            notes=self._notes(total),
        )

    def _notes(self, total: PanopticSums) -> tuple[str, ...]:
        if not total.flawed:
            return ()
        return (
            f"boundary PQ: in {total.flawed} of {total.images} images a segment has the id "
            f"{mark_of(self._categories)}, the number that the official tool, boundary-iou-api, uses for the inside of "
            f"all segments; the figures equal its figures, and {PAPER_PQ} is the figure by the definition (higher "
            "segment ids avoid the difference)",
        )

    def layer(self, comparison: PanopticComparison) -> Layer:
        """The segments, numbered like their true counterparts so that both get one color; others come after them."""
        content, truth = comparison.prediction, comparison.truth
        numbers = {segment.id: number for number, segment in enumerate(truth.segments, 1)}
        chosen: dict[int, int] = {}
        for true, found in comparison.counterparts.items():
            chosen.setdefault(found, numbers[true])
        for extra, segment in enumerate(content.segments, len(numbers) + 1):
            chosen.setdefault(segment.id, extra)
        return self._renumbered(content, chosen)

    def truth_layer(self, truth: PanopticMap) -> Layer:
        """The segments, numbered from 1 in the order of the file."""
        return self._renumbered(truth, {segment.id: number for number, segment in enumerate(truth.segments, 1)})

    def _renumbered(self, panoptic: PanopticMap, numbers: dict[int, int]) -> Layer:
        names = {numbers[segment.id]: self._names.get(segment.category, "") for segment in panoptic.segments}
        return Layer(_renumber(panoptic.ids, numbers), names)


def _read_segments(side: PredictionSet, item: Item | None, pair: Pair) -> PanopticMap:
    """The segments of an image; pixels of those that cannot be read are void."""
    if item is None:
        raise BprError(f"{pair.name} has no panoptic map")
    read = side.read(item)
    if not isinstance(read, LabelMap):
        raise BprError(f"{side.file(item)} holds masks, expected a panoptic map")
    segments = [
        SegmentInfo(record.id or VOID, record.category, record.crowd, None if record.area is None else int(record.area))
        for record in side.records(item)
    ]
    stray = set(values_of(read.labels).tolist()) - {segment.id for segment in segments} - {VOID}
    labels = np.where(np.isin(read.labels, list(stray)), VOID, read.labels) if stray else read.labels
    return PanopticMap(labels, tuple(segments))


def _renumber(ids: NDArray[np.integer], numbers: dict[int, int]) -> LabelArray:
    values, place = np.unique(ids, return_inverse=True)
    table = np.array([numbers.get(int(value), 0) for value in values], dtype=np.int32)
    return table[place].reshape(ids.shape)
