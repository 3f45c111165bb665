"""Coarse predictions made from the truth, with the errors that real segmentation networks make.

Two kinds: a mask head predicts an instance on a small square grid stretched over its box (Mask R-CNN), and a
segmentation network predicts all labels on a grid a few times coarser than the image. Both lose thin parts, round
corners off and put the boundary a few pixels astray.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask
from bpr_cli.typing import BoolArray, Size

FloatArray = NDArray[np.float32]


def mask_head(
    mask: BoolArray, rng: np.random.Generator, side: int = 28, jitter: float = 0.02, smear: float = 1.0
) -> BoolArray:
    """A mask as a mask head with ``side`` x ``side`` cells gives it back.

    Args:
        mask: bool, (H, W).
        rng: source of the errors.
        side: cells along each side of the predicted box; Mask R-CNN has 28.
        jitter: deviation of each side of the predicted box, as a share of the box.
        smear: deviation of the blur in cells; a head smooths more than its grid alone would.

    Returns:
        bool, (H, W); empty for an empty mask.
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=bool)
    size = (mask.shape[0], mask.shape[1])
    x0, y0, x1, y1 = _jittered_box(mask, rng, jitter)
    cell_x, cell_y = (x1 - x0) / side, (y1 - y0) / side
    blur = (max(0.3, smear * cell_x), max(0.3, smear * cell_y))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), blur[0], sigmaY=blur[1]).astype(np.float32)
    cells = _warp(soft, np.array([[1 / cell_x, 0, -x0 / cell_x], [0, 1 / cell_y, -y0 / cell_y]]), (side, side))
    logits = cells - 0.5 + _doubt(cells) * _smooth_noise((side, side), rng, spread=1.2, amplitude=0.16)
    to_image = np.array([[cell_x, 0, x0], [0, cell_y, y0]])
    inside: BoolArray = _warp(np.ones_like(logits), to_image, size) > 0.5
    positive: BoolArray = _warp(logits, to_image, size) > 0
    return inside & positive


def low_resolution_labels(
    labels: NDArray[np.integer], rng: np.random.Generator, stride: int = 8, amplitude: float = 0.3
) -> NDArray[np.int32]:
    """A label map as a network that predicts on a coarser grid gives it back.

    Args:
        labels: (H, W). No label is new in the result; small segments may vanish from it.
        rng: source of the errors.
        stride: pixels a cell of the grid, along each axis.
        amplitude: deviation of the error in a cell's share of a label, 0 to 1.

    Returns:
        int32, (H, W).
    """
    height, width = labels.shape
    grid = (-(-height // stride), -(-width // stride))
    best = np.full((height, width), -np.inf, dtype=np.float32)
    coarse = np.zeros((height, width), dtype=np.int32)
    for label in np.unique(labels):
        share = cv2.resize((labels == label).astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
        share = cv2.GaussianBlur(share, (0, 0), 0.7)
        logits = share + _doubt(share) * _smooth_noise(grid, rng, spread=0.7, amplitude=amplitude)
        score = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
        coarse[score > best] = label
        best = np.maximum(best, score)
    return coarse


def _jittered_box(mask: BoolArray, rng: np.random.Generator, jitter: float) -> tuple[float, float, float, float]:
    """The bounding box with an error on each of its sides; at least one pixel wide and high."""
    x0, y0, x1, y1 = Mask.from_array(mask).box
    errors = rng.normal(0, jitter, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    left, top, right, bottom = (float(v) for v in np.array([x0, y0, x1, y1]) + np.clip(errors, -8, 8))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _doubt(share: NDArray[np.floating]) -> FloatArray:
    """How unsure a network is of a label by its share of a cell: 1 at a boundary, 0 in the middle of things."""
    return np.asarray(2 * np.sqrt(np.clip(share * (1 - share), 0, 0.25)), dtype=np.float32)


def _warp(array: NDArray[np.floating], matrix: NDArray[np.float64], size: Size) -> FloatArray:
    """Resample to (H, W) by a map of pixel-edge coordinates (2, 3), bilinear, 0 outside."""
    # OpenCV counts from the centre of the first pixel.
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return np.asarray(cv2.warpAffine(array, centred, size[::-1], flags=cv2.INTER_LINEAR), dtype=np.float32)


def _smooth_noise(size: Size, rng: np.random.Generator, spread: float, amplitude: float) -> FloatArray:
    """Noise of a given deviation that is alike over about ``spread`` cells: float32, (H, W)."""
    grain = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), spread)
    # Blurring by a wide Gaussian divides the deviation by 2 * sqrt(pi) * spread.
    return np.asarray(grain * np.float32(amplitude * max(1.0, 2 * np.sqrt(np.pi) * spread)), dtype=np.float32)
