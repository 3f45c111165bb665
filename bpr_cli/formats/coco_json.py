"""Parts of COCO-like JSON files: image and category lists, metadata of records, areas and boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from bpr_cli.errors import BprError, counted, shorten
from bpr_cli.formats.json_files import Json, Record, describe, read_records, whole_number
from bpr_cli.formats.large_json import FileRecords
from bpr_cli.formats.records import CategoryRecord, ImageRecord, Searched, SegmentRecord
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.typing import LabelArray, Size

_COCO_DIGITS = 12
_LARGEST = 1e100
"""Largest number accepted; the product of two such numbers is still finite."""


def is_coco(document: Json) -> bool:
    """Whether a JSON document looks like COCO instance results or annotations; no records at all are some as well."""
    return has_no_records(document) or _has_field(records_of(document), "segmentation")


def has_no_records(document: Json) -> bool:
    """Whether a JSON document is an empty list, or its ``annotations`` are one."""
    return (document.get("annotations") if isinstance(document, dict) else document) == []


def is_panoptic(document: Json) -> bool:
    """Whether a JSON document looks like COCO panoptic results or annotations."""
    return isinstance(document, dict) and _has_field(records_of(document), "segments_info")


def records_of(document: Json) -> list[Json]:
    """The records of a document: the document itself if it is a list, else its ``annotations``; empty if missing."""
    records = document.get("annotations") if isinstance(document, dict) else document
    return records if isinstance(records, list) else []


def _has_field(records: list[Json], name: str) -> bool:
    if isinstance(records, FileRecords):
        return name in records.fields
    return any(isinstance(record, dict) and name in record for record in records)


class ImageTable:
    """The ``images`` list by id. 42 and "42" are equal; "000000000042" also matches if no image has exactly that id."""

    def __init__(self, records: Iterable[Json], path: Path) -> None:
        """Index the usable records; others are ignored.

        Args:
            records: the ``images`` list.
            path: its file, for messages.

        Raises:
            BprError: two different images have the same id.
        """
        self._exact: dict[str, ImageRecord] = {}
        self._plain: dict[str, ImageRecord] = {}
        for record in records:
            image_id = id_of(record.get("id")) if isinstance(record, dict) else None
            name = _name_of(record) if image_id is not None else None
            if image_id is not None and name is not None:
                image = ImageRecord(image_id, name, _size_of(record), _searched_of(record))
                known = self._exact.get(str(image_id), image)
                if known != image:
                    raise BprError(
                        f"{path} has two images with the id {shorten(image_id)}, {known.file_name} and {name}, "
                        "expected unique ids"
                    )
                self._exact[str(image_id)] = image
                self._plain[plain_id(image_id)] = image

    @classmethod
    def read(cls, path: Path) -> ImageTable:
        """Read the image list of a COCO-like JSON file.

        Raises:
            BprError: the file is missing, is not JSON, or lists no image.
        """
        if not path.is_file():
            raise BprError(f"{path} is not a file, expected a JSON file with an 'images' list; check --image-info")
        return cls.of(read_records(path), path)

    @classmethod
    def of(cls, document: Json, path: Path) -> ImageTable:
        """The image list of a document.

        Args:
            document: a COCO-like JSON document.
            path: its file, for messages.

        Raises:
            BprError: it lists no image.
        """
        images = document.get("images") if isinstance(document, dict) else None
        table = cls(images if isinstance(images, list) else [], path)
        if not table and isinstance(images, list) and images:
            raise BprError(
                f"{path} lists {counted(len(images), 'image')}, none with an id (a whole number or a text) and a "
                "file_name; correct them, or check --image-info"
            )
        if not table:
            raise BprError(
                f"{path} holds {describe(document)}, expected an object with an 'images' list of id and file_name; "
                "check --image-info"
            )
        return table

    def __bool__(self) -> bool:
        return bool(self._exact)

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """The images in the order of the file."""
        return tuple(self._exact.values())

    def get(self, image_id: int | str) -> ImageRecord | None:
        """The record of an id, or None."""
        return self._exact.get(str(image_id)) or self._plain.get(plain_id(image_id))


def id_of(value: Json) -> int | str | None:
    """The image id that a JSON value is: a whole number, also written as 1.0, or a text; None if it cannot be one."""
    return value or None if isinstance(value, str) else whole_number(value)


def image_names_of(image_id: int | str) -> tuple[str, ...]:
    """Possible file names of an image without an image list: its id unchanged, plain, or with COCO's leading zeros."""
    plain = plain_id(image_id)
    names = [str(image_id), plain]
    if plain.isdecimal():
        names.append(plain.zfill(_COCO_DIGITS))
    return tuple(dict.fromkeys(names))


def plain_id(image_id: int | str) -> str:
    """The id as text, without the leading zeros of COCO's file names."""
    text = str(image_id)
    return text.lstrip("0") or "0" if text.isdecimal() else text


def _name_of(record: Record) -> str | None:
    """The file name of a record, or else the last part of its ``coco_url``, because LVIS has only URLs."""
    name = record.get("file_name")
    url = record.get("coco_url")
    if isinstance(name, str):
        return name
    return url.rsplit("/", 1)[-1] if isinstance(url, str) else None


def _searched_of(record: Record) -> Searched | None:
    absent, incomplete = record.get("neg_category_ids"), record.get("not_exhaustive_category_ids")
    if not isinstance(absent, list) and not isinstance(incomplete, list):
        return None
    return Searched(*(_whole_numbers(ids) for ids in (absent, incomplete)))


def _whole_numbers(ids: Json) -> frozenset[int]:
    """The valid category ids in a list; other values are ignored."""
    numbers = map(whole_number, ids) if isinstance(ids, list) else ()
    return frozenset(number for number in numbers if number is not None)


def _size_of(record: Record) -> Size | None:
    height, width = (whole_number(record.get(side)) or 0 for side in ("height", "width"))
    return (height, width) if height > 0 and width > 0 else None


def read_categories(document: Json, path: Path) -> tuple[CategoryRecord, ...]:
    """Read the ``categories`` of a JSON document; empty if it has none.

    Raises:
        BprError: a category has no id, or two different categories have the same id.
    """
    listed = document.get("categories") if isinstance(document, dict) else None
    found: dict[int, CategoryRecord] = {}
    for number, record in enumerate(listed if isinstance(listed, list) else []):
        given = record.get("id") if isinstance(record, dict) else None
        category_id = category_of(given)
        if category_id is None:
            raise BprError(f"{path}: category {number} has the id {shorten(given)}, expected a whole number")
        name, thing, frequency = record.get("name"), record.get("isthing"), record.get("frequency")
        category = CategoryRecord(
            category_id,
            str(category_id if name is None else name),
            None if thing is None else bool(thing),
            frequency if isinstance(frequency, str) else "",
        )
        if found.setdefault(category_id, category) != category:
            raise BprError(f"{path}: category {number} has the id {category_id}, which another category already has")
    return tuple(found.values())


def category_of(value: Json) -> int | None:
    """The category id that a JSON value is, a whole number of at most 64 bits; None if it cannot be one."""
    number = whole_number(value)
    return number if number is not None and -(2**63) <= number < 2**63 else None


def is_number(value: Json) -> TypeGuard[float]:
    """Whether a JSON value is a number, possibly NaN or infinite, but not absurdly large."""
    return type(value) is float or (type(value) in (int, bool) and -_LARGEST <= value <= _LARGEST)


def is_finite(value: Json) -> TypeGuard[float]:
    """Whether a JSON value is a usable number: not NaN, infinite or absurdly large."""
    return is_number(value) and -_LARGEST <= value <= _LARGEST


def read_record(record: Record) -> SegmentRecord:
    """Read the metadata of an instance or a panoptic segment. A score that is NaN ranks last, as in pycocotools.

    Raises:
        BprError: the category is not a whole number, or the score, the area or ``iscrowd`` is not a number. The message
            does not name the record.
    """
    category, score, area = category_of(record.get("category_id")), record.get("score"), record.get("area")
    crowd = record.get("iscrowd")
    if category is None:
        raise BprError(f"has the category_id {shorten(record.get('category_id'))}, expected a whole number")
    if score is not None and not is_number(score):
        raise BprError(f"has the score {shorten(score)}, expected a number")
    if area is not None and not is_number(area):
        raise BprError(f"has the area {shorten(area)}, expected a number of pixels")
    if crowd is not None and not is_finite(crowd):
        raise BprError(f"has the iscrowd {shorten(crowd)}, expected 0 or 1")
    if score is not None:
        score = -math.inf if math.isnan(score) else float(score)
    return SegmentRecord(category, score, bool(crowd), area, whole_number(record.get("id")))


def box_of(record: Json) -> tuple[float, float, float, float] | None:
    """The bounding box of a record, (x, y, width, height) in pixels; None if it has none."""
    box = record.get("bbox") if isinstance(record, dict) else None
    if not isinstance(box, list) or len(box) < 4 or not all(is_number(side) for side in box[:4]):
        return None
    return box[0], box[1], box[2], box[3]


def box_area(record: Json) -> float | None:
    """Area of the bounding box of a record in pixels; None if it has no box."""
    box = box_of(record)
    return None if box is None else float(box[2] * box[3])


@dataclass(frozen=True)
class Measures:
    """Area in pixels and bbox as (x, y, width, height); all zeros for a mask without pixels."""

    area: int
    bbox: tuple[int, int, int, int]

    @classmethod
    def of_mask(cls, mask: Mask) -> Measures:
        """Measure a mask."""
        x0, y0, x1, y1 = mask.box
        return cls(mask.area, (x0, y0, x1 - x0, y1 - y0))

    def update(self, record: Record) -> None:
        """Update the fields that the record already has; floats stay floats."""
        if "area" in record:
            record["area"] = float(self.area) if isinstance(record["area"], float) else self.area
        if "bbox" in record:
            old = record["bbox"]
            floats = isinstance(old, list) and any(isinstance(value, float) for value in old)
            record["bbox"] = [float(value) if floats else value for value in self.bbox]


def measure_segments(ids: LabelArray, segment_ids: list[int]) -> list[Measures]:
    """Measure segments in an id map, (H, W); the result has the order of ``segment_ids``."""
    runs, count = Runs.of(ids), len(segment_ids)
    number_of = {segment_id: number for number, segment_id in enumerate(segment_ids)}
    values, position = np.unique(runs.values[0], return_inverse=True)
    # Unlisted ids (void) get an extra number, which is dropped at the end.
    numbers = np.array([number_of.get(int(value), count) for value in values], dtype=np.int64)[position]
    areas = weigh(numbers, runs.lengths, count + 1).tolist()
    boxes = runs.boxes(numbers, count + 1).tolist()
    return [
        Measures(area, (x0, y0, x1 - x0, y1 - y0))
        for area, (x0, y0, x1, y1) in zip(areas[:count], boxes[:count], strict=True)
    ]
