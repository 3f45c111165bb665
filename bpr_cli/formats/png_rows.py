"""From the filtered rows of PNG files to values, several times as fast as image libraries where rows allow it.

Maps of labels and ids are stretches of constant value. Where all rows hold differences to the pixel on the left, as
OpenCV writes them, those are 0 but at the start of a stretch: adding up the few others gives all pixels. Rows with
other filters are left to OpenCV, in a file that is inflated faster than the original.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from bpr_cli.formats.png_stream import GRAY, PALETTE, SUB, PngStream

_WEIGHTS: dict[int, NDArray[Any]] = {
    1: np.array([1], dtype=np.uint8),
    2: np.array([256, 1], dtype=np.uint16),
    3: np.array([1, 256, 256**2], dtype=np.int32),
    4: np.array([1, 256, 256**2, 0], dtype=np.int32),
}
"""What the bytes of a pixel count, by their number: gray of 8 and 16 bits, and ids as colours."""


def unfilter(rows: NDArray[np.uint8], stream: PngStream) -> NDArray[Any] | None:
    """The values of filtered rows.

    Args:
        rows: uint8, (H, 1 + W * pixel_bytes), each after its kind of filter; all of a file or a part.
        stream: the file they are of.

    Returns:
        uint8 or uint16, (H, W), of gray and palettes; of colours the ids of ``pack_ids``; None where OpenCV cannot
        decode them.
    """
    if np.all(rows[:, 0] == SUB):
        return _add_up(rows[:, 1:].reshape(len(rows), -1, stream.pixel_bytes))
    part = replace(
        stream,
        width=(rows.shape[1] - 1) // stream.pixel_bytes,
        height=len(rows),
        colour=GRAY if stream.colour == PALETTE else stream.colour,
        data=isal_zlib.compress(rows.tobytes(), 0),  # the lowest level is fast to write and to read
    )
    pixels = cv2.imdecode(np.frombuffer(part.encode(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim == 2:
        return pixels
    return pack_ids(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGBA if stream.pixel_bytes == 3 else cv2.COLOR_BGRA2RGBA))


def pack_ids(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """``R + 256 G + 256**2 B`` of RGBA pixels, uint8 (H, W, 4), whose alpha is overwritten: int32, (H, W)."""
    # With the fourth byte set to zero, the bytes of a pixel are its id as a little-endian number.
    pixels[:, :, 3] = 0
    return pixels.view("<i4")[:, :, 0].astype(np.int32, copy=False)


def _add_up(differences: NDArray[np.uint8]) -> NDArray[Any]:
    """The values of pixels from their differences to the pixel on the left, modulo 256: (H, W) from (H, W, bytes)."""
    height, width, size = differences.shape
    starting = _any_byte(differences)
    starting[:, 0] = True
    starts = np.flatnonzero(starting)
    y, x = np.divmod(starts, width)
    steps = differences[y, x]
    sums = np.cumsum(steps, axis=0, dtype=np.uint8)
    first = np.flatnonzero(x == 0)
    sums -= (sums[first] - steps[first])[y]  # what the rows above have added
    values = np.repeat(sums @ _WEIGHTS[size], np.diff(starts, append=starting.size))
    return values.reshape(height, width)


def _any_byte(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a byte of a pixel is not 0: bool, (H, W) from (H, W, bytes)."""
    if pixels.shape[2] <= 2:
        return np.asarray((pixels[:, :, 0] | pixels[:, :, -1]) != 0)
    four = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return np.asarray(pack_ids(four) != 0)
