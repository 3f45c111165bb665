"""Writes files so that they are never incomplete."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bpr_cli.errors import BprError

_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make the disk writable",
}
"""What the user must do before any file can be written again."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which appears under its name only when the ``with`` block succeeds.

    It is written next to the target, then renamed: a kill at any moment leaves the old file or the new one.

    Args:
        path: the file; its folder is made if missing.

    Raises:
        OSError: the folder or the file cannot be written; nothing is left behind.
    """
    # The name of a temporary file must not grow with the final name, which may already have the longest length allowed.
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file with this content; see ``atomic_file``."""
    with atomic_file(path) as file:
        file.write(content)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a kill during ``atomic_file`` left below a folder that nobody else writes to."""
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextmanager
def writing(what: Path | str) -> Iterator[None]:
    """Turn an ``OSError`` of writing into a ``BprError`` that names the file.

    Args:
        what: file or folder that is written.

    Raises:
        BprError: it cannot be written. The message says what to do if other files would fail too, as on a full disk.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        advice = f"; {remedy}, then start again" if remedy else ""
        raise BprError(f"{what} cannot be written: {error.strerror or error}{advice}") from error


def concerns_all_files(error: BprError) -> bool:
    """Whether an error of ``writing`` would occur for every other file too."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _REMEDIES
