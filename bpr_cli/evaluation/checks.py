"""Checks that several metric families share; every message says what was found and what was expected."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError


def check_map(labels: NDArray[np.generic], name: str) -> None:
    """Check that an array is a map of whole numbers, (H, W) with at least one pixel.

    Raises:
        BprError: it is not.
    """
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise BprError(
            f"{name} is an array of shape {labels.shape} and type {labels.dtype}, expected (H, W) whole numbers"
        )


def check_sizes(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    """Check that two maps are of one size.

    Raises:
        BprError: they are not.
    """
    if prediction.shape != truth.shape:
        raise BprError(
            f"the prediction is {_size(prediction)} pixels, expected the {_size(truth)} pixels of the ground truth"
        )


def check_boundary_settings(tolerance: float | None, dilation_ratio: float | None) -> None:
    """Check the widths of boundary metrics; None leaves a metric out.

    Raises:
        BprError: the tolerance is negative or the dilation ratio not above 0.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise BprError(f"the tolerance is {tolerance}, expected 0 or more pixels (below 1: a fraction of the diagonal)")
    if dilation_ratio is not None and not 0 < dilation_ratio <= 1:
        raise BprError(f"the dilation ratio is {dilation_ratio}, expected a fraction of the diagonal above 0, up to 1")


def _size(array: NDArray[np.generic]) -> str:
    """Size as people write it: width x height."""
    return " x ".join(str(side) for side in reversed(array.shape))
