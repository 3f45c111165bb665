"""Boundary pixels of a mask and their score (BPR, Sect. 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import AnyMask
from bpr_cli.masks.strips import strips_of
from bpr_cli.typing import BoolArray, Box, ByteArray, LabelArray, Size

SCORES = (4, 3, 2, 1)
"""The scores of boundary pixels, best first."""


@dataclass(frozen=True)
class BoundaryPixels:
    """The boundary pixels of one mask, best score first, in raster order among equals.

    Attributes:
        x: int32, (N,), columns in the image.
        y: int32, (N,), rows in the image.
        score: uint8, (N,), 1..4; see ``boundary_score``. The paper's score is this divided by 4.5.
    """

    x: LabelArray
    y: LabelArray
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


def boundary_pixels(mask: AnyMask) -> BoundaryPixels:
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
    x0, y0, x1, y1 = grow(mask.box, 2, mask.size)
    found: dict[int, list[LabelArray]] = {score: [] for score in SCORES}
    for top, bottom in strips_of((y1 - y0, x1 - x0)):
        # The score needs a row above and below.
        first, last = max(top - 1, 0), min(bottom + 1, y1 - y0)
        score = boundary_score(mask.window((x0, y0 + first, x1, y0 + last)))[top - first : bottom - first]
        # NumPy searches a flat bool array much faster than a numeric or two-dimensional one.
        places = np.flatnonzero(score != 0)
        scores = score.ravel()[places]
        for each, parts in found.items():
            parts.append((places[scores == each] + top * (x1 - x0)).astype(np.int32))
    counts = [sum(map(len, parts)) for parts in found.values()]
    y, x = np.divmod(np.concatenate([part for parts in found.values() for part in parts]), np.int32(max(x1 - x0, 1)))
    return BoundaryPixels(x + np.int32(x0), y + np.int32(y0), np.repeat(np.array(SCORES, dtype=np.uint8), counts))


def grow(box: Box, margin: int, size: Size) -> Box:
    """Enlarge a box by ``margin`` pixels on every side, clipped to an image of ``size`` (H, W)."""
    x0, y0, x1, y1 = box
    return max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, size[1]), min(y1 + margin, size[0])
