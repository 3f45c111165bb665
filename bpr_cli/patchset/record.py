"""One patch as bytes: the image as PNG or JPEG, the masks as packed bits.

A record is the length of the image file (little-endian uint32), the image file, and three bit planes deflated
together: coarse mask, foreground of the ground truth, void.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.typing import ByteArray, Size

VOID = 255
"""Value of unknown pixels in the ground truth; the loss ignores them."""

_LENGTH = struct.Struct("<I")
_PLANES = 3
_444 = 0x111111  # no chroma subsampling, because colours often change at the boundary


@dataclass(frozen=True)
class PatchSample:
    """A patch with its context, E = patch_size + 2 * padding pixels on each side.

    Attributes:
        image: uint8, (E, E, 3), RGB.
        coarse: coarse mask, uint8, (E, E), 0 and 1.
        truth: ground truth, uint8, (E, E), 0, 1 and ``VOID``.
    """

    image: ByteArray
    coarse: ByteArray
    truth: ByteArray


def encode_sample(sample: PatchSample, jpeg: int | None) -> bytes:
    """Encode a patch as a record. Equal patches give equal bytes.

    Args:
        sample: the patch.
        jpeg: JPEG quality, 1 to 100, or None for lossless PNG.
    """
    image = encode_image(sample.image, jpeg)
    planes = np.stack([sample.coarse == 1, sample.truth == 1, sample.truth == VOID])
    packed = zlib.compress(np.packbits(planes.reshape(_PLANES, -1), axis=1).tobytes())
    return _LENGTH.pack(len(image)) + image + packed


def decode_sample(record: bytes, side: int) -> PatchSample:
    """Decode a record.

    Args:
        record: bytes from ``encode_sample``.
        side: E of the set. Stated sizes are compared with it before memory is allocated.

    Raises:
        BprError: the bytes are not a valid record; the message does not name the file.
    """
    if len(record) < _LENGTH.size:
        raise BprError(f"it has {len(record)} bytes, too few for a patch")
    end = _LENGTH.size + _LENGTH.unpack_from(record)[0]
    if end > len(record):
        raise BprError(f"its image ends at byte {end}, but it has {len(record)} bytes")
    image = decode_image(record[_LENGTH.size : end], (side, side))
    coarse, truth, void = _unpack(record[end:], side)
    truth[void == 1] = VOID
    return PatchSample(image, coarse, truth)


def encode_image(image: ByteArray, jpeg: int | None) -> bytes:
    """Encode an RGB image as JPEG of quality ``jpeg``, or as PNG if it is None."""
    pixels = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    options = [] if jpeg is None else [cv2.IMWRITE_JPEG_QUALITY, jpeg, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _444]
    return cv2.imencode(".png" if jpeg is None else ".jpg", pixels, options)[1].tobytes()


def decode_image(content: bytes, expected: Size) -> ByteArray:
    """Decode an RGB image from ``encode_image``; its size (H, W) is checked before memory is allocated.

    Raises:
        BprError: the bytes are not such an image, or its size differs.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as header:
            size = header.size
    except Exception as error:
        # Decoders can raise almost any exception on broken bytes.
        raise BprError("its image is neither PNG nor JPEG") from error
    if size != expected[::-1]:
        raise BprError(f"its image is {size[0]} x {size[1]} pixels, expected {expected[1]} x {expected[0]}")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise BprError("its image is damaged")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _unpack(content: bytes, side: int) -> ByteArray:
    """The bit planes of a record: uint8, (3, E, E), 0 and 1."""
    row = -(-side * side // 8)
    inflate = zlib.decompressobj()
    try:
        packed = inflate.decompress(content, _PLANES * row)
        more = inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error as error:
        raise BprError(f"its masks are damaged ({error})") from error
    if len(packed) != _PLANES * row or more or not inflate.eof:
        raise BprError(f"its masks are not {side} x {side} pixels")
    bits = np.frombuffer(packed, np.uint8).reshape(_PLANES, row)
    return np.unpackbits(bits, axis=1, count=side * side).reshape(_PLANES, side, side)
