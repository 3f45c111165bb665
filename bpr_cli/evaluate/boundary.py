"""How well one binary mask agrees with another: region (IoU) and contour (boundary F-score).

The boundary F-score is the measure of the DAVIS benchmark (Perazzi et al., CVPR 2016), the one that GSCNN and
SegFix report for semantic segmentation, with the tolerance given in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks import BoolArray


def iou(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Intersection over union of two (H, W) masks, non-zero is foreground; 1 when both are empty."""
    mask, truth = _as_pair(mask, truth)
    union = np.count_nonzero(mask | truth)
    return float(np.count_nonzero(mask & truth) / union) if union else 1.0


def boundary_f(mask: NDArray[np.generic], truth: NDArray[np.generic], tolerance: float = 1.0) -> float:
    """Boundary F-score of two masks: harmonic mean of the boundary pixels' precision and recall.

    A boundary pixel of one mask counts as right when a boundary pixel of the other lies within the tolerance.
    Two masks without any boundary agree (1); when only one of them has a boundary the score is 0. A mask that
    covers the whole image has no boundary, as an empty one: the frame of the image is not a boundary.

    Args:
        mask: (H, W), non-zero is foreground.
        truth: (H, W), non-zero is foreground.
        tolerance: greatest distance in pixels, measured between pixel centres; 0 asks for the very pixel.

    Returns:
        A figure from 0 to 1.
    """
    mask, truth = _as_pair(mask, truth)
    if tolerance < 0:
        raise ValueError(f"tolerance must be 0 pixels or more, got {tolerance}")
    boundary, true_boundary = boundary_map(mask), boundary_map(truth)
    found, expected = np.count_nonzero(boundary), np.count_nonzero(true_boundary)
    if not found or not expected:
        return float(found == expected)
    disc = _disc(tolerance)
    precision = np.count_nonzero(boundary & _dilate(true_boundary, disc)) / found
    recall = np.count_nonzero(true_boundary & _dilate(boundary, disc)) / expected
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary_map(mask: BoolArray) -> BoolArray:
    """Boundary pixels of an (H, W) mask: those that differ from their right, lower or lower right neighbour.

    This is ``seg2bmap`` of the DAVIS tools: the contour is one pixel wide and lies half a pixel to the upper left
    of the step between background and foreground. Neighbours outside the image are not compared.
    """
    boundary = np.zeros(mask.shape, dtype=bool)
    boundary[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    boundary[:-1, :] |= mask[:-1, :] ^ mask[1:, :]
    boundary[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return boundary


def _as_pair(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> tuple[BoolArray, BoolArray]:
    """Both masks as bool arrays, checked to be two-dimensional and of one size."""
    if mask.ndim != 2 or mask.shape != truth.shape:
        raise ValueError(f"mask and truth must be (H, W) arrays of one size, got shapes {mask.shape} and {truth.shape}")
    return mask != 0, truth != 0


def _disc(radius: float) -> NDArray[np.uint8]:
    """Structuring element that holds the pixels within ``radius`` of its centre: uint8, odd side."""
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc: BoolArray = x * x + y * y <= radius * radius
    return disc.astype(np.uint8)


def _dilate(mask: BoolArray, element: NDArray[np.uint8]) -> BoolArray:
    """Morphological dilation; outside the image there is no foreground."""
    dilated = cv2.dilate(mask.astype(np.uint8), element, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(dilated, dtype=bool)
