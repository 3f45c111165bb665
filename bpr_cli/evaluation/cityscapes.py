"""Instance metrics of the Cityscapes benchmark: average precision, boundary AP, and AF with its matching.

AP equals that of ``cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling`` (Cordts et al., CVPR 2016), without
its distances. It differs from COCO AP:
- An overlap must exceed the threshold.
- If several predictions match an instance, the one with the best score counts, even if another fits better.
- Predictions that lie mostly in void, groups or instances too small to count are dropped.
- The number of predictions is not limited.
- Precision is not smoothed before the integration.

If a class has ground truth but all its predictions are dropped, the official script stops with an IndexError. Here its
AP is 0, like that of a class without predictions.

Boundary AP replaces IoU by the smaller of IoU and boundary IoU, as boundary-iou-api does (Cheng et al., CVPR 2021),
with bands of half a percent of the diagonal. The same rules drop predictions, but only groups and small instances count
whose band the prediction's own band touches.

Every image becomes a small record without masks. The metrics are computed from all records, in any order.

Shape letters: K classes, V measures (mask, and boundary if it is measured), D predicted masks, G instances, T IoU
thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.boundary import band_width
from bpr_cli.evaluation.cityscapes_matching import CLASSES, OVERLAPS, CityscapesComparison, InstanceMap, match_class
from bpr_cli.evaluation.coco_matching import NO_PARTNER, Outcome, Outcomes, boundary_f_by_category, sum_boundary_f
from bpr_cli.evaluation.evaluator import Evaluator, Measured, mean_of_defined
from bpr_cli.evaluation.instances import (
    ImageKey,
    drawn,
    read_scored,
)
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.evaluation.report.model import Row, Tables, metrics_of
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.truth.label_sets import INSTANCE_TRAIN_IDS
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import DoubleArray, IntArray


@dataclass(frozen=True)
class CityscapesRecord:
    """The contribution of one image to the metrics.

    Attributes:
        image: key of the image.
        categories: int64, (D,), label id of every non-empty prediction.
        scores: float64, (D,), confidence scores.
        outcomes: ``Outcome`` values as uint8, (V, D, T).
        truths: int64, (K,), number of counted instances, in the order of ``CLASSES``.
        f_sums: float64, (K, T), sum of boundary F over the pairs of masks.
        f_pairs: int64, (K, T), number of these pairs.
    """

    image: ImageKey
    categories: IntArray
    scores: DoubleArray
    outcomes: Outcomes
    truths: IntArray
    f_sums: DoubleArray
    f_pairs: IntArray


def record_of(image: ImageKey, comparison: CityscapesComparison, tolerance: float | None) -> CityscapesRecord:
    """The record of one image.

    Args:
        image: key of the image.
        comparison: masks of the image.
        tolerance: tolerance of AF in pixels; below 1, a fraction of the image diagonal; None measures no AF.
    """
    frame, predictions = comparison.frame, comparison.predictions
    shape = (len(CLASSES), len(OVERLAPS))
    truths = np.array([np.count_nonzero(frame.instances_of(label).counts) for label in CLASSES], dtype=np.int64)
    f_sums, f_pairs = np.zeros(shape), np.zeros(shape, np.int64)
    measures = (False, True) if comparison.has_bands else (False,)
    outcomes: list[dict[int, Outcomes]] = [{} for _ in measures]
    for k, label in enumerate(CLASSES):
        if label not in comparison.classes:
            continue
        table = comparison.classes[label]
        scores = np.array([predictions[number].score for number in table.found])
        matched = [match_class(table, scores, boundary) for boundary in measures]
        for known, (found, _) in zip(outcomes, matched, strict=True):
            known |= dict(zip(table.found, found, strict=True))
        if tolerance is None:
            continue
        pairs, ids = matched[0][1], table.instances.ids
        true = {g: frame.mask_of(int(ids[g])) for g in np.unique(pairs[pairs != NO_PARTNER]).tolist()}
        masks = [predictions[number].mask for number in table.found]
        f_sums[k], f_pairs[k] = sum_boundary_f(masks, true, pairs, tolerance)
    order = sorted(outcomes[0])
    return CityscapesRecord(
        image,
        np.array([predictions[number].category for number in order], dtype=np.int64),
        np.array([predictions[number].score for number in order], dtype=np.float64),
        np.array([[known[number] for number in order] for known in outcomes], dtype=np.uint8).reshape(
            len(measures), -1, len(OVERLAPS)
        ),
        truths,
        f_sums,
        f_pairs,
    )


def precision_of(records: Sequence[CityscapesRecord], measure: int = 0) -> DoubleArray:
    """AP of every class and threshold over all images, 0 to 1, NaN without ground truth: float64, (K, T).

    Args:
        records: one record per image, in any order.
        measure: place of the measure in the outcomes: 0 for masks, 1 for boundaries.

    Raises:
        BprError: an image has two records.
    """
    keys = [record.image for record in records]
    if len(set(keys)) < len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise BprError(f"image {repeated!r} has more than one record, expected one")
    categories = np.concatenate([np.zeros(0, np.int64), *(record.categories for record in records)])
    scores = np.concatenate([np.zeros(0), *(record.scores for record in records)])
    outcomes = np.concatenate(
        [np.zeros((0, len(OVERLAPS)), np.uint8), *(record.outcomes[measure] for record in records)]
    )
    truths = sum((record.truths for record in records), np.zeros(len(CLASSES), np.int64))
    precision = np.full((len(CLASSES), len(OVERLAPS)), np.nan)
    for k, label in enumerate(CLASSES):
        mine = categories == label
        for t in range(len(OVERLAPS)):
            precision[k, t] = _average_precision(scores[mine], outcomes[mine, t], int(truths[k]))
    return precision


def _average_precision(scores: DoubleArray, outcomes: Outcomes, truths: int) -> float:
    """AP of one class at one threshold: precision at every distinct score, integrated over recall.

    As in the official script, each precision is weighted with half the recall between its two neighbours. The curve
    ends at recall 0 with precision 1, and its first point is repeated.

    Returns:
        AP from 0 to 1, or NaN without ground truth.
    """
    if not truths:
        return float("nan")
    kept = outcomes != Outcome.IGNORED
    if not kept.any():
        return 0.0
    order = np.argsort(-scores[kept], kind="stable")
    ranked, found = scores[kept][order], np.cumsum(outcomes[kept][order] == Outcome.TRUE)
    # Predictions with equal scores count together.
    last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    precision = np.concatenate([[1.0], found[last] / (last + 1)])
    recall = np.concatenate([[0.0, 0.0], found[last] / truths, found[last[-1:]] / truths])
    return float(np.dot(precision, (recall[2:] - recall[:-2]) / 2))


class CityscapesEvaluator(Evaluator[InstanceMap, CityscapesComparison, list[CityscapesRecord]]):
    """AP and AF on maps of instance ids; the sums are small records of the images."""

    applicable = frozenset({"metrics", "tolerance", "dilation_ratio"})
    usual_ratio = 0.005  # the default of boundary-iou-api for Cityscapes

    def __init__(self, settings: EvaluateSettings) -> None:
        self._tolerance = settings.tolerance if "af" in settings.metrics else None
        self._ratio = settings.band_ratio(self.usual_ratio) if "boundary-ap" in settings.metrics else None

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> CityscapesEvaluator:  # noqa: ARG003
        """Check that results use labelIds; with trainIds, no class would be measured."""
        for scored in sets.scored:
            # In reverse order, so that the message names the first file with a label.
            used = {record.category: item for item in reversed(scored.items) for record in scored.records(item)}
            if used and used.keys() <= INSTANCE_TRAIN_IDS:
                raise BprError(
                    f"{scored.file(used[min(used)])} holds the label {min(used)} and looks like trainIds (labels "
                    f"{join_names(sorted(used), limit=6)}), expected labelIds such as 26 for car; convert the labels"
                )
        return cls(settings)

    def read_truth(self, truth: PredictionSet, pair: Pair) -> InstanceMap:
        """The instances of an image."""
        read = truth.read(pair.truth) if pair.truth else None
        if not isinstance(read, LabelMap):
            raise BprError(f"{pair.name} has no map of instance ids")
        return InstanceMap.of(read.labels)

    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: InstanceMap) -> CityscapesComparison:
        """The predicted masks of an image."""
        return CityscapesComparison.of(pair.key, read_scored(scored, item), truth, self._band(truth))

    def _band(self, truth: InstanceMap) -> int | None:
        """Width of the bands in pixels; None if boundary AP is not measured."""
        return None if self._ratio is None else band_width(self._ratio, truth.size)

    def measure(self, pair: Pair, comparison: CityscapesComparison) -> Measured[list[CityscapesRecord]]:
        """The record of one image, and all instances of the evaluated classes."""
        return Measured([record_of(pair.key, comparison, self._tolerance)], comparison.best_ious(CLASSES))

    def oracle(self, comparison: CityscapesComparison, distance: int) -> CityscapesComparison:
        """The predicted masks, corrected near their boundaries."""
        frame = comparison.frame
        return CityscapesComparison.of("", comparison.corrected(distance), frame, self._band(frame))

    def tables(self, total: list[CityscapesRecord]) -> Tables:
        """AP, AP50, boundary AP and AF: means over all classes, and of each class."""
        measured = [precision_of(total, measure) for measure in range(1 if self._ratio is None else 2)]
        scores: dict[str, DoubleArray] = {"AP": measured[0], "AP50": measured[0][:, 0]}
        if self._ratio is not None:
            scores["boundary AP"] = measured[1]
        if self._tolerance is not None:
            scores["AF"] = _boundary_f(total)
        means = {name: mean_of_defined(np.ravel(values)) for name, values in scores.items()}
        rows = [{name: float(np.mean(values[k])) for name, values in scores.items()} for k in range(len(CLASSES))]
        return Tables(metrics_of(means), tuple(map(Row.of, CLASSES.values(), rows)))

    def layer(self, comparison: CityscapesComparison) -> Layer:
        """The masks, numbered like their counterparts."""
        return comparison.layer(CLASSES)

    def truth_layer(self, truth: InstanceMap) -> Layer:
        """The instances, numbered from 1 by ascending id."""
        return drawn([(segment, number) for number, segment in enumerate(truth.truths, 1)], truth.size, CLASSES)


def _boundary_f(records: Sequence[CityscapesRecord]) -> DoubleArray:
    """AF of every class, 0 to 1, NaN without pairs of masks: float64, (K,)."""
    shape = (len(CLASSES), len(OVERLAPS))
    f_sums = sum((record.f_sums for record in records), np.zeros(shape))
    f_pairs = sum((record.f_pairs for record in records), np.zeros(shape, np.int64))
    return np.asarray(boundary_f_by_category(f_sums, f_pairs))
