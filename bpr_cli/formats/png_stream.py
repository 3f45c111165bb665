"""The structure of PNG files, as far as decoding only a part of one needs it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, RGBA = 0, 2, 3, 6
"""Colour types."""

_HEADER = struct.Struct(">IIBBBBB")
_MOST_PIXELS = 2**26  # beyond, Pillow's own limits and warnings apply


@dataclass(frozen=True)
class PngStream:
    """A PNG file of 8 bits a channel without interlacing.

    Attributes:
        width: in pixels.
        height: in pixels.
        colour: ``GRAY``, ``RGB``, ``PALETTE``, ``RGBA`` or another colour type.
        data: the compressed rows.
    """

    width: int
    height: int
    colour: int
    data: bytes

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
        if depth != 8 or any(methods) or not 0 < width * height <= _MOST_PIXELS:
            return None
        return cls(width, height, colour, b"".join(data for kind, data in chunks if kind == b"IDAT"))

    def encode(self) -> bytes:
        """A file with nothing but this."""
        header = _HEADER.pack(self.width, self.height, 8, self.colour, 0, 0, 0)
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
