"""The patch set: training patches in a few large files with random access, see ``patch_files.py``."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.coco_json import is_id
from bpr_cli.formats.json_files import read_json
from bpr_cli.masks.masks import Box
from bpr_cli.patchset.layout import (
    DOCUMENT,
    INDEX,
    INDEX_TYPE,
    ITEMS,
    NO_CATEGORY,
    Counts,
    PatchSource,
    SetDocument,
    SetFile,
    read_index,
    reading,
    shard_name,
)
from bpr_cli.patchset.record import VOID, PatchSample, decode_sample, encode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.system.atomic import writing
from bpr_cli.system.paths import write_bytes

__all__ = [
    "VOID",
    "Counts",
    "PatchItem",
    "PatchOrigin",
    "PatchSample",
    "PatchSet",
    "PatchSetSettings",
    "PatchSetWriter",
    "PatchSource",
]

SHARD_BYTES = 256 * 2**20
"""A shard that has reached this size is full."""


@dataclass(frozen=True)
class PatchItem:
    """An image of a set, as one source of coarse masks saw it.

    Attributes:
        source: the predictions, as the user called them.
        name: of the item within its source.
        image_id: None where the format has only names.
    """

    source: str
    name: str
    image_id: int | str | None


@dataclass(frozen=True)
class PatchOrigin:
    """Where a patch comes from.

    Attributes:
        source: the predictions, as the user called them.
        item: name of the image's item within the source.
        image_id: None where the format has only names.
        category: of the segment; None for binary masks.
        box: the patch without context, in image pixels, half-open.
        segment: place of the mask in its image; of a label map, the label or id.
    """

    source: str
    item: str
    image_id: int | str | None
    category: int | None
    box: Box
    segment: int


class PatchSet:
    """A finished patch set: cheap to open, read at random by any number of threads and processes at a time.

    It keeps no file open, and is pickled as its path.

    Attributes:
        path: the directory.
        settings: how it was made.
        sources: what it was extracted from.
        digest: SHA-256 of all its content as hex digits.
    """

    def __init__(self, path: Path, document: SetDocument) -> None:
        """See ``open``."""
        self.path = path
        self.settings = document.settings
        self.sources = document.sources
        self.digest = document.digest
        self._document = document
        self._index = read_index(path, document)

    @classmethod
    def open(cls, path: Path) -> PatchSet:
        """Open a set and check the sizes of its files and the content of the index.

        Raises:
            BprError: it is missing, unfinished, cut short, changed, of another version, or no patch set.
        """
        path = Path(path)
        return cls(path, SetDocument.read(path))

    def __reduce__(self) -> tuple[Callable[[Path], PatchSet], tuple[Path]]:
        return PatchSet.open, (self.path,)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> PatchSample:
        """Read one patch.

        Raises:
            BprError: the file has been cut short or changed since the set was made.
            IndexError: there is no such patch.
        """
        entry = self._index[index]
        shard, offset, length = int(entry["shard"]), int(entry["offset"]), int(entry["length"])
        file = self.path / self._document.shards[shard].name
        with reading(file) as opened:
            opened.seek(offset)
            record = opened.read(length)
        try:
            if len(record) != length or zlib.crc32(record) != entry["crc"]:
                raise BprError("it is not as it was written")
            return decode_sample(record, self.settings.side)
        except BprError as error:
            raise BprError(f"{file}: patch {index} is broken: {error}; copy or extract the patch set again") from error

    def origin(self, index: int) -> PatchOrigin:
        """Where a patch comes from.

        Raises:
            BprError: the list of images is broken.
            IndexError: there is no such patch.
        """
        entry = self._index[index]
        item = self.items[int(entry["item"])]
        category = None if entry["category"] == NO_CATEGORY else int(entry["category"])
        x0, y0, x1, y1 = entry["box"].tolist()
        return PatchOrigin(item.source, item.name, item.image_id, category, (x0, y0, x1, y1), int(entry["segment"]))

    @cached_property
    def items(self) -> tuple[PatchItem, ...]:
        """The images of the set.

        Raises:
            BprError: the list is broken.
        """
        self._document.items.check(self.path)
        return _parse_items(self.path / ITEMS, self._document.images)

    @property
    def item_numbers(self) -> NDArray[np.int64]:
        """int64, (P,): the place in ``items`` of the image of every patch, to split or balance a set by."""
        return self._index["item"].astype(np.int64)

    @property
    def bytes(self) -> int:
        """Size of the set on the disk."""
        return sum(file.bytes for file in self._document.files)

    def verify(self) -> None:
        """Read everything and compare it with the digest.

        Raises:
            BprError: a file is not as it was written.
        """
        for file in self._document.files:
            file.check(self.path)


def _parse_items(path: Path, count: int) -> tuple[PatchItem, ...]:
    content = read_json(path)
    try:
        items = tuple(PatchItem(source, name, image_id) for source, name, image_id in content)
    except (TypeError, ValueError) as error:
        raise BprError(f"{path} is not a list of images ({error}); extract the patch set again") from error
    if not all(isinstance(value, str) for item in items for value in (item.source, item.name)) or not all(
        item.image_id is None or is_id(item.image_id) for item in items
    ):
        raise BprError(f"{path} lists images whose names are no texts; extract the patch set again")
    if len(items) != count:
        raise BprError(f"{path} lists {len(items)} images, expected {count}; extract the patch set again")
    return items


class PatchSetWriter:
    """Writes a patch set; it is there once ``close`` is done, and not before.

    Used in a ``with`` statement, it is closed at the end unless an error goes through.
    """

    def __init__(self, path: Path, settings: PatchSetSettings, shard_bytes: int = SHARD_BYTES) -> None:
        """Begin a set.

        Args:
            path: the directory, made where missing; shards of a set that was never finished are removed from it.
            settings: how the patches are made.
            shard_bytes: size that fills a shard.

        Raises:
            BprError: there is a patch set already, or the directory cannot be written.
        """
        if (path / DOCUMENT).exists():
            raise BprError(f"{path} holds a patch set already; give another directory, or remove it first")
        self._path = path
        self._settings = settings
        self._shard_bytes = shard_bytes
        self._items: dict[PatchItem, int] = {}
        self._rows = bytearray()
        self._shards: list[SetFile] = []
        self._shard: _OpenShard | None = None
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            for leftover in path.glob("patches-*.bin"):
                leftover.unlink()

    def add(self, sample: PatchSample, origin: PatchOrigin) -> None:
        """Add one patch.

        Raises:
            BprError: it has another size than the settings say, or the disk is full.
        """
        side = self._settings.side
        shapes = [plane.shape for plane in (sample.image, sample.coarse, sample.truth)]
        if shapes != [(side, side, 3), (side, side), (side, side)]:
            raise BprError(f"the patch has the shapes {shapes}, expected {side} x {side} pixels")
        self.add_record(encode_sample(sample, self._settings.jpeg), origin)

    def add_record(self, record: bytes, origin: PatchOrigin) -> None:
        """Add one patch that ``encode_sample`` has encoded with the quality of the settings.

        Raises:
            BprError: a number of the origin needs more than 64 bits, or the disk is full.
        """
        item = PatchItem(origin.source, origin.item, origin.image_id)
        number = self._items.setdefault(item, len(self._items))
        category = NO_CATEGORY if origin.category is None else origin.category
        shard = self._shard = self._shard or _OpenShard(self._path / shard_name(len(self._shards)))
        place = (len(self._shards), shard.bytes, len(record), zlib.crc32(record))
        try:
            row = np.array((*place, number, category, origin.segment, origin.box), dtype=INDEX_TYPE)
        except OverflowError as error:
            raise BprError(f"{origin.item}: category {category} or segment {origin.segment} is too large") from error
        shard.write(record)
        self._rows += row.tobytes()
        if shard.bytes >= self._shard_bytes:
            self._finish_shard()

    def close(self, sources: Sequence[PatchSource] = ()) -> PatchSet:
        """Finish the set and open it.

        Args:
            sources: what is to be said of the sources of its patches.

        Raises:
            BprError: the disk is full.
        """
        self._finish_shard()
        index = io.BytesIO()
        np.save(index, np.frombuffer(self._rows, dtype=INDEX_TYPE), allow_pickle=False)
        items = json.dumps([astuple(item) for item in self._items]).encode()
        document = SetDocument(
            self._settings,
            tuple(sources),
            patches=len(self._rows) // INDEX_TYPE.itemsize,
            images=len(self._items),
            items=_written(self._path, ITEMS, items),
            index=_written(self._path, INDEX, index.getvalue()),
            shards=tuple(self._shards),
        )
        document.write(self._path)
        return PatchSet.open(self._path)

    def _finish_shard(self) -> None:
        if self._shard is not None:
            self._shards.append(self._shard.finish())
            self._shard = None

    def __enter__(self) -> PatchSetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._shard is not None:
            self._shard.abandon()


class _OpenShard:
    """The shard that is being written; ``bytes`` says how much there is of it."""

    def __init__(self, path: Path) -> None:
        self.bytes = 0
        self._path = path
        self._digest = hashlib.sha256()
        with writing(path):
            self._file = path.open("wb")

    def write(self, record: bytes) -> None:
        """Append a record."""
        with writing(self._path):
            self._file.write(record)
        self._digest.update(record)
        self.bytes += len(record)

    def finish(self) -> SetFile:
        """Close the file once it is safely on the disk."""
        with writing(self._path), self._file as file:
            file.flush()
            os.fsync(file.fileno())
        return SetFile(self._path.name, self.bytes, self._digest.hexdigest())

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


def _written(folder: Path, name: str, content: bytes) -> SetFile:
    write_bytes(folder / name, content)
    return SetFile(name, len(content), hashlib.sha256(content).hexdigest())
