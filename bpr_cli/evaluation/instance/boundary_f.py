"""AF of instances: how exact the contours of the masks are that were found.

Definition. A pair is a predicted mask with the true mask it finds at an IoU threshold, under the matching of the
benchmark at hand (COCO or Cityscapes); both count there: no crowds, no ignored segments, no second finds. F of a pair
is the boundary F-score of the DAVIS benchmark (``boundary_f``), at a tolerance of 1 pixel unless another is asked for.

- F of a category at a threshold is the mean over its pairs in all images.
- AF of a category is the mean over the IoU thresholds 0.5, 0.55 .. 0.95 at which it has a pair.
- AF is the mean over the categories that have an AF.

The paper of Boundary Patch Refinement (Tang et al., CVPR 2021) reports AF over true positives, averaged over
categories and thresholds, without saying what an absence of pairs counts. Here it is left out and not counted as 0: AF
tells how exact contours are, AP already tells how much is missed, and a threshold that nothing reaches says
nothing of contours. The number of pairs is given along, since few pairs make a figure noisy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.boundary import boundary_map, contour_f, tolerance_pixels
from bpr_cli.evaluation.instance.matching import NO_PARTNER, Partners
from bpr_cli.evaluation.instance.overlaps import Floats, Ints
from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.patches.boundary import grow
from bpr_cli.typing import Box

TOLERANCE = 1.0
"""Greatest distance of a right boundary pixel, in pixels."""


@dataclass(frozen=True)
class BoundaryFTable:
    """AF and what it is made of; NaN where there is no pair. K categories, T IoU thresholds.

    Attributes:
        af: the mean over categories.
        per_category: AF of every category.
        scores: F of every category and threshold, (K, T), in the order of the categories.
        pairs: number of pairs of every category and threshold, (K, T).
    """

    af: float
    per_category: dict[int, float]
    scores: Floats
    pairs: Ints


def mask_boundary_f(found: Mask, true: Mask, tolerance: float = TOLERANCE) -> float:
    """``boundary_f`` of two masks of one image, measured on the window that holds both contours."""
    window = _window(found, true)
    contours = boundary_map(found.window(window)), boundary_map(true.window(window))
    return contour_f(*contours, tolerance_pixels(tolerance, found.size))


def _window(found: Mask, true: Mask) -> Box:
    """Both boxes and one more pixel on every side: beyond it nothing changes."""
    boxes = [mask.box for mask in (found, true) if mask.crop.size]
    if not boxes:
        return EMPTY_BOX
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    return grow((x0, y0, x1, y1), 1, found.size)


def sum_boundary_f(
    found: Sequence[Mask], true: Sequence[Mask] | Mapping[int, Mask], partners: Partners, tolerance: float
) -> tuple[Floats, Ints]:
    """Sum of F over the pairs of every threshold, and the number of pairs; the pairs of one image and category.

    Args:
        found: D predicted masks.
        true: the true masks, by index; at least those that have a partner.
        partners: (D, T), index of the true mask that makes a pair with the predicted one, or ``NO_PARTNER``.
        tolerance: in pixels; below 1 a fraction of the image's diagonal.

    Returns:
        float64 (T,) and int64 (T,).
    """
    sums = np.zeros(partners.shape[1])
    for d, row in enumerate(partners):
        for g in set(row.tolist()) - {NO_PARTNER}:
            sums[row == g] += mask_boundary_f(found[d], true[g], tolerance)
    return sums, np.count_nonzero(partners != NO_PARTNER, axis=0)


def average_boundary_f(categories: Sequence[int], sums: Floats, pairs: Ints) -> BoundaryFTable:
    """AF from the sums over all images, (K, T) each."""
    scores = np.where(pairs > 0, sums / np.maximum(pairs, 1), np.nan)
    per_category = {category: mean_of_defined(scores[k]) for k, category in enumerate(categories)}
    return BoundaryFTable(mean_of_defined(np.array(list(per_category.values()))), per_category, scores, pairs)


def mean_of_defined(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
