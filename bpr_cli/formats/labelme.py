"""JSON files of labelme, AnyLabeling and X-AnyLabeling: one per image, with the shapes that people drew.

Shapes of the types ``polygon`` and ``mask`` are masks. The pixels of a ``mask`` are a PNG file in base64; its first
point is their top left corner. Shapes with the same label and the same ``group_id`` are one object, as labelme exports
them to COCO and VOC. Everything else in a file is kept: other shapes, flags, the image.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.coco_json import is_finite
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate
from bpr_cli.formats.json_files import Json, Record, describe, read_json, whole_number
from bpr_cli.formats.pillow_files import open_image
from bpr_cli.formats.png import PngStyle, encode_gray
from bpr_cli.formats.reading import ReadSettings, check_pixels
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.formats.shapes import Shape, ShapeFile, ShapeFiles
from bpr_cli.formats.source import Source, is_report
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.outlines import polygon_of
from bpr_cli.masks.polygons import fill_polygons
from bpr_cli.system.paths import read_bytes
from bpr_cli.typing import ByteArray, DoubleArray, Size

_SAMPLE = 4
_TELLING = {"shapes", "imagePath"}
"""Fields that only files of labelme have."""
_INDENT = re.compile(rb"\{\r?\n([ \t]+)")


@dataclass(frozen=True)
class _Polygon(Shape):
    """A shape of the type ``polygon``: float64, (N, 2), in pixels."""

    record: SegmentRecord
    points: DoubleArray
    group: Hashable | None = None

    def mask(self, size: Size) -> Mask:
        """The pixels whose centres lie in the polygon."""
        return fill_polygons([self.points], size)


@dataclass(frozen=True)
class _Pixels(Shape):
    """A shape of the type ``mask``.

    Attributes:
        record: label and score.
        values: uint8, (h, w); all but 0 are foreground.
        corner: x and y of the top left pixel in the image.
    """

    record: SegmentRecord
    values: ByteArray
    corner: tuple[int, int]
    group: Hashable | None = None

    def mask(self, size: Size) -> Mask:
        """The pixels that lie in the image."""
        x, y = self.corner
        inside = self.values[max(0, -y) : max(0, size[0] - y), max(0, -x) : max(0, size[1] - x)]
        return Mask.from_array(inside, (max(0, x), max(0, y)), size)


class LabelmeSet(ShapeFiles):
    """JSON files of labelme. An item is one file."""

    format = "labelme"
    noun = "labelme files"
    part = "shape"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and find their images.

        Raises:
            BprError: there is no labelme file.
        """
        self._sizes: dict[str, Size] = {}
        self._ids: dict[str, int] = {}
        labels: set[str] = set()
        candidates = []
        for file in source.files(".json"):
            path = source.root / file
            if is_report(path):
                continue
            try:
                document = read_json(path)
            except BprError as error:
                candidates.append(Candidate(file.as_posix(), problem=str(error)))
                continue
            if is_labelme(document):
                labels.update(_labels(document))
                candidates.append(self._candidate(file, path, document))
            elif _is_meant(document):
                found = f"the shapes {shorten(document['shapes'])}" if "shapes" in document else "no shapes"
                problem = f"{path} holds {found}, expected a list of shapes, as other files of labelme have"
                candidates.append(Candidate(file.as_posix(), problem=problem))
        if not candidates:
            found = describe(source.document) if len(source.documents) == 1 else "no labelme file"
            raise BprError(
                f"{source.path} holds {found}, expected JSON files of labelme: objects with shapes and imagePath"
            )
        self._ids = {label: number for number, label in enumerate(sorted(labels))}
        super().__init__(source, index, settings, candidates)

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether one of the first JSON files is an object with ``shapes``."""
        files = [source.root / file for file in source.files(".json")]
        if files == source.documents and len(files) == 1:
            return _is_meant(source.document)
        return any(is_labelme(document) for document in _readable(files[:_SAMPLE]))

    def _candidate(self, file: Path, path: Path, document: Record) -> Candidate:
        sides = [whole_number(document.get(f"image{side}")) or 0 for side in ("Height", "Width")]
        if min(sides) > 0:
            self._sizes[file.as_posix()] = (sides[0], sides[1])
        named = document.get("imagePath")
        names = [file.with_suffix("").as_posix()]
        if isinstance(named, str) and named:
            names.insert(0, os.path.normpath(file.parent / named.replace("\\", "/")))
        return Candidate(file.as_posix(), tuple(names), files=(path,))

    def size(self, item: Item) -> Size:
        """(H, W) that the file of an item states, or else that of its image.

        Raises:
            BprError: the image is broken, or too large.
        """
        size = self._sizes.get(item.name)
        if size is None:
            return super().size(item)
        check_pixels(f"{self.file(item)} says that its image has", size, self.max_pixels)
        return size

    def parse(self, path: Path) -> ShapeFile:
        """The polygons and masks of a file, by their number."""
        file = ShapeFile()
        for number, shape in _numbered(_read(path)):
            try:
                found = self._shape(shape)
                if found:
                    file.shapes[number] = found
                else:
                    file.others += 1
            except BprError as error:
                file.errors[number] = error
        return file

    def _shape(self, shape: Json) -> Shape | None:
        """The mask of a shape; None for a shape of another type.

        Raises:
            BprError: the shape is broken.
        """
        if not isinstance(shape, dict):
            raise BprError(f"found {shorten(shape)}, expected an object with label, points and shape_type")
        kind = shape.get("shape_type", "polygon")
        if kind not in ("polygon", "mask"):
            return None
        label, points, score = shape.get("label"), _points_of(shape), shape.get("score")
        if not isinstance(label, str):
            raise BprError(f"found the label {shorten(label)}, expected a text")
        category = self._ids.setdefault(label, len(self._ids))
        group_id = whole_number(shape.get("group_id"))
        group = None if group_id is None else (label, group_id)
        record = SegmentRecord(category, float(score) if is_finite(score) else None)
        if kind == "mask":
            x, y = points[0].astype(int).tolist()
            return _Pixels(record, _pixels_of(shape, self.max_pixels), (x, y), group)
        if len(points) < 3:
            raise BprError(f"found {len(points)} points, expected three or more")
        return _Polygon(record, points, group)

    def encode(self, path: Path, masks: Mapping[int, Mask]) -> bytes:
        """A file with other points or pixels for some of its shapes."""
        document = _read(path)
        for number, shape in _numbered(document):
            if number in masks and shape.get("shape_type") == "mask":
                _put_pixels(shape, masks[number], self.max_pixels)
            elif number in masks:
                shape["points"] = _as_drawn(polygon_of(masks[number], self.tolerance).tolist(), shape)
        return _in_style(document, read_bytes(path))

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The labels of all files in the order of the alphabet, numbered from 0."""
        return tuple(CategoryRecord(number, label) for label, number in self._ids.items())

    def called(self, category: int) -> str:
        """A class by its label."""
        return next(f"the label {label!r}" for label, number in self._ids.items() if number == category)

    def take_image_records(self, other: PredictionSet) -> None:
        """Number the labels as another set does."""
        known = {category.name: category.id for category in other.categories}
        new = (label for label in self._ids if label not in known)
        self._ids = known | {label: number for number, label in enumerate(new, max(known.values(), default=-1) + 1)}


def is_labelme(document: Json) -> bool:
    """Whether a JSON document looks like a file of labelme."""
    return isinstance(document, dict) and isinstance(document.get("shapes"), list)


def _is_meant(document: Json) -> bool:
    """Whether a JSON document is a file of labelme, if perhaps a broken one."""
    return isinstance(document, dict) and bool(_TELLING & document.keys())


def _readable(files: list[Path]) -> Iterator[Json]:
    for file in files:
        with suppress(BprError):
            yield read_json(file)


def _read(path: Path) -> Record:
    """The document of a file that was recognised before.

    Raises:
        BprError: it has changed since.
    """
    document: Record = read_json(path)
    if not is_labelme(document):
        raise BprError(f"{path} holds {describe(document)}, expected an object with shapes")
    return document


def _numbered(document: Record) -> Iterator[tuple[int, Json]]:
    return enumerate(document["shapes"], 1)


def _labels(document: Record) -> Iterator[str]:
    """The labels of the shapes that are masks."""
    for shape in document["shapes"]:
        if isinstance(shape, dict) and shape.get("shape_type", "polygon") in ("polygon", "mask"):
            label = shape.get("label")
            if isinstance(label, str):
                yield label


def _points_of(shape: Record) -> DoubleArray:
    """The points of a shape, (N, 2).

    Raises:
        BprError: they are no pairs of numbers.
    """
    points = shape.get("points")
    pairs = points if isinstance(points, list) else []
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_place, pair)) for pair in pairs):
        raise BprError(f"found the points {shorten(points)}, expected a list of [x, y] in pixels")
    return np.array(pairs, dtype=np.float64)


def _is_place(value: Json) -> bool:
    return is_finite(value) and abs(value) < 2**31


def _pixels_of(shape: Record, max_pixels: int) -> ByteArray:
    """The PNG file in a shape of the type ``mask``: uint8, (h, w).

    Raises:
        BprError: it is missing, broken or too large.
    """
    text = shape.get("mask")
    if not isinstance(text, str):
        raise BprError(f"found the mask {shorten(text)}, expected a PNG file in base64")
    try:
        with open_image(io.BytesIO(base64.b64decode(text)), ("PNG",)) as image:
            check_pixels("its mask claims to have", (image.height, image.width), max_pixels)
            return np.asarray(image.convert("L"))
    except BprError:
        raise
    except Exception as error:  # of base64, or almost any of Pillow
        raise BprError(f"found the mask {shorten(text)}, expected a PNG file in base64; it may be cut off") from error


def _put_pixels(shape: Record, mask: Mask, max_pixels: int) -> None:
    """Replace the pixels of a shape of the type ``mask``; its second point is the last pixel, as in labelme."""
    foreground = max(1, int(_pixels_of(shape, max_pixels).max()))
    content = encode_gray(mask.crop * np.uint8(foreground), PngStyle("L"))
    x0, y0, x1, y1 = mask.box
    shape["points"] = _as_drawn([[x0, y0], [x1 - 1, y1 - 1]], shape)
    shape["mask"] = base64.b64encode(content).decode()


def _as_drawn(points: list[list[float]], shape: Record) -> list[list[float]]:
    """New points of a shape: with fractions if it had some, and with the first point again at the end if it had it."""
    old = shape["points"]
    if len(old) > 2 and old[0] == old[-1]:
        points.append(points[0])
    floats = any(isinstance(value, float) for pair in old for value in pair)
    return [[float(value) if floats or value % 1 else int(value) for value in pair] for pair in points]


def _in_style(document: Record, before: bytes) -> bytes:
    """The text of a document, indented as before; letters beyond ASCII stand for themselves if they did so."""
    indent = _INDENT.search(before[:1000])
    text = json.dumps(document, ensure_ascii=before.isascii(), indent=indent[1].decode() if indent else None)
    ending = "\n" if before.endswith(b"\n") else ""
    return (text + ending).encode("utf-8", "surrogatepass")
