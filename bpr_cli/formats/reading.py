"""How files are read: what a user asks for, how large images may be, and what an input was taken for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from msgspec import Meta

from bpr_cli.errors import BprError, counted, join_names, shorten
from bpr_cli.settings import NonNegative, Settings, option
from bpr_cli.system.store import shown

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


Format = Literal["coco", "cityscapes", "labels", "panoptic", "masks", "yolo", "labelme", "objects", "tiff"]
FORMATS: tuple[str, ...] = get_args(Format)
"""Values of ``--format``."""

Ids = Literal["classes", "objects"]
"""Values of ``--ids``."""

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
    ids: Annotated[
        Ids | None,
        option(
            "Meaning of the values of label maps: classes, or objects as in DAVIS, YouTube-VOS and VOC's "
            "SegmentationObject, each of which is an instance (default: classes)",
            panel=PANEL,
        ),
    ] = None
    image_info: Annotated[
        Path | None,
        option(
            "COCO JSON file that maps image ids to file names by its 'images' list; bpr convert also gives classes the "
            "ids of its 'categories' by their names",
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
            "(default: 0.5); PNG files are then read as masks",
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
    polygon_tolerance: Annotated[
        NonNegative,
        option(
            "Farthest that polygons lie off the outline of refined masks, in pixels; up to 0.5, they hold exactly its "
            "pixels",
            panel=PANEL,
        ),
    ] = 0.5
    max_pixels: Annotated[
        int,
        Meta(ge=1, le=HIGHEST_LIMIT),
        option("Largest image or mask that is read, in pixels; protects from files that claim huge sizes", panel=PANEL),
    ] = MAX_PIXELS

    @property
    def void(self) -> frozenset[int]:
        """The labels that are never refined."""
        return frozenset({255}) if self.ignore_labels is None else self.ignore_labels


@dataclass(frozen=True)
class InputReading:
    """What the input was taken for, and the options that say otherwise."""

    content: Annotated[str, Meta(description="What the files hold, such as soft masks or label maps.")]
    format: Annotated[str, Meta(description="Format of the predictions.")]
    task: Annotated[str, Meta(description="Kind of segmentation.")]
    images: Annotated[int, Meta(ge=0, description="Number of images with usable predictions.")]
    found_by: Annotated[str, Meta(description="How the images of the predictions were found; empty without images.")]
    classes: Annotated[
        int | None, Meta(description="Number of classes, without void; null for masks, which have none.")
    ] = None
    sampled: Annotated[bool, Meta(description="Whether the classes are those of a sample of the files.")] = False
    void: Annotated[tuple[int, ...], Meta(description="Labels that are void, ascending.")] = ()
    foreground: Annotated[
        str | None, Meta(description="Which values of masks are foreground; null if the content is no mask.")
    ] = None
    options: Annotated[tuple[str, ...], Meta(description="Options that change this reading.")] = ("--format",)

    def sentence(self, path: Path | str, format_option: str = "--format") -> str:
        """One line about the file or folder, with ``format_option`` for the option that states its format.

        >>> InputReading("label maps", "labels", "semantic", 2, "", classes=19, void=(255,)).sentence("a")
        'a: label maps (format labels, task semantic), 2 images, 19 classes, void 255; change with --format'
        """
        how = f" found {self.found_by}" if self.found_by else ""
        parts = [f"{self.content} (format {self.format}, task {self.task})", f"{counted(self.images, 'image')}{how}"]
        if self.classes is not None:
            parts.append(f"{counted(self.classes, 'class', 'classes')}{' in a sample' if self.sampled else ''}")
        if self.void:
            parts.append(f"void {join_names(self.void)}")
        if self.foreground is not None:
            parts.append(f"foreground {self.foreground}")
        options = (each.replace("--format", format_option) for each in self.options)
        return f"{shown(path)}: {', '.join(parts)}; change with {' or '.join(options)}"
