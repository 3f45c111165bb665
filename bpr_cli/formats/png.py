"""PNG files that hold values, not colours: single-channel masks and label maps, and the ids of panoptic maps.

Values are never interpolated, scaled or mapped through a palette. What a file looked like apart from its values is
its ``PngStyle``; a refined file is written in the style of its source.
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

from bpr_cli.errors import BprError
from bpr_cli.formats.images import load_pillow
from bpr_cli.formats.png_rows import pack_ids, unfilter
from bpr_cli.formats.png_stream import GRAY, PALETTE, RGB, RGBA, PngStream
from bpr_cli.system.paths import check_regular, read_bytes

Gray = NDArray[np.uint8] | NDArray[np.uint16]

_KIND = "a PNG file"
_DEEP_MODES = ("I", "I;16", "I;16B")
_COLOUR_MODES = ("LA", "RGB", "RGBA")
_DEPTH_OFFSET = 24  # in the header that every PNG file starts with


class ColourError(BprError):
    """A file holds colours where single values were expected."""


@dataclass(frozen=True)
class PngStyle:
    """How the values of a PNG file are stored.

    Attributes:
        mode: "1", "L", "I;16", "P", "LA", "RGB" or "RGBA", as Pillow names them.
        palette: RGB triples of mode "P".
        transparency: transparent entries of the palette, in the form that Pillow gives and takes.
    """

    mode: str
    palette: bytes = b""
    transparency: bytes | int | None = None


def read_gray(path: Path) -> Gray:
    """Values of a single-channel PNG: uint8 or uint16, (H, W).

    1-bit files give 0 and 1, palette files their indices, and files that store gray as colour (equal channels,
    opaque) the gray value.

    Raises:
        ColourError: the channels differ.
        BprError: missing, truncated, not PNG.
    """
    values = _decode_plain(path, (GRAY, PALETTE))
    if values is not None:
        return values
    image = load_pillow(path, ("PNG",), _KIND)
    if image.mode in _DEEP_MODES:
        return np.array(image).astype(np.uint16)
    if image.mode in _COLOUR_MODES:
        return _gray_of_colour(np.asarray(image), path)
    return np.array(image).astype(np.uint8)


def _gray_of_colour(pixels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    gray: NDArray[np.uint8] = pixels[:, :, 0].copy()
    colours = pixels[:, :, : 3 if pixels.shape[2] > 2 else 1]
    if not np.array_equal(colours, np.broadcast_to(gray[:, :, None], colours.shape)):
        raise ColourError(
            f"{path} holds colours, expected one channel: masks and label maps must be single-channel PNG files "
            "with a value, not a colour, for every label"
        )
    if pixels.shape[2] in (2, 4) and pixels[:, :, -1].min() < 255:
        raise ColourError(f"{path} is partly transparent, expected an opaque single-channel PNG file; remove its alpha")
    if read_bytes(path)[_DEPTH_OFFSET] == 16:
        raise BprError(f"{path} stores 16-bit values in colour channels; save it as a single-channel PNG file")
    return gray


def read_style(path: Path) -> PngStyle:
    """How a PNG file stores its values, from its header."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode in _DEEP_MODES:
                return PngStyle("I;16")
            if image.mode != "P":
                return PngStyle(image.mode)
            return PngStyle("P", bytes(image.getpalette("RGB") or []), image.info.get("transparency"))
    except Exception as error:
        raise BprError(f"{path} can no longer be read: {error}") from error


def encode_gray(values: NDArray[np.generic], style: PngStyle) -> bytes:
    """A PNG file with the given integer values, (H, W), in the given style."""
    if style.mode == "I;16":
        return _encode_plain(values.astype(np.uint16))
    if style.mode in ("1", "P", "LA"):
        return _encode_pillow(values.astype(np.uint8), style)
    small = values.astype(np.uint8)
    if style.mode == "L":
        return _encode_plain(small)
    pixels = np.repeat(small[:, :, None], len(style.mode), axis=2)
    if style.mode == "RGBA":
        pixels[:, :, 3] = 255
    return _encode_plain(pixels)


def _encode_plain(pixels: NDArray[Any]) -> bytes:
    # OpenCV writes PNG about four times faster than Pillow, but has no palettes.
    return bytes(cv2.imencode(".png", pixels)[1])


def _encode_pillow(values: NDArray[np.uint8], style: PngStyle) -> bytes:
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


def _palette_for(values: NDArray[np.uint8], palette: bytes) -> bytes:
    # Pillow takes the bit depth from the palette's length: a short one would cut off indices beyond it.
    entries = int(values.max()) + 1
    return palette if len(palette) >= 3 * entries else palette.ljust(3 * 256, b"\0")


def read_ids(path: Path) -> NDArray[np.int32]:
    """Segment ids of a panoptic PNG, ``R + 256 G + 256**2 B``: int32, (H, W).

    Raises:
        BprError: missing, truncated, not PNG or not RGB.
    """
    ids = _decode_plain(path, (RGB, RGBA))
    if ids is not None:
        return ids
    image = load_pillow(path, ("PNG",), _KIND)
    if image.mode not in ("RGB", "RGBA"):
        raise BprError(f"{path} has mode {image.mode}, expected RGB: a panoptic PNG stores ids as R + 256 G + 65536 B")
    return pack_ids(np.array(image.convert("RGBA")))


def _decode_plain(path: Path, colours: Collection[int]) -> NDArray[Any] | None:
    """Values of a plain file of one of the colour types, decoded faster than by Pillow.

    None for other and for broken files, which are left to Pillow.
    """
    check_regular(path)
    try:
        stream = PngStream.of(path.read_bytes())
    except OSError:
        return None
    rows = stream.inflate() if stream and stream.colour in colours else None
    return None if stream is None or rows is None else unfilter(rows, stream)


def encode_ids(ids: NDArray[np.int32]) -> bytes:
    """A panoptic PNG file with the given segment ids, (H, W)."""
    red_green_blue = np.ascontiguousarray(ids).astype("<i4", copy=False).view(np.uint8).reshape(*ids.shape, 4)[:, :, :3]
    # OpenCV takes blue, green, red.
    return _encode_plain(np.ascontiguousarray(red_green_blue[:, :, ::-1]))
