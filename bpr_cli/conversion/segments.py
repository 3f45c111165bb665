"""What is converted: the masks of images with their metadata, free of any format; and what a format cannot hold."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from bpr_cli.errors import BprError, counted
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.coco_json import plain_id
from bpr_cli.formats.image_names import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from bpr_cli.formats.object_maps import masks_by_value
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.typing import LabelArray, Size

Segment = tuple[Mask, SegmentRecord]

LOWEST = -sys.float_info.max
"""Score instead of NaN, which ranks last and has no place in JSON."""

_ONLY = SegmentRecord(1)
"""Metadata of a mask without a class."""


@dataclass(frozen=True)
class ImageSegments:
    """The masks of one image.

    Attributes:
        name: its path relative to the directory of the images, with its ending if that is known.
        image: the image file; it may not exist.
        id: its id, if the set has ids.
        size: (H, W).
        segments: its masks with their metadata.
        void: number of pixels without a label.
    """

    name: str
    image: Path
    id: int | str | None
    size: Size
    segments: Sequence[Segment]
    void: int = 0

    @property
    def stem(self) -> str:
        """The name without its ending, for files called like the image; without folders that lead out of the output."""
        path = PureWindowsPath(self.name)  # of any system
        inside = path.name if path.root or ".." in path.parts else path
        return PureWindowsPath(inside).with_suffix("").as_posix()

    @cached_property
    def numbers(self) -> LabelArray:
        """The number of the mask that a map shows at each pixel, from 1 in their order; 0 is background."""
        return map_of(self, range(1, len(self.segments) + 1))


@dataclass(frozen=True)
class ListedIds:
    """Ids that a list of images and classes gives where a set has none, or others.

    Attributes:
        path: the file that lists the images; None if they need no ids.
        images: the ids of images by their names without ending, with and without folders.
        classes: the id of a class for that in the set.
    """

    path: Path | None
    images: Mapping[str, int | str]
    classes: Mapping[int, int]

    def put_in(self, image: ImageSegments) -> ImageSegments:
        """The image with the id of its name, if it has none of its own.

        Raises:
            BprError: the name is not listed, or several times.
        """
        if image.id is not None or self.path is None:
            return image
        known = self.images.get(image.stem, self.images.get(PurePosixPath(image.stem).name))
        if known is None:
            raise BprError(
                f"{image.name} is not listed in {self.path}, or several times, so that it has no id; expected one "
                "image of this name; check --image-info, or leave it out"
            )
        return replace(image, id=known)


def read_segments(predictions: PredictionSet, item: Item, images: Path | None, ids: ListedIds) -> ImageSegments:
    """Read the masks of one image; every label of a map that is not void becomes a mask.

    Args:
        predictions: the opened set.
        item: one of its items.
        images: directory of the images, if it is known.
        ids: ids from elsewhere.

    Raises:
        BprError: the file is broken, the size of the image is unknown, or the list with ids does not have the image.
    """
    image_id = predictions.image_id(item)
    listed = predictions.image_record(image_id) if image_id is not None else None
    name = listed.file_name if listed else _name_of(item, images)
    size = predictions.size(item)
    if size is None:
        raise BprError(f"{predictions.file(item)} does not state the size of {name}; give the images with --images")
    found, void = _segments(predictions, item)
    segments = [(mask, _written(record, ids)) for mask, record in found]
    return ids.put_in(ImageSegments(name, item.image, image_id, size, segments, void))


def _written(record: SegmentRecord, ids: ListedIds) -> SegmentRecord:
    """The metadata with the listed id of its class, and the lowest number for a score that ranks below all numbers."""
    score = LOWEST if record.score == -math.inf else record.score
    return replace(record, category=ids.classes.get(record.category, record.category), score=score)


def _segments(predictions: PredictionSet, item: Item) -> tuple[list[Segment], int]:
    """The masks of an item, and its number of void pixels."""
    if predictions.family == "coco":
        return predictions.segments(item, "converted"), 0
    prediction = predictions.read(item)
    if isinstance(prediction, LabelMap):
        records = predictions.map_records(item, prediction.labels)
        masks = masks_by_value(prediction.labels)
        listed = [
            (mask, records[value]) for value, mask in masks.items() if value in records and value not in prediction.void
        ]
        void = np.isin(prediction.labels, list(prediction.void))
        return listed, int(void.sum())
    if predictions.family == "binary":
        return [(mask, _ONLY) for mask in prediction], 0
    return predictions.segments(item, "converted"), 0


def classes_of(predictions: PredictionSet, item: Item) -> set[int]:
    """The classes of the masks of one image.

    Raises:
        BprError: the file is broken.
    """
    if predictions.family in ("semantic", "binary"):
        return {record.category for _, record in _segments(predictions, item)[0]}
    return {record.category for record in predictions.records(item)}


def _name_of(item: Item, images: Path | None) -> str:
    if images is not None and images.is_dir() and item.image.is_relative_to(images):
        name = item.image.relative_to(images).as_posix()
    else:
        name = item.image.name if images is not None else item.image.as_posix()
    page = "" if item.page is None else f"_{item.page + 1}"
    path = PurePosixPath(name)
    return path.with_name(f"{path.stem}{page}{path.suffix}").as_posix() if page else name


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


def map_of(image: ImageSegments, values: Sequence[int], background: int = 0) -> LabelArray:
    """One value per pixel: int32, (H, W). Where masks overlap, the higher confidence wins, else the smaller mask.

    Args:
        image: the masks.
        values: the value of each mask.
        background: the value of all other pixels.
    """
    labels = np.full(image.size, background, dtype=np.int32)
    ranked = sorted(zip(image.segments, values, strict=True), key=lambda each: (_score(each[0][1]), -each[0][0].area))
    for (mask, _), value in ranked:
        x0, y0, x1, y1 = mask.box
        labels[y0:y1, x0:x1][mask.crop] = value
    return labels


def _score(record: SegmentRecord) -> float:
    return 1.0 if record.score is None else record.score
