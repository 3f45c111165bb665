"""Average precision of the COCO benchmark over all images, computed from small records of single images.

It follows ``pycocotools.cocoeval.COCOeval.accumulate`` and ``summarize``.

Shape letters: K categories, D predicted masks, V measures (mask, boundary), A size ranges, T IoU thresholds, R recall
steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.evaluation.coco_matching import Outcome, Outcomes, boundary_f_by_category
from bpr_cli.evaluation.evaluator import mean_of_defined
from bpr_cli.evaluation.instances import ImageKey
from bpr_cli.evaluation.report.model import Curve, Row, Tables, metrics_of
from bpr_cli.evaluation.settings import EvaluateSettings, InstanceMetric
from bpr_cli.formats.records import CategoryRecord
from bpr_cli.typing import DoubleArray, IntArray

IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""0.5, 0.55 .. 0.95, bit for bit as in pycocotools."""

RECALLS = np.linspace(0, 1, 101)

MEASURES: dict[InstanceMetric, str] = {"ap": "", "boundary-ap": "boundary "}
"""The metrics of each measure of overlap, mask and boundary, with the prefix of their names."""

SIZES = ("all", "small", "medium", "large")
AREAS = ((0.0, 1e5**2), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e5**2))  # areas in pixels, both ends included

_AT = {"AP50": 0.5, "AP75": 0.75, "AP90": 0.9}
_SUMMARY = ("AP", "AP50", "AP75", "AP90", "boundary AP", "boundary AP50", "boundary AP75", "AF")
_CLASS = ("AP", "AP50", "AP75", "AP90", "boundary AP", "AF")
_CLASS_SIZES = tuple(f"{prefix}AP {size}" for prefix in MEASURES.values() for size in SIZES[1:])
_FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}  # frequencies of LVIS categories


@dataclass(frozen=True)
class CocoRecord:
    """The contribution of one image with C annotated categories; predictions are sorted by category, the best first.

    Attributes:
        image: key of the image.
        categories: int64, (D,), category of every prediction.
        scores: float64, (D,), confidence scores.
        outcomes: ``Outcome`` values as uint8, (D, V, A, T); without boundary AP, V is 1.
        true_categories: int64, (C,), the categories with ground truth.
        truths: int64, (C, A), number of counted true masks.
        f_sums: float64, (C, T), sum of boundary F over the pairs of masks.
        f_pairs: int64, (C, T), number of these pairs.
    """

    image: ImageKey
    categories: IntArray
    scores: DoubleArray
    outcomes: Outcomes
    true_categories: IntArray
    truths: IntArray
    f_sums: DoubleArray
    f_pairs: IntArray


def coco_tables(
    records: Sequence[CocoRecord],
    categories: Sequence[CategoryRecord],
    metrics: Sequence[InstanceMetric] = EvaluateSettings().metrics,
) -> Tables:
    """The metrics of all images.

    Args:
        records: one record per image, in any order.
        categories: the counted categories by ascending id.
        metrics: what to show, as far as the records hold it.

    Raises:
        BprError: an image has two records, or some image keys are numbers and others text.
    """
    columns = Columns.of(records, [category.id for category in categories])
    measured = [(v, prefix) for v, (metric, prefix) in enumerate(MEASURES.items()) if metric in metrics]
    precision = {prefix: columns.precision(v) for v, prefix in measured}
    boundary_f = boundary_f_by_category(columns.f_sums, columns.f_pairs)
    by_class = [
        average_precision({prefix: table[:, :, k : k + 1] for prefix, table in precision.items()})
        | ({"AF": boundary_f[k]} if "af" in metrics else {})
        for k in range(len(categories))
    ]
    overall = average_precision(precision)
    if "af" in metrics:
        overall["AF"] = mean_of_defined(np.array(boundary_f))
    rows = [_chosen(scores, _CLASS) for scores in by_class]
    names = [category.name for category in categories]
    return Tables(
        metrics_of(_chosen(overall, _SUMMARY)),
        tuple(Row.of(name, row) for name, row in zip(names, rows, strict=True)),
        _groups(rows, categories),
        tuple(
            Row.of(size, {f"{prefix}AP": overall[f"{prefix}AP {size}"] for prefix in precision})
            for size in (SIZES[1:] if precision else ())
        ),
        tuple(
            Row.of(name, _chosen(scores, _CLASS_SIZES))
            for name, scores in zip(names if precision else (), by_class if precision else (), strict=True)
        ),
        curves=tuple(curve for prefix, table in precision.items() for curve in _curves(prefix, table)),
    )


def average_precision(precision: Mapping[str, DoubleArray]) -> dict[str, float]:
    """Means over all defined values, as in pycocotools; NaN without ground truth (-1 in pycocotools).

    Args:
        precision: (T, R, K, A) of every measure by the prefix of its metrics; -1 without ground truth.

    Returns:
        AP over all thresholds, AP at 0.5, 0.75 and 0.9, and AP of small, medium and large masks, from 0 to 1.
    """
    scores = {}
    for prefix, table in precision.items():
        defined = np.where(table > -1, table, np.nan)
        scores[f"{prefix}AP"] = mean_of_defined(defined[..., 0])
        for name, threshold in _AT.items():
            scores[f"{prefix}{name}"] = mean_of_defined(defined[_position(threshold), ..., 0])
        for a, size in enumerate(SIZES[1:], 1):
            scores[f"{prefix}AP {size}"] = mean_of_defined(defined[..., a])
    return scores


def _position(threshold: float) -> int:
    return next(t for t, known in enumerate(IOU_THRESHOLDS) if math.isclose(threshold, known))


def _chosen(scores: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: scores[name] for name in names if name in scores}


def _groups(rows: Sequence[Mapping[str, float]], categories: Sequence[CategoryRecord]) -> tuple[Row, ...]:
    """Means over the rare, common and frequent categories of LVIS; empty if no category has a frequency."""
    groups = []
    for letter, name in _FREQUENCIES.items():
        of_group = [row for row, category in zip(rows, categories, strict=True) if category.frequency == letter]
        if of_group:
            means = {metric: mean_of_defined(np.array([row[metric] for row in of_group])) for metric in rows[0]}
            groups.append(Row.of(name, means))
    return tuple(groups)


def _curves(prefix: str, precision: DoubleArray) -> list[Curve]:
    """Precision-recall curves at some thresholds: means over the categories with ground truth."""
    curves = []
    recall = tuple(np.linspace(0, 100, len(RECALLS)).tolist())
    for threshold in _AT.values():
        at = precision[_position(threshold), :, :, 0]
        known = at[:, (at >= 0).all(axis=0)]
        if known.size:
            means = known.mean(axis=1).tolist()
            curves.append(Curve(f"{prefix}IoU {threshold:.2f}", recall, tuple(100 * value for value in means)))
    return curves


def _in_order(records: Sequence[CocoRecord]) -> list[CocoRecord]:
    """The records sorted by image key; this order breaks ties between equal scores."""
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
class Columns:
    """All records as one: the attributes of ``CocoRecord``, with a row for each of the K categories.

    Attributes:
        scores: (D,), sorted by category in the given order, then by image, then as in the record.
        outcomes: (D, V, A, T).
        bounds: (K + 1,), index of the first prediction of each category; the last entry is D.
        truths: (K, A).
        f_sums: (K, T).
        f_pairs: (K, T).
    """

    scores: DoubleArray
    outcomes: Outcomes
    bounds: IntArray
    truths: IntArray
    f_sums: DoubleArray
    f_pairs: IntArray

    @classmethod
    def of(cls, records: Sequence[CocoRecord], categories: Sequence[int]) -> Columns:
        """Merge the records of all images.

        Raises:
            BprError: an image has two records, or some image keys are numbers and others text.
        """
        records = _in_order(records)
        k, a, t = len(categories), len(SIZES), len(IOU_THRESHOLDS)
        rows = {category: row for row, category in enumerate(categories)}
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
        outcomes = np.concatenate([record.outcomes for record in records] or [none])
        return cls(scores[order], outcomes[order], bounds.astype(np.int64), truths, f_sums, f_pairs)

    def precision(self, v: int) -> DoubleArray:
        """Precision at every recall for measure number ``v``: (T, R, K, A), -1 without ground truth."""
        precision = np.full((len(IOU_THRESHOLDS), len(RECALLS), len(self.truths), len(SIZES)), -1.0)
        for k in range(len(self.truths)):
            rows = slice(self.bounds[k], self.bounds[k + 1])
            precision[:, :, k] = _precision(self.scores[rows], self.outcomes[rows, v], self.truths[k])
        return precision


def _precision(scores: DoubleArray, outcomes: Outcomes, truths: IntArray) -> DoubleArray:
    """Precision at every recall of one category, (T, R, A); -1 without true masks.

    It is the highest precision at this recall or a larger one, and 0 if the recall is never reached. The steps are
    those of ``COCOeval.accumulate``, vectorised over all thresholds and sizes.
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
