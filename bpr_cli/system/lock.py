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
    """Hold a lock file against other processes; the system releases it when the process ends or is killed.

    Args:
        path: the lock file, made if missing; it is not removed.
        in_use: the message if another process holds it.

    Raises:
        BprError: another process holds the lock.
        OSError: the file cannot be made.
    """
    with path.open("a") as file:
        if not _take(file) or not _is_at(file, path):
            raise BprError(in_use)
        yield


@contextmanager
def sole_writer(folder: Path, in_use: str) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if missing and removed again if it is left empty.

    Args:
        folder: the folder.
        in_use: the message if another process uses it.

    Raises:
        BprError: another process uses the folder, or it cannot be made.
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
                # While it is held: once it is given up, it may be another run's. Windows keeps files that are open.
                if sys.platform != "win32":
                    (folder / LOCK).unlink(missing_ok=True)
    finally:
        for each in made:
            with suppress(OSError):  # something lies in it
                each.rmdir()


def _take(file: IO[str]) -> bool:
    """Lock an open file; False if another process holds it."""
    # Not flock, which processes that prepare batches would inherit, and outlive this one for seconds.
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file still has that name: whoever held the lock may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
