"""Sums over the pixels of label maps, which the metrics of ``semantic.py`` are made of.

Shape letters: K classes, N runs of constant labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.boundary import band_width, tolerance_pixels
from bpr_cli.evaluation.evaluator import check_map, check_sizes
from bpr_cli.evaluation.label_boundary import label_band, label_boundary_f
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.truth.label_sets import LabelSet
from bpr_cli.typing import BoolArray, DoubleArray, IntArray

IntegerArray = NDArray[np.integer[Any]]

LABEL_LIMIT = 1 << 16
"""Labels are below this number."""
_MOST_CLASSES = 4096
"""Most classes without a label set; maps with more labels hold ids of objects, not classes."""


@dataclass(frozen=True, eq=False)
class SemanticSums:
    """Sums over images; ``+`` adds the sums of two sets of images, also if these hold different classes.

    Attributes:
        labels: int64, (K,), labels of the classes; ascending if the label set is open.
        images: number of images.
        confusion: int64, (K, K + 1), pixels by true class and predicted class; the last column is void.
        boundary_f: float64, (D + 1, K), sum of the boundary F of all images, at the tolerance of the settings and at
            D further ones.
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
        boundary_f = np.full((len(self.boundary_f), count), float(self.images))
        boundary_f[:, place] = self.boundary_f[:, kept]
        shared, union = np.zeros((2, count), dtype=np.int64)
        shared[place], union[place] = self.band_shared[kept], self.band_union[kept]
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
    def mean_boundary_f(self) -> DoubleArray:
        """Boundary F of every class, averaged over images, at each tolerance: float64, (D + 1, K)."""
        return self.boundary_f / self.images if self.images else np.full_like(self.boundary_f, np.nan)

    @property
    def scores(self) -> dict[str, DoubleArray]:
        """The scores of every class, from 0 to 1, NaN where undefined: float64, (K,) each."""
        return {
            "IoU": self.iou,
            "boundary F": self.mean_boundary_f[0],
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
        settings: only the tolerances and ``dilation_ratio`` are used.

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
    tolerances = [tolerance_pixels(settings.tolerance, size), *settings.boundary_f_at]
    scores = label_boundary_f(found, expected, count, tolerances)
    shared, union = _band_sums(found, expected, band_width(settings.band_ratio(), size), count)
    return SemanticSums(np.array([*labels.names], dtype=np.int64), 1, confusion, scores, shared, union)


def _labels_in(pixels: Runs, labels: LabelSet) -> LabelSet:
    """The classes of one image, as found.

    Raises:
        BprError: there are too many.
    """
    found = np.union1d(*(np.unique(values) for values in pixels.values))
    _check_count(found)
    return labels.of_labels(label for label in found.tolist() if 0 <= label < LABEL_LIMIT)


def _check_count(labels: NDArray[np.generic]) -> None:
    if len(labels) > _MOST_CLASSES:
        raise BprError(
            f"the label maps hold more than {_MOST_CLASSES} labels, so these are ids of objects rather than classes; "
            "if they are classes, name them with --label-set FILE.json"
        )


def _codes_of(values: NDArray[np.generic], labels: LabelSet, name: str) -> IntegerArray:
    """Positions of the classes, K for void: int64, (N,)."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest >= LABEL_LIMIT:
        raise BprError(f"{name} has labels from {lowest} to {highest}, expected 0 to {LABEL_LIMIT - 1}")
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
    table = np.full(LABEL_LIMIT, count + 1, dtype=np.min_scalar_type(count + 1))
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
