"""Metrics of binary masks, one mask per image: mean IoU, boundary IoU and boundary F.

All three are computed per image and averaged over images with equal weight. A pair of empty masks scores 1. See
``boundary`` for the definitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f, boundary_iou, iou, tolerance_pixels
from bpr_cli.evaluation.evaluator import Evaluator, Measured, SegmentIou, check_sizes
from bpr_cli.evaluation.oracle import oracle_mask
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.evaluation.report.model import Row, Tables, metrics_of
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import BoolArray

MASK = "mask"
"""What reports call the only segment of an image."""


@dataclass(frozen=True)
class BinarySums:
    """Sums over images; ``+`` adds the sums of two sets of images.

    Attributes:
        images: number of images.
        iou: sum of IoU.
        boundary_iou: sum of boundary IoU.
        boundary_f: sum of boundary F.
        further: sums of boundary F at further tolerances; empty for zeros.
    """

    images: int = 0
    iou: float = 0.0
    boundary_iou: float = 0.0
    boundary_f: float = 0.0
    further: tuple[float, ...] = ()

    def __add__(self, other: BinarySums) -> BinarySums:
        return BinarySums(
            self.images + other.images,
            self.iou + other.iou,
            self.boundary_iou + other.boundary_iou,
            self.boundary_f + other.boundary_f,
            tuple(map(sum, zip_longest(self.further, other.further, fillvalue=0.0))),
        )


def binary_sums(prediction: NDArray[np.generic], truth: NDArray[np.generic], settings: EvaluateSettings) -> BinarySums:
    """Compare the masks of one image.

    Args:
        prediction: (H, W), non-zero is foreground.
        truth: (H, W), non-zero is foreground.
        settings: only the tolerances and ``dilation_ratio`` are used.

    Raises:
        BprError: the masks are not (H, W) arrays of one size with at least one pixel.
    """
    for mask, name in ((prediction, "the prediction"), (truth, "the ground truth")):
        if mask.ndim != 2 or mask.size == 0:
            raise BprError(f"{name} is an array of shape {mask.shape}, expected an (H, W) mask")
    check_sizes(prediction, truth)
    tolerance = tolerance_pixels(settings.tolerance, (truth.shape[0], truth.shape[1]))
    return BinarySums(
        1,
        iou(prediction, truth),
        boundary_iou(prediction, truth, settings.band_ratio()),
        boundary_f(prediction, truth, tolerance),
        tuple(boundary_f(prediction, truth, further) for further in settings.boundary_f_at),
    )


def binary_scores(sums: BinarySums) -> dict[str, float]:
    """Means over images, from 0 to 1; NaN without images."""
    totals = {"IoU": sums.iou, "boundary IoU": sums.boundary_iou, "boundary F": sums.boundary_f}
    return {name: total / sums.images if sums.images else float("nan") for name, total in totals.items()}


@dataclass(frozen=True, eq=False)
class MaskPair:
    """The masks of one image: bool, (H, W) both."""

    prediction: BoolArray
    truth: BoolArray


class BinaryEvaluator(Evaluator[BoolArray, MaskPair, BinarySums]):
    """Mean IoU, boundary IoU and boundary F."""

    applicable = frozenset({"tolerance", "boundary_f_at", "dilation_ratio"})

    def __init__(self, settings: EvaluateSettings) -> None:
        self._settings = settings

    @classmethod
    def of(cls, sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> BinaryEvaluator:  # noqa: ARG003
        """Create the evaluator; binary masks need no checks."""
        return cls(settings)

    def read_truth(self, truth: PredictionSet, pair: Pair) -> BoolArray:
        """The ground-truth mask of an image; empty if COCO annotations list the image without a mask."""
        if pair.truth is None and pair.size is not None:
            return np.zeros(pair.size, dtype=bool)
        return _read_mask(truth, pair.truth, pair)

    def compare(self, scored: PredictionSet, item: Item | None, pair: Pair, truth: BoolArray) -> MaskPair:
        """The masks of an image."""
        return MaskPair(_read_mask(scored, item, pair), truth)

    def measure(self, pair: Pair, comparison: MaskPair) -> Measured[BinarySums]:  # noqa: ARG002
        """The sums of one image; its mask is the only segment, even if it is empty."""
        sums = binary_sums(comparison.prediction, comparison.truth, self._settings)
        return Measured(sums, [SegmentIou(MASK, sums.iou, 1)])

    def oracle(self, comparison: MaskPair, distance: int) -> MaskPair:
        """The predicted mask, corrected near its boundary."""
        truth = comparison.truth
        return MaskPair(oracle_mask(comparison.prediction, truth, distance), truth)

    def tables(self, total: BinarySums) -> Tables:
        """The summary; there are no classes."""
        further = zip(self._settings.boundary_f_at, total.further, strict=True)
        rows = (Row.of(f"{tolerance:g} px", {"boundary F": share / total.images}) for tolerance, share in further)
        return Tables(metrics_of(binary_scores(total)), tolerances=tuple(rows))

    def layer(self, comparison: MaskPair) -> Layer:
        """1 for the mask."""
        return self.truth_layer(comparison.prediction)

    def truth_layer(self, truth: BoolArray) -> Layer:
        """1 for the mask."""
        return Layer(truth.astype(np.int32), {1: MASK})


def _read_mask(side: PredictionSet, item: Item | None, pair: Pair) -> BoolArray:
    """The mask of an image: bool, (H, W)."""
    if item is None:
        raise BprError(f"{pair.name} has no mask")
    masks = side.read(item)
    if isinstance(masks, LabelMap):
        raise BprError(f"{side.file(item)} is a label map, expected a binary mask")
    return masks[0].to_array()
