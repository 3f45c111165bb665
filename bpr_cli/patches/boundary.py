"""Boundary pixels of a mask and their score (BPR, Sect. 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask
from bpr_cli.typing import Box, Size


@dataclass(frozen=True)
class BoundaryPixels:
    """The boundary pixels of one mask, best score first and in raster order among equals.

    Attributes:
        x: int64, (N,), columns in the image.
        y: int64, (N,), rows in the image.
        score: uint8, (N,), min(n, 9 - n) in 1..4, n being the foreground pixels of the 3 x 3 neighbourhood;
            a 4.5th of it is the score of the paper.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    score: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.x)


def boundary_score(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Score every pixel by how evenly its 3 x 3 neighbourhood is split.

    Pixels outside the array repeat its edge, so that the image frame is not a boundary (in the authors'
    release it is: they pad with zeros).

    Args:
        mask: bool, (H, W).

    Returns:
        uint8, (H, W): min(n, 9 - n), n = foreground pixels in the neighbourhood; 0 away from the boundary, 4 at most.
    """
    if mask.size == 0:
        return np.zeros(mask.shape, dtype=np.uint8)
    count = cv2.boxFilter(mask.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.minimum(count, 9 - count).astype(np.uint8, copy=False)


def boundary_pixels(mask: Mask) -> BoundaryPixels:
    """Find the boundary pixels of a mask, looking only at the surroundings of its bounding box."""
    window = grow(mask.box, 2, mask.size)
    score = boundary_score(mask.window(window))
    # On a flat array of bool, numpy looks for what is not zero many times as fast.
    places = np.flatnonzero(score != 0)
    found = score.ravel()[places]
    order = np.argsort(4 - found, kind="stable")
    y, x = np.divmod(places[order], score.shape[1])
    return BoundaryPixels(x + window[0], y + window[1], found[order])


def grow(box: Box, margin: int, size: Size) -> Box:
    """Enlarge a box by ``margin`` pixels on every side, cut off at the frame of an image of ``size`` (H, W)."""
    x0, y0, x1, y1 = box
    return max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, size[1]), min(y1 + margin, size[0])
