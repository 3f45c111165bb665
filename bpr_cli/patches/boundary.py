"""Boundary pixels of a mask and their score (BPR, Sect. 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import Mask
from bpr_cli.typing import BoolArray, Box, ByteArray, IntArray, Size


@dataclass(frozen=True)
class BoundaryPixels:
    """The boundary pixels of one mask, best score first, in raster order among equals.

    Attributes:
        x: int64, (N,), columns in the image.
        y: int64, (N,), rows in the image.
        score: uint8, (N,), 1..4; see ``boundary_score``. The paper's score is this divided by 4.5.
    """

    x: IntArray
    y: IntArray
    score: ByteArray

    def __len__(self) -> int:
        return len(self.x)


def boundary_score(mask: BoolArray) -> ByteArray:
    """Score every pixel by how evenly mask and background share its 3 x 3 neighbourhood.

    Pixels outside the array repeat its edge, so the image border is not a boundary. (The authors' release pads with
    zeros, which makes it one.)

    Args:
        mask: bool, (H, W).

    Returns:
        uint8, (H, W): min(n, 9 - n) with n mask pixels in the neighbourhood; 0 away from the boundary, at most 4.
    """
    if mask.size == 0:
        return np.zeros(mask.shape, dtype=np.uint8)
    count = cv2.boxFilter(mask.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.minimum(count, 9 - count).astype(np.uint8, copy=False)


def boundary_pixels(mask: Mask) -> BoundaryPixels:
    """Find the boundary pixels of a mask: those whose 3 x 3 neighbourhood contains both mask and background.

    Only the surroundings of the bounding box are searched.

    Args:
        mask: any mask; an empty or full mask has no boundary.

    Example:
        >>> square = np.zeros((8, 8), dtype=bool)
        >>> square[2:6, 2:6] = True
        >>> len(boundary_pixels(Mask.from_array(square)))  # 12 inside the square, 20 outside
        32
    """
    window = grow(mask.box, 2, mask.size)
    score = boundary_score(mask.window(window))
    # NumPy searches a flat bool array much faster than a numeric or two-dimensional one.
    places = np.flatnonzero(score != 0)
    found = score.ravel()[places]
    order = np.argsort(4 - found, kind="stable")
    y, x = np.divmod(places[order], score.shape[1])
    return BoundaryPixels(x + window[0], y + window[1], found[order])


def grow(box: Box, margin: int, size: Size) -> Box:
    """Enlarge a box by ``margin`` pixels on every side, clipped to an image of ``size`` (H, W)."""
    x0, y0, x1, y1 = box
    return max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, size[1]), min(y1 + margin, size[0])
