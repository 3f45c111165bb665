"""Augmentation of the cut: which part of a stored patch is shown, how large, and whether mirrored."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.patchset.record import PatchSample
from bpr_cli.training.settings import GeometrySettings
from bpr_cli.training.sizes import contiguous

Random = np.random.Generator


def vary_cut(sample: PatchSample, side: int, settings: GeometrySettings, random: Random) -> PatchSample:
    """Cut ``side`` pixels out of a stored patch: shifted, enlarged or reduced, flipped, by chance.

    Nothing from beyond the stored patch is made up: the drawn zoom and shift are limited to what is there.

    Args:
        sample: as stored, ``side`` pixels a side or more.
        side: of the result.
        settings: chances and ranges.
        random: drawn from in an order that depends on nothing else.
    """
    stored = sample.coarse.shape[0]
    extent = float(side)
    if random.random() < settings.zoom:
        lowest, highest = np.log(settings.zoom_range)
        extent = min(side / math.exp(random.uniform(lowest, highest)), stored)
    reach = min((stored - extent) / 2, settings.shift)
    shift = random.uniform(-reach, reach, 2)
    cut = _straight(sample, side, shift) if extent == side else _zoomed(sample, side, extent, shift)
    columns = slice(None, None, -1 if random.random() < settings.flip else 1)
    rows = slice(None, None, -1 if random.random() < settings.flip_vertical else 1)
    return contiguous(
        PatchSample(cut.image[rows, columns], cut.coarse[rows, columns], cut.truth[rows, columns]),
    )


def _straight(sample: PatchSample, side: int, shift: NDArray[np.float64]) -> PatchSample:
    """Pixels as they are, shifted by whole pixels."""
    x, y = shift.round().astype(int).tolist()
    middle = (sample.coarse.shape[0] - side) // 2
    rows, columns = slice(middle + y, middle + y + side), slice(middle + x, middle + x + side)
    return PatchSample(sample.image[rows, columns], sample.coarse[rows, columns], sample.truth[rows, columns])


def _zoomed(sample: PatchSample, side: int, extent: float, shift: NDArray[np.float64]) -> PatchSample:
    """``extent`` pixels of the stored patch at ``side`` pixels: the image bilinear, masks by nearest neighbour."""
    scale = extent / side
    # The first pixel's centre; half-pixel centres.
    x, y = (sample.coarse.shape[0] - extent) / 2 + shift + scale / 2 - 0.5
    matrix = np.array([[scale, 0, x], [0, scale, y]])

    def warp(plane: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(plane, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return warped.astype(np.uint8, copy=False)

    sample = contiguous(sample)
    return PatchSample(
        warp(sample.image, cv2.INTER_LINEAR),
        warp(sample.coarse, cv2.INTER_NEAREST),
        warp(sample.truth, cv2.INTER_NEAREST),
    )
