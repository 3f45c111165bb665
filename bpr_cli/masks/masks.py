"""Masks and label maps of one image: the data that every room of the house gives and takes.

Shape letters used throughout the program: I images, M masks (segments), P patches, S patch side,
T input size of the network, H and W image height and width.

A box is ``(x0, y0, x1, y1)`` in pixels, half-open: it covers columns ``x0 .. x1 - 1`` and rows ``y0 .. y1 - 1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
Size = tuple[int, int]
BoolArray = NDArray[np.bool_]

EMPTY_BOX: Box = (0, 0, 0, 0)


@dataclass(frozen=True)
class Mask:
    """A binary mask, kept as the crop to its bounding box so that it stays small between stages.

    Attributes:
        size: (H, W) of the image the mask belongs to.
        box: tight bounding box of the foreground; ``EMPTY_BOX`` for a mask without foreground.
        crop: bool array of shape (y1 - y0, x1 - x0), the mask inside ``box``.
    """

    size: Size
    box: Box
    crop: BoolArray

    @classmethod
    def from_array(cls, array: NDArray[np.generic], offset: tuple[int, int] = (0, 0), size: Size | None = None) -> Mask:
        """Make a mask from an (h, w) array whose non-zero pixels are foreground.

        Args:
            array: the whole frame, or a window of it.
            offset: (x, y) of the window's top left pixel in the frame.
            size: (H, W) of the frame; by default the array is the frame.
        """
        foreground = array != 0
        frame = foreground.shape if size is None else size
        rows = np.flatnonzero(foreground.any(axis=1))
        if rows.size == 0:
            return cls((frame[0], frame[1]), EMPTY_BOX, np.zeros((0, 0), dtype=bool))
        columns = np.flatnonzero(foreground[rows[0] : rows[-1] + 1].any(axis=0))
        y0, y1 = int(rows[0]), int(rows[-1]) + 1
        x0, x1 = int(columns[0]), int(columns[-1]) + 1
        box = (x0 + offset[0], y0 + offset[1], x1 + offset[0], y1 + offset[1])
        return cls((frame[0], frame[1]), box, foreground[y0:y1, x0:x1].copy())

    @property
    def area(self) -> int:
        """Number of foreground pixels."""
        return int(np.count_nonzero(self.crop))

    def window(self, box: Box) -> BoolArray:
        """The mask inside ``box``, which must lie inside the image: bool, (y1 - y0, x1 - x0)."""
        x0, y0, x1, y1 = box
        out = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        left, top = max(x0, self.box[0]), max(y0, self.box[1])
        right, bottom = min(x1, self.box[2]), min(y1, self.box[3])
        if left < right and top < bottom:
            out[top - y0 : bottom - y0, left - x0 : right - x0] = self.crop[
                top - self.box[1] : bottom - self.box[1], left - self.box[0] : right - self.box[0]
            ]
        return out

    def shared_area(self, other: Mask) -> int:
        """Number of foreground pixels that two masks of one image have in common."""
        left, top = max(self.box[0], other.box[0]), max(self.box[1], other.box[1])
        right, bottom = min(self.box[2], other.box[2]), min(self.box[3], other.box[3])
        if left >= right or top >= bottom:
            return 0
        views = [
            mask.crop[top - mask.box[1] : bottom - mask.box[1], left - mask.box[0] : right - mask.box[0]]
            for mask in (self, other)
        ]
        return int(np.count_nonzero(views[0] & views[1]))

    def iou(self, other: Mask) -> float:
        """Intersection over union with another mask of the image; 0 for two empty masks."""
        shared = self.shared_area(other)
        return shared / (self.area + other.area - shared) if shared else 0.0

    def to_array(self) -> BoolArray:
        """The mask over the whole frame: bool, (H, W)."""
        return self.window((0, 0, self.size[1], self.size[0]))


@dataclass(frozen=True)
class LabelMap:
    """A label for every pixel of one image: classes of a semantic map, or segment ids of a panoptic one.

    Attributes:
        labels: int32, (H, W). Every value that is not void is refined as one mask.
        void: labels that are never refined; their pixels keep them and no other pixel gets them.
    """

    labels: NDArray[np.int32]
    void: frozenset[int]

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.labels.shape[0], self.labels.shape[1]


Prediction = tuple[Mask, ...] | LabelMap
"""What a model said of one image: independent masks that may overlap, or one label a pixel."""
