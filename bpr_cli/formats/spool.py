"""JSON records on disk, until the document that they belong to is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from bpr_cli.formats.json_files import Json, Record
from bpr_cli.system.atomic import atomic_file, writing


@dataclass(frozen=True)
class Place:
    """Where a record lies in a spool, and where in its document.

    Attributes:
        index: position in the document's list.
        start: its first byte in the spool.
        length: number of its bytes.
    """

    index: int
    start: int
    length: int


class Spool:
    """Keeps records outside of memory; thread-safe.

    Args:
        path: a file that outlives this process, gone on with where it is there; None for one that does not.

    Raises:
        BprError: the file cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._name = path or "a temporary file"
        with writing(self._name):
            self._file = _opened(path)
        self._lock = Lock()
        self._places: dict[int, Place] = {}

    def close(self) -> None:
        """Give up the file."""
        self._file.close()

    def add(self, records: Mapping[int, Record]) -> tuple[Place, ...]:
        """Append records, by their position in the document; they are on the disk when this returns.

        Raises:
            BprError: the disk is full.
        """
        encoded = {index: json.dumps(record).encode() for index, record in records.items()}
        with self._lock:
            with writing(self._name):
                start = self._file.seek(0, os.SEEK_END)
                _write_all(self._file, b"".join(encoded.values()))
                os.fsync(self._file.fileno())
            places = []
            for index, content in encoded.items():
                places.append(Place(index, start, len(content)))
                start += len(content)
            self._places |= {place.index: place for place in places}
        return tuple(places)

    def keep(self, places: Iterable[Place]) -> None:
        """Take records over that were added by an earlier process."""
        self._places |= {place.index: place for place in places}

    def read(self, place: Place) -> bytes:
        """A record as JSON; short where the spool has been cut off."""
        with self._lock:
            self._file.seek(place.start)
            return self._file.read(place.length)

    def write_document(self, path: Path, shell: Json) -> None:
        """Write a JSON file of all records in the order of their positions, atomically, and never all in memory.

        Args:
            path: the file.
            shell: the document around them: an object, whose ``annotations`` they become, or a list.

        Raises:
            BprError: it cannot be written.
        """
        with writing(path), atomic_file(path) as file:
            for piece in self._pieces(shell):
                file.write(piece)

    def _pieces(self, shell: Json) -> Iterator[bytes]:
        if not isinstance(shell, dict):
            yield from self._list()
            return
        separator = b"{"
        for key, value in shell.items():
            yield separator + json.dumps(key).encode() + b": "
            if key == "annotations":
                yield from self._list()
            else:
                yield json.dumps(value).encode()
            separator = b", "
        yield b"}"

    def _list(self) -> Iterator[bytes]:
        separator = b"["
        for _, place in sorted(self._places.items()):
            yield separator + self.read(place)
            separator = b", "
        yield b"]" if self._places else b"[]"


def _opened(path: Path | None) -> IO[bytes]:
    """The file without a buffer, in which records would wait that a full disk did not take."""
    if path is None:
        return TemporaryFile(buffering=0)
    path.touch()
    return path.open("r+b", buffering=0)


def _write_all(file: IO[bytes], content: bytes) -> None:
    """Write, however little the file takes at a time."""
    while content:
        content = content[file.write(content) :]
