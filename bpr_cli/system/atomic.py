"""Writes files atomically, so that they are never incomplete."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bpr_cli.errors import BprError

_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make the disk writable",
}
"""Advice for errors that affect all files."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when the ``with`` block succeeds.

    The content goes to a temporary file in the same folder, which is then renamed. A kill at any moment leaves either
    the old file or the new one.

    Args:
        path: the file; its folder is created if missing.

    Raises:
        OSError: the folder or the file cannot be written; the temporary file is removed.
    """
    # The temporary name has a fixed length, because the final name may already have the maximum length.
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
    """Write a complete file; see ``atomic_file``."""
    with atomic_file(path) as file:
        file.write(content)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes under a folder; no other process may be writing to it."""
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def remove_abandoned(folder: Path, began: float) -> None:
    """Remove temporary files of killed processes directly in a folder that other processes may be writing to.

    Args:
        folder: the folder.
        began: seconds since the epoch; files written later may belong to a running process and stay.
    """
    for path in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # its process has just finished it
            if _TEMPORARY.fullmatch(path.name) and path.stat().st_mtime < began:
                path.unlink()


@contextmanager
def writing(what: Path | str) -> Iterator[None]:
    """Turn an ``OSError`` of writing into a ``BprError`` that names the file.

    Args:
        what: file or folder being written.

    Raises:
        BprError: the block raised an ``OSError``. The message includes advice if all files are affected, e.g. by a
            full disk.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        advice = f"; {remedy}, then start again" if remedy else ""
        raise BprError(f"{what} cannot be written: {error.strerror or error}{advice}") from error


def concerns_all_files(error: BprError) -> bool:
    """Whether an error raised by ``writing`` affects all files, such as a full disk."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _REMEDIES
