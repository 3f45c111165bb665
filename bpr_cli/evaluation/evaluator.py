"""The interface of a metric family, and what several families check."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names, note
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.evaluation.report.model import Tables
from bpr_cli.evaluation.settings import DILATION_RATIO, EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.records import CategoryRecord
from bpr_cli.masks.masks import in_pixels
from bpr_cli.truth.pairs import Pair, Sets, place_of
from bpr_cli.typing import DoubleArray


def check_map(labels: NDArray[np.generic], name: str) -> None:
    """Check that an array is a map of whole numbers.

    Raises:
        BprError: the array is not (H, W), has no pixel, or does not hold integers.
    """
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise BprError(
            f"{name} is an array of shape {labels.shape} and type {labels.dtype}, expected (H, W) whole numbers"
        )


def check_sizes(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    """Check that two maps have the same size.

    Raises:
        BprError: the sizes differ.
    """
    if prediction.shape != truth.shape:
        found, expected = (in_pixels((shape[0], shape[1])) for shape in (prediction.shape, truth.shape))
        raise BprError(f"the prediction is {found}, expected the {expected} of the ground truth")


Truth = TypeVar("Truth")
"""The ground truth of one image."""

Comparison = TypeVar("Comparison")
"""The predictions of one image together with its ground truth."""

Sums = TypeVar("Sums")
"""Sums over one or more images, from which the metrics are computed; ``+=`` adds the sums of other images."""


@dataclass(frozen=True)
class SegmentIou:
    """A ground-truth segment and how well it was predicted; see ``SegmentPair``.

    Attributes:
        category: name of its category.
        iou: IoU with the best prediction of that category, from 0 to 1.
        number: its number in the layer of the ground truth.
    """

    category: str
    iou: float
    number: int


@dataclass(frozen=True)
class Measured(Generic[Sums]):
    """The measurements of one image for one set of predictions.

    Attributes:
        sums: contribution to the metrics.
        segments: the ground-truth segments of the image.
    """

    sums: Sums
    segments: list[SegmentIou]


class Evaluator(ABC, Generic[Truth, Comparison, Sums]):
    """The metrics of one family. All methods but ``tables`` are thread-safe.

    Attributes:
        applicable: names of the settings that apply to this family but not to all.
        usual_ratio: band width along boundaries if none is set, as a fraction of the image diagonal.
        label_set: name of the label set of label maps; None for other families.
    """

    applicable: ClassVar[frozenset[str]]
    usual_ratio: ClassVar[float] = DILATION_RATIO
    label_set: str | None = None

    @classmethod
    @abstractmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> Evaluator[Truth, Comparison, Sums]:
        """Create the evaluator, after all checks that are possible before measuring.

        Args:
            sets: predictions, ground truth and baseline.
            pairs: the images.
            settings: how to measure.

        Raises:
            BprError: the categories or labels of predictions and ground truth cannot be compared.
        """

    @abstractmethod
    def read_truth(self, truth: PredictionSet, pair: Pair) -> Truth:
        """Read the ground truth of one image."""

    @abstractmethod
    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: Truth) -> Comparison:
        """Read the predictions of one image, ``item`` of ``scored``, and combine them with its ground truth."""

    @abstractmethod
    def measure(self, pair: Pair, comparison: Comparison) -> Measured[Sums]:
        """Measure the predictions of one image."""

    @abstractmethod
    def oracle(self, comparison: Comparison, distance: int) -> Comparison:
        """The comparison with predictions corrected within ``distance`` pixels of their boundaries."""

    def align(self, totals: Sequence[Sums]) -> Sequence[Sums]:
        """The sums of all sets of an evaluation with the same classes, which most families know beforehand."""
        return totals

    @abstractmethod
    def tables(self, total: Sums) -> Tables:
        """The metrics of all images."""

    @abstractmethod
    def layer(self, comparison: Comparison) -> Layer:
        """The predictions as a map for pictures; segments are numbered like their counterparts in the ground truth."""

    @abstractmethod
    def truth_layer(self, truth: Truth) -> Layer:
        """The ground truth as a map for pictures."""


def mean_of_defined(values: DoubleArray) -> float:
    """Mean of the values that are not NaN; NaN if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def categories_of(sets: Sets, allow_missing: bool) -> tuple[CategoryRecord, ...]:
    """The categories to measure: those that the ground truth lists, else the predictions, else all that occur.

    Raises:
        BprError: predictions have a category that the ground truth does not list.
    """
    categories = sets.truth.categories or sets.predictions.categories
    if not categories:
        used = {record.category for item in sets.truth.items for record in sets.truth.records(item)}
        categories = tuple(CategoryRecord(category, str(category)) for category in sorted(used))
    for scored in sets.scored:
        _check_categories(scored, sets.truth, {category.id for category in categories}, allow_missing)
    return categories


def _check_categories(scored: PredictionSet, truth: PredictionSet, known: set[int], allow_missing: bool) -> None:
    """Refuse predictions of categories that are not known, or tell that they are left out."""
    if scored.used_categories <= known:
        return
    used = ((item, {record.category for record in scored.records(item)}) for item in scored.items)
    unknown = [f"image {item.name} has {scored.called(each)}" for item, ids in used for each in sorted(ids - known)]
    if not unknown:
        return
    found = f"{place_of(scored)}: {join_names(unknown)}"
    expected = f"one of the {len(known)} category ids of {place_of(truth)} ({join_names(sorted(known), limit=5)})"
    if allow_missing:
        note("%s, expected %s; left out", found, expected)
        return
    raise BprError(f"{found}, expected {expected}; map the ids, or leave such predictions out with --allow-missing")
