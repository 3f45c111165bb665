"""Folders with one text file per image that lists the shapes of its objects, most of them as polygons."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bpr_cli.errors import BprError, counted, join_names
from bpr_cli.formats.base import Failure, Item, PredictionSet, Use, Writer, Written
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction, union_of
from bpr_cli.system.paths import output_file, read_bytes, write_bytes
from bpr_cli.typing import Size


class Shape(ABC):
    """The shape of one object or of a part of one, as its file states it.

    Attributes:
        record: metadata of the object.
        group: shapes of a file that are parts of one object have the same group; None for a whole object.
    """

    record: SegmentRecord
    group: Hashable | None = None

    @abstractmethod
    def mask(self, size: Size) -> Mask:
        """The pixels of the object in an image of ``size``, (H, W).

        Raises:
            BprError: it cannot be drawn. The message does not name the file.
        """


@dataclass
class ShapeFile:
    """The content of one file.

    Attributes:
        shapes: the shapes of objects that can be read, by their number in the file.
        errors: why some cannot be read, by their number; the messages do not name the file.
        others: number of shapes that are no masks, such as boxes.
    """

    shapes: dict[int, Shape] = field(default_factory=dict)
    errors: dict[int, BprError] = field(default_factory=dict)
    others: int = 0


@dataclass
class _Object:
    """An object of one or more shapes.

    Attributes:
        record: metadata of its first shape.
        masks: those of its shapes, by their number in the file.
    """

    record: SegmentRecord
    masks: dict[int, Mask] = field(default_factory=dict)

    def mask(self, size: Size) -> Mask:
        """All pixels of the object in an image of ``size``, (H, W)."""
        return union_of(self.masks.values(), size)

    def divided(self, refined: Mask) -> dict[int, Mask]:
        """A refined mask of the object, of which each shape gets the pixels that are nearest to it."""
        if len(self.masks) == 1:
            return dict.fromkeys(self.masks, refined)
        x0, y0, x1, y1 = box = refined.box
        nearest = np.full((y1 - y0, x1 - x0), np.inf, dtype=np.float32)
        owner = np.zeros(nearest.shape, dtype=np.int64)
        for number, mask in self.masks.items():
            hull = union_of((mask, refined), refined.size).box
            outside = ~mask.window(hull)
            away = cv2.distanceTransform(outside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            distance = away[y0 - hull[1] : y1 - hull[1], x0 - hull[0] : x1 - hull[0]]
            owner[distance < nearest] = number
            nearest = np.minimum(nearest, distance)
        own = {number: refined.crop & (owner == number) for number in self.masks}
        return {number: Mask.from_array(plane, box[:2], refined.size) for number, plane in own.items()}


class ShapeFiles(PredictionSet):
    """One text file per image, in nested folders, or a single file; items are named by relative path.

    A shape that cannot be read is left as it is; the others of its image are used.
    """

    task = Task.INSTANCE
    family = "coco"
    holds_polygons = True
    omits_empty_images = True
    leaves_out = (".png",)
    part: str
    """What messages call a shape, such as ``line``."""

    def __init__(
        self, source: Source, index: ImageIndex, settings: ReadSettings, candidates: Sequence[Candidate]
    ) -> None:
        """Find the images of the files."""
        self._root = source.root
        self._is_file = source.is_file
        self._index = index
        self._others: dict[str, int] = {}
        self._emptied: set[tuple[str, int]] = set()
        self._unscored: set[str] = set()
        self._faults: dict[tuple[str, int], Failure] = {}
        self.tolerance = settings.polygon_tolerance
        self.max_pixels = settings.max_pixels
        self.items, self.failures = match_images(candidates, index)

    @abstractmethod
    def parse(self, path: Path) -> ShapeFile:
        """The shapes in a file.

        Raises:
            BprError: the whole file is broken.
        """

    @abstractmethod
    def encode(self, path: Path, masks: Mapping[int, Mask]) -> bytes:
        """The content of a file with other masks for some shapes, by their number; none of the masks is empty."""

    def _drawn(self, item: Item) -> list[_Object]:
        """The objects of an item whose shapes can be read, in the order of their first shapes; notes the faults."""
        path = self.file(item)
        file = self.parse(path)
        size = self.size(item)
        drawn: dict[Hashable, _Object] = {}
        reasons = dict(file.errors)
        for number, shape in file.shapes.items():
            try:
                mask = shape.mask(size)
            except BprError as error:
                reasons[number] = error
            else:
                key = number if shape.group is None else (shape.group,)
                drawn.setdefault(key, _Object(shape.record)).masks[number] = mask
        for number, reason in reasons.items():
            fault = f"{self.part} {number}"
            self._faults[item.name, number] = Failure(f"{item.name}, {fault}", f"{path}, {fault}: {reason}")
        self._others[item.name] = file.others
        return list(drawn.values())

    def read(self, item: Item) -> Prediction:
        """Read the masks of one image, in the order of its file."""
        size = self.size(item)
        return tuple(each.mask(size) for each in self._drawn(item))

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Classes and confidences of the masks that can be read, in the order of the file."""
        return tuple(each.record for each in self._drawn(item))

    def segments(self, item: Item, use: Use) -> list[tuple[Mask, SegmentRecord]]:
        """Read the masks of one image with their metadata; without a confidence, a prediction to measure has 1."""
        size = self.size(item)
        drawn = [(each.mask(size), each.record) for each in self._drawn(item)]
        if use != "measured":
            return drawn
        if any(record.score is None for _, record in drawn):
            self._unscored.add(item.name)
        return [(mask, record.scored()) for mask, record in drawn]

    def segment_names(self, item: Item) -> list[str]:
        """The number of the first shape of every object, and its class."""
        drawn = self._drawn(item)
        return [f"{self.part} {min(each.masks)}, {self.class_name(each.record.category)}" for each in drawn]

    def faults(self, item: Item | None = None) -> list[Failure]:
        """The shapes that cannot be read, in the order of the files."""
        return [fault for (name, _), fault in sorted(self._faults.items()) if item is None or name == item.name]

    def notes(self, use: Use) -> list[str]:
        """What is no mask, what has no confidence, and what a polygon cannot hold."""
        notes, others = [], sum(self._others.values())
        if others:
            left = "written as before" if use == "refined" else "left out"
            notes.append(f"{self._root}: {counted(others, self.part)} without a mask, {left}")
        if self._unscored:
            names = join_names(sorted(self._unscored))
            notes.append(f"{self._root}: masks without a confidence ({names}) are measured with the confidence 1")
        if self._emptied:
            names = join_names(f"{name}, {self.part} {number}" for name, number in sorted(self._emptied))
            notes.append(
                f"{self._root}: masks that became empty, which polygons cannot be, stay as they were ({names})"
            )
        return notes

    def file(self, item: Item) -> Path:
        """The file of an item."""
        return self._root / item.name

    def size(self, item: Item) -> Size:
        """(H, W) of the image of an item.

        Raises:
            BprError: the image is broken or too large.
        """
        return self._index.size(item.image, self.max_pixels)

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings, and how polygons are written."""
        return {**super().settings, "polygon_tolerance": self.tolerance}

    def written(self, item: Item, refined: Prediction) -> bytes:
        """The file of an item with its refined masks; a shape whose mask has not changed is left as it is."""
        drawn = self._drawn(item)
        if not isinstance(refined, tuple) or len(refined) != len(drawn):
            raise TypeError(f"expected {len(drawn)} masks for {item.name}")
        changed: dict[int, Mask] = {}
        size = self.size(item)
        for each, whole in zip(drawn, refined, strict=True):
            parts = {} if whole.equals(each.mask(size)) else each.divided(whole)
            changed |= {number: mask for number, mask in parts.items() if not mask.equals(each.masks[number])}
        self._emptied |= {(item.name, number) for number, mask in changed.items() if not mask.area}
        changed = {number: mask for number, mask in changed.items() if mask.area}
        path = self.file(item)
        return self.encode(path, changed) if changed else read_bytes(path)

    @property
    def one_file(self) -> str | None:
        """Name of the file, if the set is a single file."""
        return self.items[0].name if self._is_file else None

    @property
    def names_file(self) -> Path | None:
        """The file beside or above the others that names the classes; None if there is none."""
        return None

    def writer(self, out: Path) -> Writer:
        """Make a writer of files under the relative paths of the input."""
        return _ShapeWriter(self, out)


class _ShapeWriter(Writer):
    def __init__(self, source: ShapeFiles, out: Path) -> None:
        self._source = source
        self._out = out

    def write(self, item: Item, refined: Prediction) -> Written:
        path = output_file(self._out, item.name) if self._source.one_file else self._out / item.name
        return Written({path: write_bytes(path, self._source.written(item, refined))})

    def close(self, records: Iterable[tuple[int, bytes]]) -> None:  # noqa: ARG002
        """Copy the names of the classes, unless there are some."""
        names = self._source.names_file
        if names and not self._source.one_file and not (self._out / names.name).exists():
            write_bytes(self._out / names.name, read_bytes(names))
