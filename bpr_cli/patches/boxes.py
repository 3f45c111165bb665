"""Places boxes along boundaries, by the three schemes that the paper compares (Sect. 3.1 and Table 4)."""

from __future__ import annotations

from typing import get_args

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import AnyMask
from bpr_cli.patches import Scheme
from bpr_cli.patches.boundary import BoundaryPixels
from bpr_cli.typing import Box, ByteArray, IntArray, Size

Boxes = IntArray
"""int64, (P, 4): boxes x0, y0, x1, y1 in pixels, half-open."""

NO_BOXES: Boxes = np.zeros((0, 4), dtype=np.int64)

_AT_A_TIME = 2**18
"""Candidates that suppression turns into Python numbers at a time, which take many times the memory of arrays."""

ENLARGEMENT = 0.25
"""Growth of the box of the scheme ``instance``, as a share of the longer side of the mask's bounding box."""


def boxes_along(mask: AnyMask, pixels: BoundaryPixels, scheme: Scheme, patch_size: int, nms_threshold: float) -> Boxes:
    """Place boxes along the boundary of a mask: squares of one size, each with at least one boundary pixel.

    Args:
        mask: the coarse mask.
        pixels: its boundary pixels.
        scheme: ``dense`` (boxes along the boundary), ``grid`` (cells of a fixed grid) or ``instance`` (one box around
            the mask, whose size ignores ``patch_size``).
        patch_size: side S of the boxes in pixels.
        nms_threshold: IoU from 0 to 1; only used by ``dense``.

    Returns:
        int64, (P, 4), inside the image; P is 0 if there is no boundary. See the function of each scheme.

    Raises:
        BprError: the scheme is unknown.

    Example:
        >>> square = np.zeros((100, 100), dtype=bool)
        >>> square[40:60, 40:60] = True
        >>> mask = Mask.from_array(square)
        >>> boxes_along(mask, boundary_pixels(mask), "instance", 64, 0.25).tolist()
        [[37, 37, 62, 62]]
    """
    if scheme == "dense":
        return dense_boxes(pixels, mask.size, patch_size, nms_threshold)
    if scheme == "grid":
        return grid_boxes(pixels, mask.size, patch_size)
    if scheme == "instance":
        return instance_boxes(mask.box, mask.size) if len(pixels) else NO_BOXES
    raise BprError(f"scheme is {scheme!r}; expected one of {', '.join(get_args(Scheme))}")


def dense_boxes(pixels: BoundaryPixels, size: Size, patch_size: int, nms_threshold: float) -> Boxes:
    """Cover the boundary of a mask with square boxes.

    Every boundary pixel is the centre of a candidate box. Non-maximum suppression thins the candidates out. The
    remaining boxes are moved inside the image, and duplicates are dropped. In an image smaller than a patch, boxes
    extend beyond its right and lower edge.

    Args:
        pixels: boundary pixels of the coarse mask.
        size: (H, W) of the image.
        patch_size: side S of the boxes in pixels.
        nms_threshold: IoU with a better box above which a box is dropped; 0..1.

    Returns:
        int64, (P, 4), best score first.
    """
    return unique_boxes(move_inside(suppress(pixels, patch_size, nms_threshold), size))


def grid_boxes(pixels: BoundaryPixels, size: Size, patch_size: int) -> Boxes:
    """Divide the image into a fixed grid and keep the cells with a boundary pixel.

    The grid begins at the top left pixel. Its last column and row are moved inside the image. In an image smaller than
    a patch, boxes extend beyond its right and lower edge.

    Args:
        pixels: boundary pixels of the coarse mask.
        size: (H, W) of the image.
        patch_size: side S of the boxes in pixels.

    Returns:
        int64, (P, 4), in raster order.
    """
    cells = np.unique(np.stack([pixels.y // patch_size, pixels.x // patch_size], axis=1), axis=0)
    start = cells[:, ::-1].astype(np.int64) * patch_size
    return move_inside(np.concatenate([start, start + patch_size], axis=1), size)


def instance_boxes(box: Box, size: Size) -> Boxes:
    """Place one square box around the entire mask, larger than its bounding box by ``ENLARGEMENT``.

    The box is centred on the mask, then moved inside the image as far as it fits.

    Args:
        box: bounding box of the mask, with at least one pixel.
        size: (H, W) of the image.

    Returns:
        int64, (1, 4).
    """
    x0, y0, x1, y1 = box
    side = int(np.ceil(max(x1 - x0, y1 - y0) * (1 + ENLARGEMENT)))
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    return move_inside(np.array([[left, top, left + side, top + side]], dtype=np.int64), size)


def suppress(pixels: BoundaryPixels, patch_size: int, nms_threshold: float) -> Boxes:
    """Greedy non-maximum suppression of the equal square boxes centred on ``pixels``.

    All boxes have the same size, so every kept box suppresses the same offsets around its centre. These offsets form a
    stamp, which is applied to a bitmap of suppressed centres.

    Returns:
        int64, (P, 4), in the order of ``pixels``; boxes may reach outside the image.
    """
    if len(pixels) == 0:
        return NO_BOXES
    stamp = suppression_stamp(patch_size, nms_threshold)
    side, reach = stamp.shape[0], stamp.shape[0] // 2
    left, top = int(pixels.x.min()), int(pixels.y.min())
    width = int(pixels.x.max()) - left + side
    height = int(pixels.y.max()) - top + side
    # Single look-ups are much faster in a bytearray than in an array. The array is a view of it, to apply the stamp.
    dead = bytearray(width * height)
    bitmap = np.frombuffer(dead, dtype=np.uint8).reshape(height, width)
    kept = []
    for start in range(0, len(pixels), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        column, row = pixels.x[part].astype(np.int64) - left, pixels.y[part].astype(np.int64) - top
        for index, centre in enumerate(((row + reach) * width + column + reach).tolist()):
            if not dead[centre]:
                kept.append(start + index)
                y, x = int(row[index]), int(column[index])
                bitmap[y : y + side, x : x + side] |= stamp
    x0, y0 = (axis[kept].astype(np.int64) - patch_size // 2 for axis in (pixels.x, pixels.y))
    return np.stack([x0, y0, x0 + patch_size, y0 + patch_size], axis=1)


def suppression_stamp(patch_size: int, nms_threshold: float) -> ByteArray:
    """Mark the offsets between two equal squares at which their IoU exceeds the threshold.

    Returns:
        uint8, (K, K), K odd: 1 where suppressed; the offset (0, 0) is in the middle.
    """
    overlap = patch_size - np.abs(np.arange(1 - patch_size, patch_size))
    intersection = np.multiply.outer(overlap, overlap)
    suppressed = intersection / (2 * patch_size**2 - intersection) > nms_threshold
    reach = int(suppressed[patch_size - 1].sum()) // 2
    middle = slice(patch_size - 1 - reach, patch_size + reach)
    stamp: ByteArray = suppressed[middle, middle].astype(np.uint8)
    return stamp


def side_of(boxes: Boxes, otherwise: int) -> int:
    """Side of equal square boxes in pixels; ``otherwise`` if there are none."""
    return int(boxes[0, 2] - boxes[0, 0]) if len(boxes) else otherwise


def move_inside(boxes: Boxes, size: Size) -> Boxes:
    """Shift boxes into an image of ``size`` (H, W); along an axis where the image is too small, they start at 0."""
    height, width = size
    sides = boxes[:, 2:] - boxes[:, :2]
    limit = np.maximum(np.array([width, height]) - sides, 0)
    start = np.clip(boxes[:, :2], 0, limit)
    return np.concatenate([start, start + sides], axis=1)


def unique_boxes(boxes: Boxes) -> Boxes:
    """Drop repeated boxes, keeping the first of each."""
    first = np.unique(boxes, axis=0, return_index=True)[1]
    return boxes[np.sort(first)]
