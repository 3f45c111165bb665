"""The two files of a journal: lines of JSON, and the records that they point to."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import atomic_file, writing
from bpr_cli.system.shards import Shard
from bpr_cli.system.store import local, remove

VERSION = 3

LINES, RECORDS = "journal.jsonl", "records.bin"
"""Files of a job that is not sharded; those of a shard are called like ``journal-2-of-8.jsonl``."""

_AT_ONCE = 2**16
"""Bytes that are searched for the end of the last line at a time."""

_OF_SHARD = re.compile(r"journal-(\d{1,7})-of-(\d{1,7})\.jsonl")


@dataclass(frozen=True)
class JournalHeader:
    """The first line of a journal: what the job is.

    Attributes:
        settings: plain values by name: everything besides the input files that affects the result.
        names: how messages name the values of some settings, such as the file behind a digest; never compared.
        about: further facts for a process that completes the job; never compared.
    """

    settings: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """The header as a line of JSON."""
        return encoded_line({"version": VERSION, "settings": self.settings, "names": self.names, "about": self.about})


class JournalFiles:
    """The files of one shard of a job, or of a whole job, in the folder of its journal.

    Attributes:
        shard: the shard; None for a whole job.
        lines: file of a header and a line for each item.
        records: file of the concatenated records.
    """

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        end = f"-{shard.number}-of-{shard.count}" if shard else ""
        self.shard = shard
        self.lines, self.records = (folder / f"{Path(name).stem}{end}{Path(name).suffix}" for name in (LINES, RECORDS))

    def read(self) -> Iterator[tuple[int, bytes]]:
        """The complete lines after the header, each with its first byte, one at a time.

        An incomplete last line, which a kill leaves, is not among them.

        Raises:
            BprError: the file cannot be read.
        """
        try:
            with local(self.lines).open("rb") as file:
                start = len(file.readline())
                for line in file:
                    if line.endswith(b"\n"):
                        yield start, line
                    start += len(line)
        except OSError as error:
            raise BprError(f"{self.lines} cannot be read: {error.strerror or error}") from error

    def header(self) -> JournalHeader | None:
        """The header; None without a complete first line.

        Raises:
            BprError: the file is damaged or cannot be read, or another version wrote it.
        """
        line = self._first_line()
        if not line.endswith(b"\n"):
            return None
        with self.damage_explained():
            content = json.loads(line)
            known = content["version"] == VERSION
            parts = [dict(content.get(name, {})) for name in ("names", "about")]  # missing in journals before 0.4
            header = JournalHeader(dict(content["settings"]), *parts)
        if not known:
            raise BprError(f"{self.lines} was written by another version of bpr; choose another --out or --overwrite")
        return header

    def _first_line(self) -> bytes:
        try:
            with local(self.lines).open("rb") as file:
                return file.readline()
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise BprError(f"{self.lines} cannot be read: {error.strerror or error}") from error

    def check(
        self,
        header: JournalHeader,
        out: Path,
        other: str = "this run",
        advice: str = "use the same settings to resume, choose another --out, or pass --overwrite",
    ) -> bool:
        """Check that the files belong to the job that a header describes.

        Args:
            header: the job.
            out: its output, for messages.
            other: whose header it is, for messages.
            advice: what to do if a setting differs, for messages.

        Returns:
            Whether there is a header to compare.

        Raises:
            BprError: a setting differs, or as ``header``.
        """
        started = self.header()
        if started is None:
            return False
        settings = json.loads(json.dumps(dict(header.settings)))
        where = f"shard {self.shard} of {out}" if self.shard else f"{out}"
        for name in {**started.settings, **settings}:
            if started.settings.get(name) != settings.get(name):
                before = started.names.get(name, json.dumps(started.settings.get(name)))
                now = header.names.get(name, json.dumps(settings.get(name)))
                raise BprError(f"{where} was started with {name}={before}, but {other} uses {name}={now}; {advice}")
        return True

    def restate(self, header: JournalHeader) -> None:
        """Let the facts of the header be those of this process, if they are not; ``check`` has compared its settings.

        Raises:
            BprError: the file cannot be written.
        """
        started = self.header()
        if started is None or started.about == json.loads(json.dumps(dict(header.about))):
            return
        with writing(self.lines), atomic_file(self.lines) as new, local(self.lines).open("rb") as old:
            old.readline()
            new.write(header.line())
            shutil.copyfileobj(old, new)

    def remove(self) -> None:
        """Delete both files, as far as they exist."""
        with writing(self.lines.parent):
            for path in (self.lines, self.records):
                remove(path)

    @contextmanager
    def damage_explained(self) -> Iterator[None]:
        """Turn errors of parsing into a message that names the file."""
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BprError(f"{self.lines} is damaged ({error}); start afresh with --overwrite") from error


def every_files(folder: Path) -> list[JournalFiles]:
    """The files of the whole job, if there are any, and those of every shard, by number.

    Raises:
        BprError: the folder cannot be listed.
    """
    names = names_in(folder)
    shards = sorted(Shard(int(match[1]), int(match[2])) for match in map(_OF_SHARD.fullmatch, names) if match)
    whole = [JournalFiles(folder)] if LINES in names else []
    return [*whole, *(JournalFiles(folder, shard) for shard in shards)]


def names_in(folder: Path) -> list[str]:
    """The names of the files in a folder; none if it does not exist.

    Raises:
        BprError: the folder cannot be listed.
    """
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BprError(f"{folder} cannot be read: {error.strerror or error}") from error


def open_to_append(path: Path) -> IO[bytes]:
    """Open a file to read and append, created if missing; unbuffered, so that a full disk is noticed at once."""
    with writing(path):
        local(path).touch()
        return path.open("r+b", buffering=0)


def cut_incomplete(file: IO[bytes]) -> None:
    """Cut off an incomplete last line, which a kill leaves."""
    with writing(Path(file.name)):
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _AT_ONCE)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n") + 1
            end = start + found
            if found:
                break
        file.truncate(end)


def append(file: IO[bytes], content: bytes) -> int:
    """Append to an unbuffered file; returns the offset of the content."""
    with writing(Path(file.name)):
        start = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(start)  # otherwise another thread would append to the partial content
            raise
    return start


def sync(*files: IO[bytes]) -> None:
    """Have the system put what was written to files onto the disk; closed files are passed over."""
    for file in files:
        if not file.closed:
            with writing(Path(file.name)):
                os.fsync(file.fileno())


def encoded_line(content: Mapping[str, Any]) -> bytes:
    """A line of JSON."""
    return json.dumps(dict(content)).encode() + b"\n"
