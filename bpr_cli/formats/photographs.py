"""Tells images from masks and label maps, where one is given in place of the other, or both lie in one folder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bpr_cli.formats.images import IMAGE_FORMATS
from bpr_cli.formats.pillow_files import open_image
from bpr_cli.formats.reading import MAX_PIXELS, check_pixels
from bpr_cli.typing import ByteArray

MOST_COLOURS = 256
"""Colours of a picture of labels at most; gray pictures, such as soft masks, never have more."""

_MASK_MODES = ("1", "L", "LA", "P", "I", "I;16")
_MOST_LABELS = 100
"""Files of these modes with more values hold images rather than masks."""

SAMPLED_PIXELS = 2**18
"""Pixels at which an image is judged, about."""


def looks_like_photograph(pixels: ByteArray) -> bool:
    """Whether pixels, uint8 (H, W, C) with at least 3 channels, have more colours than a map of labels would.

    Large images are judged by some of their pixels.
    """
    step = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // SAMPLED_PIXELS))
    red, green, blue = (pixels[::step, ::step, channel].astype(np.int32) for channel in range(3))
    return len(np.unique(red << 16 | green << 8 | blue)) > MOST_COLOURS


def photograph_given(name: str) -> str:
    """The message for a photograph where a mask is expected; names the file or array."""
    return (
        f"{name} looks like a photograph (more than {MOST_COLOURS} colours), expected a mask or a label map: "
        "one value, not a colour, for every pixel; are masks and images swapped?"
    )


def holds_image(path: Path) -> bool:
    """Whether a file holds an image rather than a mask: colours, or more shades of gray than labels."""
    try:
        with open_image(path, IMAGE_FORMATS) as image:
            check_pixels(str(path), (image.height, image.width), MAX_PIXELS)
            return image.mode not in _MASK_MODES or len(image.getcolors() or ()) > _MOST_LABELS
    except Exception:  # whatever Pillow raises; reading it as a mask will raise a clear error
        return False
