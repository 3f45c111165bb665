"""Masks in PNG files, decoded only where they hold anything.

Most of a mask's frame is 0. Image libraries inflate it row by row and undo PNG's filters byte by byte; here the file
is inflated at once by ISA-L, several times as fast. Filters predict a pixel from its neighbours to the left and above,
so where no filtered byte up to the frame's left and upper edge is set, no pixel is. Only the box of those that are set
is decoded by an image library.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.png import Gray, read_gray
from bpr_cli.formats.png_rows import unfilter
from bpr_cli.formats.png_stream import SUB, PngStream
from bpr_cli.system.paths import check_regular
from bpr_cli.typing import Size


@dataclass(frozen=True)
class Window:
    """The part of a single-channel image beyond which all values are 0.

    Attributes:
        values: uint8 or uint16, (h, w); none of either where all values are 0.
        offset: (x, y) of its top left pixel in the frame.
        size: (H, W) of the frame.
    """

    values: Gray
    offset: tuple[int, int]
    size: Size


def read_window(path: Path) -> Window:
    """Values of a single-channel PNG as ``read_gray`` gives them, where they are not all 0.

    Raises:
        BprError: as ``read_gray``.
    """
    check_regular(path)
    content = b""
    # What cannot be read, or is not as expected, is left to read_gray, which says what is wrong with it.
    with contextlib.suppress(OSError):
        content = path.read_bytes()
    window = _decode(content)
    if window is None:
        values = read_gray(path)
        window = Window(values, (0, 0), (values.shape[0], values.shape[1]))
    return window


def _decode(content: bytes) -> Window | None:
    """The window of 8-bit values; None for other and for broken files."""
    stream = PngStream.of(content)
    rows = stream.inflate() if stream and stream.pixel_bytes == 1 else None
    if stream is None or rows is None:
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


def _columns(stream: PngStream, rows: NDArray[np.uint8], left: int, right: int) -> NDArray[np.uint8] | None:
    """Pixels of some columns of filtered rows, as if the frame began there."""
    return unfilter(np.hstack([rows[:, :1], rows[:, left + 1 : right + 1]]), stream)
