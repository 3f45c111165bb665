"""Crop patches from an image and its mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import AnyMask
from bpr_cli.patches.boxes import Boxes
from bpr_cli.typing import ByteArray, IntArray

Range = slice | IntArray
"""Rows or columns of an image: a slice inside it, or indices mirrored at its border."""


@dataclass(frozen=True)
class Patches:
    """Input patches of the network.

    Attributes:
        image: uint8, (P, T, T, 3), RGB.
        mask: uint8, (P, T, T), coarse mask: 1 foreground, 0 background.
    """

    image: ByteArray
    mask: ByteArray

    @classmethod
    def empty(cls, count: int, input_size: int) -> Patches:
        """Allocate ``count`` uninitialised patches of side ``input_size``."""
        side = (count, input_size, input_size)
        return cls(np.empty((*side, 3), dtype=np.uint8), np.empty(side, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, part: slice) -> Patches:
        """A view of some of the patches."""
        return Patches(self.image[part], self.mask[part])


def crop(image: ByteArray, mask: AnyMask, boxes: Boxes, padding: int, out: Patches) -> None:
    """Crop boxes with ``padding`` pixels of context around them and resize them to the network's input.

    Pixels outside the image are filled by reflection. Images are resized bilinearly and masks by nearest neighbour,
    both with half-pixel centres, so that they stay aligned at any scale.

    Args:
        image: uint8, (H, W, 3), RGB.
        mask: coarse mask of the same size.
        boxes: int64, (P, 4), squares of one size.
        padding: context around each box in pixels.
        out: P patches of any input size T; overwritten.

    Example:
        >>> patches = Patches.empty(len(boxes), input_size=128)
        >>> crop(image, mask, boxes, padding=32, out=patches)
    """
    for index, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        rows = reflected_range(y0 - padding, y1 + padding, mask.size[0])
        columns = reflected_range(x0 - padding, x1 + padding, mask.size[1])
        _resize_into(out.image[index], image[rows][:, columns], cv2.INTER_LINEAR)
        # INTER_NEAREST is not used, because it samples at pixel corners.
        _resize_into(out.mask[index], crop_mask(mask, rows, columns), cv2.INTER_NEAREST_EXACT)


def padding_around(side: int, patch_size: int, padding: int) -> int:
    """Context of a box in pixels: ``padding``, scaled by the ratio of ``side`` to ``patch_size``."""
    return round(padding * side / patch_size)


def reflected_range(start: int, stop: int, length: int) -> Range:
    """Indices ``start .. stop - 1`` of an axis of ``length`` pixels, mirrored at its ends (end pixels not repeated)."""
    if start >= 0 and stop <= length:
        return slice(start, stop)
    if length == 1:
        return np.zeros(stop - start, dtype=np.int64)
    position = np.arange(start, stop) % (2 * length - 2)
    return np.minimum(position, 2 * length - 2 - position)


def crop_mask(mask: AnyMask, rows: Range, columns: Range) -> ByteArray:
    """Crop rows and columns of a mask without decoding all of it: uint8, 0 and 1."""
    (y0, y1), (x0, x1) = _span(rows), _span(columns)
    window = mask.window((x0, y0, x1, y1)).view(np.uint8)
    return window[_relative(rows, y0)][:, _relative(columns, x0)]


def resize(patch: ByteArray, side: int, interpolation: int) -> ByteArray:
    """Resize a square patch, uint8 (S, S, ...), to ``side`` pixels, with half-pixel centres."""
    if patch.shape[0] == side:
        return patch
    out = np.empty((side, side, *patch.shape[2:]), dtype=np.uint8)
    _resize_into(out, np.ascontiguousarray(patch), interpolation)
    return out


def _resize_into(out: ByteArray, patch: ByteArray, interpolation: int) -> None:
    """Resize a square patch to fill ``out``, uint8 (T, T, ...)."""
    if patch.shape == out.shape:
        out[...] = patch
    else:
        cv2.resize(patch, out.shape[:2], dst=out, interpolation=interpolation)


def _span(indices: Range) -> tuple[int, int]:
    """The smallest half-open range that holds all indices."""
    if isinstance(indices, slice):
        return indices.start, indices.stop
    return int(indices.min()), int(indices.max()) + 1


def _relative(indices: Range, origin: int) -> Range:
    """The same indices counted from ``origin``."""
    if isinstance(indices, slice):
        return slice(indices.start - origin, indices.stop - origin)
    return indices - origin
