"""The records of a COCO file: which of them have a mask, which are broken, and what they say of their masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError, join_names, shorten
from bpr_cli.formats import rle
from bpr_cli.formats.base import Failure, Use
from bpr_cli.formats.coco_json import ImageTable, box_area, box_of, id_of, read_record, records_of
from bpr_cli.formats.json_files import Json, Record
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.typing import Size

_CORRECT_IT = "; correct the record or remove it"


@dataclass(frozen=True)
class CheckedRecord:
    """The image of a record, and the size (H, W) of its mask; None if it states none, or has no usable mask."""

    image_id: int | str
    size: Size | None = None


class CocoRecords:
    """The records of a COCO file, by their index in it.

    A record that cannot be read becomes a fault; the others do not suffer.

    Attributes:
        path: the file.
        records: the records as they are in the file.
        without_mask: indexes of the records whose segmentation is missing, null or empty.
        faults: the records that cannot be read, as far as they were tried.
        hold_polygons: whether one that was checked has polygons.
        have_scores: whether one that was checked has a score.
    """

    def __init__(self, path: Path, document: Json, max_pixels: int, images: ImageTable | None = None) -> None:
        self.path = path
        self.records: list[Json] = records_of(document)
        self.without_mask: set[int] = set()
        self.faults: dict[int, Failure] = {}
        self.hold_polygons = self.have_scores = False
        self._categories: set[int | str | None] = set()
        self._max_pixels = max_pixels
        self._images = images
        self._are_results = isinstance(document, list)
        # pycocotools decides by the first result whether areas are those of boxes.
        self._have_boxes = self._are_results and bool(self.records) and box_of(self.records[0]) is not None

    def check(self, index: int) -> CheckedRecord | None:
        """Look for the image and the mask of a record.

        Returns:
            Its image; None, and a fault, if it has none.
        """
        record = self.records[index]
        if isinstance(record, dict):
            self.have_scores |= "score" in record
            self._categories.add(id_of(record.get("category_id")))
        given = record.get("image_id") if isinstance(record, dict) else None
        image_id = id_of(given)
        problem = self._problem_of_image(given)
        if image_id is None or problem:
            self.faults[index] = Failure(f"record {index}", f"{self.path}: record {index} has {problem}")
            return None
        segmentation = record.get("segmentation")
        if segmentation is None or (isinstance(segmentation, list) and all(part == [] for part in segmentation)):
            self.without_mask.add(index)
            return CheckedRecord(image_id)
        try:
            self.hold_polygons |= rle.form_of(segmentation, self._max_pixels) is rle.Form.POLYGONS
        except BprError as error:
            self.fail(index, error)
            return CheckedRecord(image_id)
        return CheckedRecord(image_id, rle.size_of(segmentation))

    def _problem_of_image(self, given: Json) -> str:
        """What is wrong with an ``image_id``; empty if it can be used."""
        image_id = id_of(given)
        if image_id is None:
            found = "no image_id" if given is None else f"the image_id {shorten(given)}"
            return f"{found}, expected a whole number or a text{_CORRECT_IT}"
        if self._images and self._images.get(image_id) is None:
            return f"the unknown image id {shorten(image_id)}, expected one of the ids in the images list; add it there"
        return ""

    @property
    def are_unscored(self) -> bool:
        """Whether these are annotations, of which none has a score: to be measured, each gets the score 1."""
        return not self._are_results and not self.have_scores

    @property
    def category_count(self) -> int:
        """Number of different categories of the records that were checked."""
        return len(self._categories)

    @property
    def categories(self) -> set[int]:
        """The category ids of the records that were checked, as far as they are whole numbers."""
        return {category for category in self._categories if isinstance(category, int)}

    def has_mask(self, index: int) -> bool:
        """Whether a record has a mask that can be read, as far as it was tried."""
        return index not in self.faults and index not in self.without_mask

    def fail(self, index: int, error: BprError) -> None:
        """Note that a record is broken; the error says why, but not which record it is."""
        self._refuse(index, f"is broken: {error}{_CORRECT_IT}")

    def _refuse(self, index: int, problem: str) -> None:
        self.faults[index] = Failure(self._name(index), f"{self._where(index)} {problem}")

    def segment(self, index: int, record: Record, use: Use) -> SegmentRecord | None:
        """Metadata of a record, which is the one of this index; None, and a fault, if it cannot be read.

        The area of an annotation is its ``area``. The area of a result is that of its box, if it has one, as in
        pycocotools.
        """
        try:
            segment = read_record(record)
        except BprError as error:
            self._refuse(index, f"{error}{_CORRECT_IT}")
            return None
        if use == "measured" and self.are_unscored:
            segment = segment.scored()
        if use == "measured" and segment.score is None:
            self._refuse(
                index, "has no score, expected a number; ground truth has none, so check that the two are not swapped"
            )
            return None
        if not self._are_results:
            return segment
        area = box_area(record) if self._have_boxes else None
        return SegmentRecord(segment.category, segment.score, segment.crowd, area, segment.id)

    def rectangle(self, record: Record) -> list[float] | None:
        """The box that pycocotools measures in place of a result's missing mask, as a polygon, or None.

        A box with numbers that are not finite has no pixels.
        """
        box = box_of(record) if self._have_boxes and "segmentation" not in record else None
        if box is None:
            return None
        x, y, width, height = box if all(map(math.isfinite, box)) else (0.0, 0.0, 0.0, 0.0)
        return [x, y, x, y + height, x + width, y + height, x + width, y]

    def notes(self, use: Use) -> list[str]:
        """Records without a mask, and what pycocotools does with odd scores and ids."""
        notes = []
        if not self.records:
            nothing = {
                "refined": "so there is nothing to refine",
                "measured": "so all objects are missed",
                "converted": "so none is written",
            }
            notes.append(f"{self.path} holds no masks, {nothing.get(use, 'so AP has no value')}")
        boxes = {index for index in self.without_mask if use == "measured" and self.rectangle(self.records[index])}
        scored = range(len(self.records)) if use in ("measured", "converted") else ()
        unranked = {i for i in scored if i not in self.faults and _is_nan(self.records[i].get("score"))}
        left = {"refined": "written as before", "converted": "left out"}.get(use, "left out of the figures")
        rank = "ranked last, as in pycocotools" if use == "measured" else "written as the lowest number"
        for found, kind, what in (
            (boxes, "a box instead of a mask", "measured as a rectangle, as in pycocotools"),
            (self.without_mask - boxes, "no mask", left),
            (unranked, "the score NaN", rank),
        ):
            if found:
                names = join_names(map(self._name, sorted(found)), limit=2)
                notes.append(f"{self.path}: {len(found)} of {len(self.records)} records with {kind} ({names}), {what}")
        if use == "measured" and self.records and self.are_unscored:
            notes.append(f"{self.path}: its masks have no score and are measured with the score 1")
        return [*notes, *(self._id_notes() if use == "truth" else ())]

    def _id_notes(self) -> list[str]:
        """Where the ids of annotations make pycocotools give another figure than the right one."""
        given = [record["id"] for record in self.records if isinstance(record, dict) and "id" in record]
        ids = [one for one in given if not isinstance(one, list | dict)]
        notes = []
        if 0 in ids or "0" in ids:
            notes.append(
                f"{self.path} has an annotation with the id 0; pycocotools takes a match with it as none, so its "
                "figures differ (they are lower); here the match counts"
            )
        if len(set(ids)) < len(ids):
            notes.append(
                f"{self.path} has {len(ids) - len(set(ids))} annotations whose id another one has too; pycocotools "
                "measures one of them in place of all, so its figures differ; here every annotation counts"
            )
        return notes

    def _name(self, index: int) -> str:
        record = self.records[index]
        return f"record {index} (id {shorten(record['id'])})" if "id" in record else f"record {index}"

    def _where(self, index: int) -> str:
        return f"{self.path}: {self._name(index)} of image {shorten(self.records[index]['image_id'])}"


def _is_nan(value: Json) -> bool:
    return isinstance(value, float) and math.isnan(value)
