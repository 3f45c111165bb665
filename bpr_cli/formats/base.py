"""The interface of all formats: items, a reader of predictions, and a writer of refined ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.images import image_size
from bpr_cli.formats.reading import MAX_PIXELS, InputReading, ReadSettings, Task
from bpr_cli.formats.records import CategoryRecord, ImageRecord, Searched, SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.masks.runs import values_of
from bpr_cli.typing import Size

Family = Literal["coco", "cityscapes", "panoptic", "semantic", "binary"]
"""Families of metrics; each set is measured by one of them."""


@dataclass(frozen=True)
class Item:
    """One image with its predictions, listed but not yet read.

    Attributes:
        name: relative file name or image id; unique within a set, and used in messages.
        image: image file.
        page: number of the picture in the image file, from 0; None for a file with one picture, or its first.
    """

    name: str
    image: Path
    page: int | None = None


@dataclass(frozen=True)
class Failure:
    """An item that could not be processed, and the reason."""

    name: Annotated[str, Meta(description="The item, by its name in the set.")]
    reason: Annotated[str, Meta(description="A sentence that names the file, and what is wrong with it.")]


Use = Literal["refined", "measured", "truth", "converted"]
"""What a set serves for: to be refined, to be measured as predictions or as their ground truth, or to be converted."""


@dataclass(frozen=True)
class Written:
    """The output of a writer for one item.

    Attributes:
        files: SHA-256 of each written file, hexadecimal.
        records: JSON of the item's records in the common JSON file, by their position there.
    """

    files: Mapping[Path, str] = field(default_factory=dict)
    records: Mapping[int, bytes] = field(default_factory=dict)


class Writer(ABC):
    """Writes refined predictions in the format of their set.

    ``write`` may be called from several threads and in any order; the output does not depend on the order. Files are
    written atomically.
    """

    @abstractmethod
    def write(self, item: Item, refined: Prediction) -> Written:
        """Write the refined prediction of one item, or return the records that ``close`` writes.

        ``refined`` has the same form as the result of ``read``: equally many masks in the same order, or a label map.

        Raises:
            BprError: a file cannot be written.
        """

    def close(self, records: Iterable[tuple[int, bytes]]) -> None:  # noqa: B027 (most formats have nothing left)
        """Write the common JSON file of all items, if the format has one.

        Args:
            records: position and JSON of the records that ``write`` returned for all items, by ascending position;
                iterated once.

        Raises:
            BprError: the file cannot be written.
        """


@dataclass(frozen=True)
class SetInputs:
    """The arguments that a set was opened with, as plain data for JSON."""

    predictions: Annotated[str, Meta(description="File or directory of the predictions.")]
    images: Annotated[str, Meta(description="Directory of the images, or one image.")]
    image_info: Annotated[
        str | None, Meta(description="JSON file that maps image ids to file names; null if none was given.")
    ]
    ignore_labels: Annotated[
        list[int], Meta(description="Labels that are never refined, ascending; only the format labels has any.")
    ]


class PredictionSet(ABC):
    """An opened set of predictions. The image of every item is found, and all cheap checks are done.

    Attributes:
        format: name of the format, as in ``--format``.
        noun: plural noun for the content, for messages.
        task: segmentation task.
        family: family of metrics for this format.
        omits_empty_images: whether predictions may leave out images without masks.
        holds_polygons: whether masks are written as polygons, at least those that were polygons.
        leaves_out: suffixes of files in the same folder that may hold predictions of another format.
        max_pixels: largest image or mask that is read, in pixels.
        items: readable items, in the order of the input.
        failures: broken items (without image, or with a bad record), in the order of the input.
        found_by: the rules by which the images were found, such as "by name"; empty without images.
        inputs: arguments of ``open_predictions``; None if the set was opened otherwise.
        read_settings: how ``open_predictions`` was asked to read; None if the set was opened otherwise.
    """

    format: str
    noun: str
    task: Task
    family: Family
    omits_empty_images: bool = False
    holds_polygons: bool = False
    leaves_out: tuple[str, ...] = ()
    max_pixels: int = MAX_PIXELS
    items: list[Item]
    failures: list[Failure]
    inputs: SetInputs | None = None
    read_settings: ReadSettings | None = None
    found_by: str = ""

    @abstractmethod
    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the items of ``source`` and find the image of each.

        Raises:
            BprError: the source holds nothing of this format.
        """

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether ``source`` looks like this format; formats are tried in the order of ``FORMATS``.

        Args:
            source: the files.
            settings: values that are given instead of detected, such as the task.
        """
        return False

    @abstractmethod
    def read(self, item: Item) -> Prediction:
        """Read the predictions of one item; thread-safe. Masks that cannot be read are left out, see ``faults``.

        Raises:
            BprError: the file or record is broken.
        """

    def segments(self, item: Item, use: Use) -> list[tuple[Mask, SegmentRecord]]:  # noqa: ARG002
        """Read the masks of one item with their metadata, as far as both can be read; thread-safe.

        Args:
            item: an item whose predictions are masks.
            use: predictions to be measured need scores.

        Raises:
            BprError: the file is broken, or holds a label map.
        """
        masks = self.read(item)
        if not isinstance(masks, tuple):
            raise BprError(f"{self.file(item)} is a label map, expected masks of instances")
        return list(zip(masks, self.records(item), strict=True))

    def faults(self, item: Item | None = None) -> list[Failure]:  # noqa: ARG002
        """The records that cannot be read, of one item or of all; complete once their items were read.

        The other records of their images can be used.
        """
        return []

    @property
    def is_readable(self) -> bool:
        """Whether there are records without a fault."""
        return True

    def notes(self, use: Use) -> list[str]:  # noqa: ARG002
        """How the set was read, where that decides the result; complete once all items were read."""
        return []

    @abstractmethod
    def file(self, item: Item) -> Path:
        """The file with the predictions of an item; several items may share one."""

    def files(self, item: Item) -> list[Path]:
        """The files that are read for this item alone."""
        return [self.file(item)]

    def all_files(self) -> Iterator[Path]:
        """The files that are read for all items together and for each alone."""
        yield from self.shared_files()
        for item in self.items:
            yield from self.files(item)

    def shared_files(self) -> list[Path]:
        """The files that are read for all items, such as a JSON file."""
        return []

    def size(self, item: Item) -> Size | None:
        """(H, W) of an item, or None if it is unknown before pixels are decoded; thread-safe.

        Raises:
            BprError: the file is broken.
        """
        return image_size(self.file(item), self.max_pixels)

    def image_id(self, item: Item) -> int | str | None:  # noqa: ARG002
        """The id of an item's image; None if the format has only names."""
        return None

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Metadata of the masks of an item, as far as it can be read; for label maps, of its segments, with ids.

        Raises:
            BprError: the format has no metadata.
        """
        raise BprError(f"{self.file(item)} has no categories; expected instances or panoptic segments")

    @property
    def used_categories(self) -> set[int]:
        """The categories of all masks or segments; some of them may be those of records that cannot be read.

        Raises:
            BprError: the format has no metadata.
        """
        return {record.category for item in self.items for record in self.records(item)}

    def map_records(self, item: Item, labels: NDArray[np.int32]) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """Metadata of the segments of an item that is read as a label map, by their value in the map.

        Args:
            item: the item.
            labels: label map of the item, (H, W).

        Raises:
            BprError: a record is broken.
        """
        return {record.id: record for record in self.records(item) if record.id is not None}

    @property
    def image_records(self) -> tuple[ImageRecord, ...]:
        """The image list, including images without annotations; empty if the set has no such list."""
        return ()

    def image_record(self, image_id: int | str) -> ImageRecord | None:  # noqa: ARG002
        """The entry of an image in the image list; None if it is not listed."""
        return None

    def take_image_records(self, other: PredictionSet) -> None:  # noqa: ARG002
        """Use the image list of a ground truth if this set has none: polygons need the image sizes.

        Sets whose classes have names instead of numbers, or other numbers, number them as the ground truth does.
        """
        return

    @property
    def listed_images(self) -> int:
        """Number of images in the image list, or else of images with predictions."""
        return len(self.image_records) or len(self.items)

    @property
    def is_federated(self) -> bool:
        """Whether annotators searched only for some categories per image, as in LVIS."""
        return any(record.searched for record in self.image_records)

    def searched(self, image_id: int | str) -> Searched | None:
        """The categories that were searched for in an image; None for all."""
        record = self.image_record(image_id)
        return record.searched if record else None

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The category list of the set; empty if it has none."""
        return ()

    def called(self, category: int) -> str:
        """A category as the files call it, for messages."""
        return f"the category {category}"

    def class_name(self, category: int) -> str:
        """The name of a category, or its number where the set has no names."""
        return self._class_names.get(category, f"class {category}")

    @cached_property
    def _class_names(self) -> dict[int, str]:
        """The names of the categories, which some sets read from a file each time."""
        return {each.id: each.name for each in self.categories}

    def segment_names(self, item: Item) -> list[str]:
        """Every segment as a person finds it in the file of an item, in the order of ``read``; [] for a lone mask.

        Raises:
            BprError: the file or the category list is broken.
        """
        found = self.read(item)
        if not isinstance(found, LabelMap):
            return []
        records = self.map_records(item, found.labels)
        names = {value: self.class_name(record.category) for value, record in records.items()}
        values = [value for value in values_of(found.labels).tolist() if value not in found.void]
        if self.task is Task.SEMANTIC:
            return [names[value] for value in values]
        return [", ".join([f"segment {value}", *([names[value]] if value in names else [])]) for value in values]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of opening that affect the items, as plain values by name, for reports."""
        return {"format": self.format, "task": self.task.value}

    @property
    def reading(self) -> InputReading:
        """What the input was taken for; formats add what only they know."""
        try:
            classes = len(self.categories) or None
        except BprError:
            classes = None  # only figures need the list; they are refused with the reason
        return InputReading(self.noun, self.format, self.task.value, len(self.items), self.found_by, classes)

    @property
    def one_file(self) -> str | None:
        """Name of the main output file; None if the output must be a folder."""
        return None

    @abstractmethod
    def writer(self, out: Path) -> Writer:
        """Make a writer that puts refined predictions into the folder ``out``, under the names of the input.

        If ``one_file`` is not None, ``out`` may also be a file name with the same suffix.
        """
