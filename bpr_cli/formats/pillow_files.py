"""Opens and decodes image files with Pillow, without its limit on pixels; errors become sentences."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from bpr_cli.errors import BprError
from bpr_cli.formats.orientation import UPRIGHT, orientation_of
from bpr_cli.formats.reading import MAX_PIXELS, check_pixels
from bpr_cli.masks.runs import strips_of
from bpr_cli.system.paths import check_regular, read_bytes
from bpr_cli.system.store import is_remote

_WITH_FRAMES = ("PNG", "WEBP", "TIFF")
"""Formats whose further frames are pictures of their own; those in JPEG files of phones are not."""

_PILLOW_LIMIT = threading.Lock()
"""Held while Pillow's own limit is lifted."""


@contextmanager
def open_image(file: Path | IO[bytes], formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open an image with Pillow, of any size; the caller checks the size (``check_pixels``) before it decodes pixels.

    Pillow has a limit of its own, one for the entire process, which only warns up to twice its value. It is lifted
    while the header is read, and no longer, because the program that uses this library may rely on it.
    """
    if isinstance(file, Path) and is_remote(file):
        file = io.BytesIO(read_bytes(file))
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def load_pillow(path: Path, formats: tuple[str, ...], kind: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open and fully decode an image file of one frame, without applying its EXIF orientation.

    Args:
        path: the file.
        formats: accepted formats, by Pillow's names.
        kind: noun for the file in messages.
        max_pixels: largest number of pixels.

    Raises:
        BprError: the file is missing, unreadable, truncated, animated, of another format or too large.
    """
    decoded = decode(path, formats, kind, max_pixels)
    if decoded.frames > 1:
        found = f"is animated ({decoded.frames} frames)"
        raise BprError(f"{path} {found}, expected {kind} with one picture; save one frame as an image")
    return decoded.image


@dataclass(frozen=True)
class Decoded:
    """The first frame of an image file.

    Attributes:
        image: the frame as Pillow decodes it: stored pixels, but TIFF files are turned upright.
        turned: EXIF orientation that Pillow has applied; 1 if none.
        frames: number of frames in the file.
    """

    image: Image.Image
    turned: int
    frames: int


def decode(path: Path, formats: tuple[str, ...], kind: str, max_pixels: int, page: int = 0) -> Decoded:
    """Decode a frame of an image file, by default the first; see ``load_pillow`` for the arguments.

    Raises:
        BprError: the file is missing, unreadable, truncated, of another format or too large.
    """
    check_regular(path)
    try:
        with open_image(path, formats) as image:
            image.seek(page)
            check_pixels(f"{path} claims to have", (image.height, image.width), max_pixels)
            frames = _frames_of(image)
            stated = orientation_of(image) if image.format == "TIFF" else UPRIGHT
            image.load()
            return Decoded(image, stated if orientation_of(image) == UPRIGHT else UPRIGHT, frames)
    except BprError:
        raise
    except Exception as error:
        # Decoders raise almost any exception on broken bytes, such as SyntaxError, IndexError and zlib.error.
        raise BprError(explain(path, kind, error)) from error


def _frames_of(image: Image.Image) -> int:
    """Number of frames of an opened image; 1 if a later frame is broken."""
    frames = 1
    if image.format in _WITH_FRAMES:
        with suppress(Exception):
            frames = getattr(image, "n_frames", 1)
    return frames


def explain(path: Path, kind: str, error: Exception) -> str:
    """The message for an error that was raised while a file was opened or decoded as ``kind``."""
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist, expected {kind}"
    if path.is_file() and path.stat().st_size == 0:
        return f"{path} is empty (0 bytes), expected {kind}; write it again"
    if isinstance(error, UnidentifiedImageError):
        return f"{path} is not {kind}"
    told = str(error).lower()
    damaged = isinstance(error, (SyntaxError, EOFError, struct.error))
    if damaged or any(word in told for word in ("truncated", "decoder error", "broken data")):
        return f"{path} is truncated or damaged ({error}), expected {kind}; copy or export it again"
    return f"{path} cannot be read as {kind}: {error or type(error).__name__}"


def parts_of(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The strips of an image, each with its rows: every conversion of an entire image would be a copy of it."""
    strips = strips_of((image.height, image.width))
    for top, bottom in strips:
        yield slice(top, bottom), image.crop((0, top, image.width, bottom)) if len(strips) > 1 else image
