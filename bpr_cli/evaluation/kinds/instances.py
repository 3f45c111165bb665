"""What both kinds of instance evaluation, COCO's and that of Cityscapes, do with the masks of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.instance import ScoredMask, TruthMask
from bpr_cli.evaluation.instance.overlaps import Floats, overlaps
from bpr_cli.evaluation.oracle import oracle_mask
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask
from bpr_cli.patches.boundary import grow
from bpr_cli.typing import Box, Size

MATCHED = 0.5
"""A predicted mask is taken for the true one whose IoU with it is above this, as for training."""


def read_scored(scored: PredictionSet, item: Item | None) -> list[ScoredMask]:
    """The predicted masks of an image, none where there is no item.

    Raises:
        BprError: a record is broken or has no score.
    """
    if item is None:
        return []
    segments = []
    for number, (mask, record) in enumerate(zip(_masks(scored, item), scored.records(item), strict=True)):
        if record.score is None:
            raise BprError(
                f"{scored.file(item)}: mask {number} of image {item.name} has no score, expected a number; "
                "ground truth has none, so check that the two are not swapped"
            )
        segments.append(ScoredMask(mask, record.category, record.score, record.area))
    return segments


def read_true(truth: PredictionSet, item: Item | None) -> list[TruthMask]:
    """The true masks of an image, none where there is no item."""
    if item is None:
        return []
    pairs = zip(_masks(truth, item), truth.records(item), strict=True)
    return [TruthMask(mask, record.category, record.crowd, record.area) for mask, record in pairs]


def _masks(side: PredictionSet, item: Item) -> tuple[Mask, ...]:
    read = side.read(item)
    if isinstance(read, LabelMap):
        raise BprError(f"{side.file(item)} is a label map, expected masks of instances")
    return read


def best_overlaps(
    content: Sequence[ScoredMask], truth: Sequence[TruthMask], names: Mapping[int, str]
) -> list[tuple[str, float]]:
    """Category and IoU of every true mask but crowds with its best prediction; unnamed categories are left out.

    Returns:
        One entry for each, in the order of the ground truth.
    """
    best: dict[int, float] = {}
    for category in {segment.category for segment in truth}:
        found, true, table = _table(content, truth, category)
        if found and true:
            best.update(zip(true, table.max(axis=0).tolist(), strict=True))
    return [
        (names[segment.category], best.get(number, 0.0))
        for number, segment in enumerate(truth)
        if segment.category in names and not segment.crowd
    ]


def _table(
    content: Sequence[ScoredMask], truth: Sequence[TruthMask], category: int
) -> tuple[list[int], list[int], Floats]:
    """Numbers of the predicted and the true masks of a category, without crowds, and their IoU (D, G)."""
    found = [number for number, segment in enumerate(content) if segment.category == category]
    true = [number for number, segment in enumerate(truth) if segment.category == category and not segment.crowd]
    masks = [content[number].mask for number in found], [truth[number].mask for number in true]
    return found, true, overlaps(*masks, np.zeros(len(true), dtype=bool), 0.0)


def partners(content: Sequence[ScoredMask], truth: Sequence[TruthMask], least: float) -> dict[int, int]:
    """For predicted masks, the true mask of their category with the largest IoU, where that is above ``least``."""
    chosen = {}
    for category in {segment.category for segment in truth}:
        found, true, table = _table(content, truth, category)
        if found and true:
            best = table.argmax(axis=1)
            chosen.update({d: true[g] for d, g, row in zip(found, best, table, strict=True) if row[g] > least})
    return chosen


def oracle_masks(content: Sequence[ScoredMask], truth: Sequence[TruthMask], distance: int) -> list[ScoredMask]:
    """The predicted masks, made right near their boundaries where they have a true counterpart."""
    chosen = partners(content, truth, MATCHED)
    return [
        ScoredMask(
            _right_near(segment.mask, truth[chosen[number]].mask, distance) if number in chosen else segment.mask,
            segment.category,
            segment.score,
            segment.area,
        )
        for number, segment in enumerate(content)
    ]


def _right_near(mask: Mask, truth: Mask, distance: int) -> Mask:
    if mask.box == EMPTY_BOX:
        return mask
    # Nothing further from the mask than the distance changes.
    window: Box = grow(mask.box, distance + 1, mask.size)
    right = oracle_mask(mask.window(window), truth.window(window), distance)
    return Mask.from_array(right, (window[0], window[1]), mask.size)


def layer_of(content: Sequence[ScoredMask], truth: Sequence[TruthMask], size: Size) -> NDArray[np.int32]:
    """The predicted masks as a map: the number of the true counterpart, others after those; the best on top."""
    chosen = partners(content, truth, 0.0)
    numbers = {number: chosen.get(number, len(truth) + number) + 1 for number in range(len(content))}
    order = sorted(range(len(content)), key=lambda number: content[number].score)
    return draw([(content[number].mask, numbers[number]) for number in order], size)


def draw(masks: Sequence[tuple[Mask, int]], size: Size) -> NDArray[np.int32]:
    """Masks with their numbers on a map of 0, int32 (H, W); later ones cover earlier ones."""
    layer = np.zeros(size, dtype=np.int32)
    for mask, number in masks:
        x0, y0, x1, y1 = mask.box
        layer[y0:y1, x0:x1][mask.crop] = number
    return layer


def size_of(size: Size | None, *segments: Sequence[ScoredMask] | Sequence[TruthMask]) -> Size:
    """(H, W) of an image that may have no masks; one pixel where nothing tells."""
    stated = (segment.mask.size for group in segments for segment in group)
    return size or next(stated, (1, 1))
