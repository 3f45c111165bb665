"""How much refinement may change a segment: the interior it keeps, and limits beyond which it stays unrefined."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.patches.paste import union
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.typing import BoolArray, FloatArray, IntArray
from bpr_cli.weights.card import WeightsCard

NO_INTERIOR = 1.0
"""No pixel is that deep: the centre of a disc, the deepest of all, is at 0.56 of the square root of its area."""


@dataclass(frozen=True)
class Changes:
    """How the pixels of M segments changed, from the coarse to the refined prediction; all int64, (M,).

    Attributes:
        area: of the coarse segments, in pixels.
        lost: pixels that only the coarse segment has.
        gained: pixels that only the refined segment has.
    """

    area: IntArray
    lost: IntArray
    gained: IntArray

    @property
    def resized(self) -> IntArray:
        """Pixels by which the areas grew or shrank: int64, (M,)."""
        resized: IntArray = np.abs(self.gained - self.lost)
        return resized


@dataclass(frozen=True)
class Limits:
    """What a refined segment must have in common with the coarse one.

    Attributes:
        max_area_change: how much the area may grow or shrink, as a fraction of the coarse area; None for no limit.
        min_iou: IoU with the coarse mask, 0..1; None for no limit.
        core: masks keep the pixels farther inside than this fraction of the square root of their area, 0..1.
    """

    max_area_change: float | None = None
    min_iou: float | None = None
    core: float = NO_INTERIOR

    @classmethod
    def of(cls, settings: RefineSettings, card: WeightsCard) -> Limits:
        """The limits that the settings state, or else the weights."""
        core = card.core if settings.core is None else settings.core
        return cls(settings.max_area_change, settings.min_iou_with_coarse, core)

    @property
    def may_restore(self) -> bool:
        """Whether a segment can get its coarse pixels back at all."""
        return self.max_area_change is not None or self.min_iou is not None

    def exceeded(self, changes: Changes) -> BoolArray:
        """Which segments are beyond a limit or have lost all their pixels: bool, (M,)."""
        area = changes.area
        exceeded: BoolArray = (area > 0) & (changes.lost == area) & (changes.gained == 0)
        if self.max_area_change is not None:
            exceeded |= changes.resized > self.max_area_change * area
        if self.min_iou is not None:
            exceeded |= area - changes.lost < self.min_iou * (area + changes.gained)
        return exceeded


def mask_changes(coarse: tuple[Mask, ...], refined: tuple[Mask, ...]) -> Changes:
    """The changes of masks, in their order."""
    area, after, shared = (np.zeros(len(coarse), dtype=np.int64) for _ in range(3))
    for number, (before, now) in enumerate(zip(coarse, refined, strict=True)):
        area[number], after[number], shared[number] = before.area, now.area, before.shared_area(now)
    return Changes(area, area - shared, after - shared)


def label_changes(coarse: LabelMap, refined: LabelMap) -> Changes:
    """The changes of the labels that are not void, in ascending order.

    Args:
        coarse: before refinement.
        refined: of the same size, with the same void pixels and without further labels.
    """
    runs = Runs.of(coarse.labels, refined.labels)
    before, after = runs.values
    known = ~np.isin(before, list(coarse.void))
    labels, before = np.unique(before[known], return_inverse=True)
    after = np.searchsorted(labels, after[known])
    lengths = runs.lengths[known]
    moved, count = np.where(before != after, lengths, 0), len(labels)
    return Changes(weigh(before, lengths, count), weigh(before, moved, count), weigh(after, moved, count))


def limit_masks(coarse: tuple[Mask, ...], refined: tuple[Mask, ...], limits: Limits) -> tuple[tuple[Mask, ...], int]:
    """Replace the masks that are beyond a limit by their coarse masks; also gives their number."""
    if not limits.may_restore:
        return refined, 0
    exceeded = limits.exceeded(mask_changes(coarse, refined))
    masks = (before if back else after for before, after, back in zip(coarse, refined, exceeded, strict=True))
    return tuple(masks), int(exceeded.sum())


def limit_labels(coarse: LabelMap, refined: LabelMap, limits: Limits) -> tuple[LabelMap, int]:
    """Give the labels that are beyond a limit exactly their coarse pixels back; also gives their number.

    Such a label takes back the pixels it lost, and those it gained get their coarse labels again. This changes other
    labels; those that it puts beyond a limit, or leaves without a pixel, get their coarse pixels back as well. So every
    label is within the limits or as it was.
    """
    if not limits.may_restore:
        return refined, 0
    runs = Runs.of(coarse.labels)
    labels, numbers = np.unique(runs.values[0], return_inverse=True)
    area = weigh(numbers, runs.lengths, len(labels))
    # Only pixels where the maps differ matter. There, a label is its index among the labels.
    places = np.flatnonzero(coarse.labels != refined.labels)
    before, after = (np.searchsorted(labels, each.labels.ravel()[places]) for each in (coarse, refined))
    kept = np.zeros(len(labels), dtype=bool)
    while True:
        back = kept[before] | kept[after]
        now = np.where(back, before, after)
        lost, gained = (np.bincount(side[now != before], minlength=len(labels)) for side in (before, now))
        exceeded = limits.exceeded(Changes(area, lost, gained)) & ~kept
        if not exceeded.any():
            break
        kept |= exceeded
    limited = refined.labels.copy()
    limited.ravel()[places] = labels[now]
    return LabelMap(limited, refined.void), int(kept.sum())


def keep_interior(coarse: Mask, refined: Mask, core: float) -> Mask:
    """Give a refined mask the interior of the coarse one back.

    A patch inside a small object may show edges that are not its outline, such as the letters of a sign. Where the
    network takes such pixels for background, the coarse mask is right: they are too deep to be errors of its boundary.

    Args:
        coarse: before refinement.
        refined: of the same image.
        core: interior are the pixels of the coarse mask whose distance to the nearest background pixel, all around the
            image being background, exceeds this fraction of the square root of its area, 0..1.
    """
    if core >= NO_INTERIOR:
        return refined
    lost = coarse.crop & ~refined.window(coarse.box)
    if not lost.any():
        return refined
    lost &= distance_inside(coarse.crop) > core * math.sqrt(coarse.area)
    if not lost.any():
        return refined
    box = union(coarse.box, refined.box)
    return Mask.from_array(refined.window(box) | Mask(coarse.size, coarse.box, lost).window(box), box[:2], coarse.size)


def distance_inside(crop: BoolArray) -> FloatArray:
    """Distance in pixels of every foreground pixel to the nearest background pixel, all around being background.

    Args:
        crop: bool, (h, w).

    Returns:
        float32, (h, w), 0 on background.
    """
    framed = np.pad(crop, 1).astype(np.uint8)
    return cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1].astype(np.float32, copy=False)
