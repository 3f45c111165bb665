"""The structure of PNG files: their chunks, and the compressed pixels of simple files, which are decoded fast here."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.reading import MAX_PIXELS
from bpr_cli.system.paths import check_regular, read_bytes
from bpr_cli.typing import ByteArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, RGBA = 0, 2, 3, 6
"""Colour types in the PNG specification."""

_OTHER_METADATA = (b"XML:com.adobe.xmp", b"Raw profile type")
"""How text chunks begin that may hold an EXIF orientation."""
_PIXEL_BYTES = {(GRAY, 8): 1, (GRAY, 16): 2, (PALETTE, 8): 1, (RGB, 8): 3, (RGBA, 8): 4}
"""Bytes per pixel, by colour type and bit depth."""
_LAST_FILTER = 4
_HEADER = struct.Struct(">IIBBBBB")
_MOST_PIXELS = 2**26
"""Largest image read here; larger files are left to Pillow, which needs less memory for them."""


@dataclass(frozen=True)
class PngStream:
    """The compressed pixels of a PNG file that is not interlaced and has 8 bits per channel or 16-bit gray.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        colour: ``GRAY``, ``RGB``, ``PALETTE`` or ``RGBA``.
        data: compressed rows.
        depth: bits per channel.
        palette: RGB triples of palette files.
    """

    width: int
    height: int
    colour: int
    data: bytes
    depth: int = 8
    palette: bytes = b""

    @classmethod
    def of(cls, content: bytes, max_pixels: int = MAX_PIXELS) -> PngStream | None:
        """Find the pixels of a file; None if it is of another kind, animated, turned, truncated, damaged or large."""
        chunks = list(_chunks(content))
        kinds = [kind for kind, _ in chunks]
        if not chunks or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or b"acTL" in kinds:
            return None
        if any(kind == b"eXIf" or data.startswith(_OTHER_METADATA) for kind, data in chunks):
            return None
        if len(chunks[0][1]) != _HEADER.size:
            return None
        width, height, depth, colour, *methods = _HEADER.unpack(chunks[0][1])
        if (colour, depth) not in _PIXEL_BYTES or any(methods):
            return None
        if not 0 < width * height <= min(_MOST_PIXELS, max_pixels):
            return None
        data, palette = (b"".join(data for kind, data in chunks if kind == wanted) for wanted in (b"IDAT", b"PLTE"))
        return cls(width, height, colour, data, depth, palette)

    @property
    def pixel_bytes(self) -> int:
        """Bytes per pixel."""
        return _PIXEL_BYTES[self.colour, self.depth]

    def inflate(self) -> ByteArray | None:
        """Decompress the filtered rows, each after its filter number: uint8, (H, 1 + W * pixel_bytes).

        ISA-L is several times faster than image libraries. Returns None if the number of bytes differs from the header
        or a filter is unknown.
        """
        count = self.height * (1 + self.width * self.pixel_bytes)
        try:
            inflated = isal_zlib.decompressobj().decompress(self.data, count + 1)
        except isal_zlib.error:  # type: ignore[misc]  # its stubs declare an exception, not a class of them
            return None
        if len(inflated) != count:
            return None
        rows = np.frombuffer(inflated, np.uint8).reshape(self.height, -1)
        return None if rows[:, 0].max() > _LAST_FILTER else rows

    def decode(self, rows: ByteArray) -> NDArray[Any] | None:
        """Undo the filters of all rows or a part of them; None if OpenCV fails.

        Args:
            rows: uint8, (h, 1 + w * pixel_bytes), as returned by ``inflate``.

        Returns:
            For gray and palette files uint8 or uint16, (h, w); for colour files uint8 BGR or BGRA, (h, w, 3 or 4).
        """
        part = replace(
            self,
            width=(rows.shape[1] - 1) // self.pixel_bytes,
            height=len(rows),
            colour=GRAY if self.colour == PALETTE else self.colour,  # otherwise OpenCV would map indices to colours
            data=isal_zlib.compress(rows.tobytes(), 0),  # the lowest level is fast to write and to read
        )
        pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(part.encode(), np.uint8), cv2.IMREAD_UNCHANGED)
        return pixels

    def encode(self) -> bytes:
        """Encode a PNG file with these pixels and no further chunks."""
        header = _HEADER.pack(self.width, self.height, self.depth, self.colour, 0, 0, 0)
        return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", self.data) + chunk(b"IEND", b"")


def open_stream(path: Path, max_pixels: int = MAX_PIXELS) -> PngStream | None:
    """Apply ``PngStream.of`` to a file; also None if the file cannot be read.

    Raises:
        BprError: the path is a pipe, socket or device.
    """
    check_regular(path)
    try:
        return PngStream.of(read_bytes(path), max_pixels)
    except BprError:
        return None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of the chunks, up to the first damaged or truncated one."""
    if not content.startswith(SIGNATURE):
        return
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        stop = place + 8 + int.from_bytes(content[place : place + 4], "big")
        kind, data = content[place + 4 : place + 8], content[place + 8 : stop]
        if content[stop : stop + 4] != _checksum(kind, data):
            return
        yield kind, data
        if kind == b"IEND":
            return
        place = stop + 4


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return len(data).to_bytes(4, "big") + kind + data + _checksum(kind, data)


def _checksum(kind: bytes, data: bytes) -> bytes:
    return zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big")
