"""Augmentation of the coarse mask: what models other than those in the patch set might have predicted."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.patchset.record import VOID
from bpr_cli.training.settings import CoarseSettings

Random = np.random.Generator
Plane = NDArray[np.uint8]
"""(E, E)."""

GREATEST_SHIFT = 3
LARGEST_ELEMENT = 5
WOBBLE_GRID = (8, 60)
WOBBLE_REACH = (0.5, 5)
"""In pixels: distance of the points that are moved independently, and how far they are moved (standard deviation), the
latter on a logarithmic scale."""


def vary_coarse(coarse: Plane, truth: Plane, settings: CoarseSettings, random: Random) -> Plane:
    """Change a coarse mask by chance.

    Args:
        coarse: 0 and 1.
        truth: 0, 1 and ``VOID``.
        settings: the chances. A mask that is replaced by the truth is not changed any further.
        random: drawn from in an order that depends on nothing else.

    Returns:
        uint8, 0 and 1.
    """
    if random.random() < settings.truth:
        return np.where(truth == VOID, coarse, truth)
    if random.random() < settings.shift:
        coarse = shifted(coarse, *random.integers(-GREATEST_SHIFT, GREATEST_SHIFT + 1, 2).tolist())
    if random.random() < settings.morph:
        coarse = morphed(coarse, random)
    if random.random() < settings.wobble:
        coarse = wobbled(coarse, random)
    return coarse


def shifted(coarse: Plane, x: int, y: int) -> Plane:
    """The mask moved to the right and down; its border is repeated."""
    height, width = coarse.shape
    rows = np.clip(np.arange(height) - y, 0, height - 1)
    columns = np.clip(np.arange(width) - x, 0, width - 1)
    return coarse[rows][:, columns]


def morphed(coarse: Plane, random: Random) -> Plane:
    """Eroded or dilated by one to two pixels; an element of even side moves the mask by half a pixel as well."""
    side = int(random.integers(2, LARGEST_ELEMENT + 1))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    change = cv2.erode if random.random() < 0.5 else cv2.dilate
    return np.asarray(change(coarse, element), dtype=np.uint8)


def wobbled(coarse: Plane, random: Random) -> Plane:
    """Bent by a smooth random field of displacements."""
    height, width = coarse.shape
    points = 1 + max(1, round(max(height, width) / random.uniform(*WOBBLE_GRID)))
    reach = math.exp(random.uniform(*np.log(WOBBLE_REACH)))
    field = random.standard_normal((points, points, 2), dtype=np.float32) * np.float32(reach)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    x = np.arange(width, dtype=np.float32) + field[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + field[..., 1]
    return np.asarray(cv2.remap(coarse, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
