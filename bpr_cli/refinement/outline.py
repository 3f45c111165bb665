"""A segment with the boxes along its boundary: where they lie, what is predicted, and where more follow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from bpr_cli.masks.masks import AnyMask, Mask
from bpr_cli.patches.boxes import (
    NO_BOXES,
    Boxes,
    boundary_pixels,
    boxes_along,
    dense_boxes,
    grow,
    side_of,
    widened,
)
from bpr_cli.patches.crop import padding_around
from bpr_cli.patches.paste import open_ends, reassemble
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.typing import Box, ByteArray

FEWEST_ENDS = 4
"""Pixels at the sides of the patches from which on a change is followed."""

SURROUNDINGS = 1.6
"""Side of what the network for whole masks sees, in longer sides of the mask."""

SHORTEST_WHOLE = 96
"""Length in pixels from which on a mask is seen as a whole; patches see all of a shorter one."""

LEAST_ENLARGEMENT = 1.5
"""Masks whose patches would grow by less are not refined in a pass of their own."""


@dataclass
class Outline:
    """One segment with the boxes along its boundary.

    Attributes:
        mask: what the network sees of the segment in the boxes that are not predicted yet.
        boxes: int64, (P, 4), squares of one size, with their rim; they may reach outside the image.
        padding: context around each box in pixels.
        rim: part of every side of the boxes that overlaps their neighbours, in pixels; see ``paste.rim_weights``.
        scale: side of the boxes without their rim over the patch size of the weights.
        follows: whether more boxes may follow a change: not beside other objects, into which it could grow, nor
            once a change has stopped.
        length: length of the boundary in pixels: half the number of boundary pixels, which lie on both sides of it.
        predicted: foreground probabilities of the boxes so far, in order: uint8, (p, S, S) each, in units of 1/255.
            S may differ from the side of the boxes.
        forgotten: number of boxes, the first ones, whose probabilities are pasted and no longer kept.
        whole: whether its box, if any, shows the whole segment; see ``PassSettings``.
    """

    mask: AnyMask
    boxes: Boxes
    padding: int
    rim: int
    scale: float
    follows: bool
    length: float
    predicted: list[ByteArray] = field(default_factory=list)
    forgotten: int = 0
    whole: bool = False

    @property
    def known(self) -> int:
        """Number of boxes, the first ones, that are predicted."""
        return self.forgotten + sum(map(len, self.predicted))

    @classmethod
    def find(cls, mask: AnyMask, how: PassSettings, side: int, neighbours: list[Box]) -> Outline:
        """Find the boundary of a mask and place boxes of ``side`` pixels along it; none if the pass skips the mask."""
        pixels = boundary_pixels(mask)
        boxes = NO_BOXES
        if how.whole:
            boxes = box_around(mask, how)
        elif takes_part(mask, side, neighbours, how):
            rim = padding_around(side, how.patch_size, how.rim)
            boxes = boxes_along(mask, pixels, how.scheme, side, how.nms_threshold, rim)
        side = side_of(boxes, how.patch_size)
        padding, rim = (padding_around(side, how.patch_size, each) for each in (how.padding, how.rim))
        follows = how.follow and is_alone(mask, side, neighbours)
        scale, length = side / how.patch_size, len(pixels) / 2
        return cls(mask, widened(boxes, rim), padding - rim, rim, scale, follows, length, whole=how.whole)

    def followed(self, coarse: Mask, how: PassSettings) -> Outline:
        """Add boxes where a change reaches the outer sides of all boxes, unless it is tiny.

        Args:
            coarse: the segment before this pass.
            how: the settings of the pass.
        """
        if not self.follows or not len(self.boxes):
            return self
        probabilities = self.probabilities()
        ends = open_ends(coarse, self.boxes, probabilities, self.rim)
        if len(ends) < FEWEST_ENDS:
            return replace(self, follows=False)
        side = side_of(self.boxes, 0) - 2 * self.rim
        added = dense_boxes(ends, coarse.size, side, how.nms_threshold, self.rim)
        return self.with_boxes(added, reassemble(coarse, self.boxes, probabilities, self.rim))

    def with_boxes(self, added: Boxes, mask: AnyMask) -> Outline:
        """Add boxes, without their rim, in which the network sees ``mask``, the segment as it is refined so far."""
        boxes = np.concatenate([self.boxes, widened(added, self.rim)])
        return replace(self, mask=mask, boxes=boxes, predicted=[self.probabilities()] if self.predicted else [])

    def probabilities(self) -> ByteArray:
        """Foreground probabilities of all boxes that are not forgotten: uint8, (P, S, S), in units of 1/255."""
        return np.concatenate(self.predicted) if self.predicted else np.zeros((0, 1, 1), dtype=np.uint8)

    def begun(self, row: int) -> int:
        """Number of boxes, the first ones, that begin above a row of the image; boxes must be sorted by first row."""
        return int(np.searchsorted(np.maximum(self.boxes[:, 1], 0), row))

    def ended(self, row: int) -> int:
        """Number of boxes, the first ones, that end above a row; boxes must be sorted by their first row."""
        return int(np.searchsorted(self.boxes[:, 3], row, "right"))

    def forget(self, count: int) -> None:
        """Drop the probabilities of the first ``count`` boxes."""
        if count > self.forgotten:
            self.predicted[:] = [self.probabilities()[count - self.forgotten :].copy()]
            self.forgotten = count


def box_around(mask: AnyMask, how: PassSettings) -> Boxes:
    """The box around a whole mask, int64, (1, 4), which may reach outside the image; (0, 4) around a short one."""
    x0, y0, x1, y1 = mask.box
    longer = max(x1 - x0, y1 - y0)
    if longer < SHORTEST_WHOLE:
        return NO_BOXES
    side = round(longer * SURROUNDINGS * how.patch_size / (how.patch_size + 2 * how.padding))
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    return np.array([[left, top, left + side, top + side]])


def takes_part(mask: AnyMask, side: int, neighbours: list[Box], how: PassSettings) -> bool:
    """Whether a pass may refine a segment; the last pass refines all.

    Earlier passes have larger patches. A segment smaller than a patch is easily lost to its surroundings there, and one
    beside other objects easily grows into them, unless the two compete for pixels.

    Args:
        mask: the segment.
        side: side of the boxes along it in pixels.
        neighbours: bounding boxes of all masks of the image that do not compete for pixels, including its own.
        how: the settings of the pass.
    """
    if not how.preliminary:
        return True
    if how.view and side < LEAST_ENLARGEMENT * how.patch_size:
        return False
    side = max(side, how.patch_size)
    return mask.area >= side**2 and is_alone(mask, side // 2, neighbours)


def is_alone(mask: AnyMask, reach: int, neighbours: list[Box]) -> bool:
    """Whether no bounding box but its own lies within ``reach`` pixels of that of a segment."""
    x0, y0, x1, y1 = grow(mask.box, reach, mask.size)
    return sum(box[0] < x1 and x0 < box[2] and box[1] < y1 and y0 < box[3] for box in neighbours) <= 1
