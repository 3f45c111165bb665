"""Metrics of semantic segmentation: IoU per class and mIoU, boundary F per class and AF, boundary IoU per class.

Conventions
- IoU follows the Cityscapes benchmark (``evalPixelLevelSemanticLabeling``): one confusion matrix is pooled over all
  images. Pixels whose true label is void are left out. A pixel predicted as void counts only against its true class. A
  class that occurs neither in ground truth nor in predictions has no IoU (NaN) and is left out of the mean.
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
from dataclasses import dataclass
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
from bpr_cli.truth.label_sets import LabelSet, check_labels, choose_label_set
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import DoubleArray, IntArray, LabelArray

IntegerArray = NDArray[np.integer[Any]]

_LABEL_LIMIT = 1 << 16


@dataclass(frozen=True, eq=False)
class SemanticSums:
    """Sums over images; ``+`` adds the sums of two sets of images.

    Attributes:
        images: number of images.
        confusion: int64, (K, K + 1), pixels by true class and predicted class; the last column is void.
        boundary_f: float64, (K,), sum of the boundary F of all images.
        band_shared: int64, (K,), pixels in the bands of both the true and the predicted mask.
        band_union: int64, (K,), pixels in at least one of these bands.
    """

    images: int
    confusion: IntArray
    boundary_f: DoubleArray
    band_shared: IntArray
    band_union: IntArray

    def __add__(self, other: SemanticSums) -> SemanticSums:
        return SemanticSums(
            self.images + other.images,
            self.confusion + other.confusion,
            self.boundary_f + other.boundary_f,
            self.band_shared + other.band_shared,
            self.band_union + other.band_union,
        )

    def of_classes(self, classes: IntArray) -> SemanticSums:
        """The sums restricted to some classes; predictions of other classes become void."""
        rows = self.confusion[classes]
        kept = rows[:, classes]
        rest = rows.sum(axis=1) - kept.sum(axis=1)
        return SemanticSums(
            self.images,
            np.concatenate([kept, rest[:, None]], axis=1),
            self.boundary_f[classes],
            self.band_shared[classes],
            self.band_union[classes],
        )

    @property
    def iou(self) -> DoubleArray:
        """IoU of every class over all pixels, NaN for classes that do not occur: float64, (K,)."""
        shared = np.diagonal(self.confusion)
        # Void pixels of the ground truth have no row, so they add no false positives.
        return _ratio(shared, self.confusion.sum(axis=1) + self.confusion[:, :-1].sum(axis=0) - shared)

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
        labels: K classes, in the order of the scores.
        settings: only ``tolerance`` and ``dilation_ratio`` are used.

    Raises:
        BprError: the arrays are not label maps, differ in size, or contain labels that ``labels`` does not list.
    """
    found, expected, lengths = _codes_of_runs(prediction, truth, labels)
    count = len(labels.names)
    confusion = _tally(found, expected, lengths, count)
    size = truth.shape[0], truth.shape[1]
    found, expected = _masked_codes(prediction, truth, labels)
    scores = label_boundary_f(found, expected, count, tolerance_pixels(settings.tolerance, size))
    shared, union = _band_sums(found, expected, band_width(settings.dilation_ratio, size), count)
    return SemanticSums(1, confusion, np.array(scores), shared, union)


def _codes_of_runs(
    prediction: IntegerArray, truth: IntegerArray, labels: LabelSet
) -> tuple[IntegerArray, IntegerArray, IntArray]:
    """Predicted codes, true codes (K is void) and lengths of the runs in which neither map changes: (N,) each."""
    check_map(prediction, "the prediction")
    check_map(truth, "the ground truth")
    check_sizes(prediction, truth)
    pixels = Runs.of(prediction, truth)
    return (
        _codes_of(pixels.values[0], labels, "the prediction"),
        _codes_of(pixels.values[1], labels, "the ground truth"),
        pixels.lengths,
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

    applicable = frozenset({"label_set", "ignore_labels", "tolerance", "dilation_ratio"})

    def __init__(self, settings: EvaluateSettings, labels: LabelSet) -> None:
        outside = [label for label in (*labels.names, *labels.ignore) if not 0 <= label < _LABEL_LIMIT]
        if outside:
            raise BprError(f"the label {outside[0]} is not a whole number from 0 to {_LABEL_LIMIT - 1}")
        self._settings, self._labels, self.label_set = settings, labels, labels.name

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> SemanticEvaluator:
        """Find the label set, and check that predictions and ground truth use it."""
        labels = choose_label_set(settings.label_set, settings.ignore_labels, sets.truth)
        found = [(pair.prediction, pair.truth) for pair in pairs if pair.prediction and pair.truth]
        before = [(pair.baseline, pair.truth) for pair in pairs if pair.baseline and pair.truth]
        check_labels(labels, sets.predictions, sets.truth, found)
        if sets.baseline:
            check_labels(labels, sets.baseline, sets.truth, before)
        return cls(settings, labels)

    def read_truth(self, truth: PredictionSet, pair: Pair) -> LabelArray:
        """The ground-truth labels of an image: int32, (H, W)."""
        return _read_labels(truth, pair.truth, pair)

    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: LabelArray) -> LabelPair:
        """The labels of an image."""
        return LabelPair(_read_labels(scored, item, pair), truth)

    def measure(self, pair: Pair, comparison: LabelPair) -> Measured[SemanticSums]:  # noqa: ARG002
        """The sums of one image, and all classes in its ground truth; void pixels are left out."""
        sums = semantic_sums(comparison.prediction, comparison.truth, self._labels, self._settings)
        names, shares = list(self._labels.names.values()), sums.iou
        held = np.flatnonzero(sums.confusion.sum(axis=1)).tolist()
        return Measured(sums, [(names[number], float(shares[number])) for number in held])

    def oracle(self, comparison: LabelPair, distance: int) -> LabelPair:
        """The predicted labels, corrected near their boundaries."""
        right = oracle_labels(comparison.prediction, comparison.truth, self._labels.ignore, distance)
        return LabelPair(right.astype(np.int32), comparison.truth)

    def tables(self, total: SemanticSums) -> Tables:
        """The scores; without a label set, only classes in the ground truth are reported."""
        names = list(self._labels.names.values())
        if self._labels.open:
            held = np.flatnonzero(total.confusion.sum(axis=1))
            total, names = total.of_classes(held), [names[number] for number in held.tolist()]
        scores = total.scores
        rows = zip(names, *(values.tolist() for values in scores.values()), strict=True)
        means = [mean_of_defined(values) for values in scores.values()]
        return Tables(
            metrics_of(dict(zip(("mIoU", "AF", "mean boundary IoU"), means, strict=True))),
            tuple(Row.of(name, dict(zip(scores, values, strict=True))) for name, *values in rows),
        )

    def layer(self, comparison: LabelPair) -> LabelArray:
        """The predicted classes, numbered from 1; 0 for void."""
        return self.truth_layer(comparison.prediction)

    def truth_layer(self, truth: LabelArray) -> LabelArray:
        """The true classes, numbered from 1; 0 for void."""
        return np.where(np.isin(truth, list(self._labels.ignore)), 0, truth + 1).astype(np.int32)


def _read_labels(side: PredictionSet, item: Item | None, pair: Pair) -> LabelArray:
    if item is None:
        raise BprError(f"{pair.name} has no label map")
    read = side.read(item)
    if not isinstance(read, LabelMap):
        raise BprError(f"{side.file(item)} is a binary mask, expected a label map")
    return read.labels
