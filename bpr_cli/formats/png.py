"""PNG files that hold values instead of colours: single-channel masks and label maps, and panoptic ids.

Values are never interpolated or scaled, and mapped through a palette only as ``gray_levels`` says. ``PngStyle``
describes how a file stores them; refined files are written in the style of their source.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bpr_cli.errors import BprError, note
from bpr_cli.formats.orientation import UPRIGHT, as_stored, exif_of, orientation_of, upright
from bpr_cli.formats.photographs import looks_like_photograph, photograph_given
from bpr_cli.formats.pillow_files import load_pillow, open_image, parts_of
from bpr_cli.formats.png_stream import GRAY, PALETTE, RGB, RGBA, PngStream, chunk, open_stream
from bpr_cli.formats.reading import MAX_PIXELS
from bpr_cli.system.paths import read_bytes
from bpr_cli.typing import ByteArray, LabelArray, Size

Gray = NDArray[np.uint8] | NDArray[np.uint16]

_KIND = "a PNG file"
_DEEP_MODES = ("I", "I;16", "I;16B")
_COLOUR_MODES = ("LA", "RGB", "RGBA")
_HEADER_END = 33
"""Byte offset of the chunk after the header."""
_DEPTH_OFFSET = 24
"""Byte offset of the bit depth in a file; the header chunk always comes first."""


class ColourError(BprError):
    """Raised when a file holds colours where single values were expected."""


@dataclass(frozen=True)
class PngStyle:
    """How a PNG file stores its values.

    Attributes:
        mode: Pillow's mode: "1", "L", "I;16", "P", "LA", "RGB" or "RGBA".
        palette: RGB triples of mode "P".
        transparency: transparent entries of the palette, in Pillow's form.
        orientation: EXIF orientation, 1 to 8.
    """

    mode: str
    palette: bytes = b""
    transparency: bytes | int | None = None
    orientation: int = UPRIGHT


def read_gray(path: Path, max_pixels: int = MAX_PIXELS) -> Gray:
    """Read the values of a single-channel PNG file: uint8 or uint16, (H, W).

    1-bit files give 0 and 1, palette files their indices, except those of ``gray_levels``, and colour files with equal,
    opaque channels their gray values. The EXIF orientation is applied, as it is to images: masks have it from
    photographs whose stored pixels they were made from.

    Raises:
        ColourError: the channels differ, or the file is partly transparent.
        BprError: the file is missing, truncated, damaged, not a PNG file or too large.
    """
    values = _decode_plain(path, (GRAY, PALETTE), max_pixels)
    if values is not None:
        return values
    image = load_pillow(path, ("PNG",), _KIND, max_pixels)
    return _shown(_gray_of(image, path), image, path)


def is_one_bit(path: Path) -> bool:
    """Whether an intact PNG file is gray with one bit, black and white: a mask of 0 and full foreground.

    Raises:
        BprError: the file cannot be read.
    """
    return read_bytes(path, _DEPTH_OFFSET + 2)[_DEPTH_OFFSET:] == bytes([1, GRAY])


def _shown(stored: NDArray[Any], image: Image.Image, path: Path) -> NDArray[Any]:
    """The values of a file as its EXIF orientation shows them."""
    orientation = orientation_of(image)
    if orientation != UPRIGHT:
        note("%s has an EXIF orientation and is read as it is shown", path)
    return upright(stored, orientation)


def _gray_of(image: Image.Image, path: Path) -> Gray:
    if image.mode in _DEEP_MODES:
        return np.array(image).astype(np.uint16)
    if image.mode in _COLOUR_MODES:
        gray = gray_of_colour(np.asarray(image), str(path))
        if read_bytes(path)[_DEPTH_OFFSET] == 16:
            raise BprError(f"{path} stores 16-bit values in colour channels; save it as a single-channel PNG file")
        return gray
    values = np.array(image).astype(np.uint8)
    levels = gray_levels(_palette_of(image)) if image.mode == "P" else None
    return values if levels is None else levels[values]


def gray_levels(palette: bytes) -> ByteArray | None:
    """The gray values of a palette whose order means nothing, so that its grays, not its indices, are the values.

    Programs that make files smaller write masks with the grays in any order, often white first. The indices of other
    palettes are labels.

    Args:
        palette: RGB triples.

    Returns:
        uint8, (256,), the gray value of each index; None if some entry is a colour or two are alike, or if the grays
        ascend with the indices.

    >>> gray_levels(bytes([255, 255, 255, 0, 0, 0]))[:2].tolist()
    [255, 0]
    >>> gray_levels(bytes([0, 0, 0, 255, 255, 255])) is None
    True
    """
    triples = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3).astype(int)
    grays = triples[:, 0]
    # Palettes are padded with black.
    while len(grays) > 1 and grays[-1] == 0 and 0 in grays[:-1]:
        grays = grays[:-1]
    if len(np.unique(grays)) < len(grays) or np.ptp(triples, axis=1).any() or np.all(np.diff(grays) > 0):
        return None
    return np.pad(grays, (0, 256 - len(grays))).astype(np.uint8)


def _palette_of(image: Image.Image) -> bytes:
    return bytes(image.getpalette("RGB") or [])


def gray_of_colour(pixels: ByteArray, name: str) -> ByteArray:
    """The gray values of colour pixels with equal, opaque channels: uint8, (H, W).

    Args:
        pixels: uint8, (H, W, C): C is 3, or with alpha 2 or 4.
        name: name of the image in messages.

    Raises:
        ColourError: the channels differ, or the pixels are partly transparent.
    """
    gray: ByteArray = pixels[:, :, 0].copy()
    colours = pixels[:, :, : 3 if pixels.shape[2] > 2 else 1]
    if pixels.shape[2] in (2, 4) and pixels[:, :, -1].min() < 255:
        raise ColourError(
            f"{name} is partly transparent, expected an opaque single-channel PNG file; remove its alpha, or save the "
            "alpha alone if that is the mask"
        )
    if not np.array_equal(colours, np.broadcast_to(gray[:, :, None], colours.shape)):
        if looks_like_photograph(pixels):
            raise ColourError(photograph_given(name))
        raise ColourError(
            f"{name} holds colours, expected one channel: masks and label maps must be single-channel PNG files "
            "with a value, not a colour, for every label"
        )
    return gray


def read_ids(path: Path, max_pixels: int = MAX_PIXELS) -> LabelArray:
    """Read the segment ids of a panoptic PNG file, ``R + 256 G + 256**2 B``: int32, (H, W).

    Raises:
        BprError: the file is missing, truncated, damaged, not a PNG file, not RGB or too large.
    """
    bgr = _decode_plain(path, (RGB, RGBA), max_pixels)
    if bgr is not None:
        return _ids_of(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA if bgr.shape[2] == 3 else cv2.COLOR_BGRA2RGBA))
    image = load_pillow(path, ("PNG",), _KIND, max_pixels)
    if image.mode not in ("RGB", "RGBA"):
        raise BprError(f"{path} has mode {image.mode}, expected RGB: a panoptic PNG stores ids as R + 256 G + 65536 B")
    ids = np.empty((image.height, image.width), dtype=np.int32)
    for rows, part in parts_of(image):
        ids[rows] = _ids_of(np.array(part.convert("RGBA")))
    return _shown(ids, image, path)


def _ids_of(rgba: NDArray[Any]) -> LabelArray:
    """Convert RGBA pixels, uint8 (H, W, 4), to ids; overwrites the pixels."""
    # Read as a little-endian number, a pixel is its id with alpha as the highest byte.
    ids = rgba.view("<i4")[:, :, 0]
    ids &= 0xFFFFFF
    return ids.astype(np.int32, copy=False)


def _decode_plain(path: Path, colours: Collection[int], max_pixels: int) -> NDArray[Any] | None:
    """Decode a simple, intact PNG file of one of the colour types; see ``PngStream.decode``.

    Returns None for other files, which are left to Pillow.
    """
    stream = open_stream(path, max_pixels)
    rows = stream.inflate() if stream and stream.colour in colours else None
    pixels = None if stream is None or rows is None else stream.decode(rows)
    levels = gray_levels(stream.palette) if stream and stream.colour == PALETTE else None
    return pixels if pixels is None or levels is None else levels[pixels]


def read_style(path: Path) -> PngStyle:
    """Read from the header how a PNG file stores its values.

    Raises:
        BprError: the file can no longer be read.
    """
    try:
        with open_image(path, ("PNG",)) as image:
            orientation = orientation_of(image)
            if image.mode != "P":
                return PngStyle("I;16" if image.mode in _DEEP_MODES else image.mode, orientation=orientation)
            palette = _palette_of(image)
            if gray_levels(palette) is not None:
                return PngStyle("L", orientation=orientation)
            return PngStyle("P", palette, image.info.get("transparency"), orientation)
    except Exception as error:
        raise BprError(f"{path} can no longer be read: {error}") from error


def encode_gray(values: NDArray[np.generic], style: PngStyle) -> bytes:
    """Encode whole-number values, (H, W), as they are shown, as a PNG file in the given style."""
    content = _encode_stored(as_stored(values, style.orientation), style)
    return _with_orientation(content, style.orientation)


def _encode_stored(values: NDArray[np.generic], style: PngStyle) -> bytes:
    if style.mode == "I;16":
        return _encode_plain(values.astype(np.uint16))
    small = values.astype(np.uint8)
    if style.mode in ("1", "P", "LA"):
        return _encode_pillow(small, style)
    if style.mode == "L":
        return _encode_plain(small)
    pixels = np.repeat(small[:, :, None], len(style.mode), axis=2)
    if style.mode == "RGBA":
        pixels[:, :, 3] = 255
    return _encode_plain(pixels)


def encode_ids(ids: LabelArray, orientation: int = UPRIGHT) -> bytes:
    """Encode segment ids, (H, W), as they are shown, as a panoptic PNG file with an EXIF orientation."""
    ids = as_stored(ids, orientation)
    red_green_blue = np.ascontiguousarray(ids).astype("<i4", copy=False).view(np.uint8).reshape(*ids.shape, 4)[:, :, :3]
    # OpenCV expects the channel order blue, green, red.
    return _with_orientation(_encode_plain(np.ascontiguousarray(red_green_blue[:, :, ::-1])), orientation)


def _with_orientation(content: bytes, orientation: int) -> bytes:
    """A PNG file with an EXIF orientation."""
    if orientation == UPRIGHT:
        return content
    return content[:_HEADER_END] + chunk(b"eXIf", exif_of(orientation)) + content[_HEADER_END:]


def _encode_plain(pixels: NDArray[Any]) -> bytes:
    # OpenCV writes PNG files about four times faster than Pillow, but does not support palettes.
    return bytes(cv2.imencode(".png", pixels)[1])


def _encode_pillow(values: ByteArray, style: PngStyle) -> bytes:
    height, width = values.shape
    options: dict[str, Any] = {}
    if style.mode == "P":
        image = Image.frombytes("P", (width, height), values.tobytes())
        image.putpalette(_palette_for(values, style.palette))
        if style.transparency is not None:
            options["transparency"] = style.transparency
    else:
        scaled = values * 255 if style.mode == "1" else values
        image = Image.frombytes("L", (width, height), scaled.astype(np.uint8).tobytes()).convert(style.mode)
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def _palette_for(values: ByteArray, palette: bytes) -> bytes:
    # Pillow derives the bit depth from the length of the palette, so a short one would truncate larger indices.
    entries = int(values.max()) + 1
    return palette if len(palette) >= 3 * entries else palette.ljust(3 * 256, b"\0")


SUB = 1
"""Number of the filter that stores differences to the pixel on the left. Filters 0 and 1 do not use the row above."""


@dataclass(frozen=True)
class Window:
    """A window of a single-channel image; all values outside it are 0.

    Attributes:
        values: uint8 or uint16, (h, w); shape (0, 0) if all values of the image are 0.
        offset: (x, y) of the window's top left pixel in the image.
        size: (H, W) of the image.
    """

    values: Gray
    offset: tuple[int, int]
    size: Size


def read_window(path: Path, max_pixels: int = MAX_PIXELS) -> Window:
    """Read a single-channel PNG file like ``read_gray``, without the zeros around the foreground.

    Raises:
        ColourError: the file holds colours.
        BprError: the file is missing, truncated, damaged, not a PNG file or too large.
    """
    stream = open_stream(path, max_pixels)
    plain = stream is not None and stream.pixel_bytes == 1 and gray_levels(stream.palette) is None
    window = _decode(stream) if stream and plain else None
    if window is not None:
        return window
    values = read_gray(path, max_pixels)  # raises a clear error if the file is broken
    return Window(values, (0, 0), (values.shape[0], values.shape[1]))


def _decode(stream: PngStream) -> Window | None:
    """Decode the window of 8-bit values; None for broken files."""
    rows = stream.inflate()
    if rows is None:
        return None
    size = stream.height, stream.width
    filters, is_set = rows[:, 0], rows[:, 1:].any(axis=1)
    if not is_set.any():
        return Window(np.zeros((0, 0), dtype=np.uint8), (0, 0), size)
    top, bottom = int(is_set.argmax()), int(np.flatnonzero(is_set | (filters > SUB))[-1]) + 1
    columns = np.flatnonzero(rows[top:bottom, 1:].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    # One more column shows whether the pixels to the right are 0 or repeat the last column.
    values = _columns(stream, rows[top:bottom], left, right + 1)
    if values is not None and values[:, right - left :].any():
        values = _columns(stream, rows[top:bottom], left, stream.width)
    return None if values is None else Window(values, (left, top), size)


def _columns(stream: PngStream, rows: ByteArray, left: int, right: int) -> ByteArray | None:
    """Decode some columns of filtered rows, as if the image began at ``left``."""
    return stream.decode(np.hstack([rows[:, :1], rows[:, left + 1 : right + 1]]))
