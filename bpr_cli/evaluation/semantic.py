"""Metrics of semantic segmentation: IoU per class and mIoU, boundary F per class and AF, boundary IoU per class.

Conventions
- IoU follows the Cityscapes benchmark (``evalPixelLevelSemanticLabeling``): one confusion matrix is pooled over all
  images. Pixels whose true label is void are left out. A pixel predicted as void counts only against its true class. A
  class that only the predictions hold has IoU 0, as in mmsegmentation, torchmetrics and the Cityscapes script. A class
  that occurs neither in ground truth nor in predictions has no IoU (NaN) and is left out of the mean.
- Without a label set, every label that occurs and is not void is a class.
- Boundary F follows GSCNN and SegFix: pixels whose true label is void are background in both maps. Every image and
  class has one F-score (``boundary_f``); a class absent from both maps scores 1. The scores are averaged over images,
  and AF is the mean over classes.
- Boundary IoU has no reference for label maps. Here, the bands (Cheng et al., CVPR 2021) of the masks of each class are
  pooled over all images as for IoU, with background as for boundary F. It is not combined with IoU by the minimum,
  which Cheng et al. use for matching only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.evaluator import Evaluator, Measured, SegmentIou, mean_of_defined
from bpr_cli.evaluation.oracle import oracle_labels
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.evaluation.report.model import Row, Tables, metrics_of
from bpr_cli.evaluation.semantic_sums import LABEL_LIMIT, SemanticSums, semantic_sums
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.masks.runs import values_of
from bpr_cli.truth.label_sets import VOID, LabelSet, check_labels, choose_label_set, reduce_zero_label
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import IntArray, LabelArray


@dataclass(frozen=True, eq=False)
class LabelPair:
    """The label maps of one image: int32, (H, W) both."""

    prediction: LabelArray
    truth: LabelArray


class SemanticEvaluator(Evaluator[LabelArray, LabelPair, SemanticSums]):
    """IoU, boundary F and boundary IoU of every class, and their means."""

    applicable = frozenset(
        {"label_set", "ignore_labels", "reduce_zero_label", "tolerance", "boundary_f_at", "dilation_ratio"}
    )

    def __init__(self, settings: EvaluateSettings, labels: LabelSet) -> None:
        outside = [label for label in (*labels.names, *labels.ignore) if not 0 <= label < LABEL_LIMIT]
        if outside:
            raise BprError(f"the label {outside[0]} is not a whole number from 0 to {LABEL_LIMIT - 1}")
        self._settings, self._labels, self.label_set = settings, labels, labels.name

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> SemanticEvaluator:
        """Find the label set, and check that predictions and ground truth use it."""
        labels = choose_label_set(settings.label_set, settings.ignore_labels, sets.truth)
        if settings.reduce_zero_label:
            return cls(settings, replace(labels, ignore=labels.ignore | {VOID}))
        found = [(pair.prediction, pair.truth) for pair in pairs if pair.prediction and pair.truth]
        check_labels(labels, sets.predictions, sets.truth, found)
        for number, baseline in enumerate(sets.baselines):
            before = [(pair.baselines[number], pair.truth) for pair in pairs]
            check_labels(labels, baseline, sets.truth, [(item, true) for item, true in before if item and true])
        return cls(settings, labels)

    def read_truth(self, truth: PredictionSet, pair: Pair) -> LabelArray:
        """The ground-truth labels of an image: int32, (H, W)."""
        labels = _read_labels(truth, pair.truth, pair)
        return reduce_zero_label(labels, self._labels.ignore) if self._settings.reduce_zero_label else labels

    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: LabelArray) -> LabelPair:
        """The labels of an image."""
        return LabelPair(_read_labels(scored, item, pair), truth)

    def measure(self, pair: Pair, comparison: LabelPair) -> Measured[SemanticSums]:  # noqa: ARG002
        """The sums of one image, and all classes in its ground truth; void pixels are left out."""
        sums = semantic_sums(comparison.prediction, comparison.truth, self._labels, self._settings)
        names, shares = [self._name(label) for label in sums.labels.tolist()], sums.iou
        held = np.flatnonzero(sums.true_pixels).tolist()
        labels = sums.labels.tolist()
        return Measured(sums, [SegmentIou(names[place], float(shares[place]), labels[place] + 1) for place in held])

    def oracle(self, comparison: LabelPair, distance: int) -> LabelPair:
        """The predicted labels, corrected near their boundaries."""
        right = oracle_labels(comparison.prediction, comparison.truth, self._labels.ignore, distance)
        return LabelPair(right.astype(np.int32), comparison.truth)

    def align(self, totals: Sequence[SemanticSums]) -> list[SemanticSums]:
        """The sums of all sets, with the classes that occur in any of them if the label set is open."""
        if not self._labels.open:
            return list(totals)
        every = np.unique(np.concatenate([total.labels[total.occurs] for total in totals]))
        return [total.with_labels(every) for total in totals]

    def tables(self, total: SemanticSums) -> Tables:
        """The scores of all classes; without a label set, of those that occur."""
        scores = total.scores
        if self._labels.open:
            scores = {name: np.where(total.occurs, values, np.nan) for name, values in scores.items()}
        rows = zip(
            map(self._name, total.labels.tolist()), *(values.tolist() for values in scores.values()), strict=True
        )
        means = [mean_of_defined(values) for values in scores.values()]
        return Tables(
            metrics_of(dict(zip(("mIoU", "AF", "mean boundary IoU"), means, strict=True))),
            tuple(Row.of(name, dict(zip(scores, values, strict=True))) for name, *values in rows),
            tolerances=self._at_tolerances(total),
            notes=self._notes(total) if self._labels.open else (),
        )

    def _at_tolerances(self, total: SemanticSums) -> tuple[Row, ...]:
        """AF at the further tolerances."""
        counted = total.occurs if self._labels.open else np.ones(len(total.labels), dtype=bool)
        further = zip(self._settings.boundary_f_at, total.mean_boundary_f[1:, counted], strict=True)
        return tuple(Row.of(f"{tolerance:g} px", {"AF": mean_of_defined(values)}) for tolerance, values in further)

    def _name(self, label: int) -> str:
        return self._labels.names.get(label, str(label))

    def _notes(self, total: SemanticSums) -> tuple[str, ...]:
        """The classes that only one side has, and how labels above 255 are read."""
        true, found = total.true_pixels > 0, total.predicted_pixels > 0
        notes = []
        if (found & ~true).any():
            notes.append(
                f"only the predictions hold {_classes(total.labels[found & ~true])}: IoU 0, which counts in mIoU as in "
                "mmsegmentation, torchmetrics and the Cityscapes script; --label-set says which classes count"
            )
        if (true & ~found).any():
            notes.append(f"only the ground truth holds {_classes(total.labels[true & ~found])}: IoU 0")
        if total.labels.max(initial=0) > VOID:
            void = join_names(sorted(self._labels.ignore), limit=5) or "no label"
            notes.append(
                f"labels up to {total.labels.max()} are classes; void: {void} (others: --ignore-label, --label-set)"
            )
        return tuple(notes)

    def layer(self, comparison: LabelPair) -> Layer:
        """The predicted classes, numbered from 1; 0 for void."""
        return self.truth_layer(comparison.prediction)

    def truth_layer(self, truth: LabelArray) -> Layer:
        """The true classes, numbered from 1; 0 for void."""
        numbers = np.where(np.isin(truth, list(self._labels.ignore)), 0, truth + 1).astype(np.int32)
        return Layer(numbers, {number: self._name(number - 1) for number in values_of(numbers).tolist() if number})


def _classes(labels: IntArray) -> str:
    return f"the class{'es' if len(labels) > 1 else ''} {join_names(labels.tolist(), limit=8)}"


def _read_labels(side: PredictionSet, item: Item | None, pair: Pair) -> LabelArray:
    if item is None:
        raise BprError(f"{pair.name} has no label map")
    read = side.read(item)
    if not isinstance(read, LabelMap):
        raise BprError(f"{side.file(item)} is a binary mask, expected a label map")
    return read.labels
