"""Surfaces for the demo scenes: procedural noise, detail taken from a real photograph, colour and light.

Patterns are float32 arrays (H, W) of zero mean and unit deviation; colours are float32 RGB from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.typing import BoolArray, Size

FloatArray = NDArray[np.float32]
Colour = tuple[int, int, int]


def noise(
    size: Size, rng: np.random.Generator, slope: float = 1.0, stretch: tuple[float, float] = (1, 1)
) -> FloatArray:
    """Random pattern whose amplitude falls with frequency as 1/f**slope, as it does in photographs: (H, W).

    Args:
        size: (H, W) in pixels.
        rng: source of the random phases.
        slope: 0 is white noise, 1 a natural surface, 2 soft as clouds.
        stretch: how much longer the grain is along (y, x).
    """
    fy = np.fft.fftfreq(size[0])[:, None] * stretch[0]
    fx = np.fft.rfftfreq(size[1])[None, :] * stretch[1]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal(size)) / frequency**slope
    spectrum[0, 0] = 0
    return standardise(np.fft.irfft2(spectrum, s=size).astype(np.float32))


def photo_detail(photo: NDArray[np.uint8], size: Size, rng: np.random.Generator) -> FloatArray:
    """Fine brightness pattern of a random part of a photograph, magnified and mirrored to fill (H, W)."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Without its coarse steps, which would look like the edge of an object where there is none.
    grey = np.clip(grey - cv2.GaussianBlur(grey, (0, 0), 6), -30, 30)
    side = int(rng.integers(90, 200))
    y, x = (int(rng.integers(0, extent - side)) for extent in grey.shape)
    zoom = float(rng.uniform(1.0, 1.8))
    tile = cv2.resize(grey[y : y + side, x : x + side], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    rows = size[0] // tile.shape[0] + 1
    columns = size[1] // tile.shape[1] + 1
    filled = np.pad(tile, ((0, rows * tile.shape[0]), (0, columns * tile.shape[1])), mode="symmetric")
    return standardise(filled[: size[0], : size[1]])


def standardise(pattern: NDArray[np.floating]) -> FloatArray:
    """The pattern with zero mean and unit deviation."""
    centred = pattern - pattern.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), dtype=np.float32)


def colourise(pattern: NDArray[np.floating], colours: Sequence[Colour]) -> FloatArray:
    """Map a pattern to RGB, (H, W, 3): from -2 to +2 deviations through the colours in their order."""
    position = np.clip((pattern + 2) / 4, 0, 1) * (len(colours) - 1)
    stops = np.arange(len(colours))
    channels = [np.interp(position, stops, [colour[c] for colour in colours]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def smooth_step(pattern: NDArray[np.floating], low: float, high: float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, a smooth ramp between."""
    t = np.clip((pattern - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def bulge(mask: BoolArray, roundness: float) -> FloatArray:
    """Light on a mask seen as a rounded solid, lit from the upper left: factor around 1, (H, W).

    Args:
        mask: (H, W), the silhouette.
        roundness: distance in pixels over which the surface curves away to its rim.
    """
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    rise = np.clip(depth / roundness, 0, 1)
    height = cv2.GaussianBlur(np.sqrt(1 - (1 - rise) ** 2) * roundness, (0, 0), max(1.0, roundness / 6))
    slope_y, slope_x = np.gradient(height)
    light = (1 + 0.55 * slope_x + 0.8 * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
    return np.asarray(np.clip(0.55 + 0.45 * light, 0.35, 1.4), dtype=np.float32)
