"""What COCO-like records state besides pixels: categories, scores, crowds and areas."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.base import CategoryRecord, SegmentRecord
from bpr_cli.formats.json_files import Json, Record

_LARGEST = 1e100
"""The product of two such numbers is still finite."""


def read_categories(document: Json, path: Path) -> tuple[CategoryRecord, ...]:
    """The ``categories`` of a JSON document; empty where it has none.

    Raises:
        BprError: one of them has no id or the id of another one.
    """
    listed = document.get("categories") if isinstance(document, dict) else None
    found: dict[int, CategoryRecord] = {}
    for number, record in enumerate(listed if isinstance(listed, list) else []):
        category_id = record.get("id") if isinstance(record, dict) else None
        if not is_category(category_id):
            raise BprError(f"{path}: category {number} has the id {shorten(category_id)}, expected a whole number")
        if category_id in found:
            raise BprError(f"{path}: category {number} has the id {category_id}, which another category has already")
        name, thing, frequency = record.get("name"), record.get("isthing"), record.get("frequency")
        found[category_id] = CategoryRecord(
            category_id,
            str(category_id if name is None else name),
            None if thing is None else bool(thing),
            frequency if isinstance(frequency, str) else "",
        )
    return tuple(found.values())


def is_category(value: Json) -> TypeGuard[int]:
    """Whether a JSON value can be the id of a category: a whole number of 64 bits."""
    return type(value) is int and -(2**63) <= value < 2**63


def is_finite(value: Json) -> TypeGuard[float]:
    """Whether a JSON value is a number that can be reckoned with: neither NaN nor infinite, and not absurdly large."""
    return type(value) in (int, float) and -_LARGEST <= value <= _LARGEST


def read_record(record: Record, where: str) -> SegmentRecord:
    """What a record states.

    Args:
        record: of an instance or a panoptic segment.
        where: the file and the record, for messages.

    Raises:
        BprError: a field is not what it should be.
    """
    category, score, area = record.get("category_id"), record.get("score"), record.get("area")
    if not is_category(category):
        raise BprError(f"{where} has the category_id {shorten(category)}, expected a whole number")
    if score is not None and not is_finite(score):
        raise BprError(f"{where} has the score {shorten(score)}, expected a number")
    if area is not None and not is_finite(area):
        raise BprError(f"{where} has the area {shorten(area)}, expected a number of pixels")
    return SegmentRecord(category, score, bool(record.get("iscrowd", 0)), area, record.get("id"))


def box_area(record: Json) -> float | None:
    """Area of the bounding box of a record in pixels, None where it has no box."""
    box = record.get("bbox") if isinstance(record, dict) else None
    if not (isinstance(box, list) and len(box) == 4 and all(is_finite(side) for side in box)):
        return None
    return float(box[2] * box[3])
