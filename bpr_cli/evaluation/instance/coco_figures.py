"""Figures of all images from the records that ``update_image`` makes.

Shape letters: K categories, D predicted masks, A size ranges, T IoU thresholds, R recall steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.evaluation.instance.boundary_f import BoundaryFTable, average_boundary_f, mean_of_defined
from bpr_cli.evaluation.instance.coco import MEASURES, SIZES, CocoRecord, CocoSettings
from bpr_cli.evaluation.instance.matching import Outcome, Outcomes
from bpr_cli.evaluation.instance.overlaps import Floats, Ints

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class ApFigures:
    """Average precision of one category or the mean over categories, 0 to 1; NaN (-1 in pycocotools) without truths.

    ``ap`` is the mean over all IoU thresholds, as are those of small (up to 32 x 32 pixels), medium (up to 96 x 96) and
    large masks; the others are at one threshold, and NaN if that is not among the thresholds.
    """

    ap: float
    ap50: float
    ap75: float
    ap90: float
    ap_small: float
    ap_medium: float
    ap_large: float


@dataclass(frozen=True)
class ApTable:
    """Average precision over all categories and of every one.

    Attributes:
        overall: mean over the categories with ground truth.
        per_category: by category id.
        precision: (T, R, K, A), precision at recall 0, 0.01 .. 1, -1 without truths: the curves, as pycocotools has
            them.
    """

    overall: ApFigures
    per_category: dict[int, ApFigures]
    precision: Floats


@dataclass(frozen=True)
class CocoFigures:
    """All figures of a set of instances.

    Attributes:
        mask: AP.
        boundary: boundary AP.
        boundary_f: AF.
    """

    mask: ApTable
    boundary: ApTable
    boundary_f: BoundaryFTable


def coco_figures(records: Iterable[CocoRecord], settings: CocoSettings) -> CocoFigures:
    """The figures of all images.

    Args:
        records: of every image once, in any order.
        settings: those the records were made with.

    Raises:
        BprError: two records are of the same image, or their keys are of different kinds.
    """
    columns = _Columns.of(in_order(records), settings)
    mask, boundary = (_ap_table(columns, v, settings) for v in range(len(MEASURES)))
    return CocoFigures(mask, boundary, average_boundary_f(settings.categories, columns.f_sums, columns.f_pairs))


def in_order(records: Iterable[CocoRecord]) -> list[CocoRecord]:
    """The records in the order of their image keys, which decides between predictions of equal score."""
    given = list(records)
    kinds = sorted({type(record.image).__name__ for record in given})
    if len(kinds) > 1:
        raise BprError(f"image keys must be all numbers or all texts, got {' and '.join(kinds)}")
    ordered = sorted(given, key=lambda record: record.image)
    for before, after in pairwise(ordered):
        if before.image == after.image:
            raise BprError(f"image {after.image!r} has more than one record, expected one")
    return ordered


@dataclass(frozen=True)
class _Columns:
    """All records as one; the attributes are those of ``CocoRecord``, but with a row for each of the K categories.

    Attributes:
        scores: (D,), by category in the order of the settings, then image, then as in the record.
        outcomes: (D, V, A, T).
        bounds: (K + 1,), where the predictions of a category start; the last is D.
        truths: (K, A).
        f_sums: (K, T).
        f_pairs: (K, T).
    """

    scores: Floats
    outcomes: Outcomes
    bounds: Ints
    truths: Ints
    f_sums: Floats
    f_pairs: Ints

    @classmethod
    def of(cls, records: Sequence[CocoRecord], settings: CocoSettings) -> _Columns:
        k, a, t = len(settings.categories), len(SIZES), len(settings.thresholds)
        rows = {category: row for row, category in enumerate(settings.categories)}
        truths, f_sums, f_pairs = np.zeros((k, a), np.int64), np.zeros((k, t)), np.zeros((k, t), np.int64)
        for record in records:
            at = [rows[category] for category in record.true_categories.tolist()]
            truths[at] += record.truths
            f_sums[at] += record.f_sums
            f_pairs[at] += record.f_pairs
        row_of = [rows[category] for record in records for category in record.categories.tolist()]
        order = np.argsort(row_of, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(np.array(row_of, dtype=np.int64), minlength=k))])
        scores = np.concatenate([np.zeros(0), *(record.scores for record in records)])
        none = np.zeros((0, len(MEASURES), a, t), np.uint8)
        outcomes = np.concatenate([none, *(record.outcomes for record in records)])
        return cls(scores[order], outcomes[order], bounds.astype(np.int64), truths, f_sums, f_pairs)


def _ap_table(columns: _Columns, v: int, settings: CocoSettings) -> ApTable:
    """AP under one measure, given by its index."""
    precision = np.full((len(settings.thresholds), len(RECALLS), len(settings.categories), len(SIZES)), -1.0)
    for k in range(len(settings.categories)):
        rows = slice(columns.bounds[k], columns.bounds[k + 1])
        precision[:, :, k] = _precision(columns.scores[rows], columns.outcomes[rows, v], columns.truths[k])
    per_category = {
        category: _ap_figures(precision[:, :, k : k + 1], settings) for k, category in enumerate(settings.categories)
    }
    return ApTable(_ap_figures(precision, settings), per_category, precision)


def _precision(scores: Floats, outcomes: Outcomes, truths: Ints) -> Floats:
    """Precision at every recall of one category, (T, R, A); -1 without true masks.

    The highest precision at this recall or any larger one, 0 where the recall is never reached. The steps are those
    of ``COCOeval.accumulate``, taken for all thresholds and sizes at once; that goes through every prediction in
    plain loops and prints.
    """
    ranked = outcomes[np.argsort(-scores, kind="stable")]
    found = np.cumsum(ranked == Outcome.TRUE, axis=0).astype(np.float64)
    false = np.cumsum(ranked == Outcome.FALSE, axis=0).astype(np.float64)
    recall = found / np.maximum(truths, 1)[:, None]
    highest = np.maximum.accumulate((found / (false + found + np.spacing(1)))[::-1], axis=0)[::-1]
    highest = np.concatenate([highest, np.zeros((1, *highest.shape[1:]))])
    precision = np.full((ranked.shape[2], len(RECALLS), ranked.shape[1]), -1.0)
    for a in np.flatnonzero(truths):
        for t in range(ranked.shape[2]):
            precision[t, :, a] = highest[np.searchsorted(recall[:, a, t], RECALLS), a, t]
    return precision


def _ap_figures(precision: Floats, settings: CocoSettings) -> ApFigures:
    """Means of (T, R, K, A) precision over all that is defined, as pycocotools summarizes it."""
    defined = np.where(precision > -1, precision, np.nan)

    def at(threshold: float) -> float:
        chosen = [math.isclose(threshold, known) for known in settings.thresholds]
        return mean_of_defined(defined[chosen][..., 0])

    sizes = [mean_of_defined(defined[..., a]) for a in range(len(SIZES))]
    return ApFigures(sizes[0], at(0.5), at(0.75), at(0.9), *sizes[1:])
