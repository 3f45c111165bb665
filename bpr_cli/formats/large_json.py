"""Large JSON files of records: indexed in one pass, and each record parsed when it is asked for.

A file compressed by gzip is unpacked to the folder of temporary files.

A parsed record takes several times the memory of its text. The index takes 12 bytes a record.
"""

from __future__ import annotations

import codecs
import json
import os
import weakref
from array import array
from collections.abc import Iterator
from contextlib import suppress
from json.decoder import WHITESPACE, JSONDecoder  # type: ignore[attr-defined]
from pathlib import Path
from threading import Lock
from typing import IO, Any, SupportsIndex

from bpr_cli.errors import BprError
from bpr_cli.formats.packed_files import open_content

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
            self.take(open_content(self._path))
        return self._file  # type: ignore[return-value]

    def take(self, file: IO[bytes]) -> None:
        """Read from a file that is open already, and close it in the end."""
        self._file = file
        weakref.finalize(self, file.close)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and len(self) == len(other) and all(map(_equal, self, other))

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __reduce__(self) -> tuple[type[FileRecords], tuple[Any, ...]]:
        """Pickle the index alone."""
        return type(self), (self._path, self._starts, self._lengths, self.fields)


def _equal(one: object, other: object) -> bool:
    return one == other


class JsonLines(list[Any]):
    """The objects of a file with one JSON object a line, which is written back in that form."""


class FileLines(FileRecords, JsonLines):
    """The records of a large file with one JSON object a line."""


def index_records(path: Path, least: int = 0) -> Any:  # noqa: ANN401 - unchecked content
    """Read a JSON document whose records stay in the file.

    Args:
        path: a file with a list of objects, an object whose ``annotations`` are one, or one object a line; it may be
            compressed by gzip.
        least: bytes of content that are worth an index.

    Returns:
        The document, whose list of records is ``FileRecords``; None if it is smaller, no such file, or not plain JSON
        in UTF-8.

    Raises:
        OSError: the file cannot be read.
        BprError: it is not compressed by gzip although its name says so.
    """
    file = open_content(path)
    if file.seek(0, os.SEEK_END) >= least:
        file.seek(0)
        with suppress(ValueError, RecursionError, OverflowError):  # a record of 4 GB is left to the usual parser, too
            reader = _Reader(path, file)
            document = reader.document()
            if reader.found is not None:
                reader.found.take(file)
            return document
    file.close()
    return None


class _Index:
    """Where records are in a file, while they are found; see ``FileRecords``."""

    def __init__(self) -> None:
        self.starts, self.lengths, self.fields = array("Q"), array("I"), set[str]()

    def add(self, record: Any, start: int, length: int) -> None:  # noqa: ANN401 - unchecked content
        """Note a record, its first byte and its length in bytes."""
        if isinstance(record, dict):
            self.fields.update(record)
        self.starts.append(start)
        self.lengths.append(length)


class _Reader:
    """Reads values one after the other from a window of the file's text.

    Attributes:
        text: the window.
        place: characters of the window that are done.
        offset: bytes of the file that are done.
        is_new_line: whether a line has ended since this was last set to False.
        found: the list of records that stays in the file; of several, the last one, which is that of the document.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.found: FileRecords | None = None
        self.start()

    def start(self) -> None:
        """Begin at the first byte of the file."""
        self.file.seek(0)
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.text, self.place, self.offset = "", 0, 0
        self.at_end = self.is_new_line = False

    def document(self) -> Any:  # noqa: ANN401 - unchecked content
        """The whole document.

        Raises:
            ValueError: it is not valid, or neither a list of objects nor an object.
        """
        document: Any = self.records() if self.peek() == "[" else self.members()
        if self.peek() == "{" and isinstance(document, dict):
            self.start()
            return self.lines()
        if self.peek():
            raise ValueError("there is more than one document")
        return document

    def lines(self) -> FileRecords:
        """One object a line.

        Raises:
            ValueError: a line holds several.
        """
        index = _Index()
        while self.peek():
            index.add(*self.value())
            self.is_new_line = False
            if self.peek() and not self.is_new_line:
                raise ValueError("expected a new line")
        return self.kept(FileLines, index)

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
        index = _Index()
        for _ in self.separated("[", "]"):
            index.add(*self.value())
        return self.kept(FileRecords, index)

    def kept(self, kind: type[FileRecords], index: _Index) -> FileRecords:
        """Make a list of the records of an index."""
        records = kind(self.path, index.starts, index.lengths, frozenset(index.fields))
        self.found = records
        return records

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
            end = WHITESPACE.match(self.text, self.place).end()
            self.is_new_line |= "\n" in self.text[self.place : end]
            self.skip(end)
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
