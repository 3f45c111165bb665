"""Polygons to masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask, in_pixels
from bpr_cli.typing import DoubleArray, Size

LONGEST = 2**24
"""Most rows of pixels that the sides of the polygons of a mask may cross together; each takes about 60 bytes."""


def fill_polygons(polygons: Sequence[DoubleArray], size: Size) -> Mask:
    """The pixels whose centres lie in polygons by the even-odd rule: where a second one overlaps, there is a hole.

    What lies outside the image is cut off.

    >>> mask = fill_polygons([np.array([(1, 0), (4, 0), (4, 2), (1, 2)])], (3, 5))
    >>> mask.box, mask.area
    ((1, 0, 4, 2), 6)

    Args:
        polygons: float64, (N, 2), of x and y in pixels; pixel (x, y) has its centre at (x + 0.5, y + 0.5).
        size: (H, W) of the image.

    Raises:
        BprError: the polygons are too long for the memory. The message does not name them.
    """
    height, width = size
    sides = [np.stack([polygon, np.roll(polygon, -1, axis=0)], axis=1) for polygon in polygons]
    # Every side leads down, so that the two ways over a bridge give the same pixels.
    down = [np.take_along_axis(side, side[:, :, 1:].argsort(axis=1, kind="stable"), axis=1) for side in sides]
    (x0, y0), (x1, y1) = np.concatenate([np.empty((0, 2, 2)), *down]).transpose(1, 2, 0)
    top, bottom = (np.ceil(y - 0.5).clip(0, height).astype(np.int64) for y in (y0, y1))
    counts = bottom - top
    if counts.sum() > LONGEST:
        raise BprError(f"its polygons cross {counts.sum()} rows, far more than an image of {in_pixels(size)} has")
    side = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(len(side)) - np.repeat(np.cumsum(counts) - counts, counts) + top[side]
    if not len(row):
        return Mask.empty(size)
    x = x0[side] + (row + 0.5 - y0[side]) * ((x1 - x0)[side] / (y1 - y0)[side])
    column = np.ceil(x - 0.5).clip(0, width).astype(np.int64)
    left, above = int(column.min()), int(row.min())
    crossings = np.zeros((int(row.max()) + 1 - above, int(column.max()) + 1 - left), dtype=np.uint8)
    np.bitwise_xor.at(crossings, (row - above, column - left), np.uint8(1))
    inside = np.bitwise_xor.accumulate(crossings, axis=1)[:, :-1]
    return Mask.from_array(inside, (left, above), size)
