"""The EXIF orientation of image files: how their stored pixels are mirrored and turned to be shown upright."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bpr_cli.typing import Size

Values = TypeVar("Values", bound=np.generic)

UPRIGHT = 1
"""The orientation of files that are shown as they are stored, and of files without one."""

_TAG = 0x0112
_IMAGE_WIDTH = 256
_TURNED_BACK = {6: 8, 8: 6}
"""The orientation that undoes another; all others undo themselves."""


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an opened image, 1 to 8; 1 if it has none, or none that can be read."""
    try:
        # The method of PNG files would decode the pixels.
        found = Image.Image.getexif(image).get(_TAG)
    except Exception:  # whatever Pillow raises for broken metadata, which viewers ignore
        return UPRIGHT
    return found if isinstance(found, int) and UPRIGHT <= found <= 8 else UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether an orientation turns an image by a quarter."""
    return orientation >= 5


def upright_size(image: Image.Image) -> Size:
    """(H, W) of an opened image as it is shown."""
    # Newer versions of Pillow state the size of TIFF files as they are shown.
    is_done = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_IMAGE_WIDTH) != image.width
    if swaps_sides(orientation_of(image)) and not is_done:
        return image.width, image.height
    return image.height, image.width


def upright(stored: NDArray[Values], orientation: int) -> NDArray[Values]:
    """Turn stored pixels, (H, W) or (H, W, C), as they are shown.

    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    if orientation == UPRIGHT:
        return stored
    rows = -1 if orientation in (3, 4, 6, 7) else 1
    columns = -1 if orientation in (2, 3, 7, 8) else 1
    turned: NDArray[Any] = stored[::rows, ::columns]
    return np.ascontiguousarray(turned.swapaxes(0, 1) if swaps_sides(orientation) else turned)


def as_stored(shown: NDArray[Values], orientation: int) -> NDArray[Values]:
    """Turn upright pixels back; undoes ``upright``."""
    return upright(shown, _TURNED_BACK.get(orientation, orientation))


def exif_of(orientation: int) -> bytes:
    """EXIF data that hold an orientation only."""
    exif = Image.Exif()
    exif[_TAG] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")
