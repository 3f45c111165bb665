"""What COCO-like records state besides pixels: categories, scores, crowds and areas."""

from __future__ import annotations

from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import CategoryRecord, SegmentRecord
from bpr_cli.formats.documents import Json, Record


def read_categories(document: Json, path: Path) -> tuple[CategoryRecord, ...]:
    """The ``categories`` of a JSON document; empty where it has none.

    Raises:
        BprError: one of them has no id or the id of another one.
    """
    listed = document.get("categories") if isinstance(document, dict) else None
    found: dict[int, CategoryRecord] = {}
    for number, record in enumerate(listed if isinstance(listed, list) else []):
        category_id = record.get("id") if isinstance(record, dict) else None
        if type(category_id) is not int:
            raise BprError(f"{path}: category {number} has the id {category_id!r}, expected a whole number")
        if category_id in found:
            raise BprError(f"{path}: category {number} has the id {category_id}, which another category has already")
        name, thing, frequency = record.get("name"), record.get("isthing", 1), record.get("frequency")
        found[category_id] = CategoryRecord(
            category_id,
            str(category_id if name is None else name),
            bool(thing),
            frequency if isinstance(frequency, str) else "",
        )
    return tuple(found.values())


def read_record(record: Record, where: str) -> SegmentRecord:
    """What a record states.

    Args:
        record: of an instance or a panoptic segment.
        where: the file and the record, for messages.

    Raises:
        BprError: a field is not what it should be.
    """
    category, score, area = record.get("category_id"), record.get("score"), record.get("area")
    if type(category) is not int:
        raise BprError(f"{where} has the category_id {category!r}, expected a whole number")
    if score is not None and type(score) not in (int, float):
        raise BprError(f"{where} has the score {score!r}, expected a number")
    if area is not None and type(area) not in (int, float):
        raise BprError(f"{where} has the area {area!r}, expected a number of pixels")
    return SegmentRecord(category, score, bool(record.get("iscrowd", 0)), area, record.get("id"))


def box_area(record: Record) -> float | None:
    """Area of the bounding box of a record in pixels, None where it has no box."""
    box = record.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box)):
        return None
    return float(box[2] * box[3])
