"""What a format can hold beside one mask per image, and what converted masks lose to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from bpr_cli.conversion.segments import ImageSegments
from bpr_cli.errors import counted
from bpr_cli.formats.coco_json import plain_id
from bpr_cli.formats.image_names import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from bpr_cli.formats.records import CategoryRecord


@dataclass(frozen=True)
class Holds:
    """What a format can hold beside one mask per image.

    Attributes:
        classes: the classes of masks.
        names: the names of classes.
        scores: confidences.
        several: several masks of one class in an image.
        overlaps: masks that overlap.
        crowds: which masks are crowds.
        empty: masks without pixels.
        endings: images whose names differ in their endings only, or not at all.
        unnamed: images whose endings are not known; files that name their image need them.
        ids: the ids of images.
        void: pixels without a label.
    """

    classes: bool = True
    names: bool = False
    scores: bool = False
    several: bool = True
    overlaps: bool = True
    crowds: bool = False
    empty: bool = True
    endings: bool = False
    unnamed: bool = True
    ids: bool = False
    void: bool = False

    @property
    def covered(self) -> bool:
        """Whether masks that others cover are not lost: there is no map of them, or one of their union."""
        return self.overlaps or not self.several

    @property
    def background(self) -> bool:
        """Whether a background that is a class stays one."""
        return self.classes


@dataclass
class Losses:
    """What the masks that were converted have, but the new format cannot hold."""

    holds: Holds
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, image: ImageSegments) -> None:
        """Count what is lost of an image."""
        records = [record for _, record in image.segments]
        classes = {record.category for record in records}
        found = {
            "scores": sum(record.score is not None for record in records),
            "several": len(records) - len(classes),
            "crowds": sum(record.crowd for record in records),
            "empty": sum(not mask.area for mask, _ in image.segments),
            "overlaps": 0 if self.holds.overlaps else _overlap(image),
            "covered": 0 if self.holds.covered else _covered(image),
            "void": image.void,
            "background": int(not self.holds.background and len(classes) > 1 and image.numbers.all()),
            "unnamed": int(image.image.suffix.lower() not in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES)),
            "ids": int(image.id is not None and plain_id(image.id) != plain_id(PurePosixPath(image.stem).name)),
        }
        self.counts.update({what: count for what, count in found.items() if not getattr(self.holds, what)})

    def sentences(self, name: str, categories: Sequence[CategoryRecord]) -> list[str]:
        """A sentence for each thing that a format, by its name, cannot hold."""
        named = [category for category in categories if category.name != str(category.id)]
        counts = self.counts + Counter(
            classes=0 if self.holds.classes or len(categories) < 2 else len(categories),
            names=0 if self.holds.names or not self.holds.classes else len(named),
        )
        return [f"{name} cannot hold {_LOSSES[what](counts[what])}" for what in _LOSSES if counts[what]]


_LOSSES: dict[str, Callable[[int], str]] = {
    "classes": lambda count: f"classes: the {count} classes become one",
    "names": lambda count: f"the names of classes: {counted(count, 'class', 'classes')} with a number only",
    "scores": lambda count: f"confidences, as {counted(count, 'mask')} had",
    "background": lambda count: (
        f"a background that is a class: {counted(count, 'image')} of foreground only; if 0 is background, give "
        "--ignore-label 0"
    ),
    "several": lambda count: f"several masks of a class in an image: {counted(count, 'mask')} joined with others",
    "overlaps": lambda count: (
        f"overlaps: {counted(count, 'pixel')} for the mask of the higher confidence, or the smaller"
    ),
    "covered": lambda count: f"masks below others: {counted(count, 'mask')} left out",
    "crowds": lambda count: f"crowds: {counted(count, 'ordinary mask')} instead",
    "empty": lambda count: f"masks without pixels: {counted(count, 'mask')} left out",
    "void": lambda count: f"void: {counted(count, 'pixel')} of background instead",
    "unnamed": lambda count: (
        f"the names of image files without knowing them: {counted(count, 'image')} named without an ending such as "
        ".jpg; give --images"
    ),
    "ids": lambda count: f"the ids of images: {counted(count, 'image')} with a file name only",
}


def _overlap(image: ImageSegments) -> int:
    """Number of pixels that belong to several masks."""
    counts = np.zeros(image.size, dtype=np.uint16)
    for mask, _ in image.segments:
        x0, y0, x1, y1 = mask.box
        counts[y0:y1, x0:x1] += mask.crop
    return int(np.count_nonzero(counts > 1))


def _covered(image: ImageSegments) -> int:
    """Number of masks of which a map shows no pixel, because others cover them."""
    shown = np.count_nonzero(np.unique(image.numbers))
    return sum(mask.area > 0 for mask, _ in image.segments) - int(shown)
