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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpr_cli.evaluation.boundary import band_width, boundary_band
from bpr_cli.evaluation.coco_matching import NO_PARTNER, Outcome, match_masks, outcomes_of, sum_boundary_f
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
from bpr_cli.typing import BoolArray, DoubleArray, Size

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
        settings: only ``max_detections``, ``tolerance`` and ``dilation_ratio`` are used.
    """
    searched, limit = comparison.searched, settings.max_detections or COCO_DETECTIONS
    true = positions_by_category(comparison.truths)
    ranked = _ranked(comparison.predictions)
    if searched:
        known = searched.absent.union(true)
        ranked = [number for number in ranked[:limit] if comparison.predictions[number].category in known]
    incomplete = searched.incomplete if searched else frozenset()
    found: dict[int, list[int]] = {}
    for number in ranked:
        found.setdefault(comparison.predictions[number].category, []).append(number)
    parts = [
        _record_category(
            _Category.of(comparison, category, found.get(category, [])[:limit], true.get(category, [])),
            settings,
            complete=category not in incomplete,
        )
        for category in categories
        if category in found or category in true
    ]
    return CocoRecord.joined(image, parts)


def _ranked(predictions: Sequence[ScoredMask]) -> list[int]:
    """Positions of the predictions, the best first; equal scores keep their order."""
    return sorted(range(len(predictions)), key=lambda number: -predictions[number].score)


@dataclass(frozen=True)
class _Category:
    """The masks of one category in one image, with everything that matching needs.

    Attributes:
        predictions: D predicted masks, the best first.
        truths: G true masks.
        iou: float64, (D, G), IoU of every pair.
        crowd: bool, (G,), whether a true mask is a crowd.
        ignored: bool, (A, G), whether a true mask does not count in a size range.
        outside: bool, (A, D), whether a predicted mask lies outside a size range.
    """

    predictions: list[ScoredMask]
    truths: list[TruthMask]
    iou: DoubleArray
    crowd: BoolArray
    ignored: BoolArray
    outside: BoolArray

    @classmethod
    def of(cls, comparison: CocoComparison, category: int, found: list[int], true: list[int]) -> _Category:
        predictions = [comparison.predictions[number] for number in found]
        truths = [comparison.truths[number] for number in true]
        table = comparison.overlaps.get(category)
        iou = _rows(table, found) if table else np.zeros((len(found), len(true)))
        crowd = np.array([segment.crowd for segment in truths], dtype=bool)
        ignored = crowd | np.array([segment.ignore for segment in truths], dtype=bool)
        return cls(predictions, truths, iou, crowd, ignored | _outside(truths), _outside(predictions))


def _rows(table: CategoryOverlaps, found: Sequence[int]) -> DoubleArray:
    """The rows of the given predicted masks, in their order: (D, G)."""
    place = {number: row for row, number in enumerate(table.found)}
    return table.iou[[place[number] for number in found]]


def _outside(segments: Sequence[ScoredMask] | Sequence[TruthMask]) -> BoolArray:
    """Whether masks lie outside each size range: (A, number of masks)."""
    areas = np.array([segment.sorting_area for segment in segments], dtype=np.float64)
    return np.stack([(areas < low) | (areas > high) for low, high in AREAS])


def _record_category(masks: _Category, settings: EvaluateSettings, *, complete: bool) -> CocoRecord:
    """The record of one category; ``complete`` if all its objects in the image are annotated."""
    by_boundary = _with_boundaries(masks, settings.dilation_ratio)
    matched = [match_masks(iou, masks.crowd, masks.ignored, IOU_THRESHOLDS) for iou in (masks.iou, by_boundary)]
    partners = np.stack(matched, axis=1)
    excused = masks.outside if complete else np.ones_like(masks.outside)
    outcomes = outcomes_of(partners, masks.ignored, excused)
    pairs = np.where(outcomes[:, 0, 0] == Outcome.TRUE, partners[:, 0, 0], NO_PARTNER)
    found, true = [segment.mask for segment in masks.predictions], [segment.mask for segment in masks.truths]
    sums, counts = sum_boundary_f(found, true, pairs, settings.tolerance)
    known = slice(0, 1 if true else 0)
    return CocoRecord(
        "",
        np.array([segment.category for segment in masks.predictions], dtype=np.int64),
        np.array([segment.score for segment in masks.predictions], dtype=np.float64),
        outcomes,
        np.array([segment.category for segment in masks.truths[:1]], dtype=np.int64),
        np.count_nonzero(~masks.ignored, axis=1)[None][known],
        sums[None][known],
        counts[None][known],
    )


def _with_boundaries(masks: _Category, dilation_ratio: float) -> DoubleArray:
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

    applicable = frozenset({"max_detections", "tolerance", "dilation_ratio"})

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
        return coco_tables(total, self._categories)

    def layer(self, comparison: CocoComparison) -> Layer:
        """The masks, numbered like their counterparts."""
        return comparison.layer(self._names)

    def truth_layer(self, truth: CocoTruth) -> Layer:
        """The masks, numbered from 1 in the order of the file."""
        return drawn([(segment, number) for number, segment in enumerate(truth.masks, 1)], truth.size, self._names)
