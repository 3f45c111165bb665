"""The band of a mask along its boundary, from which boundary IoU, boundary AP and boundary PQ are made.

Definition and figures are those of Cheng et al., "Boundary IoU", CVPR 2021, and of their tool boundary-iou-api.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from bpr_cli.masks import Mask, Size

DILATION_RATIO = 0.02
"""Width of the band as a share of the image's diagonal; the value of the paper."""


def band_width(size: Size, dilation_ratio: float = DILATION_RATIO) -> int:
    """Width of the band in pixels for an image of (H, W) pixels: at least 1.

    Halves are rounded to the even number, as the reference tool does.
    """
    if not dilation_ratio > 0:
        raise ValueError(f"dilation_ratio must be more than 0, got {dilation_ratio}")
    return max(1, round(dilation_ratio * math.sqrt(size[0] ** 2 + size[1] ** 2)))


def boundary_band(mask: Mask, width: int) -> Mask:
    """The pixels of a mask whose chessboard distance to the nearest pixel outside it is ``width`` or less.

    Whatever lies beyond the image counts as outside, so a mask cut off by the frame has a band there too. The
    reference tool erodes the frame with a 3 x 3 square ``width`` times; one erosion of the crop with a square of
    side 2 ``width`` + 1 is the same, since nothing of the mask lies outside its crop.

    Returns:
        A mask with the box of ``mask``; its crop is the band.
    """
    if width < 1:
        raise ValueError(f"width must be 1 pixel or more, got {width}")
    height, breadth = mask.crop.shape
    if min(height, breadth) <= 2 * width:
        return mask
    square = np.ones((2 * width + 1, 2 * width + 1), dtype=np.uint8)
    core = cv2.erode(mask.crop.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return Mask(mask.size, mask.box, mask.crop & (core == 0))
