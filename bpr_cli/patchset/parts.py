"""What an unfinished extraction has done so far: files of a few images each, from which it goes on after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure
from bpr_cli.formats.json_files import Json, read_json, write_json
from bpr_cli.patchset.image import EncodedPatch, ImageResult
from bpr_cli.patchset.layout import SourceCounts
from bpr_cli.patchset.store import PatchOrigin
from bpr_cli.system.atomic import writing
from bpr_cli.system.paths import list_folder, read_bytes, write_bytes

KIND = "unfinished bpr patch set"
FOLDER, JOB = "unfinished", "job.json"
_LENGTH_BYTES = 8


class Parts:
    """The parts of one extraction, in a folder within that of the set.

    Attributes:
        folder: where they lie.
        done: number of parts that are there.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER
        self.done = 0
        while self._path(self.done).is_file():
            self.done += 1

    def job(self) -> Json:
        """What the extraction was told that began here; None where none has begun.

        Raises:
            BprError: the folder holds something else.
        """
        path = self.folder / JOB
        if not self.folder.is_dir() or not list_folder(self.folder):
            return None
        job = read_json(path) if path.is_file() else None
        if not isinstance(job, dict) or job.get("kind") != KIND or not _tells(job):
            raise BprError(
                f"{self.folder} holds no unfinished patch set, but is in the way; move it or give another --out"
            )
        return {name: value for name, value in job.items() if name != "kind"}

    def begin(self, job: dict[str, Json]) -> None:
        """Make the folder and take down what the extraction is told."""
        write_json(self.folder / JOB, {"kind": KIND, **job})

    def append(self, results: Sequence[ImageResult]) -> None:
        """Write the next part, atomically."""
        header = json.dumps([_described(result) for result in results]).encode()
        records = [patch.record for result in results for patch in result.patches]
        content = [len(header).to_bytes(_LENGTH_BYTES, "little"), header, *records]
        write_bytes(self._path(self.done), b"".join(content))
        self.done += 1

    def read(self, number: int) -> list[ImageResult]:
        """The results in a part.

        Raises:
            BprError: it is damaged.
        """
        path = self._path(number)
        content = read_bytes(path)
        end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        try:
            return _parse(json.loads(content[_LENGTH_BYTES:end]), content[end:])
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise BprError(f"{path} is damaged ({error}); start afresh with --overwrite") from error

    def staging(self) -> Path:
        """An empty place for the set that the parts become."""
        folder = self.folder / "set"
        _remove(folder)
        return folder

    def remove(self) -> None:
        """Remove all parts, if there are any.

        Raises:
            BprError: the folder holds something else.
        """
        self.job()
        _remove(self.folder)
        self.done = 0

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.bin"


def _remove(folder: Path) -> None:
    if folder.is_dir():
        with writing(folder):
            shutil.rmtree(folder)


def _tells(job: dict[str, Json]) -> bool:
    """Whether a job is made as ``job.told`` makes it."""
    settings, sources = job.get("settings"), job.get("sources")
    if not isinstance(settings, dict) or not isinstance(sources, list):
        return False
    return all(isinstance(source, list) and source and isinstance(source[0], str) for source in sources)


def _described(result: ImageResult) -> Json:
    """A result as JSON, with the lengths of its records instead of themselves."""
    patches = [[patch.key, len(patch.record), asdict(patch.origin)] for patch in result.patches]
    failure = asdict(result.failure) if result.failure else None
    return {"source": result.source, "counts": asdict(result.counts), "failure": failure, "patches": patches}


def _parse(header: list[Json], records: bytes) -> list[ImageResult]:
    results, start = [], 0
    for described in header:
        patches = []
        for key, length, origin in described["patches"]:
            x0, y0, x1, y1 = origin.pop("box")
            if type(length) is not int or length < 0:
                raise ValueError(f"a patch of {length!r} bytes")
            record = records[start : start + length]
            patches.append(EncodedPatch(record, PatchOrigin(**origin, box=(x0, y0, x1, y1)), key))
            start += length
        failure = Failure(**described["failure"]) if described["failure"] else None
        results.append(ImageResult(described["source"], SourceCounts(**described["counts"]), tuple(patches), failure))
    if start != len(records):
        raise ValueError(f"{len(records)} bytes of patches, expected {start}")
    return results
