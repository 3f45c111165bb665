"""The interface of all formats: items to refine, a reader for one item, and a writer for refined ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.images import image_size
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.masks.masks import Prediction
from bpr_cli.typing import Size

if TYPE_CHECKING:
    from bpr_cli.formats.image_lookup import ImageIndex
    from bpr_cli.formats.source import Source

Family = Literal["coco", "cityscapes", "panoptic", "semantic", "binary"]
"""The families of metrics; every set is measured by one of them."""


@dataclass(frozen=True)
class Item:
    """One image with its predictions, listed but not yet read.

    Attributes:
        name: unique within a set and used in messages: a relative file name or an image id.
        image: the image file.
    """

    name: str
    image: Path


@dataclass(frozen=True)
class Failure:
    """An item that could not be processed, and why."""

    name: Annotated[str, Meta(description="The item, by its name in the set.")]
    reason: Annotated[str, Meta(description="A sentence that names the file, and what is wrong with it.")]


@dataclass(frozen=True)
class SegmentRecord:
    """What a file states of one mask besides its pixels.

    Attributes:
        category: id of its category.
        score: confidence; None where none is stated, as in ground truth.
        crowd: whether it is a group of objects.
        area: in pixels, as stated, or None.
        id: value of its pixels in a panoptic map; None for masks.
    """

    category: int
    score: float | None = None
    crowd: bool = False
    area: float | None = None
    id: int | None = None


@dataclass(frozen=True)
class CategoryRecord:
    """A category in the list of a set.

    Attributes:
        id: as records refer to it.
        name: for people.
        thing: False for stuff; None where the file does not tell.
        frequency: ``r``, ``c`` or ``f`` for rare, common and frequent categories of LVIS, else empty.
    """

    id: int
    name: str
    thing: bool | None = None
    frequency: str = ""


@dataclass(frozen=True)
class Searched:
    """Which categories were looked for in an image whose annotations do not cover all categories, as in LVIS.

    Attributes:
        absent: ids of the categories that were looked for and are not there.
        incomplete: ids of the categories of which some objects are annotated, but not all.
    """

    absent: frozenset[int]
    incomplete: frozenset[int]


@dataclass(frozen=True)
class ImageRecord:
    """An image in the list of images that some files have.

    Attributes:
        id: as the file has it; 1 and "1" are the same.
        file_name: of the image.
        size: (H, W) where it is stated.
        searched: which categories were looked for; None for all.
    """

    id: int | str = field(compare=False)
    file_name: str
    size: Size | None
    searched: Searched | None = None


@dataclass(frozen=True)
class Written:
    """What a writer wrote for one item.

    Attributes:
        files: SHA-256 of each file, hexadecimal.
        records: JSON of the records that the item adds to the JSON file of all items, by their position there.
    """

    files: Mapping[Path, str] = field(default_factory=dict)
    records: Mapping[int, bytes] = field(default_factory=dict)


class Writer(ABC):
    """Writes refined predictions in the format of the set they came from.

    ``write`` may be called from several threads and in any order; what it writes does not depend on the order.
    Files appear under their final name only when complete.
    """

    @abstractmethod
    def write(self, item: Item, refined: Prediction) -> Written:
        """Write the refined prediction of one item, or return the records that ``close`` writes.

        ``refined`` has the form that ``read`` gave for the item: as many masks in the same order, or a label map.

        Raises:
            BprError: it cannot be written.
        """

    def close(self, records: Iterable[bytes]) -> None:  # noqa: B027 (most formats have nothing left to write)
        """Write the JSON file of all items, if the format has one.

        Args:
            records: what ``write`` returned for all items, by ascending position; read once.

        Raises:
            BprError: it cannot be written.
        """


@dataclass(frozen=True)
class SetInputs:
    """What a set was opened from, as given; plain data, ready for JSON."""

    predictions: Annotated[str, Meta(description="File or directory of the predictions.")]
    images: Annotated[str, Meta(description="Directory of the images, or one image.")]
    image_info: Annotated[
        str | None, Meta(description="JSON file that maps image ids to file names; null if none was given.")
    ]
    ignore_labels: Annotated[
        list[int], Meta(description="Labels that are never refined, ascending; only the format labels has any.")
    ]


class PredictionSet(ABC):
    """An opened set of predictions: the image of every item is found, and what is cheap to check is checked.

    Attributes:
        format: name of the format, as ``--format`` takes it.
        noun: what messages call the content, a plural.
        task: the kind of segmentation.
        family: the metrics that measure it.
        omits_empty_images: whether predictions may leave out images without masks.
        items: what can be read, in the order of the input.
        failures: what is broken (no image, bad record), in the order of the input.
        inputs: what ``open_predictions`` opened it from; else None.
    """

    format: str
    noun: str
    task: Task
    family: Family
    omits_empty_images: bool = False
    items: list[Item]
    failures: list[Failure]
    inputs: SetInputs | None = None

    @abstractmethod
    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List what ``source`` holds and find the image of every item.

        Raises:
            BprError: it holds nothing of this format.
        """

    @classmethod
    def recognise(cls, source: Source, task: Task | None) -> bool:  # noqa: ARG003
        """Whether ``source`` looks like this format; asked in the order of ``FORMATS``.

        Args:
            source: the files.
            task: what the set must be, or None.
        """
        return False

    @abstractmethod
    def read(self, item: Item) -> Prediction:
        """Read the predictions of one item; thread-safe.

        Raises:
            BprError: the file or record is broken.
        """

    @abstractmethod
    def file(self, item: Item) -> Path:
        """The file with the predictions of an item; several items may share one."""

    def files(self, item: Item) -> list[Path]:
        """The files that are read for an item and for no other one."""
        return [self.file(item)]

    def shared_files(self) -> list[Path]:
        """The files that are read for all items, such as a JSON file."""
        return []

    def size(self, item: Item) -> Size | None:
        """(H, W) of an item, or None where pixels must be decoded to know it; thread-safe.

        Raises:
            BprError: the file is broken.
        """
        return image_size(self.file(item))

    def image_id(self, item: Item) -> int | str | None:  # noqa: ARG002
        """The id of an item's image, None where the format has only names."""
        return None

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """What is stated of the masks of an item: in the order of ``read``, or with ids for maps of segments.

        Raises:
            BprError: a record is broken, or the format states nothing.
        """
        raise BprError(f"{self.file(item)} states no categories; expected instances or panoptic segments")

    def map_records(self, item: Item, labels: NDArray[np.int32]) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """What is stated of the segments of an item that is read as a map, by their value in the map.

        Args:
            item: the item.
            labels: what was read: (H, W).

        Raises:
            BprError: a record is broken.
        """
        return {record.id: record for record in self.records(item) if record.id is not None}

    @property
    def image_records(self) -> tuple[ImageRecord, ...]:
        """The images that ground truth lists, also those without annotations; empty where it has no such list."""
        return ()

    def image_record(self, image_id: int | str) -> ImageRecord | None:  # noqa: ARG002
        """The entry of an image in the list of images, None where it has none."""
        return None

    def take_image_records(self, other: PredictionSet) -> None:  # noqa: ARG002
        """Take the list of images of another set where this one has none: polygons in COCO results need the sizes."""
        return

    @property
    def listed_images(self) -> int:
        """Number of images: those of the list, or else those with predictions."""
        return len(self.image_records) or len(self.items)

    @property
    def is_federated(self) -> bool:
        """Whether not all categories were looked for in every image, as in LVIS."""
        return any(record.searched for record in self.image_records)

    def searched(self, image_id: int | str) -> Searched | None:
        """Which categories were looked for in an image; None for all."""
        record = self.image_record(image_id)
        return record.searched if record else None

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The categories that the set names, in its order; empty where it names none."""
        return ()

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values by name, for reports: how the set was opened, as far as that changes its items."""
        return {"format": self.format, "task": self.task.value}

    @property
    def one_file(self) -> str | None:
        """Name of the main file of the output; None where the output must be a folder."""
        return None

    @abstractmethod
    def writer(self, out: Path) -> Writer:
        """A writer that puts refined predictions in the folder ``out``, with the names of the input.

        Where there is ``one_file``, ``out`` may also be a file name with the same suffix.
        """
