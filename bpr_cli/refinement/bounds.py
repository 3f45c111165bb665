"""Bounds to what refinement may do to a segment: one that went beyond them keeps its coarse mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.refinement.changes import Changes, changes_of


@dataclass(frozen=True)
class Bounds:
    """What a refined segment must have in common with its coarse mask; None sets no bound.

    Attributes:
        max_area_change: how much the area may grow or shrink, as a fraction of the coarse area.
        min_iou: IoU with the coarse mask, 0..1.
    """

    max_area_change: float | None = None
    min_iou: float | None = None

    @property
    def given(self) -> bool:
        """Whether there is a bound at all."""
        return self.max_area_change is not None or self.min_iou is not None

    def crossed(self, changes: Changes) -> NDArray[np.bool_]:
        """Which segments went beyond a bound or lost all of their pixels: bool, (M,)."""
        area = changes.area
        crossed: NDArray[np.bool_] = (area > 0) & (changes.lost == area) & (changes.gained == 0)
        if self.max_area_change is not None:
            crossed |= changes.resized > self.max_area_change * area
        if self.min_iou is not None:
            crossed |= area - changes.lost < self.min_iou * (area + changes.gained)
        return crossed


@dataclass(frozen=True)
class Bounded:
    """A refined prediction within its bounds.

    Attributes:
        prediction: the refined one.
        kept: number of its segments that keep their coarse masks because of a bound.
    """

    prediction: Prediction
    kept: int


def bound(coarse: Prediction, refined: Prediction, bounds: Bounds) -> Bounded:
    """Give the segments that went beyond a bound their coarse masks back.

    In a label map such a label gets exactly its coarse pixels: it takes back those that it lost, and those that it
    gained take their coarse labels again. This changes other labels, and the ones that it puts beyond a bound, or
    leaves without a pixel, get theirs back as well. So every label either is within the bounds or is as it was.

    Args:
        coarse: before refinement.
        refined: the same masks in the same order, or a label map of the same size.
        bounds: what to hold to.
    """
    if not bounds.given:
        return Bounded(refined, 0)
    if isinstance(coarse, LabelMap) and isinstance(refined, LabelMap):
        return _bound_labels(coarse, refined, bounds)
    if isinstance(coarse, LabelMap) or isinstance(refined, LabelMap):
        raise TypeError("a label map and masks have no pixels to compare")
    return _bound_masks(coarse, refined, bounds)


def _bound_masks(coarse: tuple[Mask, ...], refined: tuple[Mask, ...], bounds: Bounds) -> Bounded:
    crossed = bounds.crossed(changes_of(coarse, refined))
    masks = (old if back else new for old, new, back in zip(coarse, refined, crossed, strict=True))
    return Bounded(tuple(masks), int(crossed.sum()))


def _bound_labels(coarse: LabelMap, refined: LabelMap, bounds: Bounds) -> Bounded:
    stretches = Runs.of(coarse.labels)
    labels, numbers = np.unique(stretches.values[0], return_inverse=True)
    area = weigh(numbers, stretches.lengths, len(labels))
    # Only where the maps differ is anything to be decided; there, a label is its place among the labels.
    places = np.flatnonzero(coarse.labels != refined.labels)
    before, after = (np.searchsorted(labels, each.labels.ravel()[places]) for each in (coarse, refined))
    kept = np.zeros(len(labels), dtype=bool)
    while True:
        back = kept[before] | kept[after]
        now = np.where(back, before, after)
        lost, gained = (np.bincount(side[now != before], minlength=len(labels)) for side in (before, now))
        crossed = bounds.crossed(Changes(area, lost, gained)) & ~kept
        if not crossed.any():
            break
        kept |= crossed
    bounded = refined.labels.copy()
    bounded.ravel()[places] = labels[now]
    return Bounded(LabelMap(bounded, refined.void), int(kept.sum()))
