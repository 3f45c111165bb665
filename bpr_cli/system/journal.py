"""Records the progress of a long job on disk, so that it can resume after a stop or a kill at any moment."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import IO, Any

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import sole_writer, writing
from bpr_cli.system.journal_files import (
    JournalFiles,
    JournalHeader,
    append,
    cut_incomplete,
    encoded_line,
    every_files,
    names_in,
    open_to_append,
    sync,
)
from bpr_cli.system.paths import fingerprint, read_bytes
from bpr_cli.system.record_places import RecordPlaces
from bpr_cli.system.shards import Shard
from bpr_cli.system.store import is_mirrored, local, put, remove

FOLDER = ".bpr"
"""Usual name of the folder of a journal, inside the output of the job."""

EARLIER = ("manifest.jsonl", "records.json")
"""Files in which versions before 0.3 kept what they had done."""

PUT_EVERY = 30.0
"""Seconds between two copies of a journal to a store, where files can only be written as a whole."""

SYNC_EVERY = 1.0
"""Seconds between two syncs to the disk. One takes up to 40 ms, and there are hundreds of items in a second."""

_MOST_OPEN = 256
"""Most files of records that are open at the same time; systems allow a process about a thousand files."""


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

        with Journal(out / FOLDER, out, JournalHeader(settings)) as journal:
            for item in items:
                result = journal.done(item.name, item.paths)
                if result is None:
                    ...  # work, and write files
                    journal.add(item.name, item.paths, result, files, records)
            write_document(content for _, content in journal.records())

    ``journal.jsonl`` holds the header, then one line per item. ``records.bin`` holds the records of all items: pieces
    of one output document, each with its position there. An item is done once its line is written; an incomplete last
    line is ignored. ``done``, ``add`` and ``fail`` are thread-safe. If the whole machine stops, what the last second
    wrote may be lost; as every item has digests, it is then done again.

    Each shard of a job has two such files of its own, and shards work at the same time. The journal of a whole job
    also knows what its shards have done, and a shard knows what the whole job has done.

    Args:
        folder: folder of the journal; created if missing, removed again if left empty.
        out: output of the job, for messages.
        header: what the job is.
        shared_inputs: files that all items are read from; fingerprinted once, when the journal is created.
        overwrite: whether to discard the progress of earlier processes; of a shard, what other shards did stays.
        shard: the shard that this process works on; None for the whole job.

    Attributes:
        resumed: whether an earlier process started the job, even if none of its items can be reused.

    Raises:
        BprError: when the journal is entered: another process uses the folder or the shard, the job or another shard of
            it was started with other settings or another number of shards, the journal is damaged, or it cannot be
            written.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        header: JournalHeader,
        shared_inputs: Iterable[Path] = (),
        overwrite: bool = False,
        shard: Shard | None = None,
    ) -> None:
        self._folder = folder
        self._out = out
        self._header = header
        self._shared = fingerprint(shared_inputs)
        self._overwrite = overwrite
        self._own = JournalFiles(folder, shard)
        self._closing = ExitStack()
        self.resumed = False
        self._lock = Lock()
        self._entries: dict[str, tuple[JournalFiles, int, int]] = {}  # with first byte and length of the line
        self._failures: dict[str, tuple[str, str]] = {}
        self._places = RecordPlaces()
        self._open: dict[Path, IO[bytes]] = {}
        self._synced = self._put = time.monotonic()

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Journal]:
        """Open a journal in a temporary folder, for a job that cannot be resumed."""
        with TemporaryDirectory(prefix="bpr-") as name:
            folder = Path(name)
            with cls(folder, folder, JournalHeader({})) as journal:
                yield journal

    def __enter__(self) -> Journal:
        shard = self._own.shard
        what = f"shard {shard} of {self._out}, or all of it," if shard else f"{self._out}"
        in_use = f"{what} is in use by another process; wait for it, stop it, or choose another --out"
        with ExitStack() as opened:
            self._check_held = opened.enter_context(sole_writer(self._folder, in_use, shard.number if shard else None))
            if self._overwrite:
                self._remove()
            _check_earlier(self._folder, self._out)
            check_count(self._folder, self._out, shard)
            if shard and not self._overwrite:
                self._check_another()
            self._resume(opened)
            opened.callback(self._close_records)
            opened.callback(self._end)
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        with suppress(OSError):  # it is not empty: the job goes on in a later process
            self._folder.rmdir()

    def check(self, header: JournalHeader) -> None:
        """Check that this process works with the settings that the journal states.

        Raises:
            BprError: a setting differs.
        """
        self._own.check(header, self._out)

    def done(self, name: str, inputs: Iterable[Path]) -> dict[str, Any] | None:
        """The stored result of an item; None if the item is new or must be processed again.

        It must be processed again if its inputs have changed, or if one of its files or records is missing or changed.

        Raises:
            BprError: an input file no longer exists.
        """
        if name not in self._entries:
            return None
        files, start, length = self._entries[name]
        with files.damage_explained():
            entry = JournalEntry(**_without_name(self._read(files.lines, start, length)))
        if entry.inputs != self._fingerprint(inputs) or not self._is_intact(files.records, entry):
            return None
        self._keep(files.records, entry)
        return entry.result

    def failed(self, name: str, inputs: Iterable[Path]) -> str | None:
        """Why an item could not be processed by the process that tried it last; None if its inputs changed since.

        Raises:
            BprError: an input file no longer exists.
        """
        found = self._failures.get(name)
        return found[1] if found and found[0] == self._fingerprint(inputs) else None

    def add(
        self,
        name: str,
        inputs: Iterable[Path],
        result: Mapping[str, Any],
        files: Mapping[Path, str] | None = None,
        records: Mapping[int, bytes] | None = None,
    ) -> None:
        """Add a finished item; no kill of the process can undo it when this returns.

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
            start = append(self._records, content) if content else 0
            places = []
            for position, length in zip(records or (), lengths, strict=True):
                places.append((position, start, length))
                start += length
            named = {self._relative(path): digest for path, digest in (files or {}).items()}
            entry = JournalEntry(fingerprinted, named, places, digest, dict(result))
            append(self._lines, encoded_line({"item": name, **vars(entry)}))
            if time.monotonic() - self._synced > SYNC_EVERY:
                self._sync()
        self._keep(self._own.records, entry)

    def fail(self, name: str, inputs: Iterable[Path], reason: str) -> None:
        """Note why an item could not be processed.

        Raises:
            BprError: an input file no longer exists, or the disk is full.
        """
        line = {"item": name, "inputs": self._fingerprint(inputs), "failure": reason}
        with self._lock:
            append(self._lines, encoded_line(line))

    def records(self) -> Iterator[tuple[int, bytes]]:
        """All records of finished items with their positions, ascending; read from disk one at a time."""
        places = self._places.ascending()
        return ((position, self._read(source, start, length)) for position, source, start, length in places)

    def discard(self) -> None:
        """Delete the journal of a completed job; after this, only exit the ``with`` block."""
        self._close_records()
        for file in (self._lines, self._records):
            file.close()
        self._remove()

    def _resume(self, opened: ExitStack) -> None:
        """Read the entries of earlier processes, and write the header of a new job."""
        own = self._own
        others = every_files(self._folder) if own.shard is None else [JournalFiles(self._folder)]
        for files in others:
            if files.shard != own.shard and files.check(self._header, self._out):
                self._read_entries(files)
        is_started = own.check(self._header, self._out)
        own.restate(self._header)
        self._lines, self._records = (opened.enter_context(open_to_append(path)) for path in (own.lines, own.records))
        cut_incomplete(self._lines)
        if is_started:
            self._read_entries(own)
        else:
            append(self._lines, self._header.line())

    def _check_another(self) -> None:
        """Compare the settings with those of another shard: all that began before this one were compared so, too.

        Raises:
            BprError: they differ, which the merge would refuse after all the work.
        """
        for files in every_files(self._folder):
            if files.shard not in (None, self._own.shard) and files.check(self._header, self._out):
                return

    def _read_entries(self, files: JournalFiles) -> None:
        """Read what a process has finished, and what failed."""
        self.resumed = True
        with files.damage_explained():
            for start, line in files.read():
                content = json.loads(line)
                if "failure" in content:
                    self._failures[content["item"]] = (content["inputs"], content["failure"])
                else:
                    self._entries[content["item"]] = (files, start, len(line))

    def _fingerprint(self, inputs: Iterable[Path]) -> str:
        return f"{self._shared} {fingerprint(inputs)}"

    def _relative(self, path: Path) -> str:
        base = self._folder.parent
        return (path.relative_to(base) if path.is_relative_to(base) else path.absolute()).as_posix()

    def _is_intact(self, source: Path, entry: JournalEntry) -> bool:
        try:
            for name, expected in entry.files.items():
                if hashlib.sha256(read_bytes(self._folder.parent / name)).hexdigest() != expected:
                    return False
        except BprError:  # a file is missing
            return False
        digest = hashlib.sha256()
        for _, start, length in entry.records:
            digest.update(self._read(source, start, length))
        return digest.hexdigest() == entry.digest

    def _keep(self, source: Path, entry: JournalEntry) -> None:
        with self._lock:
            for position, start, length in entry.records:
                self._places.add(position, source, start, length)

    def _read(self, source: Path, start: int, length: int) -> bytes:
        """Read bytes from a file of lines or records; fewer if the file was truncated or is gone."""
        with self._lock:
            if source not in self._open:
                if len(self._open) >= _MOST_OPEN:
                    self._open.pop(next(iter(self._open))).close()
                if not source.exists():
                    return b""
                self._open[source] = local(source).open("rb", buffering=0)
            self._open[source].seek(start)
            return self._open[source].read(length)

    def _sync(self) -> None:
        sync(self._records, self._lines)
        self._synced = time.monotonic()
        if is_mirrored(self._folder) and self._synced - self._put > PUT_EVERY:
            self._copy()

    def _copy(self) -> None:
        """Copy both files to the store; records first, because lines point to them."""
        self._check_held()
        for path in (self._own.records, self._own.lines):
            if path.exists():
                with writing(path):
                    put(path, path)
        self._put = time.monotonic()

    def _end(self) -> None:
        """Bring what is written to the disk, or into the store."""
        self._sync()
        if is_mirrored(self._folder):
            self._copy()

    def _close_records(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _remove(self) -> None:
        """Delete what processes have written: for a whole job of all of them, for a shard its own and the whole's."""
        whole = self._own.shard is None
        for files in every_files(self._folder) if whole else (self._own, JournalFiles(self._folder)):
            files.remove()
        with writing(self._folder):
            for name in EARLIER:
                remove(self._folder / name)


def _without_name(line: bytes) -> dict[str, Any]:
    """The content of the line of a finished item, for ``JournalEntry``."""
    return {key: value for key, value in json.loads(line).items() if key != "item"}


def check_resumable(folder: Path, out: Path, header: JournalHeader) -> None:
    """Check that a job fits the journal in a folder, if there is one; writes nothing.

    The arguments are those of ``Journal``.

    Raises:
        BprError: the job was started with other settings or by another version, or the journal cannot be read.
    """
    _check_earlier(folder, out)
    for files in every_files(folder):
        files.check(header, out)


def check_count(folder: Path, out: Path, shard: Shard | None) -> None:
    """Refuse a shard of a job that is split into another number of shards: some items would be done twice.

    Raises:
        BprError: there are shards of another number.
    """
    counts = {files.shard.count for files in every_files(folder) if shard and files.shard} - {shard and shard.count}
    if shard and counts:
        raise BprError(
            f"{out} is split into {max(counts)} shards, but this is shard {shard}; give --shard I/{max(counts)}, or "
            "choose another --out"
        )


def _check_earlier(folder: Path, out: Path) -> None:
    """Refuse an output that an earlier version wrote to: nobody would know which of its files came from which run."""
    if EARLIER[0] in names_in(folder):
        raise BprError(
            f"{out} was written by an earlier version of bpr, whose runs cannot be resumed; choose another --out, or "
            "pass --overwrite to start over"
        )
