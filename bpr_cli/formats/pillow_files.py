"""Opens image files with Pillow, without its limit on pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

_PILLOW_LIMIT = threading.Lock()
"""Held while Pillow's own limit is lifted."""


@contextmanager
def open_image(file: Path | IO[bytes], formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open an image with Pillow, of any size; the caller checks the size (``check_pixels``) before it decodes pixels.

    Pillow has a limit of its own, one for the entire process, which only warns up to twice its value. It is lifted
    while the header is read, and no longer, because the program that uses this library may rely on it.
    """
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image
