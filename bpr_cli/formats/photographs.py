"""Tells photographs from pictures of labels, where one is given in place of the other."""

from __future__ import annotations

import math

import numpy as np

from bpr_cli.typing import ByteArray

MOST_COLOURS = 256
"""Colours of a picture of labels at most; gray pictures, such as soft masks, never have more."""

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
