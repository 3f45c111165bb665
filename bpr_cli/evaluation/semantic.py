"""Figures of semantic segmentation: IoU per class and mIoU, boundary F per class and AF, boundary IoU per class.

Conventions
- IoU is that of the Cityscapes benchmark: one confusion matrix is pooled over all images. Pixels whose true label is
  no class are left out. A pixel of a class that is predicted as no class counts against its true class alone.
  A class that neither truth nor prediction holds has no IoU (NaN) and stays out of the mean.
- Boundary F is that of GSCNN and SegFix: pixels whose true label is no class are background in both maps, for each
  image and class there is one F-score (``boundary_f``), a class absent from both maps scores 1, the scores are
  averaged over images, and AF is the mean over classes.
- Boundary IoU has no reference for label maps: here the bands (Cheng et al.) of each class's masks, background as for
  boundary F, are pooled over all images as for IoU. It is not combined with IoU by the minimum, which Cheng et al.
  do for matching only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.boundary import band_width, tolerance_pixels
from bpr_cli.evaluation.checks import check_boundary_settings, check_map, check_sizes
from bpr_cli.evaluation.label_boundary import label_band, label_boundary_f
from bpr_cli.evaluation.settings import DILATION_RATIO
from bpr_cli.masks.runs import Runs, weigh

IntegerArray = NDArray[np.integer[Any]]

_LABEL_LIMIT = 1 << 16


@dataclass(frozen=True)
class SemanticSettings:
    """What is measured, and how.

    Attributes:
        classes: the labels that are measured, in the order of the figures (K of them).
        ignore: other labels that may occur. In the truth they are left out; in the prediction they are wrong.
        tolerance: of boundary F, in pixels; below 1 a fraction of the image diagonal. None leaves boundary F out.
        dilation_ratio: width of the bands of boundary IoU as a fraction of the image diagonal. None leaves boundary IoU
            out.
    """

    classes: tuple[int, ...]
    ignore: frozenset[int] = frozenset({255})
    tolerance: float | None = 1.0
    dilation_ratio: float | None = DILATION_RATIO

    def __post_init__(self) -> None:
        check_boundary_settings(self.tolerance, self.dilation_ratio)
        if not self.classes:
            raise BprError("there is no class to evaluate, expected at least one label")
        repeated = sorted({label for label in self.classes if self.classes.count(label) > 1})
        if repeated:
            raise BprError(f"the label {repeated[0]} is listed more than once, expected distinct classes")
        both = sorted(self.ignore.intersection(self.classes))
        if both:
            raise BprError(f"the label {both[0]} is both a class and ignored, expected one of the two")
        outside = [label for label in (*self.classes, *self.ignore) if not 0 <= label < _LABEL_LIMIT]
        if outside:
            raise BprError(f"the label {outside[0]} is not a whole number from 0 to {_LABEL_LIMIT - 1}")


@dataclass(frozen=True, eq=False)
class SemanticSums:
    """Sums over images, from which the figures follow; those of two sets of images are added by ``+``.

    Attributes:
        images: number of images.
        confusion: int64, (K, K + 1), pixels by true class and predicted class; the last column is no class.
        boundary_f: float64, (K,), sum of the images' scores; NaN where boundary F is left out.
        band_shared: int64, (K,), pixels in the bands of the true and the predicted mask.
        band_union: int64, (K,), pixels in one of the two.
    """

    images: int
    confusion: NDArray[np.int64]
    boundary_f: NDArray[np.float64]
    band_shared: NDArray[np.int64]
    band_union: NDArray[np.int64]

    @classmethod
    def zero(cls, classes: int) -> SemanticSums:
        """The sums of no image."""
        none = np.zeros(classes, dtype=np.int64)
        return cls(0, np.zeros((classes, classes + 1), dtype=np.int64), np.zeros(classes), none, none)

    def __add__(self, other: SemanticSums) -> SemanticSums:
        return SemanticSums(
            self.images + other.images,
            self.confusion + other.confusion,
            self.boundary_f + other.boundary_f,
            self.band_shared + other.band_shared,
            self.band_union + other.band_union,
        )


@dataclass(frozen=True)
class SemanticFigures:
    """Figures from 0 to 1, NaN where there is nothing to measure; per class in the order of the settings.

    Attributes:
        iou: per class.
        miou: mean of ``iou`` over the classes that have one.
        boundary_f: per class.
        af: mean of ``boundary_f``.
        boundary_iou: per class.
        mean_boundary_iou: mean of ``boundary_iou`` over the classes that have one.
    """

    iou: tuple[float, ...]
    miou: float
    boundary_f: tuple[float, ...]
    af: float
    boundary_iou: tuple[float, ...]
    mean_boundary_iou: float


def check_semantic(prediction: IntegerArray, truth: IntegerArray, settings: SemanticSettings) -> None:
    """Check that two label maps can be compared.

    Raises:
        BprError: they are no label maps, differ in size, or hold labels that the settings do not name.
    """
    _checked_stretches(prediction, truth, settings)


def semantic_sums(prediction: IntegerArray, truth: IntegerArray, settings: SemanticSettings) -> SemanticSums:
    """Compare the label maps of one image.

    Args:
        prediction: (H, W) labels.
        truth: (H, W) labels.
        settings: classes and widths.

    Raises:
        BprError: as ``check_semantic``.
    """
    found, expected, lengths = _checked_stretches(prediction, truth, settings)
    count = len(settings.classes)
    confusion = _tally(found, expected, lengths, count)
    scores, shared, union = [math.nan] * count, np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    size = truth.shape[0], truth.shape[1]
    if settings.tolerance is not None or settings.dilation_ratio is not None:
        found, expected = _masked_codes(prediction, truth, settings)
    if settings.tolerance is not None:
        scores = label_boundary_f(found, expected, count, tolerance_pixels(settings.tolerance, size))
    if settings.dilation_ratio is not None:
        shared, union = _band_sums(found, expected, band_width(settings.dilation_ratio, size), count)
    return SemanticSums(1, confusion, np.array(scores), shared, union)


def class_iou(sums: SemanticSums) -> NDArray[np.float64]:
    """IoU of every class over all pixels, NaN for one that is nowhere: float64, (K,)."""
    shared = np.diagonal(sums.confusion)
    # The truth's other labels have no row, so that they add nothing to a class's false positives.
    return _ratio(shared, sums.confusion.sum(axis=1) + sums.confusion[:, :-1].sum(axis=0) - shared)


def semantic_figures(sums: SemanticSums) -> SemanticFigures:
    """The figures of all images that went into the sums."""
    iou, boundary_iou = class_iou(sums), _ratio(sums.band_shared, sums.band_union)
    boundary_f = _ratio(sums.boundary_f, np.full(len(iou), sums.images))
    return SemanticFigures(
        tuple(iou.tolist()),
        _mean(iou),
        tuple(boundary_f.tolist()),
        _mean(boundary_f),
        tuple(boundary_iou.tolist()),
        _mean(boundary_iou),
    )


def _checked_stretches(
    prediction: IntegerArray, truth: IntegerArray, settings: SemanticSettings
) -> tuple[IntegerArray, IntegerArray, NDArray[np.int64]]:
    """Predicted and true codes (K is no class) of stretches in which neither changes, and their lengths: (N,) each."""
    check_map(prediction, "the prediction")
    check_map(truth, "the ground truth")
    check_sizes(prediction, truth)
    pixels = Runs.of(prediction, truth)
    return (
        _checked_codes(pixels.values[0], settings, "the prediction"),
        _checked_codes(pixels.values[1], settings, "the ground truth"),
        pixels.lengths,
    )


def _checked_codes(labels: NDArray[np.generic], settings: SemanticSettings, name: str) -> IntegerArray:
    """Numbers of the classes, K for ignored labels: int64, (N,)."""
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= _LABEL_LIMIT:
        raise BprError(f"{name} has labels from {lowest} to {highest}, expected 0 to {_LABEL_LIMIT - 1}")
    codes: IntegerArray = _table(settings)[labels].astype(np.int64)
    unknown = codes > len(settings.classes)
    if np.any(unknown):
        strange = join_names(np.unique(labels[unknown]), limit=5)
        ignored = join_names(sorted(settings.ignore), limit=5) or "no label"
        raise BprError(
            f"{name} has the labels {strange}, expected the classes {join_names(settings.classes, limit=5)} "
            f"(ignored: {ignored})"
        )
    return codes


def _table(settings: SemanticSettings) -> IntegerArray:
    """Code of every label: a number of a class, K for ignored labels and K + 1 for unknown ones; the smallest dtype."""
    count = len(settings.classes)
    table = np.full(_LABEL_LIMIT, count + 1, dtype=np.min_scalar_type(count + 1))
    table[list(settings.ignore)] = count
    table[list(settings.classes)] = np.arange(count)
    return table


def _masked_codes(
    prediction: IntegerArray, truth: IntegerArray, settings: SemanticSettings
) -> tuple[IntegerArray, IntegerArray]:
    """Predicted and true codes, (H, W) each, with void as background (K) in both."""
    table = _table(settings)
    found, expected = _look_up(prediction, table), _look_up(truth, table)
    return np.where(expected == len(settings.classes), expected, found), expected


def _look_up(labels: IntegerArray, table: IntegerArray) -> IntegerArray:
    """Entries of the table."""
    if labels.max() >= 256:
        return np.asarray(table[labels])
    # Several times faster than indexing.
    return np.asarray(cv2.LUT(labels.astype(np.uint8, copy=False), table[:256])).astype(table.dtype, copy=False)


def _tally(
    found: NDArray[np.generic], expected: NDArray[np.generic], lengths: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Pixels by true and predicted code, without the last true one (K): int64, (K, K + 1)."""
    rows, columns = expected.astype(np.int64), found.astype(np.int64)
    table = weigh(rows * (count + 1) + columns, lengths, (count + 1) ** 2)
    return table.reshape(count + 1, count + 1)[:count]


def _band_sums(
    found: IntegerArray, expected: IntegerArray, width: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shared pixels and union of the true and the predicted band of every class: int64, (K,) each."""
    nothing = np.array(count, dtype=found.dtype)
    pixels = Runs.of(*(np.where(label_band(codes, width), codes, nothing) for codes in (found, expected)))
    both = _tally(pixels.values[0], pixels.values[1], pixels.lengths, count + 1)
    shared = np.diagonal(both)
    return shared[:count], (both.sum(axis=0)[:-1] + both.sum(axis=1) - shared)[:count]


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> NDArray[np.float64]:
    """Quotients, NaN where the whole is nothing: float64, (K,)."""
    quotients: NDArray[np.float64] = np.full(len(whole), np.nan)
    np.divide(part, whole, out=quotients, where=whole != 0)
    return quotients


def _mean(figures: NDArray[np.float64]) -> float:
    """Mean of the figures that are there; NaN when none is."""
    there = figures[~np.isnan(figures)]
    return float(there.mean()) if there.size else float("nan")
