"""Instances of one image: predicted and true masks, their overlaps, and their correspondence.

Shape letters: D predicted masks, G masks of the ground truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluator import SegmentIou
from bpr_cli.evaluation.oracle import oracle_mask
from bpr_cli.evaluation.report.layers import Layer
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.coded_masks import CodedMask, coded_overlaps
from bpr_cli.masks.masks import EMPTY_BOX, Mask, in_pixels
from bpr_cli.patches.boxes import grow
from bpr_cli.typing import BoolArray, Box, DoubleArray, IntArray, Size

MATCHED = 0.5
"""The oracle corrects predicted masks whose IoU with a true mask exceeds this value; BPR trains on such masks."""

ImageKey = int | str
"""Key of an image; the order of the keys breaks ties between equal scores."""


@dataclass(frozen=True)
class ScoredMask:
    """A predicted mask.

    Attributes:
        mask: its pixels.
        category: id of its category.
        score: confidence, any number that is not NaN; only the order matters.
        area: area in pixels for the size range; None counts the pixels of the mask. If a results file has boxes,
            pycocotools uses the area of the bounding box; pass that area to get the same scores.
    """

    mask: Mask
    category: int
    score: float
    area: float | None = None

    @property
    def sorting_area(self) -> float:
        """The area that decides whether it is small, medium or large, in pixels."""
        return self.mask.area if self.area is None else self.area


@dataclass(frozen=True)
class TruthMask:
    """A mask of the ground truth.

    Attributes:
        mask: its pixels.
        category: id of its category.
        crowd: whether it is a group of objects; any number of predictions may lie in it, and none of them counts.
        area: area in pixels from the annotation; None counts the pixels of the mask.
        ignore: whether neither a match nor a miss counts. pycocotools overwrites this flag of an annotation by
            ``crowd``; boundary-iou-api keeps it.
    """

    mask: Mask
    category: int
    crowd: bool = False
    area: float | None = None
    ignore: bool = False

    @property
    def sorting_area(self) -> float:
        """The area that decides whether it is small, medium or large, in pixels."""
        return self.mask.area if self.area is None else self.area


def check_segments(
    image: ImageKey, predictions: Sequence[ScoredMask], truths: Sequence[TruthMask], size: Size | None = None
) -> None:
    """Check the masks of one image.

    Args:
        image: key of the image, for messages.
        predictions: D predicted masks.
        truths: G true masks.
        size: (H, W) of the image; None takes the size of the first mask.

    Raises:
        BprError: a score is NaN, or the masks differ in size.
    """
    for index, segment in enumerate(predictions):
        if math.isnan(segment.score):
            raise BprError(f"image {image!r}: prediction {index} has the score {segment.score}, expected a number")
    masks = [(f"truth {index}", segment.mask) for index, segment in enumerate(truths)]
    masks += [(f"prediction {index}", segment.mask) for index, segment in enumerate(predictions)]
    for name, mask in masks:
        size = size or mask.size
        if mask.size != size:
            raise BprError(
                f"image {image!r}: {name} has a mask of {in_pixels(mask.size)}, expected {in_pixels(size)} like the "
                "other masks of the image"
            )


def read_scored(scored: PredictionSet, item: Item | None) -> list[ScoredMask]:
    """The predicted masks of an image, as far as they can be read; empty without an item."""
    segments = scored.segments(item, "measured") if item else []
    return [
        ScoredMask(mask, record.category, record.score, record.area)
        for mask, record in segments
        if record.score is not None
    ]


def read_truths(truth: PredictionSet, item: Item | None) -> list[TruthMask]:
    """The true masks of an image, as far as they can be read; empty without an item."""
    segments = truth.segments(item, "truth") if item else []
    return [TruthMask(mask, record.category, record.crowd, record.area) for mask, record in segments]


def overlaps(found: Sequence[Mask], true: Sequence[Mask], crowd: BoolArray) -> DoubleArray:
    """IoU of every predicted mask with every true mask; for a crowd, the share of the predicted mask inside it.

    The result equals ``pycocotools.mask.iou`` to the last bit. It comes from run lengths if all masks have them. Shared
    pixels of crops are counted, which is cheaper than encoding them; bounding boxes rule out most pairs.

    Args:
        found: D predicted masks.
        true: G true masks.
        crowd: bool, (G,), whether a true mask is a crowd.

    Returns:
        float64, (D, G).
    """
    if found and true and _are_coded(found) and _are_coded(true):
        return coded_overlaps(found, true, crowd)
    shared = _box_intersections(_boxes(found), _boxes(true))
    for d, g in np.argwhere(shared > 0).tolist():
        shared[d, g] = found[d].shared_area(true[g])
    found_areas, true_areas = _areas(found), _areas(true)
    whole = np.where(crowd[None], found_areas[:, None], found_areas[:, None] + true_areas[None] - shared)
    return np.where(shared > 0, shared / np.maximum(whole, 1), 0.0)


def _are_coded(masks: Sequence[Mask]) -> TypeGuard[Sequence[CodedMask]]:
    return all(isinstance(mask, CodedMask) for mask in masks)


def _areas(masks: Sequence[Mask]) -> IntArray:
    return np.array([mask.area for mask in masks], dtype=np.int64)


def _boxes(masks: Sequence[Mask]) -> IntArray:
    return np.array([mask.box for mask in masks], dtype=np.int64).reshape(-1, 4)


def _box_intersections(found: IntArray, true: IntArray) -> IntArray:
    """Pixels shared by each pair of two sets of boxes, (D, 4) and (G, 4): (D, G)."""
    top_left = np.maximum(found[:, None, :2], true[None, :, :2])
    bottom_right = np.minimum(found[:, None, 2:], true[None, :, 2:])
    shared: IntArray = np.prod(np.maximum(bottom_right - top_left, 0), axis=2)
    return shared


@dataclass(frozen=True)
class CategoryOverlaps:
    """The masks of one category and their overlaps.

    Attributes:
        found: positions of the D masks among all predicted masks of the image.
        true: positions of the G masks among all true masks of the image.
        iou: float64, (D, G), from ``overlaps``.
    """

    found: list[int]
    true: list[int]
    iou: DoubleArray


@dataclass(frozen=True)
class InstanceComparison:
    """The predicted and true masks of one image with their overlaps.

    Attributes:
        predictions: predicted masks in the order of the file, which breaks ties between equal scores.
        truths: true masks in the order of the file.
        size: (H, W) of the image.
        overlaps: overlaps by category, for all categories that both sides have.
    """

    predictions: list[ScoredMask]
    truths: list[TruthMask]
    size: Size
    overlaps: Mapping[int, CategoryOverlaps]

    def best_ious(self, names: Mapping[int, str]) -> list[SegmentIou]:
        """Every true mask with its category and its IoU with the best prediction.

        Crowds and unnamed categories are left out.

        Returns:
            One entry per true mask, in the order of the ground truth; the IoU is 0 without a prediction.
        """
        best: dict[int, float] = {}
        for table in self.overlaps.values():
            best.update(zip(table.true, table.iou.max(axis=0).tolist(), strict=True))
        return [
            SegmentIou(names[segment.category], best.get(number, 0.0), number + 1)
            for number, segment in enumerate(self.truths)
            if segment.category in names and not segment.crowd
        ]

    def counterparts(self, least: float) -> dict[int, int]:
        """For each predicted mask, the true mask of its category with the largest IoU, if that exceeds ``least``."""
        chosen = {}
        for table in self.overlaps.values():
            columns = [g for g, number in enumerate(table.true) if not self.truths[number].crowd]
            if columns:
                iou = table.iou[:, columns]
                best = zip(table.found, iou.argmax(axis=1).tolist(), iou.max(axis=1).tolist(), strict=True)
                chosen.update({number: table.true[columns[g]] for number, g, highest in best if highest > least})
        return chosen

    def corrected(self, distance: int) -> list[ScoredMask]:
        """The predicted masks; those with a counterpart are corrected within ``distance`` pixels of the boundary."""
        chosen = self.counterparts(MATCHED)
        return [
            replace(segment, mask=_correct_near(segment.mask, self.truths[chosen[number]].mask, distance))
            if number in chosen
            else segment
            for number, segment in enumerate(self.predictions)
        ]

    def layer(self, names: Mapping[int, str]) -> Layer:
        """The predicted masks as a map, the best on top: numbered like their counterparts, the others after those.

        Args:
            names: names of the categories; masks of others have no name.
        """
        chosen = self.counterparts(0.0)
        order = sorted(range(len(self.predictions)), key=lambda number: self.predictions[number].score)
        numbered = [(self.predictions[place], chosen.get(place, len(self.truths) + place) + 1) for place in order]
        return drawn(numbered, self.size, names)


def category_overlaps(predictions: Sequence[ScoredMask], truths: Sequence[TruthMask]) -> dict[int, CategoryOverlaps]:
    """Overlaps of the masks of one image, for all categories that both sides have."""
    found, true = positions_by_category(predictions), positions_by_category(truths)
    tables = {}
    for category in found.keys() & true.keys():
        found_masks = [predictions[number].mask for number in found[category]]
        true_masks = [truths[number].mask for number in true[category]]
        crowd = np.array([truths[number].crowd for number in true[category]], dtype=bool)
        tables[category] = CategoryOverlaps(found[category], true[category], overlaps(found_masks, true_masks, crowd))
    return tables


def positions_by_category(segments: Sequence[ScoredMask] | Sequence[TruthMask]) -> dict[int, list[int]]:
    """Positions of the masks by category."""
    positions: dict[int, list[int]] = {}
    for number, category in enumerate(segment.category for segment in segments):
        positions.setdefault(category, []).append(number)
    return positions


def _correct_near(mask: Mask, truth: Mask, distance: int) -> Mask:
    if mask.box == EMPTY_BOX:
        return mask
    # No pixel changes that is farther from the mask than the distance.
    window: Box = grow(mask.box, distance + 1, mask.size)
    right = oracle_mask(mask.window(window), truth.window(window), distance)
    return Mask.from_array(right, (window[0], window[1]), mask.size)


def drawn(segments: Sequence[tuple[ScoredMask | TruthMask, int]], size: Size, names: Mapping[int, str]) -> Layer:
    """Masks with their numbers on a map of (H, W); later masks cover earlier ones."""
    labels = np.zeros(size, dtype=np.int32)
    for segment, number in segments:
        x0, y0, x1, y1 = segment.mask.box
        labels[y0:y1, x0:x1][segment.mask.crop] = number
    return Layer(labels, {number: names.get(segment.category, "") for segment, number in segments})
