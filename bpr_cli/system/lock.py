"""Locks that keep other processes out of a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import writing

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"


@contextmanager
def locked(path: Path, in_use: str) -> Iterator[None]:
    """Hold a lock file; the operating system releases it when the process ends or is killed.

    Args:
        path: lock file, created if missing; it is not removed.
        in_use: message of the error if another process holds the lock.

    Raises:
        BprError: another process holds the lock.
        OSError: the file cannot be created.
    """
    with path.open("a") as file:
        if not _take(file) or not _is_at(file, path):
            raise BprError(in_use)
        yield


@contextmanager
def sole_writer(folder: Path, in_use: str) -> Iterator[None]:
    """Keep other processes out of a folder; it is created if missing and removed again if left empty.

    Args:
        folder: the folder.
        in_use: message of the error if another process uses it.

    Raises:
        BprError: another process uses the folder, or it cannot be created.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with ExitStack() as lock:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                lock.enter_context(locked(folder / LOCK, in_use))
            try:
                yield
            finally:
                # Delete the file while the lock is held; afterwards another run may own it. Windows cannot delete open
                # files.
                if sys.platform != "win32":
                    (folder / LOCK).unlink(missing_ok=True)
    finally:
        for each in made:
            with suppress(OSError):  # the folder is not empty
                each.rmdir()


def _take(file: IO[str]) -> bool:
    """Lock an open file; returns False if another process holds the lock."""
    # Not flock: data-loader workers would inherit the lock and may outlive this process for seconds.
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether ``path`` is still the open file; the previous holder of the lock may have deleted it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
