"""Colour images with 16 bits per channel, of which Pillow keeps the high bytes only."""

from __future__ import annotations

import io
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bpr_cli.formats.pillow_files import open_image
from bpr_cli.system.paths import read_bytes

_MODES = ("LA", "RGB", "RGBA")
"""Modes in which Pillow reads them."""

_DEPTH, _COLOUR, _CRC = 24, 25, 29
"""Places of the bit depth, the colour type and the checksum of the first chunk of a PNG file."""
_HEAD = 12
_GRAY_WITH_ALPHA, _RGBA = 4, 6
_TIFF_BITS = 258
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def holds_deep_colours(image: Image.Image, path: Path) -> bool:
    """Whether a decoded PNG or TIFF file has more channels than one, with 16 bits each."""
    if image.mode not in _MODES:
        return False
    if image.format == "PNG":
        return read_bytes(path, _DEPTH + 1)[-1] == 16
    return image.format == "TIFF" and max(getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))) == 16


def read_deep_colours(image: Image.Image, path: Path) -> NDArray[np.uint16]:
    """All bits of an image with ``holds_deep_colours``: uint16, (H, W, 1 or 3), without alpha, turned as the image."""
    if image.format == "PNG" and read_bytes(path, _COLOUR + 1)[-1] == _GRAY_WITH_ALPHA:
        return _read_gray_of_png(path)
    with open_image(path, (image.format or "",)) as again:
        # In the other byte order, the bytes that Pillow drops are those that it keeps.
        again.tile = [_reordered(tile) for tile in again.tile]  # type: ignore[attr-defined]  # of files only
        again.load()
        low = np.asarray(again)
    return _joined(np.asarray(image), low)[:, :, :3]


def _read_gray_of_png(path: Path) -> NDArray[np.uint16]:
    """The gray values of a PNG file that has alpha: two channels of 16 bits are stored as four channels of 8 bits."""
    content = bytearray(read_bytes(path))
    content[_DEPTH], content[_COLOUR] = 8, _RGBA
    content[_CRC : _CRC + 4] = zlib.crc32(content[_HEAD:_CRC]).to_bytes(4, "big")
    with open_image(io.BytesIO(content), ("PNG",)) as image:
        pixels = np.asarray(image)
    return _joined(pixels[:, :, :1], pixels[:, :, 1:2])


def _reordered(tile: Any) -> Any:  # noqa: ANN401 - a tuple, in newer versions of Pillow with names
    """A part of an image, to be read in the other byte order."""
    codec, extents, offset, args = tile
    mode, *others = (args,) if isinstance(args, str) else args
    other = f"{mode[:-1]}{_OTHER_ORDER[mode[-1]]}"
    changed = (codec, extents, offset, other if isinstance(args, str) else (other, *others))
    return type(tile)(*changed) if hasattr(tile, "_fields") else changed


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    joined = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined
