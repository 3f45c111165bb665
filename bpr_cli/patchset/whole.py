"""Records of the scheme ``image``: whole images with their masks, from which training crops random patches.

A record is the length of its header (uint32, little endian), the header (JSON, deflated) and the image (PNG or JPEG).
The header has ``size`` as [H, W], ``masks`` as COCO run lengths, and ``pairs`` as
``[category, true mask, void mask, coarse mask]``, where masks are positions in ``masks``. Masks with ground truth that
no model predicted have null as their coarse mask.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.reading import MAX_PIXELS, check_pixels
from bpr_cli.formats.rle import Form, decode, encode
from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.matching import ImageMasks, MatchedMask, void_for
from bpr_cli.patchset.record import VOID, decode_image, encode_image
from bpr_cli.typing import ByteArray, Size

_LENGTH = struct.Struct("<I")
_LONGEST_HEADER = 2**28


@dataclass(frozen=True)
class StoredMask:
    """A ground-truth mask of an image and, if a model predicted it, its coarse mask.

    Attributes:
        category: category; None for binary masks.
        truth: true mask.
        void: pixels outside the true mask whose true label is unknown.
        coarse: predicted mask, or None.
    """

    category: int | None
    truth: Mask
    void: Mask
    coarse: Mask | None

    @property
    def truth_plane(self) -> ByteArray:
        """The ground truth of every pixel: uint8, (H, W), 0, 1 and ``VOID``."""
        plane = np.where(self.void.to_array(), VOID, 0).astype(np.uint8)
        plane[self.truth.to_array()] = 1
        return plane


@dataclass(frozen=True)
class WholeImage:
    """An image of a set.

    Attributes:
        pixels: uint8, (H, W, 3), RGB.
        header: header of its record.
    """

    pixels: ByteArray
    header: ImageHeader


@dataclass(frozen=True)
class ImageHeader:
    """The masks of an image, still encoded.

    Attributes:
        size: (H, W) in pixels.
        masks: compressed run lengths.
        pairs: category, and positions in ``masks`` of truth, void and coarse mask.
    """

    size: Size
    masks: tuple[str, ...]
    pairs: tuple[tuple[int | None, int, int, int | None], ...]

    def pair(self, number: int) -> StoredMask:
        """Decode one pair.

        Raises:
            BprError: a mask is broken.
        """
        category, truth, void, coarse = self.pairs[number]
        return StoredMask(category, self._mask(truth), self._mask(void), None if coarse is None else self._mask(coarse))

    def _mask(self, place: int) -> Mask:
        return decode({"size": list(self.size), "counts": self.masks[place]}, self.size)


def encode_whole(pixels: ByteArray, truth: ImageMasks, matches: Iterable[MatchedMask], jpeg: int | None) -> bytes:
    """The record of an image.

    Args:
        pixels: uint8, (H, W, 3), RGB.
        truth: all masks of the ground truth; each one except crowds is also stored as a pair without coarse mask.
        matches: coarse masks with their ground truth.
        jpeg: JPEG quality, 1 to 100, or None for lossless PNG.
    """
    masks: dict[str, int] = {}

    def place_of(mask: Mask) -> int:
        return masks.setdefault(str(encode(mask, Form.COMPRESSED)["counts"]), len(masks))

    pairs = [
        (each.coarse.category, place_of(each.truth), place_of(each.void), place_of(each.coarse.mask))
        for each in matches
        if each.truth.area
    ]
    objects = [mask for mask in truth.masks if not mask.crowd]
    unpredicted = [
        (each.category, place_of(each.mask), place_of(void_for(truth, each.category)), None) for each in objects
    ]
    header = {"size": pixels.shape[:2], "masks": list(masks), "pairs": [*pairs, *unpredicted]}
    packed = zlib.compress(json.dumps(header).encode())
    return _LENGTH.pack(len(packed)) + packed + encode_image(pixels, jpeg)


def decode_whole(record: bytes) -> WholeImage:
    """Decode a record.

    Raises:
        BprError: the bytes are not a record of ``encode_whole``; the message does not name the file.
    """
    header = decode_header(record)
    end = _LENGTH.size + _LENGTH.unpack_from(record)[0]
    return WholeImage(decode_image(record[end:], header.size), header)


def decode_header(record: bytes) -> ImageHeader:
    """The masks of a record, without its image; see ``decode_whole``."""
    try:
        inflate = zlib.decompressobj()
        packed = record[_LENGTH.size : _LENGTH.size + _LENGTH.unpack_from(record)[0]]
        content = json.loads(inflate.decompress(packed, _LONGEST_HEADER))
        height, width = content["size"]
        if type(height) is not int or type(width) is not int:
            raise ValueError(f"its size is {height} x {width}")
        header = ImageHeader((height, width), tuple(map(str, content["masks"])), tuple(map(_pair, content["pairs"])))
    except (struct.error, zlib.error, ValueError, LookupError, TypeError, RecursionError) as error:
        raise BprError(f"its masks are damaged ({error})") from error
    check_pixels("its size is", header.size, MAX_PIXELS)
    if any(not 0 <= place < len(header.masks) for pair in header.pairs for place in pair[1:] if place is not None):
        raise BprError("it names masks that it does not hold")
    return header


def _pair(content: list[int | None]) -> tuple[int | None, int, int, int | None]:
    category, truth, void, coarse = content
    if any(type(each) is not int for each in content if each is not None) or truth is None or void is None:
        raise ValueError(f"a pair is {content}")
    return category, truth, void, coarse
