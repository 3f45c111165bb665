"""What the network for whole masks may change: large errors of which it is sure. Patches see to the rest."""

from __future__ import annotations

import cv2
import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.patches.boxes import union
from bpr_cli.patches.crop import crop_mask, reflected_range, resize
from bpr_cli.patches.paste import CERTAIN
from bpr_cli.refinement.limits import without_specks
from bpr_cli.refinement.outline import Outline
from bpr_cli.typing import BoolArray, Box, ByteArray

SURE = 0.8
"""Probability from which on a pixel may join a mask; below the rest to one it may leave it."""

NARROWEST = np.array(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
"""A change must hold this disc somewhere, in pixels of the prediction: narrower ones are left to the patches."""

SMALLEST_PART, SMALLEST_SHARE = 64, 0.02
"""Smallest new part or hole, in pixels of the prediction and as a share of the area of the mask."""


def context_mask(coarse: Mask, outline: Outline) -> Mask:
    """A mask with the large changes that the network for whole masks is sure of.

    Args:
        coarse: the mask.
        outline: its outline with one box that is predicted, or none.
    """
    if not len(outline.boxes):
        return coarse
    x0, y0, x1, y1 = outline.boxes[0].tolist()
    probability = outline.probabilities()[0]
    rows, columns = reflected_range(y0, y1, coarse.size[0]), reflected_range(x0, x1, coarse.size[1])
    seen = resize(crop_mask(coarse, rows, columns), len(probability), cv2.INTER_NEAREST_EXACT)
    moved = sure_changes(seen > 0, probability).view(np.uint8)
    large: ByteArray = cv2.dilate(cv2.morphologyEx(moved, cv2.MORPH_OPEN, NARROWEST), NARROWEST).astype(np.uint8)
    if not large.any():
        return coarse
    side, size = x1 - x0, coarse.size
    frame = max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0])
    inside = np.s_[frame[1] - y0 : frame[3] - y0, frame[0] - x0 : frame[2] - x0]
    predicted = resize(probability, side, cv2.INTER_LINEAR)[inside]
    before = coarse.window(frame)
    changed = sure_changes(before, predicted) & (resize(large, side, cv2.INTER_NEAREST_EXACT)[inside] > 0)
    least = max(SMALLEST_PART * (side / len(seen)) ** 2, SMALLEST_SHARE * coarse.area)
    refined = without_specks(coarse, placed(coarse, frame, before ^ changed), least)
    if refined.box == EMPTY_BOX:
        return coarse
    if isinstance(coarse, SoftMask):
        values = (predicted / CERTAIN).astype(np.float32)
        return coarse.predicted(refined, frame, values, refined.window(frame) != before)
    return refined


def sure_changes(before: BoolArray, probability: ByteArray) -> BoolArray:
    """Where a mask, (h, w), is surely wrong by the probabilities, in units of 1/255: bool, (h, w)."""
    joins, leaves = probability > CERTAIN * SURE, probability < CERTAIN * (1 - SURE)
    found: BoolArray = np.where(before, leaves, joins)
    return found


def placed(coarse: Mask, frame: Box, pixels: BoolArray) -> Mask:
    """The mask with other pixels inside of a frame."""
    box = union(coarse.box, frame)
    x0, y0, x1, y1 = (one - other for one, other in zip(frame, box[:2] * 2, strict=True))
    window = coarse.window(box)
    window[y0:y1, x0:x1] = pixels
    return Mask.from_array(window, box[:2], coarse.size)
