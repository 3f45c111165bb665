"""The oracle upper bound of boundary refinement: predictions corrected near their own boundary (BPR, Table 1).

Distances are measured from the predicted boundary, because a refinement knows no other. A pixel with a 4-neighbour of
another label has distance 1. Any other pixel has 1 plus its Euclidean distance (between pixel centres) to the nearest
such pixel. The border of the image is not a boundary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.boundary import dilate, disc_of
from bpr_cli.evaluation.evaluator import check_sizes
from bpr_cli.evaluation.label_boundary import label_steps
from bpr_cli.typing import BoolArray


def oracle_labels(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], void: frozenset[int], distance: float
) -> NDArray[np.integer]:
    """The predicted labels, replaced by the true labels within ``distance`` pixels of the predicted boundary.

    Args:
        prediction: predicted labels, (H, W).
        truth: true labels, (H, W).
        void: void labels of the ground truth; there the prediction is kept.
        distance: distance in pixels; below 1 nothing changes.

    Returns:
        (H, W), a new array of the prediction's dtype.

    Raises:
        BprError: the maps differ in size.
    """
    check_sizes(prediction, truth)
    near = near_boundary(prediction, distance)
    near &= ~np.isin(truth, list(void))
    return np.where(near, truth, prediction).astype(prediction.dtype)


def oracle_mask(prediction: BoolArray, truth: BoolArray, distance: float) -> BoolArray:
    """The predicted mask, replaced by the true mask within ``distance`` pixels of its boundary; all bool, (H, W)."""
    return oracle_labels(prediction.view(np.uint8), truth.view(np.uint8), frozenset(), distance).view(np.bool_)


def near_boundary(labels: NDArray[np.integer], distance: float) -> BoolArray:
    """Pixels within ``distance`` pixels of a boundary between labels: (H, W) to bool, (H, W)."""
    if distance < 1:
        return np.zeros(labels.shape, dtype=bool)
    right, below = label_steps(labels)
    right[:, 1:] |= right[:, :-1].copy()
    below[1:] |= below[:-1].copy()
    return dilate(right | below, disc_of(distance - 1))
