"""The limit on the sizes of images and masks: a file of a few bytes can claim a size that fills the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpr_cli.errors import BprError, shorten

if TYPE_CHECKING:
    from bpr_cli.typing import Size  # imports NumPy, which help texts need not wait for

MAX_PIXELS = 2**28
"""Default of ``--max-pixels``: 268,435,456 pixels, such as 16,384 x 16,384."""

HIGHEST_LIMIT = 2**31 - 1
"""Largest value of ``--max-pixels``; positions of pixels are 32-bit numbers in places."""


def check_pixels(claim: str, size: Size, max_pixels: int) -> None:
    """Refuse an image or mask that is too large, before memory is allocated for it.

    Args:
        claim: beginning of the message, such as "its size is".
        size: (H, W) in pixels.
        max_pixels: the largest number of pixels.

    Raises:
        BprError: the size has more pixels.

    >>> check_pixels("x.png claims to have", (10**5, 10**5), MAX_PIXELS)
    Traceback (most recent call last):
    bpr_cli.errors.BprError: x.png claims to have 100000 x 100000 pixels, more than the limit of 268,435,456; if you \
trust it, raise the limit with --max-pixels
    """
    height, width = size
    if height * width > max_pixels:
        raise BprError(
            f"{claim} {shorten(width)} x {shorten(height)} pixels, more than the limit of {max_pixels:,}; if you "
            "trust it, raise the limit with --max-pixels"
        )
