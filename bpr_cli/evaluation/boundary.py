"""Agreement of two binary masks: IoU (region), boundary F-score (contour) and boundary IoU (band).

The boundary F-score is the measure of the DAVIS benchmark (Perazzi et al., CVPR 2016), which GSCNN and SegFix also
report for semantic segmentation; the tolerance is given in pixels. Boundary IoU (Cheng et al., CVPR 2021) is the IoU of
the bands that lie inside each mask within a distance of its boundary.

All functions look only at the surroundings of the foreground, so a small mask in a large image is cheap.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.settings import DILATION_RATIO
from bpr_cli.patches.boxes import grow
from bpr_cli.typing import BoolArray, Box, Size


def iou(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Intersection over union of two (H, W) masks; non-zero is foreground. 1 if both are empty."""
    mask, truth = _as_pair(mask, truth)
    return _share(mask, truth)


def boundary_f(mask: NDArray[np.generic], truth: NDArray[np.generic], tolerance: float = 1.0) -> float:
    """Boundary F-score of two masks: the harmonic mean of precision and recall of boundary pixels.

    A boundary pixel of one mask is correct if a boundary pixel of the other mask lies within the tolerance. The score
    is 1 if neither mask has a boundary, and 0 if only one has. The border of the image is not a boundary, so a mask
    that covers the entire image has none, like an empty mask.

    Args:
        mask: (H, W), non-zero is foreground.
        truth: (H, W), non-zero is foreground.
        tolerance: largest distance between pixel centres in pixels; 0 requires the same pixel.

    Returns:
        A score from 0 to 1.
    """
    mask, truth = _as_pair(mask, truth)
    # The contour lies half a pixel to the upper left, so a margin of one pixel around the foreground contains it.
    x0, y0, x1, y1 = grow(_box_of(mask | truth), 1, (mask.shape[0], mask.shape[1]))
    boundary, true_boundary = boundary_map(mask[y0:y1, x0:x1]), boundary_map(truth[y0:y1, x0:x1])
    return contour_f(boundary, true_boundary, tolerance)


def contour_f(boundary: BoolArray, true_boundary: BoolArray, tolerance: float) -> float:
    """F-score of two boundary maps: bool, (H, W) each, or the same window of both that contains all boundary pixels."""
    if tolerance < 0:
        raise ValueError(f"tolerance must be 0 pixels or more, got {tolerance}")
    found, expected = np.count_nonzero(boundary), np.count_nonzero(true_boundary)
    if not found or not expected:
        return float(found == expected)
    disc = disc_of(tolerance)
    precision = np.count_nonzero(boundary & dilate(true_boundary, disc)) / found
    recall = np.count_nonzero(true_boundary & dilate(boundary, disc)) / expected
    return harmonic_mean(precision, recall)


def harmonic_mean(precision: float, recall: float) -> float:
    """F-score of a precision and a recall; 0 if both are 0."""
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary_map(mask: BoolArray) -> BoolArray:
    """Boundary pixels of an (H, W) mask: pixels that differ from their right, lower or lower right neighbour.

    This is ``seg2bmap`` of the DAVIS tools. The contour is one pixel wide and lies half a pixel to the upper left of
    the step between background and foreground. Neighbours outside the image are not compared.
    """
    right, lower = mask[:, :-1] ^ mask[:, 1:], mask[:-1] ^ mask[1:]
    boundary = np.zeros(mask.shape, dtype=bool)
    boundary[:, :-1] = right
    boundary[:-1] |= lower
    # A pixel that is like its right neighbour differs from the lower right one where that neighbour differs from it.
    boundary[:-1, :-1] |= lower[:, 1:]
    return boundary


def boundary_iou(
    mask: NDArray[np.generic], truth: NDArray[np.generic], dilation_ratio: float = DILATION_RATIO
) -> float:
    """Boundary IoU of two (H, W) masks; non-zero is foreground. 1 if both are empty.

    Args:
        mask: (H, W), non-zero is foreground.
        truth: (H, W), non-zero is foreground.
        dilation_ratio: width of the bands as a fraction of the image diagonal.
    """
    mask, truth = _as_pair(mask, truth)
    width = band_width(dilation_ratio, (mask.shape[0], mask.shape[1]))
    x0, y0, x1, y1 = _box_of(mask | truth)
    return _share(boundary_band(mask[y0:y1, x0:x1], width), boundary_band(truth[y0:y1, x0:x1], width))


def boundary_band(mask: BoolArray, width: int) -> BoolArray:
    """Foreground pixels within ``width`` pixels (chessboard distance) of the background.

    Everything outside the array is background, as defined by Cheng et al.: they pad the mask with zeros and erode it
    ``width`` times by a 3 x 3 square. The crop of a mask to its bounding box therefore has the same band as the full
    mask.

    Args:
        mask: bool, (h, w), the full mask or a window that contains its foreground.
        width: 1 or more, see ``band_width``.

    Returns:
        bool, (h, w).
    """
    if min(mask.shape) <= 2 * width:  # no pixel is farther from the outside
        return mask | False
    side = 2 * width + 1
    # The time of a box sum does not depend on the width; the time of an erosion grows with it.
    filled = cv2.boxFilter(
        mask.view(np.uint8), cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return mask & (np.asarray(filled) < side * side)


def band_width(dilation_ratio: float, size: Size) -> int:
    """Band width of boundary IoU in pixels for an image of ``size`` (H, W); at least 1."""
    return max(1, round(dilation_ratio * _diagonal(size)))


def tolerance_pixels(tolerance: float, size: Size) -> float:
    """Convert a tolerance to pixels: values below 1 are fractions of the diagonal of ``size`` (H, W), rounded up.

    GSCNN and the DAVIS tools use the same rule; their 0.008 is 19 pixels in an image of 1024 x 2048.
    """
    return tolerance if tolerance >= 1 else float(math.ceil(tolerance * _diagonal(size)))


def dilate(mask: BoolArray, element: NDArray[np.uint8], anchor: tuple[int, int] = (-1, -1)) -> BoolArray:
    """Morphological dilation of an (H, W) mask; everything outside the image is background."""
    dilated = cv2.dilate(mask.view(np.uint8), element, anchor=anchor, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(dilated).view(np.bool_)


def _diagonal(size: Size) -> float:
    return math.sqrt(size[0] * size[0] + size[1] * size[1])


def _share(mask: BoolArray, truth: BoolArray) -> float:
    union = np.count_nonzero(mask | truth)
    return float(np.count_nonzero(mask & truth) / union) if union else 1.0


def _box_of(mask: BoolArray) -> Box:
    """Bounding box of the foreground; empty without foreground."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return x, y, x + width, y + height


def _as_pair(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> tuple[BoolArray, BoolArray]:
    """Both masks as bool arrays, after checking that they are two-dimensional and equal in size."""
    if mask.ndim != 2 or mask.shape != truth.shape:
        raise ValueError(f"mask and truth must be (H, W) arrays of one size, got shapes {mask.shape} and {truth.shape}")
    return mask != 0, truth != 0


@lru_cache(maxsize=16)
def disc_of(radius: float) -> NDArray[np.uint8]:
    """Structuring element of the pixels within ``radius`` of its centre: uint8, odd side."""
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc: BoolArray = x * x + y * y <= radius * radius
    return disc.astype(np.uint8)
