"""JSON records on disk, until the document that they belong to is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO

from bpr_cli.errors import BprError
from bpr_cli.files import atomic_file
from bpr_cli.formats.documents import Json, Record


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
        places = []
        with self._lock:
            try:
                start = self._file.seek(0, os.SEEK_END)
                for index, record in records.items():
                    content = json.dumps(record).encode()
                    self._file.write(content)
                    places.append(Place(index, start, len(content)))
                    start += len(content)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise BprError(f"refined records cannot be kept: {error.strerror or error}") from error
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
        try:
            with atomic_file(path) as file:
                for piece in self._pieces(shell):
                    file.write(piece)
        except OSError as error:
            raise BprError(f"{path} cannot be written: {error.strerror or error}") from error

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


def _opened(path: Path | None) -> BinaryIO:
    try:
        if path is None:
            return TemporaryFile()
        path.touch()
        return path.open("r+b")
    except OSError as error:
        raise BprError(f"{path or 'a temporary file'} cannot be written: {error.strerror or error}") from error
