"""Coarse masks, and what is true of them: pure functions on the segments of one image.

- Instances, and things of panoptic maps, are matched with the true mask of their category that they overlap most, by
  IoU, where that exceeds a threshold (paper, Sect. 3.3).
- Binary masks are instances without category, one an image, and so matched by file under the same condition.
- Classes of label maps, and stuff of panoptic maps, are one region of their category each: they are compared with all
  that is truly of that category, however much they overlap, because every pixel must get some label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, Mask, Size
from bpr_cli.patches.paste import union


@dataclass(frozen=True)
class Segment:
    """A mask with what its file says of it.

    Attributes:
        mask: its pixels.
        index: place of the mask in its image; of a label map, the label or id.
        category: None for binary masks.
        crowd: it stands for a group of objects; only in ground truth.
        region: it is all that an image has of its category, and not one of several objects.
    """

    mask: Mask
    index: int
    category: int | None = None
    crowd: bool = False
    region: bool = False


@dataclass(frozen=True)
class Segments:
    """All segments of one image.

    Attributes:
        segments: in the order of the file, or by rising label.
        void: the pixels of which nothing is said.
    """

    segments: tuple[Segment, ...]
    void: Mask

    @property
    def size(self) -> Size:
        """(H, W) of the image."""
        return self.void.size


@dataclass(frozen=True)
class Matched:
    """A coarse mask and what is true of it.

    Attributes:
        coarse: a predicted segment.
        truth: the true mask.
        void: pixels whose truth is not known where ``truth`` does not have them.
    """

    coarse: Segment
    truth: Mask
    void: Mask


def match(coarse: Segments, truth: Segments, min_iou: float) -> list[Matched]:
    """Find what is true of the coarse masks; see the head of this file.

    Crowds match nothing, and what a crowd of its category covers is void for a mask.

    Args:
        coarse: predicted segments.
        truth: true ones of the same image.
        min_iou: a mask that is no region needs a higher IoU than this.

    Returns:
        Those that have a counterpart, in the order of ``coarse``.
    """
    found = []
    for segment in coarse.segments:
        same = [true.mask for true in truth.segments if true.category == segment.category and not true.crowd]
        mask = merged(same, truth.size) if segment.region else _best(segment.mask, same, min_iou)
        if mask is not None:
            found.append(Matched(segment, mask, unknown(truth, segment.category)))
    return found


def unknown(truth: Segments, category: int | None) -> Mask:
    """The pixels of an image that may or may not be of a category: void, and its crowds."""
    crowds = [true.mask for true in truth.segments if true.crowd and true.category == category]
    return merged([truth.void, *crowds], truth.size)


def _best(mask: Mask, candidates: Sequence[Mask], min_iou: float) -> Mask | None:
    """The candidate with the highest IoU, the first of equals, if that exceeds ``min_iou``."""
    best, highest = None, min_iou
    for candidate in candidates:
        found = iou(mask, candidate)
        if found > highest:
            best, highest = candidate, found
    return best


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks of one image; 0 for two empty ones."""
    shared = first.shared_area(second)
    return shared / (first.area + second.area - shared) if shared else 0.0


def merged(masks: Sequence[Mask], size: Size) -> Mask:
    """All pixels of several masks of an image of ``size`` (H, W)."""
    present = [mask for mask in masks if mask.box != EMPTY_BOX]
    if len(present) == 1:
        return present[0]
    box = reduce(union, (mask.box for mask in present), EMPTY_BOX)
    out = np.zeros((box[3] - box[1], box[2] - box[0]), dtype=bool)
    for mask in present:
        out |= mask.window(box)
    return Mask.from_array(out, (box[0], box[1]), size)
