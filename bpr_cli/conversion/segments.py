"""What is converted: the masks of images with their metadata, free of any format."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.object_maps import masks_by_value
from bpr_cli.formats.records import SegmentRecord
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


def read_segments(predictions: PredictionSet, item: Item, images: Path | None) -> ImageSegments:
    """Read the masks of one image; every label of a map that is not void becomes a mask.

    Args:
        predictions: the opened set.
        item: one of its items.
        images: directory of the images, if it is known.

    Raises:
        BprError: the file is broken, or the size of the image is unknown.
    """
    image_id = predictions.image_id(item)
    listed = predictions.image_record(image_id) if image_id is not None else None
    name = listed.file_name if listed else _name_of(item, images)
    size = predictions.size(item)
    if size is None:
        raise BprError(f"{predictions.file(item)} does not state the size of {name}; give the images with --images")
    found, void = _segments(predictions, item)
    segments = [(mask, replace(record, score=_ranked(record.score))) for mask, record in found]
    return ImageSegments(name, item.image, image_id, size, segments, void)


def _ranked(score: float | None) -> float | None:
    """A score, or the lowest number for one that ranks below all numbers."""
    return LOWEST if score == -math.inf else score


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
