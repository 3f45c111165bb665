"""What a refinement has written so far, from which it goes on after a stop or a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet, Written
from bpr_cli.formats.spool import Place, Spool
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.refinement.pipeline import Journal
from bpr_cli.system.atomic import writing
from bpr_cli.system.paths import fingerprint, read_bytes

VERSION = 2
Settings = Mapping[str, Any]
"""Plain values by name: all that the result depends on beside the input files."""


@dataclass(frozen=True)
class Entry:
    """One item that was written.

    Attributes:
        inputs: ``fingerprint`` of the files that it was read from.
        files: SHA-256 of the files that were written, by their path from the output's directory.
        records: where its records lie in the spool.
        records_digest: SHA-256 of them.
        movement: what was done to its boundaries.
    """

    inputs: str
    files: dict[str, str]
    records: tuple[Place, ...]
    records_digest: str
    movement: RefinementStats

    @classmethod
    def parse(cls, content: dict[str, Any]) -> Entry:
        """What ``asdict`` made.

        Raises:
            TypeError, KeyError: it is something else.
        """
        places = tuple(Place(**place) for place in content.pop("records"))
        return cls(records=places, movement=RefinementStats(**content.pop("movement")), **content)


class Manifest(Journal):
    """Lines of JSON: first the settings, then an item a line, each on the disk before the next item is done.

    A line that a kill cut short counts for nothing. An item that is listed is done only if its input files are those
    it was read from, and its output files and records are, byte for byte, what was written.

    Args:
        path: the file; gone on with where it is there.
        base: directory of the output.
        predictions: the opened set.
        spool: holds the records of the items.
    """

    def __init__(self, path: Path, base: Path, predictions: PredictionSet, spool: Spool) -> None:
        self.path = path
        self._base = base
        self._predictions = predictions
        self._spool = spool
        self._lock = Lock()
        self._shared = fingerprint(predictions.shared_files())
        self._entries: dict[str, Entry] = {}

    def begin(self, settings: Settings) -> None:
        """Write down what the refinement is told, or read what was done when it was told the same before.

        Raises:
            BprError: see ``check_manifest``; or the file cannot be written.
        """
        lines = self._whole_lines()
        if not lines:
            self._append({"version": VERSION, "settings": settings})
            return
        _check_header(self.path, lines[0], settings)
        with _damage_named(self.path):
            self._entries = {entry.pop("item"): Entry.parse(entry) for entry in map(json.loads, lines[1:])}

    def done(self, item: Item) -> RefinementStats | None:
        """What was done to an item, if all of it is there and still true."""
        entry = self._entries.get(item.name)
        if entry is None or entry.inputs != self._inputs(item) or not self._is_whole(entry):
            return None
        self._spool.keep(entry.records)
        return entry.movement

    def note(self, item: Item, written: Written, movement: RefinementStats) -> None:
        """Take down that an item is written."""
        files = {path.relative_to(self._base).as_posix(): digest for path, digest in written.files.items()}
        entry = Entry(self._inputs(item), files, written.records, self._digest(written.records), movement)
        self._append({"item": item.name, **asdict(entry)})

    def _inputs(self, item: Item) -> str:
        return f"{self._shared} {fingerprint([*self._predictions.files(item), item.image])}"

    def _digest(self, places: tuple[Place, ...]) -> str:
        digest = hashlib.sha256()
        for place in places:
            digest.update(self._spool.read(place))
        return digest.hexdigest()

    def _is_whole(self, entry: Entry) -> bool:
        try:
            for name, digest in entry.files.items():
                if hashlib.sha256(read_bytes(self._base / name)).hexdigest() != digest:
                    return False
        except BprError:  # gone
            return False
        return self._digest(entry.records) == entry.records_digest

    def _whole_lines(self) -> list[bytes]:
        """The lines that were written to their ends; what follows them is cut off."""
        content = read_bytes(self.path) if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with writing(self.path):
                os.truncate(self.path, len(whole))
        return whole.splitlines()

    def _append(self, content: dict[str, Any]) -> None:
        with self._lock, writing(self.path):
            file = self.path.open("ab")
            whole = file.tell()
            try:
                with file:
                    file.write(json.dumps(content).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                # The next line, of another thread, must not be joined to a part of this one.
                os.truncate(self.path, whole)
                raise


def check_manifest(path: Path, settings: Settings) -> None:
    """Refuse to go on, with other settings, with what a manifest tells of, if there is one; writes nothing.

    Args:
        path: the file, in a folder of its own within the output.
        settings: to go on with.

    Raises:
        BprError: it was begun with others, is damaged or of another version, or cannot be read.
    """
    header, end, _ = (read_bytes(path) if path.exists() else b"").partition(b"\n")
    if end:
        _check_header(path, header, settings)


def _check_header(path: Path, header: bytes, settings: Settings) -> None:
    """``check_manifest`` with the first line at hand."""
    with _damage_named(path):
        content = json.loads(header)
        started = dict(content["settings"]) if content["version"] == VERSION else None
    if started is None:
        raise BprError(f"{path} is not of this version of bpr; give another --out, or --overwrite")
    settings = json.loads(json.dumps(settings))
    for name in {**started, **settings}:
        if started.get(name) != settings.get(name):
            raise BprError(
                f"{path.parent.parent} holds a refinement with {name} {json.dumps(started.get(name))}, not "
                f"{json.dumps(settings.get(name))}; give what it was given to go on with it, another --out, or "
                "--overwrite to start afresh"
            )


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Make a sentence of what is wrong with the content of a manifest."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BprError(f"{path} is damaged ({error}); start afresh with --overwrite") from error
