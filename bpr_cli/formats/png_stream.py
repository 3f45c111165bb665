"""The structure of PNG files, as far as decoding them faster than image libraries do needs it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, RGBA = 0, 2, 3, 6
"""Colour types."""

SUB = 1
"""The filter that stores differences to the pixel on the left; it and 0 do not look at the row above."""

_PIXEL_BYTES = {(GRAY, 8): 1, (GRAY, 16): 2, (PALETTE, 8): 1, (RGB, 8): 3, (RGBA, 8): 4}  # by colour type and depth
_LAST_FILTER = 4
_HEADER = struct.Struct(">IIBBBBB")
_MOST_PIXELS = 2**26  # beyond, Pillow's own limits and warnings apply


@dataclass(frozen=True)
class PngStream:
    """A PNG file without interlacing, of 8 bits a channel, or gray of 16.

    Attributes:
        width: in pixels.
        height: in pixels.
        colour: ``GRAY``, ``RGB``, ``PALETTE`` or ``RGBA``.
        data: the compressed rows.
        depth: bits of a channel.
    """

    width: int
    height: int
    colour: int
    data: bytes
    depth: int = 8

    @classmethod
    def of(cls, content: bytes) -> PngStream | None:
        """The structure of a file; None where it is of another kind, animated, cut short or damaged."""
        chunks = list(_chunks(content))
        kinds = [kind for kind, _ in chunks]
        if not chunks or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or b"acTL" in kinds:
            return None
        if len(chunks[0][1]) != _HEADER.size:
            return None
        width, height, depth, colour, *methods = _HEADER.unpack(chunks[0][1])
        if (colour, depth) not in _PIXEL_BYTES or any(methods) or not 0 < width * height <= _MOST_PIXELS:
            return None
        return cls(width, height, colour, b"".join(data for kind, data in chunks if kind == b"IDAT"), depth)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel."""
        return _PIXEL_BYTES[self.colour, self.depth]

    def inflate(self) -> NDArray[np.uint8] | None:
        """The filtered rows, each after its kind of filter: uint8, (H, 1 + W * pixel_bytes).

        By ISA-L, several times as fast as image libraries. None where there are more or fewer bytes, or unknown
        filters.
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

    def encode(self) -> bytes:
        """A file with nothing but this."""
        header = _HEADER.pack(self.width, self.height, self.depth, self.colour, 0, 0, 0)
        return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", self.data) + _chunk(b"IEND", b"")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of the chunks, as far as they are whole."""
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


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + _checksum(kind, data)


def _checksum(kind: bytes, data: bytes) -> bytes:
    return zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big")
