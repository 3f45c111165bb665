"""Binary masks: a PNG file an image with background 0 and one foreground value, 1 or 255."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Item
from bpr_cli.formats.folder import PngFolder
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.png import encode_gray, read_style
from bpr_cli.formats.png_window import Window, read_window
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction

FOREGROUNDS = (1, 255)


def read_mask(path: Path, allowed: Collection[int]) -> tuple[Mask, int | None]:
    """A binary mask, and the value of its foreground, None for a mask without foreground.

    Args:
        path: the PNG file.
        allowed: values of the foreground.

    Raises:
        BprError: as ``read_gray``, or there are other values than 0 and one of those allowed.
    """
    window = read_window(path)
    return Mask.from_array(window.values, window.offset, window.size), _foreground_of(window, path, allowed)


def _foreground_of(window: Window, path: Path, allowed: Collection[int]) -> int | None:
    values = window.values
    largest = int(values.max(initial=0))
    if largest == 0:
        return None
    if largest in allowed and np.all((values == 0) | (values == largest)):
        return largest
    found = {*np.unique(values).tolist(), *([] if values.shape == window.size else [0])}
    raise BprError(
        f"{path} holds the values {join_names(sorted(found), limit=5)}, expected a binary mask of 0 and 255 or "
        "0 and 1; if these are class labels, use --format labels"
    )


class MaskSet(PngFolder):
    """Binary masks, one an image; a mask without foreground is valid."""

    format = "masks"
    noun = "binary masks"
    task = Task.INSTANCE
    family = "binary"

    def __init__(self, source: Source, index: ImageIndex, options: ReadSettings) -> None:  # noqa: ARG002
        """List the files and find their images; there are no options."""
        super().__init__(source, index)
        # Kept from read to write, so that the source need not be decoded again.
        self._foregrounds: dict[str, int | None] = {}

    def read(self, item: Item) -> Prediction:
        """The mask of one image."""
        mask, self._foregrounds[item.name] = read_mask(self.path(item), FOREGROUNDS)
        return (mask,)

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """The refined mask with the foreground value and mode of the source."""
        if not isinstance(refined, tuple) or len(refined) != 1:
            raise TypeError("expected one mask")
        if item.name not in self._foregrounds:
            self.read(item)
        return encode_mask(refined[0], self.path(item), self._foregrounds.pop(item.name))


def encode_mask(mask: Mask, source: Path, foreground: int | None) -> bytes:
    """A PNG file with a mask, in the style of the source file and with its foreground value."""
    style = read_style(source)
    if foreground is None:
        foreground = 255 if style.mode in ("L", "LA", "RGB", "RGBA") else 1
    values = np.zeros(mask.size, dtype=np.uint16)
    x0, y0, x1, y1 = mask.box
    values[y0:y1, x0:x1] = mask.crop * np.uint16(foreground)
    return encode_gray(values, style)
