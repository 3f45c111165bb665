"""Folders with one PNG file per image that holds a mask, binary or soft."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.label_maps import PngFolder
from bpr_cli.formats.png import Gray, encode_gray, read_gray, read_style, read_window
from bpr_cli.formats.reading import MAX_PIXELS, InputReading, ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction
from bpr_cli.masks.soft import SoftMask
from bpr_cli.masks.values import BYTE, HALF, MaskKind, MaskValues


class MaskSet(PngFolder):
    """Masks: binary ones of 0 and one other value, or soft ones with a threshold; a mask may be empty.

    Attributes:
        foreground: which pixels of the files are foreground.
    """

    format = "masks"
    noun = "binary masks"
    task = Task.INSTANCE
    family = "binary"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files, find their images, and tell from a sample which pixels are foreground.

        Raises:
            BprError: there is no PNG file, or the values may be class labels.
        """
        super().__init__(source, index, settings)
        values = source.sample.values
        if settings.threshold is None:
            _check_masks(values, source.path, settings)
        self.foreground = values.foreground(settings.threshold)
        self._soft = settings.soft
        # Remembered from reading to writing, so that the source is not decoded twice.
        self._foregrounds: dict[str, int | None] = {}

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:
        """Whether the sampled PNG files hold masks, unless the task is semantic; see ``masks/values.py``.

        Raises:
            BprError: the values may be those of masks or of label maps.
        """
        values = source.sample.values
        if not values.present or settings.task is Task.SEMANTIC:
            return False
        if settings.threshold is not None:
            return True
        kind = values.kind(settings.void)
        if settings.ignore_labels is not None:
            # Who names void labels has label maps, unless the values are those that most masks have.
            return kind is MaskKind.SOFT or any(values.present <= {0, foreground} for foreground in (1, BYTE))
        if kind is MaskKind.UNCLEAR and values.transitions.are_photographs:
            raise BprError(
                f"{source.path} holds {values.describe()} that differ from pixel to pixel, as a gray photograph does, "
                f"expected masks or label maps; are masks and images swapped? If not, {_how_to_say(values)}"
            )
        if kind is MaskKind.UNCLEAR:
            raise BprError(f"{source.path} holds {values.describe()}: masks, or a label map; {_how_to_say(values)}")
        return kind is not MaskKind.LABELS

    @property
    def reading(self) -> InputReading:
        """The common facts, and which values are foreground."""
        if self.foreground.is_binary:
            foreground = "everything but 0"
            return replace(super().reading, foreground=foreground, options=("--format labels",))
        full, threshold = self.foreground.full, self.foreground.threshold
        sample = self._source.sample
        because = f"; {sample.many_valued[0]} is soft" if sample.some_are_binary else ""
        above = f"above {threshold * full:g} of {full} (threshold {threshold:g}{because})"
        options = ("--threshold", "--format labels")
        return replace(super().reading, content="soft masks", foreground=above, options=options)

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings, and how the values are read and written."""
        return {**super().settings, "threshold": self.foreground.threshold, "soft": self._soft}

    def read(self, item: Item) -> Prediction:
        """Read the mask of one image."""
        path = self.file(item)
        if self._soft:
            values = read_gray(path, self.max_pixels)
            if self.foreground.is_binary:
                _check_binary(values, path, self.max_pixels)
            return (SoftMask.of(values, self.foreground),)
        if self.foreground.is_binary:
            mask, self._foregrounds[item.name] = read_mask(path, self.max_pixels)
            return (mask,)
        window = read_window(path, self.max_pixels)
        self._foregrounds[item.name] = self.foreground.full_of(window.values)
        return (Mask.from_array(self.foreground.of(window.values), window.offset, window.size),)

    def encode(self, item: Item, refined: Prediction) -> bytes:
        """Encode a refined mask in the mode of the source, with its soft values or else its foreground value."""
        if not isinstance(refined, tuple) or len(refined) != 1:
            raise TypeError("expected one mask")
        (mask,) = refined
        if isinstance(mask, SoftMask):
            style = read_style(self.file(item))
            return encode_gray(mask.values, replace(style, mode="L") if style.mode in ("1", "P") else style)
        if item.name not in self._foregrounds:
            self.read(item)
        return encode_mask(mask, self.file(item), self._foregrounds.pop(item.name))


def _check_masks(values: MaskValues, path: Path, settings: ReadSettings) -> None:
    """Check that the values can be those of masks, where the files alone did not tell.

    Raises:
        BprError: they may be class labels, or no value lies above the threshold.
    """
    if values.binary or values.kind(settings.void) is MaskKind.SOFT:
        return
    if settings.format != "masks":
        raise BprError(f"{path} holds {values.describe()}, expected masks; {_how_to_say(values)}")
    if max(values.present) <= HALF * values.full:
        raise BprError(
            f"{path} holds {values.describe()}, none above one half of {values.full}, so its masks would all be empty; "
            "give a lower --threshold, or --format labels if they are classes"
        )


def _how_to_say(values: MaskValues) -> str:
    """Advice on how to say what unclear values are."""
    above = f"values above one half of {values.full} are foreground (--threshold sets another fraction)"
    foreground = "everything but 0 is foreground in every file" if values.binary else above
    return f"give --format labels if they are classes (--ignore-label names void), or --format masks if {foreground}"


def read_mask(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[Mask, int | None]:
    """Read a binary mask and its foreground value; None for a mask without foreground.

    Raises:
        BprError: the file cannot be read, is too large, holds colours, or has values other than 0 and one other value.
    """
    window = read_window(path, max_pixels)
    foreground = _check_binary(window.values, path, max_pixels)
    return Mask.from_array(window.values, window.offset, window.size), foreground


def _check_binary(values: Gray, path: Path, max_pixels: int) -> int | None:
    """The only value other than 0; None if there is none.

    Raises:
        BprError: there are several.
    """
    largest = int(values.max(initial=0))
    if largest == 0:
        return None
    if np.all((values == 0) | (values == largest)):
        return largest
    found = MaskValues.of(read_gray(path, max_pixels)).describe()
    raise BprError(
        f"{path} holds {found}, expected a binary mask of 0 and one other value; if these are soft masks, use "
        "--threshold 0.5; if they are class labels, use --format labels"
    )


def encode_mask(mask: Mask, source: Path, foreground: int | None) -> bytes:
    """Encode a mask as a PNG file in the style of the source file, with its foreground value."""
    style = read_style(source)
    if foreground is None:
        foreground = BYTE if style.mode in ("L", "LA", "RGB", "RGBA") else 1
    values = np.zeros(mask.size, dtype=np.uint16)
    x0, y0, x1, y1 = mask.box
    values[y0:y1, x0:x1] = mask.crop * np.uint16(foreground)
    return encode_gray(values, style)
