"""The core of a mask: what lies too deep inside it to be an error of its boundary.

A patch in the middle of a small object may hold edges that are not its outline, such as the letters of a sign. What is
taken for background there, the coarse mask knew better.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.paste import union

NO_CORE = 1.0
"""No pixel lies so deep: the middle of a disc, the deepest there is, does by 0.56 of the root of its area."""


def keep_core(coarse: Mask, refined: Mask, depth: float) -> Mask:
    """Give a refined mask back the core of the coarse one.

    Args:
        coarse: before refinement.
        refined: of the same image.
        depth: pixels of the coarse mask are its core where the nearest pixel that is not foreground, beyond the frame
            at the latest, is further away than this fraction of the square root of its area, 0..1.
    """
    if depth >= NO_CORE:
        return refined
    lost = coarse.crop & ~refined.window(coarse.box)
    if not lost.any():
        return refined
    lost &= distance_inside(coarse.crop) > depth * math.sqrt(coarse.area)
    if not lost.any():
        return refined
    box = union(coarse.box, refined.box)
    return Mask.from_array(refined.window(box) | Mask(coarse.size, coarse.box, lost).window(box), box[:2], coarse.size)


def distance_inside(crop: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The distance of every foreground pixel to the nearest other one, in pixels, all around being background.

    Args:
        crop: bool, (h, w).

    Returns:
        float32, (h, w), 0 on background.
    """
    framed = np.pad(crop, 1).astype(np.uint8)
    return cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1].astype(np.float32, copy=False)
