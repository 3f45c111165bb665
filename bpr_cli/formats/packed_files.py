"""JSON files and those compressed by gzip: which names they have, and how they are opened and written."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import writing
from bpr_cli.system.store import local

PACKED = ".gz"

_PLAIN = (".json", ".jsonl", ".ndjson")

DOCUMENTS = (*_PLAIN, *(f"{ending}{PACKED}" for ending in _PLAIN))
"""Endings of the names of JSON files; those with an l or nd usually have one object a line."""

IN_MEMORY = 2**25
"""Bytes of an unpacked file that are kept in memory; a larger one lies in the folder of temporary files."""

_MAGIC = b"\x1f\x8b"
"""Begin of a file compressed by gzip."""

AT_ONCE = 2**20
"""Bytes that are unpacked at a time."""


def is_document(path: Path) -> bool:
    """Whether a name is that of a JSON file.

    >>> is_document(Path("preds.json.gz")), is_document(Path("masks.tar.gz"))
    (True, False)
    """
    return path.name.lower().endswith(DOCUMENTS)


def is_packed(path: Path) -> bool:
    """Whether a name is that of a file compressed by gzip."""
    return path.suffix.lower() == PACKED


def bare_path(path: Path) -> Path:
    """A path without the ending of a JSON file.

    >>> bare_path(Path("val.2017/preds.json.gz")).name
    'preds'
    """
    return path.with_suffix("").with_suffix("") if is_packed(path) else path.with_suffix("")


def open_content(path: Path) -> IO[bytes]:
    """Open a file for reading at any place; one compressed by gzip is unpacked.

    Raises:
        OSError: the file cannot be read.
        BprError: it is not compressed by gzip although its name says so, or there is no room to unpack it.
    """
    if not is_packed(path):
        return local(path).open("rb", buffering=0)
    unpacked = cast("IO[bytes]", tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 - the caller closes it
    for part in _parts(path):
        with writing(f"{path} is unpacked; its content in {tempfile.gettempdir()}"):
            unpacked.write(part)
    unpacked.seek(0)
    return unpacked


def _parts(path: Path) -> Iterator[bytes]:
    with local(path).open("rb") as file, gzip.GzipFile(fileobj=file) as packed:
        while True:
            try:
                part = packed.read(AT_ONCE)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                plain = file.seek(0) == 0 and file.read(2) not in (b"", b"\x1f", _MAGIC)
                advice = "it is not compressed: rename it" if plain else "it may be truncated: write it again"
                raise BprError(f"{path} is not a whole file of gzip ({error}); {advice}") from error
            if not part:
                return
            yield part


@contextmanager
def packing(path: Path, file: BinaryIO) -> Iterator[IO[bytes]]:
    """Compress what is written to an open file if its name says so; the same content gives the same bytes."""
    if not is_packed(path):
        yield file
        return
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        yield cast("IO[bytes]", packed)
