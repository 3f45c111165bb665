"""A patch set: training patches in a few large files with random access; see ``layout.py``."""

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
from typing import TypeVar

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.coco_json import id_of
from bpr_cli.formats.json_files import read_json
from bpr_cli.patchset.layout import (
    DOCUMENT,
    INDEX,
    INDEX_TYPE,
    ITEMS,
    NO_CATEGORY,
    PatchSource,
    SetDocument,
    SetFile,
    open_for_reading,
    read_index,
    shard_name,
    write_file,
)
from bpr_cli.patchset.record import PatchSample, decode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.system.atomic import writing
from bpr_cli.typing import Box, IntArray

Decoded = TypeVar("Decoded")

SHARD_BYTES = 256 * 2**20
"""Size in bytes at which a shard is full."""


@dataclass(frozen=True)
class PatchItem:
    """An image of a set within one source of coarse masks.

    Attributes:
        source: path of the predictions as given by the user.
        name: name of the item within its source.
        image_id: id of the image; None if the format has only names.
    """

    source: str
    name: str
    image_id: int | str | None


@dataclass(frozen=True)
class PatchOrigin:
    """The origin of a patch.

    Attributes:
        source: path of the predictions as given by the user.
        item: name of the item within the source.
        image_id: id of the image; None if the format has only names.
        category: category of the segment; None for binary masks.
        box: half-open box of the patch without context, in image pixels.
        segment: position of the mask in its image; for a label map, the label or id.
    """

    source: str
    item: str
    image_id: int | str | None
    category: int | None
    box: Box
    segment: int


class PatchSet:
    """A finished patch set. It is cheap to open; threads and processes may read it at the same time.

    It keeps no file open. Pickling stores only its path.

    Attributes:
        path: directory of the set.
        settings: settings of the set.
        sources: sources of the patches.
        digest: SHA-256 of the content of the set, hexadecimal.
    """

    def __init__(self, path: Path) -> None:
        """Open a set; check the sizes of its files and the content of the index.

        Raises:
            BprError: the set is missing, unfinished, damaged or of another version, or the directory is no patch set.
        """
        self.path = Path(path)
        self._document = SetDocument.read(self.path)
        self.settings = self._document.settings
        self.sources = self._document.sources
        self.digest = self._document.digest
        self._index = read_index(self.path, self._document)

    def __reduce__(self) -> tuple[Callable[[Path], PatchSet], tuple[Path]]:
        return PatchSet, (self.path,)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> PatchSample:
        """Read one patch; see ``read``."""
        return self.read(index, lambda record: decode_sample(record, self.settings.side))

    def read(self, index: int, decode: Callable[[bytes], Decoded]) -> Decoded:
        """Read one record.

        Args:
            index: position of the record in the set.
            decode: function that decodes the bytes of a record, such as ``decode_sample`` or ``decode_whole``.

        Raises:
            BprError: the file was truncated or changed since the set was made.
            IndexError: there is no such record.
        """
        entry = self._index[index]
        shard, offset, length = int(entry["shard"]), int(entry["offset"]), int(entry["length"])
        file = self.path / shard_name(shard)
        with open_for_reading(file) as opened:
            opened.seek(offset)
            record = opened.read(length)
        try:
            if len(record) != length or zlib.crc32(record) != entry["crc"]:
                raise BprError("it is not as it was written")
            return decode(record)
        except BprError as error:
            raise BprError(f"{file}: patch {index} is broken: {error}; copy or extract the patch set again") from error

    def origin(self, index: int) -> PatchOrigin:
        """The origin of a patch.

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
        return _read_items(self.path / ITEMS, self._document.images)

    @property
    def item_numbers(self) -> IntArray:
        """Position in ``items`` of the image of every patch, to split or balance a set by image: int64, (P,)."""
        return self._index["item"].astype(np.int64)

    @property
    def bytes(self) -> int:
        """Size of the set on disk in bytes, without ``set.json``."""
        return sum(file.bytes for file in self._document.files)

    def verify(self) -> None:
        """Read all files and compare them with their digests.

        Raises:
            BprError: a file is missing or was changed.
        """
        for file in self._document.files:
            file.check(self.path)


def _read_items(path: Path, count: int) -> tuple[PatchItem, ...]:
    content = read_json(path)
    try:
        items = tuple(PatchItem(source, name, image_id) for source, name, image_id in content)
    except (TypeError, ValueError) as error:
        raise BprError(f"{path} is not a list of images ({error}); extract the patch set again") from error
    if not all(isinstance(value, str) for item in items for value in (item.source, item.name)) or not all(
        item.image_id is None or id_of(item.image_id) is not None for item in items
    ):
        raise BprError(f"{path} lists images whose names are not text; extract the patch set again")
    if len(items) != count:
        raise BprError(f"{path} lists {len(items)} images, expected {count}; extract the patch set again")
    return items


class PatchSetWriter:
    """Writes a patch set; the set exists once ``close`` has returned."""

    def __init__(self, path: Path, settings: PatchSetSettings, shard_bytes: int = SHARD_BYTES) -> None:
        """Begin a set.

        Args:
            path: directory of the set, created if missing. Shards of an unfinished set are removed from it.
            settings: settings of the patches.
            shard_bytes: size in bytes at which a shard is full.

        Raises:
            BprError: the directory holds a patch set, or cannot be written.
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

    def add(self, record: bytes, origin: PatchOrigin) -> None:
        """Add one patch.

        Args:
            record: patch from ``encode_sample``, with the size and JPEG quality of the settings.
            origin: origin of the patch.

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
            sources: descriptions of the sources for ``set.json``.

        Raises:
            BprError: the disk is full.
        """
        self._finish_shard()
        index = io.BytesIO()
        np.save(index, np.frombuffer(self._rows, dtype=INDEX_TYPE), allow_pickle=False)
        items = json.dumps([astuple(item) for item in self._items]).encode()
        SetDocument(
            self._settings,
            tuple(sources),
            patches=len(self._rows) // INDEX_TYPE.itemsize,
            images=len(self._items),
            items=write_file(self._path, ITEMS, items),
            index=write_file(self._path, INDEX, index.getvalue()),
            shards=tuple(self._shards),
        ).write(self._path)
        return PatchSet(self._path)

    def _finish_shard(self) -> None:
        if self._shard is not None:
            self._shards.append(self._shard.finish())
            self._shard = None


class _OpenShard:
    """The shard that is being written; ``bytes`` is its current size."""

    def __init__(self, path: Path) -> None:
        self.bytes = 0
        self._path = path
        self._digest = hashlib.sha256()
        with writing(path):
            self._file = path.open("wb")

    def write(self, record: bytes) -> None:
        with writing(self._path):
            self._file.write(record)
        self._digest.update(record)
        self.bytes += len(record)

    def finish(self) -> SetFile:
        """Flush the file to the disk and close it."""
        with writing(self._path), self._file as file:
            file.flush()
            os.fsync(file.fileno())
        return SetFile(self._path.name, self.bytes, self._digest.hexdigest())
