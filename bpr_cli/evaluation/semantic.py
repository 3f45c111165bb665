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

Shape letters: K classes, N runs of constant labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.boundary import band_width, tolerance_pixels
from bpr_cli.evaluation.checks import check_map, check_sizes
from bpr_cli.evaluation.evaluator import Evaluator, Measured, mean_of_defined
from bpr_cli.evaluation.label_boundary import label_band, label_boundary_f
from bpr_cli.evaluation.oracle import oracle_labels
from bpr_cli.evaluation.report.model import Row, Tables, metrics_of
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.truth.label_sets import VOID, LabelSet, check_labels, choose_label_set, reduce_zero_label
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import BoolArray, DoubleArray, IntArray, LabelArray

IntegerArray = NDArray[np.integer[Any]]

_LABEL_LIMIT = 1 << 16
_MOST_CLASSES = 4096
"""Most classes without a label set; maps with more labels hold ids of objects, not classes."""


@dataclass(frozen=True, eq=False)
class SemanticSums:
    """Sums over images; ``+`` adds the sums of two sets of images, also if these hold different classes.

    Attributes:
        labels: int64, (K,), labels of the classes; ascending if the label set is open.
        images: number of images.
        confusion: int64, (K, K + 1), pixels by true class and predicted class; the last column is void.
        boundary_f: float64, (K,), sum of the boundary F of all images.
        band_shared: int64, (K,), pixels in the bands of both the true and the predicted mask.
        band_union: int64, (K,), pixels in at least one of these bands.
    """

    labels: IntArray
    images: int
    confusion: IntArray
    boundary_f: DoubleArray
    band_shared: IntArray
    band_union: IntArray

    def __add__(self, other: SemanticSums) -> SemanticSums:
        if not np.array_equal(self.labels, other.labels):
            every = np.union1d(self.labels, other.labels)
            return self.with_labels(every) + other.with_labels(every)
        return SemanticSums(
            self.labels,
            self.images + other.images,
            self.confusion + other.confusion,
            self.boundary_f + other.boundary_f,
            self.band_shared + other.band_shared,
            self.band_union + other.band_union,
        )

    def with_labels(self, labels: IntArray) -> SemanticSums:
        """The sums with a row for each of the labels, which ascend and include all that occur.

        Raises:
            BprError: there are too many labels.
        """
        _check_count(labels)
        count, kept = len(labels), np.flatnonzero(np.isin(self.labels, labels))
        place = np.searchsorted(labels, self.labels[kept])
        confusion = np.zeros((count, count + 1), dtype=np.int64)
        confusion[np.ix_(place, np.append(place, count))] = self.confusion[np.ix_(kept, np.append(kept, -1))]
        # The boundary F of a class that an image does not hold is 1.
        boundary_f = np.full(count, float(self.images))
        shared, union = np.zeros((2, count), dtype=np.int64)
        boundary_f[place], shared[place], union[place] = (
            values[kept] for values in (self.boundary_f, self.band_shared, self.band_union)
        )
        return SemanticSums(labels, self.images, confusion, boundary_f, shared, union)

    @property
    def occurs(self) -> BoolArray:
        """Whether a class occurs where the truth is not void, on either side: bool, (K,)."""
        return self.true_pixels + self.predicted_pixels > 0

    @property
    def true_pixels(self) -> IntArray:
        """Pixels of every class in the ground truth: int64, (K,)."""
        return np.asarray(self.confusion.sum(axis=1))

    @property
    def predicted_pixels(self) -> IntArray:
        """Pixels predicted as every class, without those whose true label is void: int64, (K,)."""
        # Void pixels of the ground truth have no row, so they add no false positives.
        return np.asarray(self.confusion[:, :-1].sum(axis=0))

    @property
    def iou(self) -> DoubleArray:
        """IoU of every class over all pixels, NaN for classes that do not occur: float64, (K,)."""
        shared = np.diagonal(self.confusion)
        return _ratio(shared, self.true_pixels + self.predicted_pixels - shared)

    @property
    def scores(self) -> dict[str, DoubleArray]:
        """The scores of every class, from 0 to 1, NaN where undefined: float64, (K,) each."""
        return {
            "IoU": self.iou,
            "boundary F": _ratio(self.boundary_f, np.full(len(self.boundary_f), self.images)),
            "boundary IoU": _ratio(self.band_shared, self.band_union),
        }


def semantic_sums(
    prediction: IntegerArray, truth: IntegerArray, labels: LabelSet, settings: EvaluateSettings
) -> SemanticSums:
    """Compare the label maps of one image.

    Args:
        prediction: predicted labels, (H, W); void counts as wrong.
        truth: true labels, (H, W); void is left out.
        labels: K classes, in the order of the scores; of an open set, the classes of this image are taken.
        settings: only ``tolerance`` and ``dilation_ratio`` are used.

    Raises:
        BprError: the arrays are not label maps, differ in size, or contain labels that ``labels`` does not list.
    """
    check_map(prediction, "the prediction")
    check_map(truth, "the ground truth")
    check_sizes(prediction, truth)
    pixels = Runs.of(prediction, truth)
    if labels.open:
        labels = _labels_in(pixels, labels)
    found = _codes_of(pixels.values[0], labels, "the prediction")
    expected = _codes_of(pixels.values[1], labels, "the ground truth")
    count = len(labels.names)
    confusion = _tally(found, expected, pixels.lengths, count)
    size = truth.shape[0], truth.shape[1]
    found, expected = _masked_codes(prediction, truth, labels)
    scores = label_boundary_f(found, expected, count, tolerance_pixels(settings.tolerance, size))
    shared, union = _band_sums(found, expected, band_width(settings.dilation_ratio, size), count)
    return SemanticSums(np.array([*labels.names], dtype=np.int64), 1, confusion, np.array(scores), shared, union)


def _labels_in(pixels: Runs, labels: LabelSet) -> LabelSet:
    """The classes of one image, as found.

    Raises:
        BprError: there are too many.
    """
    found = np.union1d(*(np.unique(values) for values in pixels.values))
    _check_count(found)
    return labels.of_labels(label for label in found.tolist() if 0 <= label < _LABEL_LIMIT)


def _check_count(labels: NDArray[np.generic]) -> None:
    if len(labels) > _MOST_CLASSES:
        raise BprError(
            f"the label maps hold more than {_MOST_CLASSES} labels, so these are ids of objects rather than classes; "
            "if they are classes, name them with --label-set FILE.json"
        )


def _codes_of(values: NDArray[np.generic], labels: LabelSet, name: str) -> IntegerArray:
    """Positions of the classes, K for void: int64, (N,)."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest >= _LABEL_LIMIT:
        raise BprError(f"{name} has labels from {lowest} to {highest}, expected 0 to {_LABEL_LIMIT - 1}")
    codes: IntegerArray = _code_table(labels)[values].astype(np.int64)
    unknown = codes > len(labels.names)
    if np.any(unknown):
        strange = join_names(np.unique(values[unknown]), limit=5)
        ignored = join_names(sorted(labels.ignore), limit=5) or "no label"
        raise BprError(
            f"{name} has the labels {strange}, expected the classes {join_names(labels.names, limit=5)} "
            f"(ignored: {ignored})"
        )
    return codes


def _code_table(labels: LabelSet) -> IntegerArray:
    """Code of every label, in the smallest dtype: position of its class, K for void, K + 1 for unknown labels."""
    count = len(labels.names)
    table = np.full(_LABEL_LIMIT, count + 1, dtype=np.min_scalar_type(count + 1))
    table[list(labels.ignore)] = count
    table[list(labels.names)] = np.arange(count)
    return table


def _masked_codes(prediction: IntegerArray, truth: IntegerArray, labels: LabelSet) -> tuple[IntegerArray, IntegerArray]:
    """Predicted and true codes, (H, W) each, with void as background (K) in both."""
    table = _code_table(labels)
    found, expected = _look_up(prediction, table), _look_up(truth, table)
    return np.where(expected == len(labels.names), expected, found), expected


def _look_up(labels: IntegerArray, table: IntegerArray) -> IntegerArray:
    """Entries of the table."""
    if labels.max() >= 256:
        return np.asarray(table[labels])
    # cv2.LUT is several times faster than indexing.
    return np.asarray(cv2.LUT(labels.astype(np.uint8, copy=False), table[:256])).astype(table.dtype, copy=False)


def _tally(found: NDArray[np.generic], expected: NDArray[np.generic], lengths: IntArray, count: int) -> IntArray:
    """Pixels by true and predicted code, without true void (K): int64, (K, K + 1)."""
    rows, columns = expected.astype(np.int64), found.astype(np.int64)
    table = weigh(rows * (count + 1) + columns, lengths, (count + 1) ** 2)
    return table.reshape(count + 1, count + 1)[:count]


def _band_sums(found: IntegerArray, expected: IntegerArray, width: int, count: int) -> tuple[IntArray, IntArray]:
    """Intersection and union of the true and the predicted band of every class in pixels: int64, (K,) each."""
    nothing = np.array(count, dtype=found.dtype)
    pixels = Runs.of(*(np.where(label_band(codes, width), codes, nothing) for codes in (found, expected)))
    both = _tally(pixels.values[0], pixels.values[1], pixels.lengths, count + 1)
    shared = np.diagonal(both)
    return shared[:count], (both.sum(axis=0)[:-1] + both.sum(axis=1) - shared)[:count]


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> DoubleArray:
    """Quotients, NaN where ``whole`` is 0: float64, (K,)."""
    quotients: DoubleArray = np.full(len(whole), np.nan)
    np.divide(part, whole, out=quotients, where=whole != 0)
    return quotients


@dataclass(frozen=True, eq=False)
class LabelPair:
    """The label maps of one image: int32, (H, W) both."""

    prediction: LabelArray
    truth: LabelArray


class SemanticEvaluator(Evaluator[LabelArray, LabelPair, SemanticSums]):
    """IoU, boundary F and boundary IoU of every class, and their means."""

    applicable = frozenset({"label_set", "ignore_labels", "reduce_zero_label", "tolerance", "dilation_ratio"})

    def __init__(self, settings: EvaluateSettings, labels: LabelSet) -> None:
        outside = [label for label in (*labels.names, *labels.ignore) if not 0 <= label < _LABEL_LIMIT]
        if outside:
            raise BprError(f"the label {outside[0]} is not a whole number from 0 to {_LABEL_LIMIT - 1}")
        self._settings, self._labels, self.label_set = settings, labels, labels.name

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> SemanticEvaluator:
        """Find the label set, and check that predictions and ground truth use it."""
        labels = choose_label_set(settings.label_set, settings.ignore_labels, sets.truth)
        if settings.reduce_zero_label:
            return cls(settings, replace(labels, ignore=labels.ignore | {VOID}))
        found = [(pair.prediction, pair.truth) for pair in pairs if pair.prediction and pair.truth]
        before = [(pair.baseline, pair.truth) for pair in pairs if pair.baseline and pair.truth]
        check_labels(labels, sets.predictions, sets.truth, found)
        if sets.baseline:
            check_labels(labels, sets.baseline, sets.truth, before)
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
        names, shares = self._names_of(sums), sums.iou
        held = np.flatnonzero(sums.true_pixels).tolist()
        return Measured(sums, [(names[number], float(shares[number])) for number in held])

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
        rows = zip(self._names_of(total), *(values.tolist() for values in scores.values()), strict=True)
        means = [mean_of_defined(values) for values in scores.values()]
        return Tables(
            metrics_of(dict(zip(("mIoU", "AF", "mean boundary IoU"), means, strict=True))),
            tuple(Row.of(name, dict(zip(scores, values, strict=True))) for name, *values in rows),
            notes=self._notes(total) if self._labels.open else (),
        )

    def _names_of(self, sums: SemanticSums) -> list[str]:
        """Names of the classes of some sums."""
        return [self._labels.names.get(label, str(label)) for label in sums.labels.tolist()]

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

    def layer(self, comparison: LabelPair) -> LabelArray:
        """The predicted classes, numbered from 1; 0 for void."""
        return self.truth_layer(comparison.prediction)

    def truth_layer(self, truth: LabelArray) -> LabelArray:
        """The true classes, numbered from 1; 0 for void."""
        return np.where(np.isin(truth, list(self._labels.ignore)), 0, truth + 1).astype(np.int32)


def _classes(labels: IntArray) -> str:
    return f"the class{'es' if len(labels) > 1 else ''} {join_names(labels.tolist(), limit=8)}"


def _read_labels(side: PredictionSet, item: Item | None, pair: Pair) -> LabelArray:
    if item is None:
        raise BprError(f"{pair.name} has no label map")
    read = side.read(item)
    if not isinstance(read, LabelMap):
        raise BprError(f"{side.file(item)} is a binary mask, expected a label map")
    return read.labels
