"""Strips: rows of a large map that are worked on together, so that memory does not grow with the map."""

from __future__ import annotations

from bpr_cli.typing import Size

STRIP_PIXELS = 2**22
"""Most pixels of a strip, unless a single row has more. Images of ordinary size are one strip."""


def strips_of(size: Size) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each strip of an image of ``size`` (H, W), from top to bottom.

    >>> strips_of((1080, 1920)), len(strips_of((12_000, 12_000)))
    ([(0, 1080)], 35)
    """
    height, width = size
    rows = max(1, STRIP_PIXELS // max(width, 1))
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]
