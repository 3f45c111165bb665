"""A sheet of training patches: what the network sees, with the coarse mask and the ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bpr_cli.masks.drawing import BEFORE, TRUTH, Picture, draw_segments, to_jpeg
from bpr_cli.system.paths import write_bytes
from bpr_cli.training.data import TrainBatch

COLUMNS, ROWS = 4, 6
SIDE, GAP = 160, 8
"""Side of a picture and width of the gaps in pixels."""
QUALITY = 88


def draw_sheet(batch: TrainBatch, out: Path) -> None:
    """Draw the first patches of a batch, each with its coarse mask on the left and its ground truth on the right.

    Args:
        batch: patches as they are trained on, augmented.
        out: the new JPEG file; replaced if it exists.

    Raises:
        BprError: the file cannot be written.
    """
    shown = min(len(batch.image), COLUMNS * ROWS)
    columns = min(shown, COLUMNS)
    rows = -(-shown // columns)
    width = 2 * SIDE + GAP
    sheet = np.full((rows * (SIDE + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, dtype=np.uint8)
    for number in range(shown):
        top, left = (
            GAP + place * step for place, step in zip(divmod(number, columns), (SIDE + GAP, width + GAP), strict=True)
        )
        sheet[top : top + SIDE, left : left + width - GAP] = _pair(*(plane[number].numpy() for plane in batch))
    write_bytes(out, to_jpeg(sheet, QUALITY))


def _pair(image: Picture, coarse: Picture, truth: Picture) -> Picture:
    """One patch with its coarse mask, and with its ground truth, side by side."""
    size = (SIDE, SIDE)
    sides = [draw_segments(image, [mask == 1], colour, size) for mask, colour in ((coarse, BEFORE), (truth, TRUTH))]
    return np.hstack(sides)
