"""Settings for opening predictions. Imports neither NumPy nor OpenCV, so that help texts appear at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta

from bpr_cli.formats.pixel_limit import HIGHEST_LIMIT, MAX_PIXELS
from bpr_cli.settings import Settings, option

Format = Literal["coco", "cityscapes", "labels", "panoptic", "masks"]
FORMATS: tuple[str, ...] = get_args(Format)
"""Values of ``--format``."""

PANEL = "Input"


class Task(str, Enum):
    """The segmentation task; it decides whether masks are refined independently or compete for pixels."""

    INSTANCE = "instance"
    SEMANTIC = "semantic"
    PANOPTIC = "panoptic"


@dataclass(frozen=True)
class ReadSettings(Settings):
    """Settings for opening a set of predictions; by default, everything is detected from the files."""

    format: Annotated[Format | None, option("Input format (default: auto-detect)", panel=PANEL)] = None
    task: Annotated[Task | None, option("Segmentation task (default: auto-detect)", panel=PANEL)] = None
    image_info: Annotated[
        Path | None,
        option(
            "COCO JSON file that maps image ids to file names; only its 'images' list is read",
            panel=PANEL,
            metavar="FILE",
        ),
    ] = None
    image_pattern: Annotated[
        str | None,
        option(
            "Name of the image of a mask, such as '{stem}_leftImg8bit.png'; {stem} is the name of the mask without "
            "known endings, {name} its full name, {number} its last number, {folder} its folder "
            "(default: found by name)",
            panel=PANEL,
            metavar="NAME",
        ),
    ] = None
    ignore_labels: Annotated[
        frozenset[int] | None,
        option(
            "Label that is never refined; may be repeated (default: 255)",
            panel=PANEL,
            flags=("--ignore-label",),
            metavar="LABEL",
        ),
    ] = None
    threshold: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        option(
            "Foreground of soft masks: values above this fraction of their range, e.g. 0.5 for 127.5 of 255 "
            "(default: 0.5); takes PNG files for masks",
            panel=PANEL,
        ),
    ] = None
    soft: Annotated[
        bool,
        option(
            "Write refined masks as probabilities, in the bit depth of the input, instead of foreground and background",
            panel=PANEL,
        ),
    ] = False
    max_pixels: Annotated[
        int,
        Meta(ge=1, le=HIGHEST_LIMIT),
        option("Largest image or mask that is read, in pixels; protects from files that claim huge sizes", panel=PANEL),
    ] = MAX_PIXELS

    @property
    def void(self) -> frozenset[int]:
        """The labels that are never refined."""
        return frozenset({255}) if self.ignore_labels is None else self.ignore_labels
