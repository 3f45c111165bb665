"""Matching of coarse masks with ground truth: pure functions on the masks of one image.

- An instance, or a thing of a panoptic map, matches the ground-truth mask of its category with the highest IoU, if
  this IoU exceeds a threshold (paper, Sect. 3.3).
- Binary masks are instances without category, one per image. They match by file, under the same condition.
- A class of a label map, or stuff of a panoptic map, is the only region of its category in the image. It matches the
  union of all ground truth of that category, whatever the IoU, because every pixel must get a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.patches.boxes import union
from bpr_cli.typing import Size


@dataclass(frozen=True)
class AnnotatedMask:
    """A mask with its annotation.

    Attributes:
        mask: pixels of the mask.
        index: position of the mask in its image; for a label map, the label or id.
        category: category; None for binary masks.
        crowd: whether the mask is a group of objects; only in ground truth.
        region: whether the mask covers its entire category in the image, rather than one object.
    """

    mask: Mask
    index: int
    category: int | None = None
    crowd: bool = False
    region: bool = False


@dataclass(frozen=True)
class ImageMasks:
    """All masks of one image.

    Attributes:
        masks: masks in the order of the file, or by ascending label.
        void: unlabeled pixels.
    """

    masks: tuple[AnnotatedMask, ...]
    void: Mask

    @property
    def size(self) -> Size:
        """(H, W) of the image."""
        return self.void.size


@dataclass(frozen=True)
class MatchedMask:
    """A coarse mask and its ground truth.

    Attributes:
        coarse: the predicted mask.
        truth: the ground-truth mask.
        void: pixels outside ``truth`` whose true label is unknown.
    """

    coarse: AnnotatedMask
    truth: Mask
    void: Mask


def match_masks(coarse: ImageMasks, truth: ImageMasks, min_iou: float) -> list[MatchedMask]:
    """Find the ground truth of coarse masks by the rules in the docstring of this module.

    Crowds match nothing. Pixels of a crowd are void for masks of its category.

    Args:
        coarse: predicted masks.
        truth: ground truth of the same image.
        min_iou: IoU that all masks except regions must exceed.

    Returns:
        The masks with ground truth, in the order of ``coarse``.
    """
    matches = []
    for mask in coarse.masks:
        same = [true.mask for true in truth.masks if true.category == mask.category and not true.crowd]
        found = merge_masks(same, truth.size) if mask.region else _best(mask.mask, same, min_iou)
        if found is not None:
            matches.append(MatchedMask(mask, found, void_for(truth, mask.category)))
    return matches


def void_for(truth: ImageMasks, category: int | None) -> Mask:
    """The pixels that are void for a category: unlabeled pixels, and crowds of the category."""
    crowds = [true.mask for true in truth.masks if true.crowd and true.category == category]
    return merge_masks([truth.void, *crowds], truth.size)


def _best(mask: Mask, candidates: Sequence[Mask], min_iou: float) -> Mask | None:
    """The candidate with the highest IoU (the first of equals), if this IoU exceeds ``min_iou``."""
    best, highest = None, min_iou
    for candidate in candidates:
        iou = mask.iou(candidate)
        if iou > highest:
            best, highest = candidate, iou
    return best


def merge_masks(masks: Sequence[Mask], size: Size) -> Mask:
    """The union of several masks of an image of ``size`` (H, W)."""
    present = [mask for mask in masks if mask.box != EMPTY_BOX]
    if len(present) == 1:
        return present[0]
    box = reduce(union, (mask.box for mask in present), EMPTY_BOX)
    merged = np.zeros((box[3] - box[1], box[2] - box[0]), dtype=bool)
    for mask in present:
        merged |= mask.window(box)
    return Mask.from_array(merged, (box[0], box[1]), size)
