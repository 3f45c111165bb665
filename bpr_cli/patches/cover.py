"""Few boxes that cover a boundary: each where it shows most of what no box shows yet.

Non-maximum suppression asks only how much boxes overlap, so it leaves stretches of a boundary uncovered and shows
others twice. Here boxes are chosen for what they add. A boundary pixel is worth more away from the edge of a box, where
the network sees more around it, and a further box over it is worth what it adds to that. This is the greedy method for
a submodular function (Nemhauser et al. 1978), done lazily (Minoux 1978): worths only fall, so an old one is a bound.
"""

from __future__ import annotations

import heapq

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.patches.boundary import BoundaryPixels

EDGE = 6
"""A pixel counts in full from this part of the side away from the edge of a box: a sixth."""

STEP = 8
"""Boxes may lie anywhere on a lattice whose step is this part of their side: an eighth."""

LEAST = 0.75
"""Boundary pixels that a further box must add, in sides: the two rows of a boundary along three eighths of a side."""


def cover(pixels: BoundaryPixels, patch_size: int) -> NDArray[np.int64]:
    """Choose square boxes that cover the boundary of a mask, until no further one adds ``LEAST``.

    A mask with a boundary, however short, gets at least one.

    Args:
        pixels: boundary pixels of the coarse mask.
        patch_size: side S of the boxes in pixels.

    Returns:
        int64, (P, 4), in the order they were chosen, upper left first among equals; boxes may reach outside the image.
    """
    if len(pixels) == 0:
        return np.zeros((0, 4), dtype=np.int64)
    left, top = int(pixels.x.min()) - patch_size, int(pixels.y.min()) - patch_size
    shape = int(pixels.y.max()) - top + patch_size + 1, int(pixels.x.max()) - left + patch_size + 1
    boundary = np.zeros(shape, dtype=np.uint8)
    boundary[pixels.y - top, pixels.x - left] = 1
    corners = np.array(choose(boundary, patch_size), dtype=np.int64) + np.array([left, top])
    return np.concatenate([corners, corners + patch_size], axis=1)


def choose(boundary: NDArray[np.uint8], patch_size: int) -> list[tuple[int, int]]:
    """Choose boxes of side S on a canvas.

    Args:
        boundary: uint8, (h, w), 1 on the boundary, 0 elsewhere and within S pixels of the frame.
        patch_size: side S.

    Returns:
        The upper left corners (x, y).
    """
    worth = pixel_worth(patch_size)
    seen = np.where(boundary, 0, worth.max()).astype(np.uint8)
    least = LEAST * patch_size * full_worth(patch_size)
    heap = bounds(boundary, patch_size, least)
    chosen: list[tuple[int, int]] = []
    while heap:
        bound, y, x = heap[0]
        window = seen[y : y + patch_size, x : x + patch_size]
        added = int(cv2.sumElems(cv2.subtract(worth, window))[0])  # differences below 0 count 0
        if added < -bound:
            heapq.heapreplace(heap, (-added, y, x))
            continue
        if chosen and added < least:
            break
        heapq.heappop(heap)
        np.maximum(window, worth, out=window)
        chosen.append((x, y))
    return chosen


def pixel_worth(patch_size: int) -> NDArray[np.uint8]:
    """What a box shows of each of its pixels, uint8, (S, S): 1 at its edge, rising by 1 a pixel to its full worth."""
    ramp = np.minimum(np.arange(patch_size), np.arange(patch_size)[::-1]) + 1
    worth: NDArray[np.uint8] = np.minimum.outer(ramp, ramp).clip(max=full_worth(patch_size)).astype(np.uint8)
    return worth


def full_worth(patch_size: int) -> int:
    """The worth of a pixel far from the edge, 1..255."""
    return min(max(1, patch_size // EDGE), 255)


def bounds(boundary: NDArray[np.uint8], patch_size: int, least: float) -> list[tuple[int, int, int]]:
    """What boxes of the lattice add at first: a heap of (-worth, y, x) of all that add ``least``, or of the best."""
    step = max(1, patch_size // STEP)
    rows, columns = (slice(0, length - patch_size + 1, step) for length in boundary.shape)
    total = np.zeros(boundary[rows, columns].shape, dtype=np.int64)
    for inset in range(full_worth(patch_size)):
        # A pixel's worth is the number of squares, each a pixel smaller all around, that it lies in.
        side = patch_size - 2 * inset
        shown = cv2.boxFilter(
            boundary, cv2.CV_32S, (side, side), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        total += shown[inset:, inset:][rows, columns].astype(np.int64)
    y, x = np.nonzero(total >= min(least, total.max()))
    heap = list(zip((-total[y, x]).tolist(), (y * step).tolist(), (x * step).tolist(), strict=True))
    heapq.heapify(heap)
    return heap
