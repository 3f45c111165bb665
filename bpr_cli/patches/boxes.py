"""Boundary pixels of a mask, and the boxes of patches along them, thinned out by NMS (BPR, Sect. 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import EMPTY_BOX, AnyMask
from bpr_cli.masks.runs import strips_of
from bpr_cli.patches import Scheme
from bpr_cli.typing import BoolArray, Box, ByteArray, IntArray, LabelArray, Size

SCORES = (4, 3, 2, 1)
"""The scores of boundary pixels, best first."""


@dataclass(frozen=True)
class BoundaryPixels:
    """The boundary pixels of one mask, best score first, in raster order among equals.

    Attributes:
        x: int32, (N,), columns in the image.
        y: int32, (N,), rows in the image.
        score: uint8, (N,), 1..4; see ``boundary_score``. The paper's score is this divided by 4.5.
    """

    x: LabelArray
    y: LabelArray
    score: ByteArray

    def __len__(self) -> int:
        return len(self.x)

    def outside(self, boxes: Boxes) -> BoundaryPixels:
        """The pixels that lie in none of the boxes, int64, (P, 4)."""
        if not len(self):
            return self
        x0, y0 = int(self.x.min()), int(self.y.min())
        covered = cover(boxes, (x0, y0, int(self.x.max()) + 1, int(self.y.max()) + 1))
        left_over = covered[self.y - y0, self.x - x0] == 0
        return BoundaryPixels(self.x[left_over], self.y[left_over], self.score[left_over])


def boundary_score(mask: BoolArray) -> ByteArray:
    """Score every pixel by how evenly mask and background share its 3 x 3 neighbourhood.

    Pixels outside the array repeat its edge, so the image border is not a boundary. (The authors' release pads with
    zeros, which makes it one.)

    Args:
        mask: bool, (H, W).

    Returns:
        uint8, (H, W): min(n, 9 - n) with n mask pixels in the neighbourhood; 0 away from the boundary, at most 4.
    """
    if mask.size == 0:
        return np.zeros(mask.shape, dtype=np.uint8)
    count = cv2.boxFilter(mask.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.minimum(count, 9 - count).astype(np.uint8, copy=False)


def boundary_pixels(mask: AnyMask) -> BoundaryPixels:
    """Find the boundary pixels of a mask: those whose 3 x 3 neighbourhood contains both mask and background.

    Only the surroundings of the bounding box are searched.

    Args:
        mask: any mask; an empty or full mask has no boundary.

    Example:
        >>> square = np.zeros((8, 8), dtype=bool)
        >>> square[2:6, 2:6] = True
        >>> len(boundary_pixels(Mask.from_array(square)))  # 12 inside the square, 20 outside
        32
    """
    x0, y0, x1, y1 = grow(mask.box, 2, mask.size)
    found: dict[int, list[LabelArray]] = {score: [] for score in SCORES}
    for top, bottom in strips_of((y1 - y0, x1 - x0)):
        # The score needs a row above and below.
        first, last = max(top - 1, 0), min(bottom + 1, y1 - y0)
        score = boundary_score(mask.window((x0, y0 + first, x1, y0 + last)))[top - first : bottom - first]
        # NumPy searches a flat bool array much faster than a numeric or two-dimensional one.
        places = np.flatnonzero(score != 0)
        scores = score.ravel()[places]
        for each, parts in found.items():
            parts.append((places[scores == each] + top * (x1 - x0)).astype(np.int32))
    counts = [sum(map(len, parts)) for parts in found.values()]
    y, x = np.divmod(np.concatenate([part for parts in found.values() for part in parts]), np.int32(max(x1 - x0, 1)))
    return BoundaryPixels(x + np.int32(x0), y + np.int32(y0), np.repeat(np.array(SCORES, dtype=np.uint8), counts))


def grow(box: Box, margin: int, size: Size) -> Box:
    """Enlarge a box by ``margin`` pixels on every side, clipped to an image of ``size`` (H, W)."""
    x0, y0, x1, y1 = box
    return max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, size[1]), min(y1 + margin, size[0])


def union(first: Box, second: Box) -> Box:
    """The smallest box that contains both boxes; an empty box adds nothing."""
    if EMPTY_BOX in (first, second):
        return second if first == EMPTY_BOX else first
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


Boxes = IntArray
"""int64, (P, 4): boxes x0, y0, x1, y1 in pixels, half-open."""

NO_BOXES: Boxes = np.zeros((0, 4), dtype=np.int64)

_AT_A_TIME = 2**18
"""Candidates that suppression turns into Python numbers at a time, which take many times the memory of arrays."""

ENLARGEMENT = 0.25
"""Growth of the box of the scheme ``instance``, as a share of the longer side of the mask's bounding box."""


def boxes_along(
    mask: AnyMask, pixels: BoundaryPixels, scheme: Scheme, patch_size: int, nms_threshold: float, rim: int = 0
) -> Boxes:
    """Place boxes along the boundary of a mask: squares of one size, each with at least one boundary pixel.

    Args:
        mask: the coarse mask.
        pixels: its boundary pixels.
        scheme: ``dense`` (boxes along the boundary), ``grid`` (cells of a fixed grid) or ``instance`` (one box around
            the mask, whose size ignores ``patch_size``).
        patch_size: side S of the boxes in pixels.
        nms_threshold: IoU from 0 to 1; only used by ``dense``.
        rim: see ``dense_boxes``; only used by ``dense``.

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
        return dense_boxes(pixels, mask.size, patch_size, nms_threshold, rim)
    if scheme == "grid":
        return grid_boxes(pixels, mask.size, patch_size)
    if scheme == "instance":
        return instance_boxes(mask.box, mask.size) if len(pixels) else NO_BOXES
    raise BprError(f"scheme is {scheme!r}; expected one of {', '.join(get_args(Scheme))}")


def dense_boxes(pixels: BoundaryPixels, size: Size, patch_size: int, nms_threshold: float, rim: int = 0) -> Boxes:
    """Cover the boundary of a mask with square boxes (Sect. 3.1).

    Every boundary pixel is the centre of a candidate box. Non-maximum suppression thins the candidates out. The
    remaining boxes are moved inside the image, and duplicates are dropped. In an image smaller than a patch, boxes
    extend beyond its right and lower edge.

    A low threshold leaves gaps between boxes, where suppressed candidates lay. Boxes with a rim leave none: the same
    follows with the pixels outside of all boxes and their rims, until there is no such pixel. The paper has no rim.

    Args:
        pixels: boundary pixels of the coarse mask.
        size: (H, W) of the image.
        patch_size: side S of the boxes in pixels.
        nms_threshold: IoU with a better box above which a box is dropped; 0..1.
        rim: pixels around a box that are pasted back with it.

    Returns:
        int64, (P, 4), without the rim; best score first, and again for the boxes in gaps.
    """
    boxes = move_inside(suppress(pixels, patch_size, nms_threshold), size)
    while rim and len(pixels := pixels.outside(widened(boxes, rim))):
        boxes = np.concatenate([boxes, move_inside(suppress(pixels, patch_size, nms_threshold), size)])
    return unique_boxes(boxes)


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


def widened(boxes: Boxes, margin: int) -> Boxes:
    """Boxes with ``margin`` more pixels on every side."""
    wide: Boxes = boxes + np.array([-margin, -margin, margin, margin])
    return wide


def cover(boxes: Boxes, window: Box) -> ByteArray:
    """The pixels of a window that lie in boxes, int64, (P, 4): uint8, (h, w), 1 there and 0 elsewhere."""
    x0, y0, x1, y1 = window
    covered = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    for left, top, right, bottom in np.maximum(boxes - np.array([x0, y0, x0, y0]), 0).tolist():
        covered[top:bottom, left:right] = 1
    return covered


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
