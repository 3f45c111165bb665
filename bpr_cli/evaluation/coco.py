"""Instance metrics of the COCO and LVIS benchmarks: average precision, boundary AP and AF.

AP equals that of pycocotools (Lin et al., ECCV 2014). Boundary AP replaces mask IoU by the smaller of mask IoU and
boundary IoU (Cheng et al., CVPR 2021, boundary-iou-api); crowds keep mask IoU.

If the annotations say which categories were searched in an image (Gupta et al., LVIS, CVPR 2019), the rules of lvis-api
apply:
- Predictions of a category that is neither annotated nor known to be absent are left out.
- Predictions of a category that is not annotated completely count only if they match.
- The limit on predictions applies per image, not per category.

Every image becomes a small record without masks (about 100 bytes per prediction). ``coco_precision`` computes the
metrics from all records, in any order.

Shape letters: K categories, D predicted and G true masks of one image and category, V measures (mask, boundary), A size
ranges, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from bpr_cli.evaluation.boundary import band_width, boundary_band
from bpr_cli.evaluation.coco_matching import NO_PARTNER, Outcome, Partners, match_masks, outcomes_of, sum_boundary_f
from bpr_cli.evaluation.coco_precision import AREAS, IOU_THRESHOLDS, CocoRecord, coco_tables
from bpr_cli.evaluation.evaluator import Evaluator, Measured, categories_of
from bpr_cli.evaluation.instances import (
    CategoryOverlaps,
    ImageKey,
    InstanceComparison,
    ScoredMask,
    TruthMask,
    category_overlaps,
    check_segments,
    drawn,
    positions_by_category,
    read_scored,
    read_truths,
)
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.evaluation.report.model import Tables
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.records import CategoryRecord, Searched
from bpr_cli.masks.masks import Mask
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import BoolArray, DoubleArray, IntArray, Size

COCO_DETECTIONS, LVIS_DETECTIONS = 100, 300
"""Default limits on predictions: per category and image for COCO, per image for LVIS."""


@dataclass(frozen=True)
class CocoTruth:
    """The ground truth of one image.

    Attributes:
        size: (H, W) of the image.
        masks: true masks in the order of the file.
        searched: the searched categories; None for all.
    """

    size: Size
    masks: list[TruthMask]
    searched: Searched | None = None


@dataclass(frozen=True)
class CocoComparison(InstanceComparison):
    """The predicted and true masks of one image.

    Attributes:
        searched: the searched categories; None for all.
    """

    searched: Searched | None = None

    @classmethod
    def of(cls, predictions: list[ScoredMask], truth: CocoTruth) -> CocoComparison:
        """Count the overlaps of all masks of one image."""
        return cls(predictions, truth.masks, truth.size, category_overlaps(predictions, truth.masks), truth.searched)


def record_of(
    image: ImageKey, comparison: CocoComparison, categories: Sequence[int], settings: EvaluateSettings
) -> CocoRecord:
    """The record of one image.

    Args:
        image: key of the image. Images with neither predictions nor ground truth may be left out.
        comparison: masks of the image.
        categories: ids of the counted categories; masks of others are left out, as in pycocotools.
        settings: only ``metrics``, ``max_detections``, ``tolerance`` and ``dilation_ratio`` are used.
    """
    masks = _CountedMasks.of(comparison, categories, settings.max_detections or COCO_DETECTIONS)
    overlaps = [masks.iou]
    if "boundary-ap" in settings.metrics:
        overlaps.append(_with_boundaries(masks, settings.band_ratio()))
    matched = [match_masks(each, masks.crowd, masks.ignored, IOU_THRESHOLDS) for each in overlaps]
    partners = np.stack(matched, axis=1)
    outcomes = outcomes_of(partners, masks.ignored, masks.excused)
    pairs = np.where(outcomes[:, 0, 0] == Outcome.TRUE, partners[:, 0, 0], NO_PARTNER)
    if "af" not in settings.metrics:
        pairs[:] = NO_PARTNER
    sums, counts = masks.sum_boundary_f(pairs, settings.tolerance)
    return CocoRecord(
        image,
        np.array([segment.category for segment in masks.predictions], dtype=np.int64),
        np.array([segment.score for segment in masks.predictions], dtype=np.float64),
        outcomes,
        np.array(list(masks.true), dtype=np.int64),
        np.array(
            [np.count_nonzero(~masks.ignored[:, columns], axis=1) for columns in masks.true.values()], dtype=np.int64
        ).reshape(-1, len(AREAS)),
        sums,
        counts,
    )


@dataclass(frozen=True)
class _CountedMasks:
    """The masks of one image that count, category after category, with everything that matching needs.

    Attributes:
        predictions: D predicted masks; those of a category are together, the best first.
        truths: G true masks; those of a category are together.
        found: the rows of each category among the D predicted masks.
        true: the columns of each category among the G true masks.
        iou: float64, (D, G), IoU of every pair; 0 for pairs of different categories.
        crowd: bool, (G,), whether a true mask is a crowd.
        ignored: bool, (A, G), whether a true mask does not count in a size range.
        excused: bool, (A, D), whether a predicted mask does not count without a match: it lies outside of a size range,
            or not all objects of its category are annotated.
    """

    predictions: list[ScoredMask]
    truths: list[TruthMask]
    found: dict[int, slice]
    true: dict[int, slice]
    iou: DoubleArray
    crowd: BoolArray
    ignored: BoolArray
    excused: BoolArray

    @classmethod
    def of(cls, comparison: CocoComparison, categories: Sequence[int], limit: int) -> _CountedMasks:
        """Choose the masks of the given categories; ``limit`` is that on predictions."""
        found, true = _ranked(comparison, limit), positions_by_category(comparison.truths)
        chosen = [category for category in categories if category in found]
        rows, columns = _slices(found, chosen), _slices(true, [each for each in categories if each in true])
        predictions = [comparison.predictions[number] for category in rows for number in found[category]]
        truths = [comparison.truths[number] for category in columns for number in true[category]]
        iou = np.zeros((len(predictions), len(truths)))
        for category in rows.keys() & columns.keys():
            iou[rows[category], columns[category]] = _rows(comparison.overlaps[category], found[category])
        crowd = np.array([segment.crowd for segment in truths], dtype=bool)
        ignored = crowd | np.array([segment.ignore for segment in truths], dtype=bool)
        excused = _outside(predictions)
        for category in comparison.searched.incomplete & rows.keys() if comparison.searched else ():
            excused[:, rows[category]] = True
        return cls(predictions, truths, rows, columns, iou, crowd, ignored | _outside(truths), excused)

    def sum_boundary_f(self, pairs: Partners, tolerance: float) -> tuple[DoubleArray, IntArray]:
        """Sum of F, and number of pairs, of each category with true masks: (C, T) each; see ``sum_boundary_f``."""
        found, true = [segment.mask for segment in self.predictions], [segment.mask for segment in self.truths]
        sums, counts = np.zeros((len(self.true), pairs.shape[1])), np.zeros((len(self.true), pairs.shape[1]), np.int64)
        for row, category in enumerate(self.true):
            rows = self.found.get(category, slice(0))
            if (pairs[rows] != NO_PARTNER).any():
                sums[row], counts[row] = sum_boundary_f(found[rows], true, pairs[rows], tolerance)
        return sums, counts


def _ranked(comparison: CocoComparison, limit: int) -> dict[int, list[int]]:
    """Positions of the counted predictions by category, the best first; equal scores keep their order."""
    predictions, searched = comparison.predictions, comparison.searched
    ranked = sorted(range(len(predictions)), key=lambda number: -predictions[number].score)
    if searched:
        known = searched.absent.union(segment.category for segment in comparison.truths)
        ranked = [number for number in ranked[:limit] if predictions[number].category in known]
    found: dict[int, list[int]] = {}
    for number in ranked:
        found.setdefault(predictions[number].category, []).append(number)
    return {category: numbers[:limit] for category, numbers in found.items()}


def _slices(positions: Mapping[int, list[int]], categories: Sequence[int]) -> dict[int, slice]:
    """Where the masks of each category are if they stand one after the other."""
    stops = list(accumulate((len(positions[category]) for category in categories), initial=0))
    return {category: slice(*bounds) for category, bounds in zip(categories, pairwise(stops), strict=True)}


def _rows(table: CategoryOverlaps, found: Sequence[int]) -> DoubleArray:
    """The rows of the given predicted masks, in their order: (D, G)."""
    place = {number: row for row, number in enumerate(table.found)}
    return table.iou[[place[number] for number in found]]


def _outside(segments: Sequence[ScoredMask] | Sequence[TruthMask]) -> BoolArray:
    """Whether masks lie outside each size range: (A, number of masks)."""
    areas = np.array([segment.sorting_area for segment in segments], dtype=np.float64)
    low, high = np.array(AREAS).T[:, :, None]
    outside: BoolArray = (areas < low) | (areas > high)
    return outside


def _with_boundaries(masks: _CountedMasks, dilation_ratio: float) -> DoubleArray:
    """The smaller of mask IoU and boundary IoU, (D, G); pairs that cannot match keep their mask IoU."""
    least: DoubleArray = masks.iou.copy()
    pairs = np.argwhere((masks.iou >= min(IOU_THRESHOLDS)) & ~masks.crowd[None]).tolist()
    if pairs:
        width = band_width(dilation_ratio, masks.predictions[0].mask.size)
        found_bands = {d: _band(masks.predictions[d].mask, width) for d in {d for d, _ in pairs}}
        true_bands = {g: _band(masks.truths[g].mask, width) for g in {g for _, g in pairs}}
        for d, g in pairs:
            least[d, g] = min(least[d, g], found_bands[d].iou(true_bands[g]))
    return least


def _band(mask: Mask, width: int) -> Mask:
    return Mask(mask.size, mask.box, boundary_band(mask.crop, width))


class CocoEvaluator(Evaluator[CocoTruth, CocoComparison, list[CocoRecord]]):
    """AP, boundary AP and AF; the sums are small records of the images."""

    applicable = frozenset({"metrics", "max_detections", "tolerance", "dilation_ratio"})

    def __init__(self, settings: EvaluateSettings, categories: Sequence[CategoryRecord]) -> None:
        self._settings = settings
        distinct = {category.id: category for category in categories}
        self._categories = [distinct[number] for number in sorted(distinct)]
        self._names = {category.id: category.name for category in self._categories}

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> CocoEvaluator:  # noqa: ARG003
        """Check that every category is known."""
        return cls(settings, categories_of(sets, settings.allow_missing))

    def read_truth(self, truth: PredictionSet, pair: Pair) -> CocoTruth:
        """The ground-truth masks of an image."""
        masks = read_truths(truth, pair.truth)
        size = pair.size or (masks[0].mask.size if masks else (1, 1))
        return CocoTruth(size, masks, truth.searched(pair.key))

    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: CocoTruth) -> CocoComparison:
        """The predicted masks of an image."""
        predictions = read_scored(scored, item)
        check_segments(pair.key, predictions, truth.masks)
        return CocoComparison.of(predictions, truth)

    def measure(self, pair: Pair, comparison: CocoComparison) -> Measured[list[CocoRecord]]:
        """The record of one image, and all true masks except crowds."""
        record = record_of(pair.key, comparison, list(self._names), self._settings)
        return Measured([record], comparison.best_ious(self._names))

    def oracle(self, comparison: CocoComparison, distance: int) -> CocoComparison:
        """The predicted masks, corrected near their boundaries."""
        truth = CocoTruth(comparison.size, comparison.truths, comparison.searched)
        return CocoComparison.of(comparison.corrected(distance), truth)

    def tables(self, total: list[CocoRecord]) -> Tables:
        """AP, boundary AP and AF: means over all categories, of each category, and by size."""
        return coco_tables(total, self._categories, self._settings.metrics)

    def layer(self, comparison: CocoComparison) -> Layer:
        """The masks, numbered like their counterparts."""
        return comparison.layer(self._names)

    def truth_layer(self, truth: CocoTruth) -> Layer:
        """The masks, numbered from 1 in the order of the file."""
        return drawn([(segment, number) for number, segment in enumerate(truth.masks, 1)], truth.size, self._names)
