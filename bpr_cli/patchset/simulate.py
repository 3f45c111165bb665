"""Coarse masks made from true ones, with the faults that segmentation models make: for those without predictions.

A mask gets one main fault, which is that of a kind of model, and some of the smaller ones:

- ``mask_head``: the 28 x 28 mask of a two-stage detector, pasted into a box that is not quite right (Mask R-CNN);
- ``low_resolution``: logits at a stride of several pixels, smoothed and resized (fully convolutional networks);
- ``polygon``: an outline of few points (annotation tools);
- ``wobble``: a boundary that wanders off and back;
- ``blobs``: parts that are missing, or too much;
- ``thickness``: a mask that is too thick or too thin.

All are pure functions of a window and a generator of random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import EMPTY_BOX, Box, Mask
from bpr_cli.patches.boundary import grow

Soft = NDArray[np.float32]
"""float32, (h, w), foreground probability 0..1 in a window around a mask."""

Fault = Callable[[Soft, np.random.Generator], Soft]

HEAD_SIDE = 28
"""Side of the masks of Mask R-CNN's mask head."""

_MARGIN = 0.3  # of the longer side of the mask: as far as faults may reach
_MIN_MARGIN = 12


def simulate(truth: Mask, rng: np.random.Generator) -> Mask:
    """A coarse mask of an object or region; it may be empty, or resemble the truth little.

    Args:
        truth: the true mask.
        rng: where all chance comes from: equal generators give equal masks.
    """
    if truth.box == EMPTY_BOX:
        return truth
    x0, y0, x1, y1 = truth.box
    window = grow(truth.box, max(_MIN_MARGIN, round(_MARGIN * max(x1 - x0, y1 - y0))), truth.size)
    soft = truth.window(window).astype(np.float32)
    for fault in _choose(rng):
        soft = fault(soft, rng)
    return Mask.from_array(soft > 0.5, (window[0], window[1]), truth.size)


def _choose(rng: np.random.Generator) -> list[Fault]:
    """One main fault, and then some of the smaller ones."""
    main: list[Fault] = [mask_head, low_resolution, polygon, wobble]
    chosen = [main[rng.choice(len(main), p=(0.35, 0.35, 0.1, 0.2))]]
    for fault, chance in ((wobble, 0.4), (blobs, 0.35), (thickness, 0.25)):
        if fault not in chosen and rng.random() < chance:
            chosen.append(fault)
    return chosen


def mask_head(soft: Soft, rng: np.random.Generator) -> Soft:
    """Sample the mask in a jittered box with 28 x 28 noisy logits, and resize them back."""
    box = _jittered(_tight(soft), rng.uniform(0.0, 0.06), soft.shape, rng)
    x0, y0, x1, y1 = box
    head = cv2.resize(soft[y0:y1, x0:x1], (HEAD_SIDE, HEAD_SIDE), interpolation=cv2.INTER_AREA)
    head = cv2.GaussianBlur(head, (0, 0), rng.uniform(0.3, 1.0))
    head = head + rng.uniform(0.0, 0.25) * _smooth_noise((HEAD_SIDE, HEAD_SIDE), 3, rng)
    pasted = np.zeros_like(soft)
    pasted[y0:y1, x0:x1] = cv2.resize(head, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return _hardened(pasted, 0.5)


def low_resolution(soft: Soft, rng: np.random.Generator) -> Soft:
    """Sample the mask at a stride of 2 to 18 pixels, smooth it, and take another threshold than one half."""
    height, width = soft.shape
    stride = min(_log_uniform(2, 18, rng), max(1.0, _extent(soft) / 4))
    small = cv2.resize(
        soft, (max(2, round(width / stride)), max(2, round(height / stride))), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 0.9))
    small = small + rng.uniform(0.0, 0.2) * _smooth_noise(small.shape, 4, rng)
    large = cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return _hardened(large, rng.uniform(0.3, 0.7))


def polygon(soft: Soft, rng: np.random.Generator) -> Soft:
    """Draw every outline, holes too, with few points that are not quite right."""
    mask = (soft > 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    share = rng.uniform(0.004, 0.02)
    drawn = []
    for outline in outlines:
        points = cv2.approxPolyDP(outline, share * cv2.arcLength(outline, True), True)
        jitter = rng.normal(0, min(2.0, 0.05 * _extent(soft)), points.shape)
        drawn.append(np.rint(points + jitter).astype(np.int32))
    # Outlines within others are holes: filled together, they are left out.
    return cv2.fillPoly(np.zeros_like(mask), drawn, 1).astype(np.float32) if drawn else soft


def wobble(soft: Soft, rng: np.random.Generator) -> Soft:
    """Shift every pixel by a smooth field of 0.5 to 9 pixels that turns every 8 to 60."""
    height, width = soft.shape
    spacing, reach = rng.uniform(8, 60), min(_log_uniform(0.5, 9, rng), max(1.0, 0.1 * _extent(soft)))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    shift = [reach * _smooth_noise(soft.shape, spacing, rng) for _ in range(2)]
    moved = cv2.remap(soft, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _hardened(moved, 0.5)


def blobs(soft: Soft, rng: np.random.Generator) -> Soft:
    """Add or take away one to three smooth blobs at the boundary."""
    mask = (soft > 0.5).astype(np.uint8)
    boundary = np.argwhere(mask != cv2.erode(mask, np.ones((3, 3), np.uint8)))
    if not len(boundary):
        return soft
    for _ in range(rng.integers(1, 4)):
        y, x = boundary[rng.integers(len(boundary))].tolist()
        radii = np.maximum(1, np.rint(_extent(soft) * rng.uniform(0.03, 0.25, 2))).astype(int).tolist()
        value = int(rng.random() < 0.5)
        cv2.ellipse(mask, (x, y), radii, rng.uniform(0, 180), 0, 360, value, -1)
    return mask.astype(np.float32)


def thickness(soft: Soft, rng: np.random.Generator) -> Soft:
    """Thicken or thin the mask by 1 to 4 pixels."""
    radius = int(np.clip(round(rng.uniform(1, 4)), 1, max(1.0, 0.04 * _extent(soft))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return change(soft, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32)


def _log_uniform(lowest: float, highest: float, rng: np.random.Generator) -> float:
    """A number from a range of which every octave is as likely as the others."""
    return float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))


def _extent(soft: Soft) -> float:
    """How large the mask is in pixels: the side of a square of its area."""
    return float(np.sqrt(np.count_nonzero(soft > 0.5)))


def _tight(soft: Soft) -> Box:
    """Bounding box of the foreground; the whole window where there is none."""
    box = Mask.from_array(soft > 0.5).box
    return box if box != EMPTY_BOX else (0, 0, soft.shape[1], soft.shape[0])


def _jittered(box: Box, share: float, shape: tuple[int, ...], rng: np.random.Generator) -> Box:
    """Move the sides of a box by normal noise, ``share`` of its sides wide; at least a pixel of it stays."""
    x0, y0, x1, y1 = box
    noise = np.rint(rng.normal(0, share, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]).astype(int)
    left, top, right, bottom = (np.array(box) + noise).tolist()
    left, top = min(max(left, 0), shape[1] - 1), min(max(top, 0), shape[0] - 1)
    return left, top, min(max(right, left + 1), shape[1]), min(max(bottom, top + 1), shape[0])


def _smooth_noise(shape: tuple[int, ...], spacing: float, rng: np.random.Generator) -> Soft:
    """Normal noise of standard deviation about 1 that is smooth over ``spacing`` pixels: float32, (h, w)."""
    height, width = shape[:2]
    grid = rng.normal(0, 1, (max(2, round(height / spacing)), max(2, round(width / spacing)))).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False)


def _hardened(soft: NDArray[Any], threshold: float) -> Soft:
    return (soft > threshold).astype(np.float32)
