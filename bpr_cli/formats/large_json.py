"""Large JSON files of records: indexed in one pass, and each record parsed when it is asked for.

A parsed record takes several times the memory of its text. The index takes 12 bytes a record.
"""

from __future__ import annotations

import codecs
import json
import weakref
from array import array
from collections.abc import Iterator
from json.decoder import WHITESPACE, JSONDecoder  # type: ignore[attr-defined]
from pathlib import Path
from threading import Lock
from typing import IO, Any, SupportsIndex

from bpr_cli.errors import BprError

LARGE = 2**25
"""Size in bytes from which files are indexed; smaller ones are parsed as a whole, which is faster."""

WINDOW = 2**20
"""Bytes that are read at a time."""

BLOCK = 2**15
"""Bytes that are read for a record, with those that follow it."""

_DECODER = JSONDecoder()

_AFTER_VALUE = frozenset(" \t\n\r,:]}")
"""What may follow a value that is complete."""


class FileRecords(list[Any]):
    """A list of records in a file, each of which is parsed when it is asked for; the list cannot be changed.

    It is a list for all code that asks whether it has one; the list inside is empty.

    Attributes:
        fields: the names that records have.
    """

    def __init__(self, path: Path, starts: array[int], lengths: array[int], fields: frozenset[str]) -> None:
        super().__init__()
        self._path, self._starts, self._lengths = path, starts, lengths
        self.fields = fields
        self._file: IO[bytes] | None = None
        self._block_start, self._block = 0, b""
        self._reading = Lock()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - as of a list
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        start, length = self._starts[index], self._lengths[index]
        try:
            return json.loads(self._content(start, length))
        except (OSError, ValueError) as error:
            raise BprError(f"{self._path} has changed while it was read ({error}); start again") from error

    def _content(self, start: int, length: int) -> bytes:
        """Bytes of the file; those after them are kept, because neighbours are usually asked for one after another."""
        with self._reading:
            begin = start - self._block_start
            if not 0 <= begin <= len(self._block) - length:
                file = self._opened()
                file.seek(start)
                self._block_start, self._block, begin = start, file.read(max(length, BLOCK)), 0
            return self._block[begin : begin + length]

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = self._path.open("rb", buffering=0)
            weakref.finalize(self, self._file.close)
        return self._file

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and len(self) == len(other) and all(map(_equal, self, other))

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __reduce__(self) -> tuple[type[FileRecords], tuple[Any, ...]]:
        """Pickle the index alone."""
        return FileRecords, (self._path, self._starts, self._lengths, self.fields)


def _equal(one: object, other: object) -> bool:
    return one == other


def index_records(path: Path) -> Any:  # noqa: ANN401 - unchecked content
    """Read a JSON document whose records stay in the file.

    Args:
        path: a file with a list of objects, or an object whose ``annotations`` are one.

    Returns:
        The document, whose list of records is ``FileRecords``; None if it is no such file, or not plain JSON in UTF-8.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _Reader(path, file).document()
        except (ValueError, RecursionError, OverflowError):  # a record of 4 GB is left to the usual parser, too
            return None


class _Reader:
    """Reads values one after the other from a window of the file's text.

    Attributes:
        text: the window.
        place: characters of the window that are done.
        offset: bytes of the file that are done.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.text, self.place, self.offset = "", 0, 0
        self.at_end = False

    def document(self) -> Any:  # noqa: ANN401 - unchecked content
        """The whole document.

        Raises:
            ValueError: it is not valid, or neither a list of objects nor an object.
        """
        if self.peek() == "[":
            document: Any = self.records()
        else:
            document = self.members()
        if self.peek():
            raise ValueError("there is more than one document")
        return document

    def members(self) -> dict[str, Any]:
        """An object whose ``annotations`` stay in the file."""
        found: dict[str, Any] = {}
        for _ in self.separated("{", "}"):
            if self.peek() != '"':
                raise ValueError("expected a name")
            name, _start, _length = self.value()
            self.expect(":")
            found[name] = self.records() if name == "annotations" and self.peek() == "[" else self.value()[0]
        return found

    def records(self) -> FileRecords:
        """A list of objects that stays in the file."""
        starts, lengths, fields = array("Q"), array("I"), set[str]()
        for _ in self.separated("[", "]"):
            record, start, length = self.value()
            if isinstance(record, dict):
                fields.update(record)
            starts.append(start)
            lengths.append(length)
        return FileRecords(self.path, starts, lengths, frozenset(fields))

    def separated(self, opening: str, closing: str) -> Iterator[None]:
        """One turn for each value of a list or object, which the caller reads."""
        self.expect(opening)
        if self.peek() == closing:
            self.expect(closing)
            return
        while True:
            yield
            if self.peek() == closing:
                self.expect(closing)
                return
            self.expect(",")

    def value(self) -> tuple[Any, int, int]:
        """The next value, its first byte in the file and its length in bytes."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.place)
                if self.at_end or self.text[end : end + 1] in _AFTER_VALUE:  # else a number may go on
                    break
            except ValueError:
                if self.at_end:
                    raise
            self.read_on()
        start = self.offset
        self.skip(end)
        return found, start, self.offset - start

    def expect(self, letter: str) -> None:
        """Pass over a letter.

        Raises:
            ValueError: another one is there.
        """
        if self.peek() != letter:
            raise ValueError(f"expected {letter}")
        self.skip(self.place + 1)

    def peek(self) -> str:
        """The next letter that is no space; empty at the end of the file."""
        while True:
            self.skip(WHITESPACE.match(self.text, self.place).end())
            if self.place < len(self.text) or self.at_end:
                return self.text[self.place : self.place + 1]
            self.read_on()

    def skip(self, place: int) -> None:
        """Go on to a place in the window."""
        self.offset += _bytes(self.text[self.place : place])
        self.place = place

    def read_on(self) -> None:
        """Drop what is done, and read as much again as is left, but at least a window."""
        self.text, self.place = self.text[self.place :], 0
        content = self.file.read(max(WINDOW, len(self.text)))
        self.at_end = not content
        self.text += self.decode(content, self.at_end)


def _bytes(text: str) -> int:
    """Length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
