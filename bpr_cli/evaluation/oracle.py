"""The head-room of boundary refinement: predictions that are right near their own boundary (BPR, Table 1).

Distance is counted from the predicted boundary, the only one that a refinement can know: a pixel beside one of
another label (right, left, above or below) is at distance 1, and any other pixel 1 further than its Euclidean distance
(between pixel centres) to the nearest of those. The frame of the image is not a boundary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.boundary import dilate, disc_of
from bpr_cli.evaluation.checks import check_sizes
from bpr_cli.evaluation.label_boundary import label_steps
from bpr_cli.typing import BoolArray


def oracle_labels(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], void: frozenset[int], distance: float
) -> NDArray[np.integer]:
    """The predicted labels, with the true ones within ``distance`` pixels of the predicted boundary.

    Args:
        prediction: (H, W) labels.
        truth: (H, W) labels.
        void: labels of the truth that say nothing; there the prediction is kept.
        distance: in pixels, 1 or more; below 1 nothing changes.

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
    """The predicted mask, with the true one within ``distance`` pixels of its boundary: bool, (H, W) all three."""
    return oracle_labels(prediction.view(np.uint8), truth.view(np.uint8), frozenset(), distance).view(np.bool_)


def near_boundary(labels: NDArray[np.integer], distance: float) -> BoolArray:
    """Pixels within ``distance`` pixels of the boundaries between the labels of an (H, W) map: bool, (H, W)."""
    if distance < 1:
        return np.zeros(labels.shape, dtype=bool)
    right, below = label_steps(labels)
    right[:, 1:] |= right[:, :-1].copy()
    below[1:] |= below[:-1].copy()
    return dilate(right | below, disc_of(distance - 1))
