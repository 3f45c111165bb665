"""Coarse masks simulated from ground truth, with typical errors of segmentation models.

A mask gets one main error, typical of a kind of model, and some of the smaller errors:

- ``mask_head``: the 28 x 28 mask of a two-stage detector, pasted into a box that is slightly off (Mask R-CNN);
- ``low_resolution``: logits at a stride of several pixels, smoothed and resized (fully convolutional networks);
- ``polygon``: an outline of few points (annotation tools);
- ``wobble``: a boundary that wanders off and back;
- ``blobs``: missing or additional parts;
- ``thickness``: a mask that is too thick or too thin;
- ``near``: a mask that is right to about two pixels, as good models predict it (used for training only).

All errors are pure functions of a window and a random generator.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.patches.boxes import grow
from bpr_cli.typing import Box, FloatArray, LabelArray

SimulatedError = Callable[[FloatArray, np.random.Generator], FloatArray]
"""Function that distorts a window around a mask: float32, (h, w), foreground probability 0..1."""

HEAD_SIDE = 28
"""Side of the masks of Mask R-CNN's mask head."""

_MARGIN = 0.3  # reach of the errors as a fraction of the longer side of the mask
_MIN_MARGIN = 12


def simulate(truth: Mask, rng: np.random.Generator) -> Mask:
    """A coarse mask of an object or region; it may be empty or far from the ground truth.

    Args:
        truth: the ground-truth mask.
        rng: source of all randomness: equal generators give equal masks.
    """
    if truth.box == EMPTY_BOX:
        return truth
    x0, y0, x1, y1 = truth.box
    window = grow(truth.box, max(_MIN_MARGIN, round(_MARGIN * max(x1 - x0, y1 - y0))), truth.size)
    soft = truth.window(window).astype(np.float32)
    for error in _choose_errors(rng):
        soft = error(soft, rng)
    return Mask.from_array(soft > 0.5, (window[0], window[1]), truth.size)


def simulate_labels(labels: LabelArray, rng: np.random.Generator, stride: float = 8) -> LabelArray:
    """A coarse label map, as a fully convolutional network predicts it: arg-max of logits at a stride.

    Args:
        labels: true labels, int32, (H, W). The result has no new label; small segments may vanish.
        rng: source of all randomness.
        stride: pixels per cell of the grid, along each axis.
    """
    found = np.unique(labels)
    logits = [_resampled((labels == label).astype(np.float32), stride, rng) for label in found]
    return np.asarray(found[np.argmax(logits, axis=0)], dtype=np.int32)


def near_labels(labels: LabelArray, rng: np.random.Generator) -> LabelArray:
    """A label map, int32, (H, W), whose boundaries are right to about two pixels: they wander off and back."""
    spacing, reach = rng.uniform(6, 50), _log_uniform(0.3, 2, rng)
    shifts = [np.rint(reach * _smooth_noise(labels.shape, spacing, rng)).astype(np.intp) for _ in range(2)]
    height, width = labels.shape
    y, x = (at + by for at, by in zip(np.indices(labels.shape), shifts, strict=True))
    moved: LabelArray = labels[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return moved


def _choose_errors(rng: np.random.Generator) -> list[SimulatedError]:
    """One main error, followed by some of the smaller errors."""
    main: list[SimulatedError] = [mask_head, low_resolution, polygon, wobble]
    chosen = [main[rng.choice(len(main), p=(0.35, 0.35, 0.1, 0.2))]]
    for error, chance in ((wobble, 0.4), (blobs, 0.35), (thickness, 0.25)):
        if error not in chosen and rng.random() < chance:
            chosen.append(error)
    return chosen


def mask_head(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Sample the mask in a jittered box with 28 x 28 noisy logits, and resize them back."""
    box = _jittered(_tight(soft), rng.uniform(0.0, 0.06), soft.shape, rng)
    x0, y0, x1, y1 = box
    head = cv2.resize(soft[y0:y1, x0:x1], (HEAD_SIDE, HEAD_SIDE), interpolation=cv2.INTER_AREA)
    head = cv2.GaussianBlur(head, (0, 0), rng.uniform(0.3, 1.0))
    head = head + rng.uniform(0.0, 0.25) * _smooth_noise((HEAD_SIDE, HEAD_SIDE), 3, rng)
    pasted = np.zeros_like(soft)
    pasted[y0:y1, x0:x1] = cv2.resize(head, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return _hardened(pasted, 0.5)


def low_resolution(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Sample the mask at a stride of 2 to 18 pixels, smooth it, and apply a random threshold."""
    stride = min(_log_uniform(2, 18, rng), max(1.0, _extent(soft) / 4))
    return _hardened(_resampled(soft, stride, rng), rng.uniform(0.3, 0.7))


def _resampled(soft: FloatArray, stride: float, rng: np.random.Generator) -> FloatArray:
    """Reduce the mask by a stride, smooth it, add smooth noise, and enlarge it again."""
    height, width = soft.shape
    cells = max(2, round(width / stride)), max(2, round(height / stride))
    small = cv2.GaussianBlur(cv2.resize(soft, cells, interpolation=cv2.INTER_AREA), (0, 0), rng.uniform(0.3, 0.9))
    small = small + rng.uniform(0.0, 0.2) * _smooth_noise(small.shape, 4, rng)
    return cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def polygon(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Redraw every outline, including holes, with few slightly displaced points."""
    mask = (soft > 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    share = rng.uniform(0.004, 0.02)
    drawn = []
    for outline in outlines:
        points = cv2.approxPolyDP(outline, share * cv2.arcLength(outline, True), True)
        jitter = rng.normal(0, min(2.0, 0.05 * _extent(soft)), points.shape)
        drawn.append(np.rint(points + jitter).astype(np.int32))
    # When all outlines are filled together, those inside others become holes.
    return cv2.fillPoly(np.zeros_like(mask), drawn, 1).astype(np.float32) if drawn else soft


def wobble(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Shift every pixel by a smooth random field: 0.5 to 9 pixels far, varying over 8 to 60 pixels."""
    spacing, reach = rng.uniform(8, 60), min(_log_uniform(0.5, 9, rng), max(1.0, 0.1 * _extent(soft)))
    return _bent(soft, spacing, reach, rng)


def blobs(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add or remove one to three ellipses at the boundary."""
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


def thickness(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Thicken or thin the mask by 1 to 4 pixels."""
    radius = int(np.clip(round(rng.uniform(1, 4)), 1, max(1.0, 0.04 * _extent(soft))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return change(soft, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32)


def near(soft: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Bend, move, thicken, thin or smooth the mask, by about two pixels at most."""
    change = rng.random()
    if change < 0.45:
        return _bent(soft, rng.uniform(6, 50), _log_uniform(0.3, 1.3, rng), rng)
    if change < 0.6:
        return np.roll(soft, rng.integers(-2, 3, 2), (0, 1))
    if change < 0.8:
        kernel = np.ones((int(rng.integers(2, 4)),) * 2, np.uint8)
        morph = cv2.erode if rng.random() < 0.5 else cv2.dilate
        return morph(soft, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    return _hardened(cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.6, 2.2)), rng.uniform(0.35, 0.65))


def _bent(soft: FloatArray, spacing: float, reach: float, rng: np.random.Generator) -> FloatArray:
    """Shift every pixel by a smooth random field of standard deviation ``reach``, varying over ``spacing`` pixels."""
    height, width = soft.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    shift = [reach * _smooth_noise(soft.shape, spacing, rng) for _ in range(2)]
    return _hardened(
        cv2.remap(soft, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), 0.5
    )


def _log_uniform(lowest: float, highest: float, rng: np.random.Generator) -> float:
    """A random number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))


def _extent(soft: FloatArray) -> float:
    """Size of the mask in pixels: the side of a square of equal area."""
    return float(np.sqrt(np.count_nonzero(soft > 0.5)))


def _tight(soft: FloatArray) -> Box:
    """Bounding box of the foreground; the entire window if there is none."""
    box = Mask.from_array(soft > 0.5).box
    return box if box != EMPTY_BOX else (0, 0, soft.shape[1], soft.shape[0])


def _jittered(box: Box, share: float, shape: tuple[int, ...], rng: np.random.Generator) -> Box:
    """Move the sides of a box by normal noise of ``share`` times its size; the box keeps at least one pixel."""
    x0, y0, x1, y1 = box
    noise = np.rint(rng.normal(0, share, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]).astype(int)
    left, top, right, bottom = (np.array(box) + noise).tolist()
    left, top = min(max(left, 0), shape[1] - 1), min(max(top, 0), shape[0] - 1)
    return left, top, min(max(right, left + 1), shape[1]), min(max(bottom, top + 1), shape[0])


def _smooth_noise(shape: tuple[int, ...], spacing: float, rng: np.random.Generator) -> FloatArray:
    """Smooth noise with a standard deviation of about 1 that varies over ``spacing`` pixels: float32, (h, w)."""
    height, width = shape[:2]
    grid = rng.normal(0, 1, (max(2, round(height / spacing)), max(2, round(width / spacing)))).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False)


def _hardened(soft: NDArray[np.number], threshold: float) -> FloatArray:
    return (soft > threshold).astype(np.float32)
