"""COCO instances: results (a JSON list of records) or an annotation file; all records are refined."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.formats import rle
from bpr_cli.formats.base import Failure, Family, Item, PredictionSet, Use, Writer, Written
from bpr_cli.formats.coco_json import (
    ImageTable,
    Measures,
    image_names_of,
    is_coco,
    is_panoptic,
    read_categories,
)
from bpr_cli.formats.coco_records import CocoRecords
from bpr_cli.formats.coded_masks import read_coded
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.json_files import Json, Record, describe, encode_json, whole_number, write_document
from bpr_cli.formats.reading import InputReading, ReadSettings, Task
from bpr_cli.formats.records import CategoryRecord, ImageRecord, SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction, union_of
from bpr_cli.system.paths import output_file
from bpr_cli.typing import Size

MOST_UNPACKED = 2**32
"""Most bytes that the masks of an image may take together, each cropped to its bounding box."""


@dataclass(slots=True)
class _Group:
    """The records of one image.

    Attributes:
        image_id: image id of the first record.
        indexes: indexes of the records in the file, ascending.
        sizes: the sizes (H, W) that their run lengths state.
    """

    image_id: int | str
    indexes: array[int] = field(default_factory=lambda: array("I"))
    sizes: tuple[Size, ...] = ()

    def add(self, index: int, size: Size | None) -> None:
        """Add a record; ``size`` is None if it states none."""
        self.indexes.append(index)
        if size is not None and size not in self.sizes:
            self.sizes = (*self.sizes, size)


class CocoSet(PredictionSet):
    """COCO instance results. An item is one image with all its records, named by the image id.

    A record that cannot be read, or that has no mask, is left as it is; the other masks of its image are used.
    """

    format = "coco"
    noun = "COCO results"
    task = Task.INSTANCE
    family: Family = "coco"
    omits_empty_images = True
    leaves_out = (".png",)

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """Check the records, group them by image, and find the images.

        Raises:
            BprError: no record in the file has a segmentation.
        """
        self.path = source.document_path
        self.document = source.document
        self.max_pixels = settings.max_pixels
        if not is_coco(self.document):
            raise BprError(
                f"{self.path} holds {describe(self.document)}, expected COCO instances: objects with image_id, "
                "category_id and segmentation, and in results a score"
            )
        self._index = index
        self._table = _image_table(self.document, self.path, settings)
        listed = None if settings.image_info else self._table
        self.contents = CocoRecords(self.path, self.document, self.max_pixels, listed)
        self._groups: dict[str, _Group] = {}
        for number in range(len(self.contents.records)):
            checked = self.contents.check(number)
            if checked:
                self._groups.setdefault(str(checked.image_id), _Group(checked.image_id)).add(number, checked.size)
        self.holds_polygons, self.tolerance = self.contents.hold_polygons, settings.polygon_tolerance
        candidates = [self._candidate(name, group) for name, group in self._groups.items()]
        self.items, self.failures = match_images(candidates, index)

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether the source is a JSON file whose records have a segmentation, or without records; not panoptic."""
        return is_coco(source.telling_document) and not is_panoptic(source.telling_document)

    def _candidate(self, name: str, group: _Group) -> Candidate:
        known, problem = self.image_record(group.image_id), None
        if self._table and known is None:
            problem = (
                f"{self.path}: record {group.indexes[0]} has the unknown image id {group.image_id!r}, "
                f"expected one of the ids in the images list; check --image-info"
            )
        names = (known.file_name,) if known else image_names_of(group.image_id)
        return Candidate(name, names, problem, "" if self._table else ", or name the images with --image-info")

    def read(self, item: Item) -> Prediction:
        """Read the masks of one image, in the order of its records."""
        return tuple(self._masks(item, self.readable(item)).values())

    def readable(self, item: Item) -> dict[int, Record]:
        """The records that ``read`` returned masks for, by their index in the file."""
        contents = self.contents
        return {index: contents.records[index] for index in self._groups[item.name].indexes if contents.has_mask(index)}

    def _masks(self, item: Item, records: Mapping[int, Record]) -> dict[int, Mask]:
        """The masks of an image that can be read, by the index of their records."""
        size = self._mask_size(item)
        masks: dict[int, Mask] = {}
        unpacked = 0
        segmentations = [record["segmentation"] for record in records.values()]
        coded = read_coded(segmentations, size, self.max_pixels)
        for index, segmentation, mask in zip(records, segmentations, coded, strict=True):
            try:
                masks[index] = mask or _decode(segmentation, size, self.max_pixels)
            except BprError as error:
                self.contents.fail(index, error)
                continue
            x0, y0, x1, y1 = masks[index].box
            unpacked += (x1 - x0) * (y1 - y0)
            # A few characters can encode a full-image mask; many such masks would fill the memory.
            if unpacked > MOST_UNPACKED:
                raise BprError(
                    f"{self.path}: the masks of image {item.name} unpack to more than {MOST_UNPACKED >> 20} MiB, "
                    "expected less; remove the least useful ones"
                )
        return masks

    def _mask_size(self, item: Item) -> Size:
        """(H, W) of the masks of an image: from its run lengths if they agree, the image list or the image file."""
        size = self.size(item)
        return self._index.size(item.image, self.max_pixels) if size is None else size

    def segments(self, item: Item, use: Use) -> list[tuple[Mask, SegmentRecord]]:
        """Read the masks of one image with their metadata; a result without a mask may stand for its box."""
        records = {index: self.contents.records[index] for index in self._groups[item.name].indexes}
        masks = self._masks(item, {index: each for index, each in records.items() if self.contents.has_mask(index)})
        if use == "measured":
            masks |= self._rectangles(item, records)
        segments = ((masks[index], self.contents.segment(index, records[index], use)) for index in sorted(masks))
        return [(mask, segment) for mask, segment in segments if segment is not None]

    def _rectangles(self, item: Item, records: Mapping[int, Record]) -> dict[int, Mask]:
        """The boxes of results without a segmentation as masks, as pycocotools takes them, by index."""
        lacking = {index: records[index] for index in records if index in self.contents.without_mask}
        polygons = {index: self.contents.rectangle(record) for index, record in lacking.items()}
        return {
            index: _decode([one], self._mask_size(item), self.max_pixels)
            for index, one in polygons.items()
            if one is not None
        }

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Metadata of the records of one image that can be read, in the order of the file."""
        contents = self.contents
        indexes = self._groups[item.name].indexes
        found = (contents.segment(index, contents.records[index], "truth") for index in indexes)
        return tuple(segment for segment in found if segment is not None)

    def segment_names(self, item: Item) -> list[str]:
        """The index and the category of every record that can be read."""
        records, names = self.readable(item), []
        for index in self._masks(item, records):
            category = whole_number(records[index].get("category_id"))
            names.append(f"record {index}" + ("" if category is None else f", {self.class_name(category)}"))
        return names

    def faults(self, item: Item | None = None) -> list[Failure]:
        """The records that cannot be read, in the order of the file."""
        faults = self.contents.faults
        indexes = sorted(faults) if item is None else self._groups[item.name].indexes
        return [faults[index] for index in indexes if index in faults]

    @property
    def is_readable(self) -> bool:
        """Whether there are records without a fault."""
        return len(self.contents.faults) < len(self.contents.records)

    def notes(self, use: Use) -> list[str]:
        """Records without a mask, and where pycocotools gives another figure."""
        return self.contents.notes(use)

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
        """(H, W) according to the masks of an item if they agree, or else the image list."""
        stated = self._groups[item.name].sizes
        if len(stated) == 1:
            return stated[0]
        known = self.image_record(self.image_id(item))
        return known.size if known else None

    @property
    def used_categories(self) -> set[int]:
        """The categories of all records."""
        return self.contents.categories

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
        """The common facts, whether the file holds results or annotations, and the number of categories of records."""
        common = super().reading
        content = self.noun if isinstance(self.document, list) else "COCO annotations"
        return replace(common, content=content, classes=common.classes or self.contents.category_count)

    def take_image_records(self, other: PredictionSet) -> None:
        """Use another set's image list, for the sizes of polygons, if this set has none."""
        if isinstance(other, CocoSet):
            self._table = self._table or other._table

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings, and how polygons are written if there are some."""
        return {**super().settings, **({"polygon_tolerance": self.tolerance} if self.holds_polygons else {})}

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
        masks = self._masks(item, self.readable(item)).values()
        return (union_of(masks, self._mask_size(item)),)

    @property
    def reading(self) -> InputReading:
        """The common facts; the union of all annotations has no classes."""
        return replace(super().reading, content=self.noun, classes=None, foreground="everything annotated")


def _decode(segmentation: Json, size: Size, max_pixels: int) -> Mask:
    """Decode a mask, which must have the size of its image."""
    mask = rle.decode(segmentation, size, max_pixels)
    if mask.size != size:
        found, expected = (f"{height} x {width}" for height, width in (mask.size, size))
        raise BprError(f"its size is {found}, expected {expected} like its image")
    return mask


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
        records = self._source.readable(item)
        if not isinstance(refined, tuple) or len(refined) != len(records):
            raise TypeError(f"expected {len(records)} masks for image {item.name}")
        updated = (self._update(*pair) for pair in zip(records.values(), refined, strict=True))
        return Written(records=dict(zip(records, map(encode_json, updated), strict=True)))

    def _update(self, record: Record, mask: Mask) -> Record:
        """Put a refined mask into a record; updates area and bbox if the record has them, and keeps all other fields.

        A record with polygons stays as it is if its mask has not changed.
        """
        given, limit = record["segmentation"], self._source.max_pixels
        form = rle.form_of(given, limit)
        if form is not rle.Form.POLYGONS:
            encoded = rle.encode(mask, form)
        elif mask.equals(rle.decode(given, mask.size, limit)):
            return record
        else:
            encoded = rle.encode_polygons(mask, self._source.tolerance, limit)
        updated = {**record, "segmentation": encoded}
        Measures.of_mask(mask).update(updated)
        return updated

    def close(self, records: Iterable[tuple[int, bytes]]) -> None:
        write_document(self._path, self._source.document, self._every(iter(records)))

    def _every(self, refined: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
        """All records of the file: the refined ones, and the others as they were."""
        following = next(refined, None)
        every = self._source.contents.records
        for index in range(len(every)):
            if following and following[0] == index:
                yield following[1]
                following = next(refined, None)
            else:
                yield encode_json(every[index])
