"""What fuzzing is: a target reads damaged files, and may fail with nothing but a BprError.

A sample is the content of files by relative path. The input of a fuzzer is the content of all files in one piece.
"""

from __future__ import annotations

import resource
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bpr_cli.errors import BprError

SECONDS = 20
"""Processor time that a sample of some kilobytes may take."""

MEMORY = 2 << 30
"""Bytes of address space that may be taken beyond those in use before."""

LONGEST_MESSAGE = 8000

SEPARATOR = b"\n=== next file ===\n"
"""Stands between the files in the input of a fuzzer."""

Sample = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """A way into the program for files of unknown origin.

    Attributes:
        name: what it reads.
        make: writes a valid sample into a folder.
        read: reads all that is in the folder ``in``, and writes into ``out`` beside it.
        mend: brings checksums up to date, so that they do not hide all other damage.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    mend: Callable[[Sample], Sample] = lambda sample: sample


class Harness:
    """Feeds one target."""

    def __init__(self, target: Target, folder: Path) -> None:
        """Make the valid sample in an empty folder, and see that it is read without complaint."""
        self._target, self._folder, self._input = target, folder, folder / "in"
        self._input.mkdir()
        target.make(self._input)
        files = sorted(path for path in self._input.rglob("*") if path.is_file())
        self.valid: Sample = {path.relative_to(self._input).as_posix(): path.read_bytes() for path in files}
        self._write(self.valid)
        target.read(self._input)

    def run(self, data: bytes) -> None:
        """Read the sample of one input of the fuzzer; where separators are missing, so are the last files.

        Raises:
            Exception: a finding: anything but a BprError.
        """
        pieces = zip(self.valid, data.split(SEPARATOR), strict=False)
        sample = {name: mended(name, content) for name, content in pieces}
        self._write(self._target.mend(sample))
        began = time.process_time()
        try:
            with limited_memory():
                self._target.read(self._input)
        except BprError as error:
            if not 0 < len(str(error).strip()) <= LONGEST_MESSAGE:
                raise AssertionError(f"a message of {len(str(error))} characters: {str(error)[:60]}") from error
        if time.process_time() - began > SECONDS:
            raise AssertionError(f"took {time.process_time() - began:.0f} seconds")
        if names := {path.name for path in self._folder.iterdir()} - {"in", "out"}:
            raise AssertionError(f"files outside of the output: {sorted(names)}")

    def _write(self, sample: Sample) -> None:
        """Begin anew with these files and an empty folder ``out``."""
        for path in self._folder.iterdir():
            shutil.rmtree(path)
        for name, content in sample.items():
            (self._input / name).parent.mkdir(parents=True, exist_ok=True)
            (self._input / name).write_bytes(content)
        (self._folder / "out").mkdir()


def mended(name: str, content: bytes) -> bytes:
    """The content with the checksums of PNG chunks brought up to date."""
    if PurePosixPath(name).suffix != ".png":
        return content
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        stop = place + 8 + int.from_bytes(content[place : place + 4], "big")
        parts += [content[place:stop], struct.pack(">I", zlib.crc32(content[place + 4 : stop]))]
        place = stop + 4
    return b"".join(parts)


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let the process take no more than ``MEMORY``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
