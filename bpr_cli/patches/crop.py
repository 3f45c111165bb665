"""Cutting patches out of an image and its mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boxes import Boxes


@dataclass(frozen=True)
class Patches:
    """What the network sees of some boxes.

    Attributes:
        image: uint8, (P, T, T, 3), RGB.
        mask: uint8, (P, T, T), 1 foreground and 0 background of the coarse mask.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @classmethod
    def empty(cls, count: int, input_size: int) -> Patches:
        """Room for ``count`` patches of side ``input_size``, to be filled."""
        side = (count, input_size, input_size)
        return cls(np.empty((*side, 3), dtype=np.uint8), np.empty(side, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, part: slice) -> Patches:
        """Some of the patches, as a view."""
        return Patches(self.image[part], self.mask[part])


def crop_patches(image: NDArray[np.uint8], mask: Mask, boxes: Boxes, padding: int, input_size: int) -> Patches:
    """Cut boxes, enlarged by ``padding`` pixels of context, and resize them to the network's input.

    What lies outside the image is filled by reflection. Images are resized bilinearly and masks by nearest neighbour,
    both with half-pixel centres, so that the two stay aligned at any ratio of sizes.

    Args:
        image: uint8, (H, W, 3), RGB.
        mask: coarse mask of the same image.
        boxes: int64, (P, 4), squares of one size.
        padding: context around each box in pixels.
        input_size: side T of the result.
    """
    patches = Patches.empty(len(boxes), input_size)
    crop_into(patches, image, mask, boxes, padding)
    return patches


def crop_into(patches: Patches, image: NDArray[np.uint8], mask: Mask, boxes: Boxes, padding: int) -> None:
    """Fill patches that have room for as many as there are boxes; see ``crop_patches``."""
    for index, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        rows = reflected_range(y0 - padding, y1 + padding, mask.size[0])
        columns = reflected_range(x0 - padding, x1 + padding, mask.size[1])
        resize_into(patches.image[index], cut(image, rows, columns), cv2.INTER_LINEAR)
        # INTER_NEAREST would take corners for centres.
        resize_into(patches.mask[index], cut_mask(mask, rows, columns), cv2.INTER_NEAREST_EXACT)


def padding_around(side: int, patch_size: int, padding: int) -> int:
    """Context of a box of any side in pixels: as large in proportion as ``padding`` is for a box of ``patch_size``."""
    return round(padding * side / patch_size)


Range = slice | NDArray[np.int64]


def reflected_range(start: int, stop: int, length: int) -> Range:
    """Indices ``start .. stop - 1`` of an axis of ``length`` pixels, mirrored at its ends (the end is not repeated)."""
    if start >= 0 and stop <= length:
        return slice(start, stop)
    if length == 1:
        return np.zeros(stop - start, dtype=np.int64)
    position = np.arange(start, stop) % (2 * length - 2)
    return np.minimum(position, 2 * length - 2 - position)


def cut(array: NDArray[np.uint8], rows: Range, columns: Range) -> NDArray[np.uint8]:
    """Take rows and columns of an (H, W, ...) array."""
    return array[rows][:, columns]


def cut_mask(mask: Mask, rows: Range, columns: Range) -> NDArray[np.uint8]:
    """Take rows and columns of a mask without making its whole frame."""
    (y0, y1), (x0, x1) = span(rows), span(columns)
    window = mask.window((x0, y0, x1, y1)).view(np.uint8)
    return cut(window, shifted(rows, y0), shifted(columns, x0))


def span(indices: Range) -> tuple[int, int]:
    """The smallest half-open range that holds all indices."""
    if isinstance(indices, slice):
        return indices.start, indices.stop
    return int(indices.min()), int(indices.max()) + 1


def shifted(indices: Range, origin: int) -> Range:
    """The same indices counted from ``origin``."""
    if isinstance(indices, slice):
        return slice(indices.start - origin, indices.stop - origin)
    return indices - origin


def resize(patch: NDArray[np.uint8], side: int, interpolation: int) -> NDArray[np.uint8]:
    """Resize a square patch to ``side`` pixels; half-pixel centres."""
    if patch.shape[0] == side:
        return patch
    out = np.empty((side, side, *patch.shape[2:]), dtype=np.uint8)
    resize_into(out, np.ascontiguousarray(patch), interpolation)
    return out


def resize_into(out: NDArray[np.uint8], patch: NDArray[np.uint8], interpolation: int) -> None:
    """Resize a square patch to fill ``out``, uint8 (T, T, ...); half-pixel centres."""
    if patch.shape == out.shape:
        out[...] = patch
    else:
        cv2.resize(patch, out.shape[:2], dst=out, interpolation=interpolation)
