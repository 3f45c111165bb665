"""Single segments for the report: before, after, ground truth, and a map of the pixels that became right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.evaluation.report.layers import Layers
from bpr_cli.evaluation.report.model import SegmentPair
from bpr_cli.evaluation.report.overlays import View, data_uri, image_of, sheets_of
from bpr_cli.masks.drawing import Colour, Picture, draw_segments
from bpr_cli.typing import BoolArray, Box

SHOWN = 12
"""Number of the largest gains, and of the largest losses."""
SIDE = 288
"""Longer side of a picture in pixels."""
LEAST = 32
"""Smallest side of the part of the image that is shown, in its pixels."""
MARGIN = 0.12
"""Margin around the segment, as a fraction of its longer side."""

NEWLY_RIGHT: Colour = (0, 158, 115)
NEWLY_WRONG: Colour = (213, 94, 0)
STILL_WRONG: Colour = (110, 110, 110)
ERROR_COLOURS = (("newly right", NEWLY_RIGHT), ("newly wrong", NEWLY_WRONG), ("wrong before and after", STILL_WRONG))
"""Green and vermilion of Okabe and Ito's palette, and gray."""


@dataclass(frozen=True)
class SegmentCard:
    """One segment of the report.

    Attributes:
        pair: the segment with its IoU before and after.
        views: before, after, ground truth, and the map of errors; empty if they cannot be drawn.
        size: (width, height) of each in pixels.
        problem: the reason why pictures are missing; empty if none were requested.
    """

    pair: SegmentPair
    views: tuple[View, ...] = ()
    size: tuple[int, int] = (SIDE, SIDE)
    problem: str = ""


def extreme_pairs(pairs: Sequence[SegmentPair], sign: int) -> list[SegmentPair]:
    """The segments with the largest gains (``sign`` 1) or losses (-1), the largest first; none without a change."""
    changed = [pair for pair in pairs if sign * pair.change > 0]
    return sorted(changed, key=lambda pair: -sign * pair.change)[:SHOWN]


def draw_segment(pair: SegmentPair, layers: Layers, task: str) -> SegmentCard:
    """Draw one segment.

    Args:
        pair: the segment.
        layers: the layers of its image, with a baseline.
        task: task of the report; in label maps and panoptic maps, 0 is void, where no pixel counts as wrong.
    """
    sheets = sheets_of(layers)[:3]
    before, after, truth = ((sheet.labels == pair.number) for sheet in sheets)
    box = _around(before | after | truth)
    x0, y0, x1, y1 = box
    scale = SIDE / max(x1 - x0, y1 - y0)
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    image = np.ascontiguousarray(image_of(layers)[y0:y1, x0:x1])
    crops = [mask[y0:y1, x0:x1] for mask in (before, after, truth)]
    views = [
        View(sheet.name, sheet.colour, data_uri(draw_segments(image, [crop], sheet.colour, size)), ())
        for sheet, crop in zip(sheets, crops, strict=True)
    ]
    counted = np.ones_like(crops[0]) if task in ("instance", "binary") else layers.truth.labels[y0:y1, x0:x1] != 0
    errors = error_map(image, crops[0] != crops[2], crops[1] != crops[2], counted)
    enlarged = cv2.resize(errors, size, interpolation=cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA)
    views.append(View("what changed", NEWLY_RIGHT, data_uri(np.asarray(enlarged, dtype=np.uint8)), ()))
    return SegmentCard(pair, tuple(views), size)


def error_map(image: Picture, was_wrong: BoolArray, is_wrong: BoolArray, counted: BoolArray) -> Picture:
    """Mark the pixels that became right, became wrong, or stayed wrong, on the faded image.

    Args:
        image: uint8 RGB, (H, W, 3).
        was_wrong: where the coarse segment differs from the true one, bool, (H, W).
        is_wrong: where the refined segment does, likewise.
        counted: pixels that count, likewise.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    drawn = np.asarray(255 - (255 - gray.astype(np.float32)) * 0.35).astype(np.uint8)
    for (_, colour), marked in zip(
        ERROR_COLOURS, (was_wrong & ~is_wrong, is_wrong & ~was_wrong, was_wrong & is_wrong), strict=True
    ):
        drawn[marked & counted] = colour
    return drawn


def _around(mask: BoolArray) -> Box:
    """The bounding box of a mask with a margin, not smaller than ``LEAST`` and inside the image."""
    height, width = mask.shape
    x, y, across, down = cv2.boundingRect(mask.astype(np.uint8))
    margin = MARGIN * max(across, down)
    sides = (max(across + 2 * margin, LEAST), max(down + 2 * margin, LEAST))
    x0, y0 = (
        max(0, round(start + length / 2 - side / 2))
        for start, length, side in zip((x, y), (across, down), sides, strict=True)
    )
    return x0, y0, min(width, x0 + round(sides[0])), min(height, y0 + round(sides[1]))
