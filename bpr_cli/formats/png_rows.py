"""From the filtered rows of PNG files to pixels, several times as fast as image libraries where rows allow it.

Maps of labels and ids are stretches of constant value. Where all rows hold differences to the pixel on the left, as
OpenCV writes them, those are 0 but at the start of a stretch: adding up the few others gives all pixels. Rows with
other filters are left to OpenCV, in a file that is inflated faster than the original.
"""

from __future__ import annotations

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from bpr_cli.formats.png_stream import GRAY, RGB, RGBA, SUB, PngStream

Values = NDArray[np.uint8] | NDArray[np.int32]

_COLOURS = {1: GRAY, 3: RGB, 4: RGBA}


def unfilter(rows: NDArray[np.uint8], channels: int) -> Values | None:
    """The values of filtered rows.

    Args:
        rows: uint8, (H, 1 + W * C), each after its kind of filter.
        channels: C, which is 1, 3 or 4.

    Returns:
        uint8, (H, W), of one channel; else the ids of ``pack_ids``; None where OpenCV cannot decode them.
    """
    if np.all(rows[:, 0] == SUB):
        return _add_up(rows[:, 1:].reshape(len(rows), -1, channels))
    # The lowest level of ISA-L is fast to write and to read.
    data = isal_zlib.compress(rows.tobytes(), 0)
    file = PngStream((rows.shape[1] - 1) // channels, len(rows), _COLOURS[channels], data).encode()
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    if channels == 1:
        return np.asarray(pixels, dtype=np.uint8)
    return pack_ids(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGBA if channels == 3 else cv2.COLOR_BGRA2RGBA)))


def pack_ids(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """``R + 256 G + 256**2 B`` of RGBA pixels, (H, W, 4), whose alpha is overwritten: int32, (H, W)."""
    # With the fourth byte set to zero, the bytes of a pixel are its id as a little-endian number.
    pixels[:, :, 3] = 0
    return pixels.view("<i4")[:, :, 0].astype(np.int32, copy=False)


def _add_up(differences: NDArray[np.uint8]) -> Values:
    """The values of pixels from their differences to the pixel on the left, modulo 256: (H, W) from (H, W, C)."""
    height, width, channels = differences.shape
    starting = _any_channel(differences)
    starting[:, 0] = True
    starts = np.flatnonzero(starting)
    y, x = np.divmod(starts, width)
    steps = differences[y, x]
    sums = np.cumsum(steps, axis=0, dtype=np.uint8)
    rows = np.flatnonzero(x == 0)
    sums -= (sums[rows] - steps[rows])[y]  # what the rows above have added
    values = sums[:, 0] if channels == 1 else sums[:, :3] @ np.array([1, 256, 256**2], dtype=np.int32)
    return np.repeat(values, np.diff(starts, append=starting.size)).reshape(height, width)


def _any_channel(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a channel of a pixel is not 0: bool, (H, W) from (H, W, C)."""
    if pixels.shape[2] == 1:
        return np.asarray(pixels[:, :, 0] != 0)
    four = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return np.asarray(pack_ids(np.asarray(four, dtype=np.uint8)) != 0)
