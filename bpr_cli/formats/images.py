"""Image files: decode to RGB, read the size, and check that files are intact."""

from __future__ import annotations

import io
import math
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bpr_cli.errors import BprError, note
from bpr_cli.formats.orientation import UPRIGHT, as_stored, orientation_of, swaps_sides, upright, upright_size
from bpr_cli.formats.pillow_files import decode, explain, open_image, parts_of
from bpr_cli.formats.reading import MAX_PIXELS, check_pixels
from bpr_cli.masks.runs import strips_of
from bpr_cli.system.paths import check_regular, read_bytes
from bpr_cli.typing import ByteArray, Size

IMAGE_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
"""The formats of images, by Pillow's names."""
_IMAGE = "a PNG, JPEG, TIFF, WebP or BMP image"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def image_size(path: Path, max_pixels: int = MAX_PIXELS, *, masks: Size | None = None) -> Size:
    """(H, W) of an image file as it is shown, from its header.

    Args:
        path: the file.
        max_pixels: largest number of pixels.
        masks: (H, W) of its masks, if known; see ``read_image``.

    Raises:
        BprError: the file is missing, unreadable, not an image or too large.
    """
    check_regular(path)
    try:
        with open_image(path, IMAGE_FORMATS) as image:
            size = upright_size(image)
            if _fits_only_stored(path, masks, size, orientation_of(image)):
                size = size[1], size[0]
    except Exception as error:
        raise BprError(explain(path, _IMAGE, error)) from error
    check_pixels(f"{path} claims to have", size, max_pixels)
    return size


def pixels_of(path: Path, max_pixels: int = MAX_PIXELS) -> int:
    """Number of pixels of an image file that can be read, else 0."""
    try:
        return math.prod(image_size(path, max_pixels))
    except BprError:
        return 0


def read_image(
    path: Path, max_pixels: int = MAX_PIXELS, *, masks: Size | None = None, page: int | None = None
) -> ByteArray:
    """Decode an image to RGB as every viewer shows it: uint8, (H, W, 3); see ``rgb_of_picture``.

    Its EXIF orientation is applied, with a note. Of several frames, the first is taken, with a note.

    Args:
        path: the file.
        max_pixels: largest number of pixels.
        masks: (H, W) of its masks, if known. If only the stored pixels have this size, the masks were made without
            regard to the EXIF orientation: then the stored pixels are returned, with a note.
        page: number of the picture in the file, from 0; None for the first, with a note if there are others.

    Raises:
        BprError: the file is missing, unreadable, truncated, not an image or too large, or its pixels cannot be
            converted to 8 bits.
    """
    decoded = decode(path, IMAGE_FORMATS, _IMAGE, max_pixels, page or 0)
    if decoded.frames > 1 and page is None:
        note("%s holds %s pictures, of which the first is used", path, decoded.frames)
    image = decoded.image
    left = orientation_of(image)
    if holds_deep_colours(image, path):
        pixels = to_eight_bits(read_deep_colours(image, path, page or 0), str(path))
        pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    else:
        pixels = rgb_of_picture(image, str(path))
    shown = upright(pixels, left)
    orientation = max(left, decoded.turned)
    if _fits_only_stored(path, masks, (shown.shape[0], shown.shape[1]), orientation):
        return as_stored(shown, orientation)
    if orientation != UPRIGHT:
        note("%s is shown as its EXIF orientation says; masks that were made without regard to it do not fit", path)
    return shown


def _fits_only_stored(path: Path, masks: Size | None, size: Size, orientation: int) -> bool:
    """Whether masks fit the stored pixels of an image and not the image as it is shown, of ``size`` (H, W).

    If so, it is noted.
    """
    if masks is None or not swaps_sides(orientation) or masks == size or masks != (size[1], size[0]):
        return False
    note("%s is used as it is stored, not as its EXIF orientation shows it: only so it fits its mask", path)
    return True


def rgb_of_picture(image: Image.Image, name: str) -> ByteArray:
    """Convert a Pillow image of any mode to RGB: uint8, (H, W, 3).

    Gray, palette and CMYK images are converted to RGB; transparency is dropped. Images with more than 8 bits are scaled
    down; see ``to_eight_bits``.

    Args:
        image: the image.
        name: name of the image in messages.

    Raises:
        BprError: the pixels cannot be converted to 8 bits.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        gray = to_eight_bits(np.asarray(image), name)
        return np.repeat(gray[:, :, None], 3, axis=2)
    try:
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return _rgb_in_strips(image)
    except ValueError as error:
        raise BprError(f"{name} has the colour mode {image.mode}, which is not supported; convert it to RGB") from error


def _rgb_in_strips(image: Image.Image) -> ByteArray:
    rgb = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for rows, part in parts_of(image):
        # Skip RGB images, which Pillow would copy.
        rgb[rows] = np.asarray(part if part.mode == "RGB" else part.convert("RGB"))
    return rgb


def to_eight_bits(pixels: NDArray[np.generic], name: str) -> ByteArray:
    """Scale pixels to uint8, of the same shape.

    Whole numbers are scaled from the smallest of 8, 10, 12, 14, 16 or 32 bits that holds the brightest pixel, because
    cameras and microscopes often store 12 bits in 16. Floats are scaled from 0..1 if none is above 1, and from 0..255
    if the brightest is 2 or more; between, they may be a little too large for 0..1, so that they are refused.

    Args:
        pixels: integers or floats of any shape, at least one.
        name: name of the image in messages.

    Raises:
        BprError: the pixels are outside of these ranges, or not finite.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise BprError(
            f"{name} has pixel values from {low:g} to {high:g}, expected 0 or more; undo its normalisation, or convert "
            "it to 8 bits"
        )
    if pixels.dtype.kind == "f":
        full = 1.0 if high < 2 else 255.0
    else:
        full = next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 32) if high < 2**bits), 0.0)
    if high > full:
        expected = "0..1 or 0..255" if pixels.dtype.kind == "f" else "at most 32 bits"
        raise BprError(f"{name} has pixel values up to {high:g}, expected {expected}; convert it to 8 bits")
    scaled = np.empty(pixels.shape, dtype=np.uint8)
    for top, bottom in strips_of((len(pixels), pixels.size // len(pixels))):
        scaled[top:bottom] = np.rint(pixels[top:bottom].astype(np.float64) * (255 / full))
    return scaled


def check_image_file(path: Path, max_pixels: int = MAX_PIXELS, *, masks: Size | None = None) -> Size:
    """Check that an image file is intact, and return its (H, W) as ``image_size`` does.

    A PNG file is intact if all its checksums are right, a JPEG file if it ends with an end marker. Other files are
    decoded.

    Raises:
        BprError: as ``read_image``.
    """
    size = image_size(path, max_pixels, masks=masks)
    content = read_bytes(path)
    if not (_is_intact_jpeg(content) or _is_intact_png(content)):
        read_image(path, max_pixels)
    return size


def _is_intact_jpeg(content: bytes) -> bool:
    return content.startswith(_JPEG_START) and content.endswith(_JPEG_END)


def _is_intact_png(content: bytes) -> bool:
    """Whether the content is a PNG file of a single frame with correct checksums."""
    try:
        with open_image(io.BytesIO(content), ("PNG",)) as image:
            image.verify()
            return getattr(image, "n_frames", 1) == 1
    except Exception:  # as in ``decode``; decoding will raise a clear error
        return False


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


def read_deep_colours(image: Image.Image, path: Path, page: int = 0) -> NDArray[np.uint16]:
    """All bits of an image with ``holds_deep_colours``: uint16, (H, W, 1 or 3), without alpha, turned as the image."""
    if image.format == "PNG" and read_bytes(path, _COLOUR + 1)[-1] == _GRAY_WITH_ALPHA:
        return _read_gray_of_png(path)
    with open_image(path, (image.format or "",)) as again:
        again.seek(page)
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
