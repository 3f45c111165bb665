"""Masks and label maps of one image.

A box is ``(x0, y0, x1, y1)`` in pixels, half-open: it covers columns ``x0 .. x1 - 1`` and rows ``y0 .. y1 - 1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.typing import BoolArray, Box, LabelArray, Size

EMPTY_BOX: Box = (0, 0, 0, 0)


@dataclass(frozen=True)
class Mask:
    """A binary mask, stored as the crop to its bounding box, so that small masks take little memory.

    >>> plane = np.zeros((6, 8), bool)
    >>> plane[2:4, 3:6] = True
    >>> mask = Mask.from_array(plane)
    >>> mask.box, mask.area
    ((3, 2, 6, 4), 6)
    >>> bool((mask.to_array() == plane).all())
    True

    Attributes:
        size: (H, W) of the image.
        box: tight bounding box of the foreground; ``EMPTY_BOX`` for a mask without foreground.
        crop: the mask inside ``box``: bool, (y1 - y0, x1 - x0).
    """

    size: Size
    box: Box
    crop: BoolArray

    @classmethod
    def from_array(cls, array: NDArray[np.generic], offset: tuple[int, int] = (0, 0), size: Size | None = None) -> Mask:
        """Make a mask from an array whose non-zero pixels are foreground.

        Args:
            array: mask of the image, or a window of it: (h, w).
            offset: (x, y) of the window's top left pixel in the image.
            size: (H, W) of the image; by default the size of the array.
        """
        foreground = array != 0
        height, width = foreground.shape if size is None else size
        rows = np.flatnonzero(foreground.any(axis=1))
        if rows.size == 0:
            return cls.empty((height, width))
        columns = np.flatnonzero(foreground[rows[0] : rows[-1] + 1].any(axis=0))
        y0, y1 = int(rows[0]), int(rows[-1]) + 1
        x0, x1 = int(columns[0]), int(columns[-1]) + 1
        box = (x0 + offset[0], y0 + offset[1], x1 + offset[0], y1 + offset[1])
        return cls((height, width), box, foreground[y0:y1, x0:x1].copy())

    @classmethod
    def empty(cls, size: Size) -> Mask:
        """A mask without foreground for an image of (H, W)."""
        return cls(size, EMPTY_BOX, np.zeros((0, 0), dtype=bool))

    @property
    def area(self) -> int:
        """Number of foreground pixels."""
        return int(np.count_nonzero(self.crop))

    def equals(self, other: Mask) -> bool:
        """Whether two masks of one image have the same pixels."""
        return self.box == other.box and np.array_equal(self.crop, other.crop)

    def window(self, box: Box) -> BoolArray:
        """The mask inside ``box``, which must lie inside the image: bool, (y1 - y0, x1 - x0)."""
        x0, y0, x1, y1 = box
        out = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        left, top, right, bottom = shared = _intersection(box, self.box)
        if left < right and top < bottom:
            out[top - y0 : bottom - y0, left - x0 : right - x0] = self._part(shared)
        return out

    def shared_area(self, other: Mask) -> int:
        """Number of foreground pixels that two masks of one image share."""
        left, top, right, bottom = shared = _intersection(self.box, other.box)
        if left >= right or top >= bottom:
            return 0
        return int(np.count_nonzero(self._part(shared) & other._part(shared)))

    def iou(self, other: Mask) -> float:
        """Intersection over union with another mask of the image; 0 for two empty masks."""
        shared = self.shared_area(other)
        return shared / (self.area + other.area - shared) if shared else 0.0

    def to_array(self) -> BoolArray:
        """Decode the mask at the size of the image: bool, (H, W)."""
        return self.window((0, 0, self.size[1], self.size[0]))

    def _part(self, box: Box) -> BoolArray:
        """A view of the crop inside a box that lies within ``self.box``."""
        x0, y0, x1, y1 = box
        return self.crop[y0 - self.box[1] : y1 - self.box[1], x0 - self.box[0] : x1 - self.box[0]]


def union_of(masks: Iterable[Mask], size: Size) -> Mask:
    """The pixels of all masks of an image of ``size``, (H, W)."""
    filled = [mask for mask in masks if mask.box != EMPTY_BOX]
    if not filled:
        return Mask.empty(size)
    x0, y0, x1, y1 = zip(*(mask.box for mask in filled), strict=True)
    hull = min(x0), min(y0), max(x1), max(y1)
    window = np.zeros((hull[3] - hull[1], hull[2] - hull[0]), dtype=bool)
    for mask in filled:
        window |= mask.window(hull)
    return Mask.from_array(window, hull[:2], size)


def _intersection(first: Box, second: Box) -> Box:
    """The intersection of two boxes; x0 >= x1 or y0 >= y1 if they are disjoint."""
    return max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3])


@dataclass(frozen=True)
class LabelMap:
    """One label per pixel of an image: classes of a semantic map, or segment ids of a panoptic map.

    Attributes:
        labels: int32, (H, W). Every label that is not void is refined as one mask.
        void: labels that are never refined. Their pixels keep them, and no other pixel gets them.
    """

    labels: LabelArray
    void: frozenset[int]

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.labels.shape[0], self.labels.shape[1]


class AnyMask(Protocol):
    """What finding and cropping the boundary of a mask needs of it; see ``Mask``."""

    @property
    def size(self) -> Size:
        """(H, W) of the image."""

    @property
    def box(self) -> Box:
        """Tight bounding box of the foreground."""

    @property
    def area(self) -> int:
        """Number of foreground pixels."""

    def window(self, box: Box) -> BoolArray:
        """The mask inside ``box``, which must lie inside the image: bool, (y1 - y0, x1 - x0)."""


@dataclass(frozen=True)
class LabelMask:
    """The mask of one label of a map. It is looked up in the map, so that many labels take no memory.

    Attributes:
        labels: the map, int32, (H, W).
        label: the label.
        box: tight bounding box of its pixels.
        area: number of its pixels.
    """

    labels: LabelArray
    label: int
    box: Box
    area: int

    @property
    def size(self) -> Size:
        """(H, W) of the map."""
        return self.labels.shape[0], self.labels.shape[1]

    def window(self, box: Box) -> BoolArray:
        """The mask inside ``box``, which must lie inside the map: bool, (y1 - y0, x1 - x0)."""
        x0, y0, x1, y1 = box
        mask: BoolArray = self.labels[y0:y1, x0:x1] == self.label
        return mask


Prediction = tuple[Mask, ...] | LabelMap
"""The prediction for one image: independent masks that may overlap, or one label per pixel."""


def size_of(prediction: Prediction) -> Size | None:
    """(H, W) of a label map or of the first mask; None without masks."""
    if isinstance(prediction, LabelMap):
        return prediction.size
    return prediction[0].size if prediction else None


def in_pixels(size: Size) -> str:
    """The size (H, W) of an image or mask in words, width first as in image viewers.

    >>> in_pixels((1080, 1920))
    '1920 x 1080 pixels'
    """
    return f"{size[1]} x {size[0]} pixels"


def check_size(size: Size, image: Size, name: str = "the mask") -> None:
    """Check that a mask or label map of ``size`` (H, W) fits an image of size ``image`` (H, W).

    Args:
        size: size of the mask.
        image: size of the image.
        name: name of the mask in messages.

    Raises:
        BprError: the sizes differ.
    """
    if size != image:
        raise BprError(
            f"the image is {in_pixels(image)} but {name} {size[1]} x {size[0]}; "
            "give the image the prediction was made for, at its full resolution, or enlarge the prediction to its size"
        )
