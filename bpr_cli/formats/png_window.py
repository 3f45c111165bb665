"""Masks in PNG files, decoded only around their foreground.

Most of a mask is 0. Image libraries inflate a file row by row and undo its filters byte by byte. Here the file is
inflated in one go by ISA-L, several times as fast. Filters predict a pixel from its neighbours to the left and above:
as long as no filtered byte up to the left and upper edge is set, no pixel is. Only the box of the set bytes is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpr_cli.formats.png import Gray, PngStream, open_stream, read_gray
from bpr_cli.typing import ByteArray, Size

SUB = 1
"""The filter that stores differences to the pixel on the left; it and 0 do not look at the row above."""


@dataclass(frozen=True)
class Window:
    """The part of a single-channel image outside which all values are 0.

    Attributes:
        values: uint8 or uint16, (h, w); (0, 0) where all values are 0.
        offset: (x, y) of its top left pixel in the image.
        size: (H, W) of the image.
    """

    values: Gray
    offset: tuple[int, int]
    size: Size


def read_window(path: Path) -> Window:
    """The values of a single-channel PNG that ``read_gray`` gives, without a frame of 0.

    Raises:
        ColourError: the file holds colours.
        BprError: the file is missing, truncated, damaged or no PNG file.
    """
    stream = open_stream(path)
    window = _decode(stream) if stream and stream.pixel_bytes == 1 else None
    if window is not None:
        return window
    values = read_gray(path)  # says what is wrong with the file, if anything is
    return Window(values, (0, 0), (values.shape[0], values.shape[1]))


def _decode(stream: PngStream) -> Window | None:
    """The window of 8-bit values; None for broken files."""
    rows = stream.inflate()
    if rows is None:
        return None
    size = stream.height, stream.width
    filters, is_set = rows[:, 0], rows[:, 1:].any(axis=1)
    if not is_set.any():
        return Window(np.zeros((0, 0), dtype=np.uint8), (0, 0), size)
    top, bottom = int(is_set.argmax()), int(np.flatnonzero(is_set | (filters > SUB))[-1]) + 1
    columns = np.flatnonzero(rows[top:bottom, 1:].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    # One more column tells whether the pixels further right are 0, or repeat those of the last one.
    values = _columns(stream, rows[top:bottom], left, right + 1)
    if values is not None and values[:, right - left :].any():
        values = _columns(stream, rows[top:bottom], left, stream.width)
    return None if values is None else Window(values, (left, top), size)


def _columns(stream: PngStream, rows: ByteArray, left: int, right: int) -> ByteArray | None:
    """Pixels of some columns of filtered rows, as if the image began there."""
    return stream.decode(np.hstack([rows[:, :1], rows[:, left + 1 : right + 1]]))
