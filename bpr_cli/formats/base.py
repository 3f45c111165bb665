"""What every format offers: a list of items to refine, a reader for one item and a writer for the refined ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.formats.images import image_size
from bpr_cli.formats.spool import Place, Spool
from bpr_cli.masks.masks import Prediction, Size


class Task(str, Enum):
    """The kind of segmentation; decides whether masks are refined alone or compete for pixels."""

    INSTANCE = "instance"
    SEMANTIC = "semantic"
    PANOPTIC = "panoptic"


@dataclass(frozen=True)
class Item:
    """One image with its predictions, listed but not yet read.

    Attributes:
        name: how messages call it and, within a set, its unique key (a relative file name or an image id).
        image: the image file.
    """

    name: str
    image: Path


@dataclass(frozen=True)
class Failure:
    """An item that could not be processed, and why: a sentence that also names the file."""

    name: str
    reason: str


@dataclass(frozen=True)
class SegmentRecord:
    """What the record of one mask says besides its pixels; refining keeps it, measuring reads it.

    Attributes:
        category: id of its category.
        score: confidence, None where none is stated, as in ground truth.
        crowd: it stands for a group of objects.
        area: as stated, in pixels, or None.
        id: of the segment, where its pixels are found by it (panoptic maps), else None.
    """

    category: int
    score: float | None = None
    crowd: bool = False
    area: float | None = None
    id: int | None = None


@dataclass(frozen=True)
class CategoryRecord:
    """A category that a set names.

    Attributes:
        id: as records refer to it.
        name: as people call it.
        thing: False for stuff; None where the file does not say.
        frequency: ``r``, ``c`` or ``f`` for rare, common and frequent ones in LVIS, else empty.
    """

    id: int
    name: str
    thing: bool | None = None
    frequency: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """How to open a set of predictions; the defaults recognise everything from the files.

    Attributes:
        format: name of the format, or None to recognise it.
        task: the task the set must have, or None to take what the files say.
        image_info: a JSON file with a COCO ``images`` list that gives the image name of every id; nothing else in
            it is read.
        ignore_labels: values of label maps that are never refined.
    """

    format: str | None = None
    task: Task | None = None
    image_info: Path | None = None
    ignore_labels: frozenset[int] = frozenset({255})


@dataclass(frozen=True)
class Written:
    """What a writer wrote for one item.

    Attributes:
        files: SHA-256 of each file, hexadecimal.
        records: where the records lie that the item adds to the JSON file of all items.
    """

    files: Mapping[Path, str] = field(default_factory=dict)
    records: tuple[Place, ...] = ()


class Writer(ABC):
    """Writes refined predictions in the format of the set they came from.

    ``write`` may be called from several threads and in any order; what it writes does not depend on the order.
    Files appear under their final name only when complete.
    """

    @abstractmethod
    def write(self, item: Item, refined: Prediction) -> Written:
        """Write (or keep for ``close``) the refined prediction of one item.

        ``refined`` has the form that ``read`` gave for the item: as many masks in the same order, or a label map.

        Raises:
            BprError: it cannot be written.
        """

    def close(self) -> None:  # noqa: B027 (most formats have nothing left to write)
        """Write what needs all items, such as a JSON file. Items never written are left out of it."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


@dataclass(frozen=True)
class Inputs:
    """What a set was opened from, as it was given; plain data, ready for JSON.

    Attributes:
        predictions: the file or directory.
        images: the directory of images, or one image.
        image_info: the JSON file that names the images, or None.
        ignore_labels: values of label maps that are never refined, ascending.
    """

    predictions: str
    images: str
    image_info: str | None
    ignore_labels: list[int]


class PredictionSet(ABC):
    """An opened set of predictions: checked as far as that is cheap, with the image of every item found.

    Attributes:
        format: name of the format, as ``--format`` takes it.
        task: the kind of segmentation.
        items: what can be read, in the order of the input.
        failures: what the check found broken (no image, bad record), in the order of the input.
        inputs: what it was opened from; None unless ``open_predictions`` did.
    """

    format: str
    task: Task
    items: list[Item]
    failures: list[Failure]
    inputs: Inputs | None = None

    @abstractmethod
    def read(self, item: Item) -> Prediction:
        """Read the predictions of one item; thread-safe.

        Raises:
            BprError: the file or record is broken.
        """

    @abstractmethod
    def file(self, item: Item) -> Path:
        """The file with the predictions of an item, for messages and reports; several items may share one."""

    def files(self, item: Item) -> list[Path]:
        """Every file that is read for an item and for no other one."""
        return [self.file(item)]

    def shared_files(self) -> list[Path]:
        """Files that are read for all items, such as a JSON file."""
        return []

    def size(self, item: Item) -> Size | None:
        """(H, W) of an item, as far as that is known without decoding pixels; thread-safe.

        Raises:
            BprError: the file is broken.
        """
        return image_size(self.file(item))

    def image_id(self, item: Item) -> int | str | None:  # noqa: ARG002
        """The id of an item's image, None where the format has only names."""
        return None

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """What is stated of the masks of an item: in the order of ``read``, or by id for maps of segments.

        Raises:
            BprError: a record is broken.
        """
        raise BprError(f"{self.file(item)} states no categories; expected instances or panoptic segments")

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The categories that the set names, in its order; empty where it names none."""
        return ()

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values by name: what the set was opened with that decides what its items are."""
        return {"format": self.format, "task": self.task.value}

    @property
    def one_file(self) -> str | None:
        """Name of the file that the output consists of or is known by; None where only a directory will do."""
        return None

    @abstractmethod
    def writer(self, out: Path, spool: Spool | None = None) -> Writer:
        """A writer that puts refined predictions under the directory ``out`` with the names of the input.

        Where there is ``one_file``, ``out`` may also be a file name with the same suffix.

        Args:
            out: the directory or file.
            spool: keeps records until their document is written; it may hold some of an earlier writer's already.
        """
