"""Checks shared by several metric families."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import in_pixels


def check_map(labels: NDArray[np.generic], name: str) -> None:
    """Check that an array is a map of whole numbers.

    Raises:
        BprError: the array is not (H, W), has no pixel, or does not hold integers.
    """
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise BprError(
            f"{name} is an array of shape {labels.shape} and type {labels.dtype}, expected (H, W) whole numbers"
        )


def check_sizes(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    """Check that two maps have the same size.

    Raises:
        BprError: the sizes differ.
    """
    if prediction.shape != truth.shape:
        found, expected = (in_pixels((shape[0], shape[1])) for shape in (prediction.shape, truth.shape))
        raise BprError(f"the prediction is {found}, expected the {expected} of the ground truth")
