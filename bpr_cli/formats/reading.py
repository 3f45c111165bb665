"""What an input was taken for, in words and in reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bpr_cli.errors import join_names


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

    def sentence(self, path: Path | str) -> str:
        """One line about the file or folder.

        >>> InputReading("label maps", "labels", "semantic", 2, "", classes=19, void=(255,)).sentence("a")
        'a: label maps (format labels, task semantic), 2 images, 19 classes, void 255; change with --format'
        """
        how = f" found {self.found_by}" if self.found_by else ""
        parts = [f"{self.content} (format {self.format}, task {self.task})", f"{_count(self.images, 'image')}{how}"]
        if self.classes is not None:
            parts.append(f"{_count(self.classes, 'class', 'classes')}{' in a sample' if self.sampled else ''}")
        if self.void:
            parts.append(f"void {join_names(self.void)}")
        if self.foreground is not None:
            parts.append(f"foreground {self.foreground}")
        return f"{path}: {', '.join(parts)}; change with {' or '.join(self.options)}"


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"
