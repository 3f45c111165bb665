"""How much the masks of one image overlap, counted on their crops.

Shape letters: D predicted masks, G masks of the ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks; 0 when they share nothing, as pycocotools has it even for empty ones."""
    shared = first.shared_area(second)
    return shared / (first.area + second.area - shared) if shared else 0.0


def overlaps(found: Sequence[Mask], true: Sequence[Mask], crowd: Bools, least: float) -> Floats:
    """IoU of every predicted mask with every true one; for a crowd, the share of the predicted mask inside it.

    Equal to ``pycocotools.mask.iou`` to the last bit, but for figures below ``least``, which may be given as 0. Masks
    come as crops here, so counting shared pixels is cheaper than encoding them, and most pairs are ruled out by
    their boxes and areas alone.

    Args:
        found: D masks.
        true: G masks.
        crowd: bool, (G,).
        least: smallest figure that is needed.

    Returns:
        float64, (D, G).
    """
    found_areas, true_areas = _areas(found), _areas(true)
    at_most = np.minimum(_box_intersections(_boxes(found), _boxes(true)), found_areas[:, None])
    at_most = np.minimum(at_most, true_areas[None])
    bound = _ratio(at_most, found_areas, true_areas, crowd)
    shared = np.zeros(at_most.shape, dtype=np.int64)
    for d, g in np.argwhere((at_most > 0) & (bound >= least)).tolist():
        shared[d, g] = found[d].shared_area(true[g])
    return _ratio(shared, found_areas, true_areas, crowd)


def _ratio(shared: Ints, found_areas: Ints, true_areas: Ints, crowd: Bools) -> Floats:
    whole = np.where(crowd[None], found_areas[:, None], found_areas[:, None] + true_areas[None] - shared)
    return np.where(shared > 0, shared / np.maximum(whole, 1), 0.0)


def _areas(masks: Sequence[Mask]) -> Ints:
    return np.array([mask.area for mask in masks], dtype=np.int64)


def _boxes(masks: Sequence[Mask]) -> Ints:
    return np.array([mask.box for mask in masks], dtype=np.int64).reshape(-1, 4)


def _box_intersections(found: Ints, true: Ints) -> Ints:
    """Pixels that two sets of boxes (D, 4) and (G, 4) share: (D, G)."""
    top_left = np.maximum(found[:, None, :2], true[None, :, :2])
    bottom_right = np.minimum(found[:, None, 2:], true[None, :, 2:])
    shared: Ints = np.prod(np.maximum(bottom_right - top_left, 0), axis=2)
    return shared
