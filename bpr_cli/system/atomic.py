"""Writes files atomically, so that they are never incomplete, and lets one process at a time write to a folder."""

from __future__ import annotations

import errno
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from bpr_cli.errors import BprError
from bpr_cli.system.store import give_up, is_mirrored, put

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

    The content goes to a temporary file in the same folder, which is then renamed; into a store it goes as a whole. A
    kill at any moment leaves either the old file or the new one.

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
        if is_mirrored(path):
            put(path, temporary)
            give_up(temporary)
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


if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"

_PLACES = 2**21
"""Bytes of a lock file that can be locked; it is empty all the same."""


@contextmanager
def locked(path: Path, in_use: str, place: int | None = None) -> Iterator[None]:
    """Hold a lock file; the operating system releases it when the process ends or is killed.

    Args:
        path: lock file, created if missing; it is not removed.
        in_use: message of the error if another process holds the lock.
        place: share the lock with processes that have other places, from 0; None to hold all places.

    Raises:
        BprError: another process holds the lock.
        OSError: the file cannot be created.
    """
    while True:
        with path.open("a") as file:
            if not _take(file, place):
                raise BprError(in_use)
            if _is_at(file, path):  # else the previous holder of the lock has just deleted it
                yield
                return


@contextmanager
def sole_writer(folder: Path, in_use: str, place: int | None = None) -> Iterator[Callable[[], None]]:
    """Keep other processes out of a folder; it is created if missing and removed again if left empty.

    Args:
        folder: the folder.
        in_use: message of the error if another process uses it.
        place: share the folder with processes that have other places; see ``locked``. The lock file then stays.

    Yields:
        What raises a ``BprError`` if another process has taken over the folder, which happens in object stores alone.

    Raises:
        BprError: another process uses the folder, or it cannot be created.
    """
    if is_mirrored(folder):
        from bpr_cli.system.lease import leased  # noqa: PLC0415 - few need it

        folder.mkdir(parents=True, exist_ok=True)
        with leased(folder, in_use, place) as check:
            yield check
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with ExitStack() as lock:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                lock.enter_context(locked(folder / LOCK, in_use, place))
            try:
                yield lambda: None
            finally:
                # Delete the file while the lock is held; afterwards another run may own it. Windows cannot delete open
                # files.
                if sys.platform != "win32" and place is None:
                    with suppress(OSError):  # the folder is not this user's, or is gone; the file may stay
                        (folder / LOCK).unlink()
    finally:
        for each in made:
            with suppress(OSError):  # the folder is not empty
                each.rmdir()


def _take(file: IO[str], place: int | None) -> bool:
    """Lock one place of an open file, or all; returns False if another process holds one of them."""
    first, count = (0, _PLACES) if place is None else (place, 1)
    # Not flock: data-loader workers would inherit the lock and may outlive this process for seconds.
    try:
        if sys.platform == "win32":
            file.seek(first)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, count)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
    except OSError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether ``path`` is still the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
