"""How the pixels of segments changed from the coarse to the refined prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.masks.runs import Runs, weigh

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """How the pixels of M segments changed; all int64, (M,).

    Attributes:
        area: of the coarse masks.
        lost: pixels of the coarse mask that the refined one does not have.
        gained: pixels of the refined mask that the coarse one did not have.
    """

    area: Counts
    lost: Counts
    gained: Counts

    @property
    def resized(self) -> Counts:
        """Pixels by which the areas grew or shrank: int64, (M,)."""
        resized: Counts = np.abs(self.gained - self.lost)
        return resized


def changes_of(coarse: Prediction, refined: Prediction) -> Changes:
    """What became of every segment of an image: of masks in their order, of labels that are not void ascending.

    Args:
        coarse: before refinement.
        refined: the same masks in the same order, or a label map of the same size without further labels and with the
            same void pixels.
    """
    if isinstance(coarse, LabelMap) and isinstance(refined, LabelMap):
        return _changes_of_labels(coarse, refined)
    if isinstance(coarse, LabelMap) or isinstance(refined, LabelMap):
        raise TypeError("a label map and masks have no pixels to compare")
    return _changes_of_masks(coarse, refined)


def _changes_of_masks(coarse: tuple[Mask, ...], refined: tuple[Mask, ...]) -> Changes:
    area, after, shared = (np.zeros(len(coarse), dtype=np.int64) for _ in range(3))
    for number, (before, now) in enumerate(zip(coarse, refined, strict=True)):
        area[number], after[number], shared[number] = before.area, now.area, before.shared_area(now)
    return Changes(area, area - shared, after - shared)


def _changes_of_labels(coarse: LabelMap, refined: LabelMap) -> Changes:
    stretches = Runs.of(coarse.labels, refined.labels)
    before, after = stretches.values
    known = ~np.isin(before, list(coarse.void))
    labels, before = np.unique(before[known], return_inverse=True)
    after = np.searchsorted(labels, after[known])
    lengths = stretches.lengths[known]
    moved, count = np.where(before != after, lengths, 0), len(labels)
    return Changes(weigh(before, lengths, count), weigh(before, moved, count), weigh(after, moved, count))
