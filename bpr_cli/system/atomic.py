"""Files that are never half there."""

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
"""What must be done before any file can be written again."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written piece by piece, which appears under its name only when the ``with`` statement ends well.

    It is written beside the target, then renamed: a kill at any moment leaves the old file or the new one.

    Args:
        path: its folder is made where missing.

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
    """Write a whole file; see ``atomic_file``."""
    with atomic_file(path) as file:
        file.write(content)


def remove_leftovers(folder: Path) -> None:
    """Remove what a kill in the middle of ``atomic_file`` has left below a folder that nobody else writes to."""
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextmanager
def writing(what: Path | str) -> Iterator[None]:
    """Make a sentence of what the system says against writing.

    Args:
        what: file or folder that is written.

    Raises:
        BprError: it cannot be written; says what to do where that holds for every file, as on a full disk.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        advice = f"; {remedy}, then start again" if remedy else ""
        raise BprError(f"{what} cannot be written: {error.strerror or error}{advice}") from error


def concerns_all_files(error: BprError) -> bool:
    """Whether an error of ``writing`` is one that every other file would meet too."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _REMEDIES
