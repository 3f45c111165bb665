"""How well one binary mask agrees with another: region (IoU), contour (boundary F-score) and band (boundary IoU).

The boundary F-score is the measure of the DAVIS benchmark (Perazzi et al., CVPR 2016), the one that GSCNN and
SegFix report for semantic segmentation, with the tolerance given in pixels. Boundary IoU is that of Cheng et al.
(CVPR 2021): the IoU of the bands that lie inside each mask within a distance of its boundary.

Everything here looks only at the surroundings of the foreground, so that a small mask in a large frame is cheap.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.settings import DILATION_RATIO
from bpr_cli.patches.boundary import grow
from bpr_cli.typing import BoolArray, Box, Size


def iou(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Intersection over union of two (H, W) masks, non-zero is foreground; 1 when both are empty."""
    mask, truth = _as_pair(mask, truth)
    return _share(mask, truth)


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
    # The contour lies half a pixel to the upper left: one pixel around the foreground holds all of it.
    x0, y0, x1, y1 = grow(_box_of(mask | truth), 1, (mask.shape[0], mask.shape[1]))
    boundary, true_boundary = boundary_map(mask[y0:y1, x0:x1]), boundary_map(truth[y0:y1, x0:x1])
    return contour_f(boundary, true_boundary, tolerance)


def contour_f(boundary: BoolArray, true_boundary: BoolArray, tolerance: float) -> float:
    """F-score of two sets of boundary pixels: bool, (H, W) each, or the same window of both that holds all of them."""
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
    """F-score; 0 when both are."""
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary_map(mask: BoolArray) -> BoolArray:
    """Boundary pixels of an (H, W) mask: those that differ from their right, lower or lower right neighbour.

    This is ``seg2bmap`` of the DAVIS tools: the contour is one pixel wide and lies half a pixel to the upper left
    of the step between background and foreground. Neighbours outside the image are not compared.
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
    """Boundary IoU of two (H, W) masks, non-zero is foreground; 1 when both are empty.

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
    """Foreground pixels within ``width`` pixels (of the chessboard distance) of a pixel that is not foreground.

    Whatever lies outside the array is background, also beyond the frame of the image: so defined by Cheng et al.,
    who erode the mask, padded with zeros, by as many 3 x 3 squares. The crop of a mask to its bounding box
    therefore gives the same band as the whole frame.

    Args:
        mask: bool, (h, w), the frame or a window of it with all of the foreground.
        width: 1 or more, see ``band_width``.

    Returns:
        bool, (h, w).
    """
    if min(mask.shape) <= 2 * width:  # no pixel is further than that from the outside
        return mask | False
    side = 2 * width + 1
    # Sums over squares take the same time whatever the width, erosion by them takes more with every pixel of it.
    filled = cv2.boxFilter(
        mask.view(np.uint8), cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return mask & (np.asarray(filled) < side * side)


def band_width(dilation_ratio: float, size: Size) -> int:
    """Width in pixels of the bands of boundary IoU in an image of ``size`` (H, W); at least 1."""
    return max(1, round(dilation_ratio * _diagonal(size)))


def tolerance_pixels(tolerance: float, size: Size) -> float:
    """A tolerance in pixels: values below 1 are fractions of the diagonal of ``size`` (H, W), rounded up.

    So GSCNN and the DAVIS tools read it; their 0.008 is 19 pixels in an image of 1024 x 2048.
    """
    return tolerance if tolerance >= 1 else float(math.ceil(tolerance * _diagonal(size)))


def dilate(mask: BoolArray, element: NDArray[np.uint8], anchor: tuple[int, int] = (-1, -1)) -> BoolArray:
    """Morphological dilation of an (H, W) mask; outside the image there is no foreground."""
    dilated = cv2.dilate(mask.view(np.uint8), element, anchor=anchor, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(dilated).view(np.bool_)


def _diagonal(size: Size) -> float:
    return math.sqrt(size[0] * size[0] + size[1] * size[1])


def _share(mask: BoolArray, truth: BoolArray) -> float:
    union = np.count_nonzero(mask | truth)
    return float(np.count_nonzero(mask & truth) / union) if union else 1.0


def _box_of(mask: BoolArray) -> Box:
    """Bounding box of the foreground; empty where there is none."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return x, y, x + width, y + height


def _as_pair(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> tuple[BoolArray, BoolArray]:
    """Both masks as bool arrays, checked to be two-dimensional and of one size."""
    if mask.ndim != 2 or mask.shape != truth.shape:
        raise ValueError(f"mask and truth must be (H, W) arrays of one size, got shapes {mask.shape} and {truth.shape}")
    return mask != 0, truth != 0


@lru_cache(maxsize=16)
def disc_of(radius: float) -> NDArray[np.uint8]:
    """Structuring element that holds the pixels within ``radius`` of its centre: uint8, odd side."""
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc: BoolArray = x * x + y * y <= radius * radius
    return disc.astype(np.uint8)
