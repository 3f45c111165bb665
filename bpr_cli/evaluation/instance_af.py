"""AF of instances: the accuracy of the contours of detected masks.

A pair is a predicted mask and the true mask that it matches at an IoU threshold, with the matching of the benchmark
(COCO or Cityscapes). Both masks must count there, which excludes crowds, ignored masks and duplicates. F of a pair is
the boundary F-score of the DAVIS benchmark (``boundary_f``), with a tolerance of 1 pixel by default.

- F of a category at a threshold is the mean over its pairs in all images.
- AF of a category is the mean over the IoU thresholds 0.5, 0.55 .. 0.95 at which it has a pair.
- AF is the mean over the categories that have an AF.

The Boundary Patch Refinement paper (Tang et al., CVPR 2021) reports AF over true positives, averaged over categories
and thresholds, but does not say how a threshold without pairs counts. Here it is left out instead of counting as 0: AF
measures contours, AP already measures missed objects, and a threshold that no mask reaches says nothing about contours.

Shape letters: K categories, D predicted masks, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bpr_cli.evaluation.boundary import boundary_map, contour_f, tolerance_pixels
from bpr_cli.evaluation.coco_matching import NO_PARTNER, Partners
from bpr_cli.evaluation.evaluator import mean_of_defined
from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.patches.boundary import grow
from bpr_cli.typing import Box, DoubleArray, IntArray


def mask_boundary_f(found: Mask, true: Mask, tolerance: float) -> float:
    """``boundary_f`` of two masks of one image, computed on the window that contains both contours."""
    window = _window(found, true)
    contours = boundary_map(found.window(window)), boundary_map(true.window(window))
    return contour_f(*contours, tolerance_pixels(tolerance, found.size))


def _window(found: Mask, true: Mask) -> Box:
    """The union of both boxes with a margin of one pixel, which contains both contours."""
    boxes = [mask.box for mask in (found, true) if mask.crop.size]
    if not boxes:
        return EMPTY_BOX
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    return grow((x0, y0, x1, y1), 1, found.size)


def sum_boundary_f(
    found: Sequence[Mask], true: Sequence[Mask] | Mapping[int, Mask], partners: Partners, tolerance: float
) -> tuple[DoubleArray, IntArray]:
    """Sum of F, and number of pairs, at every threshold for one image and category.

    Args:
        found: D predicted masks.
        true: true masks by index, at least those with a partner.
        partners: (D, T), index of the true mask paired with each predicted mask, or ``NO_PARTNER``.
        tolerance: tolerance in pixels; below 1, a fraction of the image diagonal.

    Returns:
        float64 (T,) and int64 (T,).
    """
    sums = np.zeros(partners.shape[1])
    for d, row in enumerate(partners):
        for g in set(row.tolist()) - {NO_PARTNER}:
            sums[row == g] += mask_boundary_f(found[d], true[g], tolerance)
    return sums, np.count_nonzero(partners != NO_PARTNER, axis=0)


def boundary_f_by_category(sums: DoubleArray, pairs: IntArray) -> list[float]:
    """AF of every category from the sums over all images, (K, T) each; NaN without pairs."""
    scores = np.where(pairs > 0, sums / np.maximum(pairs, 1), np.nan)
    return [mean_of_defined(of_category) for of_category in scores]
