"""COCO instances: results (a JSON list of records) or an annotation file; all records are refined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats import rle
from bpr_cli.formats.base import (
    CategoryRecord,
    Family,
    ImageRecord,
    Item,
    PredictionSet,
    SegmentRecord,
    Writer,
    Written,
)
from bpr_cli.formats.coco_json import (
    ImageTable,
    Measures,
    box_area,
    image_names_of,
    is_coco,
    is_finite,
    is_id,
    is_panoptic,
    read_categories,
    read_record,
    records_of,
)
from bpr_cli.formats.image_lookup import Candidate, ImageIndex, match_images
from bpr_cli.formats.json_files import Json, Record, describe, encode_json, write_document
from bpr_cli.formats.reading import InputReading
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction
from bpr_cli.system.paths import output_file
from bpr_cli.typing import Size

MOST_UNPACKED = 2**32
"""Most bytes that the masks of an image may take together, each cropped to its bounding box."""


@dataclass
class _Group:
    """The records of one image.

    Attributes:
        image_id: image id of the first record.
        records: records by their index in the file, ascending.
        problem: error of the first broken record, or None.
    """

    image_id: int | str
    records: dict[int, Record] = field(default_factory=dict)
    problem: str | None = None


class CocoSet(PredictionSet):
    """COCO instance results. An item is one image with all its records, named by the image id.

    One broken record makes its image fail, so that no image is written with some masks missing.
    """

    format = "coco"
    noun = "COCO results"
    task = Task.INSTANCE
    family: Family = "coco"
    omits_empty_images = True

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """Check the records, group them by image, and find the images.

        Raises:
            BprError: no record in the file has a segmentation.
        """
        self.path = source.document_path
        self.document = source.document
        self.max_pixels = settings.max_pixels
        self._records = records_of(self.document)
        if not is_coco(self.document):
            raise BprError(
                f"{self.path} holds {describe(self.document)}, expected COCO instance results: a list of objects with "
                "image_id, category_id, segmentation and score"
            )
        self._index = index
        self._table = _image_table(self.document, self.path, settings)
        self._hint = "; check --image-info" if settings.image_info else ""
        self._groups: dict[str, _Group] = {}
        orphans = self._group_records()
        candidates = {min(group.records): self._candidate(name, group) for name, group in self._groups.items()}
        in_order = [candidate for _, candidate in sorted({**candidates, **orphans}.items(), key=lambda pair: pair[0])]
        self.items, self.failures = match_images(in_order, index)

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether the source is a JSON file whose records have a segmentation, and not panoptic."""
        return is_coco(source.telling_document) and not is_panoptic(source.telling_document)

    def _group_records(self) -> dict[int, Candidate]:
        """Group the records by image; returns the records without an image, by index."""
        orphans = {}
        for index, record in enumerate(self._records):
            image_id = record.get("image_id") if isinstance(record, dict) else None
            if image_id is None or not is_id(image_id):
                found = "no image_id" if image_id is None else f"the image_id {image_id!r}"
                problem = f"{self.path}: record {index} has {found}, expected a number or a text"
                orphans[index] = Candidate(f"record {index}", problem=problem)
                continue
            group = self._groups.setdefault(str(image_id), _Group(image_id))
            group.records[index] = record
            group.problem = group.problem or self._problem(index, record)
        return orphans

    def _problem(self, index: int, record: Record) -> str | None:
        try:
            if "segmentation" not in record:
                raise BprError("it has no segmentation, expected run lengths or polygons")
            rle.form_of(record["segmentation"], self.max_pixels)
            if isinstance(record.get("score"), float) and not is_finite(record["score"]):
                raise BprError(f"its score is {record['score']}, expected a finite number")
        except BprError as error:
            return self._sentence(index, record, error)
        return None

    def _sentence(self, index: int, record: Record, error: BprError) -> str:
        name = f"record {index} (id {record['id']!r})" if "id" in record else f"record {index}"
        return f"{self.path}: {name} of image {record['image_id']!r} is broken: {error}"

    def _candidate(self, name: str, group: _Group) -> Candidate:
        sizes = {rle.size_of(record["segmentation"]) for record in group.records.values() if group.problem is None}
        stated = sorted(size for size in sizes if size is not None)
        if len(stated) > 1:
            shapes = " and ".join(f"{height} x {width}" for height, width in stated[:2])
            return Candidate(name, problem=f"{self.path}: the masks of image {name} have different sizes ({shapes})")
        known = self.image_record(group.image_id)
        if self._table and known is None:
            group.problem = group.problem or (
                f"{self.path}: record {next(iter(group.records))} has the unknown image id {group.image_id!r}, "
                f"expected one of the ids in the images list{self._hint}"
            )
        names = (known.file_name,) if known else image_names_of(group.image_id)
        return Candidate(name, names, group.problem, "" if self._table else ", or name the images with --image-info")

    def read(self, item: Item) -> Prediction:
        """Read the masks of one image, in the order of its records."""
        return self._masks(item)

    def _masks(self, item: Item) -> tuple[Mask, ...]:
        group = self._groups[item.name]
        size = self._polygon_size(item, group)
        masks = []
        unpacked = 0
        for index, record in group.records.items():
            masks.append(self._mask(index, record, size))
            unpacked += masks[-1].crop.size
            # A few characters can encode a full-image mask; many such masks would fill the memory.
            if unpacked > MOST_UNPACKED:
                raise BprError(
                    f"{self.path}: the masks of image {item.name} unpack to more than {MOST_UNPACKED >> 20} MiB, "
                    "expected less; remove the least useful ones"
                )
        return tuple(masks)

    def _polygon_size(self, item: Item, group: _Group) -> Size:
        """(H, W) for the polygons of an image: from its other masks, the image list or the image file."""
        for record in group.records.values():
            stated = rle.size_of(record["segmentation"])
            if stated:
                return stated
        known = self.image_record(group.image_id)
        return known.size if known and known.size else self._index.size(item.image, self.max_pixels)

    def _mask(self, index: int, record: Record, size: Size) -> Mask:
        try:
            return rle.decode(record["segmentation"], size, self.max_pixels)
        except BprError as error:
            raise BprError(self._sentence(index, record, error)) from error

    def records_of(self, item: Item) -> dict[int, Record]:
        """The records of one image, by their index in the file."""
        return self._groups[item.name].records

    def file(self, item: Item) -> Path:  # noqa: ARG002
        """The JSON file, which holds all items."""
        return self.path

    def files(self, item: Item) -> list[Path]:  # noqa: ARG002
        """No files, because the JSON file holds all items."""
        return []

    def shared_files(self) -> list[Path]:
        """The JSON file."""
        return [self.path]

    def image_id(self, item: Item) -> int | str:
        """The id of an item's image."""
        return self._groups[item.name].image_id

    def size(self, item: Item) -> Size | None:
        """(H, W) according to the masks of an item, or else the image list."""
        stated = (rle.size_of(record["segmentation"]) for record in self.records_of(item).values())
        known = self.image_record(self.image_id(item))
        return next((size for size in stated if size), known.size if known else None)

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Metadata of the masks of one image, in the order of the file.

        The area of an annotation is its ``area``. The area of a result is that of its box, if it has one, as in
        pycocotools.
        """
        boxes = isinstance(self.document, list) and box_area(self._records[0]) is not None
        found = []
        for index, record in self.records_of(item).items():
            segment = read_record(record, f"{self.path}: record {index} of image {record['image_id']!r}")
            area = (box_area(record) if boxes else None) if isinstance(self.document, list) else segment.area
            found.append(replace(segment, area=area))
        return tuple(found)

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The category list of the file; result files have none."""
        return read_categories(self.document, self.path)

    @property
    def image_records(self) -> tuple[ImageRecord, ...]:
        """The image list of the file."""
        return self._table.records if self._table else ()

    def image_record(self, image_id: int | str) -> ImageRecord | None:
        """The entry of an image in the image list; None if it is not listed."""
        return self._table.get(image_id) if self._table else None

    @property
    def reading(self) -> InputReading:
        """The common facts, and the number of categories that records have."""
        used = {str(record.get("category_id")) for group in self._groups.values() for record in group.records.values()}
        return replace(super().reading, classes=len(self.categories) or len(used))

    def take_image_records(self, other: PredictionSet) -> None:
        """Use another set's image list, for the sizes of polygons, if this set has none."""
        if isinstance(other, CocoSet):
            self._table = self._table or other._table

    @property
    def one_file(self) -> str:
        """Name of the JSON file."""
        return self.path.name

    def writer(self, out: Path) -> Writer:
        """Make a writer of a JSON file under the name of the input, or ``out`` if that ends in ``.json``."""
        return _CocoWriter(self, output_file(out, self.path.name))


class CocoUnion(CocoSet):
    """COCO annotations as binary masks: the union of all annotations of an image, including crowds."""

    format = "masks"
    noun = "binary masks"
    family = "binary"

    def read(self, item: Item) -> Prediction:
        """Read the union of the masks of one image."""
        masks = self._masks(item)
        union = np.zeros(masks[0].size, dtype=bool)
        for mask in masks:
            x0, y0, x1, y1 = mask.box
            union[y0:y1, x0:x1] |= mask.crop
        return (Mask.from_array(union),)

    @property
    def reading(self) -> InputReading:
        """The common facts; the union of all annotations has no classes."""
        return replace(super().reading, classes=None, foreground="everything annotated")


def _image_table(document: Json, path: Path, settings: ReadSettings) -> ImageTable | None:
    if settings.image_info is not None:
        return ImageTable.read(settings.image_info)
    images = document.get("images") if isinstance(document, dict) else None
    return ImageTable(images, path) if isinstance(images, list) else None


class _CocoWriter(Writer):
    def __init__(self, source: CocoSet, path: Path) -> None:
        self._source = source
        self._path = path

    def write(self, item: Item, refined: Prediction) -> Written:
        records = self._source.records_of(item)
        if not isinstance(refined, tuple) or len(refined) != len(records):
            raise TypeError(f"expected {len(records)} masks for image {item.name}")
        limit = self._source.max_pixels
        updated = (_update(record, mask, limit) for record, mask in zip(records.values(), refined, strict=True))
        return Written(records=dict(zip(records, map(encode_json, updated), strict=True)))

    def close(self, records: Iterable[bytes]) -> None:
        write_document(self._path, self._source.document, records)


def _update(record: Record, mask: Mask, max_pixels: int) -> Record:
    """Put a refined mask into a record; updates area and bbox if the record has them, and keeps all other fields."""
    updated = {**record, "segmentation": rle.encode(mask, rle.form_of(record["segmentation"], max_pixels))}
    Measures.of_mask(mask).update(updated)
    return updated
