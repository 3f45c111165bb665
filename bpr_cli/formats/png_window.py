"""Decodes masks in PNG files only around their foreground.

Most of a mask is 0. Image libraries decompress a file row by row and undo its filters byte by byte. Here ISA-L
decompresses the file at once, several times faster. Filters predict a pixel from its neighbours to the left and above,
so a pixel is 0 if no filtered byte to its left and above is set. Only the bounding box of the set bytes is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpr_cli.formats.pixel_limit import MAX_PIXELS
from bpr_cli.formats.png import Gray, gray_levels, read_gray
from bpr_cli.formats.png_stream import PngStream, open_stream
from bpr_cli.typing import ByteArray, Size

SUB = 1
"""Number of the filter that stores differences to the pixel on the left. Filters 0 and 1 do not use the row above."""


@dataclass(frozen=True)
class Window:
    """A window of a single-channel image; all values outside it are 0.

    Attributes:
        values: uint8 or uint16, (h, w); shape (0, 0) if all values of the image are 0.
        offset: (x, y) of the window's top left pixel in the image.
        size: (H, W) of the image.
    """

    values: Gray
    offset: tuple[int, int]
    size: Size


def read_window(path: Path, max_pixels: int = MAX_PIXELS) -> Window:
    """Read a single-channel PNG file like ``read_gray``, without the zeros around the foreground.

    Raises:
        ColourError: the file holds colours.
        BprError: the file is missing, truncated, damaged, not a PNG file or too large.
    """
    stream = open_stream(path, max_pixels)
    plain = stream is not None and stream.pixel_bytes == 1 and gray_levels(stream.palette) is None
    window = _decode(stream) if stream and plain else None
    if window is not None:
        return window
    values = read_gray(path, max_pixels)  # raises a clear error if the file is broken
    return Window(values, (0, 0), (values.shape[0], values.shape[1]))


def _decode(stream: PngStream) -> Window | None:
    """Decode the window of 8-bit values; None for broken files."""
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
    # One more column shows whether the pixels to the right are 0 or repeat the last column.
    values = _columns(stream, rows[top:bottom], left, right + 1)
    if values is not None and values[:, right - left :].any():
        values = _columns(stream, rows[top:bottom], left, stream.width)
    return None if values is None else Window(values, (left, top), size)


def _columns(stream: PngStream, rows: ByteArray, left: int, right: int) -> ByteArray | None:
    """Decode some columns of filtered rows, as if the image began at ``left``."""
    return stream.decode(np.hstack([rows[:, :1], rows[:, left + 1 : right + 1]]))
