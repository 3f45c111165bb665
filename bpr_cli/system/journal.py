"""Records the progress of a long job on disk, so that it can resume after a stop or a kill at any moment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import IO, Any

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import sole_writer, writing
from bpr_cli.system.paths import fingerprint, read_bytes

VERSION = 3
FOLDER = ".bpr"
"""Usual name of the folder of a journal, inside the output of the job."""

LINES, RECORDS = "journal.jsonl", "records.bin"
EARLIER = ("manifest.jsonl", "records.json")
"""Files in which versions before 0.3 kept what they had done."""


@dataclass(frozen=True)
class JournalEntry:
    """One finished item.

    Attributes:
        inputs: fingerprint of its input files.
        files: SHA-256 of its output files, by path relative to the parent of the journal's folder.
        records: (position, first byte, length) of each of its records in the file of records.
        digest: SHA-256 of its concatenated records.
        result: plain data that the job stored about it.
    """

    inputs: str
    files: dict[str, str]
    records: list[tuple[int, int, int]]
    digest: str
    result: dict[str, Any]


class Journal:
    """The finished items of one job, stored in a folder that is locked against other processes.

        with Journal(out / FOLDER, out, settings) as journal:
            for item in items:
                result = journal.done(item.name, item.paths)
                if result is None:
                    ...  # work, and write files
                    journal.add(item.name, item.paths, result, files, records)
            write_document(content for _, content in journal.records())

    ``journal.jsonl`` holds the settings, then one line per item. ``records.bin`` holds the records of all items: pieces
    of one output document, each with its position there. An item is done once its line is on disk; an incomplete last
    line is ignored. ``done`` and ``add`` are thread-safe.

    Args:
        folder: folder of the journal; created if missing, removed again if left empty.
        out: output of the job, for messages.
        settings: plain values by name: everything besides the input files that affects the result.
        shared_inputs: files that all items are read from; fingerprinted once, when the journal is created.
        overwrite: whether to discard the progress of earlier processes.
        names: how messages name the values of some settings, such as the file behind a digest; never compared.

    Attributes:
        resumed: whether an earlier process started the job, even if none of its items can be reused.

    Raises:
        BprError: when the journal is entered: another process uses the folder, the job was started with other settings,
            the journal is damaged, or it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        settings: Mapping[str, Any],
        shared_inputs: Iterable[Path] = (),
        overwrite: bool = False,
        names: Mapping[str, str] = {},
    ) -> None:
        self._folder = folder
        self._out = out
        self._settings = settings
        self._names = dict(names)
        self._shared = fingerprint(shared_inputs)
        self._overwrite = overwrite
        self._closing = ExitStack()
        self.resumed = False
        self._lock = Lock()
        self._entries: dict[str, JournalEntry] = {}
        self._places: dict[int, tuple[int, int]] = {}

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Journal]:
        """Open a journal in a temporary folder, for a job that cannot be resumed."""
        with TemporaryDirectory(prefix="bpr-") as folder, cls(Path(folder), Path(folder), {}) as journal:
            yield journal

    def __enter__(self) -> Journal:
        in_use = f"{self._out} is in use by another process; wait for it, stop it, or choose another --out"
        with ExitStack() as opened:
            opened.enter_context(sole_writer(self._folder, in_use))
            if self._overwrite:
                self._remove()
            _check_earlier(self._folder, self._out)
            self._lines, self._records = (opened.enter_context(_open(self._folder / name)) for name in (LINES, RECORDS))
            self._resume()
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        with suppress(OSError):  # it is not empty: the job goes on in a later process
            self._folder.rmdir()

    def done(self, name: str, inputs: Iterable[Path]) -> dict[str, Any] | None:
        """The stored result of an item; None if the item is new or must be processed again.

        It must be processed again if its inputs have changed, or if one of its files or records is missing or changed.

        Raises:
            BprError: an input file no longer exists.
        """
        entry = self._entries.get(name)
        if entry is None or entry.inputs != self._fingerprint(inputs) or not self._is_intact(entry):
            return None
        self._keep(entry)
        return entry.result

    def add(
        self,
        name: str,
        inputs: Iterable[Path],
        result: Mapping[str, Any],
        files: Mapping[Path, str] | None = None,
        records: Mapping[int, bytes] | None = None,
    ) -> None:
        """Add a finished item; it is on disk when this returns.

        Args:
            name: unique key of the item.
            inputs: input files of this item alone.
            result: plain data that ``done`` returns in a later process.
            files: SHA-256 of its output files.
            records: its records by position; positions are unique in the journal.

        Raises:
            BprError: an input file no longer exists, or the disk is full.
        """
        content, lengths = b"".join((records or {}).values()), map(len, (records or {}).values())
        digest, fingerprinted = hashlib.sha256(content).hexdigest(), self._fingerprint(inputs)
        with self._lock:
            start = self._append(self._records, content) if content else 0
            places = []
            for position, length in zip(records or (), lengths, strict=True):
                places.append((position, start, length))
                start += length
            named = {self._relative(path): digest for path, digest in (files or {}).items()}
            entry = JournalEntry(fingerprinted, named, places, digest, dict(result))
            self._append(self._lines, _line({"item": name, **asdict(entry)}))
        self._keep(entry)

    def record(self, position: int) -> bytes:
        """The record at a position, of an item that is done."""
        return self._read(*self._places[position])

    def records(self) -> Iterator[tuple[int, bytes]]:
        """All records of finished items with their positions, ascending; read from disk one at a time."""
        return ((position, self.record(position)) for position in sorted(self._places))

    def discard(self) -> None:
        """Delete the journal of a completed job; after this, only exit the ``with`` block."""
        for file in (self._lines, self._records):
            file.close()
        self._remove()

    def _resume(self) -> None:
        """Read the entries of an earlier process, or write the settings of a new job."""
        lines = self._complete_lines()
        self.resumed = bool(lines)
        if not lines:
            header = {"version": VERSION, "settings": dict(self._settings), "names": self._names}
            self._append(self._lines, _line(header))
            return
        _check_header(self._folder, lines[0], self._out, self._settings, self._names)
        with _damage_explained(self._folder):
            self._entries = {entry.pop("item"): JournalEntry(**entry) for entry in map(json.loads, lines[1:])}

    def _complete_lines(self) -> list[bytes]:
        """The complete lines of the file; an incomplete last line is cut off."""
        content = self._lines.read()
        end = content.rfind(b"\n") + 1
        with writing(self._folder / LINES):
            self._lines.truncate(end)
        return content[:end].splitlines()

    def _fingerprint(self, inputs: Iterable[Path]) -> str:
        return f"{self._shared} {fingerprint(inputs)}"

    def _relative(self, path: Path) -> str:
        base = self._folder.parent
        return (path.relative_to(base) if path.is_relative_to(base) else path.absolute()).as_posix()

    def _is_intact(self, entry: JournalEntry) -> bool:
        try:
            for name, expected in entry.files.items():
                if hashlib.sha256(read_bytes(self._folder.parent / name)).hexdigest() != expected:
                    return False
        except BprError:  # a file is missing
            return False
        digest = hashlib.sha256()
        for _, start, length in entry.records:
            digest.update(self._read(start, length))
        return digest.hexdigest() == entry.digest

    def _keep(self, entry: JournalEntry) -> None:
        with self._lock:
            self._places |= {position: (start, length) for position, start, length in entry.records}

    def _read(self, start: int, length: int) -> bytes:
        """Read bytes from the file of records; fewer if the file was truncated."""
        with self._lock:
            self._records.seek(start)
            return self._records.read(length)

    def _append(self, file: IO[bytes], content: bytes) -> int:
        """Append to an unbuffered file and sync it to disk; returns the offset of the content."""
        with writing(Path(file.name)):
            start = file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)  # otherwise another thread would append to the partial content
                raise
        return start

    def _remove(self) -> None:
        with writing(self._folder):
            for name in (LINES, RECORDS, *EARLIER):
                (self._folder / name).unlink(missing_ok=True)


def check_resumable(folder: Path, out: Path, settings: Mapping[str, Any], names: Mapping[str, str] = {}) -> None:
    """Check that the settings match those of the journal in a folder, if there is one; writes nothing.

    The arguments are those of ``Journal``.

    Raises:
        BprError: the job was started with other settings or by another version, or the journal cannot be read.
    """
    _check_earlier(folder, out)
    path = folder / LINES
    header, end, _ = (read_bytes(path) if path.exists() else b"").partition(b"\n")
    if end:
        _check_header(folder, header, out, settings, names)


def _check_earlier(folder: Path, out: Path) -> None:
    """Refuse an output that an earlier version wrote to: nobody would know which of its files came from which run."""
    if (folder / EARLIER[0]).exists():
        raise BprError(
            f"{out} was written by an earlier version of bpr, whose runs cannot be resumed; choose another --out, or "
            "pass --overwrite to start over"
        )


def _check_header(
    folder: Path, header: bytes, out: Path, settings: Mapping[str, Any], names: Mapping[str, str]
) -> None:
    with _damage_explained(folder):
        content = json.loads(header)
        started = dict(content["settings"]) if content["version"] == VERSION else None
        earlier = dict(content.get("names", {}))  # journals before 0.4 have none
    if started is None:
        raise BprError(f"{folder / LINES} was written by another version of bpr; choose another --out or --overwrite")
    settings = json.loads(json.dumps(dict(settings)))
    for name in {**started, **settings}:
        if started.get(name) != settings.get(name):
            before = earlier.get(name, json.dumps(started.get(name)))
            now = names.get(name, json.dumps(settings.get(name)))
            raise BprError(
                f"{out} was started with {name}={before}, but this run uses {name}={now}; use the same settings to "
                "resume, choose another --out, or pass --overwrite"
            )


@contextmanager
def _damage_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BprError(f"{folder / LINES} is damaged ({error}); start afresh with --overwrite") from error


def _open(path: Path) -> IO[bytes]:
    """Open a file to read and append, created if missing; unbuffered, so that a full disk is noticed at once."""
    with writing(path):
        path.touch()
        return path.open("r+b", buffering=0)


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
