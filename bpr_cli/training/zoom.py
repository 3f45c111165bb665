"""Patches at any magnification: how large objects are shown in training."""

from __future__ import annotations

import math

import cv2
import numpy as np

from bpr_cli.patches.crop import reflected_range, resize
from bpr_cli.training.augmentation import Random
from bpr_cli.training.settings import SetSampling
from bpr_cli.typing import ByteArray

SHRINKING = 0.4
"""Below this zoom, patches are averaged as they shrink, because bilinear interpolation would leave pixels out."""


def draw_zoom(settings: SetSampling, random: Random) -> float:
    """Sample a magnification."""
    left = random.random()
    for zoom, chance in settings.zooms:
        if left < chance:
            return zoom
        left -= chance
    return math.exp(random.uniform(*np.log(settings.zoom_range)))


def warped(plane: ByteArray, place: tuple[float, float], zoom: float, side: int, interpolation: int) -> ByteArray:
    """Crop ``side`` pixels around a place, magnified by ``zoom``; the image is continued by reflection.

    Coordinates have half-pixel centres.
    """
    if zoom < SHRINKING:
        return shrunk(plane, place, side / zoom, side, interpolation)
    if zoom == 1:
        place = round(place[0]), round(place[1])
    x, y = (each - side / 2 / zoom + 0.5 / zoom - 0.5 for each in place)
    matrix = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(plane, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return found.astype(np.uint8, copy=False)


def shrunk(plane: ByteArray, place: tuple[float, float], extent: float, side: int, interpolation: int) -> ByteArray:
    """Crop ``extent`` pixels around a place and shrink them to ``side`` pixels; averages the pixels of images."""
    size = max(side, round(extent))
    x0, y0 = (round(each - size / 2) for each in place)
    rows, columns = (
        reflected_range(start, start + size, length) for start, length in zip((y0, x0), plane.shape, strict=False)
    )
    averaging = cv2.INTER_AREA if interpolation == cv2.INTER_LINEAR else cv2.INTER_NEAREST_EXACT
    return resize(plane[rows][:, columns], side, averaging)
